/* Prepared statements with their values bound: the only way that this program speaks SQL. */
#ifndef FEWSTEP_QUERY_H
#define FEWSTEP_QUERY_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/error.h"

/* Prepares `sql` and binds one value for each letter of `types`: t: const char * (NULL is NULL), i: int64_t (exactly),
 * d: double (NAN is NULL). Texts must outlive the query. Close with sqlite3_finalize. */
fs_status fs_query_open(sqlite3 *database, sqlite3_stmt **query, struct fs_error *error, const char *sql,
                        const char *types, ...);
/* *row: whether there is another row, to be read by sqlite3_column_…. */
fs_status fs_query_next(sqlite3_stmt *query, bool *row, struct fs_error *error);
/* A text column; "" for NULL. Valid until the next row. */
const char *fs_query_text(sqlite3_stmt *query, int column);
/* A real column; NAN for NULL. */
double fs_query_real(sqlite3_stmt *query, int column);

/* A statement without rows that are wanted. */
fs_status fs_execute(sqlite3 *database, struct fs_error *error, const char *sql, const char *types, ...);
/* The first column of the first row, as a whole number; `otherwise` when there is no row or it is NULL. */
fs_status fs_query_whole(sqlite3 *database, int64_t *value, int64_t otherwise, struct fs_error *error, const char *sql,
                         const char *types, ...);

/* A write transaction: begins at once (waiting for another writer), so that it never fails half-way for a lock.
 * fs_write_end commits when `status` is FS_OK and rolls back otherwise, or when the commit fails; returns the outcome.
 */
fs_status fs_write_begin(sqlite3 *database, struct fs_error *error);
fs_status fs_write_end(sqlite3 *database, fs_status status, struct fs_error *error);

/* What SQLite says of its last failure, as one line that names the file and what to do. */
fs_status fs_query_fail(sqlite3 *database, struct fs_error *error);

#endif
