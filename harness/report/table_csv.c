/* The table in long form, a line a cell: comma-separated values (RFC 4180). */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/origins.h"
#include "harness/report/table_views.h"
#include "harness/text/escape.h"
#include "harness/text/number.h"

static const char *const columns[] = {
    "experiment", "dataset",     "model",   "method",          "steps",         "guidance_scale", "extractor",
    "metric",     "n_seeds",     "mean",    "std_error",       "samples",       "train_updates",  "train_flops",
    "commit",     "source_hash", "run_ids", "teacher_updates", "teacher_flops", "wall_seconds",   "peak_bytes"};

/* Each field but the first begins with its comma. */
static void put_text(const char *text, FILE *stream)
{
    fputc(',', stream);
    fs_put_csv(text, stream);
}

/* Nothing for what is not finite. */
static void put_number(double value, FILE *stream)
{
    char text[FS_NUMBER_TEXT] = "";

    if (isfinite(value)) {
        fs_shortest(value, text);
    }
    fprintf(stream, ",%s", text);
}

/* Whether a section's samples were not drawn by the methods' own N equal steps: then all say how. */
static bool is_sampled_otherwise(const struct fs_results *results)
{
    bool otherwise = false;

    for (int i = 0; i < results->section_count; i++) {
        const struct fs_measure *of = &results->sections[i].measure;
        otherwise = otherwise || (*of->sampler && strcmp(of->sampler, FS_SCORE_SAMPLER) != 0) ||
                    (*of->time_grid && strcmp(of->time_grid, FS_SCORE_TIME_GRID) != 0);
    }
    return otherwise;
}

void fs_table_csv_heading(const struct fs_results *results, FILE *stream)
{
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        fprintf(stream, "%s%s", i ? "," : "", columns[i]);
    }
    fputs(is_sampled_otherwise(results) ? ",sampler,time_grid" : "", stream);
    fputs(results->labelled ? ",label" : "", stream);
    for (int i = 0; i < results->varied_count; i++) { /* without them rows could not be told apart */
        put_text(results->varied[i], stream);
    }
    fputc('\n', stream);
}

/* Where a cell comes from: builds and runs, each a set of words. */
struct provenance {
    char *commits, *sources, *runs;
};

static fs_status find_provenance(const struct fs_result_cell *cell, struct provenance *from, struct fs_error *error)
{
    for (int i = 0; i < cell->seeds; i++) {
        const char *run = cell->scores[i].run;
        FS_TRY(fs_add_origins(&from->commits, &from->sources, cell->scores[i].origins, error));
        FS_TRY(fs_add_word(&from->runs, run, strlen(run), error));
    }
    return FS_OK;
}

/* `row` NULL: data's, which has neither method nor steps nor training. */
static void print_cell(const struct fs_results *results, const struct fs_result_section *section,
                       const struct fs_result_row *row, const struct fs_result_cell *cell,
                       const struct provenance *from, FILE *stream)
{
    const struct fs_result_score *training = cell->origin == FS_CELL_MEASURED ? cell->scores : NULL;
    char name[80];

    snprintf(name, sizeof(name), "published:%s", section->name);
    fs_put_csv(cell->origin == FS_CELL_PUBLISHED ? name : results->experiment.name, stream);
    put_text(section->measure.dataset, stream);
    put_text(section->measure.model, stream);
    put_text(row ? row->method : "data", stream);
    put_number(row ? (double)cell->steps : (double)NAN, stream);
    put_number(training ? section->measure.guidance_scale : (double)NAN, stream);
    put_text(section->measure.extractor, stream);
    put_text(section->measure.metric, stream);
    put_number(cell->seeds > 0 ? cell->seeds : (double)NAN, stream);
    put_number(cell->mean, stream);
    put_number(cell->error, stream);
    put_number((double)(cell->origin == FS_CELL_DATA ? cell->scores->samples : section->measure.samples), stream);
    put_number(training ? (double)training->updates : (double)NAN, stream);
    put_number(training ? training->flops : (double)NAN, stream);
    put_text(from->commits ? from->commits : "", stream);
    put_text(from->sources ? from->sources : "", stream);
    put_text(from->runs ? from->runs : "", stream);
    put_number(training ? (double)training->teacher_updates : (double)NAN, stream);
    put_number(training ? training->teacher_flops : (double)NAN, stream);
    put_number(training ? cell->seconds : (double)NAN, stream);
    put_number(training ? cell->peak_bytes : (double)NAN, stream);
    if (is_sampled_otherwise(results)) {
        put_text(training ? section->measure.sampler : "", stream);
        put_text(training ? section->measure.time_grid : "", stream);
    }
    if (results->labelled) {
        put_text(row ? row->label : "", stream);
    }
    for (int i = 0; i < results->varied_count; i++) {
        put_text(row && row->varied[i] ? row->varied[i] : "", stream);
    }
    fputc('\n', stream);
}

fs_status fs_table_csv(const struct fs_results *results, const struct fs_result_section *section, FILE *stream,
                       struct fs_error *error)
{
    fs_status status = FS_OK;

    const int rows = section->row_count + section->exact_count;

    for (int r = 0; r < rows + (section->data != NULL); r++) {
        const struct fs_result_row *row = r < section->row_count ? &section->rows[r]
                                          : r < rows             ? &section->exact[r - section->row_count]
                                                                 : NULL;
        for (int c = 0; status == FS_OK && c < (row ? row->cell_count : 1); c++) {
            const struct fs_result_cell *cell = row ? &row->cells[c] : section->data;
            struct provenance from = {0};
            status = find_provenance(cell, &from, error);
            if (status == FS_OK) {
                print_cell(results, section, row, cell, &from, stream);
            }
            free(from.commits);
            free(from.sources);
            free(from.runs);
        }
    }
    return status;
}
