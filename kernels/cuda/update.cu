/* An update kept as a CUDA graph. The first one with a key is a rehearsal: it runs as it comes, so plans are made and
 * scratch memory has grown. The second is captured, instantiated and launched. From then on its operations are only
 * compared with what was kept (their names, and what they are given), what it uploads goes into pinned memory that the
 * graph copies from, and the end launches the graph: one call instead of some thousand. Numbers that change from update
 * to update travel the same way (fs_cuda_numbers). A few keys are kept beside each other, each with a graph and pinned
 * memory of its own; the one that was not used for the longest time gives way. Whatever does not fit (no capture on
 * this device, another sequence of operations, memory that moved) means that nothing of the update was done: update_end
 * says so, the caller does it once more, and no graph is used again. */
#include "kernels/cuda/cuda.h"

#define ALIGNMENT ((size_t)16)
#define RING_BYTES ((size_t)8 << 20) /* of the pinned ring; a multiple of the alignment */

/* --- what operations tell --- */

void fs_cuda_identify(struct fs_cuda *cuda, uint64_t value)
{
    uint64_t mixed = (cuda->update.sequence ^ value) * 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio: odd */
    cuda->update.sequence = mixed ^ (mixed >> 32);
}

void fs_cuda_count(struct fs_cuda *cuda, const char *operation)
{
    for (const char *c = operation; *c != '\0'; c++) {
        fs_cuda_identify(cuda, (uint64_t)(unsigned char)*c);
    }
    fs_cuda_identify(cuda, 0xff);
}

void fs_cuda_disturb(struct fs_cuda *cuda)
{
    cuda->update.moved = true;
}

/* Outside of graphs: the caller refills its memory as soon as this returns, and a copy from memory that is not pinned
 * may come later than that (where device and host share their page tables, it reads it when its turn comes). So it goes
 * through a ring of pinned memory, a piece at a time; where the ring is full, the device has to catch up. */
static bool put_at_once(struct fs_cuda *cuda, char *device, const char *host, size_t bytes)
{
    struct fs_cuda_update *update = &cuda->update;
    if (update->ring == NULL) {
        return FS_CUDA_CHECK(cuda, cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, cuda->stream)) &&
               FS_CUDA_CHECK(cuda, fs_cuda_wait(cuda));
    }
    while (bytes > 0) {
        if (update->ring_used >= RING_BYTES) {
            if (!FS_CUDA_CHECK(cuda, fs_cuda_wait(cuda))) {
                return false;
            }
            update->ring_used = 0;
        }
        char *piece = update->ring + update->ring_used;
        const size_t left = RING_BYTES - update->ring_used, count = bytes < left ? bytes : left;
        memcpy(piece, host, count);
        if (!FS_CUDA_CHECK(cuda, cudaMemcpyAsync(device, piece, count, cudaMemcpyHostToDevice, cuda->stream))) {
            return false;
        }
        update->ring_used += (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        device += count;
        host += count;
        bytes -= count;
    }
    return true;
}

bool fs_cuda_put(struct fs_cuda *cuda, void *device, const void *host, size_t bytes)
{
    struct fs_cuda_update *update = &cuda->update;
    const size_t room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, at = update->staged;
    update->staged += room;
    if (update->mode != FS_UPDATE_CAPTURE && update->mode != FS_UPDATE_REPLAY) {
        return put_at_once(cuda, (char *)device, (const char *)host, bytes);
    }
    char *staging = update->current->staging + at;
    if (update->staged > update->current->staging_bytes) {
        update->moved = true;
        return false;
    }
    memcpy(staging, host, bytes);
    return update->mode == FS_UPDATE_REPLAY ||
           FS_CUDA_CHECK(cuda, cudaMemcpyAsync(device, staging, bytes, cudaMemcpyHostToDevice, cuda->stream));
}

void *fs_cuda_numbers(struct fs_cuda *cuda, const void *host, size_t bytes)
{
    struct fs_cuda_update *update = &cuda->update;
    return fs_cuda_put(cuda, update->numbers, host, bytes) && update->mode != FS_UPDATE_REPLAY ? update->numbers : NULL;
}

/* --- the graph --- */

/* From now on updates run as they come, and the backend's notice says why. */
static void give_up(struct fs_backend *backend, const char *why)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    cuda->update.off = true;
    snprintf(cuda->notice, sizeof cuda->notice, "cuda: updates are not run as a graph, which may be slower: %.100s",
             why);
    backend->notice = cuda->notice;
}

static void forget(struct fs_cuda_kept *kept)
{
    if (kept->graph != NULL) {
        cudaGraphExecDestroy(kept->graph);
    }
    kept->graph = NULL;
    kept->rehearsed = false;
    kept->used = 0;
}

static void forget_all(struct fs_cuda_update *update)
{
    for (struct fs_cuda_kept &kept : update->kept) {
        forget(&kept);
    }
}

void fs_cuda_forget_update(struct fs_cuda *cuda)
{
    forget_all(&cuda->update);
}

static void free_staging(struct fs_cuda_kept *kept)
{
    if (kept->staging != NULL) {
        cudaFreeHost(kept->staging);
    }
    kept->staging = NULL;
    kept->staging_bytes = 0;
}

/* Staging memory for what the rehearsal uploaded; false when there is none. */
static bool take_staging(struct fs_cuda *cuda, struct fs_cuda_kept *kept, size_t bytes)
{
    if (kept->launched == NULL && cudaEventCreateWithFlags(&kept->launched, cudaEventDisableTiming) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    if (kept->staging_bytes < bytes) {
        void *memory = NULL;
        if (!FS_CUDA_CHECK(cuda, fs_cuda_wait(cuda))) { /* an earlier graph may still read it */
            return false;
        }
        free_staging(kept);
        if (cudaMallocHost(&memory, bytes) != cudaSuccess) {
            (void)cudaGetLastError();
            return false;
        }
        kept->staging = (char *)memory;
        kept->staging_bytes = bytes;
    }
    return true;
}

/* What is kept with this key, or a place for it. */
static struct fs_cuda_kept *find_kept(struct fs_cuda_update *update, uint64_t key)
{
    struct fs_cuda_kept *oldest = update->kept;
    for (struct fs_cuda_kept &kept : update->kept) {
        if (kept.used > 0 && kept.key == key) {
            return &kept;
        }
        oldest = kept.used < oldest->used ? &kept : oldest;
    }
    forget(oldest);
    oldest->key = key;
    return oldest;
}

static void update_begin(struct fs_backend *backend, uint64_t key)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    struct fs_cuda_update *update = &cuda->update;
    update->mode = FS_UPDATE_NONE;
    update->sequence = update->staged = 0;
    if (update->off || cuda->fault.status != FS_OK) {
        return;
    }
    if (update->moved) {
        forget_all(update);
    }
    update->moved = false;
    update->current = find_kept(update, key);
    update->current->used = ++update->begun;
    if (!update->current->rehearsed) {
        update->mode = FS_UPDATE_REHEARSE;
    } else if (!FS_CUDA_CHECK(cuda, cuda->exchange != NULL ? fs_cuda_wait(cuda)
                                                           : cudaEventSynchronize(update->current->launched))) {
        /* a launch may still read the staging */
        return;
    } else if (update->current->graph != NULL) {
        update->mode = FS_UPDATE_REPLAY;
    } else if (cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
        update->mode = FS_UPDATE_CAPTURE;
    } else { /* and this update runs as it comes */
        char why[96];
        snprintf(why, sizeof why, "the stream cannot be captured (%s)", cudaGetErrorString(cudaGetLastError()));
        give_up(backend, why);
    }
}

/* Ends a capture: whether it is the update that was rehearsed and can be launched. */
static bool instantiate(struct fs_cuda *cuda)
{
    struct fs_cuda_update *update = &cuda->update;
    cudaGraph_t captured = NULL;
    bool good = cudaStreamEndCapture(cuda->stream, &captured) == cudaSuccess && captured != NULL && !update->moved &&
                update->sequence == update->current->expected && cuda->fault.status == FS_OK;
    good = good && cudaGraphInstantiate(&update->current->graph, captured, 0) == cudaSuccess;
    if (captured != NULL) {
        cudaGraphDestroy(captured);
    }
    return good;
}

static bool update_end(struct fs_backend *backend)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    struct fs_cuda_update *update = &cuda->update;
    struct fs_cuda_kept *kept = update->current;
    const enum fs_cuda_update_mode mode = update->mode;
    update->mode = FS_UPDATE_NONE;
    if (mode == FS_UPDATE_REHEARSE) {
        kept->expected = update->sequence;
        kept->rehearsed = cuda->fault.status == FS_OK && !update->moved && take_staging(cuda, kept, update->staged);
        if (cuda->fault.status == FS_OK && !update->moved && !kept->rehearsed) {
            give_up(backend, "there is no pinned host memory for what it uploads");
        }
        return true;
    }
    if (mode != FS_UPDATE_CAPTURE && mode != FS_UPDATE_REPLAY) {
        return true;
    }
    const bool was_good = cuda->fault.status == FS_OK;
    const bool good = mode == FS_UPDATE_CAPTURE ? instantiate(cuda)
                                                : was_good && !update->moved && update->sequence == kept->expected;
    if (good) {
        cuda->operation = "an update's graph";
        if (FS_CUDA_CHECK(cuda, cudaGraphLaunch(kept->graph, cuda->stream))) {
            FS_CUDA_CHECK(cuda, cudaEventRecord(kept->launched, cuda->stream));
        }
        return true;
    }
    const char *why = !was_good                            ? cuda->fault.text
                      : update->moved                      ? "memory moved, or was waited for, within an update"
                      : update->sequence != kept->expected ? "an update differs from the one before it"
                      : cuda->fault.status != FS_OK        ? cuda->fault.text
                                                           : "the capture cannot be made into a graph";
    give_up(backend, why);
    forget_all(update);
    (void)cudaGetLastError(); /* of the capture */
    cuda->fault.status = FS_OK;
    return false;
}

/* --- life --- */

fs_status fs_cuda_start_update(struct fs_cuda *cuda, struct fs_error *error)
{
    const cudaError_t status = cudaMalloc(&cuda->update.numbers, FS_CUDA_NUMBERS);
    if (status != cudaSuccess) {
        (void)cudaGetLastError();
        return fs_fail(error, FS_FAILED, "cuda: no device memory to start with: %s", cudaGetErrorString(status));
    }
    void *ring = NULL;
    if (cudaMallocHost(&ring, RING_BYTES) != cudaSuccess) {
        (void)cudaGetLastError(); /* then each upload is waited for */
        ring = NULL;
    }
    cuda->update.ring = (char *)ring;
    return FS_OK;
}

void fs_cuda_end_update(struct fs_cuda *cuda)
{
    forget_all(&cuda->update);
    if (cuda->stream != NULL) {
        cudaStreamSynchronize(cuda->stream); /* a copy may still read pinned memory */
    }
    for (struct fs_cuda_kept &kept : cuda->update.kept) {
        free_staging(&kept);
        if (kept.launched != NULL) {
            cudaEventDestroy(kept.launched);
        }
    }
    if (cuda->update.ring != NULL) {
        cudaFreeHost(cuda->update.ring);
    }
    cudaFree(cuda->update.numbers);
}

void fs_cuda_install_update(struct fs_backend *backend)
{
    backend->update_begin = update_begin;
    backend->update_end = update_end;
}
