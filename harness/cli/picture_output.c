/* Pictures as a grid, an array, or a folder of PNG. */
#include "harness/cli/picture_output.h"

#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>

#include "harness/data/png.h"
#include "kernels/base/file.h"
#include "kernels/base/npy.h"

bool fs_is_picture_output(const char *path)
{
    struct stat about;
    return fs_ends_with(path, ".png") || fs_ends_with(path, ".npy") || fs_ends_with(path, "/") ||
           (stat(path, &about) == 0 && S_ISDIR(about.st_mode));
}

static fs_status write_folder(const char *folder, const struct fs_picture_set *set, struct fs_error *error)
{
    const int64_t each = (int64_t)set->height * set->width * set->channels;
    FS_TRY(fs_make_folder(folder, error));
    for (int64_t i = 0; i < set->count; i++) {
        char path[FS_PATH_ROOM];
        FS_TRY(fs_path(path, error, "%s/%06" PRId64 ".png", folder, set->first + i));
        FS_TRY(fs_png_write_grid(path, set->pixels + i * each, 1, 1, set->height, set->width, set->channels, 1, error));
    }
    return FS_OK;
}

fs_status fs_write_pictures(const char *path, const struct fs_picture_set *set, struct fs_error *error)
{
    if (fs_ends_with(path, ".npy")) {
        const struct fs_array array = {.type = FS_ARRAY_F32,
                                       .rank = 4,
                                       .shape = {set->count, set->height, set->width, set->channels},
                                       .data = (void *)(uintptr_t)set->pixels};
        return fs_npy_write(path, &array, error);
    }
    if (!fs_ends_with(path, ".png")) {
        return write_folder(path, set, error);
    }
    int cols = (int)ceil(sqrt((double)set->count));
    while (set->count % cols) {
        cols++; /* full rows; at worst one row */
    }
    return fs_png_write_grid(path, set->pixels, (int)(set->count / cols), cols, set->height, set->width, set->channels,
                             set->zoom, error);
}
