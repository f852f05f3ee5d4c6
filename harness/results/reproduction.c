/* A run and what came out when it was made again. */
#include "harness/results/reproduction.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/parts.h"
#include "harness/results/regress.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"
#include "metrics/student.h"

#define ALPHA 0.05 /* chance that a new training, with luck of its own, is called another one */

/* --- what is needed --- */

/* The configuration as an experiment file: JSON is YAML, and of its keys only the version is none of an experiment's.
 */
static fs_status make_experiment(const char *config_json, struct fs_origin *origin, struct fs_error *error)
{
    json_t *config = json_loads(config_json, 0, NULL);

    if (!json_is_object(config)) {
        json_decref(config);
        return fs_fail(error, FS_FAILED, "run %.8s: its configuration in the database is no JSON", origin->id);
    }
    json_object_del(config, "config_version");
    char *text = json_dumps(config, JSON_INDENT(2));
    json_decref(config);
    origin->experiment = text ? fs_format(error, "# run %.8s, as its database has it\n%s\n", origin->id, text) : NULL;
    free(text);
    return origin->experiment ? FS_OK : fs_fail(error, FS_FAILED, "no memory for a configuration");
}

static fs_status find_commit(struct fs_store *store, struct fs_origin *origin, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT e.commit_hash, e.dirty FROM run_environments m "
                         "JOIN environments e ON e.id = m.environment JOIN runs r ON r.number = m.run WHERE r.id = ?1 "
                         "ORDER BY e.dirty, m.position LIMIT 1",
                         "t", origin->id));
    fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && (!row || sqlite3_column_type(query, 0) == SQLITE_NULL)) {
        status = fs_fail(error, FS_FAILED,
                         "run %.8s was built outside git: no commit is known that could be checked out", origin->id);
    } else if (status == FS_OK && sqlite3_column_int(query, 1)) {
        status = fs_fail(error, FS_FAILED,
                         "run %.8s was made from a tree with changes that are in no commit (on top of %.12s), so it "
                         "cannot be made again",
                         origin->id, fs_query_text(query, 0));
    } else if (status == FS_OK) {
        snprintf(origin->commit, sizeof(origin->commit), "%s", fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
}

/* A run that another source went on with (--adopt) is no commit's. */
static fs_status check_sources(struct fs_store *store, const struct fs_origin *origin, struct fs_error *error)
{
    int64_t sources;

    FS_TRY(fs_query_whole(fs_store_handle(store), &sources, 0, error,
                          "SELECT count(DISTINCT e.source_hash) FROM run_environments m JOIN environments e ON e.id = "
                          "m.environment JOIN runs r ON r.number = m.run WHERE r.id = ?1",
                          "t", origin->id));
    return sources > 1
               ? fs_fail(error, FS_FAILED,
                         "run %.8s was trained by %" PRId64 " sources one after the other, so no commit makes it "
                         "again",
                         origin->id, sources)
               : FS_OK;
}

fs_status fs_origin_find(struct fs_store *store, const char *prefix, struct fs_origin *origin, struct fs_error *error)
{
    char *config_json;

    *origin = (struct fs_origin){0};
    FS_TRY(fs_store_find_run(store, prefix, origin->id, &config_json, error));
    fs_status status = check_sources(store, origin, error);
    status = status == FS_OK ? find_commit(store, origin, error) : status;
    status = status == FS_OK ? make_experiment(config_json, origin, error) : status;
    free(config_json);
    return status;
}

void fs_origin_free(struct fs_origin *origin)
{
    free(origin->experiment);
    origin->experiment = NULL;
}

/* --- comparing --- */

/* What of a score does not name a build or a machine, as one text. */
static char *identity_sql(struct fs_error *error)
{
    char *columns = fs_columns_join(&fs_score_columns, FS_ROLE_WHAT | FS_ROLE_SEED, "s.$", ", ", error);
    char *text = columns ? fs_format(error, "json_array(%s)", columns) : NULL;

    free(columns);
    return text;
}

#define RECORDED                                                                                                       \
    "SELECT s.number, s.metric, s.extractor, s.steps, s.value, %s FROM scores s JOIN runs r ON r.number = s.run "      \
    "WHERE r.id = ?1 ORDER BY s.metric, s.extractor, s.at_update, s.steps, s.number"
#define MADE_AGAIN                                                                                                     \
    "SELECT s.value FROM scores s JOIN runs r ON r.number = s.run WHERE r.train_hash = ?1 AND r.seed = ?2 "            \
    "AND %s = ?3 ORDER BY s.number DESC LIMIT 1"

/* What is compared, and how far it has come. */
struct comparison {
    struct fs_store *store, *again;
    char train_hash[65], weights[65]; /* weights: SHA-256 of the last checkpoint */
    int64_t seed;
    char *identity; /* of a score, as SQL */
    struct fs_reproduction *found;
    int tested, unknown;
    double least; /* chance of any tested score */
};

static fs_status read_training(struct comparison *all, const char *id, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(
        fs_query_open(fs_store_handle(all->store), &query, error,
                      "SELECT r.train_hash, r.seed, (SELECT c.sha256 FROM checkpoints c WHERE c.run = r.number ORDER "
                      "BY c.at_update DESC LIMIT 1) FROM runs r WHERE r.id = ?1",
                      "t", id));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        snprintf(all->train_hash, sizeof(all->train_hash), "%s", fs_query_text(query, 0));
        all->seed = sqlite3_column_int64(query, 1);
        snprintf(all->weights, sizeof(all->weights), "%s", fs_query_text(query, 2));
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status find_again(const struct comparison *all, const char *identity, double *value, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool found;
    char *sql = fs_format(error, MADE_AGAIN, all->identity);

    fs_status status = sql ? fs_query_open(fs_store_handle(all->again), &query, error, sql, "tit", all->train_hash,
                                           all->seed, identity)
                           : FS_FAILED;
    free(sql);
    FS_TRY(status);
    status = fs_query_next(query, &found, error);
    *value = status == FS_OK && found ? sqlite3_column_double(query, 0) : (double)NAN;
    sqlite3_finalize(query);
    return status;
}

/* By how many spreads over seeds the two numbers differ, and the chance of that; counts what is known of it. */
static fs_status judge_score(struct comparison *all, int64_t number, struct fs_reproduced_score *score,
                             struct fs_error *error)
{
    struct fs_spread spread;

    FS_TRY(fs_regress_spread(all->store, number, &spread, error));
    if (spread.dof > 0 && spread.deviation > 0) {
        score->spreads = fabs(log(score->again / score->recorded)) / spread.deviation;
    }
    if (isnan(score->spreads)) {
        all->unknown++;
    } else {
        all->least = fmin(all->least, fs_student_two_sided(score->spreads / sqrt(2), spread.dof));
        all->tested++;
    }
    return FS_OK;
}

static fs_status compare_score(struct comparison *all, sqlite3_stmt *query, struct fs_error *error)
{
    struct fs_reproduction *found = all->found;

    FS_TRY(fs_grow((void **)&found->scores, found->count, sizeof(*found->scores), error));
    struct fs_reproduced_score *score = &found->scores[found->count++];
    snprintf(score->metric, sizeof(score->metric), "%s", fs_query_text(query, 1));
    snprintf(score->extractor, sizeof(score->extractor), "%s", fs_query_text(query, 2));
    score->steps = sqlite3_column_int64(query, 3);
    score->recorded = sqlite3_column_double(query, 4);
    score->spreads = NAN;
    FS_TRY(find_again(all, fs_query_text(query, 5), &score->again, error));
    score->equal = memcmp(&score->recorded, &score->again, sizeof(double)) == 0;
    found->missing += isnan(score->again);
    found->compared += !isnan(score->again);
    found->equal += score->equal;
    return isnan(score->again) || score->equal ? FS_OK : judge_score(all, sqlite3_column_int64(query, 0), score, error);
}

static fs_status compare_scores(struct comparison *all, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;
    char *sql = fs_format(error, RECORDED, all->identity);

    fs_status status =
        sql ? fs_query_open(fs_store_handle(all->store), &query, error, sql, "t", all->found->run) : FS_FAILED;
    free(sql);
    FS_TRY(status);
    status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        status = compare_score(all, query, error);
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}

/* Whether the last checkpoints are the same bytes; −1: not known. */
static int same_weights(const struct comparison *all)
{
    sqlite3_stmt *query;
    struct fs_error ignored;
    bool row = false;
    int same = -1;

    if (!all->weights[0] ||
        fs_query_open(fs_store_handle(all->again), &query, &ignored,
                      "SELECT c.sha256 FROM checkpoints c JOIN runs r ON r.number = c.run WHERE r.train_hash = ?1 AND "
                      "r.seed = ?2 ORDER BY c.at_update DESC LIMIT 1",
                      "ti", all->train_hash, all->seed) != FS_OK) {
        return -1;
    }
    if (fs_query_next(query, &row, &ignored) == FS_OK && row) {
        same = strcmp(fs_query_text(query, 0), all->weights) == 0;
    }
    sqlite3_finalize(query);
    return same;
}

fs_status fs_reproduction_compare(struct fs_store *store, struct fs_store *again, const char *id,
                                  struct fs_reproduction *reproduction, struct fs_error *error)
{
    struct comparison all = {.store = store, .again = again, .found = reproduction, .least = 1};

    *reproduction = (struct fs_reproduction){.weights = -1};
    snprintf(reproduction->run, sizeof(reproduction->run), "%s", id);
    all.identity = identity_sql(error);
    fs_status status = all.identity ? read_training(&all, id, error) : FS_FAILED;
    status = status == FS_OK ? compare_scores(&all, error) : status;
    free(all.identity);
    if (status == FS_OK && reproduction->compared == 0) {
        status = fs_fail(error, FS_FAILED, "run %.8s: %s", id,
                         reproduction->missing ? "none of its scores was made again" : "it has no score to compare");
    }
    reproduction->weights = status == FS_OK ? same_weights(&all) : -1;
    reproduction->outcome = all.tested && all.least <= ALPHA / all.tested ? FS_REPRODUCED_OTHER
                            : all.unknown                                 ? FS_REPRODUCED_UNKNOWN
                            : all.tested                                  ? FS_REPRODUCED_IN_NOISE
                                                                          : FS_REPRODUCED_EQUAL;
    return status;
}

void fs_reproduction_free(struct fs_reproduction *reproduction)
{
    free(reproduction->scores);
    *reproduction = (struct fs_reproduction){0};
}
