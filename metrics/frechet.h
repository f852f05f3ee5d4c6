/* The Fréchet distance between two Gaussians (Heusel et al. 2017, equation of FID). */
#ifndef FEWSTEP_FRECHET_H
#define FEWSTEP_FRECHET_H

#include "metrics/statistics.h"

/* |μ1 − μ2|² + tr Σ1 + tr Σ2 − 2 tr (Σ1^½ Σ2 Σ1^½)^½ by a symmetric eigensolver (LAPACK dsyevd). mu [dim], sigma
 * [dim, dim]. Negative eigenvalues within rounding (16·dim·ε of the larger covariance) are zeros; beyond it, an
 * asymmetry or a NaN are FS_FAILED. Of equal pictures the covariance is 0, and the distance defined all the same. Never
 * negative. A singular Σ costs digits: rounding in a zero eigenvalue enters by its root, about 1e-8 of the traces. */
fs_status fs_frechet_distance(int64_t dim, const double *mu1, const double *sigma1, const double *mu2,
                              const double *sigma2, double *distance, struct fs_error *error);

/* What the shortcut-model authors' code adds to both covariances' diagonals inside the root. */
#define FS_AUTHORS_OFFSET 1e-6

/* As the shortcut-model authors' code has it: |μ1 − μ2|² + tr Σ1 + tr Σ2 − 2 tr ((Σ1 + 1e-6·I)(Σ2 + 1e-6·I))^½. Of
 * identical sets it is −2·dim·1e-6, not 0. */
fs_status fs_frechet_distance_authors(int64_t dim, const double *mu1, const double *sigma1, const double *mu2,
                                      const double *sigma2, double *distance, struct fs_error *error);

/* Σ^½ of a symmetric positive semidefinite matrix, for distances from many sets to one reference: factor once. */
fs_status fs_symmetric_root(int64_t dim, const double *sigma, double *root, struct fs_error *error);
fs_status fs_frechet_from_root(int64_t dim, const double *mu1, const double *root1, double trace1, const double *mu2,
                               const double *sigma2, double *distance, struct fs_error *error);

/* How far the Fréchet distance of `features` [n, dim] to a fixed reference would move with other samples: a bootstrap
 * interval (Efron 1979) from `resamples` multinomial resamples. level: 0.95. A resample lies further from the
 * reference than the sample that it was drawn from, by about the bias that the sample itself has; so the resamples'
 * percentiles are taken around their own mean and put around the score. The score's bias at n samples stays in: the
 * interval is one for the expected score at this n, not for the distance between the distributions. */
fs_status fs_frechet_interval(int64_t dim, const float *features, int64_t n, const double *reference_mu,
                              const double *reference_root, double reference_trace, int resamples, double level,
                              uint32_t seed, double *low, double *high, struct fs_error *error);

#endif
