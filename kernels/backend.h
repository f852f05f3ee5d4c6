/* A backend: the tensor operations of the network as a table of functions. The CPU's is in cpu/, CUDA's in cuda/
 * (a shared object that is loaded at run time).
 *
 * Errors. Operations return nothing: the first fault sticks to the backend, later operations do nothing, and
 * `synchronise` reports it with the operation's name. So a network reads as a list of operations, and a device need
 * not be waited for.
 * Shapes. Every operand is a view: rows × cols, row-major, `stride` elements from one row to the next. B: samples,
 * T: tokens a sample, D: width. Where an operand has one row per sample and another one per token, T is the ratio
 * of their rows.
 * Types. FS_F32 everywhere; FS_BF16 where "any type" is said; FS_F64 only in the reference backend of the tests,
 * whose operands are all FS_F64. Statistics, parameter gradients and optimiser state are never FS_BF16.
 * Gradients. Parameter gradients are added to what is there (micro-batches); activation gradients are written
 * unless said otherwise.
 * Determinism. The same call gives the same bits for the same number of threads. */
#ifndef FEWSTEP_BACKEND_H
#define FEWSTEP_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"
#include "kernels/base/random.h"
#include "kernels/base/type.h"

#define FS_BACKEND_ABI 11u

/* A matrix somewhere in the backend's memory; owns nothing. data == NULL means "not given". */
struct fs_view {
    void *data;
    enum fs_type type;
    int64_t rows, cols, stride;
};

enum fs_activation { FS_LINEAR, FS_GELU };

#define FS_EXCHANGE_ID 128   /* bytes of what the ranks of an exchange are told, so that they find each other */
#define FS_EXCHANGE_PIECE 16 /* numbers: what each rank adds of an exchange_sum is a multiple of them */

/* A 2-D convolution or pooling window over NHWC images. A view of images has a row per sample, H·W·C columns. */
struct fs_window {
    int64_t in_height, in_width, in_channels;
    int64_t out_channels; /* pooling: equal to in_channels */
    int64_t kernel_height, kernel_width, stride;
    int64_t pad_height, pad_width; /* on both sides */
    int64_t pad_below, pad_right;  /* beside these, on that side alone */
    int64_t channels_last;         /* 1: each filter lies as (row, column, channel); 0: as (channel, row, column) */
};

enum fs_pooling { FS_POOL_MAX, FS_POOL_AVERAGE_PADDED, FS_POOL_AVERAGE_UNPADDED };

/* How one side of a picture is resized: place i is Σ_k weights[i·taps + k]·(input first[i] + k). Owns nothing. */
struct fs_resize_side {
    int64_t in, out, taps;
    int32_t *first; /* [out], each at most in − taps; in the backend's memory, as the weights are */
    float *weights; /* [out, taps] */
};

/* What becomes of a resized value: not below low, not above high (NaN stays), then gain·value + offset. */
struct fs_resize_scale {
    float low, high, gain, offset;
};

/* What a row's error Δ = prediction − target of n numbers counts, beside its given weight. MEAN_SQUARE: 1. ADAPTIVE:
 * n/(Σ Δ² + c)^power, through which no gradient goes (Geng et al. 2025, "Mean Flows for One-step Generative Modeling",
 * section 4.3 and appendix B.2: there of Σ Δ², here of its mean, hence the n); c > 0. */
enum fs_loss_kind { FS_LOSS_MEAN_SQUARE, FS_LOSS_ADAPTIVE };
struct fs_loss {
    enum fs_loss_kind kind;
    float power, c;
};

/* One AdamW update (Loshchilov & Hutter 2019) and the moving averages that follow it, in one pass. */
struct fs_adamw {
    float learning_rate, beta1, beta2, epsilon, weight_decay;
    int64_t update;       /* 1 for the first: the exponent of the bias correction */
    float clip_norm;      /* 0: no clipping. Else gradients are scaled by min(1, clip_norm / √norm2) */
    struct fs_view norm2; /* 1 × 1: the gradients' squared norm, from sum_squares; read only when clipping */
    float ema_decay[2];   /* average ← decay·average + (1 − decay)·new weights, for each average given */
    /* [1, n], dense, of any type: the new weights and the averages once more, as `copy` would convert them; each may be
     * not given. */
    struct fs_view copies[3];
};

struct fs_backend {
    uint32_t abi;        /* FS_BACKEND_ABI of the headers it was built with: first, and checked when it is loaded */
    const char *name;    /* "cpu", "cuda", "reference" */
    const char *variant; /* instruction set or device: "avx2", "NVIDIA H100" */
    const char *choices; /* how it goes about its operations, where that was chosen at the start; or NULL */
    const char *notice;  /* what its user should be told, since it goes otherwise than was meant; NULL: nothing */
    enum fs_type real;   /* the type of parameters and statistics: FS_F32, in the reference FS_F64 */
    bool native_bf16;    /* matrix instructions for bf16; without them a bf16 training is refused */
    int64_t pass_tokens; /* of a pass forward that keeps it busy: sampling takes about as many at once */
    void *state;

    void (*destroy)(struct fs_backend *backend);

    /* --- memory ------------------------------------------------------------------------------------------- */
    void *(*allocate)(struct fs_backend *backend, size_t bytes, struct fs_error *error); /* 64-byte aligned, zeroed */
    void (*release)(struct fs_backend *backend, void *memory);
    /* So many bytes of buffers are going to be allocated: they are taken at once, and a device that is too small says
     * so before anything was done. NULL where that has no use. */
    fs_status (*reserve)(struct fs_backend *backend, size_t bytes, struct fs_error *error);
    size_t (*available)(struct fs_backend *backend); /* bytes free now, 0: unknown; NULL: the host's memory */
    void (*upload)(struct fs_backend *backend, void *device, const void *host, size_t bytes);
    void (*download)(struct fs_backend *backend, void *host, const void *device, size_t bytes); /* waits */
    /* A download in two halves, NULL, both, where nothing is won by it: what the operations so far leave in `device` is
     * in `host` (of as many bytes) once download_end returns, which waits for these and not for what was asked for in
     * between. Not within an update; one at a time. FS_FAILED with the fault, as from synchronise. */
    void (*download_begin)(struct fs_backend *backend, const void *device, size_t bytes);
    fs_status (*download_end)(struct fs_backend *backend, void *host, struct fs_error *error);
    void (*fill)(struct fs_backend *backend, struct fs_view out, double value);
    void (*copy)(struct fs_backend *backend, struct fs_view out, struct fs_view in); /* converts between any types */
    fs_status (*synchronise)(struct fs_backend *backend, struct fs_error *error);    /* also clears a fault */

    /* --- updates: NULL, both, where a backend has no use for them -------------------------------------------- */
    /* Between them come the operations of one update, or of a pass of a sampler. A backend may keep them, those of a
     * few keys, and with the same key run what it kept: so they are the same operations on the same operands, but for
     * what is uploaded, the numbers in fs_adamw and the arguments of normals; nothing is downloaded, allocated or
     * released in between. `update_end` is false when nothing of it was done: then the caller does all of it once more.
     */
    void (*update_begin)(struct fs_backend *backend, uint64_t key);
    bool (*update_end)(struct fs_backend *backend);

    /* --- between ranks: NULL, all, where gradients go through the host's memory ----------------------------------- */
    /* Whether this process can take part: FS_USAGE with the reason when not. `id` [FS_EXCHANGE_ID] is filled for rank
     * 0, which hands it to the others; NULL on those. */
    fs_status (*exchange_prepare)(struct fs_backend *backend, char *id, struct fs_error *error);
    /* All ranks at once, with the same id: FS_USAGE where the devices cannot be joined. To be closed by all, too. */
    fs_status (*exchange_open)(struct fs_backend *backend, const char *id, int rank, int size, struct fs_error *error);
    void (*exchange_close)(struct fs_backend *backend);
    /* These three may stand between update_begin and update_end; each rank makes the same calls in the same order, also
     * when an operation before them has failed.
     * values [1, n], dense and `real`, becomes the sum over all ranks on all of them, rounded after each addition in
     * the order ((rank 0 + rank 1) + rank 2) + …: beside what comes next, on the values as they are now. room [1, n +
     * FS_EXCHANGE_PIECE·size at least] is written; the same may be given to the next. */
    void (*exchange_sum)(struct fs_backend *backend, struct fs_view values, struct fs_view room);
    /* What comes next begins once the sums are there. */
    void (*exchange_join)(struct fs_backend *backend);
    /* Each rank's part of values [1, n], from borders[rank] up to borders[rank + 1], comes to all others, and is there
     * for what comes next. borders [size + 1] stay as they are while the exchange is open. */
    void (*exchange_gather)(struct fs_backend *backend, struct fs_view values, const int64_t *borders);
    /* FS_FAILED with the reason once the ranks can exchange nothing any more: a rank or a link is gone. */
    fs_status (*exchange_check)(struct fs_backend *backend, struct fs_error *error);

    /* --- random numbers ----------------------------------------------------------------------------------- */
    /* out[i][j] ~ N(0, 1): element j of row first_row + i of the stream at `key`. */
    void (*normals)(struct fs_backend *backend, struct fs_view out, struct fs_random_key key, uint32_t first_row);

    /* --- linear layer: y = x·Wᵀ + bias ---------------------------------------------------------------------- */
    /* x [n, in], w [out, in], bias [1, out] or not given, y [n, out]; x and w of one type, y any. With FS_GELU,
     * y = GELU(z), tanh form, and z is kept in `pre` [n, out] (any type) when given. */
    void (*linear_forward)(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                           struct fs_view bias, enum fs_activation activation, struct fs_view pre);
    /* dx [n, in] = dy·W (when given), dw [out, in] += dyᵀ·x, dbias [1, out] += column sums of dy (when given).
     * dy, x and w of one type. When `pre` [n, in] is given, x was GELU(pre) and dx is multiplied by GELU′(pre),
     * so that dx is the gradient before the activation. */
    void (*linear_backward)(struct fs_backend *backend, struct fs_view dx, struct fs_view dw, struct fs_view dbias,
                            struct fs_view dy, struct fs_view x, struct fs_view w, struct fs_view pre);

    /* --- attention ------------------------------------------------------------------------------------------ */
    /* qkv [B·T, 3·D] (q, then k, then v; head h has columns h·D/heads … of each), out [B·T, D],
     * softmax(scale·q·kᵀ)·v per sample and head. lse [B·T, heads], the log of the softmax's denominator, is kept
     * for the backward pass (when given). qkv and out of any type; lse is `real`. */
    void (*attention_forward)(struct fs_backend *backend, struct fs_view out, struct fs_view lse, struct fs_view qkv,
                              int64_t tokens, int64_t heads, double scale);
    void (*attention_backward)(struct fs_backend *backend, struct fs_view dqkv, struct fs_view dout, struct fs_view qkv,
                               struct fs_view out, struct fs_view lse, int64_t tokens, int64_t heads, double scale);

    /* --- layer norm with modulation: y = x̂·(1 + scale) + shift, x̂ = (x − mean)/√(var + 1e-6) ------------------ */
    /* x, y [B·T, D]; shift, scale [B, D]; statistics [B·T, 2] keeps (mean, 1/√(var + ε)) when given. */
    void (*norm_forward)(struct fs_backend *backend, struct fs_view y, struct fs_view statistics, struct fs_view x,
                         struct fs_view shift, struct fs_view scale);
    /* dx [B·T, D] is added to (it is the residual stream's gradient); dshift, dscale [B, D] are written. */
    void (*norm_backward)(struct fs_backend *backend, struct fs_view dx, struct fs_view dshift, struct fs_view dscale,
                          struct fs_view dy, struct fs_view x, struct fs_view statistics, struct fs_view scale);

    /* --- gated residual: out = x + gate·y --------------------------------------------------------------------- */
    /* x, y, out [B·T, D] (out may be x); gate [B, D]. */
    void (*gate_forward)(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                         struct fs_view gate);
    /* dy = gate·dout, dgate [B, D] = Σ_tokens dout·y (written). The gradient of x is dout itself. */
    void (*gate_backward)(struct fs_backend *backend, struct fs_view dy, struct fs_view dgate, struct fs_view dout,
                          struct fs_view y, struct fs_view gate);

    /* --- gate, and the norm behind it, in one pass over the residual stream ------------------------------------- */
    /* out = x + gate·y, then z = norm_forward of out; operands as in the two operations, but x and out, the stream, are
     * `real` (out may be x). */
    void (*gate_norm_forward)(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                              struct fs_view gate, struct fs_view z, struct fs_view statistics, struct fs_view shift,
                              struct fs_view scale);
    /* norm_backward of dz at out, then gate_backward: dx [B·T, D] comes in as the gradient that out has from elsewhere,
     * the norm's is added, and the sum is that of out, hence of x (both are `real`); dy = gate·dx and dgate, dshift,
     * dscale [B, D] are written. */
    void (*gate_norm_backward)(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view dgate,
                               struct fs_view dshift, struct fs_view dscale, struct fs_view dz, struct fs_view y,
                               struct fs_view gate, struct fs_view out, struct fs_view statistics,
                               struct fs_view scale);

    /* --- element by element ------------------------------------------------------------------------------------ */
    void (*silu_forward)(struct fs_backend *backend, struct fs_view y, struct fs_view x);
    /* dx = dy·SiLU′(x); added to dx when `accumulate`. dx may be dy when not accumulating. */
    void (*silu_backward)(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view x,
                          bool accumulate);
    /* out = x + y; y has as many rows as x, or a divisor of it and is repeated (positions [T, D] on [B·T, D]).
     * out may be x. */
    void (*add)(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y);
    /* out[i] = a[i]·x[i] + c[i]·y[i], then clipped to ±clip when clip > 0. a, c [B, 1]; x, y, out [B, n]; y and c
     * may be not given; out may be x or y. It mixes x_t, takes Euler steps, averages velocities and applies
     * guidance. Rounded after each product and the sum (no contraction): the same bits on every backend. */
    void (*mix)(struct fs_backend *backend, struct fs_view out, struct fs_view a, struct fs_view x, struct fs_view c,
                struct fs_view y, double clip);

    /* --- pictures and tokens -------------------------------------------------------------------------------- */
    /* images [B, H·W·C] (channels last) → tokens [B·T, p·p·C], T = (H/p)·(W/p) in row order, each flattened as
     * (row, column, channel). `unpatchify` is its inverse, and each is the other's gradient. */
    void (*patchify)(struct fs_backend *backend, struct fs_view tokens, struct fs_view images, int64_t height,
                     int64_t width, int64_t channels, int64_t patch);
    void (*unpatchify)(struct fs_backend *backend, struct fs_view images, struct fs_view tokens, int64_t height,
                       int64_t width, int64_t channels, int64_t patch);

    /* --- conditioning ------------------------------------------------------------------------------------------ */
    /* values [B, 1] → out [B, F] (any type): [cos | sin](value · 10000^(−i/(F/2))), i = 0 … F/2 − 1. */
    void (*sinusoidal)(struct fs_backend *backend, struct fs_view out, struct fs_view values);
    /* out[i] = table[ids[i]]; ids: B numbers in the backend's memory. */
    void (*embed_forward)(struct fs_backend *backend, struct fs_view out, struct fs_view table, const int32_t *ids);
    /* dtable[ids[i]] += dout[i], in the order of i. */
    void (*embed_backward)(struct fs_backend *backend, struct fs_view dtable, struct fs_view dout, const int32_t *ids);

    /* --- forward-mode tangents ------------------------------------------------------------------------------------ */
    /* X_dot is the derivative of X along a direction, of X's shape and any type. Most of a network is linear in it, or
     * its own backward operation; these are not. */
    /* y_dot = x_dot·GELU′(x), tanh form, x [n, m] before the activation; y_dot may be x_dot. */
    void (*gelu_tangent)(struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot, struct fs_view x);
    /* out as attention_forward's, and out_dot = Ṗ·v + P·v̇, where P = softmax(S), Ṗ = P∘(Ṡ − Σ_row P∘Ṡ) and
     * Ṡ = scale·(q̇·kᵀ + q·k̇ᵀ). */
    void (*attention_tangent)(struct fs_backend *backend, struct fs_view out, struct fs_view out_dot,
                              struct fs_view qkv, struct fs_view qkv_dot, int64_t tokens, int64_t heads, double scale);
    /* y_dot = x̂_dot·(1 + scale) + x̂·scale_dot + shift_dot, x̂_dot = (x_dot − mean(x_dot) − x̂·mean(x̂·x_dot))/√(var + ε),
     * of norm_forward's y at its x, scale and statistics. y_dot may be x_dot. */
    void (*norm_tangent)(struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot, struct fs_view x,
                         struct fs_view statistics, struct fs_view scale, struct fs_view shift_dot,
                         struct fs_view scale_dot);
    /* out_dot = [−sin | cos](value · f)·f·value_dot, f the frequencies of `sinusoidal`. values, values_dot [B, 1]. */
    void (*sinusoidal_tangent)(struct fs_backend *backend, struct fs_view out_dot, struct fs_view values,
                               struct fs_view values_dot);

    /* --- loss and optimiser ------------------------------------------------------------------------------------ */
    /* loss [B, 1]: mean over columns of (prediction − target)² per row, without any weight; dprediction [B, n] =
     * 2·weight[i]·w·(prediction − target)/n (when given), w as `kind` says. weights [B, 1]. dprediction may be
     * prediction or target itself. */
    void (*mse)(struct fs_backend *backend, struct fs_view loss, struct fs_view dprediction, struct fs_view prediction,
                struct fs_view target, struct fs_view weights, struct fs_loss kind);
    /* result [1, 1] = Σ x², accumulated in double in an order that does not depend on the number of threads. */
    void (*sum_squares)(struct fs_backend *backend, struct fs_view result, struct fs_view x);
    /* All [1, n]; each of averages[2] may be not given. The decay is the learning rate times weight_decay times the
     * weight, ε stands outside the root. */
    void (*adamw)(struct fs_backend *backend, const struct fs_adamw *adamw, struct fs_view parameters,
                  struct fs_view gradients, struct fs_view moment1, struct fs_view moment2,
                  const struct fs_view averages[2]);

    /* --- convolution, for feature extractors ---------------------------------------------------------------------- */
    /* x [B, H·W·C], w [O, C·kh·kw] (how each filter lies, the window says), bias [1, O], y [B, H′·W′·O]; x and w of one
     * type, y any; `relu` is fused. */
    void (*convolution_forward)(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                                struct fs_view bias, const struct fs_window *window, bool relu);
    /* On the CPU only (NULL elsewhere), all `real`: it trains the small classifier. dy is the gradient after the ReLU;
     * y the forward result, given when `relu` was fused. dx may be not given; dw, dbias are added to. */
    void (*convolution_backward)(struct fs_backend *backend, struct fs_view dx, struct fs_view dw, struct fs_view dbias,
                                 struct fs_view dy, struct fs_view x, struct fs_view y, struct fs_view w,
                                 const struct fs_window *window);
    void (*pool_forward)(struct fs_backend *backend, struct fs_view y, struct fs_view x, const struct fs_window *window,
                         enum fs_pooling pooling);

    /* --- what feature extractors and autoencoders need beside it; forward only ----------------------------------- */
    /* x [B, H·W·C] → y [B, H′·W′·C] (any type): along the rows, then down the columns, then the scale. Sums are float32
     * in the order of the taps, rounded after each product and sum (no contraction): the same bits on every backend. */
    void (*resize_forward)(struct fs_backend *backend, struct fs_view y, struct fs_view x,
                           const struct fs_resize_side *vertical, const struct fs_resize_side *horizontal,
                           int64_t channels, const struct fs_resize_scale *scale);
    /* Group norm (Wu & He 2018): z = (x − mean)/√(var + epsilon)·gamma + beta, the statistics those of a sample's
     * pixels and the `channels`/`groups` channels of a group; y = z, or z·sigmoid(z) when `silu`. x, y
     * [B, P·channels] (channels last; y may be x), gamma, beta [1, channels]; each of any type. */
    void (*group_norm_forward)(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view gamma,
                               struct fs_view beta, int64_t channels, int64_t groups, double epsilon, bool silu);
};

static inline struct fs_view fs_no_view(void)
{
    return (struct fs_view){0};
}

/* A dense view. */
static inline struct fs_view fs_view(void *data, enum fs_type type, int64_t rows, int64_t cols)
{
    return (struct fs_view){data, type, rows, cols, cols};
}

/* A zeroed dense view of `real` numbers in fresh memory, given back with backend->release. */
static inline fs_status fs_view_create(struct fs_backend *backend, int64_t rows, int64_t cols, struct fs_view *view,
                                       struct fs_error *error)
{
    void *data = backend->allocate(backend, (size_t)(rows * cols) * fs_type_size(backend->real), error);
    if (data == NULL) {
        return error->status;
    }
    *view = fs_view(data, backend->real, rows, cols);
    return FS_OK;
}

static inline struct fs_view fs_view_rows(struct fs_view view, int64_t first, int64_t rows)
{
    view.data = (char *)view.data + (size_t)(first * view.stride) * fs_type_size(view.type);
    view.rows = rows;
    return view;
}

static inline struct fs_view fs_view_cols(struct fs_view view, int64_t first, int64_t cols)
{
    view.data = (char *)view.data + (size_t)first * fs_type_size(view.type);
    view.cols = cols;
    return view;
}

/* The CPU backend with `threads` OpenMP threads (0: all), on the best instruction set that this CPU and the
 * environment variable FEWSTEP_CPU (baseline, avx2, avx512) allow. */
struct fs_backend *fs_cpu_backend(int threads, struct fs_error *error);

/* Its number of threads; 0 for another backend. */
int fs_cpu_threads(const struct fs_backend *backend);

/* The CUDA backend from libfewstep_cuda.so in the program's folder; NULL, with one line that says why, without the
 * file, a driver or a device. */
struct fs_backend *fs_load_cuda_backend(struct fs_error *error);

/* The float32 multiply-adds that this CPU can do in a second on the backend's threads, times two: measured, the best of
 * short runs in a quarter of a second, each thread on a CPU of its own. What else runs meanwhile makes it less. */
double fs_cpu_peak_flops(struct fs_backend *backend);
/* The same of bf16 products that are added in float32, by AVX512-BF16; 0 where the CPU multiplies no bf16. */
double fs_cpu_bf16_peak_flops(struct fs_backend *backend);

#endif
