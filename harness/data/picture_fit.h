/* Pictures of all sizes made into squares of one. */
#ifndef FEWSTEP_PICTURE_FIT_H
#define FEWSTEP_PICTURE_FIT_H

#include "harness/config/config.h"
#include "harness/data/picture.h"

/* How: size and channels (3, or 1: grey as PIL's convert("L") weighs colours), and
 *   FS_CROP_CENTER  the largest square in the middle (an odd pixel too many is cut off on the right and below),
 * resized; FS_CROP_NONE    the whole picture, resized so that its longer side fits, in the middle of a square of the
 *                   background. */
struct fs_picture_fit {
    int size, channels;
    enum fs_crop crop;
    int background; /* grey level */
};
struct fs_picture_fit fs_picture_fit_of(const struct fs_dataset_config *config);

/* `out` [size, size, channels]. The resize is PIL's resize(…, BICUBIC) of 8-bit pictures, bit for bit: bicubic with
 * a = −½, antialiased where it shrinks, horizontally first, in fixed point, so that it is the same on every machine. */
fs_status fs_picture_fit(const struct fs_picture *picture, const struct fs_picture_fit *fit, uint8_t *out,
                         struct fs_error *error);

#endif
