/* Pictures as PIL's convert("RGB") decodes them, bit by bit (make_pictures_golden.py); what it would spoil, and what is
 * broken, is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/data/picture.h"
#include "kernels/base/file.h"
#include "kernels/base/npy.h"
#include "tests/support/folder.h"

#define GOLDEN "tests/golden/pictures/"

static struct fs_error error;

static void check(const char *name)
{
    char path[256];
    struct fs_picture picture;
    struct fs_array expected;
    int worst = 0;
    snprintf(path, sizeof path, GOLDEN "%s", name);
    assert_int_equal(fs_picture_read(path, &picture, &error), FS_OK);
    snprintf(path, sizeof path, GOLDEN "%s.npy", name);
    assert_int_equal(fs_npy_read(path, &expected, &error), FS_OK);
    assert_true(expected.type == FS_ARRAY_U8 && expected.rank == 3 && expected.shape[2] == 3);
    assert_int_equal(picture.height, expected.shape[0]);
    assert_int_equal(picture.width, expected.shape[1]);
    assert_int_equal(picture.channels, strncmp(name, "grey", 4) == 0 ? 1 : 3);
    for (int i = 0; i < picture.height * picture.width; i++) {
        for (int c = 0; c < 3; c++) {
            const int got = picture.pixels[i * picture.channels + (picture.channels == 3 ? c : 0)];
            const int off = abs(got - ((const uint8_t *)expected.data)[3 * i + c]);
            worst = off > worst ? off : worst;
        }
    }
    if (worst != 0) {
        fail_msg("%s: off by up to %d", name, worst);
    }
    free(picture.pixels);
    free(expected.data);
}

static void pngs_equal_pils(void **state)
{
    (void)state;
    static const char *const names[] = {"grey1.png",    "grey2.png", "grey4.png",      "grey8.png",
                                        "palette4.png", "rgb.png",   "grey_alpha.png", "palette_transparent.png",
                                        "gamma.png",    "key.png",   "rgb_alpha.png",  "interlaced.png"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check(names[i]);
    }
}

static void jpegs_equal_pils(void **state)
{
    (void)state;
    static const char *const names[] = {"grey.jpg", "444.jpg",         "422.jpg",
                                        "420.jpg",  "progressive.jpg", "low_quality.jpg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check(names[i]);
    }
}

static void refused(const char *path, const char *piece)
{
    struct fs_picture picture;
    if (fs_picture_read(path, &picture, &error) != FS_USAGE || !strstr(error.text, piece) || picture.pixels) {
        fail_msg("%s: said: %s; expected: %s", path, error.text, piece);
    }
}

static void what_pil_would_spoil_is_refused(void **state)
{
    (void)state;
    refused(GOLDEN "grey16.png", "grey16.png: has 16 bits a channel: convert it to 8");
    refused(GOLDEN "rgb16.png", "has 16 bits a channel");
    refused(GOLDEN "cmyk.jpg", "cmyk.jpg: has 4 channels (CMYK): convert it to RGB");
}

static void what_is_no_picture_is_refused(void **state)
{
    (void)state;
    refused(test_path("absent.png"), "absent.png: cannot be read: No such file");
    test_write(test_path("empty.png"), "", 0);
    refused(test_path("empty.png"), "cannot be decoded: the file is empty");
    test_write(test_path("text.jpg"), "no picture", 10);
    refused(test_path("text.jpg"), "cannot be decoded: neither PNG nor JPEG");
}

/* 10⁶ × 10⁶ pixels claimed by a file of 70 bytes; 65 500 × 65 500 by a JPEG. */
static void claims_are_checked_before_memory_is_taken(void **state)
{
    (void)state;
    static const uint8_t png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0,    0,    13,
                                  'I',  'H', 'D', 'R', 0,    0x0f, 0x42, 0x40, 0,    0x0f, 0x42, 0x40,
                                  8,    2,   0,   0,   0,    0xd3, 0x0f, 0xaf, 0x2a, 0,    0,    0,
                                  0,    'I', 'D', 'A', 'T',  0x35, 0xaf, 0x06, 0x1e};
    char *bytes;
    size_t size;
    test_write(test_path("claims.png"), png, sizeof png);
    refused(test_path("claims.png"), "cannot be decoded: it is too short for the size it claims");
    assert_int_equal(fs_file_read(GOLDEN "grey.jpg", 1 << 20, &bytes, &size, &error), FS_OK);
    for (size_t i = 0; i + 9 < size; i++) {
        if (memcmp(bytes + i, "\xff\xc0", 2) == 0) {
            memset(bytes + i + 5, 0xff, 4);
            bytes[i + 5] = bytes[i + 7] = (char)0xfe;
        }
    }
    test_write(test_path("claims.jpg"), bytes, size);
    refused(test_path("claims.jpg"), "claims.jpg: has 65279 × 65279 pixels: at most 67108864 are taken");
    free(bytes);
}

/* Each file cut everywhere: refused, but where only what follows the last line is missing. */
static void cut_files_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {GOLDEN "palette4.png", GOLDEN "interlaced.png", GOLDEN "420.jpg",
                                        GOLDEN "progressive.jpg"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char *bytes;
        size_t size;
        assert_int_equal(fs_file_read(names[n], 1 << 20, &bytes, &size, &error), FS_OK);
        for (size_t cut = 0; cut < size; cut++) {
            struct fs_picture picture;
            char *copy = malloc(cut + 1);
            assert_non_null(copy);
            memcpy(copy + 1, bytes, cut);
            const fs_status status = fs_picture_decode("cut", copy + 1, cut, &picture, &error);
            assert_true(status == FS_USAGE || (status == FS_OK && cut + 16 > size));
            free(picture.pixels);
            free(copy);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pngs_equal_pils),
        cmocka_unit_test(jpegs_equal_pils),
        cmocka_unit_test(what_pil_would_spoil_is_refused),
        cmocka_unit_test(what_is_no_picture_is_refused),
        cmocka_unit_test(claims_are_checked_before_memory_is_taken),
        cmocka_unit_test(cut_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
