/* A table of texts, printed in columns. */
#ifndef FEWSTEP_GRID_H
#define FEWSTEP_GRID_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/base/error.h"

#define FS_GRID_TEXT 112

struct fs_grid {
    char (*cells)[FS_GRID_TEXT]; /* [rows, columns]; the first row is the heading */
    int rows, columns;
    int left;    /* columns that are aligned to the left */
    char *notes; /* lines below the table */
};

/* All cells are `empty`. Free with fs_grid_free, also after a failure. */
fs_status fs_grid_make(struct fs_grid *grid, int rows, int columns, const char *empty, struct fs_error *error);
void fs_grid_free(struct fs_grid *grid);
char *fs_grid_at(struct fs_grid *grid, int row, int column);

/* Adds a line below the table. */
fs_status fs_grid_note(struct fs_grid *grid, const char *note, struct fs_error *error);
/* The same with a line that fs_format made, which it frees; NULL is FS_FAILED. */
fs_status fs_grid_made_note(struct fs_grid *grid, char *note, struct fs_error *error);

/* Aligned columns, or Markdown; then the notes, as lines or as a list. */
void fs_grid_print(struct fs_grid *grid, bool markdown, FILE *stream);

#endif
