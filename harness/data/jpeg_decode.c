/* JPEG to 8-bit grey or RGB (libjpeg-turbo), with the transforms that PIL leaves at their defaults: the accurate
 * inverse DCT and smooth chroma upsampling. */
#include "harness/data/decoders.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jerror.h>
#include <jpeglib.h>

#define SCANS_MAX 500 /* an honest progressive file has a dozen; each one costs a pass over the whole picture */

/* All that a longjmp must not lose. The managers come first: libjpeg hands back pointers to them. */
struct decoding {
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf leave;
    const char *path;
    const void *bytes;
    size_t size;
    const struct fs_picture_rules *rules;
    struct fs_picture *picture;
    fs_status status;
    struct fs_error *error;
};

static void refuse(j_common_ptr jpeg)
{
    struct decoding *d = jpeg->client_data;
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    d->status = fs_picture_refuse(d->path, message, d->error);
    longjmp(d->leave, 1);
}

/* libjpeg goes on after corrupt data, with grey where the picture should be; a score must not. */
static void on_message(j_common_ptr jpeg, int level)
{
    const int code = jpeg->err->msg_code;
    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR) {
        refuse(jpeg);
    }
}

static void on_progress(j_common_ptr jpeg)
{
    struct decoding *d = jpeg->client_data;
    if (d->jpeg.input_scan_number > SCANS_MAX) {
        d->status = fs_picture_refuse(d->path, "it has more than 500 scans", d->error);
        longjmp(d->leave, 1);
    }
}

/* Leaves by longjmp where libjpeg finds a mistake. */
static fs_status decode(struct decoding *d)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    struct fs_picture *picture = d->picture;
    jpeg_mem_src(jpeg, d->bytes, d->size);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->num_components != 1 && jpeg->num_components != 3) {
        return fs_fail(d->error, FS_USAGE, "%s: has %d channels%s: convert it to RGB", d->path, jpeg->num_components,
                       jpeg->num_components == 4 ? " (CMYK)" : "");
    }
    picture->width = (int)jpeg->image_width;
    picture->height = (int)jpeg->image_height;
    picture->channels = jpeg->num_components;
    FS_TRY(fs_picture_allocate(d->rules, d->path, picture, d->error));
    jpeg->out_color_space = picture->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(jpeg);
    const size_t row = (size_t)picture->width * (size_t)picture->channels;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW line = picture->pixels + (size_t)jpeg->output_scanline * row;
        jpeg_read_scanlines(jpeg, &line, 1);
    }
    return FS_OK; /* not jpeg_finish_decompress: what follows the last line is no part of the picture */
}

/* libjpeg's way out. By itself, so that nothing changes in its frame between setjmp and longjmp. */
static void attempt(struct decoding *d)
{
    if (setjmp(d->leave) == 0) {
        jpeg_create_decompress(&d->jpeg);
        d->jpeg.progress = &d->progress;
        d->status = decode(d);
    }
}

fs_status fs_jpeg_decode(const struct fs_picture_rules *rules, const char *path, const void *bytes, size_t size,
                         struct fs_picture *picture, struct fs_error *error)
{
    struct decoding d = {
        .path = path, .bytes = bytes, .size = size, .rules = rules, .picture = picture, .error = error};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = refuse;
    d.errors.emit_message = on_message;
    d.progress.progress_monitor = on_progress;
    d.jpeg.client_data = &d;
    attempt(&d);
    jpeg_destroy_decompress(&d.jpeg);
    return d.status;
}
