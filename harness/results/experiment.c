/* An experiment's newest row. */
#include "harness/results/experiment.h"

#include <stdio.h>

#include "harness/store/query.h"
#include "kernels/base/memory.h"

/* What stands in the way: no such name, and which there are. */
static fs_status no_experiment(sqlite3 *database, const char *name, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(database, &query, error,
                         "SELECT group_concat(name, ', ') FROM (SELECT DISTINCT name FROM experiments)", ""));
    fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && sqlite3_column_type(query, 0) == SQLITE_NULL) {
        status =
            fs_fail(error, FS_USAGE, "the database holds no experiment yet; `fewstep run EXPERIMENT.yaml` makes one");
    } else if (status == FS_OK) {
        status = fs_fail(error, FS_USAGE, "%s: no such experiment in the database; there are: %.512s", name,
                         fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
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
    return status == FS_OK && !row ? no_experiment(fs_store_handle(store), name, error) : status;
}

fs_status fs_experiment_text(struct fs_store *store, int64_t id, char **text, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    *text = NULL;
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, "SELECT text FROM experiments WHERE id = ?", "i", id));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK) {
        *text = fs_copy_text(row ? fs_query_text(query, 0) : "", error);
    }
    sqlite3_finalize(query);
    return status == FS_OK && !*text ? FS_FAILED : status;
}
