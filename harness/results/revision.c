/* From a revision to the runs that are its own. */
#include <stdio.h>
#include <string.h>

#include "harness/git/git.h"
#include "harness/results/regress.h"
#include "harness/store/query.h"

/* Runs of a source that it also scored. */
#define SCORED_RUNS(source)                                                                                            \
    "FROM runs r WHERE r.source_hash = " source                                                                        \
    " AND EXISTS (SELECT 1 FROM scores s WHERE s.run = r.number AND s.source_hash = r.source_hash)"

static fs_status count_runs(sqlite3 *database, struct fs_revision *revision, struct fs_error *error)
{
    int64_t count;

    FS_TRY(
        fs_query_whole(database, &count, 0, error, "SELECT count(*) " SCORED_RUNS("?1"), "t", revision->source_hash));
    revision->runs = (int)count;
    return FS_OK;
}

/* The source that builds of this commit recorded, a clean one before a changed one, then the newest. */
static fs_status recorded_source(sqlite3 *database, bool dirty, struct fs_revision *revision, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(database, &query, error,
                         "SELECT e.source_hash, e.dirty FROM environments e WHERE e.commit_hash = ?1 AND e.dirty <= ?2 "
                         "AND EXISTS (SELECT 1 " SCORED_RUNS("e.source_hash") ") ORDER BY e.dirty, e.id DESC LIMIT 1",
                         "ti", revision->commit, (int64_t)dirty));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        snprintf(revision->source_hash, sizeof(revision->source_hash), "%s", fs_query_text(query, 0));
        revision->dirty = sqlite3_column_int(query, 1);
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status no_runs(sqlite3 *database, const struct fs_revision *revision, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(
        fs_query_open(database, &query, error,
                      "SELECT group_concat(name, ', '), max(others) FROM (SELECT DISTINCT substr(e.commit_hash, 1, 9) "
                      "|| iif(e.dirty, ' (changed tree)', '') AS name, count(*) OVER () > 8 AS others "
                      "FROM environments e WHERE EXISTS (SELECT 1 " SCORED_RUNS(
                          "e.source_hash") ") AND e.commit_hash IS NOT NULL ORDER BY e.id DESC LIMIT 8)",
                      ""));
    fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && sqlite3_column_type(query, 0) == SQLITE_NULL) {
        status = fs_fail(error, FS_FAILED, "%s (%.9s) has no runs in the database, nor has any other commit",
                         revision->name, revision->commit);
    } else if (status == FS_OK) {
        status = fs_fail(error, FS_FAILED,
                         "%s (%.9s) has no runs in the database: `fewstep run EXPERIMENT.yaml --at %s` makes them; "
                         "commits that have: %s%s",
                         revision->name, revision->commit, revision->name, fs_query_text(query, 0),
                         sqlite3_column_int(query, 1) ? " and older ones" : "");
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_revision_find(struct fs_store *store, const char *name, bool dirty, struct fs_revision *revision,
                           struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    *revision = (struct fs_revision){.name = name};
    FS_TRY(fs_git_commit(name, revision->commit, error));
    FS_TRY(fs_git_source_hash(revision->commit, revision->source_hash, error));
    FS_TRY(count_runs(database, revision, error));
    if (revision->runs == 0) {
        FS_TRY(recorded_source(database, dirty, revision, error));
        FS_TRY(count_runs(database, revision, error));
    }
    return revision->runs > 0 ? FS_OK : no_runs(database, revision, error);
}
