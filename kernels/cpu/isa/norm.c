/* Layer norm with modulation, and the gated residual: a row per token, vectors per sample. Sums over the tokens of a
 * sample are taken over chunks of a fixed number of tokens and then in order, so that they do not depend on the number
 * of threads. */
#include "kernels/cpu/isa/vector.h"

#define EPSILON 1e-6f
#define TOKENS_A_CHUNK 64

FS_INLINE vf lanes_below(vf v, int64_t count)
{
    return count >= FS_WIDTH ? v : vf_select(vi_lanes() < (int32_t)count, v, vf_all(0));
}

/* Mean, and one over the standard deviation, in two passes over a row that stays in the first cache. */
static void row_statistics(struct span x, int64_t cols, float *mean, float *inverse)
{
    vf sum = {0}, squares = {0};
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        sum += span_load(x, j, cols - j);
    }
    *mean = vf_sum(sum) / (float)cols;
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        const vf centred = lanes_below(span_load(x, j, cols - j) - *mean, cols - j);
        squares = vf_fma(centred, centred, squares);
    }
    *inverse = 1.0f / __builtin_sqrtf(vf_sum(squares) / (float)cols + EPSILON);
}

/* A row of the norm, whose statistics go to `keep` where that is given. */
static void norm_row(struct span to, struct span from, struct span plus, struct span times, int64_t cols, float *keep)
{
    float mean, inverse;
    row_statistics(from, cols, &mean, &inverse);
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        const int64_t n = cols - j;
        const vf normal = (span_load(from, j, n) - mean) * inverse;
        span_store(to, j, n, vf_fma(normal, 1.0f + span_load(times, j, n), span_load(plus, j, n)));
    }
    if (keep != NULL) {
        keep[0] = mean;
        keep[1] = inverse;
    }
}

static float *statistics_of(struct fs_view statistics, int64_t row)
{
    return statistics.data == NULL ? NULL : (float *)statistics.data + row * statistics.stride;
}

static void norm_forward(struct fs_backend *backend, struct fs_view y, struct fs_view statistics, struct fs_view x,
                         struct fs_view shift, struct fs_view scale)
{
    const struct fs_cpu *cpu =
        fs_cpu_begin(backend, "norm_forward", fs_norm_forward_fits(backend, y, statistics, x, shift, scale));
    if (cpu == NULL) {
        return;
    }
    const int64_t tokens = x.rows / shift.rows;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < x.rows; i++) {
        norm_row(span_of(y, i, 0), span_of(x, i, 0), span_of(shift, i / tokens, 0), span_of(scale, i / tokens, 0),
                 x.cols, statistics_of(statistics, i));
    }
}

struct norm_gradient {
    struct fs_view dx, dy, x, statistics, scale;
};

/* One token of the backward pass of layer norm (Ba, Kiros & Hinton 2016) with modulation (Peebles & Xie 2023, DiT).
 *
 * Forward, over the D numbers of a row: μ = mean(x), σ = √(mean((x − μ)²) + ε), x̂ = (x − μ)/σ, y = x̂·(1 + scale) +
 * shift. Write dv for the loss's derivative by v. shift and scale are shared by the tokens of a sample, so
 *
 *     dshift = Σ_tokens dy,    dscale = Σ_tokens dy·x̂,    and dx̂ = g = dy·(1 + scale).
 *
 * Each x̂_j depends on every x_i of its row, through μ and σ: ∂μ/∂x_i = 1/D, and
 * 2σ·∂σ/∂x_i = ∂σ²/∂x_i = 2/D·Σ_j (x_j − μ)·(δ_ij − 1/D) = 2(x_i − μ)/D, since Σ_j (x_j − μ) = 0; so ∂σ/∂x_i = x̂_i/D
 * and
 *
 *     ∂x̂_j/∂x_i = (δ_ij − 1/D)/σ − (x_j − μ)/σ²·x̂_i/D = (δ_ij − 1/D − x̂_i·x̂_j/D)/σ,
 *     dx_i = Σ_j g_j·∂x̂_j/∂x_i = (g_i − mean(g) − x̂_i·mean(g·x̂))/σ.
 *
 * In words: normalisation takes a row's mean and its length away, so the gradient loses its parts along 1 and along x̂.
 * The first loop takes both means, and adds to dshift and dscale as it passes; the second writes. dx is added to, as x
 * also goes on beside the norm, in the residual stream. */
static void norm_backward_row(const struct norm_gradient *op, int64_t i, struct span times, float *dshift,
                              float *dscale)
{
    const struct span dx = span_of(op->dx, i, 0), dy = span_of(op->dy, i, 0), x = span_of(op->x, i, 0);
    const struct span to_shift = {(char *)dshift, false}, to_scale = {(char *)dscale, false};
    const float *statistics = (const float *)op->statistics.data + i * op->statistics.stride;
    const float mean = statistics[0], inverse = statistics[1];
    const int64_t cols = op->x.cols;
    vf sum = {0}, sum_normal = {0};
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        const int64_t n = cols - j;
        const vf normal = (span_load(x, j, n) - mean) * inverse, gradient = span_load(dy, j, n);
        const vf g = gradient * (1.0f + span_load(times, j, n));
        sum += g;
        sum_normal = vf_fma(g, normal, sum_normal);
        span_store(to_shift, j, n, span_load(to_shift, j, n) + gradient);
        span_store(to_scale, j, n, vf_fma(gradient, normal, span_load(to_scale, j, n)));
    }
    const float mean_g = vf_sum(sum) / (float)cols, mean_normal = vf_sum(sum_normal) / (float)cols;
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        const int64_t n = cols - j;
        const vf normal = (span_load(x, j, n) - mean) * inverse;
        const vf g = span_load(dy, j, n) * (1.0f + span_load(times, j, n));
        const vf inner = g - mean_g - normal * mean_normal;
        span_store(dx, j, n, vf_fma(inner, vf_all(inverse), span_load(dx, j, n)));
    }
}

/* out[b] = the sum over the chunks of sample b of partial[chunk] (rows of `cols` floats, `stride` apart). */
static void sum_chunks(const struct fs_cpu *cpu, struct fs_view out, const float *partial, int64_t stride,
                       int64_t chunks)
{
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (out.rows > 1)
    for (int64_t b = 0; b < out.rows; b++) {
        const struct span to = span_of(out, b, 0);
        for (int64_t j = 0; j < out.cols; j += FS_WIDTH) {
            vf sum = {0};
            for (int64_t chunk = b * chunks; chunk < (b + 1) * chunks; chunk++) {
                const struct span from = {(char *)(partial + chunk * stride), false};
                sum += span_load(from, j, out.cols - j);
            }
            span_store(to, j, out.cols - j, sum);
        }
    }
}

static int64_t chunks_of(int64_t tokens)
{
    return (tokens + TOKENS_A_CHUNK - 1) / TOKENS_A_CHUNK;
}

/* The rows of chunk `task` of so many tokens a sample. */
struct chunk {
    int64_t sample, first, end;
};

static struct chunk chunk_of(int64_t task, int64_t tokens)
{
    const int64_t chunks = chunks_of(tokens), sample = task / chunks, first = task % chunks * TOKENS_A_CHUNK;
    const int64_t end = first + TOKENS_A_CHUNK < tokens ? first + TOKENS_A_CHUNK : tokens;
    return (struct chunk){sample, sample * tokens + first, sample * tokens + end};
}

static void norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dshift, struct fs_view dscale,
                          struct fs_view dy, struct fs_view x, struct fs_view statistics, struct fs_view scale)
{
    struct fs_cpu *cpu = fs_cpu_begin(backend, "norm_backward",
                                      fs_norm_backward_fits(backend, dx, dshift, dscale, dy, x, statistics, scale));
    if (cpu == NULL) {
        return;
    }
    const int64_t tokens = x.rows / scale.rows, tasks = scale.rows * chunks_of(tokens);
    const int64_t stride = (2 * x.cols + 15) / 16 * 16;
    float *partial = fs_cpu_scratch(cpu, "norm_backward", (size_t)(tasks * stride) * sizeof *partial);
    if (partial == NULL) {
        return;
    }
    const struct norm_gradient op = {dx, dy, x, statistics, scale};
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t task = 0; task < tasks; task++) {
        const struct chunk chunk = chunk_of(task, tokens);
        float *sums = partial + task * stride;
        memset(sums, 0, (size_t)(2 * x.cols) * sizeof *sums);
        for (int64_t i = chunk.first; i < chunk.end; i++) {
            norm_backward_row(&op, i, span_of(scale, chunk.sample, 0), sums, sums + x.cols);
        }
    }
    sum_chunks(cpu, dshift, partial, stride, chunks_of(tokens));
    sum_chunks(cpu, dscale, partial + x.cols, stride, chunks_of(tokens));
}

/* With μ, σ and x̂ of the backward pass above. The Jacobian ∂x̂_j/∂x_i = (δ_ij − 1/D − x̂_i·x̂_j/D)/σ is symmetric, so the
 * tangent of x̂ is what the gradient would be of ẋ, (ẋ − mean(ẋ) − x̂·mean(x̂·ẋ))/σ, and y = x̂·(1 + scale) + shift gives
 * ẏ = x̂_dot·(1 + scale) + x̂·scale_dot + shift_dot. */
static void norm_tangent(struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot, struct fs_view x,
                         struct fs_view statistics, struct fs_view scale, struct fs_view shift_dot,
                         struct fs_view scale_dot)
{
    const struct fs_cpu *cpu =
        fs_cpu_begin(backend, "norm_tangent",
                     fs_norm_tangent_fits(backend, y_dot, x_dot, x, statistics, scale, shift_dot, scale_dot));
    if (cpu == NULL) {
        return;
    }
    const int64_t tokens = x.rows / scale.rows, cols = x.cols;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < x.rows; i++) {
        const int64_t b = i / tokens;
        const struct span to = span_of(y_dot, i, 0), along = span_of(x_dot, i, 0), from = span_of(x, i, 0);
        const struct span times = span_of(scale, b, 0), plus_dot = span_of(shift_dot, b, 0),
                          times_dot = span_of(scale_dot, b, 0);
        const float *row = (const float *)statistics.data + i * statistics.stride;
        const float mean = row[0], inverse = row[1];
        vf sum = {0}, sum_normal = {0};
        for (int64_t j = 0; j < cols; j += FS_WIDTH) {
            const int64_t n = cols - j;
            const vf normal = (span_load(from, j, n) - mean) * inverse, direction = span_load(along, j, n);
            sum += direction;
            sum_normal = vf_fma(direction, normal, sum_normal);
        }
        const float mean_dot = vf_sum(sum) / (float)cols, mean_normal = vf_sum(sum_normal) / (float)cols;
        for (int64_t j = 0; j < cols; j += FS_WIDTH) {
            const int64_t n = cols - j;
            const vf normal = (span_load(from, j, n) - mean) * inverse;
            const vf normal_dot = (span_load(along, j, n) - mean_dot - normal * mean_normal) * inverse;
            const vf modulation_dot = vf_fma(normal, span_load(times_dot, j, n), span_load(plus_dot, j, n));
            span_store(to, j, n, vf_fma(normal_dot, 1.0f + span_load(times, j, n), modulation_dot));
        }
    }
}

/* --- gate --- */

static void gate_row(struct span to, struct span from, struct span branch, struct span times, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        const int64_t n = cols - j;
        span_store(to, j, n, vf_fma(span_load(times, j, n), span_load(branch, j, n), span_load(from, j, n)));
    }
}

static void gate_forward(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                         struct fs_view gate)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "gate_forward", fs_gate_forward_fits(backend, out, x, y, gate));
    if (cpu == NULL) {
        return;
    }
    const int64_t tokens = x.rows / gate.rows;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < x.rows; i++) {
        gate_row(span_of(out, i, 0), span_of(x, i, 0), span_of(y, i, 0), span_of(gate, i / tokens, 0), x.cols);
    }
}

/* dy = gate·dout of a row, and its part of dgate. */
static void gate_backward_row(struct span to, struct span from, struct span branch, struct span times, int64_t cols,
                              float *dgate)
{
    const struct span sums = {(char *)dgate, false};
    for (int64_t j = 0; j < cols; j += FS_WIDTH) {
        const int64_t n = cols - j;
        const vf gradient = span_load(from, j, n);
        span_store(sums, j, n, vf_fma(gradient, span_load(branch, j, n), span_load(sums, j, n)));
        span_store(to, j, n, gradient * span_load(times, j, n));
    }
}

static void gate_backward(struct fs_backend *backend, struct fs_view dy, struct fs_view dgate, struct fs_view dout,
                          struct fs_view y, struct fs_view gate)
{
    struct fs_cpu *cpu =
        fs_cpu_begin(backend, "gate_backward", fs_gate_backward_fits(backend, dy, dgate, dout, y, gate));
    if (cpu == NULL) {
        return;
    }
    const int64_t tokens = y.rows / gate.rows, tasks = gate.rows * chunks_of(tokens);
    const int64_t stride = (y.cols + 15) / 16 * 16;
    float *partial = fs_cpu_scratch(cpu, "gate_backward", (size_t)(tasks * stride) * sizeof *partial);
    if (partial == NULL) {
        return;
    }
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t task = 0; task < tasks; task++) {
        const struct chunk chunk = chunk_of(task, tokens);
        float *sums = partial + task * stride;
        memset(sums, 0, (size_t)y.cols * sizeof *partial);
        for (int64_t i = chunk.first; i < chunk.end; i++) {
            gate_backward_row(span_of(dy, i, 0), span_of(dout, i, 0), span_of(y, i, 0), span_of(gate, chunk.sample, 0),
                              y.cols, sums);
        }
    }
    sum_chunks(cpu, dgate, partial, stride, chunks_of(tokens));
}

/* --- gate and norm: row by row the two above, while the row is in the first cache; the same bits --- */

static void gate_norm_forward(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                              struct fs_view gate, struct fs_view z, struct fs_view statistics, struct fs_view shift,
                              struct fs_view scale)
{
    const struct fs_cpu *cpu = fs_cpu_begin(
        backend, "gate_norm_forward", fs_gate_norm_forward_fits(backend, out, x, y, gate, z, statistics, shift, scale));
    if (cpu == NULL) {
        return;
    }
    const int64_t tokens = x.rows / gate.rows;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < x.rows; i++) {
        const struct span row = span_of(out, i, 0);
        const int64_t sample = i / tokens;
        gate_row(row, span_of(x, i, 0), span_of(y, i, 0), span_of(gate, sample, 0), x.cols);
        norm_row(span_of(z, i, 0), row, span_of(shift, sample, 0), span_of(scale, sample, 0), x.cols,
                 statistics_of(statistics, i));
    }
}

static void gate_norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view dgate,
                               struct fs_view dshift, struct fs_view dscale, struct fs_view dz, struct fs_view y,
                               struct fs_view gate, struct fs_view out, struct fs_view statistics, struct fs_view scale)
{
    struct fs_cpu *cpu = fs_cpu_begin(
        backend, "gate_norm_backward",
        fs_gate_norm_backward_fits(backend, dx, dy, dgate, dshift, dscale, dz, y, gate, out, statistics, scale));
    if (cpu == NULL) {
        return;
    }
    const int64_t tokens = out.rows / scale.rows, tasks = scale.rows * chunks_of(tokens), cols = out.cols;
    const int64_t stride = (3 * cols + 15) / 16 * 16;
    float *partial = fs_cpu_scratch(cpu, "gate_norm_backward", (size_t)(tasks * stride) * sizeof *partial);
    if (partial == NULL) {
        return;
    }
    const struct norm_gradient op = {dx, dz, out, statistics, scale};
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t task = 0; task < tasks; task++) {
        const struct chunk chunk = chunk_of(task, tokens);
        float *sums = partial + task * stride;
        memset(sums, 0, (size_t)(3 * cols) * sizeof *sums);
        for (int64_t i = chunk.first; i < chunk.end; i++) {
            norm_backward_row(&op, i, span_of(scale, chunk.sample, 0), sums, sums + cols);
            gate_backward_row(span_of(dy, i, 0), span_of(dx, i, 0), span_of(y, i, 0), span_of(gate, chunk.sample, 0),
                              cols, sums + 2 * cols);
        }
    }
    sum_chunks(cpu, dshift, partial, stride, chunks_of(tokens));
    sum_chunks(cpu, dscale, partial + cols, stride, chunks_of(tokens));
    sum_chunks(cpu, dgate, partial + 2 * cols, stride, chunks_of(tokens));
}

void FS_ISA_NAME(fs_install_norm)(struct fs_backend *backend)
{
    backend->norm_forward = norm_forward;
    backend->norm_backward = norm_backward;
    backend->norm_tangent = norm_tangent;
    backend->gate_forward = gate_forward;
    backend->gate_backward = gate_backward;
    backend->gate_norm_forward = gate_norm_forward;
    backend->gate_norm_backward = gate_norm_backward;
}
