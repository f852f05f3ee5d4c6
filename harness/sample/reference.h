/* What samples are compared with: pictures under one extractor, or statistics of them, kept on disk. */
#ifndef FEWSTEP_REFERENCE_H
#define FEWSTEP_REFERENCE_H

#include <signal.h>

#include "harness/config/config.h"
#include "harness/sample/reference_source.h"
#include "kernels/base/safetensors.h"
#include "metrics/metric.h"

/* Features are kept of this many pictures at most (410 MB at 2048 dimensions), drawn evenly. */
#define FS_REFERENCE_ROWS 50000

struct fs_reference_tap {
    int64_t dim;
    struct fs_moments moments; /* dim 0 unless a metric needs them; those of the first tap are always there */
    const float *features;     /* [count, dim]; NULL unless a metric needs them */
    int64_t count;
    struct fs_tensor_file file; /* that they lie in */
};

struct fs_reference {
    struct fs_reference_tap taps[FS_TAPS_MAX];
    struct fs_picture_sums_set sums;        /* the kinds of sums that metrics need, nothing summed */
    double *summaries[FS_PICTURE_SUMS_MAX]; /* what is kept of each */
};

/* Who is told of a pass over the pictures, and can end it. */
struct fs_reference_watch {
    volatile sig_atomic_t *stop; /* may be NULL */
    void *owner;
    void (*progress)(void *owner, int64_t done, int64_t of, double rate); /* pictures, and pictures a second */
};

/* Reads from `cache` (a folder; made when it is not there) what evaluate->metrics need, or computes and keeps what is
 * missing: from the published statistics, or in one pass over the pictures. FS_USAGE where the extractor has no tap
 * such as a metric's, where something is missing and the pictures are not at hand, and where the statistics are of
 * other features than the extractor's. A pass that is
 * killed or, with FS_STOPPED, stopped goes on at the next call, with the same bytes in the end; a kill costs a minute,
 * or 20 times what keeping its state takes. */
fs_status fs_reference_open(struct fs_reference *reference, const struct fs_evaluate_config *evaluate,
                            struct fs_extractor *extractor, const struct fs_reference_source *source, const char *cache,
                            const struct fs_reference_watch *watch, struct fs_error *error);
void fs_reference_close(struct fs_reference *reference);

/* The reference as one of these metrics sees it, whose tap is `tap`. */
struct fs_metric_side fs_reference_side(const struct fs_reference *reference, const struct fs_metric *metric, int tap);

#endif
