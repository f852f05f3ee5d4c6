/* How the learning rate and the moving average's decay change with the update. */
#include "harness/train/schedule.h"

#include <math.h>

double fs_learning_rate(const struct fs_train_config *train, int64_t update, int64_t updates)
{
    if (update < train->warmup) {
        return train->learning_rate * (double)(update + (train->warmup_from_zero ? 0 : 1)) / (double)train->warmup;
    }
    if (train->schedule == FS_SCHEDULE_CONSTANT || updates <= train->warmup) {
        return train->learning_rate;
    }
    const double pi = 3.14159265358979323846;
    const double share = (double)(update - train->warmup) / (double)(updates - train->warmup);
    return train->learning_rate * 0.5 * (1.0 + cos(pi * share));
}

double fs_ema_decay(double decay, bool warmup, int64_t phase_update)
{
    if (!warmup) {
        return decay;
    }
    return fmin(decay, (1.0 + (double)phase_update) / (10.0 + (double)phase_update));
}
