/* inception-v3: the network of 2015, block by block, and the feature extractor made of it. */
#include "metrics/inception.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "kernels/net.h"
#include "metrics/weights_file.h"

#define NAME "inception-v3"
#define SIDE FS_INCEPTION_SIDE
#define PIXELS (SIDE * SIDE)
#define BATCH_NORM_EPSILON 1e-3
#define SPATIAL_CHANNELS 7

static const struct fs_tap taps[FS_INCEPTION_TAPS] = {
    [FS_INCEPTION_POOL] = {"pool", 2048},
    [FS_INCEPTION_LOGITS] = {"logits_unbiased", 1008},
    [FS_INCEPTION_SPATIAL] = {"spatial", 17 * 17 * SPATIAL_CHANNELS},
    [FS_INCEPTION_768] = {"768", 768},
    [FS_INCEPTION_192] = {"192", 192},
    [FS_INCEPTION_64] = {"64", 64},
};

struct fs_inception {
    struct fs_net *net;
    struct fs_net_slice slices[FS_INCEPTION_TAPS]; /* where the taps are read; not of the logits */
    float *classifier;                             /* fc.weight [1008, 2048] */
    double flops;
};

/* --- building: the first fault ends it, later calls do nothing --- */

/* With a visitor nothing is built: it hears of each convolution instead. */
struct builder {
    struct fs_net *net;
    const struct fs_tensor_file *file;
    float *weights; /* folded ones of one convolution; room for the largest */
    void (*visit)(void *owner, const char *name, const int64_t shape[4]);
    void *owner;
    struct fs_error *error;
    fs_status status;
};

struct features {
    struct fs_net_slice slice;
    int64_t height, width;
};

/* How a window meets the border: padded to keep the size, or inside the picture, at every pixel or every second. */
enum fit { SAME, VALID, HALVE };

struct filter {
    const char *name;
    int64_t channels, height, width;
    enum fit fit;
};

static struct features make(struct builder *b, int64_t height, int64_t width, int64_t channels)
{
    struct features made = {{0, 0, channels}, height, width};
    if (b->status == FS_OK && b->net) {
        b->status = fs_net_image(b->net, FS_F32, height, width, channels, &made.slice, b->error);
    }
    return made;
}

static struct fs_net_kernel kernel_of(int64_t height, int64_t width, enum fit fit)
{
    return (struct fs_net_kernel){.height = height,
                                  .width = width,
                                  .stride = fit == HALVE ? 2 : 1,
                                  .pad_height = fit == SAME ? (height - 1) / 2 : 0,
                                  .pad_width = fit == SAME ? (width - 1) / 2 : 0};
}

static struct features make_for(struct builder *b, struct features in, int64_t channels, int64_t height, int64_t width,
                                enum fit fit)
{
    const struct fs_net_kernel k = kernel_of(height, width, fit);
    return make(b, (in.height + 2 * k.pad_height - height) / k.stride + 1,
                (in.width + 2 * k.pad_width - width) / k.stride + 1, channels);
}

static const float *parameter(const struct builder *b, const char *module, const char *name)
{
    char text[64];
    snprintf(text, sizeof text, "%s.%s", module, name);
    return fs_tensor_find(b->file, text)->data;
}

/* The batch norm that follows a convolution becomes part of it: γ/√(σ² + ε) scales each filter, and its shift is the
 * bias. */
static void fold(const struct builder *b, const char *module, const int64_t shape[4], float *weights, float *bias)
{
    const float *filters = parameter(b, module, "conv.weight"), *gamma = parameter(b, module, "bn.weight");
    const float *beta = parameter(b, module, "bn.bias"), *mean = parameter(b, module, "bn.running_mean");
    const float *variance = parameter(b, module, "bn.running_var");
    const int64_t size = shape[1] * shape[2] * shape[3];
    for (int64_t o = 0; o < shape[0]; o++) {
        const double scale = (double)gamma[o] / sqrt((double)variance[o] + BATCH_NORM_EPSILON);
        bias[o] = (float)((double)beta[o] - (double)mean[o] * scale);
        for (int64_t i = 0; i < size; i++) {
            weights[o * size + i] = (float)((double)filters[o * size + i] * scale);
        }
    }
}

static void convolve(struct builder *b, const char *block, const struct filter *filter, struct features in,
                     struct features out)
{
    const int64_t shape[4] = {filter->channels, in.slice.channels, filter->height, filter->width};
    const struct fs_net_kernel kernel = kernel_of(filter->height, filter->width, filter->fit);
    char module[48];
    float bias[512];
    snprintf(module, sizeof module, "%s%s%s", block, *block ? "." : "", filter->name);
    if (b->visit) {
        b->visit(b->owner, module, shape);
    } else if (b->status == FS_OK) {
        fold(b, module, shape, b->weights, bias);
        b->status = fs_net_convolution(b->net, out.slice, in.slice, &kernel, FS_NET_RELU, b->weights, bias, b->error);
    }
}

/* One convolution after the other; the last writes `out`. */
static void chain(struct builder *b, const char *block, struct features in, struct features out, int count,
                  const struct filter *filters)
{
    for (int i = 0; i < count; i++) {
        const struct filter *f = &filters[i];
        const struct features next = i == count - 1 ? out : make_for(b, in, f->channels, f->height, f->width, f->fit);
        convolve(b, block, f, in, next);
        in = next;
    }
}
#define CHAIN(b, block, in, out, ...)                                                                                  \
    chain(b, block, in, out, (int)(sizeof((struct filter[]){__VA_ARGS__}) / sizeof(struct filter)),                    \
          (struct filter[]){__VA_ARGS__})

static void pool(struct builder *b, struct features in, struct features out, enum fit fit, enum fs_pooling pooling)
{
    const struct fs_net_kernel kernel = kernel_of(3, 3, fit);
    if (b->status == FS_OK && b->net) {
        b->status = fs_net_pool(b->net, out.slice, in.slice, &kernel, pooling, b->error);
    }
}

/* What branches write side by side. */
struct join {
    struct features whole;
    int64_t filled;
};

static struct features next(struct join *join, int64_t channels)
{
    struct features part = join->whole;
    part.slice.first = join->filled;
    part.slice.channels = channels;
    join->filled += channels;
    return part;
}

/* --- the blocks --- */

/* The branch that pools, keeping the size, and then projects. */
static void pool_branch(struct builder *b, const char *block, struct features in, struct features out,
                        enum fs_pooling pooling)
{
    const struct features pooled = make(b, in.height, in.width, in.slice.channels);
    pool(b, in, pooled, SAME, pooling);
    CHAIN(b, block, pooled, out, {"branch_pool", out.slice.channels, 1, 1, SAME});
}

static struct features block_a(struct builder *b, const char *block, struct features in, int64_t pool_channels)
{
    struct join join = {make(b, in.height, in.width, 64 + 64 + 96 + pool_channels), 0};
    CHAIN(b, block, in, next(&join, 64), {"branch1x1", 64, 1, 1, SAME});
    CHAIN(b, block, in, next(&join, 64), {"branch5x5_1", 48, 1, 1, SAME}, {"branch5x5_2", 64, 5, 5, SAME});
    CHAIN(b, block, in, next(&join, 96), {"branch3x3dbl_1", 64, 1, 1, SAME}, {"branch3x3dbl_2", 96, 3, 3, SAME},
          {"branch3x3dbl_3", 96, 3, 3, SAME});
    pool_branch(b, block, in, next(&join, pool_channels), FS_POOL_AVERAGE_UNPADDED);
    return join.whole;
}

static struct features block_b(struct builder *b, const char *block, struct features in)
{
    struct join join = {make_for(b, in, 384 + 96 + in.slice.channels, 3, 3, HALVE), 0};
    CHAIN(b, block, in, next(&join, 384), {"branch3x3", 384, 3, 3, HALVE});
    CHAIN(b, block, in, next(&join, 96), {"branch3x3dbl_1", 64, 1, 1, SAME}, {"branch3x3dbl_2", 96, 3, 3, SAME},
          {"branch3x3dbl_3", 96, 3, 3, HALVE});
    pool(b, in, next(&join, in.slice.channels), HALVE, FS_POOL_MAX);
    return join.whole;
}

/* c: channels between the 1 × 7 and 7 × 1 windows. */
static struct features block_c(struct builder *b, const char *block, struct features in, int64_t c)
{
    struct join join = {make(b, in.height, in.width, 4 * 192), 0};
    CHAIN(b, block, in, next(&join, 192), {"branch1x1", 192, 1, 1, SAME});
    CHAIN(b, block, in, next(&join, 192), {"branch7x7_1", c, 1, 1, SAME}, {"branch7x7_2", c, 1, 7, SAME},
          {"branch7x7_3", 192, 7, 1, SAME});
    CHAIN(b, block, in, next(&join, 192), {"branch7x7dbl_1", c, 1, 1, SAME}, {"branch7x7dbl_2", c, 7, 1, SAME},
          {"branch7x7dbl_3", c, 1, 7, SAME}, {"branch7x7dbl_4", c, 7, 1, SAME}, {"branch7x7dbl_5", 192, 1, 7, SAME});
    pool_branch(b, block, in, next(&join, 192), FS_POOL_AVERAGE_UNPADDED);
    return join.whole;
}

static struct features block_d(struct builder *b, const char *block, struct features in)
{
    struct join join = {make_for(b, in, 320 + 192 + in.slice.channels, 3, 3, HALVE), 0};
    CHAIN(b, block, in, next(&join, 320), {"branch3x3_1", 192, 1, 1, SAME}, {"branch3x3_2", 320, 3, 3, HALVE});
    CHAIN(b, block, in, next(&join, 192), {"branch7x7x3_1", 192, 1, 1, SAME}, {"branch7x7x3_2", 192, 1, 7, SAME},
          {"branch7x7x3_3", 192, 7, 1, SAME}, {"branch7x7x3_4", 192, 3, 3, HALVE});
    pool(b, in, next(&join, in.slice.channels), HALVE, FS_POOL_MAX);
    return join.whole;
}

/* The two E blocks differ in how their pool branch pools; that the second takes the maximum is this network's own. */
static struct features block_e(struct builder *b, const char *block, struct features in, enum fs_pooling pooling)
{
    struct join join = {make(b, in.height, in.width, 320 + 4 * 384 + 192), 0};
    const struct features wide = make(b, in.height, in.width, 384), deep = make(b, in.height, in.width, 384);
    CHAIN(b, block, in, next(&join, 320), {"branch1x1", 320, 1, 1, SAME});
    CHAIN(b, block, in, wide, {"branch3x3_1", 384, 1, 1, SAME});
    CHAIN(b, block, wide, next(&join, 384), {"branch3x3_2a", 384, 1, 3, SAME});
    CHAIN(b, block, wide, next(&join, 384), {"branch3x3_2b", 384, 3, 1, SAME});
    CHAIN(b, block, in, deep, {"branch3x3dbl_1", 448, 1, 1, SAME}, {"branch3x3dbl_2", 384, 3, 3, SAME});
    CHAIN(b, block, deep, next(&join, 384), {"branch3x3dbl_3a", 384, 1, 3, SAME});
    CHAIN(b, block, deep, next(&join, 384), {"branch3x3dbl_3b", 384, 3, 1, SAME});
    pool_branch(b, block, in, next(&join, 192), pooling);
    return join.whole;
}

/* From the picture to the second max pooling, 35 × 35 × 192. */
static struct features stem(struct builder *b, struct fs_net_slice slices[FS_INCEPTION_TAPS])
{
    const struct features picture = {{FS_NET_INPUT, 0, 3}, SIDE, SIDE};
    const struct features first = make(b, 147, 147, 64), first_pool = make(b, 73, 73, 64);
    const struct features second = make(b, 71, 71, 192), second_pool = make(b, 35, 35, 192);
    CHAIN(b, "", picture, first, {"Conv2d_1a_3x3", 32, 3, 3, HALVE}, {"Conv2d_2a_3x3", 32, 3, 3, VALID},
          {"Conv2d_2b_3x3", 64, 3, 3, SAME});
    pool(b, first, first_pool, HALVE, FS_POOL_MAX);
    CHAIN(b, "", first_pool, second, {"Conv2d_3b_1x1", 80, 1, 1, VALID}, {"Conv2d_4a_3x3", 192, 3, 3, VALID});
    pool(b, second, second_pool, HALVE, FS_POOL_MAX);
    slices[FS_INCEPTION_64] = first_pool.slice;
    slices[FS_INCEPTION_192] = second_pool.slice;
    return second_pool;
}

static void network(struct builder *b, struct fs_net_slice slices[FS_INCEPTION_TAPS])
{
    struct features x = stem(b, slices);
    x = block_a(b, "Mixed_5b", x, 32);
    x = block_a(b, "Mixed_5c", x, 64);
    x = block_a(b, "Mixed_5d", x, 64);
    x = block_b(b, "Mixed_6a", x);
    x = block_c(b, "Mixed_6b", x, 128);
    x = block_c(b, "Mixed_6c", x, 160);
    x = block_c(b, "Mixed_6d", x, 160);
    slices[FS_INCEPTION_SPATIAL] = x.slice;
    slices[FS_INCEPTION_SPATIAL].channels = SPATIAL_CHANNELS;
    x = block_c(b, "Mixed_6e", x, 192);
    slices[FS_INCEPTION_768] = x.slice;
    x = block_d(b, "Mixed_7a", x);
    x = block_e(b, "Mixed_7b", x, FS_POOL_AVERAGE_UNPADDED);
    x = block_e(b, "Mixed_7c", x, FS_POOL_MAX);
    slices[FS_INCEPTION_POOL] = x.slice;
}

void fs_inception_walk(void (*visit)(void *owner, const char *name, const int64_t shape[4]), void *owner)
{
    struct fs_net_slice slices[FS_INCEPTION_TAPS];
    struct builder builder = {.visit = visit, .owner = owner};
    network(&builder, slices);
}

/* --- the network --- */

/* Pictures at once: enough for each of the CPU's threads, or what fills a device. */
static int64_t batch_max_of(const struct fs_backend *backend)
{
    const int64_t wished = 16 * (int64_t)fs_cpu_threads(backend);
    return wished < 32 ? 32 : wished > 256 ? 256 : wished;
}

static fs_status build(struct fs_inception *inception, struct fs_backend *backend, const struct fs_tensor_file *file,
                       struct fs_error *error)
{
    const int64_t largest = 448 * 384 * 9; /* Mixed_7b.branch3x3dbl_2 */
    const size_t classifier = (size_t)(taps[FS_INCEPTION_LOGITS].dim * taps[FS_INCEPTION_POOL].dim);
    inception->classifier = fs_allocate(classifier, sizeof *inception->classifier, "a classifier", error);
    inception->net = fs_net_create(backend, FS_NET_THREAD_AN_IMAGE, batch_max_of(backend), SIDE, SIDE, 3, error);
    float *weights = fs_allocate((size_t)largest, sizeof *weights, "the filters of a convolution", error);
    struct builder builder = {.net = inception->net, .file = file, .weights = weights, .error = error};
    builder.status = inception->classifier && inception->net && weights ? FS_OK : FS_FAILED;
    if (builder.status == FS_OK) {
        memcpy(inception->classifier, parameter(&builder, "fc", "weight"), classifier * sizeof(float));
        network(&builder, inception->slices);
    }
    free(weights);
    if (builder.status == FS_OK) {
        builder.status = fs_net_finish(inception->net, error);
    }
    return builder.status;
}

struct fs_inception *fs_inception_create(struct fs_backend *backend, const struct fs_tensor_file *file,
                                         struct fs_error *error)
{
    struct fs_inception *inception = fs_allocate(1, sizeof *inception, NAME, error);
    if (inception && build(inception, backend, file, error) != FS_OK) {
        fs_inception_destroy(inception);
        inception = NULL;
    }
    return inception;
}

void fs_inception_destroy(struct fs_inception *inception)
{
    if (inception) {
        fs_net_destroy(inception->net);
        free(inception->classifier);
        free(inception);
    }
}

double fs_inception_flops(const struct fs_inception *inception)
{
    return fs_net_flops(inception->net);
}

/* logits [count, 1008] = pool [count, 2048] · fc.weightᵀ, a picture at a time: the bits do not depend on the batch. */
static void classify(const struct fs_inception *inception, int64_t count, const float *pooled, float *logits)
{
    const int from = (int)taps[FS_INCEPTION_POOL].dim, to = (int)taps[FS_INCEPTION_LOGITS].dim;
    for (int64_t i = 0; i < count; i++) {
        cblas_sgemv(CblasRowMajor, CblasNoTrans, to, from, 1, inception->classifier, from, pooled + i * from, 1, 0,
                    logits + i * to, 1);
    }
}

fs_status fs_inception_forward(struct fs_inception *inception, int64_t count, const float *pictures,
                               float *const features[FS_INCEPTION_TAPS], struct fs_error *error)
{
    struct fs_net_result results[FS_INCEPTION_TAPS];
    int result_count = 0;
    float *logits = features[FS_INCEPTION_LOGITS], *pooled = features[FS_INCEPTION_POOL], *own = NULL;
    if (logits && !pooled) {
        pooled = own =
            fs_allocate((size_t)(count * taps[FS_INCEPTION_POOL].dim), sizeof *own, "features of pictures", error);
        if (!own) {
            return FS_FAILED;
        }
    }
    for (int tap = 0; tap < FS_INCEPTION_TAPS; tap++) {
        float *out = tap == FS_INCEPTION_POOL ? pooled : features[tap];
        if (out && tap != FS_INCEPTION_LOGITS) {
            results[result_count++] = (struct fs_net_result){inception->slices[tap], tap != FS_INCEPTION_SPATIAL, out};
        }
    }
    fs_status status = fs_net_run(inception->net, count, pictures, results, result_count, error);
    if (status == FS_OK && logits) {
        classify(inception, count, pooled, logits);
    }
    free(own);
    return status;
}

/* --- the extractor --- */

struct extractor_state {
    struct fs_backend *backend;
    struct fs_inception *network;
    float *pictures; /* [batch_max, 299, 299, 3], in the backend's memory */
    struct fs_resizer resizer;
    int64_t height, width; /* that the resizer was made for; 0: not yet */
};

static fs_status prepare_resizer(struct fs_extractor *extractor, const struct fs_image_batch *batch,
                                 struct fs_error *error)
{
    struct extractor_state *state = extractor->state;
    if (state->height == batch->height && state->width == batch->width && state->resizer.mode == extractor->resize) {
        return FS_OK;
    }
    fs_resizer_destroy(&state->resizer);
    state->height = state->width = 0;
    FS_TRY(fs_resizer_create(state->backend, extractor->resize, batch->height, batch->width, SIDE, SIDE,
                             extractor->channels, &state->resizer, error));
    state->height = batch->height;
    state->width = batch->width;
    return FS_OK;
}

/* Pictures `first` … first + count − 1 as the network takes them, in the backend's memory. */
static fs_status prepare_pictures(struct extractor_state *state, const struct fs_image_batch *batch, int64_t first,
                                  int64_t count, struct fs_error *error)
{
    const size_t pixel = batch->is_uint8 ? 1 : sizeof(float);
    struct fs_image_batch part = *batch;
    part.pixels =
        (const char *)batch->pixels + (size_t)(first * batch->height * batch->width * batch->channels) * pixel;
    part.count = count;
    return fs_resizer_apply(&state->resizer, &part, state->pictures, error);
}

static fs_status extract(struct fs_extractor *extractor, const struct fs_image_batch *batch, float *const *features,
                         struct fs_error *error)
{
    struct extractor_state *state = extractor->state;
    if (batch->channels != 1 && batch->channels != 3) {
        return fs_fail(error, FS_USAGE, NAME " takes pictures of 1 or 3 channels, these have %lld",
                       (long long)batch->channels);
    }
    if (!batch->is_uint8 && !(batch->high > batch->low)) {
        return fs_fail(error, FS_USAGE, NAME ": pictures that span %g … %g: expected low < high", (double)batch->low,
                       (double)batch->high);
    }
    FS_TRY(prepare_resizer(extractor, batch, error));
    for (int64_t first = 0; first < batch->count; first += extractor->batch_max) {
        const int64_t rest = batch->count - first, count = rest < extractor->batch_max ? rest : extractor->batch_max;
        float *at[FS_INCEPTION_TAPS];
        for (int tap = 0; tap < FS_INCEPTION_TAPS; tap++) {
            at[tap] = features[tap] ? features[tap] + first * taps[tap].dim : NULL;
        }
        FS_TRY(prepare_pictures(state, batch, first, count, error));
        FS_TRY(fs_inception_forward(state->network, count, state->pictures, at, error));
    }
    return FS_OK;
}

static void destroy(struct fs_extractor *extractor)
{
    struct extractor_state *state = extractor->state;
    if (state) {
        fs_inception_destroy(state->network);
        fs_resizer_destroy(&state->resizer);
        state->backend->release(state->backend, state->pictures);
        free(state);
    }
    *extractor = (struct fs_extractor){0};
}

static fs_status load(struct fs_extractor *extractor, struct fs_error *error)
{
    struct extractor_state *state = extractor->state;
    struct fs_tensor_file file;
    FS_TRY(fs_weights_file_find(NAME, FS_INCEPTION_FILE,
                                "make it with metrics/convert/inception_to_safetensors.py from "
                                "pt_inception-2015-12-05-6726825d.pth, which pytorch-fid publishes",
                                extractor->path, error));
    FS_TRY(fs_tensor_file_read(extractor->path, &file, error));
    fs_status status = fs_inception_check(extractor->path, &file, error);
    if (status == FS_OK) {
        fs_inception_hash(&file, extractor->sha256);
        extractor->fid = fs_inception_is_published(&file, extractor->sha256);
        snprintf(extractor->label, sizeof extractor->label, extractor->fid ? NAME : NAME " weights %.8s",
                 extractor->sha256);
        state->network = fs_inception_create(state->backend, &file, error);
        status = state->network ? FS_OK : FS_FAILED;
    }
    fs_tensor_file_free(&file);
    return status;
}

fs_status fs_inception_open(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error)
{
    *extractor = (struct fs_extractor){.name = NAME,
                                       .taps = taps,
                                       .tap_count = FS_INCEPTION_TAPS,
                                       .batch_max = batch_max_of(backend),
                                       .channels = 3,
                                       .resize = FS_RESIZE_CLEAN,
                                       .extract = extract,
                                       .destroy = destroy};
    struct extractor_state *state = fs_allocate(1, sizeof *state, NAME, error);
    if (!state) {
        return FS_FAILED;
    }
    extractor->state = state;
    state->backend = backend;
    state->pictures = backend->allocate(backend, (size_t)extractor->batch_max * 3 * PIXELS * sizeof(float), error);
    const fs_status status = state->pictures ? load(extractor, error) : FS_FAILED;
    if (status == FS_OK) {
        extractor->flops = fs_inception_flops(state->network);
    } else {
        destroy(extractor);
    }
    return status;
}
