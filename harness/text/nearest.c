/* What was probably meant by a word that is none of those there are. */
#include "harness/text/nearest.h"

#include <limits.h>
#include <string.h>

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

int fs_edit_distance(const char *a, const char *b)
{
    int before[FS_WORD_MAX + 1], last[FS_WORD_MAX + 1] = {0}, row[FS_WORD_MAX + 1];
    const size_t length = strlen(b);
    if (length > FS_WORD_MAX || strlen(a) > FS_WORD_MAX) {
        return INT_MAX;
    }
    for (size_t j = 0; j <= length; j++) {
        row[j] = (int)j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        memcpy(before, last, sizeof before);
        memcpy(last, row, sizeof last);
        row[0] = (int)i;
        for (size_t j = 1; j <= length; j++) {
            const int replaced = last[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = smaller(replaced, smaller(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = smaller(row[j], before[j - 2] + 1);
            }
        }
    }
    return row[length];
}

void fs_nearest_try(struct fs_nearest *nearest, const char *name)
{
    const int distance = fs_edit_distance(nearest->word, name);
    const int most = smaller(2, ((int)strlen(nearest->word) - 1) / 2);
    if (distance <= most && (!nearest->name || distance < nearest->distance)) {
        nearest->name = name;
        nearest->distance = distance;
    }
}
