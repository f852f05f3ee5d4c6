/* Made-up data for `fewstep bench`: in memory, as pictures in a folder, and as latents. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/bench/measure.h"
#include "harness/data/latents.h"
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

/* A fresh folder under $TMPDIR. */
static fs_status make_folder(char path[FS_PATH_ROOM], struct fs_error *error)
{
    const char *temporary = getenv("TMPDIR");
    FS_TRY(fs_path(path, error, "%s/fewstep-XXXXXX", temporary && *temporary ? temporary : "/tmp"));
    return mkdtemp(path) ? FS_OK : fs_fail(error, FS_FAILED, "%s: cannot be made: no data to measure with", path);
}

/* What is decoded is a file without a name, so the pictures themselves may go at once. */
static fs_status open_folder(const struct fs_bench *b, struct fs_dataset *data, struct fs_error *error)
{
    struct fs_dataset_config config = {
        .name = "bench", .kind = "image-folder", .size = b->height, .channels = b->channels};
    const struct fs_data_shape shape = {b->height, b->width, b->channels, 0, PICTURES};
    FS_TRY(make_folder(config.path, error));
    fs_status status = write_pictures(config.path, &shape, error);
    if (status == FS_OK) {
        status = fs_dataset_open(&config, FS_SPLIT_TRAIN, data, error);
    }
    remove_pictures(config.path);
    return status;
}

/* One shard, as `fewstep encode` writes them, all zeros: a mean of 0 and a variance of 1. */
static fs_status write_latents(const char *folder, const struct fs_data_shape *shape, struct fs_error *error)
{
    struct fs_latents_shard shard = {.rows = PICTURES};
    struct fs_latents_manifest manifest = {
        .shape = *shape,
        .picture = {8 * shape->height, 8 * shape->width, 3, 0, PICTURES},
        .precision = "fp32",
        .device = "cpu",
        .scale = 1,
        .stored = FS_F16,
        .source = "bench",
        .shards = &shard,
        .shard_count = 1,
    };
    struct fs_tensor tensors[FS_LATENTS_TENSORS];
    struct fs_tensor_file file;
    char path[FS_PATH_ROOM], name[FS_LATENTS_NAME];
    const int count = fs_latents_shard_tensors(&manifest, PICTURES, tensors);
    const size_t numbers = (size_t)PICTURES * 2 * (size_t)fs_shape_dim(shape);
    uint16_t *zeros = fs_allocate(numbers < 16 * PICTURES ? 16 * PICTURES : numbers, sizeof *zeros, "latents", error);
    if (!zeros) {
        return FS_FAILED;
    }
    for (int i = 0; i < count; i++) {
        tensors[i].data = zeros; /* hashes of pictures have 32 bytes a row */
    }
    memset(manifest.pictures_sha256, '0', 64);
    memset(manifest.autoencoder_sha256, '0', 64);
    memset(manifest.plan, '0', 64);
    fs_latents_shard_name(0, name);
    fs_status status = fs_path(path, error, "%s/%s", folder, name);
    if (status == FS_OK) {
        status = fs_tensor_file_write_summed(path, tensors, count, NULL, 0, error);
    }
    free(zeros);
    FS_TRY(status);
    FS_TRY(fs_tensor_file_read(path, &file, error));
    snprintf(shard.sha256, sizeof shard.sha256, "%s", fs_tensor_metadata_find(&file, FS_TENSOR_SUM_KEY));
    fs_tensor_file_free(&file);
    return fs_latents_manifest_write(folder, FS_LATENTS_MANIFEST, &manifest, error);
}

static void remove_latents(const char *folder)
{
    struct fs_error ignored;
    char path[FS_PATH_ROOM], name[FS_LATENTS_NAME];
    fs_latents_shard_name(0, name);
    const char *const names[] = {name, FS_LATENTS_MANIFEST};
    for (int i = 0; i < 2; i++) {
        if (fs_path(path, &ignored, "%s/%s", folder, names[i]) == FS_OK) {
            unlink(path);
        }
    }
    rmdir(folder);
}

/* Its shards stay open, so their names may go. */
static fs_status open_latents(const struct fs_bench *b, struct fs_dataset *data, struct fs_error *error)
{
    struct fs_dataset_config config = {.name = "bench", .kind = "latents", .mirror = true};
    const struct fs_data_shape shape = {b->height, b->width, b->channels, 0, PICTURES};
    FS_TRY(make_folder(config.path, error));
    fs_status status = write_latents(config.path, &shape, error);
    if (status == FS_OK) {
        status = fs_dataset_open(&config, FS_SPLIT_TRAIN, data, error);
    }
    remove_latents(config.path);
    return status;
}

static fs_status open_memory(const struct fs_bench *b, struct fs_dataset *data, struct fs_error *error)
{
    const struct fs_data_shape shape = {b->height, b->width, b->channels, 0, PICTURES};
    const size_t values = (size_t)PICTURES * (size_t)fs_shape_dim(&shape);
    float *rows = fs_allocate(values, sizeof *rows, "pictures", error);
    for (size_t i = 0; rows && i < values; i++) {
        rows[i] = (float)(2 * (int)(i * 37 / 11 % 256) - 255) / 255.0f;
    }
    *data = (struct fs_dataset){.shape = shape, .pictures = true, .source = &in_memory, .state = rows};
    return rows ? FS_OK : FS_FAILED;
}

const char *fs_bench_data_name(const struct fs_bench *b, enum fs_bench_data where)
{
    static const char *const names[] = {[FS_BENCH_MEMORY] = "memory",
                                        [FS_BENCH_MEMORY_AGAIN] = "memory again",
                                        [FS_BENCH_FOLDER] = "image-folder",
                                        [FS_BENCH_LATENTS] = "latents"};
    const bool pictures = b->height == b->width && (b->channels == 1 || b->channels == 3);
    return where == FS_BENCH_FOLDER && !pictures ? NULL : names[where];
}

fs_status fs_bench_data_open(const struct fs_bench *b, enum fs_bench_data where, struct fs_dataset *data,
                             struct fs_error *error)
{
    static fs_status (*const open[])(const struct fs_bench *, struct fs_dataset *,
                                     struct fs_error *) = {[FS_BENCH_MEMORY] = open_memory,
                                                           [FS_BENCH_MEMORY_AGAIN] = open_memory,
                                                           [FS_BENCH_FOLDER] = open_folder,
                                                           [FS_BENCH_LATENTS] = open_latents};
    *data = (struct fs_dataset){0};
    return open[where](b, data, error);
}
