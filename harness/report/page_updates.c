/* The charts of the page over training updates: scores where a run was scored at several, else the loss. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/page_model.h"
#include "harness/results/curves.h"
#include "kernels/base/memory.h"

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

static fs_status fill_loss_line(const struct fs_page *page, const struct fs_result_section *section,
                                const struct fs_result_row *row, struct fs_chart_line *line, struct fs_error *error)
{
    const char *run = row->cells->scores->run;
    struct fs_loss_point points[FS_LOSS_POINTS];
    char name[FS_PAGE_NAME];

    snprintf(line->label, sizeof(line->label), "%s", fs_page_name(section, row, name));
    snprintf(line->link, sizeof(line->link), "run-%.8s", run);
    line->style = fs_page_style(section, row);
    FS_TRY(fs_result_loss(page->store, run, points, &line->count, error));
    for (int i = 0; i < line->count; i++) {
        line->points[i] = (struct fs_chart_point){
            .x = points[i].update, .y = points[i].loss, .low = (double)NAN, .high = (double)NAN};
    }
    return FS_OK;
}

static fs_status draw_loss(struct fs_page *page, const char *name, const struct fs_result_section *section,
                           struct fs_error *error)
{
    const int count = section->row_count < FS_CHART_LINES_MAX ? section->row_count : FS_CHART_LINES_MAX;
    struct fs_chart_line *lines = fs_page_lines(count, FS_LOSS_POINTS, error);
    char id[32];
    int points = 0;
    fs_status status = lines ? FS_OK : FS_FAILED;

    for (int i = 0; i < count && status == FS_OK; i++) {
        status = fill_loss_line(page, section, &section->rows[i], &lines[i], error);
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
