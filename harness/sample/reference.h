/* What samples are compared with: the training split under one extractor, kept on disk. */
#ifndef FEWSTEP_REFERENCE_H
#define FEWSTEP_REFERENCE_H

#include <signal.h>

#include "harness/config/config.h"
#include "harness/data/dataset.h"
#include "kernels/base/safetensors.h"
#include "metrics/metric.h"

/* Features are kept of this many pictures at most (410 MB at 2048 dimensions), drawn evenly. */
#define FS_REFERENCE_ROWS 50000

/* Which parts the metrics need; the first tap's moments are always there. */
struct fs_reference_parts {
    bool spatial, features, power;
};
struct fs_reference_parts fs_reference_parts(const struct fs_evaluate_config *evaluate);

struct fs_reference {
    char sha256[FS_HASH_TEXT]; /* of the data */
    struct fs_moments first;   /* of the extractor's first tap */
    struct fs_moments spatial; /* of its tap "spatial"; dim 0 unless wanted */
    const float *features;     /* [count, first.dim], of the first tap; NULL unless wanted */
    int64_t count;             /* rows of them */
    double *power;             /* [bins] (metrics/spectrum.h); NULL unless wanted */
    int bins;
    struct fs_tensor_file feature_file; /* that `features` lie in */
};

/* Who is told of a pass over the pictures, and can end it. */
struct fs_reference_watch {
    volatile sig_atomic_t *stop; /* may be NULL */
    void *owner;
    void (*progress)(void *owner, int64_t done, int64_t of, double rate); /* pictures, and pictures a second */
};

/* Reads the parts from `cache` (a folder; made when it is not there), or computes and keeps those that are missing in
 * one pass over the pictures. FS_USAGE where the extractor has no spatial tap and one is wanted. A pass that is killed
 * or, with FS_FAILED, stopped goes on at the next call, with the same bytes in the end; a kill costs a minute, or 20
 * times what keeping its state takes. */
fs_status fs_reference_open(struct fs_reference *reference, struct fs_reference_parts parts,
                            struct fs_extractor *extractor, const struct fs_dataset *train, const char *cache,
                            const struct fs_reference_watch *watch, struct fs_error *error);
void fs_reference_close(struct fs_reference *reference);

#endif
