/* Operations that go element by element: fill, copy and conversion, SiLU, GELU behind a product, sums, mixing. */
#include "kernels/cuda/device.cuh"

static bool is_dense(struct fs_view view)
{
    return view.stride == view.cols;
}

/* Dense views as one long row, so that narrow ones are read in whole pieces. */
static void flatten(struct fs_view *views, int count)
{
    for (int i = 0; i < count; i++) {
        if (!is_dense(views[i])) {
            return;
        }
    }
    for (int i = 0; i < count; i++) {
        views[i] = fs_view(views[i].data, views[i].type, 1, views[i].rows * views[i].cols);
    }
}

/* --- fill, copy --- */

struct fill_operation {
    struct span out;
    float value;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        struct piece all;
        for (int k = 0; k < FS_PIECE; k++) {
            all.v[k] = value;
        }
        store_piece(out, row, col, count, all);
    }
};

static void fill(struct fs_backend *backend, struct fs_view out, double value)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "fill", fs_fill_fits(backend, out));
    if (cuda != NULL) {
        flatten(&out, 1);
        for_each_piece(cuda, fill_operation{span_of(out), (float)value}, out.rows, out.cols);
    }
}

struct copy_operation {
    struct span out, in;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        store_piece(out, row, col, count, load_piece(in, row, col, count));
    }
};

static void copy(struct fs_backend *backend, struct fs_view out, struct fs_view in)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "copy", fs_copy_fits(backend, out, in));
    if (cuda != NULL) {
        struct fs_view views[] = {out, in};
        flatten(views, 2);
        for_each_piece(cuda, copy_operation{span_of(views[0]), span_of(views[1])}, views[0].rows, views[0].cols);
    }
}

/* --- SiLU --- */

struct silu_operation {
    struct span y, x;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        struct piece p = load_piece(x, row, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            p.v[k] *= sigmoid(p.v[k]);
        }
        store_piece(y, row, col, count, p);
    }
};

static void silu_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "silu_forward", fs_silu_forward_fits(backend, y, x));
    if (cuda != NULL) {
        struct fs_view views[] = {y, x};
        flatten(views, 2);
        for_each_piece(cuda, silu_operation{span_of(views[0]), span_of(views[1])}, views[0].rows, views[0].cols);
    }
}

/* SiLU(x) = x·s, s = sigmoid(x); SiLU′(x) = s·(1 + x·(1 − s)). */
struct silu_gradient {
    struct span dx, dy, x;
    bool accumulate;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        const struct piece at = load_piece(x, row, col, count), from = load_piece(dy, row, col, count);
        struct piece to = {{0}};
        if (accumulate) {
            to = load_piece(dx, row, col, count);
        }
        for (int k = 0; k < FS_PIECE; k++) {
            const float s = sigmoid(at.v[k]);
            to.v[k] += from.v[k] * (s * (1.0f + at.v[k] * (1.0f - s)));
        }
        store_piece(dx, row, col, count, to);
    }
};

static void silu_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view x,
                          bool accumulate)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "silu_backward", fs_silu_backward_fits(backend, dx, dy, x));
    if (cuda != NULL) {
        struct fs_view views[] = {dx, dy, x};
        flatten(views, 3);
        for_each_piece(cuda, silu_gradient{span_of(views[0]), span_of(views[1]), span_of(views[2]), accumulate},
                       views[0].rows, views[0].cols);
    }
}

/* --- bias and GELU behind a product --- */

/* The tanh form: GELU(x) = x/2·(1 + tanh u) = x·sigmoid(2u), u = √(2/π)·(x + 0.044715·x³). */
#define GELU_TWICE_ROOT 1.5957691216057308f /* 2·√(2/π) */
#define GELU_CUBIC 0.044715f

static __device__ inline float gelu(float x)
{
    return x * sigmoid(x * (GELU_TWICE_ROOT + GELU_TWICE_ROOT * GELU_CUBIC * x * x));
}

static __device__ inline float gelu_slope(float x)
{
    const float s = sigmoid(x * (GELU_TWICE_ROOT + GELU_TWICE_ROOT * GELU_CUBIC * x * x));
    return s * (1.0f + x * (1.0f - s) * (GELU_TWICE_ROOT + 3 * GELU_TWICE_ROOT * GELU_CUBIC * x * x));
}

struct finish_operation {
    struct span y, pre, z, bias;
    bool activate;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        struct piece p = load_piece(z, row, col, count);
        if (bias.data != NULL) {
            const struct piece b = load_piece(bias, 0, col, count);
            for (int k = 0; k < FS_PIECE; k++) {
                p.v[k] += b.v[k];
            }
        }
        if (pre.data != NULL) {
            store_piece(pre, row, col, count, p);
        }
        for (int k = 0; k < FS_PIECE && activate; k++) {
            p.v[k] = gelu(p.v[k]);
        }
        store_piece(y, row, col, count, p);
    }
};

void fs_cuda_finish_linear(struct fs_cuda *cuda, struct fs_view y, struct fs_view pre, struct fs_view z,
                           struct fs_view bias, bool gelu)
{
    for_each_piece(cuda, finish_operation{span_of(y), span_of(pre), span_of(z), span_of(bias), gelu}, y.rows, y.cols);
}

struct gelu_gradient {
    struct span dx, dz, pre;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        struct piece p = load_piece(dz, row, col, count);
        if (pre.data != NULL) {
            const struct piece at = load_piece(pre, row, col, count);
            for (int k = 0; k < FS_PIECE; k++) {
                p.v[k] *= gelu_slope(at.v[k]);
            }
        }
        store_piece(dx, row, col, count, p);
    }
};

void fs_cuda_finish_gradient(struct fs_cuda *cuda, struct fs_view dx, struct fs_view dz, struct fs_view pre)
{
    for_each_piece(cuda, gelu_gradient{span_of(dx), span_of(dz), span_of(pre)}, dx.rows, dx.cols);
}

static void gelu_tangent(struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot, struct fs_view x)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "gelu_tangent", fs_gelu_tangent_fits(backend, y_dot, x_dot, x));
    if (cuda != NULL) {
        struct fs_view views[] = {y_dot, x_dot, x};
        flatten(views, 3);
        fs_cuda_finish_gradient(cuda, views[0], views[1], views[2]);
    }
}

/* --- sums, mixing --- */

struct add_operation {
    struct span out, x, y;
    int64_t y_rows;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        struct piece sum = load_piece(x, row, col, count);
        const struct piece other = load_piece(y, row % y_rows, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            sum.v[k] += other.v[k];
        }
        store_piece(out, row, col, count, sum);
    }
};

static void add(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "add", fs_add_fits(backend, out, x, y));
    if (cuda == NULL) {
        return;
    }
    struct fs_view views[] = {out, x, y};
    if (x.rows == y.rows) {
        flatten(views, 3);
    }
    for_each_piece(cuda, add_operation{span_of(views[0]), span_of(views[1]), span_of(views[2]), views[2].rows},
                   views[0].rows, views[0].cols);
}

/* Compiled without contraction, as all of this backend: rounded after each product and the sum. */
struct mix_operation {
    struct span out, a, x, c, y;
    float clip;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        const float by_x = load(a, row, 0);
        struct piece p = load_piece(x, row, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            p.v[k] = by_x * p.v[k];
        }
        if (y.data != NULL) {
            const float by_y = load(c, row, 0);
            const struct piece other = load_piece(y, row, col, count);
            for (int k = 0; k < FS_PIECE; k++) {
                p.v[k] = p.v[k] + by_y * other.v[k];
            }
        }
        for (int k = 0; k < FS_PIECE && clip > 0; k++) {
            /* As comparisons, not fminf: a NaN must stay one. */
            p.v[k] = p.v[k] > clip ? clip : p.v[k] < -clip ? -clip : p.v[k];
        }
        store_piece(out, row, col, count, p);
    }
};

static void mix(struct fs_backend *backend, struct fs_view out, struct fs_view a, struct fs_view x, struct fs_view c,
                struct fs_view y, double clip)
{
    const bool two = y.data != NULL && c.data != NULL;
    struct fs_cuda *cuda = fs_cuda_begin(backend, "mix", fs_mix_fits(backend, out, a, x, c, y));
    if (cuda != NULL) {
        for_each_piece(cuda,
                       mix_operation{span_of(out), span_of(a), span_of(x), span_of(c), span_of(two ? y : fs_no_view()),
                                     (float)clip},
                       x.rows, x.cols);
    }
}

void fs_cuda_install_elementwise(struct fs_backend *backend)
{
    backend->fill = FS_TOLD(fill);
    backend->copy = FS_TOLD(copy);
    backend->silu_forward = FS_TOLD(silu_forward);
    backend->silu_backward = FS_TOLD(silu_backward);
    backend->gelu_tangent = FS_TOLD(gelu_tangent);
    backend->add = FS_TOLD(add);
    backend->mix = FS_TOLD(mix);
}
