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
    struct fs_comm *comm;
    int64_t at_once;          /* samples that a rank draws at a time */
    float *taps[FS_TAPS_MAX]; /* [samples, dim]; of other ranks than 0 [at_once, dim] */
    float *latents;           /* [at_once, dim of a latent]; NULL without a decoder */
    float *samples;           /* [at_once, dim]; of rank 0, where sums are wanted, of all ranks */
    uint8_t *pixels;          /* [at_once, dim], or NULL */
    struct fs_picture_sums_set sums;
    double begin, drawn; /* seconds: when the batch began, what drawing took */
};

/* --- drawing --- */

/* How many samples a rank draws from `first` on. */
static int64_t rows_at(const struct batch *b, int64_t first)
{
    const int64_t left = b->request->samples - first;
    return left < 0 ? 0 : left < b->at_once ? left : b->at_once;
}

/* Where the features of sample `first` are; those of other ranks than 0 stay for a round only. */
static float *tap_rows(const struct batch *b, int tap, int64_t first)
{
    const int64_t row = b->comm->rank == 0 ? first : 0;
    return b->taps[tap] ? b->taps[tap] + row * b->scoring->extractor->taps[tap].dim : NULL;
}

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
static fs_status add_sums(struct batch *b, float *samples, int64_t n, struct fs_error *error)
{
    const int64_t values = n * fs_shape_dim(b->scoring->shape);
    for (int64_t i = 0; b->pixels && i < values; i++) {
        samples[i] = (float)fs_pixel(samples[i]) / 127.5F - 1.0F;
    }
    return fs_picture_sums_add(&b->sums, samples, n, error);
}

static void tell(const struct batch *b, const char *metric, int64_t done, int64_t of, double seconds)
{
    if (b->scoring->progress && b->comm->rank == 0) {
        const struct fs_score_progress progress = {b->request->steps, metric, done, of, seconds};
        b->scoring->progress(b->scoring->owner, &progress);
    }
}

/* Draws samples first … first + n − 1 and brings them through the extractor. */
static fs_status draw_mine(struct batch *b, int64_t first, int64_t n, struct fs_error *error)
{
    const struct fs_scoring *scoring = b->scoring;
    float *taps[FS_TAPS_MAX] = {0};
    bool any_tap = false;
    for (int k = 0; k < scoring->extractor->tap_count; k++) {
        taps[k] = tap_rows(b, k, first);
        any_tap |= taps[k] != NULL;
    }
    FS_TRY(draw(b, first, n, error));
    return any_tap ? fs_extract_samples(scoring->extractor, scoring->shape, b->samples, n, b->pixels, taps, error)
                   : FS_OK;
}

/* What ranks have drawn of the samples first …, at_once each in their order, to rank 0. */
static fs_status collect(struct batch *b, int64_t first, struct fs_error *error)
{
    struct fs_comm *comm = b->comm;
    const int64_t mine = first + comm->rank * b->at_once;
    size_t rows[FS_RANKS_MAX] = {0}, sizes[FS_RANKS_MAX];
    for (int r = 0; r < comm->size; r++) {
        rows[r] = (size_t)rows_at(b, first + r * b->at_once);
    }
    for (int k = 0; k < b->scoring->extractor->tap_count; k++) {
        for (int r = 0; r < comm->size; r++) {
            sizes[r] = rows[r] * (size_t)b->scoring->extractor->taps[k].dim * sizeof(float);
        }
        if (b->taps[k]) {
            comm->gather(comm, tap_rows(b, k, mine), tap_rows(b, k, first), sizes);
        }
    }
    if (b->sums.count == 0) {
        return FS_OK;
    }
    const int64_t dim = fs_shape_dim(b->scoring->shape);
    for (int r = 0; r < comm->size; r++) {
        sizes[r] = rows[r] * (size_t)dim * sizeof(float);
    }
    comm->gather(comm, b->samples, b->samples, sizes);
    for (int r = 0; comm->rank == 0 && r < comm->size; r++) { /* a batch at a time, as in one process */
        FS_TRY(rows[r] > 0 ? add_sums(b, b->samples + r * b->at_once * dim, (int64_t)rows[r], error) : FS_OK);
    }
    return FS_OK;
}

/* Rounds of `at_once` samples a rank: the same batches go through the network as in one process, so that features have
 * the same bits. */
static fs_status draw_all(struct batch *b, bool *stopped, struct fs_error *error)
{
    struct fs_comm *comm = b->comm;
    const int64_t samples = b->request->samples, a_round = b->at_once * comm->size;
    for (int64_t first = 0; first < samples; first += a_round) {
        if (fs_comm_any(comm, *b->scoring->stop)) {
            *stopped = true;
            return FS_OK;
        }
        const int64_t mine = first + comm->rank * b->at_once, n = rows_at(b, mine);
        fs_status status = n > 0 ? draw_mine(b, mine, n, error) : FS_OK;
        FS_TRY(fs_comm_agree(comm, status, error));
        FS_TRY(fs_comm_agree(comm, collect(b, first, error), error));
        tell(b, NULL, first + a_round < samples ? first + a_round : samples, samples, fs_seconds() - b->begin);
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
    const bool helps = b->comm->rank > 0;
    for (int i = 0; i < b->request->metric_count; i++) {
        fs_picture_sums_want(&b->sums, b->request->metrics[i]->sums);
    }
    const size_t ranks = !helps && b->sums.count > 0 ? (size_t)b->comm->size : 1;
    b->samples = fs_allocate(values * ranks, sizeof(float), "samples", error);
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
        FS_TRY(tap_of(b, metric, &tap, error));
        if (!fs_metric_is_of_pictures(metric) && !b->taps[tap]) {
            b->taps[tap] = fs_allocate((size_t)(helps ? b->at_once : b->request->samples),
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
                      .comm = scoring->comm ? scoring->comm : fs_comm_single(),
                      .at_once = request->generator ? request->generator->sampler.capacity
                                 : scoring->decoder ? DECODED_AT_ONCE
                                                    : DATA_AT_ONCE,
                      .begin = fs_seconds()};
    bool stopped = false;
    fs_status status = fs_comm_agree(b.comm, batch_open(&b, error), error);
    if (status == FS_OK) {
        status = draw_all(&b, &stopped, error);
    }
    if (status == FS_OK && !stopped && b.comm->rank == 0) {
        status = evaluate(&b, &stopped, error);
    }
    batch_close(&b);
    *done = status == FS_OK && !stopped;
    return status;
}
