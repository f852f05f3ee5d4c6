/* FID's relatives against their published implementations: make_metrics_golden.py names them and the files' layout. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/base/npy.h"
#include "metrics/frechet.h"
#include "metrics/inception_score.h"
#include "metrics/kid.h"
#include "metrics/prdc.h"

struct golden {
    struct fs_array features, logits, expected;
    int64_t n, dim;
    const float *x, *y;
    const double *numbers;
};

enum {
    KID,
    IS,
    IS_DEVIATION,
    PRECISION,
    RECALL,
    PRDC_PRECISION,
    PRDC_RECALL,
    DENSITY,
    COVERAGE,
    FRECHET,
    ALLOWED,
    SUBSETS_DEVIATION
};

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static void close_to(double value, double expected, double allowed)
{
    if (!(fabs(value - expected) <= allowed)) {
        fail_msg("%.17g, expected %.17g ± %.3g", value, expected, allowed);
    }
}

static struct fs_array read_array(const char *name, const char *part)
{
    char path[256];
    struct fs_array array;
    snprintf(path, sizeof path, "tests/golden/metrics/%s%s.npy", name, part);
    good(fs_npy_read(path, &array, &error));
    return array;
}

static struct golden read_golden(const char *name)
{
    struct golden golden = {.features = read_array(name, "-features"),
                            .logits = read_array(name, "-logits"),
                            .expected = read_array(name, "-expected")};
    assert_int_equal(golden.features.type, FS_ARRAY_F32);
    golden.n = golden.features.shape[0] / 2;
    golden.dim = golden.features.shape[1];
    golden.x = golden.features.data;
    golden.y = golden.x + golden.n * golden.dim;
    golden.numbers = golden.expected.data;
    return golden;
}

static void free_golden(struct golden *golden)
{
    free(golden->features.data);
    free(golden->logits.data);
    free(golden->expected.data);
}

static void check_kid(const struct golden *golden)
{
    double mmd;
    good(fs_mmd_cubic(golden->dim, golden->x, golden->n, golden->y, golden->n, &mmd, &error));
    close_to(mmd, golden->numbers[KID], 1e-10 * fmax(fabs(golden->numbers[KID]), 1));
}

static void check_inception_score(const struct golden *golden)
{
    struct fs_estimate score;
    double deviation;
    good(fs_inception_score(golden->logits.shape[1], golden->logits.data, golden->n, 10, &score, &deviation, &error));
    close_to(score.value, golden->numbers[IS], 1e-12 * golden->numbers[IS]);
    close_to(deviation, golden->numbers[IS_DEVIATION], 1e-11);
}

static void check_prdc(const struct golden *golden)
{
    struct fs_prdc result;
    good(fs_prdc(golden->dim, golden->x, golden->n, golden->y, golden->n, 3, 5, NULL, &result, &error));
    close_to(result.precision.value, golden->numbers[PRECISION], 1e-7); /* a float32 mean */
    close_to(result.recall.value, golden->numbers[RECALL], 1e-7);
    close_to(result.precision.value, golden->numbers[PRDC_PRECISION], 1e-12);
    close_to(result.recall.value, golden->numbers[PRDC_RECALL], 1e-12);
    close_to(result.density.value, golden->numbers[DENSITY], 1e-12);
    close_to(result.coverage.value, golden->numbers[COVERAGE], 1e-12);
}

static struct fs_statistics statistics_of(const struct golden *golden, const float *rows, double *covariance)
{
    struct fs_statistics statistics;
    good(fs_statistics_create(golden->dim, &statistics, &error));
    fs_statistics_add(&statistics, rows, golden->n);
    good(fs_statistics_covariance(&statistics, covariance, &error));
    return statistics;
}

static void check_frechet(const struct golden *golden)
{
    double distance, *covariances = malloc((size_t)(2 * golden->dim * golden->dim) * sizeof *covariances);
    assert_non_null(covariances);
    struct fs_statistics x = statistics_of(golden, golden->x, covariances);
    struct fs_statistics y = statistics_of(golden, golden->y, covariances + golden->dim * golden->dim);
    good(fs_frechet_distance(golden->dim, x.mean, covariances, y.mean, covariances + golden->dim * golden->dim,
                             &distance, &error));
    close_to(distance, golden->numbers[FRECHET], golden->numbers[ALLOWED] * golden->numbers[FRECHET]);
    /* A set and itself: 0 to rounding, also where the covariance is singular or badly scaled. */
    double traces = 0;
    for (int64_t i = 0; i < golden->dim; i++) {
        traces += 2 * covariances[i * golden->dim + i];
    }
    good(fs_frechet_distance(golden->dim, x.mean, covariances, x.mean, covariances, &distance, &error));
    close_to(distance, 0, (golden->numbers[ALLOWED] > 1e-8 ? 1e-7 : 1e-13) * traces);
    fs_statistics_destroy(&x);
    fs_statistics_destroy(&y);
    free(covariances);
}

static void test_case(void **state)
{
    struct golden golden = read_golden(*state);
    check_kid(&golden);
    check_inception_score(&golden);
    check_prdc(&golden);
    check_frechet(&golden);
    free_golden(&golden);
}

/* The deviation over given subsets: what torch-fidelity prints behind "±". */
static void test_subsets(void **state)
{
    (void)state;
    struct golden golden = read_golden("plain");
    struct fs_array subsets = read_array("subsets", "");
    const int64_t count = subsets.shape[0], rows = subsets.shape[2], dim = golden.dim;
    const int32_t *index = subsets.data;
    float *chosen = malloc((size_t)(2 * rows * dim) * sizeof *chosen);
    double sum = 0, squares = 0;
    assert_non_null(chosen);
    for (int64_t s = 0; s < count; s++) {
        double mmd;
        for (int64_t i = 0; i < 2 * rows; i++) {
            const float *row = (i < rows ? golden.x : golden.y) + index[s * 2 * rows + i] * dim;
            for (int64_t j = 0; j < dim; j++) {
                chosen[i * dim + j] = row[j];
            }
        }
        good(fs_mmd_cubic(dim, chosen, rows, chosen + rows * dim, rows, &mmd, &error));
        sum += mmd;
        squares += mmd * mmd;
    }
    close_to(sqrt(squares / (double)count - sum * sum / (double)(count * count)), golden.numbers[SUBSETS_DEVIATION],
             1e-10);
    free(chosen);
    free(subsets.data);
    free_golden(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_case, "plain"),
        cmocka_unit_test_prestate(test_case, "rectified"),
        cmocka_unit_test_prestate(test_case, "wide"),
        cmocka_unit_test(test_subsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
