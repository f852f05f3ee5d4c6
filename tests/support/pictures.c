/* Small sets of pictures for tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/data/dataset.h"
#include "harness/data/png.h"
#include "tests/support/folder.h"
#include "tests/support/pictures.h"

/* The first `count` pictures of a split as IDX files of their own. */
static void cut_split(enum fs_split split, const char *folder, const char *name, int count)
{
    struct fs_dataset_config config = {.name = "fashion-mnist"};
    struct fs_dataset whole;
    struct fs_error error;
    char path[512];
    if (fs_dataset_open(&config, split, &whole, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    const size_t bytes = (size_t)count * 28 * 28;
    uint8_t *file = calloc(1, 16 + bytes);
    assert_non_null(file);
    const uint8_t head[16] = {0, 0, 8, 3, 0, 0, (uint8_t)(count >> 8), (uint8_t)count, 0, 0, 0, 28, 0, 0, 0, 28};
    memcpy(file, head, 16);
    if (fs_dataset_bytes(&whole, 0, count, file + 16, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    snprintf(path, sizeof path, "%s/%s-images-idx3-ubyte", folder, name);
    test_write(path, file, 16 + bytes);
    file[3] = 1;
    for (int i = 0; i < count; i++) {
        file[8 + i] = (uint8_t)whole.labels[i];
    }
    snprintf(path, sizeof path, "%s/%s-labels-idx1-ubyte", folder, name);
    test_write(path, file, 8 + (size_t)count);
    free(file);
    fs_dataset_close(&whole);
}

void test_small_fashion_mnist(const char *folder, int train, int test)
{
    mkdir(folder, 0777);
    cut_split(FS_SPLIT_TRAIN, folder, "train", train);
    cut_split(FS_SPLIT_TEST, folder, "t10k", test);
}

void test_picture_folder(const char *folder, int classes, int count)
{
    struct fs_error error;
    uint8_t pixels[40 * 60 * 3];
    mkdir(folder, 0777);
    for (int c = 0; c < classes; c++) {
        char path[512];
        snprintf(path, sizeof path, "%s/c%d", folder, c);
        mkdir(path, 0777);
        for (int i = 0; i < count; i++) {
            const int height = 9 + (7 * i + c) % 30, width = 8 + (11 * i + 3 * c) % 50;
            for (int k = 0; k < height * width * 3; k++) {
                pixels[k] = (uint8_t)(k * (13 + i) / 7 + 50 * c + 3 * i * (k % 3));
            }
            snprintf(path, sizeof path, "%s/c%d/%d.png", folder, c, 3 + i);
            if (fs_png_write(path, pixels, height, width, 3, &error) != FS_OK) {
                fail_msg("%s", error.text);
            }
        }
    }
}

void test_small_cifar10(const char *folder, int records)
{
    enum { RECORD = 3073 };
    static const char *const names[] = {"data_batch_1", "data_batch_2", "test_batch"};
    uint8_t *bytes = calloc((size_t)records, RECORD);
    assert_non_null(bytes);
    mkdir(folder, 0777);
    for (int batch = 0; batch < 3; batch++) {
        char path[512];
        for (int i = 0; i < records * RECORD; i++) {
            bytes[i] = (uint8_t)(i % RECORD == 0 ? (i / RECORD + batch) % 10 : i * 31 / 17 + batch);
        }
        snprintf(path, sizeof path, "%s/%s.bin", folder, names[batch]);
        test_write(path, bytes, (size_t)records * RECORD);
    }
    free(bytes);
}
