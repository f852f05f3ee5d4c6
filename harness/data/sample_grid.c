/* The file that `run` leaves of a run's samples. */
#include "harness/data/sample_grid.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "harness/data/picture_grid.h"
#include "harness/data/png.h"
#include "kernels/base/memory.h"

#define WANTED_SIDE 84 /* pixels of a sample, about */
#define OLD_GAP 1      /* between the samples of a file without words */
#define OLD_ZOOM_MAX 16
#define TEXT_ROOM 4096

/* --- writing --- */

static char *describe(const struct fs_sample_sheet *sheet, const struct fs_picture_grid *grid,
                      const struct fs_picture_layout *layout)
{
    json_t *steps = json_array();
    for (int i = 0; i < sheet->rows; i++) {
        json_array_append_new(steps, json_integer(sheet->steps[i]));
    }
    json_t *all =
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "columns", grid->across, "side",
                  grid->width * grid->zoom, "zoom", grid->zoom, "left", layout->left, "top", layout->top, "pitch_x",
                  layout->pitch_x, "pitch_y", layout->pitch_y, "data_top", layout->data_top, "steps", steps);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

/* The pixels of one sample. */
static void to_bytes(const float *sample, int64_t pixels, int channels, int colours, uint8_t *out)
{
    for (int64_t i = 0; i < pixels; i++) {
        for (int c = 0; c < colours; c++) {
            out[i * colours + c] = fs_pixel(sample[i * channels + c]);
        }
    }
}

static fs_status write_grid(const char *path, const struct fs_sample_sheet *sheet, const struct fs_picture_grid *grid,
                            struct fs_error *error)
{
    struct fs_picture picture;
    struct fs_picture_layout layout;
    FS_TRY(fs_picture_grid_draw(grid, &picture, &layout, error));
    char *text = describe(sheet, grid, &layout);
    fs_status status = text ? FS_OK : fs_fail(error, FS_FAILED, "%s: no memory", path);
    if (status == FS_OK) {
        status = fs_png_write_text(path, picture.pixels, picture.height, picture.width, picture.channels, text, error);
    }
    free(text);
    free(picture.pixels);
    return status;
}

fs_status fs_sample_grid_write(const char *path, const struct fs_sample_sheet *sheet, struct fs_error *error)
{
    const int rows = sheet->rows + (sheet->data != NULL), colours = sheet->channels < 3 ? 1 : 3;
    const int64_t pixels = (int64_t)sheet->height * sheet->width;
    const size_t tiles = (size_t)rows * FS_SAMPLE_COLUMNS;
    char labels[FS_SAMPLE_STEPS_MAX + 1][24];
    const char *row_labels[FS_SAMPLE_STEPS_MAX + 1];
    if (sheet->rows > FS_SAMPLE_STEPS_MAX) {
        return fs_fail(error, FS_FAILED, "%s: %d numbers of steps are more than a grid has", path, sheet->rows);
    }
    uint8_t *bytes = fs_allocate(tiles, (size_t)(pixels * colours), path, error);
    const uint8_t **pointers = bytes ? fs_allocate(tiles, sizeof *pointers, path, error) : NULL;
    if (!pointers) {
        free(bytes);
        return FS_FAILED;
    }
    for (int row = 0; row < rows; row++) {
        const float *from =
            row < sheet->rows ? sheet->samples + row * FS_SAMPLE_COLUMNS * pixels * sheet->channels : sheet->data;
        for (int i = 0; i < FS_SAMPLE_COLUMNS; i++) {
            uint8_t *tile = bytes + (row * FS_SAMPLE_COLUMNS + i) * pixels * colours;
            to_bytes(from + i * pixels * sheet->channels, pixels, sheet->channels, colours, tile);
            pointers[row * FS_SAMPLE_COLUMNS + i] = tile;
        }
        snprintf(labels[row], sizeof labels[row], "%d step%s", row < sheet->rows ? sheet->steps[row] : 0,
                 row < sheet->rows && sheet->steps[row] == 1 ? "" : "s");
        row_labels[row] = row < sheet->rows ? labels[row] : "data";
    }
    const struct fs_picture_grid grid = {.title = sheet->title,
                                         .note = sheet->note,
                                         .rows = rows,
                                         .groups = 1,
                                         .across = FS_SAMPLE_COLUMNS,
                                         .row_labels = row_labels,
                                         .data_row = sheet->data != NULL,
                                         .height = sheet->height,
                                         .width = sheet->width,
                                         .channels = colours,
                                         .zoom = fs_picture_zoom(sheet->width, WANTED_SIDE),
                                         .tiles = pointers};
    const fs_status status = write_grid(path, sheet, &grid, error);
    free(pointers);
    free(bytes);
    return status;
}

/* --- reading --- */

static int number(const json_t *all, const char *key)
{
    const json_int_t value = json_integer_value(json_object_get(all, key));
    return value >= 0 && value < 1 << 20 ? (int)value : -1;
}

/* Whether all of the grid lies within the picture. */
static bool fits(const struct fs_sample_grid *grid)
{
    int top, left;
    if (grid->rows < 1 || grid->side < 1 || grid->zoom < 1 || grid->side % grid->zoom != 0 || grid->left < 0 ||
        grid->top < 0 || grid->pitch_x < grid->side || grid->pitch_y < grid->side || grid->data_top < 0) {
        return false;
    }
    fs_sample_grid_place(grid, grid->rows - 1, grid->columns - 1, &top, &left);
    return left + grid->side <= grid->picture.width && top + grid->side <= grid->picture.height &&
           grid->data_top + grid->side <= grid->picture.height;
}

/* What the file tells of itself; false where that is no such grid. */
static bool read_layout(const char *text, int columns, struct fs_sample_grid *grid)
{
    json_t *all = json_loads(text, 0, NULL);
    const json_t *steps = json_object_get(all, "steps");
    grid->rows = json_array_size(steps) <= FS_SAMPLE_STEPS_MAX ? (int)json_array_size(steps) : 0;
    grid->step_count = grid->rows;
    for (int i = 0; i < grid->rows; i++) {
        grid->steps[i] = json_integer_value(json_array_get(steps, (size_t)i));
    }
    grid->side = number(all, "side");
    grid->zoom = number(all, "zoom");
    grid->left = number(all, "left");
    grid->top = number(all, "top");
    grid->pitch_x = number(all, "pitch_x");
    grid->pitch_y = number(all, "pitch_y");
    grid->data_top = number(all, "data_top");
    const bool same = number(all, "columns") == columns;
    json_decref(all);
    return same && fits(grid);
}

/* Whether every zoom × zoom block of each sample is of one colour. */
static bool is_enlarged(const struct fs_sample_grid *grid, int zoom)
{
    const struct fs_picture *picture = &grid->picture;
    const int pitch = grid->side + OLD_GAP;

    for (int y = 0; y < picture->height; y++) {
        for (int x = 0; x < picture->width; x++) {
            const int in_y = y % pitch, in_x = x % pitch;
            if (in_y < grid->side && in_x < grid->side &&
                memcmp(fs_picture_pixel(picture, y, x), fs_picture_pixel(picture, y - in_y % zoom, x - in_x % zoom),
                       (size_t)picture->channels) != 0) {
                return false;
            }
        }
    }
    return true;
}

/* A file without words: samples alone, one pixel between them. */
static bool find_layout(int columns, struct fs_sample_grid *grid)
{
    const int height = grid->picture.height + OLD_GAP, width = grid->picture.width + OLD_GAP, pitch = width / columns;
    if (width % columns != 0 || pitch <= OLD_GAP || height % pitch != 0) {
        return false;
    }
    grid->side = pitch - OLD_GAP;
    grid->pitch_x = grid->pitch_y = pitch;
    grid->rows = height / pitch;
    grid->zoom = OLD_ZOOM_MAX;
    while (grid->zoom > 1 && (grid->side % grid->zoom != 0 || !is_enlarged(grid, grid->zoom))) {
        grid->zoom--;
    }
    return true;
}

fs_status fs_sample_grid_read(const char *path, int columns, struct fs_sample_grid *grid, struct fs_error *error)
{
    char text[TEXT_ROOM];
    *grid = (struct fs_sample_grid){.columns = columns};
    FS_TRY(fs_png_read_text(path, text, sizeof text, error));
    FS_TRY(fs_picture_read(path, &grid->picture, error));
    if (*text ? read_layout(text, columns, grid) : find_layout(columns, grid)) {
        return FS_OK;
    }
    free(grid->picture.pixels);
    grid->picture.pixels = NULL;
    return fs_fail(error, FS_USAGE,
                   "%s: no grid of square samples, %d in a row; remove it, and `fewstep run` draws it again", path,
                   columns);
}

void fs_sample_grid_place(const struct fs_sample_grid *grid, int row, int column, int *top, int *left)
{
    *top = row == grid->rows && grid->data_top > 0 ? grid->data_top : grid->top + row * grid->pitch_y;
    *left = grid->left + column * grid->pitch_x;
}

void fs_sample_grid_tile(const struct fs_sample_grid *grid, int row, int column, uint8_t *out)
{
    const int side = grid->side / grid->zoom, channels = grid->picture.channels;
    int top, left;
    fs_sample_grid_place(grid, row, column, &top, &left);
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            memcpy(out + (y * side + x) * channels,
                   fs_picture_pixel(&grid->picture, top + y * grid->zoom, left + x * grid->zoom), (size_t)channels);
        }
    }
}

/* --- pictures of the data --- */

static bool is_taken(const int64_t *indices, int count, int64_t index)
{
    for (int i = 0; i < count; i++) {
        if (indices[i] == index) {
            return true;
        }
    }
    return false;
}

/* The first picture with this label that is not taken; without a label the first of all. −1: there is none. */
static int64_t find_example(const struct fs_dataset *data, const struct fs_config *config, const int32_t *label,
                            const int64_t *taken, int count)
{
    for (int64_t at = 0; at < data->shape.count; at++) {
        const bool wanted = !label || !data->labels || fs_config_label(config, data->labels[at]) == *label;
        if (wanted && !is_taken(taken, count, at)) {
            return at;
        }
    }
    return -1;
}

void fs_data_examples(const struct fs_dataset *data, const struct fs_config *config, const int32_t *labels, int count,
                      int64_t *indices)
{
    for (int i = 0; i < count; i++) {
        int64_t at = find_example(data, config, labels ? &labels[i] : NULL, indices, i);
        at = at >= 0 ? at : find_example(data, config, NULL, indices, i);
        indices[i] = at >= 0 ? at : 0; /* fewer pictures than samples: the first stands again */
    }
}
