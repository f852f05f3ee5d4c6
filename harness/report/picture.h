/* Pictures in a page: PNG files read, cut up, and written into the text. */
#ifndef FEWSTEP_PICTURE_H
#define FEWSTEP_PICTURE_H

#include <stdio.h>

#include "harness/data/sample_grid.h"
#include "kernels/base/error.h"

/* The samples of one row laid out in lines of `across`, one pixel between them, each reduced to at most `limit` pixels
 * a side; free(part->pixels). */
fs_status fs_sample_grid_part(const struct fs_sample_grid *grid, int row, int across, int limit,
                              struct fs_picture *part, struct fs_error *error);

/* "data:image/png;base64,…" */
fs_status fs_picture_print(const struct fs_picture *picture, FILE *stream, struct fs_error *error);

#endif
