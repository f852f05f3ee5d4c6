/* The declarations of kernels/cuda/nccl.h beside those of NCCL's own header, and the library itself, opened as the
 * backend opens it. Needs no device: what NCCL refuses without one it refuses with a status. */
#include <cuda_runtime.h>
#include <nccl.h>
#include <stdio.h>
#include <string.h>

#include <type_traits>

/* Ours by other names. */
#define ncclComm_t ours_comm
#define ncclResult_t ours_result
#define ncclDataType_t ours_type
#define ncclUniqueId ours_id
#define ncclSuccess ours_success
#define ncclRemoteError ours_remote_error
#define ncclInProgress ours_in_progress
#define ncclFloat32 ours_float32
#define ncclGetVersion ours_ncclGetVersion
#define ncclGetErrorString ours_ncclGetErrorString
#define ncclGetLastError ours_ncclGetLastError
#define ncclGetUniqueId ours_ncclGetUniqueId
#define ncclCommInitRank ours_ncclCommInitRank
#define ncclCommDestroy ours_ncclCommDestroy
#define ncclCommAbort ours_ncclCommAbort
#define ncclCommGetAsyncError ours_ncclCommGetAsyncError
#define ncclGroupStart ours_ncclGroupStart
#define ncclGroupEnd ours_ncclGroupEnd
#define ncclSend ours_ncclSend
#define ncclRecv ours_ncclRecv
#include "kernels/cuda/nccl.h"
#undef ncclComm_t
#undef ncclResult_t
#undef ncclDataType_t
#undef ncclUniqueId
#undef ncclSuccess
#undef ncclRemoteError
#undef ncclInProgress
#undef ncclFloat32
#undef ncclGetVersion
#undef ncclGetErrorString
#undef ncclGetLastError
#undef ncclGetUniqueId
#undef ncclCommInitRank
#undef ncclCommDestroy
#undef ncclCommAbort
#undef ncclCommGetAsyncError
#undef ncclGroupStart
#undef ncclGroupEnd
#undef ncclSend
#undef ncclRecv

/* A type as a call passes it: an enumeration is the integer that it is made of, an id so many bytes. */
template <size_t> struct bytes;
template <class T, bool = std::is_enum<T>::value> struct passed {
    typedef T type;
};
template <class T> struct passed<T, true> {
    typedef typename std::underlying_type<T>::type type;
};
template <class T> struct passed<T *, false> {
    typedef typename passed<T>::type *type;
};
template <class T> struct passed<const T, false> {
    typedef const typename passed<T>::type type;
};
template <> struct passed<ncclUniqueId, false> {
    typedef bytes<sizeof(ncclUniqueId)> type;
};
template <> struct passed<ours_id, false> {
    typedef bytes<sizeof(ours_id)> type;
};
template <class Result, class... Arguments> struct passed<Result(Arguments...), false> {
    typedef void type(typename passed<Result>::type, typename passed<Arguments>::type...);
};

#define SAME(call)                                                                                                     \
    static_assert(std::is_same<passed<decltype(call)>::type, passed<decltype(ours_##call)>::type>::value, #call);
FS_NCCL_CALLS(SAME)

static_assert((int)ncclSuccess == (int)ours_success && (int)ncclRemoteError == (int)ours_remote_error &&
                  (int)ncclInProgress == (int)ours_in_progress && (int)ncclFloat32 == (int)ours_float32,
              "values");
static_assert(std::is_trivially_copyable<ncclUniqueId>::value && alignof(ncclUniqueId) == alignof(ours_id), "an id");

static int failures;

static void expect(bool good, const char *what)
{
    printf("%s: %s\n", good ? "ok" : "FAILED", what);
    failures += !good;
}

int main(void)
{
    char reason[256] = "";
    int version = 0;
    ncclUniqueId id;
    ncclComm_t comm = NULL;
    memset(&id, 0, sizeof id);
    if (!fs_nccl_open(reason, sizeof reason)) {
        printf("FAILED: %s\n", reason);
        return 1;
    }
    expect(ncclGetVersion(&version) == ncclSuccess && version >= 21800, "its version");
    printf("NCCL %d, the header is of %d\n", version, NCCL_VERSION_CODE);
    expect(strstr(ncclGetErrorString(ncclInvalidArgument), "invalid argument") != NULL, "a status has a text");
    expect(ncclCommGetAsyncError(NULL, NULL) != ncclSuccess, "no communicator is refused");
    expect(ncclGroupStart() == ncclSuccess && ncclGroupEnd() == ncclSuccess, "an empty group");
    expect(ncclCommInitRank(&comm, 2, id, 5) != ncclSuccess, "a rank that there is not is refused");
    return failures > 0;
}
