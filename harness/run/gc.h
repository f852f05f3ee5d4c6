/* What runs and pairs cost on the disk, and which may go. */
#ifndef FEWSTEP_GC_H
#define FEWSTEP_GC_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/store/store.h"

/* What is asked for. */
struct fs_gc_request {
    const char *out;
    const char *const *runs; /* the beginnings of names of folders in OUT/runs, 6 digits or more: these go */
    int run_count;
    bool half_trained; /* and the half-trained runs of another source than this build's */
    bool apply;        /* else it is only said */
};

/* Lists OUT/runs/<id>/, OUT/pairs/<hash>/ and OUT/data/<key>/ with their sizes, what goes first and then, with `apply`,
 * removes that. Runs go only when they are named or asked for; pairs and decoded pictures, which can be made again,
 * when all runs on them are trained. What the database does not know stays: it may be another one's. So do folders that
 * another process has locked, and names that are none of ours. FS_USAGE for a name that is no folder's or several',
 * FS_FAILED when something cannot be removed. */
fs_status fs_gc(struct fs_store *store, const struct fs_gc_request *request, FILE *stream, struct fs_error *error);

#endif
