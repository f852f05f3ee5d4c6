/* Every call into NCCL that we make, under its own name, handed on to the library that was opened. */
#include "kernels/cuda/nccl.h"

#include "kernels/cuda/shared_library.h"

#define NAME "libnccl.so.2"

/* One library a process: addresses that are written once, and the same whoever writes them. */
#define ADDRESS(call) decltype(&::call) call;
static struct {
    FS_NCCL_CALLS(ADDRESS)
    bool opened;
} library;

bool fs_nccl_open(char *reason, size_t size)
{
    if (library.opened) {
        return true;
    }
    void *handle = fs_shared_library_open(NAME, "NCCL", reason, size);
#define FIND(call) &&fs_shared_library_find(handle, NAME, #call, (void *)&library.call, reason, size)
    library.opened = handle != NULL FS_NCCL_CALLS(FIND);
    if (handle != NULL && !library.opened) {
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
