/* The pictures in a folder. */
#include "harness/data/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "kernels/base/memory.h"

#define DEPTH_MAX 16

struct list {
    char **paths;
    int64_t count, capacity;
};

static bool ends_in(const char *name, const char *const *endings)
{
    const char *dot = strrchr(name, '.');
    for (int i = 0; dot && endings[i]; i++) {
        if (strcasecmp(dot + 1, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Takes over `path`. */
static fs_status append(struct list *list, char *path, struct fs_error *error)
{
    if (list->count == list->capacity) {
        const int64_t capacity = 2 * list->capacity + 256;
        char **larger = realloc(list->paths, (size_t)capacity * sizeof *larger);
        if (!larger) {
            free(path);
            return fs_fail(error, FS_FAILED, "no memory for a list of %lld files", (long long)capacity);
        }
        list->paths = larger;
        list->capacity = capacity;
    }
    list->paths[list->count++] = path;
    return FS_OK;
}

/* A file whose name does not say that it is a picture, and whose first bytes do: other tools would take it. */
static bool begins_like_a_picture(const char *path)
{
    static const struct {
        size_t at, length;
        const char *bytes;
    } beginnings[] = {{0, 8, "\x89PNG\r\n\x1a\n"},
                      {0, 3, "\xff\xd8\xff"},
                      {0, 4, "GIF8"},
                      {0, 2, "BM"},
                      {0, 4, "II*\0"},
                      {0, 4, "MM\0*"},
                      {8, 4, "WEBP"},
                      {4, 4, "ftyp"},
                      {0, 4, "qoif"}};
    char head[16] = {0};
    FILE *stream = fopen(path, "rbe");
    const size_t got = stream ? fread(head, 1, sizeof head, stream) : 0;
    if (stream) {
        fclose(stream);
    }
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        if (beginnings[i].at + beginnings[i].length <= got &&
            memcmp(head + beginnings[i].at, beginnings[i].bytes, beginnings[i].length) == 0) {
            return true;
        }
    }
    return false;
}

static fs_status walk(const char *folder, int depth, struct list *list, struct fs_error *error);

/* Takes over `path`. */
static fs_status visit(char *path, const char *name, int depth, struct list *list, struct fs_error *error)
{
    static const char *const read[] = {"png", "jpg", "jpeg", NULL};
    static const char *const not_read[] = {"bmp", "dib",  "gif", "pbm",  "pgm",  "ppm",  "pnm", "pam", "tif", "tiff",
                                           "tga", "webp", "ico", "heic", "heif", "avif", "jxl", "jp2", "j2k", "pcx",
                                           "psd", "exr",  "hdr", "jfif", "jpe",  "apng", "npy", "npz", NULL};
    struct stat about;
    fs_status status = FS_OK;
    if (stat(path, &about) != 0) {
        status = fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(errno));
    } else if (S_ISDIR(about.st_mode)) {
        status = walk(path, depth + 1, list, error);
    } else if (ends_in(name, read) && S_ISREG(about.st_mode)) {
        return append(list, path, error);
    } else if (ends_in(name, read)) {
        status = fs_fail(error, FS_USAGE, "%s: cannot be read: it is no ordinary file", path);
    } else if (ends_in(name, not_read)) {
        status = fs_fail(error, FS_USAGE,
                         "%s: PNG and JPEG can be read, as .png, .jpg and .jpeg: convert it, or give it its ending, or "
                         "move it out of the folder",
                         path);
    } else if (S_ISREG(about.st_mode) && begins_like_a_picture(path)) {
        status = fs_fail(error, FS_USAGE,
                         "%s: begins like a picture and is not named like one: PNG and JPEG are read as .png, .jpg and "
                         ".jpeg; name it so, or move it out of the folder",
                         path);
    }
    free(path);
    return status;
}

static fs_status walk(const char *folder, int depth, struct list *list, struct fs_error *error)
{
    if (depth > DEPTH_MAX) {
        return fs_fail(error, FS_USAGE, "%s: is more than %d folders deep: a link that leads back?", folder, DEPTH_MAX);
    }
    DIR *entries = opendir(folder);
    if (!entries) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", folder, strerror(errno));
    }
    fs_status status = FS_OK;
    const size_t length = strlen(folder);
    const char *slash = length > 0 && folder[length - 1] == '/' ? "" : "/";
    for (const struct dirent *entry; status == FS_OK && (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] != '.') {
            char *path = fs_format(error, "%s%s%s", folder, slash, entry->d_name);
            status = path ? visit(path, entry->d_name, depth, list, error) : FS_FAILED;
        }
    }
    closedir(entries);
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

fs_status fs_folder_pictures(const char *folder, char ***paths, int64_t *count, struct fs_error *error)
{
    struct list list = {0};
    fs_status status = walk(folder, 0, &list, error);
    if (status == FS_OK && list.count == 0) {
        status = fs_fail(error, FS_USAGE, "%s: holds no picture: expected .png, .jpg or .jpeg files in it or below it",
                         folder);
    }
    if (status != FS_OK) {
        fs_folder_free(list.paths, list.count);
        list = (struct list){0};
    } else {
        qsort(list.paths, (size_t)list.count, sizeof *list.paths, compare);
    }
    *paths = list.paths;
    *count = list.count;
    return status;
}

void fs_folder_free(char **paths, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        free(paths[i]);
    }
    free(paths);
}
