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
static fs_status open_folder(struct fs_elsewhere *elsewhere, struct fs_error *error)
{
    char whole[PATH_MAX];

    FS_TRY(fs_make_folder(elsewhere->folder, error));
    if (!realpath(elsewhere->folder, whole)) {
        return fs_fail(error, FS_USAGE, "%s: %s", elsewhere->folder, strerror(errno));
    }
    const size_t length = strlen(whole);
    if (length + 64 > sizeof(elsewhere->folder)) {
        return fs_fail(error, FS_USAGE, "%s: its name is too long", elsewhere->folder);
    }
    memcpy(elsewhere->folder, whole, length + 1);
    return FS_OK;
}

static fs_status put_experiment(const struct fs_elsewhere *elsewhere, const struct fs_worktree *tree,
                                struct fs_error *error)
{
    struct fs_new_file file;
    char path[2100];

    const int length = snprintf(path, sizeof(path), "%s/%s", tree->path, elsewhere->experiment);
    if (length >= 1024) {
        return fs_fail(error, FS_USAGE, "%s: the name is too long", elsewhere->experiment);
    }
    char *slash = strrchr(path, '/');
    *slash = 0;
    FS_TRY(fs_make_folder(path, error));
    *slash = '/';
    FS_TRY(fs_new_file_open(&file, path, error));
    fputs(elsewhere->text, file.stream);
    return fs_new_file_commit(&file, error);
}

static fs_status run_there(const struct fs_elsewhere *elsewhere, const struct fs_worktree *tree, struct fs_error *error)
{
    const char *arguments[128] = {"run", elsewhere->experiment, "--out", elsewhere->folder};
    int count = 4, result = 0;

    for (const char *const *more = elsewhere->more; more && *more && count < 127; more++) {
        arguments[count++] = *more;
    }
    FS_TRY(fs_worktree_run(tree, arguments, &result, error));
    return result == 0 ? FS_OK
                       : fs_fail(error, result == FS_USAGE ? FS_USAGE : FS_FAILED,
                                 "the program of commit %.12s ended with %d, for the reason it gave above",
                                 elsewhere->commit, result);
}

fs_status fs_elsewhere_run(struct fs_elsewhere *elsewhere, struct fs_error *error)
{
    struct fs_worktree tree;
    char log[1088];

    FS_TRY(open_folder(elsewhere, error));
    snprintf(log, sizeof(log), "%s/build.log", elsewhere->folder);
    fs_catch_signals();
    fprintf(stderr, "building commit %.12s (log: %s)\n", elsewhere->commit, log);
    FS_TRY(fs_worktree_open(&tree, elsewhere->commit, log, &fs_stop, error));
    fs_status status = fs_worktree_build(&tree, error);
    if (status == FS_OK) {
        status = put_experiment(elsewhere, &tree, error);
    }
    if (status == FS_OK) {
        status = run_there(elsewhere, &tree, error);
    }
    fs_worktree_close(&tree);
    return status;
}
