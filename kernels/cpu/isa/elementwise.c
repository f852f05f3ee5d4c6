/* Operations that go element by element: fill, copy and conversion, SiLU, GELU, ReLU's gradient, sums, mixing; and the
 * column sums of bias gradients. */
#include "kernels/cpu/isa/vector.h"

#define CHUNK 4096 /* columns that one task takes */

/* Rows × chunks of columns as one list of tasks. Dense views are one long row, so that narrow ones vectorise. */
struct tasks {
    int64_t rows, cols, chunks, count;
};

static struct tasks tasks_of(int64_t rows, int64_t cols, bool dense)
{
    struct tasks tasks = {dense ? 1 : rows, dense ? rows * cols : cols, 0, 0};
    tasks.chunks = (tasks.cols + CHUNK - 1) / CHUNK;
    tasks.count = tasks.rows * tasks.chunks;
    return tasks;
}

static bool is_dense(struct fs_view view)
{
    return view.stride == view.cols;
}

struct piece {
    int64_t row, col, count;
};

FS_INLINE struct piece piece_of(const struct tasks *tasks, int64_t task)
{
    const int64_t row = task / tasks->chunks, col = task % tasks->chunks * CHUNK;
    return (struct piece){row, col, tasks->cols - col < CHUNK ? tasks->cols - col : CHUNK};
}

static void fill(struct fs_backend *backend, struct fs_view out, double value)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "fill", fs_fill_fits(backend, out));
    if (cpu == NULL) {
        return;
    }
    const struct tasks tasks = tasks_of(out.rows, out.cols, is_dense(out));
    const vf v = vf_all((float)value);
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span s = span_of(out, p.row, p.col);
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            span_store(s, j, p.count - j, v);
        }
    }
}

static void copy(struct fs_backend *backend, struct fs_view out, struct fs_view in)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "copy", fs_copy_fits(backend, out, in));
    if (cpu == NULL) {
        return;
    }
    const struct tasks tasks = tasks_of(out.rows, out.cols, is_dense(out) && is_dense(in));
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span to = span_of(out, p.row, p.col), from = span_of(in, p.row, p.col);
        if (to.half == from.half) {
            memmove(to.data, from.data, (size_t)p.count * fs_type_size(out.type));
            continue;
        }
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            span_store(to, j, p.count - j, span_load(from, j, p.count - j));
        }
    }
}

static void silu_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "silu_forward", fs_silu_forward_fits(backend, y, x));
    if (cpu == NULL) {
        return;
    }
    const struct tasks tasks = tasks_of(y.rows, y.cols, is_dense(y) && is_dense(x));
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span to = span_of(y, p.row, p.col), from = span_of(x, p.row, p.col);
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            const vf v = span_load(from, j, p.count - j);
            span_store(to, j, p.count - j, v * vf_sigmoid(v));
        }
    }
}

/* SiLU(x) = x·s, s = sigmoid(x); SiLU'(x) = s·(1 + x·(1 − s)). */
static void silu_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view x,
                          bool accumulate)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "silu_backward", fs_silu_backward_fits(backend, dx, dy, x));
    if (cpu == NULL) {
        return;
    }
    const struct tasks tasks = tasks_of(x.rows, x.cols, is_dense(dx) && is_dense(dy) && is_dense(x));
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span to = span_of(dx, p.row, p.col), from = span_of(dy, p.row, p.col),
                          at = span_of(x, p.row, p.col);
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            const int64_t n = p.count - j;
            const vf v = span_load(at, j, n), s = vf_sigmoid(v);
            const vf base = accumulate ? span_load(to, j, n) : vf_all(0);
            span_store(to, j, n, vf_fma(span_load(from, j, n), s * vf_fma(v, 1.0f - s, vf_all(1)), base));
        }
    }
}

/* The tanh form: GELU(x) = x/2·(1 + tanh u) = x·sigmoid(2u), u = √(2/π)·(x + 0.044715·x³). */
#define GELU_TWICE_ROOT 1.5957691216057308f /* 2·√(2/π) */
#define GELU_CUBIC 0.044715f

FS_INLINE vf gelu_sigmoid(vf x)
{
    return vf_sigmoid(x * vf_fma(x * x, vf_all(GELU_TWICE_ROOT * GELU_CUBIC), vf_all(GELU_TWICE_ROOT)));
}

FS_INLINE vf gelu_slope(vf x)
{
    const vf s = gelu_sigmoid(x);
    const vf twice_du = vf_fma(x * x, vf_all(3 * GELU_TWICE_ROOT * GELU_CUBIC), vf_all(GELU_TWICE_ROOT));
    return s * vf_fma(x * (1.0f - s), twice_du, vf_all(1));
}

static void gelu_forward(const struct fs_cpu *cpu, struct fs_view y, struct fs_view z)
{
    const struct tasks tasks = tasks_of(y.rows, y.cols, is_dense(y) && is_dense(z));
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span to = span_of(y, p.row, p.col), from = span_of(z, p.row, p.col);
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            const vf v = span_load(from, j, p.count - j);
            span_store(to, j, p.count - j, v * gelu_sigmoid(v));
        }
    }
}

static void gelu_gradient(const struct fs_cpu *cpu, struct fs_view dx, struct fs_view dy, struct fs_view x)
{
    const struct tasks tasks = tasks_of(x.rows, x.cols, is_dense(dx) && is_dense(dy) && is_dense(x));
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span to = span_of(dx, p.row, p.col), from = span_of(dy, p.row, p.col),
                          at = span_of(x, p.row, p.col);
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            const int64_t n = p.count - j;
            span_store(to, j, n, span_load(from, j, n) * gelu_slope(span_load(at, j, n)));
        }
    }
}

static void gelu_tangent(struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot, struct fs_view x)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "gelu_tangent", fs_gelu_tangent_fits(backend, y_dot, x_dot, x));
    if (cpu != NULL) {
        gelu_gradient(cpu, y_dot, x_dot, x);
    }
}

static void relu_backward(const struct fs_cpu *cpu, struct fs_view dz, struct fs_view dy, struct fs_view y)
{
    const struct tasks tasks = tasks_of(y.rows, y.cols, is_dense(dz) && is_dense(dy) && is_dense(y));
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span to = span_of(dz, p.row, p.col), from = span_of(dy, p.row, p.col),
                          at = span_of(y, p.row, p.col);
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            const int64_t n = p.count - j;
            span_store(to, j, n, vf_select(span_load(at, j, n) > 0.0f, span_load(from, j, n), vf_all(0)));
        }
    }
}

static void add(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "add", fs_add_fits(backend, out, x, y));
    if (cpu == NULL) {
        return;
    }
    const bool repeats = y.rows != x.rows;
    const struct tasks tasks = tasks_of(x.rows, x.cols, !repeats && is_dense(out) && is_dense(x) && is_dense(y));
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span to = span_of(out, p.row, p.col), a = span_of(x, p.row, p.col),
                          b = span_of(y, p.row % y.rows, p.col);
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            const int64_t n = p.count - j;
            span_store(to, j, n, span_load(a, j, n) + span_load(b, j, n));
        }
    }
}

static void mix(struct fs_backend *backend, struct fs_view out, struct fs_view a, struct fs_view x, struct fs_view c,
                struct fs_view y, double clip)
{
    const bool two = y.data != NULL && c.data != NULL;
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "mix", fs_mix_fits(backend, out, a, x, c, y));
    if (cpu == NULL) {
        return;
    }
    const struct tasks tasks = tasks_of(x.rows, x.cols, false);
    const vf bound = vf_all((float)clip);
#pragma omp parallel for num_threads(cpu->threads) schedule(static) if (tasks.count > 1)
    for (int64_t task = 0; task < tasks.count; task++) {
        const struct piece p = piece_of(&tasks, task);
        const struct span to = span_of(out, p.row, p.col), from = span_of(x, p.row, p.col),
                          other = two ? span_of(y, p.row, p.col) : from;
        const vf by_x = vf_all(((const float *)a.data)[p.row * a.stride]);
        const vf by_y = vf_all(two ? ((const float *)c.data)[p.row * c.stride] : 0);
        for (int64_t j = 0; j < p.count; j += FS_WIDTH) {
            const int64_t n = p.count - j;
            vf v = by_x * span_load(from, j, n);
            if (two) {
                v = v + by_y * span_load(other, j, n);
            }
            if (clip > 0) {
                v = vf_min(bound, vf_max(-bound, v));
            }
            span_store(to, j, n, v);
        }
    }
}

/* A group of four vectors of columns at a time. */
static void column_sums(float *sums, struct fs_view x, int64_t first, int64_t last)
{
    for (int64_t j = 0; j < x.cols; j += 4 * FS_WIDTH) {
        vf sum[4] = {{0}, {0}, {0}, {0}};
        const int64_t n = x.cols - j;
        for (int64_t i = first; i < last; i++) {
            const struct span row = span_of(x, i, 0);
            if (n >= 4 * FS_WIDTH) {
                for (int k = 0; k < 4; k++) {
                    sum[k] += span_load(row, j + k * FS_WIDTH, FS_WIDTH);
                }
            } else {
                for (int k = 0; k < 4 && k * FS_WIDTH < n; k++) {
                    sum[k] += span_load(row, j + k * FS_WIDTH, n - k * FS_WIDTH);
                }
            }
        }
        const struct span out = {(char *)sums, false};
        for (int k = 0; k < 4 && k * FS_WIDTH < n; k++) {
            span_store(out, j + k * FS_WIDTH, n - k * FS_WIDTH, sum[k]);
        }
    }
}

void FS_ISA_NAME(fs_install_elementwise)(struct fs_backend *backend)
{
    backend->fill = fill;
    backend->copy = copy;
    backend->silu_forward = silu_forward;
    backend->silu_backward = silu_backward;
    backend->gelu_tangent = gelu_tangent;
    backend->add = add;
    backend->mix = mix;
    struct fs_cpu *cpu = backend->state;
    cpu->gelu_forward = gelu_forward;
    cpu->gelu_gradient = gelu_gradient;
    cpu->relu_backward = relu_backward;
    cpu->column_sums = column_sums;
}
