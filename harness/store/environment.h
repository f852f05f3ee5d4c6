/* What this process makes its numbers with and on. */
#ifndef FEWSTEP_ENVIRONMENT_H
#define FEWSTEP_ENVIRONMENT_H

#include <stddef.h>

#include "harness/store/store.h"
#include "kernels/backend.h"

/* "oneDNN 2.6.3, OpenBLAS 0.3.21, …": the libraries that are loaded, cut off at `size`. */
void fs_library_versions(char *text, size_t size);
/* The processor as the system calls it; "unknown" where it does not say. */
void fs_processor_name(char *text, size_t size);

/* Texts that fs_environment points at, beside those of the program itself. */
struct fs_environment_texts {
    char libraries[256], cpu[128], host[128];
};
/* This build, its libraries, this machine, the backend that is used, and how many processes share the
 * work. `texts` must outlive the result. */
struct fs_environment fs_environment_collect(const struct fs_backend *backend, int ranks,
                                             struct fs_environment_texts *texts);

/* The same, stored: *id is its row. */
fs_status fs_store_this_environment(struct fs_store *store, const struct fs_backend *backend, int ranks, int64_t *id,
                                    struct fs_error *error);

#endif
