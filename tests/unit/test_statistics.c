/* Streamed statistics against a two-pass mean and covariance in long double. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/random.h"
#include "metrics/statistics.h"

/* Rows of correlated normals around `mean`, [n, dim]; the caller's. */
static float *random_rows(uint32_t seed, int64_t n, int64_t dim, float mean)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST};
    float *rows = malloc((size_t)(n * dim) * sizeof *rows);
    assert_non_null(rows);
    for (int64_t i = 0; i < n; i++) {
        float previous = 0;
        for (int64_t j = 0; j < dim; j++) {
            float normals[4];
            fs_normals4(key, (uint32_t)i, (uint32_t)(j / 4), normals);
            previous = 0.5F * previous + normals[j % 4] * (float)(1 + j % 3);
            rows[i * dim + j] = mean + previous;
        }
    }
    return rows;
}

static long double exact_mean(const float *rows, int64_t n, int64_t dim, int64_t j)
{
    long double sum = 0;
    for (int64_t row = 0; row < n; row++) {
        sum += rows[row * dim + j];
    }
    return sum / n;
}

/* Within `tolerance`, in units of the standard deviations, of what long double says. */
static void check(struct fs_statistics *statistics, const float *rows, int64_t n, double tolerance)
{
    const int64_t dim = statistics->dim;
    struct fs_error error;
    double *covariance = malloc((size_t)(dim * dim) * sizeof *covariance);
    long double *mean = malloc((size_t)dim * sizeof *mean);
    assert_non_null(covariance);
    assert_non_null(mean);
    assert_int_equal(fs_statistics_covariance(statistics, covariance, &error), FS_OK);
    assert_int_equal(statistics->count, n);
    for (int64_t j = 0; j < dim; j++) {
        mean[j] = exact_mean(rows, n, dim, j);
    }
    for (int64_t i = 0; i < dim; i++) {
        const double deviation = sqrt(covariance[i * dim + i]);
        assert_true(fabs((double)(statistics->mean[i] - mean[i])) <=
                    tolerance * deviation + 4e-16 * fabs((double)mean[i]));
        for (int64_t j = 0; j < dim; j++) {
            long double exact = 0;
            for (int64_t row = 0; row < n; row++) {
                exact += (rows[row * dim + i] - mean[i]) * (rows[row * dim + j] - mean[j]);
            }
            exact /= n - 1;
            assert_true(fabs((double)(covariance[i * dim + j] - exact)) <=
                        tolerance * deviation * sqrt(covariance[j * dim + j]));
            assert_true(covariance[i * dim + j] == covariance[j * dim + i]);
            assert_true(statistics->comoment[i * dim + j] == statistics->comoment[j * dim + i]);
        }
    }
    free(covariance);
    free(mean);
}

static struct fs_statistics statistics_of(const float *rows, int64_t n, int64_t dim)
{
    struct fs_statistics statistics;
    struct fs_error error;
    assert_int_equal(fs_statistics_create(dim, &statistics, &error), FS_OK);
    fs_statistics_add(&statistics, rows, n);
    return statistics;
}

static void streams_of_every_length(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{2, 1}, {3, 7}, {255, 5}, {256, 5}, {257, 5}, {1000, 33}, {20, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t n = shapes[i][0], dim = shapes[i][1];
        float *rows = random_rows((uint32_t)i, n, dim, 0.3F);
        struct fs_statistics statistics = statistics_of(rows, n, dim);
        check(&statistics, rows, n, 1e-13);
        fs_statistics_destroy(&statistics);
        free(rows);
    }
}

/* A textbook Σx² − n·mean² would keep 4 of 16 digits here. */
static void a_large_mean_cancels_nothing(void **state)
{
    (void)state;
    float *rows = random_rows(7, 900, 11, 1e6F);
    struct fs_statistics statistics = statistics_of(rows, 900, 11);
    check(&statistics, rows, 900, 1e-12);
    fs_statistics_destroy(&statistics);
    free(rows);
}

static void how_the_rows_come_changes_no_bit(void **state)
{
    (void)state;
    const int64_t n = 700, dim = 9;
    float *rows = random_rows(8, n, dim, -2);
    double one[81], other[81];
    struct fs_error error;
    struct fs_statistics whole = statistics_of(rows, n, dim), pieces = statistics_of(rows, 0, dim);
    for (int64_t first = 0, size = 1; first < n; first += size, size = size * 3 % 101) {
        const int64_t rest = n - first;
        fs_statistics_add(&pieces, rows + first * dim, size < rest ? size : rest);
    }
    assert_int_equal(fs_statistics_covariance(&whole, one, &error), FS_OK);
    assert_int_equal(fs_statistics_covariance(&pieces, other, &error), FS_OK);
    assert_memory_equal(one, other, sizeof one);
    assert_memory_equal(whole.mean, pieces.mean, (size_t)dim * sizeof(double));
    fs_statistics_destroy(&whole);
    fs_statistics_destroy(&pieces);
    free(rows);
}

/* Reading the covariance in between must not end the stream. */
static void a_covariance_in_between(void **state)
{
    (void)state;
    float *rows = random_rows(9, 600, 6, 5);
    struct fs_statistics statistics = statistics_of(rows, 300, 6);
    check(&statistics, rows, 300, 1e-13);
    fs_statistics_add(&statistics, rows + 300 * 6, 300);
    check(&statistics, rows, 600, 1e-13);
    fs_statistics_destroy(&statistics);
    free(rows);
}

static void too_little(void **state)
{
    (void)state;
    const float row[3] = {1, 2, 3};
    double covariance[9];
    struct fs_error error;
    struct fs_statistics statistics = statistics_of(row, 1, 3);
    assert_int_equal(fs_statistics_covariance(&statistics, covariance, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "at least 2 rows"));
    fs_statistics_destroy(&statistics);
    assert_int_equal(fs_statistics_create(0, &statistics, &error), FS_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_of_every_length),
        cmocka_unit_test(a_large_mean_cancels_nothing),
        cmocka_unit_test(how_the_rows_come_changes_no_bit),
        cmocka_unit_test(a_covariance_in_between),
        cmocka_unit_test(too_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
