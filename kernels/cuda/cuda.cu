/* The CUDA backend: its life, its faults, copies from and to the host. */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/timing.h"

#include <stdlib.h>

extern "C" {
#include "kernels/base/memory.h"
}

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
    const cudaError_t late = fs_cuda_wait(cuda);
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

/* --- copies --- */

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
        FS_CUDA_CHECK(cuda, fs_cuda_wait(cuda));
    }
}

/* --- a download in two halves --- */

static void free_late(struct fs_cuda_late *late)
{
    if (late->host != NULL && late->pinned) {
        cudaFreeHost(late->host);
    } else {
        free(late->host);
    }
    late->host = NULL;
    late->room = 0;
}

/* Room for so many bytes, pinned where there is such memory; a fault without any. */
static bool take_late(struct fs_cuda *cuda, size_t bytes)
{
    struct fs_cuda_late *late = &cuda->late;
    if (late->there == NULL && !FS_CUDA_CHECK(cuda, cudaEventCreateWithFlags(&late->there, cudaEventDisableTiming))) {
        return false;
    }
    if (late->room >= bytes) {
        return true;
    }
    free_late(late);
    void *memory = NULL;
    late->pinned = cudaMallocHost(&memory, bytes) == cudaSuccess;
    if (!late->pinned) {
        (void)cudaGetLastError();
        memory = fs_allocate(bytes, 1, "what is downloaded", &cuda->fault);
    }
    late->host = (char *)memory;
    late->room = memory != NULL ? bytes : 0;
    return memory != NULL;
}

static void download_begin(struct fs_backend *backend, const void *device, size_t bytes)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "download_begin", true);
    if (cuda == NULL || !take_late(cuda, bytes)) {
        return;
    }
    struct fs_cuda_late *late = &cuda->late;
    late->bytes = bytes;
    if (FS_CUDA_CHECK(cuda, cudaMemcpyAsync(late->host, device, bytes, cudaMemcpyDeviceToHost, cuda->stream)) &&
        FS_CUDA_CHECK(cuda, cudaEventRecord(late->there, cuda->stream)) && !late->pinned) {
        FS_CUDA_CHECK(cuda, cudaStreamSynchronize(cuda->stream)); /* it would be copied when its turn comes */
    }
}

static fs_status download_end(struct fs_backend *backend, void *host, struct fs_error *error)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    if (cuda->fault.status == FS_OK) {
        const cudaError_t status = cudaEventSynchronize(cuda->late.there);
        if (status == cudaSuccess) {
            memcpy(host, cuda->late.host, cuda->late.bytes);
            return FS_OK;
        }
        fs_fail(&cuda->fault, FS_FAILED,
                "cuda: %s, seen after %s: with CUDA_LAUNCH_BLOCKING=1 the operation that made it is named",
                cudaGetErrorString(status), cuda->operation);
    }
    return synchronise(backend, error);
}

/* --- life --- */

static void destroy(struct fs_backend *backend)
{
    struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
    backend->exchange_close(backend);
    fs_cuda_end_update(cuda);
    free_late(&cuda->late);
    if (cuda->late.there != NULL) {
        cudaEventDestroy(cuda->late.there);
    }
    fs_cudnn_destroy(cuda->cudnn);
    fs_gemm_destroy(cuda->gemm);
    fs_cuda_forget_ways(cuda);
    fs_cuda_free_memory(cuda);
    if (cuda->stream != NULL) {
        cudaStreamDestroy(cuda->stream);
    }
    free(cuda);
    free(backend);
}

#define INSTALL(file) fs_cuda_install_##file(backend)

static void install(struct fs_backend *backend)
{
    backend->destroy = destroy;
    backend->upload = FS_TOLD(upload);
    backend->download = download;
    backend->download_begin = download_begin;
    backend->download_end = download_end;
    backend->synchronise = synchronise;
    FS_CUDA_FILES(INSTALL);
}

/* The number of this process on its machine, as who started several of them says; 0 where it was started alone. */
static int local_rank(void)
{
    static const char *const variables[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK",
                                            "SLURM_LOCALID", "LOCAL_RANK"};
    for (const char *variable : variables) {
        const char *value = getenv(variable);
        if (value != NULL && value[0] >= '0' && value[0] <= '9') {
            return atoi(value);
        }
    }
    return 0;
}

/* Whether there is a device that this can run on: its number, cache and name; FS_USAGE with the reason when not. With
 * several, each process of a machine takes its own, which is then the one of all calls of this thread. */
static fs_status find_device(struct fs_cuda *cuda, struct fs_error *error)
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
    cuda->device = local_rank() % count;
    if (cudaGetDeviceProperties(&properties, cuda->device) != cudaSuccess ||
        cudaSetDevice(cuda->device) != cudaSuccess) {
        return fs_fail(error, FS_USAGE, "cuda: device %d does not answer", cuda->device);
    }
    if (properties.major < 8) {
        return fs_fail(error, FS_USAGE, "cuda: %s has compute capability %d.%d; this build runs on 8.0 and newer",
                       properties.name, properties.major, properties.minor);
    }
    const size_t length = strnlen(properties.name, sizeof cuda->variant - 1);
    memcpy(cuda->variant, properties.name, length);
    cuda->variant[length] = '\0';
    cuda->cache_bytes = properties.l2CacheSize;
    return FS_OK;
}

static fs_status start(struct fs_cuda *cuda, struct fs_error *error)
{
    FS_TRY(find_device(cuda, error));
    /* Not ordered with the default stream, which a library may use and which would wait for all of it. */
    const cudaError_t status = cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking);
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
    backend->pass_tokens = 65536; /* 256 pictures of 256 */
    cuda->operation = "start";
    install(backend);
    if (start(cuda, error) != FS_OK) {
        destroy(backend);
        return NULL;
    }
    return backend;
}
