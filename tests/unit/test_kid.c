/* KID against the closed form of two Gaussians, and how often its interval covers that. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/kid.h"
#include "tests/support/gaussian.h"

#define DIM 6

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* E (x·y/d + 1)³ for independent x ~ N(a, I), y ~ N(b, I), by moments: p = a·b, q = |a|², r = |b|². */
static double expected_kernel(double p, double q, double r)
{
    const double d = DIM;
    return 1 + 3 * p / d + 3 * (d + q + r + p * p) / (d * d) +
           (p * p * p + 3 * p * q + 3 * p * (r + d + 2)) / (d * d * d);
}

/* The distance between N((shift, 0, …), I) and N(0, I). */
static double true_distance(double shift)
{
    const double q = shift * shift;
    return expected_kernel(q, q, q) + expected_kernel(0, 0, 0) - 2 * expected_kernel(0, q, 0);
}

static struct fs_kid kid_of(uint32_t seed, double shift, int64_t n, int64_t reference_n, int64_t subset_rows)
{
    const double mean[DIM] = {shift};
    float *rows = malloc((size_t)((n + reference_n) * DIM) * sizeof *rows);
    struct fs_kid kid;
    assert_non_null(rows);
    test_gaussian_rows(2 * seed, n, DIM, mean, NULL, rows);
    test_gaussian_rows(2 * seed + 1, reference_n, DIM, NULL, NULL, rows + n * DIM);
    good(fs_kid(DIM, rows, n, rows + n * DIM, reference_n, 20, subset_rows, seed, NULL, &kid, &error));
    free(rows);
    return kid;
}

/* 200 experiments: the mean is the closed form's within its own error, and the 95 % intervals hold it at least so
 * often (below 180 of 200 has a chance of 1 in 400 then). */
static void intervals_cover_the_truth(void **state)
{
    (void)state;
    static const struct {
        double shift;
        int64_t n, reference_n, subset_rows;
    } cases[] = {{0.8, 400, 700, 100}, {0.8, 300, 300, 1000}, {0.3, 900, 400, 50}, {0, 300, 500, 100}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const double truth = true_distance(cases[c].shift);
        double sum = 0, squares = 0;
        int covered = 0;
        for (uint32_t seed = 0; seed < 200; seed++) {
            const struct fs_kid kid = kid_of(seed + 1000 * (uint32_t)c, cases[c].shift, cases[c].n,
                                             cases[c].reference_n, cases[c].subset_rows);
            covered += kid.estimate.low <= truth && truth <= kid.estimate.high;
            sum += kid.estimate.value / 200;
            squares += kid.estimate.value * kid.estimate.value / 200;
        }
        const double deviation = sqrt(squares - sum * sum);
        if (covered < 180 || fabs(sum - truth) > 4 * deviation / sqrt(200)) {
            fail_msg("case %zu: %d of 200 intervals cover %g; mean %g, deviation %g", c, covered, truth, sum,
                     deviation);
        }
    }
}

/* Far from 0, where its variance is that of the leading term, the standard error is also not much too large. */
static void the_standard_error_is_about_right(void **state)
{
    (void)state;
    double sum = 0, squares = 0, claimed = 0;
    for (uint32_t seed = 0; seed < 200; seed++) {
        const struct fs_kid kid = kid_of(5000 + seed, 1.5, 600, 600, 100);
        sum += kid.estimate.value / 200;
        squares += kid.estimate.value * kid.estimate.value / 200;
        claimed += kid.estimate.standard_error / 200;
    }
    const double ratio = claimed / sqrt(squares - sum * sum);
    if (ratio < 0.9 || ratio > 1.4) {
        fail_msg("the standard error is %g times the deviation", ratio);
    }
}

static void seeds_choose_the_subsets(void **state)
{
    (void)state;
    const struct fs_kid once = kid_of(1, 0.5, 100, 90, 30), again = kid_of(1, 0.5, 100, 90, 30);
    assert_memory_equal(&once, &again, sizeof once);
    assert_int_equal(once.subset_rows, 30);
    assert_int_equal(kid_of(1, 0.5, 100, 90, 1000).subset_rows, 45);

    float rows[200 * DIM];
    struct fs_kid first, second;
    test_gaussian_rows(1, 200, DIM, NULL, NULL, rows);
    good(fs_kid(DIM, rows, 100, rows + 100 * DIM, 100, 20, 30, 1, NULL, &first, &error));
    good(fs_kid(DIM, rows, 100, rows + 100 * DIM, 100, 20, 30, 2, NULL, &second, &error));
    assert_true(first.estimate.value != second.estimate.value);
}

static void bad_arguments(void **state)
{
    (void)state;
    float rows[8 * DIM] = {0};
    struct fs_kid kid;
    double mmd;
    assert_int_equal(fs_kid(DIM, rows, 3, rows, 8, 20, 30, 1, NULL, &kid, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "got 3 and 8"));
    assert_int_equal(fs_kid(DIM, rows, 8, rows, 8, 1, 30, 1, NULL, &kid, &error), FS_USAGE);
    assert_int_equal(fs_mmd_cubic(DIM, rows, 8, rows, 1, &mmd, &error), FS_USAGE);
    good(fs_mmd_cubic(DIM, rows, 8, rows, 8, &mmd, &error));
    assert_true(mmd == 0);
    rows[5] = NAN;
    assert_int_equal(fs_kid(DIM, rows, 8, rows, 8, 20, 30, 1, NULL, &kid, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "not finite"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_cover_the_truth),
        cmocka_unit_test(the_standard_error_is_about_right),
        cmocka_unit_test(seeds_choose_the_subsets),
        cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, test_one_blas_thread, NULL);
}
