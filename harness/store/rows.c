/* Writing rows and finding them again: one public function, one transaction. */
#include "harness/store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/store/outside.h"
#include "harness/store/query.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define NOW "CAST(strftime('%s', 'now') AS INTEGER)"
#define PREFIX_MIN 6

/* --- environments and experiments --- */

static void environment_hash(const struct fs_environment *environment, char text[65])
{
    const char *const fields[] = {
        environment->commit, environment->source_hash, environment->compiler,
        environment->flags,  environment->libraries,   environment->cpu,
        environment->isa,    environment->device,      environment->host,
    };
    const int numbers[] = {environment->dirty, environment->threads};
    struct fs_sha256 hash;

    fs_sha256_begin(&hash);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char *field = fields[i] ? fields[i] : "";
        fs_sha256_add(&hash, field, strlen(field) + 1);
    }
    fs_sha256_add(&hash, numbers, sizeof(numbers));
    if (environment->ranks > 1) { /* so that rows of one process keep their hash */
        fs_sha256_add(&hash, &environment->ranks, sizeof(environment->ranks));
    }
    fs_sha256_end(&hash, text);
}

static fs_status write_environment(sqlite3 *database, const struct fs_environment *environment, int64_t *id,
                                   struct fs_error *error)
{
    const char *commit = environment->commit && environment->commit[0] ? environment->commit : NULL;
    char hash[65];

    environment_hash(environment, hash);
    FS_TRY(fs_execute(database, error,
                      "INSERT INTO environments (hash, commit_hash, dirty, source_hash, compiler, flags, libraries, "
                      "cpu, isa, device, host, threads, ranks, created) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, " NOW ") ON CONFLICT DO NOTHING",
                      "ttittttttttii", hash, commit, (int64_t)environment->dirty, environment->source_hash,
                      environment->compiler, environment->flags, environment->libraries, environment->cpu,
                      environment->isa, environment->device, environment->host, (int64_t)environment->threads,
                      (int64_t)(environment->ranks > 1 ? environment->ranks : 1)));
    return fs_query_whole(database, id, 0, error, "SELECT id FROM environments WHERE hash = ?1", "t", hash);
}

fs_status fs_store_environment(struct fs_store *store, const struct fs_environment *environment, int64_t *id,
                               struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database, write_environment(database, environment, id, error), error);
}

static fs_status write_experiment(sqlite3 *database, const char *name, const char *path, const char *text,
                                  const char *ablated, int64_t *id, struct fs_error *error)
{
    char hash[65];

    fs_sha256(text, strlen(text), hash);
    /* Of two within a second, or with the clock set back, the one used last still comes last. */
    FS_TRY(fs_execute(database, error,
                      "INSERT INTO experiments (name, path, text, hash, ablated, created, used) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, " NOW ", max(" NOW
                      ", coalesce((SELECT max(used) + 1 FROM experiments "
                      "WHERE name <> ?1 OR hash <> ?4), 0))) "
                      "ON CONFLICT (name, hash) DO UPDATE SET path = excluded.path, ablated = excluded.ablated, "
                      "used = excluded.used",
                      "ttttt", name, path, text, hash, ablated));
    return fs_query_whole(database, id, 0, error, "SELECT id FROM experiments WHERE name = ?1 AND hash = ?2", "tt",
                          name, hash);
}

fs_status fs_store_experiment(struct fs_store *store, const char *name, const char *path, const char *text,
                              const char *ablated, int64_t *id, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database, write_experiment(database, name, path, text, ablated, id, error), error);
}

fs_status fs_store_next_experiment(struct fs_store *store, const char *run, int64_t after, int64_t *id,
                                   struct fs_error *error)
{
    return fs_query_whole(
        fs_store_handle(store), id, 0, error,
        "SELECT min(m.experiment) FROM experiment_runs m JOIN runs r ON r.number = m.run WHERE r.id = "
        "?1 AND m.experiment > ?2",
        "ti", run, after);
}

/* --- runs --- */

static fs_status run_number(sqlite3 *database, const char *id, int64_t *number, struct fs_error *error)
{
    FS_TRY(fs_query_whole(database, number, -1, error, "SELECT number FROM runs WHERE id = ?1", "t", id));
    return *number >= 0 ? FS_OK : fs_fail(error, FS_FAILED, "run %.8s is not in the database", id);
}

static fs_status write_run(sqlite3 *database, const struct fs_run_row *run, int64_t experiment, int64_t environment,
                           struct fs_error *error)
{
    int64_t number;

    /* A run that was a teacher only, and now stands in a matrix, is a full member. */
    FS_TRY(fs_columns_insert(database, &fs_run_columns, run, run->id, "created, changed", NOW ", " NOW,
                             "ON CONFLICT (id) DO UPDATE SET is_teacher = min(is_teacher, excluded.is_teacher)",
                             error));
    FS_TRY(run_number(database, run->id, &number, error));
    if (experiment != 0) {
        FS_TRY(fs_execute(database, error,
                          "INSERT INTO experiment_runs (experiment, run) VALUES (?1, ?2) ON CONFLICT DO NOTHING", "ii",
                          experiment, number));
    }
    return fs_execute(database, error,
                      "INSERT INTO run_environments (run, environment, created) VALUES (?1, ?2, " NOW ") "
                      "ON CONFLICT DO NOTHING",
                      "ii", number, environment);
}

fs_status fs_store_run(struct fs_store *store, const struct fs_run_row *run, int64_t experiment, int64_t environment,
                       struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database, write_run(database, run, experiment, environment, error), error);
}

fs_status fs_store_label(struct fs_store *store, const char *run, int64_t experiment, const char *label,
                         struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database,
                        fs_execute(database, error,
                                   "UPDATE experiment_runs SET label = nullif(?3, '') WHERE experiment = ?2 AND run = "
                                   "(SELECT number FROM runs WHERE id = ?1)",
                                   "tit", run, experiment, label),
                        error);
}

static fs_status write_state(sqlite3 *database, const char *run, const char *state, const char *message, double seconds,
                             double peak_bytes, struct fs_error *error)
{
    int64_t number;

    FS_TRY(run_number(database, run, &number, error));
    return fs_execute(database, error,
                      "UPDATE runs SET state = ?2, message = ?3, seconds = seconds + ?4, "
                      "peak_bytes = max(peak_bytes, ?5), changed = " NOW " WHERE number = ?1",
                      "ittdd", number, state, message, seconds, peak_bytes);
}

fs_status fs_store_run_state(struct fs_store *store, const char *run, const char *state, const char *message,
                             double seconds, double peak_bytes, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database, write_state(database, run, state, message, seconds, peak_bytes, error), error);
}

fs_status fs_store_run_restarts(struct fs_store *store, const char *run, int64_t restarts, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database,
                        fs_execute(database, error, "UPDATE runs SET restarts = ?2 WHERE id = ?1", "ti", run, restarts),
                        error);
}

static fs_status write_checkpoint(sqlite3 *database, const char *run, int64_t update, const char *path,
                                  const char *sha256, int64_t bytes, struct fs_error *error)
{
    int64_t number;

    FS_TRY(run_number(database, run, &number, error));
    return fs_execute(database, error,
                      "INSERT INTO checkpoints (run, at_update, path, sha256, bytes, created) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, " NOW ") ON CONFLICT DO UPDATE SET path = excluded.path, "
                      "sha256 = excluded.sha256, bytes = excluded.bytes, created = excluded.created",
                      "iitti", number, update, path, sha256, bytes);
}

fs_status fs_store_checkpoint(struct fs_store *store, const char *run, int64_t update, const char *path,
                              const char *sha256, int64_t bytes, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database, write_checkpoint(database, run, update, path, sha256, bytes, error), error);
}

static fs_status write_curve(sqlite3 *database, const char *run, const struct fs_curve_point *points, int count,
                             struct fs_error *error)
{
    int64_t number;

    FS_TRY(run_number(database, run, &number, error));
    for (int i = 0; i < count; i++) {
        FS_TRY(fs_execute(database, error,
                          "INSERT INTO curves (run, name, at_update, value) VALUES (?1, ?2, ?3, ?4) "
                          "ON CONFLICT DO UPDATE SET value = excluded.value",
                          "itid", number, points[i].name, points[i].update, points[i].value));
    }
    return FS_OK;
}

fs_status fs_store_curve(struct fs_store *store, const char *run, const struct fs_curve_point *points, int count,
                         struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database, write_curve(database, run, points, count, error), error);
}

/* --- scores --- */

static fs_status link_score(sqlite3 *database, int64_t experiment, const char *score_hash, struct fs_error *error)
{
    return experiment == 0 ? FS_OK
                           : fs_execute(database, error,
                                        "INSERT INTO experiment_scores (experiment, score) "
                                        "SELECT ?1, number FROM scores WHERE score_hash = ?2 ON CONFLICT DO NOTHING",
                                        "it", experiment, score_hash);
}

static fs_status write_spectrum(sqlite3 *database, int64_t number, const struct fs_score_row *score,
                                struct fs_error *error)
{
    FS_TRY(fs_execute(database, error, "DELETE FROM spectra WHERE score = ?1", "i", number));
    for (int i = 0; i < score->spectrum_count; i++) {
        const struct fs_spectrum_point *point = &score->spectrum[i];
        FS_TRY(fs_execute(database, error,
                          "INSERT INTO spectra (score, bin, frequency, power, standard_error, reference_power) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                          "iidddd", number, (int64_t)i, point->frequency, point->power, point->standard_error,
                          point->reference_power));
    }
    return FS_OK;
}

/* Scored again (`eval`): what was reported last is what is kept. */
static fs_status insert_score(sqlite3 *database, const struct fs_score_row *score, int64_t environment,
                              struct fs_error *error)
{
    char values[128];
    char *results = fs_columns_join(&fs_score_columns, FS_ROLE_RESULT, "$ = excluded.$", ", ", error);
    char *conflict = results ? fs_format(error,
                                         "ON CONFLICT (score_hash) DO UPDATE SET %s, environment = "
                                         "excluded.environment, created = excluded.created",
                                         results)
                             : NULL;

    snprintf(values, sizeof(values), "%" PRId64 ", %s", environment, NOW);
    const fs_status status = conflict ? fs_columns_insert(database, &fs_score_columns, score, score->score_hash,
                                                          "environment, created", values, conflict, error)
                                      : FS_FAILED;
    free(conflict);
    free(results);
    return status;
}

static fs_status write_score(sqlite3 *database, const struct fs_score_row *score, int64_t experiment,
                             int64_t environment, struct fs_error *error)
{
    int64_t number;

    FS_TRY(insert_score(database, score, environment, error));
    FS_TRY(fs_query_whole(database, &number, 0, error, "SELECT number FROM scores WHERE score_hash = ?1", "t",
                          score->score_hash));
    FS_TRY(fs_outside_fill(database, number, error));
    FS_TRY(write_spectrum(database, number, score, error));
    return link_score(database, experiment, score->score_hash, error);
}

fs_status fs_store_score(struct fs_store *store, const struct fs_score_row *score, int64_t experiment,
                         int64_t environment, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database, write_score(database, score, experiment, environment, error), error);
}

static fs_status find_score(sqlite3 *database, const char *score_hash, bool *found, double *value,
                            struct fs_error *error)
{
    sqlite3_stmt *query;

    FS_TRY(fs_query_open(database, &query, error, "SELECT value FROM scores WHERE score_hash = ?1", "t", score_hash));
    const fs_status status = fs_query_next(query, found, error);
    if (status == FS_OK && *found) {
        *value = sqlite3_column_double(query, 0);
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_store_find_score(struct fs_store *store, const char *score_hash, int64_t experiment, bool *found,
                              double *value, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    FS_TRY(find_score(database, score_hash, found, value, error));
    if (!*found || experiment == 0) {
        return FS_OK;
    }
    FS_TRY(fs_write_begin(database, error));
    return fs_write_end(database, link_score(database, experiment, score_hash, error), error);
}

static fs_status read_spectrum(sqlite3_stmt *query, struct fs_spectrum_point *points, int count, int *read,
                               struct fs_error *error)
{
    bool row;

    *read = 0;
    FS_TRY(fs_query_next(query, &row, error));
    while (row && *read < count) {
        points[(*read)++] =
            (struct fs_spectrum_point){sqlite3_column_double(query, 0), sqlite3_column_double(query, 1),
                                       sqlite3_column_double(query, 2), sqlite3_column_double(query, 3)};
        FS_TRY(fs_query_next(query, &row, error));
    }
    return FS_OK;
}

fs_status fs_store_spectrum(struct fs_store *store, int64_t number, struct fs_spectrum_point **points, int *count,
                            struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);
    sqlite3_stmt *query;
    int64_t rows;

    *points = NULL;
    *count = 0;
    FS_TRY(fs_query_whole(database, &rows, 0, error, "SELECT count(*) FROM spectra WHERE score = ?1", "i", number));
    *points = fs_allocate((size_t)rows, sizeof(**points), "a spectrum", error);
    if (!*points) {
        return FS_FAILED;
    }
    fs_status status = fs_query_open(database, &query, error,
                                     "SELECT frequency, power, standard_error, reference_power FROM spectra "
                                     "WHERE score = ?1 ORDER BY bin",
                                     "i", number);
    if (status == FS_OK) {
        status = read_spectrum(query, *points, (int)rows, count, error);
        sqlite3_finalize(query);
    }
    if (status != FS_OK) {
        free(*points);
        *points = NULL;
    }
    return status;
}

/* --- finding a run --- */

static fs_status check_prefix(const char *prefix, struct fs_error *error)
{
    const size_t length = strlen(prefix);

    if (length < PREFIX_MIN || length > 64 || strspn(prefix, "0123456789abcdef") != length) {
        return fs_fail(error, FS_USAGE,
                       "'%s': expected a run's id, its first %d digits or more; `fewstep runs` lists them", prefix,
                       PREFIX_MIN);
    }
    return FS_OK;
}

static fs_status read_run(sqlite3_stmt *query, const char *prefix, char id[65], char **config_json,
                          struct fs_error *error)
{
    bool row;

    FS_TRY(fs_query_next(query, &row, error));
    if (!row) {
        return fs_fail(error, FS_USAGE, "%s: no such run in the database; `fewstep runs` lists them", prefix);
    }
    memcpy(id, fs_query_text(query, 0), 65);
    *config_json = fs_copy_text(fs_query_text(query, 1), error);
    if (!*config_json) {
        return FS_FAILED;
    }
    FS_TRY(fs_query_next(query, &row, error));
    return row ? fs_fail(error, FS_USAGE, "%s: several runs begin so (%.16s, %.16s); give more digits", prefix, id,
                         fs_query_text(query, 0))
               : FS_OK;
}

fs_status fs_store_find_run(struct fs_store *store, const char *prefix, char id[65], char **config_json,
                            struct fs_error *error)
{
    sqlite3_stmt *query;

    *config_json = NULL;
    FS_TRY(check_prefix(prefix, error));
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT id, config_json FROM runs WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT 2", "t",
                         prefix));
    const fs_status status = read_run(query, prefix, id, config_json, error);
    sqlite3_finalize(query);
    if (status != FS_OK) {
        free(*config_json);
        *config_json = NULL;
    }
    return status;
}

fs_status fs_store_find_half_trained(struct fs_store *store, const char *train_hash, int64_t seed,
                                     const char *data_sha256, const char *source_hash, char id[65], bool *found,
                                     struct fs_error *error)
{
    sqlite3_stmt *query;

    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT id FROM runs WHERE train_hash = ?1 AND seed = ?2 AND data_sha256 = ?3 AND "
                         "source_hash <> ?4 AND state IN ('training', 'failed') ORDER BY number DESC LIMIT 1",
                         "titt", train_hash, seed, data_sha256, source_hash));
    const fs_status status = fs_query_next(query, found, error);
    if (status == FS_OK && *found) {
        memcpy(id, fs_query_text(query, 0), 65);
    }
    sqlite3_finalize(query);
    return status;
}
