/* The exact velocity of a training set, against the same in float64 over all its pictures, and against the closed form
 * of the mixture that a large one was drawn from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/mixture.h"
#include "harness/sample/exact_velocity.h"
#include "kernels/base/random.h"
#include "tests/support/folder.h"
#include "tests/support/pictures.h"

#define ROWS 13

static struct fs_error error;
static struct fs_backend *backend;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* The definition: softmax over pictures of −|x − t·x1|²/(2a²), then the mean of x1 − (1 − σ)·(x − t·x1)/a. */
static void brute_force(const struct fs_dataset *data, const struct fs_config *config, const float *x, double t,
                        int32_t label, double *velocity)
{
    const int64_t dim = fs_shape_dim(&data->shape), count = data->shape.count;
    const double a = 1 - (1 - FS_SIGMA) * t;
    float *picture = malloc((size_t)dim * sizeof *picture);
    double *logits = malloc((size_t)count * sizeof *logits), largest = -INFINITY, sum = 0;

    for (int64_t i = 0; i < count; i++) {
        const bool member = config->model.classes == 0 || label == config->model.classes ||
                            fs_config_label(config, data->labels[i]) == label;
        double square = 0;
        good(fs_dataset_read(data, i, picture, &error));
        for (int64_t d = 0; d < dim; d++) {
            square += pow((double)x[d] - t * (double)picture[d], 2);
        }
        logits[i] = member ? -square / (2 * a * a) : (double)-INFINITY;
        largest = fmax(largest, logits[i]);
    }
    memset(velocity, 0, (size_t)dim * sizeof *velocity);
    for (int64_t i = 0; i < count; i++) {
        const double share = exp(logits[i] - largest);
        sum += share;
        if (share > 0) {
            good(fs_dataset_read(data, i, picture, &error));
            for (int64_t d = 0; d < dim; d++) {
                const double x1 = (double)picture[d];
                velocity[d] += share * (x1 - (1 - FS_SIGMA) * ((double)x[d] - t * x1) / a);
            }
        }
    }
    for (int64_t d = 0; d < dim; d++) {
        velocity[d] /= sum;
    }
    free(logits);
    free(picture);
}

/* Rows near the data at times on and off the grid, of each label and of none. */
static void compare(const struct fs_dataset *data, int classes, int groups)
{
    static const float times[ROWS] = {0,       0.0078125F, 0.1F, 0.25F,  1.0F / 3, 0.5F,      0.6F,
                                      0.7777F, 0.875F,     0.9F, 0.984F, 0.9921F,  0.9921875F};
    const int64_t dim = fs_shape_dim(&data->shape);
    struct fs_config config = {.dataset = {.classes = classes, .groups = groups},
                               .model = {.classes = groups == 1  ? 0
                                                    : groups > 0 ? groups
                                                                 : classes}};
    struct fs_exact_velocity *exact;
    struct fs_view x, velocity;
    float *host = malloc((size_t)(ROWS * dim) * sizeof *host), *drawn = malloc((size_t)(ROWS * dim) * sizeof *drawn);
    double *expected = malloc((size_t)dim * sizeof *expected), worst = 0;
    int32_t labels[ROWS];

    good(fs_exact_velocity_open(&exact, backend, &config, data, ROWS, &error));
    good(fs_view_create(backend, ROWS, dim, &x, &error));
    good(fs_view_create(backend, ROWS, dim, &velocity, &error));
    for (int i = 0; i < ROWS; i++) {
        labels[i] = config.model.classes ? i % (config.model.classes + 1) : 0;
        good(fs_dataset_read(data, (17 * i + 5) % data->shape.count, host + i * dim, &error));
        for (int64_t d = 0; d < dim; d++) {
            const struct fs_random_key key = {.seed = 3, .stream = FS_STREAM_TEST};
            float noise[4];
            fs_normals4(key, (uint32_t)i, (uint32_t)d, noise);
            host[i * dim + d] = times[i] * host[i * dim + d] + (1 - times[i]) * noise[0];
        }
    }
    backend->upload(backend, x.data, host, (size_t)(ROWS * dim) * sizeof *host);
    good(fs_exact_velocity(exact, velocity, x, times, labels, &error));
    backend->download(backend, drawn, velocity.data, (size_t)(ROWS * dim) * sizeof *drawn);
    good(backend->synchronise(backend, &error));
    for (int i = 0; i < ROWS; i++) {
        double difference = 0, size = 0;
        brute_force(data, &config, host + i * dim, (double)times[i], labels[i], expected);
        for (int64_t d = 0; d < dim; d++) {
            difference += pow((double)drawn[i * dim + d] - expected[d], 2);
            size += expected[d] * expected[d];
        }
        worst = fmax(worst, sqrt(difference / size));
    }
    if (!(worst < 2e-5)) {
        fail_msg("relative error %g with %d classes in %d groups", worst, classes, groups);
    }
    backend->release(backend, x.data);
    backend->release(backend, velocity.data);
    fs_exact_velocity_close(exact);
    free(expected);
    free(drawn);
    free(host);
}

static void equals_the_definition_in_float64(void **state)
{
    struct fs_dataset_config config = {.name = "few", .kind = "idx"};
    struct fs_dataset data;

    (void)state;
    snprintf(config.path, sizeof config.path, "%s", test_path("data"));
    test_small_fashion_mnist(config.path, 301, 20);
    good(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error));
    compare(&data, 10, 0);
    compare(&data, 10, 5);
    compare(&data, 10, 2);
    compare(&data, 10, 1);
    compare(&data, 0, 0);
    fs_dataset_close(&data);
}

/* 60,000 draws of the mixture have its velocity but for their own number, where the noise is wider than their gaps. */
static void approaches_the_mixture_that_it_was_drawn_from(void **state)
{
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    const struct fs_config of = {.dataset = {.classes = 4}, .model = {.classes = 4}};
    const struct fs_mixture *mixture = fs_mixture_standard();
    struct fs_exact_velocity *exact;
    struct fs_dataset data;
    struct fs_view x, velocity;
    float times[ROWS], host[ROWS * 4], drawn[ROWS * 4];
    double difference = 0, size = 0;
    int32_t labels[ROWS];

    (void)state;
    good(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error));
    good(fs_exact_velocity_open(&exact, backend, &of, &data, ROWS, &error));
    good(fs_view_create(backend, ROWS, 4, &x, &error));
    good(fs_view_create(backend, ROWS, 4, &velocity, &error));
    for (int i = 0; i < ROWS; i++) {
        const struct fs_random_key key = {.seed = 4, .stream = FS_STREAM_TEST};
        float noise[4];
        times[i] = 0.6F * (float)i / ROWS;
        labels[i] = i % 5; /* the last is the null label */
        fs_normals4(key, (uint32_t)i, 0, noise);
        for (int d = 0; d < 4; d++) {
            host[4 * i + d] = times[i] * (float)mixture->mean[i % 4][d] + (1 - times[i]) * noise[d];
        }
    }
    backend->upload(backend, x.data, host, sizeof host);
    good(fs_exact_velocity(exact, velocity, x, times, labels, &error));
    backend->download(backend, drawn, velocity.data, sizeof drawn);
    good(backend->synchronise(backend, &error));
    for (int i = 0; i < ROWS; i++) {
        double row[4], expected[4];
        for (int d = 0; d < 4; d++) {
            row[d] = (double)host[4 * i + d];
        }
        fs_mixture_velocity(mixture, row, (double)times[i], labels[i], expected);
        for (int d = 0; d < 4; d++) {
            difference += pow((double)drawn[4 * i + d] - expected[d], 2);
            size += expected[d] * expected[d];
        }
    }
    if (!(sqrt(difference / size) < 0.02)) {
        fail_msg("relative distance %g", sqrt(difference / size));
    }
    backend->release(backend, x.data);
    backend->release(backend, velocity.data);
    fs_exact_velocity_close(exact);
    fs_dataset_close(&data);
}

/* In 128 steps the samples are pictures of the training set, each with its label. */
static void its_samples_are_training_pictures(void **state)
{
    struct fs_dataset_config config = {.name = "few", .kind = "idx"};
    struct fs_config of = {.dataset = {.classes = 10},
                           .model = {.classes = 10, .finest_steps = 128},
                           .train = {.updates = 1, .batch = 8},
                           .evaluate = {.guidance_scale = 1, .time_shift = 1}};
    struct fs_generator generator;
    struct fs_dataset data;
    float samples[20 * 784], picture[784];

    (void)state;
    snprintf(config.path, sizeof config.path, "%s", test_path("data"));
    good(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error));
    of.method = fs_method_find("shortcut"); /* whatever it is */
    good(fs_generator_open_exact(&generator, backend, &of, &data, &error));
    good(fs_generate(&generator, 5, 0, 20, 128, 1, samples, &error));
    for (int i = 0; i < 20; i++) {
        double nearest = INFINITY;
        int32_t label = -1;
        for (int64_t k = 0; k < data.shape.count; k++) {
            double square = 0;
            good(fs_dataset_read(&data, k, picture, &error));
            for (int d = 0; d < 784; d++) {
                square += pow((double)samples[784 * i + d] - (double)picture[d], 2);
            }
            label = square < nearest ? data.labels[k] : label;
            nearest = fmin(nearest, square);
        }
        assert_true(nearest / 784 < 1e-4);
        assert_int_equal(label, i % 10);
    }
    fs_generator_close(&generator);
    fs_dataset_close(&data);
}

static int setup(void **state)
{
    (void)state;
    backend = fs_cpu_backend(0, &error);
    return backend ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    backend->destroy(backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition_in_float64),
        cmocka_unit_test(approaches_the_mixture_that_it_was_drawn_from),
        cmocka_unit_test(its_samples_are_training_pictures),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
