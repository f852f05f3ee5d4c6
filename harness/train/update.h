/* One update: gradients of all ranks, optimiser, averages, and what all ranks agree on after it. */
#ifndef FEWSTEP_UPDATE_H
#define FEWSTEP_UPDATE_H

#include "harness/train/training_state.h"

/* Makes the update `trainer->update`, and counts it; `loss` receives its loss. A loss that is not finite, or explodes,
 * is FS_FAILED, and the training has diverged. On a device that one process alone uses, losses are read one update
 * late: `loss` is that of the update before (and stays as it is at the first), and a fault or a loss that explodes is
 * seen when one update more was made. */
fs_status fs_one_update(struct fs_trainer *trainer, double *loss, struct fs_error *error);

/* Waits for the update before, where its loss was not read: `loss` becomes that one, and all is known of what was made.
 * To be called before curves and checkpoints, and at the end. */
fs_status fs_finish_update(struct fs_trainer *trainer, double *loss, struct fs_error *error);

#endif
