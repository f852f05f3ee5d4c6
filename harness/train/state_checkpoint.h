/* A training's state to its checkpoints and back. */
#ifndef FEWSTEP_STATE_CHECKPOINT_H
#define FEWSTEP_STATE_CHECKPOINT_H

#include "harness/train/training_state.h"

/* Rank 0 writes the whole state, with the parts of all ranks; older checkpoints that nothing needs go. To be called by
 * all. A weight that is not finite is FS_FAILED, and the training has diverged. */
fs_status fs_trainer_save(struct fs_trainer *trainer, struct fs_error *error);

/* All ranks get the state that rank 0 reads at `path`. */
fs_status fs_trainer_load(struct fs_trainer *trainer, const char *path, struct fs_error *error);

#endif
