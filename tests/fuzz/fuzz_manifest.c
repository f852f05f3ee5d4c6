/* The manifest of a cache of decoded pictures: whatever it says, the pictures that are read are those of the folder. */
#include "harness/data/labelled_folder.h"
#include "harness/data/picture_cache.h"
#include "harness/data/png.h"
#include "kernels/base/file.h"
#include "tests/fuzz/targets.h"
#include "tests/support/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* OUT/data/KEY/manifest: the only folder below `cache`. */
static void replace_manifest(const char *cache, const uint8_t *data, size_t size)
{
    DIR *entries = opendir(cache);
    for (const struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        char path[FS_PATH_ROOM];
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%.400s/%.100s/manifest", cache, entry->d_name);
            test_write(path, data, size);
        }
    }
    if (entries) {
        closedir(entries);
    }
}

static void open_once(const struct fs_dataset_config *config, const char *cache, uint8_t pixels[12])
{
    struct fs_labelled_folder folder;
    struct fs_picture_cache pictures;
    struct fs_error error;
    const struct fs_data_access access = {.cache = cache};
    if (fs_labelled_folder_list(config->path, 0, &folder, &error) != FS_OK ||
        fs_picture_cache_open(config, &folder, &access, &pictures, &error) != FS_OK ||
        pread(pictures.pixels, pixels, 12, 0) != 12) {
        abort();
    }
    fs_picture_cache_close(&pictures);
    fs_labelled_folder_free(&folder);
}

void fuzz_manifest(const uint8_t *data, size_t size)
{
    struct fs_dataset_config config = {.size = 2, .channels = 3};
    struct fs_error error;
    const uint8_t picture[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    uint8_t pixels[12];
    char cache[FS_PATH_ROOM];
    snprintf(config.path, sizeof config.path, "%s/pictures", test_folder());
    snprintf(cache, sizeof cache, "%s/cache", test_folder());
    mkdir(config.path, 0777);
    const struct timespec times[2] = {{0, 0}, {0, 0}}; /* so that a manifest may be right */
    if (fs_png_write(test_path("pictures/1.png"), picture, 2, 2, 3, &error) != FS_OK ||
        utimensat(AT_FDCWD, test_path("pictures/1.png"), times, 0) != 0) {
        abort();
    }
    open_once(&config, cache, pixels);
    replace_manifest(cache, data, size);
    open_once(&config, cache, pixels);
    if (memcmp(pixels, picture, sizeof picture) != 0) {
        abort();
    }
}
