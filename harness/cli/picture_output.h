/* Where a command leaves its pictures: a grid, an array, or a folder. */
#ifndef FEWSTEP_PICTURE_OUTPUT_H
#define FEWSTEP_PICTURE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/error.h"

#define FS_PICTURE_OUTPUTS "OUT.png: a grid; OUT.npy: raw float32 NHWC; DIR/: a PNG each"

/* Whether `path` says which: OUT.png, OUT.npy, a folder that is there or ends in "/". Another name, such as grid.gif,
 * would become a folder. */
bool fs_is_picture_output(const char *path);

/* [count, height, width, channels] in data scale, [−1, 1]; not clipped in an array. A grid enlarges each by `zoom`. */
struct fs_picture_set {
    int64_t count, first; /* a folder's files are named from `first` on */
    int height, width, channels, zoom;
    const float *pixels;
};
fs_status fs_write_pictures(const char *path, const struct fs_picture_set *pictures, struct fs_error *error);

#endif
