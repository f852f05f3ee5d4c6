/* One pass over the training pictures for those parts of a reference that are not on disk yet; it can be interrupted.
 */
#ifndef FEWSTEP_REFERENCE_PASS_H
#define FEWSTEP_REFERENCE_PASS_H

#include "harness/sample/features.h"
#include "harness/sample/reference.h"
#include "metrics/statistics.h"

enum { FS_PART_FIRST, FS_PART_SPATIAL, FS_PART_FEATURES, FS_PART_POWER, FS_PARTS };

struct fs_reference_pass {
    const struct fs_dataset *train;
    struct fs_extractor *extractor;
    bool missing[FS_PARTS]; /* what is computed */
    int spatial;            /* the tap's index */
    int64_t dims[2];        /* of the first and of the spatial tap */
    float *rows, *taps[FS_TAPS_MAX];
    struct fs_statistics statistics[2]; /* FS_PART_FIRST, FS_PART_SPATIAL */
    struct fs_spectrum spectrum;
    float *features; /* [wanted, dims[0]] */
    int64_t wanted, chosen;
    int64_t resumed; /* pictures that an earlier pass went through the extractor with */
};

/* train, extractor, missing and spatial are the caller's, the rest zero. Goes on from the file `unfinished` where it
 * is there and of the same parts. Close also after a failure. */
fs_status fs_reference_pass_open(struct fs_reference_pass *pass, int64_t first_dim, int64_t spatial_dim,
                                 const char *unfinished, struct fs_error *error);
/* To the end, or FS_FAILED when *watch->stop was set; then `unfinished` has all that was computed. */
fs_status fs_reference_pass_run(struct fs_reference_pass *pass, const char *unfinished,
                                const struct fs_reference_watch *watch, struct fs_error *error);
void fs_reference_pass_close(struct fs_reference_pass *pass);

#endif
