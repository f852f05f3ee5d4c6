/* Random numbers: published answers of Philox, the distribution of the normals, the same bits everywhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/hash.h"
#include "kernels/base/random.h"

#define DRAWS 1000000

static const struct fs_random_key test_key = {.seed = 7, .stream = FS_STREAM_TEST, .update = 3, .step = 1};

/* Random123 1.14, tests/kat_vectors (Salmon, Moraes, Dror & Shaw 2011). */
static void philox_gives_the_published_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } answers[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        uint32_t out[4];
        fs_philox4x32(answers[i].counter, answers[i].key, out);
        assert_memory_equal(out, answers[i].expected, sizeof out);
    }
}

static void words_stand_where_the_header_says(void **state)
{
    (void)state;
    const struct fs_random_key key = {
        .seed = 0xa4093822, .stream = 0x299f31d0, .step = 0x13198a2e, .update = 0x03707344};
    const uint32_t expected[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    uint32_t out[4];
    fs_random_words(key, 0x85a308d3, 0x243f6a88, out);
    assert_memory_equal(out, expected, sizeof out);
    const struct fs_random_key small = {.seed = 0, .stream = 0, .step = 0, .update = 0};
    assert_true(fs_random_word(small, 0, 2) == 0xbc57ac4c);
    assert_true(fs_uniform(small, 0, 3) == (float)(0x9b00dbd8 >> 8) / 16777216.0f);
    assert_int_equal(fs_random_below(small, 0, 0, 1000), (uint64_t)0x6627e8d5 * 1000 >> 32);
}

static void polynomials_are_as_good_as_float_allows(void **state)
{
    (void)state;
    double worst_log = 0, worst_sine = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        const uint32_t word = fs_random_word(test_key, i, 0);
        /* As Box–Muller makes them, from 2⁻³² on; every eighth within 2⁻²⁰ of 1. */
        const float u = i % 8 ? ((float)(int32_t)(word >> (1 + i % 31)) + 0.5f) * 0x1p-31f
                              : 1.0f - (float)(word % 16 + 1) * 0x1p-24f;
        worst_log = fmax(worst_log, fabs(((double)fs_random_log(u) - log((double)u)) / log((double)u)));
        float sine, cosine;
        fs_random_sincos(word, &sine, &cosine);
        const double angle = 2 * M_PI * (double)word / 4294967296.0;
        worst_sine = fmax(worst_sine, fabs((double)sine - sin(angle)));
        worst_sine = fmax(worst_sine, fabs((double)cosine - cos(angle)));
    }
    assert_true(worst_log < 3.0 * 0x1p-24);
    assert_true(worst_sine < 2.5 * 0x1p-24);
    assert_true(fs_random_log(1.0f) == 0.0f);
}

static void extreme_words_give_finite_normals(void **state)
{
    (void)state;
    const uint32_t words[] = {0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x20000000, 0xe0000000};
    const size_t count = sizeof words / sizeof words[0];
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            float a, b;
            fs_random_box_muller(words[i], words[j], &a, &b);
            const double u = ((double)(words[i] >> 1) + 0.5) * 0x1p-31;
            const double angle = 2 * M_PI * (double)words[j] / 4294967296.0;
            assert_true(fabs((double)a - sqrt(-2 * log(u)) * cos(angle)) < 4e-4); /* u next to 1 has 24 bits */
            assert_true(fabs((double)b - sqrt(-2 * log(u)) * sin(angle)) < 4e-4); /* u next to 1 has 24 bits */
        }
    }
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float *draw_normals(void)
{
    float *draws = malloc(DRAWS * sizeof *draws);
    assert_non_null(draws);
    for (uint32_t block = 0; block < DRAWS / 4; block++) {
        fs_normals4(test_key, block % 97, block / 97, draws + 4 * block);
    }
    return draws;
}

/* Each moment within 4 of its standard errors. */
static void normals_have_the_moments_of_a_normal(void **state)
{
    (void)state;
    float *draws = draw_normals();
    double moment[5] = {0}, neighbours = 0;
    for (int i = 0; i < DRAWS; i++) {
        double power = 1;
        for (int k = 1; k <= 4; k++) {
            power *= (double)draws[i];
            moment[k] += power / DRAWS;
        }
        neighbours += (double)draws[i] * (double)draws[i ^ 1] / DRAWS;
    }
    free(draws);
    assert_true(fabs(moment[1]) < 4 * sqrt(1.0 / DRAWS));
    assert_true(fabs(moment[2] - 1) < 4 * sqrt(2.0 / DRAWS));
    assert_true(fabs(moment[3]) < 4 * sqrt(15.0 / DRAWS));
    assert_true(fabs(moment[4] - 3) < 4 * sqrt(96.0 / DRAWS));
    assert_true(fabs(neighbours) < 4 * sqrt(2.0 / DRAWS));
}

/* Kolmogorov–Smirnov: 1.95/√n is exceeded once in a thousand times; the seed is fixed. */
static void normals_have_the_distribution_of_a_normal(void **state)
{
    (void)state;
    float *draws = draw_normals();
    qsort(draws, DRAWS, sizeof *draws, compare_floats);
    double distance = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double expected = 0.5 * erfc(-(double)draws[i] * M_SQRT1_2);
        distance = fmax(distance, fmax(fabs(expected - (double)i / DRAWS), fabs(expected - (i + 1.0) / DRAWS)));
    }
    /* Beyond 4.5 there should be 6.8 of a million. */
    assert_true(draws[0] < -4.3f && draws[DRAWS - 1] > 4.3f);
    free(draws);
    assert_true(distance < 1.95 / sqrt(DRAWS));
}

static void uniforms_fill_their_range(void **state)
{
    (void)state;
    int bins[64] = {0}, dice[7] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        const float u = fs_uniform(test_key, i / 1000, i % 1000);
        assert_true(u >= 0 && u < 1);
        bins[(int)(u * 64)]++;
        const uint32_t die = fs_random_below(test_key, i / 1000, 1000 + i % 1000, 7);
        assert_true(die < 7);
        dice[die]++;
    }
    double chi_bins = 0, chi_dice = 0;
    for (int i = 0; i < 64; i++) {
        chi_bins += pow(bins[i] - DRAWS / 64.0, 2) / (DRAWS / 64.0);
    }
    for (int i = 0; i < 7; i++) {
        chi_dice += pow(dice[i] - DRAWS / 7.0, 2) / (DRAWS / 7.0);
    }
    assert_true(chi_bins < 103.4 && chi_bins > 33.9); /* 63 degrees: 0.1 % and 99.9 % */
    assert_true(chi_dice < 22.5);                     /* 6 degrees: 0.1 % */
    assert_int_equal(fs_random_below(test_key, 0, 0, 1), 0);
}

/* Each coordinate of a place leads to other words. */
static void places_and_streams_differ(void **state)
{
    (void)state;
    struct fs_random_key keys[5] = {test_key, test_key, test_key, test_key, test_key};
    keys[1].seed++;
    keys[2].stream++;
    keys[3].update++;
    keys[4].step++;
    uint32_t words[7][4];
    for (int i = 0; i < 5; i++) {
        fs_random_words(keys[i], 5, 6, words[i]);
    }
    fs_random_words(test_key, 6, 6, words[5]);
    fs_random_words(test_key, 5, 7, words[6]);
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < i; j++) {
            for (int k = 0; k < 4; k++) {
                assert_true(words[i][k] != words[j][k]);
            }
        }
    }
}

/* The same loop for one instruction set after the other, as the compiler makes it there. */
#define FILL_WITH_NORMALS(name, attributes)                                                                            \
    attributes static void name(float *out)                                                                            \
    {                                                                                                                  \
        for (uint32_t block = 0; block < DRAWS / 4; block++) {                                                         \
            fs_normals4(test_key, block % 97, block / 97, out + 4 * block);                                            \
        }                                                                                                              \
    }

FILL_WITH_NORMALS(fill_baseline, )
#ifdef __x86_64__
FILL_WITH_NORMALS(fill_avx2, __attribute__((target("avx2,fma"))))
FILL_WITH_NORMALS(fill_avx512, __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma"))))
#endif

static void check_bits(void (*fill)(float *out), float *draws)
{
    char text[65];
    memset(draws, 0, DRAWS * sizeof *draws);
    fill(draws);
    fs_sha256(draws, DRAWS * sizeof *draws, text);
    /* Frozen: other bits would make every earlier result another one. */
    assert_string_equal(text, "a11cdf29ef02daf4fb40ff5bca2e06689f6023971a1e9100c8741138dcc9e53d");
}

static void normals_are_the_same_bits_on_each_instruction_set(void **state)
{
    (void)state;
    float *draws = malloc(DRAWS * sizeof *draws);
    assert_non_null(draws);
    check_bits(fill_baseline, draws);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        check_bits(fill_avx2, draws);
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw")) {
        check_bits(fill_avx512, draws);
    }
#endif
    free(draws);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(words_stand_where_the_header_says),
        cmocka_unit_test(polynomials_are_as_good_as_float_allows),
        cmocka_unit_test(extreme_words_give_finite_normals),
        cmocka_unit_test(normals_have_the_moments_of_a_normal),
        cmocka_unit_test(normals_have_the_distribution_of_a_normal),
        cmocka_unit_test(uniforms_fill_their_range),
        cmocka_unit_test(places_and_streams_differ),
        cmocka_unit_test(normals_are_the_same_bits_on_each_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
