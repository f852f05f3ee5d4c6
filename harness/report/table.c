/* The table: methods × steps, mean ± standard error over seeds. Scores come sorted (table_scores.h), so a section, a
 * row and a cell are each a stretch of the list, found by walking on while the next score belongs to it. */
#include "harness/report/table.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/number.h"
#include "harness/report/table_section.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

#define CELL_TEXT 112

/* --- one section as a grid of texts --- */

struct grid {
    char (*cells)[CELL_TEXT]; /* [rows, columns]; the first row is the heading */
    int rows, columns;
    int left;    /* columns that are aligned to the left */
    char *notes; /* lines below the table */
    bool any_error, any_outside, any_mark;
    enum fs_mark *marks; /* [rows of scores × steps]; NULL: not shown */
};

static char *cell_at(struct grid *grid, int row, int column)
{
    return grid->cells[row * grid->columns + column];
}

static fs_status add_note(struct grid *grid, const char *note, struct fs_error *error)
{
    char *longer = note ? fs_format(error, "%s%s\n", grid->notes ? grid->notes : "", note) : NULL;

    if (!longer) {
        return FS_FAILED;
    }
    free(grid->notes);
    grid->notes = longer;
    return FS_OK;
}

/* Adds a formatted note, and frees it. */
static fs_status add_made_note(struct grid *grid, char *note, struct fs_error *error)
{
    const fs_status status = add_note(grid, note, error);

    free(note);
    return status;
}

static void write_cell(struct grid *grid, char text[CELL_TEXT], struct fs_stretch cell, bool outside, enum fs_mark mark)
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
        snprintf(text, CELL_TEXT, "%s%s%s", open, marked, close);
    } else {
        snprintf(text, CELL_TEXT, "%s%s ± %s%s (%d)", open, marked, deviation, close, cell.count);
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
    const char *ablated = section->experiment->ablated[0] ? cell_at(grid, grid_row, 1) : "";
    char *note = fs_format(error, "95 %% interval over samples, %s%s%s:%s", cell_at(grid, grid_row, 0),
                           *ablated ? " " : "", ablated, line);
    free(line);
    return add_made_note(grid, note, error);
}

static fs_status fill_row(const struct fs_section *section, struct grid *grid, int grid_row, struct fs_stretch row,
                          struct fs_error *error)
{
    struct fs_stretch cell;
    int column = 0;
    bool known = true;

    snprintf(cell_at(grid, grid_row, column++), CELL_TEXT, "%s", fs_method_label(row.first->text[FS_TEXT_METHOD]));
    if (section->experiment->ablated[0]) {
        fs_ablated_value(row.first, section->experiment->ablated, cell_at(grid, grid_row, column++), CELL_TEXT);
    }
    for (int at = 0; fs_next_stretch(row, &at, fs_same_cell, &cell);) {
        const int64_t steps = cell.first->steps;
        for (int i = 0; i < section->step_count; i++) {
            if (section->steps[i] == steps) {
                write_cell(grid, cell_at(grid, grid_row, column + i), cell, fs_outside_training(cell.first, &known),
                           grid->marks ? grid->marks[(grid_row - 1) * section->step_count + i] : FS_MARK_NONE);
            }
        }
    }
    column += section->step_count;
    snprintf(cell_at(grid, grid_row, column++), CELL_TEXT, "%" PRId64, row.first->updates);
    fs_three_digits(row.first->flops * 1e-12, cell_at(grid, grid_row, column));
    if (!known) {
        FS_TRY(add_made_note(grid,
                             fs_format(error, "%s: no parentheses, this build cannot read its configuration",
                                       cell_at(grid, grid_row, 0)),
                             error));
    }
    return note_intervals(section, grid, row, grid_row, error);
}

static void fill_heading(const struct fs_section *section, struct grid *grid)
{
    const char *ablated = section->experiment->ablated, *dot = strrchr(ablated, '.');
    int column = 0;

    snprintf(cell_at(grid, 0, column++), CELL_TEXT, "method");
    if (*ablated) {
        snprintf(cell_at(grid, 0, column++), CELL_TEXT, "%s", dot ? dot + 1 : ablated);
    }
    grid->left = column;
    for (int i = 0; i < section->step_count; i++) {
        snprintf(cell_at(grid, 0, column++), CELL_TEXT, "%" PRId64 " step%s", section->steps[i],
                 section->steps[i] == 1 ? "" : "s");
    }
    snprintf(cell_at(grid, 0, column++), CELL_TEXT, "updates");
    snprintf(cell_at(grid, 0, column), CELL_TEXT, "TFLOP");
}

static fs_status fill_floor(const struct fs_section *section, struct grid *grid, struct fs_error *error)
{
    const struct fs_table_score *floor = section->floor;
    const int row = grid->rows - 1;

    snprintf(cell_at(grid, row, 0), CELL_TEXT, "data: %s split", fs_split_name(floor));
    /* Data is drawn in no steps: its score is the floor of every column. */
    for (int i = 0; i < section->step_count; i++) {
        fs_three_digits(floor->value, cell_at(grid, row, grid->left + i));
    }
    return floor->samples == section->all.first->samples
               ? FS_OK
               : add_made_note(
                     grid, fs_format(error, "data: %" PRId64 " samples (fewer samples score higher)", floor->samples),
                     error);
}

static fs_status add_notes(const struct fs_section *section, struct grid *grid, struct fs_error *error)
{
    if (grid->any_error) {
        FS_TRY(add_note(grid, "mean ± standard error (seeds)", error));
    }
    if (grid->any_outside) {
        FS_TRY(add_note(grid, "in parentheses: at a number of steps that the method was not trained for", error));
    }
    if (grid->any_mark) {
        FS_TRY(add_note(grid, FS_MARKS_NOTE, error));
    }
    FS_TRY(add_note(grid, "updates and TFLOP are of one training, its teacher's share included", error));
    FS_TRY(add_made_note(grid, fs_section_origins(section, error), error));
    return section->scores->older == 0
               ? FS_OK
               : add_made_note(grid,
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
    grid->rows = rows;
    grid->columns = 3 + (section->experiment->ablated[0] != 0) + section->step_count;
    grid->cells = fs_allocate((size_t)rows * (size_t)grid->columns, CELL_TEXT, "a table", error);
    if (!grid->cells) {
        return FS_FAILED;
    }
    for (int i = 0; i < rows * grid->columns; i++) {
        snprintf(grid->cells[i], CELL_TEXT, "%s", FS_NO_VALUE);
    }
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

/* Characters, not bytes: what UTF-8 continues does not count. */
static int text_width(const char *text)
{
    int width = 0;

    for (; *text; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static void print_title(const struct fs_section *section, bool markdown, FILE *stream)
{
    const char *strong = markdown ? "**" : "";
    char about[512];

    fs_section_title(section->all.first, about, sizeof(about));
    fprintf(stream, "%s%s%s: %s\n\n", strong, section->experiment->name, strong, about);
}

static void print_aligned(struct grid *grid, FILE *stream)
{
    for (int row = 0; row < grid->rows; row++) {
        for (int column = 0; column < grid->columns; column++) {
            const char *text = cell_at(grid, row, column);
            int width = 0;
            for (int other = 0; other < grid->rows; other++) {
                const int its = text_width(cell_at(grid, other, column));
                width = its > width ? its : width;
            }
            const int space = width - text_width(text);
            const bool left = column < grid->left;
            fprintf(stream, "%s%*s%s%*s", column ? "  " : "", left ? 0 : space, "", text, left ? space : 0, "");
        }
        fputc('\n', stream);
    }
}

static void print_markdown(struct grid *grid, FILE *stream)
{
    for (int row = 0; row < grid->rows; row++) {
        for (int column = 0; column < grid->columns; column++) {
            fprintf(stream, "| %s ", cell_at(grid, row, column));
        }
        fputs("|\n", stream);
        for (int column = 0; row == 0 && column < grid->columns; column++) {
            fputs(column < grid->left ? "|---" : "|--:", stream);
        }
        fputs(row == 0 ? "|\n" : "", stream);
    }
}

/* A line of text a note; in Markdown a list. */
static void print_notes(const struct grid *grid, bool markdown, FILE *stream)
{
    fputc('\n', stream);
    for (const char *line = grid->notes; *line; line += strcspn(line, "\n") + 1) {
        fprintf(stream, "%s%.*s\n", markdown ? "- " : "", (int)strcspn(line, "\n"), line);
    }
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
        if (markdown) {
            print_markdown(&grid, stream);
        } else {
            print_aligned(&grid, stream);
        }
        print_notes(&grid, markdown, stream);
    }
    free(grid.cells);
    free(grid.notes);
    free(grid.marks);
    return status;
}

/* --- the whole --- */

static fs_status print_sections(const struct fs_experiment_name *experiment, const struct fs_table_scores *scores,
                                enum fs_table_format format, FILE *stream, struct fs_error *error)
{
    const struct fs_stretch all = {scores->runs, scores->run_count};
    struct fs_stretch part;

    if (all.count == 0) {
        return fs_fail(error, FS_USAGE, "%s: no run of it has a score yet; `fewstep run` with its file makes them",
                       experiment->name);
    }
    if (format == FS_TABLE_CSV) {
        fs_csv_heading(experiment, stream);
    }
    for (int at = 0; fs_next_stretch(all, &at, fs_same_section, &part);) {
        const struct fs_section section = fs_section_make(scores, experiment, part);
        if (format != FS_TABLE_CSV && part.first != all.first) {
            fputc('\n', stream);
        }
        switch (format) {
        case FS_TABLE_CSV:
            FS_TRY(fs_csv_section(&section, stream, error));
            break;
        case FS_TABLE_LATEX:
            FS_TRY(fs_latex_section(&section, stream, error));
            break;
        default:
            FS_TRY(print_grid(&section, format == FS_TABLE_MARKDOWN, stream, error));
        }
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

fs_status fs_table_print(struct fs_store *store, const char *experiment, const struct fs_table_filter *filter,
                         enum fs_table_format format, FILE *stream, struct fs_error *error)
{
    struct fs_experiment_name found;
    struct fs_table_scores scores;

    FS_TRY(fs_experiment_find(store, experiment, &found, error));
    if (filter && filter->source) {
        FS_TRY(experiment_of_source(store, filter, &found, error));
    }
    fs_status status = fs_table_scores_read(store, found.id, filter, &scores, error);
    if (status == FS_OK) {
        status = print_sections(&found, &scores, format, stream, error);
    }
    fs_table_scores_free(&scores);
    return status;
}
