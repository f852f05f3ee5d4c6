/* The Fréchet distance without the bias of a finite sample (Chong & Forsyth 2020), and its standard error. */
#ifndef FEWSTEP_FID_INFINITY_H
#define FEWSTEP_FID_INFINITY_H

#include "kernels/base/error.h"
#include "metrics/estimate.h"

/* At n samples the distance is too large by about a constant / n: so a line through the distances at n, n/2, n/3 and
 * n/4 samples over 1/n, and where it meets 1/n = 0. For n/k the samples are cut into k parts, whose distances are
 * averaged: thus every point of the line sees the same samples, and the line takes no noise from which of them were
 * chosen (Chong & Forsyth draw random subsets). May be negative, where the distance is about 0.
 *
 * features [n, dim], reference_mu [dim], reference_root [dim, dim] (fs_symmetric_root), reference_trace: of Σ. The
 * interval is over samples, for a fixed reference, by fs_frechet_deviation. Parts with fewer rows than dimensions do
 * not yet lie on a line: then what is left of the bias is not in the interval. offset: 0, or FS_AUTHORS_OFFSET with a
 * reference of Σ + offset·I (frechet.h). FS_USAGE for n < 8. */
fs_status fs_fid_infinity(int64_t dim, const float *features, int64_t n, const double *reference_mu,
                          const double *reference_root, double reference_trace, double offset,
                          const struct fs_metric_watch *watch, struct fs_estimate *distance, struct fs_error *error);

/* The Fréchet distance's standard error over samples by its influence function: row x moves it by
 * 2·(μ − μr)·(x − μ) + (x − μ)ᵀ(I − A)(x − μ) − tr (I − A)Σ over n, with A = R·(RΣR)^−½·R the optimal transport from
 * the samples to the reference, R = Σr^½ (zero eigenvalues stay zero). One eigendecomposition, where a bootstrap takes
 * one a resample. μ, Σ: `mu` [dim], `sigma` [dim, dim] of the features. */
fs_status fs_frechet_deviation(int64_t dim, const float *features, int64_t n, const double *mu, const double *sigma,
                               const double *reference_mu, const double *reference_root, double *standard_error,
                               struct fs_error *error);

#endif
