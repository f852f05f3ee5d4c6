/* Scores: samples through an extractor against the training data. */
#include "harness/sample/score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/png.h"
#include "harness/sample/features.h"
#include "kernels/base/clock.h"
#include "kernels/base/memory.h"
#include "metrics/frechet.h"

_Static_assert(FS_PICTURE_SUMS_MAX >= FS_METRICS_MAX, "each metric of a configuration may want sums of its own");

/* Where the rows to score come from. */
struct source {
    struct fs_generator *generator; /* NULL: data */
    const struct fs_dataset *data;
};

/* Rows that are alike but for the metric, and what is made of their samples. */
struct batch {
    const struct fs_scoring *scoring;
    const struct source *source;
    struct fs_score_row *rows;
    int count;
    int64_t at_once;
    float *taps[FS_TAPS_MAX]; /* [samples, dim] */
    float *samples;           /* [at_once, dim] */
    uint8_t *pixels;          /* the same, or NULL */
    struct fs_picture_sums_set sums;
    double begin, drawn; /* seconds: when the batch began, what drawing took */
};

/* --- drawing --- */

static fs_status draw(const struct batch *b, int64_t first, int64_t n, struct fs_error *error)
{
    const struct fs_score_row *row = &b->rows[0];
    if (b->source->generator) {
        return fs_generate(b->source->generator, (uint32_t)row->noise_seed, first, n, (int)row->steps,
                           row->guidance_scale, b->samples, error);
    }
    fs_dataset_rows(b->source->data, first, n, b->samples);
    return FS_OK;
}

/* Sums are of what the extractor sees: where rounded to 8 bits, of these. */
static fs_status add_sums(struct batch *b, int64_t n, struct fs_error *error)
{
    const int64_t values = n * fs_dataset_dim(b->scoring->shape);
    for (int64_t i = 0; b->pixels && i < values; i++) {
        b->samples[i] = (float)fs_pixel(b->samples[i]) / 127.5F - 1.0F;
    }
    return fs_picture_sums_add(&b->sums, b->samples, n, error);
}

static void tell(const struct batch *b, const char *metric, int64_t done, int64_t of, double seconds)
{
    if (b->scoring->progress) {
        const struct fs_score_progress progress = {(int)b->rows[0].steps, metric, done, of, seconds};
        b->scoring->progress(b->scoring->owner, &progress);
    }
}

static fs_status draw_all(struct batch *b, bool *stopped, struct fs_error *error)
{
    const struct fs_scoring *scoring = b->scoring;
    const int64_t samples = b->rows[0].samples;
    bool any_tap = false;
    for (int k = 0; k < FS_TAPS_MAX; k++) {
        any_tap |= b->taps[k] != NULL;
    }
    for (int64_t first = 0; first < samples; first += b->at_once) {
        if (*scoring->stop) {
            *stopped = true;
            return FS_OK;
        }
        const int64_t n = samples - first < b->at_once ? samples - first : b->at_once;
        float *taps[FS_TAPS_MAX] = {0};
        for (int k = 0; k < scoring->extractor->tap_count; k++) {
            taps[k] = b->taps[k] ? b->taps[k] + first * scoring->extractor->taps[k].dim : NULL;
        }
        FS_TRY(draw(b, first, n, error));
        if (any_tap) {
            FS_TRY(fs_extract_samples(scoring->extractor, scoring->shape, b->samples, n, b->pixels, taps, error));
        }
        if (b->sums.count > 0) {
            FS_TRY(add_sums(b, n, error));
        }
        tell(b, NULL, first + n, samples, fs_seconds() - b->begin);
    }
    b->drawn = fs_seconds() - b->begin;
    return FS_OK;
}

/* --- metrics --- */

static void tell_metric(void *context, const char *metric, int64_t done, int64_t of)
{
    const struct batch *b = context;
    tell(b, metric, done, of, fs_seconds() - b->begin - b->drawn);
}

/* The curve behind the score, as the database keeps it. */
static fs_status keep_curve(const struct fs_metric_curve *curve, struct fs_score_row *row, struct fs_error *error)
{
    row->spectrum = fs_allocate((size_t)curve->count, sizeof *row->spectrum, "a spectrum", error);
    if (!row->spectrum) {
        return FS_FAILED;
    }
    row->spectrum_count = curve->count;
    for (int i = 0; i < curve->count; i++) {
        const struct fs_metric_point *point = &curve->points[i];
        row->spectrum[i] = (struct fs_spectrum_point){point->x, point->value, point->standard_error, point->reference};
    }
    return FS_OK;
}

static fs_status tap_of(const struct batch *b, const struct fs_metric *metric, int *tap, struct fs_error *error)
{
    *tap = 0;
    return fs_metric_is_of_pictures(metric) ? FS_OK : fs_metric_tap(metric, b->scoring->extractor, tap, error);
}

static fs_status evaluate_row(struct batch *b, struct fs_score_row *row, struct fs_family_estimates *known,
                              struct fs_error *error)
{
    const struct fs_extractor *extractor = b->scoring->extractor;
    const struct fs_metric *metric = fs_metric_find(row->metric);
    const struct fs_metric_watch watch = {tell_metric, b};
    const double begin = fs_seconds();
    struct fs_estimate estimate = {0};
    struct fs_metric_curve curve;
    int tap;
    FS_TRY(tap_of(b, metric, &tap, error));
    const struct fs_evaluation e = {
        .metric = metric,
        .samples = {.n = row->samples,
                    .dim = extractor->taps[tap].dim,
                    .features = b->taps[tap],
                    .sums = fs_picture_sums_of(&b->sums, metric->sums)},
        .reference = fs_reference_side(b->scoring->reference, metric, tap),
        .seed = (uint32_t)row->noise_seed,
        .offset = extractor->resize == FS_RESIZE_AUTHORS ? FS_AUTHORS_OFFSET : 0,
        .watch = &watch,
        .known = known,
    };
    fs_status status = fs_evaluate(&e, &estimate, &curve, error);
    if (status == FS_OK && curve.count > 0) {
        status = keep_curve(&curve, row, error);
    }
    free(curve.points);
    row->value = estimate.value;
    row->low = estimate.low;
    row->high = estimate.high;
    row->seconds = b->drawn + fs_seconds() - begin;
    return status;
}

static fs_status evaluate(struct batch *b, bool *stopped, struct fs_error *error)
{
    struct fs_family_estimates known = {0};
    for (int i = 0; i < b->count && !*stopped; i++) {
        FS_TRY(evaluate_row(b, &b->rows[i], &known, error));
        *stopped = *b->scoring->stop && i + 1 < b->count;
    }
    return FS_OK;
}

/* --- the whole --- */

static fs_status batch_open(struct batch *b, struct fs_error *error)
{
    const struct fs_scoring *scoring = b->scoring;
    const struct fs_dataset *shape = scoring->shape;
    const size_t values = (size_t)(b->at_once * fs_dataset_dim(shape));
    b->samples = fs_allocate(values, sizeof(float), "samples", error);
    b->pixels = b->rows[0].quantize ? fs_allocate(values, 1, "samples", error) : NULL;
    if (!b->samples || (b->rows[0].quantize && !b->pixels)) {
        return FS_FAILED;
    }
    for (int i = 0; i < b->count; i++) {
        const struct fs_metric *metric = fs_metric_find(b->rows[i].metric);
        int tap;
        fs_picture_sums_want(&b->sums, metric->sums);
        FS_TRY(tap_of(b, metric, &tap, error));
        if (!fs_metric_is_of_pictures(metric) && !b->taps[tap]) {
            b->taps[tap] = fs_allocate((size_t)b->rows[0].samples,
                                       (size_t)scoring->extractor->taps[tap].dim * sizeof(float), "features", error);
            FS_TRY(b->taps[tap] ? FS_OK : FS_FAILED);
        }
    }
    const struct fs_picture_shape picture = {shape->height, shape->width, shape->channels};
    return fs_picture_sums_open(&b->sums, &picture, b->rows[0].samples, error);
}

static void batch_close(struct batch *b)
{
    for (int k = 0; k < FS_TAPS_MAX; k++) {
        free(b->taps[k]);
    }
    fs_picture_sums_close(&b->sums);
    free(b->pixels);
    free(b->samples);
}

static fs_status score(const struct fs_scoring *scoring, const struct source *source, struct fs_score_row *rows,
                       int count, bool *done, struct fs_error *error)
{
    struct batch b = {.scoring = scoring,
                      .source = source,
                      .rows = rows,
                      .count = count,
                      .at_once = source->generator ? source->generator->sampler.capacity : 512,
                      .begin = fs_seconds()};
    bool stopped = false;
    fs_status status = batch_open(&b, error);
    if (status == FS_OK) {
        status = draw_all(&b, &stopped, error);
    }
    if (status == FS_OK && !stopped) {
        status = evaluate(&b, &stopped, error);
    }
    batch_close(&b);
    *done = status == FS_OK && !stopped;
    return status;
}

fs_status fs_score_generator(const struct fs_scoring *scoring, struct fs_generator *generator,
                             struct fs_score_row *rows, int count, bool *done, struct fs_error *error)
{
    const struct source source = {.generator = generator};
    return score(scoring, &source, rows, count, done, error);
}

fs_status fs_score_data(const struct fs_scoring *scoring, const struct fs_dataset *data, struct fs_score_row *rows,
                        int count, bool *done, struct fs_error *error)
{
    const struct source source = {.data = data};
    return score(scoring, &source, rows, count, done, error);
}
