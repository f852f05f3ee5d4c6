/* The database in other programs' formats. */
#ifndef FEWSTEP_EXPORT_H
#define FEWSTEP_EXPORT_H

#include <stdio.h>

#include "harness/store/store.h"

/* An object a line, each with a member "type": experiment, environment, run (with its configuration), score,
 * spectrum_point, and curve (one name of one run: "updates" and "values", null for what is not a number). `experiment`:
 * what belongs to it, and its runs' teachers; NULL: everything. FS_USAGE when it is not there. */
fs_status fs_export_json(struct fs_store *store, const char *experiment, FILE *stream, struct fs_error *error);

/* Event files for TensorBoard: FOLDER/METHOD-RUN-seedS/events.out.tfevents.… a run, with its curves by their names and
 * its scores as "METRIC EXTRACTOR/STEPS steps", each over the run's own updates. *runs: how many were written. The wall
 * time of every point is that of the run's last change, as the database has no other. */
fs_status fs_export_tensorboard(struct fs_store *store, const char *experiment, const char *folder, int *runs,
                                struct fs_error *error);

#endif
