/* Words in a picture, in a small bitmap font of our own. */
#ifndef FEWSTEP_LETTERING_H
#define FEWSTEP_LETTERING_H

#include "harness/data/picture.h"

#define FS_LETTERING_HEIGHT 9 /* of a line, its tails included; times `scale` in pixels */

/* Width of a line of UTF-8 in pixels. What the font does not have is a box. */
int fs_lettering_width(const char *text, int scale);

/* Draws a line with its upper left corner at (x, y) in a grey level, 0 … 255; what lies outside of the picture is left
 * out. */
void fs_lettering_draw(struct fs_picture *picture, int x, int y, const char *text, int scale, uint8_t level);

#endif
