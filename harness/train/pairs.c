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

/* A shard in memory: noise, pictures and labels one after the other. */
static float *shard_noise(float *values)
{
    return values;
}

static float *shard_data(float *values, int64_t count, int64_t dim)
{
    return values + count * dim;
}

static float *shard_labels(float *values, int64_t count, int64_t dim)
{
    return values + 2 * count * dim;
}

static size_t shard_size(int64_t count, int64_t dim)
{
    return (size_t)(count * (2 * dim + 1)) * sizeof(float);
}

static fs_status write_shard(const char *path, float *values, int64_t count, int64_t dim, struct fs_error *error)
{
    const struct fs_tensor tensors[] = {
        {.name = "data", .type = FS_F32, .rank = 2, .shape = {count, dim}, .data = shard_data(values, count, dim)},
        {.name = "labels", .type = FS_F32, .rank = 1, .shape = {count}, .data = shard_labels(values, count, dim)},
        {.name = "noise", .type = FS_F32, .rank = 2, .shape = {count, dim}, .data = shard_noise(values)},
    };
    return fs_tensor_file_write_summed(path, tensors, 3, NULL, 0, error);
}

/* Shards that are made at once, one a rank. */
struct round {
    int64_t first[FS_RANKS_MAX], count[FS_RANKS_MAX]; /* their pairs; count 0: none */
    int64_t next;                                     /* where the next round begins to look */
    bool stop;
};

/* The shards from `next` on that are not there yet; rank 0 looks for them. */
static fs_status plan_round(const char *folder, int ranks, int64_t pairs, struct round *round, struct fs_error *error)
{
    int planned = 0;
    memset(round->count, 0, sizeof round->count);
    while (planned < ranks && round->next < pairs) {
        char path[FS_PATH_ROOM];
        const int64_t first = round->next, count = shard_count(first, pairs);
        FS_TRY(shard_path(folder, first, count, path, error));
        if (access(path, R_OK) != 0) {
            round->first[planned] = first;
            round->count[planned++] = count;
        }
        round->next += count;
    }
    return FS_OK;
}

static fs_status write_round(const char *folder, const struct round *round, int ranks, int64_t dim, float *all,
                             struct fs_error *error)
{
    for (int r = 0; r < ranks; r++) {
        char path[FS_PATH_ROOM];
        if (round->count[r] > 0) {
            FS_TRY(shard_path(folder, round->first[r], round->count[r], path, error));
            FS_TRY(write_shard(path, all, round->count[r], dim, error));
        }
        all += shard_size(round->count[r], dim) / sizeof(float);
    }
    return FS_OK;
}

/* Where pairs are made: the network's rows, this rank's shard, and on rank 0 those of all. */
struct pair_buffers {
    struct fs_view x;
    float *mine, *all;
};

static fs_status create_buffers(struct pair_buffers *buffers, const char *folder, const struct fs_comm *comm,
                                struct fs_sampler *sampler, struct fs_error *error)
{
    const size_t size = shard_size(SHARD_PAIRS, sampler->dim);
    if (comm->rank == 0) {
        FS_TRY(fs_make_folder(folder, error));
    }
    FS_TRY(fs_view_create(sampler->backend, sampler->capacity, sampler->dim, &buffers->x, error));
    buffers->mine = fs_allocate(size, 1, "pairs", error);
    buffers->all = fs_allocate(comm->rank == 0 ? (size_t)comm->size : 0, size, "pairs", error);
    return buffers->mine && buffers->all ? FS_OK : error->status;
}

/* One shard a rank, drawn and written. */
static fs_status make_round(const char *folder, struct fs_comm *comm, struct fs_sampler *sampler,
                            const struct fs_config *config, const struct round *round, struct pair_buffers *buffers,
                            struct fs_error *error)
{
    const int64_t first = round->first[comm->rank], count = round->count[comm->rank], dim = sampler->dim;
    size_t sizes[FS_RANKS_MAX];
    float *mine = buffers->mine;
    for (int r = 0; r < comm->size; r++) {
        sizes[r] = shard_size(round->count[r], dim);
    }
    fs_status status = draw_pairs(sampler, config, buffers->x, first, count, shard_noise(mine),
                                  shard_data(mine, count, dim), shard_labels(mine, count, dim), error);
    FS_TRY(fs_comm_agree(comm, status, error));
    comm->gather(comm, mine, buffers->all, sizes);
    status = comm->rank == 0 ? write_round(folder, round, comm->size, dim, buffers->all, error) : FS_OK;
    return fs_comm_agree(comm, status, error);
}

fs_status fs_pairs_make(const char *folder, struct fs_comm *comm, struct fs_sampler *sampler,
                        const struct fs_config *config, volatile sig_atomic_t *stop,
                        void (*progress)(void *owner, int64_t done, int64_t count), void *owner, bool *finished,
                        struct fs_error *error)
{
    const int64_t pairs = fs_config_pairs(config).count;
    struct pair_buffers buffers = {fs_no_view(), NULL, NULL};
    struct round round = {.next = 0};
    *finished = false;
    fs_status status = fs_comm_agree(comm, create_buffers(&buffers, folder, comm, sampler, error), error);
    while (status == FS_OK && round.next < pairs && !round.stop) {
        round.stop = fs_comm_any(comm, *stop);
        if (!round.stop) {
            status = comm->rank == 0 ? plan_round(folder, comm->size, pairs, &round, error) : FS_OK;
            status = fs_comm_agree(comm, status, error);
            comm->broadcast(comm, 0, &round, sizeof round);
        }
        if (status == FS_OK && !round.stop) {
            status = make_round(folder, comm, sampler, config, &round, &buffers, error);
        }
        if (status == FS_OK && !round.stop && progress && comm->rank == 0) {
            progress(owner, round.next, pairs);
        }
    }
    *finished = status == FS_OK && !round.stop;
    sampler->backend->release(sampler->backend, buffers.x.data);
    free(buffers.mine);
    free(buffers.all);
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

fs_status fs_pairs_create(int64_t count, int64_t dim, struct fs_pairs *pairs, struct fs_error *error)
{
    *pairs = (struct fs_pairs){.count = count, .dim = dim};
    pairs->noise = fs_allocate((size_t)(count * dim), sizeof(float), "pairs", error);
    pairs->data = fs_allocate((size_t)(count * dim), sizeof(float), "pairs", error);
    pairs->labels = fs_allocate((size_t)count, sizeof(int32_t), "pairs", error);
    return pairs->noise && pairs->data && pairs->labels ? FS_OK : error->status;
}

fs_status fs_pairs_read(const char *folder, int64_t count, int64_t dim, struct fs_pairs *pairs, struct fs_error *error)
{
    fs_status status = fs_pairs_create(count, dim, pairs, error);
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

void fs_pairs_share(struct fs_pairs *pairs, struct fs_comm *comm)
{
    const size_t values = (size_t)(pairs->count * pairs->dim) * sizeof(float);
    comm->broadcast(comm, 0, pairs->noise, values);
    comm->broadcast(comm, 0, pairs->data, values);
    comm->broadcast(comm, 0, pairs->labels, (size_t)pairs->count * sizeof *pairs->labels);
}

void fs_pairs_free(struct fs_pairs *pairs)
{
    free(pairs->noise);
    free(pairs->data);
    free(pairs->labels);
    *pairs = (struct fs_pairs){0};
}
