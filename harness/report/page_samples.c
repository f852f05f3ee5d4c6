/* The samples of the page: a row a method, a column a number of steps, the same noise throughout. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "harness/report/picture.h"
#include "harness/report/table_views.h"
#include "harness/text/escape.h"
#include "harness/text/json.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define GRID_COLUMNS 12             /* samples of one noise bank in a grid of `run` */
#define ACROSS 3                    /* of them in a line of a cell */
#define BYTES_MAX (3 * 1024 * 1024) /* of all the page's pictures, about */

/* A grid as `run` left it, of a run's first samples at several numbers of steps. */
struct grid_file {
    char path[FS_PATH_ROOM];
    const struct fs_result_score *of; /* a score of the run; NULL: there is no grid */
    int64_t steps[FS_RESULT_STEPS_MAX];
    int step_count;
};

/* The grid of the lowest seed of a row that has one. Names that would lead out of the folder have none. */
static void find_file(const struct fs_page *page, const struct fs_page_experiment *experiment,
                      const struct fs_result_row *row, struct grid_file *file)
{
    const char *name = experiment->results.experiment.name;

    *file = (struct grid_file){.of = NULL};
    for (int c = 0; c < row->cell_count && fs_is_file_name(name) && fs_is_file_name(row->method); c++) {
        for (int i = 0; i < row->cells[c].seeds; i++) {
            const struct fs_result_score *score = &row->cells[c].scores[i];
            struct fs_error ignored; /* what has no room was never drawn */
            if (fs_path(file->path, &ignored, "%s/%s/%s-%.8s-seed%" PRId64 ".png", page->options->samples, name,
                        row->method, score->run, score->seed) == FS_OK &&
                access(file->path, R_OK) == 0) {
                file->of = score;
                return;
            }
        }
    }
}

/* Which numbers of steps the grid's rows are of: those that the run's configuration asks for, in its order. Scores that
 * were made afterwards have no samples in it. A configuration that does not say so leaves those that were scored. */
static bool find_steps(const struct fs_result_row *row, int rows, struct grid_file *file)
{
    json_t *config = json_loads(file->of->config, 0, NULL);
    const json_t *steps = fs_json_at(config, "evaluate.steps");
    const bool asked = (int)json_array_size(steps) == rows, known = asked || row->cell_count == rows;

    file->step_count = known && rows <= FS_RESULT_STEPS_MAX ? rows : 0;
    for (int i = 0; i < file->step_count; i++) {
        file->steps[i] = asked ? json_integer_value(json_array_get(steps, (size_t)i)) : row->cells[i].steps;
    }
    json_decref(config);
    return file->step_count > 0;
}

static fs_status read_grid(const struct fs_result_row *row, struct grid_file *file, struct fs_sample_grid *grid,
                           struct fs_error *error)
{
    FS_TRY(fs_sample_grid_read(file->path, GRID_COLUMNS, grid, error));
    if (!find_steps(row, grid->rows, file)) {
        free(grid->picture.pixels);
        return fs_fail(error, FS_USAGE,
                       "%s: its %d rows are not the numbers of steps that its run's configuration asks for; remove it, "
                       "and `fewstep run` draws it again",
                       file->path, grid->rows);
    }
    return FS_OK;
}

/* Pixels a side that keep all pictures of the page within bounds. */
static int side_limit(const struct fs_page *page)
{
    size_t cells = 0;
    int side = 64;

    for (int i = 0; i < page->experiment_count; i++) {
        const struct fs_result_section *section = fs_results_main(&page->experiments[i].results);
        cells += section ? (size_t)section->row_count * (size_t)section->step_count : 0;
    }
    /* Colour pictures compress to about half, base64 adds a third. */
    while (side > 8 && cells * GRID_COLUMNS * (size_t)(side * side) * 2 > BYTES_MAX) {
        side -= 4;
    }
    return side;
}

/* The samples at a number of steps; a dash where the run has no score there, or the grid no row. */
static fs_status print_cell(const struct fs_page *page, const struct fs_result_cell *cell, const struct grid_file *file,
                            const struct fs_sample_grid *grid, struct fs_error *error)
{
    struct fs_picture part;
    int at = 0;

    while (cell && at < file->step_count && file->steps[at] != cell->steps) {
        at++;
    }
    if (!cell || at == file->step_count) {
        fs_html(page->out, "<td>" FS_NO_VALUE);
        return FS_OK;
    }
    const int place = fs_page_place(page, cell);
    FS_TRY(fs_sample_grid_part(grid, at, ACROSS, side_limit(page), &part, error));
    fs_html(page->out, "<td><a href=\"#n%d\"><img width=%d height=%d alt=\"%d samples: %s, seed %ld\" src=\"", place,
            part.width, part.height, GRID_COLUMNS, page->numbers[place - 1].what, (long)file->of->seed);
    const fs_status status = fs_picture_print(&part, page->out, error);
    free(part.pixels);
    fs_html(page->out, "\"></a>");
    return status;
}

/* *why: the reasons for rows without pictures, a line each; owned by the caller. */
static fs_status print_row(const struct fs_page *page, const struct fs_page_experiment *experiment,
                           const struct fs_result_section *section, const struct fs_result_row *row, char **why,
                           struct fs_error *error)
{
    struct grid_file file;
    struct fs_sample_grid grid;
    struct fs_error reason;
    char name[FS_PAGE_NAME];
    fs_status status = FS_OK;

    find_file(page, experiment, row, &file);
    fs_html(page->out, "<tr><th scope=row>");
    if (!file.of || read_grid(row, &file, &grid, &reason) != FS_OK) {
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
        status = print_cell(page, fs_result_cell_at(row, section->steps[i]), &file, &grid, error);
    }
    fs_html(page->out, "\n");
    free(grid.picture.pixels);
    return status;
}

fs_status fs_page_samples(struct fs_page *page, const struct fs_page_experiment *experiment, struct fs_error *error)
{
    const struct fs_result_section *section = fs_page_section(experiment, 0);
    const char *name = experiment->results.experiment.name;
    struct grid_file any = {.of = NULL};
    char *why = NULL;
    fs_status status = FS_OK;

    for (int i = 0; i < section->row_count && !any.of; i++) {
        find_file(page, experiment, &section->rows[i], &any);
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
        status = print_row(page, experiment, section, &section->rows[i], &why, error);
    }
    fs_html(page->out, "</table></div><figcaption>Twelve samples at each number of steps, not chosen: the first of the "
                       "noise bank. The same noise and label stand in the same place of every picture.</figcaption>"
                       "</figure>\n");
    if (status == FS_OK && why) {
        return fs_page_missing(page, why, error);
    }
    free(why);
    return status;
}
