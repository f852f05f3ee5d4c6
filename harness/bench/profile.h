/* A backend that does what another one does and keeps, operation by operation, how long it took, and how many FLOPs and
 * bytes it had. */
#ifndef FEWSTEP_BENCH_PROFILE_H
#define FEWSTEP_BENCH_PROFILE_H

#include "kernels/backend.h"

#define FS_PROFILE_ROWS 128

/* All calls of an operation with operands of one size. */
struct fs_profile_row {
    const char *operation;
    int64_t rows, cols, outputs; /* of its largest input; outputs: of a product, else 0 */
    enum fs_type type;           /* of that input */
    int64_t calls;
    double seconds, flops, bytes; /* of all calls; bytes: each operand once, a sum twice */
};

struct fs_profile {
    struct fs_backend backend; /* first: what the operations are given */
    struct fs_backend *inner;
    bool waits; /* for each operation, as a device goes on while it is asked for the next */
    struct fs_profile_row rows[FS_PROFILE_ROWS];
    int count; /* rows; what finds no place is not kept */
};

/* profile->backend is `inner` with a clock around each operation that an update consists of; others are passed through.
 * It owns nothing, and `inner` outlives it. Updates are not kept as graphs. */
void fs_profile_begin(struct fs_profile *profile, struct fs_backend *inner, bool waits);
/* Forgets what was kept. */
void fs_profile_clear(struct fs_profile *profile);

#endif
