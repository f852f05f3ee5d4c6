/* Made-up pictures for `fewstep bench`: as a data set that lies on the disk and as one in memory. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/bench/measure.h"
#include "harness/data/png.h"
#include "harness/data/source.h"
#include "kernels/base/memory.h"

#define PICTURES 512

static fs_status memory_read(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                             struct fs_error *error)
{
    (void)visit, (void)error;
    const size_t dim = (size_t)fs_shape_dim(&dataset->shape);
    memcpy(out, (const float *)dataset->state + (size_t)index * dim, dim * sizeof *out);
    return FS_OK;
}

static const struct fs_data_source in_memory = {.kind = "memory", .pictures = true, .read = memory_read};

/* PICTURES files in the folder, each twice as high and wide as what becomes of it; they are removed with the folder by
 * remove_pictures. */
static fs_status write_pictures(const char *folder, const struct fs_data_shape *shape, struct fs_error *error)
{
    const int height = 2 * shape->height, width = 2 * shape->width;
    uint8_t *pixels = fs_allocate((size_t)height * (size_t)width, (size_t)shape->channels, "a picture", error);
    fs_status status = pixels ? FS_OK : FS_FAILED;
    for (int i = 0; status == FS_OK && i < PICTURES; i++) {
        char path[FS_PATH_ROOM];
        for (int k = 0; k < height * width * shape->channels; k++) {
            pixels[k] = (uint8_t)(k * (i + 3) / 17 + i);
        }
        status = fs_path(path, error, "%s/%d.png", folder, i);
        if (status == FS_OK) {
            status = fs_png_write(path, pixels, height, width, shape->channels, error);
        }
    }
    free(pixels);
    return status;
}

static void remove_pictures(const char *folder)
{
    struct fs_error ignored;
    for (int i = 0; i < PICTURES; i++) {
        char path[FS_PATH_ROOM];
        if (fs_path(path, &ignored, "%s/%d.png", folder, i) == FS_OK) {
            unlink(path);
        }
    }
    rmdir(folder);
}

/* What is decoded is a file without a name, so the pictures themselves may go at once. */
static fs_status open_folder(const struct fs_bench *b, struct fs_dataset *data, struct fs_error *error)
{
    struct fs_dataset_config config = {
        .name = "bench", .kind = "image-folder", .size = b->height, .channels = b->channels};
    const struct fs_data_shape shape = {b->height, b->width, b->channels, 0, PICTURES};
    const char *temporary = getenv("TMPDIR");
    FS_TRY(fs_path(config.path, error, "%s/fewstep-XXXXXX", temporary && *temporary ? temporary : "/tmp"));
    if (!mkdtemp(config.path)) {
        return fs_fail(error, FS_FAILED, "%s: cannot be made: no pictures to measure with", config.path);
    }
    fs_status status = write_pictures(config.path, &shape, error);
    if (status == FS_OK) {
        status = fs_dataset_open(&config, FS_SPLIT_TRAIN, data, error);
    }
    remove_pictures(config.path);
    return status;
}

fs_status fs_bench_data_open(const struct fs_bench *b, struct fs_dataset *folder, struct fs_dataset *memory,
                             struct fs_error *error)
{
    *folder = *memory = (struct fs_dataset){0};
    FS_TRY(open_folder(b, folder, error));
    const size_t dim = (size_t)fs_shape_dim(&folder->shape);
    float *rows = fs_allocate((size_t)folder->shape.count, dim * sizeof *rows, "pictures", error);
    *memory = (struct fs_dataset){.shape = folder->shape, .pictures = true, .source = &in_memory, .state = rows};
    return rows ? fs_dataset_rows(folder, 0, folder->shape.count, rows, error) : FS_FAILED;
}
