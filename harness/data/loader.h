/* From the data set to a batch. */
#ifndef FEWSTEP_LOADER_H
#define FEWSTEP_LOADER_H

#include "harness/data/dataset.h"

/* Rows first_row … first_row + rows − 1 of the global batch at `update` (0 or more) of a training with `seed`, in the
 * order of fs_data_order: x1 [rows, H·W·C] in data scale, labels [rows] (0 for pictures without). It has no state, so a
 * resume needs none, the number of micro-batches or ranks changes no row, and any thread may load what comes next. */
fs_status fs_load_rows(const struct fs_dataset *dataset, uint32_t seed, int64_t update, int batch, int first_row,
                       int rows, float *x1, int32_t *labels, struct fs_error *error);

#endif
