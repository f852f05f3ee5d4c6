/* What metrics of the pictures themselves keep of pictures that stream by, in place of features: a few sums. */
#ifndef FEWSTEP_PICTURE_SUMS_H
#define FEWSTEP_PICTURE_SUMS_H

#include <stdint.h>

#include "kernels/base/error.h"

struct fs_picture_shape {
    int64_t height, width, channels;
};

/* One kind of sums; metrics that share them point to the same table. */
struct fs_picture_sums {
    const char *name;    /* of the file that a reference's summary is kept in: "spectrum" */
    const char *summary; /* of the array in that file: "power" */
    /* Sums over `total` pictures to come. FS_USAGE for a shape that cannot be summed. Give back with close, not after a
     * failure. */
    fs_status (*open)(const struct fs_picture_shape *shape, int64_t total, void **sums, struct fs_error *error);
    /* pictures [n, height, width, channels] from −1 to 1. FS_FAILED for values that are not finite. */
    fs_status (*add)(void *sums, const float *pictures, int64_t n, struct fs_error *error);
    void (*close)(void *sums);
    /* What is kept of a reference: that many numbers, 0 for a shape that cannot be summed; and these. */
    int64_t (*summary_count)(const struct fs_picture_shape *shape);
    void (*summarise)(const void *sums, double *summary);
};

#define FS_PICTURE_SUMS_MAX 16 /* kinds at once; no fewer than metrics that can be asked for at once */

/* All kinds that some metrics want, of one stream. Begun as {0}. */
struct fs_picture_sums_set {
    const struct fs_picture_sums *kinds[FS_PICTURE_SUMS_MAX];
    void *sums[FS_PICTURE_SUMS_MAX]; /* NULL until they are opened */
    int count;
};

/* Once, however often it is asked for; NULL: nothing. */
void fs_picture_sums_want(struct fs_picture_sums_set *set, const struct fs_picture_sums *kind);
/* All that are wanted; close also after a failure. */
fs_status fs_picture_sums_open(struct fs_picture_sums_set *set, const struct fs_picture_shape *shape, int64_t total,
                               struct fs_error *error);
fs_status fs_picture_sums_add(struct fs_picture_sums_set *set, const float *pictures, int64_t n,
                              struct fs_error *error);
void fs_picture_sums_close(struct fs_picture_sums_set *set);
/* The sums of a kind; NULL where it is not wanted. */
const void *fs_picture_sums_of(const struct fs_picture_sums_set *set, const struct fs_picture_sums *kind);

#endif
