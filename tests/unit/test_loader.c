/* The thread that loads the next update: the same rows as without it, its errors in their place, and a quick end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/data/loader.h"
#include "harness/data/source.h"
#include "tests/support/folder.h"
#include "tests/support/pictures.h"

#define BATCH 12
#define DIM (12 * 12 * 3)

static struct fs_error error;

static void open_folder(struct fs_dataset *data)
{
    struct fs_dataset_config config = {
        .name = "mine", .kind = "image-folder", .size = 12, .channels = 3, .mirror = true};
    snprintf(config.path, sizeof config.path, "%s", test_path("pictures"));
    test_picture_folder(config.path, 3, 9);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, data, &error), FS_OK);
}

/* One row by the loader and without it. */
static void same_row(struct fs_loader *loader, const struct fs_dataset *data, int64_t update, int row)
{
    float got[DIM], expected[DIM];
    int32_t label, expected_label;
    assert_int_equal(fs_loader_rows(loader, update, row, 1, got, &label, &error), FS_OK);
    assert_int_equal(fs_load_rows(data, 5, update, BATCH, row, 1, expected, &expected_label, &error), FS_OK);
    assert_memory_equal(got, expected, sizeof got);
    assert_int_equal(label, expected_label);
}

/* Two ranges of a batch in parts of several sizes; rows of other processes; updates again, skipped, and back. */
static void it_loads_what_is_there(void **state)
{
    (void)state;
    static const struct fs_loader_range ranges[] = {{2, 5}, {9, 2}};
    static const int64_t updates[] = {0, 1, 2, 3, 3, 4, 9, 10, 11, 19, 4, 5, 18, 19, 0};
    struct fs_dataset data;
    struct fs_loader *loader;
    open_folder(&data);
    assert_int_equal(fs_loader_create(&data, 5, 20, BATCH, ranges, 2, &loader, &error), FS_OK);
    for (size_t u = 0; u < sizeof updates / sizeof *updates; u++) {
        for (int row = 0; row < BATCH; row++) {
            same_row(loader, &data, updates[u], row);
        }
        float rows[4 * DIM], expected[4 * DIM];
        int32_t labels[4], expected_labels[4];
        assert_int_equal(fs_loader_rows(loader, updates[u], 5, 4, rows, labels, &error), FS_OK);
        assert_int_equal(fs_load_rows(&data, 5, updates[u], BATCH, 5, 4, expected, expected_labels, &error), FS_OK);
        assert_memory_equal(rows, expected, sizeof rows);
        assert_memory_equal(labels, expected_labels, sizeof labels);
    }
    fs_loader_destroy(loader);
    assert_int_equal(fs_loader_create(&data, 5, 20, BATCH, ranges, 2, &loader, &error), FS_OK);
    fs_loader_destroy(loader); /* without a row, and in the middle of one */
    assert_int_equal(fs_loader_create(&data, 5, 20, BATCH, ranges, 2, &loader, &error), FS_OK);
    same_row(loader, &data, 7, 3);
    fs_loader_destroy(loader);
    fs_dataset_close(&data);
    fs_loader_destroy(NULL);
}

/* A source that gives its index slowly, and fails at one picture. */
static struct fs_dataset made_up;
static int64_t bad_picture;

static fs_status made_up_read(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                              struct fs_error *failure)
{
    (void)dataset, (void)visit;
    const struct timespec pause = {0, 300000};
    nanosleep(&pause, NULL);
    *out = (float)index;
    return index == bad_picture ? fs_fail(failure, FS_FAILED, "picture %lld is gone", (long long)index) : FS_OK;
}

static const struct fs_data_source made_up_source = {.kind = "made-up", .read = made_up_read};

static void its_error_is_told_in_its_place(void **state)
{
    (void)state;
    static const struct fs_loader_range all = {0, BATCH};
    struct fs_loader *loader;
    float rows[BATCH];
    int32_t labels[BATCH];
    int64_t indices[BATCH];
    made_up = (struct fs_dataset){.shape = {1, 1, 1, 0, 1000}, .source = &made_up_source};
    fs_data_order(1000, 3, 4, BATCH, 0, BATCH, indices);
    bad_picture = indices[7];
    assert_int_equal(fs_loader_create(&made_up, 3, 50, BATCH, &all, 1, &loader, &error), FS_OK);
    for (int64_t update = 0; update < 4; update++) { /* the thread is a whole update ahead */
        assert_int_equal(fs_loader_rows(loader, update, 0, BATCH, rows, labels, &error), FS_OK);
    }
    assert_int_equal(fs_loader_rows(loader, 4, 0, BATCH, rows, labels, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "is gone"));
    assert_int_equal(fs_loader_rows(loader, 5, 0, BATCH, rows, labels, &error), FS_OK); /* it did not end */
    fs_data_order(1000, 3, 5, BATCH, 0, BATCH, indices);
    for (int i = 0; i < BATCH; i++) {
        assert_true(rows[i] == (float)indices[i]);
        assert_int_equal(labels[i], 0);
    }
    fs_loader_destroy(loader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_loads_what_is_there),
        cmocka_unit_test(its_error_is_told_in_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
