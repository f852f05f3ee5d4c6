/* The recipe that fashion-cnn was trained by: AdamW on the softmax cross-entropy over slightly moved pictures. */
#include "metrics/train_fashion_cnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define SIDE 28

/* What a draw of FS_STREAM_CLASSIFIER is for, in the key's `step`. */
enum draw { DRAW_WEIGHTS, DRAW_ORDER, DRAW_MOVE };

struct fs_fashion_cnn_recipe fs_fashion_cnn_recipe(void)
{
    return (struct fs_fashion_cnn_recipe){
        .epochs = 8, .batch = 128, .learning_rate = 2e-3F, .weight_decay = 0.05F, .seed = 0, .accuracy = 0.91};
}

struct trainer {
    struct fs_backend *backend;
    const struct fs_fashion_cnn_recipe *recipe;
    const struct fs_labelled_pictures *train;
    struct fs_fashion_cnn cnn;
    float *gradients, *moment1, *moment2;           /* in the backend's memory, laid out as the parameters */
    float *dactivations[FS_FASHION_CNN_LAYERS + 1]; /* in the backend's memory; [0] is not needed */
    float *pictures, *logits;                       /* a batch on the host */
    int32_t *labels;                                /* of the batch */
    int64_t *order;                                 /* of the epoch */
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
static void move_picture(const uint8_t *pixels, int down, int right, bool mirrored, float *out)
{
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            const int row = i - down, column = (mirrored ? SIDE - 1 - j : j) - right;
            const bool inside = row >= 0 && row < SIDE && column >= 0 && column < SIDE;
            out[i * SIDE + j] = inside ? (float)pixels[row * SIDE + column] / 127.5F - 1.0F : -1.0F;
        }
    }
}

static void gather_batch(struct trainer *trainer, int64_t update, int64_t first)
{
    const struct fs_random_key key = key_of(trainer, DRAW_MOVE, update);
    for (int row = 0; row < trainer->recipe->batch; row++) {
        const int64_t index = trainer->order[first + row];
        uint32_t words[4];
        fs_random_words(key, (uint32_t)row, 0, words);
        move_picture(trainer->train->pixels + index * FS_FASHION_CNN_PIXELS, (int)(words[0] % 3) - 1,
                     (int)(words[1] % 3) - 1, words[2] % 2 == 1, trainer->pictures + row * FS_FASHION_CNN_PIXELS);
        trainer->labels[row] = trainer->train->labels[index];
    }
}

/* --- an update --- */

/* The batch's mean cross-entropy; logits become its gradient, softmax − 1 at the label, over the batch. */
static double cross_entropy(float *logits, const int32_t *labels, int64_t count)
{
    double loss = 0;
    for (int64_t row = 0; row < count; row++) {
        float *z = logits + row * FS_FASHION_CNN_CLASSES;
        double sum = 0, largest = z[0], exponential[FS_FASHION_CNN_CLASSES];
        for (int k = 1; k < FS_FASHION_CNN_CLASSES; k++) {
            largest = fmax(largest, z[k]);
        }
        for (int k = 0; k < FS_FASHION_CNN_CLASSES; k++) {
            exponential[k] = exp(z[k] - largest);
            sum += exponential[k];
        }
        loss += (log(sum) + largest - z[labels[row]]) / (double)count;
        for (int k = 0; k < FS_FASHION_CNN_CLASSES; k++) {
            z[k] = (float)((exponential[k] / sum - (k == labels[row] ? 1 : 0)) / (double)count);
        }
    }
    return loss;
}

/* From the gradient of the logits to that of every parameter. */
static void backward(struct trainer *trainer, int64_t count)
{
    struct fs_backend *backend = trainer->backend;
    struct fs_fashion_cnn *cnn = &trainer->cnn;
    backend->fill(backend, fs_view(trainer->gradients, FS_F32, 1, fs_fashion_cnn_parameter_count()), 0);
    for (int i = FS_FASHION_CNN_LAYERS - 1; i >= 0; i--) {
        const struct fs_fashion_cnn_layer *layer = fs_fashion_cnn_layer(i);
        struct fs_view x = fs_fashion_cnn_activation(cnn, i, count), y = fs_fashion_cnn_activation(cnn, i + 1, count);
        struct fs_view dx = x, dy = y;
        dx.data = trainer->dactivations[i];
        dy.data = trainer->dactivations[i + 1];
        backend->convolution_backward(backend, dx, fs_fashion_cnn_weight(trainer->gradients, i),
                                      fs_fashion_cnn_bias(trainer->gradients, i), dy, x, layer->relu ? y : fs_no_view(),
                                      fs_fashion_cnn_weight(cnn->parameters, i), &layer->window);
    }
}

static fs_status train_batch(struct trainer *trainer, int64_t update, int64_t updates, double *loss,
                             struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    struct fs_fashion_cnn *cnn = &trainer->cnn;
    const int64_t count = trainer->recipe->batch, parameters = fs_fashion_cnn_parameter_count();
    const size_t logits_size = (size_t)(count * FS_FASHION_CNN_CLASSES) * sizeof(float);
    backend->upload(backend, cnn->activations[0], trainer->pictures,
                    (size_t)(count * FS_FASHION_CNN_PIXELS) * sizeof(float));
    fs_fashion_cnn_forward(cnn, count, FS_FASHION_CNN_LAYERS);
    FS_TRY(backend->synchronise(backend, error));
    backend->download(backend, trainer->logits, cnn->activations[FS_FASHION_CNN_LAYERS], logits_size);
    *loss = cross_entropy(trainer->logits, trainer->labels, count);
    if (!isfinite(*loss)) {
        return fs_fail(error, FS_FAILED, "fashion-cnn: the loss is not finite at update %lld", (long long)update);
    }
    backend->upload(backend, trainer->dactivations[FS_FASHION_CNN_LAYERS], trainer->logits, logits_size);
    backward(trainer, count);
    const float left = 1.0F - (float)(update - 1) / (float)updates;
    const struct fs_adamw adamw = {.learning_rate = trainer->recipe->learning_rate * left,
                                   .beta1 = 0.9F,
                                   .beta2 = 0.999F,
                                   .epsilon = 1e-8F,
                                   .weight_decay = trainer->recipe->weight_decay,
                                   .update = update};
    const struct fs_view averages[2] = {fs_no_view(), fs_no_view()};
    backend->adamw(backend, &adamw, fs_view(cnn->parameters, FS_F32, 1, parameters),
                   fs_view(trainer->gradients, FS_F32, 1, parameters), fs_view(trainer->moment1, FS_F32, 1, parameters),
                   fs_view(trainer->moment2, FS_F32, 1, parameters), averages);
    return backend->synchronise(backend, error);
}

/* --- the whole --- */

/* N(0, 2/inputs) for each weight (He et al. 2015), biases 0. */
static fs_status initialise(struct trainer *trainer, struct fs_error *error)
{
    const size_t count = (size_t)fs_fashion_cnn_parameter_count();
    float *parameters = fs_allocate(count, sizeof *parameters, "the weights of fashion-cnn", error);
    if (!parameters) {
        return FS_FAILED;
    }
    for (int i = 0; i < FS_FASHION_CNN_LAYERS; i++) {
        const struct fs_view weight = fs_fashion_cnn_weight(parameters, i);
        const float deviation = sqrtf(2.0F / (float)weight.cols);
        for (int64_t row = 0; row < weight.rows; row++) {
            for (int64_t j = 0; j < weight.cols; j++) {
                float normals[4];
                fs_normals4(key_of(trainer, DRAW_WEIGHTS, i), (uint32_t)row, (uint32_t)(j / 4), normals);
                ((float *)weight.data)[row * weight.cols + j] = deviation * normals[j % 4];
            }
        }
    }
    trainer->backend->upload(trainer->backend, trainer->cnn.parameters, parameters, count * sizeof *parameters);
    free(parameters);
    return FS_OK;
}

static fs_status trainer_create(struct trainer *trainer, struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    const size_t batch = (size_t)trainer->recipe->batch, count = (size_t)fs_fashion_cnn_parameter_count();
    FS_TRY(fs_fashion_cnn_create(backend, (int64_t)batch, &trainer->cnn, error));
    float **const flat[] = {&trainer->gradients, &trainer->moment1, &trainer->moment2};
    for (int i = 0; i < 3; i++) {
        if (!(*flat[i] = backend->allocate(backend, count * sizeof(float), error))) {
            return FS_FAILED;
        }
    }
    for (int i = 1; i <= FS_FASHION_CNN_LAYERS; i++) {
        const size_t width = (size_t)fs_fashion_cnn_activation(&trainer->cnn, i, 1).cols;
        if (!(trainer->dactivations[i] = backend->allocate(backend, batch * width * sizeof(float), error))) {
            return FS_FAILED;
        }
    }
    trainer->pictures = fs_allocate(batch, FS_FASHION_CNN_PIXELS * sizeof(float), "a batch of pictures", error);
    trainer->logits = fs_allocate(batch, FS_FASHION_CNN_CLASSES * sizeof(float), "a batch of logits", error);
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
    for (int i = 1; i <= FS_FASHION_CNN_LAYERS; i++) {
        if (trainer->dactivations[i]) {
            backend->release(backend, trainer->dactivations[i]);
        }
    }
    free(trainer->pictures);
    free(trainer->logits);
    free(trainer->labels);
    free(trainer->order);
    fs_fashion_cnn_destroy(&trainer->cnn);
}

static fs_status train_epochs(struct trainer *trainer, const struct fs_fashion_cnn_watch *watch, struct fs_error *error)
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

fs_status fs_fashion_cnn_accuracy(struct fs_fashion_cnn *cnn, const struct fs_labelled_pictures *pictures,
                                  double *accuracy, struct fs_error *error)
{
    const size_t batch = (size_t)cnn->batch_max;
    struct fs_backend *backend = cnn->backend;
    int64_t right = 0;
    float *images = fs_allocate(batch, FS_FASHION_CNN_PIXELS * sizeof *images, "a batch of pictures", error);
    float *logits = fs_allocate(batch, FS_FASHION_CNN_CLASSES * sizeof *logits, "a batch of logits", error);
    fs_status status = images && logits ? FS_OK : FS_FAILED;
    for (int64_t first = 0; status == FS_OK && first < pictures->count; first += cnn->batch_max) {
        const int64_t rest = pictures->count - first, count = rest < cnn->batch_max ? rest : cnn->batch_max;
        for (int64_t i = 0; i < count; i++) {
            move_picture(pictures->pixels + (first + i) * FS_FASHION_CNN_PIXELS, 0, 0, false,
                         images + i * FS_FASHION_CNN_PIXELS);
        }
        backend->upload(backend, cnn->activations[0], images, (size_t)(count * FS_FASHION_CNN_PIXELS) * sizeof *images);
        fs_fashion_cnn_forward(cnn, count, FS_FASHION_CNN_LAYERS);
        status = backend->synchronise(backend, error);
        backend->download(backend, logits, cnn->activations[FS_FASHION_CNN_LAYERS],
                          (size_t)(count * FS_FASHION_CNN_CLASSES) * sizeof *logits);
        for (int64_t i = 0; i < count; i++) {
            const float *z = logits + i * FS_FASHION_CNN_CLASSES;
            int best = 0;
            for (int k = 1; k < FS_FASHION_CNN_CLASSES; k++) {
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
        return fs_fail(error, FS_USAGE, "fashion-cnn: %lld %s pictures: expected %lld or more",
                       (long long)pictures->count, what, (long long)at_least);
    }
    for (int64_t i = 0; i < pictures->count; i++) {
        if (pictures->labels[i] < 0 || pictures->labels[i] >= FS_FASHION_CNN_CLASSES) {
            return fs_fail(error, FS_USAGE, "fashion-cnn: %s picture %lld has the label %d: expected 0 to 9", what,
                           (long long)i, (int)pictures->labels[i]);
        }
    }
    return FS_OK;
}

fs_status fs_fashion_cnn_train(struct fs_backend *backend, const struct fs_fashion_cnn_recipe *recipe,
                               const struct fs_labelled_pictures *train, const struct fs_labelled_pictures *test,
                               const char *output, const struct fs_fashion_cnn_watch *watch,
                               struct fs_fashion_cnn_result *result, struct fs_error *error)
{
    *result = (struct fs_fashion_cnn_result){0};
    if (!backend->convolution_backward) {
        return fs_fail(error, FS_USAGE, "fashion-cnn is trained on the CPU only, not on the backend '%s'",
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
        status = fs_fashion_cnn_accuracy(&trainer.cnn, test, &result->accuracy, error);
    }
    if (status == FS_OK && result->accuracy < recipe->accuracy) {
        status = fs_fail(error, FS_FAILED,
                         "fashion-cnn: a test accuracy of %.2f %%, below the %.2f %% asked for: %s "
                         "was not written",
                         100 * result->accuracy, 100 * recipe->accuracy, output);
    }
    if (status == FS_OK) {
        status = fs_fashion_cnn_write(&trainer.cnn, output, error);
    }
    if (status == FS_OK) {
        status = fs_sha256_file(output, result->sha256, error);
    }
    trainer_destroy(&trainer);
    return status;
}
