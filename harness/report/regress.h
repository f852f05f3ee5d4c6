/* The scores of two sources in the database, cell by cell, and the verdict on each (verdict.h says by which rules). */
#ifndef FEWSTEP_REGRESS_H
#define FEWSTEP_REGRESS_H

#include <stdio.h>

#include "harness/results/verdict.h"
#include "harness/store/store.h"

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
    char method[64], dataset[64], model[64], metric[32], extractor[64], weights[16], train_hash[65];
    char ablated[96]; /* "train.batch=64" where the experiment varies that; "" */
    int64_t steps, samples;
    double guidance_scale;
    int spread;           /* which of the spreads is its method's */
    int cell;             /* its number among all cells of the database */
    struct fs_spread own; /* what it is judged by: its method's spread, or its own where that is larger */
    int first, seeds;     /* its scores: base and head [first] … [first + seeds − 1] */
    struct fs_outcome outcome;
    int seeds_needed; /* fs_verdict_seeds of an undecided one */
};

struct fs_regression {
    struct fs_rule rule;
    struct fs_regress_cell *cells;
    int count;
    double *base, *head; /* scores of the same seeds */
    struct fs_spread *spreads;
    int spread_count;
    int unmatched; /* scores of base that head has no counterpart of, */
    int failed;    /* and those of them whose run failed at head */
    enum fs_verdict verdict;
};

/* Compares the last checkpoints' Fréchet distances (fd, fid, sfid: lower is better) of two sources, matched by
 * training, the whole identity of the score but its source, and seed; only those of `experiment` (its name) unless it
 * is NULL. The spread is that of all sources in the database. Scores that another source made, or of runs that several
 * sources trained, count for none. Where a run of base failed at head, head is not the same and
 * not better: undecided at best. FS_FAILED when nothing can be matched. Free with fs_regression_free, also after a
 * failure. */
fs_status fs_regress(struct fs_store *store, const char *base_source, const char *head_source, const char *experiment,
                     struct fs_rule rule, struct fs_regression *regression, struct fs_error *error);
void fs_regression_free(struct fs_regression *regression);

/* The spread over seeds of log scores like this one (its row in the database), pooled over all cells of its method and
 * measure and over all sources, or that of its cell where it is larger; a dof of 0 where there is no estimate. */
fs_status fs_regress_spread(struct fs_store *store, int64_t score, struct fs_spread *spread, struct fs_error *error);

/* The cells and the verdict, as text or as a JSON object a line. */
void fs_regression_print(const struct fs_regression *regression, const struct fs_revision *base,
                         const struct fs_revision *head, FILE *stream);
fs_status fs_regression_print_json(const struct fs_regression *regression, const struct fs_revision *base,
                                   const struct fs_revision *head, FILE *stream, struct fs_error *error);

#endif
