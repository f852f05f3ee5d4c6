/* The axes of a chart: where a value stands, and which values are marked. */
#ifndef FEWSTEP_SVG_H
#define FEWSTEP_SVG_H

#include <stdbool.h>

#define FS_TICKS_MAX 24

struct fs_axis {
    double low, high;   /* values at its ends; both positive where `logarithmic` */
    double start, stop; /* the same in pixels */
    bool logarithmic;
};

/* An axis for values from `low` to `high` with some room on both sides, so that no point stands on its end. */
struct fs_axis fs_axis_make(double low, double high, bool logarithmic, double start, double stop);
/* The pixel of a value; values beyond an end stand on it. */
double fs_axis_at(const struct fs_axis *axis, double value);
/* About `wanted` round values on the axis, ascending; their number. Logarithmic: 1, 2, 5 of each decade, or powers of
 * ten where there are many; round values at equal distances where there is less than a decade. */
int fs_axis_ticks(const struct fs_axis *axis, int wanted, double ticks[FS_TICKS_MAX]);

/* About how wide a text is, in pixels, in a sans-serif of that size: a program that writes SVG cannot measure it. */
double fs_text_width(const char *text, double size);

#endif
