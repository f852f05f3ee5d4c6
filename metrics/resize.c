/* Separable resizing: along the rows first, then down the columns, with weights that were worked out once. */
#include "metrics/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

#define SIDE_MAX (1 << 24) /* pixels are still told apart by a float */
#define CUBIC_SUPPORT 2.0

static const char *const names[] = {
    [FS_RESIZE_NONE] = "none", [FS_RESIZE_CLEAN] = "clean",     [FS_RESIZE_TORCH] = "torch",
    [FS_RESIZE_TF1] = "tf1",   [FS_RESIZE_AUTHORS] = "authors",
};

#define MODE_COUNT ((int)(sizeof names / sizeof *names))

const char *fs_resize_name(int index)
{
    return index >= 0 && index < MODE_COUNT ? names[index] : NULL;
}

fs_status fs_resize_parse(const char *name, enum fs_resize *mode, struct fs_error *error)
{
    for (int i = 0; i < MODE_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *mode = (enum fs_resize)i;
            return FS_OK;
        }
    }
    return fs_fail(error, FS_USAGE, "unknown resize mode '%s': there are none, clean, torch, tf1 and authors", name);
}

/* --- weights --- */

/* Keys' cubic convolution kernel (1981) with a = −½. */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    return x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* PIL's way: the kernel is widened where the picture shrinks, cut off at the border, and what is left sums to 1. */
static void cubic_weights(struct fs_resize_axis *axis)
{
    const double scale = (double)axis->in / (double)axis->out, widen = fmax(scale, 1);
    for (int64_t i = 0; i < axis->out; i++) {
        const double centre = ((double)i + 0.5) * scale;
        const int64_t begin = (int64_t)fmax(centre - CUBIC_SUPPORT * widen + 0.5, 0);
        const int64_t end = (int64_t)fmin(centre + CUBIC_SUPPORT * widen + 0.5, (double)axis->in);
        double sum = 0;
        for (int64_t k = begin; k < end; k++) {
            sum += cubic(((double)k - centre + 0.5) / widen);
        }
        axis->first[i] = (int32_t)begin;
        for (int64_t k = begin; k < end; k++) {
            axis->weights[i * axis->taps + k - begin] = (float)(cubic(((double)k - centre + 0.5) / widen) / sum);
        }
    }
}

/* Between the two pixels around position i·scale (tf1) or (i + ½)·scale − ½. In large pictures it matters where it is
 * rounded to float; as in the references: the scale always, the position in all but torch. */
static void linear_weights(struct fs_resize_axis *axis, enum fs_resize mode)
{
    const double scale = (float)axis->in / (float)axis->out;
    for (int64_t i = 0; i < axis->out; i++) {
        double place = mode == FS_RESIZE_TF1 ? (double)i * scale : fmax(((double)i + 0.5) * scale - 0.5, 0);
        place = mode == FS_RESIZE_TORCH ? place : (float)place;
        int64_t first = (int64_t)place;
        float above = (float)(place - (double)first);
        if (first >= axis->in - 1) { /* at or behind the last pixel */
            first = axis->in > 1 ? axis->in - 2 : 0;
            above = axis->in > 1 ? 1 : 0;
        }
        axis->first[i] = (int32_t)first;
        axis->weights[i * axis->taps] = 1 - above;
        if (axis->taps > 1) {
            axis->weights[i * axis->taps + 1] = above;
        }
    }
}

static fs_status make_axis(enum fs_resize mode, int64_t in, int64_t out, struct fs_resize_axis *axis,
                           struct fs_error *error)
{
    if (in < 1 || out < 1 || in > SIDE_MAX || out > SIDE_MAX || (mode == FS_RESIZE_NONE && in != out)) {
        return fs_fail(error, FS_USAGE, "resize mode %s cannot make %lld pixels of %lld", names[mode], (long long)out,
                       (long long)in);
    }
    const double widen = fmax((double)in / (double)out, 1);
    const int64_t taps = mode == FS_RESIZE_CLEAN ? (int64_t)(2 * CUBIC_SUPPORT * widen) + 2 : 2;
    axis->in = in;
    axis->out = out;
    axis->taps = (int)(taps < in ? taps : in);
    axis->first = fs_allocate((size_t)out, sizeof *axis->first, "a resizer", error);
    axis->weights = fs_allocate((size_t)out * (size_t)axis->taps, sizeof *axis->weights, "a resizer", error);
    if (!axis->first || !axis->weights) {
        return FS_FAILED;
    }
    if (mode == FS_RESIZE_CLEAN) {
        cubic_weights(axis);
    } else {
        linear_weights(axis, mode);
    }
    /* Every window lies within the picture: those that end early move back, their weights forward. */
    for (int64_t i = 0; i < out; i++) {
        const int64_t over = axis->first[i] + axis->taps - in;
        if (over > 0) {
            float *weights = axis->weights + i * axis->taps;
            memmove(weights + over, weights, (size_t)(axis->taps - over) * sizeof *weights);
            memset(weights, 0, (size_t)over * sizeof *weights);
            axis->first[i] -= (int32_t)over;
        }
    }
    return FS_OK;
}

fs_status fs_resizer_create(enum fs_resize mode, int64_t height, int64_t width, int64_t out_height, int64_t out_width,
                            struct fs_resizer *resizer, struct fs_error *error)
{
    *resizer = (struct fs_resizer){.mode = mode};
    fs_status status = make_axis(mode, height, out_height, &resizer->vertical, error);
    if (status == FS_OK) {
        status = make_axis(mode, width, out_width, &resizer->horizontal, error);
    }
    if (status != FS_OK) {
        fs_resizer_destroy(resizer);
    }
    return status;
}

void fs_resizer_destroy(struct fs_resizer *resizer)
{
    free(resizer->vertical.first);
    free(resizer->vertical.weights);
    free(resizer->horizontal.first);
    free(resizer->horizontal.weights);
    *resizer = (struct fs_resizer){0};
}

/* --- pictures --- */

/* One line of pixels: in [axis->in, channels] to out [axis->out, channels]. */
static void resize_line(const struct fs_resize_axis *axis, int64_t channels, const float *in, float *out)
{
    for (int64_t i = 0; i < axis->out; i++) {
        const float *weights = axis->weights + i * axis->taps, *from = in + axis->first[i] * channels;
        for (int64_t c = 0; c < channels; c++) {
            float sum = 0;
            for (int k = 0; k < axis->taps; k++) {
                sum += weights[k] * from[k * channels + c];
            }
            out[i * channels + c] = sum;
        }
    }
}

/* Lines of `length` numbers, [axis->in, length], to out [axis->out, length]. */
static void resize_lines(const struct fs_resize_axis *axis, int64_t length, const float *in, float *out)
{
    for (int64_t i = 0; i < axis->out; i++) {
        const float *weights = axis->weights + i * axis->taps, *from = in + axis->first[i] * length;
        float *restrict to = out + i * length;
        for (int64_t j = 0; j < length; j++) {
            to[j] = weights[0] * from[j];
        }
        for (int k = 1; k < axis->taps; k++) {
            const float weight = weights[k], *restrict line = from + k * length;
            for (int64_t j = 0; j < length; j++) {
                to[j] += weight * line[j];
            }
        }
    }
}

/* From the batch's own values to the network's: clipped, where the reference clips, then gain·v + offset. */
struct scale {
    float low, high, gain, offset;
};

static struct scale network_scale(enum fs_resize mode, const struct fs_image_batch *batch)
{
    const double low = batch->is_uint8 ? 0 : batch->low, high = batch->is_uint8 ? 255 : batch->high;
    const bool clipped = mode == FS_RESIZE_CLEAN || mode == FS_RESIZE_AUTHORS;
    const bool around_128 = mode == FS_RESIZE_CLEAN || mode == FS_RESIZE_TF1;
    const double gain = (around_128 ? 255.0 / 128 : 2) / (high - low);
    return (struct scale){.low = clipped ? (float)low : -INFINITY,
                          .high = clipped ? (float)high : INFINITY,
                          .gain = (float)gain,
                          .offset = (float)(-1 - gain * low)};
}

static void resize_picture(const struct fs_resizer *resizer, const struct fs_image_batch *batch, int64_t index,
                           struct scale scale, float *line, float *lines, float *out)
{
    const int64_t row = batch->width * batch->channels, out_row = resizer->horizontal.out * batch->channels;
    for (int64_t y = 0; y < batch->height; y++) {
        const size_t at = (size_t)((index * batch->height + y) * row);
        const float *from = line;
        if (batch->is_uint8) {
            const uint8_t *pixels = (const uint8_t *)batch->pixels + at;
            for (int64_t j = 0; j < row; j++) {
                line[j] = pixels[j];
            }
        } else {
            from = (const float *)batch->pixels + at;
        }
        resize_line(&resizer->horizontal, batch->channels, from, lines + y * out_row);
    }
    resize_lines(&resizer->vertical, out_row, lines, out);
    for (int64_t j = 0; j < resizer->vertical.out * out_row; j++) {
        const float value = out[j] < scale.low ? scale.low : out[j] > scale.high ? scale.high : out[j]; /* NaN stays */
        out[j] = value * scale.gain + scale.offset;
    }
}

fs_status fs_resizer_apply(const struct fs_resizer *resizer, const struct fs_image_batch *batch, float *out,
                           struct fs_error *error)
{
    if (batch->height != resizer->vertical.in || batch->width != resizer->horizontal.in || batch->channels < 1 ||
        (!batch->is_uint8 && !(batch->high > batch->low))) {
        return fs_fail(error, FS_FAILED, "a resizer of %lld × %lld pixels was given %lld × %lld × %lld",
                       (long long)resizer->vertical.in, (long long)resizer->horizontal.in, (long long)batch->height,
                       (long long)batch->width, (long long)batch->channels);
    }
    const struct scale scale = network_scale(resizer->mode, batch);
    const int64_t line = batch->width * batch->channels, out_line = resizer->horizontal.out * batch->channels;
    fs_status status = FS_OK;
#pragma omp parallel
    {
        struct fs_error own = {0};
        float *scratch =
            fs_allocate((size_t)line + (size_t)(batch->height * out_line), sizeof *scratch, "a resized picture", &own);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < batch->count; i++) {
            if (scratch) {
                resize_picture(resizer, batch, i, scale, scratch, scratch + line,
                               out + i * resizer->vertical.out * out_line);
            }
        }
        if (!scratch) {
#pragma omp critical(fs_resize)
            {
                *error = own;
                status = FS_FAILED;
            }
        }
        free(scratch);
    }
    return status;
}
