/* Published statistics: what is a mean and a covariance comes through, what is none is refused by name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/npz.h"
#include "metrics/frechet.h"
#include "metrics/gaussian.h"
#include "tests/support/folder.h"

#define DIM 4

static struct fs_error error;

static const double good_mu[DIM] = {1, -2, 0.5, 0};
static const double good_sigma[DIM * DIM] = {2, 1, 0, 0, 1, 3, 0, 0, 0, 0, 1, 0.5, 0, 0, 0.5, 1};

static void write_statistics(const struct fs_array *mu, const struct fs_array *sigma)
{
    const char *const names[] = {"mu", "sigma"};
    const struct fs_array arrays[] = {*mu, *sigma};
    assert_int_equal(fs_npz_write(test_path("s.npz"), names, arrays, 2, NULL, &error), FS_OK);
}

static void write_doubles(const double *mu, const double *sigma)
{
    write_statistics(&(struct fs_array){FS_ARRAY_F64, 1, {DIM}, (void *)mu},
                     &(struct fs_array){FS_ARRAY_F64, 2, {DIM, DIM}, (void *)sigma});
}

static void refused(const char *piece)
{
    struct fs_gaussian gaussian;
    if (fs_gaussian_read(test_path("s.npz"), "", &gaussian, &error) != FS_USAGE || !strstr(error.text, "s.npz") ||
        !strstr(error.text, piece)) {
        fail_msg("said: %s; expected: %s", error.text, piece);
    }
    fs_gaussian_free(&gaussian);
}

static void statistics_come_back_with_their_origin(void **state)
{
    (void)state;
    const struct fs_gaussian written = {
        DIM,
        (double *)good_mu,
        (double *)good_sigma,
        {"inception-v3", "inception-v3 weights 65cc99", "65cc99", "pool", "none", true, 60000}};
    struct fs_gaussian read;
    assert_int_equal(fs_gaussian_write(test_path("w.npz"), &written, &error), FS_OK);
    assert_int_equal(fs_gaussian_read(test_path("w.npz"), "", &read, &error), FS_OK);
    assert_int_equal(read.dim, DIM);
    assert_memory_equal(read.mean, good_mu, sizeof good_mu);
    assert_memory_equal(read.covariance, good_sigma, sizeof good_sigma);
    assert_string_equal(read.origin.extractor, "inception-v3");
    assert_string_equal(read.origin.label, "inception-v3 weights 65cc99");
    assert_true(read.origin.fid);
    assert_string_equal(read.origin.sha256, "65cc99");
    assert_string_equal(read.origin.tap, "pool");
    assert_string_equal(read.origin.resize, "none");
    assert_int_equal(read.origin.count, 60000);
    fs_gaussian_free(&read);
}

static void numpys_statistics_are_read(void **state)
{
    (void)state;
    static const char *const names[] = {"float64", "float64_compressed", "float32", "float32_fortran", "big_endian"};
    struct fs_gaussian first = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        struct fs_gaussian read;
        double distance = NAN;
        snprintf(path, sizeof path, "tests/golden/npz/%s.npz", names[i]);
        assert_int_equal(fs_gaussian_read(path, "", i ? &read : &first, &error), FS_OK);
        assert_int_equal(first.origin.count, 0);
        assert_string_equal(first.origin.extractor, "");
        if (i > 0) { /* every number is exact in float32 */
            assert_memory_equal(read.covariance, first.covariance, (size_t)(25 * sizeof(double)));
            assert_int_equal(
                fs_frechet_distance(5, first.mean, first.covariance, read.mean, read.covariance, &distance, &error),
                FS_OK);
            assert_true(distance < 1e-7);
            fs_gaussian_free(&read);
        }
    }
    fs_gaussian_free(&first);
}

/* A covariance of rank 1 in float32 has negative eigenvalues of float32's rounding; scores must be possible. */
static void rounding_of_float32_is_mended(void **state)
{
    (void)state;
    enum { N = 40 };
    float mu[N] = {0}, sigma[N * N];
    double exact[N * N], zero[N] = {0}, distance = NAN;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            exact[i * N + j] = sin(i + 1.0) * sin(j + 1.0);
            sigma[i * N + j] = (float)exact[i * N + j];
        }
    }
    sigma[3] *= 1 + 2e-7f; /* a last bit apart from its mirror */
    write_statistics(&(struct fs_array){FS_ARRAY_F32, 2, {1, N}, mu},
                     &(struct fs_array){FS_ARRAY_F32, 2, {N, N}, sigma});
    struct fs_gaussian read;
    assert_int_equal(fs_gaussian_read(test_path("s.npz"), "", &read, &error), FS_OK);
    for (int i = 0; i < N * N; i++) {
        assert_float_equal(read.covariance[i], exact[i], 1e-6);
    }
    assert_int_equal(fs_frechet_distance(N, read.mean, read.covariance, zero, exact, &distance, &error), FS_OK);
    assert_true(distance < 1e-2);
    fs_gaussian_free(&read);
}

static void what_is_no_covariance_is_refused(void **state)
{
    (void)state;
    double sigma[DIM * DIM], mu[DIM];
    memcpy(sigma, good_sigma, sizeof sigma);
    memcpy(mu, good_mu, sizeof mu);
    sigma[1] += 0.1;
    write_doubles(mu, sigma);
    refused("sigma: not symmetric: element (1, 0) is 1, its mirror 1.1");
    sigma[1] = sigma[4] = 3;
    write_doubles(mu, sigma);
    refused("sigma: has an eigenvalue of -0.5413");
    sigma[5] = -1;
    write_doubles(mu, sigma);
    refused("sigma: the variance of feature 1 is negative (-1)");
    sigma[7] = NAN;
    write_doubles(mu, sigma);
    refused("sigma: element 7 is not finite");
    mu[2] = INFINITY;
    write_doubles(mu, sigma);
    refused("mu: element 2 is not finite");
}

static void other_shapes_and_types_are_refused(void **state)
{
    (void)state;
    static const uint8_t bytes[DIM * DIM];
    const struct fs_array mu = {FS_ARRAY_F64, 1, {DIM}, (void *)good_mu}, none = {FS_ARRAY_F64, 1, {0}, NULL};
    write_statistics(&mu, &(struct fs_array){FS_ARRAY_F64, 2, {2, 2 * DIM}, (void *)good_sigma});
    refused("sigma: expected 4 × 4 numbers, as mu has 4; it has 2 × 8");
    write_statistics(&mu, &(struct fs_array){FS_ARRAY_F64, 2, {3, 3}, (void *)good_sigma});
    refused("it has 3 × 3");
    write_statistics(&mu, &(struct fs_array){FS_ARRAY_F64, 1, {DIM * DIM}, (void *)good_sigma});
    refused("it has 16 × 1");
    write_statistics(&mu, &(struct fs_array){FS_ARRAY_U8, 2, {DIM, DIM}, (void *)bytes});
    refused("sigma: expected float32 or float64 numbers");
    write_statistics(&(struct fs_array){FS_ARRAY_F64, 2, {2, 2}, (void *)good_mu}, &mu);
    refused("mu: expected one row of numbers");
    write_statistics(&none, &mu);
    refused("mu: expected one row of numbers");
    const char *const names[] = {"mu", "cov"};
    const struct fs_array arrays[] = {mu, mu};
    assert_int_equal(fs_npz_write(test_path("s.npz"), names, arrays, 2, NULL, &error), FS_OK);
    refused("sigma: there is no such array");
}

/* guided-diffusion's reference batches hold those of a second tap beside the first. */
static void a_second_pair_is_read_by_its_suffix(void **state)
{
    (void)state;
    const char *const names[] = {"mu_s", "sigma_s"};
    const struct fs_array arrays[] = {{FS_ARRAY_F64, 1, {DIM}, (void *)good_mu},
                                      {FS_ARRAY_F64, 2, {DIM, DIM}, (void *)good_sigma}};
    struct fs_gaussian read;
    assert_int_equal(fs_npz_write(test_path("s.npz"), names, arrays, 2, NULL, &error), FS_OK);
    assert_int_equal(fs_gaussian_read(test_path("s.npz"), "_s", &read, &error), FS_OK);
    assert_memory_equal(read.covariance, good_sigma, sizeof good_sigma);
    fs_gaussian_free(&read);
    refused("mu: there is no such array");
}

/* The size is refused before the numbers are read. */
static void too_many_features_are_refused(void **state)
{
    (void)state;
    float *mu = calloc(FS_GAUSSIAN_DIM_MAX + 1, sizeof *mu);
    assert_non_null(mu);
    write_statistics(&(struct fs_array){FS_ARRAY_F32, 1, {FS_GAUSSIAN_DIM_MAX + 1}, mu},
                     &(struct fs_array){FS_ARRAY_F32, 1, {1}, mu});
    refused("mu: has 8193 elements, at most 8192 are allowed");
    free(mu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_come_back_with_their_origin), cmocka_unit_test(numpys_statistics_are_read),
        cmocka_unit_test(rounding_of_float32_is_mended),          cmocka_unit_test(what_is_no_covariance_is_refused),
        cmocka_unit_test(other_shapes_and_types_are_refused),     cmocka_unit_test(too_many_features_are_refused),
        cmocka_unit_test(a_second_pair_is_read_by_its_suffix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
