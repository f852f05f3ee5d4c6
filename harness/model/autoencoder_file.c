/* The weights of an autoencoder: which tensors there are, and the network that they describe, layer by layer. */
#include "harness/model/autoencoder_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/float16.h"
#include "kernels/base/memory.h"

#define GROUPS 32
#define EPSILON 1e-6
#define COLOURS 3
#define NAME_ROOM 128
#define STAGES_MAX 8
#define RESNETS_MAX 16

/* Where in the network something is: "decoder.up_blocks.1.resnets.0". */
struct name {
    char text[NAME_ROOM];
};

static struct name name_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct name name_of(const char *format, ...)
{
    struct name name;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name.text, sizeof name.text, format, arguments);
    va_end(arguments);
    return name;
}

static const struct fs_tensor *find(const struct fs_autoencoder_file *file, struct name name)
{
    return fs_tensor_find(&file->tensors, name.text);
}

static bool has(const struct fs_autoencoder_file *file, struct name name)
{
    return find(file, name) != NULL;
}

/* --- tensors --- */

static int64_t numbers_of(const struct fs_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        count *= tensor->shape[i];
    }
    return count;
}

static fs_status read_bytes(const struct fs_autoencoder_file *file, const struct fs_tensor *tensor, char *bytes,
                            struct fs_error *error)
{
    const size_t size = (size_t)numbers_of(tensor) * fs_type_size(tensor->type);
    for (size_t done = 0; done < size;) {
        const ssize_t got = pread(file->fd, bytes + done, size - done, (off_t)tensor->begin + (off_t)done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return fs_fail(error, FS_USAGE, "%s: tensor %s cannot be read: %s", file->path, tensor->name,
                           got < 0 ? strerror(errno) : "the file was truncated");
        }
        done += (size_t)got;
    }
    return FS_OK;
}

static float number_at(const char *bytes, enum fs_type type, int64_t i)
{
    const char *at = bytes + (size_t)i * fs_type_size(type);
    uint16_t half;
    double wide;
    float value;
    switch (type) {
    case FS_F64:
        memcpy(&wide, at, sizeof wide);
        return (float)wide;
    case FS_F32:
        memcpy(&value, at, sizeof value);
        return value;
    case FS_F16:
        memcpy(&half, at, sizeof half);
        return fs_float16_value(half);
    default: {
        memcpy(&half, at, sizeof half);
        const uint32_t bits = (uint32_t)half << 16; /* bf16 */
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    }
}

/* Its numbers in fresh memory; NULL and `error` when they cannot be read or are not finite. */
static float *read_floats(const struct fs_autoencoder_file *file, const struct fs_tensor *tensor,
                          struct fs_error *error)
{
    const int64_t count = numbers_of(tensor);
    float *values = fs_allocate((size_t)count, sizeof *values, "the weights of the autoencoder", error);
    char *bytes = fs_allocate((size_t)count, fs_type_size(tensor->type), "the weights of the autoencoder", error);
    fs_status status = values != NULL && bytes != NULL ? read_bytes(file, tensor, bytes, error) : FS_FAILED;
    for (int64_t i = 0; status == FS_OK && i < count; i++) {
        values[i] = number_at(bytes, tensor->type, i);
        if (!isfinite(values[i])) {
            status =
                fs_fail(error, FS_USAGE, "%s: tensor %s has a number that is not finite", file->path, tensor->name);
        }
    }
    free(bytes);
    if (status != FS_OK) {
        free(values);
        return NULL;
    }
    return values;
}

/* --- building: the first fault ends it, later calls do nothing --- */

struct builder {
    struct fs_autoencoder_file *file;
    struct fs_net *net; /* NULL: only the tensors are checked */
    enum fs_type type;
    struct fs_error *error;
    fs_status status;
};

struct features {
    struct fs_net_slice slice;
    int64_t height, width;
};

static struct features make(struct builder *b, enum fs_type type, int64_t height, int64_t width, int64_t channels)
{
    struct features made = {{0, 0, channels}, height, width};
    if (b->status == FS_OK && b->net != NULL) {
        b->status = fs_net_image(b->net, type, height, width, channels, &made.slice, b->error);
    }
    return made;
}

static void describe_shape(const int64_t *shape, int rank, char *text, size_t size)
{
    size_t length = 0;
    for (int i = 0; i < rank && length < size; i++) {
        length += (size_t)snprintf(text + length, size - length, "%s%lld", i > 0 ? ", " : "", (long long)shape[i]);
    }
}

static bool is_stored(enum fs_type type)
{
    return type == FS_F32 || type == FS_F16 || type == FS_BF16 || type == FS_F64;
}

/* The tensor NAME.part of this shape, marked as used; a trailing 1 × 1 of the file's shape does not count, so that a
 * linear layer may be a convolution. NULL and a fault without it. */
static const struct fs_tensor *require(struct builder *b, struct name name, const char *part, int rank,
                                       const int64_t *shape)
{
    const struct name full = name_of("%.100s.%s", name.text, part);
    if (b->status != FS_OK) {
        return NULL;
    }
    const struct fs_tensor *tensor = find(b->file, full);
    if (tensor == NULL) {
        b->status = fs_fail(b->error, FS_USAGE, "%s: not an autoencoder as diffusers writes it: it has no tensor %s",
                            b->file->path, full.text);
        return NULL;
    }
    int have = tensor->rank;
    while (have > 2 && tensor->shape[have - 1] == 1) {
        have--;
    }
    int want = rank;
    while (want > 2 && shape[want - 1] == 1) {
        want--;
    }
    bool same = have == want && is_stored(tensor->type);
    for (int i = 0; i < want && same; i++) {
        same = tensor->shape[i] == shape[i];
    }
    if (!same) {
        char found[64] = "", expected[64] = "";
        describe_shape(tensor->shape, tensor->rank, found, sizeof found);
        describe_shape(shape, rank, expected, sizeof expected);
        b->status = fs_fail(b->error, FS_USAGE, "%s: tensor %s is [%s]: expected numbers of shape [%s]", b->file->path,
                            full.text, found, expected);
        return NULL;
    }
    b->file->used[tensor - b->file->tensors.tensors] = true;
    return tensor;
}

/* NAME.weight of this shape and NAME.bias, into fresh memory; when only checking, they are read and given back. */
static fs_status read_pair(struct builder *b, struct name name, int rank, const int64_t *shape, float *pair[2])
{
    const struct fs_tensor *tensors[2] = {require(b, name, "weight", rank, shape), require(b, name, "bias", 1, shape)};
    for (int i = 0; i < 2 && b->status == FS_OK; i++) {
        pair[i] = read_floats(b->file, tensors[i], b->error);
        b->status = pair[i] != NULL ? FS_OK : b->error->status;
    }
    return b->status;
}

static void free_pair(float *pair[2])
{
    free(pair[0]);
    free(pair[1]);
}

/* How a window of 3 × 3 or 1 × 1 meets the border: padded to keep the size, or, at every second pixel, padded below
 * and on the right only. */
static struct fs_net_kernel kernel_of(int64_t size, bool halve)
{
    const int64_t pad = halve ? 0 : (size - 1) / 2;
    return (struct fs_net_kernel){.height = size,
                                  .width = size,
                                  .stride = halve ? 2 : 1,
                                  .pad_height = pad,
                                  .pad_width = pad,
                                  .pad_below = halve,
                                  .pad_right = halve};
}

static void convolve(struct builder *b, struct name name, struct features out, struct features in, int64_t size,
                     bool halve, enum fs_net_output kind)
{
    const int64_t shape[4] = {out.slice.channels, in.slice.channels, size, size};
    const struct fs_net_kernel kernel = kernel_of(size, halve);
    float *pair[2] = {NULL, NULL};
    if (read_pair(b, name, 4, shape, pair) == FS_OK && b->net != NULL) {
        b->status = fs_net_convolution(b->net, out.slice, in.slice, &kernel, kind, pair[0], pair[1], b->error);
    }
    free_pair(pair);
}

static struct features convolved(struct builder *b, struct name name, struct features in, int64_t channels,
                                 int64_t size)
{
    const struct features out = make(b, b->type, in.height, in.width, channels);
    convolve(b, name, out, in, size, false, FS_NET_LINEAR);
    return out;
}

static void normalise(struct builder *b, struct name name, struct features out, struct features in, bool silu)
{
    const int64_t channels = in.slice.channels;
    float *pair[2] = {NULL, NULL};
    if (b->status == FS_OK && channels % GROUPS != 0) {
        b->status = fs_fail(b->error, FS_USAGE, "%s: %s is for %lld channels: expected a multiple of its %d groups",
                            b->file->path, name.text, (long long)channels, GROUPS);
    }
    if (read_pair(b, name, 1, &channels, pair) == FS_OK && b->net != NULL) {
        b->status = fs_net_group_norm(b->net, out.slice, in.slice, GROUPS, EPSILON, pair[0], pair[1], silu, b->error);
    }
    free_pair(pair);
}

static struct features like(struct builder *b, struct features in)
{
    return make(b, b->type, in.height, in.width, in.slice.channels);
}

/* --- blocks --- */

/* x + conv2(silu(norm2(conv1(silu(norm1(x)))))), where the width changes with a 1 × 1 convolution of x for x. The sum
 * is taken in place. */
static struct features resnet(struct builder *b, struct name name, struct features x, int64_t channels)
{
    const struct features normal = like(b, x);
    normalise(b, name_of("%.100s.norm1", name.text), normal, x, true);
    const struct features h = convolved(b, name_of("%.100s.conv1", name.text), normal, channels, 3);
    normalise(b, name_of("%.100s.norm2", name.text), h, h, true);
    const struct name shortcut = name_of("%.100s.conv_shortcut", name.text);
    const struct features sum = channels == x.slice.channels ? x : convolved(b, shortcut, x, channels, 1);
    convolve(b, name_of("%.100s.conv2", name.text), sum, h, 3, false, FS_NET_SUM);
    return sum;
}

/* q, k and v as one layer of three times the channels: `weights` [3·channels, channels], `bias` [3·channels]. */
static fs_status read_qkv(struct builder *b, struct name name, const char *const parts[3], int64_t channels,
                          float *weights, float *bias)
{
    const int64_t shape[2] = {channels, channels};
    for (int i = 0; i < 3; i++) {
        float *pair[2] = {NULL, NULL};
        if (read_pair(b, name_of("%.100s.%s", name.text, parts[i]), 2, shape, pair) == FS_OK) {
            memcpy(weights + i * channels * channels, pair[0], (size_t)(channels * channels) * sizeof(float));
            memcpy(bias + i * channels, pair[1], (size_t)channels * sizeof(float));
        }
        free_pair(pair);
    }
    return b->status;
}

static void project_qkv(struct builder *b, struct name name, const char *const parts[3], struct features out,
                        struct features in)
{
    const int64_t channels = in.slice.channels;
    const struct fs_net_kernel kernel = kernel_of(1, false);
    if (b->status != FS_OK) {
        return;
    }
    float *weights = fs_allocate((size_t)(3 * channels * channels), sizeof *weights, "attention", b->error);
    float *bias = fs_allocate((size_t)(3 * channels), sizeof *bias, "attention", b->error);
    b->status = weights != NULL && bias != NULL ? FS_OK : FS_FAILED;
    if (b->status == FS_OK && read_qkv(b, name, parts, channels, weights, bias) == FS_OK && b->net != NULL) {
        b->status = fs_net_convolution(b->net, out.slice, in.slice, &kernel, FS_NET_LINEAR, weights, bias, b->error);
    }
    free(bias);
    free(weights);
}

/* x + proj(attention(norm(x))), one head, under the names that diffusers gives its parameters now or gave them once. */
static void attend(struct builder *b, struct name name, struct features x)
{
    static const char *const names[2][4] = {{"to_q", "to_k", "to_v", "to_out.0"},
                                            {"query", "key", "value", "proj_attn"}};
    const char *const *parts = names[has(b->file, name_of("%.100s.query.weight", name.text))];
    const struct features normal = like(b, x);
    const struct features qkv = make(b, b->type, x.height, x.width, 3 * x.slice.channels);
    const struct features seen = like(b, x);
    normalise(b, name_of("%.100s.group_norm", name.text), normal, x, false);
    project_qkv(b, name, parts, qkv, normal);
    if (b->status == FS_OK && b->net != NULL) {
        b->status = fs_net_attention(b->net, seen.slice, qkv.slice, b->error);
    }
    convolve(b, name_of("%.100s.%s", name.text, parts[3]), x, seen, 1, false, FS_NET_SUM);
}

static struct features middle(struct builder *b, const char *part, struct features x)
{
    x = resnet(b, name_of("%s.mid_block.resnets.0", part), x, x.slice.channels);
    attend(b, name_of("%s.mid_block.attentions.0", part), x);
    return resnet(b, name_of("%s.mid_block.resnets.1", part), x, x.slice.channels);
}

/* The width of a stage: what its first resnet makes. 0: there is no such stage. */
static int64_t width_of(const struct fs_autoencoder_file *file, const char *stages, int stage)
{
    const struct fs_tensor *tensor = find(file, name_of("%s.%d.resnets.0.conv1.bias", stages, stage));
    return tensor != NULL && tensor->rank == 1 ? tensor->shape[0] : 0;
}

static struct features resnets(struct builder *b, const char *stages, int stage, struct features x)
{
    const int64_t width = width_of(b->file, stages, stage);
    for (int i = 0; i < RESNETS_MAX; i++) {
        const struct name name = name_of("%s.%d.resnets.%d", stages, stage, i);
        if (i == 0 || has(b->file, name_of("%.100s.conv1.weight", name.text))) {
            x = resnet(b, name, x, width);
        }
    }
    return x;
}

static void encoder(struct builder *b, int64_t height, int64_t width, struct fs_net_slice *out)
{
    static const char stages[] = "encoder.down_blocks";
    struct features x = {{FS_NET_INPUT, 0, COLOURS}, height, width};
    x = convolved(b, name_of("encoder.conv_in"), x, width_of(b->file, stages, 0), 3);
    for (int i = 0; i < b->file->stages; i++) {
        x = resnets(b, stages, i, x);
        if (i + 1 < b->file->stages) {
            const struct features half = make(b, b->type, x.height / 2, x.width / 2, x.slice.channels);
            convolve(b, name_of("%s.%d.downsamplers.0.conv", stages, i), half, x, 3, true, FS_NET_LINEAR);
            x = half;
        }
    }
    x = middle(b, "encoder", x);
    normalise(b, name_of("encoder.conv_norm_out"), x, x, true);
    const struct features moments = make(b, FS_F32, x.height, x.width, 2 * b->file->channels);
    convolve(b, name_of("encoder.conv_out"), moments, x, 3, false, FS_NET_LINEAR);
    *out = moments.slice;
    if (has(b->file, name_of("quant_conv.weight"))) { /* FLUX's has none */
        const struct features quant = make(b, FS_F32, x.height, x.width, 2 * b->file->channels);
        convolve(b, name_of("quant_conv"), quant, moments, 1, false, FS_NET_LINEAR);
        *out = quant.slice;
    }
}

static void decoder(struct builder *b, int64_t height, int64_t width, struct fs_net_slice *out)
{
    static const char stages[] = "decoder.up_blocks";
    struct features x = {{FS_NET_INPUT, 0, b->file->channels}, height, width};
    if (has(b->file, name_of("post_quant_conv.weight"))) {
        x = convolved(b, name_of("post_quant_conv"), x, b->file->channels, 1);
    }
    x = convolved(b, name_of("decoder.conv_in"), x, width_of(b->file, stages, 0), 3);
    x = middle(b, "decoder", x);
    for (int i = 0; i < b->file->stages; i++) {
        x = resnets(b, stages, i, x);
        if (i + 1 < b->file->stages) {
            const struct features twice = make(b, b->type, 2 * x.height, 2 * x.width, x.slice.channels);
            if (b->status == FS_OK && b->net != NULL) {
                b->status = fs_net_upsample(b->net, twice.slice, x.slice, b->error);
            }
            x = convolved(b, name_of("%s.%d.upsamplers.0.conv", stages, i), twice, twice.slice.channels, 3);
        }
    }
    normalise(b, name_of("decoder.conv_norm_out"), x, x, true);
    const struct features picture = make(b, FS_F32, x.height, x.width, COLOURS);
    convolve(b, name_of("decoder.conv_out"), picture, x, 3, false, FS_NET_LINEAR);
    *out = picture.slice;
}

fs_status fs_autoencoder_layers(struct fs_autoencoder_file *file, enum fs_autoencoder_part part, struct fs_net *net,
                                enum fs_type type, int64_t height, int64_t width, struct fs_net_slice *out,
                                struct fs_error *error)
{
    struct builder b = {.file = file, .net = net, .type = type, .error = error};
    (part == FS_ENCODER ? encoder : decoder)(&b, height, width, out);
    return b.status;
}

/* --- the file --- */

static fs_status check_names(const struct fs_autoencoder_file *file, struct fs_error *error)
{
    if (has(file, name_of("encoder.down.0.block.0.norm1.weight")) ||
        has(file, name_of("first_stage_model.encoder.conv_in.weight"))) {
        return fs_fail(error, FS_USAGE,
                       "%s: its tensors have the names of the authors' own repository (encoder.down.0…): take the file "
                       "that diffusers publishes (encoder.down_blocks.0…, diffusion_pytorch_model.safetensors)",
                       file->path);
    }
    if (width_of(file, "encoder.down_blocks", 0) == 0 || width_of(file, "decoder.up_blocks", 0) == 0) {
        return fs_fail(error, FS_USAGE,
                       "%s: not an autoencoder as diffusers writes it: expected tensors encoder.down_blocks.0… and "
                       "decoder.up_blocks.0…",
                       file->path);
    }
    return FS_OK;
}

/* Both parts have as many stages, and the latents the channels that the decoder begins with. */
static fs_status read_sizes(struct fs_autoencoder_file *file, struct fs_error *error)
{
    int64_t up = 0;
    while (file->stages < STAGES_MAX && width_of(file, "encoder.down_blocks", (int)file->stages) > 0) {
        file->stages++;
    }
    while (up < STAGES_MAX && width_of(file, "decoder.up_blocks", (int)up) > 0) {
        up++;
    }
    const struct fs_tensor *first = find(file, name_of("decoder.conv_in.weight"));
    if (up != file->stages || first == NULL || first->rank != 4 || first->shape[1] < 1) {
        return fs_fail(error, FS_USAGE,
                       "%s: not an autoencoder as diffusers writes it: %lld stages down, %lld up, and tensor "
                       "decoder.conv_in.weight of rank 4",
                       file->path, (long long)file->stages, (long long)up);
    }
    file->channels = first->shape[1];
    return FS_OK;
}

static fs_status check_tensors(struct fs_autoencoder_file *file, struct fs_error *error)
{
    struct fs_net_slice out;
    for (int part = FS_ENCODER; part <= FS_DECODER; part++) {
        FS_TRY(fs_autoencoder_layers(file, part, NULL, FS_F32, 64, 64, &out, error));
    }
    for (int i = 0; i < file->tensors.tensor_count; i++) {
        if (!file->used[i]) {
            return fs_fail(error, FS_USAGE, "%s: tensor %s belongs to no layer of an autoencoder of %lld stages",
                           file->path, file->tensors.tensors[i].name, (long long)file->stages);
        }
    }
    return FS_OK;
}

static fs_status read_file(struct fs_autoencoder_file *file, struct fs_error *error)
{
    FS_TRY(fs_file_require_ordinary(file->path, error));
    file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0) {
        return fs_fail(error, FS_USAGE, "%s: %s", file->path, strerror(errno));
    }
    FS_TRY(fs_tensor_file_describe(file->path, file->fd, &file->tensors, error));
    file->used = fs_allocate((size_t)file->tensors.tensor_count, sizeof *file->used, file->path, error);
    if (file->used == NULL) {
        return FS_FAILED;
    }
    FS_TRY(check_names(file, error));
    FS_TRY(read_sizes(file, error));
    return check_tensors(file, error);
}

fs_status fs_autoencoder_file_open(const char *path, struct fs_autoencoder_file *file, struct fs_error *error)
{
    *file = (struct fs_autoencoder_file){.fd = -1};
    FS_TRY(fs_path(file->path, error, "%s", path));
    const fs_status status = read_file(file, error);
    if (status != FS_OK) {
        fs_autoencoder_file_close(file);
    }
    return status;
}

void fs_autoencoder_file_close(struct fs_autoencoder_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
    }
    fs_tensor_file_free(&file->tensors);
    free(file->used);
    *file = (struct fs_autoencoder_file){.fd = -1};
}
