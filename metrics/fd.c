/* The metrics fd and sfd: the Fréchet distance of an extractor's first tap, and of spatial features. FID and sFID with
 * the weights of 2015. */
#include <math.h>
#include <stdlib.h>

#include "kernels/base/memory.h"
#include "metrics/fid_infinity.h"
#include "metrics/frechet.h"
#include "metrics/metric.h"

#define RESAMPLES 100
/* Up to this many dimensions the interval is a bootstrap's, beyond it the one of the influence function
 * (fid_infinity.h), which agrees and takes one eigendecomposition. */
#define BOOTSTRAP_DIM_MAX 512

/* Mean and covariance of the samples are all that is known of them. */
static fs_status of_moments(const struct fs_evaluation *e, struct fs_estimate *estimate, struct fs_error *error)
{
    const struct fs_moments *a = e->samples.moments, *b = e->reference.moments;
    *estimate = (struct fs_estimate){.standard_error = NAN, .low = NAN, .high = NAN};
    return (e->offset > 0 ? fs_frechet_distance_authors : fs_frechet_distance)(a->dim, a->mean, a->covariance, b->mean,
                                                                               b->covariance, &estimate->value, error);
}

static fs_status with_interval(const struct fs_evaluation *e, const double *mean, const double *covariance,
                               struct fs_estimate *estimate, struct fs_error *error)
{
    const struct fs_moments *to = e->reference.moments;
    const float *features = e->samples.features;
    double standard_error, distance;
    FS_TRY(fs_frechet_from_root(to->dim, to->mean, to->root, to->trace, mean, covariance, &distance, error));
    *estimate = (struct fs_estimate){.value = distance, .standard_error = NAN};
    if (to->dim <= BOOTSTRAP_DIM_MAX) {
        FS_TRY(fs_frechet_interval(to->dim, features, e->samples.n, to->mean, to->root, to->trace, RESAMPLES,
                                   FS_INTERVAL_LEVEL, e->seed, &estimate->low, &estimate->high, error));
        estimate->low = fmin(estimate->low, distance); /* of equal pictures it has no width but for rounding */
        estimate->high = fmax(estimate->high, distance);
        return FS_OK;
    }
    FS_TRY(fs_frechet_deviation(to->dim, features, e->samples.n, mean, covariance, to->mean, to->root, &standard_error,
                                error));
    *estimate = fs_estimate_student(distance, standard_error, (double)(e->samples.n - 1));
    estimate->low = fmax(estimate->low, 0);
    return FS_OK;
}

static fs_status of_features(const struct fs_evaluation *e, struct fs_statistics *statistics, double *covariance,
                             struct fs_estimate *estimate, struct fs_error *error)
{
    const int64_t dim = e->samples.dim;
    const double outside = 2 * (double)dim * e->offset; /* the traces outside the root are those without it */
    fs_statistics_add(statistics, e->samples.features, e->samples.n);
    FS_TRY(fs_statistics_covariance(statistics, covariance, error));
    for (int64_t i = 0; i < dim; i++) {
        covariance[i * dim + i] += e->offset;
    }
    FS_TRY(with_interval(e, statistics->mean, covariance, estimate, error));
    estimate->value -= outside;
    estimate->low -= outside;
    estimate->high -= outside;
    return FS_OK;
}

static fs_status evaluate(const struct fs_evaluation *e, struct fs_estimate *estimate, struct fs_metric_curve *curve,
                          struct fs_error *error)
{
    (void)curve;
    if (!e->samples.features) {
        return of_moments(e, estimate, error);
    }
    const size_t dim = (size_t)e->samples.dim;
    struct fs_statistics statistics = {0};
    double *covariance = fs_allocate(dim, dim * sizeof *covariance, "a covariance", error);
    fs_status status = covariance ? fs_metric_progress(e->watch, e->metric->name, 0, 1, error) : FS_FAILED;
    if (status == FS_OK) {
        status = fs_statistics_create((int64_t)dim, &statistics, error);
    }
    if (status == FS_OK) {
        status = of_features(e, &statistics, covariance, estimate, error);
    }
    if (status == FS_OK) {
        status = fs_metric_progress(e->watch, e->metric->name, 1, 1, error);
    }
    fs_statistics_destroy(&statistics);
    free(covariance);
    return status;
}

/* Fewer rows than this span less than the space. */
static int64_t enough(int64_t dim)
{
    return dim + 1;
}

static const char bias[] = "the covariance is singular, and the distance much too large (its bias falls as 1/samples)";

const struct fs_metric fs_metric_fd = {
    .name = "fd",
    .fid_name = "fid",
    .label = "FD",
    .fid_label = "FID",
    .needs = {FS_NEED_FEATURES, FS_NEED_MOMENTS},
    .moments_suffice = true,
    .minimum = 2,
    .enough = enough,
    .bias = bias,
    .evaluate = evaluate,
};

const struct fs_metric fs_metric_sfd = {
    .name = "sfd",
    .fid_name = "sfid",
    .label = "sFD",
    .fid_label = "sFID",
    .tap = "spatial",
    .needs = {FS_NEED_FEATURES, FS_NEED_MOMENTS},
    .moments_suffice = true,
    .published_suffix = "_s", /* as guided-diffusion's reference batches have it */
    .minimum = 2,
    .enough = enough,
    .bias = bias,
    .evaluate = evaluate,
};
