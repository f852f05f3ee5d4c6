/* The processes that share the work of one command: one process, and what all kinds have in common. */
#include "harness/comm/comm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The sum over one process is what it has already, and nothing has to come anywhere. */
static void sum_of_one(struct fs_comm *comm, float *values, const int64_t *borders)
{
    (void)comm, (void)values, (void)borders;
}

static void broadcast_to_one(struct fs_comm *comm, int root, void *bytes, size_t size)
{
    (void)comm, (void)root, (void)bytes, (void)size;
}

static void gather_from_one(struct fs_comm *comm, const void *mine, void *all, const size_t *sizes)
{
    (void)comm;
    if (mine != all && sizes[0] > 0) {
        memcpy(all, mine, sizes[0]);
    }
}

static void abort_one(struct fs_comm *comm, int status)
{
    (void)comm;
    _exit(status);
}

static void close_one(struct fs_comm *comm)
{
    (void)comm;
}

struct fs_comm *fs_comm_single(void)
{
    static struct fs_comm single = {
        .abi = FS_COMM_ABI,
        .name = "one process",
        .size = 1,
        .local_size = 1,
        .reduce_scatter = sum_of_one,
        .all_gather = sum_of_one,
        .broadcast = broadcast_to_one,
        .gather = gather_from_one,
        .abort = abort_one,
        .close = close_one,
    };
    return &single;
}

void fs_comm_rows(const struct fs_comm *comm, int rows, int turn, int *first, int *count)
{
    *first = *count = 0;
    for (int r = 0; r <= comm->rank; r++) {
        const int place = (r + comm->size - turn) % comm->size;
        *first += *count;
        *count = rows / comm->size + (place < rows % comm->size);
    }
}

void fs_comm_borders(const struct fs_comm *comm, int64_t count, int64_t chunk, int64_t *borders)
{
    const int64_t chunks = (count + chunk - 1) / chunk;
    for (int r = 0; r < comm->size; r++) {
        borders[r] = chunks * r / comm->size * chunk;
    }
    borders[comm->size] = count;
}

void fs_comm_gather_same(struct fs_comm *comm, const void *mine, size_t size, void *all)
{
    size_t sizes[FS_RANKS_MAX];
    for (int r = 0; r < comm->size; r++) {
        sizes[r] = size;
    }
    comm->gather(comm, mine, all, sizes);
}

bool fs_comm_any(struct fs_comm *comm, bool mine)
{
    bool all[FS_RANKS_MAX], any = false;
    fs_comm_gather_same(comm, &mine, sizeof mine, all);
    for (int r = 0; comm->rank == 0 && r < comm->size; r++) {
        any = any || all[r];
    }
    comm->broadcast(comm, 0, &any, sizeof any);
    return any;
}

void fs_comm_give_up(struct fs_comm *comm, const struct fs_error *error)
{
    fprintf(stderr, "fewstep: rank %d: %s\n", comm->rank, error->text);
    comm->abort(comm, FS_FAILED);
}

fs_status fs_comm_agree(struct fs_comm *comm, fs_status status, struct fs_error *error)
{
    fs_status all[FS_RANKS_MAX];
    int first = -1;
    fs_comm_gather_same(comm, &status, sizeof status, all);
    for (int r = comm->size - 1; comm->rank == 0 && r >= 0; r--) {
        first = all[r] != FS_OK ? r : first;
    }
    comm->broadcast(comm, 0, &first, sizeof first);
    if (first < 0 || comm->size == 1) {
        return status;
    }
    struct {
        fs_status status;
        struct fs_error error;
    } message = {status, *error};
    comm->broadcast(comm, first, &message, sizeof message);
    *error = message.error;
    if (first > 0) { /* what rank 0 says reads as it would from one process */
        fs_fail_in(error, "rank %d", first);
    }
    return message.status;
}
