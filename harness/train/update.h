/* One update: gradients of all ranks, optimiser, averages, and what all ranks agree on after it. */
#ifndef FEWSTEP_UPDATE_H
#define FEWSTEP_UPDATE_H

#include "harness/train/training_state.h"

/* Makes the update `trainer->update`, and counts it; `loss` receives its loss. A loss that is not finite, or explodes,
 * is FS_FAILED, and the training has diverged. */
fs_status fs_one_update(struct fs_trainer *trainer, double *loss, struct fs_error *error);

#endif
