/* Pictures on a background, cropped and resized as Pillow does it in 8 bits, bit by bit (make_fit_golden.py). */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/data/picture_fit.h"
#include "kernels/base/file.h"
#include "kernels/base/npy.h"

static struct fs_error error;

static void decode(const char *file, int background, struct fs_picture *picture)
{
    char path[256], *bytes;
    size_t size;
    const struct fs_picture_rules rules = {background, FS_PICTURE_PIXELS_MAX};
    snprintf(path, sizeof path, "tests/golden/fit/%s", file);
    if (access(path, R_OK) != 0) {
        snprintf(path, sizeof path, "tests/golden/pictures/%s", file);
    }
    assert_int_equal(fs_file_read(path, 1 << 20, &bytes, &size, &error), FS_OK);
    assert_int_equal(fs_picture_decode_by(&rules, path, bytes, size, picture, &error), FS_OK);
    free(bytes);
}

/* FILE-SIZE-CHANNELS-CROP-BACKGROUND.npy */
static void check(const char *name)
{
    char file[64], crop[16], path[256];
    struct fs_picture_fit fit;
    struct fs_picture picture;
    struct fs_array expected;
    assert_int_equal(
        sscanf(name, "%63[^-]-%d-%d-%15[^-]-%d.npy", file, &fit.size, &fit.channels, crop, &fit.background), 5);
    fit.crop = strcmp(crop, "none") == 0 ? FS_CROP_NONE : FS_CROP_CENTER;
    decode(file, fit.background, &picture);
    snprintf(path, sizeof path, "tests/golden/fit/%s", name);
    assert_int_equal(fs_npy_read(path, &expected, &error), FS_OK);
    assert_true(expected.type == FS_ARRAY_U8 && expected.rank == 3);
    const size_t bytes = (size_t)fit.size * (size_t)fit.size * (size_t)fit.channels;
    uint8_t *out = malloc(bytes);
    assert_non_null(out);
    assert_int_equal(fs_picture_fit(&picture, &fit, out, &error), FS_OK);
    for (size_t i = 0; i < bytes; i++) {
        if (out[i] != ((const uint8_t *)expected.data)[i]) {
            fail_msg("%s: number %zu is %d, not %d", name, i, out[i], ((const uint8_t *)expected.data)[i]);
        }
    }
    free(out);
    free(picture.pixels);
    free(expected.data);
}

static void squares_equal_pillows(void **state)
{
    (void)state;
    DIR *folder = opendir("tests/golden/fit");
    int count = 0;
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (fs_ends_with(entry->d_name, ".npy")) {
            check(entry->d_name);
            count++;
        }
    }
    closedir(folder);
    assert_int_equal(count, 65);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(squares_equal_pillows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
