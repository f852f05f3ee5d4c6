/* What would fit into a device that is too small for a training. */
#ifndef FEWSTEP_FIT_H
#define FEWSTEP_FIT_H

#include "harness/train/trainer.h"

/* Where a training of `sets` sets of weights, `rows` of them through the network at once, does not fit into the memory
 * that the backend has free now, adds to `error` what would: fewer rows, bf16, or nothing. */
void fs_suggest_fit(const struct fs_training *training, int sets, int rows, struct fs_error *error);

#endif
