/* The list of metrics: names, taps, warnings, and that each one by name is what its own function gives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/fid_infinity.h"
#include "metrics/frechet.h"
#include "metrics/inception_score.h"
#include "metrics/kid.h"
#include "metrics/metric.h"
#include "metrics/prdc.h"
#include "metrics/spectrum.h"
#include "tests/support/gaussian.h"

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static void names(void **state)
{
    (void)state;
    int count = 0;
    for (; fs_metric_at(count); count++) {
        assert_string_equal(fs_metric_name(count), fs_metric_at(count)->name);
        assert_ptr_equal(fs_metric_find(fs_metric_name(count)), fs_metric_at(count));
    }
    assert_null(fs_metric_name(count));
    assert_string_equal(fs_metric_name(0), "fd");
    assert_ptr_equal(fs_metric_find("fid"), fs_metric_find("fd"));
    assert_ptr_equal(fs_metric_find("sfid"), fs_metric_find("sfd"));
    assert_null(fs_metric_find("FD"));

    struct fs_extractor extractor = {.name = "x", .fid = true};
    assert_string_equal(fs_extractor_metric(&extractor, "fd"), "fid");
    assert_string_equal(fs_extractor_metric(&extractor, "fd_infinity"), "fid_infinity");
    assert_string_equal(fs_extractor_metric(&extractor, "sfd"), "sfid");
    assert_string_equal(fs_extractor_metric(&extractor, "kid"), "kid");
    extractor.fid = false;
    assert_string_equal(fs_extractor_metric(&extractor, "fd"), "fd");
}

static void taps(void **state)
{
    (void)state;
    static const struct fs_tap inception[] = {{"pool", 4}, {"192", 2}, {"logits_unbiased", 7}, {"spatial", 3}};
    static const struct fs_tap plain[] = {{"penultimate", 4}, {"other", 2}};
    struct fs_extractor extractor = {.name = "some-net", .taps = inception, .tap_count = 4};
    int tap;
    good(fs_metric_tap(fs_metric_find("fd"), &extractor, &tap, &error));
    assert_int_equal(tap, 0);
    good(fs_metric_tap(fs_metric_find("is"), &extractor, &tap, &error));
    assert_int_equal(tap, 2);
    good(fs_metric_tap(fs_metric_find("sfd"), &extractor, &tap, &error));
    assert_int_equal(tap, 3);
    extractor.taps = plain;
    extractor.tap_count = 2;
    good(fs_metric_tap(fs_metric_find("recall"), &extractor, &tap, &error));
    assert_int_equal(fs_metric_tap(fs_metric_find("is"), &extractor, &tap, &error), FS_USAGE);
    assert_string_equal(error.text,
                        "evaluate.metrics: is is made of an extractor's tap 'logits', and some-net has none (it has: "
                        "penultimate, other): leave the metric out, or choose another of evaluate.extractors");
}

static void warnings(void **state)
{
    (void)state;
    static const struct {
        const char *metric;
        int64_t dim, enough;
        const char *piece;
    } cases[] = {
        {"fd", 2048, 2049, "fd of 2048 samples (enough: 2049): the covariance is singular"},
        {"sfd", 5, 6, "singular"},
        {"fd_infinity", 128, 516, "does not fall as 1/samples"},
        {"kid", 128, 1000, "kid of 999 samples"},
        {"is", 1008, 40320, "too low"},
        {"coverage", 128, 1000, "precision, recall, density, coverage of 999"},
        {"precision", 128, 1000, "too high"},
        {"spectrum", 1, 100, "too large"},
    };
    char text[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct fs_metric *metric = fs_metric_find(cases[i].metric);
        assert_false(fs_metric_warning(metric, cases[i].enough, cases[i].dim, text, sizeof text));
        assert_true(fs_metric_warning(metric, cases[i].enough - 1, cases[i].dim, text, sizeof text));
        assert_non_null(strstr(text, cases[i].piece));
    }
    for (int i = 0; fs_metric_at(i); i++) { /* the defaults of a configuration are enough for all on fashion-cnn */
        const int64_t dim = strcmp(fs_metric_name(i), "is") == 0 ? 10 : 128;
        assert_false(fs_metric_warning(fs_metric_at(i), 5000, dim, text, sizeof text));
    }
}

/* --- values --- */

enum { N = 120, REFERENCE = 300, DIM = 6, CLASSES = 5, SIDE = 8 };

static float features[N * DIM], reference[REFERENCE * DIM], logits[N * CLASSES], pictures[N * SIDE * SIDE];
static double mean[DIM], root[DIM * DIM], power[SIDE / 2];
static struct fs_spectrum spectrum;
static const struct fs_moments moments = {DIM, mean, NULL, root, DIM};

/* As a metric sees them; what stands behind all taps but the logits is the same. */
static struct fs_evaluation evaluation(const char *name)
{
    const struct fs_metric *metric = fs_metric_find(name);
    const bool of_logits = metric->tap && strcmp(metric->tap, "logits") == 0;
    return (struct fs_evaluation){
        .metric = metric,
        .samples = {.n = N,
                    .dim = of_logits ? CLASSES : DIM,
                    .features = of_logits ? logits : features,
                    .sums = &spectrum},
        .reference = {.n = REFERENCE, .dim = DIM, .features = reference, .moments = &moments, .summary = power},
        .seed = 3};
}

static int setup(void **state)
{
    const double shift[DIM] = {0.5, 0, 0.2};
    test_gaussian_rows(1, N, DIM, shift, NULL, features);
    test_gaussian_rows(2, REFERENCE, DIM, NULL, NULL, reference);
    test_gaussian_rows(3, N, CLASSES, NULL, NULL, logits);
    test_gaussian_rows(4, N, SIDE * SIDE, NULL, NULL, pictures);
    for (int i = 0; i < DIM; i++) {
        root[i * DIM + i] = 1;
    }
    for (int b = 0; b < SIDE / 2; b++) {
        power[b] = 1.2;
    }
    good(fs_spectrum_create(SIDE, SIDE, 1, N, &spectrum, &error));
    good(fs_spectrum_add(&spectrum, pictures, N, &error));
    return test_one_blas_thread(state);
}

static int teardown(void **state)
{
    (void)state;
    fs_spectrum_destroy(&spectrum);
    return 0;
}

static void same(const char *name, double value, double low, double high)
{
    const struct fs_evaluation e = evaluation(name);
    struct fs_estimate estimate;
    good(fs_evaluate(&e, &estimate, NULL, &error));
    if (estimate.value != value || estimate.low != low || estimate.high != high) {
        fail_msg("%s: %g [%g, %g], expected %g [%g, %g]", name, estimate.value, estimate.low, estimate.high, value, low,
                 high);
    }
}

static void same_estimate(const char *name, const struct fs_estimate *expected)
{
    same(name, expected->value, expected->low, expected->high);
}

/* The rows that precision and its like are compared with: as many as there are samples, in their order. */
static void choose_rows(float *chosen)
{
    int64_t count = 0;
    for (int64_t row = 0; row < REFERENCE; row++) {
        if (fs_row_is_chosen(3, row, REFERENCE, count, N)) {
            memcpy(chosen + count++ * DIM, reference + row * DIM, DIM * sizeof *chosen);
        }
    }
    assert_int_equal(count, N);
}

static void each_is_its_own_function(void **state)
{
    (void)state;
    struct fs_statistics statistics;
    double covariance[DIM * DIM], value, low, high;
    struct fs_estimate estimate;
    struct fs_kid kid;
    struct fs_prdc prdc;
    float chosen[N * DIM];
    good(fs_statistics_create(DIM, &statistics, &error));
    fs_statistics_add(&statistics, features, N);
    good(fs_statistics_covariance(&statistics, covariance, &error));
    good(fs_frechet_from_root(DIM, mean, root, DIM, statistics.mean, covariance, &value, &error));
    good(fs_frechet_interval(DIM, features, N, mean, root, DIM, 100, 0.95, 3, &low, &high, &error));
    fs_statistics_destroy(&statistics);
    same("fd", value, low, high);
    same("sfd", value, low, high);
    good(fs_fid_infinity(DIM, features, N, mean, root, DIM, 0, NULL, &estimate, &error));
    same_estimate("fd_infinity", &estimate);
    good(fs_kid(DIM, features, N, reference, REFERENCE, 100, 1000, 3, NULL, &kid, &error));
    same_estimate("kid", &kid.estimate);
    good(fs_inception_score(CLASSES, logits, N, 10, &estimate, NULL, &error));
    same_estimate("is", &estimate);
    good(fs_spectrum_distance(&spectrum, power, &estimate, &error));
    same_estimate("spectrum", &estimate);
    choose_rows(chosen);
    good(fs_prdc(DIM, features, N, chosen, N, 3, 5, NULL, &prdc, &error));
    same_estimate("precision", &prdc.precision);
    same_estimate("recall", &prdc.recall);
    same_estimate("density", &prdc.density);
    same_estimate("coverage", &prdc.coverage);
}

/* With the offset on both sides "fd" is the authors' distance, which may be below 0. */
static void the_offset_is_the_authors(void **state)
{
    (void)state;
    struct fs_statistics statistics;
    struct fs_estimate estimate;
    double covariance[DIM * DIM], other[DIM * DIM], shifted[DIM * DIM], authors;
    good(fs_statistics_create(DIM, &statistics, &error));
    fs_statistics_add(&statistics, features, N);
    good(fs_statistics_covariance(&statistics, covariance, &error));
    for (int distant = 0; distant < 2; distant++) {
        struct fs_moments to = {DIM, distant ? mean : statistics.mean, NULL, shifted, 0};
        struct fs_evaluation e = evaluation("fd");
        e.reference.moments = &to;
        e.offset = FS_AUTHORS_OFFSET;
        for (int i = 0; i < DIM * DIM; i++) {
            other[i] = covariance[i] * (distant ? 2 : 1);
            shifted[i] = other[i] + (i % (DIM + 1) == 0 ? FS_AUTHORS_OFFSET : 0);
            to.trace += i % (DIM + 1) == 0 ? shifted[i] : 0;
        }
        double own[DIM * DIM];
        memcpy(own, shifted, sizeof own);
        good(fs_symmetric_root(DIM, own, shifted, &error));
        good(fs_evaluate(&e, &estimate, NULL, &error));
        good(fs_frechet_distance_authors(DIM, statistics.mean, covariance, to.mean, other, &authors, &error));
        assert_float_equal(estimate.value, authors, 1e-12);
        /* The same from both covariances alone, without an interval. */
        const struct fs_moments of = {DIM, statistics.mean, covariance, NULL, 0};
        e.samples.features = NULL;
        e.samples.moments = &of;
        to.covariance = other;
        good(fs_evaluate(&e, &estimate, NULL, &error));
        assert_true(estimate.value == authors && isnan(estimate.low) && isnan(estimate.high));
        assert_true(distant ? authors > 0.1 : fabs(authors + 2 * DIM * FS_AUTHORS_OFFSET) < 1e-12);
    }
    fs_statistics_destroy(&statistics);
}

/* A family is worked out once for all of it. */
static void what_is_known_of_a_family_is_taken(void **state)
{
    (void)state;
    struct fs_family_estimates known = {.family = fs_metric_find("recall")->family,
                                        .estimates = {{.value = 10}, {.value = 11}, {.value = 12}, {.value = 13}}};
    static const char *const names[] = {"precision", "recall", "density", "coverage"};
    struct fs_estimate estimate;
    for (int i = 0; i < 4; i++) {
        struct fs_evaluation e = evaluation(names[i]);
        e.known = &known;
        good(fs_evaluate(&e, &estimate, NULL, &error));
        assert_true(estimate.value == 10 + i);
    }
    struct fs_evaluation e = evaluation("kid");
    e.known = &known;
    good(fs_evaluate(&e, &estimate, NULL, &error));
    assert_true(estimate.value < 10); /* no part of it */
    known = (struct fs_family_estimates){0};
    e = evaluation("density");
    e.known = &known;
    good(fs_evaluate(&e, &estimate, NULL, &error));
    assert_true(estimate.value == known.estimates[2].value);
    assert_string_equal(known.family, "precision, recall, density, coverage");
}

static void a_spectrum_has_a_curve(void **state)
{
    (void)state;
    struct fs_evaluation e = evaluation("spectrum");
    struct fs_metric_curve curve;
    struct fs_estimate estimate;
    double standard_error;
    good(fs_evaluate(&e, &estimate, &curve, &error));
    assert_int_equal(curve.count, SIDE / 2);
    for (int b = 0; b < SIDE / 2; b++) {
        const struct fs_metric_point *point = &curve.points[b];
        assert_true(point->x == (b + 1.0) / SIDE && point->reference == power[b]);
        assert_true(point->value == fs_spectrum_power(&spectrum, b, &standard_error));
        assert_true(point->standard_error == standard_error);
    }
    free(curve.points);
    e = evaluation("fd");
    good(fs_evaluate(&e, &estimate, &curve, &error));
    assert_true(curve.count == 0 && !curve.points);
}

/* --- what every metric of the list must hold --- */

/* One side of `rows` rows or pictures: `far` moves the first feature by 100, and makes pictures three times as rough.
 */
struct stream {
    float features[REFERENCE * DIM], pictures[REFERENCE * SIDE * SIDE];
    struct fs_statistics statistics;
    struct fs_moments moments;
    void *sums;
    double summary[SIDE * SIDE];
};

static void fill(struct stream *stream, const struct fs_metric *metric, uint32_t seed, int64_t rows, bool far)
{
    const struct fs_picture_shape shape = {SIDE, SIDE, 1};
    const double shift[DIM] = {far ? 100 : 0};
    memset(stream, 0, sizeof *stream);
    test_gaussian_rows(seed, rows, DIM, shift, NULL, stream->features);
    test_gaussian_rows(seed + 100, rows, SIDE * SIDE, NULL, NULL, stream->pictures);
    for (int64_t i = 0; i < rows * SIDE * SIDE; i++) {
        stream->pictures[i] *= far ? 0.3F : 0.1F;
    }
    good(fs_statistics_create(DIM, &stream->statistics, &error));
    fs_statistics_add(&stream->statistics, stream->features, rows);
    good(fs_moments_create(DIM, &stream->moments, &error));
    good(fs_moments_fill(&stream->moments, &stream->statistics, 0, &error));
    if (metric->sums) {
        assert_true(metric->sums->summary_count(&shape) <= SIDE * SIDE);
        good(metric->sums->open(&shape, rows, &stream->sums, &error));
        good(metric->sums->add(stream->sums, stream->pictures, rows, &error));
        metric->sums->summarise(stream->sums, stream->summary);
    }
}

static void empty(struct stream *stream, const struct fs_metric *metric)
{
    fs_statistics_destroy(&stream->statistics);
    fs_moments_free(&stream->moments);
    if (metric->sums) {
        metric->sums->close(stream->sums);
    }
}

static double value_of(const struct fs_metric *metric, const struct stream *samples, int64_t n, const struct stream *to)
{
    const struct fs_evaluation e = {
        .metric = metric,
        .samples = {.n = n, .dim = DIM, .features = samples->features, .sums = samples->sums},
        .reference =
            {.n = REFERENCE, .dim = DIM, .features = to->features, .moments = &to->moments, .summary = to->summary},
        .seed = 5};
    struct fs_estimate estimate;
    struct fs_metric_curve curve;
    good(fs_evaluate(&e, &estimate, &curve, &error));
    free(curve.points);
    if (!isfinite(estimate.value) || !(estimate.low <= estimate.value) || !(estimate.value <= estimate.high)) {
        fail_msg("%s: %g [%g, %g]", metric->name, estimate.value, estimate.low, estimate.high);
    }
    return estimate.value;
}

/* It says what it needs and what is wrong with few samples, and shares no name. */
static void every_metric_is_described(void **state)
{
    (void)state;
    const unsigned all = FS_NEED_FEATURES | FS_NEED_MOMENTS | FS_NEED_PICTURES;
    const struct fs_metric *metric;
    char text[512];
    for (int i = 0; (metric = fs_metric_at(i)) != NULL; i++) {
        const unsigned needs = metric->needs[FS_OF_SAMPLES] | metric->needs[FS_OF_REFERENCE];
        assert_true(metric->needs[FS_OF_SAMPLES] != 0 && !(needs & ~all));
        assert_false(metric->needs[FS_OF_SAMPLES] & FS_NEED_MOMENTS);
        assert_true((needs & FS_NEED_PICTURES) == 0 || metric->sums != NULL);
        assert_true((metric->fid_name != NULL) == (metric->fid_label != NULL));
        assert_true(*metric->label && *metric->bias && metric->minimum >= 2);
        assert_true(metric->part >= 0 && metric->part < FS_METRIC_PARTS_MAX);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(fs_metric_name(k), metric->name);
            assert_string_not_equal(fs_metric_at(k)->label, metric->label);
        }
        const int64_t few = metric->enough(DIM) - 1;
        assert_true(few >= 1 && fs_metric_warning(metric, few, DIM, text, sizeof text));
        assert_non_null(strstr(text, metric->bias));
    }
}

/* It is defined from its minimum on, and tells samples of the reference's kind from others in the direction that it
 * says. */
static void every_metric_has_a_direction(void **state)
{
    (void)state;
    static struct stream to, near, far;
    const struct fs_metric *metric;
    for (int i = 0; (metric = fs_metric_at(i)) != NULL; i++) {
        fill(&to, metric, 20, REFERENCE, false);
        fill(&near, metric, 21, REFERENCE, false);
        fill(&far, metric, 22, REFERENCE, true);
        const double alike = value_of(metric, &near, REFERENCE, &to), apart = value_of(metric, &far, REFERENCE, &to);
        if (metric->larger_is_better ? alike <= apart : alike >= apart) {
            fail_msg("%s: %g of alike samples, %g of others", metric->name, alike, apart);
        }
        empty(&near, metric);
        fill(&near, metric, 23, metric->minimum, false);
        value_of(metric, &near, metric->minimum, &to);
        empty(&near, metric);
        empty(&far, metric);
        empty(&to, metric);
    }
}

/* Each row alike often, and exactly as many as are wanted. */
static void rows_are_chosen_evenly(void **state)
{
    (void)state;
    enum { ROWS = 20, WANTED = 7, DRAWS = 3000 };
    int counts[ROWS] = {0};
    for (uint32_t seed = 0; seed < DRAWS; seed++) {
        int64_t chosen = 0;
        for (int64_t row = 0; row < ROWS; row++) {
            const bool is = fs_row_is_chosen(seed, row, ROWS, chosen, WANTED);
            chosen += is;
            counts[row] += is;
        }
        assert_int_equal(chosen, WANTED);
    }
    for (int row = 0; row < ROWS; row++) { /* a deviation is 26 */
        assert_true(abs(counts[row] - DRAWS * WANTED / ROWS) < 110);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(taps),
        cmocka_unit_test(warnings),
        cmocka_unit_test(each_is_its_own_function),
        cmocka_unit_test(the_offset_is_the_authors),
        cmocka_unit_test(what_is_known_of_a_family_is_taken),
        cmocka_unit_test(a_spectrum_has_a_curve),
        cmocka_unit_test(every_metric_is_described),
        cmocka_unit_test(every_metric_has_a_direction),
        cmocka_unit_test(rows_are_chosen_evenly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
