/* Libraries that are opened when a backend starts and not when it is loaded, so that a machine may be without them. */
#ifndef FEWSTEP_CUDA_SHARED_LIBRARY_H
#define FEWSTEP_CUDA_SHARED_LIBRARY_H

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* A library by its file's name; NULL, with the reason, where it is not here. `what`: what people call it. */
static inline void *fs_shared_library_open(const char *file, const char *what, char *reason, size_t size)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(reason, size, "%s is not here: %s", what, dlerror());
    }
    return handle;
}

/* Puts the address of a call into `address`, a pointer to a function; false, with the reason, where it has none. */
static inline bool fs_shared_library_find(void *handle, const char *file, const char *call, void *address, char *reason,
                                          size_t size)
{
    void *found = dlsym(handle, call);
    if (found == NULL) {
        snprintf(reason, size, "%s has no %s", file, call);
        return false;
    }
    memcpy(address, &found, sizeof found);
    return true;
}

#endif
