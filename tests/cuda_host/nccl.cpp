/* NCCL's calls that the backend makes, between processes of one machine that share a piece of memory: messages go
 * through a box for each pair of ranks, a piece at a time. After NCCL's documentation; what it refuses is refused here,
 * and what would hang there never ends here, until the communicator is aborted. */
#include "kernels/cuda/nccl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <vector>

#include "tests/cuda_host/device.hpp"

#define WORLDS 16 /* communicators that the processes make, one after the other */
#define RANKS 4
#define PIECE 1024 /* numbers of a box: less than a message, so that sender and receiver take turns */
#define MAGIC 0x6e63636cu

struct box {
    std::atomic<size_t> full; /* numbers in it */
    size_t total;             /* of its message */
    float numbers[PIECE];
};

struct world {
    std::atomic<int> here;
    pid_t processes[RANKS];
    int devices[RANKS];
    struct box boxes[RANKS][RANKS]; /* [from][to] */
};

struct shared {
    std::atomic<int> ids;
    std::atomic<int> groups[RANKS];
    int numbers[2];
    struct world worlds[WORLDS];
};

static struct shared *shared;

/* One side of a message. */
struct message {
    bool out;
    float *buffer;
    size_t count, moved;
    int peer;
};

struct ncclComm {
    unsigned magic;
    struct world *world;
    int rank, size;
    std::shared_ptr<bool> aborted; /* also held by work that is on its way, and by graphs */
};

static struct {
    bool open;
    std::vector<struct message> messages;
    ncclComm_t comm;
    cudaStream_t stream;
    int count;
} group;

static char last_error[256];

extern "C" void cuda_host_share(void)
{
    void *memory = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = memory != MAP_FAILED ? (struct shared *)memory : NULL; /* zeros: empty boxes */
}

extern "C" int *cuda_host_shared_numbers(void)
{
    return shared->numbers;
}

extern "C" int cuda_host_nccl_groups_of(int rank)
{
    return shared->groups[rank];
}

extern "C" int cuda_host_nccl_groups(void)
{
    return group.count;
}

bool fs_nccl_open(char *reason, size_t size)
{
    if (shared == NULL || cuda_host.no_nccl) {
        snprintf(reason, size, "NCCL is not here: the test has none");
        return false;
    }
    return true;
}

/* What NCCL says, and what the test is told. */
static ncclResult_t refuse(ncclResult_t result, const char *why)
{
    snprintf(last_error, sizeof last_error, "%s", why);
    device_fault(cudaErrorInvalidValue, "NCCL refuses: %s", why);
    return result;
}

#define ncclSystemError ((ncclResult_t)2)
#define ncclInvalidArgument ((ncclResult_t)4)
#define ncclInvalidUsage ((ncclResult_t)5)

static bool is_alive(ncclComm_t comm)
{
    return comm != NULL && comm->magic == MAGIC;
}

static bool gone(const struct world *world, int rank)
{
    return kill(world->processes[rank], 0) != 0 && errno == ESRCH;
}

/* --- messages --- */

/* Moves what can be moved of one; whether anything was. */
static bool move(struct world *world, int rank, struct message *m)
{
    struct box *box = m->out ? &world->boxes[rank][m->peer] : &world->boxes[m->peer][rank];
    const size_t full = box->full.load(std::memory_order_acquire);
    if (m->moved == m->count || (full == 0) != m->out) {
        return false;
    }
    const size_t left = m->count - m->moved, n = m->out ? (left < PIECE ? left : PIECE) : full;
    if (!m->out && box->total != m->count) {
        device_fault(cudaErrorInvalidValue, "ncclRecv of %zu numbers, and %zu come", m->count, box->total);
        return false;
    }
    device_open();
    if (m->out) {
        memcpy(box->numbers, m->buffer + m->moved, n * sizeof(float));
        box->total = m->count;
    } else {
        memcpy(m->buffer + m->moved, box->numbers, n * sizeof(float));
    }
    device_close();
    box->full.store(m->out ? n : 0, std::memory_order_release);
    m->moved += n;
    return true;
}

/* The work of a group on its stream. */
static cudaError_t move_all(struct world *world, int rank, const std::shared_ptr<bool> &aborted,
                            const std::shared_ptr<std::vector<struct message>> &messages)
{
    bool done = true, moved = false, hopeless = false;
    for (struct message &m : *messages) {
        while (!*aborted && move(world, rank, &m)) {
            moved = true;
        }
        done = done && m.moved == m.count;
        hopeless = hopeless || (m.moved < m.count && gone(world, m.peer));
    }
    if (done || *aborted) {
        for (struct message &m : *messages) { /* for the next launch of a graph */
            m.moved = 0;
        }
        return cudaSuccess;
    }
    return hopeless && !moved ? device_never : cudaErrorNotReady;
}

static ncclResult_t add(bool out, float *buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                        cudaStream_t stream)
{
    if (!is_alive(comm) || !device_has_stream(stream)) {
        return refuse(ncclInvalidArgument, "no communicator, or no stream");
    }
    if (peer < 0 || peer >= comm->size || type != ncclFloat32 || !device_owns(buffer, count * sizeof(float))) {
        return refuse(ncclInvalidArgument, "a peer that there is not, or a buffer outside device memory");
    }
    if (!group.open || peer == comm->rank) {
        return refuse(ncclInvalidUsage, "a message that waits for ever: outside of a group, or to itself");
    }
    if (!group.messages.empty() && (group.comm != comm || group.stream != stream)) {
        return refuse(ncclInvalidUsage, "a group on two streams or communicators");
    }
    group.messages.push_back({out, buffer, count, 0, peer});
    group.comm = comm;
    group.stream = stream;
    return ncclSuccess;
}

ncclResult_t ncclSend(const void *buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return add(true, (float *)buffer, count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void *buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream)
{
    return add(false, (float *)buffer, count, type, peer, comm, stream);
}

ncclResult_t ncclGroupStart(void)
{
    if (group.open) {
        return refuse(ncclInvalidUsage, "a group within a group");
    }
    group.open = true;
    group.messages.clear();
    return ncclSuccess;
}

/* On its stream: later, or when a graph is launched. */
static cudaError_t enqueue(cudaStream_t stream, struct world *world, int rank, const std::shared_ptr<bool> &aborted,
                           const std::shared_ptr<std::vector<struct message>> &messages)
{
    if (device_records(stream, [=] { return enqueue(stream, world, rank, aborted, messages); })) {
        return cudaSuccess;
    }
    return move_all(world, rank, aborted, messages);
}

ncclResult_t ncclGroupEnd(void)
{
    if (!group.open) {
        return refuse(ncclInvalidUsage, "the end of no group");
    }
    group.open = false;
    group.count++;
    if (group.comm != NULL) {
        shared->groups[group.comm->rank]++;
    }
    if (device_fails_now(&cuda_host.end_at_nccl)) {
        _exit(CUDA_HOST_ENDED);
    }
    if (device_fails_now(&cuda_host.fail_nccl)) {
        snprintf(last_error, sizeof last_error, "the test asked for it");
        return ncclSystemError;
    }
    if (!group.messages.empty()) {
        enqueue(group.stream, group.comm->world, group.comm->rank, group.comm->aborted,
                std::make_shared<std::vector<struct message>>(group.messages));
    }
    return ncclSuccess;
}

/* --- communicators --- */

ncclResult_t ncclGetVersion(int *version)
{
    *version = 22809;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    return result == ncclSuccess           ? "no error"
           : result == ncclSystemError     ? "unhandled system error"
           : result == ncclInvalidArgument ? "invalid argument"
           : result == ncclInvalidUsage    ? "invalid usage"
           : result == ncclRemoteError     ? "remote process exited or there was a network error"
                                           : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t)
{
    return last_error;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    const int world = shared->ids++;
    memset(id->internal, 0, sizeof id->internal);
    snprintf(id->internal, sizeof id->internal, "world %d", world);
    return world < WORLDS ? ncclSuccess : ncclSystemError;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank)
{
    int number = -1;
    if (sscanf(id.internal, "world %d", &number) != 1 || number < 0 || number >= shared->ids || size < 1 ||
        size > RANKS || rank < 0 || rank >= size) {
        return refuse(ncclInvalidArgument, "an id that ncclGetUniqueId did not give, or a rank out of range");
    }
    struct world *const world = &shared->worlds[number];
    world->processes[rank] = getpid();
    world->devices[rank] = cuda_host_device();
    world->here++;
    for (int waits = 0; world->here < size; waits++) {
        if (waits > 600000) {
            return refuse(ncclSystemError, "a rank does not come");
        }
        usleep(100);
    }
    for (int k = 0; k < size; k++) {
        if (k != rank && world->devices[k] == world->devices[rank]) {
            snprintf(last_error, sizeof last_error,
                     "Duplicate GPU detected : rank %d and rank %d both on CUDA device %d", rank, k, world->devices[k]);
            return ncclInvalidUsage;
        }
    }
    *comm = new ncclComm{MAGIC, world, rank, size, std::make_shared<bool>(false)};
    return ncclSuccess;
}

static ncclResult_t end(ncclComm_t comm)
{
    comm->magic = 0;
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    if (!is_alive(comm) || comm->aborted.use_count() > 1) {
        return refuse(ncclInvalidArgument, "the end of no communicator, or of one that a graph or a stream still uses");
    }
    return end(comm);
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    if (!is_alive(comm)) {
        return refuse(ncclInvalidArgument, "the end of no communicator");
    }
    *comm->aborted = true;
    return end(comm);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    if (!is_alive(comm)) {
        return refuse(ncclInvalidArgument, "no communicator");
    }
    *error = ncclSuccess;
    for (int k = 0; cuda_host.nccl_sees_ends && k < comm->size; k++) {
        *error = gone(comm->world, k) ? ncclRemoteError : *error;
    }
    return ncclSuccess;
}
