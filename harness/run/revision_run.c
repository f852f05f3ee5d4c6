/* An experiment run by another commit's program. */
#include "harness/run/revision_run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/run/session.h"
#include "harness/git/worktree.h"
#include "kernels/base/file.h"

/* The folder of the runs, made, by its absolute name. */
static fs_status open_folder(struct fs_revision_run *other, struct fs_error *error)
{
    char whole[PATH_MAX];

    FS_TRY(fs_make_folder(other->folder, error));
    if (!realpath(other->folder, whole)) {
        return fs_fail(error, FS_USAGE, "%s: %s", other->folder, strerror(errno));
    }
    return fs_path(other->folder, error, "%s", whole);
}

static fs_status put_experiment(const struct fs_revision_run *other, const struct fs_worktree *tree,
                                struct fs_error *error)
{
    struct fs_new_file file;
    char path[FS_PATH_ROOM];

    FS_TRY(fs_path(path, error, "%s/%s", tree->path, other->experiment));
    char *slash = strrchr(path, '/');
    *slash = 0;
    FS_TRY(fs_make_folder(path, error));
    *slash = '/';
    FS_TRY(fs_new_file_open(&file, path, error));
    fputs(other->text, file.stream);
    return fs_new_file_commit(&file, error);
}

static fs_status run_there(struct fs_revision_run *other, const struct fs_worktree *tree, struct fs_error *error)
{
    const char *arguments[128] = {"run", other->experiment, "--out", other->folder};
    int count = 4;

    for (const char *const *more = other->more; more && *more && count < 127; more++) {
        arguments[count++] = *more;
    }
    FS_TRY(fs_worktree_run(tree, arguments, &other->result, error));
    const int result = other->result;
    return result == 0 ? FS_OK
                       : fs_fail(error, result == FS_USAGE || result == FS_STOPPED ? (fs_status)result : FS_FAILED,
                                 "the program of commit %.12s ended with %d, for the reason it gave above",
                                 other->commit, result);
}

fs_status fs_revision_run(struct fs_revision_run *other, struct fs_error *error)
{
    struct fs_worktree tree;
    char log[FS_PATH_ROOM];

    FS_TRY(open_folder(other, error));
    FS_TRY(fs_path(log, error, "%s/build.log", other->folder));
    fs_catch_signals();
    fprintf(stderr, "building commit %.12s (log: %s)\n", other->commit, log);
    FS_TRY(fs_worktree_open(&tree, other->commit, log, &fs_stop, error));
    fs_status status = fs_worktree_build(&tree, error);
    if (status == FS_OK) {
        status = put_experiment(other, &tree, error);
    }
    if (status == FS_OK) {
        status = run_there(other, &tree, error);
    }
    fs_worktree_close(&tree);
    return status;
}
