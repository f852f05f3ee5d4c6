/* Which file of samples belongs to a row of a table. */
#ifndef FEWSTEP_SAMPLE_FILE_H
#define FEWSTEP_SAMPLE_FILE_H

#include "harness/data/sample_grid.h"
#include "harness/results/results.h"
#include "kernels/base/file.h"

/* A grid as `run` left it, of a run's first samples at several numbers of steps. */
struct fs_sample_file {
    char path[FS_PATH_ROOM];
    const struct fs_result_score *of; /* a score of the run; NULL: there is no grid */
};

/* SAMPLES/EXPERIMENT/METHOD-RUN-seedS.png of the lowest seed of a row that has one. Names that would lead out of the
 * folder have none. */
void fs_sample_file_find(const char *samples, const char *experiment, const struct fs_result_row *row,
                         struct fs_sample_file *file);

/* The grid, whose steps are known afterwards. FS_USAGE where the file is none, or has other rows than its run's
 * configuration asks for. Free grid->picture.pixels. */
fs_status fs_sample_file_read(const struct fs_result_row *row, const struct fs_sample_file *file,
                              struct fs_sample_grid *grid, struct fs_error *error);

/* The grid's row of samples in so many steps; −1: it has none. */
int fs_sample_grid_row(const struct fs_sample_grid *grid, int64_t steps);

#endif
