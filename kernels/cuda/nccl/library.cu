/* Every call into NCCL that we make, under its own name, handed on to the library that was opened. */
#include "kernels/cuda/nccl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define NAME "libnccl.so.2"

/* One library a process: addresses that are written once, and the same whoever writes them. */
#define ADDRESS(call) decltype(&::call) call;
static struct {
    FS_NCCL_CALLS(ADDRESS)
    bool opened;
} library;

static bool find(void *handle, const char *name, void *address, char *reason, size_t size)
{
    void *found = dlsym(handle, name);
    if (found == NULL) {
        snprintf(reason, size, NAME " has no %s", name);
        return false;
    }
    memcpy(address, &found, sizeof found);
    return true;
}

bool fs_nccl_open(char *reason, size_t size)
{
    if (library.opened) {
        return true;
    }
    void *handle = dlopen(NAME, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(reason, size, "NCCL is not here: %s", dlerror());
        return false;
    }
#define FIND(call) &&find(handle, #call, (void *)&library.call, reason, size)
    library.opened = true FS_NCCL_CALLS(FIND);
    if (!library.opened) {
        dlclose(handle);
    }
    return library.opened;
}

extern "C" {

ncclResult_t ncclGetVersion(int *version)
{
    return library.ncclGetVersion(version);
}

const char *ncclGetErrorString(ncclResult_t result)
{
    return library.ncclGetErrorString(result);
}

const char *ncclGetLastError(ncclComm_t comm)
{
    return library.ncclGetLastError(comm);
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    return library.ncclGetUniqueId(id);
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank)
{
    return library.ncclCommInitRank(comm, size, id, rank);
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    return library.ncclCommDestroy(comm);
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    return library.ncclCommAbort(comm);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    return library.ncclCommGetAsyncError(comm, error);
}

ncclResult_t ncclGroupStart(void)
{
    return library.ncclGroupStart();
}

ncclResult_t ncclGroupEnd(void)
{
    return library.ncclGroupEnd();
}

ncclResult_t ncclSend(const void *buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return library.ncclSend(buffer, count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void *buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream)
{
    return library.ncclRecv(buffer, count, type, peer, comm, stream);
}
}
