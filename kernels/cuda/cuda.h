/* What the files of the CUDA backend share: its state, faults, scratch memory, launches, matrix products. */
#ifndef FEWSTEP_CUDA_H
#define FEWSTEP_CUDA_H

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

extern "C" {
#include "kernels/operands.h"
}

#define FS_CUDA_SCRATCH_LIMIT ((int64_t)512 << 20) /* bytes that an operation in parts takes at most, if it can */

struct fs_gemm;
struct fs_cudnn;
struct fs_exchange;

/* FEWSTEP_CUDA_ATTENTION, FEWSTEP_CUDA_CONVOLUTION */
enum fs_cuda_path {
    FS_PATH_AUTO,  /* cuDNN where it takes the shape, else our own */
    FS_PATH_OWN,   /* never cuDNN */
    FS_PATH_CUDNN, /* what cuDNN refuses is a fault */
};

/* FEWSTEP_CUDA_CHUNKS: samples that our own attention takes at once */
enum fs_cuda_chunks {
    FS_CHUNKS_AUTO,   /* as with memory; where products are timed, the fastest of some sizes */
    FS_CHUNKS_MEMORY, /* what FS_CUDA_SCRATCH_LIMIT holds */
    FS_CHUNKS_CACHE,  /* what the device's second-level cache holds */
};

/* An update that is kept as a CUDA graph: see update.cu. */
enum fs_cuda_update_mode {
    FS_UPDATE_NONE,
    FS_UPDATE_REHEARSE, /* operations run as they come, and are counted */
    FS_UPDATE_CAPTURE,  /* they become a graph */
    FS_UPDATE_REPLAY,   /* they are only counted: the graph runs at the end */
};

#define FS_CUDA_KEPT 4 /* updates that are kept at one time: a training's, and the passes of a sampler's step */
struct fs_cuda_kept {
    uint64_t key, expected; /* the sequence that its operations make */
    uint64_t used;          /* when, in updates; 0: nothing is kept here */
    bool rehearsed;
    char *staging; /* pinned: what its graph uploads */
    size_t staging_bytes;
    cudaGraphExec_t graph;
    cudaEvent_t launched; /* behind the last launch */
};

/* What is on its way to the host: see download_begin. */
struct fs_cuda_late {
    char *host;
    bool pinned;
    size_t bytes, room;
    cudaEvent_t there;
};

struct fs_cuda_update {
    enum fs_cuda_update_mode mode;
    bool off;   /* not wanted, or it did not work here: then the backend's notice says why */
    bool moved; /* memory that a graph may use is elsewhere now */
    struct fs_cuda_kept kept[FS_CUDA_KEPT], *current;
    uint64_t begun, sequence;
    size_t staged;
    char *ring; /* pinned: what is on its way to the device outside of graphs; NULL: there is none */
    size_t ring_used;
    void *numbers; /* device memory for the numbers of one operation */
};

/* One allocation that buffers are cut from: see memory.cu. */
struct fs_cuda_range {
    size_t begin, end;
};
struct fs_cuda_pool {
    char *memory; /* NULL: nothing was reserved */
    size_t bytes;
    struct fs_cuda_range *ranges; /* the buffers in it, from front to back */
    int count, room;
};

struct fs_cuda {
    struct fs_error fault; /* the first one since `synchronise`; status FS_OK: none */
    const char *operation; /* the last one begun: what a fault is charged to */
    cudaStream_t stream;   /* the only one, so operations run in order */
    void *scratch;         /* grows on demand; operations run in order, so it is shared by all */
    size_t scratch_bytes;
    struct fs_cuda_pool pool;
    struct fs_cuda_update update;
    struct fs_cuda_late late;
    struct fs_gemm *gemm;
    struct fs_cudnn *cudnn;       /* NULL: not compiled in, not wanted, or it does not start */
    struct fs_exchange *exchange; /* with other ranks; NULL: there is none */
    enum fs_cuda_path attention, convolution;
    enum fs_cuda_chunks chunks;
    bool tf32;                      /* how float32 is multiplied */
    bool through_host;              /* ranks are not joined, though they might be */
    char kept_choices[PATH_MAX];    /* the folder with what was measured on this device; "": nothing is measured */
    struct fs_cuda_known_way *ways; /* which of several ways is the fastest: see timing.h */
    int device;                     /* of this process: its local rank's */
    int64_t cache_bytes;            /* its second-level cache; 0: it has none */
    char variant[256];              /* the device's name */
    char choices[640];              /* what was chosen at the start, for doctor */
    char notice[160];               /* the backend's, once there is something to say */
};

/* The state when `operation` may go on: no earlier fault, `operands_fit` (else a fault), and no graph that does it. */
struct fs_cuda *fs_cuda_begin(struct fs_backend *backend, const char *operation, bool operands_fit);
/* The same for an operation with something from the host, which a graph needs anew each time: it goes on to
 * fs_cuda_put or fs_cuda_numbers. */
struct fs_cuda *fs_cuda_begin_upload(struct fs_backend *backend, const char *operation, bool operands_fit);
/* Copies from the host, which may change the memory as soon as it returns. */
bool fs_cuda_put(struct fs_cuda *cuda, void *device, const void *host, size_t bytes);
/* A copy of an operation's numbers in device memory, until the next operation; NULL when there is nothing to launch. */
#define FS_CUDA_NUMBERS 256 /* bytes at most */
void *fs_cuda_numbers(struct fs_cuda *cuda, const void *host, size_t bytes);
/* An operation of an update began: it goes into the sequence that a replay is compared with. */
void fs_cuda_count(struct fs_cuda *cuda, const char *operation);
/* The same for what the operation is given: shapes, places in memory, numbers that a graph would hold. */
void fs_cuda_identify(struct fs_cuda *cuda, uint64_t value);
/* Memory that a graph may use is given back. */
void fs_cuda_disturb(struct fs_cuda *cuda);
/* Device memory for an operation's numbers: FS_FAILED when there is none. fs_cuda_end_update gives it back, with the
 * staging memory and the graph that updates have made since. */
fs_status fs_cuda_start_update(struct fs_cuda *cuda, struct fs_error *error);
void fs_cuda_end_update(struct fs_cuda *cuda);
/* The graph and what was rehearsed for it, before something that it uses is gone. */
void fs_cuda_forget_update(struct fs_cuda *cuda);
/* cudaStreamSynchronize of the backend's stream. Where ranks are joined, others may have to do their part first: when
 * one of them is gone, or nothing came for FEWSTEP_NCCL_TIMEOUT seconds, the exchange is broken off, which is a fault.
 */
cudaError_t fs_cuda_wait(struct fs_cuda *cuda);
/* 256-byte aligned device memory until the next operation; NULL (and a fault) when there is none. */
void *fs_cuda_scratch(struct fs_cuda *cuda, size_t bytes);
/* Scratch and pool, at the end. */
void fs_cuda_free_memory(struct fs_cuda *cuda);
/* False, and a fault that names the operation, unless the status is a success. */
bool fs_cuda_check(struct fs_cuda *cuda, cudaError_t status, const char *file, int line);
#define FS_CUDA_CHECK(cuda, call) fs_cuda_check(cuda, call, __FILE__, __LINE__)

/* kernel<<<blocks, threads>>>(…) on the backend's stream; nothing for no blocks. A kernel that is a template goes in
 * parentheses. The other branch is the tests', which run kernels without a device, and whose clock is theirs. */
#ifdef __CUDACC__
#include <time.h>
/* Seconds of a clock, for what the device is waited for. */
static inline double fs_cuda_seconds()
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#define FS_LAUNCH_ON(stream, kernel, blocks, threads, ...)                                                             \
    kernel<<<(unsigned)(blocks), (unsigned)(threads), 0, stream>>>(__VA_ARGS__)
#else
#define fs_cuda_seconds cuda_host_seconds
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

/* A cuBLASLt handle, its workspace and what was chosen for each shape so far; NULL and `error` on failure. Owned by the
 * caller, given back with fs_gemm_destroy (which takes NULL). */
struct fs_gemm *fs_gemm_create(struct fs_error *error);
void fs_gemm_destroy(struct fs_gemm *gemm);
size_t fs_gemm_version(void); /* cuBLASLt's */
/* Choices that are kept in a file of the folder, one for each device and version of cuBLASLt: see kept_choices.cu. The
 * first value that was kept for a key; false when there is none. */
bool fs_cuda_find_choice(struct fs_cuda *cuda, const char *kind, const void *key, size_t key_bytes, void *value,
                         size_t value_bytes);
/* Keeps it; another process may have been first, then `value` becomes what that one kept. False, and a fault, when it
 * cannot be written. */
bool fs_cuda_keep_choice(struct fs_cuda *cuda, const char *kind, const void *key, size_t key_bytes, void *value,
                         size_t value_bytes);

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

/* Once, at the start: FEWSTEP_CUDA_ATTENTION and FEWSTEP_CUDA_CONVOLUTION (auto, own, cudnn), FEWSTEP_CUDA_CHUNKS
 * (auto, memory, cache), FEWSTEP_CUDA_FP32 (ieee, the default; tf32 is faster and has ten bits of mantissa),
 * FEWSTEP_CUDA_PRODUCTS (a folder); and cuDNN with them. */
fs_status fs_cuda_choose(struct fs_cuda *cuda, struct fs_error *error);

/* cuDNN for the running device, or NULL; `text`: its version, or why not. */
#ifdef FS_CUDNN
struct fs_cudnn *fs_cudnn_create(cudaStream_t stream, char *text, size_t size);
void fs_cudnn_destroy(struct fs_cudnn *cudnn);
/* As fs_cudnn_attention of attention.h. */
bool fs_cudnn_convolution(struct fs_cuda *cuda, struct fs_view y, struct fs_view x, struct fs_view w,
                          struct fs_view bias, const struct fs_window *window, bool relu);
#else
static inline struct fs_cudnn *fs_cudnn_create(cudaStream_t, char *text, size_t size)
{
    snprintf(text, size, "cuDNN is not compiled in");
    return NULL;
}
static inline void fs_cudnn_destroy(struct fs_cudnn *)
{
}
static inline bool fs_cudnn_convolution(struct fs_cuda *, struct fs_view, struct fs_view, struct fs_view,
                                        struct fs_view, const struct fs_window *, bool)
{
    return false;
}
#endif

/* --- an operation that tells the update what it is given ---
 * A graph does what was captured, on the operands of then; so an update is only the one that was kept if each of its
 * operations has the same arguments. What a graph takes anew each time is left out: the host's memory that an upload
 * comes from, the numbers of AdamW, the key and the first row of the normals. */

template <class Number> static inline void fs_identify(struct fs_cuda *cuda, Number number)
{
    static_assert(sizeof number <= sizeof(uint64_t), "a number or an address");
    uint64_t bits = 0;
    memcpy(&bits, &number, sizeof number);
    fs_cuda_identify(cuda, bits);
}

static inline void fs_identify(struct fs_cuda *, const void *) /* the host's */
{
}

static inline void fs_identify(struct fs_cuda *, uint32_t) /* a first row of normals */
{
}

static inline void fs_identify(struct fs_cuda *, struct fs_random_key)
{
}

static inline void fs_identify(struct fs_cuda *cuda, struct fs_view view)
{
    fs_identify(cuda, (uintptr_t)view.data);
    fs_identify(cuda, (int64_t)view.type);
    fs_identify(cuda, view.rows);
    fs_identify(cuda, view.cols);
    fs_identify(cuda, view.stride);
}

static inline void fs_identify(struct fs_cuda *cuda, const struct fs_view *averages) /* AdamW's */
{
    fs_identify(cuda, averages[0]);
    fs_identify(cuda, averages[1]);
}

static inline void fs_identify(struct fs_cuda *cuda, const struct fs_adamw *adamw)
{
    fs_identify(cuda, adamw->norm2);
    for (const struct fs_view &copy : adamw->copies) {
        fs_identify(cuda, copy);
    }
}

static inline void fs_identify(struct fs_cuda *cuda, struct fs_loss loss)
{
    fs_identify(cuda, (int64_t)loss.kind);
    fs_identify(cuda, loss.power);
    fs_identify(cuda, loss.c);
}

static inline void fs_identify(struct fs_cuda *cuda, const struct fs_window *window)
{
    const int64_t numbers[] = {window->in_height,     window->in_width,     window->in_channels, window->out_channels,
                               window->kernel_height, window->kernel_width, window->stride,      window->pad_height,
                               window->pad_width,     window->pad_below,    window->pad_right,   window->channels_last};
    for (int64_t number : numbers) {
        fs_identify(cuda, number);
    }
}

static inline void fs_identify(struct fs_cuda *cuda, const struct fs_resize_side *side)
{
    fs_identify(cuda, side->in);
    fs_identify(cuda, side->out);
    fs_identify(cuda, side->taps);
    fs_identify(cuda, (uintptr_t)side->first);
    fs_identify(cuda, (uintptr_t)side->weights);
}

static inline void fs_identify(struct fs_cuda *cuda, const struct fs_resize_scale *scale)
{
    const float numbers[] = {scale->low, scale->high, scale->gain, scale->offset};
    for (float number : numbers) {
        fs_identify(cuda, number);
    }
}

template <auto operation> struct fs_told;
template <class... Arguments, void (*operation)(struct fs_backend *, Arguments...)> struct fs_told<operation> {
    static void run(struct fs_backend *backend, Arguments... arguments)
    {
        struct fs_cuda *cuda = (struct fs_cuda *)backend->state;
        if (cuda->update.mode != FS_UPDATE_NONE) {
            (fs_identify(cuda, arguments), ...);
        }
        operation(backend, arguments...);
    }
};
/* What goes into the table for an operation. */
#define FS_TOLD(operation) fs_told<operation>::run

/* The files with operations, one a line: each puts its own into the table. */
#define FS_CUDA_FILES(do_with)                                                                                         \
    do_with(attention);                                                                                                \
    do_with(convolution);                                                                                              \
    do_with(elementwise);                                                                                              \
    do_with(exchange);                                                                                                 \
    do_with(group_norm);                                                                                               \
    do_with(linear);                                                                                                   \
    do_with(loss);                                                                                                     \
    do_with(memory);                                                                                                   \
    do_with(norm);                                                                                                     \
    do_with(optimiser);                                                                                                \
    do_with(pooling);                                                                                                  \
    do_with(random);                                                                                                   \
    do_with(resize);                                                                                                   \
    do_with(tokens);                                                                                                   \
    do_with(update)
#define FS_CUDA_DECLARE(file) void fs_cuda_install_##file(struct fs_backend *backend)
FS_CUDA_FILES(FS_CUDA_DECLARE);

/* The entry of the shared object. NULL, with one line that says why, without a usable driver and device. */
extern "C" __attribute__((visibility("default"))) struct fs_backend *fs_cuda_backend(struct fs_error *error);

#endif
