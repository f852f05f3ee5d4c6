/* A checkpoint on the disk and its row in the database. */
#ifndef FEWSTEP_CHECKPOINT_ROW_H
#define FEWSTEP_CHECKPOINT_ROW_H

#include <stdbool.h>

#include "harness/store/store.h"

/* Before a checkpoint is scored, sampled or gone on from: whether the file is the one that the database knows. FS_USAGE
 * where its SHA-256 is another. A file without a row (a process was killed between the two) is judged by itself: its
 * structure, its run, its update, and that each number is finite; with `record` it gets its row, if its run has one. */
fs_status fs_checkpoint_row_check(struct fs_store *store, const char *run, int64_t update, const char *path,
                                  bool record, struct fs_error *error);

#endif
