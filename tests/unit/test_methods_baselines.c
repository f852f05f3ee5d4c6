/* Consistency models, live reflow and diffusion against the Gaussian mixture, whose exact velocity, and the path's end
 * by it, stand in the network's place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/data/dataset.h"
#include "harness/data/mixture.h"
#include "harness/sample/sampler.h"
#include "tests/reference/reference.h"
#include "tests/support/mock_training.h"

#define DIM 4
#define NULL_LABEL 4 /* the velocity of the whole mixture */
#define ROWS 500

static struct fs_backend *backend;
static struct fs_dataset dataset;

static int open_backend(void **state)
{
    (void)state;
    struct fs_error error;
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    backend = fs_reference_backend(&error);
    return backend && fs_dataset_open(&config, FS_SPLIT_TRAIN, &dataset, &error) == FS_OK ? 0 : 1;
}

static int close_backend(void **state)
{
    (void)state;
    fs_dataset_close(&dataset);
    backend->destroy(backend);
    return 0;
}

static void close_to(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) {
        fail_msg("%.9g is not %.9g", value, expected);
    }
}

static void exact(const double *x, double t, int32_t label, double *velocity)
{
    fs_mixture_velocity(fs_mixture_standard(), x, t, label, velocity);
}

static void guided(const double *x, double t, int32_t label, double scale, double *velocity)
{
    double null[DIM];
    exact(x, t, label, velocity);
    exact(x, t, NULL_LABEL, null);
    for (int d = 0; d < DIM; d++) {
        velocity[d] = null[d] + scale * (velocity[d] - null[d]);
    }
}

/* The velocity that leads from x at t to where the exact path from there ends, at t = 1: Runge and Kutta's fourth-order
 * steps. A consistency model that is perfect answers with it. */
static void to_the_end(const double *x, double t, int32_t label, double *velocity)
{
    enum { STEPS = 8 };
    double at[DIM], k[4][DIM], probe[DIM];
    const double h = (1 - t) / STEPS;
    memcpy(at, x, sizeof at);
    for (int step = 0; step < STEPS && h > 0; step++) {
        const double now = t + step * h, offsets[4] = {0, h / 2, h / 2, h};
        for (int i = 0; i < 4; i++) {
            for (int d = 0; d < DIM; d++) {
                probe[d] = at[d] + (i == 0 ? 0 : offsets[i] * k[i - 1][d]);
            }
            exact(probe, now + offsets[i], label, k[i]);
        }
        for (int d = 0; d < DIM; d++) {
            at[d] += h / 6 * (k[0][d] + 2 * k[1][d] + 2 * k[2][d] + k[3][d]);
        }
    }
    for (int d = 0; d < DIM; d++) {
        velocity[d] = h > 0 ? (at[d] - x[d]) / (1 - t) : 0;
    }
}

/* The teacher and the network that is trained have the exact velocity, the average knows where the path ends. */
static void stand_in(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                     double *velocity)
{
    (void)s;
    assert_int_equal(dim, DIM);
    if (network == FS_NETWORK_AVERAGE) {
        to_the_end(x, t, label, velocity);
    } else {
        exact(x, t, label, velocity);
    }
}

static void create(struct fs_mock_training *mock, const char *name, int levels)
{
    fs_mock_create(mock, backend, fs_method_find(name), levels, ROWS, DIM, stand_in);
    mock->null_label = NULL_LABEL;
}

/* Rows first, first + 1 … of the data set as the global batch. */
static void fill_from_mixture(struct fs_mock_training *mock, int64_t first)
{
    for (int i = 0; i < ROWS; i++) {
        float row[DIM];
        struct fs_error error;
        const int64_t at = (first + i) % dataset.shape.count;
        assert_int_equal(fs_dataset_read(&dataset, at, row, &error), FS_OK);
        mock->labels[i] = dataset.labels[at];
        for (int d = 0; d < DIM; d++) {
            mock->data[i * DIM + d] = (double)row[d];
        }
    }
}

static struct fs_mock_targets targets_of(struct fs_mock_training *mock, int phase)
{
    struct fs_phase phases[FS_PHASES_MAX];
    assert_in_range(phase, 0, mock->method->phases(&mock->setup, phases) - 1);
    return fs_mock_make(mock, &phases[phase], 170);
}

/* --- consistency distillation --- */

/* The largest difference of a target from the exact end, over rows whose x' stays inside the clip. */
static double distillation_error(int levels)
{
    struct fs_mock_training mock;
    create(&mock, "consistency-distillation", levels);
    fill_from_mixture(&mock, 0);
    struct fs_mock_targets targets = targets_of(&mock, 0);
    double largest = 0;
    for (int i = 0; i < ROWS; i++) {
        double end[DIM];
        to_the_end(targets.x + i * DIM, (double)targets.t[i], mock.labels[i], end);
        for (int d = 0; d < DIM; d++) {
            if (fabs(targets.x[i * DIM + d]) < 3.5) {
                largest = fmax(largest, fabs(targets.target[i * DIM + d] - end[d]));
            }
        }
    }
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
    return largest;
}

/* A perfect consistency model is its own target, but for the error of the teacher's step, which is of first order. */
static void a_perfect_consistency_model_is_its_own_target(void **state)
{
    (void)state;
    const double coarse = distillation_error(5), fine = distillation_error(9);
    print_message("off by %.3g at M = 32, by %.3g at 512\n", coarse, fine);
    assert_true(fine < coarse / 8);
    assert_true(fine < 0.05);
}

static void the_teachers_step_is_guided(void **state)
{
    (void)state;
    for (int option = 0; option < 2; option++) {
        struct fs_mock_training mock;
        create(&mock, "consistency-distillation", 4);
        fs_mock_set_option(mock.method, &mock.settings, "teacher_guidance", option);
        fill_from_mixture(&mock, 0);
        mock.setup.guidance_scale = 1.7;
        mock.label_dropout = 0.9; /* must not touch these rows */
        assert_int_equal(mock.method->trains_guided(&mock.settings), option);
        struct fs_mock_targets targets = targets_of(&mock, 0);
        for (int i = 0; i < ROWS; i++) {
            const double t = (double)targets.t[i], later = t + 1.0 / 16;
            double step[DIM], x[DIM], v[DIM];
            guided(targets.x + i * DIM, t, mock.labels[i], option ? 1.7 : 1, step);
            for (int d = 0; d < DIM; d++) {
                x[d] = fmin(fmax(targets.x[i * DIM + d] + step[d] / 16, -4), 4);
            }
            to_the_end(x, later, mock.labels[i], v);
            for (int d = 0; d < DIM; d++) {
                const double end = x[d] + (1 - later) * v[d];
                close_to(targets.target[i * DIM + d], (end - targets.x[i * DIM + d]) / (1 - t), 1e-5);
            }
        }
        fs_mock_free_targets(&targets);
        fs_mock_destroy(&mock);
    }
}

/* --- consistency training --- */

/* The step is 1, ½ … 2/M, fresh weights first and the same weights on; the shares of the training are equal. */
static void training_refines_its_step(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    struct fs_phase phases[FS_PHASES_MAX];
    create(&mock, "consistency-training", 5);
    mock.setup.updates = 23;
    assert_int_equal(mock.method->phases(&mock.setup, phases), 5);
    for (int k = 0; k < 5; k++) {
        assert_in_range(phases[k].updates, 4, 5);
        assert_int_equal(phases[k].start, k == 0 ? FS_START_FRESH : FS_START_CONTINUE);
        assert_int_equal(phases[k].level, k);
        struct fs_mock_targets targets = fs_mock_make(&mock, &phases[k], 99);
        for (int i = 0; i < ROWS; i++) {
            const double in_steps = (double)targets.t[i] * (1 << k);
            assert_true(in_steps == floor(in_steps) && in_steps < 1 << k);
            assert_int_equal(targets.labels[i], mock.labels[i]);
        }
        fs_mock_free_targets(&targets);
    }
    struct fs_error error;
    mock.setup.updates = 4;
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "train.updates: 4 are fewer than the 5 phases"));
    fs_mock_destroy(&mock);
}

#define PROBES 6
struct moments {
    double sum[PROBES][DIM], square[PROBES][DIM], n;
};

/* Adds (target − slope·u)·g for functions g of what the network sees. */
static void add_errors(struct moments *moments, const double *target, double slope, const double *u,
                       const double g[PROBES])
{
    moments->n++;
    for (int k = 0; k < PROBES; k++) {
        for (int d = 0; d < DIM; d++) {
            const double term = (target[d] - slope * u[d]) * g[k];
            moments->sum[k][d] += term;
            moments->square[k][d] += term * term;
        }
    }
}

/* The largest |mean| in its standard errors. */
static double largest_deviation(const struct moments *moments)
{
    double largest = 0;
    for (int k = 0; k < PROBES; k++) {
        for (int d = 0; d < DIM; d++) {
            const double n = moments->n, mean = moments->sum[k][d] / n;
            largest = fmax(largest, fabs(mean) / sqrt((moments->square[k][d] / n - mean * mean) / n));
        }
    }
    return largest;
}

/* The regression's minimum is the mean of the target given what the network sees: `prediction` is it when its error is
 * uncorrelated with that. One that is wrong by a tenth has to show. */
static void expect_minimum(struct fs_mock_training *mock, int phase,
                           void (*prediction)(const double *x, double t, int32_t label, double *u))
{
    struct moments right = {.n = 0}, wrong = {.n = 0};
    for (mock->update = 0; mock->update < 30; mock->update++) {
        fill_from_mixture(mock, mock->update * ROWS);
        struct fs_mock_targets targets = targets_of(mock, phase);
        for (int i = 0; i < ROWS; i++) {
            const double *x = targets.x + i * DIM, t = (double)targets.t[i];
            double u[DIM];
            prediction(x, t, targets.labels[i], u);
            const double g[PROBES] = {1, t, x[0], x[1] * x[2], sin(3 * x[3]), u[0]};
            add_errors(&right, targets.target + i * DIM, 1, u, g);
            add_errors(&wrong, targets.target + i * DIM, 1.1, u, g);
        }
        fs_mock_free_targets(&targets);
    }
    assert_true(largest_deviation(&right) < 5);
    assert_true(largest_deviation(&wrong) > 10);
}

/* As δ → 0 the mean of the target, given x_t, is the perfect consistency model: its noise is that of one step's data
 * velocity around the exact one. */
static void training_has_the_perfect_model_as_its_limit(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "consistency-training", 10);
    expect_minimum(&mock, 9, to_the_end);
    fs_mock_destroy(&mock);
}

/* --- live reflow --- */

static void live_reflow_learns_its_own_pairs(void **state)
{
    (void)state;
    for (int steps = 3; steps <= 8; steps += 5) {
        for (int option = 0; option < 2; option++) {
            struct fs_mock_training mock;
            const double scale = option ? 1.7 : 1;
            create(&mock, "live-reflow", 5);
            fill_from_mixture(&mock, 0);
            fs_mock_set_option(mock.method, &mock.settings, "reflow_steps", steps);
            fs_mock_set_option(mock.method, &mock.settings, "reflow_fraction", 0.1);
            mock.setup.guidance_scale = scale;
            const struct fs_random_key key = {mock.seed, FS_STREAM_BOOTSTRAP_NOISE, (uint32_t)mock.update, 0};
            struct fs_mock_targets targets = targets_of(&mock, 0);
            for (int i = 0; i < ROWS; i++) {
                assert_true(targets.s[i] == (i < ROWS / 10 ? 0 : 5)); /* the others are flow matching at level K */
            }
            for (int i = 0; i < ROWS / 10; i++) {
                const double t = (double)targets.t[i];
                float noise[4];
                double x[DIM], v[DIM];
                fs_normals4(key, (uint32_t)i, 0, noise);
                for (int d = 0; d < DIM; d++) {
                    x[d] = (double)noise[d];
                }
                for (int step = 0; step < steps; step++) {
                    guided(x, (double)((float)step / (float)steps), mock.labels[i], scale, v);
                    for (int d = 0; d < DIM; d++) {
                        x[d] += v[d] / steps;
                    }
                }
                for (int d = 0; d < DIM; d++) {
                    const double x0 = (double)noise[d];
                    close_to(targets.x[i * DIM + d], (1 - (1 - 1e-5) * t) * x0 + t * x[d], 1e-5);
                    close_to(targets.target[i * DIM + d], x[d] - x0, 1e-5);
                }
            }
            fs_mock_free_targets(&targets);
            fs_mock_destroy(&mock);
        }
    }
}

static void live_reflow_refuses_shares_without_rows(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    struct fs_error error;
    create(&mock, "live-reflow", 5);
    const double wrong[] = {0, 0.0019, 1};
    for (int i = 0; i < 3; i++) {
        fs_mock_set_option(mock.method, &mock.settings, "reflow_fraction", wrong[i]);
        assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE);
        assert_non_null(strstr(error.text, "methods.live-reflow.reflow_fraction"));
    }
    fs_mock_set_option(mock.method, &mock.settings, "reflow_fraction", 0.002);
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_OK);
    fs_mock_destroy(&mock);
}

/* --- diffusion --- */

static int schedule; /* of the tests below: 0 linear, 1 cosine */
static bool asks_v;

/* ᾱ at t = 1 − k/1000. */
static double kept_at(double t)
{
    static double kept[2][1001];
    for (int k = 1; kept[schedule][0] == 0 && k <= 1000; k++) {
        const double before = cos(((k - 1) / 1000.0 + 0.008) / 1.008 * acos(-1) / 2);
        const double after = cos((k / 1000.0 + 0.008) / 1.008 * acos(-1) / 2);
        kept[schedule][k] =
            (k == 1 ? 1 : kept[schedule][k - 1]) *
            (schedule == 0 ? 1 - (1e-4 + (0.02 - 1e-4) * (k - 1) / 999) : fmax(pow(after / before, 2), 0.001));
    }
    kept[schedule][0] = 1;
    return kept[schedule][lround(1000 * (1 - t))];
}

/* x_k = a·x1 + b·ε is (a + b) times a state of the flow at t = a/(a + b), whose exact velocity says E[x1] and E[ε]. */
static void exact_prediction(const double *x, double t, int32_t label, double *u)
{
    const double a = sqrt(kept_at(t)), b = sqrt(1 - kept_at(t)), along = a / (a + b);
    double y[DIM], v[DIM];
    for (int d = 0; d < DIM; d++) {
        y[d] = x[d] / (a + b);
    }
    exact(y, along, label, v);
    for (int d = 0; d < DIM; d++) {
        const double noise = y[d] - along * v[d], data = y[d] + (1 - along) * v[d];
        u[d] = asks_v ? a * noise - b * data : noise;
    }
}

static void the_exact_prediction_is_diffusions_minimum(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct fs_mock_training mock;
        schedule = i % 2;
        asks_v = i / 2;
        create(&mock, "diffusion", 7);
        fs_mock_set_option(mock.method, &mock.settings, "schedule", schedule);
        fs_mock_set_option(mock.method, &mock.settings, "prediction", asks_v);
        mock.label_dropout = 0.5;
        expect_minimum(&mock, 0, exact_prediction);
        fs_mock_destroy(&mock);
    }
}

static void evaluate(struct fs_sampler *sampler, struct fs_view out, struct fs_view x, const float *t, const float *s,
                     const int32_t *labels)
{
    (void)s;
    double values[ROWS * DIM];
    fs_mock_read(sampler->backend, x, values);
    for (int64_t i = 0; i < x.rows; i++) {
        double u[DIM];
        exact_prediction(values + i * DIM, (double)t[i], labels[i], u);
        memcpy(values + i * DIM, u, sizeof u);
    }
    fs_mock_write(sampler->backend, out, values);
}

/* Mean and second moment of coordinate 0 of what DDIM makes of the noise bank, the data not clipped. */
static void ddim_moments(int steps, double *mean, double *square)
{
    struct fs_error error = {.text = ""};
    struct fs_config config = {.method = fs_method_find("diffusion")};
    int32_t labels[ROWS];
    double values[ROWS * DIM];
    struct fs_view x;
    config.model.classes = NULL_LABEL;
    config.model.finest_steps = 128;
    config.train.updates = 1000;
    config.train.batch = ROWS;
    config.evaluate.guidance_scale = 1;
    fs_mock_default_settings(config.method, &config.settings);
    fs_mock_set_option(config.method, &config.settings, "clip", 0);
    fs_mock_set_option(config.method, &config.settings, "schedule", schedule);
    fs_mock_set_option(config.method, &config.settings, "prediction", asks_v);
    struct fs_sampler sampler = {
        .backend = backend, .config = &config, .dim = DIM, .capacity = ROWS, .evaluate = evaluate};
    assert_int_equal(fs_sampler_create(&sampler, &error), FS_OK);
    assert_int_equal(fs_view_create(backend, ROWS, DIM, &x, &error), FS_OK);
    for (int i = 0; i < ROWS; i++) {
        labels[i] = NULL_LABEL;
    }
    *mean = *square = 0;
    for (uint32_t part = 0; part < 8; part++) {
        const struct fs_drawing drawing = {
            .labels = labels, .steps = steps, .guidance_scale = 1, .seed = 3, .first_row = part * ROWS};
        fs_evaluation_noise(backend, x, 3, part * ROWS);
        assert_int_equal(fs_sample(&sampler, x, &drawing, &error), FS_OK);
        fs_mock_read(backend, x, values);
        for (int i = 0; i < ROWS; i++) {
            *mean += values[i * DIM] / (8.0 * ROWS);
            *square += values[i * DIM] * values[i * DIM] / (8.0 * ROWS);
        }
    }
    backend->release(backend, x.data);
    fs_sampler_destroy(&sampler);
}

/* 4000 samples with a variance near 1: five standard errors are 0.08 for the mean and 0.12 for the second moment. */
static void ddim_carries_noise_to_the_mixture(void **state)
{
    (void)state;
    const struct fs_mixture *mixture = fs_mixture_standard();
    double mean = 0, square = 0;
    for (int k = 0; k < mixture->modes; k++) {
        mean += mixture->weight[k] * mixture->mean[k][0];
        square += mixture->weight[k] * (pow(mixture->mean[k][0], 2) + pow(mixture->deviation[k], 2));
    }
    for (int i = 0; i < 4; i++) {
        double drawn_mean, drawn_square;
        schedule = i % 2;
        asks_v = i / 2;
        ddim_moments(64, &drawn_mean, &drawn_square);
        print_message("mean %.3f for %.3f, second moment %.3f for %.3f\n", drawn_mean, mean, drawn_square, square);
        close_to(drawn_mean, mean, 0.08);
        close_to(drawn_square, square, 0.12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_perfect_consistency_model_is_its_own_target),
        cmocka_unit_test(the_teachers_step_is_guided),
        cmocka_unit_test(training_refines_its_step),
        cmocka_unit_test(training_has_the_perfect_model_as_its_limit),
        cmocka_unit_test(live_reflow_learns_its_own_pairs),
        cmocka_unit_test(live_reflow_refuses_shares_without_rows),
        cmocka_unit_test(the_exact_prediction_is_diffusions_minimum),
        cmocka_unit_test(ddim_carries_noise_to_the_mixture),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
