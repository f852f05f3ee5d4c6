/* How the learning rate and the moving average's decay change with the update. */
#ifndef FEWSTEP_SCHEDULE_H
#define FEWSTEP_SCHEDULE_H

#include "harness/config/config.h"

/* An update of a stage, from 0, and the phase that it lies in. */
struct fs_update_place {
    int64_t update, updates;            /* of the stage */
    int64_t phase_begin, phase_updates; /* the phase's first update, and how many it has */
};

/* `rate` as it is there: linear warm-up from rate/warmup (or from 0, as `warmup_from_zero` says) over the stage's first
 * updates, then constant, or a half cosine down to 0 at the stage's end (cosine), or at the end of each phase, the next
 * of which begins at the whole rate (cosine-phase). */
double fs_learning_rate(const struct fs_train_config *train, double rate, const struct fs_update_place *at);

/* The average's effective decay at `phase_update` (from 0): min(decay, (1 + u)/(10 + u)) with `warmup`, else decay. */
double fs_ema_decay(double decay, bool warmup, int64_t phase_update);

#endif
