/* Mean and covariance of features, ready for Fréchet distances to them. */
#ifndef FEWSTEP_MOMENTS_H
#define FEWSTEP_MOMENTS_H

#include "metrics/statistics.h"

struct fs_moments {
    int64_t dim;
    double *mean;       /* [dim] */
    double *covariance; /* [dim, dim], Σ; NULL where only its root is kept */
    double *root;       /* [dim, dim], (Σ + offset·I)^½; NULL: not made */
    double trace;       /* tr (Σ + offset·I) */
};

/* Memory for mean and root, zeros; free also after a failure. */
fs_status fs_moments_create(int64_t dim, struct fs_moments *moments, struct fs_error *error);
void fs_moments_free(struct fs_moments *moments);

/* Mean, root and trace of the rows that were added to `statistics`, of the same dim. offset: 0, or FS_AUTHORS_OFFSET
 * (frechet.h). */
fs_status fs_moments_fill(struct fs_moments *moments, struct fs_statistics *statistics, double offset,
                          struct fs_error *error);
/* Root and trace of covariance [dim, dim], which is left as it is. */
fs_status fs_moments_root(struct fs_moments *moments, const double *covariance, double offset, struct fs_error *error);

#endif
