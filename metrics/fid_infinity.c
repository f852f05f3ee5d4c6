/* FID extrapolated to infinite samples. */
#include "metrics/fid_infinity.h"

#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/base/memory.h"
#include "metrics/frechet.h"
#include "metrics/metric.h"

#define POINTS 4
#define BLOCK_ROWS 512

static double *allocate_matrix(int64_t rows, int64_t cols, struct fs_error *error)
{
    return fs_allocate((size_t)rows, (size_t)cols * sizeof(double), "a matrix for the Fréchet distance", error);
}

/* --- the influence of a row --- */

/* How the distance d² = |μ − μr|² + tr Σ + tr Σr − 2·tr (R Σ R)^½, R = Σr^½, answers to one row more (its influence
 * function; Hampel 1974). Write M = R·Σ·R. As M^½·M^½ = M, d tr M^½ = ½·tr(M^−½·dM), and dM = R·dΣ·R, so
 *
 *     d(d²) = 2·(μ − μr)·dμ + tr(D·dΣ),    D = I − R·M^−½·R.
 *
 * A row x that gets a weight of ε moves dμ = ε·(x − μ) and dΣ = ε·((x − μ)(x − μ)ᵀ − Σ), so
 *
 *     influence(x) = 2·(μ − μr)·(x − μ) + (x − μ)ᵀ·D·(x − μ) − tr(D·Σ),
 *
 * with mean 0 over the rows. To first order d² of n rows errs by the mean of n influences: its variance is theirs over
 * n. Where M is singular, M^−½ is taken on the rest: in the directions that are left out no row differs from μ.
 *
 * D to `difference`, which may not be `sigma`. work: [2·dim + 1, dim]. */
static fs_status transport_difference(int64_t dim, const double *sigma, const double *root, double *work,
                                      double *difference, struct fs_error *error)
{
    const int n = (int)dim;
    double *product = work, *vectors = work + dim * dim, *eigenvalues = work + 2 * dim * dim;
    cblas_dsymm(CblasRowMajor, CblasLeft, CblasUpper, n, n, 1, sigma, n, root, n, 0, product, n);
    cblas_dsymm(CblasRowMajor, CblasLeft, CblasUpper, n, n, 1, root, n, product, n, 0, vectors, n);
    const lapack_int info = LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'U', n, vectors, n, eigenvalues);
    if (info != 0) {
        return fs_fail(error, FS_FAILED, "Fréchet distance: LAPACK's dsyevd gave %d for a %d × %d matrix", (int)info, n,
                       n);
    }
    const double zero = 16 * (double)dim * DBL_EPSILON * eigenvalues[dim - 1];
    for (int64_t i = 0; i < dim; i++) {
        cblas_dscal(n, eigenvalues[i] > zero ? sqrt(sqrt(1 / eigenvalues[i])) : 0, vectors + i, n);
    }
    cblas_dsymm(CblasRowMajor, CblasLeft, CblasUpper, n, n, 1, root, n, vectors, n, 0, product, n);
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, n, n, -1, product, n, 0, difference, n);
    for (int64_t i = 0; i < dim; i++) {
        difference[i * dim + i] += 1;
    }
    return FS_OK;
}

/* The variance of the rows' influences; tr(D·Σ), the same for all, is left out, as it does not move the variance. work:
 * [2·BLOCK_ROWS + 1, dim]. */
static double influence_variance(int64_t dim, const float *features, int64_t n, const double *mu,
                                 const double *reference_mu, const double *difference, double *work)
{
    double *rows = work, *moved = work + BLOCK_ROWS * dim, *shift = work + 2 * BLOCK_ROWS * dim;
    double sum = 0, squares = 0;
    for (int64_t j = 0; j < dim; j++) {
        shift[j] = 2 * (mu[j] - reference_mu[j]);
    }
    for (int64_t first = 0; first < n; first += BLOCK_ROWS) {
        const int64_t count = n - first < BLOCK_ROWS ? n - first : BLOCK_ROWS;
        for (int64_t i = 0; i < count; i++) {
            for (int64_t j = 0; j < dim; j++) {
                rows[i * dim + j] = (double)features[(first + i) * dim + j] - mu[j];
            }
        }
        cblas_dsymm(CblasRowMajor, CblasRight, CblasUpper, (int)count, (int)dim, 1, difference, (int)dim, rows,
                    (int)dim, 0, moved, (int)dim);
        for (int64_t i = 0; i < count; i++) {
            cblas_daxpy((int)dim, 1, shift, 1, moved + i * dim, 1);
            const double influence = cblas_ddot((int)dim, rows + i * dim, 1, moved + i * dim, 1);
            sum += influence;
            squares += influence * influence;
        }
    }
    return fmax(squares - sum * sum / (double)n, 0) / (double)(n - 1);
}

fs_status fs_frechet_deviation(int64_t dim, const float *features, int64_t n, const double *mu, const double *sigma,
                               const double *reference_mu, const double *reference_root, double *standard_error,
                               struct fs_error *error)
{
    if (n < 2) {
        return fs_fail(error, FS_USAGE, "Fréchet distance: a standard error needs 2 rows or more, got %lld",
                       (long long)n);
    }
    const int64_t rows = dim > BLOCK_ROWS ? dim : BLOCK_ROWS;
    double *work = allocate_matrix(2 * rows + 1, dim, error), *difference = allocate_matrix(dim, dim, error);
    fs_status status = work && difference ? FS_OK : FS_FAILED;
    if (status == FS_OK) {
        status = transport_difference(dim, sigma, reference_root, work, difference, error);
    }
    if (status == FS_OK) {
        *standard_error = sqrt(influence_variance(dim, features, n, mu, reference_mu, difference, work) / (double)n);
        if (!isfinite(*standard_error)) {
            status = fs_fail(error, FS_FAILED, "Fréchet distance: its standard error is not finite");
        }
    }
    free(work);
    free(difference);
    return status;
}

/* --- the line --- */

struct reference {
    const double *mu, *root;
    double trace, offset;
};

static fs_status distance_of(int64_t dim, const float *features, int64_t n, const struct reference *reference,
                             struct fs_statistics *statistics, double *covariance, double *distance,
                             struct fs_error *error)
{
    FS_TRY(fs_statistics_create(dim, statistics, error));
    fs_statistics_add(statistics, features, n);
    FS_TRY(fs_statistics_covariance(statistics, covariance, error));
    for (int64_t i = 0; i < dim; i++) {
        covariance[i * dim + i] += reference->offset;
    }
    FS_TRY(fs_frechet_from_root(dim, reference->mu, reference->root, reference->trace, statistics->mean, covariance,
                                distance, error));
    *distance -= 2 * (double)dim * reference->offset; /* as fs_frechet_distance_authors */
    return FS_OK;
}

/* The mean distance of `parts` groups of the rows. */
static fs_status mean_distance(int64_t dim, const float *features, int64_t n, int parts,
                               const struct reference *reference, double *covariance, double *mean,
                               struct fs_error *error)
{
    fs_status status = FS_OK;
    *mean = 0;
    for (int i = 0; status == FS_OK && i < parts; i++) {
        const int64_t first = n * i / parts, end = n * (i + 1) / parts;
        struct fs_statistics statistics = {0};
        double distance = 0;
        status =
            distance_of(dim, features + first * dim, end - first, reference, &statistics, covariance, &distance, error);
        *mean += distance / parts;
        fs_statistics_destroy(&statistics);
    }
    return status;
}

/* μ and Σ of n rows have errors of size 1/√n; those of first order are 0 in the mean, so the distance's bias is of
 * second order, b/n: E d²_n = d²_∞ + b/n (Chong & Forsyth 2020). distances[k − 1] is the mean over k groups of n/k
 * rows, at k in units of 1/n: this is the value at 0 of the least-squares line through the four points, which comes to
 * distances[0] + distances[1]/2 − distances[3]/2. All groups of a k have all rows between them, so to first order each
 * point errs by the same mean of influences, and as the line's weights add up to 1, so does its value at 0: the
 * standard error of distances[0] is its own too. */
static double intercept(const double distances[POINTS])
{
    double mean_k = 0, mean = 0, slope = 0, squares = 0;
    for (int k = 1; k <= POINTS; k++) {
        mean_k += (double)k / POINTS;
        mean += distances[k - 1] / POINTS;
    }
    for (int k = 1; k <= POINTS; k++) {
        slope += (k - mean_k) * (distances[k - 1] - mean);
        squares += (k - mean_k) * (k - mean_k);
    }
    return mean - slope / squares * mean_k;
}

static fs_status extrapolate(int64_t dim, const float *features, int64_t n, const struct reference *reference,
                             const struct fs_metric_watch *watch, double *covariance, struct fs_estimate *distance,
                             struct fs_error *error)
{
    struct fs_statistics all = {0};
    double distances[POINTS], deviation = 0;
    fs_status status = distance_of(dim, features, n, reference, &all, covariance, &distances[0], error);
    if (status == FS_OK) {
        status = fs_metric_progress(watch, "fd_infinity", 1, POINTS + 1, error);
    }
    if (status == FS_OK) {
        status = fs_frechet_deviation(dim, features, n, all.mean, covariance, reference->mu, reference->root,
                                      &deviation, error);
    }
    fs_statistics_destroy(&all);
    for (int parts = 2; status == FS_OK && parts <= POINTS; parts++) {
        status = fs_metric_progress(watch, "fd_infinity", parts, POINTS + 1, error);
        if (status == FS_OK) {
            status = mean_distance(dim, features, n, parts, reference, covariance, &distances[parts - 1], error);
        }
    }
    if (status == FS_OK) {
        status = fs_metric_progress(watch, "fd_infinity", POINTS + 1, POINTS + 1, error);
    }
    if (status == FS_OK) {
        *distance = fs_estimate_student(intercept(distances), deviation, (double)(n - 1));
    }
    return status;
}

fs_status fs_fid_infinity(int64_t dim, const float *features, int64_t n, const double *reference_mu,
                          const double *reference_root, double reference_trace, double offset,
                          const struct fs_metric_watch *watch, struct fs_estimate *distance, struct fs_error *error)
{
    if (n < (int64_t)2 * POINTS) {
        return fs_fail(error, FS_USAGE, "fd_infinity: expected %d samples or more, got %lld", 2 * POINTS, (long long)n);
    }
    const struct reference reference = {reference_mu, reference_root, reference_trace, offset};
    double *covariance = allocate_matrix(dim, dim, error);
    if (!covariance) {
        return FS_FAILED;
    }
    const fs_status status = extrapolate(dim, features, n, &reference, watch, covariance, distance, error);
    free(covariance);
    return status;
}

/* --- the metric --- */

static fs_status evaluate(const struct fs_evaluation *e, struct fs_estimate *estimate, struct fs_metric_curve *curve,
                          struct fs_error *error)
{
    const struct fs_moments *to = e->reference.moments;
    (void)curve;
    return fs_fid_infinity(e->samples.dim, e->samples.features, e->samples.n, to->mean, to->root, to->trace, e->offset,
                           e->watch, estimate, error);
}

static int64_t enough(int64_t dim)
{
    return POINTS * (dim + 1);
}

const struct fs_metric fs_metric_fd_infinity = {
    .name = "fd_infinity",
    .fid_name = "fid_infinity",
    .label = "FD∞",
    .fid_label = "FID∞",
    .needs = {FS_NEED_FEATURES, FS_NEED_MOMENTS},
    .minimum = (int64_t)2 * POINTS,
    .enough = enough,
    .bias = "quarters of the samples have fewer rows than dimensions, where the bias does not fall as 1/samples: too "
            "much of it stays",
    .evaluate = evaluate,
};
