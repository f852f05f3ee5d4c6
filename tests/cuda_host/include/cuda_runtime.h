/* The part of CUDA's language and runtime that kernels/cuda/ uses, for the host's compiler. */
#ifndef CUDA_HOST_RUNTIME_H
#define CUDA_HOST_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <type_traits>

/* --- the language --- */

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
/* One block runs at a time, so its shared memory may be static; the section is poisoned before each block. */
#define __shared__ static __attribute__((section("cuda_shared")))

struct cuda_host_index {
    unsigned x;
};
extern struct cuda_host_index threadIdx, blockIdx, blockDim, gridDim;

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

template <class Number> static inline Number min(Number a, Number b)
{
    return a < b ? a : b;
}

template <class Number> static inline Number max(Number a, Number b)
{
    return a > b ? a : b;
}

static inline float __uint_as_float(unsigned bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Where threads meet. The place in the source tells one meeting from another. */
#define __syncthreads() cuda_host_barrier(__FILE__, __LINE__)
#define __shfl_xor_sync(mask, value, lanes) cuda_host_shuffle_xor(mask, value, lanes, __FILE__, __LINE__)

void cuda_host_barrier(const char *file, int line);
uint64_t cuda_host_exchange(unsigned mask, uint64_t bits, unsigned source_lane, const char *file, int line);

template <class Value>
static inline Value cuda_host_shuffle_xor(unsigned mask, Value value, int lanes, const char *file, int line)
{
    uint64_t bits = 0;
    static_assert(sizeof value <= sizeof bits, "a shuffle moves at most eight bytes");
    memcpy(&bits, &value, sizeof value);
    bits = cuda_host_exchange(mask, bits, (threadIdx.x % 32) ^ (unsigned)lanes, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* --- the runtime --- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorLaunchFailure = 719,
    cudaErrorNotSupported = 801,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorIllegalState = 401,
    cudaErrorNotReady = 600,
    cudaErrorStreamCaptureUnjoined = 904,
    cudaErrorStreamCaptureIsolation = 905,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
typedef struct cuda_host_stream *cudaStream_t;
typedef struct cuda_host_event *cudaEvent_t;
typedef struct cuda_host_graph *cudaGraph_t;
typedef struct cuda_host_graph_exec *cudaGraphExec_t;
struct cudaDeviceProp {
    char name[256];
    int major, minor, l2CacheSize;
};

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaMemGetInfo(size_t *available, size_t *total);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaMallocHost(void **memory, size_t bytes);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t error);

/* A clock that only goes on with the products that a test gives a time. */
double cuda_host_seconds();

/* --- launches --- */

void cuda_host_run(unsigned blocks, unsigned threads, cudaStream_t stream, const std::function<void()> &body);

/* kernel<<<blocks, threads, 0, stream>>>(arguments …); the arguments are taken by value, once. */
template <class... Parameters, class... Arguments>
static void cuda_host_launch(void (*kernel)(Parameters...), unsigned blocks, unsigned threads, cudaStream_t stream,
                             Arguments... arguments)
{
    const std::tuple<Parameters...> taken(arguments...);
    cuda_host_run(blocks, threads, stream, [kernel, taken] { std::apply(kernel, taken); });
}

#endif
