/* How the learning rate and the moving average's decay change with the update. */
#include "harness/train/schedule.h"

#include <math.h>

double fs_learning_rate(const struct fs_train_config *train, double rate, const struct fs_update_place *at)
{
    const bool phases = train->schedule == FS_SCHEDULE_COSINE_PHASE;
    const int64_t begin = phases && at->phase_begin > train->warmup ? at->phase_begin : train->warmup;
    const int64_t end = phases ? at->phase_begin + at->phase_updates : at->updates;
    if (at->update < train->warmup) {
        return rate * (double)(at->update + (train->warmup_from_zero ? 0 : 1)) / (double)train->warmup;
    }
    if (train->schedule == FS_SCHEDULE_CONSTANT || end <= begin) {
        return rate;
    }
    const double pi = 3.14159265358979323846;
    const double share = (double)(at->update - begin) / (double)(end - begin);
    return rate * 0.5 * (1.0 + cos(pi * share));
}

double fs_ema_decay(double decay, bool warmup, int64_t phase_update)
{
    if (!warmup) {
        return decay;
    }
    return fmin(decay, (1.0 + (double)phase_update) / (10.0 + (double)phase_update));
}
