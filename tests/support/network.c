#include "tests/support/network.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/memory.h"

const struct fs_model_config test_network_config = {
    .preset = "test", .patch = 2, .hidden = 20, .depth = 2, .heads = 5, .classes = 3, .finest_steps = 8};

static void *room(size_t count, size_t size)
{
    struct fs_error error;
    void *memory = fs_allocate(count, size, "a test", &error);
    assert_non_null(memory);
    return memory;
}

double *test_download(struct fs_backend *backend, struct fs_view view)
{
    const size_t count = (size_t)(view.rows * view.cols);
    assert_int_equal(view.stride, view.cols);
    double *values = room(count, sizeof *values);
    if (view.type == FS_F64) {
        backend->download(backend, values, view.data, count * sizeof *values);
        return values;
    }
    assert_int_equal(view.type, FS_F32);
    float *floats = room(count, sizeof *floats);
    backend->download(backend, floats, view.data, count * sizeof *floats);
    for (size_t i = 0; i < count; i++) {
        values[i] = floats[i];
    }
    free(floats);
    return values;
}

void test_upload(struct fs_backend *backend, struct fs_view view, const double *values)
{
    const size_t count = (size_t)(view.rows * view.cols);
    assert_int_equal(view.stride, view.cols);
    if (view.type == FS_F64) {
        backend->upload(backend, view.data, values, count * sizeof *values);
        return;
    }
    assert_int_equal(view.type, FS_F32);
    float *floats = room(count, sizeof *floats);
    for (size_t i = 0; i < count; i++) {
        floats[i] = (float)values[i];
    }
    backend->upload(backend, view.data, floats, count * sizeof *floats);
    free(floats);
}

double test_relative_distance(const double *a, const double *b, int64_t count)
{
    double distance = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        distance += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return sqrt(distance / norm);
}

/* --- the network --- */

static struct fs_view room_on(struct fs_backend *backend, int64_t rows, int64_t cols)
{
    struct fs_error error;
    void *data = backend->allocate(backend, (size_t)(rows * cols) * fs_type_size(backend->real), &error);
    assert_non_null(data);
    return fs_view(data, backend->real, rows, cols);
}

static void fill_normal(struct fs_backend *backend, struct fs_view view, double scale, uint32_t seed, uint32_t row)
{
    const size_t count = (size_t)(view.rows * view.cols);
    double *values = room(count, sizeof *values);
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST};
    for (size_t i = 0; i < count; i++) {
        float four[4];
        fs_normals4(key, row, (uint32_t)(i / 4), four);
        values[i] = (float)scale * four[i % 4]; /* the same on a float32 and on a float64 backend */
    }
    test_upload(backend, view, values);
    free(values);
}

struct test_network test_network_create(struct fs_backend *backend, const struct fs_model_config *config, int rows,
                                        enum fs_type precision, double scale, uint32_t seed)
{
    struct fs_error error;
    struct test_network network = {.backend = backend, .rows = rows};
    network.dit = fs_dit_create(backend, config, TEST_NETWORK_HEIGHT, TEST_NETWORK_WIDTH, TEST_NETWORK_CHANNELS, rows,
                                FS_PASS_BACKWARD | FS_PASS_TANGENT, precision, &error);
    assert_non_null(network.dit);
    assert_int_equal(fs_weights_create(network.dit, &network.weights, &error), FS_OK);
    fill_normal(backend, network.weights.values, scale, seed, 0);
    fs_dit_refresh(network.dit, &network.weights);
    network.gradients = room_on(backend, 1, fs_dit_parameter_count(network.dit));

    const int64_t dim = TEST_NETWORK_HEIGHT * TEST_NETWORK_WIDTH * TEST_NETWORK_CHANNELS;
    network.x = room_on(backend, rows, dim);
    network.dvelocity = room_on(backend, rows, dim);
    network.velocity = room_on(backend, rows, dim);
    fill_normal(backend, network.x, 1, seed, 1);
    fill_normal(backend, network.dvelocity, 1, seed, 2);

    network.t = room((size_t)rows, sizeof *network.t);
    network.s = room((size_t)rows, sizeof *network.s);
    network.labels = room((size_t)rows, sizeof *network.labels);
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST};
    for (int i = 0; i < rows; i++) {
        network.t[i] = fs_uniform(key, 3, (uint32_t)i);
        network.s[i] = (float)fs_random_below(key, 4, (uint32_t)i, 8);
        network.labels[i] = (i * 2 + 1) % (config->classes + 1); /* the null label among them */
    }
    return network;
}

void test_network_destroy(struct test_network *network)
{
    struct fs_backend *backend = network->backend;
    backend->release(backend, network->gradients.data);
    backend->release(backend, network->x.data);
    backend->release(backend, network->dvelocity.data);
    backend->release(backend, network->velocity.data);
    fs_weights_destroy(network->dit, &network->weights);
    fs_dit_destroy(network->dit);
    free(network->t);
    free(network->s);
    free(network->labels);
}

static void forward(struct test_network *network, int first, int rows, bool keep)
{
    const struct fs_dit_input input = {fs_view_rows(network->x, first, rows), network->t + first, network->s + first,
                                       network->labels + first};
    fs_dit_forward(network->dit, &network->weights, &input, fs_view_rows(network->velocity, first, rows), keep);
}

static void expect_no_fault(struct fs_backend *backend)
{
    struct fs_error error;
    if (backend->synchronise(backend, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
}

void test_network_pass_watched(struct test_network *network, int first, int rows, const struct fs_dit_watch *watch)
{
    forward(network, first, rows, true);
    fs_dit_backward(network->dit, &network->weights, fs_view_rows(network->dvelocity, first, rows), network->gradients,
                    watch);
    expect_no_fault(network->backend);
}

void test_network_pass(struct test_network *network, int first, int rows)
{
    test_network_pass_watched(network, first, rows, NULL);
}

double test_network_value(struct test_network *network)
{
    forward(network, 0, network->rows, false);
    expect_no_fault(network->backend);
    double *velocity = test_download(network->backend, network->velocity);
    double *weight = test_download(network->backend, network->dvelocity);
    double sum = 0;
    for (int64_t i = 0; i < network->velocity.rows * network->velocity.cols; i++) {
        sum += velocity[i] * weight[i];
    }
    free(velocity);
    free(weight);
    return sum;
}
