/* Device memory. A caller that knows what it is going to need reserves it: one allocation, the pool, that buffers are
 * then cut from, each in the first gap that is wide enough. What comes without a reservation, or does not fit any more,
 * is an allocation of its own (so in the tests of single operations the address sanitiser sees each buffer by itself).
 */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>

extern "C" {
#include "kernels/base/memory.h"
}

#define MEBIBYTE ((size_t)1 << 20)
#define ALIGNMENT ((size_t)256) /* as cudaMalloc aligns */

/* Device memory that is not zeroed; NULL when there is none, with what would help. */
static void *take_memory(size_t bytes, const char *what, struct fs_error *error)
{
    void *memory = NULL;
    const cudaError_t status = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
    if (status == cudaSuccess) {
        return memory;
    }
    (void)cudaGetLastError(); /* it would be seen again by the next launch */
    size_t available = 0, total = 0;
    if (status == cudaErrorMemoryAllocation && cudaMemGetInfo(&available, &total) == cudaSuccess) {
        fs_fail(error, FS_FAILED,
                "cuda: no device memory for %s: %zu MiB asked for, %zu of %zu MiB free: fewer rows at once "
                "(train.micro_batch) or train.precision: bf16 need less",
                what, bytes / MEBIBYTE, available / MEBIBYTE, total / MEBIBYTE);
    } else {
        fs_fail(error, FS_FAILED, "cuda: %s: %s", what, cudaGetErrorString(status));
    }
    return NULL;
}

/* --- the pool --- */

static fs_status reserve(struct fs_backend *backend, size_t bytes, struct fs_error *error)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    struct fs_cuda_pool *pool = &cuda->pool;
    if (pool->count > 0 || bytes <= pool->bytes) {
        return FS_OK; /* in use, so what it has no room for comes on its own; or wide enough */
    }
    fs_cuda_disturb(cuda);
    cudaFree(pool->memory);
    pool->bytes = 0;
    pool->memory = (char *)take_memory(bytes, "the buffers that were planned", error);
    if (pool->memory == NULL) {
        return error->status;
    }
    pool->bytes = bytes;
    return FS_OK;
}

/* Room for one more range; false without host memory. */
static bool grow(struct fs_cuda_pool *pool)
{
    if (pool->count < pool->room) {
        return true;
    }
    const int room = pool->room > 0 ? 2 * pool->room : 64;
    struct fs_cuda_range *ranges = (struct fs_cuda_range *)realloc(pool->ranges, (size_t)room * sizeof *ranges);
    if (ranges != NULL) {
        pool->ranges = ranges;
        pool->room = room;
    }
    return ranges != NULL;
}

/* The first gap of the pool that is wide enough; NULL when there is none. */
static void *cut(struct fs_cuda_pool *pool, size_t bytes)
{
    if (bytes > pool->bytes || !grow(pool)) { /* without a pool as well: a buffer has a byte at least */
        return NULL;
    }
    size_t begin = 0;
    int place = 0;
    while (place < pool->count && pool->ranges[place].begin - begin < bytes) {
        begin = (pool->ranges[place].end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        place++;
    }
    if (place == pool->count && (begin > pool->bytes || pool->bytes - begin < bytes)) {
        return NULL;
    }
    memmove(pool->ranges + place + 1, pool->ranges + place, (size_t)(pool->count - place) * sizeof *pool->ranges);
    pool->ranges[place] = {begin, begin + bytes};
    pool->count++;
    return pool->memory + begin;
}

/* Whether the memory was the pool's. */
static bool put_back(struct fs_cuda_pool *pool, const void *memory)
{
    for (int i = 0; i < pool->count; i++) {
        if (pool->memory + pool->ranges[i].begin == memory) {
            pool->count--;
            memmove(pool->ranges + i, pool->ranges + i + 1, (size_t)(pool->count - i) * sizeof *pool->ranges);
            return true;
        }
    }
    return false;
}

static size_t unused_bytes(const struct fs_cuda_pool *pool)
{
    size_t bytes = pool->bytes;
    for (int i = 0; i < pool->count; i++) {
        bytes -= pool->ranges[i].end - pool->ranges[i].begin;
    }
    return bytes;
}

/* --- buffers --- */

static void release(struct fs_backend *backend, void *memory)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    fs_cuda_disturb(cuda);
    /* What still uses a range of the pool comes before its next use, on the one stream; cudaFree waits. */
    if (memory != NULL && !put_back(&cuda->pool, memory)) {
        cudaFree(memory);
    }
}

static void *allocate(struct fs_backend *backend, size_t bytes, struct fs_error *error)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    bytes = bytes > 0 ? bytes : 1;
    void *memory = cut(&cuda->pool, bytes);
    if (memory == NULL) {
        memory = take_memory(bytes, "a buffer", error);
    }
    if (memory == NULL) {
        return NULL;
    }
    const cudaError_t status = cudaMemsetAsync(memory, 0, bytes, cuda->stream);
    if (status != cudaSuccess) {
        fs_fail(error, FS_FAILED, "cuda: zeroing a buffer: %s", cudaGetErrorString(status));
        release(backend, memory);
        return NULL;
    }
    return memory;
}

static size_t available(struct fs_backend *backend)
{
    const struct fs_cuda *cuda = (const struct fs_cuda *)backend->state;
    size_t unused = 0, total = 0;
    return cudaMemGetInfo(&unused, &total) == cudaSuccess ? unused + unused_bytes(&cuda->pool) : 0;
}

void *fs_cuda_scratch(struct fs_cuda *cuda, size_t bytes)
{
    if (bytes > cuda->scratch_bytes || cuda->scratch == NULL) {
        fs_cuda_disturb(cuda);
        if (cuda->update.mode == FS_UPDATE_CAPTURE) {
            return NULL; /* a capture takes no memory: this one is given up */
        }
        cudaFree(cuda->scratch);
        cuda->scratch_bytes = 0;
        cuda->scratch = take_memory(bytes, cuda->operation, &cuda->fault);
        if (cuda->scratch != NULL) {
            cuda->scratch_bytes = bytes;
        }
    }
    return cuda->scratch;
}

/* --- life --- */

void fs_cuda_free_memory(struct fs_cuda *cuda)
{
    cudaFree(cuda->scratch);
    cudaFree(cuda->pool.memory);
    free(cuda->pool.ranges);
}

void fs_cuda_install_memory(struct fs_backend *backend)
{
    backend->reserve = reserve;
    backend->allocate = allocate;
    backend->release = release;
    backend->available = available;
}
