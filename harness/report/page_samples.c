/* The samples of the page: a row a method, a column a number of steps, the same noise throughout. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "harness/report/picture.h"
#include "kernels/base/memory.h"

#define GRID_COLUMNS 12             /* samples of one noise bank in a grid of `run` */
#define ACROSS 3                    /* of them in a line of a cell */
#define BYTES_MAX (3 * 1024 * 1024) /* of all the page's pictures, about */

/* The grid of the lowest seed of a row that has one; "" where none has. */
static void find_file(const struct fs_page *page, const struct fs_page_experiment *experiment,
                      const struct fs_page_row *row, char path[1400], const struct fs_table_score **of)
{
    for (int i = 0; i < row->scores.count; i++) {
        const struct fs_table_score *score = &row->scores.first[i];
        if (score->steps != row->scores.first->steps) {
            break; /* the same runs at the next number of steps */
        }
        snprintf(path, 1400, "%s/%s/%s-%.8s-seed%" PRId64 ".png", page->options->samples, experiment->name.name,
                 score->text[FS_TEXT_METHOD], score->text[FS_TEXT_RUN], score->seed);
        if (access(path, R_OK) == 0) {
            *of = score;
            return;
        }
    }
    path[0] = '\0';
}

/* Pixels a side that keep all pictures of the page within bounds. */
static int side_limit(const struct fs_page *page)
{
    size_t cells = 0;
    int side = 64;

    for (int i = 0; i < page->experiment_count; i++) {
        if (page->experiments[i].section_count > 0) {
            const struct fs_page_section *section = &page->experiments[i].sections[0];
            cells += (size_t)section->row_count * (size_t)section->step_count;
        }
    }
    /* Colour pictures compress to about half, base64 adds a third. */
    while (side > 8 && cells * GRID_COLUMNS * (size_t)(side * side) * 2 > BYTES_MAX) {
        side -= 4;
    }
    return side;
}

static fs_status print_cells(struct fs_page *page, const struct fs_page_section *section, const struct fs_page_row *row,
                             const struct fs_sample_grid *grid, int64_t seed, struct fs_error *error)
{
    const int limit = side_limit(page);
    int at = 0;

    for (int i = 0; i < section->step_count; i++) {
        struct fs_picture part;
        if (row->numbers[i] == 0) {
            fs_html(page->out, "<td>" FS_NO_VALUE);
            continue;
        }
        FS_TRY(fs_sample_grid_part(grid, at++, ACROSS, limit, &part, error));
        fs_html(page->out, "<td><a href=\"#n%d\"><img width=%d height=%d alt=\"%d samples: %s, seed %ld\" src=\"",
                row->numbers[i], part.width, part.height, GRID_COLUMNS, fs_page_number(page, row->numbers[i])->what,
                (long)seed);
        const fs_status status = fs_picture_print(&part, page->out, error);
        free(part.pixels);
        FS_TRY(status);
        fs_html(page->out, "\"></a>");
    }
    return FS_OK;
}

/* *why: the reasons for rows without pictures, a line each; owned by the caller. */
static fs_status print_row(struct fs_page *page, const struct fs_page_experiment *experiment,
                           const struct fs_page_section *section, const struct fs_page_row *row, char **why,
                           struct fs_error *error)
{
    const struct fs_table_score *of = NULL;
    struct fs_sample_grid grid;
    struct fs_error reason;
    char path[1400];
    int rows = 0;

    for (int i = 0; i < section->step_count; i++) {
        rows += row->numbers[i] != 0;
    }
    find_file(page, experiment, row, path, &of);
    fs_html(page->out, "<tr><th scope=row>");
    if (!of || fs_sample_grid_read(path, rows, GRID_COLUMNS, &grid, &reason) != FS_OK) {
        fs_html(page->out, "%s<td colspan=%d>" FS_NO_VALUE "\n", row->name, section->step_count);
        char *more =
            of ? fs_format(error, "%s%s%s", *why ? *why : "", *why ? "\n" : "", reason.text)
               : fs_format(error, "%s%s%s: no grid of a run in %s/%s: `fewstep run` draws it when it scores a run.",
                           *why ? *why : "", *why ? "\n" : "", row->label, page->options->samples,
                           experiment->name.name);
        free(*why);
        *why = more;
        return more ? FS_OK : FS_FAILED;
    }
    fs_html(page->out, "<a href=\"#run-%.8s\">%s</a>", of->text[FS_TEXT_RUN], row->name);
    const fs_status status = print_cells(page, section, row, &grid, of->seed, error);
    fs_html(page->out, "\n");
    free(grid.picture.pixels);
    return status;
}

fs_status fs_page_samples(struct fs_page *page, const struct fs_page_experiment *experiment, struct fs_error *error)
{
    const struct fs_page_section *section = &experiment->sections[0];
    const struct fs_table_score *any = NULL;
    char path[1400], *why = NULL;
    fs_status status = FS_OK;

    for (int i = 0; i < section->row_count && !any; i++) {
        find_file(page, experiment, &section->rows[i], path, &any);
    }
    if (!any) {
        return fs_page_missing(page,
                               fs_format(error,
                                         "%s: no samples in %s/%s: `fewstep run` draws them when it scores a run; "
                                         "--samples names another folder.",
                                         experiment->name.name, page->options->samples, experiment->name.name),
                               error);
    }
    fs_html(page->out,
            "<figure id=\"samples-%d\"><h3>Samples</h3><div class=scroll tabindex=0 role=region "
            "aria-label=\"Samples of %s\"><table class=samples><thead><tr><th scope=col>method",
            section->measure, experiment->name.name);
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
