/* Pictures one after the other, wherever they lie: a folder of PNG and JPEG files, an array of pictures, a data set.
 * They are streamed: no more than a batch and a few decoded files are in memory. */
#ifndef FEWSTEP_IMAGE_SOURCE_H
#define FEWSTEP_IMAGE_SOURCE_H

#include <stdio.h>

#include "harness/data/dataset.h"
#include "harness/data/picture.h"
#include "kernels/base/npz.h"
#include "metrics/image_batch.h"

#define FS_IMAGE_WINDOW 8                  /* files decoded at once, one a thread */
#define FS_IMAGE_PLACE (FS_PATH_ROOM + 32) /* a path and a number */

struct fs_image_source {
    char name[FS_PATH_ROOM]; /* as it was asked for */
    int channels;            /* of what it gives: 1 or 3 */
    int64_t count, next;
    int height, width, own_channels; /* of what lies there, where that is all of one size; else 0 */
    bool floats;                     /* in place of bytes */
    float low, high;                 /* what its floats stand for, black and white: −1 and 1, as samplers make them */
    float lowest, highest;           /* of its floats, at least of the first GiB of them (fs_image_source_range) */

    char **paths; /* [count] of a folder's pictures, sorted by their bytes; NULL: no folder */
    struct fs_picture window[FS_IMAGE_WINDOW];
    int window_first, window_count; /* decoded, and not given yet */

    FILE *stream; /* of an .npy, behind its header */
    struct fs_npz npz;
    struct fs_npz_member member;
    struct fs_dataset dataset;

    void *pixels;    /* the batch that was given last */
    size_t capacity; /* bytes */
};

/* A folder, and all below it: files whose names end in .png, .jpg or .jpeg, in the order of their paths' bytes; hidden
 * ones are left out. An .npz with `arr_0`, uint8 [N, H, W, C] (guided-diffusion's sample batches); an .npy of that
 * form, or of float32 (what `fewstep sample` writes, from −1 to 1), which are given as they are. "dataset:NAME" or
 * "dataset:NAME:train|test". `channels` 1 or 3: grey pictures are repeated where 3 are asked for; coloured ones are
 * refused where 1 is.
 *
 * FS_USAGE for a source that is none of these, an empty folder, or one with pictures that other tools would read and
 * this one would leave out (.webp, .bmp, …). Close also after a failure. */
fs_status fs_image_source_open(const char *text, int channels, struct fs_image_source *source, struct fs_error *error);
void fs_image_source_close(struct fs_image_source *source);

/* Says that floats span range[0] … range[1]; NULL: −1 … 1. Nothing for a source of bytes. Before the first picture.
 * FS_USAGE, with the range found, where they plainly do not: none below the middle of −1 … 1, as if they were 0 … 1 or
 * 0 … 255, or far beyond the ends. */
fs_status fs_image_source_range(struct fs_image_source *source, const double *range, struct fs_error *error);

/* The next pictures, at most `max` and all of one size: *batch is valid until the next call; its count is 0 behind the
 * last. FS_USAGE, naming the file, for a picture that cannot be decoded, or floats that are not finite. */
fs_status fs_image_source_next(struct fs_image_source *source, int64_t max, struct fs_image_batch *batch,
                               struct fs_error *error);

/* The name of picture `index` for messages: its path, or "x.npz: picture 7". */
void fs_image_source_place(const struct fs_image_source *source, int64_t index, char text[FS_IMAGE_PLACE]);

#endif
