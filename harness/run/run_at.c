/* fewstep run --at: an experiment run by another commit's program, and what it left added to the database. */
#include "harness/run/run_at.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/run/revision_run.h"
#include "harness/run/session.h"
#include "harness/config/yaml.h"
#include "harness/git/worktree.h"
#include "harness/results/regress.h"
#include "harness/report/table.h"
#include "harness/store/merge.h"
#include "harness/store/query.h"
#include "harness/text/escape.h"
#include "kernels/base/file.h"

/* Where the experiment's file lies within the source tree; experiments/NAME for one from outside. */
static fs_status path_in_tree(const char *experiment, char path[1024], struct fs_error *error)
{
    char top[1024], whole[PATH_MAX];
    FS_TRY(fs_git_top(top, error));
    const size_t length = strlen(top);
    const char *slash = strrchr(experiment, '/');
    if (realpath(experiment, whole) && strncmp(whole, top, length) == 0 && whole[length] == '/') {
        snprintf(path, 1024, "%s", whole + length + 1);
    } else {
        snprintf(path, 1024, "experiments/%s", slash ? slash + 1 : experiment);
    }
    return FS_OK;
}

static void print_conflict(void *owner, const char *line)
{
    (void)owner;
    fputs("conflict: ", stderr);
    fs_put_plain(line, stderr);
    fputc('\n', stderr);
}

/* Adds what the other program left to our database, whatever its schema was. */
static fs_status import(const struct fs_revision_run *other, const char *db, struct fs_error *error)
{
    char theirs[1100], copy[1100];
    struct fs_store *store;
    struct fs_merge merge = {.conflict = print_conflict};
    snprintf(theirs, sizeof theirs, "%s/fewstep.db", other->folder);
    snprintf(copy, sizeof copy, "%s/import.db", other->folder);
    unlink(copy);
    FS_TRY(fs_store_copy(theirs, copy, error));
    fs_status status = fs_store_open(db, FS_STORE_WRITE, &store, error);
    if (status == FS_OK) {
        status = fs_store_import(store, copy, theirs, &merge, error);
        fs_store_close(store);
    }
    unlink(copy);
    return status;
}

/* The experiment that a source's runs were made for last: in our database another one may be newer. */
static fs_status last_experiment(struct fs_store *store, const char *source, char name[256], struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;
    name[0] = '\0';
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT e.name FROM experiments e JOIN experiment_runs x ON x.experiment = e.id JOIN runs r "
                         "ON r.number = x.run WHERE r.source_hash = ?1 ORDER BY e.used DESC, e.id DESC LIMIT 1",
                         "t", source));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        snprintf(name, 256, "%s", fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
}

/* The table of the commit's own runs. */
static fs_status print_commit(const char *revision, const char *db, struct fs_error *error)
{
    struct fs_store *store;
    struct fs_revision found;
    char name[256];
    FS_TRY(fs_store_open(db, FS_STORE_READ, &store, error));
    fs_status status = fs_revision_find(store, revision, true, &found, error);
    status = status == FS_OK ? last_experiment(store, found.source_hash, name, error) : status;
    if (status == FS_OK) {
        const struct fs_table_request request = {
            .experiment = name[0] ? name : NULL,
            .filter = {.source = found.source_hash, .revision = revision},
        };
        status = fs_table_print(store, &request, stdout, error);
    }
    fs_store_close(store);
    return status;
}

/* Whether a database that is there can take what comes. */
static fs_status check_database(const char *db, struct fs_error *error)
{
    struct fs_store *store;
    if (access(db, F_OK) != 0) {
        return FS_OK;
    }
    FS_TRY(fs_store_open(db, FS_STORE_WRITE, &store, error));
    fs_store_close(store);
    return FS_OK;
}

fs_status fs_run_at(const struct fs_run_at *at, struct fs_error *error)
{
    struct fs_revision_run other = {.more = at->more};
    char db[1024], *text;
    size_t size;
    int changed;
    fs_database_path(at->out, at->db, db);
    FS_TRY(check_database(db, error)); /* not after hours of work */
    FS_TRY(fs_git_commit(at->revision, other.commit, error));
    FS_TRY(path_in_tree(at->experiment, other.experiment, error));
    FS_TRY(fs_git_changed(&changed, error));
    if (changed) {
        fprintf(stderr, "note: this tree has changes that are not committed; commit %.12s is run without them\n",
                other.commit);
    }
    FS_TRY(fs_file_read(at->experiment, FS_YAML_BYTES_MAX, &text, &size, error));
    snprintf(other.folder, sizeof other.folder, "%.900s/at/%.12s", at->out, other.commit);
    other.text = text;
    fs_status status = fs_make_folder(at->out, error);
    status = status == FS_OK ? fs_revision_run(&other, error) : status;
    free(text);
    if (status == FS_FAILED && other.result == FS_FAILED) { /* of several runs some failed: the others are made */
        struct fs_error reason = *error, none;
        if (import(&other, db, &none) == FS_OK) {
            (void)print_commit(at->revision, db, &none);
        }
        *error = reason;
        return FS_FAILED;
    }
    if (status == FS_OK) {
        status = import(&other, db, error);
    }
    return status == FS_OK ? print_commit(at->revision, db, error) : status;
}
