/* Inference networks by a backend's table, for any backend: batches of images as [batch, height·width·channels] in its
 * memory, a layer an operation, and a copy where a layer reads or writes only a part of an image's channels.
 *
 * All activations lie in one buffer; images that are not needed at the same time share their place. */
#include "kernels/net_kind.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/base/memory.h"

enum operation { COPY, SUM, CONVOLUTION, POOLING, NORM, UPSAMPLE, ATTENTION };

/* SUM: out + in → out. */
struct layer {
    enum operation operation;
    struct fs_net_slice out, in; /* but for a copy and a sum, whole images */
    struct fs_window window;
    bool relu;
    enum fs_pooling pooling;
    struct fs_net_norm norm;
    struct fs_resize_side vertical, horizontal;
    struct fs_view weights, bias; /* a convolution's; a norm's gamma and beta */
};

struct backend_net {
    struct fs_net net;
    struct fs_backend *backend;
    int64_t batch_max;
    struct layer layers[FS_NET_LAYERS_MAX];
    void *parameters[2 * FS_NET_LAYERS_MAX]; /* the layers' buffers */
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
               : fs_net_image(&b->net, from->type, from->height, from->width, slice.channels, image, error);
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
    return (struct fs_window){.in_height = from->height,
                              .in_width = from->width,
                              .in_channels = in.channels,
                              .out_channels = out.channels,
                              .kernel_height = k->height,
                              .kernel_width = k->width,
                              .stride = k->stride,
                              .pad_height = k->pad_height,
                              .pad_width = k->pad_width,
                              .pad_below = k->pad_below,
                              .pad_right = k->pad_right,
                              .channels_last = 1};
}

/* A buffer of the network's own on the backend, with the host's bytes in it. */
static void *keep(struct backend_net *b, const void *host, size_t bytes, struct fs_error *error)
{
    if (b->parameter_count == (int)(sizeof b->parameters / sizeof *b->parameters)) {
        fs_fail(error, FS_FAILED, "a network of more than %d layers", FS_NET_LAYERS_MAX);
        return NULL;
    }
    void *memory = b->backend->allocate(b->backend, bytes, error);
    if (memory != NULL) {
        b->parameters[b->parameter_count++] = memory;
        b->backend->upload(b->backend, memory, host, bytes);
    }
    return memory;
}

/* [1, count] float32. */
static fs_status keep_floats(struct backend_net *b, const float *host, int64_t count, struct fs_view *view,
                             struct fs_error *error)
{
    *view = fs_view(keep(b, host, (size_t)count * sizeof *host, error), FS_F32, 1, count);
    return view->data != NULL ? FS_OK : FS_FAILED;
}

/* Filters as they are multiplied from here on, turned once: (row, column, channel), from (channel, row, column). */
static void turn(float *turned, const float *weights, const struct fs_window *window)
{
    const int64_t area = window->kernel_height * window->kernel_width, channels = window->in_channels;
    for (int64_t i = 0; i < window->out_channels * channels * area; i++) {
        const int64_t filter = i / (channels * area), place = i / channels % area;
        turned[i] = weights[(filter * channels + i % channels) * area + place];
    }
}

/* In the type of the images that they meet. */
static fs_status keep_filters(struct backend_net *b, const struct fs_window *window, const float *weights,
                              enum fs_type type, struct fs_view *kept, struct fs_error *error)
{
    const int64_t cols = window->in_channels * window->kernel_height * window->kernel_width;
    const size_t count = (size_t)(window->out_channels * cols);
    float *turned = fs_allocate(count, sizeof *turned, "a network's filters", error);
    if (turned == NULL) {
        return FS_FAILED;
    }
    turn(turned, weights, window);
    void *data = keep(b, turned, count * sizeof *turned, error);
    free(turned);
    *kept = fs_view(data, FS_F32, window->out_channels, cols);
    if (data == NULL || type == FS_F32) {
        return data != NULL ? FS_OK : FS_FAILED;
    }
    void *rounded = b->backend->allocate(b->backend, count * fs_type_size(type), error);
    if (rounded == NULL) {
        return FS_FAILED;
    }
    const struct fs_view other = fs_view(rounded, type, kept->rows, kept->cols);
    b->backend->copy(b->backend, other, *kept);
    b->backend->release(b->backend, data);
    b->parameters[b->parameter_count - 1] = rounded;
    *kept = other;
    return FS_OK;
}

/* The input is float32: a layer of another type reads a copy. */
static fs_status input_of(struct backend_net *b, enum fs_type type, struct fs_net_slice *in, struct fs_error *error)
{
    const struct fs_net_slice input = *in;
    const struct fs_net_image *image = &b->net.images[input.image];
    if (input.image != FS_NET_INPUT || type == FS_F32) {
        return FS_OK;
    }
    FS_TRY(fs_net_image(&b->net, type, image->height, image->width, image->channels, in, error));
    return append(b, (struct layer){.operation = COPY, .out = *in, .in = input}, error);
}

static fs_status convolution(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                             const struct fs_net_kernel *kernel, enum fs_net_output kind, const float *weights,
                             const float *bias, struct fs_error *error)
{
    struct backend_net *b = of(net);
    const struct fs_net_image *to = &net->images[out.image];
    struct layer layer = {.operation = CONVOLUTION, .out = out, .relu = kind == FS_NET_RELU};
    FS_TRY(input_of(b, to->type, &in, error));
    layer.in = in;
    layer.window = window_of(b, out, in, kernel);
    FS_TRY(keep_filters(b, &layer.window, weights, net->images[in.image].type, &layer.weights, error));
    FS_TRY(keep_floats(b, bias, out.channels, &layer.bias, error));
    if (kind != FS_NET_SUM) {
        return append_between_copies(b, layer, error);
    }
    FS_TRY(fs_net_image(net, to->type, to->height, to->width, out.channels, &layer.out, error));
    FS_TRY(append_between_copies(b, layer, error));
    return append(b, (struct layer){.operation = SUM, .out = out, .in = layer.out}, error);
}

static fs_status pool(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                      const struct fs_net_kernel *kernel, enum fs_pooling pooling, struct fs_error *error)
{
    struct backend_net *b = of(net);
    const struct layer layer = {
        .operation = POOLING, .out = out, .in = in, .window = window_of(b, out, in, kernel), .pooling = pooling};
    return append_between_copies(b, layer, error);
}

static struct fs_net_slice all_of(const struct fs_net *net, int image)
{
    return (struct fs_net_slice){image, 0, net->images[image].channels};
}

static fs_status group_norm(struct fs_net *net, int out, int in, const struct fs_net_norm *norm, const float *gamma,
                            const float *beta, struct fs_error *error)
{
    struct backend_net *b = of(net);
    struct layer layer = {.operation = NORM, .out = all_of(net, out), .in = all_of(net, in), .norm = *norm};
    FS_TRY(keep_floats(b, gamma, layer.in.channels, &layer.weights, error));
    FS_TRY(keep_floats(b, beta, layer.in.channels, &layer.bias, error));
    return append(b, layer, error);
}

/* Nearest neighbours as a resize of one tap. */
static fs_status double_side(struct backend_net *b, int64_t size, struct fs_resize_side *side, struct fs_error *error)
{
    const size_t count = 2 * (size_t)size;
    int32_t *first = fs_allocate(count, sizeof *first, "a network's resize", error);
    float *weights = fs_allocate(count, sizeof *weights, "a network's resize", error);
    for (size_t i = 0; first != NULL && weights != NULL && i < count; i++) {
        first[i] = (int32_t)(i / 2);
        weights[i] = 1;
    }
    *side = (struct fs_resize_side){.in = size, .out = 2 * size, .taps = 1};
    if (first != NULL && weights != NULL) {
        side->first = keep(b, first, count * sizeof *first, error);
        side->weights = side->first != NULL ? keep(b, weights, count * sizeof *weights, error) : NULL;
    }
    free(first);
    free(weights);
    return side->weights != NULL ? FS_OK : FS_FAILED;
}

static fs_status upsample(struct fs_net *net, int out, int in, struct fs_error *error)
{
    struct backend_net *b = of(net);
    struct layer layer = {.operation = UPSAMPLE, .out = all_of(net, out), .in = all_of(net, in)};
    FS_TRY(double_side(b, net->images[in].height, &layer.vertical, error));
    FS_TRY(double_side(b, net->images[in].width, &layer.horizontal, error));
    return append(b, layer, error);
}

static fs_status attention(struct fs_net *net, int out, int qkv, struct fs_error *error)
{
    const struct layer layer = {.operation = ATTENTION, .out = all_of(net, out), .in = all_of(net, qkv)};
    return append(of(net), layer, error);
}

/* As many images at once as half of the free memory holds, so that the rest is left for results and scratch memory. */
static int64_t batch_that_fits(const struct backend_net *b)
{
    const size_t each = (size_t)b->net.arena_floats * sizeof(float);
    const size_t free_bytes = b->backend->available != NULL ? b->backend->available(b->backend) : 0;
    if (free_bytes == 0 || each == 0) {
        return b->batch_max;
    }
    const int64_t fits = (int64_t)(free_bytes / 2 / each);
    return fits < 1 ? 1 : fits < b->batch_max ? fits : b->batch_max;
}

static fs_status finish(struct fs_net *net, struct fs_error *error)
{
    struct backend_net *b = of(net);
    b->batch_max = batch_that_fits(b);
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
    const struct fs_view all = fs_view(data, image->type, batch->count * image->height * image->width, image->channels);
    return fs_view_cols(all, slice.first, slice.channels);
}

/* A whole image as a row a sample. */
static struct fs_view samples_of(const struct backend_net *b, const struct batch *batch, struct fs_net_slice slice)
{
    const struct fs_view pixels = pixels_of(b, batch, slice);
    return fs_view(pixels.data, pixels.type, batch->count, pixels.rows / batch->count * pixels.cols);
}

static void run_layer(const struct backend_net *b, const struct layer *layer, const struct batch *batch)
{
    struct fs_backend *backend = b->backend;
    const struct fs_window *window = &layer->window;
    const struct fs_view out = pixels_of(b, batch, layer->out), in = pixels_of(b, batch, layer->in);
    const struct fs_view outs = samples_of(b, batch, layer->out), ins = samples_of(b, batch, layer->in);
    static const struct fs_resize_scale same = {-INFINITY, INFINITY, 1, 0};
    switch (layer->operation) {
    case COPY:
        backend->copy(backend, out, in);
        break;
    case SUM:
        backend->add(backend, out, out, in);
        break;
    case CONVOLUTION:
        backend->convolution_forward(backend, outs, ins, layer->weights, layer->bias, window, layer->relu);
        break;
    case POOLING:
        backend->pool_forward(backend, outs, ins, window, layer->pooling);
        break;
    case NORM:
        backend->group_norm_forward(backend, outs, ins, layer->weights, layer->bias, in.cols, layer->norm.groups,
                                    layer->norm.epsilon, layer->norm.silu);
        break;
    case UPSAMPLE:
        backend->resize_forward(backend, outs, ins, &layer->vertical, &layer->horizontal, in.cols, &same);
        break;
    case ATTENTION:
        backend->attention_forward(backend, out, fs_no_view(), in, in.rows / batch->count, 1,
                                   1 / sqrt((double)out.cols));
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
    const struct fs_window line = {h, w, c, c, 1, w, 1, .pad_height = 0},
                           column = {h, 1, c, c, h, 1, 1, .pad_height = 0};
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
    static const struct fs_net_kind kind = {destroy,  convolution, pool,   group_norm,
                                            upsample, attention,   finish, run_all};
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
