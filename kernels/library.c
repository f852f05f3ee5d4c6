/* The CUDA backend lives in a shared object that comes with the program, so that the program runs where there is no
 * CUDA. */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "kernels/backend.h"
#include "kernels/base/file.h"

struct fs_backend *fs_load_cuda_backend(struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    if (!fs_program_file("libfewstep_cuda.so", path)) {
        fs_fail(error, FS_USAGE,
                "cuda: this build has no CUDA backend (%s is not there; `make cuda`, with nvcc, builds it)", path);
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fs_fail(error, FS_USAGE, "cuda: %s", dlerror());
        return NULL;
    }
    struct fs_backend *(*create)(struct fs_error *);
    *(void **)&create = dlsym(library, "fs_cuda_backend"); /* as POSIX says to convert it */
    struct fs_backend *backend = create ? create(error) : NULL;
    if (create == NULL) {
        fs_fail(error, FS_USAGE, "cuda: %s is not the CUDA backend of this program", path);
    } else if (backend != NULL && backend->abi != FS_BACKEND_ABI) {
        fs_fail(error, FS_USAGE, "cuda: %s was built for interface %u, this program has %u: build both again", path,
                backend->abi, FS_BACKEND_ABI);
        backend = NULL; /* nothing of it may be called, so it stays */
    }
    return backend; /* and the library stays loaded: the backend's functions are in it */
}
