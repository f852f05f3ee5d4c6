/* The network's tangent: against central finite differences in float64 on the reference backend, the CPU backend
 * against the reference, and its value against the plain forward pass. tests/golden/test_dit_golden.c holds it
 * against another framework's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/reference/reference.h"
#include "tests/support/network.h"

#define ROWS 3

/* A network, a direction of everything at once, and what comes out. */
struct question {
    struct test_network network;
    struct fs_view x_dot, velocity_dot;
    float t_dot[ROWS], s_dot[ROWS];
};

static struct fs_view room_like(struct fs_backend *backend, struct fs_view view)
{
    struct fs_error error;
    assert_int_equal(fs_view_create(backend, view.rows, view.cols, &view, &error), FS_OK);
    return view;
}

/* Times and their directions are whole multiples of 1/64, so that a step of a power of two along them is exact. */
static struct question create(struct fs_backend *backend, const struct fs_model_config *config, enum fs_type precision,
                              double scale, uint32_t seed)
{
    struct question q = {.network = test_network_create(backend, config, ROWS, precision, scale, seed)};
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST, .step = 7};
    q.x_dot = room_like(backend, q.network.x);
    q.velocity_dot = room_like(backend, q.network.x);
    double *values = test_download(backend, q.x_dot);
    for (int64_t i = 0; i < q.x_dot.rows * q.x_dot.cols; i++) {
        float four[4];
        fs_normals4(key, 0, (uint32_t)i, four);
        values[i] = (double)four[0];
    }
    test_upload(backend, q.x_dot, values);
    free(values);
    for (uint32_t i = 0; i < ROWS; i++) {
        q.network.t[i] = (float)(1 + fs_random_below(key, 1, i, 62)) / 64;
        q.network.s[i] = (float)(1 + fs_random_below(key, 2, i, 62)) / 64;
        q.t_dot[i] = (float)fs_random_below(key, 3, i, 129) / 64 - 1;
        q.s_dot[i] = (float)fs_random_below(key, 4, i, 129) / 64 - 1;
    }
    return q;
}

static void destroy(struct question *q)
{
    struct fs_backend *backend = q->network.backend;
    backend->release(backend, q->x_dot.data);
    backend->release(backend, q->velocity_dot.data);
    test_network_destroy(&q->network);
}

static void differentiate(struct question *q)
{
    struct fs_error error;
    const struct fs_dit_input input = {q->network.x, q->network.t, q->network.s, q->network.labels};
    const struct fs_dit_direction direction = {q->x_dot, q->t_dot, q->s_dot};
    fs_dit_tangent(q->network.dit, &q->network.weights, &input, &direction, q->network.velocity, q->velocity_dot,
                   false);
    assert_int_equal(q->network.backend->synchronise(q->network.backend, &error), FS_OK);
}

/* --- finite differences --- */

/* The velocity `by` along the direction, on the reference backend. */
static double *velocity_at(struct question *q, double by)
{
    struct test_network *network = &q->network;
    const int64_t count = q->x_dot.rows * q->x_dot.cols;
    double *x = network->x.data;
    const double *x_dot = q->x_dot.data;
    for (int64_t i = 0; i < count; i++) {
        x[i] += by * x_dot[i];
    }
    for (int i = 0; i < ROWS; i++) {
        network->t[i] += (float)by * q->t_dot[i];
        network->s[i] += (float)by * q->s_dot[i];
    }
    test_network_value(network);
    for (int64_t i = 0; i < count; i++) {
        x[i] -= by * x_dot[i];
    }
    for (int i = 0; i < ROWS; i++) {
        network->t[i] -= (float)by * q->t_dot[i];
        network->s[i] -= (float)by * q->s_dot[i];
    }
    return test_download(network->backend, network->velocity);
}

/* Central differences of two widths, extrapolated to an error of the fourth order. */
static double *finite_difference(struct question *q)
{
    const int64_t count = q->x_dot.rows * q->x_dot.cols;
    double *slopes[2];
    for (int i = 0; i < 2; i++) {
        const double h = 1.0 / (16384 << i);
        double *below = velocity_at(q, -h);
        slopes[i] = velocity_at(q, h);
        for (int64_t j = 0; j < count; j++) {
            slopes[i][j] = (slopes[i][j] - below[j]) / (2 * h);
        }
        free(below);
    }
    for (int64_t j = 0; j < count; j++) {
        slopes[1][j] = (4 * slopes[1][j] - slopes[0][j]) / 3;
    }
    free(slopes[0]);
    return slopes[1];
}

static void expect_derivative(struct question *q, const char *of)
{
    const int64_t count = q->x_dot.rows * q->x_dot.cols;
    differentiate(q);
    double *got = test_download(q->network.backend, q->velocity_dot), *want = finite_difference(q);
    const double distance = test_relative_distance(got, want, count);
    if (!(distance < 1e-7)) { /* 300 networks were within 3e-9 */
        fail_msg("along %s the tangent is %.3g from finite differences", of, distance);
    }
    free(got);
    free(want);
}

static void check_derivatives(const struct fs_model_config *config, uint32_t seed)
{
    struct fs_error error;
    struct fs_backend *backend = fs_reference_backend(&error);
    assert_non_null(backend);
    struct question q = create(backend, config, FS_F64, 0.25, seed);
    expect_derivative(&q, "x, t and s");
    float t_dot[ROWS], s_dot[ROWS];
    memcpy(t_dot, q.t_dot, sizeof t_dot);
    memcpy(s_dot, q.s_dot, sizeof s_dot);
    for (int i = 0; i < ROWS; i++) {
        q.t_dot[i] = q.s_dot[i] = 0;
    }
    expect_derivative(&q, "x");
    backend->fill(backend, q.x_dot, 0);
    q.t_dot[0] = 1;
    expect_derivative(&q, "one row's t");
    q.t_dot[0] = 0;
    q.s_dot[ROWS - 1] = -1;
    expect_derivative(&q, "one row's s");
    destroy(&q);
    backend->destroy(backend);
}

static void test_finite_differences(void **state)
{
    (void)state;
    struct fs_model_config config = test_network_config;
    check_derivatives(&config, (uint32_t)time(NULL));
    config.classes = 0;
    config.attention_scale = FS_SCALE_INV_SQRT_D;
    check_derivatives(&config, (uint32_t)time(NULL) + 1);
}

/* --- backends --- */

static void expect_same_tangent(enum fs_type precision, double tolerance, uint32_t seed)
{
    struct fs_error error;
    struct fs_backend *exact = fs_reference_backend(&error), *cpu = fs_cpu_backend(0, &error);
    assert_true(exact != NULL && cpu != NULL);
    struct question expected = create(exact, &test_network_config, FS_F64, 0.15, seed);
    struct question q = create(cpu, &test_network_config, precision, 0.15, seed);
    const int64_t count = q.x_dot.rows * q.x_dot.cols;
    differentiate(&expected);
    differentiate(&q);
    double *velocity = test_download(cpu, q.network.velocity), *velocity_dot = test_download(cpu, q.velocity_dot);
    const double value = test_relative_distance(velocity, expected.network.velocity.data, count);
    const double tangent = test_relative_distance(velocity_dot, expected.velocity_dot.data, count);
    if (!(value < tolerance && tangent < tolerance)) {
        fail_msg("velocity off by %.3g, tangent by %.3g (seed %u)", value, tangent, seed);
    }
    free(velocity);
    free(velocity_dot);
    destroy(&q);
    destroy(&expected);
    cpu->destroy(cpu);
    exact->destroy(exact);
}

static void test_cpu(void **state)
{
    (void)state;
    expect_same_tangent(FS_F32, 1e-5, (uint32_t)time(NULL));
}

/* Eight bits of mantissa in each matrix input: at these weights about 0.004 of the velocity and 0.005 of the tangent. A
 * tangent feels the second derivative too: with weights of 0.25, bf16 is 0.01 off in the one and 0.02 to 0.08 in the
 * other. */
static void test_cpu_bf16(void **state)
{
    (void)state;
    expect_same_tangent(FS_BF16, 0.015, (uint32_t)time(NULL));
}

/* The value is the forward pass's, and what a network keeps for a backward pass is not taken for kept afterwards. */
static void test_value(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *cpu = fs_cpu_backend(0, &error);
    assert_non_null(cpu);
    struct question q = create(cpu, &test_network_config, FS_F32, 0.25, 3);
    const int64_t count = q.x_dot.rows * q.x_dot.cols;
    test_network_pass(&q.network, 0, ROWS);
    double *kept = test_download(cpu, q.network.velocity), *gradients = test_download(cpu, q.network.gradients);
    cpu->fill(cpu, q.network.velocity, 0);
    differentiate(&q);
    double *value = test_download(cpu, q.network.velocity);
    assert_true(test_relative_distance(value, kept, count) < 1e-6);
    cpu->fill(cpu, q.network.gradients, 0);
    test_network_pass(&q.network, 0, ROWS); /* over the tangents' memory */
    double *again = test_download(cpu, q.network.gradients);
    assert_memory_equal(again, gradients, (size_t)fs_dit_parameter_count(q.network.dit) * sizeof *again);
    free(kept);
    free(gradients);
    free(value);
    free(again);
    destroy(&q);
    cpu->destroy(cpu);
}

/* --- a pass that begins with what a tangent kept --- */

/* The tangent of the first `known` rows alone. */
static void differentiate_first(struct question *q, int known)
{
    const struct test_network *n = &q->network;
    const struct fs_dit_input input = {fs_view_rows(n->x, 0, known), n->t, n->s, n->labels};
    const struct fs_dit_direction direction = {fs_view_rows(q->x_dot, 0, known), q->t_dot, q->s_dot};
    fs_dit_tangent(n->dit, &n->weights, &input, &direction, fs_view_rows(n->velocity, 0, known),
                   fs_view_rows(q->velocity_dot, 0, known), true);
}

/* Velocity and gradients of all rows, the first of them known. */
static void pass_rest(struct question *q, int known, double **velocity, double **gradients)
{
    struct test_network *n = &q->network;
    const struct fs_dit_input input = {n->x, n->t, n->s, n->labels};
    n->backend->fill(n->backend, n->velocity, (double)NAN);
    n->backend->fill(n->backend, n->gradients, 0);
    fs_dit_forward_rest(n->dit, &n->weights, &input, n->velocity, known);
    fs_dit_backward(n->dit, &n->weights, n->dvelocity, n->gradients, NULL);
    *velocity = test_download(n->backend, n->velocity);
    *gradients = test_download(n->backend, n->gradients);
}

static void expect_rest(struct fs_backend *backend, enum fs_type precision, unsigned more, double tolerance,
                        uint32_t seed)
{
    struct fs_error error;
    assert_non_null(backend);
    struct question q = create(backend, &test_network_config, precision, 0.15, seed);
    fs_dit_destroy(q.network.dit);
    q.network.dit =
        fs_dit_create(backend, &test_network_config, TEST_NETWORK_HEIGHT, TEST_NETWORK_WIDTH, TEST_NETWORK_CHANNELS,
                      ROWS, FS_PASS_BACKWARD | FS_PASS_TANGENT | more, precision, &error);
    assert_non_null(q.network.dit);
    const int64_t count = q.x_dot.rows * q.x_dot.cols, parameters = fs_dit_parameter_count(q.network.dit);
    double *velocity, *gradients, *whole, *whole_gradients;
    test_network_pass(&q.network, 0, ROWS);
    whole = test_download(backend, q.network.velocity);
    whole_gradients = test_download(backend, q.network.gradients);
    for (int known = 1; known <= ROWS; known++) {
        for (int between = 0; between < 2; between++) { /* a pass in between leaves nothing to begin with */
            differentiate_first(&q, known);
            if (between) {
                test_network_value(&q.network);
            }
            pass_rest(&q, known, &velocity, &gradients);
            assert_true(test_relative_distance(velocity, whole, count) < tolerance);
            assert_true(test_relative_distance(gradients, whole_gradients, parameters) < tolerance);
            free(velocity);
            free(gradients);
        }
    }
    free(whole);
    free(whole_gradients);
    destroy(&q);
    backend->destroy(backend);
}

static void test_rest(void **state)
{
    (void)state;
    struct fs_error error;
    expect_rest(fs_reference_backend(&error), FS_F64, 0, 1e-13, (uint32_t)time(NULL));
    expect_rest(fs_cpu_backend(0, &error), FS_F32, 0, 1e-6, (uint32_t)time(NULL));
    expect_rest(fs_cpu_backend(0, &error), FS_BF16, 0, 1e-3, (uint32_t)time(NULL));
    expect_rest(fs_reference_backend(&error), FS_F64, FS_PASS_RECOMPUTE, 1e-13, (uint32_t)time(NULL));
}

/* The blocks are not passed again: of another picture in the known row, the answer is still the first one's. */
static void test_known_rows_are_not_passed_again(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *backend = fs_reference_backend(&error);
    assert_non_null(backend);
    struct question q = create(backend, &test_network_config, FS_F64, 0.25, 5);
    double *velocity, *gradients;
    differentiate_first(&q, 1);
    double *first = test_download(backend, fs_view_rows(q.network.velocity, 0, 1));
    backend->fill(backend, fs_view_rows(q.network.x, 0, 1), 0.5);
    pass_rest(&q, 1, &velocity, &gradients);
    assert_true(test_relative_distance(velocity, first, q.x_dot.cols) < 1e-13);
    free(first);
    free(velocity);
    free(gradients);
    destroy(&q);
    backend->destroy(backend);
}

/* A network for tangents alone needs no buffers of a backward pass, and gives the same. */
static void test_without_backward(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *cpu = fs_cpu_backend(0, &error);
    assert_non_null(cpu);
    struct question q = create(cpu, &test_network_config, FS_F32, 0.25, 4);
    const int64_t count = q.x_dot.rows * q.x_dot.cols;
    differentiate(&q);
    double *expected = test_download(cpu, q.velocity_dot);
    struct fs_dit *whole = q.network.dit;
    q.network.dit = fs_dit_create(cpu, &test_network_config, TEST_NETWORK_HEIGHT, TEST_NETWORK_WIDTH,
                                  TEST_NETWORK_CHANNELS, ROWS, FS_PASS_TANGENT, FS_F32, &error);
    assert_non_null(q.network.dit);
    assert_true(fs_dit_sizes(q.network.dit).activation_bytes < fs_dit_sizes(whole).activation_bytes);
    differentiate(&q);
    double *got = test_download(cpu, q.velocity_dot);
    assert_memory_equal(got, expected, (size_t)count * sizeof *got);
    free(expected);
    free(got);
    fs_dit_destroy(whole);
    destroy(&q);
    cpu->destroy(cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_cpu_bf16),
        cmocka_unit_test(test_value),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_known_rows_are_not_passed_again),
        cmocka_unit_test(test_without_backward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
