/* A run and what came out when it was made again. */
#ifndef FEWSTEP_REPRODUCTION_H
#define FEWSTEP_REPRODUCTION_H

#include <stdbool.h>

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

/* A score that is recorded, and what came out when it was made again. */
struct fs_reproduced_score {
    char metric[32], extractor[64];
    int64_t steps;
    double recorded, again; /* again: NAN where it was not made again */
    double spreads;         /* by how many spreads over seeds they differ; NAN: equal, or not known */
    bool equal;             /* bit for bit */
};

struct fs_reproduction {
    char run[65];
    struct fs_reproduced_score *scores;
    int count, compared, equal, missing;
    int weights; /* of the last checkpoints: 1 the same bytes, 0 others, −1 not known */
    enum fs_reproduced outcome;
};

/* Compares the scores of run `id` with those of the same training and seed in `again`. FS_FAILED when `again` has none
 * of them. Free with fs_reproduction_free, also after a failure. */
fs_status fs_reproduction_compare(struct fs_store *store, struct fs_store *again, const char *id,
                                  struct fs_reproduction *reproduction, struct fs_error *error);
void fs_reproduction_free(struct fs_reproduction *reproduction);

#endif
