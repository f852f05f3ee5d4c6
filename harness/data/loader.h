/* From the data set to a batch. */
#ifndef FEWSTEP_LOADER_H
#define FEWSTEP_LOADER_H

#include "harness/data/dataset.h"

/* Rows first_row … first_row + rows − 1 of the global batch at `update` (0 or more) of a training with `seed`, in the
 * order of fs_data_order: x1 [rows, H·W·C] in data scale, labels [rows] (0 for pictures without). It has no state, so a
 * resume needs none, the number of micro-batches or ranks changes no row, and any thread may load what comes next. */
fs_status fs_load_rows(const struct fs_dataset *dataset, uint32_t seed, int64_t update, int batch, int first_row,
                       int rows, float *x1, int32_t *labels, struct fs_error *error);

/* A thread that loads the rows of the next update while this one is computed, so that no update waits for a disk. What
 * it gives is what fs_load_rows gives, bit for bit. */
struct fs_loader;

/* Rows of the global batch that one process takes. */
struct fs_loader_range {
    int first, count;
};
#define FS_LOADER_RANGES_MAX 16 /* at most */

/* For a training of `updates` updates of `batch` rows, of which this process takes `ranges`. Nothing is read before the
 * first fs_loader_rows. `dataset` outlives it. */
fs_status fs_loader_create(const struct fs_dataset *dataset, uint32_t seed, int64_t updates, int batch,
                           const struct fs_loader_range *ranges, int range_count, struct fs_loader **loader,
                           struct fs_error *error);
/* As fs_load_rows, for one thread at a time. Begins to load the next update as soon as this one is there; rows outside
 * the ranges are loaded at once. An error of the thread is told when the update is asked for whose rows it met. */
fs_status fs_loader_rows(struct fs_loader *loader, int64_t update, int first_row, int rows, float *x1, int32_t *labels,
                         struct fs_error *error);
/* Ends the thread within the row that it reads. NULL is fine. */
void fs_loader_destroy(struct fs_loader *loader);

#endif
