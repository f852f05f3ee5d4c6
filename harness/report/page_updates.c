/* The charts of the page over training updates: scores where a run was scored at several, else the loss. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/page_model.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

#define LOSS_POINTS 60 /* a curve's points are averaged into so many */

/* --- scores --- */

/* One row's points at a number of steps, a point an update. */
static fs_status fill_updates_line(struct fs_page *page, const struct fs_result_section *section,
                                   const struct fs_result_row *row, int64_t steps, struct fs_chart_line *line,
                                   struct fs_error *error)
{
    const struct fs_result_row *shown = fs_result_row_like(section, row);
    char what[FS_PAGE_WHAT], name[FS_PAGE_NAME] = "";
    int number;

    if (shown) {
        fs_page_name(section, shown, name);
        line->style = fs_page_style(section, shown);
    }
    snprintf(line->label, sizeof(line->label), "%s", name);
    for (int c = 0; c < row->cell_count; c++) {
        const struct fs_result_cell *cell = &row->cells[c];
        if (cell->steps == steps) {
            snprintf(what, sizeof(what), "%s, %" PRId64 " step%s, update %" PRId64, name, steps, steps == 1 ? "" : "s",
                     cell->at_update);
            FS_TRY(fs_page_add_number(page, section, cell, what, &number, error));
            line->points[line->count++] = fs_page_point(page, number, (double)cell->at_update);
        }
    }
    return FS_OK;
}

/* Rows of a history that were scored at a number of steps, up to as many as a chart has lines: their number. The most
 * updates of one. */
static int find_updates(const struct fs_result_section *history, int64_t steps,
                        const struct fs_result_row *rows[FS_CHART_LINES_MAX], int *most)
{
    int found = 0;

    *most = 0;
    for (int r = 0; r < history->row_count && found < FS_CHART_LINES_MAX; r++) {
        int updates = 0;
        for (int c = 0; c < history->rows[r].cell_count; c++) {
            updates += history->rows[r].cells[c].steps == steps;
        }
        if (updates > 0) {
            rows[found++] = &history->rows[r];
        }
        *most = updates > *most ? updates : *most;
    }
    return found;
}

static fs_status draw_updates(struct fs_page *page, const struct fs_result_section *section, int64_t steps,
                              const struct fs_result_row *const *rows, int count, int most, struct fs_error *error)
{
    char id[48], title[192], caption[512];
    struct fs_chart_line *lines = fs_page_lines(count, most, error);
    const char *plural = steps == 1 ? "" : "s";
    fs_status status = lines ? FS_OK : FS_FAILED;

    for (int i = 0; i < count && status == FS_OK; i++) {
        status = fill_updates_line(page, section, rows[i], steps, &lines[i], error);
    }
    if (status == FS_OK) {
        snprintf(id, sizeof(id), "updates-%d-%" PRId64, fs_page_measure(page, section), steps);
        snprintf(title, sizeof(title), "%s at %" PRId64 " step%s against training updates", section->metric_label,
                 steps, plural);
        snprintf(caption, sizeof(caption),
                 "%s of samples drawn in %" PRId64
                 " step%s, over the updates of the whole training: a student begins where its teacher ends.",
                 section->metric_label, steps, plural);
        struct fs_chart chart = {.id = id,
                                 .title = title,
                                 .x_title = "updates",
                                 .y_title = section->metric_label,
                                 .log_y = fs_page_logarithmic(lines, count),
                                 .markers = true,
                                 .table = true,
                                 .lines = lines,
                                 .line_count = count,
                                 .baseline = (double)NAN};
        fs_page_figure(page, &chart, caption);
    }
    fs_page_lines_free(lines, count);
    return status;
}

/* --- the loss --- */

/* The loss of a run, averaged over parts of the updates; its teacher's updates are counted before its own. */
static fs_status read_loss(struct fs_page *page, const char *run, struct fs_chart_line *line, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    FS_TRY(fs_query_open(fs_store_handle(page->store), &query, error,
                         "WITH run AS (SELECT r.number, coalesce(t.updates, 0) AS before FROM runs r "
                         "  LEFT JOIN runs t ON t.id = r.teacher WHERE r.id = ?1), "
                         "points AS (SELECT at_update, value, before, max(at_update) OVER () AS last FROM curves "
                         "  JOIN run ON run.number = curves.run WHERE name = 'loss' AND value IS NOT NULL) "
                         "SELECT round(before + avg(at_update)), avg(value) FROM points "
                         "GROUP BY (at_update - 1) * ?2 / last ORDER BY 1",
                         "ti", run, (int64_t)LOSS_POINTS));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row && line->count < LOSS_POINTS) {
        line->points[line->count++] = (struct fs_chart_point){
            .x = fs_query_real(query, 0), .y = fs_query_real(query, 1), .low = (double)NAN, .high = (double)NAN};
        status = fs_query_next(query, &row, error);
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status draw_loss(struct fs_page *page, const char *name, const struct fs_result_section *section,
                           struct fs_error *error)
{
    const int count = section->row_count < FS_CHART_LINES_MAX ? section->row_count : FS_CHART_LINES_MAX;
    struct fs_chart_line *lines = fs_page_lines(count, LOSS_POINTS, error);
    char id[32], label[FS_PAGE_NAME];
    int points = 0;
    fs_status status = lines ? FS_OK : FS_FAILED;

    for (int i = 0; i < count && status == FS_OK; i++) {
        const char *run = section->rows[i].cells->scores->run;
        snprintf(lines[i].label, sizeof(lines[i].label), "%s", fs_page_name(section, &section->rows[i], label));
        lines[i].style = fs_page_style(section, &section->rows[i]);
        snprintf(lines[i].link, sizeof(lines[i].link), "run-%.8s", run);
        status = read_loss(page, run, &lines[i], error);
        points += lines[i].count;
    }
    if (status == FS_OK && points > 0) {
        snprintf(id, sizeof(id), "loss-%d", fs_page_measure(page, section));
        struct fs_chart chart = {.id = id,
                                 .title = "Training loss against updates",
                                 .x_title = "updates",
                                 .y_title = "loss",
                                 .log_y = true,
                                 .sequential = fs_page_sequential(section),
                                 .table = true,
                                 .lines = lines,
                                 .line_count = count,
                                 .baseline = (double)NAN};
        fs_page_figure(
            page, &chart,
            "The training loss of the first seed, averaged over sixtieths of the training; no run of this "
            "experiment was scored at several updates. Each method fits targets of its own, so that losses "
            "tell how a training went, not which method is better. A student begins where its teacher ends.");
    }
    fs_page_lines_free(lines, count);
    return status == FS_OK && points == 0
               ? fs_page_missing(
                     page, fs_format(error, "%s: no training curves: `fewstep run` logs them while it trains.", name),
                     error)
               : status;
}

fs_status fs_page_updates_chart(struct fs_page *page, const struct fs_page_experiment *experiment,
                                struct fs_error *error)
{
    const struct fs_result_section *section = fs_page_section(experiment, 0), *history = NULL;
    const struct fs_result_row *rows[FS_CHART_LINES_MAX];
    bool drawn = false;
    int most;

    for (int i = 0; i < experiment->updates.section_count; i++) {
        if (fs_measure_equal(&experiment->updates.sections[i].measure, &section->measure)) {
            history = &experiment->updates.sections[i];
        }
    }
    for (int i = 0; history && i < section->step_count; i++) {
        const int count = find_updates(history, section->steps[i], rows, &most);
        if (most > 1) {
            FS_TRY(draw_updates(page, section, section->steps[i], rows, count, most, error));
            drawn = true;
        }
    }
    return drawn ? FS_OK : draw_loss(page, experiment->results.experiment.name, section, error);
}
