/* The results of an experiment: chosen and sorted by SQL, so that a section, a row and a cell are each read to their
 * end before the next begins. */
#include "harness/results/results.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/hypotheses.h"
#include "harness/results/parts.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"
#include "methods/method.h"
#include "metrics/metric.h"

/* --- memory --- */

struct fs_result_text {
    struct fs_result_text *next;
    char text[];
};

const char *fs_results_keep(struct fs_results *results, const char *text, struct fs_error *error)
{
    const size_t size = strlen(text) + 1;
    struct fs_result_text *kept = fs_allocate(1, sizeof(*kept) + size, "the texts of a table", error);

    if (!kept) {
        return NULL;
    }
    memcpy(kept->text, text, size);
    kept->next = results->texts;
    results->texts = kept;
    return kept->text;
}

fs_status fs_grow(void **list, int count, size_t size, struct fs_error *error)
{
    if ((count & (count - 1)) == 0) { /* full: 0, 1, 2, 4, 8 … */
        char *grown = realloc(*list, (size_t)(count ? 2 * count : 1) * size);
        if (!grown) {
            return fs_fail(error, FS_FAILED, "no memory for the results of an experiment");
        }
        *list = grown;
    }
    memset((char *)*list + (size_t)count * size, 0, size);
    return FS_OK;
}

void fs_results_free(struct fs_results *results)
{
    for (int i = 0; i < results->section_count; i++) {
        struct fs_result_section *section = &results->sections[i];
        for (int r = 0; r < section->row_count; r++) {
            for (int c = 0; c < section->rows[r].cell_count; c++) {
                free(section->rows[r].cells[c].scores);
            }
            free(section->rows[r].cells);
        }
        free(section->rows);
        for (int r = 0; r < section->exact_count; r++) {
            for (int c = 0; c < section->exact[r].cell_count; c++) {
                free(section->exact[r].cells[c].scores);
            }
            free(section->exact[r].cells);
        }
        free(section->exact);
        free(section->comparisons);
        free(section->remarks);
        if (section->data) {
            free(section->data->scores);
        }
        free(section->data);
    }
    free(results->hypotheses);
    free(results->sections);
    for (struct fs_result_text *next, *text = results->texts; text; text = next) {
        next = text->next;
        free(text);
    }
    *results = (struct fs_results){0};
}

/* --- sections and rows --- */

bool fs_measure_equal(const struct fs_measure *a, const struct fs_measure *b)
{
    return strcmp(a->dataset, b->dataset) == 0 && strcmp(a->model, b->model) == 0 &&
           strcmp(a->extractor, b->extractor) == 0 && strcmp(a->tap, b->tap) == 0 &&
           strcmp(a->metric, b->metric) == 0 && strcmp(a->reference, b->reference) == 0 &&
           strcmp(a->weights, b->weights) == 0 && a->samples == b->samples && a->quantize == b->quantize &&
           a->guidance_scale == b->guidance_scale && strcmp(a->resize, b->resize) == 0 &&
           strcmp(a->sampler, b->sampler) == 0 && strcmp(a->time_grid, b->time_grid) == 0;
}

/* How samples were drawn, where that is not the methods' own N equal steps, and what N of them cost. */
static void name_sampling(const struct fs_measure *of, char *about, size_t size)
{
    const bool heun = strcmp(of->sampler, fs_solver_name(FS_SOLVER_HEUN)) == 0;
    const size_t length = strlen(about);

    if (*of->sampler && strcmp(of->sampler, FS_SCORE_SAMPLER) != 0) {
        snprintf(about + length, size - length, ", %s sampler (N steps are %s evaluations of the network)", of->sampler,
                 heun ? "2N − 1" : "2N");
    }
    if (*of->time_grid && strcmp(of->time_grid, FS_SCORE_TIME_GRID) != 0) {
        snprintf(about + strlen(about), size - strlen(about), ", time grid %s", of->time_grid);
    }
}

static fs_status name_section(struct fs_results *results, struct fs_result_section *section, struct fs_error *error)
{
    const struct fs_measure *of = &section->measure;
    const struct fs_metric *metric = fs_metric_find(of->metric);
    char label[96], guidance[64] = "", resize[64] = "", about[1024];

    if (metric && metric->fid_name && strcmp(metric->fid_name, of->metric) == 0) {
        snprintf(label, sizeof(label), "%s", metric->fid_label);
    } else {
        snprintf(label, sizeof(label), "%s (%s)", metric ? metric->label : of->metric, of->extractor);
    }
    if (of->guidance_scale != 1) {
        snprintf(guidance, sizeof(guidance), ", guidance %g", of->guidance_scale);
    }
    if (strcmp(of->resize, fs_resize_name(FS_RESIZE_NONE)) != 0 &&
        strcmp(of->resize, fs_resize_name(FS_RESIZE_CLEAN)) != 0) {
        snprintf(resize, sizeof(resize), ", resized as %s", of->resize);
    }
    snprintf(about, sizeof(about), "%s, %s, %s to %s, %" PRId64 " samples, %s weights%s%s%s", of->dataset, of->model,
             label, of->reference, of->samples, strcmp(of->weights, "ema") == 0 ? "EMA" : "raw", guidance,
             of->quantize ? "" : ", not rounded to 8 bits", resize);
    name_sampling(of, about, sizeof(about));
    section->better = !metric ? 0 : metric->larger_is_better ? 1 : -1;
    section->metric_label = fs_results_keep(results, label, error);
    section->about = fs_results_keep(results, about, error);
    section->name = section->title = section->source = section->data_split = "";
    return section->metric_label && section->about ? FS_OK : FS_FAILED;
}

fs_status fs_results_add_section(struct fs_results *results, const struct fs_measure *measure,
                                 struct fs_result_section **section, struct fs_error *error)
{
    FS_TRY(fs_grow((void **)&results->sections, results->section_count, sizeof(**section), error));
    *section = &results->sections[results->section_count++];
    struct fs_measure *of = &(*section)->measure;
    const char **const texts[] = {&of->dataset,   &of->model,   &of->extractor, &of->tap,     &of->metric,
                                  &of->reference, &of->weights, &of->resize,    &of->sampler, &of->time_grid};
    *of = *measure;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i] = fs_results_keep(results, *texts[i] ? *texts[i] : "", error);
        if (!*texts[i]) {
            return FS_FAILED;
        }
    }
    return name_section(results, *section, error);
}

static bool same_training(const struct fs_result_row *a, const struct fs_result_row *b)
{
    return strcmp(a->train_hash, b->train_hash) == 0 && strcmp(a->data_sha256, b->data_sha256) == 0 &&
           strcmp(a->method, b->method) == 0;
}

/* "Flow matching (Euler)" is not what a section of another sampler shows. */
static const char *method_label(struct fs_results *results, const struct fs_measure *of, const char *name,
                                struct fs_error *error)
{
    static const char euler[] = " (Euler)";
    const struct fs_method *method = fs_method_find(name);
    const char *label = method ? method->label : name;
    const size_t length = strlen(label), end = sizeof(euler) - 1;
    char solved[96];

    if (!method || !*of->sampler || strcmp(of->sampler, FS_SCORE_SAMPLER) == 0 || length < end ||
        strcmp(label + length - end, euler) != 0) {
        return method ? label : fs_results_keep(results, label, error);
    }
    const bool heun = strcmp(of->sampler, fs_solver_name(FS_SOLVER_HEUN)) == 0;
    snprintf(solved, sizeof(solved), "%.*s (%s)", (int)(length - end), label, heun ? "Heun" : of->sampler);
    return fs_results_keep(results, solved, error);
}

fs_status fs_results_row(struct fs_results *results, struct fs_result_section *section,
                         const struct fs_result_row *training, struct fs_result_row **row, struct fs_error *error)
{
    struct fs_result_row *last = section->row_count ? &section->rows[section->row_count - 1] : NULL;

    if (last && same_training(last, training)) {
        *row = last;
        return FS_OK;
    }
    FS_TRY(fs_grow((void **)&section->rows, section->row_count, sizeof(**row), error));
    *row = &section->rows[section->row_count++];
    **row = (struct fs_result_row){
        .method = fs_results_keep(results, training->method, error),
        .method_label = method_label(results, &section->measure, training->method, error),
        .label = fs_results_keep(results, training->label, error),
        .train_hash = fs_results_keep(results, training->train_hash, error),
        .data_sha256 = fs_results_keep(results, training->data_sha256, error),
        .config = fs_results_keep(results, training->config, error),
        .apart = "",
        .confirmed_in = "",
    };
    (*row)->name = (*row)->method_label;
    return (*row)->method && (*row)->method_label && (*row)->label && (*row)->train_hash && (*row)->data_sha256 &&
                   (*row)->config
               ? FS_OK
               : FS_FAILED;
}

const struct fs_result_row *fs_result_row_like(const struct fs_result_section *section, const struct fs_result_row *row)
{
    for (int i = 0; i < section->row_count; i++) {
        if (same_training(&section->rows[i], row)) {
            return &section->rows[i];
        }
    }
    return NULL;
}

const struct fs_result_row *fs_result_training(const struct fs_results *results, const char *train_hash,
                                               const char *data_sha256)
{
    for (int i = 0; i < results->section_count; i++) {
        for (int r = 0; r < results->sections[i].row_count; r++) {
            const struct fs_result_row *row = &results->sections[i].rows[r];
            if (strcmp(row->train_hash, train_hash) == 0 && strcmp(row->data_sha256, data_sha256) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

struct fs_result_cell *fs_result_cell_at(const struct fs_result_row *row, int64_t steps)
{
    for (int i = 0; i < row->cell_count; i++) {
        if (row->cells[i].steps == steps) {
            return &row->cells[i];
        }
    }
    return NULL;
}

struct fs_result_section *fs_results_main(const struct fs_results *results)
{
    static const char *const metrics[] = {"fid", "fd"};

    for (int m = 0; m < 2; m++) {
        for (int i = 0; i < results->section_count; i++) {
            if (strcmp(results->sections[i].measure.metric, metrics[m]) == 0) {
                return &results->sections[i];
            }
        }
    }
    return results->section_count ? results->sections : NULL;
}

/* --- the scores --- */

/* Builds: of a score, and of the run before it. */
#define ORIGINS(where)                                                                                                 \
    "(SELECT group_concat(origin, ' ') FROM (SELECT DISTINCT coalesce(commit_hash, 'unknown') || "                     \
    "iif(dirty, '-dirty', '') || ':' || source_hash AS origin FROM environments WHERE " where " ORDER BY id))"
#define SCORE_ORIGINS ORIGINS("id = s.environment")
#define RUN_ORIGINS                                                                                                    \
    ORIGINS("id = s.environment OR id IN (SELECT environment FROM run_environments WHERE run = r.number)")

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

/* The data's own score by the measure ?2 to ?5 and ?8 of the data set whose splits begin with ?6: with ?7 samples where
 * there is one, then the newest. */
static const char data_score[] =
    "SELECT '', '', s.source_hash, " SCORE_ORIGINS
    ", s.source, s.number, 0, s.samples, 0, 0, 0, 0, 0, 0, 0, 0, s.value, s.low, "
    "s.high FROM scores s JOIN experiment_scores m ON m.score = s.number WHERE m.experiment = ?1 AND s.run IS NULL AND "
    "s.extractor = ?2 AND s.tap = ?3 AND s.metric = ?4 AND s.reference = ?5 AND substr(s.source, 1, length(?6)) = ?6 "
    "AND "
    "s.resize = ?8 ORDER BY s.samples <> ?7, s.number DESC LIMIT 1";

static const char older_runs[] =
    "SELECT count(*) - count(DISTINCT train_hash || ' ' || data_sha256 || ' ' || seed) FROM runs WHERE is_teacher = 0 "
    "AND number IN (SELECT run FROM (" SCORED "))";

/* A score from the columns behind `column`, which both queries have in this order. */
static fs_status read_score(sqlite3_stmt *query, int column, struct fs_results *results, struct fs_result_score *score,
                            struct fs_error *error)
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

/* The cell of the row that a score belongs to, made when there is none; NULL where the same seed is there already: a
 * later row of a run and steps is an earlier checkpoint, or was scored by an older build. */
static fs_status find_cell(struct fs_result_row *row, int64_t steps, enum fs_cell_use use,
                           const struct fs_result_score *score, enum fs_result_history history,
                           struct fs_result_cell **cell, struct fs_error *error)
{
    struct fs_result_cell *last = row->cell_count ? &row->cells[row->cell_count - 1] : NULL;

    if (last && last->steps == steps && (history != FS_EVERY_UPDATE || last->at_update == score->at_update) &&
        (history != FS_EVERY_SOURCE || strcmp(last->source, score->source) == 0)) {
        *cell = last->scores[last->seeds - 1].seed == score->seed ? NULL : last;
        return FS_OK;
    }
    FS_TRY(fs_grow((void **)&row->cells, row->cell_count, sizeof(**cell), error));
    *cell = &row->cells[row->cell_count++];
    **cell = (struct fs_result_cell){.steps = steps, .at_update = score->at_update, .source = score->source};
    (*cell)->use = use;
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
    struct fs_result_cell *cell;
    struct fs_result_score score;

    FS_TRY(read_score(query, 20, results, &score, error));
    FS_TRY(fs_results_place(results, query, &section, &row, error));
    FS_TRY(find_cell(row, sqlite3_column_int64(query, 18), use, &score, history, &cell, error));
    if (cell) {
        FS_TRY(fs_grow((void **)&cell->scores, cell->seeds, sizeof(score), error));
        cell->scores[cell->seeds++] = score;
    }
    return FS_OK;
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

#define DATA_NAME 128 /* bytes, with the terminator */

/* What may stand for a section's data in the source of a score: their name, or the beginning of their hash. */
static void name_data(const struct fs_result_section *section, char names[2][DATA_NAME])
{
    snprintf(names[0], DATA_NAME, "%s", section->measure.dataset);
    snprintf(names[1], DATA_NAME, "%.*s", FS_SOURCE_DATA_DIGITS,
             section->row_count ? section->rows[0].data_sha256 : "");
}

static fs_status read_data_as(struct fs_store *store, const char *name, struct fs_results *results,
                              struct fs_result_section *section, struct fs_error *error)
{
    const struct fs_measure *of = &section->measure;
    char splits[DATA_NAME + 16];
    sqlite3_stmt *query;
    bool row;

    snprintf(splits, sizeof(splits), "dataset:%.*s:", DATA_NAME, name);
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, data_score, "itttttit", results->experiment.id,
                         of->extractor, of->tap, of->metric, of->reference, splits, of->samples, of->resize));
    fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        section->data = fs_allocate(1, sizeof(*section->data), "the data's score", error);
        struct fs_result_score *score = fs_allocate(1, sizeof(*score), "the data's score", error);
        if (section->data) {
            *section->data = (struct fs_result_cell){.origin = FS_CELL_DATA, .seeds = 1, .scores = score};
        }
        status = section->data && score ? read_score(query, 0, results, score, error) : FS_FAILED;
    }
    sqlite3_finalize(query);
    if (status == FS_OK && section->data) {
        fs_result_cell_mean(section->data);
        const char *source = section->data->scores->of_data, *colon = strrchr(source, ':');
        section->data_split = colon ? colon + 1 : source;
    }
    return status;
}

static fs_status read_data(struct fs_store *store, struct fs_results *results, struct fs_result_section *section,
                           struct fs_error *error)
{
    char names[2][DATA_NAME];

    name_data(section, names);
    for (int i = 0; i < 2 && !section->data; i++) {
        FS_TRY(read_data_as(store, names[i], results, section, error));
    }
    return FS_OK;
}

/* What read_score reads, behind the source and the steps: of the exact velocity of a training set, by a measure. */
static const char exact_scores[] =
    "SELECT s.source, s.steps, '', '', s.source_hash, " SCORE_ORIGINS ", s.source, s.number, s.noise_seed, s.samples, "
    "0, 0, 0, 0, 0, 0, 0, 0, s.value, s.low, s.high FROM scores s JOIN experiment_scores m ON m.score = s.number "
    "WHERE m.experiment = ?1 AND s.run IS NULL AND substr(s.source, 1, length(?2)) = ?2 AND s.extractor = ?3 AND "
    "s.tap = ?4 AND s.metric = ?5 AND s.reference = ?6 AND s.samples = ?7 AND s.resize = ?8 AND s.quantize = ?9 AND "
    "s.sampler = ?10 AND s.time_grid = ?11 ORDER BY CAST(substr(s.source, length(?2) + 14) AS INTEGER), s.source, "
    "s.steps, s.noise_seed, s.number DESC";

static fs_status add_exact(struct fs_results *results, struct fs_result_section *section, sqlite3_stmt *query,
                           struct fs_error *error)
{
    struct fs_result_row *row = section->exact_count ? &section->exact[section->exact_count - 1] : NULL;
    struct fs_result_score score;
    struct fs_result_cell *cell;
    const char *source = fs_query_text(query, 0), *labels = strrchr(source, ':');
    const int count = labels ? atoi(labels + 1) : 0;
    char name[96];

    if (!row || strcmp(row->train_hash, source) != 0) {
        FS_TRY(fs_grow((void **)&section->exact, section->exact_count, sizeof(*section->exact), error));
        row = &section->exact[section->exact_count++];
        snprintf(name, sizeof(name), count ? "Exact velocity, %d labels" : "Exact velocity, no labels", count);
        *row = (struct fs_result_row){.method = "exact",
                                      .label = "",
                                      .data_sha256 = "",
                                      .config = "",
                                      .apart = "",
                                      .confirmed_in = "",
                                      .train_hash = fs_results_keep(results, source, error),
                                      .method_label = fs_results_keep(results, name, error)};
        row->name = row->method_label;
        FS_TRY(row->train_hash && row->name ? FS_OK : FS_FAILED);
    }
    FS_TRY(read_score(query, 2, results, &score, error));
    FS_TRY(find_cell(row, sqlite3_column_int64(query, 1), FS_CELL_INSIDE, &score, FS_LAST_SCORE, &cell, error));
    if (cell) {
        cell->origin = FS_CELL_DATA;
        FS_TRY(fs_grow((void **)&cell->scores, cell->seeds, sizeof(score), error));
        cell->scores[cell->seeds++] = score;
    }
    return FS_OK;
}

static fs_status read_exact_as(struct fs_store *store, const char *name, struct fs_results *results,
                               struct fs_result_section *section, struct fs_error *error)
{
    const struct fs_measure *of = &section->measure;
    char source[DATA_NAME + 16];
    sqlite3_stmt *query;
    bool row = true;

    snprintf(source, sizeof(source), FS_EXACT_SOURCE "%.*s:", DATA_NAME, name);
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, exact_scores, "itttttititt", results->experiment.id,
                         source, of->extractor, of->tap, of->metric, of->reference, of->samples, of->resize,
                         (int64_t)of->quantize, of->sampler, of->time_grid));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        status = add_exact(results, section, query, error);
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status read_exact(struct fs_store *store, struct fs_results *results, struct fs_result_section *section,
                            struct fs_error *error)
{
    char names[2][DATA_NAME];
    fs_status status = FS_OK;

    name_data(section, names);
    for (int i = 0; i < 2 && status == FS_OK; i++) {
        status = read_exact_as(store, names[i], results, section, error);
    }
    for (int r = 0; r < section->exact_count; r++) {
        for (int c = 0; c < section->exact[r].cell_count; c++) {
            fs_result_cell_mean(&section->exact[r].cells[c]);
        }
    }
    return status;
}

/* --- the sections --- */

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
    for (int i = 0; i < results->section_count; i++) {
        sum_up(&results->sections[i]);
        FS_TRY(read_data(store, results, &results->sections[i], error));
        FS_TRY(read_exact(store, results, &results->sections[i], error));
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
