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
#include <time.h>

#include "kernels/base/random.h"
#include "metrics/distances.h"
#include "metrics/prdc.h"
#include "tests/support/gaussian.h"

#define GROUPS 20

static struct fs_error error;
static uint32_t seed; /* another one each time */

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

/* rows [n + m, dim] are the samples, then the reference; freed here. */
static void check_rows_by_hand(float *rows, int64_t dim, int64_t n, int64_t m, bool groups)
{
    double numbers[4], without[4][GROUPS];
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

static void check_by_hand(int64_t dim, int64_t n, int64_t m, double shift, bool groups)
{
    float *rows = malloc((size_t)((n + m) * dim) * sizeof *rows);
    double mean[16];
    assert_non_null(rows);
    for (int j = 0; j < 16; j++) {
        mean[j] = shift + 3;
    }
    test_gaussian_rows(1, n, dim, mean, NULL, rows);
    test_gaussian_rows(2, m, dim, NULL, NULL, rows + n * dim);
    for (int64_t i = 0; i < m * dim; i++) {
        rows[n * dim + i] += 3; /* both far from 0, as features of a ReLU are */
    }
    check_rows_by_hand(rows, dim, n, m, groups);
}

static void every_pair_written_out(void **state)
{
    (void)state;
    check_by_hand(3, 101, 90, 0.7, true);
    check_by_hand(16, 60, 140, 0.3, true);
    check_by_hand(1, 45, 33, 0.1, true);
    check_by_hand(2, 2085, 37, 0.5, false); /* several blocks */
    check_by_hand(5, 33, 2053, -0.5, false);
}

/* Rows that float32 cannot tell apart: on a grid, where many distances are the same as a radius to the last bit; in
 * clusters that are far away in comparison with their size; and both from one to the other end of float32's range. */
static void what_float32_leaves_in_doubt(void **state)
{
    (void)state;
    static const struct {
        int64_t dim, n, m;
        int values;          /* on the grid */
        float size, cluster; /* of a step of the grid; between clusters */
    } cases[] = {{3, 301, 260, 5, 1, 0},      {7, 150, 171, 2, 0.37F, 0},  {5, 90, 1100, 3, 1e-3F, 40},
                 {300, 80, 70, 2, 1, 1000},   {2, 120, 130, 40, 1e15F, 0}, {4, 100, 100, 9, 1e-15F, 0},
                 {33, 77, 79, 3, 1e-2F, 1e3F}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t dim = cases[c].dim, all = cases[c].n + cases[c].m;
        float *rows = malloc((size_t)(all * dim) * sizeof *rows);
        assert_non_null(rows);
        const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_SYNTHETIC_DATA, .step = (uint32_t)c};
        for (int64_t i = 0; i < all; i++) {
            for (int64_t j = 0; j < dim; j++) {
                const uint32_t value = fs_random_below(key, (uint32_t)i, (uint32_t)j, (uint32_t)cases[c].values);
                rows[i * dim + j] = cases[c].size * (float)value + cases[c].cluster * (float)(i % 3);
            }
        }
        check_rows_by_hand(rows, dim, cases[c].n, cases[c].m, c < 2);
    }
}

/* The bounds that blocks are made of hold, where sums are as wrong as they can be, too: all products of one sign. */
static void bounds_hold(void **state)
{
    (void)state;
    enum { N = 70, DIM = 2048 };
    static float rows[2][N * DIM], bounds[2][N];
    struct fs_distances d;
    test_gaussian_rows(seed, N, DIM, NULL, NULL, rows[0]);
    test_gaussian_rows(seed + 1, N, DIM, NULL, NULL, rows[1]);
    for (int i = 0; i < N * DIM; i++) {
        rows[1][i] = i / DIM % 2 ? fabsf(rows[1][i]) + (float)(i / DIM) : rows[0][i] * 1.0001F;
    }
    struct fs_distance_rows sets[2] = {{rows[0], N, bounds[0]}, {rows[1], N, bounds[1]}};
    assert_int_equal(fs_distances_open(&d, DIM, &error), FS_OK);
    fs_distances_centre(&d, &sets[0]);
    for (int s = 0; s < 2; s++) {
        assert_int_equal(fs_distances_bounds(&d, &sets[s], "samples", &error), FS_OK);
    }
    assert_int_equal(fs_distances_fill(&d, &sets[0], &sets[1], (struct fs_distance_block){3, N - 3, 0, N - 1}, &error),
                     FS_OK);
    for (int i = 3; i < N; i++) {
        for (int j = 0; j < N - 1; j++) {
            const double squared = squared_distance(DIM, rows[0] + (int64_t)i * DIM, rows[1] + (int64_t)j * DIM);
            const double low = (double)d.products[(i - 3) * (N - 1) + j] + (double)bounds[0][i];
            const double doubt = 2 * d.e / (1 - d.e) * ((double)bounds[0][i] + (double)bounds[1][j]);
            if (!(low <= squared && squared <= low + doubt)) {
                fail_msg("rows %d, %d: %.17g is not in %.17g … %.17g", i, j, squared, low, low + doubt);
            }
            assert_true(fabs(fs_squared_distance(DIM, rows[0] + (int64_t)i * DIM, rows[1] + (int64_t)j * DIM) -
                             squared) <= 1e-12 * squared);
        }
    }
    fs_distances_close(&d);
}

static void stops_when_told(void **state)
{
    (void)state;
    float rows[80];
    struct fs_prdc result;
    const volatile sig_atomic_t stop = 1;
    const struct fs_metric_watch watch = {.stop = &stop};
    test_gaussian_rows(4, 40, 2, NULL, NULL, rows);
    assert_int_equal(fs_prdc(2, rows, 20, rows + 40, 20, 3, 5, &watch, &result, &error), FS_STOPPED);
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
        cmocka_unit_test(what_float32_leaves_in_doubt),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(same_far_and_repeated_sets),
        cmocka_unit_test(intervals_cover_what_is_expected),
        cmocka_unit_test(bad_arguments),
    };
    seed = (uint32_t)time(NULL);
    printf("seed %u\n", (unsigned)seed);
    return cmocka_run_group_tests(tests, test_one_blas_thread, NULL);
}
