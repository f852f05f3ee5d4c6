/* The part of NCCL's interface that is used, declared here so that no header of it is needed at build: the library is
 * opened at run time (library.cu). `make test-cuda-build` compares these with the real header where there is one. */
#ifndef FEWSTEP_NCCL_H
#define FEWSTEP_NCCL_H

#include <stddef.h>

#include <cuda_runtime.h>

extern "C" {

typedef struct ncclComm *ncclComm_t;
typedef enum { ncclSuccess = 0, ncclRemoteError = 6, ncclInProgress = 7 } ncclResult_t;
typedef enum { ncclFloat32 = 7 } ncclDataType_t;

#define NCCL_UNIQUE_ID_BYTES 128
typedef struct {
    char internal[NCCL_UNIQUE_ID_BYTES];
} ncclUniqueId;

ncclResult_t ncclGetVersion(int *version);
const char *ncclGetErrorString(ncclResult_t result);
const char *ncclGetLastError(ncclComm_t comm);
ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
ncclResult_t ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclCommAbort(ncclComm_t comm);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error);
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);
ncclResult_t ncclSend(const void *buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclRecv(void *buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream);
}

/* All of them, for what walks over them. */
#define FS_NCCL_CALLS(with)                                                                                            \
    with(ncclGetVersion) with(ncclGetErrorString) with(ncclGetLastError) with(ncclGetUniqueId) with(ncclCommInitRank)  \
        with(ncclCommDestroy) with(ncclCommAbort) with(ncclCommGetAsyncError) with(ncclGroupStart) with(ncclGroupEnd)  \
            with(ncclSend) with(ncclRecv)

/* Opens NCCL; false, with the reason, where it is not here. */
bool fs_nccl_open(char *reason, size_t size);

#endif
