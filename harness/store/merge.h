/* Several databases into one: rows are known by what they are (hashes, ids), not by the numbers of their file. */
#ifndef FEWSTEP_MERGE_H
#define FEWSTEP_MERGE_H

#include "harness/store/store.h"

/* What to do with rows of one identity and another content, and what was found. A conflict is a score of the same hash
 * with another value (of another environment: by more than 1e-4 of it; what is less is rounding, and the first stays),
 * a run of the same id that is another training, or a checkpoint of the same run and update with other bytes: the same
 * training came out differently on two machines, or a file was changed by hand. */
struct fs_merge {
    bool keep_first;                                 /* the earlier row stays; else a conflict is FS_USAGE */
    void (*conflict)(void *owner, const char *line); /* called for each; may be NULL */
    void *owner;
    int conflicts;
};

/* Adds everything in the database at `path`, called `name` in messages, to `store` (opened to write), in one
 * transaction. `path` is of this build's schema (fs_store_copy makes such a file) and is not written. Of a run that is
 * in both, the further state and the longer time stay; of a curve's point, the first. Rows are added in the order in
 * which they were made. */
fs_status fs_store_import(struct fs_store *store, const char *path, const char *name, struct fs_merge *merge,
                          struct fs_error *error);

/* Joins `count` databases, which are only read (older schemas are migrated on copies), into a new file at `output`,
 * whose rows stand in the order in which they were made. `output` is replaced, at once and when all went well, only if
 * it is one of the inputs; any other file there, or one that somebody is writing, is FS_USAGE. */
fs_status fs_store_merge(const char *const *inputs, int count, const char *output, struct fs_merge *merge,
                         struct fs_error *error);

#endif
