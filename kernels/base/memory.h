/* Checked allocation, and how much memory the process has had. */
#ifndef FEWSTEP_MEMORY_H
#define FEWSTEP_MEMORY_H

#include <stddef.h>

#include "kernels/base/error.h"

/* Zeroed memory for count × size bytes, aligned to 64; NULL (and `error` filled with `what`) on overflow or
 * when there is none. Owned by the caller, given back with free(). A count of 0 gives a valid pointer. */
void *fs_allocate(size_t count, size_t size, const char *what, struct fs_error *error);

/* A copy of `text`, owned by the caller; NULL and `error` filled when there is no memory. */
char *fs_copy_text(const char *text, struct fs_error *error);

/* printf into fresh memory, owned by the caller; NULL and `error` filled when there is no memory. */
char *fs_format(struct fs_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The largest resident set of the process in bytes, since it began or since the last reset; 0 where the system does not
 * say. Where it allows no reset (proc(5), clear_refs), there is none. */
size_t fs_memory_peak(void);
void fs_memory_peak_reset(void);

#endif
