/* Another commit of this repository, checked out, built and run in a temporary folder. */
#include "harness/git/worktree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/git/process.h"

/* What would lead git or make elsewhere: a hook's repository, the variables of a make that runs this program. */
#define WITHOUT_OURS                                                                                                   \
    "env", "-u", "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE", "-u", "MAKEFLAGS", "-u", "MFLAGS", "-u",    \
        "MAKELEVEL", "-u", "MAKEOVERRIDES"
#define ARGUMENTS_MAX 160

static fs_status stopped(struct fs_error *error)
{
    return fs_fail(error, FS_STOPPED, "stopped; the same command goes on from here");
}

/* Runs a program whose output and messages are added to the log. */
static fs_status run_logged(const struct fs_worktree *tree, const char *const *argv, int *result,
                            struct fs_error *error)
{
    const int log = open(tree->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (log < 0) {
        return fs_fail(error, FS_USAGE, "%s: %s", tree->log, strerror(errno));
    }
    const fs_status status = fs_run_program(argv, log, log, tree->stop, result, error);
    close(log);
    return status == FS_OK && *tree->stop ? stopped(error) : status;
}

static fs_status make_folder(struct fs_worktree *tree, struct fs_error *error)
{
    const char *base = getenv("TMPDIR");

    char folder[FS_PATH_ROOM];

    FS_TRY(fs_path(folder, error, "%s/fewstep-at-XXXXXX", base && *base ? base : "/tmp"));
    FS_TRY(fs_path(tree->path, error, "%s/tree", folder)); /* before it is made, whether it has room */
    if (!mkdtemp(folder)) {
        return fs_fail(error, FS_FAILED, "%s: no temporary folder: %s", folder, strerror(errno));
    }
    FS_TRY(fs_path(tree->folder, error, "%s", folder));
    return fs_path(tree->path, error, "%s/tree", folder);
}

fs_status fs_worktree_open(struct fs_worktree *tree, const char *commit, const char *log,
                           const volatile sig_atomic_t *stop, struct fs_error *error)
{
    int result = 0;

    *tree = (struct fs_worktree){.stop = stop};
    FS_TRY(fs_path(tree->log, error, "%s", log));
    unlink(tree->log);
    FS_TRY(make_folder(tree, error));
    const char *const argv[] = {"git", "worktree", "add", "--detach", tree->path, commit, NULL};
    fs_status status = run_logged(tree, argv, &result, error);
    if (status == FS_OK && result != 0) {
        status = fs_fail(error, FS_FAILED, "git cannot check out %.12s; what it said is in %s", commit, tree->log);
    }
    if (status != FS_OK) {
        fs_worktree_close(tree);
    }
    return status;
}

fs_status fs_worktree_build(const struct fs_worktree *tree, struct fs_error *error)
{
    char jobs[32];
    int result = 0;

    snprintf(jobs, sizeof(jobs), "-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
    const char *const argv[] = {WITHOUT_OURS, "make", "--no-print-directory", jobs, "-C", tree->path, NULL};
    FS_TRY(run_logged(tree, argv, &result, error));
    return result == 0 ? FS_OK
                       : fs_fail(error, FS_FAILED, "this commit does not build here (make ended with %d); its log: %s",
                                 result, tree->log);
}

fs_status fs_worktree_run(const struct fs_worktree *tree, const char *const *arguments, int *result,
                          struct fs_error *error)
{
    const char *argv[ARGUMENTS_MAX] = {WITHOUT_OURS, "-C", tree->path, "build/fewstep"};
    int count = 0;

    while (argv[count]) {
        count++;
    }
    for (; *arguments; arguments++) {
        if (count + 1 == ARGUMENTS_MAX) {
            return fs_fail(error, FS_USAGE, "too many options for one command");
        }
        argv[count++] = *arguments;
    }
    FS_TRY(fs_run_program(argv, -1, STDERR_FILENO, tree->stop, result, error));
    return *tree->stop ? stopped(error) : FS_OK;
}

/* The tree's folder, then git's entry for it. */
void fs_worktree_close(struct fs_worktree *tree)
{
    const char *const remove[] = {"rm", "-rf", "--", tree->folder, NULL};
    const char *const prune[] = {"git", "worktree", "prune", NULL};
    struct fs_error ignored;
    char *output = NULL;
    size_t size;
    int result;

    if (!tree->folder[0]) {
        return;
    }
    if (fs_capture(remove, -1, &output, &size, &result, &ignored) == FS_OK) {
        free(output);
    }
    if (fs_capture(prune, -1, &output, &size, &result, &ignored) == FS_OK) {
        free(output);
    }
    tree->folder[0] = 0;
}

fs_status fs_git_changed(int *changed, struct fs_error *error)
{
    const char *const argv[] = {"git", "status", "--porcelain", "--untracked-files=no", NULL};
    char *output;
    size_t size;
    int result;

    FS_TRY(fs_capture(argv, -1, &output, &size, &result, error));
    *changed = result == 0 && size > 0;
    free(output);
    return FS_OK;
}
