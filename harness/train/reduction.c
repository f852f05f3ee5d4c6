/* Flat buffers over several ranks: gradients summed, what each made of its part gathered, squared norms. */
#include "harness/train/reduction.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/base/memory.h"

/* Borders of the parts: far more than any vector or cache line, so that an operation on a part does with each number
 * what it would do with it in the whole. */
#define CHUNK 16384

fs_status fs_reduction_create(struct fs_reduction *reduction, struct fs_comm *comm, struct fs_backend *backend,
                              int64_t count, struct fs_error *error)
{
    *reduction = (struct fs_reduction){.comm = comm, .backend = backend, .bucket = fs_reduction_bucket(count)};
    reduction->borders = fs_allocate((size_t)comm->size + 1, sizeof *reduction->borders, "parts of ranks", error);
    if (reduction->borders == NULL) {
        return error->status;
    }
    fs_comm_borders(comm, count, CHUNK, reduction->borders);
    return FS_OK;
}

/* Opens the backend's exchange on all ranks: FS_USAGE where one of them cannot. */
static fs_status open_exchange(struct fs_reduction *reduction, struct fs_error *error)
{
    struct fs_comm *comm = reduction->comm;
    struct fs_backend *backend = reduction->backend;
    char id[FS_EXCHANGE_ID] = "";
    const fs_status ready = backend->exchange_prepare(backend, comm->rank == 0 ? id : NULL, error);
    FS_TRY(fs_comm_agree(comm, ready, error));
    comm->broadcast(comm, 0, id, sizeof id);
    const fs_status opened = backend->exchange_open(backend, id, comm->rank, comm->size, error);
    const fs_status all = fs_comm_agree(comm, opened, error);
    reduction->on_device = all == FS_OK;
    if (opened == FS_OK && all != FS_OK) {
        backend->exchange_close(backend);
    }
    return all;
}

static fs_status take_memory(struct fs_reduction *reduction, struct fs_error *error)
{
    const int ranks = reduction->comm->size;
    if (reduction->on_device) {
        return fs_view_create(reduction->backend, 1, fs_reduction_room(reduction->borders[ranks], ranks),
                              &reduction->room, error);
    }
    reduction->host =
        fs_allocate((size_t)reduction->borders[ranks], sizeof *reduction->host, "gradients of other ranks", error);
    return reduction->host ? FS_OK : error->status;
}

fs_status fs_reduction_join(struct fs_reduction *reduction, struct fs_error *error)
{
    struct fs_backend *backend = reduction->backend;
    const bool hosted = backend->available == NULL && backend->real == FS_F32; /* its memory is the host's */
    if (reduction->comm->size == 1 || hosted) {
        return FS_OK;
    }
    if (backend->exchange_prepare) {
        const fs_status status = open_exchange(reduction, error);
        if (status == FS_USAGE && !backend->notice) {
            backend->notice = "gradients go through the host's memory, which is slower: another rank cannot be joined";
        } else if (status != FS_OK && status != FS_USAGE) {
            return status;
        }
    }
    return fs_comm_agree(reduction->comm, take_memory(reduction, error), error);
}

void fs_reduction_destroy(struct fs_reduction *reduction)
{
    if (reduction->on_device) {
        reduction->backend->exchange_close(reduction->backend);
    }
    if (reduction->room.data) {
        reduction->backend->release(reduction->backend, reduction->room.data);
    }
    free(reduction->borders);
    free(reduction->host);
    *reduction = (struct fs_reduction){0};
}

/* --- on the device --- */

#define DELAY_BYTES 5e6 /* a·B */

int64_t fs_reduction_bucket(int64_t count)
{
    const double bytes = sqrt((double)count * sizeof(float) * DELAY_BYTES), most = (double)count / 4;
    const double numbers = fmin(bytes / sizeof(float), most);
    return ((int64_t)numbers / FS_EXCHANGE_PIECE + 1) * FS_EXCHANGE_PIECE;
}

int64_t fs_reduction_room(int64_t count, int ranks)
{
    return ranks > 1 ? fs_reduction_bucket(count) + (int64_t)FS_EXCHANGE_PIECE * ranks : 0;
}

static void sum_bucket(struct fs_reduction *reduction, int64_t first)
{
    struct fs_backend *backend = reduction->backend;
    const struct fs_view bucket = fs_view_cols(reduction->gradients, first, reduction->left - first);
    backend->exchange_sum(backend, fs_view(bucket.data, bucket.type, 1, bucket.cols), reduction->room);
    reduction->left = first;
}

/* Whole buckets are on their way at once, the last one with the last gradient. */
static void gradients_done(void *owner, int64_t first)
{
    struct fs_reduction *reduction = owner;
    while (reduction->left - first >= reduction->bucket) {
        sum_bucket(reduction, reduction->left - reduction->bucket);
    }
    if (first == 0 && reduction->left > 0) {
        sum_bucket(reduction, 0);
    }
}

struct fs_dit_watch fs_reduction_begin(struct fs_reduction *reduction, struct fs_view gradients)
{
    reduction->gradients = gradients;
    reduction->left = gradients.cols;
    return (struct fs_dit_watch){gradients_done, reduction};
}

void fs_reduction_end(struct fs_reduction *reduction)
{
    reduction->backend->exchange_join(reduction->backend);
}

fs_status fs_reduction_check(const struct fs_reduction *reduction, struct fs_error *error)
{
    return reduction->on_device ? reduction->backend->exchange_check(reduction->backend, error) : FS_OK;
}

/* --- parts --- */

int64_t fs_reduction_longest(int64_t count, int ranks)
{
    const int64_t chunks = (count + CHUNK - 1) / CHUNK, longest = (chunks + ranks - 1) / ranks * CHUNK;
    return longest < count ? longest : count;
}

struct fs_view fs_reduction_part(const struct fs_reduction *reduction, struct fs_view flat)
{
    const int64_t first = reduction->borders[reduction->comm->rank];
    const struct fs_view part = fs_view_cols(flat, first, reduction->borders[reduction->comm->rank + 1] - first);
    return fs_view(part.data, part.type, 1, part.cols);
}

/* A flat view as numbers on the host: its own memory, or the copy of the part that is asked for. */
static float *on_host(struct fs_reduction *reduction, struct fs_view flat, int64_t first, int64_t count)
{
    if (!reduction->host) {
        return flat.data;
    }
    reduction->backend->download(reduction->backend, reduction->host + first, (float *)flat.data + first,
                                 (size_t)count * sizeof(float));
    return reduction->host;
}

static void to_backend(struct fs_reduction *reduction, struct fs_view flat, int64_t first, int64_t count)
{
    if (reduction->host && count > 0) {
        reduction->backend->upload(reduction->backend, (float *)flat.data + first, reduction->host + first,
                                   (size_t)count * sizeof(float));
    }
}

void fs_reduction_sum(struct fs_reduction *reduction, struct fs_view flat)
{
    struct fs_comm *comm = reduction->comm;
    const int64_t *borders = reduction->borders;
    if (comm->size > 1) {
        comm->reduce_scatter(comm, on_host(reduction, flat, 0, flat.cols), borders);
        to_backend(reduction, flat, borders[comm->rank], borders[comm->rank + 1] - borders[comm->rank]);
    }
}

void fs_reduction_gather(struct fs_reduction *reduction, struct fs_view flat)
{
    struct fs_comm *comm = reduction->comm;
    const int64_t *borders = reduction->borders, first = borders[comm->rank], end = borders[comm->rank + 1];
    if (reduction->on_device) {
        reduction->backend->exchange_gather(reduction->backend, flat, borders);
    } else if (comm->size > 1) {
        comm->all_gather(comm, on_host(reduction, flat, first, end - first), borders);
        to_backend(reduction, flat, 0, first);
        to_backend(reduction, flat, end, flat.cols - end);
    }
}

float fs_reduction_norm2(struct fs_reduction *reduction, struct fs_view norm2, struct fs_view flat)
{
    struct fs_comm *comm = reduction->comm;
    struct fs_backend *backend = reduction->backend;
    const struct fs_view part = fs_reduction_part(reduction, flat);
    float mine = 0, all[FS_RANKS_MAX];
    if (part.cols > 0) {
        backend->sum_squares(backend, norm2, part);
        backend->download(backend, &mine, norm2.data, sizeof mine);
    }
    if (comm->size > 1) {
        double sum = 0;
        fs_comm_gather_same(comm, &mine, sizeof mine, all);
        for (int r = 0; comm->rank == 0 && r < comm->size; r++) {
            sum += (double)all[r];
        }
        mine = (float)sum;
        comm->broadcast(comm, 0, &mine, sizeof mine);
        backend->upload(backend, norm2.data, &mine, sizeof mine);
    }
    return mine;
}
