/* A run and what came out when it was made again. */
#ifndef FEWSTEP_REPRODUCTION_H
#define FEWSTEP_REPRODUCTION_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/store/store.h"

/* What is needed to make a run again. Texts are owned: fs_origin_free. */
struct fs_origin {
    char id[65], commit[65];
    char *experiment; /* a file of this one run: its resolved configuration */
};

/* Finds the run whose id begins with `prefix`. FS_USAGE when there is none; FS_FAILED when it cannot be made again: no
 * commit was recorded, the tree had changes, or several sources trained it. */
fs_status fs_origin_find(struct fs_store *store, const char *prefix, struct fs_origin *origin, struct fs_error *error);
void fs_origin_free(struct fs_origin *origin);

enum fs_reproduced {
    FS_REPRODUCED_EQUAL,    /* every score to the last bit */
    FS_REPRODUCED_IN_NOISE, /* none differs by more than another seed's would: a t test at 0.05 over all that differ */
    FS_REPRODUCED_OTHER,    /* one does */
    FS_REPRODUCED_UNKNOWN,  /* scores differ of which no spread is known: too few seeds, or a measure that has none */
};

/* Compares the scores of run `id` with those of the same training and seed in `again`, and prints them, as text or as a
 * JSON object a line, then the verdict. FS_FAILED when `again` has none of them. */
fs_status fs_reproduction_print(struct fs_store *store, struct fs_store *again, const char *id, bool json, FILE *stream,
                                enum fs_reproduced *outcome, struct fs_error *error);

#endif
