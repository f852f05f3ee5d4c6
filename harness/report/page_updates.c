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

/* The scores of one section at one number of steps: a stretch a row, *found of them; whether a row has several updates.
 */
static bool find_updates(struct fs_stretch all, const struct fs_table_score *section, int64_t steps,
                         struct fs_stretch cells[FS_CHART_LINES_MAX], int *found)
{
    struct fs_stretch cell;
    bool several = false;

    *found = 0;
    for (int at = 0; all.count && fs_next_stretch(all, &at, fs_same_cell, &cell);) {
        if (fs_same_section(cell.first, section) && cell.first->steps == steps && *found < FS_CHART_LINES_MAX) {
            cells[(*found)++] = cell;
            several |= cell.first->at_update != cell.first[cell.count - 1].at_update;
        }
    }
    return several;
}

static fs_status fill_updates_line(struct fs_page *page, const struct fs_page_section *section, struct fs_stretch cell,
                                   struct fs_chart_line *line, struct fs_error *error)
{
    char what[320];
    struct fs_stretch part;
    int number;

    for (int i = 0; i < section->row_count; i++) {
        if (fs_same_row(section->rows[i].scores.first, cell.first)) {
            snprintf(line->label, sizeof(line->label), "%s", section->rows[i].name);
            line->style = fs_page_style(section, &section->rows[i]);
        }
    }
    for (int at = 0; fs_next_stretch(cell, &at, fs_same_update, &part);) {
        snprintf(what, sizeof(what), "%s, %" PRId64 " step%s, update %" PRId64, line->label, part.first->steps,
                 part.first->steps == 1 ? "" : "s", part.first->at_update);
        FS_TRY(fs_page_add_number(page, part, section->measure, what, &number, error));
        line->points[line->count++] = fs_page_point(page, number, (double)part.first->at_update);
    }
    return FS_OK;
}

static fs_status draw_updates(struct fs_page *page, const struct fs_page_section *section,
                              const struct fs_stretch *cells, int count, struct fs_error *error)
{
    char id[48], title[192], caption[512];
    const long steps = (long)cells[0].first->steps;
    struct fs_chart_line *lines = NULL;
    int most = 0;
    fs_status status = FS_OK;

    for (int i = 0; i < count; i++) {
        most = cells[i].count > most ? cells[i].count : most;
    }
    lines = fs_page_lines(count, most, error);
    status = lines ? FS_OK : FS_FAILED;
    for (int i = 0; i < count && status == FS_OK; i++) {
        status = fill_updates_line(page, section, cells[i], &lines[i], error);
    }
    if (status == FS_OK) {
        snprintf(id, sizeof(id), "updates-%d-%ld", section->measure, steps);
        snprintf(title, sizeof(title), "%s at %ld step%s against training updates", section->metric, steps,
                 steps == 1 ? "" : "s");
        snprintf(
            caption, sizeof(caption),
            "%s of samples drawn in %ld step%s, over the updates of the whole training: a student begins where its "
            "teacher ends.",
            section->metric, steps, steps == 1 ? "" : "s");
        struct fs_chart chart = {.id = id,
                                 .title = title,
                                 .x_title = "updates",
                                 .y_title = section->metric,
                                 .log_y = fs_page_logarithmic(lines, count),
                                 .markers = true,
                                 .table = true,
                                 .lines = lines,
                                 .line_count = count,
                                 .floor = (double)NAN};
        fs_page_figure(page, &chart, caption);
    }
    fs_page_lines_free(lines, count);
    return status;
}

/* --- the loss --- */

/* The loss of a run, averaged over stretches of updates; its teacher's updates are counted before its own. */
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

static fs_status draw_loss(struct fs_page *page, const char *name, const struct fs_page_section *section,
                           struct fs_error *error)
{
    const int count = section->row_count < FS_CHART_LINES_MAX ? section->row_count : FS_CHART_LINES_MAX;
    struct fs_chart_line *lines = fs_page_lines(count, LOSS_POINTS, error);
    char id[32];
    int points = 0;
    fs_status status = lines ? FS_OK : FS_FAILED;

    for (int i = 0; i < count && status == FS_OK; i++) {
        const char *run = section->rows[i].scores.first->text[FS_TEXT_RUN];
        snprintf(lines[i].label, sizeof(lines[i].label), "%s", section->rows[i].name);
        lines[i].style = fs_page_style(section, &section->rows[i]);
        snprintf(lines[i].link, sizeof(lines[i].link), "run-%.8s", run);
        status = read_loss(page, run, &lines[i], error);
        points += lines[i].count;
    }
    if (status == FS_OK && points > 0) {
        snprintf(id, sizeof(id), "loss-%d", section->measure);
        struct fs_chart chart = {.id = id,
                                 .title = "Training loss against updates",
                                 .x_title = "updates",
                                 .y_title = "loss",
                                 .log_y = true,
                                 .sequential =
                                     count > 1 && strcmp(section->rows[0].scores.first->text[FS_TEXT_METHOD],
                                                         section->rows[1].scores.first->text[FS_TEXT_METHOD]) == 0,
                                 .table = true,
                                 .lines = lines,
                                 .line_count = count,
                                 .floor = (double)NAN};
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
    const struct fs_stretch all = {experiment->updates.runs, experiment->updates.run_count};
    const struct fs_page_section *section = &experiment->sections[0];
    struct fs_stretch cells[FS_CHART_LINES_MAX];
    bool drawn = false;
    int count;

    for (int i = 0; i < section->step_count; i++) {
        if (find_updates(all, section->scores.first, section->steps[i], cells, &count)) {
            FS_TRY(draw_updates(page, section, cells, count, error));
            drawn = true;
        }
    }
    return drawn ? FS_OK : draw_loss(page, experiment->name.name, section, error);
}
