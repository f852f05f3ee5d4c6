/* PNG pictures (libpng). */
#ifndef FEWSTEP_PNG_H
#define FEWSTEP_PNG_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

/* A value in data scale, [−1, 1], clipped and rounded to 8 bits; a NaN is black. */
uint8_t fs_pixel(float value);

/* pixels [height, width, channels], 1 or 3 channels; written atomically. */
fs_status fs_png_write(const char *path, const uint8_t *pixels, int height, int width, int channels,
                       struct fs_error *error);

/* The same with a line of ASCII text for programs, in a chunk tEXt with the keyword "fewstep". */
fs_status fs_png_write_text(const char *path, const uint8_t *pixels, int height, int width, int channels,
                            const char *text, struct fs_error *error);
/* That text of a file, "" where it has none or it has no room in `size` bytes. FS_USAGE where the file cannot be read.
 */
fs_status fs_png_read_text(const char *path, char *text, size_t size, struct fs_error *error);

/* A grid of `rows` × `cols` samples [rows·cols, height·width·channels] in data scale: clipped to [−1, 1], rounded to
 * 8 bits, one dark grey pixel between them, each enlarged by `zoom`. Of 3 or more channels the first three are
 * drawn, of fewer the first. */
fs_status fs_png_write_grid(const char *path, const float *samples, int rows, int cols, int height, int width,
                            int channels, int zoom, struct fs_error *error);

#endif
