/* The file that `run` leaves of a run's samples: a row a number of steps, one noise a column, pictures of the data as
 * the last row; words around it for people, and in a chunk of the PNG where everything lies, for programs. */
#ifndef FEWSTEP_SAMPLE_GRID_H
#define FEWSTEP_SAMPLE_GRID_H

#include "harness/data/dataset.h"
#include "harness/data/picture.h"

#define FS_SAMPLE_COLUMNS 12 /* samples of one noise bank in a grid of `run` */
#define FS_SAMPLE_STEPS_MAX 40

/* Squares, as a file has them. Files of before there were words have no gap around the grid, one pixel between samples,
 * and do not tell their steps. */
struct fs_sample_grid {
    struct fs_picture picture;
    int rows, columns;               /* of samples; the data row is not counted */
    int side, zoom;                  /* of a sample, pixels of the picture; how many of them stand for one of its own */
    int left, top, pitch_x, pitch_y; /* of the first sample; from one to the next */
    int data_top;                    /* of the data row; 0: there is none */
    int64_t steps[FS_SAMPLE_STEPS_MAX]; /* [rows] */
    int step_count;                     /* rows, or 0: the file does not tell */
};

/* What is written. Rows of samples and, if not NULL, of data: [FS_SAMPLE_COLUMNS, height, width, channels] in data
 * scale; of 3 or more channels the first three are drawn, of fewer the first. */
struct fs_sample_sheet {
    const char *title, *note; /* lines above and below */
    const int *steps;         /* [rows] */
    int rows;
    const float *samples, *data;
    int height, width, channels;
};
fs_status fs_sample_grid_write(const char *path, const struct fs_sample_sheet *sheet, struct fs_error *error);

/* FS_USAGE when the file cannot be read, or is no such grid of `columns` columns. Free grid->picture.pixels. */
fs_status fs_sample_grid_read(const char *path, int columns, struct fs_sample_grid *grid, struct fs_error *error);

/* The upper left corner of a sample; row grid->rows is the data row. */
void fs_sample_grid_place(const struct fs_sample_grid *grid, int row, int column, int *top, int *left);
/* A sample in its own pixels, [side/zoom, side/zoom, channels]. */
void fs_sample_grid_tile(const struct fs_sample_grid *grid, int row, int column, uint8_t *out);

/* Which pictures of the data stand beside samples of these labels [count]: the first ones of each label; without labels
 * (NULL), or where a label has too few, the first ones. */
void fs_data_examples(const struct fs_dataset *data, const struct fs_config *config, const int32_t *labels, int count,
                      int64_t *indices);

#endif
