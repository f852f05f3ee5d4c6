/* fewstep run --at: an experiment run by another commit's program, and what it left added to the database. */
#include "harness/run/run_at.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/run/revision_run.h"
#include "harness/run/session.h"
#include "harness/config/config.h"
#include "harness/config/yaml.h"
#include "harness/git/worktree.h"
#include "harness/store/merge.h"
#include "harness/text/escape.h"
#include "kernels/base/file.h"

/* Where the experiment's file lies within the source tree; experiments/NAME for one from outside. */
static fs_status path_in_tree(const char *experiment, char path[FS_PATH_ROOM], struct fs_error *error)
{
    char top[FS_PATH_ROOM], whole[PATH_MAX];
    FS_TRY(fs_git_top(top, error));
    const size_t length = strlen(top);
    const char *slash = strrchr(experiment, '/');
    if (realpath(experiment, whole) && strncmp(whole, top, length) == 0 && whole[length] == '/') {
        return fs_path(path, error, "%s", whole + length + 1);
    }
    return fs_path(path, error, "experiments/%s", slash ? slash + 1 : experiment);
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
    char theirs[FS_PATH_ROOM], copy[FS_PATH_ROOM];
    struct fs_store *store;
    struct fs_merge merge = {.conflict = print_conflict};
    FS_TRY(fs_path(theirs, error, "%s/fewstep.db", other->folder));
    FS_TRY(fs_path(copy, error, "%s/import.db", other->folder));
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

fs_status fs_run_at(const struct fs_run_at *at, bool *added, struct fs_error *error)
{
    *added = false;
    struct fs_revision_run other = {.more = at->more};
    char db[FS_PATH_ROOM], experiment[FS_PATH_ROOM], *text;
    size_t size;
    int changed;
    FS_TRY(fs_database_path(at->out, at->db, db, error));
    FS_TRY(check_database(db, error)); /* not after hours of work */
    FS_TRY(fs_git_commit(at->revision, other.commit, error));
    FS_TRY(fs_experiment_file(at->experiment, experiment, error));
    FS_TRY(path_in_tree(experiment, other.experiment, error));
    FS_TRY(fs_git_changed(&changed, error));
    if (changed) {
        fprintf(stderr, "note: this tree has changes that are not committed; commit %.12s is run without them\n",
                other.commit);
    }
    FS_TRY(fs_path(other.folder, error, "%s/at/%.12s", at->out, other.commit));
    FS_TRY(fs_file_read(experiment, FS_YAML_BYTES_MAX, &text, &size, error));
    other.text = text;
    fs_status status = fs_make_folder(at->out, error);
    status = status == FS_OK ? fs_revision_run(&other, error) : status;
    free(text);
    if (status == FS_FAILED && other.result == FS_FAILED) { /* of several runs some failed: the others are made */
        struct fs_error none;
        *added = import(&other, db, &none) == FS_OK;
        return FS_FAILED;
    }
    if (status == FS_OK) {
        status = import(&other, db, error);
        *added = status == FS_OK;
    }
    return status;
}
