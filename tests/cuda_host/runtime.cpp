/* The CUDA runtime's calls: device memory that is poisoned when fresh, copies that check both sides, errors that stay.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "tests/cuda_host/device.hpp"

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#define LARGE_BYTES ((size_t)16 << 20) /* of allocations that are kept for the next of their size */

/* Libraries keep memory until the end; what the device leaks, the tests count themselves. */
extern "C" const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* The first stream does its work at once. Another one does it as late as it can: when something waits for it. */
struct cuda_host_stream {
    std::vector<std::function<cudaError_t()>> late;
    size_t issued, done; /* pieces of work */
    size_t behind;       /* of the first stream's pieces, those that this one waits for */
    int capture;         /* the number of the capture that it is part of */
    bool joined;         /* the captured stream waits for all that this one has in the capture */
};

/* A moment in a stream. */
struct cuda_host_event {
    cudaStream_t stream;
    size_t issued;
    int capture;
};

struct cuda_host_graph {
    std::vector<std::function<cudaError_t()>> work;
};

struct cuda_host_graph_exec {
    struct cuda_host_graph graph;
};

struct cuda_host_settings cuda_host;

static struct {
    std::map<uintptr_t, size_t> memory;  /* address → bytes */
    std::multimap<size_t, void *> spare; /* bytes → large allocations that were freed, for the next of the same size */
    size_t used;
    cudaError_t error;  /* for cudaGetLastError */
    cudaError_t sticky; /* a broken device answers nothing else */
    char report[1024];
    std::vector<cudaStream_t> streams; /* in the order of their creation */
    cudaStream_t hung;                 /* the first one waits for this one, which never comes to an end */
    bool catches_up;                   /* late work is being done */
    struct cuda_host_graph *capture;   /* what the first stream's work goes to instead of being done */
    int captures;
    bool capture_broken;
    int allocations, graph_launches;
    std::map<uintptr_t, size_t> pinned; /* host memory that a graph may copy from */
    int current;
    std::vector<std::function<void()>> late; /* copies that the device has not come to */
} device;

/* --- errors --- */

cudaError_t device_fault(cudaError_t error, const char *format, ...)
{
    if (device.report[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(device.report, sizeof device.report, format, arguments);
        va_end(arguments);
    }
    device.error = error;
    if (error == cudaErrorLaunchFailure) {
        device.sticky = error;
    }
    return error;
}

cudaError_t device_error()
{
    return device.sticky;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = device.sticky != cudaSuccess ? device.sticky : device.error;
    device.error = cudaSuccess;
    return error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInvalidResourceHandle:
        return "invalid resource handle";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    case cudaErrorNotSupported:
        return "operation not supported";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error during capture";
    case cudaErrorNotReady:
        return "device not ready";
    case cudaErrorStreamCaptureUnjoined:
        return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation:
        return "dependency created on uncaptured work in another stream";
    case cudaErrorIllegalState:
        return "the operation cannot be performed in the present state";
    }
    return "unrecognized error code";
}

extern "C" const char *cuda_host_report(void)
{
    return device.report;
}

extern "C" size_t cuda_host_memory_used(void)
{
    return device.used;
}

extern "C" int cuda_host_allocations(void)
{
    return device.allocations;
}

extern "C" int cuda_host_graph_launches(void)
{
    return device.graph_launches;
}

extern "C" int cuda_host_device(void)
{
    return device.current;
}

extern "C" void cuda_host_reset(void)
{
    cuda_host = {};
    cuda_host.memory = (size_t)4 << 30;
    cuda_host.devices = 1;
    cuda_host.driver = 13000;
    cuda_host.compute_major = 8;
    device.error = device.sticky = cudaSuccess;
    device.report[0] = '\0';
    device.allocations = device.graph_launches = device.current = 0;
    device.late.clear();
    for (const cudaStream_t stream : device.streams) {
        delete stream;
    }
    device.streams.clear();
    device.hung = NULL;
    device.catches_up = false;
    delete device.capture;
    device.capture = NULL;
}

/* --- captured streams --- */

/* What may not be called during a capture ends it; true then. */
static bool breaks_capture()
{
    device.capture_broken = true;
    if (device.capture != NULL) {
        device.error = cudaErrorStreamCaptureUnsupported;
    }
    return device.capture != NULL;
}

static bool is_first(cudaStream_t stream)
{
    return device.streams[0] == stream;
}

static bool is_captured(cudaStream_t stream)
{
    return device.capture != NULL && (is_first(stream) || stream->capture == device.captures);
}

/* Stricter than the device, which knows no order between streams but the events': work beside the first stream may use
 * all that this one has done, so it has to wait for all of it. */
static void check_order(cudaStream_t stream)
{
    if (is_first(stream)) {
        stream->issued++;
    } else if (stream->behind < device.streams[0]->issued) {
        device_fault(cudaErrorIllegalState, "work of a second stream that does not wait for the first one's");
    }
}

bool device_records(cudaStream_t stream, const std::function<cudaError_t()> &work)
{
    if (device.catches_up) {
        return false;
    }
    check_order(stream);
    if (is_captured(stream)) {
        device.capture->work.push_back(work);
        stream->joined = false;
        return true;
    }
    if (!is_first(stream)) {
        stream->late.push_back(work);
        stream->issued++;
        return true;
    }
    return false;
}

/* What a stream has to do up to a moment; false where it cannot, or, unless `waits`, not yet. */
static bool catch_up(cudaStream_t stream, size_t issued, bool waits)
{
    int tries = 0;
    while (stream->done < issued) {
        device.catches_up = true;
        const cudaError_t error = stream->late.front()();
        device.catches_up = false;
        if (error == device_never || (error == cudaErrorNotReady && !waits)) {
            return false;
        }
        if (error == cudaErrorNotReady) {
            usleep(tries++ < 100 ? 20 : 1000);
            continue;
        }
        stream->late.erase(stream->late.begin());
        stream->done++;
    }
    return true;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    if (!device_has_stream(stream) || device.capture != NULL) {
        return device_fault(cudaErrorIllegalState, "cudaStreamBeginCapture of no stream, or of one that is captured");
    }
    if (cuda_host.refuse_capture) {
        device.error = cudaErrorNotSupported;
        return cudaErrorNotSupported;
    }
    device.capture = new cuda_host_graph();
    device.captures++;
    device.capture_broken = false;
    return device.sticky;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = NULL;
    if (!device_has_stream(stream) || device.capture == NULL) {
        return device_fault(cudaErrorIllegalState, "cudaStreamEndCapture of a stream that is not captured");
    }
    bool joined = true;
    for (const cudaStream_t other : device.streams) {
        joined = joined && (is_first(other) || !is_captured(other) || other->joined);
    }
    if (device.capture_broken || !joined) {
        delete device.capture;
    } else {
        *graph = device.capture;
    }
    device.capture = NULL;
    return device.capture_broken ? cudaErrorStreamCaptureInvalidated
           : !joined ? device_fault(cudaErrorStreamCaptureUnjoined, "a capture ends with work that is not joined")
                     : device.sticky;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = new cuda_host_graph_exec{*graph};
    return device.sticky;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    if (!device_has_stream(stream) || device.capture != NULL) {
        return cudaErrorInvalidResourceHandle;
    }
    device.graph_launches++;
    for (const auto &work : exec->graph.work) {
        const cudaError_t error = work();
        if (error != cudaSuccess) {
            return device_fault(cudaErrorLaunchFailure, "a graph's work failed: %s", cudaGetErrorString(error));
        }
    }
    return device.sticky;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return device.sticky;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return device.sticky;
}

/* The device comes to what it was asked for before. */
static void do_late_copies()
{
    std::vector<std::function<void()>> copies;
    copies.swap(device.late);
    for (const auto &copy : copies) {
        copy();
    }
}

/* --- the device --- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    if (cuda_host.driver < 13000) {
        return cudaErrorInsufficientDriver;
    }
    *count = cuda_host.devices;
    return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int number)
{
    if (number < 0 || number >= cuda_host.devices) {
        return cudaErrorInvalidValue;
    }
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "CUDA on the host");
    properties->major = cuda_host.compute_major;
    properties->l2CacheSize = (int)cuda_host.cache;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int number)
{
    if (number < 0 || number >= cuda_host.devices) {
        return cudaErrorInvalidValue;
    }
    device.current = number;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *number)
{
    *number = device.current;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = cuda_host.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    if (flags != cudaStreamNonBlocking) {
        return device_fault(cudaErrorInvalidValue, "a stream that waits for the default one");
    }
    *stream = new cuda_host_stream();
    device.streams.push_back(*stream);
    return device.sticky;
}

bool device_has_stream(cudaStream_t stream)
{
    for (const cudaStream_t other : device.streams) {
        if (other == stream) {
            return true;
        }
    }
    return false;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    if (!device_has_stream(stream)) {
        return cudaErrorInvalidResourceHandle;
    }
    if (!is_first(stream)) {
        catch_up(stream, stream->issued, true);
    }
    for (size_t i = 0; i < device.streams.size(); i++) {
        if (device.streams[i] == stream) {
            device.streams.erase(device.streams.begin() + (ptrdiff_t)i);
        }
    }
    device.hung = device.hung == stream ? NULL : device.hung;
    delete stream;
    return cudaSuccess;
}

/* cudaErrorNotReady where the stream waits for something that has not come. */
static cudaError_t reach(cudaStream_t stream, bool waits)
{
    if (device.hung != NULL && catch_up(device.hung, device.hung->issued, false)) {
        device.hung = NULL;
    }
    const bool done = is_first(stream) ? device.hung == NULL : catch_up(stream, stream->issued, waits);
    return done ? device.sticky : cudaErrorNotReady;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (breaks_capture()) {
        return cudaErrorStreamCaptureUnsupported;
    }
    if (!device_has_stream(stream)) {
        return cudaErrorInvalidResourceHandle;
    }
    do_late_copies();
    const cudaError_t error = reach(stream, true);
    return error != cudaErrorNotReady ? error
                                      : device_fault(cudaErrorLaunchFailure, "cudaStreamSynchronize waits for ever");
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    if (breaks_capture()) {
        return cudaErrorStreamCaptureUnsupported;
    }
    if (!device_has_stream(stream)) {
        return cudaErrorInvalidResourceHandle;
    }
    do_late_copies();
    return reach(stream, false);
}

/* --- events --- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new cuda_host_event();
    return device.sticky;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return device.sticky;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (device.sticky != cudaSuccess) {
        return device.sticky;
    }
    if (!device_has_stream(stream)) {
        return cudaErrorInvalidResourceHandle;
    }
    event->stream = stream;
    event->issued = stream->issued;
    event->capture = is_captured(stream) ? device.captures : 0;
    if (is_captured(stream)) {
        device.capture->work.push_back([=] { return cudaEventRecord(event, stream); });
    }
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (device.sticky != cudaSuccess) {
        return device.sticky;
    }
    if (!device_has_stream(stream) || event->stream == NULL) {
        return device_fault(cudaErrorInvalidResourceHandle, "cudaStreamWaitEvent of no stream, or for no moment");
    }
    const bool captured = device.capture != NULL && event->capture == device.captures;
    if (is_captured(stream) && !captured) {
        device_fault(cudaErrorStreamCaptureIsolation, "a capture would wait for what is not part of it");
        device.capture_broken = true;
        return cudaErrorStreamCaptureIsolation;
    }
    if (captured) {
        stream->capture = device.captures;
        device.capture->work.push_back([=] { return cudaStreamWaitEvent(stream, event, 0); });
    }
    if (is_first(event->stream)) {
        stream->behind = event->issued;
    } else if (captured) {
        event->stream->joined = true;
    } else if (!catch_up(event->stream, event->issued, true)) {
        device.hung = event->stream;
    }
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return event->stream != NULL ? cudaStreamSynchronize(event->stream) : device.sticky;
}

/* --- memory --- */

/* Whether all of it lies in one of the allocations. */
static bool lies_in(const std::map<uintptr_t, size_t> &allocations, const void *memory, size_t bytes)
{
    auto after = allocations.upper_bound((uintptr_t)memory);
    if (after == allocations.begin()) {
        return false;
    }
    const auto found = std::prev(after);
    const size_t offset = (uintptr_t)memory - found->first;
    return offset <= found->second && bytes <= found->second - offset;
}

bool device_owns(const void *memory, size_t bytes)
{
    return lies_in(device.memory, memory, bytes);
}

static void touchable(uintptr_t address, size_t bytes, bool yes)
{
    if (yes) {
        ASAN_UNPOISON_MEMORY_REGION((void *)address, bytes);
    } else {
        ASAN_POISON_MEMORY_REGION((void *)address, bytes);
    }
}

void device_open()
{
    do_late_copies();
    for (const auto &one : device.memory) {
        touchable(one.first, one.second, true);
    }
}

void device_close()
{
    for (const auto &one : device.memory) {
        touchable(one.first, one.second, false);
    }
}

static size_t unused()
{
    return cuda_host.memory > device.used ? cuda_host.memory - device.used : 0;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    *total = cuda_host.memory;
    *available = unused();
    return device.sticky;
}

/* Every backend that a test opens takes the same workspace, whose pages the system would have to clear each time. So
 * large allocations are kept; between cudaFree and the next cudaMalloc nobody may touch them. */
static void *take(size_t bytes)
{
    void *memory = NULL;
    const auto found = device.spare.find(bytes);
    if (found == device.spare.end()) {
        return posix_memalign(&memory, 256, bytes) == 0 ? memory : NULL;
    }
    memory = found->second;
    device.spare.erase(found);
    touchable((uintptr_t)memory, bytes, true);
    return memory;
}

static void give_back(void *memory, size_t bytes)
{
    if (bytes >= LARGE_BYTES) {
        touchable((uintptr_t)memory, bytes, false);
        device.spare.insert({bytes, memory});
    } else {
        touchable((uintptr_t)memory, bytes, true);
        free(memory);
    }
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    if (device.sticky != cudaSuccess) {
        return device.sticky;
    }
    *memory = NULL;
    if (breaks_capture()) {
        return cudaErrorStreamCaptureUnsupported;
    }
    device.allocations++;
    if (device_fails_now(&cuda_host.fail_allocation) || bytes > unused() ||
        (bytes > 0 && (*memory = take(bytes)) == NULL)) {
        device.error = cudaErrorMemoryAllocation;
        return cudaErrorMemoryAllocation;
    }
    if (bytes > 0) {
        memset(*memory, 0xff, bytes); /* NaN in each type */
        device.memory[(uintptr_t)*memory] = bytes;
        device.used += bytes;
        touchable((uintptr_t)*memory, bytes, false);
    }
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    if (memory == NULL) {
        return device.sticky;
    }
    const auto found = device.memory.find((uintptr_t)memory);
    if (found == device.memory.end()) {
        return device_fault(cudaErrorInvalidValue, "cudaFree of %p, which cudaMalloc did not give", memory);
    }
    if (breaks_capture()) {
        return cudaErrorStreamCaptureUnsupported;
    }
    give_back(memory, found->second);
    device.used -= found->second;
    device.memory.erase(found);
    return device.sticky;
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    *memory = cuda_host.refuse_pinned ? NULL : malloc(bytes);
    if (*memory == NULL) {
        return cudaErrorMemoryAllocation;
    }
    device.pinned[(uintptr_t)*memory] = bytes;
    return device.sticky;
}

cudaError_t cudaFreeHost(void *memory)
{
    do_late_copies();
    device.pinned.erase((uintptr_t)memory);
    free(memory);
    return device.sticky;
}

cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream)
{
    if (device.sticky != cudaSuccess) {
        return device.sticky;
    }
    if (!device_has_stream(stream) || !device_owns(memory, bytes)) {
        return device_fault(cudaErrorInvalidValue, "cudaMemsetAsync of %zu bytes outside device memory", bytes);
    }
    if (device_records(stream, [=] { return cudaMemsetAsync(memory, byte, bytes, stream); })) {
        return cudaSuccess;
    }
    device_open();
    memset(memory, byte, bytes);
    device_close();
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    if (device.sticky != cudaSuccess) {
        return device.sticky;
    }
    if (device_fails_now(&cuda_host.fail_copy)) {
        return device_fault(cudaErrorLaunchFailure, "a copy fails because the test asked for it");
    }
    const bool up = kind == cudaMemcpyHostToDevice;
    const void *theirs = up ? to : from, *ours = up ? from : to;
    if (!device_has_stream(stream) || !device_owns(theirs, bytes) || device_owns(ours, 1)) {
        return device_fault(cudaErrorInvalidValue,
                            "cudaMemcpyAsync of %zu bytes: the pointers do not fit its direction", bytes);
    }
    if (device.capture != NULL && !lies_in(device.pinned, ours, bytes)) {
        return device_fault(cudaErrorInvalidValue, "a graph would copy from or to pageable memory");
    }
    if (device_records(stream, [=] { return cudaMemcpyAsync(to, from, bytes, kind, stream); })) {
        return cudaSuccess;
    }
    if (up && cuda_host.late_copies) {
        device.late.push_back([=] {
            touchable((uintptr_t)to, bytes, true);
            memcpy(to, from, bytes);
            touchable((uintptr_t)to, bytes, false);
        });
        return cudaSuccess;
    }
    device_open();
    memcpy(to, from, bytes);
    device_close();
    return cudaSuccess;
}
