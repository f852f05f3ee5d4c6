/* Inference networks by oneDNN: a list of layers over a planned arena of activations.
 *
 * Every image goes through the whole network as a batch of one, on one thread, which has an arena of its own, or on all
 * of them. In oneDNN's blocked layouts a range of channels of one image is contiguous, so layers write straight into
 * the concatenation that follows them; and an image's results do not depend on its batch or on the number of threads.
 */
#include "kernels/net_kind.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/onednn_api.h"

#define ARGUMENTS_MAX 5
/* Fewer channels than this leave most of a tile of Winograd's transform to padding. */
#define WINOGRAD_CHANNELS 32

/* PRIMITIVE: oneDNN's reorder of the input, convolution or pooling; the others are those of blocked.h. */
enum operation { PRIMITIVE, NORM, UPSAMPLE, ATTENTION };

struct layer {
    enum operation operation;
    int in, out;                   /* images */
    int64_t in_offset, out_offset; /* bytes within them */
    dnnl_primitive_desc_t descriptor;
    dnnl_primitive_t primitive;
    dnnl_memory_t weights, bias; /* NULL where there are none */

    struct fs_blocked_norm norm;
    float *parameters; /* gamma and beta */
    int workspace;     /* an image */
};

/* A layer's operands in one worker's memory. */
struct operands {
    dnnl_memory_t in, out, scratch; /* scratch: NULL where none is needed */
};

/* A thread, or all of them. */
struct worker {
    float *arena;
    void *scratch;
    dnnl_stream_t stream;
    struct operands operands[FS_NET_LAYERS_MAX];
};

struct onednn_net {
    struct fs_net net;
    struct fs_cpu *cpu;
    int worker_count; /* threads that each take an image; 1: all of them take one together */
    int threads;      /* of one primitive */
    dnnl_engine_t engine;
    dnnl_format_tag_t tag; /* of all activations */
    int64_t block;         /* channels that lie together in it */
    struct layer layers[FS_NET_LAYERS_MAX];
    size_t scratch_bytes;
    struct worker *workers; /* [worker_count] */
};

static struct onednn_net *of(struct fs_net *net)
{
    return (struct onednn_net *)net;
}

static fs_status report(dnnl_status_t status, const char *what, struct fs_error *error)
{
    return status == dnnl_success ? FS_OK
                                  : fs_fail(error, FS_FAILED, "oneDNN cannot %s (status %d)", what, (int)status);
}

static void worker_free(struct worker *worker, int layer_count)
{
    for (int i = 0; i < layer_count; i++) {
        dnnl_memory_destroy(worker->operands[i].in);
        dnnl_memory_destroy(worker->operands[i].out);
        dnnl_memory_destroy(worker->operands[i].scratch);
    }
    dnnl_stream_destroy(worker->stream);
    free(worker->arena);
    free(worker->scratch);
}

static void destroy(struct fs_net *base)
{
    struct onednn_net *net = of(base);
    for (int i = 0; net->workers != NULL && i < net->worker_count; i++) {
        worker_free(&net->workers[i], base->layer_count);
    }
    for (int i = 0; i < base->layer_count; i++) {
        dnnl_memory_destroy(net->layers[i].weights);
        dnnl_memory_destroy(net->layers[i].bias);
        dnnl_primitive_destroy(net->layers[i].primitive);
        dnnl_primitive_desc_destroy(net->layers[i].descriptor);
        free(net->layers[i].parameters);
    }
    free(net->workers);
    dnnl_engine_destroy(net->engine);
    free(net);
}

/* --- description --- */

/* Appends a layer whose descriptor is made (and owned by it from here on, whatever comes). */
static fs_status add_layer(struct onednn_net *net, struct layer layer, struct fs_error *error)
{
    const fs_status status = fs_net_add_layer(&net->net, layer.in, layer.out, error);
    if (status != FS_OK) {
        dnnl_primitive_desc_destroy(layer.descriptor);
        return status;
    }
    struct layer *added = &net->layers[net->net.layer_count - 1];
    *added = layer;
    const size_t scratch =
        dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(layer.descriptor, dnnl_query_scratchpad_md, 0));
    net->scratch_bytes = scratch > net->scratch_bytes ? scratch : net->scratch_bytes;
    return report(dnnl_primitive_create(&added->primitive, layer.descriptor), "make a layer", error);
}

/* Memory for its intermediate results comes from the worker that runs it: the library's own belongs to one thread. */
static dnnl_status_t make_attributes(dnnl_primitive_attr_t *attributes, enum fs_net_output kind)
{
    dnnl_post_ops_t post_ops;
    CHECK(dnnl_primitive_attr_create(attributes));
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && kind != FS_NET_LINEAR) {
        CHECK(dnnl_post_ops_create(&post_ops));
        status = kind == FS_NET_SUM ? append_sum(post_ops) : append_eltwise(post_ops, dnnl_eltwise_relu);
        status = status == dnnl_success ? dnnl_primitive_attr_set_post_ops(*attributes, post_ops) : status;
        dnnl_post_ops_destroy(post_ops);
    }
    return status;
}

/* One image's slice: dense, as its channels are the outermost dimension. */
static dnnl_status_t slice_layout(const struct onednn_net *net, struct fs_net_slice slice, dnnl_memory_desc_t *layout)
{
    const struct fs_net_image *image = &net->net.images[slice.image];
    const dnnl_dims_t dims = {1, slice.channels, image->height, image->width};
    return layout_tagged(layout, 4, dims, data_type_of(image->type), net->tag);
}

static int64_t slice_offset(const struct onednn_net *net, struct fs_net_slice slice)
{
    const struct fs_net_image *image = &net->net.images[slice.image];
    return slice.first * image->height * image->width * (int64_t)fs_type_size(image->type);
}

static dnnl_status_t convolution_layouts(const struct onednn_net *net, struct fs_net_slice out, struct fs_net_slice in,
                                         const struct fs_net_kernel *k, struct convolution_layouts *l)
{
    const dnnl_dims_t filters = {out.channels, in.channels, k->height, k->width}, bias = {out.channels};
    const struct fs_net_image *from = &net->net.images[in.image], *to = &net->net.images[out.image];
    const dnnl_dims_t input = {1, in.channels, from->height, from->width};
    const dnnl_data_type_t type = data_type_of(in.image == FS_NET_INPUT ? to->type : from->type);
    l->with_bias = true;
    l->strides[0] = l->strides[1] = k->stride;
    l->padding[0] = k->pad_height;
    l->padding[1] = k->pad_width;
    l->padding_after[0] = k->pad_height + k->pad_below;
    l->padding_after[1] = k->pad_width + k->pad_right;
    CHECK(in.image == FS_NET_INPUT ? layout_any(&l->x, 4, input, type) : slice_layout(net, in, &l->x));
    CHECK(slice_layout(net, out, &l->y));
    CHECK(layout_any(&l->w, 4, filters, type));
    return layout_tagged(&l->bias, 1, bias, dnnl_f32, dnnl_x);
}

/* By Winograd's algorithm F(4×4, 3×3), where oneDNN has it: 36 multiplications for 16 results of 9 each, with the
 * error of a direct sum in another order (1e-6 of the values, root mean square, for 256 channels). */
static dnnl_status_t describe_by(const struct onednn_net *net, const struct convolution_layouts *layouts,
                                 dnnl_primitive_attr_t attributes, bool winograd, dnnl_primitive_desc_t *descriptor)
{
    if (winograd && forward_descriptor(descriptor, net->engine, dnnl_forward_inference, dnnl_convolution_winograd,
                                       layouts, attributes) == dnnl_success) {
        return dnnl_success;
    }
    return forward_descriptor(descriptor, net->engine, dnnl_forward_inference, dnnl_convolution_direct, layouts,
                              attributes);
}

static dnnl_status_t describe_convolution(const struct onednn_net *net, struct fs_net_slice out, struct fs_net_slice in,
                                          const struct fs_net_kernel *kernel, enum fs_net_output kind,
                                          dnnl_primitive_desc_t *descriptor)
{
    const bool winograd = net->net.threads == FS_NET_THREADS_TOGETHER && in.channels >= WINOGRAD_CHANNELS;
    struct convolution_layouts layouts = {0};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = convolution_layouts(net, out, in, kernel, &layouts);
    if (status == dnnl_success) {
        status = make_attributes(&attributes, kind);
    }
    if (status == dnnl_success) {
        status = describe_by(net, &layouts, attributes, winograd, descriptor);
    }
    dnnl_primitive_attr_destroy(attributes);
    convolution_layouts_free(&layouts);
    return status;
}

static dnnl_status_t describe_reorder(const struct onednn_net *net, borrowed from, borrowed to,
                                      dnnl_primitive_desc_t *descriptor)
{
    dnnl_primitive_attr_t attributes;
    CHECK(make_attributes(&attributes, FS_NET_LINEAR));
    const dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(descriptor, from, net->engine, to, net->engine, attributes);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* Weights and bias in memory of the layer's own, in the layout that its primitive wants. */
static dnnl_status_t copy_parameter(struct onednn_net *net, const dnnl_memory_desc_t *user, borrowed wanted,
                                    const float *values, dnnl_memory_t *copy)
{
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_memory_t from = NULL;
    dnnl_stream_t stream = NULL;
    CHECK(dnnl_memory_create(copy, wanted, net->engine, DNNL_MEMORY_ALLOCATE));
    dnnl_status_t status = dnnl_memory_create(&from, borrow(user), net->engine, (void *)(uintptr_t)values);
    if (status == dnnl_success) {
        status = dnnl_reorder_primitive_desc_create(&descriptor, borrow(user), net->engine, wanted, net->engine, NULL);
    }
    status = status == dnnl_success ? dnnl_primitive_create(&reorder, descriptor) : status;
    status = status == dnnl_success ? dnnl_stream_create(&stream, net->engine, dnnl_stream_default_flags) : status;
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, *copy}};
        status = dnnl_primitive_execute(reorder, stream, 2, arguments);
        status = status == dnnl_success ? dnnl_stream_wait(stream) : status;
    }
    dnnl_stream_destroy(stream);
    dnnl_memory_destroy(from);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(descriptor);
    return status;
}

static dnnl_status_t copy_parameters(struct onednn_net *net, struct layer *layer, int64_t out_channels,
                                     int64_t in_channels, const struct fs_net_kernel *k, const float *weights,
                                     const float *bias)
{
    const dnnl_dims_t filters = {out_channels, in_channels, k->height, k->width}, biases = {out_channels};
    dnnl_memory_desc_t layout;
    CHECK(layout_tagged(&layout, 4, filters, dnnl_f32, dnnl_oihw));
    dnnl_status_t status =
        copy_parameter(net, &layout, dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_weights_md, 0), weights,
                       &layer->weights);
    layout_free(&layout);
    CHECK(status);
    CHECK(layout_tagged(&layout, 1, biases, dnnl_f32, dnnl_x));
    status = copy_parameter(net, &layout, dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_weights_md, 1),
                            bias, &layer->bias);
    layout_free(&layout);
    return status;
}

/* The layer before the first one: the caller's NHWC input to the layout that `descriptor` reads. */
static fs_status add_input(struct onednn_net *net, dnnl_primitive_desc_t descriptor, int *image, struct fs_error *error)
{
    const struct fs_net_image *input = &net->net.images[FS_NET_INPUT];
    const borrowed wanted = dnnl_primitive_desc_query_md(descriptor, dnnl_query_src_md, 0);
    const dnnl_dims_t dims = {1, input->channels, input->height, input->width};
    struct layer layer = {.in = FS_NET_INPUT};
    const struct fs_net_image copy = {.height = input->height,
                                      .width = input->width,
                                      .channels = input->channels,
                                      .floats = (int64_t)((dnnl_memory_desc_get_size(wanted) + 3) / sizeof(float))};
    dnnl_memory_desc_t user;
    FS_TRY(fs_net_add_image(&net->net, copy, image, error));
    layer.out = *image;
    FS_TRY(report(layout_tagged(&user, 4, dims, dnnl_f32, dnnl_nhwc), "describe the input", error));
    const dnnl_status_t status = describe_reorder(net, borrow(&user), wanted, &layer.descriptor);
    layout_free(&user);
    FS_TRY(report(status, "reorder the input", error));
    return add_layer(net, layer, error);
}

static fs_status convolution(struct fs_net *base, struct fs_net_slice out, struct fs_net_slice in,
                             const struct fs_net_kernel *kernel, enum fs_net_output kind, const float *weights,
                             const float *bias, struct fs_error *error)
{
    struct onednn_net *net = of(base);
    struct layer layer = {
        .in = in.image, .out = out.image, .in_offset = slice_offset(net, in), .out_offset = slice_offset(net, out)};
    const int threads = omp_get_max_threads();
    omp_set_num_threads(net->threads); /* it will run on as many */
    fs_status status =
        report(describe_convolution(net, out, in, kernel, kind, &layer.descriptor), "describe a convolution", error);
    if (status == FS_OK && in.image == FS_NET_INPUT) {
        status = add_input(net, layer.descriptor, &layer.in, error);
        if (status != FS_OK) {
            dnnl_primitive_desc_destroy(layer.descriptor);
        }
    }
    if (status == FS_OK) {
        status = add_layer(net, layer, error);
    }
    if (status == FS_OK) {
        status = report(
            copy_parameters(net, &net->layers[base->layer_count - 1], out.channels, in.channels, kernel, weights, bias),
            "copy the weights of a convolution", error);
    }
    omp_set_num_threads(threads);
    return status;
}

static dnnl_status_t describe_pool(const struct onednn_net *net, struct fs_net_slice out, struct fs_net_slice in,
                                   const struct fs_net_kernel *k, dnnl_alg_kind_t kind,
                                   dnnl_primitive_desc_t *descriptor)
{
    const dnnl_dims_t strides = {k->stride, k->stride}, window = {k->height, k->width}, dilation = {0, 0};
    const dnnl_dims_t padding = {k->pad_height, k->pad_width};
    dnnl_memory_desc_t x, y;
    dnnl_primitive_attr_t attributes;
    CHECK(slice_layout(net, in, &x));
    CHECK(slice_layout(net, out, &y));
    CHECK(make_attributes(&attributes, FS_NET_LINEAR));
#if DNNL_VERSION_MAJOR >= 3
    const dnnl_status_t status =
        dnnl_pooling_forward_primitive_desc_create(descriptor, net->engine, dnnl_forward_inference, kind, x, y, strides,
                                                   window, dilation, padding, padding, attributes);
#else
    dnnl_pooling_v2_desc_t description;
    dnnl_status_t status = dnnl_pooling_v2_forward_desc_init(&description, dnnl_forward_inference, kind, &x, &y,
                                                             strides, window, dilation, padding, padding);
    if (status == dnnl_success) {
        status = dnnl_primitive_desc_create(descriptor, &description, attributes, net->engine, NULL);
    }
#endif
    dnnl_primitive_attr_destroy(attributes);
    layout_free(&x);
    layout_free(&y);
    return status;
}

static fs_status pool(struct fs_net *base, struct fs_net_slice out, struct fs_net_slice in,
                      const struct fs_net_kernel *kernel, enum fs_pooling pooling, struct fs_error *error)
{
    static const dnnl_alg_kind_t kinds[] = {
        [FS_POOL_MAX] = dnnl_pooling_max,
        [FS_POOL_AVERAGE_PADDED] = dnnl_pooling_avg_include_padding,
        [FS_POOL_AVERAGE_UNPADDED] = dnnl_pooling_avg_exclude_padding,
    };
    struct onednn_net *net = of(base);
    struct layer layer = {
        .in = in.image, .out = out.image, .in_offset = slice_offset(net, in), .out_offset = slice_offset(net, out)};
    const int threads = omp_get_max_threads();
    omp_set_num_threads(net->threads);
    fs_status status =
        report(describe_pool(net, out, in, kernel, kinds[pooling], &layer.descriptor), "describe a pooling", error);
    if (status == FS_OK) {
        status = add_layer(net, layer, error);
    }
    omp_set_num_threads(threads);
    return status;
}

/* --- layers of our own --- */

static fs_status append_own(struct onednn_net *net, enum operation operation, int out, int in, struct fs_error *error)
{
    FS_TRY(fs_net_add_layer(&net->net, in, out, error));
    net->layers[net->net.layer_count - 1] = (struct layer){.operation = operation, .in = in, .out = out};
    return FS_OK;
}

static int64_t pixels_of(const struct fs_net_image *image)
{
    return image->height * image->width;
}

static fs_status group_norm(struct fs_net *base, int out, int in, const struct fs_net_norm *norm, const float *gamma,
                            const float *beta, struct fs_error *error)
{
    struct onednn_net *net = of(base);
    const struct fs_net_image *image = &base->images[in];
    const int64_t lanes = (image->channels + net->block - 1) / net->block * net->block;
    FS_TRY(append_own(net, NORM, out, in, error));
    struct layer *layer = &net->layers[base->layer_count - 1];
    layer->parameters = fs_allocate((size_t)(2 * lanes), sizeof(float), "a network's norm", error);
    if (layer->parameters == NULL) {
        return FS_FAILED;
    }
    memcpy(layer->parameters, gamma, (size_t)image->channels * sizeof(float));
    memcpy(layer->parameters + lanes, beta, (size_t)image->channels * sizeof(float));
    layer->norm = (struct fs_blocked_norm){
        layer->parameters, layer->parameters + lanes, norm->groups, norm->epsilon, norm->silu, NULL};
    return fs_net_add_workspace(base, fs_blocked_norm_floats(image->channels, pixels_of(image), net->block),
                                &layer->workspace, error);
}

static fs_status upsample(struct fs_net *base, int out, int in, struct fs_error *error)
{
    return append_own(of(base), UPSAMPLE, out, in, error);
}

static fs_status attention(struct fs_net *base, int out, int qkv, struct fs_error *error)
{
    struct onednn_net *net = of(base);
    const struct fs_net_image *image = &base->images[out];
    FS_TRY(append_own(net, ATTENTION, out, qkv, error));
    return fs_net_add_workspace(base, fs_blocked_attention_floats(image->channels, pixels_of(image)),
                                &net->layers[base->layer_count - 1].workspace, error);
}

static struct fs_blocked blocked_of(const struct onednn_net *net, const struct worker *worker, int index)
{
    const struct fs_net_image *image = &net->net.images[index];
    return (struct fs_blocked){worker->arena + image->offset, image->type, image->channels, pixels_of(image),
                               net->block};
}

static fs_status run_own(const struct onednn_net *net, const struct worker *worker, const struct layer *layer,
                         struct fs_error *error)
{
    const struct fs_blocked out = blocked_of(net, worker, layer->out), in = blocked_of(net, worker, layer->in);
    const struct fs_net_image *from = &net->net.images[layer->in];
    if (layer->operation == NORM) {
        struct fs_blocked_norm norm = layer->norm;
        norm.memory = worker->arena + net->net.images[layer->workspace].offset;
        net->cpu->blocked.norm(net->cpu, out, in, &norm);
    } else if (layer->operation == UPSAMPLE) {
        net->cpu->blocked.upsample(net->cpu, out, in, from->height, from->width);
    } else {
        return fs_blocked_attention(net->cpu, out, in, worker->arena + net->net.images[layer->workspace].offset, error);
    }
    return FS_OK;
}

/* --- memory --- */

static void *place_of(const struct onednn_net *net, const struct worker *worker, int image, int64_t offset)
{
    return image == FS_NET_INPUT ? DNNL_MEMORY_NONE : (char *)(worker->arena + net->net.images[image].offset) + offset;
}

static dnnl_status_t bind_layer(const struct onednn_net *net, const struct layer *layer, const struct worker *worker,
                                struct operands *operands)
{
    const borrowed in = dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_src_md, 0);
    const borrowed out = dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_dst_md, 0);
    const borrowed scratch = dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_scratchpad_md, 0);
    CHECK(dnnl_memory_create(&operands->in, in, net->engine, place_of(net, worker, layer->in, layer->in_offset)));
    CHECK(dnnl_memory_create(&operands->out, out, net->engine, place_of(net, worker, layer->out, layer->out_offset)));
    return dnnl_memory_desc_get_size(scratch) == 0
               ? dnnl_success
               : dnnl_memory_create(&operands->scratch, scratch, net->engine, worker->scratch);
}

static fs_status make_worker(const struct onednn_net *net, struct worker *worker, struct fs_error *error)
{
    worker->arena = fs_allocate((size_t)net->net.arena_floats, sizeof(float), "the activations of a network", error);
    worker->scratch = fs_allocate(net->scratch_bytes, 1, "the scratch memory of a network", error);
    if (worker->arena == NULL || worker->scratch == NULL) {
        return FS_FAILED;
    }
    FS_TRY(report(dnnl_stream_create(&worker->stream, net->engine, dnnl_stream_default_flags), "make a stream", error));
    for (int i = 0; i < net->net.layer_count; i++) {
        if (net->layers[i].operation != PRIMITIVE) {
            continue;
        }
        FS_TRY(report(bind_layer(net, &net->layers[i], worker, &worker->operands[i]), "bind a layer to memory", error));
    }
    return FS_OK;
}

static fs_status finish(struct fs_net *base, struct fs_error *error)
{
    struct onednn_net *net = of(base);
    net->workers = fs_allocate((size_t)net->worker_count, sizeof *net->workers, "the threads of a network", error);
    if (net->workers == NULL) {
        return FS_FAILED;
    }
    for (int i = 0; i < net->worker_count; i++) {
        FS_TRY(make_worker(net, &net->workers[i], error));
    }
    return FS_OK;
}

/* --- running --- */

static float float_at(const void *data, enum fs_type type, int64_t index)
{
    if (type == FS_F32) {
        return ((const float *)data)[index];
    }
    const uint32_t bits = (uint32_t)((const uint16_t *)data)[index] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void read_pixel(const struct onednn_net *net, const void *data, const struct fs_net_result *result,
                       int64_t pixel, float *out)
{
    const struct fs_net_image *image = &net->net.images[result->slice.image];
    for (int64_t i = 0; i < result->slice.channels; i++) {
        const int64_t c = result->slice.first + i, plane = c / net->block * pixels_of(image);
        out[i] = float_at(data, image->type, (plane + pixel) * net->block + c % net->block);
    }
}

static float mean_of(const struct onednn_net *net, const void *data, const struct fs_net_image *image, int64_t channel)
{
    const int64_t pixels = pixels_of(image), plane = channel / net->block * pixels;
    double sum = 0;
    for (int64_t p = 0; p < pixels; p++) {
        sum += (double)float_at(data, image->type, (plane + p) * net->block + channel % net->block);
    }
    return (float)(sum / (double)pixels);
}

/* Pixels lie in blocks of channels: [channels/block][height·width][block]. */
static void read_result(const struct onednn_net *net, const struct worker *worker, const struct fs_net_result *result,
                        int64_t index)
{
    const struct fs_net_slice *slice = &result->slice;
    const struct fs_net_image *image = &net->net.images[slice->image];
    const void *data = worker->arena + image->offset;
    const int64_t channels = slice->channels, pixels = pixels_of(image);
    if (result->mean) {
        for (int64_t c = 0; c < channels; c++) {
            result->out[index * channels + c] = mean_of(net, data, image, slice->first + c);
        }
        return;
    }
    for (int64_t p = 0; p < pixels; p++) {
        read_pixel(net, data, result, p, result->out + (index * pixels + p) * channels);
    }
}

static dnnl_status_t run_primitive(const struct layer *layer, const struct operands *operands, dnnl_stream_t stream)
{
    dnnl_exec_arg_t arguments[ARGUMENTS_MAX] = {{DNNL_ARG_SRC, operands->in}, {DNNL_ARG_DST, operands->out}};
    int count = 2;
    if (layer->weights != NULL) {
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, layer->weights};
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, layer->bias};
    }
    if (operands->scratch != NULL) {
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, operands->scratch};
    }
    CHECK(dnnl_primitive_execute(layer->primitive, stream, count, arguments));
    return dnnl_stream_wait(stream);
}

static fs_status run_image(const struct onednn_net *net, struct worker *worker, const struct fs_net_run *run,
                           int64_t index, struct fs_error *error)
{
    const struct fs_net_image *input = &net->net.images[FS_NET_INPUT];
    const float *pixels = run->images + index * input->height * input->width * input->channels;
    FS_TRY(
        report(dnnl_memory_set_data_handle(worker->operands[0].in, (void *)(uintptr_t)pixels), "take an image", error));
    for (int i = 0; i <= run->last; i++) {
        const struct layer *layer = &net->layers[i];
        FS_TRY(layer->operation == PRIMITIVE
                   ? report(run_primitive(layer, &worker->operands[i], worker->stream), "run a network", error)
                   : run_own(net, worker, layer, error));
        for (int k = 0; k < run->result_count; k++) {
            if (net->net.images[run->results[k].slice.image].written == i) {
                read_result(net, worker, &run->results[k], index);
            }
        }
    }
    return FS_OK;
}

static fs_status run_together(struct onednn_net *net, const struct fs_net_run *run, struct fs_error *error)
{
    const int threads = omp_get_max_threads();
    fs_status status = FS_OK;
    omp_set_num_threads(net->threads); /* inside oneDNN */
    for (int64_t i = 0; i < run->count && status == FS_OK; i++) {
        status = run_image(net, &net->workers[0], run, i, error);
    }
    omp_set_num_threads(threads);
    return status;
}

static fs_status run_all(struct fs_net *base, const struct fs_net_run *run, struct fs_error *error)
{
    struct onednn_net *net = of(base);
    fs_status status = FS_OK;
    if (base->threads == FS_NET_THREADS_TOGETHER) {
        return run_together(net, run, error);
    }
#pragma omp parallel num_threads(net->worker_count)
    {
        struct worker *worker = &net->workers[omp_get_thread_num()];
        struct fs_error fault;
        omp_set_num_threads(1); /* inside oneDNN; it holds for this region */
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < run->count; i++) {
            if (run_image(net, worker, run, i, &fault) != FS_OK) {
#pragma omp critical
                {
                    *error = fault;
                    status = fault.status;
                }
            }
        }
    }
    return status;
}

struct fs_net *fs_onednn_net_create(struct fs_backend *backend, enum fs_net_threads threads, struct fs_error *error)
{
    static const struct fs_net_kind kind = {destroy,  convolution, pool,   group_norm,
                                            upsample, attention,   finish, run_all};
    struct onednn_net *net = fs_allocate(1, sizeof *net, "a network", error);
    if (net == NULL) {
        return NULL;
    }
    const bool together = threads == FS_NET_THREADS_TOGETHER;
    /* What oneDNN's own kernels use for float32 with and without AVX-512. */
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(), wide = (unsigned)dnnl_cpu_isa_avx512_core;
    net->net.kind = &kind;
    net->cpu = backend->state;
    net->tag = (isa & wide) == wide ? dnnl_nChw16c : dnnl_nChw8c;
    net->block = net->tag == dnnl_nChw16c ? 16 : 8;
    net->worker_count = together ? 1 : net->cpu->threads;
    net->threads = together ? net->cpu->threads : 1;
    if (report(dnnl_engine_create(&net->engine, dnnl_cpu, 0), "start", error) != FS_OK) {
        destroy(&net->net);
        return NULL;
    }
    return &net->net;
}
