/* What a training begins with: fresh weights or its teacher's. */
#ifndef FEWSTEP_INITIAL_WEIGHTS_H
#define FEWSTEP_INITIAL_WEIGHTS_H

#include "harness/train/training_state.h"

/* Weights and averages of every rank as before the first update; the teacher's, where targets ask one. */
fs_status fs_initial_weights(struct fs_trainer *trainer, struct fs_error *error);

#endif
