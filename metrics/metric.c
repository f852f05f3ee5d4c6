/* The list of metrics, and one from features. */
#include "metrics/metric.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/base/random.h"
#include "metrics/fid_infinity.h"
#include "metrics/frechet.h"
#include "metrics/inception_score.h"
#include "metrics/kid.h"

#define RESAMPLES 100

static const struct fs_metric metrics[] = {
    {.name = "fd", .fid_name = "fid", .label = "FD", .fid_label = "FID", .minimum = 2},
    {.name = "kid", .label = "KID", .of_pairs = true, .minimum = 4},
    {.name = "is", .label = "IS", .tap = "logits", .larger_is_better = true, .minimum = FS_INCEPTION_SCORE_SPLITS},
    {.name = "fd_infinity", .fid_name = "fid_infinity", .label = "FD∞", .fid_label = "FID∞", .minimum = 8},
    {.name = "sfd", .fid_name = "sfid", .label = "sFD", .fid_label = "sFID", .tap = "spatial", .minimum = 2},
    {.name = "precision", .label = "precision", .of_pairs = true, .larger_is_better = true, .minimum = 12},
    {.name = "recall", .label = "recall", .of_pairs = true, .larger_is_better = true, .minimum = 12},
    {.name = "density", .label = "density", .of_pairs = true, .larger_is_better = true, .minimum = 12},
    {.name = "coverage", .label = "coverage", .of_pairs = true, .larger_is_better = true, .minimum = 12},
    {.name = "spectrum", .label = "spectral distance", .of_pictures = true, .minimum = FS_SPECTRUM_GROUPS},
};
#define METRICS ((int)(sizeof metrics / sizeof *metrics))

const struct fs_metric *fs_metric_at(int index)
{
    return index < METRICS ? &metrics[index] : NULL;
}

const char *fs_metric_name(int index)
{
    return index < METRICS ? metrics[index].name : NULL;
}

const struct fs_metric *fs_metric_find(const char *name)
{
    for (int i = 0; i < METRICS; i++) {
        const char *fid_name = metrics[i].fid_name;
        if (strcmp(metrics[i].name, name) == 0 || (fid_name && strcmp(fid_name, name) == 0)) {
            return &metrics[i];
        }
    }
    return NULL;
}

fs_status fs_metric_tap(const struct fs_metric *metric, const struct fs_extractor *extractor, int *tap,
                        struct fs_error *error)
{
    char names[256] = "";
    *tap = 0;
    if (!metric->tap) {
        return FS_OK;
    }
    for (int i = 0; i < extractor->tap_count; i++) {
        if (strncmp(extractor->taps[i].name, metric->tap, strlen(metric->tap)) == 0) {
            *tap = i;
            return FS_OK;
        }
        const size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", extractor->taps[i].name);
    }
    return fs_fail(error, FS_USAGE,
                   "evaluate.metrics: %s is made of an extractor's tap '%s', and %s has none (it has: %s): leave the "
                   "metric out, or choose another of evaluate.extractors",
                   metric->name, metric->tap, extractor->name, names);
}

/* --- the reference --- */

fs_status fs_moments_create(int64_t dim, struct fs_moments *moments, struct fs_error *error)
{
    *moments = (struct fs_moments){.dim = dim};
    moments->mean = fs_allocate((size_t)dim, sizeof(double), "a mean", error);
    moments->root = fs_allocate((size_t)dim, (size_t)dim * sizeof(double), "a covariance", error);
    return moments->mean && moments->root ? FS_OK : FS_FAILED;
}

void fs_moments_free(struct fs_moments *moments)
{
    free(moments->mean);
    free(moments->root);
    *moments = (struct fs_moments){0};
}

fs_status fs_moments_fill(struct fs_moments *moments, struct fs_statistics *statistics, double offset,
                          struct fs_error *error)
{
    const int64_t dim = moments->dim;
    double *covariance = fs_allocate((size_t)dim, (size_t)dim * sizeof *covariance, "a covariance", error);
    fs_status status = covariance ? fs_statistics_covariance(statistics, covariance, error) : FS_FAILED;
    if (status == FS_OK) {
        memcpy(moments->mean, statistics->mean, (size_t)dim * sizeof(double));
        moments->trace = 0;
        for (int64_t i = 0; i < dim; i++) {
            covariance[i * dim + i] += offset;
            moments->trace += covariance[i * dim + i];
        }
        status = fs_symmetric_root(dim, covariance, moments->root, error);
    }
    free(covariance);
    return status;
}

/* --- too few samples --- */

bool fs_metric_warning(const struct fs_metric *metric, int64_t n, int64_t dim, char *text, size_t size)
{
    const char *name = metric->name;
    const char *bias = "", *pairs = strcmp(name, "kid") == 0 ? name : "precision, recall, density, coverage";
    int64_t enough = 0;
    if (strcmp(name, "fd") == 0 || strcmp(name, "sfd") == 0) {
        enough = dim + 1;
        bias = "the covariance is singular, and the distance much too large (its bias falls as 1/samples)";
    } else if (strcmp(name, "fd_infinity") == 0) {
        enough = 4 * (dim + 1);
        bias =
            "quarters of the samples have fewer rows than dimensions, where the bias does not fall as 1/samples: too "
            "much of it stays";
    } else if (strcmp(name, "kid") == 0) {
        enough = FS_KID_SUBSET_ROWS;
        bias = "not biased, but the subsets are smaller than the usual 1000 and spread more";
    } else if (strcmp(name, "is") == 0) {
        enough = 4 * dim * FS_INCEPTION_SCORE_SPLITS;
        bias = "the splits are small for that many classes, and the score too low";
    } else if (metric->of_pairs) {
        enough = 1000;
        bias = "the balls around few features are large: precision and recall are too high, coverage is uncertain";
    } else if (metric->of_pictures) {
        enough = 100;
        bias = "the spectrum's noise adds to the distance, which is too large";
    }
    if (n >= enough) {
        return false;
    }
    snprintf(text, size, "%s of %" PRId64 " samples (enough: %" PRId64 "): %s", metric->of_pairs ? pairs : name, n,
             enough, bias);
    return true;
}

/* --- one metric --- */

static fs_status sample_statistics(const float *features, int64_t n, int64_t dim, struct fs_statistics *statistics,
                                   double *covariance, struct fs_error *error)
{
    FS_TRY(fs_statistics_create(dim, statistics, error));
    fs_statistics_add(statistics, features, n);
    return fs_statistics_covariance(statistics, covariance, error);
}

static fs_status distance_and_interval(const struct fs_evaluation *e, const struct fs_moments *to,
                                       const float *features, const double *mean, const double *covariance,
                                       struct fs_estimate *estimate, struct fs_error *error)
{
    double standard_error, distance;
    FS_TRY(fs_frechet_from_root(to->dim, to->mean, to->root, to->trace, mean, covariance, &distance, error));
    *estimate = (struct fs_estimate){.value = distance, .standard_error = NAN};
    if (to->dim <= FS_BOOTSTRAP_DIM_MAX) {
        FS_TRY(fs_frechet_interval(to->dim, features, e->n, to->mean, to->root, to->trace, RESAMPLES, FS_INTERVAL_LEVEL,
                                   e->seed, &estimate->low, &estimate->high, error));
        estimate->low = fmin(estimate->low, distance); /* of equal pictures it has no width but for rounding */
        estimate->high = fmax(estimate->high, distance);
        return FS_OK;
    }
    FS_TRY(fs_frechet_deviation(to->dim, features, e->n, mean, covariance, to->mean, to->root, &standard_error, error));
    *estimate = fs_estimate_student(distance, standard_error, (double)(e->n - 1));
    estimate->low = fmax(estimate->low, 0);
    return FS_OK;
}

static fs_status frechet(const struct fs_evaluation *e, const struct fs_moments *to, const float *features,
                         const char *name, struct fs_estimate *estimate, struct fs_error *error)
{
    struct fs_statistics statistics = {0};
    const size_t dim = (size_t)to->dim;
    double *covariance = fs_allocate(dim, dim * sizeof *covariance, "a covariance", error);
    fs_status status = covariance ? FS_OK : FS_FAILED;
    fs_metric_progress(e->watch, name, 0, 1);
    if (status == FS_OK) {
        status = sample_statistics(features, e->n, to->dim, &statistics, covariance, error);
    }
    for (size_t i = 0; i < dim && status == FS_OK; i++) {
        covariance[i * dim + i] += e->offset;
    }
    if (status == FS_OK) {
        status = distance_and_interval(e, to, features, statistics.mean, covariance, estimate, error);
        estimate->value -= 2 * (double)dim * e->offset; /* the traces outside the root are those without it */
        estimate->low -= 2 * (double)dim * e->offset;
        estimate->high -= 2 * (double)dim * e->offset;
        fs_metric_progress(e->watch, name, 1, 1);
    }
    fs_statistics_destroy(&statistics);
    free(covariance);
    return status;
}

bool fs_row_is_chosen(uint32_t seed, int64_t row, int64_t rows, int64_t chosen, int64_t wanted)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_SUBSETS, .step = 2};
    return fs_random_below(key, 0, (uint32_t)row, (uint32_t)(rows - row)) < wanted - chosen;
}

/* As many rows of the reference as there are samples; owned by the caller. */
static float *chosen_reference(const struct fs_evaluation *e, struct fs_error *error)
{
    const int64_t dim = e->moments->dim;
    float *rows = fs_allocate((size_t)e->n, (size_t)dim * sizeof *rows, "features of the reference", error);
    int64_t chosen = 0;
    for (int64_t row = 0; rows && row < e->reference_n; row++) {
        if (fs_row_is_chosen(e->seed, row, e->reference_n, chosen, e->n)) {
            memcpy(rows + chosen++ * dim, e->reference + row * dim, (size_t)dim * sizeof *rows);
        }
    }
    return rows;
}

static fs_status neighbours(struct fs_evaluation *e, struct fs_error *error)
{
    float *chosen = NULL;
    if (e->has_prdc) {
        return FS_OK;
    }
    if (e->reference_n > e->n) {
        chosen = chosen_reference(e, error);
        if (!chosen) {
            return FS_FAILED;
        }
    }
    const fs_status status =
        fs_prdc(e->moments->dim, e->features, e->n, chosen ? chosen : e->reference, chosen ? e->n : e->reference_n,
                FS_PRECISION_NEAREST, FS_DENSITY_NEAREST, e->watch, &e->prdc, error);
    free(chosen);
    e->has_prdc = status == FS_OK;
    return status;
}

static fs_status one_of_prdc(struct fs_evaluation *e, const char *name, struct fs_estimate *estimate,
                             struct fs_error *error)
{
    FS_TRY(neighbours(e, error));
    *estimate = strcmp(name, "precision") == 0 ? e->prdc.precision
                : strcmp(name, "recall") == 0  ? e->prdc.recall
                : strcmp(name, "density") == 0 ? e->prdc.density
                                               : e->prdc.coverage;
    return FS_OK;
}

fs_status fs_evaluate(struct fs_evaluation *e, const struct fs_metric *metric, struct fs_estimate *estimate,
                      struct fs_error *error)
{
    const struct fs_moments *to = e->moments;
    if (strcmp(metric->name, "fd") == 0) {
        return frechet(e, to, e->features, metric->name, estimate, error);
    }
    if (strcmp(metric->name, "sfd") == 0) {
        return frechet(e, e->spatial_moments, e->spatial, metric->name, estimate, error);
    }
    if (strcmp(metric->name, "fd_infinity") == 0) {
        return fs_fid_infinity(to->dim, e->features, e->n, to->mean, to->root, to->trace, e->offset, e->watch, estimate,
                               error);
    }
    if (strcmp(metric->name, "is") == 0) {
        return fs_inception_score(e->classes, e->logits, e->n, FS_INCEPTION_SCORE_SPLITS, estimate, NULL, error);
    }
    if (strcmp(metric->name, "spectrum") == 0) {
        return fs_spectrum_distance(e->spectrum, e->reference_power, estimate, error);
    }
    if (strcmp(metric->name, "kid") == 0) {
        struct fs_kid kid;
        FS_TRY(fs_kid(to->dim, e->features, e->n, e->reference, e->reference_n, FS_KID_SUBSETS, FS_KID_SUBSET_ROWS,
                      e->seed, e->watch, &kid, error));
        *estimate = kid.estimate;
        return FS_OK;
    }
    return one_of_prdc(e, metric->name, estimate, error);
}
