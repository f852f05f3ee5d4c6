/* The curve behind a cell of the metric spectrum: power of the samples over that of the data, by frequency. */
#ifndef FEWSTEP_RESULTS_SPECTRA_H
#define FEWSTEP_RESULTS_SPECTRA_H

#include "harness/results/results.h"

struct fs_power_ratio {
    double frequency;       /* cycles a pixel */
    double mean, low, high; /* over seeds, ± the standard error; of one seed the 95 % interval over its samples */
};

/* *curve (owned by the caller, free()) by frequency; *count is 0 for a cell of another metric. */
fs_status fs_result_spectrum(struct fs_store *store, const struct fs_result_cell *cell, struct fs_power_ratio **curve,
                             int *count, struct fs_error *error);

#endif
