/* Inference networks by oneDNN: a list of layers over a planned arena of activations, one arena a thread.
 *
 * Every image goes through the whole network on one thread, as a batch of one. In oneDNN's blocked layouts a range of
 * channels of one image is contiguous, so layers write straight into the concatenation that follows them; activations
 * stay in the core's cache; and an image's results do not depend on its batch or on the number of threads. */
#include "kernels/net_kind.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/cpu/onednn_api.h"

#define ARGUMENTS_MAX 5

/* A reorder of the input, a convolution, or a pooling. */
struct layer {
    int in, out;                   /* images */
    int64_t in_offset, out_offset; /* floats within them */
    dnnl_primitive_desc_t descriptor;
    dnnl_primitive_t primitive;
    dnnl_memory_t weights, bias; /* NULL where there are none */
};

/* A layer's operands in one worker's memory. */
struct operands {
    dnnl_memory_t in, out, scratch; /* scratch: NULL where none is needed */
};

struct worker {
    float *arena;
    void *scratch;
    dnnl_stream_t stream;
    struct operands operands[FS_NET_LAYERS_MAX];
};

struct onednn_net {
    struct fs_net net;
    int threads;
    dnnl_engine_t engine;
    dnnl_format_tag_t tag; /* of all activations */
    int64_t block;         /* channels that lie together in it */
    struct layer layers[FS_NET_LAYERS_MAX];
    size_t scratch_bytes;
    struct worker *workers; /* [threads] */
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
    for (int i = 0; net->workers != NULL && i < net->threads; i++) {
        worker_free(&net->workers[i], base->layer_count);
    }
    for (int i = 0; i < base->layer_count; i++) {
        dnnl_memory_destroy(net->layers[i].weights);
        dnnl_memory_destroy(net->layers[i].bias);
        dnnl_primitive_destroy(net->layers[i].primitive);
        dnnl_primitive_desc_destroy(net->layers[i].descriptor);
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
static dnnl_status_t make_attributes(dnnl_primitive_attr_t *attributes, bool relu)
{
    dnnl_post_ops_t post_ops;
    CHECK(dnnl_primitive_attr_create(attributes));
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && relu) {
        CHECK(dnnl_post_ops_create(&post_ops));
        status = append_eltwise(post_ops, dnnl_eltwise_relu);
        status = status == dnnl_success ? dnnl_primitive_attr_set_post_ops(*attributes, post_ops) : status;
        dnnl_post_ops_destroy(post_ops);
    }
    return status;
}

/* One image's slice: dense, as its channels are the outermost dimension. The input's layout is left to the layer. */
static dnnl_status_t slice_layout(const struct onednn_net *net, struct fs_net_slice slice, dnnl_memory_desc_t *layout)
{
    const struct fs_net_image *image = &net->net.images[slice.image];
    const dnnl_dims_t dims = {1, slice.channels, image->height, image->width};
    return layout_tagged(layout, 4, dims, slice.image == FS_NET_INPUT ? dnnl_format_tag_any : net->tag);
}

static int64_t slice_offset(const struct onednn_net *net, struct fs_net_slice slice)
{
    return slice.first * net->net.images[slice.image].height * net->net.images[slice.image].width;
}

static dnnl_status_t convolution_layouts(const struct onednn_net *net, struct fs_net_slice out, struct fs_net_slice in,
                                         const struct fs_net_kernel *k, struct convolution_layouts *l)
{
    const dnnl_dims_t filters = {out.channels, in.channels, k->height, k->width}, bias = {out.channels};
    l->with_bias = true;
    l->strides[0] = l->strides[1] = k->stride;
    l->padding[0] = k->pad_height;
    l->padding[1] = k->pad_width;
    CHECK(slice_layout(net, in, &l->x));
    CHECK(slice_layout(net, out, &l->y));
    CHECK(layout_any(&l->w, 4, filters));
    return layout_tagged(&l->bias, 1, bias, dnnl_x);
}

static dnnl_status_t describe_convolution(const struct onednn_net *net, struct fs_net_slice out, struct fs_net_slice in,
                                          const struct fs_net_kernel *kernel, dnnl_primitive_desc_t *descriptor)
{
    struct convolution_layouts layouts = {0};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = convolution_layouts(net, out, in, kernel, &layouts);
    if (status == dnnl_success) {
        status = make_attributes(&attributes, true);
    }
    if (status == dnnl_success) {
        status = forward_descriptor(descriptor, net->engine, dnnl_forward_inference, &layouts, attributes);
    }
    dnnl_primitive_attr_destroy(attributes);
    convolution_layouts_free(&layouts);
    return status;
}

static dnnl_status_t describe_reorder(const struct onednn_net *net, borrowed from, borrowed to,
                                      dnnl_primitive_desc_t *descriptor)
{
    dnnl_primitive_attr_t attributes;
    CHECK(make_attributes(&attributes, false));
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
    CHECK(layout_tagged(&layout, 4, filters, dnnl_oihw));
    dnnl_status_t status =
        copy_parameter(net, &layout, dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_weights_md, 0), weights,
                       &layer->weights);
    layout_free(&layout);
    CHECK(status);
    CHECK(layout_tagged(&layout, 1, biases, dnnl_x));
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
                                      .floats = (int64_t)(dnnl_memory_desc_get_size(wanted) / sizeof(float))};
    dnnl_memory_desc_t user;
    FS_TRY(fs_net_add_image(&net->net, copy, image, error));
    layer.out = *image;
    FS_TRY(report(layout_tagged(&user, 4, dims, dnnl_nhwc), "describe the input", error));
    const dnnl_status_t status = describe_reorder(net, borrow(&user), wanted, &layer.descriptor);
    layout_free(&user);
    FS_TRY(report(status, "reorder the input", error));
    return add_layer(net, layer, error);
}

static fs_status convolution(struct fs_net *base, struct fs_net_slice out, struct fs_net_slice in,
                             const struct fs_net_kernel *kernel, const float *weights, const float *bias,
                             struct fs_error *error)
{
    struct onednn_net *net = of(base);
    struct layer layer = {
        .in = in.image, .out = out.image, .in_offset = slice_offset(net, in), .out_offset = slice_offset(net, out)};
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* it will run on one */
    fs_status status =
        report(describe_convolution(net, out, in, kernel, &layer.descriptor), "describe a convolution", error);
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
    CHECK(make_attributes(&attributes, false));
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
    omp_set_num_threads(1);
    fs_status status =
        report(describe_pool(net, out, in, kernel, kinds[pooling], &layer.descriptor), "describe a pooling", error);
    if (status == FS_OK) {
        status = add_layer(net, layer, error);
    }
    omp_set_num_threads(threads);
    return status;
}

/* --- memory --- */

static void *place_of(const struct onednn_net *net, const struct worker *worker, int image, int64_t offset)
{
    return image == FS_NET_INPUT ? DNNL_MEMORY_NONE : worker->arena + net->net.images[image].offset + offset;
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
        FS_TRY(report(bind_layer(net, &net->layers[i], worker, &worker->operands[i]), "bind a layer to memory", error));
    }
    return FS_OK;
}

static fs_status finish(struct fs_net *base, struct fs_error *error)
{
    struct onednn_net *net = of(base);
    net->workers = fs_allocate((size_t)net->threads, sizeof *net->workers, "the threads of a network", error);
    if (net->workers == NULL) {
        return FS_FAILED;
    }
    for (int i = 0; i < net->threads; i++) {
        FS_TRY(make_worker(net, &net->workers[i], error));
    }
    return FS_OK;
}

/* --- running --- */

/* Pixels lie in blocks of `block` channels: [channels/block][height·width][block]. */
static void read_result(const struct onednn_net *net, const struct worker *worker, const struct fs_net_result *result,
                        int64_t index)
{
    const struct fs_net_slice *slice = &result->slice;
    const struct fs_net_image *image = &net->net.images[slice->image];
    const int64_t pixels = image->height * image->width, channels = slice->channels, block = net->block;
    const float *from = worker->arena + image->offset;
    float *out = result->out + index * channels * (result->mean ? 1 : pixels);
    for (int64_t c = 0; c < channels; c++) {
        const float *plane = from + (slice->first + c) / block * pixels * block + (slice->first + c) % block;
        double sum = 0;
        for (int64_t p = 0; p < pixels; p++) {
            if (result->mean) {
                sum += (double)plane[p * block];
            } else {
                out[p * channels + c] = plane[p * block];
            }
        }
        if (result->mean) {
            out[c] = (float)(sum / (double)pixels);
        }
    }
}

static dnnl_status_t run_layer(const struct layer *layer, const struct operands *operands, dnnl_stream_t stream)
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
    return dnnl_primitive_execute(layer->primitive, stream, count, arguments);
}

static dnnl_status_t run_image(const struct onednn_net *net, struct worker *worker, const struct fs_net_run *run,
                               int64_t index)
{
    const struct fs_net_image *input = &net->net.images[FS_NET_INPUT];
    const float *pixels = run->images + index * input->height * input->width * input->channels;
    CHECK(dnnl_memory_set_data_handle(worker->operands[0].in, (void *)(uintptr_t)pixels));
    for (int i = 0; i <= run->last; i++) {
        CHECK(run_layer(&net->layers[i], &worker->operands[i], worker->stream));
        CHECK(dnnl_stream_wait(worker->stream));
        for (int k = 0; k < run->result_count; k++) {
            if (net->net.images[run->results[k].slice.image].written == i) {
                read_result(net, worker, &run->results[k], index);
            }
        }
    }
    return dnnl_success;
}

static fs_status run_all(struct fs_net *base, const struct fs_net_run *run, struct fs_error *error)
{
    struct onednn_net *net = of(base);
    dnnl_status_t first_fault = dnnl_success;
#pragma omp parallel num_threads(net->threads)
    {
        struct worker *worker = &net->workers[omp_get_thread_num()];
        omp_set_num_threads(1); /* inside oneDNN; it holds for this region */
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < run->count; i++) {
            const dnnl_status_t status = run_image(net, worker, run, i);
            if (status != dnnl_success) {
#pragma omp atomic write
                first_fault = status;
            }
        }
    }
    return report(first_fault, "run a network", error);
}

struct fs_net *fs_onednn_net_create(int threads, struct fs_error *error)
{
    static const struct fs_net_kind kind = {destroy, convolution, pool, finish, run_all};
    struct onednn_net *net = fs_allocate(1, sizeof *net, "a network", error);
    if (net == NULL) {
        return NULL;
    }
    /* What oneDNN's own kernels use for float32 with and without AVX-512. */
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(), wide = (unsigned)dnnl_cpu_isa_avx512_core;
    net->net.kind = &kind;
    net->tag = (isa & wide) == wide ? dnnl_nChw16c : dnnl_nChw8c;
    net->block = net->tag == dnnl_nChw16c ? 16 : 8;
    net->threads = threads;
    if (report(dnnl_engine_create(&net->engine, dnnl_cpu, 0), "start", error) != FS_OK) {
        destroy(&net->net);
        return NULL;
    }
    return &net->net;
}
