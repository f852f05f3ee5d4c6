/* fewstep run --at. */
#ifndef FEWSTEP_RUN_AT_H
#define FEWSTEP_RUN_AT_H

#include "kernels/base/error.h"

struct fs_run_at {
    const char *revision, *experiment; /* the file, as it is now */
    const char *out, *db;              /* db NULL: OUT/fewstep.db */
    const char *const *more;           /* options for the other program's `run`, NULL past the last */
};

/* Builds the revision in a temporary tree, runs the experiment with its program in OUT/at/COMMIT, adds what it left to
 * the database, whatever its schema was, and prints the table of the revision's own runs. Stopped at any moment, the
 * same call goes on from there. */
fs_status fs_run_at(const struct fs_run_at *at, struct fs_error *error);

#endif
