/* Which rank the others wait for. */
#include "harness/train/slow_rank.h"

#define FADING 0.9 /* so that about the last ten updates count */
#define SLOW 1.25

void fs_rank_times_add(double *seconds, const double *update, int ranks)
{
    for (int r = 0; r < ranks; r++) {
        seconds[r] = FADING * seconds[r] + update[r];
    }
}

/* The lower median: of two ranks the faster one, which is what the slower is compared with. */
static double median(const double *values, int count)
{
    for (int i = 0; i < count; i++) {
        int below = 0, same = 0;
        for (int k = 0; k < count; k++) {
            below += values[k] < values[i];
            same += values[k] == values[i];
        }
        if (below <= (count - 1) / 2 && (count - 1) / 2 < below + same) {
            return values[i];
        }
    }
    return 0;
}

int fs_slow_rank(const double *seconds, int ranks, double *factor)
{
    const double usual = median(seconds, ranks);
    int slowest = 0;
    for (int r = 1; r < ranks; r++) {
        slowest = seconds[r] > seconds[slowest] ? r : slowest;
    }
    *factor = usual > 0 ? seconds[slowest] / usual : 1;
    return *factor >= SLOW ? slowest : -1;
}
