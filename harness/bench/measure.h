/* What the files of `fewstep bench` share: what is measured on, and the rows that it prints. */
#ifndef FEWSTEP_MEASURE_H
#define FEWSTEP_MEASURE_H

#include <stdio.h>

#include "harness/comm/comm.h"
#include "harness/data/dataset.h"
#include "kernels/backend.h"

#define FS_BENCH_BUFFERS 16 /* that are taken at once, at most */
#define FS_BENCH_INCEPTION "inception-v3"
#define FS_BENCH_REDUCTION "reduction"

struct fs_bench {
    struct fs_backend *backend;
    bool json, on_device, profile;
    FILE *out;
    double peak_flops, half_peak_flops, copy_bytes; /* a second; half: of bf16 products, 0 where not measured */
    bool above_peak, above_copy;                    /* a row was, and the text says so at its end */
    enum fs_type type;                              /* of what is measured now */

    const char *model;
    struct fs_model_config config;
    int batch, height, width, channels;

    void *buffers[FS_BENCH_BUFFERS];
    int buffer_count;
    struct fs_error error; /* the first of an allocation or of the backend since it was cleared */
};

/* One row: the time of a run, the FLOPs and bytes of it; 0: not what limits it, and not printed. */
void fs_bench_row(struct fs_bench *b, const char *operation, double seconds, double flops, double bytes);
/* A float32 buffer of normals, until fs_bench_release; no view, and b->error, when there is no memory. */
struct fs_view fs_bench_take(struct fs_bench *b, int64_t rows, int64_t cols);
void fs_bench_release(struct fs_bench *b);
/* Waits for what was asked of the backend; a fault goes to b->error. */
void fs_bench_settle(struct fs_bench *b);

/* bench_network.c: of b's model, each with the memory that it takes: an update and a sampling forward; the network's
 * value and tangent; an update whose blocks are passed forward again (train.recompute: blocks). */
fs_status fs_bench_update(struct fs_bench *b, enum fs_type precision, struct fs_error *error);
fs_status fs_bench_tangent(struct fs_bench *b, enum fs_type precision, struct fs_error *error);
fs_status fs_bench_recompute(struct fs_bench *b, enum fs_type precision, struct fs_error *error);
/* A whole update whose rows a loader brings, from memory, from a folder of pictures and from latents by turns: what
 * each takes, and how much more than from memory. */
fs_status fs_bench_loader(struct fs_bench *b, struct fs_error *error);
/* bench_profile.c: an update of b's model, operation by operation, by what each takes beyond the least that it needs.
 */
fs_status fs_bench_profile(struct fs_bench *b, enum fs_type precision, struct fs_error *error);
/* bench_reduction.c: all ranks; what gradients of b's model cost between them, against the memory's bandwidth. */
fs_status fs_bench_reduction(struct fs_bench *b, struct fs_comm *comm, struct fs_error *error);
/* Features of `batch` (0: as many as suit) pictures. */
fs_status fs_bench_inception(struct fs_bench *b, int batch, struct fs_error *error);

/* bench_data.c: made-up data of b's shape. */
enum fs_bench_data { FS_BENCH_MEMORY, FS_BENCH_MEMORY_AGAIN, FS_BENCH_FOLDER, FS_BENCH_LATENTS, FS_BENCH_DATA };
/* What rows call it; NULL: there is none of this shape (pictures are square, with 1 or 3 channels). */
const char *fs_bench_data_name(const struct fs_bench *b, enum fs_bench_data where);
/* Close it, also after a failure. */
fs_status fs_bench_data_open(const struct fs_bench *b, enum fs_bench_data where, struct fs_dataset *data,
                             struct fs_error *error);

#endif
