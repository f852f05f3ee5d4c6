/* The Fréchet distance against closed forms, its symmetries, and distances computed at 50 digits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/npy.h"
#include "kernels/base/random.h"
#include "metrics/frechet.h"

#define DIM 7

static double normal(uint32_t seed, uint32_t row, uint32_t element)
{
    float out[4];
    fs_normals4((struct fs_random_key){.seed = seed, .stream = FS_STREAM_TEST}, row, element / 4, out);
    return out[element % 4];
}

/* A dense covariance of rank min(rows, DIM), and a mean. */
static void random_gaussian(uint32_t seed, int rows, double mu[DIM], double sigma[DIM * DIM])
{
    memset(sigma, 0, DIM * DIM * sizeof *sigma);
    for (uint32_t i = 0; i < DIM; i++) {
        mu[i] = normal(seed, 1000, i);
        for (uint32_t j = 0; j < DIM; j++) {
            for (uint32_t row = 0; row < (uint32_t)rows; row++) {
                sigma[i * DIM + j] += normal(seed, row, i) * normal(seed, row, j) / rows;
            }
        }
    }
}

/* A rotation: Gram–Schmidt on random columns. */
static void random_rotation(uint32_t seed, double q[DIM * DIM])
{
    for (uint32_t j = 0; j < DIM; j++) {
        double norm = 0;
        for (uint32_t i = 0; i < DIM; i++) {
            q[i * DIM + j] = normal(seed, i, j);
        }
        for (uint32_t k = 0; k < j; k++) {
            double dot = 0;
            for (uint32_t i = 0; i < DIM; i++) {
                dot += q[i * DIM + j] * q[i * DIM + k];
            }
            for (uint32_t i = 0; i < DIM; i++) {
                q[i * DIM + j] -= dot * q[i * DIM + k];
            }
        }
        for (uint32_t i = 0; i < DIM; i++) {
            norm += q[i * DIM + j] * q[i * DIM + j];
        }
        for (uint32_t i = 0; i < DIM; i++) {
            q[i * DIM + j] /= sqrt(norm);
        }
    }
}

/* out = q·m·qᵀ, symmetric to the last bit. */
static void rotate(const double q[DIM * DIM], const double m[DIM * DIM], double out[DIM * DIM])
{
    for (int i = 0; i < DIM; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = 0;
            for (int k = 0; k < DIM; k++) {
                for (int l = 0; l < DIM; l++) {
                    sum += q[i * DIM + k] * m[k * DIM + l] * q[j * DIM + l];
                }
            }
            out[i * DIM + j] = out[j * DIM + i] = sum;
        }
    }
}

static double frechet(int64_t dim, const double *mu1, const double *sigma1, const double *mu2, const double *sigma2)
{
    struct fs_error error;
    double distance = NAN;
    if (fs_frechet_distance(dim, mu1, sigma1, mu2, sigma2, &distance, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    return distance;
}

static void assert_close(double value, double expected, double allowed)
{
    if (!(fabs(value - expected) <= allowed)) {
        fail_msg("%.17g, expected %.17g ± %.3g", value, expected, allowed);
    }
}

/* Same axes: the distance between the roots of the eigenvalues. */
static void commuting_matrices(void **state)
{
    (void)state;
    const double zero[DIM] = {0};
    double mu[DIM], diagonal1[DIM * DIM] = {0}, diagonal2[DIM * DIM] = {0}, q[DIM * DIM], s1[DIM * DIM], s2[DIM * DIM];
    double expected = 0, size = 0;
    for (uint32_t i = 0; i < DIM; i++) {
        const double a = normal(1, 0, i), b = i == 3 ? 0 : normal(1, 1, i);
        mu[i] = normal(1, 2, i);
        diagonal1[i * DIM + i] = a * a;
        diagonal2[i * DIM + i] = b * b;
        expected += mu[i] * mu[i] + (fabs(a) - fabs(b)) * (fabs(a) - fabs(b));
        size += mu[i] * mu[i] + a * a + b * b;
    }
    assert_close(frechet(DIM, mu, diagonal1, zero, diagonal2), expected, 1e-14 * size);
    random_rotation(2, q);
    rotate(q, diagonal1, s1);
    rotate(q, diagonal2, s2);
    assert_close(frechet(DIM, mu, s1, zero, s2), expected, 1e-7 * size); /* one eigenvalue is a rounded zero */
    const double one[1] = {2}, other[1] = {-1}, variance1[1] = {9}, variance2[1] = {0.25};
    assert_close(frechet(1, one, variance1, other, variance2), 9 + 2.5 * 2.5, 1e-14);
}

/* Gaussians that vary along different axes share nothing: |μ|² and both traces, whatever the rotation. */
static void orthogonal_supports(void **state)
{
    (void)state;
    const double zero[DIM] = {0};
    double first[DIM * DIM] = {0}, second[DIM * DIM] = {0}, q[DIM * DIM], s1[DIM * DIM], s2[DIM * DIM];
    for (int i = 0; i < DIM; i++) {
        *(i < 3 ? &first[i * DIM + i] : &second[i * DIM + i]) = 1 + i;
    }
    random_rotation(3, q);
    rotate(q, first, s1);
    rotate(q, second, s2);
    assert_close(frechet(DIM, zero, s1, zero, s2), 28, 28 * 1e-7);
}

static void symmetric_invariant_and_zero_on_itself(void **state)
{
    (void)state;
    for (uint32_t seed = 10; seed < 15; seed++) {
        double mu1[DIM], s1[DIM * DIM], mu2[DIM], s2[DIM * DIM], q[DIM * DIM], r1[DIM * DIM], r2[DIM * DIM];
        double m1[DIM] = {0}, m2[DIM] = {0};
        random_gaussian(seed, 20, mu1, s1);
        random_gaussian(seed + 100, 20, mu2, s2);
        const double distance = frechet(DIM, mu1, s1, mu2, s2);
        assert_true(distance > 0.1);
        assert_close(frechet(DIM, mu2, s2, mu1, s1), distance, 1e-13 * distance);
        assert_close(frechet(DIM, mu1, s1, mu1, s1), 0, 1e-13 * DIM);

        random_rotation(seed, q);
        rotate(q, s1, r1);
        rotate(q, s2, r2);
        for (int i = 0; i < DIM; i++) {
            for (int j = 0; j < DIM; j++) {
                m1[i] += q[i * DIM + j] * mu1[j];
                m2[i] += q[i * DIM + j] * mu2[j];
            }
        }
        assert_close(frechet(DIM, m1, r1, m2, r2), distance, 1e-12 * distance);

        for (int i = 0; i < DIM * DIM; i++) { /* features times 3 */
            s1[i] *= 9;
            s2[i] *= 9;
        }
        for (int i = 0; i < DIM; i++) {
            mu1[i] *= 3;
            mu2[i] *= 3;
        }
        assert_close(frechet(DIM, mu1, s1, mu2, s2), 9 * distance, 1e-12 * distance);
    }
}

static void root_squared_is_the_matrix(void **state)
{
    (void)state;
    for (int rank = 2; rank <= 30; rank += 14) {
        double mu[DIM], sigma[DIM * DIM], root[DIM * DIM];
        struct fs_error error;
        random_gaussian(20, rank, mu, sigma);
        assert_int_equal(fs_symmetric_root(DIM, sigma, root, &error), FS_OK);
        for (int i = 0; i < DIM; i++) {
            for (int j = 0; j < DIM; j++) {
                double square = 0;
                for (int k = 0; k < DIM; k++) {
                    square += root[i * DIM + k] * root[k * DIM + j];
                }
                assert_close(square, sigma[i * DIM + j], 1e-13 * DIM);
                assert_true(root[i * DIM + j] == root[j * DIM + i]);
            }
        }
    }
}

/* tests/golden/make_frechet_golden.py says what is in the files. */
static void golden_distances(void **state)
{
    (void)state;
    static const char *const cases[] = {"dense_2",     "dense_5",         "dense_16",    "singular_4",
                                        "singular_12", "both_singular_9", "scaled_8",    "scaled_apart_8",
                                        "tiny_6",      "huge_6",          "identical_10"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[256];
        struct fs_error error;
        struct fs_array array;
        snprintf(path, sizeof path, "tests/golden/frechet/%s.npy", cases[i]);
        if (fs_npy_read(path, &array, &error) != FS_OK) {
            fail_msg("%s", error.text);
        }
        assert_int_equal(array.type, FS_ARRAY_F64);
        assert_int_equal(array.shape[0], 2 * array.shape[1] + 3);
        const int64_t dim = array.shape[1];
        const double *mu1 = array.data, *s1 = mu1 + dim, *mu2 = s1 + dim * dim, *s2 = mu2 + dim,
                     *expected = s2 + dim * dim;
        double size = 0;
        for (int64_t j = 0; j < dim; j++) {
            size += (mu1[j] - mu2[j]) * (mu1[j] - mu2[j]) + s1[j * dim + j] + s2[j * dim + j];
        }
        assert_close(frechet(dim, mu1, s1, mu2, s2), expected[0], expected[1] * size);
        assert_close(frechet(dim, mu2, s2, mu1, s1), expected[0], expected[1] * size);
        free(array.data);
    }
}

static void refuse(const double *mu1, const double *s1, const double *mu2, const double *s2, const char *words)
{
    struct fs_error error;
    double distance;
    assert_int_equal(fs_frechet_distance(2, mu1, s1, mu2, s2, &distance, &error), FS_FAILED);
    if (!strstr(error.text, words)) {
        fail_msg("'%s' does not say '%s'", error.text, words);
    }
}

static void what_is_no_covariance_is_refused(void **state)
{
    (void)state;
    const double mu[2] = {0, 1}, good[4] = {2, 1, 1, 2}, skew[4] = {2, 1, 1.001, 2}, indefinite[4] = {1, 2, 2, 1};
    const double rounded[4] = {1, 1, 1, 1 - 4e-16}; /* an eigenvalue of −2e-16 */
    double hole[4] = {2, NAN, NAN, 2}, infinite[2] = {0, INFINITY};
    refuse(mu, hole, mu, good, "not finite");
    refuse(mu, good, mu, hole, "not finite");
    refuse(infinite, good, mu, good, "not finite");
    refuse(mu, good, infinite, good, "not finite");
    refuse(mu, skew, mu, good, "not symmetric");
    refuse(mu, good, mu, skew, "not symmetric");
    refuse(mu, indefinite, mu, good, "negative beyond rounding");
    refuse(mu, good, mu, indefinite, "negative beyond rounding");
    assert_close(frechet(2, mu, rounded, mu, rounded), 0, 1e-7);
}

/* --- the bootstrap interval --- */

/* One-dimensional features N(δ, s²) against N(0, 1): the distance is m² + (√v − 1)² of the sample's mean m and variance
 * v, so to first order its standard deviation is √(4δ²s²/n + 2(s − 1)²s²/n). */
static void interval_matches_the_analytic_spread(void **state)
{
    (void)state;
    enum { N = 400, SETS = 40 };
    const double delta = 1.5, s = 2, zero = 0, one = 1;
    const double spread = sqrt((4 * delta * delta * s * s + 2 * (s - 1) * (s - 1) * s * s) / N);
    const double expected = delta * delta + (s - 1) * (s - 1) + s * s / N; /* E m² = δ² + s²/n */
    double width = 0;
    int covered = 0;
    for (uint32_t set = 0; set < SETS; set++) {
        float features[N];
        double low, high;
        struct fs_error error;
        for (uint32_t i = 0; i < N; i++) {
            features[i] = (float)(delta + s * normal(50, set, i));
        }
        assert_int_equal(fs_frechet_interval(1, features, N, &zero, &one, 1, 200, 0.95, set, &low, &high, &error),
                         FS_OK);
        assert_true(low < high);
        width += (high - low) / SETS;
        covered += low <= expected && expected <= high;
    }
    assert_close(width, 2 * 1.96 * spread, 0.1 * 2 * 1.96 * spread);
    assert_true(covered >= SETS * 85 / 100);
}

/* Where the bias is larger than the spread (many dimensions, few rows), the interval still holds the score. */
static void interval_holds_the_score(void **state)
{
    (void)state;
    enum { N = 200, WIDE = 24 };
    float features[N * WIDE];
    double mu[WIDE], unit[WIDE * WIDE] = {0}, covariance[WIDE * WIDE], low, high, narrow_low, narrow_high, again;
    struct fs_error error;
    struct fs_statistics statistics;
    for (uint32_t i = 0; i < N * WIDE; i++) {
        features[i] = (float)normal(60, i / WIDE, i % WIDE) + 1000;
    }
    for (int i = 0; i < WIDE; i++) {
        mu[i] = 1000;
        unit[i * WIDE + i] = 1;
    }
    assert_int_equal(fs_statistics_create(WIDE, &statistics, &error), FS_OK);
    fs_statistics_add(&statistics, features, N);
    assert_int_equal(fs_statistics_covariance(&statistics, covariance, &error), FS_OK);
    const double score = frechet(WIDE, mu, unit, statistics.mean, covariance);
    fs_statistics_destroy(&statistics);

    assert_int_equal(fs_frechet_interval(WIDE, features, N, mu, unit, WIDE, 100, 0.95, 3, &low, &high, &error), FS_OK);
    assert_true(low < score && score < high && low > 0.5 * score && high < 1.5 * score);
    assert_int_equal(
        fs_frechet_interval(WIDE, features, N, mu, unit, WIDE, 100, 0.5, 3, &narrow_low, &narrow_high, &error), FS_OK);
    assert_true(low < narrow_low && narrow_high < high);
    assert_int_equal(fs_frechet_interval(WIDE, features, N, mu, unit, WIDE, 100, 0.95, 3, &again, &high, &error),
                     FS_OK);
    assert_true(again == low);

    features[5] = NAN;
    assert_int_equal(fs_frechet_interval(WIDE, features, N, mu, unit, WIDE, 100, 0.95, 3, &low, &high, &error),
                     FS_FAILED);
    assert_int_equal(fs_frechet_interval(WIDE, features, 1, mu, unit, WIDE, 100, 0.95, 3, &low, &high, &error),
                     FS_USAGE);
}

/* `equal` rows of one value, behind them `others` that are normal around it. */
static void rows_around_one(float *features, int64_t equal, int64_t others, int64_t dim)
{
    for (uint32_t row = 0; row < equal + others; row++) {
        for (uint32_t j = 0; j < dim; j++) {
            features[row * dim + j] = (float)(normal(70, 0, j) + (row < equal ? 0 : normal(71, row, j)));
        }
    }
}

/* What is left of a resample's covariance where its rows are equal is rounding, of either sign. The distance of a point
 * x to N(μ, Σ) is |x − μ|² + tr Σ. */
static void interval_of_equal_rows(void **state)
{
    (void)state;
    enum { WIDE = 24, MOST = 1000 };
    static const int64_t counts[] = {2, 3, 10, 300, MOST};
    static float features[MOST * WIDE];
    double mu[WIDE] = {0}, root[WIDE * WIDE] = {0};
    for (int size = 0; size < 3; size++) { /* also of a reference that hardly varies, or not at all */
        const double deviation = (const double[]){1.7, 1e-16, 0}[size], trace = WIDE * deviation * deviation;
        for (int i = 0; i < WIDE; i++) {
            root[i * WIDE + i] = deviation;
        }
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            double expected = trace, low, high;
            struct fs_error error;
            rows_around_one(features, counts[i], 0, WIDE);
            for (int j = 0; j < WIDE; j++) {
                expected += (double)features[j] * (double)features[j];
            }
            if (fs_frechet_interval(WIDE, features, counts[i], mu, root, trace, 100, 0.95, 3, &low, &high, &error)) {
                fail_msg("%lld rows: %s", (long long)counts[i], error.text);
            }
            assert_close(low, expected, 1e-12 * expected);
            assert_close(high, expected, 1e-12 * expected);
        }
    }
}

/* Few rows, of which many a resample takes one alone, and rows that are equal but for a few. */
static void interval_of_nearly_equal_rows(void **state)
{
    (void)state;
    enum { WIDE = 24, ROWS = 500 };
    static const int64_t equal[] = {0, 0, 0, 8, ROWS - 5, ROWS - 1}, others[] = {2, 3, 4, 1, 5, 1};
    static float features[ROWS * WIDE];
    double mu[WIDE] = {0}, root[WIDE * WIDE] = {0};
    for (int size = 0; size < 2; size++) {
        const double deviation = size == 0 ? 1 : 1e-16, trace = WIDE * deviation * deviation;
        for (int i = 0; i < WIDE; i++) {
            root[i * WIDE + i] = deviation;
        }
        for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
            const int64_t n = equal[i] + others[i];
            double low, high;
            struct fs_error error;
            rows_around_one(features, equal[i], others[i], WIDE);
            if (fs_frechet_interval(WIDE, features, n, mu, root, trace, 100, 0.95, 3, &low, &high, &error)) {
                fail_msg("%lld and %lld rows: %s", (long long)equal[i], (long long)others[i], error.text);
            }
            assert_true(low > 1 && low < high && high < 200);
        }
    }
}

/* A covariance that is rounding, made as a difference of sums, beside one that is not. */
static void a_covariance_of_rounding_is_zero(void **state)
{
    (void)state;
    const double mu1[2] = {3, 0}, mu2[2] = {0, 0}, unit[4] = {1, 0, 0, 1};
    const double rounding[4] = {1e-31, 2e-31, 2e-31, 1e-31}, negative[4] = {-1e-31, 0, 0, -1e-31};
    assert_close(frechet(2, mu1, rounding, mu2, unit), 11, 1e-12);
    assert_close(frechet(2, mu1, unit, mu2, rounding), 11, 1e-12);
    assert_close(frechet(2, mu1, negative, mu2, unit), 11, 1e-12);
    assert_close(frechet(2, mu1, unit, mu2, negative), 11, 1e-12);
}

/* Of diagonal covariances the root is known: Σ √((a + ε)(b + ε)); small ones, so that ε counts. */
static void authors_offset_is_inside_the_root(void **state)
{
    (void)state;
    struct fs_error error;
    double mu1[DIM], mu2[DIM], sigma1[DIM * DIM] = {0}, sigma2[DIM * DIM] = {0}, expected = 0, distance;
    for (uint32_t i = 0; i < DIM; i++) {
        const double a = i == 2 ? 0 : 1e-6 * fabs(normal(41, 0, i)), b = 1e-5 * fabs(normal(41, 1, i));
        mu1[i] = 1e-3 * normal(41, 2, i);
        mu2[i] = 1e-3 * normal(41, 3, i);
        sigma1[i * DIM + i] = a;
        sigma2[i * DIM + i] = b;
        expected += (mu1[i] - mu2[i]) * (mu1[i] - mu2[i]) + a + b - 2 * sqrt((a + 1e-6) * (b + 1e-6));
    }
    assert_int_equal(fs_frechet_distance_authors(DIM, mu1, sigma1, mu2, sigma2, &distance, &error), FS_OK);
    assert_true(fabs(distance - expected) < 1e-12);
    assert_int_equal(fs_frechet_distance_authors(DIM, mu1, sigma1, mu1, sigma1, &distance, &error), FS_OK);
    assert_true(fabs(distance + 2e-6 * DIM) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commuting_matrices),
        cmocka_unit_test(orthogonal_supports),
        cmocka_unit_test(symmetric_invariant_and_zero_on_itself),
        cmocka_unit_test(root_squared_is_the_matrix),
        cmocka_unit_test(authors_offset_is_inside_the_root),
        cmocka_unit_test(golden_distances),
        cmocka_unit_test(what_is_no_covariance_is_refused),
        cmocka_unit_test(interval_matches_the_analytic_spread),
        cmocka_unit_test(interval_holds_the_score),
        cmocka_unit_test(interval_of_equal_rows),
        cmocka_unit_test(interval_of_nearly_equal_rows),
        cmocka_unit_test(a_covariance_of_rounding_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
