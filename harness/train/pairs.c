/* Pairs of noise and the teacher's picture of it, in shards that are either there or not. */
#include "harness/train/pairs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "kernels/base/safetensors.h"

#define SHARD_PAIRS 100

fs_status fs_pairs_name(const char *teacher_run, const struct fs_config *config, char name[FS_HASH_TEXT],
                        struct fs_error *error)
{
    char *text =
        fs_format(error, "%s %d %.17g", teacher_run, fs_config_pairs(config).steps, config->evaluate.guidance_scale);
    if (!text) {
        return error->status;
    }
    fs_sha256(text, strlen(text), name);
    free(text);
    return FS_OK;
}

/* A shard's name carries its number of pairs: the last one is shorter, and another for another total. */
static fs_status shard_path(const char *folder, int64_t first, int64_t count, char path[FS_PATH_ROOM],
                            struct fs_error *error)
{
    return fs_path(path, error, "%s/pairs-%06" PRId64 "-%" PRId64 ".safetensors", folder, first, count);
}

static int64_t shard_count(int64_t first, int64_t pairs)
{
    return pairs - first < SHARD_PAIRS ? pairs - first : SHARD_PAIRS;
}

/* --- making --- */

/* Pairs first … first + count − 1 into host arrays, `sampler->capacity` at a time. */
static fs_status draw_pairs(struct fs_sampler *sampler, const struct fs_config *config, struct fs_view x, int64_t first,
                            int64_t count, float *noise, float *data, float *labels, struct fs_error *error)
{
    struct fs_backend *backend = sampler->backend;
    const uint32_t seed = (uint32_t)config->seed;
    const int steps = fs_config_pairs(config).steps;
    int32_t ids[SHARD_PAIRS];
    for (int64_t done = 0; done < count; done += sampler->capacity) {
        const int64_t n = count - done < sampler->capacity ? count - done : sampler->capacity;
        const size_t bytes = (size_t)(n * sampler->dim) * sizeof(float);
        const struct fs_view rows = fs_view_rows(x, 0, n);
        backend->normals(backend, rows, (struct fs_random_key){.seed = seed, .stream = FS_STREAM_PAIR_NOISE},
                         (uint32_t)(first + done));
        backend->download(backend, noise + done * sampler->dim, rows.data, bytes);
        for (int64_t i = 0; i < n; i++) {
            const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_PAIR_LABEL};
            const int classes = config->model.classes;
            ids[i] = classes ? (int32_t)fs_random_below(key, (uint32_t)(first + done + i), 0, (uint32_t)classes) : 0;
            labels[done + i] = (float)ids[i];
        }
        const struct fs_drawing drawing = {.labels = ids,
                                           .steps = steps,
                                           .guidance_scale = config->evaluate.guidance_scale,
                                           .seed = seed,
                                           .first_row = (uint32_t)(first + done)};
        FS_TRY(fs_sample(sampler, rows, &drawing, error));
        backend->download(backend, data + done * sampler->dim, rows.data, bytes);
        FS_TRY(backend->synchronise(backend, error));
    }
    return FS_OK;
}

static fs_status make_shard(const char *path, struct fs_sampler *sampler, const struct fs_config *config,
                            struct fs_view x, int64_t first, int64_t count, struct fs_error *error)
{
    const size_t values = (size_t)(count * sampler->dim);
    float *noise = fs_allocate(values, sizeof(float), "pairs", error);
    float *data = fs_allocate(values, sizeof(float), "pairs", error);
    float *labels = fs_allocate((size_t)count, sizeof(float), "pairs", error);
    fs_status status = noise && data && labels ? FS_OK : error->status;
    if (status == FS_OK) {
        status = draw_pairs(sampler, config, x, first, count, noise, data, labels, error);
    }
    if (status == FS_OK) {
        const struct fs_tensor tensors[] = {
            {.name = "data", .type = FS_F32, .rank = 2, .shape = {count, sampler->dim}, .data = data},
            {.name = "labels", .type = FS_F32, .rank = 1, .shape = {count}, .data = labels},
            {.name = "noise", .type = FS_F32, .rank = 2, .shape = {count, sampler->dim}, .data = noise},
        };
        status = fs_tensor_file_write_summed(path, tensors, 3, NULL, 0, error);
    }
    free(labels);
    free(data);
    free(noise);
    return status;
}

fs_status fs_pairs_make(const char *folder, struct fs_sampler *sampler, const struct fs_config *config,
                        volatile sig_atomic_t *stop, void (*progress)(void *owner, int64_t done, int64_t count),
                        void *owner, bool *finished, struct fs_error *error)
{
    struct fs_backend *backend = sampler->backend;
    const int64_t pairs = fs_config_pairs(config).count;
    *finished = false;
    FS_TRY(fs_make_folder(folder, error));
    void *memory = backend->allocate(backend, (size_t)(sampler->capacity * sampler->dim) * sizeof(float), error);
    if (!memory) {
        return error->status;
    }
    const struct fs_view x = fs_view(memory, FS_F32, sampler->capacity, sampler->dim);
    fs_status status = FS_OK;
    int64_t first = 0;
    while (status == FS_OK && first < pairs && !*stop) {
        char path[FS_PATH_ROOM];
        const int64_t count = shard_count(first, pairs);
        status = shard_path(folder, first, count, path, error);
        if (status == FS_OK && access(path, R_OK) != 0) {
            status = make_shard(path, sampler, config, x, first, count, error);
        }
        first += count;
        if (progress) {
            progress(owner, first, pairs);
        }
    }
    *finished = status == FS_OK && first >= pairs;
    backend->release(backend, memory);
    return status;
}

/* --- reading --- */

static fs_status read_shard(const char *path, int64_t first, int64_t count, struct fs_pairs *pairs,
                            struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const struct fs_tensor *noise = fs_tensor_find(&file, "noise"), *data = fs_tensor_find(&file, "data"),
                           *labels = fs_tensor_find(&file, "labels");
    fs_status status = FS_OK;
    if (!noise || !data || !labels || noise->rank != 2 || data->rank != 2 || labels->rank != 1 ||
        noise->shape[0] != count || data->shape[0] != count || labels->shape[0] != count ||
        noise->shape[1] != pairs->dim || data->shape[1] != pairs->dim || noise->type != FS_F32 ||
        data->type != FS_F32 || labels->type != FS_F32) {
        status = fs_fail(error, FS_USAGE,
                         "%s: not a shard of %" PRId64 " pairs of this data set: remove it to have it made again", path,
                         count);
    } else {
        const size_t bytes = (size_t)(count * pairs->dim) * sizeof(float);
        memcpy(pairs->noise + first * pairs->dim, noise->data, bytes);
        memcpy(pairs->data + first * pairs->dim, data->data, bytes);
        for (int64_t i = 0; i < count; i++) {
            pairs->labels[first + i] = (int32_t)((const float *)labels->data)[i];
        }
    }
    fs_tensor_file_free(&file);
    return status;
}

fs_status fs_pairs_read(const char *folder, int64_t count, int64_t dim, struct fs_pairs *pairs, struct fs_error *error)
{
    *pairs = (struct fs_pairs){.count = count, .dim = dim};
    pairs->noise = fs_allocate((size_t)(count * dim), sizeof(float), "pairs", error);
    pairs->data = fs_allocate((size_t)(count * dim), sizeof(float), "pairs", error);
    pairs->labels = fs_allocate((size_t)count, sizeof(int32_t), "pairs", error);
    fs_status status = pairs->noise && pairs->data && pairs->labels ? FS_OK : error->status;
    for (int64_t first = 0; status == FS_OK && first < count; first += SHARD_PAIRS) {
        char path[FS_PATH_ROOM];
        status = shard_path(folder, first, shard_count(first, count), path, error);
        status = status == FS_OK ? read_shard(path, first, shard_count(first, count), pairs, error) : status;
    }
    if (status != FS_OK) {
        fs_pairs_free(pairs);
    }
    return status;
}

void fs_pairs_free(struct fs_pairs *pairs)
{
    free(pairs->noise);
    free(pairs->data);
    free(pairs->labels);
    *pairs = (struct fs_pairs){0};
}
