/* An update kept as a CUDA graph. The first one with a key is a rehearsal: it runs as it comes, so plans are made and
 * scratch memory has grown. The second is captured, instantiated and launched. From then on its operations are only
 * counted, what it uploads goes into pinned memory that the graph copies from, and the end launches the graph: one call
 * instead of some thousand. Numbers that change from update to update travel the same way (fs_cuda_numbers).
 * Whatever does not fit (no capture on this device, another sequence of operations, memory that moved) means that
 * nothing of the update was done: update_end says so, the caller does it once more, and no graph is used again. */
#include "kernels/cuda/cuda.h"

#define ALIGNMENT ((size_t)16)

/* --- what operations tell --- */

void fs_cuda_count(struct fs_cuda *cuda, const char *operation)
{
    struct fs_cuda_update *update = &cuda->update;
    for (const char *c = operation; *c != '\0'; c++) {
        update->sequence = (update->sequence ^ (uint64_t)(unsigned char)*c) * 1099511628211u; /* FNV-1a */
    }
    update->sequence = (update->sequence ^ 0xff) * 1099511628211u;
}

void fs_cuda_disturb(struct fs_cuda *cuda)
{
    cuda->update.moved = true;
}

bool fs_cuda_put(struct fs_cuda *cuda, void *device, const void *host, size_t bytes)
{
    struct fs_cuda_update *update = &cuda->update;
    const size_t room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, at = update->staged;
    update->staged += room;
    if (update->mode == FS_UPDATE_CAPTURE || update->mode == FS_UPDATE_REPLAY) {
        if (update->staged > update->staging_bytes) {
            update->moved = true;
            return false;
        }
        memcpy(update->staging + at, host, bytes);
        host = update->staging + at;
    }
    return update->mode == FS_UPDATE_REPLAY ||
           FS_CUDA_CHECK(cuda, cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, cuda->stream));
}

void *fs_cuda_numbers(struct fs_cuda *cuda, const void *host, size_t bytes)
{
    struct fs_cuda_update *update = &cuda->update;
    return fs_cuda_put(cuda, update->numbers, host, bytes) && update->mode != FS_UPDATE_REPLAY ? update->numbers : NULL;
}

/* --- the graph --- */

static void forget(struct fs_cuda_update *update)
{
    if (update->graph != NULL) {
        cudaGraphExecDestroy(update->graph);
    }
    update->graph = NULL;
    update->rehearsed = false;
}

static void free_staging(struct fs_cuda_update *update)
{
    if (update->staging != NULL) {
        cudaFreeHost(update->staging);
    }
    update->staging = NULL;
    update->staging_bytes = 0;
}

/* Staging memory for what the rehearsal uploaded; false when there is none. */
static bool take_staging(struct fs_cuda_update *update)
{
    if (update->staging_bytes < update->staged) {
        free_staging(update);
        void *memory = NULL;
        if (cudaMallocHost(&memory, update->staged) != cudaSuccess) {
            (void)cudaGetLastError();
            return false;
        }
        update->staging = (char *)memory;
        update->staging_bytes = update->staged;
    }
    return true;
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
    if (update->moved || key != update->key) {
        forget(update);
    }
    update->key = key;
    update->moved = false;
    if (update->graph != NULL) {
        /* The launch before may still read the staging memory. */
        if (FS_CUDA_CHECK(cuda, cudaStreamSynchronize(cuda->stream))) {
            update->mode = FS_UPDATE_REPLAY;
        }
    } else if (!update->rehearsed) {
        update->mode = FS_UPDATE_REHEARSE;
    } else if (cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
        update->mode = FS_UPDATE_CAPTURE;
    } else {
        (void)cudaGetLastError();
        update->off = true; /* and this update runs as it comes */
    }
}

/* Ends a capture: whether it is the update that was rehearsed and can be launched. */
static bool instantiate(struct fs_cuda *cuda)
{
    struct fs_cuda_update *update = &cuda->update;
    cudaGraph_t captured = NULL;
    bool good = cudaStreamEndCapture(cuda->stream, &captured) == cudaSuccess && captured != NULL && !update->moved &&
                update->sequence == update->expected && cuda->fault.status == FS_OK;
    good = good && cudaGraphInstantiate(&update->graph, captured, 0) == cudaSuccess;
    if (captured != NULL) {
        cudaGraphDestroy(captured);
    }
    return good;
}

static bool update_end(struct fs_backend *backend)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    struct fs_cuda_update *update = &cuda->update;
    const enum fs_cuda_update_mode mode = update->mode;
    update->mode = FS_UPDATE_NONE;
    if (mode == FS_UPDATE_REHEARSE) {
        update->expected = update->sequence;
        update->rehearsed = cuda->fault.status == FS_OK && !update->moved && take_staging(update);
        update->off = update->off || (cuda->fault.status == FS_OK && !update->moved && !update->rehearsed);
        return true;
    }
    if (mode != FS_UPDATE_CAPTURE && mode != FS_UPDATE_REPLAY) {
        return true;
    }
    const bool was_good = cuda->fault.status == FS_OK;
    const bool kept = mode == FS_UPDATE_CAPTURE ? instantiate(cuda)
                                                : was_good && !update->moved && update->sequence == update->expected;
    if (kept) {
        cuda->operation = "an update's graph";
        FS_CUDA_CHECK(cuda, cudaGraphLaunch(update->graph, cuda->stream));
        return true;
    }
    forget(update);
    update->off = true;
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
    return FS_OK;
}

void fs_cuda_end_update(struct fs_cuda *cuda)
{
    forget(&cuda->update);
    free_staging(&cuda->update);
    cudaFree(cuda->update.numbers);
}

void fs_cuda_install_update(struct fs_backend *backend)
{
    backend->update_begin = update_begin;
    backend->update_end = update_end;
}
