/* One pass over the pictures of a reference for what of a reference is not on disk yet; it can be interrupted. */
#ifndef FEWSTEP_REFERENCE_PASS_H
#define FEWSTEP_REFERENCE_PASS_H

#include "harness/sample/features.h"
#include "harness/sample/reference.h"
#include "metrics/statistics.h"

struct fs_reference_pass {
    const struct fs_dataset *pictures;
    struct fs_extractor *extractor;
    /* What is computed: of which taps statistics, and features; and which sums over the pictures. */
    bool moments_missing[FS_TAPS_MAX], features_missing[FS_TAPS_MAX];
    struct fs_picture_sums_set sums;
    float *rows, *taps[FS_TAPS_MAX];
    struct fs_statistics statistics[FS_TAPS_MAX];
    float *features[FS_TAPS_MAX]; /* [wanted, dim of the tap] */
    int64_t wanted, chosen;       /* rows of features, the same pictures of each tap */
    int64_t resumed;              /* pictures that an earlier pass went through the extractor with */
};

/* pictures, extractor and what is computed are the caller's, the rest zero. Goes on from the file `unfinished` where it
 * is there and of the same parts. Close also after a failure. */
fs_status fs_reference_pass_open(struct fs_reference_pass *pass, const char *unfinished, struct fs_error *error);
/* To the end, or FS_STOPPED when *watch->stop was set; then `unfinished` has all that was computed. */
fs_status fs_reference_pass_run(struct fs_reference_pass *pass, const char *unfinished,
                                const struct fs_reference_watch *watch, struct fs_error *error);
void fs_reference_pass_close(struct fs_reference_pass *pass);

#endif
