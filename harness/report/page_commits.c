/* The charts of the page over commits: the same training by builds of different sources. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/page_model.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

#define SOURCES_MAX 64
#define CHARTS_MAX 3

struct sources {
    char *hashes[SOURCES_MAX], *commits[SOURCES_MAX]; /* oldest first; the commit of its first run, 7 digits */
    int count;
};

static void free_sources(struct sources *sources)
{
    for (int i = 0; i < sources->count; i++) {
        free(sources->hashes[i]);
        free(sources->commits[i]);
    }
}

/* The newest SOURCES_MAX of an experiment. */
static fs_status read_sources(struct fs_page *page, int64_t experiment, struct sources *sources, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    FS_TRY(fs_query_open(
        fs_store_handle(page->store), &query, error,
        "WITH sources AS (SELECT r.source_hash, min(r.number) AS first FROM runs r WHERE r.is_teacher = 0 AND r.number "
        "IN "
        "  (SELECT s.run FROM scores s JOIN experiment_scores m ON m.score = s.number WHERE m.experiment = ?1) "
        "  GROUP BY r.source_hash ORDER BY first DESC LIMIT ?2) "
        "SELECT source_hash, (SELECT substr(coalesce(e.commit_hash, 'unknown'), 1, 7) || iif(e.dirty, '+', '') "
        "  FROM run_environments m JOIN environments e ON e.id = m.environment WHERE m.run = first "
        "  ORDER BY m.position LIMIT 1) FROM sources ORDER BY first",
        "ii", experiment, (int64_t)SOURCES_MAX));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        char *hash = fs_copy_text(fs_query_text(query, 0), error),
             *commit = fs_copy_text(fs_query_text(query, 1), error);
        sources->hashes[sources->count] = hash;
        sources->commits[sources->count++] = commit;
        status = hash && commit ? fs_query_next(query, &row, error) : FS_FAILED;
    }
    sqlite3_finalize(query);
    return status;
}

static bool same_source(const struct fs_table_score *a, const struct fs_table_score *b)
{
    return fs_same_cell(a, b) && strcmp(a->text[FS_TEXT_SOURCE], b->text[FS_TEXT_SOURCE]) == 0;
}

/* One row's points: a mean over seeds for each source that has it. */
static fs_status fill_line(struct fs_page *page, const struct fs_page_section *section, struct fs_stretch all,
                           const struct fs_page_row *row, int64_t steps, const struct sources *sources,
                           struct fs_chart_line *line, struct fs_error *error)
{
    struct fs_stretch part;
    char what[320];
    int number;

    snprintf(line->label, sizeof(line->label), "%s", row->name);
    for (int at = 0; fs_next_stretch(all, &at, same_source, &part);) {
        for (int i = 0; i < sources->count && part.first->steps == steps; i++) {
            if (fs_same_row(part.first, row->scores.first) &&
                strcmp(part.first->text[FS_TEXT_SOURCE], sources->hashes[i]) == 0) {
                snprintf(what, sizeof(what), "%s, %" PRId64 " step%s, commit %s", row->label, steps,
                         steps == 1 ? "" : "s", sources->commits[i]);
                FS_TRY(fs_page_add_number(page, part, section->measure, what, &number, error));
                line->points[line->count++] = fs_page_point(page, number, i);
            }
        }
    }
    return FS_OK;
}

static fs_status draw_commits(struct fs_page *page, const struct fs_page_experiment *experiment,
                              const struct sources *sources, int64_t steps, struct fs_error *error)
{
    const struct fs_page_section *section = &experiment->sections[0];
    const struct fs_stretch all = {experiment->sources.runs, experiment->sources.run_count};
    const int count = section->row_count < FS_CHART_LINES_MAX ? section->row_count : FS_CHART_LINES_MAX;
    struct fs_chart_line *lines = fs_page_lines(count, sources->count, error);
    double ticks[SOURCES_MAX];
    char id[48], title[192];
    fs_status status = lines ? FS_OK : FS_FAILED;

    for (int i = 0; i < count && status == FS_OK; i++) {
        status = fill_line(page, section, all, &section->rows[i], steps, sources, &lines[i], error);
    }
    for (int i = 0; i < sources->count; i++) {
        ticks[i] = i;
    }
    snprintf(id, sizeof(id), "commits-%d-%" PRId64, section->measure, steps);
    snprintf(title, sizeof(title), "%s at %" PRId64 " step%s against commits", section->metric, steps,
             steps == 1 ? "" : "s");
    struct fs_chart chart = {.id = id,
                             .title = title,
                             .x_title = "commit",
                             .y_title = section->metric,
                             .log_y = fs_page_logarithmic(lines, status == FS_OK ? count : 0),
                             .markers = true,
                             .table = true,
                             .ticks = ticks,
                             .tick_names = (const char *const *)sources->commits,
                             .tick_count = sources->count,
                             .lines = lines,
                             .line_count = count,
                             .floor = (double)NAN};
    if (status == FS_OK) {
        fs_page_figure(page, &chart,
                       "The same training by builds of different sources, oldest first, each under the commit that it "
                       "was first seen at (+: with changes that were not committed). Bands as above.");
    }
    fs_page_lines_free(lines, count);
    return status;
}

fs_status fs_page_commits_chart(struct fs_page *page, const struct fs_page_experiment *experiment,
                                struct fs_error *error)
{
    const struct fs_page_section *section = &experiment->sections[0];
    const int last = section->step_count - 1, charts = last < CHARTS_MAX ? last + 1 : CHARTS_MAX;
    struct sources sources = {0};
    fs_status status = read_sources(page, experiment->name.id, &sources, error);

    if (status == FS_OK && sources.count < 2) {
        status = fs_page_missing(page,
                                 fs_format(error,
                                           "%s: all its runs are of one source, so nothing can be drawn against "
                                           "commits: `fewstep run` at another commit adds one.",
                                           experiment->name.name),
                                 error);
    }
    for (int i = 0; i < charts && sources.count > 1 && status == FS_OK; i++) { /* fewest steps, most, and between */
        status =
            draw_commits(page, experiment, &sources, section->steps[charts > 1 ? i * last / (charts - 1) : 0], error);
    }
    free_sources(&sources);
    return status;
}
