/* The Fréchet distance without its bias, and its standard error, on Gaussians of known distance. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/fid_infinity.h"
#include "metrics/frechet.h"
#include "tests/support/gaussian.h"

#define DIM 10
#define EXPERIMENTS 200

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* The reference is N(0, diag(deviation²)), known exactly. */
struct pair {
    double mean[DIM], deviation[DIM]; /* of the samples */
    double zero[DIM], root[DIM * DIM], trace;
    double truth;
};

static struct pair make_pair(double shift, double stretch, int used)
{
    struct pair pair = {0};
    for (int j = 0; j < used; j++) {
        const double reference = 0.5 + 0.2 * j;
        pair.mean[j] = shift / (1 + j);
        pair.deviation[j] = reference * (j % 2 ? stretch : 1);
        pair.root[j * DIM + j] = reference;
        pair.trace += reference * reference;
        pair.truth += pair.mean[j] * pair.mean[j] + (pair.deviation[j] - reference) * (pair.deviation[j] - reference);
    }
    return pair;
}

struct result {
    double mean, deviation, claimed, biased;
    int covered;
};

static double plain_distance(const struct pair *pair, const float *rows, int64_t n, double *standard_error)
{
    struct fs_statistics statistics;
    double covariance[DIM * DIM], distance;
    good(fs_statistics_create(DIM, &statistics, &error));
    fs_statistics_add(&statistics, rows, n);
    good(fs_statistics_covariance(&statistics, covariance, &error));
    good(
        fs_frechet_from_root(DIM, pair->zero, pair->root, pair->trace, statistics.mean, covariance, &distance, &error));
    good(fs_frechet_deviation(DIM, rows, n, statistics.mean, covariance, pair->zero, pair->root, standard_error,
                              &error));
    fs_statistics_destroy(&statistics);
    return distance;
}

static struct result repeat(const struct pair *pair, int64_t n)
{
    struct result result = {0};
    float *rows = malloc((size_t)(n * DIM) * sizeof *rows);
    double squares = 0, standard_error;
    assert_non_null(rows);
    for (uint32_t seed = 0; seed < EXPERIMENTS; seed++) {
        struct fs_estimate distance;
        test_gaussian_rows(seed, n, DIM, pair->mean, pair->deviation, rows);
        good(fs_fid_infinity(DIM, rows, n, pair->zero, pair->root, pair->trace, 0, NULL, &distance, &error));
        result.covered += distance.low <= pair->truth && pair->truth <= distance.high;
        result.mean += distance.value / EXPERIMENTS;
        squares += distance.value * distance.value / EXPERIMENTS;
        result.claimed += distance.standard_error / EXPERIMENTS;
        result.biased += plain_distance(pair, rows, n, &standard_error) / EXPERIMENTS;
    }
    result.deviation = sqrt(squares - result.mean * result.mean);
    free(rows);
    return result;
}

/* 95 % intervals: below 180 of 200 has a chance of 1 in 400. */
static void intervals_cover_the_truth(void **state)
{
    (void)state;
    static const struct {
        double shift, stretch;
        int64_t n;
        int used;
    } cases[] = {{1, 1.5, 400, DIM}, {0.3, 1.1, 1000, DIM}, {0.5, 0.7, 300, 6}, {0, 1, 500, DIM}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct pair pair = make_pair(cases[c].shift, cases[c].stretch, cases[c].used);
        const struct result r = repeat(&pair, cases[c].n);
        const double off = fabs(r.mean - pair.truth) / (r.deviation / sqrt(EXPERIMENTS));
        if (r.covered < 180 || off > 4 || r.biased - pair.truth < 5 * fabs(r.mean - pair.truth) ||
            r.claimed < 0.9 * r.deviation || r.claimed > 1.4 * r.deviation) {
            fail_msg("case %zu: truth %g, mean %g with deviation %g (claimed: %g), uncorrected %g, %d of 200 covered",
                     c, pair.truth, r.mean, r.deviation, r.claimed, r.biased, r.covered);
        }
    }
}

/* Two ways to the same standard error: influence, and what a bootstrap's 95 % interval spans. */
static void influence_and_bootstrap_agree(void **state)
{
    (void)state;
    enum { N = 700 };
    const struct pair pair = make_pair(0.6, 1.3, 7); /* three dimensions are constant on both sides */
    static float rows[N * DIM];
    double standard_error, low, high;
    test_gaussian_rows(77, N, DIM, pair.mean, pair.deviation, rows);
    plain_distance(&pair, rows, N, &standard_error);
    good(fs_frechet_interval(DIM, rows, N, pair.zero, pair.root, pair.trace, 400, 0.95, 1, &low, &high, &error));
    const double ratio = (high - low) / (2 * 1.96 * standard_error);
    if (ratio < 0.85 || ratio > 1.15) {
        fail_msg("the bootstrap's interval is %g times the other", ratio);
    }
}

static void bad_arguments(void **state)
{
    (void)state;
    const struct pair pair = make_pair(0, 1, DIM);
    float rows[20 * DIM];
    struct fs_estimate distance;
    test_gaussian_rows(1, 20, DIM, NULL, NULL, rows);
    assert_int_equal(fs_fid_infinity(DIM, rows, 7, pair.zero, pair.root, pair.trace, 0, NULL, &distance, &error),
                     FS_USAGE);
    assert_non_null(strstr(error.text, "8 samples or more, got 7"));
    /* Fewer rows than dimensions in each part: poor, but a number. */
    good(fs_fid_infinity(DIM, rows, 20, pair.zero, pair.root, pair.trace, 0, NULL, &distance, &error));
    assert_true(isfinite(distance.value) && distance.standard_error > 0);
    /* The authors' offset moves every point of the line by next to nothing here. */
    struct pair authors = pair;
    struct fs_estimate moved;
    for (int i = 0; i < DIM; i++) {
        authors.root[i * DIM + i] = sqrt(pair.root[i * DIM + i] * pair.root[i * DIM + i] + FS_AUTHORS_OFFSET);
        authors.trace += FS_AUTHORS_OFFSET;
    }
    good(fs_fid_infinity(DIM, rows, 20, authors.zero, authors.root, authors.trace, FS_AUTHORS_OFFSET, NULL, &moved,
                         &error));
    assert_true(moved.value != distance.value && fabs(moved.value - distance.value) < 0.02);
    rows[11] = INFINITY;
    assert_int_equal(fs_fid_infinity(DIM, rows, 20, pair.zero, pair.root, pair.trace, 0, NULL, &distance, &error),
                     FS_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_cover_the_truth),
        cmocka_unit_test(influence_and_bootstrap_agree),
        cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, test_one_blas_thread, NULL);
}
