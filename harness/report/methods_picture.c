/* One picture of an experiment: methods × steps. */
#include "harness/report/methods_picture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/picture_grid.h"
#include "harness/data/png.h"
#include "harness/report/data_row.h"
#include "harness/report/sample_file.h"
#include "kernels/base/memory.h"

#define BAND_MAX 6      /* columns side by side: more stand in several bands, one below the other */
#define TILES_ACROSS 12 /* of all groups of a band together, about */
#define GROUP_MAX 4     /* of a group */
#define WANTED_SIDE 60  /* pixels of a sample, about */
#define NAME_ROOM 256

/* A column: a row of the table that has samples. */
struct column {
    char name[NAME_ROOM];
    struct fs_sample_grid grid;
};

struct overview {
    const struct fs_result_section *section;
    struct column *columns;
    int count, across;
    int band;              /* columns of a band, fewer in the last */
    int side, channels;    /* of a sample, in its own pixels */
    const uint8_t **tiles; /* [rows, count, across] */
    uint8_t *bytes;        /* of all tiles */
    bool data;             /* there is a row of them */
};

static void close_overview(struct overview *all)
{
    for (int i = 0; i < all->count; i++) {
        free(all->columns[i].grid.picture.pixels);
    }
    free(all->columns);
    free(all->tiles);
    free(all->bytes);
}

/* The columns: rows whose samples are of one size and colour. *first: the configuration of one of their runs. */
static fs_status find_columns(const struct fs_results *results, const char *samples, struct overview *all,
                              const char **first, struct fs_error *error)
{
    const struct fs_result_section *section = all->section;
    all->columns = fs_allocate((size_t)section->row_count + 1, sizeof *all->columns, "a picture", error);
    if (!all->columns) {
        return FS_FAILED;
    }
    for (int i = 0; i < section->row_count; i++) {
        const struct fs_result_row *row = &section->rows[i];
        struct column *column = &all->columns[all->count];
        struct fs_sample_file file;
        struct fs_error ignored; /* a row without samples has no column */
        fs_sample_file_find(samples, results->experiment.name, row, &file);
        if (!file.of || fs_sample_file_read(row, &file, &column->grid, &ignored) != FS_OK) {
            continue;
        }
        const int side = column->grid.side / column->grid.zoom, channels = column->grid.picture.channels;
        if (all->count > 0 && (side != all->side || channels != all->channels)) {
            free(column->grid.picture.pixels);
            continue;
        }
        snprintf(column->name, sizeof column->name, "%s%s%s", row->name, row->apart[0] ? ", " : "", row->apart);
        *first = all->count == 0 ? file.of->config : *first;
        all->side = side;
        all->channels = channels;
        all->count++;
    }
    return all->count > 0
               ? FS_OK
               : fs_fail(error, FS_USAGE, "%s: no samples in %s/%s: `fewstep run` draws them when it scores a run",
                         results->experiment.name, samples, results->experiment.name);
}

/* The data row of the first grid that has one, below each column. */
static bool copy_data(const struct overview *all, uint8_t *out)
{
    const size_t each = (size_t)(all->side * all->side * all->channels);
    for (int i = 0; i < all->count; i++) {
        const struct fs_sample_grid *grid = &all->columns[i].grid;
        for (int k = 0; grid->data_top > 0 && k < all->count * all->across; k++) {
            fs_sample_grid_tile(grid, grid->rows, k % all->across, out + (size_t)k * each);
        }
        if (grid->data_top > 0) {
            return true;
        }
    }
    return false;
}

static fs_status fill_tiles(const char *config, struct overview *all, struct fs_error *error)
{
    const int steps = all->section->step_count;
    const size_t each = (size_t)(all->side * all->side * all->channels);
    const size_t row = (size_t)all->count * (size_t)all->across, tiles = row * ((size_t)steps + 1);
    all->tiles = fs_allocate(tiles, sizeof *all->tiles, "a picture", error);
    all->bytes = fs_allocate(tiles, each, "a picture", error);
    if (!all->tiles || !all->bytes) {
        return FS_FAILED;
    }
    for (size_t i = 0; i < row * (size_t)steps; i++) {
        const struct fs_sample_grid *grid = &all->columns[i % row / (size_t)all->across].grid;
        const int from = fs_sample_grid_row(grid, all->section->steps[i / row]);
        if (from >= 0) {
            all->tiles[i] = all->bytes + i * each;
            fs_sample_grid_tile(grid, from, (int)(i % (size_t)all->across), all->bytes + i * each);
        }
    }
    uint8_t *data = all->bytes + row * (size_t)steps * each;
    /* Below each column others, where the data set is at hand. */
    all->data = fs_data_row_read(config, all->side, all->channels, all->across, (int)row, data) || copy_data(all, data);
    for (size_t i = 0; i < row; i++) {
        all->tiles[row * (size_t)steps + i] = data + i * each;
    }
    return FS_OK;
}

/* --- drawing --- */

/* The columns from `first` on that stand side by side. */
static fs_status draw_band(const struct overview *all, int first, const char *note, struct fs_picture *picture,
                           struct fs_error *error)
{
    const struct fs_result_section *section = all->section;
    const int groups = all->count - first < all->band ? all->count - first : all->band;
    const int rows = section->step_count + all->data;
    const size_t across = (size_t)groups * (size_t)all->across, of_all = (size_t)all->count * (size_t)all->across;
    char steps[FS_RESULT_STEPS_MAX][24];
    const char *row_labels[FS_RESULT_STEPS_MAX + 1];
    const char **names = fs_allocate((size_t)groups, sizeof *names, "a picture", error);
    const uint8_t **tiles = fs_allocate((size_t)rows * across, sizeof *tiles, "a picture", error);
    struct fs_picture_layout layout;
    fs_status status = names && tiles ? FS_OK : FS_FAILED;
    for (int i = 0; status == FS_OK && i < groups; i++) {
        names[i] = all->columns[first + i].name;
    }
    for (int i = 0; status == FS_OK && i < rows; i++) {
        memcpy(tiles + (size_t)i * across, all->tiles + (size_t)i * of_all + (size_t)first * (size_t)all->across,
               across * sizeof *tiles);
    }
    for (int i = 0; i < section->step_count; i++) {
        snprintf(steps[i], sizeof steps[i], "%" PRId64 " step%s", section->steps[i], section->steps[i] == 1 ? "" : "s");
        row_labels[i] = steps[i];
    }
    row_labels[section->step_count] = "data";
    const struct fs_picture_grid grid = {.note = note,
                                         .rows = rows,
                                         .groups = groups,
                                         .across = all->across,
                                         .row_labels = row_labels,
                                         .group_labels = names,
                                         .data_row = all->data,
                                         .height = all->side,
                                         .width = all->side,
                                         .channels = all->channels,
                                         .zoom = fs_picture_zoom(all->side, WANTED_SIDE),
                                         .tiles = tiles};
    status = status == FS_OK ? fs_picture_grid_draw(&grid, picture, &layout, error) : status;
    free(names);
    free(tiles);
    return status;
}

/* Puts `below` under `picture`, in white where one is the narrower; both are replaced by the whole. */
static fs_status put_below(struct fs_picture *picture, struct fs_picture *below, struct fs_error *error)
{
    struct fs_picture whole = {.height = picture->height + below->height,
                               .width = picture->width > below->width ? picture->width : below->width,
                               .channels = below->channels};
    const size_t line = (size_t)whole.width * (size_t)whole.channels;
    whole.pixels = fs_allocate((size_t)whole.height, line, "a picture", error);
    if (whole.pixels) {
        memset(whole.pixels, 255, (size_t)whole.height * line);
        for (int y = 0; y < whole.height; y++) {
            const struct fs_picture *from = y < picture->height ? picture : below;
            const int at = y < picture->height ? y : y - picture->height;
            memcpy(fs_picture_pixel(&whole, y, 0), fs_picture_pixel(from, at, 0),
                   (size_t)from->width * (size_t)from->channels);
        }
    }
    free(picture->pixels);
    free(below->pixels);
    *picture = whole;
    return whole.pixels ? FS_OK : FS_FAILED;
}

static fs_status draw(const struct overview *all, const char *path, struct fs_error *error)
{
    const struct fs_result_section *section = all->section;
    struct fs_picture picture = {0};
    char note[256];
    fs_status status = FS_OK;
    snprintf(note, sizeof note, "%s, %s: the first of the noise bank, the same noise in each method",
             section->measure.dataset, section->measure.model);
    for (int first = 0; status == FS_OK && first < all->count; first += all->band) {
        struct fs_picture band;
        status = draw_band(all, first, first + all->band < all->count ? NULL : note, &band, error);
        if (status == FS_OK && first == 0) {
            picture = band;
        } else if (status == FS_OK) {
            status = put_below(&picture, &band, error);
        }
    }
    if (status == FS_OK) {
        status = fs_png_write(path, picture.pixels, picture.height, picture.width, picture.channels, error);
    }
    free(picture.pixels);
    return status;
}

static fs_status write_overview(const struct fs_results *results, const char *samples, const char *path,
                                struct fs_error *error)
{
    struct overview all = {.section = fs_results_main(results)};
    const char *config = NULL;
    if (!all.section) {
        return fs_fail(error, FS_USAGE, "%s: no scores yet", results->experiment.name);
    }
    fs_status status = find_columns(results, samples, &all, &config, error);
    if (status == FS_OK) {
        const int bands = (all.count + BAND_MAX - 1) / BAND_MAX;
        all.band = (all.count + bands - 1) / bands;
        const int across = TILES_ACROSS / all.band;
        all.across = across < 1 ? 1 : across > GROUP_MAX ? GROUP_MAX : across;
        status = fill_tiles(config, &all, error);
    }
    status = status == FS_OK ? draw(&all, path, error) : status;
    close_overview(&all);
    return status;
}

fs_status fs_methods_picture_write(struct fs_store *store, const char *experiment, const char *samples,
                                   const char *path, struct fs_error *error)
{
    struct fs_experiment_name found;
    struct fs_results results;
    FS_TRY(fs_experiment_find(store, experiment, &found, error));
    fs_status status = fs_results_read(store, &found, NULL, FS_LAST_SCORE, &results, error);
    status = status == FS_OK ? write_overview(&results, samples, path, error) : status;
    fs_results_free(&results);
    return status;
}
