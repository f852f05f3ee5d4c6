/* Pictures from files: which decoder. */
#include "harness/data/picture.h"

#include <stdlib.h>
#include <string.h>

#include "harness/data/decoders.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define FILE_SIZE_MAX ((size_t)1 << 30)

fs_status fs_picture_refuse(const char *path, const char *why, struct fs_error *error)
{
    return fs_fail(error, FS_USAGE, "%s: cannot be decoded: %s; replace or remove it", path, why);
}

fs_status fs_picture_allocate(const struct fs_picture_rules *rules, const char *path, struct fs_picture *picture,
                              struct fs_error *error)
{
    const int64_t pixels = (int64_t)picture->height * picture->width;
    if (pixels < 1 || pixels > rules->pixels_max) {
        return fs_fail(error, FS_USAGE, "%s: has %d × %d pixels: at most %lld are taken; make it smaller or remove it",
                       path, picture->height, picture->width, (long long)rules->pixels_max);
    }
    picture->pixels = fs_allocate((size_t)pixels, (size_t)picture->channels, path, error);
    return picture->pixels ? FS_OK : FS_FAILED;
}

fs_status fs_picture_decode(const char *path, const void *bytes, size_t size, struct fs_picture *picture,
                            struct fs_error *error)
{
    return fs_picture_decode_by(&FS_PLAIN_RULES, path, bytes, size, picture, error);
}

fs_status fs_picture_decode_by(const struct fs_picture_rules *rules, const char *path, const void *bytes, size_t size,
                               struct fs_picture *picture, struct fs_error *error)
{
    fs_status status;
    *picture = (struct fs_picture){0};
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) {
        status = fs_png_decode(rules, path, bytes, size, picture, error);
    } else if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) {
        status = fs_jpeg_decode(rules, path, bytes, size, picture, error);
    } else {
        return fs_picture_refuse(path, size == 0 ? "the file is empty" : "neither PNG nor JPEG", error);
    }
    if (status != FS_OK) {
        free(picture->pixels);
        *picture = (struct fs_picture){0};
    }
    return status;
}

fs_status fs_picture_read(const char *path, struct fs_picture *picture, struct fs_error *error)
{
    char *bytes;
    size_t size;
    *picture = (struct fs_picture){0};
    FS_TRY(fs_file_read(path, FILE_SIZE_MAX, &bytes, &size, error));
    const fs_status status = fs_picture_decode(path, bytes, size, picture, error);
    free(bytes);
    return status;
}
