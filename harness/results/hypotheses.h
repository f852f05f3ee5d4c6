/* What an experiment's file expected before anything ran, held against its scores. */
#ifndef FEWSTEP_RESULTS_HYPOTHESES_H
#define FEWSTEP_RESULTS_HYPOTHESES_H

#include "harness/config/hypotheses.h"
#include "harness/results/results.h"

enum fs_hypothesis_finding {
    FS_HYPOTHESIS_UNTESTED, /* too few common seeds, or no scores yet */
    FS_HYPOTHESIS_CONFIRMED,
    FS_HYPOTHESIS_REVERSED,
    FS_HYPOTHESIS_UNDECIDED,
};
/* "confirmed", "reversed", "undecided", "not tested". */
const char *fs_hypothesis_finding_name(enum fs_hypothesis_finding finding);

struct fs_hypothesis_test {
    struct fs_hypothesis hypothesis;
    enum fs_hypothesis_finding finding;
    int seeds;                      /* common ones */
    double lower_mean, higher_mean; /* NAN without scores */
    double ratio, low, high;        /* of the lower's score to the higher's, with its corrected interval; NAN: none */
    double p;                       /* chance of such a ratio without a difference, before the correction; NAN */
    double detectable;              /* the ratio, below 1, that would be confirmed with a chance of FS_VERDICT_POWER */
};

/* Tests the hypotheses of the experiment's file on its main section (the first row of each method, unlabelled) by the t
 * test of the section's comparisons (verdict.h), over common seeds. Holm's procedure corrects at FS_RESULT_ALPHA for
 * these alone: they were named, all else in a table is description. tests [count] are the results', which are filled.
 * `before` tells whether all of them stood in a file of this name that was run before the first of its runs began. */
fs_status fs_results_test_hypotheses(struct fs_store *store, struct fs_results *results, struct fs_error *error);

/* "Shortcut model below Flow matching (Euler) at 4 steps: confirmed, 0.52 times it (0.48 – 0.57), over 5 seeds; a true
 * ratio of 0.93 would be confirmed with a chance of 0.8". Owned by the caller; NULL without memory. */
char *fs_hypothesis_text(const struct fs_hypothesis_test *test, struct fs_error *error);

/* What stands above a list of them. */
const char *fs_hypotheses_heading(const struct fs_results *results);

#endif
