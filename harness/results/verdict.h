/* Did a score move between two commits, or is that noise? Statistics only: scores in, verdicts out.
 *
 * A cell is one training at one step count, scored with the same seeds at base and head. Its effect is the mean over
 * seeds of log(head / base), of scores where lower is better. The spread of one log score over seeds is assumed to be
 * the same in all cells of a method and at all commits, and is pooled over them; where a cell's own scores spread more,
 * theirs counts. Differences of one seed are not assumed to be correlated, which makes intervals too wide rather than
 * too narrow. A t interval for the effect is corrected for the number of cells by Holm's procedure (Holm 1979), so that
 * any false "worse" or "better" among all cells has a chance of at most alpha; tests/unit/test_verdict.c shows where
 * that was seen to hold. "Same" has this chance of being false in each cell, not among all. */
#ifndef FEWSTEP_VERDICT_H
#define FEWSTEP_VERDICT_H

#include <stdbool.h>

enum fs_verdict {
    FS_VERDICT_SAME,
    FS_VERDICT_BETTER,
    FS_VERDICT_WORSE,
    FS_VERDICT_UNDECIDED,
};
/* "same", "better", "worse", "undecided". */
const char *fs_verdict_name(enum fs_verdict verdict);

/* Scores of one cell at one commit over its seeds, for the spread. */
struct fs_sample {
    int method, cell;     /* cell: the same at each commit */
    int training;         /* one number for each training of one commit: its cells share their seeds */
    const double *values; /* in the order of their seeds */
    int n;
};

/* The standard deviation of one log score over seeds, and the degrees of freedom that its estimate has. Cells of one
 * training are anything from independent to alike, so they count once: Σ (n − 1) over trainings. Scores that came out
 * the same at two commits, bit for bit or nearly, count once, too. dof 0: there is no estimate. */
struct fs_spread {
    double deviation, dof;
};
/* `samples` with those of one training side by side. */
struct fs_spread fs_spread_pool(const struct fs_sample *samples, int count, int method);

/* The spread for a comparison of one cell (`other` the same), or of two: what is pooled, or their own where that is
 * larger. Spreads grow with the number of steps, and a pooled one alone would be too small for the widest cells. */
struct fs_spread fs_spread_widen(struct fs_spread pooled, const struct fs_sample *samples, int count, int cell,
                                 int other);

/* A cell at two commits: base[i] and head[i] are of the same seed. */
struct fs_matched_scores {
    int spread; /* its place in `spreads` */
    const double *base, *head;
    int n;
};

struct fs_rule {
    double alpha;   /* chance of any false "worse" or "better" */
    double minimal; /* the smallest effect of interest, as a share: 0.05 is a ratio of 1.05 or 1 / 1.05 */
};

#define FS_RULE_DEFAULT ((struct fs_rule){.alpha = 0.05, .minimal = 0.05})

struct fs_outcome {
    enum fs_verdict verdict;
    bool equal;       /* the same bits at both commits */
    double effect;    /* log ratio; NAN where a score is not above 0 */
    double low, high; /* corrected interval of the effect; NAN without one */
    double p;         /* chance of such an effect if there is none, before the correction; NAN where it is not tested */
    int rank;         /* in the order of these chances, from 0; -1 where it is not tested */
    double level;     /* of the interval: alpha over the number of cells that Holm's procedure held against it */
};

/* outcomes [count].
 * Worse, better: the interval excludes 0 and |effect| is at least the minimal one. Same: the interval lies inside ± the
 * minimal effect, or all scores are equal bit for bit. Else undecided; so is one seed without equality. */
void fs_verdict_cells(const struct fs_matched_scores *cells, int count, const struct fs_spread *spreads,
                      struct fs_rule rule, struct fs_outcome *outcomes);

/* Undecided: the number of seeds a commit that would decide with a chance of FS_VERDICT_POWER, should effect, spread
 * and level stay as they are. 0: more than FS_VERDICT_SEEDS_MAX, or effect or spread are unknown. */
#define FS_VERDICT_POWER 0.8
#define FS_VERDICT_SEEDS_MAX 1000
int fs_verdict_seeds(const struct fs_outcome *outcome, int n, struct fs_spread spread, struct fs_rule rule);

/* Of all cells: worse if any is, else undecided if any is, else better if any is, else same; undecided without cells.
 */
enum fs_verdict fs_verdict_overall(const struct fs_outcome *outcomes, int count);

#endif
