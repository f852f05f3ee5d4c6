/* The Fréchet distance between two Gaussians (Heusel et al. 2017, equation of FID). */
#ifndef FEWSTEP_FRECHET_H
#define FEWSTEP_FRECHET_H

#include "metrics/statistics.h"

/* |μ1 − μ2|² + tr Σ1 + tr Σ2 − 2 tr (Σ1^½ Σ2 Σ1^½)^½ by a symmetric eigensolver (LAPACK dsyevd). mu [dim], sigma
 * [dim, dim]. Negative eigenvalues within rounding are clipped; beyond it, or a NaN, are FS_FAILED. Never negative. */
fs_status fs_frechet_distance(int64_t dim, const double *mu1, const double *sigma1, const double *mu2,
                              const double *sigma2, double *distance, struct fs_error *error);

/* Σ^½ of a symmetric positive semidefinite matrix, for distances from many sets to one reference: factor once. */
fs_status fs_symmetric_root(int64_t dim, const double *sigma, double *root, struct fs_error *error);
fs_status fs_frechet_from_root(int64_t dim, const double *mu1, const double *root1, double trace1, const double *mu2,
                               const double *sigma2, double *distance, struct fs_error *error);

/* A percentile interval of the Fréchet distance by resampling `features` [n, dim] `resamples` times (Efron 1979; each
 * a Poisson(1)- or multinomial-weighted mean and covariance), against a fixed reference. level: 0.95. The samples'
 * bias is not removed: the interval says how far the score would move with other samples, not where the truth lies. */
fs_status fs_frechet_interval(int64_t dim, const float *features, int64_t n, const double *reference_mu,
                              const double *reference_root, double reference_trace, int resamples, double level,
                              uint32_t seed, double *low, double *high, struct fs_error *error);

#endif
