/* The axes of a chart: where a value stands, and which values are marked. */
#include "harness/report/svg.h"

#include <math.h>
#include <string.h>

#define ROOM 0.05 /* share of the axis beyond the outermost values */

struct fs_axis fs_axis_make(double low, double high, bool logarithmic, double start, double stop)
{
    struct fs_axis axis = {.low = low, .high = high, .start = start, .stop = stop, .logarithmic = logarithmic};

    if (logarithmic) {
        const double room = low < high ? pow(high / low, ROOM) : 2;
        axis.low = low / room;
        axis.high = high * room;
    } else {
        const double room = low < high ? (high - low) * ROOM : fabs(low) / 2 + (low == 0);
        axis.low = low - room;
        axis.high = high + room;
    }
    return axis;
}

double fs_axis_at(const struct fs_axis *axis, double value)
{
    const double held = fmin(fmax(value, axis->low), axis->high);
    const double share = axis->logarithmic ? log(held / axis->low) / log(axis->high / axis->low)
                                           : (held - axis->low) / (axis->high - axis->low);

    return axis->start + share * (axis->stop - axis->start);
}

static int linear_ticks(const struct fs_axis *axis, int wanted, double ticks[FS_TICKS_MAX])
{
    static const double rounds[] = {1, 2, 5, 10};
    const double rough = (axis->high - axis->low) / wanted, power = pow(10, floor(log10(rough)));
    int count = 0, i = 0;

    while (i < 3 && rounds[i] * power < rough / 1.4) { /* √2: the nearest round step */
        i++;
    }
    const double step = rounds[i] * power;
    const double first = ceil(axis->low / step);
    for (int k = 0; (first + k) * step <= axis->high && count < FS_TICKS_MAX; k++) {
        ticks[count++] = (first + k) * step;
    }
    return count;
}

/* The values of the axis that are 10^k times one of `mantissas`. */
static int decade_ticks(const struct fs_axis *axis, const double *mantissas, int mantissa_count,
                        double ticks[FS_TICKS_MAX])
{
    int count = 0;

    for (int k = (int)floor(log10(axis->low)); k <= (int)ceil(log10(axis->high)); k++) {
        for (int i = 0; i < mantissa_count; i++) {
            const double tick = mantissas[i] * pow(10, k);
            if (tick >= axis->low && tick <= axis->high && count < FS_TICKS_MAX) {
                ticks[count++] = tick;
            }
        }
    }
    return count;
}

int fs_axis_ticks(const struct fs_axis *axis, int wanted, double ticks[FS_TICKS_MAX])
{
    static const double mantissas[] = {1, 2, 5};

    if (!axis->logarithmic) {
        return linear_ticks(axis, wanted, ticks);
    }
    int count = decade_ticks(axis, mantissas, 3, ticks);
    if (count > 2 * wanted) {
        count = decade_ticks(axis, mantissas, 1, ticks);
    }
    return count < 3 ? linear_ticks(axis, wanted, ticks) : count;
}

double fs_text_width(const char *text, double size)
{
    double width = 0;

    for (; *text; text++) {
        const unsigned char byte = (unsigned char)*text;
        if ((byte & 0xc0) != 0x80) { /* what UTF-8 continues does not count */
            width += strchr("iljtf.,:;()|' ", byte) && byte ? 0.32 : strchr("mwMW", byte) && byte ? 0.86 : 0.57;
        }
    }
    return width * size;
}
