/* Targets and samples of the shortcut-model paper's methods against what the authors' own code gives from the same
 * noise, data, times, labels and weights (make_targets_golden.py). Nothing but rounding may lie between them. */
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

#define GOLDEN "tests/golden/targets/targets.safetensors"
#define TOLERANCE 5e-6 /* of the largest value; worst seen: 1.5e-6 */
#define NETWORKS 3     /* current, average, teacher */

static struct fs_tensor_file file;
static struct fs_backend *backend;
static struct fs_dit *dit;
static struct fs_weights weights[NETWORKS];
static struct fs_view one_row, one_velocity;
static int rows, dim;

static double setting(const char *key)
{
    const char *text = fs_tensor_metadata_find(&file, key);
    assert_non_null(text);
    return strtod(text, NULL);
}

static const float *tensor(const char *name, const char *part)
{
    char full[80];
    snprintf(full, sizeof full, "%s%s%s", name, *part ? "." : "", part);
    const struct fs_tensor *found = fs_tensor_find(&file, full);
    assert_non_null(found);
    return found->data;
}

/* --- what both sides start from --- */

/* `count` normals of the test's stream in each of the rows first … of an array. */
static void draw(uint32_t seed, uint32_t update, int count, int cols, double scale, float *values)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST, .update = update};
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < cols; j++) {
            float four[4];
            fs_normals4(key, (uint32_t)i, (uint32_t)j / 4, four);
            values[i * cols + j] = (float)scale * four[j % 4];
        }
    }
}

/* Weights are drawn in the shape and under the name of the DiT repository: N(0, 0.2²), of the last layer N(0, 1). */
static void draw_weights(int network)
{
    struct fs_error error;
    int count;
    const struct fs_parameter *parameters = fs_dit_parameters(dit, &count);
    float *flat = calloc((size_t)fs_dit_parameter_count(dit), sizeof *flat);
    assert_non_null(flat);
    for (int i = 0; i < count; i++) {
        const char *name = parameters[i].name;
        uint32_t place = 0;
        for (uint32_t k = 0; name[k]; k++) {
            place += (k + 1) * (unsigned char)name[k];
        }
        const int values = (int)(parameters[i].rows * parameters[i].cols);
        float *exported = calloc((size_t)values, sizeof *exported);
        assert_non_null(exported);
        draw((uint32_t)(100 + network), place, 1, values, strncmp(name, "final_layer.linear", 18) == 0 ? 1 : 0.2,
             exported);
        fs_dit_import_parameter(dit, &parameters[i], exported, flat);
        free(exported);
    }
    assert_int_equal(fs_weights_create(dit, &weights[network], &error), FS_OK);
    backend->upload(backend, weights[network].values.data, flat, (size_t)weights[network].values.cols * sizeof *flat);
    fs_dit_refresh(dit, &weights[network]);
    free(flat);
}

static int set_up(void **state)
{
    (void)state;
    struct fs_error error;
    if (fs_tensor_file_read(GOLDEN, &file, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    const struct fs_model_config config = {
        .preset = "golden",
        .patch = (int)setting("patch"),
        .hidden = (int)setting("hidden"),
        .depth = (int)setting("depth"),
        .heads = (int)setting("heads"),
        .classes = (int)setting("classes"),
    };
    const int side = (int)setting("height"), channels = (int)setting("channels");
    rows = (int)setting("rows");
    dim = side * side * channels;
    backend = fs_cpu_backend(1, &error);
    assert_non_null(backend);
    dit = fs_dit_create(backend, &config, side, side, channels, rows, FS_PASS_FORWARD, FS_F32, &error);
    assert_non_null(dit);
    assert_int_equal(fs_view_create(backend, 1, dim, &one_row, &error), FS_OK);
    assert_int_equal(fs_view_create(backend, 1, dim, &one_velocity, &error), FS_OK);
    for (int network = 0; network < NETWORKS; network++) {
        draw_weights(network);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int network = 0; network < NETWORKS; network++) {
        fs_weights_destroy(dit, &weights[network]);
    }
    backend->release(backend, one_row.data);
    backend->release(backend, one_velocity.data);
    fs_dit_destroy(dit);
    backend->destroy(backend);
    fs_tensor_file_free(&file);
    return 0;
}

static void network_velocity(const double *x, double t, double s, int32_t label, enum fs_network network, int size,
                             double *velocity)
{
    const float time = (float)t, level = (float)s;
    const struct fs_dit_input input = {one_row, &time, &level, &label};
    assert_int_equal(size, dim);
    fs_mock_write(backend, one_row, x);
    fs_dit_forward(dit, &weights[network], &input, one_velocity, false);
    fs_mock_read(backend, one_velocity, velocity);
}

/* --- comparing --- */

static void expect_rows(const char *name, const char *part, const double *values)
{
    const float *expected = tensor(name, part);
    double largest = 0, worst = 0;
    for (int i = 0; i < rows * dim; i++) {
        largest = fmax(largest, fabs((double)expected[i]));
        worst = fmax(worst, fabs(values[i] - (double)expected[i]));
    }
    if (!(largest > 1 && worst <= TOLERANCE * largest)) {
        fail_msg("%s.%s: off by %g, where the largest value is %g", name, part, worst, largest);
    }
}

struct target_case {
    const char *name, *method;
    int phase;
    bool guided, conditioned;
};

/* With an option of the method switched on, unless that is NULL, and then that share of self-consistency rows. */
static void expect_targets(const struct target_case *of, const char *option, double fraction)
{
    const uint32_t seed = (uint32_t)setting("seed"), update = (uint32_t)setting("update");
    const int classes = (int)setting("classes");
    struct fs_error error;
    struct fs_mock_training mock;
    fs_mock_create(&mock, backend, fs_method_find(of->method), (int)log2(setting("finest_steps")), rows, dim,
                   network_velocity);
    mock.seed = seed;
    mock.update = update;
    mock.null_label = classes;
    mock.label_dropout = setting("label_dropout");
    mock.setup.guidance_scale = of->guided ? setting("guidance_scale") : 1;
    if (strcmp(of->method, "shortcut") == 0) {
        fs_mock_set_option(mock.method, &mock.settings, "bootstrap_guidance", of->guided);
    }
    if (option != NULL) {
        fs_mock_set_option(mock.method, &mock.settings, option, 1);
        fs_mock_set_option(mock.method, &mock.settings, "bootstrap_fraction", fraction);
        assert_int_equal(mock.method->check(&mock.setup, &error), FS_OK);
    }
    float *drawn = calloc((size_t)(rows * dim), sizeof *drawn);
    assert_non_null(drawn);
    draw(seed, update, rows, dim, 1, drawn);
    for (int i = 0; i < rows * dim; i++) {
        mock.data[i] = fmin(fmax((double)drawn[i], -1), 1);
    }
    draw(seed, update + 1, rows, dim, 1, drawn);
    for (int i = 0; i < rows * dim; i++) {
        mock.noise[i] = (double)drawn[i];
    }
    for (int i = 0; i < rows; i++) {
        mock.labels[i] = (i * 7 + 1) % classes;
    }
    struct fs_phase phases[FS_PHASES_MAX];
    assert_in_range(of->phase, 0, mock.method->phases(&mock.setup, phases) - 1);
    struct fs_mock_targets targets = fs_mock_make(&mock, &phases[of->phase], rows);
    for (int i = 0; i < rows; i++) {
        assert_true(targets.t[i] == tensor(of->name, "t")[i]);
        assert_true(targets.s[i] == (of->conditioned ? tensor(of->name, "s")[i] : 0));
        assert_true((float)targets.labels[i] == tensor(of->name, "labels")[i]);
        assert_true(targets.weight[i] == 1);
    }
    expect_rows(of->name, "x", targets.x);
    expect_rows(of->name, "target", targets.target);
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
    free(drawn);
}

static void targets_are_the_authors(void **state)
{
    (void)state;
    static const struct target_case cases[] = {
        {"flow-matching", "flow-matching", 0, false, false},
        {"reflow", "reflow", 0, false, false},
        {"shortcut", "shortcut", 0, false, true},
        {"shortcut-guided", "shortcut", 0, true, true},
        {"progressive-distillation-0", "progressive-distillation", 0, false, false},
        {"progressive-distillation-0-guided", "progressive-distillation", 0, true, false},
        {"progressive-distillation-2", "progressive-distillation", 2, false, false},
        {"progressive-distillation-2-guided", "progressive-distillation", 2, true, false},
        {"consistency-distillation", "consistency-distillation", 0, false, false},
        {"consistency-training-0", "consistency-training", 0, false, false},
        {"consistency-training-3", "consistency-training", 3, false, false},
        {"live-reflow", "live-reflow", 0, false, true},
        {"live-reflow-guided", "live-reflow", 0, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_targets(&cases[i], NULL, 0);
    }
    const struct target_case bias = {"shortcut-bias", "shortcut", 0, true, true};
    const struct target_case missing = {"shortcut-missing", "shortcut", 0, true, true};
    expect_targets(&bias, "bootstrap_dt_bias", 0.5);
    expect_targets(&missing, "allow_missing_levels", 1.0 / 22);
}

/* --- sampling --- */

static void evaluate(struct fs_sampler *sampler, struct fs_view velocity, struct fs_view x, const float *t,
                     const float *s, const int32_t *labels)
{
    (void)sampler;
    const struct fs_dit_input input = {x, t, s, labels};
    fs_dit_forward(dit, &weights[FS_NETWORK_AVERAGE], &input, velocity, false);
}

static void expect_samples(const char *name, const char *method, int steps, double guidance_scale)
{
    struct fs_error error = {.text = ""};
    struct fs_config config = {.method = fs_method_find(method)};
    config.model.classes = (int)setting("classes");
    config.model.finest_steps = (int)setting("finest_steps");
    config.train.updates = 1000;
    config.train.batch = rows;
    config.evaluate.guidance_scale = guidance_scale;
    fs_mock_default_settings(config.method, &config.settings);
    struct fs_sampler sampler = {
        .backend = backend, .config = &config, .dim = dim, .capacity = rows, .evaluate = evaluate};
    struct fs_view x;
    int32_t *labels = calloc((size_t)rows, sizeof *labels);
    double *values = calloc((size_t)(rows * dim), sizeof *values);
    assert_true(labels && values);
    for (int i = 0; i < rows; i++) {
        labels[i] = (i * 7 + 1) % config.model.classes;
    }
    const uint32_t seed = (uint32_t)setting("seed");
    const struct fs_drawing drawing = {
        .labels = labels, .steps = steps, .guidance_scale = guidance_scale, .seed = seed};
    assert_int_equal(fs_sampler_create(&sampler, &error), FS_OK);
    assert_int_equal(fs_view_create(backend, rows, dim, &x, &error), FS_OK);
    fs_evaluation_noise(backend, x, seed, 0);
    if (fs_sample(&sampler, x, &drawing, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    fs_mock_read(backend, x, values);
    expect_rows(name, "", values);
    backend->release(backend, x.data);
    fs_sampler_destroy(&sampler);
    free(labels);
    free(values);
}

static void samples_are_the_authors(void **state)
{
    (void)state;
    expect_samples("samples.naive-4", "flow-matching", 4, 1);
    expect_samples("samples.naive-4-guided", "flow-matching", 4, setting("guidance_scale"));
    expect_samples("samples.shortcut-1", "shortcut", 1, 1);
    expect_samples("samples.shortcut-4", "shortcut", 4, 1);
    expect_samples("samples.consistency-1", "consistency-training", 1, 1);
    expect_samples("samples.consistency-4", "consistency-training", 4, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_the_authors),
        cmocka_unit_test(samples_are_the_authors),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
