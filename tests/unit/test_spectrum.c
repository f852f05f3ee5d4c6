/* Power spectra of fields whose spectrum theory gives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fftw3.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/spectrum.h"
#include "tests/support/gaussian.h"

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static struct fs_spectrum open_spectrum(int64_t height, int64_t width, int64_t channels, int64_t total)
{
    struct fs_spectrum spectrum;
    good(fs_spectrum_create(height, width, channels, total, &spectrum, &error));
    return spectrum;
}

/* Its variance at every frequency, on any shape, within what the pictures' spread allows. */
static void white_noise(void **state)
{
    (void)state;
    static const int shapes[][3] = {{28, 28, 1}, {16, 16, 3}, {15, 22, 2}, {9, 7, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        enum { N = 400 };
        const int64_t size = shapes[s][0] * shapes[s][1] * shapes[s][2];
        float *pictures = malloc((size_t)(N * size) * sizeof *pictures);
        struct fs_spectrum spectrum = open_spectrum(shapes[s][0], shapes[s][1], shapes[s][2], N);
        assert_non_null(pictures);
        assert_int_equal(spectrum.bins, (shapes[s][0] < shapes[s][1] ? shapes[s][0] : shapes[s][1]) / 2);
        test_gaussian_rows((uint32_t)s, N, size, NULL, NULL, pictures);
        for (int64_t i = 0; i < N * size; i++) {
            pictures[i] = 5 + 0.5F * pictures[i]; /* brightness is in no bin */
        }
        good(fs_spectrum_add(&spectrum, pictures, 150, &error));
        good(fs_spectrum_add(&spectrum, pictures + 150 * size, N - 150, &error));
        for (int b = 0; b < spectrum.bins; b++) {
            double standard_error;
            const double power = fs_spectrum_power(&spectrum, b, &standard_error);
            assert_true(fabs(power - 0.25) < 4.5 * standard_error);
            assert_true(standard_error < 0.25 * 0.06);
        }
        fs_spectrum_destroy(&spectrum);
        free(pictures);
    }
}

/* a·sin of a whole number of turns: a²·pixels/2 in all, shared by the coefficients of one bin. */
static void a_sine(void **state)
{
    (void)state;
    enum { H = 24, W = 32 };
    static const int turns[][2] = {{0, 4}, {3, 0}, {3, 8}, {-6, 8}};
    for (size_t t = 0; t < sizeof turns / sizeof *turns; t++) {
        float picture[H * W];
        double standard_error, sum = 0, own = 0;
        const double vertical = (double)turns[t][0] / H, horizontal = (double)turns[t][1] / W;
        const int expected = (int)lround(hypot(vertical, horizontal) * H) - 1;
        struct fs_spectrum spectrum = open_spectrum(H, W, 1, 1);
        for (int i = 0; i < H * W; i++) {
            const double turn = vertical * (i / W) + horizontal * (i % W);
            picture[i] = (float)(0.8 * sin(2 * acos(-1) * turn + 0.3));
        }
        good(fs_spectrum_add(&spectrum, picture, 1, &error));
        for (int b = 0; b < spectrum.bins; b++) {
            const double power = fs_spectrum_power(&spectrum, b, &standard_error);
            sum += power;
            own += b == expected ? power : 0;
        }
        int members = 0;
        for (int v = -H / 2 + 1; v <= H / 2; v++) {
            for (int h = -W / 2 + 1; h <= W / 2; h++) {
                members += lround(hypot((double)v / H, (double)h / W) * H) - 1 == expected;
            }
        }
        assert_true(fabs(own - 0.8 * 0.8 * H * W / 2 / members) < 1e-5 * own);
        assert_true(sum - own < 1e-9);
        assert_true(fabs(fs_spectrum_frequency(&spectrum, expected) - hypot(vertical, horizontal)) <= 0.5 / H);
        fs_spectrum_destroy(&spectrum);
    }
}

/* White noise whose coefficients are divided by their frequency, so that its power falls with the frequency's square.
 */
static void one_over_f(void **state)
{
    (void)state;
    enum { SIDE = 32, HALF = SIDE / 2 + 1, N = 200 };
    static float pictures[N * SIDE * SIDE];
    double *field = fftw_alloc_real(SIDE * SIDE), x = 0, y = 0, xx = 0, xy = 0;
    fftw_complex *wave = fftw_alloc_complex(SIDE * HALF);
    fftw_plan there = fftw_plan_dft_r2c_2d(SIDE, SIDE, field, wave, FFTW_ESTIMATE);
    fftw_plan back = fftw_plan_dft_c2r_2d(SIDE, SIDE, wave, field, FFTW_ESTIMATE);
    test_gaussian_rows(9, N, SIDE * SIDE, NULL, NULL, pictures);
    for (int k = 0; k < N; k++) {
        float *picture = pictures + k * SIDE * SIDE;
        for (int i = 0; i < SIDE * SIDE; i++) {
            field[i] = (double)picture[i];
        }
        fftw_execute(there);
        for (int i = 0; i < SIDE * HALF; i++) {
            const int row = i / HALF > SIDE / 2 ? i / HALF - SIDE : i / HALF;
            const double frequency = hypot((double)row / SIDE, (double)(i % HALF) / SIDE);
            for (int part = 0; part < 2; part++) {
                wave[i][part] = frequency > 0 ? wave[i][part] / frequency / (SIDE * SIDE) : 0;
            }
        }
        fftw_execute(back);
        for (int i = 0; i < SIDE * SIDE; i++) {
            picture[i] = (float)field[i];
        }
    }
    fftw_destroy_plan(there);
    fftw_destroy_plan(back);
    fftw_free(field);
    fftw_free(wave);

    struct fs_spectrum spectrum = open_spectrum(SIDE, SIDE, 1, N);
    good(fs_spectrum_add(&spectrum, pictures, N, &error));
    const int first = 2, count = spectrum.bins - first; /* the widest frequencies vary within a bin */
    for (int b = first; b < spectrum.bins; b++) {
        double standard_error;
        const double u = log(fs_spectrum_frequency(&spectrum, b)),
                     v = log(fs_spectrum_power(&spectrum, b, &standard_error));
        x += u / count;
        y += v / count;
        xx += u * u / count;
        xy += u * v / count;
    }
    const double slope = (xy - x * y) / (xx - x * x);
    assert_true(fabs(slope + 2) < 0.02);
    assert_true(fabs(exp(y - slope * x) - 1) < 0.03);
    fs_spectrum_destroy(&spectrum);
}

/* --- the distance --- */

static struct fs_spectrum noise_spectrum(uint32_t seed, double deviation, int64_t n)
{
    enum { SIZE = 16 * 16 };
    float *pictures = malloc((size_t)(n * SIZE) * sizeof *pictures);
    struct fs_spectrum spectrum = open_spectrum(16, 16, 1, n);
    assert_non_null(pictures);
    test_gaussian_rows(seed, n, SIZE, NULL, NULL, pictures);
    for (int64_t i = 0; i < n * SIZE; i++) {
        pictures[i] *= (float)deviation;
    }
    good(fs_spectrum_add(&spectrum, pictures, n, &error));
    free(pictures);
    return spectrum;
}

/* Noise e^(1/10) times as strong has e^(1/5) times the power. */
static void distance_and_interval(void **state)
{
    (void)state;
    const double reference[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    int covered = 0;
    double sum = 0;
    for (uint32_t seed = 0; seed < 200; seed++) {
        struct fs_spectrum spectrum = noise_spectrum(seed, exp(0.1), 60);
        struct fs_estimate distance;
        good(fs_spectrum_distance(&spectrum, reference, &distance, &error));
        sum += distance.value / 200;
        covered += distance.low <= 0.2 && 0.2 <= distance.high;
        fs_spectrum_destroy(&spectrum);
    }
    assert_true(fabs(sum - 0.2) < 0.004);
    assert_true(covered >= 180);

    struct fs_spectrum same = noise_spectrum(1, 1, 40);
    struct fs_estimate distance;
    double own[8], standard_error;
    for (int b = 0; b < 8; b++) {
        own[b] = fs_spectrum_power(&same, b, &standard_error);
    }
    good(fs_spectrum_distance(&same, own, &distance, &error));
    assert_true(distance.value == 0);
    fs_spectrum_destroy(&same);
}

static void bad_arguments(void **state)
{
    (void)state;
    struct fs_spectrum spectrum;
    struct fs_estimate distance;
    const double reference[8] = {0};
    float picture[16 * 16] = {0};
    assert_int_equal(fs_spectrum_create(1, 16, 1, 5, &spectrum, &error), FS_USAGE);
    spectrum = open_spectrum(16, 16, 1, 20);
    good(fs_spectrum_add(&spectrum, picture, 1, &error));
    assert_int_equal(fs_spectrum_distance(&spectrum, reference, &distance, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "20 pictures or more, got 1"));
    for (int i = 0; i < 19; i++) {
        good(fs_spectrum_add(&spectrum, picture, 1, &error));
    }
    assert_int_equal(fs_spectrum_distance(&spectrum, reference, &distance, &error), FS_FAILED);
    picture[4] = NAN;
    assert_int_equal(fs_spectrum_add(&spectrum, picture, 1, &error), FS_FAILED);
    fs_spectrum_destroy(&spectrum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_noise),           cmocka_unit_test(a_sine),        cmocka_unit_test(one_over_f),
        cmocka_unit_test(distance_and_interval), cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
