/* The methods against the Gaussian mixture, whose exact velocity stands in the network's place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/data/dataset.h"
#include "harness/data/mixture.h"
#include "tests/reference/reference.h"
#include "tests/support/mock_training.h"

#define DIM 4
#define NULL_LABEL 4 /* the velocity of the whole mixture */
#define SHIFT 0.01   /* how the stand-in answers to s, so that a wrong s shows */

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

static void exact(const double *x, double t, int32_t label, double *velocity)
{
    fs_mixture_velocity(fs_mixture_standard(), x, t, label, velocity);
}

/* The current network is never asked. */
static void stand_in(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                     double *velocity)
{
    exact(x, t, label, velocity);
    for (int d = 0; d < dim; d++) {
        velocity[d] += SHIFT * s + (network == FS_NETWORK_CURRENT ? (double)NAN : 0);
    }
}

static void close_to(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) {
        fail_msg("%.9g is not %.9g", value, expected);
    }
}

/* Rows first, first + 1 … of the data set as the global batch. */
static void fill_from_mixture(struct fs_mock_training *mock, int64_t first)
{
    for (int i = 0; i < mock->setup.batch; i++) {
        float row[DIM];
        struct fs_error error;
        assert_int_equal(fs_dataset_read(&dataset, (first + i) % dataset.shape.count, row, &error), FS_OK);
        mock->labels[i] = dataset.labels[(first + i) % dataset.shape.count];
        for (int d = 0; d < DIM; d++) {
            mock->data[i * DIM + d] = (double)row[d];
        }
    }
}

static void create(struct fs_mock_training *mock, const char *name, int levels, int batch)
{
    fs_mock_create(mock, backend, fs_method_find(name), levels, batch, DIM, stand_in);
    mock->null_label = NULL_LABEL;
    fill_from_mixture(mock, 0);
}

static void set(struct fs_mock_training *mock, const char *key, double value)
{
    fs_mock_set_option(mock->method, &mock->settings, key, value);
}

static struct fs_phase only_phase(const struct fs_mock_training *mock)
{
    struct fs_phase phases[FS_PHASES_MAX];
    assert_int_equal(mock->method->phases(&mock->setup, phases), 1);
    return phases[0];
}

static double clip(double value, double bound)
{
    return fmin(fmax(value, -bound), bound);
}

/* --- two half steps --- */

/* v at s, guided by `scale` when it is not 1. */
static void guided_velocity(const double *x, double t, double s, int32_t label, double scale, double *velocity)
{
    double null[DIM];
    exact(x, t, label, velocity);
    exact(x, t, NULL_LABEL, null);
    for (int d = 0; d < DIM; d++) {
        velocity[d] = scale == 1 ? velocity[d] : null[d] + scale * (velocity[d] - null[d]);
        velocity[d] += SHIFT * s;
    }
}

/* x_t of a bootstrapped row and the exact composition of its two half steps, the target within ±bound. */
static void check_half_steps(const struct fs_mock_training *mock, const struct fs_mock_targets *targets, int row,
                             double s, double scale, double bound)
{
    const struct fs_random_key key = {mock->seed, FS_STREAM_BOOTSTRAP_NOISE, (uint32_t)mock->update, 0};
    const double t = (double)targets->t[row], half = 0.5 / (1 << targets->level[row]);
    float noise[4];
    double x[DIM], v1[DIM], v2[DIM];
    fs_normals4(key, (uint32_t)row, 0, noise);
    assert_true(t == 2 * half * floor(t / (2 * half)) && t < 1);
    for (int d = 0; d < DIM; d++) {
        x[d] = (1 - (1 - 1e-5) * t) * (double)noise[d] + t * mock->data[row * DIM + d];
        close_to(targets->x[row * DIM + d], x[d], 1e-6);
        x[d] = targets->x[row * DIM + d]; /* rounded as the coefficients are: not magnified by a steep velocity */
    }
    assert_int_equal(targets->labels[row], mock->labels[row]);
    guided_velocity(x, t, s, mock->labels[row], scale, v1);
    for (int d = 0; d < DIM; d++) {
        x[d] = clip(x[d] + half * v1[d], 4);
    }
    guided_velocity(x, t + half, s, mock->labels[row], scale, v2);
    for (int d = 0; d < DIM; d++) {
        close_to(targets->target[row * DIM + d], clip(0.5 * (v1[d] + v2[d]), bound), 1e-6);
    }
}

static void shortcut_targets_are_two_exact_half_steps(void **state)
{
    (void)state;
    for (int guided = 0; guided < 2; guided++) {
        struct fs_mock_training mock;
        create(&mock, "shortcut", 7, 211);
        set(&mock, "bootstrap_fraction", 0.9);
        set(&mock, "bootstrap_guidance", guided);
        mock.setup.guidance_scale = 1.7;
        mock.label_dropout = 0.9; /* must not touch these rows */
        const struct fs_phase phase = only_phase(&mock);
        struct fs_mock_targets targets = fs_mock_make(&mock, &phase, 50);
        for (int i = 0; i < 189; i++) {
            assert_true((double)targets.s[i] == targets.level[i]);
            check_half_steps(&mock, &targets, i, targets.level[i] + 1, guided && targets.level[i] == 6 ? 1.7 : 1, 4);
        }
        assert_int_equal(mock.rows_asked[FS_NETWORK_TEACHER], 0);
        fs_mock_free_targets(&targets);
        fs_mock_destroy(&mock);
    }
}

/* Phase after phase down to one step: level, order, start, teacher, targets; guidance in the first one alone. */
static void distillation_visits_its_phases_in_order(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    struct fs_phase phases[FS_PHASES_MAX];
    create(&mock, "progressive-distillation", 5, 40);
    mock.setup.guidance_scale = 1.7;
    mock.setup.updates = 23;
    assert_int_equal(mock.method->phases(&mock.setup, phases), 5);
    for (int k = 0; k < 5; k++) {
        assert_int_equal(phases[k].level, 4 - k);
        assert_in_range(phases[k].updates, 4, 5);
        assert_int_equal(phases[k].start, k == 0 ? FS_START_TEACHER : FS_START_CONTINUE);
        assert_int_equal(phases[k].teacher_is_previous, k > 0);
        assert_true(phases[k].asks_teacher && phases[k].pairs.count == 0);
        struct fs_mock_targets targets = fs_mock_make(&mock, &phases[k], 17);
        for (int i = 0; i < mock.setup.batch; i++) {
            assert_int_equal(targets.level[i], 4 - k);
            assert_true(targets.s[i] == 0);
            check_half_steps(&mock, &targets, i, 0, k == 0 ? 1.7 : 1, INFINITY);
        }
        fs_mock_free_targets(&targets);
    }
    assert_int_equal(mock.rows_asked[FS_NETWORK_AVERAGE], 0);
    fs_mock_destroy(&mock);
}

/* A network that runs away: states are clipped to ±4 always, targets in the shortcut model alone. */
static void runaway(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                    double *velocity)
{
    (void)t;
    (void)s;
    (void)label;
    (void)network;
    for (int d = 0; d < dim; d++) {
        velocity[d] = d == 0 ? 100 : d == 1 ? -100 : d == 2 ? (x[d] > 0 ? 100 : -100) : x[0];
    }
}

/* Targets of ±100 are ±bound, and the last coordinate has x' in it. */
static void check_runaway(const struct fs_mock_targets *targets, int rows, double bound)
{
    for (int i = 0; i < rows; i++) {
        const double x = targets->x[i * DIM], half = 0.5 / (1 << targets->level[i]);
        assert_true(targets->target[i * DIM] == bound && targets->target[i * DIM + 1] == -bound);
        close_to(targets->target[i * DIM + 3], 0.5 * (x + clip(x + 100 * half, 4)), 1e-9);
    }
}

static void half_steps_are_clipped(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "shortcut", 7, 200);
    mock.velocity = runaway;
    set(&mock, "bootstrap_fraction", 0.5);
    const struct fs_phase phase = only_phase(&mock);
    struct fs_mock_targets targets = fs_mock_make(&mock, &phase, 200);
    check_runaway(&targets, 100, 4);
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);

    struct fs_phase phases[FS_PHASES_MAX];
    create(&mock, "progressive-distillation", 5, 40);
    mock.velocity = runaway;
    assert_int_equal(mock.method->phases(&mock.setup, phases), 5);
    for (int k = 0; k < 5; k++) {
        targets = fs_mock_make(&mock, &phases[k], 40);
        check_runaway(&targets, 40, 100);
        fs_mock_free_targets(&targets);
    }
    fs_mock_destroy(&mock);
}

/* --- which rows --- */

static void check_shares(int levels, int coarsest, int batch, double fraction)
{
    struct fs_mock_training mock;
    create(&mock, "shortcut", levels, batch);
    set(&mock, "bootstrap_fraction", fraction);
    set(&mock, "max_step", coarsest);
    const struct fs_phase phase = only_phase(&mock);
    struct fs_mock_targets targets = fs_mock_make(&mock, &phase, 11);
    const int rows = coarsest == levels ? 0 : (int)(batch * fraction);
    const int share = coarsest == levels ? 0 : rows / (levels - coarsest);
    int count[16] = {0};
    for (int i = 0; i < batch; i++) {
        assert_int_equal(targets.level[i] < levels, i < rows); /* the first rows of the batch, and no others */
        count[targets.level[i]]++;
        assert_true((double)targets.s[i] == targets.level[i]);
    }
    assert_int_equal(count[levels], batch - rows);
    for (int level = 0; level < levels; level++) {
        const int rest = rows - share * (levels - coarsest);
        assert_int_equal(count[level], level < coarsest ? 0 : level == coarsest ? share + rest : share);
    }
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
}

static void shares_of_levels_are_exact(void **state)
{
    (void)state;
    check_shares(7, 0, 128, 0.125);
    check_shares(7, 0, 128, 0.25);
    check_shares(7, 0, 64, 0.125);
    check_shares(7, 3, 77, 0.3);
    check_shares(7, 6, 40, 0.125);
    check_shares(7, 7, 33, 0.125);
    check_shares(3, 1, 10, 0.5);
    check_shares(1, 0, 8, 0.125);
}

/* Over many updates each level's time takes every multiple of d below 1, evenly: χ² with 2^level − 1 degrees of freedom
 * within five standard deviations. */
static void times_are_even(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "shortcut", 4, 40);
    set(&mock, "bootstrap_fraction", 0.5);
    const struct fs_phase phase = only_phase(&mock);
    int count[5][16] = {{0}}, total[5] = {0};
    for (mock.update = 0; mock.update < 400; mock.update++) {
        struct fs_mock_targets targets = fs_mock_make(&mock, &phase, 40);
        for (int i = 0; i < 40; i++) {
            count[targets.level[i]][(int)(targets.t[i] * (float)(1 << targets.level[i]))]++;
            total[targets.level[i]]++;
        }
        fs_mock_free_targets(&targets);
    }
    for (int level = 1; level <= 4; level++) {
        const int bins = 1 << level;
        double chi2 = 0;
        for (int bin = 0; bin < bins; bin++) {
            const double expected = (double)total[level] / bins;
            chi2 += (count[level][bin] - expected) * (count[level][bin] - expected) / expected;
        }
        assert_true(chi2 < bins - 1 + 5 * sqrt(2.0 * (bins - 1)));
    }
    fs_mock_destroy(&mock);
}

/* --- flow matching --- */

#define PROBES 12

/* Functions of (x_t, t, label) that the error of an exact velocity has to be uncorrelated with. */
static void probes(const double *x, double t, const double *velocity, double *g)
{
    const double values[PROBES] = {1,
                                   t,
                                   x[0],
                                   x[1],
                                   x[2] * x[3],
                                   x[0] * t,
                                   sin(3 * x[1]),
                                   tanh(x[2]),
                                   velocity[0],
                                   velocity[3],
                                   x[3] * x[3] * t,
                                   cos(6 * t)};
    memcpy(g, values, sizeof values);
}

/* The largest |mean| of (target − slope·v)·g in its standard errors over 100 updates, v with the labels of the rows. */
static double largest_deviation(struct fs_mock_training *mock, double slope)
{
    const struct fs_phase phase = only_phase(mock);
    double sum[PROBES][DIM] = {{0}}, square[PROBES][DIM] = {{0}}, largest = 0;
    double n = 0;
    for (mock->update = 0; mock->update < 100; mock->update++) {
        fill_from_mixture(mock, mock->update * mock->setup.batch);
        struct fs_mock_targets targets = fs_mock_make(mock, &phase, mock->setup.batch);
        for (int i = 0; i < mock->setup.batch; i++, n++) {
            double velocity[DIM], g[PROBES];
            const double *x = targets.x + i * DIM;
            exact(x, (double)targets.t[i], targets.labels[i], velocity);
            probes(x, (double)targets.t[i], velocity, g);
            for (int k = 0; k < PROBES; k++) {
                for (int d = 0; d < DIM; d++) {
                    const double term = (targets.target[i * DIM + d] - slope * velocity[d]) * g[k];
                    sum[k][d] += term;
                    square[k][d] += term * term;
                }
            }
        }
        fs_mock_free_targets(&targets);
    }
    for (int k = 0; k < PROBES; k++) {
        for (int d = 0; d < DIM; d++) {
            const double mean = sum[k][d] / n, variance = square[k][d] / n - mean * mean;
            largest = fmax(largest, fabs(mean) / sqrt(variance / n));
        }
    }
    return largest;
}

/* The regression's minimum is the conditional mean of the target: it is the exact velocity when the error of that is
 * uncorrelated with everything the network sees. A velocity that is 10 % off has to show. */
static void exact_velocity_is_the_minimum(void **state)
{
    (void)state;
    const double dropout[] = {0, 0.5, 1}; /* of labels: given its label, half of each, of the whole mixture */
    for (int k = 0; k < 3; k++) {
        struct fs_mock_training mock;
        create(&mock, "flow-matching", 7, 600);
        mock.label_dropout = dropout[k];
        assert_true(largest_deviation(&mock, 1) < 5);
        assert_true(largest_deviation(&mock, 1.1) > 10);
        fs_mock_destroy(&mock);
    }
}

/* x_t and target of each flow-matching row from its own noise; labels dropped at the configured rate. */
static void check_plain_rows(struct fs_mock_training *mock, int first, double s)
{
    const struct fs_phase phase = only_phase(mock);
    const struct fs_random_key key = {mock->seed, FS_STREAM_TRAIN_NOISE, (uint32_t)mock->update, 0};
    struct fs_mock_targets targets = fs_mock_make(mock, &phase, 37);
    int dropped = 0;
    for (int i = first; i < mock->setup.batch; i++) {
        float drawn[4];
        fs_normals4(key, (uint32_t)i, 0, drawn);
        assert_true((double)targets.s[i] == s && targets.weight[i] == 1);
        dropped += targets.labels[i] == NULL_LABEL;
        for (int d = 0; d < DIM; d++) {
            const double x1 = mock->data[i * DIM + d], t = (double)targets.t[i];
            const double x0 = phase.pairs.count > 0 ? mock->noise[i * DIM + d] : (double)drawn[d];
            close_to(targets.x[i * DIM + d], (1 - (1 - 1e-5) * t) * x0 + t * x1, 1e-6);
            close_to(targets.target[i * DIM + d], x1 - (1 - 1e-5) * x0, 1e-6);
        }
    }
    const double n = mock->setup.batch - first, rate = mock->label_dropout;
    assert_true(fabs(dropped - n * rate) <= 5 * sqrt(n * rate * (1 - rate)));
    fs_mock_free_targets(&targets);
}

static void plain_rows_mix_noise_and_data(void **state)
{
    (void)state;
    const char *names[] = {"flow-matching", "reflow", "shortcut"};
    for (int k = 0; k < 3; k++) {
        struct fs_mock_training mock;
        create(&mock, names[k], 7, 1000);
        mock.label_dropout = 0.1;
        check_plain_rows(&mock, k == 2 ? 125 : 0, k == 2 ? 7 : 0);
        mock.label_dropout = 0;
        check_plain_rows(&mock, k == 2 ? 125 : 0, k == 2 ? 7 : 0);
        fs_mock_destroy(&mock);
    }
}

/* --- settings --- */

/* Where check() refuses a share of the batch, the batch and the share that it names work, and less does not. */
static void refused_shares_name_what_works(void **state)
{
    (void)state;
    const struct fs_method *method = fs_method_find("shortcut");
    const double fractions[] = {0, 0.01, 0.03, 0.1, 0.125, 0.29, 0.5};
    for (int batch = 8; batch < 200; batch += 13) {
        for (size_t k = 0; k < sizeof fractions / sizeof *fractions; k++) {
            struct fs_mock_training mock;
            struct fs_error error = {.text = ""}, unused;
            create(&mock, "shortcut", 7, batch);
            set(&mock, "bootstrap_fraction", fractions[k]);
            if ((int)(batch * fractions[k]) >= 7) {
                assert_int_equal(method->check(&mock.setup, &unused), FS_OK);
            } else {
                assert_int_equal(method->check(&mock.setup, &error), FS_USAGE);
                const char *share = strstr(error.text, "take at least "),
                           *rows = strstr(error.text, "train.batch at least ");
                assert_non_null(share);
                assert_true((rows != NULL) == (fractions[k] > 0));
                set(&mock, "bootstrap_fraction", atof(share + strlen("take at least ")));
                assert_int_equal(method->check(&mock.setup, &unused), FS_OK);
                set(&mock, "bootstrap_fraction", fractions[k]);
                if (rows) {
                    mock.setup.batch = atoi(rows + strlen("train.batch at least "));
                    assert_int_equal(method->check(&mock.setup, &unused), FS_OK);
                    mock.setup.batch--;
                    assert_int_equal(method->check(&mock.setup, &unused), FS_USAGE);
                }
            }
            fs_mock_destroy(&mock);
        }
    }
}

static void impossible_settings_are_refused(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    struct fs_error error;
    create(&mock, "shortcut", 7, 7);
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE); /* no share leaves a row for flow matching */
    assert_non_null(strstr(error.text, "train.batch: 7 rows are too few for 7 levels"));
    mock.setup.batch = 128;
    set(&mock, "bootstrap_fraction", 1);
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE);
    set(&mock, "bootstrap_fraction", 0);
    set(&mock, "max_step", 7); /* needs no rows */
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_OK);
    set(&mock, "max_step", 8);
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "max_step"));
    fs_mock_destroy(&mock);

    create(&mock, "progressive-distillation", 7, 8);
    mock.setup.updates = 7;
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_OK);
    mock.setup.updates = 6;
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "fewer than the 7 phases"));
    fs_mock_destroy(&mock);

    create(&mock, "reflow", 7, 8);
    const int steps[] = {0, -1, 3, 96, 256};
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        set(&mock, "teacher_steps", steps[k]);
        assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE);
    }
    fs_mock_destroy(&mock);
}

/* What a sampler asks for, and where tables put parentheses. */
static void sampling_is_as_trained(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    const char *reason = NULL;
    create(&mock, "shortcut", 7, 128);
    for (int coarsest = 0; coarsest <= 7; coarsest++) {
        set(&mock, "max_step", coarsest);
        for (int level = 0; level <= 7; level++) {
            const int expected = level > coarsest ? level : coarsest;
            assert_true(mock.method->conditioning(&mock.setup, 1 << level) == (float)expected);
            assert_int_equal(mock.method->guidance_allowed(&mock.setup, 1 << level, &reason), level == 7);
            assert_int_equal(mock.method->outside_training(&mock.setup, 1 << level), level < coarsest);
        }
    }
    fs_mock_destroy(&mock);
    const struct fs_method_setup setup = {.finest_steps = 128, .levels = 7, .guidance_scale = 1};
    for (int steps = 1; steps <= 128; steps *= 2) {
        assert_int_equal(fs_method_find("flow-matching")->outside_training(&setup, steps), steps != 128);
        assert_int_equal(fs_method_find("progressive-distillation")->outside_training(&setup, steps), steps != 1);
        assert_false(fs_method_find("reflow")->outside_training(&setup, steps));
        assert_true(fs_method_find("flow-matching")->conditioning(&setup, steps) == 0);
        assert_true(fs_method_find("flow-matching")->guidance_allowed(&setup, steps, &reason));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shortcut_targets_are_two_exact_half_steps),
        cmocka_unit_test(distillation_visits_its_phases_in_order),
        cmocka_unit_test(half_steps_are_clipped),
        cmocka_unit_test(shares_of_levels_are_exact),
        cmocka_unit_test(times_are_even),
        cmocka_unit_test(exact_velocity_is_the_minimum),
        cmocka_unit_test(plain_rows_mix_noise_and_data),
        cmocka_unit_test(refused_shares_name_what_works),
        cmocka_unit_test(impossible_settings_are_refused),
        cmocka_unit_test(sampling_is_as_trained),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
