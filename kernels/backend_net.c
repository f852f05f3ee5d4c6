/* Inference networks by a backend's table, for any backend: batches of images as [batch, height·width·channels] in its
 * memory, a layer an operation, and a copy where a layer reads or writes only a part of an image's channels.
 *
 * All activations lie in one buffer; images that are not needed at the same time share their place. */
#include "kernels/net_kind.h"

#include <stdlib.h>

#include "kernels/base/memory.h"

enum operation { COPY, CONVOLUTION, POOLING };

struct layer {
    enum operation operation;
    struct fs_net_slice out, in; /* but for a copy, whole images */
    struct fs_window window;
    enum fs_pooling pooling;
    float *weights, *bias; /* a convolution's, in one buffer */
};

struct backend_net {
    struct fs_net net;
    struct fs_backend *backend;
    int64_t batch_max;
    struct layer layers[FS_NET_LAYERS_MAX];
    float *parameters[FS_NET_LAYERS_MAX]; /* the convolutions' buffers */
    int parameter_count;
    float *arena;           /* [batch_max] times the floats of each image, at batch_max times its offset */
    float *reading;         /* where results are put together: grows with what is asked for */
    int64_t reading_floats; /* in it, for one image */
};

/* What is on its way through the network. */
struct batch {
    const float *images;
    int64_t count;
};

static struct backend_net *of(struct fs_net *net)
{
    return (struct backend_net *)net;
}

static void destroy(struct fs_net *net)
{
    struct backend_net *b = of(net);
    for (int i = 0; i < b->parameter_count; i++) {
        b->backend->release(b->backend, b->parameters[i]);
    }
    if (b->arena != NULL) {
        b->backend->release(b->backend, b->arena);
    }
    if (b->reading != NULL) {
        b->backend->release(b->backend, b->reading);
    }
    free(b);
}

/* --- description --- */

static fs_status append(struct backend_net *b, struct layer layer, struct fs_error *error)
{
    FS_TRY(fs_net_add_layer(&b->net, layer.in.image, layer.out.image, error));
    b->layers[b->net.layer_count - 1] = layer;
    return FS_OK;
}

/* An image of this slice's channels alone: its own where it has no others, else a new one to be copied from or to. */
static fs_status whole(struct backend_net *b, struct fs_net_slice slice, struct fs_net_slice *image,
                       struct fs_error *error)
{
    const struct fs_net_image *from = &b->net.images[slice.image];
    *image = slice;
    return slice.channels == from->channels
               ? FS_OK
               : fs_net_image(&b->net, from->height, from->width, slice.channels, image, error);
}

/* The operations want dense images: what lies among other channels is copied out before, and back behind it. */
static fs_status append_between_copies(struct backend_net *b, struct layer layer, struct fs_error *error)
{
    const struct fs_net_slice in = layer.in, out = layer.out;
    FS_TRY(whole(b, in, &layer.in, error));
    FS_TRY(whole(b, out, &layer.out, error));
    if (layer.in.image != in.image) {
        FS_TRY(append(b, (struct layer){.operation = COPY, .out = layer.in, .in = in}, error));
    }
    FS_TRY(append(b, layer, error));
    return layer.out.image == out.image
               ? FS_OK
               : append(b, (struct layer){.operation = COPY, .out = out, .in = layer.out}, error);
}

static struct fs_window window_of(const struct backend_net *b, struct fs_net_slice out, struct fs_net_slice in,
                                  const struct fs_net_kernel *k)
{
    const struct fs_net_image *from = &b->net.images[in.image];
    return (struct fs_window){from->height, from->width, in.channels,   out.channels, k->height,
                              k->width,     k->stride,   k->pad_height, k->pad_width};
}

static fs_status convolution(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                             const struct fs_net_kernel *kernel, const float *weights, const float *bias,
                             struct fs_error *error)
{
    struct backend_net *b = of(net);
    struct fs_backend *backend = b->backend;
    const size_t weight_bytes = (size_t)(out.channels * in.channels * kernel->height * kernel->width) * sizeof(float);
    const size_t bias_bytes = (size_t)out.channels * sizeof(float);
    if (b->parameter_count == FS_NET_LAYERS_MAX) {
        return fs_fail(error, FS_FAILED, "a network of more than %d layers", FS_NET_LAYERS_MAX);
    }
    /* Channels come in blocks, so that the bias begins as well aligned as the weights. */
    float *parameters = backend->allocate(backend, weight_bytes + bias_bytes, error);
    if (parameters == NULL) {
        return FS_FAILED;
    }
    b->parameters[b->parameter_count++] = parameters;
    const struct layer layer = {.operation = CONVOLUTION,
                                .out = out,
                                .in = in,
                                .window = window_of(b, out, in, kernel),
                                .weights = parameters,
                                .bias = parameters + weight_bytes / sizeof(float)};
    backend->upload(backend, layer.weights, weights, weight_bytes);
    backend->upload(backend, layer.bias, bias, bias_bytes);
    return append_between_copies(b, layer, error);
}

static fs_status pool(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                      const struct fs_net_kernel *kernel, enum fs_pooling pooling, struct fs_error *error)
{
    struct backend_net *b = of(net);
    const struct layer layer = {
        .operation = POOLING, .out = out, .in = in, .window = window_of(b, out, in, kernel), .pooling = pooling};
    return append_between_copies(b, layer, error);
}

static fs_status finish(struct fs_net *net, struct fs_error *error)
{
    struct backend_net *b = of(net);
    b->arena = b->backend->allocate(b->backend, (size_t)(b->batch_max * net->arena_floats) * sizeof(float), error);
    FS_TRY(b->arena != NULL ? FS_OK : FS_FAILED);
    return b->backend->synchronise(b->backend, error); /* what went wrong with an upload */
}

/* --- layers --- */

/* A slice as a row a pixel. */
static struct fs_view pixels_of(const struct backend_net *b, const struct batch *batch, struct fs_net_slice slice)
{
    const struct fs_net_image *image = &b->net.images[slice.image];
    float *data =
        slice.image == FS_NET_INPUT ? (float *)(uintptr_t)batch->images : b->arena + b->batch_max * image->offset;
    const struct fs_view all = fs_view(data, FS_F32, batch->count * image->height * image->width, image->channels);
    return fs_view_cols(all, slice.first, slice.channels);
}

/* A whole image as a row a sample. */
static struct fs_view samples_of(const struct backend_net *b, const struct batch *batch, struct fs_net_slice slice)
{
    const struct fs_view pixels = pixels_of(b, batch, slice);
    return fs_view(pixels.data, FS_F32, batch->count, pixels.rows / batch->count * pixels.cols);
}

static void run_layer(const struct backend_net *b, const struct layer *layer, const struct batch *batch)
{
    struct fs_backend *backend = b->backend;
    const struct fs_window *window = &layer->window;
    switch (layer->operation) {
    case COPY:
        backend->copy(backend, pixels_of(b, batch, layer->out), pixels_of(b, batch, layer->in));
        break;
    case CONVOLUTION: {
        const int64_t filter = window->in_channels * window->kernel_height * window->kernel_width;
        backend->convolution_forward(backend, samples_of(b, batch, layer->out), samples_of(b, batch, layer->in),
                                     fs_view(layer->weights, FS_F32, window->out_channels, filter),
                                     fs_view(layer->bias, FS_F32, 1, window->out_channels), window, true);
        break;
    }
    case POOLING:
        backend->pool_forward(backend, samples_of(b, batch, layer->out), samples_of(b, batch, layer->in), window,
                              layer->pooling);
        break;
    }
}

/* --- results --- */

/* Beside each other in `reading`, dense and each for a whole batch, in their order; behind them, shared by all, what a
 * mean takes: one over each line of an image, then one over these. */

static int64_t result_floats(const struct backend_net *b, const struct fs_net_result *result)
{
    const struct fs_net_image *image = &b->net.images[result->slice.image];
    return fs_net_rounded(result->slice.channels * (result->mean ? 1 : image->height * image->width));
}

static float *place_of(const struct backend_net *b, const struct fs_net_run *run, int result)
{
    int64_t before = 0;
    for (int i = 0; i < result; i++) {
        before += result_floats(b, &run->results[i]);
    }
    return b->reading + b->batch_max * before;
}

static fs_status reserve(struct backend_net *b, const struct fs_net_run *run, struct fs_error *error)
{
    int64_t floats = 0, means = 0;
    for (int i = 0; i < run->result_count; i++) {
        const struct fs_net_image *image = &b->net.images[run->results[i].slice.image];
        const int64_t mean = run->results[i].mean ? fs_net_rounded((image->height + 1) * image->channels) : 0;
        floats += result_floats(b, &run->results[i]);
        means = mean > means ? mean : means;
    }
    if (floats + means <= b->reading_floats) {
        return FS_OK;
    }
    if (b->reading != NULL) {
        b->backend->release(b->backend, b->reading);
    }
    b->reading_floats = 0;
    b->reading = b->backend->allocate(b->backend, (size_t)(b->batch_max * (floats + means)) * sizeof(float), error);
    b->reading_floats = b->reading != NULL ? floats + means : 0;
    return b->reading != NULL ? FS_OK : FS_FAILED;
}

/* The average of all pixels, as poolings over lines and then over their averages: more of a device has work so, and
 * float32 sums stay short. The view is [count, channels], within `memory`. */
static struct fs_view average(const struct backend_net *b, const struct batch *batch, int index, float *memory)
{
    struct fs_backend *backend = b->backend;
    const struct fs_net_image *image = &b->net.images[index];
    const int64_t h = image->height, w = image->width, c = image->channels;
    const struct fs_window line = {h, w, c, c, 1, w, 1, 0, 0}, column = {h, 1, c, c, h, 1, 1, 0, 0};
    const struct fs_view pixels = samples_of(b, batch, (struct fs_net_slice){index, 0, c}),
                         lines = fs_view(memory, FS_F32, batch->count, h * c),
                         all = fs_view(memory + b->batch_max * h * c, FS_F32, batch->count, c);
    backend->pool_forward(backend, lines, pixels, &line, FS_POOL_AVERAGE_UNPADDED);
    backend->pool_forward(backend, all, lines, &column, FS_POOL_AVERAGE_UNPADDED);
    return all;
}

static void read_result(const struct backend_net *b, const struct fs_net_run *run, int index, const struct batch *batch)
{
    const struct fs_net_slice slice = run->results[index].slice;
    struct fs_view from = pixels_of(b, batch, slice);
    if (run->results[index].mean) {
        float *memory = place_of(b, run, run->result_count);
        from = fs_view_cols(average(b, batch, slice.image, memory), slice.first, slice.channels);
    }
    b->backend->copy(b->backend, fs_view(place_of(b, run, index), FS_F32, from.rows, from.cols), from);
}

/* --- running --- */

static void run_batch(const struct backend_net *b, const struct fs_net_run *run, const struct batch *batch)
{
    for (int i = 0; i <= run->last; i++) {
        run_layer(b, &b->layers[i], batch);
        for (int k = 0; k < run->result_count; k++) {
            if (b->net.images[run->results[k].slice.image].written == i) {
                read_result(b, run, k, batch);
            }
        }
    }
}

/* Results of images `first` … first + count − 1 of the run. */
static void download(const struct backend_net *b, const struct fs_net_run *run, int64_t first, int64_t count)
{
    for (int k = 0; k < run->result_count; k++) {
        const struct fs_net_result *result = &run->results[k];
        const struct fs_net_image *image = &b->net.images[result->slice.image];
        const int64_t each = result->slice.channels * (result->mean ? 1 : image->height * image->width);
        b->backend->download(b->backend, result->out + first * each, place_of(b, run, k),
                             (size_t)(count * each) * sizeof(float));
    }
}

static fs_status run_all(struct fs_net *net, const struct fs_net_run *run, struct fs_error *error)
{
    struct backend_net *b = of(net);
    const struct fs_net_image *input = &net->images[FS_NET_INPUT];
    FS_TRY(reserve(b, run, error));
    for (int64_t first = 0; first < run->count; first += b->batch_max) {
        const int64_t rest = run->count - first, count = rest < b->batch_max ? rest : b->batch_max;
        const struct batch batch = {run->images + first * input->height * input->width * input->channels, count};
        run_batch(b, run, &batch);
        download(b, run, first, count);
        FS_TRY(b->backend->synchronise(b->backend, error));
    }
    return FS_OK;
}

struct fs_net *fs_backend_net_create(struct fs_backend *backend, int64_t batch_max, struct fs_error *error)
{
    static const struct fs_net_kind kind = {destroy, convolution, pool, finish, run_all};
    if (backend->real != FS_F32) {
        fs_fail(error, FS_USAGE, "a network: the backend '%s' does not compute in float32", backend->name);
        return NULL;
    }
    struct backend_net *b = fs_allocate(1, sizeof *b, "a network", error);
    if (b == NULL) {
        return NULL;
    }
    b->net.kind = &kind;
    b->backend = backend;
    b->batch_max = batch_max;
    return &b->net;
}
