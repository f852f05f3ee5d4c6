/* The table: methods × steps, mean ± standard error over seeds. Scores come sorted (table_scores.h), so a section, a
 * row and a cell are each a stretch of the list, found by walking on while the next score belongs to it. */
#include "harness/report/table.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/grid.h"
#include "harness/text/number.h"
#include "harness/report/published.h"
#include "harness/report/table_section.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

/* --- one section as a grid of texts --- */

struct grid {
    struct fs_grid texts;
    bool any_error, any_outside, any_mark;
    enum fs_mark *marks; /* [rows of scores × steps]; NULL: not shown */
};

static void write_cell(struct grid *grid, char text[FS_GRID_TEXT], struct fs_stretch cell, bool outside,
                       enum fs_mark mark)
{
    static const char *const before[] = {"", "**", "<u>"}, *const behind[] = {"", "**", "</u>"};
    char value[FS_NUMBER_TEXT], deviation[FS_NUMBER_TEXT], marked[FS_NUMBER_TEXT + 8];
    double mean, error;

    fs_mean_and_error(cell, &mean, &error);
    fs_three_digits(mean, value);
    fs_three_digits(error, deviation);
    snprintf(marked, sizeof(marked), "%s%s%s", before[mark], value, behind[mark]);
    const char *open = outside ? "(" : "", *close = outside ? ")" : "";
    if (cell.count == 1) {
        snprintf(text, FS_GRID_TEXT, "%s%s%s", open, marked, close);
    } else {
        snprintf(text, FS_GRID_TEXT, "%s%s ± %s%s (%d)", open, marked, deviation, close, cell.count);
    }
    grid->any_error |= cell.count > 1;
    grid->any_outside |= outside;
    grid->any_mark |= mark != FS_MARK_NONE;
}

/* Where each sample set alone could have led: the bootstrap intervals of a row of single runs. */
static fs_status note_intervals(const struct fs_section *section, struct grid *grid, struct fs_stretch row,
                                int grid_row, struct fs_error *error)
{
    struct fs_stretch cell;
    char *line = NULL;

    for (int at = 0; fs_next_stretch(row, &at, fs_same_cell, &cell);) {
        char low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];
        if (cell.count > 1 || !isfinite(cell.first->low) || !isfinite(cell.first->high)) {
            continue;
        }
        fs_three_digits(cell.first->low, low);
        fs_three_digits(cell.first->high, high);
        char *longer = fs_format(error, "%s%s %s – %s (%" PRId64 ")", line ? line : "", line ? "," : "", low, high,
                                 cell.first->steps);
        free(line);
        line = longer;
        if (!line) {
            return FS_FAILED;
        }
    }
    if (!line) {
        return FS_OK;
    }
    const char *ablated = section->experiment->ablated[0] ? fs_grid_at(&grid->texts, grid_row, 1) : "";
    char *note = fs_format(error, "95 %% interval over samples, %s%s%s:%s", fs_grid_at(&grid->texts, grid_row, 0),
                           *ablated ? " " : "", ablated, line);
    free(line);
    return fs_grid_made_note(&grid->texts, note, error);
}

static fs_status fill_row(const struct fs_section *section, struct grid *grid, int grid_row, struct fs_stretch row,
                          struct fs_error *error)
{
    struct fs_stretch cell;
    int column = 0;
    bool known = true;

    snprintf(fs_grid_at(&grid->texts, grid_row, column++), FS_GRID_TEXT, "%s",
             fs_method_label(row.first->text[FS_TEXT_METHOD]));
    if (section->experiment->ablated[0]) {
        fs_ablated_value(row.first, section->experiment->ablated, fs_grid_at(&grid->texts, grid_row, column++),
                         FS_GRID_TEXT);
    }
    for (int at = 0; fs_next_stretch(row, &at, fs_same_cell, &cell);) {
        const int64_t steps = cell.first->steps;
        for (int i = 0; i < section->step_count; i++) {
            if (section->steps[i] == steps) {
                write_cell(grid, fs_grid_at(&grid->texts, grid_row, column + i), cell,
                           fs_outside_training(cell.first, &known),
                           grid->marks ? grid->marks[(grid_row - 1) * section->step_count + i] : FS_MARK_NONE);
            }
        }
    }
    column += section->step_count;
    snprintf(fs_grid_at(&grid->texts, grid_row, column++), FS_GRID_TEXT, "%" PRId64, row.first->updates);
    fs_three_digits(row.first->flops * 1e-12, fs_grid_at(&grid->texts, grid_row, column));
    if (!known) {
        FS_TRY(fs_grid_made_note(&grid->texts,
                                 fs_format(error, "%s: no parentheses, this build cannot read its configuration",
                                           fs_grid_at(&grid->texts, grid_row, 0)),
                                 error));
    }
    return note_intervals(section, grid, row, grid_row, error);
}

static void fill_heading(const struct fs_section *section, struct grid *grid)
{
    const char *ablated = section->experiment->ablated, *dot = strrchr(ablated, '.');
    int column = 0;

    snprintf(fs_grid_at(&grid->texts, 0, column++), FS_GRID_TEXT, "method");
    if (*ablated) {
        snprintf(fs_grid_at(&grid->texts, 0, column++), FS_GRID_TEXT, "%s", dot ? dot + 1 : ablated);
    }
    grid->texts.left = column;
    for (int i = 0; i < section->step_count; i++) {
        snprintf(fs_grid_at(&grid->texts, 0, column++), FS_GRID_TEXT, "%" PRId64 " step%s", section->steps[i],
                 section->steps[i] == 1 ? "" : "s");
    }
    snprintf(fs_grid_at(&grid->texts, 0, column++), FS_GRID_TEXT, "updates");
    snprintf(fs_grid_at(&grid->texts, 0, column), FS_GRID_TEXT, "TFLOP");
}

static fs_status fill_floor(const struct fs_section *section, struct grid *grid, struct fs_error *error)
{
    const struct fs_table_score *floor = section->floor;
    const int row = grid->texts.rows - 1;

    snprintf(fs_grid_at(&grid->texts, row, 0), FS_GRID_TEXT, "data: %s split", fs_split_name(floor));
    /* Data is drawn in no steps: its score is the floor of every column. */
    for (int i = 0; i < section->step_count; i++) {
        fs_three_digits(floor->value, fs_grid_at(&grid->texts, row, grid->texts.left + i));
    }
    return floor->samples == section->all.first->samples
               ? FS_OK
               : fs_grid_made_note(
                     &grid->texts,
                     fs_format(error, "data: %" PRId64 " samples (fewer samples score higher)", floor->samples), error);
}

static fs_status add_notes(const struct fs_section *section, struct grid *grid, struct fs_error *error)
{
    if (grid->any_error) {
        FS_TRY(fs_grid_note(&grid->texts, "mean ± standard error (seeds)", error));
    }
    if (grid->any_outside) {
        FS_TRY(fs_grid_note(&grid->texts, "in parentheses: at a number of steps that the method was not trained for",
                            error));
    }
    if (grid->any_mark) {
        FS_TRY(fs_grid_note(&grid->texts, FS_MARKS_NOTE, error));
    }
    FS_TRY(fs_grid_note(&grid->texts, "updates and TFLOP are of one training, its teacher's share included", error));
    FS_TRY(fs_grid_made_note(&grid->texts, fs_section_origins(section, error), error));
    return section->scores->older == 0
               ? FS_OK
               : fs_grid_made_note(&grid->texts,
                                   fs_format(error, "%d older run%s of other sources left out", section->scores->older,
                                             section->scores->older == 1 ? "" : "s"),
                                   error);
}

static fs_status fill_grid(const struct fs_section *section, struct grid *grid, struct fs_error *error)
{
    struct fs_stretch row;
    int grid_row = 1, rows = 1 + (section->floor != NULL);

    for (int at = 0; fs_next_stretch(section->all, &at, fs_same_row, &row);) {
        rows++;
    }
    FS_TRY(fs_grid_make(&grid->texts, rows, 3 + (section->experiment->ablated[0] != 0) + section->step_count,
                        FS_NO_VALUE, error));
    fill_heading(section, grid);
    for (int at = 0; fs_next_stretch(section->all, &at, fs_same_row, &row);) {
        FS_TRY(fill_row(section, grid, grid_row++, row, error));
    }
    if (section->floor) {
        FS_TRY(fill_floor(section, grid, error));
    }
    return add_notes(section, grid, error);
}

/* --- printing --- */

static void print_title(const struct fs_section *section, bool markdown, FILE *stream)
{
    const char *strong = markdown ? "**" : "";
    char about[512];

    fs_section_title(section->all.first, about, sizeof(about));
    fprintf(stream, "%s%s%s: %s\n\n", strong, section->experiment->name, strong, about);
}

static fs_status print_grid(const struct fs_section *section, bool markdown, FILE *stream, struct fs_error *error)
{
    struct grid grid = {0};
    fs_status status = markdown ? fs_section_marks(section, &grid.marks, error) : FS_OK;

    if (status == FS_OK) {
        status = fill_grid(section, &grid, error);
    }
    if (status == FS_OK) {
        print_title(section, markdown, stream);
        fs_grid_print(&grid.texts, markdown, stream);
    }
    fs_grid_free(&grid.texts);
    free(grid.marks);
    return status;
}

/* --- the whole --- */

static fs_status print_section(const struct fs_section *section, enum fs_table_format format, FILE *stream,
                               struct fs_error *error)
{
    switch (format) {
    case FS_TABLE_CSV:
        return fs_csv_section(section, stream, error);
    case FS_TABLE_LATEX:
        return fs_latex_section(section, stream, error);
    default:
        return print_grid(section, format == FS_TABLE_MARKDOWN, stream, error);
    }
}

/* What papers published for the setting of a section. */
static fs_status print_published(const struct fs_section *section, const struct fs_table_request *request, FILE *stream,
                                 struct fs_error *error)
{
    const struct fs_table_score *of = section->all.first;
    const struct fs_published_setting *setting =
        request->published ? fs_published_for(request->published, of->text[FS_TEXT_DATASET], of->text[FS_TEXT_MODEL],
                                              of->text[FS_TEXT_METRIC])
                           : NULL;

    if (!setting) {
        return FS_OK;
    }
    fputs(request->format == FS_TABLE_CSV ? "" : "\n", stream);
    return fs_published_print(setting, request->format, stream, error);
}

static fs_status print_sections(const struct fs_experiment_name *experiment, const struct fs_table_scores *scores,
                                const struct fs_table_request *request, FILE *stream, struct fs_error *error)
{
    const struct fs_stretch all = {scores->runs, scores->run_count};
    struct fs_stretch part;

    if (all.count == 0) {
        return fs_fail(error, FS_USAGE, "%s: no run of it has a score yet; `fewstep run` with its file makes them",
                       experiment->name);
    }
    if (request->format == FS_TABLE_CSV) {
        fs_csv_heading(experiment, stream);
    }
    for (int at = 0; fs_next_stretch(all, &at, fs_same_section, &part);) {
        const struct fs_section section = fs_section_make(scores, experiment, part);
        fputs(request->format != FS_TABLE_CSV && part.first != all.first ? "\n" : "", stream);
        FS_TRY(print_section(&section, request->format, stream, error));
        FS_TRY(print_published(&section, request, stream, error));
    }
    return FS_OK;
}

/* Of an experiment's files (an edited one is another row of the same name), the one used last that has scores of the
 * source. `found` holds the name, and takes the row. */
static fs_status experiment_of_source(struct fs_store *store, const struct fs_table_filter *filter,
                                      struct fs_experiment_name *found, struct fs_error *error)
{
    return fs_query_whole(fs_store_handle(store), &found->id, found->id, error,
                          "SELECT e.id FROM experiments e WHERE e.name = ?1 AND EXISTS (SELECT 1 FROM "
                          "experiment_scores m JOIN scores s ON s.number = m.score JOIN runs r ON r.number = s.run "
                          "WHERE m.experiment = e.id AND r.source_hash = ?2) ORDER BY e.used DESC, e.id DESC LIMIT 1",
                          "tt", found->name, filter->source);
}

fs_status fs_table_print(struct fs_store *store, const struct fs_table_request *request, FILE *stream,
                         struct fs_error *error)
{
    struct fs_experiment_name found;
    struct fs_table_scores scores;

    FS_TRY(fs_experiment_find(store, request->experiment, &found, error));
    if (request->filter.source) {
        FS_TRY(experiment_of_source(store, &request->filter, &found, error));
    }
    fs_status status = fs_table_scores_read(store, found.id, &request->filter, &scores, error);
    if (status == FS_OK) {
        status = print_sections(&found, &scores, request, stream, error);
    }
    fs_table_scores_free(&scores);
    return status;
}
