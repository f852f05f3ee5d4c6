/* The scores of two sources in the database, cell by cell, and the verdict on each (verdict.h says by which rules). */
#ifndef FEWSTEP_REGRESS_H
#define FEWSTEP_REGRESS_H

#include "harness/results/results.h"

/* A revision and the runs that are its own. */
struct fs_revision {
    const char *name;
    char commit[65], source_hash[65];
    bool dirty; /* made from a changed tree at this commit: not quite the commit's */
    int runs;
};

/* Finds the source of a revision: the one that its files hash to, so that commits which differ in nothing that can
 * change a number share their runs; else, for a commit of a time when other files counted, the one that its own builds
 * recorded; else (with `dirty`) that of a changed tree. FS_USAGE when git does not know the revision, FS_FAILED when it
 * has no runs, with commits that have. `name` must outlive the result. */
fs_status fs_revision_find(struct fs_store *store, const char *name, bool dirty, struct fs_revision *revision,
                           struct fs_error *error);

/* One training, scored in one way at one step count. */
struct fs_regress_cell {
    int section, row; /* places in the regression's results, which name them */
    int64_t steps;
    int spread;           /* which of the spreads is its method's */
    int cell;             /* its number among all cells of the database */
    struct fs_spread own; /* what it is judged by: its method's spread, or its own where that is larger */
    int first, seeds;     /* its scores: base and head [first] … [first + seeds − 1] */
    double base, head;    /* geometric means, so that their ratio is the effect */
    struct fs_outcome outcome;
    int seeds_needed; /* fs_verdict_seeds of an undecided one */
};

struct fs_regression {
    struct fs_rule rule;
    struct fs_results results; /* sections and rows of the cells, without cells of their own */
    struct fs_regress_cell *cells;
    int count;
    double *base, *head; /* scores of the same seeds */
    struct fs_spread *spreads;
    int spread_count;
    int unmatched; /* scores of base that head has no counterpart of, */
    int failed;    /* and those of them whose run failed at head */
    int found[4];  /* cells of each verdict */
    enum fs_verdict verdict;
};

/* Compares the last checkpoints' Fréchet distances (fd, fid, sfd, sfid: lower is better) of two sources, matched by
 * training, the whole identity of the score but its source, and seed; only those of `experiment` (its name) unless it
 * is NULL. The spread is that of all sources in the database. Scores that another source made, or of runs that several
 * sources trained, count for none. Where a run of base failed at head, head is not the same and
 * not better: undecided at best. FS_FAILED when nothing can be matched. Free with fs_regression_free, also after a
 * failure. */
fs_status fs_regress(struct fs_store *store, const char *base_source, const char *head_source, const char *experiment,
                     struct fs_rule rule, struct fs_regression *regression, struct fs_error *error);
void fs_regression_free(struct fs_regression *regression);
/* The verdict on a row at a number of steps by the measure of its section; NULL where base and head share no seed. */
const struct fs_regress_cell *fs_regress_cell_of(const struct fs_regression *regression,
                                                 const struct fs_result_section *section,
                                                 const struct fs_result_row *row, int64_t steps);

/* The spread over seeds of log scores like this one (its row in the database), pooled over all cells of its method and
 * measure and over all sources, or that of its cell where it is larger; a dof of 0 where there is no estimate. */
fs_status fs_regress_spread(struct fs_store *store, int64_t score, struct fs_spread *spread, struct fs_error *error);

#endif
