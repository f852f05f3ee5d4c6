/* Attention by cuBLASLt's batched products and a softmax kernel between them: any type, any head width; for what cuDNN
 * does not take. Heads are first laid apart, so that a batch has one stride; samples go in chunks, so that the logits
 * fit into scratch memory, or into the device's cache. */
#include "kernels/cuda/attention.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/timing.h"

/* --- heads apart --- */

/* Row (sample, head, token) of part `part` of `apart`, where a head has `head_rows` rows, of which T are meant, and a
 * part begins `part_step` elements behind the one before, is a piece of row (sample, token) of `together`, from column
 * first_col + part·D on. One of them is written. */
struct move_heads {
    struct span apart, together;
    int64_t tokens, heads, head_width, first_col, head_rows, part_rows, part_step; /* part_rows: that are meant */
    bool to_apart;
    __device__ void piece(int64_t index, int64_t col, int count) const
    {
        const int64_t part = index / part_rows, of_part = index % part_rows, sample = of_part / (heads * tokens);
        const int64_t head = of_part / tokens % heads, token = of_part % tokens;
        const int64_t other = sample * tokens + token, at = first_col + (part * heads + head) * head_width + col;
        const int64_t row = of_part / tokens * head_rows + token, place = part * part_step + col;
        struct span source = to_apart ? together : apart, target = to_apart ? apart : together;
        source.wide = source.wide && (!to_apart || at % FS_PIECE == 0);
        target.wide = target.wide && (to_apart || at % FS_PIECE == 0);
        store_piece(target, to_apart ? row : other, to_apart ? place : at, count,
                    load_piece(source, to_apart ? other : row, to_apart ? at : place, count));
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

/* All heads of `parts` matrices that were taken one after the other: of each head the first T of its rows. */
static void move_parts(struct fs_cuda *cuda, const struct fs_attention *op, const struct fs_view *apart, int parts,
                       struct fs_view together, int64_t first_col, bool to_apart)
{
    const int64_t heads = op->samples * op->heads, rows = heads * op->tokens;
    const int64_t bytes = parts > 1 ? (const char *)apart[1].data - (const char *)apart[0].data : 0;
    for_each_piece(cuda,
                   move_heads{span_of(apart[0]), span_of(together), op->tokens, op->heads, op->head_width, first_col,
                              apart[0].rows / heads, rows, bytes / (int64_t)fs_type_size(apart[0].type), to_apart},
                   parts * rows, apart[0].cols);
}

static void move(struct fs_cuda *cuda, const struct fs_attention *op, struct fs_view apart, struct fs_view together,
                 int64_t first_col, bool to_apart)
{
    move_parts(cuda, op, &apart, 1, together, first_col, to_apart);
}

/* q, k and v, or their gradients. */
static void take_three(char **memory, enum fs_type type, int64_t rows, int64_t cols, struct fs_view parts[3])
{
    for (int i = 0; i < 3; i++) {
        parts[i] = take(memory, type, rows, cols);
    }
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

/* Scratch memory for a chunk of so many samples; what `take` rounds up comes once. */
static int64_t bytes_of(const struct fs_attention *op, enum pass pass, int64_t samples)
{
    const bool backward = pass == BACKWARD;
    const int64_t type = (int64_t)fs_type_size(op->qkv.type), square = op->heads * op->tokens * op->tokens,
                  row = op->tokens * op->heads * op->head_width, rounding = 16 * 256;
    if (pass == TANGENT) {
        return samples * (square * 8 + 3 * square * type + 10 * row * type) + rounding;
    }
    const int64_t squares = square * (backward ? 8 : 4) + (type == 2 ? square * (backward ? 4 : 2) : 0);
    return samples * (squares + (backward ? 7 : 4) * row * type) + rounding;
}

static void forward_chunk(struct fs_cuda *cuda, const struct fs_attention *op, char *memory)
{
    const int64_t rows = op->samples * op->heads * op->tokens;
    const enum fs_type type = op->qkv.type;
    struct fs_view parts[3];
    take_three(&memory, type, rows, op->head_width, parts);
    move_parts(cuda, op, parts, 3, op->qkv, 0, true);
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
    const int64_t rows = op->samples * op->heads * op->tokens;
    const enum fs_type type = op->qkv.type;
    struct fs_view parts[3], gradients[3];
    take_three(&memory, type, rows, op->head_width, parts);
    take_three(&memory, type, rows, op->head_width, gradients);
    move_parts(cuda, op, parts, 3, op->qkv, 0, true);
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
    move_parts(cuda, op, gradients, 3, op->dqkv, 0, false);
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

/* --- chunks --- */

static void in_chunks(struct fs_cuda *cuda, const struct fs_attention *op, enum pass pass, int64_t chunk)
{
    static void (*const chunks[])(struct fs_cuda *, const struct fs_attention *,
                                  char *) = {forward_chunk, backward_chunk, tangent_chunk};
    char *memory = (char *)fs_cuda_scratch(cuda, (size_t)bytes_of(op, pass, chunk));
    for (int64_t first = 0; memory != NULL && first < op->samples; first += chunk) {
        const struct fs_attention part =
            fs_attention_part(op, first, op->samples - first < chunk ? op->samples - first : chunk);
        chunks[pass](cuda, &part, memory);
    }
}

/* As many samples as so many bytes of scratch memory hold, but one at least, and no more than chunks of even size need.
 */
static int64_t samples_in(int64_t bytes, const struct fs_attention *op, enum pass pass)
{
    const int64_t none = bytes_of(op, pass, 0), held = (bytes - none) / (bytes_of(op, pass, 1) - none);
    const int64_t most = held > 1 ? held : 1, chunks = (op->samples + most - 1) / most;
    return chunks > 0 ? (op->samples + chunks - 1) / chunks : 1;
}

/* Samples of a chunk. The squares of logits and weights are written by one kernel and read by the next, in the same
 * scratch memory for each chunk: where a chunk fits into the device's second-level cache they hardly reach its memory,
 * for more launches of smaller kernels. No sum goes over samples, so the order of terms is the same, unless cuBLASLt
 * has another algorithm for another number of matrices. Which is the faster depends on the device: as few chunks as
 * scratch memory allows is the default, and what is asked for or, where products are timed, the fastest of some sizes
 * is taken else. */
static int64_t choose_chunk(struct fs_cuda *cuda, const struct fs_attention *op, enum pass pass)
{
    const int64_t cache = cuda->cache_bytes < FS_CUDA_SCRATCH_LIMIT ? cuda->cache_bytes : FS_CUDA_SCRATCH_LIMIT,
                  sizes[] = {FS_CUDA_SCRATCH_LIMIT, 4 * cache, 2 * cache, cache};
    const int64_t most = samples_in(sizes[0], op, pass), least = samples_in(cache, op, pass);
    if (cache == 0 || cuda->chunks == FS_CHUNKS_MEMORY || least == most) {
        return most;
    }
    if (cuda->chunks == FS_CHUNKS_CACHE) {
        return least;
    }
    const auto chunk_of = [&](int way) {
        const int64_t chunk = samples_in(sizes[way], op, pass);
        return chunk < most ? chunk : most;
    };
    const int64_t key[] = {(int64_t)pass,
                           (int64_t)op->qkv.type,
                           (int64_t)cuda->tf32,
                           op->samples,
                           op->tokens,
                           op->heads,
                           op->head_width,
                           cache,
                           most};
    const int numbers = sizeof key / sizeof *key, ways = sizeof sizes / sizeof *sizes;
    int way;
    if (!fs_cuda_knows_way(cuda, "attention", key, numbers, ways, &way)) {
        way = fs_cuda_fastest(cuda, ways, [&](int which) {
            in_chunks(cuda, op, pass, chunk_of(which)); /* what it writes is written again */
            return cuda->fault.status == FS_OK;
        });
        fs_cuda_keep_way(cuda, "attention", key, numbers, ways, &way);
    }
    return chunk_of(way);
}

static void run(struct fs_cuda *cuda, const struct fs_attention *op, enum pass pass)
{
    if (pass != TANGENT && (fs_cudnn_attention(cuda, op, pass == BACKWARD) || cuda->fault.status != FS_OK)) {
        return;
    }
    in_chunks(cuda, op, pass, choose_chunk(cuda, op, pass));
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
