/* One picture of an experiment: a column a method, a row a number of steps, the same noise in each. */
#ifndef FEWSTEP_METHODS_PICTURE_H
#define FEWSTEP_METHODS_PICTURE_H

#include "harness/store/store.h"

/* A PNG at `path`, of the grids that `run` left in samples/EXPERIMENT/; NULL: the experiment written to last. Its last
 * row has pictures of the data, where the data set can be opened or a grid has them. FS_USAGE where there is no such
 * experiment, or no grid of it. */
fs_status fs_methods_picture_write(struct fs_store *store, const char *experiment, const char *samples,
                                   const char *path, struct fs_error *error);

#endif
