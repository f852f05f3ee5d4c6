/* The sampler with the Gaussian mixture's exact velocity in the network's place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/data/dataset.h"
#include "harness/data/mixture.h"
#include "harness/sample/sampler.h"
#include "tests/support/mock_training.h"

#define DIM 4
#define CAPACITY 500
#define SHIFT 0.01 /* how the stand-in answers to s */

struct setting {
    struct fs_backend *backend;
    struct fs_config config;
    struct fs_sampler sampler;
    struct fs_view x;
    int64_t rows_asked; /* that went through the stand-in */
};

static void exact(const double *x, double t, double s, int32_t label, double *velocity)
{
    fs_mixture_velocity(fs_mixture_standard(), x, t, label, velocity);
    for (int d = 0; d < DIM; d++) {
        velocity[d] += SHIFT * s;
    }
}

static void evaluate(struct fs_sampler *sampler, struct fs_view velocity, struct fs_view x, const float *t,
                     const float *s, const int32_t *labels)
{
    double states[CAPACITY * DIM];
    ((struct setting *)sampler->owner)->rows_asked += x.rows;
    fs_mock_read(sampler->backend, x, states);
    for (int64_t i = 0; i < x.rows; i++) {
        double row[DIM];
        exact(states + i * DIM, (double)t[i], (double)s[i], labels[i], row);
        memcpy(states + i * DIM, row, sizeof row);
    }
    fs_mock_write(sampler->backend, velocity, states);
}

static void create(struct setting *setting, const char *method, int finest_steps)
{
    struct fs_error error;
    *setting = (struct setting){.backend = fs_cpu_backend(1, &error)};
    assert_non_null(setting->backend);
    setting->config.method = fs_method_find(method);
    setting->config.model.classes = 4;
    setting->config.model.finest_steps = finest_steps;
    setting->config.train.updates = 1000;
    setting->config.train.batch = 128;
    setting->config.evaluate.guidance_scale = 1;
    fs_mock_default_settings(setting->config.method, &setting->config.settings);
    setting->sampler = (struct fs_sampler){.backend = setting->backend,
                                           .config = &setting->config,
                                           .dim = DIM,
                                           .capacity = CAPACITY,
                                           .owner = setting,
                                           .evaluate = evaluate};
    assert_int_equal(fs_sampler_create(&setting->sampler, &error), FS_OK);
    void *memory = setting->backend->allocate(setting->backend, CAPACITY * DIM * sizeof(float), &error);
    assert_non_null(memory);
    setting->x = fs_view(memory, FS_F32, CAPACITY, DIM);
}

static void destroy(struct setting *setting)
{
    fs_sampler_destroy(&setting->sampler);
    setting->backend->release(setting->backend, setting->x.data);
    setting->backend->destroy(setting->backend);
}

/* Rows first … of the noise bank at `seed` become samples in the first `rows` rows of setting->x. */
static fs_status draw(struct setting *setting, int rows, const int32_t *labels, int steps, double scale, uint32_t seed,
                      uint32_t first, struct fs_error *error)
{
    const struct fs_view view = fs_view_rows(setting->x, 0, rows);
    const struct fs_drawing drawing = {
        .labels = labels, .steps = steps, .guidance_scale = scale, .seed = seed, .first_row = first};
    fs_evaluation_noise(setting->backend, view, seed, first);
    return fs_sample(&setting->sampler, view, &drawing, error);
}

/* --- Euler --- */

/* Draws with the sampler and by Euler in double from the same noise; the largest difference. */
static double largest_difference(struct setting *setting, int rows, int steps, double s, double scale)
{
    struct fs_error error;
    struct fs_backend *backend = setting->backend;
    const struct fs_view view = fs_view_rows(setting->x, 0, rows);
    double expected[CAPACITY * DIM], drawn[CAPACITY * DIM], largest = 0;
    int32_t labels[CAPACITY];
    fs_evaluation_noise(backend, view, 11, 3);
    fs_mock_read(backend, view, expected);
    for (int i = 0; i < rows; i++) {
        double *x = expected + i * DIM;
        labels[i] = i % 4;
        for (int step = 0; step < steps; step++) {
            double velocity[DIM], null[DIM];
            exact(x, (double)step / steps, s, labels[i], velocity);
            exact(x, (double)step / steps, s, 4, null);
            for (int d = 0; d < DIM; d++) {
                x[d] += (scale == 1 ? velocity[d] : null[d] + scale * (velocity[d] - null[d])) / steps;
            }
        }
    }
    assert_int_equal(draw(setting, rows, labels, steps, scale, 11, 3, &error), FS_OK);
    fs_mock_read(backend, view, drawn);
    for (int i = 0; i < rows * DIM; i++) {
        largest = fmax(largest, fabs(drawn[i] - expected[i]));
    }
    return largest;
}

static void euler_equals_double_precision(void **state)
{
    (void)state;
    struct setting setting;
    create(&setting, "flow-matching", 128);
    for (int steps = 1; steps <= 128; steps *= 2) {
        assert_true(largest_difference(&setting, 63, steps, 0, 1) < 2e-5);
    }
    destroy(&setting);
    create(&setting, "shortcut", 128);
    fs_mock_set_option(setting.config.method, &setting.config.settings, "max_step", 2);
    for (int level = 0; level <= 7; level++) {
        assert_true(largest_difference(&setting, 63, 1 << level, level > 2 ? level : 2, 1) < 2e-5);
    }
    destroy(&setting);
}

static void guidance_goes_from_the_null_label(void **state)
{
    (void)state;
    struct setting setting;
    create(&setting, "flow-matching", 128);
    const double scales[] = {0, 0.5, 1.5, 3};
    for (int k = 0; k < 4; k++) {
        assert_true(largest_difference(&setting, 41, 16, 0, scales[k]) < 1e-4);
        assert_true(largest_difference(&setting, 1, 128, 0, scales[k]) < 1e-4);
    }
    destroy(&setting);
}

/* --- any number of steps, other solvers, another grid --- */

/* One step of each solver in double. */
static void solve_in_double(enum fs_solver solver, bool last, double *x, double t, double next, int32_t label)
{
    double v[DIM], w[DIM], ahead[DIM];
    const double h = next - t, reach = solver == FS_SOLVER_MIDPOINT ? h / 2 : h;
    exact(x, t, 0, label, v);
    for (int d = 0; d < DIM; d++) {
        ahead[d] = x[d] + reach * v[d];
    }
    if (solver != FS_SOLVER_METHOD && !(solver == FS_SOLVER_HEUN && last)) {
        exact(ahead, t + reach, 0, label, w);
        for (int d = 0; d < DIM; d++) {
            v[d] = solver == FS_SOLVER_HEUN ? (v[d] + w[d]) / 2 : w[d];
        }
    }
    for (int d = 0; d < DIM; d++) {
        x[d] += h * v[d];
    }
}

/* What the sampler draws so, against the same in double at `fine` times as many steps; the root mean square. */
static double distance_to_double(struct setting *setting, enum fs_solver solver, double shift, int steps, int fine)
{
    struct fs_error error = {.text = ""};
    const int rows = 47;
    double expected[47 * DIM], drawn[47 * DIM], squares = 0;
    int32_t labels[47];
    const struct fs_view view = fs_view_rows(setting->x, 0, rows);
    const struct fs_drawing drawing = {.labels = labels,
                                       .steps = steps,
                                       .guidance_scale = 1,
                                       .seed = 11,
                                       .first_row = 3,
                                       .solver = solver,
                                       .time_shift = shift};
    fs_evaluation_noise(setting->backend, view, 11, 3);
    fs_mock_read(setting->backend, view, expected);
    for (int i = 0; i < rows; i++) {
        labels[i] = i % 5; /* the last is the null label */
        for (int step = 0; step < steps * fine; step++) {
            const double t = (double)step / (steps * fine), next = (step + 1.0) / (steps * fine);
            solve_in_double(solver, step + 1 == steps * fine, expected + i * DIM, t / (t + shift * (1 - t)),
                            next / (next + shift * (1 - next)), labels[i]);
        }
    }
    setting->rows_asked = 0;
    if (fs_sample(&setting->sampler, view, &drawing, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(setting->rows_asked, rows * fs_solver_evaluations(solver, steps));
    fs_mock_read(setting->backend, view, drawn);
    for (int i = 0; i < rows * DIM; i++) {
        squares += (drawn[i] - expected[i]) * (drawn[i] - expected[i]);
    }
    return sqrt(squares / (rows * DIM));
}

static void solvers_equal_double_precision(void **state)
{
    (void)state;
    const int steps[] = {1, 2, 3, 7, 100, 128};
    const double shifts[] = {1, 3, 0.4};
    struct setting setting;
    create(&setting, "flow-matching", 128);
    for (int solver = FS_SOLVER_METHOD; solver <= FS_SOLVER_MIDPOINT; solver++) {
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            for (size_t k = 0; k < sizeof shifts / sizeof *shifts; k++) {
                assert_true(distance_to_double(&setting, solver, shifts[k], steps[i], 1) < 2e-5);
            }
        }
    }
    assert_int_equal(fs_solver_evaluations(FS_SOLVER_METHOD, 7), 7);
    assert_int_equal(fs_solver_evaluations(FS_SOLVER_HEUN, 7), 13);
    assert_int_equal(fs_solver_evaluations(FS_SOLVER_MIDPOINT, 7), 14);
    destroy(&setting);
}

/* Twice the steps: half of Euler's error against the exact solution, a quarter of the others'. */
static void errors_fall_with_the_order_of_the_solver(void **state)
{
    (void)state;
    struct setting setting;
    create(&setting, "flow-matching", 512);
    for (int solver = FS_SOLVER_METHOD; solver <= FS_SOLVER_MIDPOINT; solver++) {
        const double coarse = distance_to_double(&setting, solver, 1, 48, 64);
        const double fine = distance_to_double(&setting, solver, 1, 96, 32);
        const double order = log2(coarse / fine);
        assert_true(solver == FS_SOLVER_METHOD ? order > 0.7 && order < 1.3 : order > 1.5);
    }
    destroy(&setting);
}

static void only_a_free_method_is_sampled_so(void **state)
{
    (void)state;
    struct setting setting;
    struct fs_error error;
    const int32_t labels[2] = {0, 1};
    struct fs_drawing drawing = {.labels = labels, .steps = 4, .guidance_scale = 1, .solver = FS_SOLVER_HEUN};
    create(&setting, "shortcut", 128);
    const struct fs_view view = fs_view_rows(setting.x, 0, 2);
    assert_int_equal(fs_sample(&setting.sampler, view, &drawing, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "sampler: shortcut"));
    drawing.solver = FS_SOLVER_METHOD;
    drawing.time_shift = 3;
    assert_int_equal(fs_sample(&setting.sampler, view, &drawing, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "time_shift: shortcut"));
    drawing.time_shift = 1;
    assert_int_equal(fs_sample(&setting.sampler, view, &drawing, &error), FS_OK);
    destroy(&setting);
    create(&setting, "flow-matching", 128);
    const int wrong[] = {0, -3, 129};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        assert_int_equal(draw(&setting, 2, labels, wrong[k], 1, 1, 0, &error), FS_USAGE);
        assert_non_null(strstr(error.text, "expected a number up to"));
    }
    destroy(&setting);
}

/* --- steps of a method's own --- */

static void renoise_in_double(double *x, int32_t label, uint32_t seed, uint32_t row, int steps)
{
    for (int step = 0; step < steps; step++) {
        const struct fs_random_key key = {seed, FS_STREAM_SAMPLING_NOISE, 0, (uint32_t)step};
        const double t = (double)step / steps, next = (step + 1.0) / steps;
        double velocity[DIM];
        float noise[4];
        fs_normals4(key, row, 0, noise);
        exact(x, t, 0, label, velocity);
        for (int d = 0; d < DIM; d++) {
            const double end = fmin(fmax(x[d] + (1 - t) * velocity[d], -FS_MOCK_CLIP), FS_MOCK_CLIP);
            x[d] = next * end + (1 - next) * (double)noise[d];
        }
    }
}

static void own_steps_draw_by_the_row_of_the_bank(void **state)
{
    (void)state;
    struct setting setting;
    struct fs_error error;
    create(&setting, "flow-matching", 128);
    struct fs_method own = *setting.config.method;
    own.step = fs_mock_renoise;
    setting.config.method = &own;
    double expected[23 * DIM], drawn[23 * DIM];
    int32_t labels[23];
    const struct fs_view view = fs_view_rows(setting.x, 0, 23);
    fs_evaluation_noise(setting.backend, view, 7, 1000);
    fs_mock_read(setting.backend, view, expected);
    for (int i = 0; i < 23; i++) {
        labels[i] = i % 4;
        renoise_in_double(expected + i * DIM, labels[i], 7, (uint32_t)(1000 + i), 8);
    }
    assert_int_equal(draw(&setting, 23, labels, 8, 1, 7, 1000, &error), FS_OK);
    fs_mock_read(setting.backend, view, drawn);
    for (int i = 0; i < 23 * DIM; i++) {
        assert_true(fabs(drawn[i] - expected[i]) < 2e-5);
    }
    destroy(&setting);
}

/* The first 61 samples of a bank, `at_once` at a time; each asks the network `steps` times. */
static void draw_in_pieces(struct setting *setting, int at_once, int steps, double samples[61 * DIM])
{
    struct fs_error error = {.text = ""};
    setting->rows_asked = 0;
    for (int done = 0; done < 61; done += at_once) {
        const int count = 61 - done < at_once ? 61 - done : at_once;
        int32_t labels[61];
        for (int i = 0; i < count; i++) {
            labels[i] = (done + i) % 4;
        }
        if (draw(setting, count, labels, steps, 1, 9, (uint32_t)done, &error) != FS_OK) {
            fail_msg("%s: %s", setting->config.method->name, error.text);
        }
        fs_mock_read(setting->backend, fs_view_rows(setting->x, 0, count), samples + done * DIM);
    }
    assert_int_equal(setting->rows_asked, 61 * steps);
}

static void no_method_samples_by_the_batch(void **state)
{
    (void)state;
    const struct fs_method *method;
    for (int k = 0; (method = fs_method_at(k)) != NULL; k++) {
        struct setting setting;
        create(&setting, method->name, 128);
        for (int steps = 1; steps <= 16; steps += steps < 4 ? 1 : 6) { /* 1, 2, 3, 4, 10, 16 */
            double whole[61 * DIM], pieces[61 * DIM];
            if (!fs_method_takes_steps(method, 128, steps)) {
                continue;
            }
            draw_in_pieces(&setting, 61, steps, whole);
            draw_in_pieces(&setting, 13, steps, pieces);
            for (int i = 0; i < 61 * DIM; i++) {
                assert_true(isfinite(whole[i]) && whole[i] == pieces[i]);
            }
        }
        destroy(&setting);
    }
}

/* --- transport --- */

/* Mean and covariance of the mixture in closed form: Σ weight·(deviation²·I + mean·meanᵀ) − mean·meanᵀ. */
static void closed_form(double mean[DIM], double covariance[DIM][DIM])
{
    const struct fs_mixture *mixture = fs_mixture_standard();
    memset(mean, 0, DIM * sizeof *mean);
    memset(covariance, 0, DIM * sizeof *covariance);
    for (int k = 0; k < mixture->modes; k++) {
        for (int i = 0; i < DIM; i++) {
            mean[i] += mixture->weight[k] * mixture->mean[k][i];
            covariance[i][i] += mixture->weight[k] * mixture->deviation[k] * mixture->deviation[k];
            for (int j = 0; j < DIM; j++) {
                covariance[i][j] += mixture->weight[k] * mixture->mean[k][i] * mixture->mean[k][j];
            }
        }
    }
    for (int i = 0; i < DIM; i++) {
        for (int j = 0; j < DIM; j++) {
            covariance[i][j] -= mean[i] * mean[j];
        }
    }
}

/* The largest errors of mean and covariance over 20 × CAPACITY samples of the whole mixture. */
static void transport_error(struct setting *setting, int steps, double *mean_error, double *covariance_error)
{
    struct fs_error error;
    double sum[DIM] = {0}, product[DIM][DIM] = {{0}}, mean[DIM], covariance[DIM][DIM];
    int32_t labels[CAPACITY];
    const double n = 20 * CAPACITY;
    for (int i = 0; i < CAPACITY; i++) {
        labels[i] = 4;
    }
    for (uint32_t part = 0; part < 20; part++) {
        double drawn[CAPACITY * DIM];
        assert_int_equal(draw(setting, CAPACITY, labels, steps, 1, 1, part * CAPACITY, &error), FS_OK);
        fs_mock_read(setting->backend, setting->x, drawn);
        for (int k = 0; k < CAPACITY; k++) {
            for (int i = 0; i < DIM; i++) {
                sum[i] += drawn[k * DIM + i];
                for (int j = 0; j < DIM; j++) {
                    product[i][j] += drawn[k * DIM + i] * drawn[k * DIM + j];
                }
            }
        }
    }
    closed_form(mean, covariance);
    *mean_error = *covariance_error = 0;
    for (int i = 0; i < DIM; i++) {
        *mean_error = fmax(*mean_error, fabs(sum[i] / n - mean[i]));
        for (int j = 0; j < DIM; j++) {
            const double drawn = product[i][j] / n - sum[i] / n * sum[j] / n;
            *covariance_error = fmax(*covariance_error, fabs(drawn - covariance[i][j]));
        }
    }
}

/* 10 000 samples with variances near 1: five standard errors are 0.05 for means and 0.08 for covariances. */
static void noise_is_carried_to_the_mixture(void **state)
{
    (void)state;
    struct setting setting;
    create(&setting, "flow-matching", 256);
    double mean, covariance, coarse_mean, coarse_covariance;
    transport_error(&setting, 1, &coarse_mean, &coarse_covariance);
    assert_true(coarse_covariance > 0.5); /* one Euler step ends in the mean of the data */
    for (int steps = 128; steps <= 256; steps *= 2) {
        transport_error(&setting, steps, &mean, &covariance);
        assert_true(mean < 0.05);
        assert_true(covariance < 0.08);
    }
    destroy(&setting);
}

/* --- refusals --- */

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    struct setting setting;
    struct fs_error error;
    const int32_t labels[2] = {0, 1};
    create(&setting, "shortcut", 128);
    const int wrong[] = {0, -4, 3, 96, 256};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        assert_int_equal(draw(&setting, 2, labels, wrong[k], 1, 1, 0, &error), FS_USAGE);
        assert_non_null(strstr(error.text, "power of two"));
    }
    assert_int_equal(draw(&setting, 2, labels, 64, 1.5, 1, 0, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "null label"));
    assert_int_equal(draw(&setting, 2, labels, 128, 1.5, 1, 0, &error), FS_OK);
    assert_int_equal(draw(&setting, 2, labels, 64, 1, 1, 0, &error), FS_OK);
    destroy(&setting);
    create(&setting, "progressive-distillation", 128);
    assert_int_equal(draw(&setting, 2, labels, 1, 2, 1, 0, &error), FS_USAGE);
    destroy(&setting);
}

/* --- the noise bank --- */

static void noise_bank_is_one_table(void **state)
{
    (void)state;
    struct setting setting;
    double all[CAPACITY * DIM], part[3 * DIM];
    create(&setting, "flow-matching", 128);
    fs_evaluation_noise(setting.backend, setting.x, 7, 0);
    fs_mock_read(setting.backend, setting.x, all);
    fs_evaluation_noise(setting.backend, fs_view_rows(setting.x, 0, 3), 7, 101);
    fs_mock_read(setting.backend, fs_view_rows(setting.x, 0, 3), part);
    assert_memory_equal(part, all + 101 * DIM, sizeof part);
    fs_evaluation_noise(setting.backend, fs_view_rows(setting.x, 0, 3), 8, 101);
    fs_mock_read(setting.backend, fs_view_rows(setting.x, 0, 3), part);
    assert_true(memcmp(part, all + 101 * DIM, sizeof part) != 0);
    destroy(&setting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(euler_equals_double_precision),    cmocka_unit_test(guidance_goes_from_the_null_label),
        cmocka_unit_test(solvers_equal_double_precision),   cmocka_unit_test(errors_fall_with_the_order_of_the_solver),
        cmocka_unit_test(only_a_free_method_is_sampled_so), cmocka_unit_test(own_steps_draw_by_the_row_of_the_bank),
        cmocka_unit_test(no_method_samples_by_the_batch),   cmocka_unit_test(noise_is_carried_to_the_mixture),
        cmocka_unit_test(wrong_requests_are_refused),       cmocka_unit_test(noise_bank_is_one_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
