/* Standard errors and intervals. */
#include "metrics/estimate.h"

#include <math.h>
#include <stddef.h>

#include "metrics/student.h"

struct fs_estimate fs_estimate_student(double value, double standard_error, double dof)
{
    const double half = fs_student_quantile((1 - FS_INTERVAL_LEVEL) / 2, dof) * standard_error;
    return (struct fs_estimate){value, standard_error, value - half, value + half};
}

/* Σ (value − mean)². */
static double squares_around_mean(const double *values, int count, double *mean)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        sum += values[i];
    }
    *mean = sum / count;
    for (int i = 0; i < count; i++) {
        squares += (values[i] - *mean) * (values[i] - *mean);
    }
    return squares;
}

struct fs_estimate fs_estimate_mean(const double *values, int count)
{
    double mean;
    const double squares = squares_around_mean(values, count, &mean);
    return fs_estimate_student(mean, sqrt(squares / (count - 1) / count), count - 1);
}

struct fs_estimate fs_estimate_jackknife(double value, const double *without, int groups)
{
    double mean;
    const double squares = squares_around_mean(without, groups, &mean);
    return fs_estimate_student(value, sqrt(squares * (groups - 1) / groups), groups - 1);
}

fs_status fs_metric_progress(const struct fs_metric_watch *watch, const char *metric, int64_t done, int64_t of,
                             struct fs_error *error)
{
    if (watch != NULL && watch->stop != NULL && *watch->stop && done < of) {
        return fs_fail(error, FS_STOPPED, "stopped in a metric (%s)", metric);
    }
    if (watch != NULL && watch->progress != NULL) {
        watch->progress(watch->context, metric, done, of);
    }
    return FS_OK;
}
