/* The small classifier: the network, its file, and the feature extractor made of both. */
#include "metrics/classifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "kernels/base/safetensors.h"

#define BATCH_MAX 250
#define PENULTIMATE (FS_CLASSIFIER_LAYERS - 1) /* the activation that is the tap */
#define TENSORS (2 * FS_CLASSIFIER_LAYERS)

/* --- the network --- */

static int half(int side)
{
    return (side + 1) / 2;
}

static struct fs_classifier_layer layer_of(const char *name, int side, int in, int out, int kernel, int stride, int pad)
{
    return (struct fs_classifier_layer){.name = name,
                                        .window = {.in_height = side,
                                                   .in_width = side,
                                                   .in_channels = in,
                                                   .out_channels = out,
                                                   .kernel_height = kernel,
                                                   .kernel_width = kernel,
                                                   .stride = stride,
                                                   .pad_height = pad,
                                                   .pad_width = pad},
                                        .relu = true};
}

void fs_classifier_layers(const struct fs_classifier_shape *shape,
                          struct fs_classifier_layer layers[FS_CLASSIFIER_LAYERS])
{
    const int s1 = shape->side, s2 = half(s1), s3 = half(s2), s4 = half(s3);
    /* height and width, channels → channels; window, stride, padding */
    layers[0] = layer_of("conv1", s1, shape->channels, 16, 3, 1, 1);
    layers[1] = layer_of("conv2", s1, 16, 32, 3, 2, 1);
    layers[2] = layer_of("conv3", s2, 32, 64, 3, 2, 1);
    layers[3] = layer_of("conv4", s3, 64, 64, 3, 2, 1);
    layers[4] = layer_of("hidden", s4, 64, FS_CLASSIFIER_FEATURES, s4, 1, 0);
    layers[5] = layer_of("logits", 1, FS_CLASSIFIER_FEATURES, shape->classes, 1, 1, 0);
    layers[5].relu = false;
}

static int64_t weights_of_filter(const struct fs_classifier *classifier, int layer)
{
    const struct fs_window *window = &classifier->layers[layer].window;
    return window->in_channels * window->kernel_height * window->kernel_width;
}

/* Parameters of the layers before this one. */
static int64_t parameter_offset(const struct fs_classifier *classifier, int layer)
{
    int64_t offset = 0;
    for (int i = 0; i < layer; i++) {
        offset += classifier->layers[i].window.out_channels * (weights_of_filter(classifier, i) + 1);
    }
    return offset;
}

int64_t fs_classifier_parameter_count(const struct fs_classifier *classifier)
{
    return parameter_offset(classifier, FS_CLASSIFIER_LAYERS);
}

struct fs_view fs_classifier_weight(const struct fs_classifier *classifier, float *parameters, int layer)
{
    return fs_view(parameters + parameter_offset(classifier, layer), FS_F32,
                   classifier->layers[layer].window.out_channels, weights_of_filter(classifier, layer));
}

struct fs_view fs_classifier_bias(const struct fs_classifier *classifier, float *parameters, int layer)
{
    const int64_t filters = classifier->layers[layer].window.out_channels;
    return fs_view(parameters + parameter_offset(classifier, layer) + filters * weights_of_filter(classifier, layer),
                   FS_F32, 1, filters);
}

static int64_t activation_size(const struct fs_classifier *classifier, int index)
{
    if (index == FS_CLASSIFIER_LAYERS) {
        return classifier->shape.classes;
    }
    const struct fs_window *window = &classifier->layers[index].window;
    return window->in_height * window->in_width * window->in_channels;
}

struct fs_view fs_classifier_activation(const struct fs_classifier *classifier, int index, int64_t count)
{
    return fs_view(classifier->activations[index], FS_F32, count, activation_size(classifier, index));
}

static fs_status check_shape(const struct fs_classifier_shape *shape, struct fs_error *error)
{
    if (shape->side < FS_CLASSIFIER_SIDE_MIN || shape->side > FS_CLASSIFIER_SIDE_MAX ||
        (shape->channels != 1 && shape->channels != 3) || shape->classes < 2 ||
        shape->classes > FS_CLASSIFIER_CLASSES_MAX) {
        return fs_fail(
            error, FS_USAGE,
            "a classifier takes squares of %d to %d pixels, grey or in colour, of 2 to %d classes; these are "
            "%d × %d × %d of %d",
            FS_CLASSIFIER_SIDE_MIN, FS_CLASSIFIER_SIDE_MAX, FS_CLASSIFIER_CLASSES_MAX, shape->side, shape->side,
            shape->channels, shape->classes);
    }
    return FS_OK;
}

fs_status fs_classifier_create(struct fs_backend *backend, const struct fs_classifier_shape *shape, int64_t batch_max,
                               struct fs_classifier *classifier, struct fs_error *error)
{
    *classifier = (struct fs_classifier){.backend = backend, .shape = *shape, .batch_max = batch_max};
    FS_TRY(check_shape(shape, error));
    if (backend->real != FS_F32) {
        return fs_fail(error, FS_USAGE, "a classifier: the backend '%s' does not compute in float32", backend->name);
    }
    fs_classifier_layers(shape, classifier->layers);
    classifier->parameters =
        backend->allocate(backend, (size_t)fs_classifier_parameter_count(classifier) * sizeof(float), error);
    bool complete = classifier->parameters != NULL;
    for (int i = 0; complete && i <= FS_CLASSIFIER_LAYERS; i++) {
        classifier->activations[i] =
            backend->allocate(backend, (size_t)(batch_max * activation_size(classifier, i)) * sizeof(float), error);
        complete = classifier->activations[i] != NULL;
    }
    return complete ? FS_OK : FS_FAILED;
}

void fs_classifier_destroy(struct fs_classifier *classifier)
{
    struct fs_backend *backend = classifier->backend;
    for (int i = 0; i <= FS_CLASSIFIER_LAYERS; i++) {
        if (classifier->activations[i]) {
            backend->release(backend, classifier->activations[i]);
        }
    }
    if (classifier->parameters) {
        backend->release(backend, classifier->parameters);
    }
    *classifier = (struct fs_classifier){0};
}

void fs_classifier_forward(struct fs_classifier *classifier, int64_t count, int last)
{
    for (int i = 0; i < last; i++) {
        const struct fs_classifier_layer *layer = &classifier->layers[i];
        classifier->backend->convolution_forward(
            classifier->backend, fs_classifier_activation(classifier, i + 1, count),
            fs_classifier_activation(classifier, i, count), fs_classifier_weight(classifier, classifier->parameters, i),
            fs_classifier_bias(classifier, classifier->parameters, i), &layer->window, layer->relu);
    }
}

/* --- its file --- */

struct tensor_names {
    char text[TENSORS][32];
};

/* The file's tensors, weight and bias of each layer in turn, over `parameters` on the host. */
static void describe_tensors(const struct fs_classifier *classifier, float *parameters, struct tensor_names *names,
                             struct fs_tensor tensors[TENSORS])
{
    for (int i = 0; i < FS_CLASSIFIER_LAYERS; i++) {
        const struct fs_classifier_layer *layer = &classifier->layers[i];
        const struct fs_window *window = &layer->window;
        struct fs_tensor *weight = &tensors[2 * i], *bias = &tensors[2 * i + 1];
        snprintf(names->text[2 * i], sizeof names->text[0], "%s.weight", layer->name);
        snprintf(names->text[2 * i + 1], sizeof names->text[0], "%s.bias", layer->name);
        *weight = (struct fs_tensor){
            .name = names->text[2 * i],
            .type = FS_F32,
            .rank = 4,
            .shape = {window->out_channels, window->in_channels, window->kernel_height, window->kernel_width},
            .data = fs_classifier_weight(classifier, parameters, i).data};
        *bias = (struct fs_tensor){.name = names->text[2 * i + 1],
                                   .type = FS_F32,
                                   .rank = 1,
                                   .shape = {window->out_channels},
                                   .data = fs_classifier_bias(classifier, parameters, i).data};
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

static fs_status copy_tensors(const struct fs_classifier *classifier, const char *path,
                              const struct fs_tensor_file *file, float *parameters, struct fs_error *error)
{
    struct tensor_names names;
    struct fs_tensor expected[TENSORS];
    describe_tensors(classifier, parameters, &names, expected);
    int64_t offset = 0;
    for (int i = 0; i < TENSORS; i++) {
        const struct fs_tensor *tensor = fs_tensor_find(file, expected[i].name);
        if (!tensor || tensor->type != FS_F32 || tensor->rank != expected[i].rank ||
            memcmp(tensor->shape, expected[i].shape, (size_t)tensor->rank * sizeof *tensor->shape) != 0) {
            return fs_fail(error, FS_USAGE, "%s: no float32 tensor %s of the shape that this classifier has", path,
                           expected[i].name);
        }
        memcpy(parameters + offset, tensor->data, (size_t)element_count(tensor) * sizeof *parameters);
        offset += element_count(tensor);
    }
    return FS_OK;
}

fs_status fs_classifier_read_shape(const char *path, struct fs_classifier_shape *shape, struct fs_error *error)
{
    struct fs_tensor_file file;
    int width = 0;
    *shape = (struct fs_classifier_shape){0};
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const char *network = fs_tensor_metadata_find(&file, "network"), *input = fs_tensor_metadata_find(&file, "input");
    const struct fs_tensor *bias = fs_tensor_find(&file, "logits.bias");
    const bool good = network && strcmp(network, "fashion-cnn") == 0 && input && bias && bias->rank == 1 &&
                      bias->shape[0] <= FS_CLASSIFIER_CLASSES_MAX &&
                      sscanf(input, "%3dx%3dx%1d in [-1, 1]", &shape->side, &width, &shape->channels) == 3 &&
                      width == shape->side;
    shape->classes = good ? (int)bias->shape[0] : 0;
    fs_tensor_file_free(&file);
    if (!good) {
        return fs_fail(error, FS_USAGE, "%s: no classifier that `fewstep extractor` makes", path);
    }
    return check_shape(shape, error) == FS_OK ? FS_OK : fs_fail_in(error, "%s", path);
}

fs_status fs_classifier_read(struct fs_classifier *classifier, const char *path, struct fs_error *error)
{
    const size_t count = (size_t)fs_classifier_parameter_count(classifier);
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    float *parameters = fs_allocate(count, sizeof *parameters, "the weights of a classifier", error);
    fs_status status = parameters ? copy_tensors(classifier, path, &file, parameters, error) : FS_FAILED;
    if (status == FS_OK) {
        classifier->backend->upload(classifier->backend, classifier->parameters, parameters,
                                    count * sizeof *parameters);
        status = classifier->backend->synchronise(classifier->backend, error);
    }
    free(parameters);
    fs_tensor_file_free(&file);
    return status;
}

/* The network is called after the first that had its layers. */
fs_status fs_classifier_write(struct fs_classifier *classifier, const char *path, struct fs_error *error)
{
    const size_t count = (size_t)fs_classifier_parameter_count(classifier);
    char input[64];
    snprintf(input, sizeof input, "%dx%dx%d in [-1, 1]", classifier->shape.side, classifier->shape.side,
             classifier->shape.channels);
    const struct fs_tensor_metadata metadata[] = {{"network", "fashion-cnn"}, {"input", input}};
    struct tensor_names names;
    struct fs_tensor tensors[TENSORS];
    float *parameters = fs_allocate(count, sizeof *parameters, "the weights of a classifier", error);
    if (!parameters) {
        return FS_FAILED;
    }
    classifier->backend->download(classifier->backend, parameters, classifier->parameters, count * sizeof *parameters);
    describe_tensors(classifier, parameters, &names, tensors);
    fs_status status = classifier->backend->synchronise(classifier->backend, error);
    if (status == FS_OK) {
        status = fs_tensor_file_write(path, tensors, TENSORS, metadata, 2, error);
    }
    free(parameters);
    return status;
}

/* --- the extractor --- */

struct extractor_state {
    struct fs_classifier classifier;
    struct fs_tap taps[2];
    char name[64];
    float *pictures; /* a batch on the host, in [−1, 1] */
};

/* Pictures `first` … first + count − 1, of `numbers` each, in [−1, 1]. */
static void scale_pictures(const struct fs_image_batch *batch, int64_t first, int64_t count, int64_t numbers,
                           float *out)
{
    if (batch->is_uint8) {
        const uint8_t *in = (const uint8_t *)batch->pixels + first * numbers;
        for (int64_t i = 0; i < count * numbers; i++) {
            out[i] = (float)in[i] / 127.5F - 1.0F;
        }
    } else {
        const float *in = (const float *)batch->pixels + first * numbers;
        const float scale = 2.0F / (batch->high - batch->low), offset = -1.0F - batch->low * scale;
        for (int64_t i = 0; i < count * numbers; i++) {
            out[i] = in[i] * scale + offset;
        }
    }
}

static fs_status check_batch(const struct extractor_state *state, const struct fs_image_batch *batch,
                             struct fs_error *error)
{
    const struct fs_classifier_shape *shape = &state->classifier.shape;
    if (batch->height != shape->side || batch->width != shape->side || batch->channels != shape->channels) {
        return fs_fail(error, FS_USAGE, "%s takes pictures of %d × %d × %d, these are %lld × %lld × %lld", state->name,
                       shape->side, shape->side, shape->channels, (long long)batch->height, (long long)batch->width,
                       (long long)batch->channels);
    }
    if (!batch->is_uint8 && !(batch->high > batch->low)) {
        return fs_fail(error, FS_USAGE, "%s: pictures that span %g … %g: expected low < high", state->name,
                       (double)batch->low, (double)batch->high);
    }
    return FS_OK;
}

static fs_status extract(struct fs_extractor *extractor, const struct fs_image_batch *batch, float *const *features,
                         struct fs_error *error)
{
    struct extractor_state *state = extractor->state;
    struct fs_classifier *classifier = &state->classifier;
    struct fs_backend *backend = classifier->backend;
    const int64_t numbers = fs_classifier_pixels(&classifier->shape);
    FS_TRY(check_batch(state, batch, error));
    const int last = features[1] ? FS_CLASSIFIER_LAYERS : PENULTIMATE;
    for (int64_t first = 0; (features[0] || features[1]) && first < batch->count; first += BATCH_MAX) {
        const int64_t rest = batch->count - first, count = rest < BATCH_MAX ? rest : BATCH_MAX;
        scale_pictures(batch, first, count, numbers, state->pictures);
        backend->upload(backend, classifier->activations[0], state->pictures,
                        (size_t)(count * numbers) * sizeof(float));
        fs_classifier_forward(classifier, count, last);
        for (int tap = 0; tap < 2; tap++) {
            const int64_t dim = state->taps[tap].dim;
            if (features[tap]) {
                backend->download(backend, features[tap] + first * dim, classifier->activations[PENULTIMATE + tap],
                                  (size_t)(count * dim) * sizeof(float));
            }
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
        fs_classifier_destroy(&state->classifier);
        free(state->pictures);
        free(state);
    }
    *extractor = (struct fs_extractor){0};
}

/* The file's name without folder and ending. */
static void name_of(const char *path, char name[64])
{
    const char *slash = strrchr(path, '/'), *begin = slash ? slash + 1 : path;
    const size_t length = strlen(begin) - (fs_ends_with(begin, ".safetensors") ? strlen(".safetensors") : 0);
    snprintf(name, 64, "%.*s", (int)(length < 50 ? length : 50), begin);
}

static fs_status load(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error)
{
    struct extractor_state *state = extractor->state;
    struct fs_classifier_shape shape;
    FS_TRY(fs_sha256_file(extractor->path, extractor->sha256, error));
    FS_TRY(fs_classifier_read_shape(extractor->path, &shape, error));
    FS_TRY(fs_classifier_create(backend, &shape, BATCH_MAX, &state->classifier, error));
    FS_TRY(fs_classifier_read(&state->classifier, extractor->path, error));
    name_of(extractor->path, state->name);
    state->taps[0] = (struct fs_tap){"penultimate", FS_CLASSIFIER_FEATURES};
    state->taps[1] = (struct fs_tap){"logits", shape.classes};
    state->pictures =
        fs_allocate(BATCH_MAX, (size_t)fs_classifier_pixels(&shape) * sizeof(float), "a batch of pictures", error);
    extractor->name = state->name;
    snprintf(extractor->label, sizeof extractor->label, "%.50s %.8s", state->name, extractor->sha256);
    extractor->channels = shape.channels;
    extractor->side = shape.side;
    extractor->taps = state->taps;
    return state->pictures ? FS_OK : FS_FAILED;
}

fs_status fs_classifier_open(struct fs_backend *backend, const char *path, struct fs_extractor *extractor,
                             struct fs_error *error)
{
    *extractor = (struct fs_extractor){.tap_count = 2, .batch_max = BATCH_MAX, .extract = extract, .destroy = destroy};
    FS_TRY(fs_path(extractor->path, error, "%s", path));
    struct extractor_state *state = fs_allocate(1, sizeof *state, "an extractor", error);
    if (!state) {
        return FS_FAILED;
    }
    extractor->state = state;
    state->classifier.backend = backend;
    const fs_status status = load(backend, extractor, error);
    if (status != FS_OK) {
        destroy(extractor);
    }
    return status;
}
