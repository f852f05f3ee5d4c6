/* Sums over pictures that stream by. */
#include "metrics/picture_sums.h"

#include <stddef.h>

void fs_picture_sums_want(struct fs_picture_sums_set *set, const struct fs_picture_sums *kind)
{
    int i = 0;
    while (i < set->count && set->kinds[i] != kind) {
        i++;
    }
    if (kind && i == set->count && i < FS_PICTURE_SUMS_MAX) {
        set->kinds[set->count++] = kind;
    }
}

fs_status fs_picture_sums_open(struct fs_picture_sums_set *set, const struct fs_picture_shape *shape, int64_t total,
                               struct fs_error *error)
{
    for (int i = 0; i < set->count; i++) {
        FS_TRY(set->kinds[i]->open(shape, total, &set->sums[i], error));
    }
    return FS_OK;
}

fs_status fs_picture_sums_add(struct fs_picture_sums_set *set, const float *pictures, int64_t n, struct fs_error *error)
{
    for (int i = 0; i < set->count; i++) {
        FS_TRY(set->kinds[i]->add(set->sums[i], pictures, n, error));
    }
    return FS_OK;
}

void fs_picture_sums_close(struct fs_picture_sums_set *set)
{
    for (int i = 0; i < set->count; i++) {
        if (set->sums[i]) {
            set->kinds[i]->close(set->sums[i]);
        }
    }
    *set = (struct fs_picture_sums_set){0};
}

const void *fs_picture_sums_of(const struct fs_picture_sums_set *set, const struct fs_picture_sums *kind)
{
    for (int i = 0; i < set->count; i++) {
        if (set->kinds[i] == kind) {
            return set->sums[i];
        }
    }
    return NULL;
}
