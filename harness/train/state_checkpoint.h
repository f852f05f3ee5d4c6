/* A training's state to its checkpoints and back. */
#ifndef FEWSTEP_STATE_CHECKPOINT_H
#define FEWSTEP_STATE_CHECKPOINT_H

#include "harness/train/training_state.h"

/* Rank 0 takes a copy of the whole state, with the parts of all ranks, which is written while the training goes on. To
 * be called by all; waits where the write before it is not over. A weight that is not finite is FS_FAILED, and the
 * training has diverged. */
fs_status fs_trainer_save(struct fs_trainer *trainer, struct fs_error *error);

/* Of rank 0: when the file that is being written is on the disk, its row is written, and older checkpoints that nothing
 * needs go. With `wait`, waits for that. FS_OK too where nothing is written, or it is not over; the write's own error
 * otherwise. */
fs_status fs_trainer_settle(struct fs_trainer *trainer, bool wait, struct fs_error *error);

/* All ranks get the state that rank 0 reads at `path`. */
fs_status fs_trainer_load(struct fs_trainer *trainer, const char *path, struct fs_error *error);

#endif
