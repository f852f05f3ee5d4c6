/* Pictures in a page: PNG files read, cut up, and written into the text. */
#ifndef FEWSTEP_PICTURE_H
#define FEWSTEP_PICTURE_H

#include <stdio.h>

#include "harness/data/picture.h"
#include "kernels/base/error.h"

/* A grid of square samples with one pixel between them, as fs_png_write_grid draws it. */
struct fs_sample_grid {
    struct fs_picture picture;
    int rows, columns, side; /* side of a sample, pixels */
    int zoom;                /* pixels of the picture that stand for one of a sample */
};
/* FS_USAGE when the file cannot be read, or is no such grid of `columns` columns. Free grid->picture.pixels. */
fs_status fs_sample_grid_read(const char *path, int columns, struct fs_sample_grid *grid, struct fs_error *error);
/* The samples of one row laid out in lines of `across`, one pixel between them, each reduced to at most `limit` pixels
 * a side; free(part->pixels). */
fs_status fs_sample_grid_part(const struct fs_sample_grid *grid, int row, int across, int limit,
                              struct fs_picture *part, struct fs_error *error);

/* "data:image/png;base64,…" */
fs_status fs_picture_print(const struct fs_picture *picture, FILE *stream, struct fs_error *error);

#endif
