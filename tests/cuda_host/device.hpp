/* What the files of CUDA on the host share: the device's memory and its error. */
#ifndef CUDA_HOST_DEVICE_HPP
#define CUDA_HOST_DEVICE_HPP

#include <functional>

#include <cuda_runtime.h>

#include "tests/cuda_host/cuda_host.h"

/* Records what went wrong (the first text stays) and the error that the next call reports; a launch failure stays. */
cudaError_t device_fault(cudaError_t error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The error that stays, or cudaSuccess. */
cudaError_t device_error();
/* Whether all of it lies in one allocation of device memory. */
bool device_owns(const void *memory, size_t bytes);
bool device_has_stream(cudaStream_t stream);
/* Device memory can be touched only in between: elsewhere the address sanitiser reports it. */
void device_open();
void device_close();

/* True where `work` is not done now: the stream is captured, and it is kept for the graph; or it is not the first
 * stream, and it is done when something waits for it. That work may say that it is not ready, and is tried again, or
 * that it never will be. */
bool device_records(cudaStream_t stream, const std::function<cudaError_t()> &work);
#define device_never ((cudaError_t)-1)

/* 1 for the failure that a test asked for; counts down. */
static inline bool device_fails_now(int *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

#endif
