/* The Inception Score (Salimans et al. 2016). */
#ifndef FEWSTEP_INCEPTION_SCORE_H
#define FEWSTEP_INCEPTION_SCORE_H

#include "kernels/base/error.h"
#include "metrics/estimate.h"

#define FS_INCEPTION_SCORE_SPLITS 10

/* exp(mean KL(p(y|x) ‖ p(y))) with p(y) the mean over a split, and the mean of that over `splits` ≥ 2 groups of the
 * rows of logits [n, classes], n ≥ splits. The interval takes the splits as independent: it is one for the expected
 * score at this size of a split, whose bias (fewer rows score lower) stays in. *deviation: over splits (÷ splits),
 * which papers print behind "±"; may be NULL. FS_USAGE for too few rows, FS_FAILED for logits that are not finite. */
fs_status fs_inception_score(int64_t classes, const float *logits, int64_t n, int splits, struct fs_estimate *score,
                             double *deviation, struct fs_error *error);

#endif
