/* The network's gradient: against central finite differences in float64 on the reference backend, the CPU backend
 * against the reference, and micro-batches against the whole batch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/reference/reference.h"
#include "tests/support/network.h"

#define COORDINATES 4 /* of each parameter, for finite differences */

static struct fs_backend *reference(void)
{
    struct fs_error error;
    struct fs_backend *backend = fs_reference_backend(&error);
    assert_non_null(backend);
    return backend;
}

/* df/dw by central differences of two widths, extrapolated to an error of the fourth order. */
static double finite_difference(struct test_network *network, int64_t at)
{
    double *weight = (double *)network->weights.values.data + at;
    const double middle = *weight, width = 1e-3;
    double slope[2];
    for (int i = 0; i < 2; i++) {
        const double h = width / (1 + i);
        *weight = middle + h;
        const double above = test_network_value(network);
        *weight = middle - h;
        slope[i] = (above - test_network_value(network)) / (2 * h);
    }
    *weight = middle;
    return (4 * slope[1] - slope[0]) / 3;
}

/* The largest size of the parameter's gradient: what an error is relative to. */
static double largest(const double *gradient, const struct fs_parameter *parameter)
{
    double result = 0;
    for (int64_t i = 0; i < parameter->rows * parameter->cols; i++) {
        result = fmax(result, fabs(gradient[parameter->offset + i]));
    }
    return result;
}

static void expect_gradient(const struct fs_model_config *config, uint32_t seed)
{
    struct fs_backend *backend = reference();
    struct test_network network = test_network_create(backend, config, 3, FS_F64, 0.3, seed);
    test_network_pass(&network, 0, 3);
    const double *gradient = network.gradients.data;
    int count;
    const struct fs_parameter *parameters = fs_dit_parameters(network.dit, &count);
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST, .step = 1};
    for (int i = 0; i < count; i++) {
        const struct fs_parameter *parameter = &parameters[i];
        const double size = largest(gradient, parameter);
        assert_true(size > 0);
        for (uint32_t k = 0; k < COORDINATES; k++) {
            const uint32_t values = (uint32_t)(parameter->rows * parameter->cols);
            const int64_t at = parameter->offset + fs_random_below(key, (uint32_t)i, k, values);
            const double expected = finite_difference(&network, at);
            if (fabs(gradient[at] - expected) > 1e-6 * size) {
                fail_msg("%s: gradient %.12g, by finite differences %.12g", parameter->name, gradient[at], expected);
            }
        }
    }
    test_network_destroy(&network);
    backend->destroy(backend);
}

static void test_finite_differences(void **state)
{
    (void)state;
    expect_gradient(&test_network_config, 1);
}

static void test_finite_differences_without_classes(void **state)
{
    (void)state;
    struct fs_model_config config = test_network_config;
    config.classes = 0;
    config.attention_scale = FS_SCALE_INV_SQRT_D;
    expect_gradient(&config, 2);
}

/* The two scales differ, and inv_d is what the wider logits of inv_sqrt_d become when q's weights are divided. */
static void test_attention_scale(void **state)
{
    (void)state;
    struct fs_backend *backend = reference();
    struct fs_model_config config = test_network_config;
    struct test_network by_d = test_network_create(backend, &config, 2, FS_F64, 0.3, 3);
    config.attention_scale = FS_SCALE_INV_SQRT_D;
    struct test_network by_root = test_network_create(backend, &config, 2, FS_F64, 0.3, 3);
    const double expected = test_network_value(&by_d);
    assert_true(fabs(test_network_value(&by_root) - expected) > 1e-4 * fabs(expected));

    int count;
    const struct fs_parameter *parameters = fs_dit_parameters(by_root.dit, &count);
    for (int i = 0; i < count; i++) {
        if (strstr(parameters[i].name, "attn.qkv") != NULL) { /* rows (or columns of the bias) 0 … D − 1 are q's */
            const int64_t q = parameters[i].rows * parameters[i].cols / 3;
            for (int64_t j = 0; j < q; j++) {
                ((double *)by_root.weights.values.data)[parameters[i].offset + j] /= sqrt(20.0 / 5);
            }
        }
    }
    assert_true(fabs(test_network_value(&by_root) - expected) < 1e-10 * fabs(expected));
    test_network_destroy(&by_d);
    test_network_destroy(&by_root);
    backend->destroy(backend);
}

/* --- the CPU backend against the reference --- */

static void expect_same_network(enum fs_type precision, int rows, double tolerance, uint32_t seed)
{
    struct fs_error error;
    struct fs_backend *exact = reference(), *cpu = fs_cpu_backend(0, &error);
    assert_non_null(cpu);
    struct test_network expected = test_network_create(exact, &test_network_config, rows, FS_F64, 0.15, seed);
    struct test_network network = test_network_create(cpu, &test_network_config, rows, precision, 0.15, seed);
    test_network_pass(&expected, 0, rows);
    test_network_pass(&network, 0, rows);

    double *velocity = test_download(cpu, network.velocity), *gradient = test_download(cpu, network.gradients);
    const double *right_velocity = expected.velocity.data, *right_gradient = expected.gradients.data;
    assert_true(test_relative_distance(velocity, right_velocity, expected.velocity.rows * expected.velocity.cols) <
                tolerance);
    int count;
    const struct fs_parameter *parameters = fs_dit_parameters(network.dit, &count);
    for (int i = 0; i < count; i++) {
        const int64_t offset = parameters[i].offset, values = parameters[i].rows * parameters[i].cols;
        const double distance = test_relative_distance(gradient + offset, right_gradient + offset, values);
        if (!(distance < tolerance)) {
            fail_msg("%s: gradient off by %g", parameters[i].name, distance);
        }
    }
    free(velocity);
    free(gradient);
    test_network_destroy(&network);
    test_network_destroy(&expected);
    cpu->destroy(cpu);
    exact->destroy(exact);
}

static void test_cpu_float32(void **state)
{
    (void)state;
    expect_same_network(FS_F32, 5, 2e-5, 4);
    expect_same_network(FS_F32, 1, 2e-5, 5);
}

/* bf16 keeps 8 bits: 1/256 a rounding, over some dozen operations. */
static void test_cpu_bf16(void **state)
{
    (void)state;
    expect_same_network(FS_BF16, 5, 0.05, 6);
}

/* --- micro-batches, and passes that keep nothing --- */

static void test_micro_batches(void **state)
{
    (void)state;
    struct fs_backend *backend = reference();
    struct test_network whole = test_network_create(backend, &test_network_config, 5, FS_F64, 0.3, 7);
    struct test_network parts = test_network_create(backend, &test_network_config, 5, FS_F64, 0.3, 7);
    test_network_pass(&whole, 0, 5);
    test_network_pass(&parts, 0, 2);
    test_network_pass(&parts, 2, 3);
    assert_true(test_relative_distance(parts.velocity.data, whole.velocity.data, 5 * whole.velocity.cols) < 1e-14);
    assert_true(test_relative_distance(parts.gradients.data, whole.gradients.data, whole.gradients.cols) < 1e-13);
    test_network_destroy(&whole);
    test_network_destroy(&parts);
    backend->destroy(backend);
}

/* A pass without a backward pass gives the same bits, whether the plan has room for one or not; one that keeps its
 * activations may round otherwise (with AVX-512 the library's own GELU is fused where nothing is kept). */
static void test_without_keeping(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *backend = fs_cpu_backend(0, &error);
    assert_non_null(backend);
    struct test_network network = test_network_create(backend, &test_network_config, 3, FS_F32, 0.3, 8);
    test_network_pass(&network, 0, 3);
    const int64_t values = 3 * network.velocity.cols;
    double *kept = test_download(backend, network.velocity);
    test_network_value(&network);
    double *not_kept = test_download(backend, network.velocity);
    assert_true(test_relative_distance(not_kept, kept, values) < 1e-6);

    struct fs_dit *sampler = fs_dit_create(backend, &test_network_config, TEST_NETWORK_HEIGHT, TEST_NETWORK_WIDTH,
                                           TEST_NETWORK_CHANNELS, 3, FS_PASS_FORWARD, FS_F32, &error);
    assert_non_null(sampler);
    assert_true(fs_dit_sizes(sampler).activation_bytes < fs_dit_sizes(network.dit).activation_bytes / 2);
    const struct fs_dit_input input = {network.x, network.t, network.s, network.labels};
    backend->fill(backend, network.velocity, 0);
    fs_dit_forward(sampler, &network.weights, &input, network.velocity, false);
    double *sampled = test_download(backend, network.velocity);
    assert_memory_equal(not_kept, sampled, (size_t)values * sizeof *sampled);

    free(kept);
    free(not_kept);
    free(sampled);
    fs_dit_destroy(sampler);
    test_network_destroy(&network);
    backend->destroy(backend);
}

/* --- blocks that are passed again --- */

static void expect_recomputed(struct fs_backend *backend, enum fs_type precision, uint32_t seed)
{
    struct fs_error error;
    assert_non_null(backend);
    struct test_network network = test_network_create(backend, &test_network_config, 3, precision, 0.3, seed);
    test_network_pass(&network, 0, 3);
    const size_t values = (size_t)(3 * network.velocity.cols), weights = (size_t)network.gradients.cols;
    double *velocity = test_download(backend, network.velocity), *gradients = test_download(backend, network.gradients);
    struct fs_dit *kept = network.dit;
    network.dit = fs_dit_create(backend, &test_network_config, TEST_NETWORK_HEIGHT, TEST_NETWORK_WIDTH,
                                TEST_NETWORK_CHANNELS, 3, FS_PASS_BACKWARD | FS_PASS_RECOMPUTE, precision, &error);
    assert_non_null(network.dit);
    assert_true(fs_dit_sizes(network.dit).activation_bytes < fs_dit_sizes(kept).activation_bytes);
    for (int i = 0; i < 2; i++) { /* what a pass leaves in the buffers is not read by the next */
        backend->fill(backend, network.velocity, (double)NAN);
        backend->fill(backend, network.gradients, 0);
        test_network_pass(&network, 0, 3);
        double *same = test_download(backend, network.velocity);
        assert_memory_equal(same, velocity, values * sizeof *same);
        free(same);
        same = test_download(backend, network.gradients);
        assert_memory_equal(same, gradients, weights * sizeof *same);
        free(same);
    }
    free(velocity);
    free(gradients);
    fs_dit_destroy(kept);
    test_network_destroy(&network);
    backend->destroy(backend);
}

static void test_recompute(void **state)
{
    (void)state;
    struct fs_error error;
    expect_recomputed(fs_reference_backend(&error), FS_F64, 9);
    expect_recomputed(fs_cpu_backend(0, &error), FS_F32, 10);
    expect_recomputed(fs_cpu_backend(0, &error), FS_BF16, 11);
}

/* What a backward pass says is done, as it is then. */
struct told {
    const struct test_network *network;
    double *values;
    int64_t from;
    int calls;
};

static void keep_told(void *owner, int64_t first)
{
    struct told *told = owner;
    assert_true(first < told->from);
    memcpy(told->values + first, (const double *)told->network->gradients.data + first,
           (size_t)(told->from - first) * sizeof *told->values);
    told->from = first;
    told->calls++;
}

/* Gradients that are told of before the end stay as they are. */
static void test_done_is_done(void **state)
{
    (void)state;
    struct fs_backend *backend = reference();
    struct test_network network = test_network_create(backend, &test_network_config, 3, FS_F64, 0.3, 21);
    const int64_t count = fs_dit_parameter_count(network.dit);
    struct told told = {&network, test_calloc((size_t)count, sizeof(double)), count, 0};
    assert_non_null(told.values);
    const struct fs_dit_watch watch = {keep_told, &told};
    test_network_pass_watched(&network, 0, 3, &watch);
    assert_int_equal(told.from, 0);
    assert_int_equal(told.calls, test_network_config.depth + 1);
    assert_memory_equal(told.values, network.gradients.data, (size_t)count * sizeof(double));
    test_free(told.values);
    test_network_destroy(&network);
    backend->destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finite_differences), cmocka_unit_test(test_finite_differences_without_classes),
        cmocka_unit_test(test_attention_scale),    cmocka_unit_test(test_cpu_float32),
        cmocka_unit_test(test_cpu_bf16),           cmocka_unit_test(test_micro_batches),
        cmocka_unit_test(test_without_keeping),    cmocka_unit_test(test_recompute),
        cmocka_unit_test(test_done_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
