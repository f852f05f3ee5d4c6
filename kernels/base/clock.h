/* The clock that durations are measured with. */
#ifndef FEWSTEP_CLOCK_H
#define FEWSTEP_CLOCK_H

#include <time.h>

/* Seconds since some fixed moment; never goes back. */
static inline double fs_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#endif
