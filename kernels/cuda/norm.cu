/* Layer norm with modulation and gated residual, alone and one behind the other, and column sums. */
#include "kernels/cuda/device.cuh"

/* --- layer norm, with the gate in front of it --- */

#define ROWS_FORWARD 8   /* of a sample that a block takes: its vectors are read once for all of them */
#define ROWS_BACKWARD 32 /* and whose sums it adds up; fixed, so the sums do not depend on the device */

/* x ← x + gate·y and z = x̂·(1 + scale) + shift, of so many tokens a sample; without y the norm alone. */
struct norm_operation {
    struct span out, x, y, gate;
    struct span z, statistics, shift, scale;
    int64_t cols, tokens;
};

/* Mean and variance in two passes over the row, which lies in the block's registers:
 * mean = Σ x/D, then 1/√(Σ (x − mean)²/D + 1e-6), without the cancellation of Σ x² − D·mean². */
static __global__ void __launch_bounds__(FS_ROW_THREADS) norm_rows(struct norm_operation op)
{
    __shared__ struct pair room[2][FS_ROW_WARPS];
    const struct row_range rows = rows_of_block(op.tokens, ROWS_FORWARD);
    const int64_t col = first_col_of_thread();
    const int count = cols_of_thread(op.cols);
    const bool gated = op.y.data != NULL;
    const struct piece a = load_piece(op.scale, rows.sample, col, count),
                       b = load_piece(op.shift, rows.sample, col, count);
    struct piece by = {{0}};
    if (gated) {
        by = load_piece(op.gate, rows.sample, col, count);
    }
    for (int64_t row = rows.first; row < rows.end; row++) {
        struct piece p = load_piece(op.x, row, col, count);
        if (gated) {
            const struct piece value = load_piece(op.y, row, col, count);
            for (int k = 0; k < FS_PIECE; k++) {
                p.v[k] += by.v[k] * value.v[k];
            }
            store_piece(op.out, row, col, count, p);
        }
        float sum = 0, squares = 0;
        for (int k = 0; k < FS_PIECE; k++) {
            sum += p.v[k];
        }
        const float mean = sum_over_row(room, 0, {sum, 0}).first / (float)op.cols;
        for (int k = 0; k < FS_PIECE; k++) {
            p.v[k] = k < count ? p.v[k] - mean : 0;
            squares += p.v[k] * p.v[k];
        }
        const float inverse = 1.0f / sqrtf(sum_over_row(room, 1, {squares, 0}).first / (float)op.cols + 1e-6f);
        for (int k = 0; k < FS_PIECE; k++) {
            p.v[k] = p.v[k] * inverse * (1.0f + a.v[k]) + b.v[k];
        }
        store_piece(op.z, row, col, count, p);
        if (threadIdx.x == 0 && op.statistics.data != NULL) {
            store(op.statistics, row, 0, mean);
            store(op.statistics, row, 1, inverse);
        }
    }
}

static void run_norm(struct fs_cuda *cuda, const struct norm_operation &op, int64_t samples)
{
    const int threads = threads_for_row(cuda, op.cols);
    if (threads > 0) {
        FS_LAUNCH(cuda, norm_rows, samples * blocks_of_sample(op.tokens, ROWS_FORWARD), threads, op);
    }
}

static void norm_forward(struct fs_backend *backend, struct fs_view y, struct fs_view statistics, struct fs_view x,
                         struct fs_view shift, struct fs_view scale)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "norm_forward", fs_norm_forward_fits(backend, y, statistics, x, shift, scale));
    if (cuda != NULL) {
        const struct span none = span_of(fs_no_view());
        run_norm(cuda,
                 {none, span_of(x), none, none, span_of(y), span_of(statistics), span_of(shift), span_of(scale), x.cols,
                  x.rows / shift.rows},
                 shift.rows);
    }
}

static void gate_norm_forward(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                              struct fs_view gate, struct fs_view z, struct fs_view statistics, struct fs_view shift,
                              struct fs_view scale)
{
    struct fs_cuda *cuda = fs_cuda_begin(
        backend, "gate_norm_forward", fs_gate_norm_forward_fits(backend, out, x, y, gate, z, statistics, shift, scale));
    if (cuda != NULL) {
        run_norm(cuda,
                 {span_of(out), span_of(x), span_of(y), span_of(gate), span_of(z), span_of(statistics), span_of(shift),
                  span_of(scale), x.cols, x.rows / shift.rows},
                 shift.rows);
    }
}

/* The gradient of out = x + gate·y and z = norm(out). With g = dz·(1 + scale), derived in kernels/cpu/isa/norm.c,
 *
 *     dx += (g − mean(g) − x̂·mean(g·x̂))/√(var + ε),    and with that sum    dy = gate·dx,
 *     dshift = Σ_tokens dz,    dscale = Σ_tokens dz·x̂,    dgate = Σ_tokens dx·y.
 *
 * A block has ROWS_BACKWARD rows of a sample, one after the other; it reads x̂, dz, dx and y of each once, and writes dx
 * and dy. Down its columns each thread adds its own three sums, in the order of the rows. They are the sample's where
 * it has no more rows; else they go into one row a block, which are added in their order. Without y the norm alone. */
struct norm_gradient {
    struct span dx, dz, out, statistics, scale; /* the norm */
    struct span dy, y, gate;                    /* the gate in front of it */
    struct span dshift, dscale, dgate;          /* a row for each block */
    int64_t cols, tokens;
};

static __global__ void __launch_bounds__(FS_ROW_THREADS) norm_rows_backward(struct norm_gradient op)
{
    __shared__ struct pair room[2][FS_ROW_WARPS];
    const struct row_range rows = rows_of_block(op.tokens, ROWS_BACKWARD);
    const int64_t col = first_col_of_thread();
    const int count = cols_of_thread(op.cols);
    const bool gated = op.y.data != NULL;
    const struct piece a = load_piece(op.scale, rows.sample, col, count);
    struct piece by = {{0}}, dshift = {{0}}, dscale = {{0}}, dgate = {{0}};
    if (gated) {
        by = load_piece(op.gate, rows.sample, col, count);
    }
    for (int64_t row = rows.first; row < rows.end; row++) {
        const float mean = load(op.statistics, row, 0), inverse = load(op.statistics, row, 1);
        const struct piece d = load_piece(op.dz, row, col, count); /* 0 behind the row's end, so all sums are */
        struct piece normal = load_piece(op.out, row, col, count), to = load_piece(op.dx, row, col, count);
        struct piece value = {{0}};
        if (gated) {
            value = load_piece(op.y, row, col, count);
        }
        struct pair sums = {0, 0};
        for (int k = 0; k < FS_PIECE; k++) {
            const float g = d.v[k] * (1.0f + a.v[k]);
            normal.v[k] = (normal.v[k] - mean) * inverse;
            sums.first += g;
            sums.second += g * normal.v[k];
            dshift.v[k] += d.v[k];
            dscale.v[k] += d.v[k] * normal.v[k];
        }
        sums = sum_over_row(room, (int)(row & 1), sums);
        const float mean_g = sums.first / (float)op.cols, mean_normal = sums.second / (float)op.cols;
        for (int k = 0; k < FS_PIECE; k++) {
            to.v[k] += (d.v[k] * (1.0f + a.v[k]) - mean_g - normal.v[k] * mean_normal) * inverse;
            dgate.v[k] += to.v[k] * value.v[k];
        }
        store_piece(op.dx, row, col, count, to);
        if (gated) {
            for (int k = 0; k < FS_PIECE; k++) {
                to.v[k] *= by.v[k];
            }
            store_piece(op.dy, row, col, count, to);
        }
    }
    store_piece(op.dshift, blockIdx.x, col, count, dshift);
    store_piece(op.dscale, blockIdx.x, col, count, dscale);
    if (gated) {
        store_piece(op.dgate, blockIdx.x, col, count, dgate);
    }
}

/* The blocks' sums side by side, [dshift | dscale | dgate], added for each sample. */
struct modulation_sums {
    struct span dshift, dscale, dgate, of_blocks;
    int64_t cols;
    __device__ struct pair term(int64_t row, int64_t group, int64_t col) const
    {
        (void)group;
        return {load(of_blocks, row, col), 0};
    }
    __device__ void finish(int64_t group, int64_t col, struct pair sums) const
    {
        const int64_t which = col / cols;
        store(which == 0 ? dshift : which == 1 ? dscale : dgate, group, col - which * cols, sums.first);
    }
};

/* `op` with its results' sums: of blocks at first where a sample has several, then of samples. */
static void run_norm_backward(struct fs_cuda *cuda, struct norm_gradient op, int64_t samples)
{
    const int threads = threads_for_row(cuda, op.cols);
    const int64_t blocks = blocks_of_sample(op.tokens, ROWS_BACKWARD), width = (op.y.data != NULL ? 3 : 2) * op.cols;
    if (threads == 0) {
        return;
    }
    if (blocks <= 1) {
        FS_LAUNCH(cuda, norm_rows_backward, samples, threads, op);
        return;
    }
    void *memory = fs_cuda_scratch(cuda, (size_t)(samples * blocks * width) * sizeof(float));
    if (memory == NULL) {
        return;
    }
    const struct fs_view of_blocks = fs_view(memory, FS_F32, samples * blocks, width);
    const struct modulation_sums sums = {op.dshift, op.dscale, op.dgate, span_of(of_blocks), op.cols};
    op.dshift = span_of(fs_view_cols(of_blocks, 0, op.cols));
    op.dscale = span_of(fs_view_cols(of_blocks, op.cols, op.cols));
    op.dgate = op.y.data != NULL ? span_of(fs_view_cols(of_blocks, 2 * op.cols, op.cols)) : op.dgate;
    FS_LAUNCH(cuda, norm_rows_backward, samples * blocks, threads, op);
    sum_columns(cuda, sums, samples * blocks, blocks, width);
}

static void norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dshift, struct fs_view dscale,
                          struct fs_view dy, struct fs_view x, struct fs_view statistics, struct fs_view scale)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "norm_backward",
                                         fs_norm_backward_fits(backend, dx, dshift, dscale, dy, x, statistics, scale));
    if (cuda != NULL) {
        const struct span none = span_of(fs_no_view());
        run_norm_backward(cuda,
                          {span_of(dx), span_of(dy), span_of(x), span_of(statistics), span_of(scale), none, none, none,
                           span_of(dshift), span_of(dscale), none, x.cols, x.rows / scale.rows},
                          scale.rows);
    }
}

static void gate_norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view dgate,
                               struct fs_view dshift, struct fs_view dscale, struct fs_view dz, struct fs_view y,
                               struct fs_view gate, struct fs_view out, struct fs_view statistics, struct fs_view scale)
{
    struct fs_cuda *cuda = fs_cuda_begin(
        backend, "gate_norm_backward",
        fs_gate_norm_backward_fits(backend, dx, dy, dgate, dshift, dscale, dz, y, gate, out, statistics, scale));
    if (cuda != NULL) {
        run_norm_backward(cuda,
                          {span_of(dx), span_of(dz), span_of(out), span_of(statistics), span_of(scale), span_of(dy),
                           span_of(y), span_of(gate), span_of(dshift), span_of(dscale), span_of(dgate), out.cols,
                           out.rows / scale.rows},
                          scale.rows);
    }
}

/* ẏ = (ẋ − mean(ẋ) − x̂·mean(x̂·ẋ))/√(var + ε)·(1 + scale) + x̂·scale_dot + shift_dot, derived in kernels/cpu/isa/norm.c;
 * a warp has a row. */
static __global__ void __launch_bounds__(FS_THREADS)
    norm_rows_tangent(struct span y_dot, struct span x_dot, struct span x, struct span statistics, struct span scale,
                      struct span shift_dot, struct span scale_dot, int64_t rows, int64_t cols, int64_t tokens)
{
    const int64_t row = row_of_warp(), sample = row / tokens;
    if (row >= rows) {
        return;
    }
    const int64_t first = threadIdx.x % FS_WARP * FS_PIECE;
    const float mean = load(statistics, row, 0), inverse = load(statistics, row, 1);
    float sum = 0, sum_normal = 0;
    for (int64_t col = first; col < cols; col += FS_WARP * FS_PIECE) {
        const int count = (int)min(cols - col, (int64_t)FS_PIECE);
        const struct piece p = load_piece(x, row, col, count), d = load_piece(x_dot, row, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            sum += d.v[k]; /* 0 behind the row's end */
            sum_normal += d.v[k] * ((p.v[k] - mean) * inverse);
        }
    }
    const float mean_dot = warp_sum(sum) / (float)cols, mean_normal = warp_sum(sum_normal) / (float)cols;
    for (int64_t col = first; col < cols; col += FS_WARP * FS_PIECE) {
        const int count = (int)min(cols - col, (int64_t)FS_PIECE);
        const struct piece p = load_piece(x, row, col, count), a = load_piece(scale, sample, col, count),
                           b_dot = load_piece(shift_dot, sample, col, count),
                           a_dot = load_piece(scale_dot, sample, col, count);
        struct piece d = load_piece(x_dot, row, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            const float normal = (p.v[k] - mean) * inverse;
            const float normal_dot = (d.v[k] - mean_dot - normal * mean_normal) * inverse;
            d.v[k] = normal_dot * (1.0f + a.v[k]) + (normal * a_dot.v[k] + b_dot.v[k]);
        }
        store_piece(y_dot, row, col, count, d);
    }
}

static void norm_tangent(struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot, struct fs_view x,
                         struct fs_view statistics, struct fs_view scale, struct fs_view shift_dot,
                         struct fs_view scale_dot)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "norm_tangent",
                      fs_norm_tangent_fits(backend, y_dot, x_dot, x, statistics, scale, shift_dot, scale_dot));
    if (cuda != NULL) {
        FS_LAUNCH(cuda, norm_rows_tangent, blocks_for_rows(x.rows), FS_THREADS, span_of(y_dot), span_of(x_dot),
                  span_of(x), span_of(statistics), span_of(scale), span_of(shift_dot), span_of(scale_dot), x.rows,
                  x.cols, x.rows / scale.rows);
    }
}

/* --- gated residual --- */

struct gate_operation {
    struct span out, x, y, gate;
    int64_t tokens;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        struct piece sum = load_piece(x, row, col, count);
        const struct piece by = load_piece(gate, row / tokens, col, count), value = load_piece(y, row, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            sum.v[k] += by.v[k] * value.v[k];
        }
        store_piece(out, row, col, count, sum);
    }
};

static void gate_forward(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                         struct fs_view gate)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "gate_forward", fs_gate_forward_fits(backend, out, x, y, gate));
    if (cuda != NULL) {
        for_each_piece(cuda, gate_operation{span_of(out), span_of(x), span_of(y), span_of(gate), x.rows / gate.rows},
                       x.rows, x.cols);
    }
}

/* dy goes out on the way, as the same numbers are read for dgate. */
struct gate_gradient {
    struct span dy, dgate, dout, y, gate;
    __device__ struct pair term(int64_t row, int64_t group, int64_t col) const
    {
        const float d = load(dout, row, col), value = load(y, row, col);
        store(dy, row, col, load(gate, group, col) * d);
        return {d * value, 0};
    }
    __device__ void finish(int64_t group, int64_t col, struct pair sums) const
    {
        store(dgate, group, col, sums.first);
    }
};

static void gate_backward(struct fs_backend *backend, struct fs_view dy, struct fs_view dgate, struct fs_view dout,
                          struct fs_view y, struct fs_view gate)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "gate_backward", fs_gate_backward_fits(backend, dy, dgate, dout, y, gate));
    if (cuda != NULL) {
        sum_columns(cuda, gate_gradient{span_of(dy), span_of(dgate), span_of(dout), span_of(y), span_of(gate)}, y.rows,
                    y.rows / gate.rows, y.cols);
    }
}

/* --- column sums --- */

struct column_sum {
    struct span out, x;
    bool accumulate;
    __device__ struct pair term(int64_t row, int64_t group, int64_t col) const
    {
        (void)group;
        return {load(x, row, col), 0};
    }
    __device__ void finish(int64_t group, int64_t col, struct pair sums) const
    {
        store(out, group, col, (accumulate ? load(out, group, col) : 0) + sums.first);
    }
};

void fs_cuda_add_column_sums(struct fs_cuda *cuda, struct fs_view out, struct fs_view x)
{
    const int64_t chunk = 512, chunks = (x.rows + chunk - 1) / chunk;
    if (chunks <= 1) {
        sum_columns(cuda, column_sum{span_of(out), span_of(x), true}, x.rows, chunk, x.cols);
        return;
    }
    void *memory = fs_cuda_scratch(cuda, (size_t)(chunks * x.cols) * sizeof(float));
    if (memory != NULL) {
        const struct fs_view partial = fs_view(memory, FS_F32, chunks, x.cols);
        sum_columns(cuda, column_sum{span_of(partial), span_of(x), false}, x.rows, chunk, x.cols);
        sum_columns(cuda, column_sum{span_of(out), span_of(partial), true}, chunks, chunks, x.cols);
    }
}

void fs_cuda_install_norm(struct fs_backend *backend)
{
    backend->norm_forward = FS_TOLD(norm_forward);
    backend->norm_backward = FS_TOLD(norm_backward);
    backend->norm_tangent = FS_TOLD(norm_tangent);
    backend->gate_forward = FS_TOLD(gate_forward);
    backend->gate_backward = FS_TOLD(gate_backward);
    backend->gate_norm_forward = FS_TOLD(gate_norm_forward);
    backend->gate_norm_backward = FS_TOLD(gate_norm_backward);
}
