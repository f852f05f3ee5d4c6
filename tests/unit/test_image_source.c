/* Pictures from folders, archives and data sets: all of them, in order, in batches of one size, in the channels asked
 * for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/data/image_source.h"
#include "harness/data/png.h"
#include "kernels/base/file.h"
#include "tests/support/folder.h"

static struct fs_error error;

/* The value of every pixel of picture `index`. */
static uint8_t shade(int64_t index)
{
    return (uint8_t)(index * 7 + 3);
}

static void write_picture(const char *name, int64_t index, int height, int width, int channels)
{
    uint8_t *pixels = malloc((size_t)(height * width * channels));
    assert_non_null(pixels);
    memset(pixels, shade(index), (size_t)(height * width * channels));
    assert_int_equal(fs_png_write(test_path(name), pixels, height, width, channels, &error), FS_OK);
    free(pixels);
}

/* Reads everything and checks the shades; the sizes of the batches, as digits, to `batches`. */
static void check_all(const char *text, int channels, int64_t max, int64_t count, char *batches)
{
    struct fs_image_source source;
    struct fs_image_batch batch;
    int64_t index = 0;
    assert_int_equal(fs_image_source_open(text, channels, &source, &error), FS_OK);
    assert_int_equal(source.count, count);
    do {
        assert_int_equal(fs_image_source_next(&source, max, &batch, &error), FS_OK);
        assert_true(batch.is_uint8 && batch.count <= max && batch.channels == channels);
        const int64_t pixels = batch.height * batch.width * channels;
        for (int64_t i = 0; i < batch.count * pixels; i++) {
            assert_int_equal(((const uint8_t *)batch.pixels)[i], shade(index + i / pixels));
        }
        index += batch.count;
        *batches++ = (char)('0' + batch.count);
    } while (batch.count > 0);
    *batches = '\0';
    assert_int_equal(index, count);
    fs_image_source_close(&source);
}

/* More files than are decoded at once, grey and coloured, in folders whose order is that of their paths' bytes. */
static void folders_are_walked_in_order(void **state)
{
    (void)state;
    static const char *const names[] = {"Z.PNG",   "a/0.png", "a/10.png", "a/2.png", "a.png",  "b0.png", "b1.png",
                                        "b10.png", "b2.png",  "b3.png",   "c.JPG",   "d.jpeg", "e.png"};
    static const int order[] = {0, 4, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12}; /* '.' comes before '/' */
    enum { COUNT = sizeof names / sizeof *names };
    char batches[32], name[64];
    assert_int_equal(fs_make_folder(test_path("f/a"), &error), FS_OK);
    for (int i = 0; i < COUNT; i++) { /* what a file holds, and not its name, decides how it is decoded */
        snprintf(name, sizeof name, "f/%s", names[order[i]]);
        write_picture(name, i, 3, 4, i % 2 ? 1 : 3);
    }
    for (int channels = 1; channels <= 3; channels += 2) {
        check_all(test_path("f"), channels, 5, COUNT, batches);
        assert_string_equal(batches, "5530");
        check_all(test_path("f/"), channels, 8, COUNT, batches);
        assert_string_equal(batches, "850");
    }
}

static void a_batch_is_of_one_size(void **state)
{
    (void)state;
    char batches[32], name[64];
    assert_int_equal(fs_make_folder(test_path("sizes"), &error), FS_OK);
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "sizes/%02d.png", i);
        write_picture(name, i, i < 3 ? 2 : 5, i < 10 ? 4 : 40, 1);
    }
    check_all(test_path("sizes"), 3, 6, 12, batches);
    assert_string_equal(batches, "36120");
}

static void archives_and_data_sets_are_streamed(void **state)
{
    (void)state;
    enum { COUNT = 7, ROW = 2 * 3 * 3 };
    uint8_t pixels[COUNT * ROW];
    char batches[32];
    const char *const names[] = {"arr_0"};
    const struct fs_array array = {FS_ARRAY_U8, 4, {COUNT, 2, 3, 3}, pixels};
    for (int i = 0; i < COUNT * ROW; i++) {
        pixels[i] = shade(i / ROW);
    }
    assert_int_equal(fs_npz_write(test_path("p.npz"), names, &array, 1, NULL, &error), FS_OK);
    check_all(test_path("p.npz"), 3, 3, COUNT, batches);
    assert_string_equal(batches, "3310");
    check_all(test_path("p.npz"), 1, 9, COUNT, batches);
    assert_string_equal(batches, "70");

    struct fs_image_source source;
    struct fs_image_batch batch;
    struct fs_dataset data;
    const struct fs_dataset_config config = {.name = "fashion-mnist"};
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TEST, &data, &error), FS_OK);
    assert_int_equal(fs_image_source_open("dataset:fashion-mnist:test", 3, &source, &error), FS_OK);
    assert_int_equal(source.count, data.shape.count);
    for (int64_t first = 0; first < 20; first += 10) {
        assert_int_equal(fs_image_source_next(&source, 10, &batch, &error), FS_OK);
        assert_true(batch.count == 10 && batch.height == 28 && batch.width == 28);
        uint8_t expected[10 * 784];
        assert_int_equal(fs_dataset_bytes(&data, first, 10, expected, &error), FS_OK);
        for (int64_t i = 0; i < 10 * 784 * 3; i++) {
            assert_int_equal(((const uint8_t *)batch.pixels)[i], expected[i / 3]);
        }
    }
    fs_image_source_close(&source);
    fs_dataset_close(&data);
}

/* What cannot be decoded ends the stream where it is, under its own name. */
static void the_first_broken_picture_is_named(void **state)
{
    (void)state;
    struct fs_image_source source;
    struct fs_image_batch batch;
    char name[64];
    assert_int_equal(fs_make_folder(test_path("broken"), &error), FS_OK);
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "broken/%02d.png", i);
        write_picture(name, i, 2, 2, 1);
    }
    test_write(test_path("broken/09.png"), "no picture", 10);
    test_write(test_path("broken/11.png"), "no picture", 10);
    assert_int_equal(fs_image_source_open(test_path("broken"), 1, &source, &error), FS_OK);
    assert_int_equal(fs_image_source_next(&source, 4, &batch, &error), FS_OK);
    assert_int_equal(fs_image_source_next(&source, 8, &batch, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "broken/09.png: cannot be decoded"));
    fs_image_source_close(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_walked_in_order),
        cmocka_unit_test(a_batch_is_of_one_size),
        cmocka_unit_test(archives_and_data_sets_are_streamed),
        cmocka_unit_test(the_first_broken_picture_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
