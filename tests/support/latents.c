/* Folders of latents for tests, written by other code than the program's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/float16.h"
#include "kernels/base/safetensors.h"
#include "tests/support/latents.h"

#define ROWS 3 /* in a shard */

static const char sha256[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

void test_latents_fill(struct test_latents *latents)
{
    for (int i = 0; i < TEST_LATENTS_PICTURES; i++) {
        for (int view = 0; view < 2; view++) {
            for (int k = 0; k < TEST_LATENTS_DIM; k++) {
                latents->mean[i][view][k] = (float)(i - 3) + (float)view * 0.5f + (float)k * 0.0625f;
                latents->log_variance[i][view][k] = -1.0f - (float)((i + k + view) % 5);
            }
        }
        latents->labels[i] = (i * 3 + 1) % 4;
    }
}

/* `count` numbers as they are stored, in fresh memory. */
static void *numbers(const float *values, size_t count, enum fs_type stored)
{
    void *out = malloc(count * sizeof(float));
    assert_non_null(out);
    for (size_t i = 0; i < count; i++) {
        if (stored == FS_F16) {
            ((uint16_t *)out)[i] = fs_float16_of(values[i]);
        } else {
            ((float *)out)[i] = values[i];
        }
    }
    return out;
}

static void write_shard(const char *folder, const struct test_latents *latents, enum fs_type stored, int index,
                        int64_t rows, char sum[65])
{
    const int first = index * ROWS;
    const size_t count = (size_t)rows * 2 * TEST_LATENTS_DIM;
    static const uint8_t pictures[ROWS][32];
    void *mean = numbers(&latents->mean[first][0][0], count, stored),
         *log_variance = numbers(&latents->log_variance[first][0][0], count, stored);
    const struct fs_tensor tensors[] = {
        {.name = "labels", .type = FS_I32, .rank = 1, .shape = {rows}, .data = latents->labels + first},
        {.name = "log_variance", .type = stored, .rank = 5, .shape = {rows, 2, 2, 3, 2}, .data = log_variance},
        {.name = "picture_sha256", .type = FS_U8, .rank = 2, .shape = {rows, 32}, .data = pictures},
        {.name = "mean", .type = stored, .rank = 5, .shape = {rows, 2, 2, 3, 2}, .data = mean},
    };
    const struct fs_tensor_metadata metadata[] = {{"autoencoder_sha256", sha256}};
    struct fs_tensor_file file;
    struct fs_error error;
    char path[600];
    snprintf(path, sizeof path, "%s/latents-%05d.safetensors", folder, index);
    assert_int_equal(fs_tensor_file_write_summed(path, tensors, 4, metadata, 1, &error), FS_OK);
    assert_int_equal(fs_tensor_file_read(path, &file, &error), FS_OK);
    snprintf(sum, 65, "%.64s", fs_tensor_metadata_find(&file, FS_TENSOR_SUM_KEY));
    fs_tensor_file_free(&file);
    free(mean);
    free(log_variance);
}

void test_latents_write(const char *folder, const struct test_latents *latents, enum fs_type stored)
{
    struct fs_error error;
    char path[600], sums[3][65];
    const int rows[3] = {3, 3, 1};
    assert_int_equal(fs_make_folder(folder, &error), FS_OK);
    for (int i = 0; i < 3; i++) {
        write_shard(folder, latents, stored, i, rows[i], sums[i]);
    }
    snprintf(path, sizeof path, "%s/latents.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(
        file,
        "{\"format\": \"fewstep-latents-1\", \"latents\": {\"height\": 2, \"width\": 3, \"channels\": 2},\n"
        "\"pictures\": {\"height\": 16, \"width\": 24, \"channels\": 3}, \"count\": 7, \"classes\": 4,\n"
        "\"pictures_sha256\": \"%s\", \"autoencoder_sha256\": \"%s\", \"precision\": \"fp32\", \"device\": \"cpu\",\n"
        "\"scale\": 0.5, \"shift\": 0.25, \"stored\": \"%s\", \"plan\": \"%s\", \"source\": \"made\", "
        "\"unfinished\": false,\n"
        "\"shards\": [{\"rows\": 3, \"sha256\": \"%s\"}, {\"rows\": 3, \"sha256\": \"%s\"}, {\"rows\": 1, \"sha256\": "
        "\"%s\"}]}\n",
        sha256, sha256, stored == FS_F16 ? "F16" : "F32", sha256, sums[0], sums[1], sums[2]);
    assert_int_equal(fclose(file), 0);
}
