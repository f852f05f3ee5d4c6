/* How the learning rate and the moving average's decay change with the update. */
#ifndef FEWSTEP_SCHEDULE_H
#define FEWSTEP_SCHEDULE_H

#include "harness/config/config.h"

/* The rate at `update` (from 0) of a stage of `updates`: linear warm-up from rate/warmup (or from 0, as
 * `warmup_from_zero` says) to the rate, then constant or a half cosine down to 0 at the stage's end. */
double fs_learning_rate(const struct fs_train_config *train, int64_t update, int64_t updates);

/* The average's effective decay at `phase_update` (from 0): min(decay, (1 + u)/(10 + u)) with `warmup`, else decay. */
double fs_ema_decay(double decay, bool warmup, int64_t phase_update);

#endif
