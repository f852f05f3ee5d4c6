/* Which rank the others wait for. */
#ifndef FEWSTEP_SLOW_RANK_H
#define FEWSTEP_SLOW_RANK_H

/* How long each rank takes for its rows: seconds [ranks], those of an update added, what was before fading. */
void fs_rank_times_add(double *seconds, const double *update, int ranks);
/* The slowest rank where it takes 1.25 times as long as the median of all, or longer, and how many times (*factor); −1
 * where all are as fast. */
int fs_slow_rank(const double *seconds, int ranks, double *factor);

#endif
