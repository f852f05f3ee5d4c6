/* The Fréchet distance between two Gaussians, and how far it moves under resampling, with LAPACK in double. */
#include "metrics/frechet.h"

#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/base/random.h"

/* A computed eigenvalue is off by a few dim·ε·(largest); the factor leaves room for how Σ itself was rounded. */
#define ROUNDING_FACTOR 16

#define BLOCK_ROWS 512

static double *allocate_matrix(int64_t rows, int64_t cols, struct fs_error *error)
{
    return fs_allocate((size_t)rows, (size_t)cols * sizeof(double), "a matrix for the Fréchet distance", error);
}

static fs_status require_finite(const double *values, int64_t count, const char *what, struct fs_error *error)
{
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return fs_fail(error, FS_FAILED, "Fréchet distance: element %lld of %s is not finite", (long long)i, what);
        }
    }
    return FS_OK;
}

static fs_status require_covariance(int64_t dim, const double *sigma, struct fs_error *error)
{
    double largest = 0, asymmetry = 0;
    FS_TRY(require_finite(sigma, dim * dim, "a covariance", error));
    for (int64_t i = 0; i < dim; i++) {
        for (int64_t j = 0; j <= i; j++) {
            largest = fmax(largest, fmax(fabs(sigma[i * dim + j]), fabs(sigma[j * dim + i])));
            asymmetry = fmax(asymmetry, fabs(sigma[i * dim + j] - sigma[j * dim + i]));
        }
    }
    if (asymmetry > 1e-10 * largest) {
        return fs_fail(error, FS_FAILED,
                       "Fréchet distance: a covariance is not symmetric (off by %.3g, its largest element is %.3g)",
                       asymmetry, largest);
    }
    return FS_OK;
}

static double trace(int64_t dim, const double *matrix)
{
    double sum = 0;
    for (int64_t i = 0; i < dim; i++) {
        sum += matrix[i * dim + i];
    }
    return sum;
}

/* Eigenvalues in ascending order; with job 'V' the eigenvectors replace the matrix, as columns. `scale` is the size of
 * what the matrix was computed from, and so of its rounding: within that a negative eigenvalue is a zero. */
static fs_status eigen(char job, int64_t dim, double *matrix, double *eigenvalues, double scale, struct fs_error *error)
{
    const lapack_int info =
        LAPACKE_dsyevd(LAPACK_ROW_MAJOR, job, 'U', (lapack_int)dim, matrix, (lapack_int)dim, eigenvalues);
    if (info != 0) {
        return fs_fail(error, FS_FAILED, "Fréchet distance: LAPACK's dsyevd gave %d for a %lld × %lld matrix",
                       (int)info, (long long)dim, (long long)dim);
    }
    if (eigenvalues[0] < -ROUNDING_FACTOR * (double)dim * DBL_EPSILON * scale) {
        return fs_fail(error, FS_FAILED,
                       "Fréchet distance: an eigenvalue of %.6g (the largest: %.6g) is negative beyond rounding: this "
                       "is no covariance",
                       eigenvalues[0], eigenvalues[dim - 1]);
    }
    for (int64_t i = 0; i < dim; i++) {
        eigenvalues[i] = fmax(eigenvalues[i], 0);
    }
    return FS_OK;
}

static double largest_element(int64_t count, const double *values)
{
    return fabs(values[cblas_idamax((int)count, values, 1)]);
}

/* `size`: as eigen() has its scale. */
static fs_status symmetric_root(int64_t dim, const double *sigma, double size, double *root, struct fs_error *error)
{
    FS_TRY(require_covariance(dim, sigma, error));
    const int n = (int)dim;
    double *vectors = allocate_matrix(dim, dim, error), *eigenvalues = allocate_matrix(1, dim, error);
    fs_status status = vectors && eigenvalues ? FS_OK : FS_FAILED;
    if (status == FS_OK) {
        memcpy(vectors, sigma, (size_t)(dim * dim) * sizeof *vectors);
        status = eigen('V', dim, vectors, eigenvalues, size, error);
    }
    if (status == FS_OK) {
        /* Σ^½ = (V·Λ^¼)·(V·Λ^¼)ᵀ: symmetric by construction. */
        for (int64_t i = 0; i < dim; i++) {
            cblas_dscal(n, sqrt(sqrt(eigenvalues[i])), vectors + i, n);
        }
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, n, n, 1, vectors, n, 0, root, n);
        for (int64_t i = 0; i < dim; i++) {
            for (int64_t j = 0; j < i; j++) {
                root[i * dim + j] = root[j * dim + i];
            }
        }
    }
    free(vectors);
    free(eigenvalues);
    return status;
}

fs_status fs_symmetric_root(int64_t dim, const double *sigma, double *root, struct fs_error *error)
{
    /* The largest eigenvalue lies between the largest element and dim times it. */
    return symmetric_root(dim, sigma, largest_element(dim * dim, sigma), root, error);
}

/* The cross term of the distance between N(μ1, Σ1) and N(μ2, Σ2): with R = Σ1^½,
 *
 *     d² = |μ1 − μ2|² + tr Σ1 + tr Σ2 − 2·tr (R Σ2 R)^½
 *
 * (Dowson & Landau 1982). d² is the least E|x − y|² over all pairs (x, y) with these two laws: of pairs with cross
 * covariance C it is |μ1 − μ2|² + tr Σ1 + tr Σ2 − 2·tr C. With S = Σ2^½ their joint covariance is one where C = R·K·S
 * for some K with ‖K‖ ≤ 1, and the largest tr(R·K·S) = tr(K·S·R) of such K is the sum of the singular values of S·R
 * (von Neumann). Those are the roots of the eigenvalues of (S·R)ᵀ·(S·R) = R·Σ2·R.
 *
 * So the term is Σ √λ_i over the eigenvalues of one symmetric matrix: real and, but for rounding, not negative. The
 * usual matrix root of the product Σ1·Σ2 has the same eigenvalues, but that product is not symmetric, and its root may
 * come out complex where a covariance is singular. Three matrices of work space. `size`: of the numbers that Σ was
 * computed from, where these cancelled (all rows of a resample are equal: what is left is their rounding); else of Σ's
 * largest element. */
static fs_status trace_of_root(int64_t dim, const double *root, const double *sigma, double size, double *work,
                               double *result, struct fs_error *error)
{
    const int n = (int)dim;
    double *product = work, *sandwich = work + dim * dim, *eigenvalues = work + 2 * dim * dim;
    cblas_dsymm(CblasRowMajor, CblasLeft, CblasUpper, n, n, 1, sigma, n, root, n, 0, product, n);
    cblas_dsymm(CblasRowMajor, CblasLeft, CblasUpper, n, n, 1, root, n, product, n, 0, sandwich, n);
    for (int64_t i = 0; i < dim; i++) {
        for (int64_t j = i + 1; j < dim; j++) {
            sandwich[i * dim + j] = (sandwich[i * dim + j] + sandwich[j * dim + i]) / 2;
        }
    }
    /* The product is rounded at the size of its factors, which may be far above that of its eigenvalues: two sets
     * that vary along different axes. And Σ is judged beside the covariance that it is compared with, R² of the trace
     * |R|²: a set that hardly varies has no more than rounding in its covariance, which need not be positive. */
    const double root_size = cblas_dnrm2(n * n, root, 1), other = root_size * root_size;
    const double scale = other * fmax(size, other);
    FS_TRY(eigen('N', dim, sandwich, eigenvalues, scale, error));
    *result = 0;
    for (int64_t i = 0; i < dim; i++) {
        *result += sqrt(eigenvalues[i]);
    }
    return FS_OK;
}

/* The distance, its arguments being good. size2: as trace_of_root has it of Σ2. work: [2·dim + 1, dim]. */
static fs_status distance_from_root(int64_t dim, const double *mu1, const double *root1, double trace1,
                                    const double *mu2, const double *sigma2, double size2, double *work,
                                    double *distance, struct fs_error *error)
{
    double cross, between = 0;
    FS_TRY(trace_of_root(dim, root1, sigma2, size2, work, &cross, error));
    for (int64_t i = 0; i < dim; i++) {
        between += (mu1[i] - mu2[i]) * (mu1[i] - mu2[i]);
    }
    *distance = fmax(between + trace1 + trace(dim, sigma2) - 2 * cross, 0);
    if (!isfinite(*distance)) {
        return fs_fail(error, FS_FAILED, "Fréchet distance: the result is not finite");
    }
    return FS_OK;
}

fs_status fs_frechet_from_root(int64_t dim, const double *mu1, const double *root1, double trace1, const double *mu2,
                               const double *sigma2, double *distance, struct fs_error *error)
{
    FS_TRY(require_finite(mu1, dim, "a mean", error));
    FS_TRY(require_finite(mu2, dim, "a mean", error));
    FS_TRY(require_covariance(dim, root1, error));
    FS_TRY(require_covariance(dim, sigma2, error));
    double *work = allocate_matrix(2 * dim + 1, dim, error);
    if (!work) {
        return FS_FAILED;
    }
    const double size2 = largest_element(dim * dim, sigma2);
    const fs_status status = distance_from_root(dim, mu1, root1, trace1, mu2, sigma2, size2, work, distance, error);
    free(work);
    return status;
}

fs_status fs_frechet_distance(int64_t dim, const double *mu1, const double *sigma1, const double *mu2,
                              const double *sigma2, double *distance, struct fs_error *error)
{
    double *root = allocate_matrix(dim, dim, error);
    if (!root) {
        return FS_FAILED;
    }
    const double size = fmax(largest_element(dim * dim, sigma1), largest_element(dim * dim, sigma2));
    fs_status status = symmetric_root(dim, sigma1, size, root, error);
    if (status == FS_OK) {
        status = fs_frechet_from_root(dim, mu1, root, trace(dim, sigma1), mu2, sigma2, distance, error);
    }
    free(root);
    return status;
}

fs_status fs_frechet_distance_authors(int64_t dim, const double *mu1, const double *sigma1, const double *mu2,
                                      const double *sigma2, double *distance, struct fs_error *error)
{
    const double offset = FS_AUTHORS_OFFSET;
    double *both = allocate_matrix(2 * dim, dim, error);
    if (!both) {
        return FS_FAILED;
    }
    memcpy(both, sigma1, (size_t)(dim * dim) * sizeof *both);
    memcpy(both + dim * dim, sigma2, (size_t)(dim * dim) * sizeof *both);
    for (int64_t i = 0; i < dim; i++) {
        both[i * dim + i] += offset;
        both[(dim + i) * dim + i] += offset;
    }
    const fs_status status = fs_frechet_distance(dim, mu1, both, mu2, both + dim * dim, distance, error);
    *distance -= 2 * (double)dim * offset; /* the traces outside the root are those without it */
    free(both);
    return status;
}

/* --- resampling --- */

struct resampling {
    int64_t dim, n;
    const float *features;
    double *centre; /* [dim], the features' mean: the origin that the sums below are taken from */
    double *counts; /* [n], how often each row was drawn */
    double *block;  /* [BLOCK_ROWS, dim] */
    double *mean, *covariance, *work;
    double size;       /* of the sums of squares that the covariance is a difference of, a row */
    double *distances; /* [resamples] */
};

static void resampling_release(struct resampling *r)
{
    free(r->centre);
    free(r->counts);
    free(r->block);
    free(r->mean);
    free(r->covariance);
    free(r->work);
    free(r->distances);
}

static fs_status resampling_allocate(struct resampling *r, int resamples, struct fs_error *error)
{
    r->centre = allocate_matrix(1, r->dim, error);
    r->counts = allocate_matrix(1, r->n, error);
    r->block = allocate_matrix(BLOCK_ROWS, r->dim, error);
    r->mean = allocate_matrix(1, r->dim, error);
    r->covariance = allocate_matrix(r->dim, r->dim, error);
    r->work = allocate_matrix(2 * r->dim + 1, r->dim, error);
    r->distances = allocate_matrix(1, resamples, error);
    if (!r->centre || !r->counts || !r->block || !r->mean || !r->covariance || !r->work || !r->distances) {
        return FS_FAILED;
    }
    for (int64_t row = 0; row < r->n; row++) {
        for (int64_t j = 0; j < r->dim; j++) {
            r->centre[j] += (double)r->features[row * r->dim + j] / (double)r->n;
        }
    }
    return require_finite(r->centre, r->dim, "the features' mean", error);
}

/* Mean and covariance of the rows, each as often as it was drawn: rows times the root of their count, in blocks. */
static void weighted_statistics(struct resampling *r)
{
    const int64_t dim = r->dim;
    const int width = (int)dim;
    memset(r->mean, 0, (size_t)dim * sizeof *r->mean);
    memset(r->covariance, 0, (size_t)(dim * dim) * sizeof *r->covariance);
    for (int64_t row = 0; row < r->n;) {
        int filled = 0;
        for (; row < r->n && filled < BLOCK_ROWS; row++) {
            if (r->counts[row] == 0) {
                continue;
            }
            const double weight = sqrt(r->counts[row]);
            double *scaled = r->block + filled++ * dim;
            for (int64_t j = 0; j < dim; j++) {
                scaled[j] = weight * ((double)r->features[row * dim + j] - r->centre[j]);
            }
            cblas_daxpy(width, weight / (double)r->n, scaled, 1, r->mean, 1);
        }
        if (filled > 0) {
            cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, width, filled, 1, r->block, width, 1, r->covariance,
                        width);
        }
    }
    r->size = largest_element(dim * dim, r->covariance) / (double)(r->n - 1);
    cblas_dsyr(CblasRowMajor, CblasUpper, width, -(double)r->n, r->mean, 1, r->covariance, width);
    for (int64_t i = 0; i < dim; i++) {
        for (int64_t j = i; j < dim; j++) {
            r->covariance[j * dim + i] = r->covariance[i * dim + j] /= (double)(r->n - 1);
        }
        r->mean[i] += r->centre[i];
    }
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between the two nearest of the sorted values. */
static double quantile(const double *sorted, int count, double share)
{
    const double place = share * (count - 1);
    const int below = (int)place, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

static fs_status resample(struct resampling *r, const double *reference_mu, const double *reference_root,
                          double reference_trace, int resamples, uint32_t seed, double *score, struct fs_error *error)
{
    for (int64_t i = 0; i < r->n; i++) {
        r->counts[i] = 1;
    }
    weighted_statistics(r);
    FS_TRY(require_finite(r->covariance, r->dim * r->dim, "the features' covariance", error));
    FS_TRY(distance_from_root(r->dim, reference_mu, reference_root, reference_trace, r->mean, r->covariance, r->size,
                              r->work, score, error));
    for (int sample = 0; sample < resamples; sample++) {
        const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_RESAMPLING};
        memset(r->counts, 0, (size_t)r->n * sizeof *r->counts);
        for (int64_t i = 0; i < r->n; i++) {
            r->counts[fs_random_below(key, (uint32_t)sample, (uint32_t)i, (uint32_t)r->n)]++;
        }
        weighted_statistics(r);
        FS_TRY(distance_from_root(r->dim, reference_mu, reference_root, reference_trace, r->mean, r->covariance,
                                  r->size, r->work, &r->distances[sample], error));
    }
    return FS_OK;
}

fs_status fs_frechet_interval(int64_t dim, const float *features, int64_t n, const double *reference_mu,
                              const double *reference_root, double reference_trace, int resamples, double level,
                              uint32_t seed, double *low, double *high, struct fs_error *error)
{
    if (n < 2 || n > UINT32_MAX || resamples < 2 || !(level > 0 && level < 1)) {
        return fs_fail(error, FS_USAGE,
                       "bootstrap interval: expected 2 rows or more, 2 resamples or more and a level between 0 and 1, "
                       "got %lld, %d and %g",
                       (long long)n, resamples, level);
    }
    FS_TRY(require_finite(reference_mu, dim, "the reference's mean", error));
    FS_TRY(require_covariance(dim, reference_root, error));
    struct resampling r = {.dim = dim, .n = n, .features = features};
    double score = 0, mean = 0;
    fs_status status = resampling_allocate(&r, resamples, error);
    if (status == FS_OK) {
        status = resample(&r, reference_mu, reference_root, reference_trace, resamples, seed, &score, error);
    }
    if (status == FS_OK) {
        for (int i = 0; i < resamples; i++) {
            mean += r.distances[i] / resamples;
        }
        qsort(r.distances, (size_t)resamples, sizeof *r.distances, compare_doubles);
        *low = fmax(score + quantile(r.distances, resamples, (1 - level) / 2) - mean, 0);
        *high = score + quantile(r.distances, resamples, (1 + level) / 2) - mean;
    }
    resampling_release(&r);
    return status;
}
