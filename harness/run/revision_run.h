/* An experiment run by another commit's program: checked out, built, and run with a database of its own. */
#ifndef FEWSTEP_REVISION_RUN_H
#define FEWSTEP_REVISION_RUN_H

#include "harness/git/git.h"

struct fs_revision_run {
    char commit[FS_COMMIT_TEXT];
    char folder[FS_PATH_ROOM];     /* where its runs go; made, absolute after fs_revision_run */
    char experiment[FS_PATH_ROOM]; /* the experiment's path within the tree */
    const char *text;              /* its contents, put there after the build */
    const char *const *more;       /* options for its `run`, NULL past the last */
    int result;                    /* receives the program's exit status, once it has ended */
};

/* Builds the commit and runs the experiment; what was done before in the same folder is not done again. Catches
 * signals: the temporary tree is removed also when one comes. The database is then FOLDER/fewstep.db. */
fs_status fs_revision_run(struct fs_revision_run *other, struct fs_error *error);

#endif
