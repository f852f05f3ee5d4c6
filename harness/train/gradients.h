/* The gradients of this process's rows: what a method's targets ask, forward, loss, backward. */
#ifndef FEWSTEP_GRADIENTS_H
#define FEWSTEP_GRADIENTS_H

#include "harness/train/phases.h"

/* The gradients of this rank's rows, from zero on: the same operations in each update of a phase, none of which waits.
 * Where devices exchange gradients, those of the last rows are on their way as soon as they are done. What could not be
 * read is in trainer->unready. */
void fs_add_gradients(struct fs_trainer *trainer, const struct fs_train_place *place);

#endif
