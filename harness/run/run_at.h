/* fewstep run --at. */
#ifndef FEWSTEP_RUN_AT_H
#define FEWSTEP_RUN_AT_H

#include <stdbool.h>

#include "kernels/base/error.h"

struct fs_run_at {
    const char *revision, *experiment; /* the file, as it is now */
    const char *out, *db;              /* db NULL: OUT/fewstep.db */
    const char *const *more;           /* options for the other program's `run`, NULL past the last */
};

/* Builds the revision in a temporary tree, runs the experiment with its program in OUT/at/COMMIT and adds what it left
 * to the database, whatever its schema was: *added, which also holds where some of the runs failed. Stopped at any
 * moment, the same call goes on from there. */
fs_status fs_run_at(const struct fs_run_at *at, bool *added, struct fs_error *error);

#endif
