/* The methods of average velocities against the Gaussian mixture, whose exact average velocity stands in the network's
 * place: a target that is consistent equals it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "harness/data/dataset.h"
#include "harness/data/mixture.h"
#include "methods/intervals.h"
#include "tests/reference/reference.h"
#include "tests/support/mock_training.h"

#define DIM 4
#define NULL_LABEL 4 /* the velocity of the whole mixture */
#define LEVELS 5
#define BATCH 96
#define FINEST (1 << LEVELS)

static struct fs_backend *backend;
static struct fs_dataset dataset;
static uint32_t seed;

static int open_backend(void **state)
{
    (void)state;
    struct fs_error error;
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    backend = fs_reference_backend(&error);
    seed = (uint32_t)time(NULL);
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
    if (!(fabs(value - expected) <= tolerance * fmax(1, fabs(expected)))) {
        fail_msg("%.9g is not %.9g (seed %u)", value, expected, seed);
    }
}

/* --- the truth --- */

static void velocity_at(const double *x, double t, int32_t label, double *velocity)
{
    fs_mixture_velocity(fs_mixture_standard(), x, t, label, velocity);
}

static void move(const double *x, double a, const double *v, double *out)
{
    for (int d = 0; d < DIM; d++) {
        out[d] = x[d] + a * v[d];
    }
}

/* The mean velocity along the path from x at t over a time of d: (x_{t+d} − x)/d, the path by Runge and Kutta's
 * fourth-order rule in steps of 1/256 or less, which is exact to 1e-7 here. */
static void average_velocity(const double *x, double t, double length, int32_t label, double *u)
{
    const int steps = 4 + (int)(length * 256);
    const double h = length / steps;
    double at[DIM], k1[DIM], k2[DIM], k3[DIM], k4[DIM], probe[DIM];
    memcpy(at, x, sizeof at);
    if (length <= 0) {
        velocity_at(x, t, label, u);
        return;
    }
    for (int step = 0; step < steps; step++) {
        const double begin = t + step * h;
        velocity_at(at, begin, label, k1);
        move(at, h / 2, k1, probe);
        velocity_at(probe, begin + h / 2, label, k2);
        move(at, h / 2, k2, probe);
        velocity_at(probe, begin + h / 2, label, k3);
        move(at, h, k3, probe);
        velocity_at(probe, begin + h, label, k4);
        for (int d = 0; d < DIM; d++) {
            at[d] += h / 6 * (k1[d] + 2 * k2[d] + 2 * k3[d] + k4[d]);
        }
    }
    for (int d = 0; d < DIM; d++) {
        u[d] = (at[d] - x[d]) / length;
    }
}

/* Given the label the path is a straight stretch of a normal: x_t stays at the same quantile, so that with
 * variance_t = noise² + t²·deviation², x_r = r·mean + √(variance_r/variance_t)·(x_t − t·mean). */
static void average_velocity_of_mode(const double *x, double t, double length, int32_t label, double *u)
{
    const struct fs_mixture *mixture = fs_mixture_standard();
    const double r = t + length, s = mixture->deviation[label];
    const double noise_t = 1 - (1 - 1e-5) * t, noise_r = 1 - (1 - 1e-5) * r;
    const double ratio = sqrt((noise_r * noise_r + r * r * s * s) / (noise_t * noise_t + t * t * s * s));
    for (int d = 0; d < DIM; d++) {
        const double mean = mixture->mean[label][d];
        u[d] = (r * mean + ratio * (x[d] - t * mean) - x[d]) / length;
    }
}

static void both_forms_of_the_truth_agree(void **state)
{
    (void)state;
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST};
    for (uint32_t i = 0; i < 200; i++) {
        float normals[4];
        double x[DIM], path[DIM], closed[DIM];
        const double t = (double)fs_uniform(key, i, 8), length = 0.01 + (1 - t - 0.01) * (double)fs_uniform(key, i, 9);
        fs_normals4(key, i, 0, normals);
        for (int d = 0; d < DIM; d++) {
            x[d] = 2 * (double)normals[d];
        }
        average_velocity(x, t, length, (int32_t)(i % 4), path);
        average_velocity_of_mode(x, t, length, (int32_t)(i % 4), closed);
        for (int d = 0; d < DIM && length > 0; d++) {
            close_to(path[d], closed[d], 1e-6);
        }
    }
}

/* The network that has learned it, asked with s = d. */
static void exact_average(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                          double *velocity)
{
    (void)network;
    assert_int_equal(dim, DIM);
    average_velocity(x, t, s, label, velocity);
}

/* The same, asked with a level as the shortcut model is. */
static void exact_average_of_level(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                                   double *velocity)
{
    exact_average(x, t, s == LEVELS ? 0 : exp2(-s), label, network, dim, velocity);
}

/* A network that has learned nothing: different for each argument, and consistent with nothing. */
static void untrained(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                      double *velocity)
{
    for (int d = 0; d < dim; d++) {
        velocity[d] = sin(x[d] + 2 * x[(d + 1) % dim] + t) + cos(3 * s) + 0.2 * label + 0.3 * (double)network;
    }
}

static void untrained_of_level(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                               double *velocity)
{
    untrained(x, t, exp2(-s), label, network, dim, velocity);
}

/* --- a training of it --- */

/* Rows first, first + 1 … of the data set as the global batch. */
static void fill_from_mixture(struct fs_mock_training *mock, int64_t first)
{
    for (int i = 0; i < BATCH; i++) {
        float row[DIM];
        struct fs_error error;
        const int64_t index = (first + i) % dataset.shape.count;
        assert_int_equal(fs_dataset_read(&dataset, index, row, &error), FS_OK);
        mock->labels[i] = dataset.labels[index];
        for (int d = 0; d < DIM; d++) {
            mock->data[i * DIM + d] = (double)row[d];
        }
    }
}

static void create(struct fs_mock_training *mock, const char *name, fs_mock_velocity velocity)
{
    fs_mock_create(mock, backend, fs_method_find(name), LEVELS, BATCH, DIM, velocity);
    mock->null_label = NULL_LABEL;
    mock->seed = seed;
    fill_from_mixture(mock, seed);
}

static void set(struct fs_mock_training *mock, const char *key, double value)
{
    fs_mock_set_option(mock->method, &mock->settings, key, value);
}

static struct fs_mock_targets make(struct fs_mock_training *mock, int phase)
{
    struct fs_phase phases[FS_PHASES_MAX];
    assert_in_range(phase, 0, mock->method->phases(&mock->setup, phases) - 1);
    return fs_mock_make(mock, &phases[phase], 31);
}

/* --- consistency with the exact average --- */

static bool within(const double *x, double bound)
{
    for (int d = 0; d < DIM; d++) {
        if (fabs(x[d]) > bound) {
            return false;
        }
    }
    return true;
}

/* The first `rows` targets equal the exact average velocity over d of each, clipped to ±`clip`; how many were compared:
 * states beyond `bound` are left out. */
static int check_exact(const struct fs_mock_targets *targets, int rows, bool levels, double bound, double clip)
{
    int checked = 0;
    for (int i = 0; i < rows; i++) {
        double u[DIM];
        const double *x = targets->x + i * DIM;
        const double length = levels ? exp2(-(double)targets->s[i]) : (double)targets->s[i];
        average_velocity(x, (double)targets->t[i], length, targets->labels[i], u);
        for (int d = 0; d < DIM && within(x, bound); d++) {
            close_to(targets->target[i * DIM + d], fmin(fmax(u[d], -clip), clip), 2e-5);
            checked++;
        }
    }
    return checked / DIM;
}

static void split_targets_are_the_exact_average(void **state)
{
    (void)state;
    for (int sampler = FS_TIMES_LOGIT_NORMAL; sampler <= FS_TIMES_GRID; sampler++) {
        for (int split = 0; split < 2; split++) {
            struct fs_mock_training mock;
            create(&mock, "split-mean-flow", exact_average);
            set(&mock, "flow_matching_share", 0.25);
            set(&mock, "time_sampler", sampler);
            set(&mock, "split", split);
            mock.label_dropout = 0.5; /* must not touch these rows */
            struct fs_mock_targets targets = make(&mock, 0);
            for (int i = 0; i < 72; i++) {
                assert_int_equal(targets.labels[i], mock.labels[i]);
                assert_true(targets.s[i] > 0 && targets.t[i] + targets.s[i] <= 1.000001F);
            }
            for (int i = 72; i < BATCH; i++) {
                assert_true(targets.s[i] == 0);
            }
            assert_int_equal(check_exact(&targets, 72, false, INFINITY, INFINITY), 72);
            fs_mock_free_targets(&targets);
            fs_mock_destroy(&mock);
        }
    }
}

/* Its states are clipped to ±4, so rows that come near are left out; its targets are clipped, too. */
static void shortcut_targets_are_the_exact_average(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "shortcut", exact_average_of_level);
    set(&mock, "bootstrap_fraction", 0.75);
    struct fs_mock_targets targets = make(&mock, 0);
    /* The finest half steps ask at level K, whose network says the velocity at a time, not the average over 1/M. */
    for (int i = 0; i < 72; i++) {
        targets.x[i * DIM] = targets.level[i] == LEVELS - 1 ? INFINITY : targets.x[i * DIM];
    }
    assert_true(check_exact(&targets, 72, true, 2.5, 4) > 30);
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
}

/* --- on the grid, in half: the shortcut model --- */

/* The mean of two half steps from the row's x, of a network that is asked with d. */
static void check_two_half_steps(const struct fs_mock_targets *targets, int row, double length, enum fs_network network)
{
    double v1[DIM], v2[DIM], middle[DIM];
    const double *x = targets->x + row * DIM, t = (double)targets->t[row];
    untrained(x, t, length / 2, targets->labels[row], network, DIM, v1);
    move(x, length / 2, v1, middle);
    untrained(middle, t + length / 2, length / 2, targets->labels[row], network, DIM, v2);
    for (int d = 0; d < DIM && within(x, 3); d++) {
        close_to(targets->target[row * DIM + d], (v1[d] + v2[d]) / 2, 1e-6);
    }
}

static void split_in_half_on_the_grid_is_the_shortcut(void **state)
{
    (void)state;
    struct fs_mock_training split, shortcut;
    create(&split, "split-mean-flow", untrained);
    set(&split, "flow_matching_share", 0.25);
    set(&split, "time_sampler", FS_TIMES_GRID);
    set(&split, "split", 1);
    set(&split, "target_network", FS_TARGET_AVERAGE);
    create(&shortcut, "shortcut", untrained_of_level);
    set(&shortcut, "bootstrap_fraction", 0.75);
    struct fs_mock_targets a = make(&split, 0), b = make(&shortcut, 0);
    int levels[LEVELS] = {0};
    for (int i = 0; i < 72; i++) {
        const double length = exp2(-a.level[i]);
        assert_in_range(a.level[i], 0, LEVELS - 1);
        assert_true((double)a.s[i] == length);
        assert_true(fmod((double)a.t[i], length) == 0 && a.t[i] < 1);
        levels[a.level[i]]++;
        check_two_half_steps(&a, i, length, FS_NETWORK_AVERAGE);
        check_two_half_steps(&b, i, exp2(-b.level[i]), FS_NETWORK_AVERAGE);
    }
    for (int level = 0; level < LEVELS; level++) {
        assert_in_range(levels[level], 3, 40); /* of 72, uniform on 5 levels: 14 ± 3.4 */
    }
    for (int i = 72; i < BATCH; i++) {
        assert_true(fmod((double)a.t[i] * FINEST, 1) == 0 && a.s[i] == 0);
    }
    fs_mock_free_targets(&a);
    fs_mock_free_targets(&b);
    fs_mock_destroy(&split);
    fs_mock_destroy(&shortcut);
}

static void split_is_clipped_where_asked(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "split-mean-flow", exact_average);
    set(&mock, "flow_matching_share", 0.25);
    set(&mock, "clip", 0.5);
    struct fs_mock_targets targets = make(&mock, 0);
    int beyond = 0;
    for (int i = 0; i < BATCH * DIM; i++) {
        beyond += i < 72 * DIM ? 0 : fabs(targets.target[i]) > 0.5;
        assert_true(i >= 72 * DIM || fabs(targets.target[i]) <= 0.5);
    }
    assert_true(beyond > 0); /* rows of r = t are as they are */
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
}

/* --- the derivative by a difference: transition models --- */

/* Rows to the end of the path, and the authors' weight of a row: 1/√(1 + tan t' − tan r') in times with noise at 1. */
static void transition_rows_are_weighted(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "transition-model", untrained);
    set(&mock, "consistency_share", 0.25);
    struct fs_mock_targets targets = make(&mock, 0);
    int within_interval = 0;
    for (int i = 0; i < BATCH; i++) {
        const double t = 1 - (double)targets.t[i], r = t - (double)targets.s[i];
        close_to((double)targets.weight[i], i < 48 ? 1 / sqrt(1 + tan(t) - tan(r)) : 1, 1e-6);
        assert_true(i >= 24 || fabs(r) < 1e-7);
        assert_true(i < 48 || targets.s[i] == 0);
        within_interval += i >= 24 && i < 48 && r > 1e-3;
    }
    assert_true(within_interval > 12);
    set(&mock, "interval_weight", 1);
    fs_mock_free_targets(&targets);
    targets = make(&mock, 0);
    for (int i = 0; i < BATCH; i++) {
        assert_true(targets.weight[i] == 1);
    }
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
}

/* The row's noise and data at time t. */
static void state_at(const struct fs_mock_training *mock, int row, double t, double *x)
{
    const struct fs_random_key key = {mock->seed, FS_STREAM_TRAIN_NOISE, (uint32_t)mock->update, 0};
    float noise[4];
    fs_normals4(key, (uint32_t)row, 0, noise);
    for (int d = 0; d < DIM; d++) {
        x[d] = (1 - (1 - 1e-5) * t) * (double)noise[d] + t * mock->data[row * DIM + d];
    }
}

/* ṽ + d times the difference quotient of u along the row's path, r kept, between t ± ε; no further than 0 and r. */
static void transition_targets_are_difference_quotients(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    int one_sided = 0;
    create(&mock, "transition-model", untrained);
    set(&mock, "epsilon", 0.1);
    set(&mock, "flow_matching_share", 0.25);
    struct fs_mock_targets targets = make(&mock, 0);
    for (int i = 0; i < 72; i++) {
        const double t = (double)targets.t[i], r = t + (double)targets.s[i];
        const double a = fmax(t - 0.1, 0), b = fmin(t + 0.1, r);
        double x[DIM], begin[DIM], end[DIM], u_a[DIM], u_b[DIM];
        state_at(&mock, i, 0, begin);
        state_at(&mock, i, 1, end);
        state_at(&mock, i, a, x);
        untrained(x, a, r - a, targets.labels[i], FS_NETWORK_CURRENT, DIM, u_a);
        state_at(&mock, i, b, x);
        untrained(x, b, r - b, targets.labels[i], FS_NETWORK_CURRENT, DIM, u_b);
        one_sided += b - a < 0.19;
        for (int d = 0; d < DIM; d++) {
            const double want = end[d] - begin[d] + (r - t) * (u_b[d] - u_a[d]) / (b - a);
            close_to(targets.target[i * DIM + d], want, 1e-4);
        }
    }
    assert_true(one_sided > 5 && one_sided < 67);
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
}

/* --- in the posterior mean --- */

#define PROBES 8

/* Functions of what the network sees that the error of an exact average has to be uncorrelated with. */
static void probes(const double *x, double t, double length, double *g)
{
    const double values[PROBES] = {1, t, length, x[0], x[1] * x[2], sin(3 * x[3]), length * x[1], cos(6 * t)};
    memcpy(g, values, sizeof values);
}

/* The exact average where the label is known, by its closed form: quick, but for s = 0. */
static void exact_average_of_mode(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                                  double *velocity)
{
    if (s <= 0) {
        exact_average(x, t, s, label, network, dim, velocity);
    } else {
        average_velocity_of_mode(x, t, s, label, velocity);
    }
}

/* A network that is a tenth off. */
static void wrong_average_of_mode(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                                  double *velocity)
{
    exact_average_of_mode(x, t, s, label, network, dim, velocity);
    for (int d = 0; d < dim; d++) {
        velocity[d] *= 1.1;
    }
}

/* With `network` in its place, the largest |mean| of (target − u)·g in its standard errors over the interval rows of
 * 150 updates of phase `phase`: what the network regresses to is the conditional mean of its target, which is u when
 * the network is right. */
static double largest_deviation(struct fs_mock_training *mock, int phase, fs_mock_velocity network)
{
    double sum[PROBES][DIM] = {{0}}, square[PROBES][DIM] = {{0}}, largest = 0, n = 0;
    mock->velocity = network;
    const int64_t begin = mock->update;
    for (; mock->update < begin + 150; mock->update++) {
        fill_from_mixture(mock, mock->update * BATCH);
        struct fs_mock_targets targets = make(mock, phase);
        for (int i = 0; i < BATCH; i++) {
            const double *x = targets.x + i * DIM, t = (double)targets.t[i], length = (double)targets.s[i];
            double u[DIM], g[PROBES];
            if (length <= 0) {
                continue;
            }
            network(x, t, length, targets.labels[i], FS_NETWORK_CURRENT, DIM, u);
            probes(x, t, length, g);
            n++;
            for (int k = 0; k < PROBES; k++) {
                for (int d = 0; d < DIM; d++) {
                    const double term = (targets.target[i * DIM + d] - u[d]) * g[k];
                    sum[k][d] += term;
                    square[k][d] += term * term;
                }
            }
        }
        fs_mock_free_targets(&targets);
    }
    mock->update = begin;
    for (int k = 0; k < PROBES; k++) {
        for (int d = 0; d < DIM; d++) {
            const double mean = sum[k][d] / n, variance = square[k][d] / n - mean * mean;
            largest = fmax(largest, fabs(mean) / sqrt(variance / n));
        }
    }
    return largest;
}

static void transition_targets_mean_the_exact_average(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "transition-model", exact_average_of_mode);
    set(&mock, "flow_matching_share", 0);
    assert_true(largest_deviation(&mock, 0, exact_average_of_mode) < 5);
    assert_true(largest_deviation(&mock, 0, wrong_average_of_mode) > 8);
    fs_mock_destroy(&mock);
}

/* --- the derivative by the tangent: MeanFlow --- */

/* Data for which every row's straight line from noise to data runs along the marginal velocity of its label where it
 * stands: with x0 and t, v = mean + slope·(x0 + t·v − t·mean) is linear in v, and x1 = v + (1 − σ)·x0. The rows' times
 * are those that the same update has for any data. */
static void follow_the_marginal_velocity(struct fs_mock_training *mock, const struct fs_mock_targets *targets)
{
    const struct fs_mixture *mixture = fs_mixture_standard();
    for (int i = 0; i < BATCH; i++) {
        const int32_t label = mock->labels[i];
        const double t = (double)targets->t[i], noise = 1 - (1 - 1e-5) * t;
        const double square = mixture->deviation[label] * mixture->deviation[label];
        const double slope = (t * square - (1 - 1e-5) * noise) / (noise * noise + t * t * square);
        double x0[DIM];
        state_at(mock, i, 0, x0);
        for (int d = 0; d < DIM; d++) {
            const double mean = mixture->mean[label][d];
            const double v = (mean + slope * (x0[d] - t * mean)) / (1 - slope * t);
            mock->data[i * DIM + d] = v + (1 - 1e-5) * x0[d];
        }
    }
}

/* The exact average is its own target where ṽ is the marginal velocity. */
static void check_along_the_marginal(struct fs_mock_training *mock, double tolerance)
{
    struct fs_mock_targets targets = make(mock, 0);
    int checked = 0;
    follow_the_marginal_velocity(mock, &targets);
    fs_mock_free_targets(&targets);
    targets = make(mock, 0);
    for (int i = 0; i < BATCH; i++) {
        double u[DIM];
        const double t = (double)targets.t[i], length = (double)targets.s[i];
        if (length < 0.01) {
            continue;
        }
        average_velocity_of_mode(targets.x + i * DIM, t, length, mock->labels[i], u);
        for (int d = 0; d < DIM; d++) {
            close_to(targets.target[i * DIM + d], u[d], tolerance);
        }
        checked++;
    }
    assert_true(checked > BATCH / 2);
    fs_mock_free_targets(&targets);
}

static void targets_along_the_marginal_velocity_are_exact(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "mean-flow", exact_average_of_mode);
    set(&mock, "flow_matching_share", 0);
    check_along_the_marginal(&mock, 1e-4);
    fs_mock_destroy(&mock);
    create(&mock, "alpha-flow", exact_average_of_mode);
    set(&mock, "flow_matching_share", 0);
    set(&mock, "alpha", 0);
    check_along_the_marginal(&mock, 1e-4);
    fs_mock_destroy(&mock);
    create(&mock, "transition-model", exact_average_of_mode);
    set(&mock, "flow_matching_share", 0);
    set(&mock, "epsilon", 1e-3);
    check_along_the_marginal(&mock, 0.05); /* of first order at an end */
    fs_mock_destroy(&mock);
}

static void mean_flow_targets_mean_the_exact_average(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "mean-flow", exact_average_of_mode);
    set(&mock, "flow_matching_share", 0);
    assert_true(largest_deviation(&mock, 0, exact_average_of_mode) < 5);
    assert_true(largest_deviation(&mock, 0, wrong_average_of_mode) > 8);
    fs_mock_destroy(&mock);
}

/* On the same rows, of a network that has learned nothing. */
static void the_tangent_is_the_difference_at_last(void **state)
{
    (void)state;
    struct fs_mock_training tangent, difference;
    create(&tangent, "mean-flow", untrained);
    create(&difference, "transition-model", untrained);
    set(&tangent, "flow_matching_share", 0.25);
    set(&difference, "flow_matching_share", 0.25);
    set(&difference, "consistency_share", 0);
    set(&difference, "epsilon", 1e-3);
    struct fs_mock_targets a = make(&tangent, 0), b = make(&difference, 0);
    assert_memory_equal(a.x, b.x, BATCH * DIM * sizeof *a.x);
    assert_memory_equal(a.s, b.s, BATCH * sizeof *a.s);
    int moved = 0;
    for (int i = 0; i < BATCH; i++) {
        double begin[DIM], end[DIM];
        state_at(&tangent, i, 0, begin);
        state_at(&tangent, i, 1, end);
        for (int d = 0; d < DIM; d++) {
            /* One-sided where a row is within ε of an end of its interval. */
            const double tolerance = a.s[i] < 2e-3F ? 0.05 : 2e-3;
            close_to(a.target[i * DIM + d], b.target[i * DIM + d], tolerance);
            moved += fabs(a.target[i * DIM + d] - (end[d] - begin[d])) > 0.01;
        }
    }
    assert_true(moved > 72 * DIM / 2); /* the derivative is there */
    assert_true(tangent.tangents_asked[FS_NETWORK_CURRENT] == 72);
    fs_mock_free_targets(&a);
    fs_mock_free_targets(&b);
    fs_mock_destroy(&tangent);
    fs_mock_destroy(&difference);
}

/* --- from the one to the other: α-Flow --- */

static void alpha_one_is_flow_matching(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    struct fs_phase phases[FS_PHASES_MAX];
    create(&mock, "alpha-flow", untrained);
    set(&mock, "alpha", 1);
    assert_int_equal(mock.method->phases(&mock.setup, phases), 1);
    assert_true(mock.method->extra_forwards(&mock.setup, &phases[0]) == 0 && phases[0].tangents == 0);
    struct fs_mock_targets targets = make(&mock, 0);
    int intervals = 0;
    for (int i = 0; i < BATCH; i++) {
        double begin[DIM], end[DIM];
        state_at(&mock, i, 0, begin);
        state_at(&mock, i, 1, end);
        intervals += targets.s[i] > 0;
        assert_true(targets.weight[i] == 1);
        for (int d = 0; d < DIM; d++) {
            close_to(targets.target[i * DIM + d], end[d] - begin[d], 1e-6);
        }
    }
    assert_int_equal(intervals, BATCH / 2);
    fs_mock_free_targets(&targets);
    fs_mock_destroy(&mock);
}

/* α·ṽ + (1 − α)·u(x + α·d·ṽ, t + α·d, (1 − α)·d), and (target − u)/α becomes what it is for MeanFlow. */
static void small_alpha_is_mean_flow(void **state)
{
    (void)state;
    const double alphas[] = {0.08, 0.02, 0.005}; /* small enough for the error to be in proportion to α */
    struct fs_mock_training mean;
    double worst[3] = {0};
    create(&mean, "mean-flow", untrained);
    set(&mean, "flow_matching_share", 0.5);
    struct fs_mock_targets limit = make(&mean, 0);
    for (int k = 0; k < 3; k++) {
        struct fs_mock_training mock;
        const double alpha = alphas[k];
        create(&mock, "alpha-flow", untrained);
        set(&mock, "alpha", alpha);
        struct fs_mock_targets targets = make(&mock, 0);
        for (int i = 0; i < BATCH / 2; i++) {
            const double *x = targets.x + i * DIM, t = (double)targets.t[i], length = (double)targets.s[i];
            double begin[DIM], end[DIM], later[DIM], u[DIM], v[DIM];
            state_at(&mock, i, 0, begin);
            state_at(&mock, i, 1, end);
            for (int d = 0; d < DIM; d++) {
                later[d] = x[d] + alpha * length * (end[d] - begin[d]);
            }
            untrained(x, t, length, targets.labels[i], FS_NETWORK_CURRENT, DIM, u);
            untrained(later, t + alpha * length, (1 - alpha) * length, targets.labels[i], FS_NETWORK_CURRENT, DIM, v);
            close_to((double)targets.weight[i], alpha, 1e-6);
            for (int d = 0; d < DIM; d++) {
                close_to(targets.target[i * DIM + d], alpha * (end[d] - begin[d]) + (1 - alpha) * v[d], 1e-6);
                const double error = (targets.target[i * DIM + d] - u[d]) / alpha + u[d] - limit.target[i * DIM + d];
                worst[k] = fmax(worst[k], fabs(error));
            }
        }
        for (int i = BATCH / 2; i < BATCH; i++) {
            assert_true(targets.weight[i] == 1 && targets.s[i] == 0);
        }
        set(&mock, "loss_power", 0);
        fs_mock_free_targets(&targets);
        targets = make(&mock, 0);
        close_to((double)targets.weight[0], 1 / alpha, 1e-6);
        fs_mock_free_targets(&targets);
        fs_mock_destroy(&mock);
    }
    assert_true(worst[1] < 0.4 * worst[0] && worst[2] < 0.4 * worst[1]); /* it vanishes with α */
    fs_mock_free_targets(&limit);
    fs_mock_destroy(&mean);
}

/* Three phases in their order, whose averages go on; α within the clamp is 1 or 0. */
static void alpha_falls_by_its_schedule(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    struct fs_phase phases[FS_PHASES_MAX];
    create(&mock, "alpha-flow", untrained);
    assert_int_equal(mock.method->phases(&mock.setup, phases), 3);
    /* 1/(1 + e^z) is 1 − 0.005 and 0.005 at z = ∓ln 199 = ∓5.293, which is 0.2117 of the training from its middle. */
    assert_int_equal(phases[0].updates, 289);
    assert_int_equal(phases[1].updates, 423);
    assert_int_equal(phases[2].updates, 288);
    int64_t begin = 0;
    for (int k = 0; k < 3; k++) {
        assert_int_equal(phases[k].start, k == 0 ? FS_START_FRESH : FS_START_CONTINUE);
        assert_true(phases[k].averages_continue == (k > 0) && phases[k].schedule_continues == (k > 0));
        assert_true((phases[k].tangents > 0) == (k == 2));
        assert_true(mock.method->extra_forwards(&mock.setup, &phases[k]) == (k == 1 ? 0.5 : 0));
        for (mock.update = begin; mock.update < begin + phases[k].updates; mock.update += 96) {
            struct fs_mock_targets targets = fs_mock_make(&mock, &phases[k], BATCH);
            const double alpha = 1 / (1 + exp(25 * ((double)mock.update / 1000 - 0.5)));
            close_to((double)targets.weight[0], k == 1 ? alpha : 1, 1e-6);
            fs_mock_free_targets(&targets);
        }
        begin += phases[k].updates;
    }
    mock.update = 0;
    set(&mock, "alpha_middle", 0); /* half of it is over before the training begins */
    assert_int_equal(mock.method->phases(&mock.setup, phases), 2);
    assert_int_equal(phases[0].start, FS_START_FRESH);
    set(&mock, "alpha", 0.3);
    assert_int_equal(mock.method->phases(&mock.setup, phases), 1);
    struct fs_error error;
    set(&mock, "alpha", -0.5);
    assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE);
    fs_mock_destroy(&mock);
}

/* --- to the end of the path: consistency training --- */

/* The network that knows where the path ends, as a velocity: the average over all of the time that is left. */
static void exact_to_the_end(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                             double *velocity)
{
    (void)s, (void)network, (void)dim;
    if (t < 1) {
        average_velocity_of_mode(x, t, 1 - t, label, velocity);
    } else {
        velocity_at(x, t, label, velocity);
    }
}

/* The mean error of its targets along the marginal velocity in phase `phase`, whose step is δ = 2^−phase; but near the
 * end, where to run along that velocity from given noise takes states that are far from all data. */
static double consistency_error(struct fs_mock_training *mock, int phase)
{
    struct fs_mock_targets targets = make(mock, phase);
    double sum = 0, n = 0;
    follow_the_marginal_velocity(mock, &targets);
    fs_mock_free_targets(&targets);
    targets = make(mock, phase);
    for (int i = 0; i < BATCH; i++) {
        double u[DIM];
        exact_to_the_end(targets.x + i * DIM, (double)targets.t[i], 0, targets.labels[i], FS_NETWORK_AVERAGE, DIM, u);
        for (int d = 0; d < DIM && targets.t[i] < 0.9F; d++, n++) {
            sum += fabs(targets.target[i * DIM + d] - u[d]);
        }
    }
    fs_mock_free_targets(&targets);
    return sum / n;
}

/* A step along the velocity leaves the path by its square, and each phase halves the step. */
static void consistency_targets_are_exact_as_the_step_vanishes(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "consistency-training", exact_to_the_end);
    mock.setup.levels = 10;
    mock.setup.finest_steps = 1 << 10;
    double error[10];
    for (int phase = 0; phase < 10; phase++) {
        error[phase] = consistency_error(&mock, phase);
    }
    assert_true(error[3] > 1e-3 && error[6] < 0.5 * error[3] && error[9] < 0.5 * error[6] && error[9] < 0.01);
    fs_mock_destroy(&mock);
}

/* --- sampling --- */

struct drawing {
    int evaluations;
    double last_s;
};

static void sampled_velocity(struct fs_step *step, struct fs_view out, struct fs_view x, double t, float s)
{
    struct drawing *drawing = step->owner;
    double rows[8 * DIM];
    fs_mock_read(step->backend, x, rows);
    for (int i = 0; i < 8; i++) {
        double u[DIM];
        average_velocity(rows + i * DIM, t, (double)s, i % 5, u);
        memcpy(rows + i * DIM, u, sizeof u);
    }
    fs_mock_write(step->backend, out, rows);
    drawing->evaluations++;
    drawing->last_s = (double)s;
}

static void sampled_mix(struct fs_step *step, struct fs_view out, double a, struct fs_view x, double c,
                        struct fs_view y, double clip)
{
    (void)clip;
    double left[8 * DIM], right[8 * DIM];
    fs_mock_read(step->backend, x, left);
    fs_mock_read(step->backend, y, right);
    for (int i = 0; i < 8 * DIM; i++) {
        left[i] = a * left[i] + c * right[i];
    }
    fs_mock_write(step->backend, out, left);
}

static struct fs_view room(void)
{
    struct fs_error error;
    void *data = backend->allocate(backend, 8 * DIM * sizeof(double), &error);
    assert_non_null(data);
    return fs_view(data, FS_F64, 8, DIM);
}

/* With the exact average any grid of steps ends where the path ends. */
static void steps_of_any_size_follow_the_path(void **state)
{
    (void)state;
    const double grids[3][5] = {{0, 1}, {0, 0.6, 1}, {0, 0.1, 0.5, 0.55, 1}};
    const int counts[3] = {1, 2, 4};
    struct drawing drawing = {0};
    struct fs_step step = {.backend = backend,
                           .x = room(),
                           .scratch = {room(), room()},
                           .velocity = sampled_velocity,
                           .mix = sampled_mix,
                           .owner = &drawing};
    double begin[8 * DIM], x[8 * DIM];
    for (uint32_t i = 0; i < 8; i++) {
        float normals[4];
        fs_normals4((struct fs_random_key){.seed = seed, .stream = FS_STREAM_TEST}, i, 0, normals);
        for (int d = 0; d < DIM; d++) {
            begin[i * DIM + (uint32_t)d] = (double)normals[d];
        }
    }
    for (int k = 0; k < 3; k++) {
        fs_mock_write(backend, step.x, begin);
        drawing.evaluations = 0;
        for (int n = 0; n < counts[k]; n++) {
            step.t = grids[k][n];
            step.next = grids[k][n + 1];
            fs_interval_step(&step);
            close_to(drawing.last_s, step.next - step.t, 1e-7);
        }
        fs_mock_read(backend, step.x, x);
        assert_int_equal(drawing.evaluations, counts[k]);
        for (int i = 0; i < 8; i++) {
            double u[DIM];
            average_velocity(begin + i * DIM, 0, 1, i % 5, u);
            for (int d = 0; d < DIM; d++) {
                close_to(x[i * DIM + d], begin[i * DIM + d] + u[d], 1e-4);
            }
        }
    }
    backend->release(backend, step.x.data);
    backend->release(backend, step.scratch[0].data);
    backend->release(backend, step.scratch[1].data);
}

/* --- times --- */

/* Mean and deviation of the normals behind the times: t and r together are two draws. */
static void times_follow_their_sampler(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    create(&mock, "split-mean-flow", untrained);
    set(&mock, "time_mean", -0.7);
    set(&mock, "time_deviation", 1.3);
    set(&mock, "flow_matching_share", 0.25);
    for (int sampler = FS_TIMES_LOGIT_NORMAL; sampler <= FS_TIMES_UNIFORM; sampler++) {
        double sum = 0, square = 0, instant = 0;
        int n = 0, m = 0;
        set(&mock, "time_sampler", sampler);
        for (mock.update = 0; mock.update < 100; mock.update++) {
            struct fs_mock_targets targets = make(&mock, 0);
            for (int i = 0; i < BATCH; i++) {
                const double ends[2] = {(double)targets.t[i], (double)targets.t[i] + (double)targets.s[i]};
                for (int k = 0; k < 2 && i < 72; k++, n++) {
                    const double z = sampler == FS_TIMES_UNIFORM ? ends[k] : log(ends[k] / (1 - ends[k]));
                    sum += z;
                    square += z * z;
                }
                instant += i < 72 ? 0 : (double)targets.t[i];
                m += i >= 72;
            }
            fs_mock_free_targets(&targets);
        }
        const double mean = sum / n, variance = square / n - mean * mean;
        const double want = sampler == FS_TIMES_UNIFORM ? 0.5 : -0.7;
        const double deviation = sampler == FS_TIMES_UNIFORM ? sqrt(1.0 / 12) : 1.3;
        assert_true(fabs(mean - want) < 5 * deviation / sqrt(n));
        assert_true(fabs(variance / (deviation * deviation) - 1) < 0.1);
        /* The smaller of two uniform numbers has a mean of 1/3. */
        assert_true(sampler != FS_TIMES_UNIFORM || fabs(instant / m - 1.0 / 3) < 5 * sqrt(1.0 / 18 / m));
    }
    fs_mock_destroy(&mock);
}

/* --- guidance in the target --- */

/* Rows of r = t: ω·ṽ + κ·u_label + (1 − ω − κ)·u_null with ω = w·(1 − κ) inside the window, ṽ outside it and where the
 * label was dropped. The same rows without guidance say what ṽ is. */
static void check_guided(const char *name, double kappa, double scale)
{
    struct fs_mock_training mock;
    create(&mock, name, untrained);
    set(&mock, "flow_matching_share", 0.75);
    mock.label_dropout = 0.3;
    struct fs_mock_targets plain = make(&mock, 0);
    set(&mock, "guided_target", true);
    set(&mock, "kappa", kappa);
    set(&mock, "guidance_begin", 0.2);
    set(&mock, "guidance_end", 0.6);
    mock.setup.guidance_scale = scale;
    struct fs_mock_targets guided = make(&mock, 0);
    int count[2] = {0};
    for (int i = 24; i < BATCH; i++) {
        double label[DIM], null[DIM];
        const double *x = guided.x + i * DIM, t = (double)guided.t[i];
        const bool inside = guided.labels[i] != NULL_LABEL && t >= 0.2 && t <= 0.6;
        untrained(x, t, 0, guided.labels[i], FS_NETWORK_CURRENT, DIM, label);
        untrained(x, t, 0, NULL_LABEL, FS_NETWORK_CURRENT, DIM, null);
        count[inside]++;
        for (int d = 0; d < DIM; d++) {
            const double data = plain.target[i * DIM + d], omega = scale * (1 - kappa);
            const double want = omega * data + kappa * label[d] + (1 - omega - kappa) * null[d];
            close_to(guided.target[i * DIM + d], inside ? want : data, 2e-6);
        }
    }
    assert_true(count[0] > 10 && count[1] > 10);
    assert_true(mock.method->trains_guided(&mock.settings));
    fs_mock_free_targets(&plain);
    fs_mock_free_targets(&guided);
    fs_mock_destroy(&mock);
}

static void targets_are_guided_in_their_window(void **state)
{
    (void)state;
    check_guided("split-mean-flow", 0, 1.5);
    check_guided("split-mean-flow", 0.5, 2);
    check_guided("split-mean-flow", 0.5, 1);
    check_guided("transition-model", 0.5, 2);
    check_guided("mean-flow", 0, 1.5);
    check_guided("alpha-flow", 0.5, 2);
}

/* --- the table --- */

static void samplers_ask_with_the_step(void **state)
{
    (void)state;
    const char *names[] = {"split-mean-flow", "transition-model", "mean-flow", "alpha-flow"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct fs_mock_training mock;
        create(&mock, names[k], untrained);
        for (int steps = 1; steps <= 128; steps++) {
            assert_true(mock.method->conditioning(&mock.setup, steps) == 1.0F / (float)steps);
        }
        const struct fs_phase phase = {.level = LEVELS};
        set(&mock, "loss_power", 0);
        assert_int_equal(mock.method->loss(&mock.setup, &phase).kind, FS_LOSS_MEAN_SQUARE);
        set(&mock, "loss_power", 0.75);
        set(&mock, "loss_constant", 0.01);
        const struct fs_loss loss = mock.method->loss(&mock.setup, &phase);
        assert_true(loss.kind == FS_LOSS_ADAPTIVE && loss.power == 0.75F && loss.c == 0.01F);
        set(&mock, "target_ema", 0.9);
        assert_true(mock.method->target_ema(&mock.settings) < 0); /* of an average that nothing asks */
        set(&mock, "target_network", FS_TARGET_AVERAGE);
        assert_true(mock.method->target_ema(&mock.settings) == 0.9);
        fs_mock_destroy(&mock);
    }
}

static void split_needs_rows_of_both_kinds(void **state)
{
    (void)state;
    struct fs_mock_training mock;
    struct fs_error error;
    const double bad[] = {0, 0.01, 1}, good[] = {1.0 / BATCH, 0.5, (BATCH - 1.0) / BATCH};
    create(&mock, "split-mean-flow", untrained);
    for (int k = 0; k < 3; k++) {
        set(&mock, "flow_matching_share", good[k]);
        assert_int_equal(mock.method->check(&mock.setup, &error), FS_OK);
        set(&mock, "flow_matching_share", bad[k]);
        assert_int_equal(mock.method->check(&mock.setup, &error), FS_USAGE);
        assert_non_null(strstr(error.text, "methods.split-mean-flow.flow_matching_share: "));
    }
    fs_mock_destroy(&mock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_of_the_truth_agree),
        cmocka_unit_test(split_targets_are_the_exact_average),
        cmocka_unit_test(shortcut_targets_are_the_exact_average),
        cmocka_unit_test(split_in_half_on_the_grid_is_the_shortcut),
        cmocka_unit_test(split_is_clipped_where_asked),
        cmocka_unit_test(transition_rows_are_weighted),
        cmocka_unit_test(transition_targets_are_difference_quotients),
        cmocka_unit_test(transition_targets_mean_the_exact_average),
        cmocka_unit_test(targets_along_the_marginal_velocity_are_exact),
        cmocka_unit_test(mean_flow_targets_mean_the_exact_average),
        cmocka_unit_test(the_tangent_is_the_difference_at_last),
        cmocka_unit_test(alpha_one_is_flow_matching),
        cmocka_unit_test(small_alpha_is_mean_flow),
        cmocka_unit_test(alpha_falls_by_its_schedule),
        cmocka_unit_test(consistency_targets_are_exact_as_the_step_vanishes),
        cmocka_unit_test(steps_of_any_size_follow_the_path),
        cmocka_unit_test(times_follow_their_sampler),
        cmocka_unit_test(targets_are_guided_in_their_window),
        cmocka_unit_test(samplers_ask_with_the_step),
        cmocka_unit_test(split_needs_rows_of_both_kinds),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
