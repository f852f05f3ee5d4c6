/* PNG to 8-bit grey or RGB (libpng). */
#include "harness/data/decoders.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "kernels/base/memory.h"

#define SIDE_MAX 1000000u /* libpng's own bound */
#define CHUNK_MAX ((png_alloc_size_t)16 << 20)
#define DEFLATE_RATIO 1032 /* no deflate stream grows by more */

/* All that a longjmp must not lose. */
struct decoding {
    const char *path;
    const uint8_t *bytes;
    size_t size, at;
    png_structp png;
    png_infop info;
    png_bytepp rows;
    const struct fs_picture_rules *rules;
    struct fs_picture *picture;
    fs_status status; /* of what we refuse ourselves */
    struct fs_error *error;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct decoding *d = png_get_error_ptr(png);
    d->status = fs_picture_refuse(d->path, message, d->error);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void read_bytes(png_structp png, png_bytep out, size_t size)
{
    struct decoding *d = png_get_io_ptr(png);
    if (size > d->size - d->at) {
        png_error(png, "it ends too early");
    }
    memcpy(out, d->bytes + d->at, size);
    d->at += size;
}

/* Checks the header before memory is taken for what it claims. */
static fs_status check_header(struct decoding *d)
{
    const png_uint_32 width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
    if (png_get_bit_depth(d->png, d->info) == 16) {
        return fs_fail(d->error, FS_USAGE, "%s: has 16 bits a channel: convert it to 8", d->path);
    }
    if (png_get_rowbytes(d->png, d->info) * (uint64_t)height / DEFLATE_RATIO > d->size) {
        return fs_picture_refuse(d->path, "it is too short for the size it claims", d->error);
    }
    d->picture->width = (int)width;
    d->picture->height = (int)height;
    return FS_OK;
}

static fs_status allocate(struct decoding *d)
{
    struct fs_picture *picture = d->picture;
    picture->channels = png_get_channels(d->png, d->info);
    const bool blended = picture->channels % 2 == 0; /* the last channel is alpha */
    FS_TRY(fs_picture_allocate(d->rules, d->path, picture, d->error));
    const size_t row = (size_t)picture->width * (size_t)picture->channels;
    if (png_get_rowbytes(d->png, d->info) != row || picture->channels > 4 ||
        (blended && d->rules->background == FS_NO_BACKGROUND)) {
        return fs_picture_refuse(d->path, "its pixels are neither grey nor RGB", d->error);
    }
    d->rows = fs_allocate((size_t)picture->height, sizeof *d->rows, d->path, d->error);
    for (int y = 0; d->rows && y < picture->height; y++) {
        d->rows[y] = picture->pixels + (size_t)y * row;
    }
    return d->rows ? FS_OK : FS_FAILED;
}

/* Puts the background behind the pixels, whose alpha goes: in place, as a pixel's new place is never behind its old. */
static void blend(struct fs_picture *picture, int background)
{
    const int colours = picture->channels - 1;
    const int64_t count = (int64_t)picture->height * picture->width;
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *from = picture->pixels + i * (colours + 1);
        const int alpha = from[colours];
        for (int c = 0; c < colours; c++) {
            picture->pixels[i * colours + c] = (uint8_t)((from[c] * alpha + background * (255 - alpha) + 127) / 255);
        }
    }
    picture->channels = colours;
}

/* Leaves by longjmp where libpng finds a mistake. */
static fs_status decode(struct decoding *d)
{
    png_set_read_fn(d->png, d, read_bytes);
    png_set_user_limits(d->png, SIDE_MAX, SIDE_MAX);
    png_set_chunk_malloc_max(d->png, CHUNK_MAX);
    png_read_info(d->png, d->info);
    FS_TRY(check_header(d));
    if (png_get_color_type(d->png, d->info) == PNG_COLOR_TYPE_PALETTE) {
        png_set_palette_to_rgb(d->png);
    } else if (png_get_bit_depth(d->png, d->info) < 8) {
        png_set_expand_gray_1_2_4_to_8(d->png);
    }
    if (d->rules->background == FS_NO_BACKGROUND) {
        png_set_strip_alpha(d->png);
    } else if (png_get_valid(d->png, d->info, PNG_INFO_tRNS)) {
        png_set_tRNS_to_alpha(d->png);
    }
    png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    FS_TRY(allocate(d));
    png_read_image(d->png, d->rows);
    png_read_end(d->png, NULL);
    if (d->picture->channels % 2 == 0) {
        blend(d->picture, d->rules->background);
    }
    return FS_OK;
}

/* libpng's way out. By itself, so that nothing changes in its frame between setjmp and longjmp. */
static void attempt(struct decoding *d)
{
    if (setjmp(png_jmpbuf(d->png)) == 0) {
        d->status = decode(d);
    }
}

fs_status fs_png_decode(const struct fs_picture_rules *rules, const char *path, const void *bytes, size_t size,
                        struct fs_picture *picture, struct fs_error *error)
{
    struct decoding d = {
        .path = path, .bytes = bytes, .size = size, .rules = rules, .picture = picture, .error = error};
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
    d.info = d.png ? png_create_info_struct(d.png) : NULL;
    if (!d.info) {
        png_destroy_read_struct(&d.png, NULL, NULL);
        return fs_fail(error, FS_FAILED, "%s: no memory to decode it", path);
    }
    attempt(&d);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    free(d.rows);
    return d.status;
}
