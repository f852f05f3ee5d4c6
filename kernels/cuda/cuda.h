/* What the files of the CUDA backend share: its state, faults, scratch memory, launches, matrix products. */
#ifndef FEWSTEP_CUDA_H
#define FEWSTEP_CUDA_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

extern "C" {
#include "kernels/backend.h"
}

struct fs_gemm;

struct fs_cuda {
    struct fs_error fault; /* the first one since `synchronise`; status FS_OK: none */
    const char *operation; /* the last one begun: what a fault is charged to */
    cudaStream_t stream;   /* the only one, so operations run in order */
    void *scratch;         /* grows on demand; operations run in order, so it is shared by all */
    size_t scratch_bytes;
    struct fs_gemm *gemm;
    char variant[256]; /* the device's name */
};

/* The state when `operation` may go on: no earlier fault, and `operands_fit`, else NULL (and a fault). */
struct fs_cuda *fs_cuda_begin(struct fs_backend *backend, const char *operation, bool operands_fit);
/* 256-byte aligned device memory until the next operation; NULL (and a fault) when there is none. */
void *fs_cuda_scratch(struct fs_cuda *cuda, size_t bytes);
/* False, and a fault that names the operation, unless the status is a success. */
bool fs_cuda_check(struct fs_cuda *cuda, cudaError_t status, const char *file, int line);
#define FS_CUDA_CHECK(cuda, call) fs_cuda_check(cuda, call, __FILE__, __LINE__)

/* kernel<<<blocks, threads>>>(…) on the backend's stream; nothing for no blocks. A kernel that is a template goes in
 * parentheses. The other branch is the tests', which run kernels without a device. */
#ifdef __CUDACC__
#define FS_LAUNCH_ON(stream, kernel, blocks, threads, ...)                                                             \
    kernel<<<(unsigned)(blocks), (unsigned)(threads), 0, stream>>>(__VA_ARGS__)
#else
#define FS_LAUNCH_ON(stream, kernel, blocks, threads, ...)                                                             \
    cuda_host_launch(kernel, (unsigned)(blocks), (unsigned)(threads), stream, __VA_ARGS__)
#endif
#define FS_LAUNCH(cuda, kernel, blocks, threads, ...)                                                                  \
    do {                                                                                                               \
        if ((blocks) > 0) {                                                                                            \
            FS_LAUNCH_ON((cuda)->stream, kernel, blocks, threads, __VA_ARGS__);                                        \
            FS_CUDA_CHECK(cuda, cudaGetLastError());                                                                   \
        }                                                                                                              \
    } while (0)

/* One row-major matrix, or `batch` of them, each `step` elements after the one before. */
struct fs_matrices {
    void *data;
    enum fs_type type;
    int64_t rows, cols, stride, step;
};

enum fs_epilogue {
    FS_EPILOGUE_NONE,
    FS_EPILOGUE_BIAS,        /* + bias */
    FS_EPILOGUE_GELU,        /* GELU(z + bias), with z + bias kept in aux; bias and aux may be not given */
    FS_EPILOGUE_GELU_SLOPE,  /* · GELU′(aux) */
    FS_EPILOGUE_COLUMN_SUMS, /* bias = sums over the rows of a, which is transposed: a bias gradient */
};

/* out = alpha·op(a)·op(b) + (accumulate ? out : 0), then the epilogue; op transposes where asked. a and b of one type;
 * bias, aux and out of another (aux is a view like out, bias as long as a row of it). */
struct fs_cuda_product {
    struct fs_matrices out, a, b;
    bool transpose_a, transpose_b, accumulate;
    int64_t batch;
    float alpha;
    enum fs_epilogue epilogue;
    void *bias;
    struct fs_view aux;
};

struct fs_gemm *fs_gemm_create(struct fs_error *error);
void fs_gemm_destroy(struct fs_gemm *gemm);
/* False when cuBLASLt has no algorithm for it, or on a fault. */
bool fs_gemm_product(struct fs_cuda *cuda, const struct fs_cuda_product *product);

static inline struct fs_matrices fs_matrices_of(struct fs_view view)
{
    return (struct fs_matrices){view.data, view.type, view.rows, view.cols, view.stride, 0};
}

/* out (float32, [1, cols]) += the column sums of x. */
void fs_cuda_add_column_sums(struct fs_cuda *cuda, struct fs_view out, struct fs_view x);
/* What a product without a fused epilogue lacks. y = activation(z + bias), z + bias kept in `pre` (when given). */
void fs_cuda_finish_linear(struct fs_cuda *cuda, struct fs_view y, struct fs_view pre, struct fs_view z,
                           struct fs_view bias, bool gelu);
/* dx = dz·GELU′(pre), or dz where `pre` is not given. */
void fs_cuda_finish_gradient(struct fs_cuda *cuda, struct fs_view dx, struct fs_view dz, struct fs_view pre);

/* Put the operations of each file into the table. */
void fs_cuda_install_attention(struct fs_backend *backend);
void fs_cuda_install_convolution(struct fs_backend *backend);
void fs_cuda_install_elementwise(struct fs_backend *backend);
void fs_cuda_install_linear(struct fs_backend *backend);
void fs_cuda_install_loss(struct fs_backend *backend);
void fs_cuda_install_norm(struct fs_backend *backend);
void fs_cuda_install_optimiser(struct fs_backend *backend);
void fs_cuda_install_pooling(struct fs_backend *backend);
void fs_cuda_install_random(struct fs_backend *backend);
void fs_cuda_install_tokens(struct fs_backend *backend);

/* The entry of the shared object. NULL, with one line that says why, without a usable driver and device. */
extern "C" __attribute__((visibility("default"))) struct fs_backend *fs_cuda_backend(struct fs_error *error);

#endif
