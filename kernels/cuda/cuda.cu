/* The CUDA backend: its life, its memory, its faults. */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>

extern "C" {
#include "kernels/base/memory.h"
}

#define MEBIBYTE ((size_t)1 << 20)

/* --- faults --- */

struct fs_cuda *fs_cuda_begin_upload(struct fs_backend *backend, const char *operation, bool operands_fit)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    if (cuda->fault.status != FS_OK) {
        return NULL;
    }
    cuda->operation = operation;
    if (!operands_fit) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: the shapes or types of its operands do not fit each other",
                operation);
        return NULL;
    }
    fs_cuda_count(cuda, operation);
    return cuda;
}

struct fs_cuda *fs_cuda_begin(struct fs_backend *backend, const char *operation, bool operands_fit)
{
    struct fs_cuda *cuda = fs_cuda_begin_upload(backend, operation, operands_fit);
    return cuda != NULL && cuda->update.mode != FS_UPDATE_REPLAY ? cuda : NULL;
}

bool fs_cuda_check(struct fs_cuda *cuda, cudaError_t status, const char *file, int line)
{
    if (status != cudaSuccess && cuda->fault.status == FS_OK) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: %s (%s:%d)", cuda->operation, cudaGetErrorString(status), file,
                line);
    }
    return status == cudaSuccess;
}

static fs_status synchronise(struct fs_backend *backend, struct fs_error *error)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    const cudaError_t late = cudaStreamSynchronize(cuda->stream);
    if (late != cudaSuccess && cuda->fault.status == FS_OK) {
        fs_fail(&cuda->fault, FS_FAILED,
                "cuda: %s, seen after %s: with CUDA_LAUNCH_BLOCKING=1 the operation that made it is named",
                cudaGetErrorString(late), cuda->operation);
    }
    const fs_status status = cuda->fault.status;
    if (status != FS_OK) {
        *error = cuda->fault;
        cuda->fault.status = FS_OK;
    }
    return status;
}

/* --- memory --- */

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

static void *allocate(struct fs_backend *backend, size_t bytes, struct fs_error *error)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    void *memory = take_memory(bytes, "a buffer", error);
    if (memory == NULL) {
        return NULL;
    }
    const cudaError_t status = cudaMemsetAsync(memory, 0, bytes > 0 ? bytes : 1, cuda->stream);
    if (status != cudaSuccess) {
        fs_fail(error, FS_FAILED, "cuda: zeroing a buffer: %s", cudaGetErrorString(status));
        cudaFree(memory);
        return NULL;
    }
    return memory;
}

static void release(struct fs_backend *backend, void *memory)
{
    fs_cuda_disturb((struct fs_cuda *)backend->state);
    cudaFree(memory); /* waits for what still uses it */
}

static size_t available(struct fs_backend *backend)
{
    (void)backend;
    size_t unused = 0, total = 0;
    return cudaMemGetInfo(&unused, &total) == cudaSuccess ? unused : 0;
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

static void upload(struct fs_backend *backend, void *device, const void *host, size_t bytes)
{
    struct fs_cuda *cuda = fs_cuda_begin_upload(backend, "upload", true);
    if (cuda != NULL && bytes > 0) {
        fs_cuda_put(cuda, device, host, bytes);
    }
}

static void download(struct fs_backend *backend, void *host, const void *device, size_t bytes)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "download", true);
    if (cuda != NULL && cuda->update.mode == FS_UPDATE_CAPTURE) {
        fs_cuda_disturb(cuda); /* there is nothing to wait for yet: the capture is given up */
    } else if (cuda != NULL && bytes > 0 &&
               FS_CUDA_CHECK(cuda, cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, cuda->stream))) {
        FS_CUDA_CHECK(cuda, cudaStreamSynchronize(cuda->stream));
    }
}

/* --- life --- */

static void destroy(struct fs_backend *backend)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    fs_cuda_end_update(cuda);
    fs_cudnn_destroy(cuda->cudnn);
    fs_gemm_destroy(cuda->gemm);
    cudaFree(cuda->scratch);
    if (cuda->stream != NULL) {
        cudaStreamDestroy(cuda->stream);
    }
    free(cuda);
    free(backend);
}

static void install(struct fs_backend *backend)
{
    backend->destroy = destroy;
    backend->allocate = allocate;
    backend->release = release;
    backend->available = available;
    backend->upload = upload;
    backend->download = download;
    backend->synchronise = synchronise;
    fs_cuda_install_attention(backend);
    fs_cuda_install_convolution(backend);
    fs_cuda_install_elementwise(backend);
    fs_cuda_install_linear(backend);
    fs_cuda_install_loss(backend);
    fs_cuda_install_norm(backend);
    fs_cuda_install_optimiser(backend);
    fs_cuda_install_pooling(backend);
    fs_cuda_install_random(backend);
    fs_cuda_install_tokens(backend);
    fs_cuda_install_update(backend);
}

/* Whether there is a device that this can run on, and its name; FS_USAGE with the reason when not. */
static fs_status find_device(char *name, size_t size, struct fs_error *error)
{
    int count = 0, driver = 0, runtime = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorInsufficientDriver) {
        cudaDriverGetVersion(&driver);
        cudaRuntimeGetVersion(&runtime);
        if (driver == 0) {
            return fs_fail(error, FS_USAGE, "cuda: there is no NVIDIA driver");
        }
        return fs_fail(error, FS_USAGE, "cuda: the driver is for CUDA %d.%d, this build needs %d.%d: update the driver",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    }
    if (status != cudaSuccess || count == 0) {
        return fs_fail(error, FS_USAGE, "cuda: no device: %s",
                       status != cudaSuccess ? cudaGetErrorString(status) : "the driver sees none");
    }
    struct cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) {
        return fs_fail(error, FS_USAGE, "cuda: the device does not answer");
    }
    if (properties.major < 8) {
        return fs_fail(error, FS_USAGE, "cuda: %s has compute capability %d.%d; this build runs on 8.0 and newer",
                       properties.name, properties.major, properties.minor);
    }
    const size_t length = strnlen(properties.name, size - 1);
    memcpy(name, properties.name, length);
    name[length] = '\0';
    return FS_OK;
}

static fs_status start(struct fs_cuda *cuda, struct fs_error *error)
{
    FS_TRY(find_device(cuda->variant, sizeof cuda->variant, error));
    const cudaError_t status = cudaStreamCreate(&cuda->stream);
    if (status != cudaSuccess) {
        return fs_fail(error, FS_FAILED, "cuda: %s: %s", cuda->variant, cudaGetErrorString(status));
    }
    FS_TRY(fs_cuda_choose(cuda, error));
    FS_TRY(fs_cuda_start_update(cuda, error));
    cuda->gemm = fs_gemm_create(error);
    return cuda->gemm != NULL ? FS_OK : error->status;
}

extern "C" struct fs_backend *fs_cuda_backend(struct fs_error *error)
{
    struct fs_backend *backend = (struct fs_backend *)fs_allocate(1, sizeof *backend, "the CUDA backend", error);
    struct fs_cuda *cuda = (struct fs_cuda *)fs_allocate(1, sizeof *cuda, "the CUDA backend", error);
    if (backend == NULL || cuda == NULL) {
        free(backend);
        free(cuda);
        return NULL;
    }
    backend->state = cuda;
    backend->abi = FS_BACKEND_ABI;
    backend->name = "cuda";
    backend->variant = cuda->variant;
    backend->choices = cuda->choices;
    backend->real = FS_F32;
    backend->native_bf16 = true;
    cuda->operation = "start";
    install(backend);
    if (start(cuda, error) != FS_OK) {
        destroy(backend);
        return NULL;
    }
    return backend;
}
