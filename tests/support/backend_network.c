#include "tests/support/backend_network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/reference/reference.h"
#include "tests/support/network.h"

static void expect_close(struct fs_backend *tested, struct fs_view got, struct fs_view want, double tolerance,
                         const char *what)
{
    double *values = test_download(tested, got);
    const double distance = test_relative_distance(values, want.data, want.cols * want.rows);
    free(values);
    if (!(distance <= tolerance)) {
        fail_msg("%s: a relative distance of %.3g from the reference", what, distance);
    }
}

void test_backend_network(struct fs_backend *tested, enum fs_type precision, double tolerance)
{
    struct fs_error error;
    const uint32_t seed = (uint32_t)time(NULL);
    struct fs_backend *reference = fs_reference_backend(&error);
    assert_non_null(reference);
    struct test_network want = test_network_create(reference, &test_network_config, 3, FS_F64, 0.15, seed);
    struct test_network got = test_network_create(tested, &test_network_config, 3, precision, 0.15, seed);
    test_network_pass(&want, 0, 3);
    test_network_pass(&got, 0, 3);
    expect_close(tested, got.velocity, want.velocity, tolerance, "the network");
    expect_close(tested, got.gradients, want.gradients, tolerance, "its gradient");
    test_network_destroy(&got);
    test_network_destroy(&want);
    reference->destroy(reference);
}

struct training {
    struct test_network network;
    struct fs_view moments[2], averages[2], target, weights, loss, norm2;
};

static struct fs_view zeros(struct fs_backend *backend, int64_t rows, int64_t cols)
{
    struct fs_error error;
    void *data = backend->allocate(backend, (size_t)(rows * cols) * fs_type_size(backend->real), &error);
    assert_non_null(data);
    return fs_view(data, backend->real, rows, cols);
}

static struct training training_create(struct fs_backend *backend)
{
    struct training t = {.network = test_network_create(backend, &test_network_config, 4, backend->real, 0.2, 7)};
    const int64_t count = t.network.gradients.cols;
    for (int i = 0; i < 2; i++) {
        t.moments[i] = zeros(backend, 1, count);
        t.averages[i] = zeros(backend, 1, count);
        backend->copy(backend, t.averages[i], t.network.weights.values);
    }
    t.target = zeros(backend, 4, t.network.x.cols);
    backend->copy(backend, t.target, t.network.dvelocity);
    t.weights = zeros(backend, 4, 1);
    backend->fill(backend, t.weights, 0.25);
    t.loss = zeros(backend, 4, 1);
    t.norm2 = zeros(backend, 1, 1);
    return t;
}

/* Takes the network to a fixed target, as a training does: forward, loss, backward, norm, AdamW with two averages. */
static void train(struct training *t, int64_t update)
{
    struct test_network *n = &t->network;
    struct fs_backend *backend = n->backend;
    const struct fs_dit_input input = {n->x, n->t, n->s, n->labels};
    fs_dit_forward(n->dit, &n->weights, &input, n->velocity, true);
    backend->mse(backend, t->loss, n->dvelocity, n->velocity, t->target, t->weights,
                 (struct fs_loss){FS_LOSS_MEAN_SQUARE, 0, 0});
    backend->fill(backend, n->gradients, 0);
    fs_dit_backward(n->dit, &n->weights, n->dvelocity, n->gradients, NULL);
    backend->sum_squares(backend, t->norm2, n->gradients);
    const struct fs_adamw settings = {.learning_rate = 1e-3f,
                                      .beta1 = 0.9f,
                                      .beta2 = 0.999f,
                                      .epsilon =
                                          1e-4f, /* larger than the gradients' rounding, which AdamW would amplify */
                                      .weight_decay = 0.01f,
                                      .update = update,
                                      .clip_norm = 0.5f,
                                      .norm2 = t->norm2,
                                      .ema_decay = {0.9f, 0.99f}};
    backend->adamw(backend, &settings, n->weights.values, n->gradients, t->moments[0], t->moments[1], t->averages);
    fs_dit_refresh(n->dit, &n->weights);
}

static void training_destroy(struct training *t)
{
    struct fs_backend *backend = t->network.backend;
    const struct fs_view views[] = {t->moments[0], t->moments[1], t->averages[0], t->averages[1],
                                    t->target,     t->weights,    t->loss,        t->norm2};
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        backend->release(backend, views[i].data);
    }
    test_network_destroy(&t->network);
}

void test_backend_training(struct fs_backend *tested)
{
    struct fs_error error;
    struct fs_backend *reference = fs_reference_backend(&error);
    assert_non_null(reference);
    struct training want = training_create(reference), got = training_create(tested);
    double first = 0;
    for (int64_t update = 1; update <= 20; update++) {
        train(&want, update);
        train(&got, update);
        first = update == 1 ? *fs_at(want.loss, 0, 0) : first;
    }
    assert_int_equal(reference->synchronise(reference, &error), FS_OK);
    assert_int_equal(tested->synchronise(tested, &error), FS_OK);
    assert_true(*fs_at(want.loss, 0, 0) < first);
    expect_close(tested, got.loss, want.loss, 1e-5, "the loss after 20 updates");
    expect_close(tested, got.network.weights.values, want.network.weights.values, 1e-5, "the weights");
    expect_close(tested, got.averages[0], want.averages[0], 1e-5, "their first average");
    expect_close(tested, got.averages[1], want.averages[1], 1e-5, "their second average");
    training_destroy(&got);
    training_destroy(&want);
    reference->destroy(reference);
}

double *test_backend_updates(struct fs_backend *backend, int updates, bool kept, int64_t *count)
{
    struct training t = training_create(backend);
    struct test_network *n = &t.network;
    for (int64_t update = 1; update <= updates; update++) {
        for (int64_t i = 0; i < n->x.rows; i++) {
            n->t[i] = (float)(update * 7 + i) / 1000; /* uploaded in each forward pass */
        }
        do {
            if (kept) {
                backend->update_begin(backend, 3);
            }
            backend->normals(backend, n->x, (struct fs_random_key){5, FS_STREAM_TEST, 0, (uint32_t)update}, 0);
            train(&t, update);
        } while (kept && !backend->update_end(backend));
    }
    *count = n->weights.values.cols;
    double *weights = test_download(backend, n->weights.values);
    training_destroy(&t);
    return weights;
}
