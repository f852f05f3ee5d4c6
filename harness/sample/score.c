/* Scores: samples through an extractor against the training data. */
#include "harness/sample/score.h"

#include <stdlib.h>

#include "harness/data/png.h"
#include "harness/sample/features.h"
#include "kernels/base/clock.h"
#include "kernels/base/memory.h"
#include "metrics/frechet.h"

#define DATA_AT_ONCE 512   /* pictures that are there */
#define DECODED_AT_ONCE 32 /* of latents that are there */

_Static_assert(FS_PICTURE_SUMS_MAX >= FS_METRICS_MAX, "each metric of a configuration may want sums of its own");

/* A request under way, and what is made of its samples. */
struct batch {
    const struct fs_scoring *scoring;
    const struct fs_score_request *request;
    int64_t at_once;
    float *taps[FS_TAPS_MAX]; /* [samples, dim] */
    float *latents;           /* [at_once, dim of a latent]; NULL without a decoder */
    float *samples;           /* [at_once, dim] */
    uint8_t *pixels;          /* the same, or NULL */
    struct fs_picture_sums_set sums;
    double begin, drawn; /* seconds: when the batch began, what drawing took */
};

/* --- drawing --- */

static fs_status draw(const struct batch *b, int64_t first, int64_t n, struct fs_error *error)
{
    const struct fs_score_request *request = b->request;
    float *drawn = b->latents ? b->latents : b->samples;
    if (request->generator) {
        FS_TRY(fs_generate(request->generator, request->noise_seed, first, n, request->steps, request->guidance_scale,
                           drawn, error));
    } else {
        FS_TRY(fs_dataset_rows(request->data, first, n, drawn, error));
    }
    return b->latents ? fs_decode(b->scoring->decoder, b->latents, n, b->samples, error) : FS_OK;
}

/* Sums are of what the extractor sees: where rounded to 8 bits, of these. */
static fs_status add_sums(struct batch *b, int64_t n, struct fs_error *error)
{
    const int64_t values = n * fs_shape_dim(b->scoring->shape);
    for (int64_t i = 0; b->pixels && i < values; i++) {
        b->samples[i] = (float)fs_pixel(b->samples[i]) / 127.5F - 1.0F;
    }
    return fs_picture_sums_add(&b->sums, b->samples, n, error);
}

static void tell(const struct batch *b, const char *metric, int64_t done, int64_t of, double seconds)
{
    if (b->scoring->progress) {
        const struct fs_score_progress progress = {b->request->steps, metric, done, of, seconds};
        b->scoring->progress(b->scoring->owner, &progress);
    }
}

static fs_status draw_all(struct batch *b, bool *stopped, struct fs_error *error)
{
    const struct fs_scoring *scoring = b->scoring;
    const int64_t samples = b->request->samples;
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

static fs_status tap_of(const struct batch *b, const struct fs_metric *metric, int *tap, struct fs_error *error)
{
    *tap = 0;
    return fs_metric_is_of_pictures(metric) ? FS_OK : fs_metric_tap(metric, b->scoring->extractor, tap, error);
}

static fs_status evaluate_one(struct batch *b, int index, struct fs_family_estimates *known, struct fs_error *error)
{
    const struct fs_extractor *extractor = b->scoring->extractor;
    const struct fs_metric *metric = b->request->metrics[index];
    const struct fs_metric_watch watch = {tell_metric, b, b->scoring->stop};
    const double begin = fs_seconds();
    struct fs_metric_curve curve;
    struct fs_score_result result = {.metric = index, .curve = &curve};
    int tap;
    FS_TRY(tap_of(b, metric, &tap, error));
    const struct fs_evaluation e = {
        .metric = metric,
        .samples = {.n = b->request->samples,
                    .dim = extractor->taps[tap].dim,
                    .features = b->taps[tap],
                    .sums = fs_picture_sums_of(&b->sums, metric->sums)},
        .reference = fs_reference_side(b->scoring->reference, metric, tap),
        .seed = b->request->noise_seed,
        .offset = extractor->resize == FS_RESIZE_AUTHORS ? FS_AUTHORS_OFFSET : 0,
        .watch = &watch,
        .known = known,
    };
    fs_status status = fs_evaluate(&e, &result.estimate, &curve, error);
    if (status == FS_OK) {
        result.seconds = b->drawn + fs_seconds() - begin;
        status = b->scoring->result(b->scoring->owner, &result, error);
    }
    free(curve.points);
    return status;
}

static fs_status evaluate(struct batch *b, bool *stopped, struct fs_error *error)
{
    struct fs_family_estimates known = {0};
    for (int i = 0; i < b->request->metric_count && !*stopped; i++) {
        const fs_status status = evaluate_one(b, i, &known, error);
        if (status != FS_OK && status != FS_STOPPED) {
            return status;
        }
        *stopped = status == FS_STOPPED || (*b->scoring->stop && i + 1 < b->request->metric_count);
    }
    return FS_OK;
}

/* --- the whole --- */

static fs_status batch_open(struct batch *b, struct fs_error *error)
{
    const struct fs_scoring *scoring = b->scoring;
    const struct fs_data_shape *shape = scoring->shape;
    const size_t values = (size_t)(b->at_once * fs_shape_dim(shape));
    b->samples = fs_allocate(values, sizeof(float), "samples", error);
    b->pixels = b->request->quantize ? fs_allocate(values, 1, "samples", error) : NULL;
    if (!b->samples || (b->request->quantize && !b->pixels)) {
        return FS_FAILED;
    }
    if (scoring->decoder) {
        b->latents = fs_allocate((size_t)(b->at_once * fs_shape_dim(&scoring->decoder->latent)), sizeof(float),
                                 "latents", error);
        FS_TRY(b->latents ? FS_OK : FS_FAILED);
    }
    for (int i = 0; i < b->request->metric_count; i++) {
        const struct fs_metric *metric = b->request->metrics[i];
        int tap;
        fs_picture_sums_want(&b->sums, metric->sums);
        FS_TRY(tap_of(b, metric, &tap, error));
        if (!fs_metric_is_of_pictures(metric) && !b->taps[tap]) {
            b->taps[tap] = fs_allocate((size_t)b->request->samples,
                                       (size_t)scoring->extractor->taps[tap].dim * sizeof(float), "features", error);
            FS_TRY(b->taps[tap] ? FS_OK : FS_FAILED);
        }
    }
    const struct fs_picture_shape picture = {shape->height, shape->width, shape->channels};
    return fs_picture_sums_open(&b->sums, &picture, b->request->samples, error);
}

static void batch_close(struct batch *b)
{
    for (int k = 0; k < FS_TAPS_MAX; k++) {
        free(b->taps[k]);
    }
    fs_picture_sums_close(&b->sums);
    free(b->pixels);
    free(b->latents);
    free(b->samples);
}

fs_status fs_score(const struct fs_scoring *scoring, const struct fs_score_request *request, bool *done,
                   struct fs_error *error)
{
    struct batch b = {.scoring = scoring,
                      .request = request,
                      .at_once = request->generator ? request->generator->sampler.capacity
                                 : scoring->decoder ? DECODED_AT_ONCE
                                                    : DATA_AT_ONCE,
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
