/* Pictures from files: PNG and JPEG, decoded to what PIL's convert("RGB") gives, which the literature's feature scripts
 * use: palettes expanded, low depths widened to 8 bits, alpha and transparent colours dropped (not blended) unless a
 * background is asked for, gamma chunks and orientation ignored. Grey ones stay grey: convert("RGB") repeats the
 * channel. Refused by name: 16 bits, where PIL keeps one byte of two or clips; CMYK; whatever is broken or cut. */
#ifndef FEWSTEP_DATA_PICTURE_H
#define FEWSTEP_DATA_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

#define FS_PICTURE_PIXELS_MAX ((int64_t)1 << 26)

struct fs_picture {
    uint8_t *pixels;             /* [height, width, channels] */
    int height, width, channels; /* 1: grey, 3: red, green, blue */
};

/* Its channels at row y, column x. */
static inline uint8_t *fs_picture_pixel(const struct fs_picture *picture, int y, int x)
{
    return picture->pixels + ((size_t)y * (size_t)picture->width + (size_t)x) * (size_t)picture->channels;
}

/* The file in memory or on the disk; free(picture->pixels). FS_USAGE, naming `path`, for anything that is wrong with
 * it. */
fs_status fs_picture_decode(const char *path, const void *bytes, size_t size, struct fs_picture *picture,
                            struct fs_error *error);
fs_status fs_picture_read(const char *path, struct fs_picture *picture, struct fs_error *error);

/* What is asked of a decoder besides. */
struct fs_picture_rules {
    int background;     /* a grey level, 0 … 255, behind what is transparent; FS_NO_BACKGROUND: alpha is dropped */
    int64_t pixels_max; /* a larger picture is refused */
};
#define FS_NO_BACKGROUND (-1)
#define FS_PLAIN_RULES ((struct fs_picture_rules){FS_NO_BACKGROUND, FS_PICTURE_PIXELS_MAX})

/* As fs_picture_decode, which has FS_PLAIN_RULES. Blended in 8 bits, as PIL's paste(picture, mask=alpha) onto the
 * background does: (colour·alpha + background·(255 − alpha))/255, rounded. */
fs_status fs_picture_decode_by(const struct fs_picture_rules *rules, const char *path, const void *bytes, size_t size,
                               struct fs_picture *picture, struct fs_error *error);

#endif
