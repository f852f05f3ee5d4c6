/* What the paper (paper/fewstep.tex) takes from the database: every number as a macro, the tables, the figures' data,
 * and the appendix that says where each number comes from. */
#ifndef FEWSTEP_PAPER_H
#define FEWSTEP_PAPER_H

#include "harness/results/published.h"
#include "harness/store/store.h"

struct fs_paper_options {
    const char *main;     /* experiment of the main table; NULL: fashion-table where it has scores, else the one written
                             to last that ablates nothing */
    const char *ablation; /* NULL: ablation-max-step where it has scores, else none */
    const char *budget;   /* scored at several updates; NULL: why-budget where it has scores, else none */
    const char *pairs;    /* varies Reflow's pairs; NULL: why-pairs where it has scores, else none */
    const char *samples;  /* folder with EXPERIMENT/METHOD-RUN-seedS.png, as `run` leaves it */
    const char *database; /* its file, as the paper should name it */
    const struct fs_results *published;
};

/* Writes fs-*.tex and fs-*.dat into `folder`, which is made. *notes (owned by the caller, free(); NULL: none) says what
 * the paper has to do without. FS_USAGE when an experiment is not there or has no scores. */
fs_status fs_paper_write(struct fs_store *store, const struct fs_paper_options *options, const char *folder,
                         char **notes, struct fs_error *error);

#endif
