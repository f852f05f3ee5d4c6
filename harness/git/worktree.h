/* Another commit of this repository, checked out, built and run in a temporary folder. */
#ifndef FEWSTEP_WORKTREE_H
#define FEWSTEP_WORKTREE_H

#include <signal.h>

#include "kernels/base/file.h"

struct fs_worktree {
    char folder[FS_PATH_ROOM]; /* temporary; "" where nothing is open */
    char path[FS_PATH_ROOM];   /* the tree in it */
    char log[FS_PATH_ROOM];    /* what git and make said */
    const volatile sig_atomic_t *stop;
};

/* Checks a commit out into a temporary folder under $TMPDIR (or /tmp). Messages go to the file `log`, which is made
 * anew. `stop`: a signal came; programs are asked to end, and the functions below return FS_FAILED. Close it with
 * fs_worktree_close, also after a failure of what follows. */
fs_status fs_worktree_open(struct fs_worktree *tree, const char *commit, const char *log,
                           const volatile sig_atomic_t *stop, struct fs_error *error);
/* `make` in it, on all cores. FS_FAILED names the log. */
fs_status fs_worktree_build(const struct fs_worktree *tree, struct fs_error *error);
/* Runs `build/fewstep ARGUMENTS…` (NULL past the last) in the tree, its messages on our standard error; its output is
 * dropped. *result: its exit status. */
fs_status fs_worktree_run(const struct fs_worktree *tree, const char *const *arguments, int *result,
                          struct fs_error *error);
/* Removes the folder, and git's note of it. */
void fs_worktree_close(struct fs_worktree *tree);

/* Whether tracked files of the current tree differ from its commit. */
fs_status fs_git_changed(int *changed, struct fs_error *error);

#endif
