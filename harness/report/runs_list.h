/* What runs the database holds. */
#ifndef FEWSTEP_RUNS_LIST_H
#define FEWSTEP_RUNS_LIST_H

#include <stdio.h>

#include "harness/store/store.h"

/* A line a run, oldest first: id (8 digits), method, model, seed, state, updates done of all (the teacher's share
 * included), TFLOP, age, commit, and what sets its training apart from the others of its method, or what the user calls
 * it. With `experiment` (not NULL) its runs and their teachers only; FS_USAGE when it is not
 * there. `json`: an object a line, with everything in full. */
fs_status fs_runs_print(struct fs_store *store, const char *experiment, bool json, FILE *stream,
                        struct fs_error *error);

#endif
