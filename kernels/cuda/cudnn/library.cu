/* Every call into cuDNN that we make, under its own name, handed on to the library that was opened. */
#include "kernels/cuda/cudnn/library.h"

#include <stdint.h>

#include <cudnn.h>

#include "kernels/cuda/shared_library.h"

#define NAME "libcudnn.so.9"

#define CALLS(with)                                                                                                    \
    with(cudnnCreate) with(cudnnDestroy) with(cudnnSetStream) with(cudnnGetVersion) with(cudnnGetErrorString)          \
        with(cudnnGetLastErrorString) with(cudnnBackendCreateDescriptor) with(cudnnBackendDestroyDescriptor)           \
            with(cudnnBackendFinalize) with(cudnnBackendSetAttribute) with(cudnnBackendGetAttribute)                   \
                with(cudnnBackendExecute)

/* One library a process: addresses that are written once, and the same whoever writes them. */
#define ADDRESS(call) decltype(&::call) call;
static struct {
    CALLS(ADDRESS)
    bool opened;
} library;

bool fs_cudnn_open(char *reason, size_t size)
{
    if (library.opened) {
        return true;
    }
    void *handle = fs_shared_library_open(NAME, "cuDNN", reason, size);
#define FIND(call) &&fs_shared_library_find(handle, NAME, #call, (void *)&library.call, reason, size)
    library.opened = handle != NULL CALLS(FIND);
    if (handle != NULL && !library.opened) {
        dlclose(handle);
    }
    return library.opened;
}

extern "C" {

cudnnStatus_t CUDNNWINAPI cudnnCreate(cudnnHandle_t *handle)
{
    return library.cudnnCreate(handle);
}

cudnnStatus_t CUDNNWINAPI cudnnDestroy(cudnnHandle_t handle)
{
    return library.cudnnDestroy(handle);
}

cudnnStatus_t CUDNNWINAPI cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    return library.cudnnSetStream(handle, stream);
}

size_t CUDNNWINAPI cudnnGetVersion(void)
{
    return library.cudnnGetVersion();
}

const char *CUDNNWINAPI cudnnGetErrorString(cudnnStatus_t status)
{
    return library.cudnnGetErrorString(status);
}

void CUDNNWINAPI cudnnGetLastErrorString(char *message, size_t size)
{
    library.cudnnGetLastErrorString(message, size);
}

cudnnStatus_t CUDNNWINAPI cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                                       cudnnBackendDescriptor_t *descriptor)
{
    return library.cudnnBackendCreateDescriptor(type, descriptor);
}

cudnnStatus_t CUDNNWINAPI cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor)
{
    return library.cudnnBackendDestroyDescriptor(descriptor);
}

cudnnStatus_t CUDNNWINAPI cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    return library.cudnnBackendFinalize(descriptor);
}

cudnnStatus_t CUDNNWINAPI cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                                   cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                                   int64_t count, const void *values)
{
    return library.cudnnBackendSetAttribute(descriptor, name, type, count, values);
}

cudnnStatus_t CUDNNWINAPI cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                                   cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                                   int64_t wanted, int64_t *count, void *values)
{
    return library.cudnnBackendGetAttribute(descriptor, name, type, wanted, count, values);
}

cudnnStatus_t CUDNNWINAPI cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                              cudnnBackendDescriptor_t pack)
{
    return library.cudnnBackendExecute(handle, plan, pack);
}
}
