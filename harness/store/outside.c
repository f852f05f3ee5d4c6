#include "harness/store/outside.h"

#include "harness/config/config.h"
#include "harness/store/query.h"

static fs_status fill_one(sqlite3 *database, sqlite3_stmt *score, struct fs_error *error)
{
    struct fs_config config = {0};
    struct fs_error unreadable;
    fs_status status = FS_OK;

    if (fs_config_from_json(fs_query_text(score, 3), &config, &unreadable) == FS_OK) {
        const bool outside =
            fs_config_outside_training(&config, sqlite3_column_int64(score, 1), sqlite3_column_int(score, 2));
        status = fs_execute(database, error, "UPDATE scores SET outside = ?2 WHERE number = ?1", "ii",
                            (int64_t)sqlite3_column_int64(score, 0), (int64_t)outside);
    }
    fs_config_free(&config);
    return status;
}

fs_status fs_outside_fill(sqlite3 *database, int64_t score, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = false;

    FS_TRY(fs_query_open(database, &query, error,
                         "SELECT s.number, s.at_update, s.steps, r.config_json FROM scores s JOIN runs r ON r.number = "
                         "s.run WHERE ?1 IN (0, s.number)",
                         "i", score));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        status = fill_one(database, query, error);
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}
