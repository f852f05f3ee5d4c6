/* What an experiment would cost, and what of it is already there. */
#ifndef FEWSTEP_DRY_RUN_H
#define FEWSTEP_DRY_RUN_H

#include <stdbool.h>

#include "harness/config/config.h"

/* Prints a line for each run of the experiment that `taken` says true of, and the sums. Computes nothing, writes
 * nothing: the database at `db` is only read, and need not be there. */
fs_status fs_dry_run(const struct fs_experiment *experiment, const bool *taken, const char *out, const char *db,
                     struct fs_error *error);

#endif
