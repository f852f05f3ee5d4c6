/* Rows of the database as JSON, and JSON as text for people. */
#include "harness/report/rows_json.h"

#include <string.h>

#include "harness/store/query.h"

static json_t *column_json(sqlite3_stmt *query, int column)
{
    switch (sqlite3_column_type(query, column)) {
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(query, column));
    case SQLITE_FLOAT:
        return json_real(sqlite3_column_double(query, column));
    case SQLITE_NULL:
        return json_null();
    default:
        return json_string(fs_query_text(query, column));
    }
}

static fs_status append_row(sqlite3_stmt *query, json_t *rows, struct fs_error *error)
{
    json_t *row = json_object();
    int failed = json_array_append_new(rows, row);

    for (int i = 0; i < sqlite3_column_count(query); i++) {
        failed |= json_object_set_new(row, sqlite3_column_name(query, i), column_json(query, i));
    }
    return failed ? fs_fail(error, FS_FAILED, "no memory for rows of the database") : FS_OK;
}

fs_status fs_rows_json(struct fs_store *store, json_t **rows, struct fs_error *error, const char *sql,
                       const char *types, const char *value)
{
    sqlite3_stmt *query;
    bool row = true;

    *rows = NULL;
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, sql, types, value));
    *rows = json_array();
    fs_status status = *rows ? fs_query_next(query, &row, error) : fs_fail(error, FS_FAILED, "no memory for rows");
    while (status == FS_OK && row) {
        status = append_row(query, *rows, error);
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    if (status != FS_OK) {
        json_decref(*rows);
        *rows = NULL;
    }
    return status;
}

const json_t *fs_json_at(const json_t *root, const char *dotted)
{
    char part[64];

    while (root && *dotted) {
        const size_t length = strcspn(dotted, ".");
        snprintf(part, sizeof(part), "%.*s", (int)length, dotted);
        root = json_object_get(root, part);
        dotted += length + (dotted[length] == '.');
    }
    return root;
}

void fs_json_text(const json_t *value, char *text, size_t size)
{
    size_t length = 0, i;
    const json_t *item;

    if (json_is_string(value)) {
        snprintf(text, size, "%s", json_string_value(value));
    } else if (json_is_integer(value)) {
        snprintf(text, size, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(text, size, "%.6g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        snprintf(text, size, "%s", json_is_true(value) ? "true" : "false");
    } else if (json_is_array(value)) {
        snprintf(text, size, "[");
        json_array_foreach(value, i, item)
        {
            length = strlen(text);
            snprintf(text + length, size - length, "%s", i ? ", " : "");
            length = strlen(text);
            fs_json_text(item, text + length, size - length);
        }
        length = strlen(text);
        snprintf(text + length, size - length, "]");
    } else {
        snprintf(text, size, "–");
    }
}

static void print_line(const json_t *object, FILE *stream)
{
    const char *key, *comma = "";
    const json_t *value;
    char text[1024];

    json_object_foreach((json_t *)object, key, value)
    {
        fs_json_text(value, text, sizeof(text));
        fprintf(stream, "%s%s %s", comma, key, text);
        comma = ", ";
    }
    fputc('\n', stream);
}

void fs_json_print(const json_t *object, int indent, FILE *stream)
{
    const char *key;
    const json_t *value, *item;
    char text[1024];
    size_t i;

    json_object_foreach((json_t *)object, key, value)
    {
        fprintf(stream, "%*s%s:", indent, "", key);
        if (json_is_object(value)) {
            fputc('\n', stream);
            fs_json_print(value, indent + 2, stream);
        } else if (json_is_object(json_array_get(value, 0))) {
            fputc('\n', stream);
            json_array_foreach(value, i, item)
            {
                fprintf(stream, "%*s- ", indent + 2, "");
                print_line(item, stream);
            }
        } else {
            fs_json_text(value, text, sizeof(text));
            fprintf(stream, " %s\n", text);
        }
    }
}

/* --- experiments --- */

static fs_status no_experiment(struct fs_store *store, const char *name, struct fs_error *error)
{
    json_t *rows;
    char names[512] = "";

    FS_TRY(fs_rows_json(store, &rows, error,
                        "SELECT group_concat(name, ', ') AS names FROM (SELECT DISTINCT name FROM experiments)", "",
                        NULL));
    const json_t *all = json_object_get(json_array_get(rows, 0), "names");
    if (json_is_string(all)) {
        fs_json_text(all, names, sizeof(names));
    }
    json_decref(rows);
    if (!names[0]) {
        return fs_fail(error, FS_USAGE,
                       "the database holds no experiment yet; `fewstep run EXPERIMENT.yaml` makes one");
    }
    return fs_fail(error, FS_USAGE, "%s: no such experiment in the database; there are: %s", name, names);
}

fs_status fs_experiment_find(struct fs_store *store, const char *name, struct fs_experiment_name *experiment,
                             struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT id, name, ablated FROM experiments WHERE ?1 IS NULL OR name = ?1 "
                         "ORDER BY used DESC, id DESC LIMIT 1",
                         "t", name));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        experiment->id = sqlite3_column_int64(query, 0);
        snprintf(experiment->name, sizeof(experiment->name), "%s", fs_query_text(query, 1));
        snprintf(experiment->ablated, sizeof(experiment->ablated), "%s", fs_query_text(query, 2));
    }
    sqlite3_finalize(query);
    return status == FS_OK && !row ? no_experiment(store, name, error) : status;
}

void fs_config_text(const char *config_json, const char *key, char *text, size_t size)
{
    json_t *config = json_loads(config_json, 0, NULL);

    fs_json_text(fs_json_at(config, key), text, size);
    json_decref(config);
}
