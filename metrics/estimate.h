/* A number with its uncertainty, and whom long work tells how far it is. */
#ifndef FEWSTEP_ESTIMATE_H
#define FEWSTEP_ESTIMATE_H

#include <signal.h>
#include <stdint.h>

#include "kernels/base/error.h"

#define FS_INTERVAL_LEVEL 0.95

struct fs_estimate {
    double value, standard_error;
    double low, high; /* interval at FS_INTERVAL_LEVEL */
};

/* value ± Student's t times its standard error, which has dof degrees of freedom. */
struct fs_estimate fs_estimate_student(double value, double standard_error, double dof);
/* The mean of values[count], count ≥ 2, taken as independent. */
struct fs_estimate fs_estimate_mean(const double *values, int count);
/* A statistic of `groups` ≥ 2 groups of rows of like size, and what it is without each: the delete-a-group jackknife
 * (Shao & Wu 1989). */
struct fs_estimate fs_estimate_jackknife(double value, const double *without, int groups);

/* The group, below `groups`, of row `row` of n: neighbours in groups of like size, so that rows whose labels go round
 * in a circle have the same mixture of labels in each. */
static inline int fs_group_of_row(int64_t row, int64_t n, int groups)
{
    return (int)(row * groups / n);
}

/* Told of long work by the thread that called; NULL in place of one: nobody. */
struct fs_metric_watch {
    void (*progress)(void *context, const char *metric, int64_t done, int64_t of);
    void *context;
    const volatile sig_atomic_t *stop; /* NULL: nobody stops it */
};
/* FS_STOPPED when *watch->stop is set and there is more to do: the metric ends, without a number. */
fs_status fs_metric_progress(const struct fs_metric_watch *watch, const char *metric, int64_t done, int64_t of,
                             struct fs_error *error);

#endif
