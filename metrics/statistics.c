/* Mean and covariance of features, streamed in blocks and merged, in double. Each block is taken relative to the
 * running mean and centred on its own before it is squared, so that a large mean cancels nothing. The blocks are cut
 * by position in the stream: whether the rows came one by one or all at once changes no bit. */
#include "metrics/statistics.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

#define BLOCK_ROWS 256

fs_status fs_statistics_create(int64_t dim, struct fs_statistics *statistics, struct fs_error *error)
{
    *statistics = (struct fs_statistics){.dim = dim};
    if (dim < 1 || dim > INT32_MAX) {
        return fs_fail(error, FS_USAGE, "statistics of %lld-dimensional features: expected 1 dimension or more",
                       (long long)dim);
    }
    const size_t width = (size_t)dim;
    statistics->mean = fs_allocate(width, sizeof(double), "a mean of features", error);
    statistics->comoment = fs_allocate(width, width * sizeof(double), "a covariance of features", error);
    statistics->buffer = fs_allocate(BLOCK_ROWS + 1, width * sizeof(double), "a block of features", error);
    if (!statistics->mean || !statistics->comoment || !statistics->buffer) {
        fs_statistics_destroy(statistics);
        return FS_FAILED;
    }
    return FS_OK;
}

void fs_statistics_destroy(struct fs_statistics *statistics)
{
    free(statistics->mean);
    free(statistics->comoment);
    free(statistics->buffer);
    *statistics = (struct fs_statistics){0};
}

/* `before` rows around the mean are joined by `added` rows whose mean is delta away: the mean moves, and the upper
 * triangle of the comoment receives what lies between the two means. */
static void join(struct fs_statistics *statistics, int64_t before, int64_t added, const double *delta)
{
    const int dim = (int)statistics->dim;
    const double share = (double)added / (double)(before + added);
    cblas_dsyr(CblasRowMajor, CblasUpper, dim, (double)before * share, delta, 1, statistics->comoment, dim);
    cblas_daxpy(dim, share, delta, 1, statistics->mean, 1);
}

/* The waiting rows become part of mean and comoment. */
static void flush(struct fs_statistics *statistics)
{
    const int64_t rows = statistics->buffered, before = statistics->count - rows, dim = statistics->dim;
    double *mean = statistics->mean, *buffer = statistics->buffer, *delta = buffer + BLOCK_ROWS * dim;
    if (rows == 0) {
        return;
    }
    if (before == 0) {
        memcpy(mean, buffer, (size_t)dim * sizeof *mean); /* any row is a better origin than zero */
    }
    memset(delta, 0, (size_t)dim * sizeof *delta);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < dim; j++) {
            buffer[row * dim + j] -= mean[j];
            delta[j] += buffer[row * dim + j];
        }
    }
    cblas_dscal((int)dim, 1 / (double)rows, delta, 1);
    for (int64_t row = 0; row < rows; row++) {
        cblas_daxpy((int)dim, -1, delta, 1, buffer + row * dim, 1);
    }
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)dim, (int)rows, 1, buffer, (int)dim, 1,
                statistics->comoment, (int)dim);
    join(statistics, before, rows, delta);
    statistics->buffered = 0;
}

void fs_statistics_add(struct fs_statistics *statistics, const float *features, int64_t n)
{
    const int64_t dim = statistics->dim;
    for (int64_t row = 0; row < n; row++) {
        double *slot = statistics->buffer + statistics->buffered * dim;
        for (int64_t j = 0; j < dim; j++) {
            slot[j] = features[row * dim + j];
        }
        statistics->count++;
        if (++statistics->buffered == BLOCK_ROWS) {
            flush(statistics);
        }
    }
}

fs_status fs_statistics_covariance(struct fs_statistics *statistics, double *covariance, struct fs_error *error)
{
    const int64_t dim = statistics->dim;
    flush(statistics);
    if (statistics->count < 2) {
        return fs_fail(error, FS_FAILED, "a covariance needs at least 2 rows of features, there are %lld",
                       (long long)statistics->count);
    }
    for (int64_t i = 0; i < dim; i++) {
        for (int64_t j = i; j < dim; j++) {
            const double comoment = statistics->comoment[i * dim + j];
            statistics->comoment[j * dim + i] = comoment;
            covariance[i * dim + j] = covariance[j * dim + i] = comoment / (double)(statistics->count - 1);
        }
    }
    return FS_OK;
}
