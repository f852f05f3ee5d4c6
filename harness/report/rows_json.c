/* Rows of the database as JSON, and JSON as text for people. */
#include "harness/report/rows_json.h"

#include <string.h>

#include "harness/store/query.h"
#include "harness/text/escape.h"

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
        return fs_json_string(fs_query_text(query, column));
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

/* A text whole, whatever its length; the rest as fs_json_text has it. */
static void print_value(const json_t *value, FILE *stream)
{
    char text[1024];

    if (json_is_string(value)) {
        fs_put_plain(json_string_value(value), stream);
        return;
    }
    fs_json_text(value, text, sizeof(text));
    fs_put_plain(text, stream);
}

static void print_line(const json_t *object, FILE *stream)
{
    const char *key, *comma = "";
    const json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        fprintf(stream, "%s%s ", comma, key);
        print_value(value, stream);
        comma = ", ";
    }
    fputc('\n', stream);
}

void fs_json_print(const json_t *object, int indent, FILE *stream)
{
    const char *key;
    const json_t *value, *item;
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
            fputc(' ', stream);
            print_value(value, stream);
            fputc('\n', stream);
        }
    }
}
