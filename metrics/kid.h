/* The kernel inception distance (Bińkowski et al. 2018): the squared maximum mean discrepancy (Gretton et al. 2012)
 * under the kernel (x·y/dim + 1)³. */
#ifndef FEWSTEP_KID_H
#define FEWSTEP_KID_H

#include "kernels/base/error.h"
#include "metrics/estimate.h"

/* As torch-fidelity: the mean over 100 random subsets of 1000. */
#define FS_KID_SUBSETS 100
#define FS_KID_SUBSET_ROWS 1000

/* Unbiased: the diagonals of the kernel within a set are left out, so that sets of one distribution give 0 on average,
 * and often less. x [m, dim], y [n, dim], 2 rows or more each; holds m·n, m² and n² doubles in turn. FS_USAGE for too
 * few rows, FS_FAILED for features that are not finite. */
fs_status fs_mmd_cubic(int64_t dim, const float *x, int64_t m, const float *y, int64_t n, double *mmd,
                       struct fs_error *error);

struct fs_kid {
    struct fs_estimate estimate;
    double subset_deviation; /* standard deviation over subsets (÷ subsets), which papers print behind "±" */
    int64_t subset_rows;     /* that were used */
};

/* features [n, dim], reference [reference_n, dim]; `subsets` ≥ 2 pairs of subsets, each drawn without replacement from
 * FS_STREAM_SUBSETS at `seed`. Subsets have subset_rows rows, or half of the smaller set where that is less (the
 * estimate is unbiased at any size).
 *
 * The standard error is of the whole estimate, over samples and reference alike. By the variance of U-statistics, that
 * of m rows is at least n/m times that of n, and subsets without replacement see the share 1 − m/n of it: so from the
 * variance s² over subsets, s²·(m/(n − m) + 1/subsets) with n the smaller set. Never too small; too large near 0, where
 * the variance falls by (n/m)². */
fs_status fs_kid(int64_t dim, const float *features, int64_t n, const float *reference, int64_t reference_n,
                 int subsets, int64_t subset_rows, uint32_t seed, const struct fs_metric_watch *watch,
                 struct fs_kid *kid, struct fs_error *error);

#endif
