/* What is made of a list of columns: the hash and the SQL. */
#include "harness/store/columns.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/store/query.h"
#include "kernels/base/hash.h"

static const void *field(const struct fs_column *column, const void *row)
{
    return (const char *)row + column->offset;
}

/* A row that does not say has what is left out of the hash: what was done before there was the column. */
static const char *text_of(const struct fs_column *column, const void *row)
{
    const char *text = *(const char *const *)field(column, row);
    return text ? text : column->left_out;
}

/* --- the hash --- */

static bool is_left_out(const struct fs_column *column, const void *row)
{
    if (!column->left_out) {
        return false;
    }
    switch (column->type) {
    case FS_SQL_WHOLE:
        return *(const int64_t *)field(column, row) == strtoll(column->left_out, NULL, 10);
    case FS_SQL_REAL:
        return *(const double *)field(column, row) == strtod(column->left_out, NULL);
    case FS_SQL_BOOL:
        return *(const bool *)field(column, row) == (strtoll(column->left_out, NULL, 10) != 0);
    default:
        return strcmp(text_of(column, row) ? text_of(column, row) : "", column->left_out) == 0;
    }
}

static json_t *value_json(const struct fs_column *column, const void *row)
{
    switch (column->type) {
    case FS_SQL_WHOLE:
        return json_integer(*(const int64_t *)field(column, row));
    case FS_SQL_REAL:
        return json_real(*(const double *)field(column, row));
    case FS_SQL_BOOL:
        return json_boolean(*(const bool *)field(column, row));
    default:
        return json_string(text_of(column, row) ? text_of(column, row) : "");
    }
}

fs_status fs_columns_hash(const struct fs_columns *columns, const void *row, char hash[65], struct fs_error *error)
{
    json_t *object = json_object();
    int failed = object == NULL;

    for (int i = 0; i < columns->count; i++) {
        const struct fs_column *column = &columns->list[i];
        if (column->key && !is_left_out(column, row)) {
            failed |= json_object_set_new(object, column->key, value_json(column, row));
        }
    }
    char *text = failed ? NULL : json_dumps(object, JSON_SORT_KEYS | JSON_COMPACT);
    if (text) {
        fs_sha256(text, strlen(text), hash);
    }
    free(text);
    json_decref(object);
    return text ? FS_OK
                : fs_fail(error, FS_FAILED, "no memory for the identity of a row of %s, or it holds what is no text",
                          columns->table);
}

/* --- SQL --- */

static void write_item(const char *item, const char *name, FILE *stream)
{
    for (; *item; item++) {
        if (*item == '$') {
            fputs(name, stream);
        } else {
            fputc(*item, stream);
        }
    }
}

char *fs_columns_join(const struct fs_columns *columns, unsigned roles, const char *item, const char *separator,
                      struct fs_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    bool begun = false;

    for (int i = 0; stream && i < columns->count; i++) {
        if (columns->list[i].role & roles) {
            fputs(begun ? separator : "", stream);
            write_item(item, columns->list[i].name, stream);
            begun = true;
        }
    }
    if (!stream || fclose(stream) != 0) {
        free(text);
        text = NULL;
        fs_fail(error, FS_FAILED, "no memory for the columns of %s", columns->table);
    }
    return text;
}

static char *insert_sql(const struct fs_columns *columns, const char *more, const char *values, const char *conflict,
                        struct fs_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream) {
        fprintf(stream, "INSERT INTO %s (%s", columns->table, columns->hash);
        for (int i = 0; i < columns->count; i++) {
            fprintf(stream, ", %s", columns->list[i].name);
        }
        fprintf(stream, ", %s) VALUES (?", more);
        for (int i = 0; i < columns->count; i++) {
            fputs(columns->list[i].type == FS_SQL_RUN ? ", (SELECT number FROM runs WHERE id = ?)" : ", ?", stream);
        }
        fprintf(stream, ", %s) %s", values, conflict);
    }
    if (!stream || fclose(stream) != 0) {
        free(text);
        text = NULL;
        fs_fail(error, FS_FAILED, "no memory for a row of %s", columns->table);
    }
    return text;
}

static int bind_value(sqlite3_stmt *query, int place, const struct fs_column *column, const void *row)
{
    switch (column->type) {
    case FS_SQL_WHOLE:
        return sqlite3_bind_int64(query, place, *(const int64_t *)field(column, row));
    case FS_SQL_REAL: /* SQLite itself turns NAN into NULL */
        return sqlite3_bind_double(query, place, *(const double *)field(column, row));
    case FS_SQL_BOOL:
        return sqlite3_bind_int(query, place, *(const bool *)field(column, row));
    default:
        return sqlite3_bind_text(query, place, text_of(column, row), -1, SQLITE_STATIC);
    }
}

/* A run that is not there must not become NULL, which means data. */
static fs_status check_runs(sqlite3 *database, const struct fs_columns *columns, const void *row,
                            struct fs_error *error)
{
    for (int i = 0; i < columns->count; i++) {
        const struct fs_column *column = &columns->list[i];
        int64_t number;
        if (column->type == FS_SQL_RUN && text_of(column, row)) {
            FS_TRY(fs_query_whole(database, &number, -1, error, "SELECT number FROM runs WHERE id = ?1", "t",
                                  text_of(column, row)));
            FS_TRY(number >= 0 ? FS_OK
                               : fs_fail(error, FS_FAILED, "run %.8s is not in the database", text_of(column, row)));
        }
    }
    return FS_OK;
}

fs_status fs_columns_insert(sqlite3 *database, const struct fs_columns *columns, const void *row, const char *hash,
                            const char *more, const char *values, const char *conflict, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool ignored;

    FS_TRY(check_runs(database, columns, row, error));
    char *sql = insert_sql(columns, more, values, conflict, error);
    if (!sql) {
        return FS_FAILED;
    }
    fs_status status = fs_query_open(database, &query, error, sql, "t", hash);
    free(sql);
    FS_TRY(status);
    int result = SQLITE_OK;
    for (int i = 0; result == SQLITE_OK && i < columns->count; i++) {
        result = bind_value(query, 2 + i, &columns->list[i], row);
    }
    status = result == SQLITE_OK ? fs_query_next(query, &ignored, error) : fs_query_fail(database, error);
    sqlite3_finalize(query);
    return status;
}
