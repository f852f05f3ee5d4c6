/* Pictures in rows and columns with words around them: what a run leaves of its samples, and what a README shows. */
#ifndef FEWSTEP_PICTURE_GRID_H
#define FEWSTEP_PICTURE_GRID_H

#include <stdbool.h>

#include "harness/data/picture.h"

/* Rows of `groups` groups of `across` tiles. With `data_row` the last row is set apart from the others. */
struct fs_picture_grid {
    const char *title, *note; /* above the grid and below it; NULL: none */
    int rows, groups, across;
    const char *const *row_labels, *const *group_labels; /* [rows], on the left; [groups], above, or NULL */
    bool data_row;
    int height, width, channels; /* of a tile; 1 or 3 channels */
    int zoom;                    /* pixels a side that stand for one of a tile */
    const uint8_t *const *tiles; /* [rows, groups, across] of [height, width, channels]; NULL: an empty one */
};

/* Where the tiles of a drawn grid lie: a group's first at left + group·group_pitch, its others `pitch_x` apart; row i
 * at top + i·pitch_y, the data row at data_top (0: there is none). */
struct fs_picture_layout {
    int left, top, pitch_x, pitch_y, group_pitch, data_top;
};

/* Draws it on white; free(picture->pixels). */
fs_status fs_picture_grid_draw(const struct fs_picture_grid *grid, struct fs_picture *picture,
                               struct fs_picture_layout *layout, struct fs_error *error);

/* The zoom at which a tile of this side has about `wanted` pixels, 1 at least. */
int fs_picture_zoom(int side, int wanted);

#endif
