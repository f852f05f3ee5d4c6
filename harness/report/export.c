/* The database in other programs' formats. */
#include "harness/report/export.h"

#include <math.h>
#include <string.h>

#include "harness/report/rows_json.h"
#include "harness/report/tfrecord.h"
#include "harness/store/query.h"
#include "harness/text/escape.h"
#include "harness/text/json.h"
#include "kernels/base/file.h"

/* The newest experiment of the name ?1 and its parts; everything where ?1 is NULL. */
#define CHOSEN                                                                                                         \
    "WITH chosen AS (SELECT id FROM experiments WHERE name = ?1 ORDER BY used DESC, id DESC LIMIT 1), "                \
    "members AS (SELECT run FROM experiment_runs WHERE experiment IN chosen) "
#define CHOSEN_RUNS "(?1 IS NULL OR r.number IN members OR r.id IN (SELECT teacher FROM runs WHERE number IN members)) "

static const struct {
    const char *type, *sql;
} parts[] = {
    {"experiment", CHOSEN "SELECT name, path, text, hash, ablated, created, used FROM experiments "
                          "WHERE ?1 IS NULL OR id IN chosen ORDER BY id"},
    {"environment", CHOSEN "SELECT e.* FROM environments e WHERE ?1 IS NULL OR id IN (SELECT environment FROM "
                           "run_environments WHERE run IN members) ORDER BY id"},
    {"run", CHOSEN "SELECT r.*, (SELECT group_concat(environment) FROM run_environments WHERE run = r.number) AS "
                   "environments FROM runs r WHERE " CHOSEN_RUNS "ORDER BY number"},
    {"score", CHOSEN "SELECT r.id AS run_id, s.* FROM scores s LEFT JOIN runs r ON r.number = s.run WHERE ?1 IS NULL "
                     "OR s.number IN (SELECT score FROM experiment_scores WHERE experiment IN chosen) ORDER BY "
                     "s.number"},
    {"spectrum_point", CHOSEN "SELECT s.score_hash, p.bin, p.frequency, p.power, p.standard_error, p.reference_power "
                              "FROM spectra p JOIN scores s ON s.number = p.score WHERE ?1 IS NULL OR s.number IN "
                              "(SELECT score FROM experiment_scores WHERE experiment IN chosen) ORDER BY p.score, "
                              "p.bin"},
};

static fs_status print_object(json_t *object, const char *type, FILE *stream, struct fs_error *error)
{
    json_t *line = json_pack("{s:s}", "type", type);
    const bool failed = !line || json_object_update(line, object) ||
                        (json_dumpf(line, stream, JSON_COMPACT | JSON_REAL_PRECISION(17)) != 0 && !ferror(stream));

    json_decref(line);
    fputc('\n', stream); /* a full disk is told of by the one who closes the stream */
    return failed ? fs_fail(error, FS_FAILED, "a row could not be written as JSON") : FS_OK;
}

/* The configuration as an object rather than as a text within a text. */
static void open_configuration(json_t *row)
{
    json_t *config = json_loads(json_string_value(json_object_get(row, "config_json")), 0, NULL);

    if (config) {
        json_object_set_new(row, "configuration", config);
        json_object_del(row, "config_json");
    }
}

static fs_status print_part(struct fs_store *store, int part, const char *experiment, FILE *stream,
                            struct fs_error *error)
{
    json_t *rows, *row;
    size_t i;
    fs_status status = FS_OK;

    FS_TRY(fs_rows_json(store, &rows, error, parts[part].sql, "t", experiment));
    json_array_foreach(rows, i, row)
    {
        if (json_object_get(row, "config_json")) {
            open_configuration(row);
        }
        status = status == FS_OK ? print_object(row, parts[part].type, stream, error) : status;
    }
    json_decref(rows);
    return status;
}

/* --- curves --- */

static const char curve_points[] =
    CHOSEN "SELECT r.id, c.name, c.at_update, c.value FROM curves c JOIN runs r ON r.number = c.run WHERE " CHOSEN_RUNS
           "ORDER BY r.number, c.name, c.at_update";

static fs_status add_point(json_t *curve, sqlite3_stmt *query, struct fs_error *error)
{
    const double value = fs_query_real(query, 3);
    const int failed =
        json_array_append_new(json_object_get(curve, "updates"), json_integer(sqlite3_column_int64(query, 2))) |
        json_array_append_new(json_object_get(curve, "values"), isfinite(value) ? json_real(value) : json_null());

    return failed ? fs_fail(error, FS_FAILED, "no memory for a curve") : FS_OK;
}

static bool is_text(const json_t *value, const char *text)
{
    json_t *other = fs_json_string(text);
    const bool same = json_equal(value, other);

    json_decref(other);
    return same;
}

static bool continues(const json_t *curve, sqlite3_stmt *query)
{
    return curve && is_text(json_object_get(curve, "run_id"), fs_query_text(query, 0)) &&
           is_text(json_object_get(curve, "name"), fs_query_text(query, 1));
}

static fs_status print_curves(sqlite3_stmt *query, json_t **curve, FILE *stream, struct fs_error *error)
{
    bool row = true;

    FS_TRY(fs_query_next(query, &row, error));
    while (row) {
        if (!continues(*curve, query)) {
            FS_TRY(*curve ? print_object(*curve, "curve", stream, error) : FS_OK);
            json_decref(*curve);
            *curve = json_pack("{s:o,s:o,s:[],s:[]}", "run_id", fs_json_string(fs_query_text(query, 0)), "name",
                               fs_json_string(fs_query_text(query, 1)), "updates", "values");
        }
        FS_TRY(add_point(*curve, query, error));
        FS_TRY(fs_query_next(query, &row, error));
    }
    return *curve ? print_object(*curve, "curve", stream, error) : FS_OK;
}

fs_status fs_export_json(struct fs_store *store, const char *experiment, FILE *stream, struct fs_error *error)
{
    struct fs_experiment_name found;
    sqlite3_stmt *query;
    json_t *curve = NULL;

    FS_TRY(fs_experiment_find(store, experiment, &found, error));
    for (int i = 0; i < (int)(sizeof(parts) / sizeof(parts[0])); i++) {
        FS_TRY(print_part(store, i, experiment, stream, error));
    }
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, curve_points, "t", experiment));
    const fs_status status = print_curves(query, &curve, stream, error);
    sqlite3_finalize(query);
    json_decref(curve);
    return status;
}

/* --- TensorBoard --- */

/* Tags and points of a run: curves, then scores, which are ordered so that each tag's steps ascend. */
static const char scalars[] =
    "SELECT name, at_update, value FROM (SELECT 0 AS part, name, at_update, value, 0 AS number FROM curves "
    "  WHERE run = ?1 AND value IS NOT NULL "
    "UNION ALL SELECT 1, metric || ' ' || extractor || '/' || steps || iif(steps = 1, ' step', ' steps') || "
    "  iif(weights = 'ema', '', ' ' || weights) || iif(guidance_scale = 1, '', ' guidance ' || guidance_scale) || "
    "  iif(sampler = 'method', '', ' ' || sampler) || iif(time_grid = 'uniform', '', ' ' || time_grid), "
    "  at_update, value, number FROM scores WHERE run = ?1) ORDER BY part, name, at_update, number";

static fs_status write_scalars(sqlite3 *database, int64_t run, double wall_time, FILE *stream, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    fs_event_begin(stream, wall_time);
    FS_TRY(fs_query_open(database, &query, error, scalars, "i", run));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        fs_event_scalar(stream, wall_time, sqlite3_column_int64(query, 1), fs_query_text(query, 0),
                        (float)fs_query_real(query, 2));
        status = fs_query_next(query, &row, error);
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status write_run(sqlite3 *database, sqlite3_stmt *run, const char *folder, struct fs_error *error)
{
    struct fs_new_file file;
    char own[FS_PATH_ROOM], path[FS_PATH_ROOM], method[64];
    const int64_t changed = sqlite3_column_int64(run, 4);

    FS_TRY(fs_path(own, error, "%s/%s-%.8s-seed%lld", folder,
                   fs_file_name(fs_query_text(run, 2), method, sizeof(method)), fs_query_text(run, 1),
                   (long long)sqlite3_column_int64(run, 3)));
    FS_TRY(
        fs_path(path, error, "%s/events.out.tfevents.%010lld.fewstep", own, (long long)sqlite3_column_int64(run, 5)));
    FS_TRY(fs_make_folder(own, error));
    FS_TRY(fs_new_file_open(&file, path, error));
    const fs_status status = write_scalars(database, sqlite3_column_int64(run, 0), (double)changed, file.stream, error);
    if (status != FS_OK) {
        fs_new_file_abandon(&file);
        return status;
    }
    return fs_new_file_commit(&file, error);
}

fs_status fs_export_tensorboard(struct fs_store *store, const char *experiment, const char *folder, int *runs,
                                struct fs_error *error)
{
    struct fs_experiment_name found;
    sqlite3 *database = fs_store_handle(store);
    sqlite3_stmt *query;
    bool row = true;

    *runs = 0;
    FS_TRY(fs_experiment_find(store, experiment, &found, error));
    FS_TRY(fs_query_open(database, &query, error,
                         CHOSEN "SELECT r.number, r.id, r.method, r.seed, r.changed, r.created FROM runs r "
                                "WHERE " CHOSEN_RUNS "ORDER BY r.number",
                         "t", experiment));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        status = write_run(database, query, folder, error);
        *runs += status == FS_OK;
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}
