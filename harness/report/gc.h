/* What runs and pairs cost on the disk, and which may go. */
#ifndef FEWSTEP_GC_H
#define FEWSTEP_GC_H

#include <stdio.h>

#include "harness/store/store.h"

/* Lists OUT/runs/<id>/ and OUT/pairs/<hash>/ with their sizes, and what may go: runs that the database does not know,
 * half-trained runs of another source than this build's, and pairs when no Reflow run of this source is unfinished
 * (they can be made again). Folders that another process has locked stay, as do names that are none of ours. Removes
 * only with `apply`. FS_FAILED when something cannot be removed. */
fs_status fs_gc(struct fs_store *store, const char *out, bool apply, FILE *stream, struct fs_error *error);

#endif
