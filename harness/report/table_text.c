/* The table as aligned text or Markdown. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/grid.h"
#include "harness/report/origins.h"
#include "harness/report/table_views.h"
#include "harness/results/hypotheses.h"
#include "harness/text/escape.h"
#include "harness/text/number.h"
#include "kernels/base/memory.h"

#define NOT_CONFIRMED "†"
#define ORDER_NOTE                                                                                                     \
    "bold: best of its column, underlined: second, where the differences are more than noise (t intervals of log "     \
    "ratios over common seeds, Holm's correction over the table, alpha 0.05)"

struct table {
    const struct fs_results *results;
    const struct fs_result_section *section;
    bool markdown, published;
    bool updates; /* a column of them stands beside the work: not where the rows differ in them and have one already */
    struct fs_grid grid;
};

const char *fs_row_values(const struct fs_result_row *row, char text[FS_VALUES_TEXT])
{
    size_t length = 0;

    text[0] = 0;
    for (int i = 0; i < FS_RESULT_VARIED_MAX; i++) {
        if (row->varied[i] && length < FS_VALUES_TEXT) {
            length +=
                (size_t)snprintf(text + length, FS_VALUES_TEXT - length, "%s%s", length ? ", " : "", row->varied[i]);
        }
    }
    return text;
}

void fs_published_text(double value, char text[FS_NUMBER_TEXT])
{
    fs_shortest(value, text);
    if (!strpbrk(text, ".e")) {
        snprintf(text, FS_NUMBER_TEXT, "%.1f", value);
    }
}

const char *fs_published_metric(const struct fs_result_section *setting)
{
    return strcmp(setting->measure.metric, "fid") == 0 ? "FID" : setting->measure.metric;
}

bool fs_all_confirmed(const struct fs_result_section *setting)
{
    for (int r = 0; r < setting->row_count; r++) {
        for (int c = 0; c < setting->rows[r].cell_count; c++) {
            if (!setting->rows[r].cells[c].confirmed) {
                return false;
            }
        }
    }
    return true;
}

/* --- cells and rows --- */

static void write_cell(const struct table *table, const struct fs_result_cell *cell, char text[FS_GRID_TEXT])
{
    static const char *const before[] = {"", "**", "<u>"}, *const behind[] = {"", "**", "</u>"};
    const int order = table->markdown ? (int)cell->order : FS_CELL_UNORDERED;
    const char *open = cell->use == FS_CELL_OUTSIDE ? "(" : "", *close = *open ? ")" : "";
    char value[FS_NUMBER_TEXT], deviation[FS_NUMBER_TEXT];

    if (cell->origin == FS_CELL_PUBLISHED) {
        fs_published_text(cell->mean, value);
        snprintf(text, FS_GRID_TEXT, "%s%s%s%s", open, value, close, cell->confirmed ? "" : NOT_CONFIRMED);
        return;
    }
    fs_three_digits(cell->mean, value);
    fs_three_digits(cell->error, deviation);
    if (cell->seeds == 1) {
        snprintf(text, FS_GRID_TEXT, "%s%s%s%s%s", open, before[order], value, behind[order], close);
    } else {
        snprintf(text, FS_GRID_TEXT, "%s%s%s%s ± %s%s (%d)", open, before[order], value, behind[order], deviation,
                 close, cell->seeds);
    }
}

/* Where each sample set alone could have led: the bootstrap intervals of a row of single runs. */
static fs_status note_intervals(struct table *table, const struct fs_result_row *row, struct fs_error *error)
{
    char low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT], values[FS_VALUES_TEXT];
    char *line = NULL;

    for (int c = 0; c < row->cell_count; c++) {
        const struct fs_result_cell *cell = &row->cells[c];
        if (cell->seeds != 1 || !isfinite(cell->low) || !isfinite(cell->high)) {
            continue;
        }
        fs_three_digits(cell->low, low);
        fs_three_digits(cell->high, high);
        char *longer =
            fs_format(error, "%s%s %s – %s (%" PRId64 ")", line ? line : "", line ? "," : "", low, high, cell->steps);
        free(line);
        line = longer;
        if (!line) {
            return FS_FAILED;
        }
    }
    if (!line) {
        return FS_OK;
    }
    fs_row_values(row, values);
    char *note =
        fs_format(error, "95 %% interval over samples, %s%s%s:%s", row->name, *values ? " " : "", values, line);
    free(line);
    return fs_grid_made_note(&table->grid, note, error);
}

static fs_status fill_row(struct table *table, int place, struct fs_error *error)
{
    const struct fs_result_section *section = table->section;
    const struct fs_result_row *row = &section->rows[place];
    struct fs_grid *grid = &table->grid;
    bool unknown = false;
    int column = 0;

    snprintf(fs_grid_at(grid, place + 1, column++), FS_GRID_TEXT, "%s", row->name);
    for (int i = 0; i < table->results->varied_count && !table->published; i++, column++) {
        if (row->varied[i]) {
            snprintf(fs_grid_at(grid, place + 1, column), FS_GRID_TEXT, "%s", row->varied[i]);
        }
    }
    for (int i = 0; i < section->step_count; i++, column++) {
        const struct fs_result_cell *cell = fs_result_cell_at(row, section->steps[i]);
        if (cell) {
            write_cell(table, cell, fs_grid_at(grid, place + 1, column));
            unknown = unknown || cell->use == FS_CELL_USE_UNKNOWN;
        }
    }
    if (table->published) {
        return FS_OK;
    }
    if (table->updates) {
        snprintf(fs_grid_at(grid, place + 1, column++), FS_GRID_TEXT, "%" PRId64, row->cells->scores->updates);
    }
    fs_three_digits(row->cells->scores->flops * 1e-12, fs_grid_at(grid, place + 1, column));
    if (unknown) {
        FS_TRY(fs_grid_made_note(
            grid, fs_format(error, "%s: no parentheses, this build cannot read its configuration", row->name), error));
    }
    return note_intervals(table, row, error);
}

static void fill_heading(struct table *table)
{
    struct fs_grid *grid = &table->grid;
    int column = 0;

    snprintf(fs_grid_at(grid, 0, column++), FS_GRID_TEXT, "%s", table->published ? "method (published)" : "method");
    for (int i = 0; i < table->results->varied_count && !table->published; i++) {
        snprintf(fs_grid_at(grid, 0, column++), FS_GRID_TEXT, "%s", table->results->varied_name[i]);
    }
    grid->left = column;
    for (int i = 0; i < table->section->step_count; i++) {
        snprintf(fs_grid_at(grid, 0, column++), FS_GRID_TEXT, "%" PRId64 " step%s", table->section->steps[i],
                 table->section->steps[i] == 1 ? "" : "s");
    }
    if (table->updates) {
        snprintf(fs_grid_at(grid, 0, column++), FS_GRID_TEXT, "updates");
    }
    if (!table->published) {
        snprintf(fs_grid_at(grid, 0, column), FS_GRID_TEXT, "TFLOP");
    }
}

/* Nothing was trained for it: no updates and no FLOPs. */
static fs_status fill_exact(struct table *table, struct fs_error *error)
{
    const struct fs_result_section *section = table->section;

    for (int r = 0; r < section->exact_count; r++) {
        const int place = 1 + section->row_count + r;
        snprintf(fs_grid_at(&table->grid, place, 0), FS_GRID_TEXT, "%s", section->exact[r].name);
        for (int i = 0; i < section->step_count; i++) {
            const struct fs_result_cell *cell = fs_result_cell_at(&section->exact[r], section->steps[i]);
            if (cell) {
                write_cell(table, cell, fs_grid_at(&table->grid, place, table->grid.left + i));
            }
        }
    }
    return section->exact_count == 0
               ? FS_OK
               : fs_grid_note(
                     &table->grid,
                     "exact velocity: what flow matching would draw if it had learned its training set "
                     "perfectly: in one step its mean picture, with labels that of each; with steps enough its own "
                     "pictures again; no network",
                     error);
}

static fs_status fill_data(struct table *table, struct fs_error *error)
{
    const struct fs_result_section *section = table->section;
    const int row = table->grid.rows - 1;

    snprintf(fs_grid_at(&table->grid, row, 0), FS_GRID_TEXT, "data: %s split", section->data_split);
    /* Data is drawn in no steps: its score is that of every column. */
    for (int i = 0; i < section->step_count; i++) {
        fs_three_digits(section->data->mean, fs_grid_at(&table->grid, row, table->grid.left + i));
    }
    return section->data->scores->samples == section->measure.samples
               ? FS_OK
               : fs_grid_made_note(&table->grid,
                                   fs_format(error, "data: %" PRId64 " samples (fewer samples score higher)",
                                             section->data->scores->samples),
                                   error);
}

/* --- notes --- */

static fs_status add_hypotheses(struct table *table, struct fs_error *error)
{
    const struct fs_results *results = table->results;

    if (results->hypothesis_count == 0 || table->section != fs_results_main(results)) {
        return FS_OK;
    }
    FS_TRY(fs_grid_note(&table->grid, fs_hypotheses_heading(results), error));
    for (int i = 0; i < results->hypothesis_count; i++) {
        FS_TRY(fs_grid_made_note(&table->grid, fs_hypothesis_text(&results->hypotheses[i], error), error));
    }
    return FS_OK;
}

/* What the signs mean, of those that the table has; and where its numbers are from. */
static fs_status add_notes(struct table *table, struct fs_error *error)
{
    const struct fs_result_section *section = table->section;
    bool means = false, outside = false, ordered = false;

    for (int r = 0; r < section->row_count; r++) {
        for (int c = 0; c < section->rows[r].cell_count; c++) {
            const struct fs_result_cell *cell = &section->rows[r].cells[c];
            means = means || cell->seeds > 1;
            outside = outside || cell->use == FS_CELL_OUTSIDE;
            ordered = ordered || (table->markdown && cell->order != FS_CELL_UNORDERED);
        }
    }
    FS_TRY(means ? fs_grid_note(&table->grid, "mean ± standard error (seeds)", error) : FS_OK);
    FS_TRY(outside ? fs_grid_note(&table->grid,
                                  "in parentheses: at a number of steps that the method was not trained for", error)
                   : FS_OK);
    FS_TRY(ordered ? fs_grid_note(&table->grid, ORDER_NOTE, error) : FS_OK);
    for (int i = 0; i < section->remark_count; i++) {
        FS_TRY(fs_grid_note(&table->grid, section->remarks[i], error));
    }
    FS_TRY(add_hypotheses(table, error));
    FS_TRY(fs_grid_note(&table->grid, "updates and TFLOP are of one training, its teacher's share included", error));
    FS_TRY(fs_grid_made_note(&table->grid, fs_result_builds(section, error), error));
    return table->results->older == 0
               ? FS_OK
               : fs_grid_made_note(&table->grid,
                                   fs_format(error, "%d older run%s of other sources left out", table->results->older,
                                             table->results->older == 1 ? "" : "s"),
                                   error);
}

static fs_status add_published_notes(struct table *table, struct fs_error *error)
{
    const struct fs_result_section *section = table->section;

    FS_TRY(fs_grid_made_note(&table->grid, fs_format(error, "from %s", section->source), error));
    FS_TRY(fs_all_confirmed(section)
               ? FS_OK
               : fs_grid_note(&table->grid, NOT_CONFIRMED ": as reported, not confirmed in a second place", error));
    for (int r = 0; r < section->row_count; r++) {
        if (section->rows[r].confirmed_in[0]) {
            FS_TRY(fs_grid_made_note(
                &table->grid,
                fs_format(error, "%s: confirmed in %s", section->rows[r].name, section->rows[r].confirmed_in), error));
        }
    }
    return FS_OK;
}

/* --- the whole --- */

static bool varies_updates(const struct fs_results *results)
{
    for (int i = 0; i < results->varied_count; i++) {
        if (strcmp(results->varied[i], "train.updates") == 0) {
            return true;
        }
    }
    return false;
}

static fs_status fill(struct table *table, struct fs_error *error)
{
    const struct fs_result_section *section = table->section;
    const int rows = 1 + section->row_count + section->exact_count + (section->data != NULL);
    const int columns =
        1 + section->step_count + table->updates + (table->published ? 0 : table->results->varied_count + 1);

    FS_TRY(fs_grid_make(&table->grid, rows, columns, FS_NO_VALUE, error));
    fill_heading(table);
    for (int r = 0; r < section->row_count; r++) {
        FS_TRY(fill_row(table, r, error));
    }
    FS_TRY(fill_exact(table, error));
    FS_TRY(section->data ? fill_data(table, error) : FS_OK);
    return table->published ? add_published_notes(table, error) : add_notes(table, error);
}

fs_status fs_table_text(const struct fs_results *results, const struct fs_result_section *section, bool markdown,
                        FILE *stream, struct fs_error *error)
{
    const bool published = section->source[0] != 0;
    struct table table = {results, section, markdown, published, !published && !varies_updates(results), {0}};
    const char *strong = markdown ? "**" : "";
    const fs_status status = fill(&table, error);

    if (status == FS_OK) {
        if (table.published) {
            fprintf(stream, "%spublished%s: %s, %s, %s, %" PRId64 " samples\n\n", strong, strong, section->title,
                    section->measure.model, fs_published_metric(section), section->measure.samples);
        } else {
            void (*put)(const char *text, FILE *to) = markdown ? fs_put_markdown : fs_put_plain;
            fputs(strong, stream);
            put(results->experiment.name, stream);
            fprintf(stream, "%s: ", strong);
            put(section->about, stream);
            fputs("\n\n", stream);
        }
        fs_grid_print(&table.grid, markdown, stream);
    }
    fs_grid_free(&table.grid);
    return status;
}
