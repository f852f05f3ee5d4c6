/* The charts of the page over commits: the same training by builds of different sources. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "harness/report/table_views.h"
#include "harness/results/regress.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

#define SOURCES_MAX 64
#define CHARTS_MAX 3
#define VERDICTS_MAX 6 /* columns: the newest sources, each against the one before */

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

/* One row's points: a mean over seeds for each source that has it. */
static fs_status fill_line(struct fs_page *page, const struct fs_result_section *section,
                           const struct fs_result_section *history, const struct fs_result_row *row, int64_t steps,
                           const struct sources *sources, struct fs_chart_line *line, struct fs_error *error)
{
    const struct fs_result_row *all = history ? fs_result_row_like(history, row) : NULL;
    char what[FS_PAGE_WHAT], name[FS_PAGE_NAME];
    int number;

    snprintf(line->label, sizeof(line->label), "%s", fs_page_name(section, row, name));
    line->style = fs_page_style(section, row);
    for (int c = 0; all && c < all->cell_count; c++) {
        for (int i = 0; i < sources->count && all->cells[c].steps == steps; i++) {
            if (strcmp(all->cells[c].source, sources->hashes[i]) == 0) {
                snprintf(what, sizeof(what), "%s, %" PRId64 " step%s, commit %s", fs_page_label(row, name), steps,
                         steps == 1 ? "" : "s", sources->commits[i]);
                FS_TRY(fs_page_add_number(page, section, &all->cells[c], what, &number, error));
                line->points[line->count++] = fs_page_point(page, number, i);
            }
        }
    }
    return FS_OK;
}

static fs_status draw_commits(struct fs_page *page, const struct fs_page_experiment *experiment,
                              const struct sources *sources, int64_t steps, struct fs_error *error)
{
    const struct fs_result_section *section = fs_page_section(experiment, 0), *history = NULL;
    const int count = section->row_count < FS_CHART_LINES_MAX ? section->row_count : FS_CHART_LINES_MAX;
    struct fs_chart_line *lines = fs_page_lines(count, sources->count, error);
    double ticks[SOURCES_MAX];
    char id[48], title[192];
    fs_status status = lines ? FS_OK : FS_FAILED;

    for (int i = 0; i < experiment->sources.section_count; i++) {
        if (fs_measure_equal(&experiment->sources.sections[i].measure, &section->measure)) {
            history = &experiment->sources.sections[i];
        }
    }
    for (int i = 0; i < count && status == FS_OK; i++) {
        status = fill_line(page, section, history, &section->rows[i], steps, sources, &lines[i], error);
    }
    for (int i = 0; i < sources->count; i++) {
        ticks[i] = i;
    }
    snprintf(id, sizeof(id), "commits-%d-%" PRId64, fs_page_measure(page, section), steps);
    snprintf(title, sizeof(title), "%s at %" PRId64 " step%s against commits", section->metric_label, steps,
             steps == 1 ? "" : "s");
    struct fs_chart chart = {.id = id,
                             .title = title,
                             .x_title = "commit",
                             .y_title = section->metric_label,
                             .log_y = fs_page_logarithmic(lines, status == FS_OK ? count : 0),
                             .markers = true,
                             .table = true,
                             .ticks = ticks,
                             .tick_names = (const char *const *)sources->commits,
                             .tick_count = sources->count,
                             .lines = lines,
                             .line_count = count,
                             .baseline = (double)NAN};
    if (status == FS_OK) {
        fs_page_figure(page, &chart,
                       "The same training by builds of different sources, oldest first, each under the commit that it "
                       "was first seen at (+: with changes that were not committed). Bands as above.");
    }
    fs_page_lines_free(lines, count);
    return status;
}

/* --- verdicts --- */

static void print_verdict(const struct fs_regress_cell *cell, FILE *out)
{
    if (!cell) {
        fs_html(out, "<td>" FS_NO_VALUE);
        return;
    }
    fs_html(out, "<td class=%s>%s", fs_verdict_name(cell->outcome.verdict), fs_verdict_name(cell->outcome.verdict));
    if (isfinite(cell->outcome.effect)) {
        fs_html(out, " <small>%+.1f %%</small>", 100 * expm1(cell->outcome.effect));
    }
}

static void print_verdict_rows(const struct fs_page *page, const struct fs_result_section *section,
                               const struct fs_regression *regressions, int count)
{
    char name[FS_PAGE_NAME];

    for (int i = 0; i < section->row_count; i++) {
        const struct fs_result_row *row = &section->rows[i];
        for (int k = 0; k < section->step_count; k++) {
            fs_html(page->out, "<tr><th scope=row>%s, %ld step%s", fs_page_name(section, row, name),
                    (long)section->steps[k], section->steps[k] == 1 ? "" : "s");
            for (int c = 0; c < count; c++) {
                print_verdict(fs_regress_cell_of(&regressions[c], section, row, section->steps[k]), page->out);
            }
            fs_html(page->out, "\n");
        }
    }
}

/* A column a source, against the one before it, by the rule that `fewstep regress` has without options. */
static void print_verdicts(const struct fs_page *page, const struct fs_page_experiment *experiment,
                           const struct sources *sources)
{
    const struct fs_rule rule = FS_RULE_DEFAULT;
    const int count = sources->count - 1 < VERDICTS_MAX ? sources->count - 1 : VERDICTS_MAX;
    struct fs_regression regressions[VERDICTS_MAX] = {0};
    struct fs_error nothing;

    fs_html(page->out,
            "<h3>Verdicts</h3><div class=scroll tabindex=0 role=region aria-label=\"Verdicts over commits\">"
            "<table class=verdicts><thead><tr><th scope=col>%s",
            fs_page_section(experiment, 0)->metric_label);
    for (int c = 0; c < count; c++) {
        const int head = sources->count - count + c;
        fs_html(page->out, "<th scope=col>%s to %s", sources->commits[head - 1], sources->commits[head]);
        /* Two sources without a seed in common cannot be compared: then no cell is found. */
        fs_regress(page->store, sources->hashes[head - 1], sources->hashes[head], experiment->results.experiment.name,
                   rule, &regressions[c], &nothing);
    }
    fs_html(page->out, "<tbody>\n");
    print_verdict_rows(page, fs_page_section(experiment, 0), regressions, count);
    fs_html(
        page->out,
        "</table></div><p class=note>Each source against the one before it, as <code>fewstep regress</code> judges: "
        "significance %g over all cells of a comparison, smallest effect of interest %g %%. The percentage is the "
        "change; lower is better.</p>\n",
        rule.alpha, 100 * rule.minimal);
    for (int c = 0; c < count; c++) {
        fs_regression_free(&regressions[c]);
    }
}

fs_status fs_page_commits_chart(struct fs_page *page, const struct fs_page_experiment *experiment,
                                struct fs_error *error)
{
    const struct fs_result_section *section = fs_page_section(experiment, 0);
    const int last = section->step_count - 1, charts = last < CHARTS_MAX ? last + 1 : CHARTS_MAX;
    struct sources sources = {0};
    fs_status status = read_sources(page, experiment->results.experiment.id, &sources, error);

    if (status == FS_OK && sources.count < 2) {
        char *all = fs_format(error, "%s%s%s", page->of_one_source ? page->of_one_source : "",
                              page->of_one_source ? ", " : "", experiment->results.experiment.name);
        free(page->of_one_source);
        page->of_one_source = all;
        status = all ? FS_OK : FS_FAILED;
    }
    for (int i = 0; i < charts && sources.count > 1 && status == FS_OK; i++) { /* fewest steps, most, and between */
        status =
            draw_commits(page, experiment, &sources, section->steps[charts > 1 ? i * last / (charts - 1) : 0], error);
    }
    if (sources.count > 1 && status == FS_OK) {
        print_verdicts(page, experiment, &sources);
    }
    free_sources(&sources);
    return status;
}
