/* What a table says in words: which methods are below flow matching at a number of steps, and by how much. */
#ifndef FEWSTEP_FINDINGS_H
#define FEWSTEP_FINDINGS_H

#include "harness/results/results.h"

/* A row against the baseline: the ratio of its score to the baseline's with a 95 % interval. Below or above where the
 * interval excludes 1 (over seeds: where the test of the whole table, results.h, says so). */
struct fs_finding {
    const struct fs_result_row *row;
    double value, ratio, low, high;
    enum fs_relation relation; /* of the row to the baseline */
};

struct fs_findings {
    const struct fs_result_row *baseline;
    int64_t steps, samples;
    double value; /* the baseline's */
    int seeds;    /* the fewest that a ratio is over; 1: intervals are over the samples of one training each */
    int count;
    struct fs_finding *list; /* by ratio; owned */
};

/* The numbers of steps at which reports say them. */
#define FS_FINDINGS_STEPS 2
extern const int64_t fs_findings_steps[FS_FINDINGS_STEPS];

/* The findings of a section at a number of steps, against its row of flow matching. None (count 0) where there is
 * no such row or several, no cell, or where the metric's smaller is not the better. Of several seeds the interval is
 * Student's, as the section's comparisons have it, corrected for all of them; of one it is that of two independent
 * scores whose logarithms' standard errors are their intervals over samples divided by 2·1.96. Free with
 * fs_findings_free. */
fs_status fs_findings_make(const struct fs_result_section *section, int64_t steps, struct fs_findings *findings,
                           struct fs_error *error);
void fs_findings_free(struct fs_findings *findings);

/* The score of the data's mean picture, repeated: in one step the exact velocity of the training set without labels
 * leads from any noise there (t = 0: v = mean − (1 − σ)·x0). With labels, of each label's mean picture. NAN where the
 * exact velocity was not scored in one step; *labels: of how many, 0 without. */
double fs_mean_picture_score(const struct fs_result_section *section, int *labels);

#endif
