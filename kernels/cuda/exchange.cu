/* What ranks exchange on their devices, by NCCL, on a stream beside the backend's.
 *
 * Sums. Of n numbers each rank adds a slice: it receives that slice of all others, adds in the order of ranks, and
 * sends the sums to them. NCCL only moves numbers, point to point, so neither its algorithm and protocol nor the
 * machine's topology has a say in the bits, which are those of the way through the host (harness/comm/mpi/mpi.c). A
 * rank sends and receives 2·n·(N − 1)/N numbers, as a ring's all-reduce does. Order. An event of the backend's stream
 * says from when on the numbers are there, one of this stream when the sums are: in a captured update both are edges of
 * its graph. Faults. The others wait for this rank's part even where one of its operations has failed, so these go on
 * after a fault as long as the device does; what was exchanged is then worth nothing, and the ranks tell each other so
 * by other means. Where the exchange itself fails, it is broken off (ncclCommAbort) and fs_cuda_wait does not wait for
 * it. */
#include "kernels/cuda/device.cuh"

#include <stdlib.h>
#include <time.h>

#include "kernels/cuda/nccl.h"

extern "C" {
#include "kernels/base/clock.h"
#include "kernels/base/memory.h"
}

#define OLDEST 21800      /* 2.18: sends and receives are captured */
#define TIMEOUT 600.0     /* seconds that the others may take for their part of an update */
#define SPINS 20000       /* questions before a wait lets others have the core */
#define ASK_NCCL_EVERY 64 /* questions */

static_assert(NCCL_UNIQUE_ID_BYTES == FS_EXCHANGE_ID, "an id is NCCL's");

struct fs_exchange {
    ncclComm_t comm; /* NULL: broken off */
    cudaStream_t stream;
    cudaEvent_t given, done; /* on the backend's stream: the numbers are there; on this one: the sums are */
    int rank, size;
    bool under_way; /* and not joined yet */
    double timeout;
    struct fs_error reason; /* why it was broken off */
};

/* --- faults --- */

static void break_off(struct fs_cuda *cuda, const char *why)
{
    struct fs_exchange *exchange = cuda->exchange;
    fs_fail(&exchange->reason, FS_FAILED, "cuda: the exchange between the ranks (NCCL): %s", why);
    if (cuda->fault.status == FS_OK) {
        cuda->fault = exchange->reason;
    }
    ncclCommAbort(exchange->comm);
    exchange->comm = NULL;
}

static void break_off_for(struct fs_cuda *cuda, ncclResult_t result)
{
    char why[512];
    const char *more = ncclGetLastError(cuda->exchange->comm);
    snprintf(why, sizeof why, "%s%s%.400s", ncclGetErrorString(result), more != NULL && more[0] != '\0' ? ": " : "",
             more != NULL ? more : "");
    break_off(cuda, why);
}

/* Whether the exchange goes on. */
static bool check(struct fs_cuda *cuda, ncclResult_t result)
{
    if (cuda->exchange->comm != NULL && result != ncclSuccess) {
        break_off_for(cuda, result);
    }
    return cuda->exchange->comm != NULL;
}

/* The same for CUDA: a device that does not take these calls takes none. */
static bool check(struct fs_cuda *cuda, cudaError_t status)
{
    if (cuda->exchange->comm != NULL && status != cudaSuccess) {
        break_off(cuda, cudaGetErrorString(status));
    }
    return cuda->exchange->comm != NULL;
}

/* What NCCL's own threads have seen of the other ranks, and the clock. */
static void look_around(struct fs_cuda *cuda, double begin)
{
    struct fs_exchange *exchange = cuda->exchange;
    ncclResult_t seen = ncclSuccess;
    if (!check(cuda, ncclCommGetAsyncError(exchange->comm, &seen))) {
        return;
    }
    if (seen != ncclSuccess && seen != ncclInProgress) {
        break_off_for(cuda, seen);
    } else if (fs_seconds() - begin > exchange->timeout) {
        char why[128];
        snprintf(why, sizeof why, "another rank has not done its part for %g s (FEWSTEP_NCCL_TIMEOUT)",
                 exchange->timeout);
        break_off(cuda, why);
    }
}

cudaError_t fs_cuda_wait(struct fs_cuda *cuda)
{
    const double begin = fs_seconds();
    for (int64_t i = 0; cuda->exchange != NULL && cuda->exchange->comm != NULL; i++) {
        const cudaError_t status = cudaStreamQuery(cuda->stream);
        if (status != cudaErrorNotReady) {
            return status;
        }
        (void)cudaGetLastError(); /* which remembers even that */
        if (i % ASK_NCCL_EVERY == 0) {
            look_around(cuda, begin);
        }
        if (i > SPINS) {
            const struct timespec pause = {0, 50000};
            nanosleep(&pause, NULL);
        }
    }
    return cudaStreamSynchronize(cuda->stream);
}

/* --- the operations --- */

/* The exchange, where the operation is to be done now. */
static struct fs_exchange *begin(struct fs_backend *backend, const char *operation, bool fits)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    const struct fs_cuda_update *update = &cuda->update;
    if (cuda->fault.status == FS_OK) {
        cuda->operation = operation;
        if (!fits) {
            fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: the shapes or types of its operands do not fit each other",
                    operation);
        }
    }
    fs_cuda_count(cuda, operation);
    const bool given_up = update->mode == FS_UPDATE_CAPTURE && (update->moved || cuda->fault.status != FS_OK),
               now = update->mode != FS_UPDATE_REPLAY && !given_up;
    return fits && now && cuda->exchange->comm != NULL ? cuda->exchange : NULL;
}

static int size_of(struct fs_backend *backend)
{
    const struct fs_cuda *cuda = (const struct fs_cuda *)backend->state;
    return cuda->exchange != NULL ? cuda->exchange->size : 0;
}

/* The exchange's stream goes on from where the backend's is. */
static bool fork(struct fs_cuda *cuda)
{
    struct fs_exchange *exchange = cuda->exchange;
    exchange->under_way = true;
    return check(cuda, cudaEventRecord(exchange->given, cuda->stream)) &&
           check(cuda, cudaStreamWaitEvent(exchange->stream, exchange->given, 0));
}

static void join(struct fs_cuda *cuda)
{
    struct fs_exchange *exchange = cuda->exchange;
    if (exchange->under_way && exchange->comm != NULL) {
        exchange->under_way = false;
        if (check(cuda, cudaEventRecord(exchange->done, exchange->stream))) {
            check(cuda, cudaStreamWaitEvent(cuda->stream, exchange->done, 0));
        }
    }
}

static void exchange_join(struct fs_backend *backend)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    fs_cuda_count(cuda, "exchange_join");
    if (cuda->update.mode != FS_UPDATE_REPLAY && cuda->exchange != NULL) {
        join(cuda);
    }
}

/* Numbers that go to another rank or come from it. */
struct part {
    float *numbers;
    int64_t count;
};

/* out(rank) goes to each of the others and in(rank) comes from it, all at once. */
template <class Out, class In> static bool swap(struct fs_cuda *cuda, const Out &out, const In &in)
{
    const struct fs_exchange *exchange = cuda->exchange;
    const int size = exchange->size;
    bool good = check(cuda, ncclGroupStart());
    for (int k = 1; good && k < size; k++) {
        const int to = (exchange->rank + k) % size, from = (exchange->rank + size - k) % size;
        const struct part sent = out(to), received = in(from);
        good = sent.count == 0 || check(cuda, ncclSend(sent.numbers, (size_t)sent.count, ncclFloat32, to,
                                                       exchange->comm, exchange->stream));
        good =
            good && (received.count == 0 || check(cuda, ncclRecv(received.numbers, (size_t)received.count, ncclFloat32,
                                                                 from, exchange->comm, exchange->stream)));
    }
    return good && check(cuda, ncclGroupEnd());
}

/* sums[i] ← ((rank 0's + rank 1's) + …), this rank's numbers being there already and the others' `step` apart. */
static __global__ void __launch_bounds__(FS_THREADS)
    add_slices(float *sums, const float *others, int64_t step, int64_t count, int rank, int size)
{
    const int64_t i = (int64_t)blockIdx.x * FS_THREADS + threadIdx.x;
    if (i >= count) {
        return;
    }
    float sum = rank == 0 ? sums[i] : others[i];
    for (int k = 1; k < size; k++) {
        sum += k == rank ? sums[i] : others[k * step + i];
    }
    sums[i] = sum;
}

static void exchange_sum(struct fs_backend *backend, struct fs_view values, struct fs_view room)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    const int size = size_of(backend);
    struct fs_exchange *exchange =
        begin(backend, "exchange_sum", size > 0 && fs_exchange_sum_fits(backend, size, values, room));
    if (exchange == NULL || !fork(cuda)) {
        return;
    }
    const int64_t piece = FS_EXCHANGE_PIECE,
                  step = ((values.cols + size - 1) / size + piece - 1) / piece * piece; /* of the slices */
    float *const numbers = (float *)values.data, *const others = (float *)room.data;
    const auto slice = [=](int rank) -> struct part {
        const int64_t first = min(rank * step, values.cols);
        return {numbers + first, min(step, values.cols - first)};
    };
    const struct part mine = slice(exchange->rank);
    if (!swap(
            cuda, slice, [=](int rank) -> struct part {
                return {others + rank * step, mine.count};
            })) {
        return;
    }
    const int64_t blocks = (mine.count + FS_THREADS - 1) / FS_THREADS;
    if (blocks > 0) {
        FS_LAUNCH_ON(exchange->stream, add_slices, blocks, FS_THREADS, mine.numbers, others, step, mine.count,
                     exchange->rank, size);
        if (!check(cuda, cudaGetLastError())) {
            return;
        }
    }
    swap(
        cuda, [=](int) { return mine; }, slice);
}

static void exchange_gather(struct fs_backend *backend, struct fs_view values, const int64_t *borders)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    const int size = size_of(backend);
    struct fs_exchange *exchange =
        begin(backend, "exchange_gather", size > 0 && fs_exchange_gather_fits(backend, size, values, borders));
    if (exchange == NULL || !fork(cuda)) {
        return;
    }
    const auto part_of = [=](int rank) -> struct part {
        return {(float *)values.data + borders[rank], borders[rank + 1] - borders[rank]};
    };
    const struct part mine = part_of(exchange->rank);
    if (swap(
            cuda, [=](int) { return mine; }, part_of)) {
        join(cuda);
    }
}

/* --- life --- */

static double timeout(void)
{
    const char *text = getenv("FEWSTEP_NCCL_TIMEOUT");
    const double seconds = text != NULL ? strtod(text, NULL) : 0;
    return seconds > 0 ? seconds : TIMEOUT;
}

/* What the training's user is told, beside the error. */
static fs_status refuse(struct fs_backend *backend, const char *why, struct fs_error *error)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    snprintf(cuda->notice, sizeof cuda->notice, "cuda: gradients go through the host's memory, which is slower: %.80s",
             why);
    backend->notice = cuda->notice;
    return fs_fail(error, FS_USAGE, "cuda: %s", why);
}

static fs_status exchange_prepare(struct fs_backend *backend, char *id, struct fs_error *error)
{
    const struct fs_cuda *cuda = (const struct fs_cuda *)backend->state;
    char reason[128];
    int version = 0;
    ncclUniqueId made;
    if (cuda->through_host) {
        return refuse(backend, "FEWSTEP_CUDA_RANKS=host", error);
    }
    if (!fs_nccl_open(reason, sizeof reason)) {
        return refuse(backend, reason, error);
    }
    if (ncclGetVersion(&version) != ncclSuccess || version < OLDEST) {
        snprintf(reason, sizeof reason, "NCCL has version %d, %d is the oldest that serves", version, OLDEST);
        return refuse(backend, reason, error);
    }
    if (id != NULL) {
        const ncclResult_t result = ncclGetUniqueId(&made);
        if (result != ncclSuccess) {
            snprintf(reason, sizeof reason, "NCCL makes no id: %.90s", ncclGetErrorString(result));
            return refuse(backend, reason, error);
        }
        memcpy(id, made.internal, sizeof made.internal);
    }
    return FS_OK;
}

static void destroy(struct fs_exchange *exchange)
{
    if (exchange->given != NULL) {
        cudaEventDestroy(exchange->given);
    }
    if (exchange->done != NULL) {
        cudaEventDestroy(exchange->done);
    }
    if (exchange->stream != NULL) {
        cudaStreamDestroy(exchange->stream);
    }
    free(exchange);
}

static fs_status exchange_open(struct fs_backend *backend, const char *id, int rank, int size, struct fs_error *error)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    struct fs_exchange *exchange =
        (struct fs_exchange *)fs_allocate(1, sizeof *exchange, "the exchange between the ranks", error);
    if (exchange == NULL) {
        return error->status;
    }
    exchange->rank = rank;
    exchange->size = size;
    exchange->timeout = timeout();
    if (cudaStreamCreateWithFlags(&exchange->stream, cudaStreamNonBlocking) != cudaSuccess ||
        cudaEventCreateWithFlags(&exchange->given, cudaEventDisableTiming) != cudaSuccess ||
        cudaEventCreateWithFlags(&exchange->done, cudaEventDisableTiming) != cudaSuccess) {
        (void)cudaGetLastError();
        destroy(exchange);
        return fs_fail(error, FS_FAILED, "cuda: there is no stream for the exchange between the ranks");
    }
    ncclUniqueId given;
    memcpy(given.internal, id, sizeof given.internal);
    const ncclResult_t result = ncclCommInitRank(&exchange->comm, size, given, rank);
    if (result != ncclSuccess) {
        char why[400];
        const char *more = ncclGetLastError(NULL);
        snprintf(why, sizeof why, "NCCL: %.380s", more != NULL && more[0] != '\0' ? more : ncclGetErrorString(result));
        (void)cudaGetLastError();
        destroy(exchange);
        return refuse(backend, why, error);
    }
    cuda->exchange = exchange;
    return FS_OK;
}

static void exchange_close(struct fs_backend *backend)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    if (cuda->exchange == NULL) {
        return;
    }
    fs_cuda_wait(cuda);
    fs_cuda_forget_update(cuda); /* a graph holds what belongs to the communicator */
    if (cuda->exchange->comm != NULL) {
        ncclCommDestroy(cuda->exchange->comm);
    }
    destroy(cuda->exchange);
    cuda->exchange = NULL;
}

static fs_status exchange_check(struct fs_backend *backend, struct fs_error *error)
{
    const struct fs_cuda *cuda = (const struct fs_cuda *)backend->state;
    if (cuda->exchange == NULL || cuda->exchange->comm != NULL) {
        return FS_OK;
    }
    *error = cuda->exchange->reason;
    return FS_FAILED;
}

void fs_cuda_install_exchange(struct fs_backend *backend)
{
    backend->exchange_prepare = exchange_prepare;
    backend->exchange_open = exchange_open;
    backend->exchange_close = exchange_close;
    backend->exchange_sum = FS_TOLD(exchange_sum);
    backend->exchange_join = exchange_join;
    backend->exchange_gather = FS_TOLD(exchange_gather);
    backend->exchange_check = exchange_check;
}
