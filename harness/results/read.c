/* An experiment's results out of the database: chosen and sorted by SQL, so that a section, a row and a cell are each
 * read to their end before the next begins. */
#include "harness/results/results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/hypotheses.h"
#include "harness/results/parts.h"
#include "harness/store/query.h"
#include "metrics/metric.h"

/* The builds of a score, and of the run before it. */
#define RUN_ORIGINS                                                                                                    \
    FS_RESULT_ORIGINS("id = s.environment OR id IN (SELECT environment FROM run_environments WHERE run = r.number)")

/* ?1: the experiment, ?3 to ?9: struct fs_result_filter */
#define SCORED                                                                                                         \
    "SELECT s.* FROM scores s JOIN experiment_scores m ON m.score = s.number JOIN runs q ON q.number = s.run "         \
    "WHERE m.experiment = ?1 AND (?3 IS NULL OR q.source_hash = ?3) AND (?4 IS NULL OR q.dataset = ?4) "               \
    "AND (?5 IS NULL OR q.method = ?5) AND s.created >= ?6 AND (?7 IS NULL OR s.metric IN (?7, ?8)) "                  \
    "AND (?9 = 0 OR q.number NOT IN (SELECT run FROM (" FS_RESULT_FALLS ")))"

/* ?2: enum fs_result_history */
static const char run_scores[] =
    "WITH scored AS (" SCORED "), "
    "newest AS (SELECT max(number) AS number FROM runs WHERE number IN (SELECT run FROM scored) AND is_teacher = 0 "
    "  GROUP BY train_hash, data_sha256, seed, iif(?2 = 2, source_hash, '')), "
    "ranked AS (SELECT r.*, min(m.position) OVER (PARTITION BY r.train_hash) AS place, max(m.label) OVER (PARTITION BY "
    "  r.train_hash, r.data_sha256) AS label, "
    "  min(r.number) OVER (PARTITION BY r.source_hash) AS source_place, "
    "  coalesce(t.updates, 0) AS before, coalesce(t.flops, 0) AS teacher_flops, coalesce(t.seconds, 0) AS "
    "  teacher_seconds, max(r.peak_bytes, coalesce(t.peak_bytes, 0)) AS peak FROM runs r "
    "  JOIN newest USING (number) LEFT JOIN runs t ON t.id = r.teacher "
    "  LEFT JOIN experiment_runs m ON m.run = r.number AND m.experiment = ?1) "
    "SELECT r.dataset, r.model, s.extractor, s.tap, s.metric, s.reference, s.weights, s.samples, s.quantize, "
    "s.guidance_scale, s.resize, s.sampler, s.time_grid, r.method, r.train_hash, r.data_sha256, r.config_json, "
    "r.label, s.steps, s.outside, "
    "r.id, "
    "r.config_json, "
    "r.source_hash, " RUN_ORIGINS
    ", '', s.number, r.seed, s.samples, r.before + s.at_update, r.updates, r.before, r.flops, r.teacher_flops, "
    "r.seconds, r.teacher_seconds, r.peak, s.value, s.low, s.high "
    "FROM ranked r JOIN scored s ON s.run = r.number "
    /* weights of a phase or an earlier checkpoint are points of a curve, not the run's score */
    "AND (?2 = 1 OR s.at_update = (SELECT max(at_update) FROM scores WHERE run = r.number)) "
    /* the distance that the others are relatives of comes first */
    "ORDER BY 1, 2, s.metric NOT IN ('fid', 'fd'), 3, 4, 5, 6, 7, s.samples, s.guidance_scale, s.quantize, s.resize, "
    "s.sampler <> 'method', s.sampler, s.time_grid <> 'uniform', s.time_grid, r.place, "
    "r.train_hash, r.data_sha256, s.steps, "
    "CASE ?2 WHEN 1 THEN s.at_update WHEN 2 THEN r.source_place END, r.seed, s.at_update DESC, s.number DESC";

static const char older_runs[] =
    "SELECT count(*) - count(DISTINCT train_hash || ' ' || data_sha256 || ' ' || seed) FROM runs WHERE is_teacher = 0 "
    "AND number IN (SELECT run FROM (" SCORED "))";

fs_status fs_result_read_score(sqlite3_stmt *query, int column, struct fs_results *results,
                               struct fs_result_score *score, struct fs_error *error)
{
    const char **const texts[] = {&score->run, &score->config, &score->source, &score->origins, &score->of_data};
    int64_t *const wholes[] = {&score->number,    &score->seed,    &score->samples,
                               &score->at_update, &score->updates, &score->teacher_updates};
    double *const reals[] = {&score->flops,      &score->teacher_flops, &score->seconds, &score->teacher_seconds,
                             &score->peak_bytes, &score->value,         &score->low,     &score->high};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i] = fs_results_keep(results, fs_query_text(query, column++), error);
        if (!*texts[i]) {
            return FS_FAILED;
        }
    }
    for (size_t i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++) {
        *wholes[i] = sqlite3_column_int64(query, column++);
    }
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
        *reals[i] = fs_query_real(query, column++);
    }
    return FS_OK;
}

/* The row's last cell where the score is of the same steps, update and source; else NULL. */
static struct fs_result_cell *cell_of(const struct fs_result_row *row, int64_t steps,
                                      const struct fs_result_score *score, enum fs_result_history history)
{
    struct fs_result_cell *last = row->cell_count ? &row->cells[row->cell_count - 1] : NULL;
    const bool same = last && last->steps == steps &&
                      (history != FS_EVERY_UPDATE || last->at_update == score->at_update) &&
                      (history != FS_EVERY_SOURCE || strcmp(last->source, score->source) == 0);

    return same ? last : NULL;
}

fs_status fs_result_add_score(struct fs_result_row *row, int64_t steps, enum fs_cell_use use,
                              enum fs_cell_origin origin, const struct fs_result_score *score,
                              enum fs_result_history history, struct fs_error *error)
{
    struct fs_result_cell *cell = cell_of(row, steps, score, history);

    if (cell && cell->scores[cell->seeds - 1].seed == score->seed) {
        return FS_OK;
    }
    if (!cell) {
        FS_TRY(fs_grow((void **)&row->cells, row->cell_count, sizeof(*cell), error));
        cell = &row->cells[row->cell_count++];
        *cell = (struct fs_result_cell){
            .steps = steps, .at_update = score->at_update, .source = score->source, .use = use, .origin = origin};
    }
    FS_TRY(fs_grow((void **)&cell->scores, cell->seeds, sizeof(*score), error));
    cell->scores[cell->seeds++] = *score;
    return FS_OK;
}

fs_status fs_results_place(struct fs_results *results, sqlite3_stmt *query, struct fs_result_section **section,
                           struct fs_result_row **row, struct fs_error *error)
{
    const struct fs_measure measure = {
        .dataset = fs_query_text(query, 0),
        .model = fs_query_text(query, 1),
        .extractor = fs_query_text(query, 2),
        .tap = fs_query_text(query, 3),
        .metric = fs_query_text(query, 4),
        .reference = fs_query_text(query, 5),
        .weights = fs_query_text(query, 6),
        .samples = sqlite3_column_int64(query, 7),
        .quantize = sqlite3_column_int(query, 8),
        .guidance_scale = sqlite3_column_double(query, 9),
        .resize = fs_query_text(query, 10),
        .sampler = fs_query_text(query, 11),
        .time_grid = fs_query_text(query, 12),
    };
    const struct fs_result_row training = {
        .method = fs_query_text(query, 13),
        .train_hash = fs_query_text(query, 14),
        .data_sha256 = fs_query_text(query, 15),
        .config = fs_query_text(query, 16),
        .label = fs_query_text(query, 17),
    };

    *section = results->section_count ? &results->sections[results->section_count - 1] : NULL;
    if (!*section || !fs_measure_equal(&(*section)->measure, &measure)) {
        FS_TRY(fs_results_add_section(results, &measure, section, error));
    }
    return fs_results_row(results, *section, &training, row, error);
}

static fs_status read_row(sqlite3_stmt *query, enum fs_result_history history, struct fs_results *results,
                          struct fs_error *error)
{
    const enum fs_cell_use use = sqlite3_column_type(query, 19) == SQLITE_NULL ? FS_CELL_USE_UNKNOWN
                                 : sqlite3_column_int(query, 19)               ? FS_CELL_OUTSIDE
                                                                               : FS_CELL_INSIDE;
    struct fs_result_section *section;
    struct fs_result_row *row;
    struct fs_result_score score;

    FS_TRY(fs_result_read_score(query, 20, results, &score, error));
    FS_TRY(fs_results_place(results, query, &section, &row, error));
    return fs_result_add_score(row, sqlite3_column_int64(query, 18), use, FS_CELL_MEASURED, &score, history, error);
}

static fs_status read_rows(struct fs_store *store, enum fs_result_history history, const struct fs_result_filter *only,
                           const char *fid_name, struct fs_results *results, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, run_scores, "iitttitti", results->experiment.id,
                         (int64_t)history, only->source, only->dataset, only->method, only->since, only->metric,
                         fid_name, (int64_t)only->stable));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        status = read_row(query, history, results, error);
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}

static int compare_steps(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

static void add_steps(struct fs_result_section *section, int64_t steps)
{
    for (int i = 0; i < section->step_count; i++) {
        if (section->steps[i] == steps) {
            return;
        }
    }
    if (section->step_count < FS_RESULT_STEPS_MAX) {
        section->steps[section->step_count++] = steps;
    }
}

/* Means over seeds, columns, and what a training costs: wall time as a mean over trainings, each counted once. */
static void sum_up(struct fs_result_section *section)
{
    section->one_method = true;
    for (int r = 0; r < section->row_count; r++) {
        struct fs_result_row *row = &section->rows[r];
        int runs = 0;
        section->one_method = section->one_method && strcmp(row->method, section->rows->method) == 0;
        for (int c = 0; c < row->cell_count; c++) {
            struct fs_result_cell *cell = &row->cells[c];
            add_steps(section, cell->steps);
            fs_result_cell_mean(cell);
            row->seeds = cell->seeds > row->seeds ? cell->seeds : row->seeds;
            row->peak_bytes = fmax(row->peak_bytes, cell->peak_bytes);
            for (int i = 0; i < cell->seeds; i++) {
                const struct fs_result_score *score = &cell->scores[i];
                bool seen = false;
                for (int before = 0; before < c; before++) {
                    for (int k = 0; k < row->cells[before].seeds; k++) {
                        seen = seen || strcmp(row->cells[before].scores[k].run, score->run) == 0;
                    }
                }
                row->seconds += seen ? 0 : score->seconds + score->teacher_seconds;
                runs += !seen;
            }
        }
        row->seconds /= runs > 0 ? runs : 1;
        section->seeds = row->seeds > section->seeds ? row->seeds : section->seeds;
    }
    qsort(section->steps, (size_t)section->step_count, sizeof(section->steps[0]), compare_steps);
}

/* Says what the filter left nothing of, and what there is. */
static fs_status nothing_left(sqlite3 *database, int64_t experiment, const struct fs_result_filter *only,
                              struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(database, &query, error,
                         "SELECT group_concat(DISTINCT r.method), group_concat(DISTINCT r.dataset), "
                         "group_concat(DISTINCT s.metric), datetime(max(s.created), 'unixepoch') FROM scores s JOIN "
                         "experiment_scores m ON m.score = "
                         "s.number JOIN runs r ON r.number = s.run WHERE m.experiment = ?1",
                         "i", experiment));
    fs_status status = fs_query_next(query, &row, error);
    /* without any score there is nothing to say here */
    if (status == FS_OK && row && sqlite3_column_type(query, 0) != SQLITE_NULL) {
        status = fs_fail(
            error, FS_USAGE,
            "no score is left by%s%s%s%s%s%s%s%s%s; the experiment has methods %s on %s, metrics %s, last scored %s "
            "UTC",
            only->revision ? " --commit " : "", only->revision ? only->revision : "", only->method ? " --method " : "",
            only->method ? only->method : "", only->dataset ? " --dataset " : "", only->dataset ? only->dataset : "",
            only->metric ? " --metric " : "", only->metric ? only->metric : "", only->since ? " --since" : "",
            fs_query_text(query, 0), fs_query_text(query, 1), fs_query_text(query, 2), fs_query_text(query, 3));
    }
    sqlite3_finalize(query);
    return status;
}

/* `--metric fd` also lets FID through. */
static const char *fid_name(const struct fs_result_filter *only)
{
    const struct fs_metric *metric = only->metric ? fs_metric_find(only->metric) : NULL;

    return metric ? metric->fid_name : NULL;
}

fs_status fs_results_read(struct fs_store *store, const struct fs_experiment_name *experiment,
                          const struct fs_result_filter *filter, enum fs_result_history history,
                          struct fs_results *results, struct fs_error *error)
{
    static const struct fs_result_filter all = {0};
    const struct fs_result_filter *only = filter ? filter : &all;
    int64_t older;

    *results = (struct fs_results){.experiment = *experiment};
    FS_TRY(read_rows(store, history, only, fid_name(only), results, error));
    FS_TRY(fs_results_order(store, results, error));
    for (int i = 0; i < results->section_count; i++) {
        sum_up(&results->sections[i]);
        FS_TRY(fs_results_read_untrained(store, results, &results->sections[i], error));
        FS_TRY(history == FS_LAST_SCORE ? fs_result_section_compare(&results->sections[i], error) : FS_OK);
    }
    FS_TRY(fs_results_set_apart(results, error));
    FS_TRY(fs_results_remark(store, results, error));
    FS_TRY(history == FS_LAST_SCORE ? fs_results_test_hypotheses(store, results, error) : FS_OK);
    FS_TRY(fs_query_whole(fs_store_handle(store), &older, 0, error, older_runs, "iitttitti", experiment->id, (int64_t)0,
                          only->source, only->dataset, only->method, only->since, only->metric, fid_name(only),
                          (int64_t)only->stable));
    results->older = (int)older;
    return results->section_count == 0 && history == FS_LAST_SCORE
               ? nothing_left(fs_store_handle(store), experiment->id, only, error)
               : FS_OK;
}

/* The columns of fs_results_place; ?1: the experiment's name. */
static const char trainings[] =
    "SELECT r.dataset, r.model, '', '', '', '', '', 0, 1, 1, '', '', '', r.method, r.train_hash, r.data_sha256, "
    "r.config_json, "
    "max(m.label) FROM runs r LEFT JOIN experiment_runs m ON m.run = r.number AND (?1 IS NULL OR m.experiment IN "
    "(SELECT "
    "id FROM experiments WHERE name = ?1)) WHERE r.is_teacher = 0 AND (?1 IS NULL OR m.run IS NOT NULL) "
    "GROUP BY r.train_hash, r.data_sha256 ORDER BY r.dataset, r.model, min(r.number)";

fs_status fs_results_of_runs(struct fs_store *store, const struct fs_experiment_name *experiment,
                             struct fs_results *results, struct fs_error *error)
{
    struct fs_result_section *section;
    struct fs_result_row *training;
    sqlite3_stmt *query;
    bool row = true;

    *results = (struct fs_results){.experiment = *experiment};
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, trainings, "t", experiment->name));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        status = fs_results_place(results, query, &section, &training, error);
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status == FS_OK ? fs_results_set_apart(results, error) : status;
}

fs_status fs_results_planned(const struct fs_experiment *experiment, struct fs_results *results, struct fs_error *error)
{
    struct fs_result_section *section;
    struct fs_result_row *row;

    *results = (struct fs_results){0};
    if (experiment->ablated) {
        snprintf(results->experiment.ablated, sizeof(results->experiment.ablated), "%s", experiment->ablated);
    }
    for (int i = 0; i < experiment->run_count; i++) {
        const struct fs_config *config = &experiment->runs[i];
        const struct fs_measure measure = {.dataset = config->dataset.name,
                                           .model = config->model.preset,
                                           .extractor = "",
                                           .tap = "",
                                           .metric = "",
                                           .reference = "",
                                           .weights = ""};
        const struct fs_result_row training = {.method = config->method->name,
                                               .label = "",
                                               .train_hash = config->train_hash,
                                               .data_sha256 = "",
                                               .config = config->json};
        if (!fs_result_training(results, config->train_hash, "")) {
            FS_TRY(fs_results_add_section(results, &measure, &section, error));
            FS_TRY(fs_results_row(results, section, &training, &row, error));
        }
    }
    return fs_results_set_apart(results, error);
}
