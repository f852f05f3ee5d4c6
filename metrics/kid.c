/* KID over random subsets, in double. */
#include "metrics/kid.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/base/memory.h"
#include "kernels/base/random.h"
#include "metrics/metric.h"

#define ROWS_MIN 4 /* two halves of two rows */

static double cube(double product, double scale)
{
    const double value = product * scale + 1;
    return value * value * value;
}

static void to_double(const float *rows, int64_t count, double *out)
{
    for (int64_t i = 0; i < count; i++) {
        out[i] = (double)rows[i];
    }
}

/* The kernel's mean over different rows of x [n, dim]. products: [n, n] to work in. */
static double mean_within(int64_t dim, const double *x, int64_t n, double *products)
{
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, (int)n, (int)dim, 1, x, (int)dim, 0, products, (int)n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double row = 0;
        for (int64_t j = i + 1; j < n; j++) {
            row += cube(products[i * n + j], 1 / (double)dim);
        }
        sum += row;
    }
    return 2 * sum / ((double)n * (double)(n - 1));
}

static double mean_between(int64_t dim, const double *x, int64_t m, const double *y, int64_t n, double *products)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)dim, 1, x, (int)dim, y, (int)dim, 0,
                products, (int)n);
    double sum = 0;
    for (int64_t i = 0; i < m; i++) {
        double row = 0;
        for (int64_t j = 0; j < n; j++) {
            row += cube(products[i * n + j], 1 / (double)dim);
        }
        sum += row;
    }
    return sum / ((double)m * (double)n);
}

static fs_status mmd_of(int64_t dim, const double *x, int64_t m, const double *y, int64_t n, double *products,
                        double *mmd, struct fs_error *error)
{
    *mmd = mean_within(dim, x, m, products) + mean_within(dim, y, n, products) -
           2 * mean_between(dim, x, m, y, n, products);
    return isfinite(*mmd) ? FS_OK : fs_fail(error, FS_FAILED, "kid: a feature is not finite, or too large");
}

static fs_status check_shape(int64_t dim, int64_t m, int64_t n, struct fs_error *error)
{
    if (dim < 1 || dim > INT32_MAX || m < 2 || n < 2 || m > UINT32_MAX || n > UINT32_MAX) {
        return fs_fail(error, FS_USAGE, "kid: expected 2 rows of features or more on both sides, got %lld and %lld",
                       (long long)m, (long long)n);
    }
    return FS_OK;
}

fs_status fs_mmd_cubic(int64_t dim, const float *x, int64_t m, const float *y, int64_t n, double *mmd,
                       struct fs_error *error)
{
    FS_TRY(check_shape(dim, m, n, error));
    const int64_t larger = m > n ? m : n;
    double *rows = fs_allocate((size_t)(m + n), (size_t)dim * sizeof *rows, "features", error);
    double *products = fs_allocate((size_t)larger, (size_t)larger * sizeof *products, "a kernel", error);
    fs_status status = rows && products ? FS_OK : FS_FAILED;
    if (status == FS_OK) {
        to_double(x, m * dim, rows);
        to_double(y, n * dim, rows + m * dim);
        status = mmd_of(dim, rows, m, rows + m * dim, n, products, mmd, error);
    }
    free(rows);
    free(products);
    return status;
}

/* --- subsets --- */

/* Rows to draw from: a permutation of them, whose beginning is the current subset. */
struct pool {
    const float *features;
    uint32_t *order;
    int64_t n;
    uint32_t step; /* of the random key, so that two pools draw differently */
};

static fs_status pool_open(struct pool *pool, struct fs_error *error)
{
    pool->order = fs_allocate((size_t)pool->n, sizeof *pool->order, "an order of features", error);
    for (int64_t i = 0; pool->order && i < pool->n; i++) {
        pool->order[i] = (uint32_t)i;
    }
    return pool->order ? FS_OK : FS_FAILED;
}

/* The first `rows` steps of a Fisher–Yates shuffle; the drawn rows to out [rows, dim]. */
static void draw(struct pool *pool, uint32_t seed, uint32_t subset, int64_t rows, int64_t dim, double *out)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_SUBSETS, .step = pool->step};
    for (int64_t i = 0; i < rows; i++) {
        const int64_t other = i + fs_random_below(key, subset, (uint32_t)i, (uint32_t)(pool->n - i));
        const uint32_t row = pool->order[other];
        pool->order[other] = pool->order[i];
        pool->order[i] = row;
        to_double(pool->features + (int64_t)row * dim, dim, out + i * dim);
    }
}

static fs_status over_subsets(int64_t dim, struct pool pools[2], int subsets, int64_t rows, uint32_t seed,
                              const struct fs_metric_watch *watch, double *values, struct fs_error *error)
{
    double *x = fs_allocate((size_t)(2 * rows), (size_t)dim * sizeof *x, "subsets of features", error);
    double *products = fs_allocate((size_t)rows, (size_t)rows * sizeof *products, "a kernel", error);
    fs_status status = x && products ? FS_OK : FS_FAILED;
    for (int i = 0; status == FS_OK && i < subsets; i++) {
        draw(&pools[0], seed, (uint32_t)i, rows, dim, x);
        draw(&pools[1], seed, (uint32_t)i, rows, dim, x + rows * dim);
        status = mmd_of(dim, x, rows, x + rows * dim, rows, products, &values[i], error);
        if (status == FS_OK) {
            status = fs_metric_progress(watch, "kid", i + 1, subsets, error);
        }
    }
    free(x);
    free(products);
    return status;
}

/* The mean over the subsets, and its interval. To first order an estimate from b of n rows is a mean over them: if one
 * from independent rows has variance v/b, then, given the n rows, one from b that are drawn without putting back has
 * s² = v/b·(1 − b/n), which is what the subsets show. The error of the estimate from all n rows, v/n, is then
 * s²·b/(n − b) (subsampling: Politis, Romano & Wolf 1999; the delete-d jackknife of Shao & Wu 1989), and the mean of S
 * subsets lies s²/S about that one. n is that of the smaller set, b at most half of it. */
static void summarise(const double *values, int subsets, int64_t rows, int64_t smaller, struct fs_kid *kid)
{
    const struct fs_estimate mean = fs_estimate_mean(values, subsets);
    const double variance = mean.standard_error * mean.standard_error * subsets;
    const double of_data = (double)rows / (double)(smaller - rows);
    kid->estimate = fs_estimate_student(mean.value, sqrt(variance * (of_data + 1.0 / subsets)), subsets - 1);
    kid->subset_deviation = sqrt(variance * (subsets - 1) / subsets);
    kid->subset_rows = rows;
}

fs_status fs_kid(int64_t dim, const float *features, int64_t n, const float *reference, int64_t reference_n,
                 int subsets, int64_t subset_rows, uint32_t seed, const struct fs_metric_watch *watch,
                 struct fs_kid *kid, struct fs_error *error)
{
    FS_TRY(check_shape(dim, n, reference_n, error));
    const int64_t smaller = n < reference_n ? n : reference_n;
    if (smaller < ROWS_MIN || subsets < 2 || subset_rows < 2) {
        return fs_fail(error, FS_USAGE,
                       "kid: expected %d rows of features or more on both sides, got %lld and %lld, and 2 subsets or "
                       "more of 2 rows or more, got %d of %lld",
                       ROWS_MIN, (long long)n, (long long)reference_n, subsets, (long long)subset_rows);
    }
    const int64_t rows = subset_rows < smaller / 2 ? subset_rows : smaller / 2;
    struct pool pools[2] = {{.features = features, .n = n}, {.features = reference, .n = reference_n, .step = 1}};
    double *values = fs_allocate((size_t)subsets, sizeof *values, "the subsets' distances", error);
    fs_status status = values ? pool_open(&pools[0], error) : FS_FAILED;
    if (status == FS_OK) {
        status = pool_open(&pools[1], error);
    }
    if (status == FS_OK) {
        status = over_subsets(dim, pools, subsets, rows, seed, watch, values, error);
    }
    if (status == FS_OK) {
        summarise(values, subsets, rows, smaller, kid);
    }
    free(pools[0].order);
    free(pools[1].order);
    free(values);
    return status;
}

/* --- the metric --- */

static fs_status evaluate(const struct fs_evaluation *e, struct fs_estimate *estimate, struct fs_metric_curve *curve,
                          struct fs_error *error)
{
    struct fs_kid kid;
    (void)curve;
    FS_TRY(fs_kid(e->samples.dim, e->samples.features, e->samples.n, e->reference.features, e->reference.n,
                  FS_KID_SUBSETS, FS_KID_SUBSET_ROWS, e->seed, e->watch, &kid, error));
    *estimate = kid.estimate;
    return FS_OK;
}

static int64_t enough(int64_t dim)
{
    (void)dim;
    return FS_KID_SUBSET_ROWS;
}

const struct fs_metric fs_metric_kid = {
    .name = "kid",
    .label = "KID",
    .needs = {FS_NEED_FEATURES, FS_NEED_FEATURES},
    .minimum = ROWS_MIN,
    .enough = enough,
    .bias = "not biased, but the subsets are smaller than the usual 1000 and spread more",
    .evaluate = evaluate,
};
