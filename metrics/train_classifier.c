/* The recipe that fashion-cnn was trained by: AdamW on the softmax cross-entropy over slightly moved pictures. */
#include "metrics/train_classifier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

/* What a draw of FS_STREAM_CLASSIFIER is for, in the key's `step`. */
enum draw { DRAW_WEIGHTS, DRAW_ORDER, DRAW_MOVE };

struct fs_classifier_recipe fs_classifier_recipe(void)
{
    return (struct fs_classifier_recipe){
        .epochs = 8, .batch = 128, .learning_rate = 2e-3F, .weight_decay = 0.05F, .seed = 0, .accuracy = 0.91};
}

struct trainer {
    struct fs_backend *backend;
    const struct fs_classifier_recipe *recipe;
    const struct fs_labelled_pictures *train;
    struct fs_classifier classifier;
    float *gradients, *moment1, *moment2;          /* in the backend's memory, laid out as the parameters */
    float *dactivations[FS_CLASSIFIER_LAYERS + 1]; /* in the backend's memory; [0] is not needed */
    float *pictures, *logits;                      /* a batch on the host */
    int32_t *labels;                               /* of the batch */
    int64_t *order;                                /* of the epoch */
};

static struct fs_random_key key_of(const struct trainer *trainer, enum draw draw, int64_t update)
{
    return (struct fs_random_key){
        .seed = trainer->recipe->seed, .stream = FS_STREAM_CLASSIFIER, .update = (uint32_t)update, .step = draw};
}

/* --- pictures --- */

/* Fisher and Yates's shuffle. */
static void shuffle(struct trainer *trainer, int epoch)
{
    const struct fs_random_key key = key_of(trainer, DRAW_ORDER, epoch);
    for (int64_t i = 0; i < trainer->train->count; i++) {
        const int64_t j = fs_random_below(key, 0, (uint32_t)i, (uint32_t)i + 1);
        trainer->order[i] = trainer->order[j];
        trainer->order[j] = i;
    }
}

/* A picture in [−1, 1], moved by `down` and `right` pixels; what moves in from outside is black. */
static void move_picture(const struct fs_classifier_shape *shape, const uint8_t *pixels, int down, int right,
                         bool mirrored, float *out)
{
    const int side = shape->side, channels = shape->channels;
    for (int i = 0; i < side; i++) {
        for (int j = 0; j < side; j++) {
            const int row = i - down, column = (mirrored ? side - 1 - j : j) - right;
            const bool inside = row >= 0 && row < side && column >= 0 && column < side;
            for (int c = 0; c < channels; c++) {
                out[(i * side + j) * channels + c] =
                    inside ? (float)pixels[(row * side + column) * channels + c] / 127.5F - 1.0F : -1.0F;
            }
        }
    }
}

static void gather_batch(struct trainer *trainer, int64_t update, int64_t first)
{
    const struct fs_random_key key = key_of(trainer, DRAW_MOVE, update);
    const struct fs_classifier_shape *shape = &trainer->classifier.shape;
    const int64_t numbers = fs_classifier_pixels(shape);
    for (int row = 0; row < trainer->recipe->batch; row++) {
        const int64_t index = trainer->order[first + row];
        uint32_t words[4];
        fs_random_words(key, (uint32_t)row, 0, words);
        move_picture(shape, trainer->train->pixels + index * numbers, (int)(words[0] % 3) - 1, (int)(words[1] % 3) - 1,
                     words[2] % 2 == 1, trainer->pictures + row * numbers);
        trainer->labels[row] = trainer->train->labels[index];
    }
}

/* --- an update --- */

/* The batch's mean cross-entropy; logits become its gradient, softmax − 1 at the label, over the batch. */
static double cross_entropy(float *logits, int classes, const int32_t *labels, int64_t count)
{
    double loss = 0;
    for (int64_t row = 0; row < count; row++) {
        float *z = logits + row * classes;
        double sum = 0, largest = z[0], exponential[FS_CLASSIFIER_CLASSES_MAX];
        for (int k = 1; k < classes; k++) {
            largest = fmax(largest, z[k]);
        }
        for (int k = 0; k < classes; k++) {
            exponential[k] = exp(z[k] - largest);
            sum += exponential[k];
        }
        /* cppcheck-suppress invalidFunctionArg ; there is one class or more, so the sum is not 0 */
        loss += (log(sum) + largest - z[labels[row]]) / (double)count;
        for (int k = 0; k < classes; k++) {
            z[k] = (float)((exponential[k] / sum - (k == labels[row] ? 1 : 0)) / (double)count);
        }
    }
    return loss;
}

/* From the gradient of the logits to that of every parameter. */
static void backward(struct trainer *trainer, int64_t count)
{
    struct fs_backend *backend = trainer->backend;
    struct fs_classifier *classifier = &trainer->classifier;
    backend->fill(backend, fs_view(trainer->gradients, FS_F32, 1, fs_classifier_parameter_count(&trainer->classifier)),
                  0);
    for (int i = FS_CLASSIFIER_LAYERS - 1; i >= 0; i--) {
        const struct fs_classifier_layer *layer = &classifier->layers[i];
        struct fs_view x = fs_classifier_activation(classifier, i, count),
                       y = fs_classifier_activation(classifier, i + 1, count);
        struct fs_view dx = x, dy = y;
        dx.data = trainer->dactivations[i];
        dy.data = trainer->dactivations[i + 1];
        backend->convolution_backward(backend, dx, fs_classifier_weight(&trainer->classifier, trainer->gradients, i),
                                      fs_classifier_bias(&trainer->classifier, trainer->gradients, i), dy, x,
                                      layer->relu ? y : fs_no_view(),
                                      fs_classifier_weight(classifier, classifier->parameters, i), &layer->window);
    }
}

static fs_status train_batch(struct trainer *trainer, int64_t update, int64_t updates, double *loss,
                             struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    struct fs_classifier *classifier = &trainer->classifier;
    const int64_t count = trainer->recipe->batch, parameters = fs_classifier_parameter_count(&trainer->classifier);
    const size_t logits_size = (size_t)(count * classifier->shape.classes) * sizeof(float);
    backend->upload(backend, classifier->activations[0], trainer->pictures,
                    (size_t)(count * fs_classifier_pixels(&classifier->shape)) * sizeof(float));
    fs_classifier_forward(classifier, count, FS_CLASSIFIER_LAYERS);
    FS_TRY(backend->synchronise(backend, error));
    backend->download(backend, trainer->logits, classifier->activations[FS_CLASSIFIER_LAYERS], logits_size);
    *loss = cross_entropy(trainer->logits, classifier->shape.classes, trainer->labels, count);
    if (!isfinite(*loss)) {
        return fs_fail(error, FS_FAILED, "classifier: the loss is not finite at update %lld", (long long)update);
    }
    backend->upload(backend, trainer->dactivations[FS_CLASSIFIER_LAYERS], trainer->logits, logits_size);
    backward(trainer, count);
    const float left = 1.0F - (float)(update - 1) / (float)updates;
    const struct fs_adamw adamw = {.learning_rate = trainer->recipe->learning_rate * left,
                                   .beta1 = 0.9F,
                                   .beta2 = 0.999F,
                                   .epsilon = 1e-8F,
                                   .weight_decay = trainer->recipe->weight_decay,
                                   .update = update};
    const struct fs_view averages[2] = {fs_no_view(), fs_no_view()};
    backend->adamw(backend, &adamw, fs_view(classifier->parameters, FS_F32, 1, parameters),
                   fs_view(trainer->gradients, FS_F32, 1, parameters), fs_view(trainer->moment1, FS_F32, 1, parameters),
                   fs_view(trainer->moment2, FS_F32, 1, parameters), averages);
    return backend->synchronise(backend, error);
}

/* --- the whole --- */

/* N(0, 2/inputs) for each weight (He et al. 2015), biases 0. */
static fs_status initialise(struct trainer *trainer, struct fs_error *error)
{
    const size_t count = (size_t)fs_classifier_parameter_count(&trainer->classifier);
    float *parameters = fs_allocate(count, sizeof *parameters, "the weights of a classifier", error);
    if (!parameters) {
        return FS_FAILED;
    }
    for (int i = 0; i < FS_CLASSIFIER_LAYERS; i++) {
        const struct fs_view weight = fs_classifier_weight(&trainer->classifier, parameters, i);
        const float deviation = sqrtf(2.0F / (float)weight.cols);
        for (int64_t row = 0; row < weight.rows; row++) {
            for (int64_t j = 0; j < weight.cols; j++) {
                float normals[4];
                fs_normals4(key_of(trainer, DRAW_WEIGHTS, i), (uint32_t)row, (uint32_t)(j / 4), normals);
                ((float *)weight.data)[row * weight.cols + j] = deviation * normals[j % 4];
            }
        }
    }
    trainer->backend->upload(trainer->backend, trainer->classifier.parameters, parameters, count * sizeof *parameters);
    free(parameters);
    return FS_OK;
}

static fs_status trainer_create(struct trainer *trainer, struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    const size_t batch = (size_t)trainer->recipe->batch;
    FS_TRY(fs_classifier_create(backend, &trainer->train->shape, (int64_t)batch, &trainer->classifier, error));
    const size_t count = (size_t)fs_classifier_parameter_count(&trainer->classifier);
    float **const flat[] = {&trainer->gradients, &trainer->moment1, &trainer->moment2};
    for (int i = 0; i < 3; i++) {
        if (!(*flat[i] = backend->allocate(backend, count * sizeof(float), error))) {
            return FS_FAILED;
        }
    }
    for (int i = 1; i <= FS_CLASSIFIER_LAYERS; i++) {
        const size_t width = (size_t)fs_classifier_activation(&trainer->classifier, i, 1).cols;
        if (!(trainer->dactivations[i] = backend->allocate(backend, batch * width * sizeof(float), error))) {
            return FS_FAILED;
        }
    }
    trainer->pictures = fs_allocate(batch, (size_t)fs_classifier_pixels(&trainer->train->shape) * sizeof(float),
                                    "a batch of pictures", error);
    trainer->logits =
        fs_allocate(batch, (size_t)trainer->train->shape.classes * sizeof(float), "a batch of logits", error);
    trainer->labels = fs_allocate(batch, sizeof(int32_t), "a batch of labels", error);
    trainer->order = fs_allocate((size_t)trainer->train->count, sizeof(int64_t), "an order of pictures", error);
    if (!trainer->pictures || !trainer->logits || !trainer->labels || !trainer->order) {
        return FS_FAILED;
    }
    return initialise(trainer, error);
}

static void trainer_destroy(struct trainer *trainer)
{
    struct fs_backend *backend = trainer->backend;
    float *const memory[] = {trainer->gradients, trainer->moment1, trainer->moment2};
    for (int i = 0; i < 3; i++) {
        if (memory[i]) {
            backend->release(backend, memory[i]);
        }
    }
    for (int i = 1; i <= FS_CLASSIFIER_LAYERS; i++) {
        if (trainer->dactivations[i]) {
            backend->release(backend, trainer->dactivations[i]);
        }
    }
    free(trainer->pictures);
    free(trainer->logits);
    free(trainer->labels);
    free(trainer->order);
    fs_classifier_destroy(&trainer->classifier);
}

static fs_status train_epochs(struct trainer *trainer, const struct fs_classifier_watch *watch, struct fs_error *error)
{
    const int batch = trainer->recipe->batch;
    const int64_t updates_each = trainer->train->count / batch, updates = trainer->recipe->epochs * updates_each;
    int64_t update = 0;
    for (int epoch = 0; epoch < trainer->recipe->epochs; epoch++) {
        shuffle(trainer, epoch);
        for (int64_t i = 0; i < updates_each; i++) {
            double loss;
            gather_batch(trainer, ++update, i * batch);
            FS_TRY(train_batch(trainer, update, updates, &loss, error));
            if (watch) {
                watch->update(watch->context, update, updates, loss);
            }
        }
    }
    return FS_OK;
}

fs_status fs_classifier_accuracy(struct fs_classifier *classifier, const struct fs_labelled_pictures *pictures,
                                 double *accuracy, struct fs_error *error)
{
    const size_t batch = (size_t)classifier->batch_max;
    const struct fs_classifier_shape *shape = &classifier->shape;
    const int64_t numbers = fs_classifier_pixels(shape);
    struct fs_backend *backend = classifier->backend;
    int64_t right = 0;
    float *images = fs_allocate(batch, (size_t)numbers * sizeof *images, "a batch of pictures", error);
    float *logits = fs_allocate(batch, (size_t)shape->classes * sizeof *logits, "a batch of logits", error);
    fs_status status = images && logits ? FS_OK : FS_FAILED;
    for (int64_t first = 0; status == FS_OK && first < pictures->count; first += classifier->batch_max) {
        const int64_t rest = pictures->count - first,
                      count = rest < classifier->batch_max ? rest : classifier->batch_max;
        for (int64_t i = 0; i < count; i++) {
            move_picture(shape, pictures->pixels + (first + i) * numbers, 0, 0, false, images + i * numbers);
        }
        backend->upload(backend, classifier->activations[0], images, (size_t)(count * numbers) * sizeof *images);
        fs_classifier_forward(classifier, count, FS_CLASSIFIER_LAYERS);
        status = backend->synchronise(backend, error);
        backend->download(backend, logits, classifier->activations[FS_CLASSIFIER_LAYERS],
                          (size_t)(count * shape->classes) * sizeof *logits);
        for (int64_t i = 0; i < count; i++) {
            const float *z = logits + i * shape->classes;
            int best = 0;
            for (int k = 1; k < shape->classes; k++) {
                best = z[k] > z[best] ? k : best;
            }
            right += best == pictures->labels[first + i];
        }
    }
    free(images);
    free(logits);
    *accuracy = (double)right / (double)pictures->count;
    return status;
}

static fs_status require_pictures(const struct fs_labelled_pictures *pictures, int64_t at_least, const char *what,
                                  struct fs_error *error)
{
    if (pictures->count < at_least || pictures->count > INT32_MAX) {
        return fs_fail(error, FS_USAGE, "classifier: %lld %s pictures: expected %lld or more",
                       (long long)pictures->count, what, (long long)at_least);
    }
    for (int64_t i = 0; i < pictures->count; i++) {
        if (pictures->labels[i] < 0 || pictures->labels[i] >= pictures->shape.classes) {
            return fs_fail(error, FS_USAGE, "classifier: %s picture %lld has the label %d: expected 0 to %d", what,
                           (long long)i, (int)pictures->labels[i], pictures->shape.classes - 1);
        }
    }
    return FS_OK;
}

fs_status fs_classifier_train(struct fs_backend *backend, const struct fs_classifier_recipe *recipe,
                              const struct fs_labelled_pictures *train, const struct fs_labelled_pictures *test,
                              const char *output, const struct fs_classifier_watch *watch,
                              struct fs_classifier_result *result, struct fs_error *error)
{
    *result = (struct fs_classifier_result){0};
    if (!backend->convolution_backward) {
        return fs_fail(error, FS_USAGE, "a classifier is trained on the CPU only, not on the backend '%s'",
                       backend->name);
    }
    FS_TRY(require_pictures(train, recipe->batch, "training", error));
    FS_TRY(require_pictures(test, 1, "test", error));
    struct trainer trainer = {.backend = backend, .recipe = recipe, .train = train};
    fs_status status = trainer_create(&trainer, error);
    if (status == FS_OK) {
        status = train_epochs(&trainer, watch, error);
    }
    if (status == FS_OK) {
        status = fs_classifier_accuracy(&trainer.classifier, test, &result->accuracy, error);
    }
    if (status == FS_OK && result->accuracy < recipe->accuracy) {
        status = fs_fail(error, FS_FAILED,
                         "classifier: a test accuracy of %.2f %%, below the %.2f %% asked for: %s "
                         "was not written",
                         100 * result->accuracy, 100 * recipe->accuracy, output);
    }
    if (status == FS_OK) {
        status = fs_classifier_write(&trainer.classifier, output, error);
    }
    if (status == FS_OK) {
        status = fs_sha256_file(output, result->sha256, error);
    }
    trainer_destroy(&trainer);
    return status;
}
