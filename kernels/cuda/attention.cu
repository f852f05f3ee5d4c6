/* Attention by cuBLASLt's batched products and a softmax kernel between them: any type, any head width; for what cuDNN
 * does not take. Heads are first laid apart, so that a batch has one stride; samples go in chunks, so that the logits
 * fit into scratch memory. */
#include "kernels/cuda/attention.h"
#include "kernels/cuda/device.cuh"

#define SCRATCH_LIMIT FS_CUDA_SCRATCH_LIMIT /* at least one sample is taken */

/* --- heads apart --- */

/* Row (sample, head, token) of `apart`, where a head has `apart_rows` rows and T of them are meant, is a piece of row
 * (sample, token) of `together`, `first_col` columns in. One of them is written. */
struct move_heads {
    struct span apart, together;
    int64_t tokens, heads, head_width, first_col, apart_rows;
    bool to_apart;
    __device__ void piece(int64_t index, int64_t col, int count) const
    {
        const int64_t sample = index / (heads * tokens), head = index / tokens % heads, token = index % tokens;
        const int64_t other = sample * tokens + token, at = first_col + head * head_width + col;
        const int64_t row = index / tokens * apart_rows + token;
        struct span source = to_apart ? together : apart, target = to_apart ? apart : together;
        source.wide = source.wide && (!to_apart || at % FS_PIECE == 0);
        target.wide = target.wide && (to_apart || at % FS_PIECE == 0);
        store_piece(target, to_apart ? row : other, to_apart ? col : at, count,
                    load_piece(source, to_apart ? other : row, to_apart ? at : col, count));
    }
};

/* --- softmax, a warp for each row --- */

/* p = softmax(s), lse = log Σ exp(s). p may be s. lse's row is (sample, token), its column the head. */
static __global__ void __launch_bounds__(FS_THREADS)
    softmax_rows(struct span p, struct span lse, struct span s, unsigned rows, unsigned tokens, unsigned heads)
{
    const unsigned row = (unsigned)row_of_warp();
    if (row >= rows) {
        return;
    }
    const unsigned lane = threadIdx.x % FS_WARP;
    float largest = -INFINITY, sum = 0;
    for (unsigned col = lane; col < tokens; col += FS_WARP) {
        largest = fmaxf(largest, load(s, row, col));
    }
    largest = warp_largest(largest);
    for (unsigned col = lane; col < tokens; col += FS_WARP) {
        sum += expf(load(s, row, col) - largest);
    }
    sum = warp_sum(sum);
    for (unsigned col = lane; col < tokens; col += FS_WARP) {
        store(p, row, col, expf(load(s, row, col) - largest) / sum);
    }
    if (lane == 0 && lse.data != NULL) {
        const unsigned sample = row / (heads * tokens), head = row / tokens % heads;
        store(lse, sample * tokens + row % tokens, head, largest + logf(sum));
    }
}

/* p = exp(s − lse), ds = p·(dp − Σ p·dp), derived in kernels/cpu/isa/attention.c (there the sum is do·o; here dp lies
 * in memory anyway, and the sum of it needs no `out`); p may be s, ds may be dp. */
static __global__ void __launch_bounds__(FS_THREADS)
    softmax_rows_backward(struct span p, struct span ds, struct span s, struct span dp, struct span lse, unsigned rows,
                          unsigned tokens, unsigned heads)
{
    const unsigned row = (unsigned)row_of_warp();
    if (row >= rows) {
        return;
    }
    const unsigned lane = threadIdx.x % FS_WARP;
    const unsigned sample = row / (heads * tokens), head = row / tokens % heads;
    const float log_sum = load(lse, sample * tokens + row % tokens, head);
    float sum = 0;
    for (unsigned col = lane; col < tokens; col += FS_WARP) {
        sum += expf(load(s, row, col) - log_sum) * load(dp, row, col);
    }
    sum = warp_sum(sum);
    for (unsigned col = lane; col < tokens; col += FS_WARP) {
        const float weight = expf(load(s, row, col) - log_sum);
        store(ds, row, col, weight * (load(dp, row, col) - sum));
        store(p, row, col, weight);
    }
}

/* p = softmax(s), and both = [p·(ṡ − Σ p·ṡ) | p]: its derivative along the direction in which s moves by s_dot, and p
 * again. */
static __global__ void __launch_bounds__(FS_THREADS)
    softmax_rows_tangent(struct span p, struct span both, struct span s, struct span s_dot, unsigned rows,
                         unsigned tokens)
{
    const unsigned row = (unsigned)row_of_warp();
    if (row >= rows) {
        return;
    }
    const unsigned lane = threadIdx.x % FS_WARP;
    float largest = -INFINITY, sum = 0, sum_dot = 0;
    for (unsigned col = lane; col < tokens; col += FS_WARP) {
        largest = fmaxf(largest, load(s, row, col));
    }
    largest = warp_largest(largest);
    for (unsigned col = lane; col < tokens; col += FS_WARP) {
        const float weight = expf(load(s, row, col) - largest);
        sum += weight;
        sum_dot += weight * load(s_dot, row, col);
    }
    sum = warp_sum(sum);
    const float mean = warp_sum(sum_dot) / sum;
    for (unsigned col = lane; col < tokens; col += FS_WARP) {
        const float weight = expf(load(s, row, col) - largest) / sum;
        store(both, row, col, weight * (load(s_dot, row, col) - mean));
        store(both, row, tokens + col, weight);
        store(p, row, col, weight);
    }
}

/* --- one chunk of samples --- */

/* Takes rows × cols of a type from scratch memory; each part begins on 256 bytes. */
static struct fs_view take(char **memory, enum fs_type type, int64_t rows, int64_t cols)
{
    const struct fs_view view = fs_view(*memory, type, rows, cols);
    *memory += ((size_t)(rows * cols) * fs_type_size(type) + 255) / 256 * 256;
    return view;
}

/* The first T of the rows that a head has in `apart`. */
static void move(struct fs_cuda *cuda, const struct fs_attention *op, struct fs_view apart, struct fs_view together,
                 int64_t first_col, bool to_apart)
{
    const int64_t heads = op->samples * op->heads;
    for_each_piece(cuda,
                   move_heads{span_of(apart), span_of(together), op->tokens, op->heads, op->head_width, first_col,
                              apart.rows / heads, to_apart},
                   heads * op->tokens, apart.cols);
}

static struct fs_matrices each_head(const struct fs_attention *op, struct fs_view view)
{
    const int64_t rows = view.rows / (op->samples * op->heads);
    return {view.data, view.type, rows, view.cols, view.stride, rows * view.stride};
}

/* out = alpha·op(a)·op(b) for each sample and head. */
static void multiply(struct fs_cuda *cuda, const struct fs_attention *op, struct fs_view out, float alpha,
                     struct fs_view a, bool transpose_a, struct fs_view b, bool transpose_b)
{
    struct fs_cuda_product product = {};
    product.out = each_head(op, out);
    product.a = each_head(op, a);
    product.b = each_head(op, b);
    product.transpose_a = transpose_a;
    product.transpose_b = transpose_b;
    product.batch = op->samples * op->heads;
    product.alpha = alpha;
    if (!fs_gemm_product(cuda, &product) && cuda->fault.status == FS_OK) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: cuBLASLt has no algorithm for %lld tokens of head width %lld",
                cuda->operation, (long long)op->tokens, (long long)op->head_width);
    }
}

enum pass { FORWARD, BACKWARD, TANGENT };

/* Rounds up as `take` does. */
static int64_t bytes_of_sample(const struct fs_attention *op, enum pass pass)
{
    const bool backward = pass == BACKWARD;
    const int64_t type = (int64_t)fs_type_size(op->qkv.type), square = op->heads * op->tokens * op->tokens,
                  row = op->tokens * op->heads * op->head_width;
    if (pass == TANGENT) {
        return square * 8 + 3 * square * type + 10 * row * type + 16 * 256;
    }
    const int64_t squares = square * (backward ? 8 : 4) + (type == 2 ? square * (backward ? 4 : 2) : 0);
    return squares + (backward ? 7 * row * type + row * 4 : 4 * row * type) + 16 * 256;
}

static void forward_chunk(struct fs_cuda *cuda, const struct fs_attention *op, char *memory)
{
    const int64_t rows = op->samples * op->heads * op->tokens, width = op->heads * op->head_width;
    const enum fs_type type = op->qkv.type;
    struct fs_view parts[3];
    for (int i = 0; i < 3; i++) {
        parts[i] = take(&memory, type, rows, op->head_width);
        move(cuda, op, parts[i], op->qkv, i * width, true);
    }
    const struct fs_view out = take(&memory, type, rows, op->head_width);
    const struct fs_view s = take(&memory, FS_F32, rows, op->tokens);
    const struct fs_view p = type == FS_F32 ? s : take(&memory, type, rows, op->tokens);
    multiply(cuda, op, s, op->scale, parts[0], false, parts[1], true);
    FS_LAUNCH(cuda, softmax_rows, blocks_for_rows(rows), FS_THREADS, span_of(p), span_of(op->lse), span_of(s),
              (unsigned)rows, (unsigned)op->tokens, (unsigned)op->heads);
    multiply(cuda, op, out, 1, p, false, parts[2], false);
    move(cuda, op, out, op->out, 0, false);
}

/* With p = softmax(scale·q·kᵀ): dv = pᵀ·dout, dp = dout·vᵀ, ds = p·(dp − Σ p·dp), dq = scale·ds·k, dk = scale·dsᵀ·q. */
static void backward_chunk(struct fs_cuda *cuda, const struct fs_attention *op, char *memory)
{
    const int64_t rows = op->samples * op->heads * op->tokens, width = op->heads * op->head_width;
    const enum fs_type type = op->qkv.type;
    struct fs_view parts[3], gradients[3];
    for (int i = 0; i < 3; i++) {
        parts[i] = take(&memory, type, rows, op->head_width);
        gradients[i] = take(&memory, type, rows, op->head_width);
        move(cuda, op, parts[i], op->qkv, i * width, true);
    }
    const struct fs_view dout = take(&memory, type, rows, op->head_width);
    move(cuda, op, dout, op->dout, 0, true);
    const struct fs_view s = take(&memory, FS_F32, rows, op->tokens), dp = take(&memory, FS_F32, rows, op->tokens);
    const struct fs_view p = type == FS_F32 ? s : take(&memory, type, rows, op->tokens),
                         ds = type == FS_F32 ? dp : take(&memory, type, rows, op->tokens);
    multiply(cuda, op, s, op->scale, parts[0], false, parts[1], true);
    multiply(cuda, op, dp, 1, dout, false, parts[2], true);
    FS_LAUNCH(cuda, softmax_rows_backward, blocks_for_rows(rows), FS_THREADS, span_of(p), span_of(ds), span_of(s),
              span_of(dp), span_of(op->lse), (unsigned)rows, (unsigned)op->tokens, (unsigned)op->heads);
    multiply(cuda, op, gradients[0], op->scale, ds, false, parts[1], false);
    multiply(cuda, op, gradients[1], op->scale, ds, true, parts[0], false);
    multiply(cuda, op, gradients[2], 1, p, true, dout, false);
    for (int i = 0; i < 3; i++) {
        move(cuda, op, gradients[i], op->dqkv, i * width, false);
    }
}

/* Value and tangent (kernels/backend.h). Sums of two products are one of twice the depth, so that they are added in
 * float32 and rounded once: Ṡ = scale·[q̇ | q]·[k | k̇]ᵀ, side by side, and ȯ = [Ṗ | P]·[v over v̇], a head's 2T rows. q,
 * v and p also lie by themselves: inside a pair they would begin in the middle of a row, on too few bytes for cuBLASLt
 * where a bf16 row is odd. */
static void tangent_chunk(struct fs_cuda *cuda, const struct fs_attention *op, char *memory)
{
    const int64_t rows = op->samples * op->heads * op->tokens, tokens = op->tokens, head = op->head_width;
    const int64_t width = op->heads * head;
    const enum fs_type type = op->qkv.type;
    const struct fs_view queries = take(&memory, type, rows, 2 * head), keys = take(&memory, type, rows, 2 * head),
                         values = take(&memory, type, 2 * rows, head), q = take(&memory, type, rows, head),
                         v = take(&memory, type, rows, head), out = take(&memory, type, rows, head),
                         out_dot = take(&memory, type, rows, head);
    const struct fs_view s = take(&memory, FS_F32, rows, tokens), s_dot = take(&memory, FS_F32, rows, tokens);
    const struct fs_view weights = take(&memory, type, rows, 2 * tokens), p = take(&memory, type, rows, tokens);
    const struct fs_view k = fs_view_cols(keys, 0, head);
    struct fs_view v_dot = values; /* the second half of a head's rows: the same steps from T rows on */
    v_dot.data = fs_view_rows(values, tokens, 0).data;
    move(cuda, op, fs_view_cols(queries, 0, head), op->dqkv, 0, true);
    move(cuda, op, fs_view_cols(queries, head, head), op->qkv, 0, true);
    move(cuda, op, q, op->qkv, 0, true);
    move(cuda, op, k, op->qkv, width, true);
    move(cuda, op, fs_view_cols(keys, head, head), op->dqkv, width, true);
    move(cuda, op, v, op->qkv, 2 * width, true);
    move(cuda, op, values, op->qkv, 2 * width, true);
    move(cuda, op, v_dot, op->dqkv, 2 * width, true);
    multiply(cuda, op, s, op->scale, q, false, k, true);
    multiply(cuda, op, s_dot, op->scale, queries, false, keys, true);
    FS_LAUNCH(cuda, softmax_rows_tangent, blocks_for_rows(rows), FS_THREADS, span_of(p), span_of(weights), span_of(s),
              span_of(s_dot), (unsigned)rows, (unsigned)tokens);
    multiply(cuda, op, out, 1, p, false, v, false);
    multiply(cuda, op, out_dot, 1, weights, false, values, false);
    move(cuda, op, out, op->out, 0, false);
    move(cuda, op, out_dot, op->dout, 0, false);
}

static void run(struct fs_cuda *cuda, const struct fs_attention *op, enum pass pass)
{
    static void (*const chunks[])(struct fs_cuda *, const struct fs_attention *,
                                  char *) = {forward_chunk, backward_chunk, tangent_chunk};
    if (pass != TANGENT && (fs_cudnn_attention(cuda, op, pass == BACKWARD) || cuda->fault.status != FS_OK)) {
        return;
    }
    const int64_t a_sample = bytes_of_sample(op, pass);
    int64_t chunk = SCRATCH_LIMIT / a_sample;
    chunk = chunk < 1 ? 1 : chunk < op->samples ? chunk : op->samples;
    char *memory = (char *)fs_cuda_scratch(cuda, (size_t)(chunk * a_sample));
    for (int64_t first = 0; memory != NULL && first < op->samples; first += chunk) {
        const struct fs_attention part =
            fs_attention_part(op, first, op->samples - first < chunk ? op->samples - first : chunk);
        chunks[pass](cuda, &part, memory);
    }
}

static void attention_forward(struct fs_backend *backend, struct fs_view out, struct fs_view lse, struct fs_view qkv,
                              int64_t tokens, int64_t heads, double scale)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "attention_forward", fs_attention_forward_fits(backend, out, lse, qkv, tokens, heads));
    if (cuda != NULL) {
        const struct fs_view none = fs_no_view();
        const struct fs_attention op = {
            out, lse, qkv, none, none, out.rows / tokens, tokens, heads, out.cols / heads, (float)scale};
        run(cuda, &op, FORWARD);
    }
}

static void attention_backward(struct fs_backend *backend, struct fs_view dqkv, struct fs_view dout, struct fs_view qkv,
                               struct fs_view out, struct fs_view lse, int64_t tokens, int64_t heads, double scale)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "attention_backward",
                                         fs_attention_backward_fits(backend, dqkv, dout, qkv, out, lse, tokens, heads));
    if (cuda != NULL) {
        const struct fs_attention op = {
            out, lse, qkv, dout, dqkv, out.rows / tokens, tokens, heads, out.cols / heads, (float)scale};
        run(cuda, &op, BACKWARD);
    }
}

static void attention_tangent(struct fs_backend *backend, struct fs_view out, struct fs_view out_dot,
                              struct fs_view qkv, struct fs_view qkv_dot, int64_t tokens, int64_t heads, double scale)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "attention_tangent",
                                         fs_attention_tangent_fits(backend, out, out_dot, qkv, qkv_dot, tokens, heads));
    if (cuda != NULL) {
        const struct fs_attention op = {
            out, fs_no_view(), qkv, out_dot, qkv_dot, out.rows / tokens, tokens, heads, out.cols / heads, (float)scale};
        run(cuda, &op, TANGENT);
    }
}

void fs_cuda_install_attention(struct fs_backend *backend)
{
    backend->attention_forward = FS_TOLD(attention_forward);
    backend->attention_backward = FS_TOLD(attention_backward);
    backend->attention_tangent = FS_TOLD(attention_tangent);
}
