/* The diffusion baseline against diffusers' DDIM scheduler in float64 (make_diffusion_golden.py): both schedules, both
 * predictions, training targets and samples in 1, 4 and 8 steps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/sample/sampler.h"
#include "kernels/base/safetensors.h"
#include "tests/support/mock_training.h"

#define GOLDEN "tests/golden/diffusion/diffusion.safetensors"
#define DIM 6
#define ROWS_MAX 64

static struct fs_tensor_file file;
static struct fs_backend *backend;
static int rows;
static uint32_t seed, update;

static uint32_t setting(const char *key)
{
    const char *text = fs_tensor_metadata_find(&file, key);
    assert_non_null(text);
    return (uint32_t)strtoul(text, NULL, 10);
}

static int set_up(void **state)
{
    (void)state;
    struct fs_error error;
    if (fs_tensor_file_read(GOLDEN, &file, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    rows = (int)setting("rows");
    seed = setting("seed");
    update = setting("update");
    assert_in_range(rows, 1, ROWS_MAX);
    assert_int_equal(setting("dim"), DIM);
    backend = fs_cpu_backend(1, &error);
    assert_non_null(backend);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    backend->destroy(backend);
    fs_tensor_file_free(&file);
    return 0;
}

/* Every value of PREDICTION-SCHEDULE.part within `tolerance`. */
static void expect(const char *name, const char *part, const double *values, int count, double tolerance)
{
    char full[80];
    snprintf(full, sizeof full, "%s.%s", name, part);
    const struct fs_tensor *expected = fs_tensor_find(&file, full);
    assert_non_null(expected);
    for (int i = 0; i < count; i++) {
        const double right = (double)((const float *)expected->data)[i];
        if (!(fabs(values[i] - right) <= tolerance)) {
            fail_msg("%s: number %d is %.9g, not %.9g", full, i, values[i], right);
        }
    }
}

static void choose(const struct fs_method *method, struct fs_method_settings *settings, int prediction, int schedule)
{
    fs_mock_set_option(method, settings, "prediction", prediction);
    fs_mock_set_option(method, settings, "schedule", schedule);
}

static void formula(const double *x, double t, double *prediction)
{
    for (int d = 0; d < DIM; d++) {
        prediction[d] = sin(x[d] + 2 * x[(d + 1) % DIM] + t);
    }
}

/* No target asks the network. */
static void never(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                  double *prediction)
{
    (void)x;
    (void)t;
    (void)s;
    (void)label;
    (void)network;
    (void)dim;
    (void)prediction;
    fail();
}

static void expect_targets(const char *name, int prediction, int schedule)
{
    struct fs_mock_training mock;
    struct fs_phase phase;
    double t[ROWS_MAX];
    fs_mock_create(&mock, backend, fs_method_find("diffusion"), 7, rows, DIM, never);
    choose(mock.method, &mock.settings, prediction, schedule);
    mock.seed = seed;
    mock.update = update;
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST, .update = update};
    for (int i = 0; i < rows * DIM; i++) {
        float four[4];
        fs_normals4(key, (uint32_t)(i / DIM), (uint32_t)(i % DIM) / 4, four);
        mock.data[i] = fmin(fmax((double)four[i % DIM % 4], -1), 1);
    }
    assert_int_equal(mock.method->phases(&mock.setup, &phase), 1);
    struct fs_mock_targets targets = fs_mock_make(&mock, &phase, rows);
    for (int i = 0; i < rows; i++) {
        t[i] = (double)targets.t[i];
        assert_true(targets.s[i] == 0 && targets.weight[i] == 1);
    }
    expect(name, "t", t, rows, 1e-7);
    expect(name, "x", targets.x, rows * DIM, 1e-6);
    expect(name, "target", targets.target, rows * DIM, 1e-6);
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
}

static void evaluate(struct fs_sampler *sampler, struct fs_view out, struct fs_view x, const float *t, const float *s,
                     const int32_t *labels)
{
    (void)s;
    (void)labels;
    double values[ROWS_MAX * DIM];
    fs_mock_read(sampler->backend, x, values);
    for (int i = 0; i < rows; i++) {
        double prediction[DIM];
        formula(values + i * DIM, (double)t[i], prediction);
        memcpy(values + i * DIM, prediction, sizeof prediction);
    }
    fs_mock_write(sampler->backend, out, values);
}

static void expect_samples(const char *name, int prediction, int schedule, int steps)
{
    struct fs_error error = {.text = ""};
    struct fs_config config = {.method = fs_method_find("diffusion")};
    config.model.classes = 1;
    config.model.finest_steps = 128;
    config.train.updates = 1000;
    config.train.batch = rows;
    config.evaluate.guidance_scale = 1;
    fs_mock_default_settings(config.method, &config.settings);
    choose(config.method, &config.settings, prediction, schedule);
    struct fs_sampler sampler = {
        .backend = backend, .config = &config, .dim = DIM, .capacity = rows, .evaluate = evaluate};
    struct fs_view x;
    const int32_t labels[ROWS_MAX] = {0};
    double values[ROWS_MAX * DIM];
    char part[24];
    const struct fs_drawing drawing = {.labels = labels, .steps = steps, .guidance_scale = 1, .seed = seed};
    assert_int_equal(fs_sampler_create(&sampler, &error), FS_OK);
    assert_int_equal(fs_view_create(backend, rows, DIM, &x, &error), FS_OK);
    fs_evaluation_noise(backend, x, seed, 0);
    if (fs_sample(&sampler, x, &drawing, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    fs_mock_read(backend, x, values);
    snprintf(part, sizeof part, "samples-%d", steps);
    expect(name, part, values, rows * DIM, 2e-5); /* the first step has 157 times the rounding of x */
    backend->release(backend, x.data);
    fs_sampler_destroy(&sampler);
}

static void targets_and_samples_are_diffusers(void **state)
{
    (void)state;
    static const char *const names[] = {"epsilon-linear", "epsilon-cosine", "v-linear", "v-cosine"};
    for (int i = 0; i < 4; i++) {
        expect_targets(names[i], i / 2, i % 2);
        expect_samples(names[i], i / 2, i % 2, 1);
        expect_samples(names[i], i / 2, i % 2, 4);
        expect_samples(names[i], i / 2, i % 2, 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_and_samples_are_diffusers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
