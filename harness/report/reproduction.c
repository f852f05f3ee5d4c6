/* A run and what came out when it was made again. */
#include "harness/report/reproduction.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/grid.h"
#include "harness/text/number.h"
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

struct training {
    char train_hash[65];
    int64_t seed;
    char weights[65]; /* SHA-256 of the last checkpoint */
};

struct comparison {
    struct fs_store *store, *again;
    struct training training;
    char *identity; /* of a score, as SQL */
    struct fs_grid grid;
    bool json;
    FILE *stream;
    int compared, equal, tested, unknown, missing;
    double least; /* chance of any tested score */
};

static fs_status read_training(struct fs_store *store, const char *id, struct training *training,
                               struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(
        fs_query_open(fs_store_handle(store), &query, error,
                      "SELECT r.train_hash, r.seed, (SELECT c.sha256 FROM checkpoints c WHERE c.run = r.number ORDER "
                      "BY c.at_update DESC LIMIT 1) FROM runs r WHERE r.id = ?1",
                      "t", id));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        snprintf(training->train_hash, sizeof(training->train_hash), "%s", fs_query_text(query, 0));
        training->seed = sqlite3_column_int64(query, 1);
        snprintf(training->weights, sizeof(training->weights), "%s", fs_query_text(query, 2));
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status find_again(const struct comparison *all, const char *identity, bool *found, double *value,
                            struct fs_error *error)
{
    sqlite3_stmt *query;
    char *sql = fs_format(error, MADE_AGAIN, all->identity);

    fs_status status = sql ? fs_query_open(fs_store_handle(all->again), &query, error, sql, "tit",
                                           all->training.train_hash, all->training.seed, identity)
                           : FS_FAILED;
    free(sql);
    FS_TRY(status);
    status = fs_query_next(query, found, error);
    *value = status == FS_OK && *found ? sqlite3_column_double(query, 0) : (double)NAN;
    sqlite3_finalize(query);
    return status;
}

struct pair {
    const char *metric, *extractor;
    int64_t steps;
    double recorded, again; /* NAN: not made again */
    double spreads;         /* by how many spreads they differ; NAN: unknown */
    double p;               /* chance that two trainings with luck of their own differ by as much */
    bool equal;
};

static void count(struct comparison *all, const struct pair *pair)
{
    if (isnan(pair->again)) {
        all->missing++;
        return;
    }
    all->compared++;
    if (pair->equal) {
        all->equal++;
    } else if (isnan(pair->spreads)) {
        all->unknown++;
    } else {
        all->tested++;
        all->least = fmin(all->least, pair->p);
    }
}

static void describe(const struct pair *pair, char difference[64], char spreads[64])
{
    snprintf(spreads, 64, "–");
    if (isnan(pair->again)) {
        snprintf(difference, 64, "not made again");
    } else if (pair->equal) {
        snprintf(difference, 64, "equal bits");
    } else {
        snprintf(difference, 64, "%+.3g %%", 100 * (pair->again / pair->recorded - 1));
        if (!isnan(pair->spreads)) {
            snprintf(spreads, 64, "%.2f", pair->spreads);
        }
    }
}

static fs_status add_row(struct comparison *all, const struct pair *pair, struct fs_error *error)
{
    struct fs_grid *grid = &all->grid;
    char difference[64], spreads[64];

    describe(pair, difference, spreads);
    char(*grown)[FS_GRID_TEXT] = realloc(grid->cells, (size_t)((grid->rows + 1) * grid->columns) * FS_GRID_TEXT);
    if (!grown) {
        return fs_fail(error, FS_FAILED, "no memory for a table");
    }
    grid->cells = grown;
    const int row = grid->rows++;
    snprintf(fs_grid_at(grid, row, 0), FS_GRID_TEXT, "%s (%s)", pair->metric, pair->extractor);
    snprintf(fs_grid_at(grid, row, 1), FS_GRID_TEXT, "%" PRId64, pair->steps);
    fs_shortest(pair->recorded, fs_grid_at(grid, row, 2));
    snprintf(fs_grid_at(grid, row, 3), FS_GRID_TEXT, "–");
    if (!isnan(pair->again)) {
        fs_shortest(pair->again, fs_grid_at(grid, row, 3));
    }
    snprintf(fs_grid_at(grid, row, 4), FS_GRID_TEXT, "%s", difference);
    snprintf(fs_grid_at(grid, row, 5), FS_GRID_TEXT, "%s", spreads);
    return FS_OK;
}

static fs_status print_json(const struct comparison *all, const struct pair *pair, struct fs_error *error)
{
    json_t *object = json_pack("{s:s, s:s, s:I, s:f, s:b}", "metric", pair->metric, "extractor", pair->extractor,
                               "steps", (json_int_t)pair->steps, "recorded", pair->recorded, "equal", pair->equal);

    if (!object) {
        return fs_fail(error, FS_FAILED, "no memory for a score");
    }
    json_object_set_new(object, "again", isnan(pair->again) ? json_null() : json_real(pair->again));
    json_object_set_new(object, "spreads", isfinite(pair->spreads) ? json_real(pair->spreads) : json_null());
    json_dumpf(object, all->stream, JSON_COMPACT);
    fputc('\n', all->stream);
    json_decref(object);
    return FS_OK;
}

static fs_status compare_score(struct comparison *all, sqlite3_stmt *query, struct fs_error *error)
{
    struct pair pair = {.metric = fs_query_text(query, 1),
                        .extractor = fs_query_text(query, 2),
                        .steps = sqlite3_column_int64(query, 3),
                        .recorded = sqlite3_column_double(query, 4),
                        .spreads = NAN};
    struct fs_spread spread;
    bool found;

    FS_TRY(find_again(all, fs_query_text(query, 5), &found, &pair.again, error));
    pair.equal = found && memcmp(&pair.recorded, &pair.again, sizeof(double)) == 0;
    if (found && !pair.equal) {
        FS_TRY(fs_regress_spread(all->store, sqlite3_column_int64(query, 0), &spread, error));
        if (spread.dof > 0 && spread.deviation > 0) {
            pair.spreads = fabs(log(pair.again / pair.recorded)) / spread.deviation;
            pair.p = fs_student_two_sided(pair.spreads / sqrt(2), spread.dof);
        }
    }
    count(all, &pair);
    return all->json ? print_json(all, &pair, error) : add_row(all, &pair, error);
}

static fs_status compare_scores(struct comparison *all, const char *id, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    char *sql = fs_format(error, RECORDED, all->identity);
    fs_status status = sql ? fs_query_open(fs_store_handle(all->store), &query, error, sql, "t", id) : FS_FAILED;
    free(sql);
    FS_TRY(status);
    while (status == FS_OK && row) {
        status = fs_query_next(query, &row, error);
        if (status == FS_OK && row) {
            status = compare_score(all, query, error);
        }
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

    if (!all->training.weights[0] ||
        fs_query_open(fs_store_handle(all->again), &query, &ignored,
                      "SELECT c.sha256 FROM checkpoints c JOIN runs r ON r.number = c.run WHERE r.train_hash = ?1 AND "
                      "r.seed = ?2 ORDER BY c.at_update DESC LIMIT 1",
                      "ti", all->training.train_hash, all->training.seed) != FS_OK) {
        return -1;
    }
    if (fs_query_next(query, &row, &ignored) == FS_OK && row) {
        same = strcmp(fs_query_text(query, 0), all->training.weights) == 0;
    }
    sqlite3_finalize(query);
    return same;
}

static enum fs_reproduced judge(const struct comparison *all)
{
    return all->tested && all->least <= ALPHA / all->tested ? FS_REPRODUCED_OTHER
           : all->unknown                                   ? FS_REPRODUCED_UNKNOWN
           : all->tested                                    ? FS_REPRODUCED_IN_NOISE
                                                            : FS_REPRODUCED_EQUAL;
}

static void print_verdict(struct comparison *all, const char *id, enum fs_reproduced outcome)
{
    const char *const words[] = {
        all->missing ? "reproduced: every score that was made again is equal to the last bit"
                     : "reproduced: every score is equal to the last bit",
        "not the same bits, but no score differs by more than another seed's would",
        "not reproduced: a score differs by more than another seed's would",
        "not the same bits, and of a score that differs no spread over seeds is known",
    };
    static const char *const weights[] = {"not known", "other bytes", "the same bytes"};
    const int same = same_weights(all);

    if (all->json) {
        fprintf(all->stream,
                "{\"run\":\"%s\",\"verdict\":\"%s\",\"compared\":%d,\"equal\":%d,\"missing\":%d,\"weights\":\"%s\"}\n",
                id, words[outcome], all->compared, all->equal, all->missing, weights[same + 1]);
        return;
    }
    fs_grid_print(&all->grid, false, all->stream);
    fprintf(all->stream, "\nweights: %s\nrun %.8s, %s (%d of %d scores equal", weights[same + 1], id, words[outcome],
            all->equal, all->compared);
    fprintf(all->stream, all->missing ? ", %d not made again)\n" : ")\n", all->missing);
}

static fs_status make_grid(struct fs_grid *grid, struct fs_error *error)
{
    static const char *const heading[] = {"metric", "steps",      "recorded",
                                          "again",  "difference", "in spreads over seeds"};

    FS_TRY(fs_grid_make(grid, 1, 6, "", error));
    grid->left = 1;
    for (int i = 0; i < 6; i++) {
        snprintf(fs_grid_at(grid, 0, i), FS_GRID_TEXT, "%s", heading[i]);
    }
    return FS_OK;
}

fs_status fs_reproduction_print(struct fs_store *store, struct fs_store *again, const char *id, bool json, FILE *stream,
                                enum fs_reproduced *outcome, struct fs_error *error)
{
    struct comparison all = {.store = store, .again = again, .json = json, .stream = stream, .least = 1};

    fs_status status = make_grid(&all.grid, error);
    all.identity = identity_sql(error);
    status = all.identity ? status : FS_FAILED;
    status = status == FS_OK ? read_training(store, id, &all.training, error) : status;
    status = status == FS_OK ? compare_scores(&all, id, error) : status;
    if (status == FS_OK && all.compared == 0) {
        status = fs_fail(error, FS_FAILED, "run %.8s: %s", id,
                         all.missing ? "none of its scores was made again" : "it has no score to compare");
    }
    if (status == FS_OK) {
        *outcome = judge(&all);
        print_verdict(&all, id, *outcome);
    }
    free(all.identity);
    fs_grid_free(&all.grid);
    return status;
}
