/* Prepared statements over SQLite, and its failures as lines that a user can act upon. */
#include "harness/store/query.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

fs_status fs_query_fail(sqlite3 *database, struct fs_error *error)
{
    const char *path = sqlite3_db_filename(database, "main");
    const char *reason = sqlite3_errmsg(database);

    path = path ? path : "the database";
    switch (sqlite3_errcode(database) & 0xff) {
    case SQLITE_NOTADB:
        return fs_fail(error, FS_USAGE, "%s: not an SQLite database; give another --db", path);
    case SQLITE_CORRUPT:
        return fs_fail(error, FS_USAGE, "%s: the database is damaged (%s); give another --db, or restore a copy", path,
                       reason);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return fs_fail(error, FS_USAGE, "%s: cannot be opened or written (%s); check the folder and its permissions",
                       path, reason);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fs_fail(error, FS_FAILED, "%s: another process has kept the database locked for a minute; try again",
                       path);
    case SQLITE_FULL:
    case SQLITE_IOERR:
        return fs_fail(error, FS_FAILED,
                       "%s: cannot be written (%s); what was reported before is safe: make room and run again", path,
                       reason);
    default:
        return fs_fail(error, FS_FAILED, "%s: %s", path, reason);
    }
}

static int bind_values(sqlite3_stmt *query, const char *types, va_list values)
{
    int result = SQLITE_OK;

    for (int i = 0; types[i] && result == SQLITE_OK; i++) {
        if (types[i] == 't') {
            result = sqlite3_bind_text(query, i + 1, va_arg(values, const char *), -1, SQLITE_STATIC);
        } else if (types[i] == 'i') {
            result = sqlite3_bind_int64(query, i + 1, va_arg(values, int64_t));
        } else {
            /* SQLite itself turns NAN into NULL. */
            result = sqlite3_bind_double(query, i + 1, va_arg(values, double));
        }
    }
    return result;
}

static fs_status open_query(sqlite3 *database, sqlite3_stmt **query, struct fs_error *error, const char *sql,
                            const char *types, va_list values)
{
    if (sqlite3_prepare_v2(database, sql, -1, query, NULL) != SQLITE_OK ||
        bind_values(*query, types, values) != SQLITE_OK) {
        const fs_status status = fs_query_fail(database, error);
        sqlite3_finalize(*query);
        *query = NULL;
        return status;
    }
    return FS_OK;
}

fs_status fs_query_open(sqlite3 *database, sqlite3_stmt **query, struct fs_error *error, const char *sql,
                        const char *types, ...)
{
    va_list values;

    va_start(values, types);
    const fs_status status = open_query(database, query, error, sql, types, values);
    va_end(values);
    return status;
}

fs_status fs_query_next(sqlite3_stmt *query, bool *row, struct fs_error *error)
{
    const int result = sqlite3_step(query);

    *row = result == SQLITE_ROW;
    return *row || result == SQLITE_DONE ? FS_OK : fs_query_fail(sqlite3_db_handle(query), error);
}

const char *fs_query_text(sqlite3_stmt *query, int column)
{
    const char *text = (const char *)sqlite3_column_text(query, column);

    return text ? text : "";
}

double fs_query_real(sqlite3_stmt *query, int column)
{
    return sqlite3_column_type(query, column) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(query, column);
}

fs_status fs_execute(sqlite3 *database, struct fs_error *error, const char *sql, const char *types, ...)
{
    sqlite3_stmt *query;
    va_list values;
    bool row = true;

    va_start(values, types);
    fs_status status = open_query(database, &query, error, sql, types, values);
    va_end(values);
    while (status == FS_OK && row) {
        status = fs_query_next(query, &row, error);
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_query_whole(sqlite3 *database, int64_t *value, int64_t otherwise, struct fs_error *error, const char *sql,
                         const char *types, ...)
{
    sqlite3_stmt *query;
    va_list values;
    bool row = false;

    va_start(values, types);
    fs_status status = open_query(database, &query, error, sql, types, values);
    va_end(values);
    if (status == FS_OK) {
        status = fs_query_next(query, &row, error);
    }
    *value = row && sqlite3_column_type(query, 0) != SQLITE_NULL ? sqlite3_column_int64(query, 0) : otherwise;
    sqlite3_finalize(query);
    return status;
}

fs_status fs_write_begin(sqlite3 *database, struct fs_error *error)
{
    return fs_execute(database, error, "BEGIN IMMEDIATE", "");
}

fs_status fs_write_end(sqlite3 *database, fs_status status, struct fs_error *error)
{
    if (status == FS_OK) {
        status = fs_execute(database, error, "COMMIT", "");
    }
    /* After some failures (a full disk) SQLite has rolled back by itself. */
    if (status != FS_OK && !sqlite3_get_autocommit(database)) {
        struct fs_error ignored;
        fs_execute(database, &ignored, "ROLLBACK", "");
    }
    return status;
}
