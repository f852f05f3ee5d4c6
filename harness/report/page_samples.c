/* The samples of the page: a row a method, a column a number of steps, the same noise throughout. */
#include <stdlib.h>
#include <string.h>

#include "harness/report/data_row.h"
#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "harness/report/picture.h"
#include "harness/report/sample_file.h"
#include "harness/report/table_views.h"
#include "harness/text/escape.h"
#include "kernels/base/memory.h"

#define ACROSS 3                    /* of them in a line of a cell */
#define BYTES_MAX (3 * 1024 * 1024) /* of all the page's pictures, about */

/* Cells of an experiment's table of samples; 0 where it has none. */
static size_t cells_of(const struct fs_page *page, const struct fs_page_experiment *experiment)
{
    const struct fs_result_section *section = fs_results_main(&experiment->results);
    size_t rows = 0;

    for (int i = 0; section && i < section->row_count; i++) {
        struct fs_sample_file file;
        fs_sample_file_find(page->options->samples, experiment->results.experiment.name, &section->rows[i], &file);
        rows += file.of != NULL;
    }
    return section ? rows * (size_t)section->step_count : 0;
}

/* Pixels a side that keep all pictures of the page within bounds: half of them is for the first experiment, which the
 * page is read for, the other half for all others. */
static int side_limit(const struct fs_page *page, const struct fs_page_experiment *experiment)
{
    const bool first = experiment == page->experiments;
    size_t cells = 0;
    int side = 64;

    for (int i = 0; i < page->experiment_count; i++) {
        cells += (i == 0) == first ? cells_of(page, &page->experiments[i]) : 0;
    }
    /* Colour pictures compress to about half, base64 adds a third. */
    while (side > 8 && cells * FS_SAMPLE_COLUMNS * (size_t)(side * side) * 2 > BYTES_MAX / 2) {
        side -= 4;
    }
    return side;
}

/* The samples at a number of steps; a dash where the run has no score there, or the grid no row. */
static fs_status print_cell(const struct fs_page *page, int64_t steps, const struct fs_result_cell *cell, int side,
                            const struct fs_sample_file *file, const struct fs_sample_grid *grid,
                            struct fs_error *error)
{
    struct fs_picture part;
    const int at = cell ? fs_sample_grid_row(grid, cell->steps) : -1;

    fs_html(page->out, "<td data-column=\"%ld step%s\">", (long)steps, steps == 1 ? "" : "s");
    if (at < 0) {
        fs_html(page->out, FS_NO_VALUE);
        return FS_OK;
    }
    const int place = fs_page_place(page, cell);
    FS_TRY(fs_sample_grid_part(grid, at, ACROSS, side, &part, error));
    fs_html(page->out, "<a href=\"#n%d\"><img width=%d height=%d alt=\"%d samples: %s, seed %ld\" src=\"", place,
            part.width, part.height, FS_SAMPLE_COLUMNS, page->numbers[place - 1].what, (long)file->of->seed);
    const fs_status status = fs_picture_print(&part, page->out, error);
    free(part.pixels);
    fs_html(page->out, "\"></a>");
    return status;
}

/* Pictures of the data below the samples: of the first file that has some, or of the data set that the first file's run
 * was trained on. */
struct data_row {
    struct fs_picture picture; /* pixels NULL: there are none; owned */
    const char *config;        /* NULL: no file yet */
    int side, channels;
};

/* Of files of before there were such pictures in them; nothing where the data set is not at hand. */
static fs_status read_data(struct data_row *data, int side, struct fs_error *error)
{
    const int size = data->side, channels = data->channels, width = FS_SAMPLE_COLUMNS * size;
    uint8_t *tiles = fs_allocate((size_t)(width * size), (size_t)channels, "a picture", error);
    uint8_t *line = fs_allocate((size_t)(width * size), (size_t)channels, "a picture", error);
    fs_status status = tiles && line ? FS_OK : FS_FAILED;

    if (status == FS_OK &&
        fs_data_row_read(data->config, size, channels, FS_SAMPLE_COLUMNS, FS_SAMPLE_COLUMNS, tiles)) {
        const size_t row = (size_t)(size * channels);
        for (int i = 0; i < FS_SAMPLE_COLUMNS * size; i++) { /* one below the other becomes one beside the other */
            memcpy(line + ((size_t)(i % size) * FS_SAMPLE_COLUMNS + (size_t)(i / size)) * row, tiles + (size_t)i * row,
                   row);
        }
        const struct fs_sample_grid grid = {
            .picture = {.pixels = line, .height = size, .width = width, .channels = channels},
            .rows = 1,
            .columns = FS_SAMPLE_COLUMNS,
            .side = size,
            .zoom = 1,
            .pitch_x = size,
            .pitch_y = size};
        status = fs_sample_grid_part(&grid, 0, FS_SAMPLE_COLUMNS, side, &data->picture, error);
    }
    free(tiles);
    free(line);
    return status;
}

/* *data: what is known of the pictures of the data; *why: the reasons for rows without pictures, a line
 * each; owned by the caller. */
static fs_status print_row(const struct fs_page *page, const struct fs_page_experiment *experiment,
                           const struct fs_result_section *section, const struct fs_result_row *row, int side,
                           struct data_row *data, char **why, struct fs_error *error)
{
    struct fs_sample_file file;
    struct fs_sample_grid grid;
    struct fs_error reason;
    char name[FS_PAGE_NAME];
    fs_status status = FS_OK;

    fs_sample_file_find(page->options->samples, experiment->results.experiment.name, row, &file);
    fs_html(page->out, "<tr><th scope=row>");
    if (!file.of || fs_sample_file_read(row, &file, &grid, &reason) != FS_OK) {
        fs_html(page->out, "%s<td colspan=%d>" FS_NO_VALUE "\n", fs_page_name(section, row, name), section->step_count);
        char *more =
            file.of
                ? fs_format(error, "%s%s%s", *why ? *why : "", *why ? "\n" : "", reason.text)
                : fs_format(error, "%s%s%s: no grid of a run in %s/%s: `fewstep run` draws it when it scores a run.",
                            *why ? *why : "", *why ? "\n" : "", fs_page_label(row, name), page->options->samples,
                            experiment->results.experiment.name);
        free(*why);
        *why = more;
        return more ? FS_OK : FS_FAILED;
    }
    fs_html(page->out, "<a href=\"#run-%.8s\">%s</a>", file.of->run, fs_page_name(section, row, name));
    for (int i = 0; i < section->step_count && status == FS_OK; i++) {
        status =
            print_cell(page, section->steps[i], fs_result_cell_at(row, section->steps[i]), side, &file, &grid, error);
    }
    fs_html(page->out, "\n");
    if (status == FS_OK && !data->picture.pixels && grid.data_top > 0) {
        status = fs_sample_grid_part(&grid, grid.rows, FS_SAMPLE_COLUMNS, side, &data->picture, error);
    }
    if (!data->config) {
        data->config = file.of->config;
        data->side = grid.side / grid.zoom;
        data->channels = grid.picture.channels;
    }
    free(grid.picture.pixels);
    return status;
}

static fs_status print_data_row(const struct fs_page *page, const struct fs_result_section *section,
                                struct data_row *of, int side, struct fs_error *error)
{
    const struct fs_picture *data = &of->picture;

    if (!data->pixels && of->config) {
        FS_TRY(read_data(of, side, error));
    }
    if (!data->pixels) {
        return FS_OK;
    }
    fs_html(page->out,
            "<tr class=data><th scope=row>data<td colspan=%d><img width=%d height=%d alt=\"%d pictures of the data\" "
            "src=\"",
            section->step_count, data->width, data->height, FS_SAMPLE_COLUMNS);
    FS_TRY(fs_picture_print(data, page->out, error));
    fs_html(page->out, "\">\n");
    return FS_OK;
}

fs_status fs_page_samples(struct fs_page *page, const struct fs_page_experiment *experiment, struct fs_error *error)
{
    const struct fs_result_section *section = fs_page_section(experiment, 0);
    const char *name = experiment->results.experiment.name;
    struct fs_sample_file any = {.of = NULL};
    struct data_row data = {.config = NULL};
    const int side = side_limit(page, experiment);
    char *why = NULL;
    fs_status status = FS_OK;

    for (int i = 0; i < section->row_count && !any.of; i++) {
        fs_sample_file_find(page->options->samples, name, &section->rows[i], &any);
    }
    if (!any.of) {
        return fs_page_missing(page,
                               fs_format(error,
                                         "%s: no samples in %s/%s: `fewstep run` draws them when it scores a run; "
                                         "--samples names another folder.",
                                         name, page->options->samples, name),
                               error);
    }
    fs_html(page->out,
            "<figure id=\"samples-%d\"><h3>Samples</h3><div class=scroll tabindex=0 role=region "
            "aria-label=\"Samples of %s\"><table class=samples><thead><tr><th scope=col>method",
            fs_page_measure(page, section), name);
    for (int i = 0; i < section->step_count; i++) {
        fs_html(page->out, "<th scope=col>%ld step%s", (long)section->steps[i], section->steps[i] == 1 ? "" : "s");
    }
    fs_html(page->out, "<tbody>\n");
    for (int i = 0; i < section->row_count && status == FS_OK; i++) {
        status = print_row(page, experiment, section, &section->rows[i], side, &data, &why, error);
    }
    status = status == FS_OK ? print_data_row(page, section, &data, side, error) : status;
    free(data.picture.pixels);
    fs_html(page->out, "</table></div><figcaption>Twelve samples at each number of steps, not chosen: the first of the "
                       "noise bank. The same noise and label stand in the same place of every picture.</figcaption>"
                       "</figure>\n");
    if (status == FS_OK && why) {
        return fs_page_missing(page, why, error);
    }
    free(why);
    return status;
}
