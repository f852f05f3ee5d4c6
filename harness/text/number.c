/* Numbers as reports print them. */
#include "harness/text/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *fs_three_digits(double value, char text[FS_NUMBER_TEXT])
{
    /* printf rounds the decimal expansion correctly and carries (99.96 is 1.00e+02); what is left is to move the
     * point. */
    snprintf(text, FS_NUMBER_TEXT, "%.2e", value);
    const char *mark = strchr(text, 'e');
    if (!isfinite(value) || !mark) {
        snprintf(text, FS_NUMBER_TEXT, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return text;
    }
    const int exponent = atoi(mark + 1);
    if (exponent >= -5 && exponent <= 8) {
        const double rounded = strtod(text, NULL);
        snprintf(text, FS_NUMBER_TEXT, "%.*f", exponent < 2 ? 2 - exponent : 0, rounded);
    }
    return text;
}

const char *fs_shortest(double value, char text[FS_NUMBER_TEXT])
{
    const int least = value == floor(value) ? 15 : 1; /* fewer would put a whole number into an exponent: 5e+02 */

    for (int digits = least; digits <= 17; digits++) {
        snprintf(text, FS_NUMBER_TEXT, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    return text;
}

const char *fs_duration(int64_t seconds, char text[FS_NUMBER_TEXT])
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    int unit = 0;

    while (unit < 3 && seconds < 2 * units[unit].seconds) {
        unit++;
    }
    snprintf(text, FS_NUMBER_TEXT, "%" PRId64 " %s", seconds / units[unit].seconds, units[unit].name);
    return text;
}

const char *fs_byte_size(int64_t bytes, char text[FS_NUMBER_TEXT])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double size = (double)bytes / 1000;
    int unit = 0;

    if (bytes < 1000) {
        snprintf(text, FS_NUMBER_TEXT, "%" PRId64 " B", bytes);
        return text;
    }
    for (; unit < 3 && size >= 999.5; unit++) {
        size /= 1000;
    }
    fs_three_digits(size, text);
    const size_t length = strlen(text);
    snprintf(text + length, FS_NUMBER_TEXT - length, " %s", units[unit]);
    return text;
}
