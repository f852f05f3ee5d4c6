/* fewstep decode: pictures from latents. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/cli/picture_output.h"
#include "harness/model/autoencoder.h"
#include "harness/run/progress.h"
#include "harness/run/session.h"
#include "kernels/base/memory.h"
#include "kernels/base/npy.h"

#define PICTURES_A_STEP 16

struct decode_options {
    const char *latents, *output, *vae, *precision, *device;
    bool raw, quiet, help;
};

static fs_status parse(int argc, char **argv, struct decode_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"-o", FS_FLAG_TEXT, &options->output, "OUTPUT", FS_PICTURE_OUTPUTS},
        {"--vae", FS_FLAG_TEXT, &options->vae, "FILE",
         "the autoencoder's safetensors, or diffusers' folder of it (" FS_AUTOENCODER_FILE ")"},
        {"--raw", FS_FLAG_SWITCH, &options->raw, NULL, "the latents are the encoder's own, neither shifted nor scaled"},
        {"--precision", FS_FLAG_TEXT, &options->precision, "fp32|bf16", "of the network (fp32)"},
        {"--device", FS_FLAG_TEXT, &options->device, "auto|cpu|cuda", "where it runs (auto)"},
        {"--quiet", FS_FLAG_SWITCH, &options->quiet, NULL, "no progress"},
    };
    const struct fs_usage usage = {
        .command = "decode",
        .arguments = "LATENTS.npy",
        .summary = "Decodes float32 latents [N, H, W, C], as `sample` draws them for a run on latents: divided by the\n"
                   "autoencoder's scale first. Pictures are in [−1, 1], and in an array not clipped to it.",
        .example = "fewstep decode latents.npy -o grid.png --vae sd-vae-ft-mse/",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    int count;
    FS_TRY(fs_options_parse(&usage, argc, argv, &options->latents, &count, &options->help, error));
    if (options->help || (options->output != NULL && fs_is_picture_output(options->output))) {
        return FS_OK;
    }
    return fs_fail(error, FS_USAGE, "fewstep decode: -o: expected OUT.png, OUT.npy or a folder that ends in /%s%s",
                   options->output ? ", got " : "", options->output ? options->output : "");
}

static fs_status parse_precision(const char *text, enum fs_type *type, struct fs_error *error)
{
    *type = text != NULL && strcmp(text, "bf16") == 0 ? FS_BF16 : FS_F32;
    return text == NULL || strcmp(text, "fp32") == 0 || *type == FS_BF16
               ? FS_OK
               : fs_fail(error, FS_USAGE, "fewstep decode: --precision: expected fp32 or bf16, got %s", text);
}

/* Checks the array and takes the scale off it, in place. */
static fs_status prepare(const struct decode_options *options, const struct fs_autoencoder_info *info,
                         struct fs_array *array, struct fs_error *error)
{
    if (array->type != FS_ARRAY_F32 || array->rank != 4 || array->shape[0] < 1 || array->shape[3] != info->channels) {
        return fs_fail(error, FS_USAGE, "%s: expected float32 [N, H, W, %" PRId64 "], the latents of this autoencoder",
                       options->latents, info->channels);
    }
    const int64_t count = array->shape[0] * array->shape[1] * array->shape[2] * array->shape[3];
    float *values = array->data;
    for (int64_t i = 0; !options->raw && i < count; i++) {
        values[i] = (float)((double)values[i] / info->scale + info->shift);
    }
    return FS_OK;
}

/* A folder takes the pictures of each step; a grid or an array wants all of them. */
static fs_status decode(const struct decode_options *options, struct fs_autoencoder *autoencoder,
                        const struct fs_array *latents, struct fs_error *error)
{
    const int64_t factor = fs_autoencoder_info(autoencoder)->factor, count = latents->shape[0];
    const int64_t height = latents->shape[1], width = latents->shape[2];
    const int64_t in = height * width * latents->shape[3], out = height * width * factor * factor * 3;
    const bool whole = fs_ends_with(options->output, ".png") || fs_ends_with(options->output, ".npy");
    struct fs_progress progress;
    float *pixels =
        fs_allocate((size_t)(whole ? count : PICTURES_A_STEP), (size_t)out * sizeof *pixels, "pictures", error);
    struct fs_picture_set set = {
        .height = (int)(height * factor), .width = (int)(width * factor), .channels = 3, .zoom = 1, .pixels = pixels};
    fs_status status = pixels != NULL ? FS_OK : FS_FAILED;
    fs_progress_begin(&progress, options->quiet);
    for (int64_t first = 0; first < count && status == FS_OK; first += set.count) {
        set.first = first;
        set.count = count - first < PICTURES_A_STEP ? count - first : PICTURES_A_STEP;
        status = fs_autoencoder_decode(autoencoder, set.count, height, width, (float *)latents->data + first * in,
                                       pixels + (whole ? first * out : 0), error);
        status = status == FS_OK && !whole ? fs_write_pictures(options->output, &set, error) : status;
        const bool last = first + set.count == count;
        if (status == FS_OK && fs_progress_due(&progress, last)) {
            fs_progress_line(&progress, last, "decode: %" PRId64 "/%" PRId64 " pictures", first + set.count, count);
        }
    }
    if (status == FS_OK && whole) {
        set.first = 0;
        set.count = count;
        status = fs_write_pictures(options->output, &set, error);
    }
    free(pixels);
    return status;
}

static fs_status run(const struct decode_options *options, struct fs_array *latents, struct fs_error *error)
{
    struct fs_backend *backend;
    enum fs_device_kind device = FS_DEVICE_AUTO;
    enum fs_type precision;
    char path[FS_PATH_ROOM];
    FS_TRY(parse_precision(options->precision, &precision, error));
    if (options->device != NULL) {
        FS_TRY(fs_parse_device(options->device, &device, error));
    }
    FS_TRY(fs_autoencoder_find(options->vae, path, error));
    FS_TRY(fs_open_backend(device, &backend, error));
    struct fs_autoencoder *autoencoder = fs_autoencoder_open(backend, path, precision, error);
    fs_status status = autoencoder != NULL ? FS_OK : error->status;
    if (status == FS_OK) {
        const struct fs_autoencoder_info *info = fs_autoencoder_info(autoencoder);
        status = prepare(options, info, latents, error);
        if (status == FS_OK && !options->quiet && !options->raw) {
            fprintf(stderr, "%s (SHA-256 %.8s): scale %g, %s\n", path, info->sha256, info->scale, info->scale_of);
        }
    }
    if (status == FS_OK) {
        status = decode(options, autoencoder, latents, error);
    }
    fs_autoencoder_close(autoencoder);
    backend->destroy(backend);
    return status;
}

fs_status fs_command_decode(int argc, char **argv, struct fs_error *error)
{
    struct decode_options options = {0};
    struct fs_array latents;
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    FS_TRY(fs_npy_read(options.latents, &latents, error));
    const fs_status status = run(&options, &latents, error);
    free(latents.data);
    return status;
}
