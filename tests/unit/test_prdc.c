/* Precision, recall, density and coverage against every pair written out, and how often their intervals cover what is
 * expected. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/prdc.h"
#include "tests/support/gaussian.h"

#define GROUPS 20

static struct fs_error error;

static struct fs_prdc prdc_of(int64_t dim, const float *features, int64_t n, const float *reference,
                              int64_t reference_n)
{
    struct fs_prdc result = {0};
    if (fs_prdc(dim, features, n, reference, reference_n, FS_PRECISION_NEAREST, FS_DENSITY_NEAREST, NULL, &result,
                &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    return result;
}

/* --- by hand --- */

static double squared_distance(int64_t dim, const float *x, const float *y)
{
    double sum = 0;
    for (int64_t j = 0; j < dim; j++) {
        sum += ((double)x[j] - (double)y[j]) * ((double)x[j] - (double)y[j]);
    }
    return sum;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* To the k-th nearest other row of rows[n, dim]; rows of group `without` are not there. */
static double radius_by_hand(int64_t dim, const float *rows, int64_t n, int64_t of, int k, int without, double *work)
{
    int count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i != of && fs_group_of_row(i, n, GROUPS) != without) {
            work[count++] = squared_distance(dim, rows + of * dim, rows + i * dim);
        }
    }
    qsort(work, (size_t)count, sizeof *work, compare_doubles);
    return work[k - 1];
}

/* The four numbers of all samples but those of group `without`. */
static void by_hand(int64_t dim, const float *x, int64_t n, const float *y, int64_t m, int without, double out[4])
{
    double *work = malloc((size_t)(n + m) * sizeof *work), *radii = malloc((size_t)(n + 2 * m) * sizeof *radii);
    bool *precise = calloc((size_t)n, sizeof *precise);
    double recalled = 0, covered = 0, dense = 0, precise_count = 0, samples = 0;
    assert_true(work && radii && precise);
    for (int64_t i = 0; i < n; i++) {
        radii[i] = radius_by_hand(dim, x, n, i, FS_PRECISION_NEAREST, without, work);
        samples += fs_group_of_row(i, n, GROUPS) != without;
    }
    for (int64_t i = 0; i < m; i++) {
        radii[n + i] = radius_by_hand(dim, y, m, i, FS_PRECISION_NEAREST, -1, work);
        radii[n + m + i] = radius_by_hand(dim, y, m, i, FS_DENSITY_NEAREST, -1, work);
    }
    for (int64_t i = 0; i < m; i++) {
        bool is_recalled = false, is_covered = false;
        for (int64_t j = 0; j < n; j++) {
            if (fs_group_of_row(j, n, GROUPS) != without) {
                const double squared = squared_distance(dim, y + i * dim, x + j * dim);
                is_recalled |= squared < radii[j];
                is_covered |= squared < radii[n + m + i];
                dense += squared < radii[n + m + i];
                precise[j] |= squared < radii[n + i];
            }
        }
        recalled += is_recalled;
        covered += is_covered;
    }
    for (int64_t j = 0; j < n; j++) {
        precise_count += precise[j];
    }
    out[0] = precise_count / samples;
    out[1] = recalled / (double)m;
    out[2] = dense / samples / FS_DENSITY_NEAREST;
    out[3] = covered / (double)m;
    free(work);
    free(radii);
    free(precise);
}

static void close_to(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12)) {
        fail_msg("%.17g, expected %.17g", value, expected);
    }
}

static void check_by_hand(int64_t dim, int64_t n, int64_t m, double shift, bool groups)
{
    float *rows = malloc((size_t)((n + m) * dim) * sizeof *rows);
    double mean[16], numbers[4], without[4][GROUPS];
    assert_non_null(rows);
    for (int j = 0; j < 16; j++) {
        mean[j] = shift + 3;
    }
    test_gaussian_rows(1, n, dim, mean, NULL, rows);
    test_gaussian_rows(2, m, dim, NULL, NULL, rows + n * dim);
    for (int64_t i = 0; i < m * dim; i++) {
        rows[n * dim + i] += 3; /* both far from 0, as features of a ReLU are */
    }
    const struct fs_prdc result = prdc_of(dim, rows, n, rows + n * dim, m);
    const struct fs_estimate *estimates[] = {&result.precision, &result.recall, &result.density, &result.coverage};
    by_hand(dim, rows, n, rows + n * dim, m, -1, numbers);
    for (int k = 0; k < 4; k++) {
        close_to(estimates[k]->value, numbers[k]);
    }
    for (int g = 0; groups && g < GROUPS; g++) {
        by_hand(dim, rows, n, rows + n * dim, m, g, numbers);
        for (int k = 0; k < 4; k++) {
            without[k][g] = numbers[k];
        }
    }
    for (int k = 0; groups && k < 4; k++) {
        close_to(estimates[k]->standard_error,
                 fs_estimate_jackknife(estimates[k]->value, without[k], GROUPS).standard_error);
    }
    free(rows);
}

static void every_pair_written_out(void **state)
{
    (void)state;
    check_by_hand(3, 101, 90, 0.7, true);
    check_by_hand(16, 60, 140, 0.3, true);
    check_by_hand(1, 45, 33, 0.1, true);
    check_by_hand(2, 1061, 37, 0.5, false); /* several blocks */
    check_by_hand(5, 33, 1029, -0.5, false);
}

/* --- extremes --- */

static void same_far_and_repeated_sets(void **state)
{
    (void)state;
    enum { N = 120, DIM = 8 };
    static float rows[2 * N * DIM];
    test_gaussian_rows(3, N, DIM, NULL, NULL, rows);
    struct fs_prdc result = prdc_of(DIM, rows, N, rows, N);
    assert_true(result.precision.value == 1 && result.recall.value == 1 && result.coverage.value == 1);
    for (int i = 0; i < N * DIM; i++) {
        rows[N * DIM + i] = rows[i] + 1000;
    }
    result = prdc_of(DIM, rows, N, rows + N * DIM, N);
    assert_true(result.precision.value == 0 && result.recall.value == 0 && result.density.value == 0 &&
                result.coverage.value == 0);
    /* One picture again and again has no ball: nothing is inside it, not even itself. */
    for (int i = 0; i < N; i++) {
        memcpy(rows + (N + i) * DIM, rows + (N - 1) * DIM, DIM * sizeof *rows);
    }
    result = prdc_of(DIM, rows + N * DIM, N, rows, N);
    assert_true(result.precision.value == 1 && result.recall.value == 0);
    assert_true(result.coverage.value < 0.2);
}

/* 200 experiments on one reference: the interval is one for the expected number at this n. */
static void intervals_cover_what_is_expected(void **state)
{
    (void)state;
    enum { N = 200, M = 150, DIM = 4, EXPERIMENTS = 200 };
    static float x[N * DIM], y[M * DIM];
    static struct fs_estimate all[4][EXPERIMENTS];
    const double mean[DIM] = {0.7}, deviation[DIM] = {0.6, 0.6, 1, 1};
    test_gaussian_rows(100000, M, DIM, NULL, NULL, y);
    for (uint32_t i = 0; i < EXPERIMENTS; i++) {
        test_gaussian_rows(i, N, DIM, mean, deviation, x);
        const struct fs_prdc r = prdc_of(DIM, x, N, y, M);
        all[0][i] = r.precision;
        all[1][i] = r.recall;
        all[2][i] = r.density;
        all[3][i] = r.coverage;
    }
    for (int k = 0; k < 4; k++) {
        double expected = 0;
        int covered = 0;
        for (int i = 0; i < EXPERIMENTS; i++) {
            expected += all[k][i].value / EXPERIMENTS;
        }
        for (int i = 0; i < EXPERIMENTS; i++) {
            covered += all[k][i].low <= expected && expected <= all[k][i].high;
        }
        if (covered < 180) {
            fail_msg("number %d: %d of 200 intervals cover %g", k, covered, expected);
        }
    }
}

static void bad_arguments(void **state)
{
    (void)state;
    float rows[40];
    struct fs_prdc result;
    test_gaussian_rows(4, 20, 2, NULL, NULL, rows);
    assert_int_equal(fs_prdc(2, rows, 11, rows, 20, 3, 5, NULL, &result, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "12 samples and 6 rows of the reference or more, got 11 and 20"));
    assert_int_equal(fs_prdc(2, rows, 20, rows, 5, 3, 5, NULL, &result, &error), FS_USAGE);
    assert_int_equal(fs_prdc(2, rows, 20, rows, 20, 0, 5, NULL, &result, &error), FS_USAGE);
    assert_int_equal(fs_prdc(2, rows, 20, rows, 20, 3, 9, NULL, &result, &error), FS_USAGE);
    rows[7] = NAN;
    assert_int_equal(fs_prdc(2, rows, 20, rows, 20, 3, 5, NULL, &result, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "not finite"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_written_out),
        cmocka_unit_test(same_far_and_repeated_sets),
        cmocka_unit_test(intervals_cover_what_is_expected),
        cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, test_one_blas_thread, NULL);
}
