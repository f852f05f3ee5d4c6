/* What an experiment would cost, and what of it is already there. */
#ifndef FEWSTEP_DRY_RUN_H
#define FEWSTEP_DRY_RUN_H

#include <stdbool.h>

#include "harness/config/config.h"

/* A device at some of its rate by the data sheet, for the hours; gpu NULL: an H100, share 0: 0.35. */
struct fs_dry_run_rate {
    const char *gpu;
    double share;
};

/* Prints a line for each run of the experiment that `taken` says true of, and the sums. Computes nothing, writes
 * nothing: the database at `db` is only read, and need not be there. */
fs_status fs_dry_run(const struct fs_experiment *experiment, const bool *taken, const char *out, const char *db,
                     const struct fs_dry_run_rate *rate, struct fs_error *error);

#endif
