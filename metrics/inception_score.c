/* The Inception Score from logits, in double. */
#include "metrics/inception_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "metrics/metric.h"

/* Adds softmax(logits) to marginal, and returns Σ p·ln p. */
static double add_row(int64_t classes, const float *logits, double *p, double *marginal)
{
    double largest = -INFINITY, sum = 0, entropy = 0;
    for (int64_t c = 0; c < classes; c++) {
        largest = fmax(largest, (double)logits[c]);
    }
    for (int64_t c = 0; c < classes; c++) {
        p[c] = exp((double)logits[c] - largest);
        sum += p[c];
    }
    for (int64_t c = 0; c < classes; c++) {
        const double share = p[c] / sum;
        marginal[c] += share;
        entropy += share * ((double)logits[c] - largest - log(sum));
    }
    return entropy;
}

/* Mean KL = mean Σ p·ln p − Σ p̄·ln p̄. work: [2, classes]. */
static double score_of(int64_t classes, const float *logits, int64_t n, double *work)
{
    double *marginal = work, *p = work + classes, mean = 0;
    memset(marginal, 0, (size_t)classes * sizeof *marginal);
    for (int64_t row = 0; row < n; row++) {
        mean += add_row(classes, logits + row * classes, p, marginal);
    }
    mean /= (double)n;
    for (int64_t c = 0; c < classes; c++) {
        const double share = marginal[c] / (double)n;
        mean -= share > 0 ? share * log(share) : 0;
    }
    return exp(mean);
}

fs_status fs_inception_score(int64_t classes, const float *logits, int64_t n, int splits, struct fs_estimate *score,
                             double *deviation, struct fs_error *error)
{
    if (classes < 1 || splits < 2 || n < splits) {
        return fs_fail(error, FS_USAGE, "is: expected a row of logits or more for each of %d splits, got %lld", splits,
                       (long long)n);
    }
    double *work = fs_allocate((size_t)classes, 2 * sizeof *work, "class probabilities", error);
    double *scores = fs_allocate((size_t)splits, sizeof *scores, "the splits' scores", error);
    fs_status status = work && scores ? FS_OK : FS_FAILED;
    for (int i = 0; status == FS_OK && i < splits; i++) {
        const int64_t first = n * i / splits, end = n * (i + 1) / splits;
        scores[i] = score_of(classes, logits + first * classes, end - first, work);
        if (!isfinite(scores[i])) {
            status = fs_fail(error, FS_FAILED, "is: a logit is not finite");
        }
    }
    if (status == FS_OK) {
        *score = fs_estimate_mean(scores, splits);
        score->low = fmax(score->low, 1);
        if (deviation) {
            *deviation = score->standard_error * sqrt(splits - 1);
        }
    }
    free(work);
    free(scores);
    return status;
}

/* --- the metric --- */

static fs_status evaluate(const struct fs_evaluation *e, struct fs_estimate *estimate, struct fs_metric_curve *curve,
                          struct fs_error *error)
{
    (void)curve;
    return fs_inception_score(e->samples.dim, e->samples.features, e->samples.n, FS_INCEPTION_SCORE_SPLITS, estimate,
                              NULL, error);
}

static int64_t enough(int64_t classes)
{
    return 4 * classes * FS_INCEPTION_SCORE_SPLITS;
}

const struct fs_metric fs_metric_is = {
    .name = "is",
    .label = "IS",
    .tap = "logits",
    .needs = {FS_NEED_FEATURES},
    .larger_is_better = true,
    .minimum = FS_INCEPTION_SCORE_SPLITS,
    .enough = enough,
    .bias = "the splits are small for that many classes, and the score too low",
    .evaluate = evaluate,
};
