/* What tells the resize modes apart: the weights of the backend's separable resize, and the scale that follows it. */
#include "metrics/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

#define SIDE_MAX (1 << 24) /* pixels are still told apart by a float */
#define CUBIC_SUPPORT 2.0
#define ROOM_BYTES ((int64_t)64 << 20)

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
int64_t fs_cubic_window(int64_t in, int64_t out, int64_t index, int64_t *first, double *weights)
{
    const double scale = (double)in / (double)out, widen = fmax(scale, 1);
    const double centre = ((double)index + 0.5) * scale;
    const int64_t begin = (int64_t)fmax(centre - CUBIC_SUPPORT * widen + 0.5, 0);
    const int64_t end = (int64_t)fmin(centre + CUBIC_SUPPORT * widen + 0.5, (double)in);
    double sum = 0;
    for (int64_t k = begin; k < end; k++) {
        weights[k - begin] = cubic(((double)k - centre + 0.5) / widen);
        sum += weights[k - begin];
    }
    for (int64_t k = begin; k < end; k++) {
        weights[k - begin] /= sum;
    }
    *first = begin;
    return end - begin;
}

static fs_status cubic_weights(struct fs_resize_side *side, struct fs_error *error)
{
    double *weights = fs_allocate((size_t)FS_CUBIC_TAPS(side->in, side->out), sizeof *weights, "a resizer", error);
    for (int64_t i = 0; weights && i < side->out; i++) {
        int64_t first;
        const int64_t taps = fs_cubic_window(side->in, side->out, i, &first, weights);
        side->first[i] = (int32_t)first;
        for (int64_t k = 0; k < taps; k++) {
            side->weights[i * side->taps + k] = (float)weights[k];
        }
    }
    free(weights);
    return weights ? FS_OK : FS_FAILED;
}

/* Between the two pixels around position i·scale (tf1) or (i + ½)·scale − ½. In large pictures it matters where it is
 * rounded to float; as in the references: the scale always, the position in all but torch. */
static void linear_weights(struct fs_resize_side *side, enum fs_resize mode)
{
    const double scale = (float)side->in / (float)side->out;
    for (int64_t i = 0; i < side->out; i++) {
        double place = mode == FS_RESIZE_TF1 ? (double)i * scale : fmax(((double)i + 0.5) * scale - 0.5, 0);
        place = mode == FS_RESIZE_TORCH ? place : (float)place;
        int64_t first = (int64_t)place;
        float above = (float)(place - (double)first);
        if (first >= side->in - 1) { /* at or behind the last pixel */
            first = side->in > 1 ? side->in - 2 : 0;
            above = side->in > 1 ? 1 : 0;
        }
        side->first[i] = (int32_t)first;
        side->weights[i * side->taps] = 1 - above;
        if (side->taps > 1) {
            side->weights[i * side->taps + 1] = above;
        }
    }
}

/* Every window lies within the picture: those that end early move back, their weights forward. */
static void move_into_picture(struct fs_resize_side *side)
{
    for (int64_t i = 0; i < side->out; i++) {
        const int64_t over = side->first[i] + side->taps - side->in;
        if (over > 0) {
            float *weights = side->weights + i * side->taps;
            memmove(weights + over, weights, (size_t)(side->taps - over) * sizeof *weights);
            memset(weights, 0, (size_t)over * sizeof *weights);
            side->first[i] -= (int32_t)over;
        }
    }
}

/* `host`'s numbers into memory of the backend. */
static fs_status upload_side(struct fs_backend *backend, const struct fs_resize_side *host, struct fs_resize_side *side,
                             struct fs_error *error)
{
    const size_t firsts = (size_t)host->out * sizeof *host->first,
                 weights = (size_t)(host->out * host->taps) * sizeof *host->weights;
    *side = *host;
    side->first = backend->allocate(backend, firsts, error);
    side->weights = backend->allocate(backend, weights, error);
    if (!side->first || !side->weights) {
        return FS_FAILED;
    }
    backend->upload(backend, side->first, host->first, firsts);
    backend->upload(backend, side->weights, host->weights, weights);
    return FS_OK;
}

static fs_status make_side(struct fs_backend *backend, enum fs_resize mode, int64_t in, int64_t out,
                           struct fs_resize_side *side, struct fs_error *error)
{
    if (in < 1 || out < 1 || in > SIDE_MAX || out > SIDE_MAX || (mode == FS_RESIZE_NONE && in != out)) {
        return fs_fail(error, FS_USAGE, "resize mode %s cannot make %lld pixels of %lld", names[mode], (long long)out,
                       (long long)in);
    }
    const double widen = fmax((double)in / (double)out, 1);
    const int64_t wished = mode == FS_RESIZE_CLEAN ? (int64_t)(2 * CUBIC_SUPPORT * widen) + 2 : 2;
    struct fs_resize_side host = {.in = in, .out = out, .taps = wished < in ? wished : in};
    host.first = fs_allocate((size_t)out, sizeof *host.first, "a resizer", error);
    host.weights = fs_allocate((size_t)out * (size_t)host.taps, sizeof *host.weights, "a resizer", error);
    fs_status status = host.first && host.weights ? FS_OK : FS_FAILED;
    if (status == FS_OK) {
        if (mode == FS_RESIZE_CLEAN) {
            status = cubic_weights(&host, error);
        } else {
            linear_weights(&host, mode);
        }
    }
    if (status == FS_OK) {
        move_into_picture(&host);
        status = upload_side(backend, &host, side, error);
    }
    free(host.first);
    free(host.weights);
    return status;
}

fs_status fs_resizer_create(struct fs_backend *backend, enum fs_resize mode, int64_t height, int64_t width,
                            int64_t out_height, int64_t out_width, int64_t channels, struct fs_resizer *resizer,
                            struct fs_error *error)
{
    *resizer = (struct fs_resizer){.mode = mode, .backend = backend, .channels = channels};
    fs_status status = channels < 1 ? fs_fail(error, FS_USAGE, "pictures of %lld channels", (long long)channels)
                                    : make_side(backend, mode, height, out_height, &resizer->vertical, error);
    if (status == FS_OK) {
        status = make_side(backend, mode, width, out_width, &resizer->horizontal, error);
    }
    if (status != FS_OK) {
        fs_resizer_destroy(resizer);
    }
    return status;
}

void fs_resizer_destroy(struct fs_resizer *resizer)
{
    void *const memory[] = {resizer->vertical.first, resizer->vertical.weights, resizer->horizontal.first,
                            resizer->horizontal.weights, resizer->device};
    for (size_t i = 0; resizer->backend && i < sizeof memory / sizeof *memory; i++) {
        resizer->backend->release(resizer->backend, memory[i]);
    }
    free(resizer->floats);
    *resizer = (struct fs_resizer){0};
}

/* --- pictures --- */

/* From the batch's own values to the network's: clipped where the reference clips. */
static struct fs_resize_scale network_scale(enum fs_resize mode, const struct fs_image_batch *batch)
{
    const double low = batch->is_uint8 ? 0 : batch->low, high = batch->is_uint8 ? 255 : batch->high;
    const bool clipped = mode == FS_RESIZE_CLEAN || mode == FS_RESIZE_AUTHORS;
    const bool around_128 = mode == FS_RESIZE_CLEAN || mode == FS_RESIZE_TF1;
    const double gain = (around_128 ? 255.0 / 128 : 2) / (high - low);
    return (struct fs_resize_scale){.low = clipped ? (float)low : -INFINITY,
                                    .high = clipped ? (float)high : INFINITY,
                                    .gain = (float)gain,
                                    .offset = (float)(-1 - gain * low)};
}

/* Numbers of a picture before it is resized. */
static int64_t picture_size(const struct fs_resizer *resizer)
{
    return resizer->vertical.in * resizer->horizontal.in * resizer->channels;
}

static bool is_on_host(const struct fs_resizer *resizer)
{
    return resizer->backend->available == NULL;
}

/* For at most `count` pictures: about ROOM_BYTES of them, and one for each thread that resizes. */
static fs_status make_room(struct fs_resizer *resizer, int64_t count, struct fs_error *error)
{
    struct fs_backend *backend = resizer->backend;
    const int64_t bytes = picture_size(resizer) * (int64_t)sizeof(float), threads = fs_cpu_threads(backend);
    const int64_t wished = ROOM_BYTES / bytes > threads ? ROOM_BYTES / bytes : threads > 0 ? threads : 1;
    const int64_t room = wished < count ? wished : count;
    if (room <= resizer->room) {
        return FS_OK;
    }
    free(resizer->floats);
    backend->release(backend, resizer->device);
    resizer->room = 0;
    resizer->device = NULL;
    resizer->floats = fs_allocate((size_t)room, (size_t)bytes, "pictures to be resized", error);
    if (resizer->floats && !is_on_host(resizer)) {
        resizer->device = backend->allocate(backend, (size_t)(room * bytes), error);
    }
    if (!resizer->floats || (!resizer->device && !is_on_host(resizer))) {
        return FS_FAILED;
    }
    resizer->room = room;
    return FS_OK;
}

/* Pictures `first` … first + count − 1 as floats of the resizer's channels. */
static void to_floats(const struct fs_image_batch *batch, int64_t first, int64_t count, int64_t channels, float *out)
{
    const int64_t size = batch->height * batch->width * batch->channels, copies = channels / batch->channels;
    const uint8_t *bytes = (const uint8_t *)batch->pixels + first * size;
    const float *floats = (const float *)batch->pixels + first * size;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count * size; i++) {
        const float value = batch->is_uint8 ? bytes[i] : floats[i];
        for (int64_t k = 0; k < copies; k++) {
            out[i * copies + k] = value;
        }
    }
}

/* Whether the batch's own memory is what the resizer takes. */
static bool is_ready(const struct fs_resizer *resizer, const struct fs_image_batch *batch)
{
    return !batch->is_uint8 && batch->channels == resizer->channels;
}

/* Those pictures as floats in the backend's memory. */
static const float *bring(const struct fs_resizer *resizer, const struct fs_image_batch *batch, int64_t first,
                          int64_t count)
{
    const float *floats = (const float *)batch->pixels + first * picture_size(resizer);
    if (!is_ready(resizer, batch)) {
        to_floats(batch, first, count, resizer->channels, resizer->floats);
        floats = resizer->floats;
    }
    if (is_on_host(resizer)) {
        return floats;
    }
    resizer->backend->upload(resizer->backend, resizer->device, floats,
                             (size_t)(count * picture_size(resizer)) * sizeof *floats);
    return resizer->device;
}

fs_status fs_resizer_apply(struct fs_resizer *resizer, const struct fs_image_batch *batch, float *out,
                           struct fs_error *error)
{
    const struct fs_resize_side *vertical = &resizer->vertical, *horizontal = &resizer->horizontal;
    const int64_t channels = resizer->channels, size = picture_size(resizer);
    const int64_t out_size = vertical->out * horizontal->out * channels;
    if (batch->height != vertical->in || batch->width != horizontal->in ||
        (batch->channels != 1 && batch->channels != channels) || (!batch->is_uint8 && !(batch->high > batch->low))) {
        return fs_fail(error, FS_FAILED, "a resizer of %lld × %lld × %lld pixels was given %lld × %lld × %lld",
                       (long long)vertical->in, (long long)horizontal->in, (long long)channels,
                       (long long)batch->height, (long long)batch->width, (long long)batch->channels);
    }
    const bool at_once = is_on_host(resizer) && is_ready(resizer, batch);
    if (!at_once) {
        FS_TRY(make_room(resizer, batch->count, error));
    }
    const struct fs_resize_scale scale = network_scale(resizer->mode, batch);
    const int64_t part = at_once ? batch->count : resizer->room;
    for (int64_t first = 0; first < batch->count; first += part) {
        const int64_t rest = batch->count - first, count = rest < part ? rest : part;
        const struct fs_view x = fs_view((void *)bring(resizer, batch, first, count), FS_F32, count, size),
                             y = fs_view(out + first * out_size, FS_F32, count, out_size);
        resizer->backend->resize_forward(resizer->backend, y, x, vertical, horizontal, channels, &scale);
    }
    return resizer->backend->synchronise(resizer->backend, error);
}
