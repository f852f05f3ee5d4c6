/* Attention, per sample and head. q, k and v of a head are packed into contiguous float32 matrices that stay in the
 * second cache; a block of queries at a time meets all keys, so that the logits never leave the cache either. The
 * backward pass computes the probabilities again from the saved log of the softmax's denominator (Dao et al. 2022,
 * FlashAttention, algorithm 4).
 *
 * Every product is one routine, C (+)= A·B, over tiles of 6 rows × 2 vectors that live in registers: A's elements are
 * broadcast (so A may be transposed), B's rows are contiguous. */
#include "kernels/cpu/isa/vector.h"

#include <omp.h>

#define TILE_ROWS 6
#define QUERIES_A_BLOCK 64
#define DEPTH_A_BLOCK 256

/* Floats from one row of a packed matrix to the next: whole cache lines, an odd number of them, so that the rows of a
 * tile do not fall into the same few sets of the first cache. */
static int64_t packed_stride(int64_t cols)
{
    return (((cols + 15) / 16) | 1) * 16;
}

static int64_t whole_vectors(int64_t cols)
{
    return (cols + FS_WIDTH - 1) / FS_WIDTH * FS_WIDTH;
}

/* A of a product: element (i, k) at data[i·row + k·col]. */
struct factor {
    const float *data;
    int64_t row, col;
};

struct matrix {
    float *data;
    int64_t stride;
};

/* One tile of C (+)= A·B, `rows` × `vectors`·W numbers that stay in registers over the whole depth: each k adds the
 * outer product of a column of A's rows and a row of B, rows·vectors multiply-adds for rows broadcasts and `vectors`
 * loads. At 6 × 2 that is 12 sums, 2 vectors of B and 1 broadcast: 15 of AVX2's 16 registers, and more independent
 * chains than the 8 (latency 4, two a cycle) that keep the units busy. C's numbers are read and written once for a
 * whole depth; the depth goes in blocks, so that B's part of it stays in the first cache (Goto & van de Geijn 2008,
 * "Anatomy of high-performance matrix multiplication"). `rows` and `vectors` are constants wherever it is inlined, so
 * the loops are unrolled. */
FS_INLINE void tile(const int rows, const int vectors, int64_t depth, struct factor a, struct matrix b, struct matrix c,
                    bool add)
{
    vf sum[TILE_ROWS][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = add ? vf_load(c.data + r * c.stride + v * FS_WIDTH) : vf_all(0);
        }
    }
    const float *p = a.data, *q = b.data;
    for (int64_t k = 0; k < depth; k++, p += a.col, q += b.stride) {
        const vf left = vf_load(q), right = vectors > 1 ? vf_load(q + FS_WIDTH) : left;
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const vf by = vf_all(p[r * a.row]);
            sum[r][0] = vf_fma(by, left, sum[r][0]);
            if (vectors > 1) {
                sum[r][1] = vf_fma(by, right, sum[r][1]);
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            vf_store(c.data + r * c.stride + v * FS_WIDTH, sum[r][v]);
        }
    }
}

FS_INLINE void tiles_of_column(const int vectors, int64_t rows, int64_t depth, struct factor a, struct matrix b,
                               struct matrix c, bool add)
{
    int64_t left = (rows + TILE_ROWS - 1) / TILE_ROWS; /* tiles of nearly equal height */
    for (int64_t i = 0, height; i < rows; i += height, left--) {
        height = (rows - i + left - 1) / left;
        const struct factor part = {a.data + i * a.row, a.row, a.col};
        const struct matrix out = {c.data + i * c.stride, c.stride};
        switch (height) {
        case 6:
            tile(6, vectors, depth, part, b, out, add);
            break;
        case 5:
            tile(5, vectors, depth, part, b, out, add);
            break;
        case 4:
            tile(4, vectors, depth, part, b, out, add);
            break;
        case 3:
            tile(3, vectors, depth, part, b, out, add);
            break;
        case 2:
            tile(2, vectors, depth, part, b, out, add);
            break;
        default:
            tile(1, vectors, depth, part, b, out, add);
            break;
        }
    }
}

/* C [rows, cols] (+)= A [rows, depth] · B [depth, cols]; B and C have whole vectors of columns. */
static void multiply(int64_t rows, int64_t cols, int64_t depth, struct factor a, struct matrix b, struct matrix c,
                     bool add)
{
    cols = whole_vectors(cols);
    for (int64_t k = 0; k < depth; k += DEPTH_A_BLOCK) {
        const int64_t part = depth - k < DEPTH_A_BLOCK ? depth - k : DEPTH_A_BLOCK;
        const struct factor left = {a.data + k * a.col, a.row, a.col};
        for (int64_t j = 0; j < cols; j += 2 * FS_WIDTH) {
            const struct matrix right = {b.data + k * b.stride + j, b.stride}, out = {c.data + j, c.stride};
            if (cols - j > FS_WIDTH) {
                tiles_of_column(2, rows, part, left, right, out, add || k > 0);
            } else {
                tiles_of_column(1, rows, part, left, right, out, add || k > 0);
            }
        }
    }
}

/* --- packing --- */

/* to [rows, whole vectors of columns] = factor · from, zeros behind the last column. */
static void pack(struct matrix to, struct fs_view from, float factor)
{
    const int64_t cols = whole_vectors(from.cols);
    for (int64_t i = 0; i < from.rows; i++) {
        const struct span row = span_of(from, i, 0);
        for (int64_t j = 0; j < cols; j += FS_WIDTH) {
            vf_store(to.data + i * to.stride + j, factor * span_load(row, j, from.cols - j));
        }
    }
}

/* The W × W block in `v` transposed: in stage s lanes l and rows i change places where bit s of l and i differ. */
FS_INLINE void transpose(vf v[FS_WIDTH])
{
    const vi lanes = vi_lanes();
#pragma GCC unroll 4
    for (int s = 1; s < FS_WIDTH; s *= 2) {
        const vi odd = (lanes & s) != 0;
        const vi low = (odd & (lanes - s + FS_WIDTH)) | (~odd & lanes);
        const vi high = (odd & (lanes + FS_WIDTH)) | (~odd & (lanes + s));
#pragma GCC unroll 16
        for (int i = 0; i < FS_WIDTH; i++) {
            if ((i & s) == 0) {
                const vf a = v[i], b = v[i + s];
                v[i] = __builtin_shuffle(a, b, low);
                v[i + s] = __builtin_shuffle(a, b, high);
            }
        }
    }
}

/* to [cols, whole vectors of rows] = the transpose of `from`, zeros behind its last row. */
static void pack_transposed(struct matrix to, struct fs_view from)
{
    for (int64_t i = 0; i < from.rows; i += FS_WIDTH) {
        for (int64_t j = 0; j < from.cols; j += FS_WIDTH) {
            vf block[FS_WIDTH];
            for (int r = 0; r < FS_WIDTH; r++) {
                block[r] = i + r < from.rows ? span_load(span_of(from, i + r, 0), j, from.cols - j) : vf_all(0);
            }
            transpose(block);
            const int64_t lines = from.cols - j < FS_WIDTH ? from.cols - j : FS_WIDTH;
            for (int64_t c = 0; c < lines; c++) {
                vf_store(to.data + (j + c) * to.stride + i, block[c]);
            }
        }
    }
}

/* to = factor · from. */
static void unpack(struct fs_view to, struct matrix from, float factor)
{
    for (int64_t i = 0; i < to.rows; i++) {
        const struct span row = span_of(to, i, 0);
        for (int64_t j = 0; j < to.cols; j += FS_WIDTH) {
            span_store(row, j, to.cols - j, factor * vf_load(from.data + i * from.stride + j));
        }
    }
}

/* --- forward --- */

struct attention {
    struct fs_view out, lse, qkv, dout, dqkv; /* dout, dqkv: gradients, or tangents */
    int64_t tokens, heads, width;             /* width of a head */
    float scale;
    int64_t by_width, by_tokens; /* strides of packed matrices with as many columns */
};

/* Rows of sample b, columns of head h of part 0 (q), 1 (k) or 2 (v); `out` and its gradient have part 0 only. */
static struct fs_view head_of(const struct attention *op, struct fs_view view, int64_t b, int64_t h, int64_t part)
{
    view = fs_view_rows(view, b * op->tokens, op->tokens);
    return fs_view_cols(view, (part * op->heads + h) * op->width, op->width);
}

static struct attention attention_of(struct fs_view out, struct fs_view qkv, int64_t tokens, int64_t heads,
                                     double scale)
{
    const int64_t width = out.cols / heads;
    return (struct attention){.out = out,
                              .qkv = qkv,
                              .tokens = tokens,
                              .heads = heads,
                              .width = width,
                              .scale = (float)scale,
                              .by_width = packed_stride(width),
                              .by_tokens = packed_stride(tokens)};
}

/* A head of a sample at a time to each thread, which has so many floats to work in. */
static void for_each_head(struct fs_cpu *cpu, const char *operation, const struct attention *op, size_t floats,
                          void (*head)(const struct attention *op, int64_t b, int64_t h, float *memory))
{
    const int64_t heads = op->heads, count = op->out.rows / op->tokens * heads;
    float *memory = fs_cpu_scratch(cpu, operation, (size_t)cpu->threads * floats * sizeof *memory);
    if (memory == NULL) {
        return;
    }
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        head(op, i / heads, i % heads, memory + (size_t)omp_get_thread_num() * floats);
    }
}

/* Asks for row i of the head behind head h of sample b, which a thread takes next: `parts` pieces of a row of `view`,
 * read or written then. The pieces of a head lie a row of all heads apart, too far for the processor to foresee them,
 * and a short sequence waits for each. One row a row of this head, so that the requests go out between other work. */
FS_INLINE void ask_for_next(const struct attention *op, struct fs_view view, int64_t parts, int64_t b, int64_t h,
                            int64_t i)
{
    const int64_t next = b * op->heads + h + 1, row = next / op->heads * op->tokens + i;
    if (row >= view.rows) {
        return;
    }
    for (int64_t part = 0; part < parts; part++) {
        const char *const piece = span_of(view, row, (part * op->heads + next % op->heads) * op->width).data;
        for (int64_t byte = 0; byte < op->width * (int64_t)fs_type_size(view.type); byte += 64) {
            __builtin_prefetch(piece + byte, 0, 2); /* the second cache: the first is this head's */
        }
    }
}

/* Turns a row of logits into exp(logit − largest), zeros behind the last; returns the sum and the largest. */
static float softmax_row(float *row, int64_t count, float *largest_of_row)
{
    const int64_t whole = count / FS_WIDTH * FS_WIDTH;
    const vi inside = vi_lanes() < (int32_t)(count - whole);
    vf largest = vf_all(-3.4e38f), sum = {0};
    for (int64_t j = 0; j < whole; j += FS_WIDTH) {
        largest = vf_max(largest, vf_load(row + j));
    }
    if (whole < count) {
        largest = vf_max(largest, vf_select(inside, vf_load(row + whole), vf_all(-3.4e38f)));
    }
    *largest_of_row = vf_largest(largest);
    for (int64_t j = 0; j < whole; j += FS_WIDTH) {
        const vf p = vf_exp(vf_load(row + j) - *largest_of_row);
        sum += p;
        vf_store(row + j, p);
    }
    if (whole < count) {
        const vf p = vf_select(inside, vf_exp(vf_load(row + whole) - *largest_of_row), vf_all(0));
        sum += p;
        vf_store(row + whole, p);
    }
    return vf_sum(sum);
}

/* lse = largest + ln(sum) of ``rows` ≤ QUERIES_A_BLOCK rows of head h. */
static void keep_lse(const struct attention *op, int64_t first_row, int64_t h, int64_t rows, const float *largest,
                     float *sum)
{
    float logarithm[QUERIES_A_BLOCK];
    const struct span sums = {(char *)sum, false};
    for (int64_t i = 0; i < rows; i += FS_WIDTH) {
        vf_store(logarithm + i, vf_log(span_load(sums, i, rows - i)));
    }
    float *lse = (float *)op->lse.data + first_row * op->lse.stride + h;
    for (int64_t i = 0; i < rows; i++) {
        lse[i * op->lse.stride] = largest[i] + logarithm[i];
    }
}

static size_t forward_floats(const struct attention *op)
{
    return (size_t)(op->by_width * (2 * op->tokens + QUERIES_A_BLOCK) + op->by_tokens * (op->width + QUERIES_A_BLOCK));
}

static void forward_head(const struct attention *op, int64_t b, int64_t h, float *memory)
{
    const int64_t tokens = op->tokens;
    const struct matrix q = {memory, op->by_width}, v = {q.data + tokens * q.stride, op->by_width},
                        result = {v.data + tokens * v.stride, op->by_width},
                        keys = {result.data + QUERIES_A_BLOCK * result.stride, op->by_tokens},
                        logits = {keys.data + op->width * keys.stride, op->by_tokens};
    pack(q, head_of(op, op->qkv, b, h, 0), op->scale);
    pack_transposed(keys, head_of(op, op->qkv, b, h, 1));
    pack(v, head_of(op, op->qkv, b, h, 2), 1);
    const struct fs_view out = head_of(op, op->out, b, h, 0);
    for (int64_t first = 0; first < tokens; first += QUERIES_A_BLOCK) {
        const int64_t rows = tokens - first < QUERIES_A_BLOCK ? tokens - first : QUERIES_A_BLOCK;
        multiply(rows, tokens, op->width, (struct factor){q.data + first * q.stride, q.stride, 1}, keys, logits, false);
        float largest[QUERIES_A_BLOCK], sum[QUERIES_A_BLOCK];
        for (int64_t i = 0; i < rows; i++) {
            sum[i] = softmax_row(logits.data + i * logits.stride, tokens, &largest[i]);
            ask_for_next(op, op->qkv, 3, b, h, first + i);
            ask_for_next(op, op->out, 1, b, h, first + i);
        }
        if (op->lse.data != NULL) {
            keep_lse(op, b * tokens + first, h, rows, largest, sum);
        }
        multiply(rows, op->width, tokens, (struct factor){logits.data, logits.stride, 1}, v, result, false);
        for (int64_t i = 0; i < rows; i++) {
            unpack(fs_view_rows(out, first + i, 1), (struct matrix){result.data + i * result.stride, 0}, 1 / sum[i]);
        }
    }
}

static void attention_forward(struct fs_backend *backend, struct fs_view out, struct fs_view lse, struct fs_view qkv,
                              int64_t tokens, int64_t heads, double scale)
{
    struct fs_cpu *cpu =
        fs_cpu_begin(backend, "attention_forward", fs_attention_forward_fits(backend, out, lse, qkv, tokens, heads));
    if (cpu == NULL) {
        return;
    }
    struct attention op = attention_of(out, qkv, tokens, heads, scale);
    op.lse = lse;
    for_each_head(cpu, "attention_forward", &op, forward_floats(&op), forward_head);
}

/* --- backward --- */

/* Forward, for query i of one head: s_ij = scale·q_i·k_j, p_ij = exp(s_ij)/Σ_l exp(s_il) = exp(s_ij − lse_i),
 * o_i = Σ_j p_ij·v_j. Write dx for the loss's derivative by x; do comes in. From the last,
 *
 *     dv_j = Σ_i p_ij·do_i,    dp_ij = do_i·v_j.
 *
 * Softmax: ∂p_il/∂s_ij = p_il·(δ_lj − p_ij), so ds_ij = Σ_l dp_il·∂p_il/∂s_ij = p_ij·(dp_ij − Σ_l p_il·dp_il). The sum
 * needs no row of the square: Σ_l p_il·dp_il = do_i·Σ_l p_il·v_l = do_i·o_i = delta_i, as wide as a head. Then
 *
 *     dq_i = scale·Σ_j ds_ij·k_j,    dk_j = scale·Σ_i ds_ij·q_i.
 *
 * (Dao et al. 2022, FlashAttention, appendix B.2.) A block of queries at a time has its logits again from q and k, its
 * probabilities from those and lse, then dp and ds; it finishes its own dq, and adds to dk and dv of all keys. q is
 * packed as scale·q: so the logits have their scale, and dk too; dq gets it when it is written. */

/* In place, a block of rows: logits → p = exp(logit − lse), dp → ds = p·(dp − delta). */
static void gradient_of_logits(float *logits, float *dp, int64_t count, float lse, float delta)
{
    for (int64_t j = 0; j < count; j += FS_WIDTH) {
        const vf p = vf_exp(vf_load(logits + j) - lse);
        vf_store(logits + j, p);
        vf_store(dp + j, p * (vf_load(dp + j) - delta));
    }
}

static float dot_row(struct span a, struct span b, int64_t cols)
{
    vf sum = {0};
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        sum = vf_fma(span_load(a, j, cols - j), span_load(b, j, cols - j), sum);
    }
    return vf_sum(sum);
}

static size_t backward_floats(const struct attention *op)
{
    return (size_t)(op->by_width * (5 * op->tokens + QUERIES_A_BLOCK) +
                    op->by_tokens * 2 * (op->width + QUERIES_A_BLOCK));
}

/* The packed matrices of one head. q is scaled already; its own gradient gets the scale when it is written. */
struct head {
    struct matrix q, k, dout, dk, dv, dq; /* dq: a block of queries */
    struct matrix keys, values;           /* k and v transposed */
    struct matrix logits, dlogits;        /* a block of queries */
};

static struct head plan_head(const struct attention *op, float *memory)
{
    const int64_t tokens = op->tokens;
    struct head head;
    struct matrix *const matrices[] = {&head.q,  &head.k,    &head.dout,   &head.dk,     &head.dv,
                                       &head.dq, &head.keys, &head.values, &head.logits, &head.dlogits};
    const int64_t rows[] = {tokens,          tokens,    tokens,    tokens,          tokens,
                            QUERIES_A_BLOCK, op->width, op->width, QUERIES_A_BLOCK, QUERIES_A_BLOCK};
    for (int i = 0; i < 10; i++) {
        const int64_t stride = i < 6 ? op->by_width : op->by_tokens;
        *matrices[i] = (struct matrix){memory, stride};
        memory += rows[i] * stride;
    }
    return head;
}

static void backward_head(const struct attention *op, int64_t b, int64_t h, float *memory)
{
    const int64_t tokens = op->tokens, width = op->width;
    const struct head m = plan_head(op, memory);
    const struct fs_view out = head_of(op, op->out, b, h, 0), dout = head_of(op, op->dout, b, h, 0);
    pack(m.q, head_of(op, op->qkv, b, h, 0), op->scale);
    pack(m.k, head_of(op, op->qkv, b, h, 1), 1);
    pack(m.dout, dout, 1);
    pack_transposed(m.keys, head_of(op, op->qkv, b, h, 1));
    pack_transposed(m.values, head_of(op, op->qkv, b, h, 2));
    for (int64_t first = 0; first < tokens; first += QUERIES_A_BLOCK) {
        const int64_t rows = tokens - first < QUERIES_A_BLOCK ? tokens - first : QUERIES_A_BLOCK;
        const struct matrix q = {m.q.data + first * m.q.stride, m.q.stride},
                            d = {m.dout.data + first * m.dout.stride, m.dout.stride};
        multiply(rows, tokens, width, (struct factor){q.data, q.stride, 1}, m.keys, m.logits, false);
        multiply(rows, tokens, width, (struct factor){d.data, d.stride, 1}, m.values, m.dlogits, false);
        for (int64_t i = 0; i < rows; i++) {
            const float lse = ((const float *)op->lse.data)[(b * tokens + first + i) * op->lse.stride + h];
            const float delta = dot_row(span_of(dout, first + i, 0), span_of(out, first + i, 0), width);
            gradient_of_logits(m.logits.data + i * m.logits.stride, m.dlogits.data + i * m.dlogits.stride, tokens, lse,
                               delta);
            ask_for_next(op, op->qkv, 3, b, h, first + i);
            ask_for_next(op, op->dqkv, 3, b, h, first + i);
            ask_for_next(op, op->out, 1, b, h, first + i);
            ask_for_next(op, op->dout, 1, b, h, first + i);
        }
        multiply(tokens, width, rows, (struct factor){m.logits.data, 1, m.logits.stride}, d, m.dv, first > 0);
        multiply(tokens, width, rows, (struct factor){m.dlogits.data, 1, m.dlogits.stride}, q, m.dk, first > 0);
        multiply(rows, width, tokens, (struct factor){m.dlogits.data, m.dlogits.stride, 1}, m.k, m.dq, false);
        unpack(fs_view_rows(head_of(op, op->dqkv, b, h, 0), first, rows), m.dq, op->scale);
    }
    unpack(head_of(op, op->dqkv, b, h, 1), m.dk, 1);
    unpack(head_of(op, op->dqkv, b, h, 2), m.dv, 1);
}

static void attention_backward(struct fs_backend *backend, struct fs_view dqkv, struct fs_view dout, struct fs_view qkv,
                               struct fs_view out, struct fs_view lse, int64_t tokens, int64_t heads, double scale)
{
    struct fs_cpu *cpu = fs_cpu_begin(backend, "attention_backward",
                                      fs_attention_backward_fits(backend, dqkv, dout, qkv, out, lse, tokens, heads));
    if (cpu == NULL) {
        return;
    }
    struct attention op = attention_of(out, qkv, tokens, heads, scale);
    op.lse = lse;
    op.dout = dout;
    op.dqkv = dqkv;
    for_each_head(cpu, "attention_backward", &op, backward_floats(&op), backward_head);
}

/* --- tangent --- */

/* With S = scale·q·kᵀ, E = exp(S − largest) and l = Σ_j E_ij, forward is o_i = (Σ_j E_ij·v_j)/l_i. Along a direction,
 * with Ṡ = scale·(q̇·kᵀ + q·k̇ᵀ) and G = E∘Ṡ (the largest logit cancels between E and l, so that it counts as a
 * constant),
 *
 *     l̇_i = Σ_j G_ij,    ȯ_i = (Σ_j (G_ij·v_j + E_ij·v̇_j) − l̇_i·o_i)/l_i.
 *
 * That is Ṗ·v + P·v̇ with Ṗ = P∘(Ṡ − Σ_row P∘Ṡ), without a second pass over the row: the weighted mean of Ṡ comes off
 * afterwards, from as many numbers as a head is wide. Value and tangent together are six products of T² pairs where the
 * value alone has two, and one exp. Ṡ is one product of twice the depth: [q̇ | q] by [k, k̇] one above the other. */
struct tangent_head {
    struct matrix queries;                      /* [q̇ | q], scaled */
    struct matrix keys;                         /* kᵀ above k̇ᵀ */
    struct matrix v, v_dot, result, result_dot; /* results: a block of queries */
    struct matrix logits, slopes;               /* Ṡ, then G; a block of queries */
};

static struct tangent_head plan_tangent_head(const struct attention *op, float *memory, size_t *floats)
{
    struct tangent_head head;
    struct matrix *const matrices[] = {&head.queries, &head.keys,       &head.v,      &head.v_dot,
                                       &head.result,  &head.result_dot, &head.logits, &head.slopes};
    const int64_t tokens = op->tokens, by_width = op->by_width, by_tokens = op->by_tokens;
    const int64_t rows[] = {tokens,          2 * op->width,   tokens,          tokens,
                            QUERIES_A_BLOCK, QUERIES_A_BLOCK, QUERIES_A_BLOCK, QUERIES_A_BLOCK};
    const int64_t strides[] = {packed_stride(2 * op->width + FS_WIDTH),
                               by_tokens,
                               by_width,
                               by_width,
                               by_width,
                               by_width,
                               by_tokens,
                               by_tokens};
    *floats = 0;
    for (int i = 0; i < 8; i++) {
        *matrices[i] = (struct matrix){memory == NULL ? NULL : memory + *floats, strides[i]};
        *floats += (size_t)(rows[i] * strides[i]);
    }
    return head;
}

/* slopes ← weights∘slopes; returns the sum. Behind the last both are 0 up to a whole vector. */
static float weigh_slopes(float *slopes, const float *weights, int64_t count)
{
    vf sum = {0};
    for (int64_t j = 0; j < count; j += FS_WIDTH) {
        const vf g = vf_load(weights + j) * vf_load(slopes + j);
        sum += g;
        vf_store(slopes + j, g);
    }
    return vf_sum(sum);
}

static void finish_tangent_row(struct span out, struct span out_dot, const float *result, const float *result_dot,
                               int64_t cols, float sum, float sum_dot)
{
    const vf by = vf_all(1 / sum), mean = vf_all(sum_dot);
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        const vf o = by * vf_load(result + j);
        span_store(out, j, cols - j, o);
        span_store(out_dot, j, cols - j, by * vf_fma(-mean, o, vf_load(result_dot + j)));
    }
}

static void tangent_of_head(const struct attention *op, int64_t b, int64_t h, float *memory)
{
    size_t floats;
    const struct tangent_head m = plan_tangent_head(op, memory, &floats);
    const int64_t tokens = op->tokens, width = op->width;
    const struct matrix right = {m.queries.data + width, m.queries.stride},
                        below = {m.keys.data + width * m.keys.stride, m.keys.stride};
    pack(m.queries, head_of(op, op->dqkv, b, h, 0), op->scale); /* the zeros behind it are under q */
    pack(right, head_of(op, op->qkv, b, h, 0), op->scale);
    pack_transposed(m.keys, head_of(op, op->qkv, b, h, 1));
    pack_transposed(below, head_of(op, op->dqkv, b, h, 1));
    pack(m.v, head_of(op, op->qkv, b, h, 2), 1);
    pack(m.v_dot, head_of(op, op->dqkv, b, h, 2), 1);
    const struct fs_view out = head_of(op, op->out, b, h, 0), out_dot = head_of(op, op->dout, b, h, 0);
    const struct factor weights = {m.logits.data, m.logits.stride, 1}, slopes = {m.slopes.data, m.slopes.stride, 1};
    for (int64_t first = 0; first < tokens; first += QUERIES_A_BLOCK) {
        const int64_t rows = tokens - first < QUERIES_A_BLOCK ? tokens - first : QUERIES_A_BLOCK;
        const float *queries = m.queries.data + first * m.queries.stride;
        multiply(rows, tokens, width, (struct factor){queries + width, m.queries.stride, 1}, m.keys, m.logits, false);
        multiply(rows, tokens, 2 * width, (struct factor){queries, m.queries.stride, 1}, m.keys, m.slopes, false);
        float largest, sum[QUERIES_A_BLOCK], sum_dot[QUERIES_A_BLOCK];
        for (int64_t i = 0; i < rows; i++) {
            float *const row = m.logits.data + i * m.logits.stride;
            sum[i] = softmax_row(row, tokens, &largest);
            sum_dot[i] = weigh_slopes(m.slopes.data + i * m.slopes.stride, row, tokens);
            ask_for_next(op, op->qkv, 3, b, h, first + i);
            ask_for_next(op, op->dqkv, 3, b, h, first + i);
            ask_for_next(op, op->out, 1, b, h, first + i);
            ask_for_next(op, op->dout, 1, b, h, first + i);
        }
        multiply(rows, width, tokens, weights, m.v, m.result, false);
        multiply(rows, width, tokens, slopes, m.v, m.result_dot, false);
        multiply(rows, width, tokens, weights, m.v_dot, m.result_dot, true);
        for (int64_t i = 0; i < rows; i++) {
            finish_tangent_row(span_of(out, first + i, 0), span_of(out_dot, first + i, 0),
                               m.result.data + i * m.result.stride, m.result_dot.data + i * m.result_dot.stride, width,
                               sum[i], sum_dot[i]);
        }
    }
}

static void attention_tangent(struct fs_backend *backend, struct fs_view out, struct fs_view out_dot,
                              struct fs_view qkv, struct fs_view qkv_dot, int64_t tokens, int64_t heads, double scale)
{
    struct fs_cpu *cpu = fs_cpu_begin(backend, "attention_tangent",
                                      fs_attention_tangent_fits(backend, out, out_dot, qkv, qkv_dot, tokens, heads));
    if (cpu == NULL) {
        return;
    }
    struct attention op = attention_of(out, qkv, tokens, heads, scale);
    op.dout = out_dot;
    op.dqkv = qkv_dot;
    size_t floats;
    plan_tangent_head(&op, NULL, &floats);
    for_each_head(cpu, "attention_tangent", &op, floats, tangent_of_head);
}

void FS_ISA_NAME(fs_install_attention)(struct fs_backend *backend)
{
    backend->attention_forward = attention_forward;
    backend->attention_backward = attention_backward;
    backend->attention_tangent = attention_tangent;
}
