/* Curves behind the results: a training's loss, and the spectrum of a cell of that metric. */
#ifndef FEWSTEP_RESULTS_CURVES_H
#define FEWSTEP_RESULTS_CURVES_H

#include "harness/results/results.h"

/* Power of the samples over that of the data. */
struct fs_power_ratio {
    double frequency;       /* cycles a pixel */
    double mean, low, high; /* over seeds, ± the standard error; of one seed the 95 % interval over its samples */
};

/* *curve (owned by the caller, free()) by frequency; *count is 0 for a cell of another metric. */
fs_status fs_result_spectrum(struct fs_store *store, const struct fs_result_cell *cell, struct fs_power_ratio **curve,
                             int *count, struct fs_error *error);

/* The loss of a run, averaged over FS_LOSS_POINTS parts of its updates, a teacher's counted before its own. *count: how
 * many there are; 0 where nothing was logged. */
#define FS_LOSS_POINTS 60
struct fs_loss_point {
    double update, loss;
};
fs_status fs_result_loss(struct fs_store *store, const char *run, struct fs_loss_point points[FS_LOSS_POINTS],
                         int *count, struct fs_error *error);

/* A training that fell back: its loss rose to ten times what it had been, and above a quarter. at_update 0: it did not.
 */
struct fs_result_fall {
    int64_t at_update, peak_update;
    double before, peak; /* loss before it, and the highest from there on */
};
fs_status fs_result_fall(struct fs_store *store, const char *run, struct fs_result_fall *fall, struct fs_error *error);

#endif
