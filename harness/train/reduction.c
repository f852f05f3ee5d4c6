/* Flat buffers over several ranks: gradients summed, what each made of its part gathered, squared norms. */
#include "harness/train/reduction.h"

#include <stdlib.h>

#include "kernels/base/memory.h"

/* Borders of the parts: far more than any vector or cache line, so that an operation on a part does with each number
 * what it would do with it in the whole. */
#define CHUNK 16384

fs_status fs_reduction_create(struct fs_reduction *reduction, struct fs_comm *comm, struct fs_backend *backend,
                              int64_t count, struct fs_error *error)
{
    const bool hosted = backend->available == NULL && backend->real == FS_F32; /* its memory is the host's */
    *reduction = (struct fs_reduction){.comm = comm, .backend = backend};
    reduction->borders = fs_allocate((size_t)comm->size + 1, sizeof *reduction->borders, "parts of ranks", error);
    if (reduction->borders == NULL) {
        return error->status;
    }
    fs_comm_borders(comm, count, CHUNK, reduction->borders);
    if (comm->size > 1 && !hosted) {
        reduction->host = fs_allocate((size_t)count, sizeof *reduction->host, "gradients of other ranks", error);
    }
    return comm->size == 1 || hosted || reduction->host ? FS_OK : error->status;
}

void fs_reduction_destroy(struct fs_reduction *reduction)
{
    free(reduction->borders);
    free(reduction->host);
    *reduction = (struct fs_reduction){0};
}

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
    if (comm->size > 1) {
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
