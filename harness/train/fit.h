/* The device memory that a training plans for, and what would fit where that is too much. */
#ifndef FEWSTEP_FIT_H
#define FEWSTEP_FIT_H

#include "harness/train/trainer.h"

/* Takes all buffers of a training of which `rows` rows go through the network at once, as one piece of the backend's
 * memory; they are cut from it as they are allocated. FS_FAILED where there is not as much. */
fs_status fs_reserve_memory(const struct fs_training *training, int rows, struct fs_error *error);

/* Where the same does not fit into the memory that the backend has free now, adds to `error` what would: fewer rows,
 * bf16, or nothing. */
void fs_suggest_fit(const struct fs_training *training, int rows, struct fs_error *error);

#endif
