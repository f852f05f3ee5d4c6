/* Mean and covariance of features, streamed and merged, in double. */
#ifndef FEWSTEP_STATISTICS_H
#define FEWSTEP_STATISTICS_H

#include <stdint.h>

#include "kernels/base/error.h"

struct fs_statistics {
    int64_t dim, count; /* count: rows added, the waiting ones included */
    double *mean;       /* [dim], of all rows after fs_statistics_covariance */
    double *comoment; /* [dim, dim], Σ (x − mean)(x − mean)ᵀ, whole and symmetric after fs_statistics_covariance */
    double *buffer;   /* rows waiting for the next blocked rank-k update */
    int64_t buffered;
};

fs_status fs_statistics_create(int64_t dim, struct fs_statistics *statistics, struct fs_error *error);
void fs_statistics_destroy(struct fs_statistics *statistics);
/* features [n, dim]. */
void fs_statistics_add(struct fs_statistics *statistics, const float *features, int64_t n);
/* covariance [dim, dim] = comoment/(count − 1); FS_FAILED for fewer than two rows. */
fs_status fs_statistics_covariance(struct fs_statistics *statistics, double *covariance, struct fs_error *error);

#endif
