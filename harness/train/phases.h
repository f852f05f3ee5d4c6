/* The phases of a training: which of them an update lies in, and what the beginning of one does. */
#ifndef FEWSTEP_PHASES_H
#define FEWSTEP_PHASES_H

#include "harness/train/training_state.h"

/* Where in its phases an update lies: the first update of its own phase, and of those that it goes on from. */
struct fs_train_place {
    const struct fs_phase *phase;
    int64_t begin, averages_begin;
    int64_t schedule_begin, schedule_updates; /* of the phases that are one for the schedule */
};

/* The method's phases, into the state. */
void fs_plan_phases(struct fs_trainer *trainer);
/* Of `trainer->update`. */
struct fs_train_place fs_current_place(const struct fs_trainer *trainer);
/* A phase begins: the averages restart from the weights, and the teacher may become the student that was. It is a
 * function of the state before it, so a resume from a checkpoint of this very update repeats it exactly. */
void fs_begin_phase(struct fs_trainer *trainer, const struct fs_phase *phase);

#endif
