/* Ranks by MPI: the only file that knows it, built as libfewstep_mpi.so by mpicc and loaded where a launcher asks for
 * it. Point-to-point messages alone carry numbers that are added, so that the order of additions is this file's. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/comm/comm.h"

#define EXPORTED __attribute__((visibility("default")))
EXPORTED extern const uint32_t fs_comm_mpi_abi;
EXPORTED struct fs_comm *fs_comm_mpi(void);

const uint32_t fs_comm_mpi_abi = FS_COMM_ABI;

#define TAG 7
#define PIECE_MAX (1 << 18)          /* numbers of a message: 1 MiB */
#define ROOM_MAX ((int64_t)16 << 20) /* numbers that wait to be added: 64 MiB */
#define BYTES_MAX ((size_t)1 << 30)  /* of a message: MPI counts in int */
#define SPINS 2000                   /* questions before a rank that waits lets others have its core */

struct ranks {
    struct fs_comm comm;
    char name[MPI_MAX_LIBRARY_VERSION_STRING];
    MPI_Comm world;
    float *arrived[2];     /* pieces of the other ranks, [size, piece], by turns */
    MPI_Request *requests; /* [4 · size]: pieces under way, by turns */
    int64_t piece;
};

static struct ranks *ranks_of(struct fs_comm *comm)
{
    return comm->state;
}

/* Waits without keeping a core: rank 0 may work alone for minutes, and the others' threads are not all that the machine
 * has to do. MPI's own waiting asks without end. */
static void wait_all(MPI_Request *requests, int count)
{
    int done = 0;
    for (int i = 0; !done; i++) {
        MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
        if (!done && i > SPINS) {
            const long more = i - SPINS;
            const struct timespec pause = {.tv_nsec = more < 50 ? 20000 : more < 500 ? 200000 : 2000000};
            nanosleep(&pause, NULL);
        }
    }
}

/* Asks the other ranks for their numbers of mine[first … first + n − 1] and sends each what it adds. The parts may
 * differ in length by a chunk, so `n` is of this rank's part and the sent pieces have their own. */
static int post_piece(struct ranks *r, const float *values, const int64_t *borders, int64_t first, int turn)
{
    const int me = r->comm.rank, size = r->comm.size;
    MPI_Request *requests = r->requests + (ptrdiff_t)turn * 2 * size;
    int count = 0;
    for (int k = 1; k < size; k++) {
        const int from = (me + size - k) % size, to = (me + k) % size;
        const int64_t mine = borders[me + 1] - borders[me] - first, theirs = borders[to + 1] - borders[to] - first;
        if (mine > 0) {
            MPI_Irecv(r->arrived[turn] + from * r->piece, (int)(mine < r->piece ? mine : r->piece), MPI_FLOAT, from,
                      TAG, r->world, &requests[count++]);
        }
        if (theirs > 0) {
            MPI_Isend(values + borders[to] + first, (int)(theirs < r->piece ? theirs : r->piece), MPI_FLOAT, to, TAG,
                      r->world, &requests[count++]);
        }
    }
    return count;
}

/* What rank k has of this rank's piece. */
static const float *part_of(const struct ranks *r, const float *mine, int turn, int k)
{
    return k == r->comm.rank ? mine : r->arrived[turn] + k * r->piece;
}

/* ((rank 0 + rank 1) + rank 2) + …, in blocks that stay in the nearest cache. */
#define BLOCK 1024
static void add_piece(const struct ranks *r, float *mine, int64_t n, int turn)
{
    const int size = r->comm.size;
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t count = n - first < BLOCK ? n - first : BLOCK;
        float sum[BLOCK];
        memcpy(sum, part_of(r, mine, turn, 0) + first, (size_t)count * sizeof *sum);
        for (int k = 1; k < size; k++) {
            const float *restrict part = part_of(r, mine, turn, k) + first;
            for (int64_t i = 0; i < count; i++) {
                sum[i] += part[i];
            }
        }
        memcpy(mine + first, sum, (size_t)count * sizeof *sum);
    }
}

static void reduce_scatter(struct fs_comm *comm, float *values, const int64_t *borders)
{
    struct ranks *r = ranks_of(comm);
    int64_t longest = 0;
    for (int k = 0; k < comm->size; k++) {
        const int64_t part = borders[k + 1] - borders[k];
        longest = part > longest ? part : longest;
    }
    /* The next piece is under way while this one is added. */
    float *mine = values + borders[comm->rank];
    const int64_t length = borders[comm->rank + 1] - borders[comm->rank];
    int turn = 0, posted = longest > 0 ? post_piece(r, values, borders, 0, 0) : 0;
    for (int64_t first = 0; first < longest; first += r->piece, turn = !turn) {
        MPI_Request *requests = r->requests + (ptrdiff_t)turn * 2 * comm->size;
        const int now = posted;
        posted = first + r->piece < longest ? post_piece(r, values, borders, first + r->piece, !turn) : 0;
        wait_all(requests, now);
        const int64_t left = length - first;
        if (left > 0) {
            add_piece(r, mine + first, left < r->piece ? left : r->piece, turn);
        }
    }
}

static void all_gather(struct fs_comm *comm, float *values, const int64_t *borders)
{
    struct ranks *r = ranks_of(comm);
    const int me = comm->rank, size = comm->size;
    const int64_t most = (int64_t)(BYTES_MAX / sizeof(float));
    int64_t longest = 0;
    for (int k = 0; k < size; k++) {
        const int64_t part = borders[k + 1] - borders[k];
        longest = part > longest ? part : longest;
    }
    for (int64_t first = 0; first < longest; first += most) {
        int count = 0;
        for (int k = 1; k < size; k++) {
            const int from = (me + size - k) % size, to = (me + k) % size;
            const int64_t mine = borders[me + 1] - borders[me] - first,
                          theirs = borders[from + 1] - borders[from] - first;
            if (theirs > 0) {
                MPI_Irecv(values + borders[from] + first, (int)(theirs < most ? theirs : most), MPI_FLOAT, from, TAG,
                          r->world, &r->requests[count++]);
            }
            if (mine > 0) {
                MPI_Isend(values + borders[me] + first, (int)(mine < most ? mine : most), MPI_FLOAT, to, TAG, r->world,
                          &r->requests[count++]);
            }
        }
        wait_all(r->requests, count);
    }
}

static void broadcast(struct fs_comm *comm, int root, void *bytes, size_t size)
{
    struct ranks *r = ranks_of(comm);
    for (size_t first = 0; first < size; first += BYTES_MAX) {
        const size_t n = size - first < BYTES_MAX ? size - first : BYTES_MAX;
        MPI_Ibcast((char *)bytes + first, (int)n, MPI_BYTE, root, r->world, r->requests);
        wait_all(r->requests, 1);
    }
}

static void gather(struct fs_comm *comm, const void *mine, void *all, const size_t *sizes)
{
    struct ranks *r = ranks_of(comm);
    size_t longest = 0;
    for (int k = 0; k < comm->size; k++) {
        longest = sizes[k] > longest ? sizes[k] : longest;
    }
    if (comm->rank == 0 && mine != all && sizes[0] > 0) {
        memcpy(all, mine, sizes[0]);
    }
    for (size_t first = 0; first < longest; first += BYTES_MAX) {
        int count = 0;
        size_t at = sizes[0];
        for (int k = 1; k < comm->size; k++) {
            const size_t left = sizes[k] > first ? sizes[k] - first : 0, n = left < BYTES_MAX ? left : BYTES_MAX;
            if (n > 0 && comm->rank == 0) {
                MPI_Irecv((char *)all + at + first, (int)n, MPI_BYTE, k, TAG, r->world, &r->requests[count++]);
            } else if (n > 0 && comm->rank == k) {
                MPI_Isend((const char *)mine + first, (int)n, MPI_BYTE, 0, TAG, r->world, &r->requests[count++]);
            }
            at += sizes[k];
        }
        wait_all(r->requests, count);
    }
}

static void abort_all(struct fs_comm *comm, int status)
{
    fflush(NULL);
    MPI_Abort(ranks_of(comm)->world, status);
    abort(); /* not reached */
}

static void destroy(struct ranks *r)
{
    free(r->arrived[0]);
    free(r->arrived[1]);
    free(r->requests);
    free(r);
}

static void close_all(struct fs_comm *comm)
{
    struct ranks *r = ranks_of(comm);
    MPI_Ibarrier(r->world, r->requests);
    wait_all(r->requests, 1);
    MPI_Finalize();
    destroy(r);
}

/* Other machines have other names; ranks of one machine share its memory. */
static void find_neighbours(struct ranks *r)
{
    MPI_Comm here;
    MPI_Comm_split_type(r->world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
    MPI_Comm_rank(here, &r->comm.local_rank);
    MPI_Comm_size(here, &r->comm.local_size);
    MPI_Comm_free(&here);
}

static void name_library(struct ranks *r)
{
    int length = 0;
    MPI_Get_library_version(r->name, &length);
    r->name[strcspn(r->name, ",\n")] = '\0'; /* "Open MPI v4.1.4, package: …" */
}

struct fs_comm *fs_comm_mpi(void)
{
    int began = 0;
    MPI_Initialized(&began);
    int level; /* other threads of the program never come here */
    if (!began && MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) {
        return NULL;
    }
    struct ranks *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->world = MPI_COMM_WORLD;
    MPI_Comm_rank(r->world, &r->comm.rank);
    MPI_Comm_size(r->world, &r->comm.size);
    const int64_t size = r->comm.size;
    r->piece = ROOM_MAX / 2 / size < PIECE_MAX ? ROOM_MAX / 2 / size : PIECE_MAX;
    r->arrived[0] = malloc((size_t)(size * r->piece) * sizeof(float));
    r->arrived[1] = malloc((size_t)(size * r->piece) * sizeof(float));
    r->requests = calloc((size_t)(4 * size), sizeof(MPI_Request));
    if (r->arrived[0] == NULL || r->arrived[1] == NULL || r->requests == NULL) {
        destroy(r);
        return NULL;
    }
    name_library(r);
    find_neighbours(r);
    const struct fs_comm table = {
        .abi = FS_COMM_ABI,
        .name = r->name,
        .rank = r->comm.rank,
        .size = r->comm.size,
        .local_rank = r->comm.local_rank,
        .local_size = r->comm.local_size,
        .state = r,
        .reduce_scatter = reduce_scatter,
        .all_gather = all_gather,
        .broadcast = broadcast,
        .gather = gather,
        .abort = abort_all,
        .close = close_all,
    };
    r->comm = table;
    return &r->comm;
}
