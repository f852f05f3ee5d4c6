/* The scores of two sources, matched by SQL, and the verdicts on them. */
#include "harness/results/regress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/parts.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

/* Every score that one source trained and made by itself, of the last checkpoint. `cell` numbers what is the same but
 * for source and seed (the noise's counted from the run's), `training` what shares its seeds at one commit, `spread`
 * what shares a spread. */
#define SCORED                                                                                                         \
    "WITH scored AS (SELECT s.number, r.method, r.dataset, r.model, s.metric, s.extractor, s.tap, s.reference, "       \
    "s.weights, r.train_hash, r.data_sha256, "                                                                         \
    "r.config_json, s.steps, s.samples, s.guidance_scale, s.quantize, s.resize, s.sampler, s.time_grid, "              \
    "r.source_hash AS source, r.seed, "                                                                                \
    "s.value, "                                                                                                        \
    "dense_rank() OVER (ORDER BY r.method, r.dataset, r.model, s.metric, s.extractor, s.tap) - 1 AS spread, "          \
    "dense_rank() OVER (ORDER BY r.train_hash, r.data_sha256, %s, %s) - 1 AS cell, "                                   \
    "dense_rank() OVER (ORDER BY r.train_hash, r.data_sha256, r.source_hash) - 1 AS training "                         \
    "FROM scores s JOIN runs r ON r.number = s.run WHERE s.source_hash = r.source_hash "                               \
    "AND s.metric IN ('fd', 'fid', 'sfd', 'sfid') "                                                                    \
    "AND s.at_update = (SELECT max(at_update) FROM scores WHERE run = r.number) "                                      \
    "AND NOT EXISTS (SELECT 1 FROM run_environments m JOIN environments e ON e.id = m.environment "                    \
    "  WHERE m.run = r.number AND e.source_hash <> r.source_hash)) "

static const char all_samples[] = "SELECT spread, cell, training, value FROM scored ORDER BY training, cell, seed";

#define OF_EXPERIMENT                                                                                                  \
    "(?3 IS NULL OR b.train_hash IN (SELECT r.train_hash FROM runs r JOIN experiment_runs m ON m.run = r.number "      \
    "JOIN experiments e ON e.id = m.experiment WHERE e.name = ?3)) "

static const char matched[] =
    "SELECT b.dataset, b.model, b.extractor, b.tap, b.metric, b.reference, b.weights, b.samples, b.quantize, "
    "b.guidance_scale, b.resize, b.sampler, b.time_grid, b.method, b.train_hash, b.data_sha256, b.config_json, "
    "(SELECT max(m.label) FROM experiment_runs m JOIN runs l ON l.number = m.run WHERE l.train_hash = b.train_hash), "
    "b.steps, b.spread, b.cell, b.value, h.value FROM scored b JOIN scored h USING (cell, seed) "
    "WHERE b.source = ?1 AND h.source = ?2 AND " OF_EXPERIMENT
    "ORDER BY b.dataset, b.model, b.metric, b.extractor, b.samples, b.weights, b.guidance_scale, b.quantize, b.tap, "
    "b.resize, b.reference, b.sampler <> 'method', b.sampler, b.time_grid <> 'uniform', b.time_grid, b.method, "
    "b.train_hash, b.data_sha256, b.steps, b.cell, b.seed";

/* Scores of base without a counterpart at head, and those whose run failed there. */
static const char lost[] =
    "SELECT count(*), coalesce(sum(EXISTS (SELECT 1 FROM runs f WHERE f.train_hash = b.train_hash AND f.seed = b.seed "
    "AND f.source_hash = ?2 AND f.state = 'failed')), 0) FROM scored b WHERE b.source = ?1 AND " OF_EXPERIMENT
    "AND NOT EXISTS (SELECT 1 FROM scored h WHERE h.source = ?2 AND h.cell = b.cell AND h.seed = b.seed)";

static const char counts[] =
    "SELECT count(DISTINCT iif(source = ?1, cell, NULL)), count(DISTINCT iif(source = ?2, cell, NULL)) FROM scored";

static const char place_of[] = "SELECT spread, cell FROM scored WHERE number = CAST(?1 AS INTEGER)";

/* A query of `scored`, with up to three texts as its values. */
static fs_status open_scored(sqlite3 *database, sqlite3_stmt **query, struct fs_error *error, const char *rest,
                             const char *types, const char *a, const char *b, const char *c)
{
    char *what = fs_columns_join(&fs_score_columns, FS_ROLE_WHAT | FS_ROLE_MACHINE, "s.$", ", ", error);
    char *seeds = fs_columns_join(&fs_score_columns, FS_ROLE_SEED, "s.$ - r.seed", ", ", error);
    char *scored = what && seeds ? fs_format(error, SCORED, what, seeds) : NULL;
    char *sql = scored ? fs_format(error, "%s%s", scored, rest) : NULL;
    const fs_status status = sql ? fs_query_open(database, query, error, sql, types, a, b, c) : FS_FAILED;

    free(sql);
    free(scored);
    free(seeds);
    free(what);
    return status;
}

/* --- the spread --- */

struct samples {
    struct fs_sample *list;
    double *values;
    int count;
};

static fs_status read_samples(sqlite3_stmt *query, struct samples *samples, struct fs_error *error)
{
    int values = 0;
    bool row;

    for (;;) {
        FS_TRY(fs_query_next(query, &row, error));
        if (!row) {
            break;
        }
        FS_TRY(fs_grow((void **)&samples->values, values, sizeof(double), error));
        const struct fs_sample sample = {.method = sqlite3_column_int(query, 0),
                                         .cell = sqlite3_column_int(query, 1),
                                         .training = sqlite3_column_int(query, 2)};
        const struct fs_sample *last = samples->count ? &samples->list[samples->count - 1] : NULL;
        if (!last || last->cell != sample.cell || last->training != sample.training) {
            FS_TRY(fs_grow((void **)&samples->list, samples->count, sizeof(sample), error));
            samples->list[samples->count++] = sample;
        }
        samples->list[samples->count - 1].n++;
        samples->values[values++] = sqlite3_column_double(query, 3);
    }
    for (int i = 0, first = 0; i < samples->count; first += samples->list[i++].n) {
        samples->list[i].values = samples->values + first;
    }
    return FS_OK;
}

static fs_status pool_spreads(struct fs_regression *regression, const struct samples *samples, struct fs_error *error)
{
    for (int i = 0; i < samples->count; i++) {
        const int needed = samples->list[i].method + 1;
        regression->spread_count = needed > regression->spread_count ? needed : regression->spread_count;
    }
    regression->spreads = fs_allocate((size_t)regression->spread_count, sizeof(struct fs_spread), "spreads", error);
    if (!regression->spreads) {
        return FS_FAILED;
    }
    for (int i = 0; i < regression->spread_count; i++) {
        regression->spreads[i] = fs_spread_pool(samples->list, samples->count, i);
    }
    return FS_OK;
}

static void samples_free(struct samples *samples)
{
    free(samples->list);
    free(samples->values);
}

/* All samples, and the spread of each method. */
static fs_status find_spreads(sqlite3 *database, struct fs_regression *regression, struct samples *samples,
                              struct fs_error *error)
{
    sqlite3_stmt *query;

    FS_TRY(open_scored(database, &query, error, all_samples, "", NULL, NULL, NULL));
    const fs_status status = read_samples(query, samples, error);
    sqlite3_finalize(query);
    return status == FS_OK ? pool_spreads(regression, samples, error) : status;
}

fs_status fs_regress_spread(struct fs_store *store, int64_t score, struct fs_spread *spread, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);
    struct fs_regression regression = {0};
    struct samples samples = {0};
    sqlite3_stmt *query;
    bool row = false;
    char number[32];

    *spread = (struct fs_spread){0};
    snprintf(number, sizeof(number), "%" PRId64, score);
    FS_TRY(open_scored(database, &query, error, place_of, "t", number, NULL, NULL));
    fs_status status = fs_query_next(query, &row, error);
    const int place = row ? sqlite3_column_int(query, 0) : -1, cell = row ? sqlite3_column_int(query, 1) : -1;
    sqlite3_finalize(query);
    status = status == FS_OK ? find_spreads(database, &regression, &samples, error) : status;
    if (status == FS_OK && place >= 0 && place < regression.spread_count) {
        *spread = fs_spread_widen(regression.spreads[place], samples.list, samples.count, cell, cell);
    }
    samples_free(&samples);
    free(regression.spreads);
    return status;
}

/* --- the cells --- */

/* A new cell of the row's section and training, which are made where they are new. */
static fs_status add_cell(sqlite3_stmt *query, struct fs_regression *regression, int pairs, struct fs_error *error)
{
    struct fs_results *results = &regression->results;
    struct fs_result_section *section;
    struct fs_result_row *row;

    FS_TRY(fs_results_place(results, query, &section, &row, error));
    FS_TRY(fs_grow((void **)&regression->cells, regression->count, sizeof(*regression->cells), error));
    regression->cells[regression->count++] = (struct fs_regress_cell){
        .section = results->section_count - 1,
        .row = section->row_count - 1,
        .steps = sqlite3_column_int64(query, 18),
        .spread = sqlite3_column_int(query, 19),
        .cell = sqlite3_column_int(query, 20),
        .first = pairs,
    };
    return FS_OK;
}

static fs_status read_cells(sqlite3_stmt *query, struct fs_regression *regression, struct fs_error *error)
{
    bool row = true;
    int pairs = 0;

    FS_TRY(fs_query_next(query, &row, error));
    for (; row; pairs++) {
        if (pairs == 0 || sqlite3_column_int(query, 20) != regression->cells[regression->count - 1].cell) {
            FS_TRY(add_cell(query, regression, pairs, error));
        }
        FS_TRY(fs_grow((void **)&regression->base, pairs, sizeof(double), error));
        FS_TRY(fs_grow((void **)&regression->head, pairs, sizeof(double), error));
        regression->base[pairs] = sqlite3_column_double(query, 21);
        regression->head[pairs] = sqlite3_column_double(query, 22);
        regression->cells[regression->count - 1].seeds++;
        FS_TRY(fs_query_next(query, &row, error));
    }
    return fs_results_set_apart(&regression->results, error);
}

static fs_status nothing_matched(sqlite3 *database, const char *base, const char *head, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(open_scored(database, &query, error, counts, "tt", base, head, NULL));
    fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK) {
        status = fs_fail(error, FS_FAILED,
                         "nothing to compare: base has %d cells and head %d, but none is of the same training, scored "
                         "in the same way, with the same seed%s",
                         sqlite3_column_int(query, 0), sqlite3_column_int(query, 1),
                         sqlite3_column_int(query, 0) && sqlite3_column_int(query, 1) ? ""
                                                                                      : " (the one without needs runs "
                                                                                        "made by one source alone)");
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status find_cells(struct fs_store *store, const char *base, const char *head, const char *experiment,
                            struct fs_regression *regression, struct fs_error *error)
{
    sqlite3_stmt *query;

    if (experiment) {
        FS_TRY(fs_experiment_find(store, experiment, &regression->results.experiment, error));
    }
    FS_TRY(open_scored(fs_store_handle(store), &query, error, matched, "ttt", base, head, experiment));
    const fs_status status = read_cells(query, regression, error);
    sqlite3_finalize(query);
    return status == FS_OK && regression->count == 0 ? nothing_matched(fs_store_handle(store), base, head, error)
                                                     : status;
}

/* What of base head has not made. */
static fs_status find_lost(sqlite3 *database, const char *base, const char *head, const char *experiment,
                           struct fs_regression *regression, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(open_scored(database, &query, error, lost, "ttt", base, head, experiment));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK) {
        regression->unmatched = sqlite3_column_int(query, 0);
        regression->failed = sqlite3_column_int(query, 1);
    }
    sqlite3_finalize(query);
    return status;
}

/* --- verdicts --- */

static double geometric_mean(const double *scores, int count)
{
    double sum = 0;

    for (int i = 0; i < count; i++) {
        sum += log(scores[i]) / count;
    }
    return exp(sum);
}

static fs_status judge(struct fs_regression *regression, const struct samples *samples, struct fs_error *error)
{
    const int count = regression->count;
    struct fs_matched_scores *cells = fs_allocate((size_t)count, sizeof(*cells), "cells", error);
    struct fs_outcome *outcomes = fs_allocate((size_t)count, sizeof(*outcomes), "verdicts", error);
    struct fs_spread *spreads = fs_allocate((size_t)count, sizeof(*spreads), "spreads", error);
    const fs_status status = cells && outcomes && spreads ? FS_OK : FS_FAILED;

    if (status == FS_OK) {
        for (int i = 0; i < count; i++) {
            struct fs_regress_cell *cell = &regression->cells[i];
            cell->own = fs_spread_widen(regression->spreads[cell->spread], samples->list, samples->count, cell->cell,
                                        cell->cell);
            spreads[i] = cell->own;
            cells[i] = (struct fs_matched_scores){i, regression->base + cell->first, regression->head + cell->first,
                                                  cell->seeds};
        }
        fs_verdict_cells(cells, count, spreads, regression->rule, outcomes);
        for (int i = 0; i < count; i++) {
            struct fs_regress_cell *cell = &regression->cells[i];
            cell->outcome = outcomes[i];
            cell->base = geometric_mean(regression->base + cell->first, cell->seeds);
            cell->head = geometric_mean(regression->head + cell->first, cell->seeds);
            regression->found[cell->outcome.verdict]++;
            if (cell->outcome.verdict == FS_VERDICT_UNDECIDED) {
                cell->seeds_needed = fs_verdict_seeds(&cell->outcome, cell->seeds, cell->own, regression->rule);
            }
        }
        regression->verdict = fs_verdict_overall(outcomes, count);
        if (regression->failed > 0 && regression->verdict != FS_VERDICT_WORSE) {
            regression->verdict = FS_VERDICT_UNDECIDED;
        }
    }
    free(spreads);
    free(outcomes);
    free(cells);
    return status;
}

fs_status fs_regress(struct fs_store *store, const char *base_source, const char *head_source, const char *experiment,
                     struct fs_rule rule, struct fs_regression *regression, struct fs_error *error)
{
    struct samples samples = {0};

    *regression = (struct fs_regression){.rule = rule};
    fs_status status = find_spreads(fs_store_handle(store), regression, &samples, error);
    if (status == FS_OK) {
        status = find_cells(store, base_source, head_source, experiment, regression, error);
    }
    if (status == FS_OK) {
        status = find_lost(fs_store_handle(store), base_source, head_source, experiment, regression, error);
    }
    if (status == FS_OK) {
        status = judge(regression, &samples, error);
    }
    samples_free(&samples);
    return status;
}

const struct fs_regress_cell *fs_regress_cell_of(const struct fs_regression *regression,
                                                 const struct fs_result_section *section,
                                                 const struct fs_result_row *row, int64_t steps)
{
    for (int i = 0; i < regression->count; i++) {
        const struct fs_regress_cell *cell = &regression->cells[i];
        const struct fs_result_section *its = &regression->results.sections[cell->section];
        if (cell->steps == steps && fs_measure_equal(&its->measure, &section->measure) &&
            fs_result_row_like(its, row) == &its->rows[cell->row]) {
            return cell;
        }
    }
    return NULL;
}

void fs_regression_free(struct fs_regression *regression)
{
    fs_results_free(&regression->results);
    free(regression->cells);
    free(regression->base);
    free(regression->head);
    free(regression->spreads);
    *regression = (struct fs_regression){0};
}
