/* Everything that the database knows of one run. */
#ifndef FEWSTEP_SHOW_H
#define FEWSTEP_SHOW_H

#include <jansson.h>
#include <stdio.h>

#include "harness/store/store.h"

/* The run whose id begins with `prefix` (as fs_store_find_run) as one object: run, environments, checkpoints, scores,
 * last_points (of each curve), experiments, configuration, and command, which makes it again (missing where no
 * experiment asked for it). Owned by the caller (json_decref). */
fs_status fs_run_json(struct fs_store *store, const char *prefix, json_t **run, struct fs_error *error);

/* The same as text; `json`: on one line. */
fs_status fs_show_print(struct fs_store *store, const char *prefix, bool json, FILE *stream, struct fs_error *error);

#endif
