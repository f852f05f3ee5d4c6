/* The Inception Score of logits whose score is known. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "metrics/inception_score.h"
#include "tests/support/gaussian.h"

static struct fs_error error;

static struct fs_estimate score_of(int64_t classes, const float *logits, int64_t n, int splits)
{
    struct fs_estimate score = {0};
    if (fs_inception_score(classes, logits, n, splits, &score, NULL, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    return score;
}

static void extremes(void **state)
{
    (void)state;
    float logits[100 * 5] = {0};
    assert_true(fabs(score_of(5, logits, 100, 10).value - 1) < 1e-15); /* it knows nothing */
    for (int i = 0; i < 100; i++) {
        logits[i * 5 + i % 5] = 700; /* certain, and every class comes alike */
    }
    assert_true(fabs(score_of(5, logits, 100, 10).value - 5) < 1e-12);
    assert_true(score_of(5, logits, 100, 10).standard_error < 1e-12);
    for (int i = 0; i < 100; i++) {
        logits[i * 5 + i % 5] = 0;
        logits[i * 5 + 2] = 700; /* certain, and always the same class */
    }
    assert_true(fabs(score_of(5, logits, 100, 10).value - 1) < 1e-12);
}

/* Two classes, p = 0.9 for one or the other: exp(ln 2 − H(0.9)). A constant added to a row's logits changes nothing. */
static void two_classes(void **state)
{
    (void)state;
    float logits[40 * 2];
    for (int i = 0; i < 40; i++) {
        logits[2 * i + i % 2] = (float)(100 * i);
        logits[2 * i + 1 - i % 2] = (float)(100 * i + log(9));
    }
    const double entropy = -0.9 * log(0.9) - 0.1 * log(0.1);
    assert_true(fabs(score_of(2, logits, 40, 4).value - 2 * exp(-entropy)) < 1e-4); /* logits rounded at 4000 */
}

/* 200 experiments: the interval is one for the expected score at this size of a split. */
static void intervals_cover_the_expected_score(void **state)
{
    (void)state;
    enum { CLASSES = 8, N = 300, EXPERIMENTS = 200 };
    static float logits[N * CLASSES];
    struct fs_estimate scores[EXPERIMENTS];
    const double deviation[CLASSES] = {2, 2, 2, 2, 2, 2, 2, 2};
    double mean = 0;
    int covered = 0;
    for (uint32_t i = 0; i < EXPERIMENTS; i++) {
        test_gaussian_rows(i, N, CLASSES, NULL, deviation, logits);
        scores[i] = score_of(CLASSES, logits, N, 10);
        mean += scores[i].value / EXPERIMENTS;
    }
    for (int i = 0; i < EXPERIMENTS; i++) {
        covered += scores[i].low <= mean && mean <= scores[i].high;
    }
    if (covered < 180 || covered > 199) {
        fail_msg("%d of 200 intervals cover %g", covered, mean);
    }
}

static void bad_arguments(void **state)
{
    (void)state;
    struct fs_estimate score;
    float logits[20] = {0};
    assert_int_equal(fs_inception_score(2, logits, 9, 10, &score, NULL, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "10 splits, got 9"));
    logits[3] = NAN;
    assert_int_equal(fs_inception_score(2, logits, 10, 5, &score, NULL, &error), FS_FAILED);
    logits[3] = INFINITY;
    assert_int_equal(fs_inception_score(2, logits, 10, 5, &score, NULL, &error), FS_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extremes),
        cmocka_unit_test(two_classes),
        cmocka_unit_test(intervals_cover_the_expected_score),
        cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
