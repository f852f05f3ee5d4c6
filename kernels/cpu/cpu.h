/* What the files of the CPU backend share: its state, faults, scratch memory, and the tables of hot loops that are
 * compiled once per instruction set (isa/). */
#ifndef FEWSTEP_CPU_H
#define FEWSTEP_CPU_H

#include "kernels/cpu/blocked.h"
#include "kernels/operands.h"

struct fs_onednn;

enum fs_isa { FS_ISA_BASELINE, FS_ISA_AVX2, FS_ISA_AVX512 };

struct fs_cpu {
    int threads;
    enum fs_isa isa;
    struct fs_error fault; /* the first one since `synchronise`; status FS_OK: none */
    void *scratch;         /* grows on demand; one operation runs at a time, so it is shared by all */
    size_t scratch_bytes;
    struct fs_onednn *onednn;
    struct fs_onednn **workers; /* [threads]: each for one thread alone, within parallel regions of ours */

    /* Hot loops that linear.c and convolution.c need beside those of the backend's table. */
    void (*gelu_forward)(const struct fs_cpu *cpu, struct fs_view y, struct fs_view z);
    void (*gelu_gradient)(const struct fs_cpu *cpu, struct fs_view dx, struct fs_view dy, struct fs_view x);
    void (*relu_backward)(const struct fs_cpu *cpu, struct fs_view dz, struct fs_view dy, struct fs_view y);
    /* sums [cols] = column sums of rows first … last − 1 of x, in one thread. */
    void (*column_sums)(float *sums, struct fs_view x, int64_t first, int64_t last);
    struct fs_blocked_loops blocked; /* for networks */
    /* Run `rounds` of multiply-adds and return their FLOPs; bf16: only where the CPU multiplies it, may be NULL. */
    double (*peak_flops)(const struct fs_cpu *cpu, int64_t rounds);
    double (*bf16_peak_flops)(const struct fs_cpu *cpu, int64_t rounds);
};

/* Rows that one partial column sum covers: fixed, so that sums do not depend on the number of threads. */
#define FS_COLUMN_CHUNK 256
static inline int64_t fs_column_chunks(int64_t rows)
{
    return (rows + FS_COLUMN_CHUNK - 1) / FS_COLUMN_CHUNK;
}

/* The state when `operation` may go on: no earlier fault, and `operands_fit`, else NULL (and a fault). */
struct fs_cpu *fs_cpu_begin(struct fs_backend *backend, const char *operation, bool operands_fit);
/* 64-byte aligned memory until the next operation; NULL (and a fault) when there is none. */
void *fs_cpu_scratch(struct fs_cpu *cpu, const char *operation, size_t bytes);

/* Put the operations of linear.c and convolution.c into the table. */
void fs_cpu_install_linear(struct fs_backend *backend);
void fs_cpu_install_convolution(struct fs_backend *backend);

/* The files of isa/, one a line. Each is compiled three times and puts what it has into the backend's table or into
 * struct fs_cpu. */
#define FS_ISA_FILES(do_with, isa)                                                                                     \
    do_with(attention, isa);                                                                                           \
    do_with(blocked, isa);                                                                                             \
    do_with(elementwise, isa);                                                                                         \
    do_with(group_norm, isa);                                                                                          \
    do_with(loss, isa);                                                                                                \
    do_with(norm, isa);                                                                                                \
    do_with(normals, isa);                                                                                             \
    do_with(optimiser, isa);                                                                                           \
    do_with(peak, isa);                                                                                                \
    do_with(pooling, isa);                                                                                             \
    do_with(resize, isa);                                                                                              \
    do_with(tokens, isa)
#define FS_ISA_DECLARE(file, isa) void fs_install_##file##_##isa(struct fs_backend *backend)
FS_ISA_FILES(FS_ISA_DECLARE, baseline);
FS_ISA_FILES(FS_ISA_DECLARE, avx2);
FS_ISA_FILES(FS_ISA_DECLARE, avx512);

#define FS_JOIN_(a, b) a##_##b
#define FS_JOIN(a, b) FS_JOIN_(a, b)
#define FS_ISA_NAME(name) FS_JOIN(name, FS_ISA)

#endif
