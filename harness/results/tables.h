/* The results as tables that SQL can ask: what the paper's queries (paper/) are made over. */
#ifndef FEWSTEP_RESULTS_TABLES_H
#define FEWSTEP_RESULTS_TABLES_H

#include "harness/results/results.h"

/* An experiment under the name by which queries call it. Several studies may be of one experiment. */
struct fs_results_study {
    const char *name;       /* "main" */
    const char *experiment; /* its newest version counts */
    bool stable;            /* without the trainings that fell back */
};

/* Makes the temporary tables study, section, cell, seed_score, comparison, verdict and fall in the opened database, as
 * the statements in tables.c describe them, and fills them with the studies and with the published numbers
 * (published.h; NULL: none). The database itself stays as it is. FS_USAGE when an experiment is not there or has no
 * scores. */
fs_status fs_results_tables(struct fs_store *store, const struct fs_results_study *studies, int count,
                            const struct fs_results *published, struct fs_error *error);

#endif
