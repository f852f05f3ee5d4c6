/* fashion-cnn: the network, its file, and the feature extractor made of both. */
#include "metrics/fashion_cnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "kernels/base/safetensors.h"
#include "metrics/weights_file.h"

#define FILE_NAME "fashion-cnn.safetensors"
#define BATCH_MAX 250
#define PENULTIMATE (FS_FASHION_CNN_LAYERS - 1) /* the activation that is the tap */

/* --- the network --- */

/* clang-format off */
static const struct fs_fashion_cnn_layer layers[FS_FASHION_CNN_LAYERS] = {
    /* height, width, channels → channels; window, stride, padding */
    {"conv1",  {28, 28,   1,  16, 3, 3, 1, .pad_height = 1, .pad_width = 1}, true},
    {"conv2",  {28, 28,  16,  32, 3, 3, 2, .pad_height = 1, .pad_width = 1}, true},
    {"conv3",  {14, 14,  32,  64, 3, 3, 2, .pad_height = 1, .pad_width = 1}, true},
    {"conv4",  { 7,  7,  64,  64, 3, 3, 2, .pad_height = 1, .pad_width = 1}, true},
    {"hidden", { 4,  4,  64, FS_FASHION_CNN_FEATURES, 4, 4, 1, .pad_height = 0, .pad_width = 0}, true},
    {"logits", { 1,  1, FS_FASHION_CNN_FEATURES, FS_FASHION_CNN_CLASSES, 1, 1, 1, .pad_height = 0, .pad_width = 0}, false},
};
/* clang-format on */

const struct fs_fashion_cnn_layer *fs_fashion_cnn_layer(int index)
{
    return &layers[index];
}

static int64_t weights_of_filter(int layer)
{
    const struct fs_window *window = &layers[layer].window;
    return window->in_channels * window->kernel_height * window->kernel_width;
}

/* Parameters of the layers before this one. */
static int64_t parameter_offset(int layer)
{
    int64_t offset = 0;
    for (int i = 0; i < layer; i++) {
        offset += layers[i].window.out_channels * (weights_of_filter(i) + 1);
    }
    return offset;
}

int64_t fs_fashion_cnn_parameter_count(void)
{
    return parameter_offset(FS_FASHION_CNN_LAYERS);
}

struct fs_view fs_fashion_cnn_weight(float *parameters, int layer)
{
    return fs_view(parameters + parameter_offset(layer), FS_F32, layers[layer].window.out_channels,
                   weights_of_filter(layer));
}

struct fs_view fs_fashion_cnn_bias(float *parameters, int layer)
{
    const int64_t filters = layers[layer].window.out_channels;
    return fs_view(parameters + parameter_offset(layer) + filters * weights_of_filter(layer), FS_F32, 1, filters);
}

static int64_t activation_size(int index)
{
    if (index == FS_FASHION_CNN_LAYERS) {
        return FS_FASHION_CNN_CLASSES;
    }
    const struct fs_window *window = &layers[index].window;
    return window->in_height * window->in_width * window->in_channels;
}

struct fs_view fs_fashion_cnn_activation(const struct fs_fashion_cnn *cnn, int index, int64_t count)
{
    return fs_view(cnn->activations[index], FS_F32, count, activation_size(index));
}

fs_status fs_fashion_cnn_create(struct fs_backend *backend, int64_t batch_max, struct fs_fashion_cnn *cnn,
                                struct fs_error *error)
{
    *cnn = (struct fs_fashion_cnn){.backend = backend, .batch_max = batch_max};
    if (backend->real != FS_F32) {
        return fs_fail(error, FS_USAGE, "fashion-cnn: the backend '%s' does not compute in float32", backend->name);
    }
    cnn->parameters = backend->allocate(backend, (size_t)fs_fashion_cnn_parameter_count() * sizeof(float), error);
    bool complete = cnn->parameters != NULL;
    for (int i = 0; complete && i <= FS_FASHION_CNN_LAYERS; i++) {
        cnn->activations[i] =
            backend->allocate(backend, (size_t)(batch_max * activation_size(i)) * sizeof(float), error);
        complete = cnn->activations[i] != NULL;
    }
    return complete ? FS_OK : FS_FAILED;
}

void fs_fashion_cnn_destroy(struct fs_fashion_cnn *cnn)
{
    struct fs_backend *backend = cnn->backend;
    for (int i = 0; i <= FS_FASHION_CNN_LAYERS; i++) {
        if (cnn->activations[i]) {
            backend->release(backend, cnn->activations[i]);
        }
    }
    if (cnn->parameters) {
        backend->release(backend, cnn->parameters);
    }
    *cnn = (struct fs_fashion_cnn){0};
}

void fs_fashion_cnn_forward(struct fs_fashion_cnn *cnn, int64_t count, int last)
{
    for (int i = 0; i < last; i++) {
        cnn->backend->convolution_forward(cnn->backend, fs_fashion_cnn_activation(cnn, i + 1, count),
                                          fs_fashion_cnn_activation(cnn, i, count),
                                          fs_fashion_cnn_weight(cnn->parameters, i),
                                          fs_fashion_cnn_bias(cnn->parameters, i), &layers[i].window, layers[i].relu);
    }
}

/* --- its file --- */

struct tensor_names {
    char text[2 * FS_FASHION_CNN_LAYERS][32];
};

/* The file's tensors, weight and bias of each layer in turn, over `parameters` on the host. */
static void describe_tensors(float *parameters, struct tensor_names *names,
                             struct fs_tensor tensors[2 * FS_FASHION_CNN_LAYERS])
{
    for (int i = 0; i < FS_FASHION_CNN_LAYERS; i++) {
        const struct fs_window *window = &layers[i].window;
        struct fs_tensor *weight = &tensors[2 * i], *bias = &tensors[2 * i + 1];
        snprintf(names->text[2 * i], sizeof names->text[0], "%s.weight", layers[i].name);
        snprintf(names->text[2 * i + 1], sizeof names->text[0], "%s.bias", layers[i].name);
        *weight = (struct fs_tensor){
            .name = names->text[2 * i],
            .type = FS_F32,
            .rank = 4,
            .shape = {window->out_channels, window->in_channels, window->kernel_height, window->kernel_width},
            .data = fs_fashion_cnn_weight(parameters, i).data};
        *bias = (struct fs_tensor){.name = names->text[2 * i + 1],
                                   .type = FS_F32,
                                   .rank = 1,
                                   .shape = {window->out_channels},
                                   .data = fs_fashion_cnn_bias(parameters, i).data};
    }
}

static int64_t element_count(const struct fs_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        count *= tensor->shape[i];
    }
    return count;
}

static fs_status copy_tensors(const char *path, const struct fs_tensor_file *file, float *parameters,
                              struct fs_error *error)
{
    struct tensor_names names;
    struct fs_tensor expected[2 * FS_FASHION_CNN_LAYERS];
    describe_tensors(parameters, &names, expected);
    int64_t offset = 0;
    for (int i = 0; i < 2 * FS_FASHION_CNN_LAYERS; i++) {
        const struct fs_tensor *tensor = fs_tensor_find(file, expected[i].name);
        if (!tensor || tensor->type != FS_F32 || tensor->rank != expected[i].rank ||
            memcmp(tensor->shape, expected[i].shape, (size_t)tensor->rank * sizeof *tensor->shape) != 0) {
            return fs_fail(error, FS_USAGE, "%s: no float32 tensor %s of the shape that fashion-cnn has", path,
                           expected[i].name);
        }
        memcpy(parameters + offset, tensor->data, (size_t)element_count(tensor) * sizeof *parameters);
        offset += element_count(tensor);
    }
    return FS_OK;
}

fs_status fs_fashion_cnn_read(struct fs_fashion_cnn *cnn, const char *path, struct fs_error *error)
{
    const size_t count = (size_t)fs_fashion_cnn_parameter_count();
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    float *parameters = fs_allocate(count, sizeof *parameters, "the weights of fashion-cnn", error);
    fs_status status = parameters ? copy_tensors(path, &file, parameters, error) : FS_FAILED;
    if (status == FS_OK) {
        cnn->backend->upload(cnn->backend, cnn->parameters, parameters, count * sizeof *parameters);
        status = cnn->backend->synchronise(cnn->backend, error);
    }
    free(parameters);
    fs_tensor_file_free(&file);
    return status;
}

fs_status fs_fashion_cnn_write(struct fs_fashion_cnn *cnn, const char *path, struct fs_error *error)
{
    const size_t count = (size_t)fs_fashion_cnn_parameter_count();
    const struct fs_tensor_metadata metadata[] = {{"network", "fashion-cnn"}, {"input", "28x28x1 in [-1, 1]"}};
    struct tensor_names names;
    struct fs_tensor tensors[2 * FS_FASHION_CNN_LAYERS];
    float *parameters = fs_allocate(count, sizeof *parameters, "the weights of fashion-cnn", error);
    if (!parameters) {
        return FS_FAILED;
    }
    cnn->backend->download(cnn->backend, parameters, cnn->parameters, count * sizeof *parameters);
    describe_tensors(parameters, &names, tensors);
    fs_status status = cnn->backend->synchronise(cnn->backend, error);
    if (status == FS_OK) {
        status = fs_tensor_file_write(path, tensors, 2 * FS_FASHION_CNN_LAYERS, metadata, 2, error);
    }
    free(parameters);
    return status;
}

fs_status fs_fashion_cnn_find(char path[FS_PATH_ROOM], struct fs_error *error)
{
    return fs_weights_file_find("fashion-cnn", FILE_NAME, "set FEWSTEP_DATA to the source tree's metrics folder", path,
                                error);
}

/* --- the extractor --- */

struct extractor_state {
    struct fs_fashion_cnn cnn;
    float *pictures; /* [BATCH_MAX, 28·28] on the host, in [−1, 1] */
};

static const struct fs_tap taps[] = {{"penultimate", FS_FASHION_CNN_FEATURES}, {"logits", FS_FASHION_CNN_CLASSES}};

/* Pictures `first` … first + count − 1 in [−1, 1]. */
static void scale_pictures(const struct fs_image_batch *batch, int64_t first, int64_t count, float *out)
{
    const int64_t pixels = count * FS_FASHION_CNN_PIXELS;
    if (batch->is_uint8) {
        const uint8_t *in = (const uint8_t *)batch->pixels + first * FS_FASHION_CNN_PIXELS;
        for (int64_t i = 0; i < pixels; i++) {
            out[i] = (float)in[i] / 127.5F - 1.0F;
        }
    } else {
        const float *in = (const float *)batch->pixels + first * FS_FASHION_CNN_PIXELS;
        const float scale = 2.0F / (batch->high - batch->low), offset = -1.0F - batch->low * scale;
        for (int64_t i = 0; i < pixels; i++) {
            out[i] = in[i] * scale + offset;
        }
    }
}

static fs_status extract(struct fs_extractor *extractor, const struct fs_image_batch *batch, float *const *features,
                         struct fs_error *error)
{
    struct extractor_state *state = extractor->state;
    struct fs_backend *backend = state->cnn.backend;
    if (batch->height != 28 || batch->width != 28 || batch->channels != 1) {
        return fs_fail(error, FS_USAGE, "fashion-cnn takes pictures of 28 × 28 × 1, these are %lld × %lld × %lld",
                       (long long)batch->height, (long long)batch->width, (long long)batch->channels);
    }
    if (!batch->is_uint8 && !(batch->high > batch->low)) {
        return fs_fail(error, FS_USAGE, "fashion-cnn: pictures that span %g … %g: expected low < high",
                       (double)batch->low, (double)batch->high);
    }
    const int last = features[1] ? FS_FASHION_CNN_LAYERS : PENULTIMATE;
    for (int64_t first = 0; (features[0] || features[1]) && first < batch->count; first += BATCH_MAX) {
        const int64_t rest = batch->count - first, count = rest < BATCH_MAX ? rest : BATCH_MAX;
        scale_pictures(batch, first, count, state->pictures);
        backend->upload(backend, state->cnn.activations[0], state->pictures,
                        (size_t)(count * FS_FASHION_CNN_PIXELS) * sizeof(float));
        fs_fashion_cnn_forward(&state->cnn, count, last);
        if (features[0]) {
            backend->download(backend, features[0] + first * FS_FASHION_CNN_FEATURES,
                              state->cnn.activations[PENULTIMATE],
                              (size_t)(count * FS_FASHION_CNN_FEATURES) * sizeof(float));
        }
        if (features[1]) {
            backend->download(backend, features[1] + first * FS_FASHION_CNN_CLASSES,
                              state->cnn.activations[FS_FASHION_CNN_LAYERS],
                              (size_t)(count * FS_FASHION_CNN_CLASSES) * sizeof(float));
        }
        FS_TRY(
            backend->synchronise(backend, error)); /* what went wrong on the way here, the downloads' own faults too */
    }
    return FS_OK;
}

static void destroy(struct fs_extractor *extractor)
{
    struct extractor_state *state = extractor->state;
    if (state) {
        fs_fashion_cnn_destroy(&state->cnn);
        free(state->pictures);
        free(state);
    }
    *extractor = (struct fs_extractor){0};
}

static fs_status load(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error)
{
    struct extractor_state *state = extractor->state;
    const char *path = extractor->path;
    FS_TRY(fs_fashion_cnn_find(extractor->path, error));
    FS_TRY(fs_sha256_file(path, extractor->sha256, error));
    if (strcmp(extractor->sha256, FS_FASHION_CNN_SHA256) != 0) {
        return fs_fail(error, FS_USAGE,
                       "%s: its SHA-256 is %s, not the %s that scores are made with: restore it from the repository",
                       path, extractor->sha256, FS_FASHION_CNN_SHA256);
    }
    FS_TRY(fs_fashion_cnn_create(backend, BATCH_MAX, &state->cnn, error));
    return fs_fashion_cnn_read(&state->cnn, path, error);
}

fs_status fs_fashion_cnn_open(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error)
{
    *extractor = (struct fs_extractor){.name = "fashion-cnn",
                                       .label = "fashion-cnn",
                                       .taps = taps,
                                       .tap_count = 2,
                                       .batch_max = BATCH_MAX,
                                       .channels = 1,
                                       .side = FS_FASHION_CNN_SIDE,
                                       .extract = extract,
                                       .destroy = destroy};
    struct extractor_state *state = fs_allocate(1, sizeof *state, "the extractor fashion-cnn", error);
    if (!state) {
        return FS_FAILED;
    }
    extractor->state = state;
    state->pictures = fs_allocate(BATCH_MAX, FS_FASHION_CNN_PIXELS * sizeof(float), "a batch of pictures", error);
    const fs_status status = state->pictures ? load(backend, extractor, error) : FS_FAILED;
    if (status != FS_OK) {
        destroy(extractor);
    }
    return status;
}
