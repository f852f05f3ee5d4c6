/* Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020): how far samples
 * and a reference lie within each other's balls, whose radii are the distances to the k-th nearest row of the same
 * set. */
#ifndef FEWSTEP_PRDC_H
#define FEWSTEP_PRDC_H

#include "kernels/base/error.h"
#include "metrics/estimate.h"

#define FS_PRECISION_NEAREST 3 /* k of precision and recall in their paper */
#define FS_DENSITY_NEAREST 5   /* k of density and coverage in theirs */

struct fs_prdc {
    struct fs_estimate precision; /* share of samples in a ball of the reference, 0 … 1 */
    struct fs_estimate recall;    /* share of the reference in a ball of samples, 0 … 1 */
    struct fs_estimate density;   /* mean number of the reference's balls that a sample is in, ÷ k */
    struct fs_estimate coverage;  /* share of the reference's balls that hold a sample, 0 … 1 */
};

/* features [n, dim], reference [reference_n, dim]; precision and recall with k = precision_nearest, density and
 * coverage with density_nearest, each 1 … 8. A row on a ball's surface is outside, as in the prdc package. What
 * float32 leaves in doubt is measured in double (distances.h): the numbers are those of double. Holds about 20 MiB at
 * 2048 dimensions, and 500 bytes a row.
 *
 * All four depend on both numbers of rows (recall and coverage rise with n), so only equal ones can be compared. The
 * interval is over samples, for a fixed reference and this n: a delete-a-group jackknife over 20 groups of samples
 * (of no width where every sample, or none, is inside).
 * FS_USAGE for fewer than 2·(k + 1) samples or k + 1 rows of the reference, FS_FAILED for features that are not
 * finite, FS_STOPPED where the watch says so. */
fs_status fs_prdc(int64_t dim, const float *features, int64_t n, const float *reference, int64_t reference_n,
                  int precision_nearest, int density_nearest, const struct fs_metric_watch *watch,
                  struct fs_prdc *result, struct fs_error *error);

#endif
