/* Pictures in rows and columns with words around them. */
#include "harness/data/picture_grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/lettering.h"
#include "kernels/base/memory.h"

#define SCALE 2 /* of the letters */
#define LINE ((FS_LETTERING_HEIGHT + 2) * SCALE)
#define MARGIN 10
#define GAP 2        /* between tiles */
#define GROUP_GAP 14 /* between groups, and before the data row */
#define LABEL_LINES 3
#define SIDE_MAX 30000 /* pixels: more is no picture to look at */

#define PAPER 255
#define INK 32
#define PALE_INK 112
#define NOTHING 228 /* an empty tile */

/* --- labels in lines --- */

/* The next line of a label that fits into `width`, cut at spaces; a word that does not fit is a line of its own. */
static const char *next_line(const char *text, int width, char line[128])
{
    size_t end = 0;

    for (size_t at = 0; text[at]; at++) {
        const bool last = text[at + 1] == '\0' || text[at + 1] == ' ';
        if (last && at + 1 < 128) {
            snprintf(line, 128, "%.*s", (int)(at + 1), text);
            if (end == 0 || fs_lettering_width(line, SCALE) <= width) {
                end = at + 1;
            } else {
                break;
            }
        }
    }
    end = end ? end : strnlen(text, 127);
    snprintf(line, 128, "%.*s", (int)end, text);
    return text + end + strspn(text + end, " ");
}

static int count_lines(const char *label, int width)
{
    char line[128];
    int lines = 0;

    while (*label && lines < LABEL_LINES) {
        label = next_line(label, width, line);
        lines++;
    }
    return lines;
}

static int widest_word(const char *label)
{
    char line[128];
    int widest = 0;

    while (*label) {
        label = next_line(label, 0, line);
        const int width = fs_lettering_width(line, SCALE);
        widest = width > widest ? width : widest;
    }
    return widest;
}

/* --- the measures --- */

struct measures {
    struct fs_picture_layout layout;
    int group_width, label_lines, width, height;
};

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static struct measures measure(const struct fs_picture_grid *grid)
{
    const int side_x = grid->width * grid->zoom, side_y = grid->height * grid->zoom;
    struct measures all = {.group_width = grid->across * (side_x + GAP) - GAP};
    struct fs_picture_layout *layout = &all.layout;
    int label_width = 0;

    for (int i = 0; i < grid->rows; i++) {
        label_width = larger(label_width, fs_lettering_width(grid->row_labels[i], SCALE));
    }
    for (int i = 0; grid->group_labels && i < grid->groups; i++) {
        all.group_width = larger(all.group_width, widest_word(grid->group_labels[i]));
    }
    for (int i = 0; grid->group_labels && i < grid->groups; i++) {
        all.label_lines = larger(all.label_lines, count_lines(grid->group_labels[i], all.group_width));
    }
    *layout = (struct fs_picture_layout){.left = 2 * MARGIN + label_width,
                                         .top = MARGIN + (grid->title ? LINE + MARGIN / 2 : 0) + all.label_lines * LINE,
                                         .pitch_x = side_x + GAP,
                                         .pitch_y = side_y + GAP,
                                         .group_pitch = all.group_width + GROUP_GAP};
    int bottom = layout->top + grid->rows * layout->pitch_y - GAP;
    if (grid->data_row) {
        layout->data_top = layout->top + (grid->rows - 1) * layout->pitch_y + GROUP_GAP - GAP;
        bottom = layout->data_top + side_y;
    }
    all.height = bottom + MARGIN + (grid->note ? LINE : 0);
    all.width = layout->left + grid->groups * layout->group_pitch - GROUP_GAP;
    all.width = larger(all.width, MARGIN + (grid->title ? fs_lettering_width(grid->title, SCALE) : 0));
    all.width = larger(all.width, MARGIN + (grid->note ? fs_lettering_width(grid->note, SCALE) : 0)) + MARGIN;
    return all;
}

/* --- drawing --- */

static void draw_tile(const struct fs_picture_grid *grid, const uint8_t *tile, int left, int top,
                      struct fs_picture *picture)
{
    const size_t channels = (size_t)grid->channels;

    for (int y = 0; y < grid->height * grid->zoom; y++) {
        uint8_t *out = picture->pixels + ((size_t)(top + y) * (size_t)picture->width + (size_t)left) * channels;
        for (int x = 0; x < grid->width * grid->zoom; x++, out += channels) {
            if (tile) {
                const size_t from = (size_t)(y / grid->zoom) * (size_t)grid->width + (size_t)(x / grid->zoom);
                memcpy(out, tile + from * channels, channels);
            } else {
                memset(out, NOTHING, channels);
            }
        }
    }
}

static void draw_rows(const struct fs_picture_grid *grid, const struct fs_picture_layout *layout,
                      struct fs_picture *picture)
{
    const int tiles = grid->groups * grid->across, side_y = grid->height * grid->zoom;

    for (int row = 0; row < grid->rows; row++) {
        const bool data = grid->data_row && row == grid->rows - 1;
        const int top = data ? layout->data_top : layout->top + row * layout->pitch_y;
        const int width = fs_lettering_width(grid->row_labels[row], SCALE);
        fs_lettering_draw(picture, layout->left - MARGIN - width, top + (side_y - 7 * SCALE) / 2, grid->row_labels[row],
                          SCALE, INK);
        for (int i = 0; i < tiles; i++) {
            const int left = layout->left + i / grid->across * layout->group_pitch + i % grid->across * layout->pitch_x;
            draw_tile(grid, grid->tiles[row * tiles + i], left, top, picture);
        }
    }
}

/* Above its group, the last line nearest to it. */
static void draw_group_labels(const struct fs_picture_grid *grid, const struct measures *all,
                              struct fs_picture *picture)
{
    char line[128];

    for (int i = 0; grid->group_labels && i < grid->groups; i++) {
        const char *label = grid->group_labels[i];
        const int lines = count_lines(label, all->group_width);
        for (int k = 0; k < lines; k++) {
            label = next_line(label, all->group_width, line);
            fs_lettering_draw(picture, all->layout.left + i * all->layout.group_pitch,
                              all->layout.top - (lines - k) * LINE, line, SCALE, INK);
        }
    }
}

fs_status fs_picture_grid_draw(const struct fs_picture_grid *grid, struct fs_picture *picture,
                               struct fs_picture_layout *layout, struct fs_error *error)
{
    *picture = (struct fs_picture){0};
    if (grid->rows < 1 || grid->groups < 1 || grid->across < 1 || grid->zoom < 1 || grid->width < 1 ||
        grid->height < 1 || (int64_t)grid->width * grid->zoom * grid->groups * grid->across > SIDE_MAX ||
        (int64_t)grid->height * grid->zoom * grid->rows > SIDE_MAX) {
        return fs_fail(error, FS_FAILED, "no grid of %d rows and %d groups of %d pictures can be drawn", grid->rows,
                       grid->groups, grid->across);
    }
    const struct measures all = measure(grid);
    *layout = all.layout;
    *picture = (struct fs_picture){.height = all.height, .width = all.width, .channels = grid->channels};
    picture->pixels =
        fs_allocate((size_t)all.height * (size_t)all.width, (size_t)grid->channels, "a grid of pictures", error);
    if (!picture->pixels) {
        return FS_FAILED;
    }
    memset(picture->pixels, PAPER, (size_t)all.height * (size_t)all.width * (size_t)grid->channels);
    if (grid->title) {
        fs_lettering_draw(picture, MARGIN, MARGIN, grid->title, SCALE, INK);
    }
    if (grid->note) {
        fs_lettering_draw(picture, MARGIN, all.height - LINE, grid->note, SCALE, PALE_INK);
    }
    draw_group_labels(grid, &all, picture);
    draw_rows(grid, layout, picture);
    return FS_OK;
}

int fs_picture_zoom(int side, int wanted)
{
    const int zoom = (wanted + side / 2) / side;
    return zoom < 1 ? 1 : zoom;
}
