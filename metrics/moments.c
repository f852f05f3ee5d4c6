/* Mean and covariance of features, ready for Fréchet distances to them. */
#include "metrics/moments.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "metrics/frechet.h"

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
    free(moments->covariance);
    free(moments->root);
    *moments = (struct fs_moments){0};
}

/* The offset is put onto the diagonal of a covariance that is the caller's own. */
static fs_status root_of(struct fs_moments *moments, double *covariance, double offset, struct fs_error *error)
{
    moments->trace = 0;
    for (int64_t i = 0; i < moments->dim; i++) {
        covariance[i * moments->dim + i] += offset;
        moments->trace += covariance[i * moments->dim + i];
    }
    return fs_symmetric_root(moments->dim, covariance, moments->root, error);
}

fs_status fs_moments_fill(struct fs_moments *moments, struct fs_statistics *statistics, double offset,
                          struct fs_error *error)
{
    const size_t dim = (size_t)moments->dim;
    double *covariance = fs_allocate(dim, dim * sizeof *covariance, "a covariance", error);
    fs_status status = covariance ? fs_statistics_covariance(statistics, covariance, error) : FS_FAILED;
    if (status == FS_OK) {
        memcpy(moments->mean, statistics->mean, dim * sizeof(double));
        status = root_of(moments, covariance, offset, error);
    }
    free(covariance);
    return status;
}

fs_status fs_moments_root(struct fs_moments *moments, const double *covariance, double offset, struct fs_error *error)
{
    const size_t dim = (size_t)moments->dim;
    double *own = fs_allocate(dim, dim * sizeof *own, "a covariance", error);
    if (!own) {
        return FS_FAILED;
    }
    memcpy(own, covariance, dim * dim * sizeof *own);
    const fs_status status = root_of(moments, own, offset, error);
    free(own);
    return status;
}
