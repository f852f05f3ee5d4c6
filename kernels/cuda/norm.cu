/* Layer norm with modulation and gated residual, and column sums: a warp for each token, and for gradients of
 * per-sample operands a block for some columns of a sample. */
#include "kernels/cuda/device.cuh"

/* --- layer norm --- */

/* Mean and 1/√(variance + 1e-6) of a row, by the warp that owns it; two passes, the second from cache. */
static __device__ struct pair row_statistics(struct span x, int64_t row, int64_t cols)
{
    const int64_t first = threadIdx.x % FS_WARP * FS_PIECE;
    float sum = 0, squares = 0;
    for (int64_t col = first; col < cols; col += FS_WARP * FS_PIECE) {
        const struct piece p = load_piece(x, row, col, (int)min(cols - col, (int64_t)FS_PIECE));
        for (int k = 0; k < FS_PIECE; k++) {
            sum += p.v[k];
        }
    }
    const float mean = warp_sum(sum) / (float)cols;
    for (int64_t col = first; col < cols; col += FS_WARP * FS_PIECE) {
        const struct piece p = load_piece(x, row, col, (int)min(cols - col, (int64_t)FS_PIECE));
        for (int k = 0; k < FS_PIECE; k++) {
            const float difference = col + k < cols ? p.v[k] - mean : 0;
            squares += difference * difference;
        }
    }
    return {mean, 1.0f / sqrtf(warp_sum(squares) / (float)cols + 1e-6f)};
}

static __global__ void __launch_bounds__(FS_THREADS)
    norm_rows(struct span y, struct span statistics, struct span x, struct span shift, struct span scale, int64_t rows,
              int64_t cols, int64_t tokens)
{
    const int64_t row = row_of_warp(), sample = row / tokens;
    if (row >= rows) {
        return;
    }
    const int lane = threadIdx.x % FS_WARP;
    const struct pair s = row_statistics(x, row, cols);
    for (int64_t col = lane * FS_PIECE; col < cols; col += FS_WARP * FS_PIECE) {
        const int count = (int)min(cols - col, (int64_t)FS_PIECE);
        struct piece p = load_piece(x, row, col, count);
        const struct piece a = load_piece(scale, sample, col, count), b = load_piece(shift, sample, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            p.v[k] = (p.v[k] - s.first) * s.second * (1.0f + a.v[k]) + b.v[k];
        }
        store_piece(y, row, col, count, p);
    }
    if (lane == 0 && statistics.data != NULL) {
        store(statistics, row, 0, s.first);
        store(statistics, row, 1, s.second);
    }
}

static void norm_forward(struct fs_backend *backend, struct fs_view y, struct fs_view statistics, struct fs_view x,
                         struct fs_view shift, struct fs_view scale)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "norm_forward", fs_norm_forward_fits(backend, y, statistics, x, shift, scale));
    if (cuda != NULL) {
        FS_LAUNCH(cuda, norm_rows, blocks_for_rows(x.rows), FS_THREADS, span_of(y), span_of(statistics), span_of(x),
                  span_of(shift), span_of(scale), x.rows, x.cols, x.rows / shift.rows);
    }
}

/* With g = dy·(1 + scale): dx += (g − mean(g) − x̂·mean(g·x̂))/√(var + ε), derived in kernels/cpu/isa/norm.c; a warp has
 * a row. dshift and dscale are sums over tokens, by column: column_sums has them. */
static __global__ void __launch_bounds__(FS_THREADS)
    norm_rows_backward(struct span dx, struct span dy, struct span x, struct span statistics, struct span scale,
                       int64_t rows, int64_t cols, int64_t tokens)
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
        const struct piece p = load_piece(x, row, col, count), d = load_piece(dy, row, col, count),
                           a = load_piece(scale, sample, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            const float g = d.v[k] * (1.0f + a.v[k]); /* 0 behind the row's end, as d is */
            sum += g;
            sum_normal += g * ((p.v[k] - mean) * inverse);
        }
    }
    const float mean_g = warp_sum(sum) / (float)cols, mean_normal = warp_sum(sum_normal) / (float)cols;
    for (int64_t col = first; col < cols; col += FS_WARP * FS_PIECE) {
        const int count = (int)min(cols - col, (int64_t)FS_PIECE);
        const struct piece p = load_piece(x, row, col, count), d = load_piece(dy, row, col, count),
                           a = load_piece(scale, sample, col, count);
        struct piece to = load_piece(dx, row, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            const float normal = (p.v[k] - mean) * inverse;
            to.v[k] += (d.v[k] * (1.0f + a.v[k]) - mean_g - normal * mean_normal) * inverse;
        }
        store_piece(dx, row, col, count, to);
    }
}

struct modulation_gradient {
    struct span dshift, dscale, dy, x, statistics;
    __device__ struct pair term(int64_t row, int64_t group, int64_t col) const
    {
        (void)group;
        const float d = load(dy, row, col);
        return {d, d * ((load(x, row, col) - load(statistics, row, 0)) * load(statistics, row, 1))};
    }
    __device__ void finish(int64_t group, int64_t col, struct pair sums) const
    {
        store(dshift, group, col, sums.first);
        store(dscale, group, col, sums.second);
    }
};

static void norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dshift, struct fs_view dscale,
                          struct fs_view dy, struct fs_view x, struct fs_view statistics, struct fs_view scale)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "norm_backward",
                                         fs_norm_backward_fits(backend, dx, dshift, dscale, dy, x, statistics, scale));
    if (cuda == NULL) {
        return;
    }
    const int64_t tokens = x.rows / scale.rows;
    FS_LAUNCH(cuda, norm_rows_backward, blocks_for_rows(x.rows), FS_THREADS, span_of(dx), span_of(dy), span_of(x),
              span_of(statistics), span_of(scale), x.rows, x.cols, tokens);
    sum_columns(cuda,
                modulation_gradient{span_of(dshift), span_of(dscale), span_of(dy), span_of(x), span_of(statistics)},
                x.rows, tokens, x.cols);
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
}
