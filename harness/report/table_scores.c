/* The scores that a table is made of: chosen and sorted by SQL. */
#include "harness/report/table_scores.h"

#include <stdlib.h>
#include <string.h>

#include "harness/store/query.h"
#include "kernels/base/memory.h"
#include "metrics/metric.h"

/* Builds: of a score, and of the run before it. */
#define ORIGINS(where)                                                                                                 \
    "(SELECT group_concat(origin, ' ') FROM (SELECT DISTINCT coalesce(commit_hash, 'unknown') || "                     \
    "iif(dirty, '-dirty', '') || ':' || source_hash AS origin FROM environments WHERE " where " ORDER BY id))"
#define SCORE_ORIGINS ORIGINS("id = s.environment")
#define RUN_ORIGINS                                                                                                    \
    ORIGINS("id = s.environment OR id IN (SELECT environment FROM run_environments WHERE run = r.number)")

/* ?1: the experiment, ?3 to ?8: struct fs_table_filter */
#define SCORED                                                                                                         \
    "SELECT s.* FROM scores s JOIN experiment_scores m ON m.score = s.number JOIN runs q ON q.number = s.run "         \
    "WHERE m.experiment = ?1 AND (?3 IS NULL OR q.source_hash = ?3) AND (?4 IS NULL OR q.dataset = ?4) "               \
    "AND (?5 IS NULL OR q.method = ?5) AND s.created >= ?6 AND (?7 IS NULL OR s.metric IN (?7, ?8))"

/* ?2: enum fs_result_history, 0 for none */
static const char run_scores[] =
    "WITH scored AS (" SCORED "), "
    "newest AS (SELECT max(number) AS number FROM runs WHERE number IN (SELECT run FROM scored) AND is_teacher = 0 "
    "  GROUP BY train_hash, seed, iif(?2 = 2, source_hash, '')), "
    "ranked AS (SELECT r.*, min(m.position) OVER (PARTITION BY r.train_hash) AS place, "
    "  min(r.number) OVER (PARTITION BY r.source_hash) AS source_place, "
    "  coalesce(t.updates, 0) AS before, coalesce(t.flops, 0) AS teacher_flops, coalesce(t.seconds, 0) AS "
    "  teacher_seconds, max(r.peak_bytes, coalesce(t.peak_bytes, 0)) AS peak FROM runs r "
    "  JOIN newest USING (number) LEFT JOIN runs t ON t.id = r.teacher "
    "  LEFT JOIN experiment_runs m ON m.run = r.number AND m.experiment = ?1) "
    "SELECT r.dataset, r.model, s.extractor, s.tap, s.metric, s.reference, s.weights, r.train_hash, r.method, "
    "r.config_json, r.id, r.source_hash, " RUN_ORIGINS ", r.seed, s.steps, s.samples, r.updates, "
    "r.before + s.at_update, s.quantize, s.guidance_scale, r.flops, s.value, s.low, s.high, s.number, "
    "r.before, r.teacher_flops, r.seconds, r.teacher_seconds, r.peak "
    "FROM ranked r JOIN scored s ON s.run = r.number "
    /* weights of a phase or an earlier checkpoint are points of a curve, not the run's score */
    "AND (?2 = 1 OR s.at_update = (SELECT max(at_update) FROM scores WHERE run = r.number)) "
    /* the distance that the others are relatives of comes first */
    "ORDER BY 1, 2, s.metric NOT IN ('fid', 'fd'), 3, 4, 5, 6, 7, s.samples, s.guidance_scale, s.quantize, r.place, "
    "r.train_hash, s.steps, "
    "CASE ?2 WHEN 1 THEN s.at_update WHEN 2 THEN r.source_place END, r.seed, s.at_update DESC, s.number DESC";

static const char floor_scores[] =
    "SELECT s.source, '', s.extractor, s.tap, s.metric, s.reference, s.weights, '', '', '', '', "
    "s.source_hash, " SCORE_ORIGINS ", 0, 0, s.samples, 0, 0, s.quantize, s.guidance_scale, 0, s.value, s.low, s.high, "
    "s.number, 0, 0, 0, 0, 0 FROM scores s JOIN experiment_scores m ON m.score = s.number WHERE m.experiment = ?1 AND "
    "s.run IS NULL "
    "ORDER BY s.number DESC";

static const char older_runs[] =
    "SELECT count(*) - count(DISTINCT train_hash || ' ' || seed) FROM runs WHERE is_teacher = 0 AND number IN "
    "(SELECT run FROM (" SCORED "))";

bool fs_same_section(const struct fs_table_score *a, const struct fs_table_score *b)
{
    for (int i = 0; i < FS_TEXT_TRAIN_HASH; i++) {
        if (strcmp(a->text[i], b->text[i]) != 0) {
            return false;
        }
    }
    return a->samples == b->samples && a->quantize == b->quantize && a->guidance_scale == b->guidance_scale;
}

bool fs_same_row(const struct fs_table_score *a, const struct fs_table_score *b)
{
    return fs_same_section(a, b) && strcmp(a->text[FS_TEXT_TRAIN_HASH], b->text[FS_TEXT_TRAIN_HASH]) == 0;
}

static void clear(struct fs_table_score *score)
{
    for (int i = 0; i < FS_TEXT_COUNT; i++) {
        free(score->text[i]);
        score->text[i] = NULL;
    }
}

static fs_status read_score(sqlite3_stmt *query, struct fs_table_score *score, struct fs_error *error)
{
    int column = FS_TEXT_COUNT;

    for (int i = 0; i < FS_TEXT_COUNT; i++) {
        score->text[i] = fs_copy_text(fs_query_text(query, i), error);
        if (!score->text[i]) {
            clear(score);
            return FS_FAILED;
        }
    }
    score->seed = sqlite3_column_int64(query, column++);
    score->steps = sqlite3_column_int64(query, column++);
    score->samples = sqlite3_column_int64(query, column++);
    score->updates = sqlite3_column_int64(query, column++);
    score->at_update = sqlite3_column_int64(query, column++);
    score->quantize = sqlite3_column_int(query, column++);
    score->guidance_scale = sqlite3_column_double(query, column++);
    score->flops = sqlite3_column_double(query, column++);
    score->value = sqlite3_column_double(query, column++);
    score->low = fs_query_real(query, column++);
    score->high = fs_query_real(query, column++);
    score->number = sqlite3_column_int64(query, column++);
    score->teacher_updates = sqlite3_column_int64(query, column++);
    score->teacher_flops = sqlite3_column_double(query, column++);
    score->seconds = sqlite3_column_double(query, column++);
    score->teacher_seconds = sqlite3_column_double(query, column++);
    score->peak_bytes = sqlite3_column_double(query, column++);
    return FS_OK;
}

/* A later row of the same run and steps is an earlier checkpoint, or was scored by an older build. */
static bool is_repeated(const struct fs_table_score *last, const struct fs_table_score *score, int history)
{
    return fs_same_row(last, score) && last->steps == score->steps && last->seed == score->seed &&
           (history != FS_EVERY_UPDATE || last->at_update == score->at_update) &&
           (history != FS_EVERY_SOURCE || strcmp(last->text[FS_TEXT_SOURCE], score->text[FS_TEXT_SOURCE]) == 0);
}

#define NOT_RUNS (-1) /* in place of a history: scores of data, which all count */

static fs_status read_all(sqlite3_stmt *query, int history, struct fs_table_score **list, int *count,
                          struct fs_error *error)
{
    int capacity = 0;
    bool row;

    FS_TRY(fs_query_next(query, &row, error));
    while (row) {
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            struct fs_table_score *grown = realloc(*list, (size_t)capacity * sizeof(**list));
            if (!grown) {
                return fs_fail(error, FS_FAILED, "no memory for the scores of a table");
            }
            *list = grown;
        }
        struct fs_table_score *score = &(*list)[*count];
        FS_TRY(read_score(query, score, error));
        if (history != NOT_RUNS && *count > 0 && is_repeated(score - 1, score, history)) {
            clear(score);
        } else {
            (*count)++;
        }
        FS_TRY(fs_query_next(query, &row, error));
    }
    return FS_OK;
}

static const struct fs_table_filter all = {0};

/* `--metric fd` also lets FID through. */
static const char *fid_name(const struct fs_table_filter *only)
{
    const struct fs_metric *metric = only->metric ? fs_metric_find(only->metric) : NULL;

    return metric ? metric->fid_name : NULL;
}

static fs_status read_runs(struct fs_store *store, int64_t experiment, int history, const struct fs_table_filter *only,
                           struct fs_table_scores *scores, struct fs_error *error)
{
    sqlite3_stmt *query;

    *scores = (struct fs_table_scores){0};
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, run_scores, "iitttitt", experiment, (int64_t)history,
                         only->source, only->dataset, only->method, only->since, only->metric, fid_name(only)));
    const fs_status status = read_all(query, history, &scores->runs, &scores->run_count, error);
    sqlite3_finalize(query);
    return status;
}

static fs_status read_floors(struct fs_store *store, int64_t experiment, struct fs_table_scores *scores,
                             struct fs_error *error)
{
    sqlite3_stmt *query;

    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, floor_scores, "i", experiment));
    const fs_status status = read_all(query, NOT_RUNS, &scores->floors, &scores->floor_count, error);
    sqlite3_finalize(query);
    return status;
}

fs_status fs_table_scores_history(struct fs_store *store, int64_t experiment, enum fs_result_history history,
                                  struct fs_table_scores *scores, struct fs_error *error)
{
    return read_runs(store, experiment, (int)history, &all, scores, error);
}

/* Says what the filter left nothing of, and what there is. */
static fs_status nothing_left(sqlite3 *database, int64_t experiment, const struct fs_table_filter *only,
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

fs_status fs_table_scores_read(struct fs_store *store, int64_t experiment, const struct fs_table_filter *filter,
                               struct fs_table_scores *scores, struct fs_error *error)
{
    const struct fs_table_filter *only = filter ? filter : &all;
    int64_t older;

    FS_TRY(read_runs(store, experiment, 0, only, scores, error));
    FS_TRY(read_floors(store, experiment, scores, error));
    FS_TRY(fs_query_whole(fs_store_handle(store), &older, 0, error, older_runs, "iitttitt", experiment, (int64_t)0,
                          only->source, only->dataset, only->method, only->since, only->metric, fid_name(only)));
    scores->older = (int)older;
    return scores->run_count == 0 ? nothing_left(fs_store_handle(store), experiment, only, error) : FS_OK;
}

void fs_table_scores_free(struct fs_table_scores *scores)
{
    for (int i = 0; i < scores->run_count; i++) {
        clear(&scores->runs[i]);
    }
    for (int i = 0; i < scores->floor_count; i++) {
        clear(&scores->floors[i]);
    }
    free(scores->runs);
    free(scores->floors);
    *scores = (struct fs_table_scores){0};
}
