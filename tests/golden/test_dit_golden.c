/* The backbone on the CPU against golden values of an independent implementation in PyTorch (make_dit_golden.py):
 * forward, its derivative by torch.func.jvp, loss, every gradient, and weights and EMA after two AdamW updates. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/model/dit.h"
#include "kernels/base/memory.h"
#include "kernels/base/safetensors.h"

#define GOLDEN "tests/golden/dit/dit.safetensors"
#define TOLERANCE 1e-5

struct golden {
    struct fs_tensor_file file;
    struct fs_backend *backend;
    struct fs_dit *dit;
    struct fs_weights weights;
    struct fs_view gradients, moment1, moment2, average;
    struct fs_view x, target, row_weight, velocity, dvelocity, loss;
    const float *t, *s;
    int32_t *labels;
    int rows;
};

static double setting(const struct golden *golden, const char *key)
{
    const char *text = fs_tensor_metadata_find(&golden->file, key);
    assert_non_null(text);
    return strtod(text, NULL);
}

static const float *tensor(const struct golden *golden, const char *name)
{
    const struct fs_tensor *found = fs_tensor_find(&golden->file, name);
    assert_non_null(found);
    assert_int_equal(found->type, FS_F32);
    return found->data;
}

static struct fs_view room(struct golden *golden, int64_t rows, int64_t cols, const float *values)
{
    struct fs_error error;
    const size_t bytes = (size_t)(rows * cols) * sizeof *values;
    void *data = golden->backend->allocate(golden->backend, bytes, &error);
    assert_non_null(data);
    if (values != NULL) {
        golden->backend->upload(golden->backend, data, values, bytes);
    }
    return fs_view(data, FS_F32, rows, cols);
}

/* A parameter's values in the file, checked for its shape. */
static const float *stored(const struct golden *golden, const char *prefix, const struct fs_parameter *parameter)
{
    char name[80];
    snprintf(name, sizeof name, "%s.%s", prefix, parameter->name);
    const struct fs_tensor *found = fs_tensor_find(&golden->file, name);
    assert_non_null(found);
    int64_t shape[4];
    assert_int_equal(found->rank, fs_dit_export_shape(golden->dit, parameter, shape));
    assert_memory_equal(found->shape, shape, (size_t)found->rank * sizeof *shape);
    return found->data;
}

static void load_weights(struct golden *golden)
{
    struct fs_error error;
    const size_t size = (size_t)fs_dit_parameter_count(golden->dit);
    float *values = fs_allocate(size, sizeof *values, "weights", &error);
    assert_non_null(values);
    int count;
    const struct fs_parameter *parameters = fs_dit_parameters(golden->dit, &count);
    for (int i = 0; i < count; i++) {
        fs_dit_import_parameter(golden->dit, &parameters[i], stored(golden, "weights", &parameters[i]), values);
    }
    golden->backend->upload(golden->backend, golden->weights.values.data, values, size * sizeof *values);
    golden->average = room(golden, 1, (int64_t)size, values);
    fs_dit_refresh(golden->dit, &golden->weights);
    free(values);
}

static void load_batch(struct golden *golden, int64_t dim)
{
    struct fs_error error;
    const int rows = golden->rows;
    golden->x = room(golden, rows, dim, tensor(golden, "x"));
    golden->target = room(golden, rows, dim, tensor(golden, "target"));
    golden->row_weight = room(golden, rows, 1, tensor(golden, "weight"));
    golden->velocity = room(golden, rows, dim, NULL);
    golden->dvelocity = room(golden, rows, dim, NULL);
    golden->loss = room(golden, rows, 1, NULL);
    golden->t = tensor(golden, "t");
    golden->s = tensor(golden, "s");
    golden->labels = fs_allocate((size_t)rows, sizeof *golden->labels, "labels", &error);
    assert_non_null(golden->labels);
    for (int i = 0; i < rows; i++) {
        golden->labels[i] = (int32_t)tensor(golden, "labels")[i];
    }
}

static int set_up(void **state)
{
    struct fs_error error;
    struct golden *golden = fs_allocate(1, sizeof *golden, "a test", &error);
    assert_non_null(golden);
    *state = golden;
    if (fs_tensor_file_read(GOLDEN, &golden->file, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    golden->backend = fs_cpu_backend(0, &error);
    assert_non_null(golden->backend);
    const struct fs_model_config config = {
        .preset = "golden",
        .patch = (int)setting(golden, "patch"),
        .hidden = (int)setting(golden, "hidden"),
        .depth = (int)setting(golden, "depth"),
        .heads = (int)setting(golden, "heads"),
        .classes = (int)setting(golden, "classes"),
    };
    const int height = (int)setting(golden, "height"), width = (int)setting(golden, "width");
    const int channels = (int)setting(golden, "channels");
    golden->rows = (int)setting(golden, "rows");
    golden->dit = fs_dit_create(golden->backend, &config, height, width, channels, golden->rows,
                                FS_PASS_BACKWARD | FS_PASS_TANGENT, FS_F32, &error);
    assert_non_null(golden->dit);
    assert_int_equal(fs_weights_create(golden->dit, &golden->weights, &error), FS_OK);
    const int64_t count = fs_dit_parameter_count(golden->dit);
    golden->gradients = room(golden, 1, count, NULL);
    golden->moment1 = room(golden, 1, count, NULL);
    golden->moment2 = room(golden, 1, count, NULL);
    load_weights(golden);
    load_batch(golden, (int64_t)height * width * channels);
    return 0;
}

static int tear_down(void **state)
{
    struct golden *golden = *state;
    struct fs_backend *backend = golden->backend;
    const struct fs_view views[] = {golden->gradients, golden->moment1, golden->moment2,    golden->average,
                                    golden->x,         golden->target,  golden->row_weight, golden->velocity,
                                    golden->dvelocity, golden->loss};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        backend->release(backend, views[i].data);
    }
    fs_weights_destroy(golden->dit, &golden->weights);
    fs_dit_destroy(golden->dit);
    backend->destroy(backend);
    fs_tensor_file_free(&golden->file);
    free(golden->labels);
    free(golden);
    return 0;
}

/* --- comparing --- */

/* Every value within `tolerance` of the largest. */
static void expect_close(const char *name, const float *values, const float *expected, int64_t count, double tolerance)
{
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(expected[i]));
        worst = fmax(worst, fabs((double)values[i] - expected[i]));
    }
    if (!(largest > 0 && worst <= tolerance * largest)) {
        fail_msg("%s: off by %g, where the largest value is %g", name, worst, largest);
    }
}

static float *downloaded(const struct golden *golden, struct fs_view view)
{
    struct fs_error error;
    const size_t count = (size_t)(view.rows * view.cols);
    float *values = fs_allocate(count, sizeof *values, "a test", &error);
    assert_non_null(values);
    golden->backend->download(golden->backend, values, view.data, count * sizeof *values);
    if (golden->backend->synchronise(golden->backend, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    return values;
}

static void expect_parameters(const struct golden *golden, struct fs_view flat, const char *prefix, double tolerance)
{
    struct fs_error error;
    float *values = downloaded(golden, flat);
    float *exported = fs_allocate((size_t)flat.cols, sizeof *exported, "a test", &error);
    assert_non_null(exported);
    int count;
    const struct fs_parameter *parameters = fs_dit_parameters(golden->dit, &count);
    for (int i = 0; i < count; i++) {
        fs_dit_export_parameter(golden->dit, &parameters[i], values, exported);
        expect_close(parameters[i].name, exported, stored(golden, prefix, &parameters[i]),
                     parameters[i].rows * parameters[i].cols, tolerance);
    }
    free(values);
    free(exported);
}

/* --- the pass --- */

static void forward_backward(struct golden *golden)
{
    struct fs_backend *backend = golden->backend;
    const struct fs_dit_input input = {golden->x, golden->t, golden->s, golden->labels};
    backend->fill(backend, golden->gradients, 0);
    fs_dit_forward(golden->dit, &golden->weights, &input, golden->velocity, true);
    backend->mse(backend, golden->loss, golden->dvelocity, golden->velocity, golden->target, golden->row_weight,
                 (struct fs_loss){FS_LOSS_MEAN_SQUARE, 0, 0});
    fs_dit_backward(golden->dit, &golden->weights, golden->dvelocity, golden->gradients, NULL);
}

static void test_forward_and_gradients(void **state)
{
    struct golden *golden = *state;
    forward_backward(golden);
    float *velocity = downloaded(golden, golden->velocity), *loss = downloaded(golden, golden->loss);
    expect_close("velocity", velocity, tensor(golden, "velocity"), golden->velocity.rows * golden->velocity.cols,
                 TOLERANCE);
    double total = 0;
    for (int i = 0; i < golden->rows; i++) {
        total += (double)tensor(golden, "weight")[i] * loss[i];
    }
    assert_true(fabs(total - *tensor(golden, "loss")) <= TOLERANCE * *tensor(golden, "loss"));
    expect_parameters(golden, golden->gradients, "gradient", TOLERANCE);
    free(velocity);
    free(loss);
}

/* Along a direction of x, t and s at once; the velocity comes with it. */
static void test_tangent(void **state)
{
    struct golden *golden = *state;
    struct fs_backend *backend = golden->backend;
    const int64_t values = golden->x.rows * golden->x.cols;
    const struct fs_view x_dot = room(golden, golden->x.rows, golden->x.cols, tensor(golden, "x_dot"));
    const struct fs_dit_input input = {golden->x, golden->t, golden->s, golden->labels};
    const struct fs_dit_direction direction = {x_dot, tensor(golden, "t_dot"), tensor(golden, "s_dot")};
    fs_dit_tangent(golden->dit, &golden->weights, &input, &direction, golden->velocity, golden->dvelocity, false);
    float *velocity = downloaded(golden, golden->velocity), *velocity_dot = downloaded(golden, golden->dvelocity);
    expect_close("velocity", velocity, tensor(golden, "velocity"), values, TOLERANCE);
    expect_close("velocity_dot", velocity_dot, tensor(golden, "velocity_dot"), values, TOLERANCE);
    backend->release(backend, x_dot.data);
    free(velocity);
    free(velocity_dot);
}

static void test_updates(void **state)
{
    struct golden *golden = *state;
    struct fs_adamw adamw = {
        .learning_rate = (float)setting(golden, "learning_rate"),
        .beta1 = (float)setting(golden, "beta1"),
        .beta2 = (float)setting(golden, "beta2"),
        .epsilon = (float)setting(golden, "epsilon"),
        .weight_decay = (float)setting(golden, "weight_decay"),
        .ema_decay = {(float)setting(golden, "ema_decay")},
    };
    const struct fs_view averages[2] = {golden->average, fs_no_view()};
    const int updates = (int)setting(golden, "updates");
    for (adamw.update = 1; adamw.update <= updates; adamw.update++) {
        forward_backward(golden);
        golden->backend->adamw(golden->backend, &adamw, golden->weights.values, golden->gradients, golden->moment1,
                               golden->moment2, averages);
        fs_dit_refresh(golden->dit, &golden->weights);
    }
    expect_parameters(golden, golden->weights.values, "updated", TOLERANCE);
    expect_parameters(golden, golden->average, "ema", TOLERANCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forward_and_gradients, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tangent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_updates, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
