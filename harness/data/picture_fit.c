/* Pictures of all sizes made into squares of one. */
#include "harness/data/picture_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "metrics/resize.h"

#define WEIGHT_BITS                                                                                                    \
    22 /* of a weight's fraction: 8 bits of a pixel, 2 of what weights add up to, and a sign are left                  \
        */

/* Part of a picture; `stride` is the distance of its rows. */
struct region {
    const uint8_t *pixels;
    int height, width, channels;
    int64_t stride;
};

struct fs_picture_fit fs_picture_fit_of(const struct fs_dataset_config *config)
{
    static const int levels[] = {[FS_BACKGROUND_WHITE] = 255, [FS_BACKGROUND_BLACK] = 0, [FS_BACKGROUND_GREY] = 128};
    return (struct fs_picture_fit){config->size, config->channels, config->crop, levels[config->background]};
}

/* --- resize --- */

/* What each pixel of a line is made of, in fixed point. */
struct line {
    int64_t taps;     /* room for each pixel */
    int64_t *first;   /* [out] */
    int64_t *count;   /* [out] */
    int32_t *weights; /* [out, taps] */
};

static void line_free(struct line *line)
{
    free(line->first);
    free(line->count);
    free(line->weights);
}

static fs_status line_create(int in, int out, struct line *line, struct fs_error *error)
{
    *line = (struct line){.taps = FS_CUBIC_TAPS((int64_t)in, (int64_t)out)};
    line->first = fs_allocate((size_t)out, sizeof *line->first, "a resize", error);
    line->count = fs_allocate((size_t)out, sizeof *line->count, "a resize", error);
    line->weights = fs_allocate((size_t)out * (size_t)line->taps, sizeof *line->weights, "a resize", error);
    double *weights = fs_allocate((size_t)line->taps, sizeof *weights, "a resize", error);
    const bool good = line->first && line->count && line->weights && weights;
    for (int i = 0; good && i < out; i++) {
        line->count[i] = fs_cubic_window(in, out, i, &line->first[i], weights);
        for (int64_t k = 0; k < line->count[i]; k++) { /* rounded half away from zero */
            line->weights[i * line->taps + k] = (int32_t)round(ldexp(weights[k], WEIGHT_BITS));
        }
    }
    free(weights);
    if (!good) {
        line_free(line);
    }
    return good ? FS_OK : FS_FAILED;
}

/* One number: the pixels `step` bytes apart, rounded and clipped. */
static uint8_t weighted(const uint8_t *from, int64_t step, const int32_t *weights, int64_t count)
{
    int32_t sum = 1 << (WEIGHT_BITS - 1);
    for (int64_t k = 0; k < count; k++) {
        sum += from[k * step] * weights[k];
    }
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static fs_status resize_rows(const struct region *in, int width, uint8_t *out, struct fs_error *error)
{
    struct line line;
    FS_TRY(line_create(in->width, width, &line, error));
    for (int y = 0; y < in->height; y++) {
        for (int x = 0; x < width; x++) {
            const uint8_t *from = in->pixels + y * in->stride + line.first[x] * in->channels;
            for (int c = 0; c < in->channels; c++) {
                *out++ = weighted(from + c, in->channels, line.weights + x * line.taps, line.count[x]);
            }
        }
    }
    line_free(&line);
    return FS_OK;
}

static fs_status resize_columns(const struct region *in, int height, uint8_t *out, int64_t out_stride,
                                struct fs_error *error)
{
    struct line line;
    const int64_t bytes = (int64_t)in->width * in->channels;
    FS_TRY(line_create(in->height, height, &line, error));
    for (int y = 0; y < height; y++) {
        const uint8_t *from = in->pixels + line.first[y] * in->stride;
        for (int64_t x = 0; x < bytes; x++) {
            out[y * out_stride + x] = weighted(from + x, in->stride, line.weights + y * line.taps, line.count[y]);
        }
    }
    line_free(&line);
    return FS_OK;
}

/* Each direction only where it changes something, as a pass over the same size would round again. */
static fs_status resize(const struct region *in, int height, int width, uint8_t *out, int64_t out_stride,
                        struct fs_error *error)
{
    struct region rows = *in;
    uint8_t *spare = NULL;
    fs_status status = FS_OK;
    if (width != in->width) {
        spare = fs_allocate((size_t)in->height, (size_t)width * (size_t)in->channels, "a resize", error);
        status = spare ? resize_rows(in, width, spare, error) : FS_FAILED;
        rows = (struct region){spare, in->height, width, in->channels, (int64_t)width * in->channels};
    }
    if (status == FS_OK && height != in->height) {
        status = resize_columns(&rows, height, out, out_stride, error);
    } else if (status == FS_OK) {
        for (int y = 0; y < height; y++) {
            memcpy(out + y * out_stride, rows.pixels + y * rows.stride, (size_t)rows.width * (size_t)rows.channels);
        }
    }
    free(spare);
    return status;
}

/* --- the square --- */

static struct region central_square(const struct fs_picture *picture)
{
    const int side = picture->height < picture->width ? picture->height : picture->width;
    const int top = (picture->height - side) / 2, left = (picture->width - side) / 2;
    const int64_t stride = (int64_t)picture->width * picture->channels;
    return (struct region){picture->pixels + top * stride + (int64_t)left * picture->channels, side, side,
                           picture->channels, stride};
}

/* A side of the whole picture when the longer one is `size`. */
static int fitted(int side, int longer, int size)
{
    const int64_t rounded = (2 * (int64_t)side * size + longer) / (2 * (int64_t)longer);
    return rounded < 1 ? 1 : (int)rounded;
}

static fs_status make_square(const struct fs_picture *picture, const struct fs_picture_fit *fit, uint8_t *out,
                             struct fs_error *error)
{
    const int64_t stride = (int64_t)fit->size * picture->channels;
    if (fit->crop == FS_CROP_CENTER) {
        const struct region square = central_square(picture);
        return resize(&square, fit->size, fit->size, out, stride, error);
    }
    const struct region whole = {picture->pixels, picture->height, picture->width, picture->channels,
                                 (int64_t)picture->width * picture->channels};
    const int longer = picture->height > picture->width ? picture->height : picture->width;
    const int height = fitted(picture->height, longer, fit->size), width = fitted(picture->width, longer, fit->size);
    const int top = (fit->size - height) / 2, left = (fit->size - width) / 2;
    memset(out, fit->background, (size_t)(fit->size * stride));
    return resize(&whole, height, width, out + top * stride + (int64_t)left * picture->channels, stride, error);
}

/* A grey copy: Rec. 601's weights in parts of 2¹⁶, as PIL has them. NULL: no memory. */
static uint8_t *grey_copy(const struct fs_picture *picture, struct fs_error *error)
{
    const int64_t count = (int64_t)picture->height * picture->width;
    uint8_t *grey = fs_allocate((size_t)count, 1, "a grey picture", error);
    for (int64_t i = 0; grey && i < count; i++) {
        const uint8_t *p = picture->pixels + 3 * i;
        grey[i] = (uint8_t)((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + (1 << 15)) >> 16);
    }
    return grey;
}

fs_status fs_picture_fit(const struct fs_picture *picture, const struct fs_picture_fit *fit, uint8_t *out,
                         struct fs_error *error)
{
    if (fit->channels == 1 && picture->channels == 3) { /* before the resize, as it rounds */
        const struct fs_picture grey = {grey_copy(picture, error), picture->height, picture->width, 1};
        const fs_status status = grey.pixels ? make_square(&grey, fit, out, error) : FS_FAILED;
        free(grey.pixels);
        return status;
    }
    FS_TRY(make_square(picture, fit, out, error));
    for (int i = fit->size * fit->size - 1; fit->channels > picture->channels && i >= 0; i--) {
        memset(out + 3 * (int64_t)i, out[i], 3); /* grey, repeated in place */
    }
    return FS_OK;
}
