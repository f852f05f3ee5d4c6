/* Everything that the database knows of one run. */
#ifndef FEWSTEP_SHOW_H
#define FEWSTEP_SHOW_H

#include <stdio.h>

#include "harness/store/store.h"

/* The run whose id begins with `prefix` (as fs_store_find_run): hashes, configuration, environments, checkpoints,
 * scores, the last point of each curve, the experiments it belongs to, and the command that makes it again. `json`: one
 * object on one line. */
fs_status fs_show_print(struct fs_store *store, const char *prefix, bool json, FILE *stream, struct fs_error *error);

#endif
