/* The reference's linear layer, attention, layer norm, gate and activations. */
#include <math.h>

#include "tests/reference/reference.h"

#define SQRT_2_OVER_PI 0.79788456080286535588

/* --- activations --- */

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x)
{
    const double tanh_u = tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x));
    const double du = SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x * x);
    return 0.5 * (1 + tanh_u) + 0.5 * x * (1 - tanh_u * tanh_u) * du;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void silu_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x)
{
    if (!fs_reference_begin(backend, "silu_forward", fs_silu_forward_fits(backend, y, x))) {
        return;
    }
    for (int64_t i = 0; i < x.rows; i++) {
        for (int64_t j = 0; j < x.cols; j++) {
            *fs_at(y, i, j) = *fs_at(x, i, j) * sigmoid(*fs_at(x, i, j));
        }
    }
}

static void silu_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view x,
                          bool accumulate)
{
    if (!fs_reference_begin(backend, "silu_backward", fs_silu_backward_fits(backend, dx, dy, x))) {
        return;
    }
    for (int64_t i = 0; i < x.rows; i++) {
        for (int64_t j = 0; j < x.cols; j++) {
            const double value = *fs_at(x, i, j), s = sigmoid(value);
            const double gradient = *fs_at(dy, i, j) * s * (1 + value * (1 - s));
            *fs_at(dx, i, j) = (accumulate ? *fs_at(dx, i, j) : 0) + gradient;
        }
    }
}

/* --- linear layer --- */

static void linear_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                           struct fs_view bias, enum fs_activation activation, struct fs_view pre)
{
    if (!fs_reference_begin(backend, "linear_forward",
                            fs_linear_forward_fits(backend, y, x, w, bias, activation, pre))) {
        return;
    }
    for (int64_t n = 0; n < y.rows; n++) {
        for (int64_t o = 0; o < y.cols; o++) {
            double z = bias.data == NULL ? 0 : *fs_at(bias, 0, o);
            for (int64_t i = 0; i < x.cols; i++) {
                z += *fs_at(x, n, i) * *fs_at(w, o, i);
            }
            if (pre.data != NULL) {
                *fs_at(pre, n, o) = z;
            }
            *fs_at(y, n, o) = activation == FS_GELU ? gelu(z) : z;
        }
    }
}

static void linear_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dw, struct fs_view dbias,
                            struct fs_view dy, struct fs_view x, struct fs_view w, struct fs_view pre)
{
    if (!fs_reference_begin(backend, "linear_backward",
                            fs_linear_backward_fits(backend, dx, dw, dbias, dy, x, w, pre))) {
        return;
    }
    for (int64_t n = 0; dx.data != NULL && n < x.rows; n++) {
        for (int64_t i = 0; i < x.cols; i++) {
            double sum = 0;
            for (int64_t o = 0; o < dy.cols; o++) {
                sum += *fs_at(dy, n, o) * *fs_at(w, o, i);
            }
            *fs_at(dx, n, i) = pre.data == NULL ? sum : sum * gelu_slope(*fs_at(pre, n, i));
        }
    }
    for (int64_t o = 0; o < dy.cols; o++) {
        for (int64_t n = 0; n < dy.rows; n++) {
            for (int64_t i = 0; dw.data != NULL && i < x.cols; i++) {
                *fs_at(dw, o, i) += *fs_at(dy, n, o) * *fs_at(x, n, i);
            }
            if (dbias.data != NULL) {
                *fs_at(dbias, 0, o) += *fs_at(dy, n, o);
            }
        }
    }
}

/* --- attention --- */

/* The rows of one sample and the columns of one head, of q (part 0), k (1) or v (2). */
static struct fs_view head_of(struct fs_view qkv, int part, int64_t sample, int64_t tokens, int64_t head, int64_t heads)
{
    const int64_t width = qkv.cols / 3, head_width = width / heads;
    return fs_view_cols(fs_view_rows(qkv, sample * tokens, tokens), part * width + head * head_width, head_width);
}

static double dot(struct fs_view a, int64_t i, struct fs_view b, int64_t j)
{
    double sum = 0;
    for (int64_t c = 0; c < a.cols; c++) {
        sum += *fs_at(a, i, c) * *fs_at(b, j, c);
    }
    return sum;
}

static void attend(struct fs_view out, struct fs_view lse, struct fs_view q, struct fs_view k, struct fs_view v,
                   double scale)
{
    for (int64_t i = 0; i < q.rows; i++) {
        double largest = -INFINITY, sum = 0;
        for (int64_t j = 0; j < k.rows; j++) {
            largest = fmax(largest, scale * dot(q, i, k, j));
        }
        for (int64_t c = 0; c < v.cols; c++) {
            *fs_at(out, i, c) = 0;
        }
        for (int64_t j = 0; j < k.rows; j++) {
            const double weight = exp(scale * dot(q, i, k, j) - largest);
            sum += weight;
            for (int64_t c = 0; c < v.cols; c++) {
                *fs_at(out, i, c) += weight * *fs_at(v, j, c);
            }
        }
        for (int64_t c = 0; c < v.cols; c++) {
            *fs_at(out, i, c) /= sum;
        }
        if (lse.data != NULL) {
            *fs_at(lse, i, 0) = largest + log(sum);
        }
    }
}

static void attention_forward(struct fs_backend *backend, struct fs_view out, struct fs_view lse, struct fs_view qkv,
                              int64_t tokens, int64_t heads, double scale)
{
    if (!fs_reference_begin(backend, "attention_forward",
                            fs_attention_forward_fits(backend, out, lse, qkv, tokens, heads))) {
        return;
    }
    const int64_t head_width = out.cols / heads;
    for (int64_t b = 0; b < out.rows / tokens; b++) {
        for (int64_t h = 0; h < heads; h++) {
            struct fs_view head_lse = lse;
            if (lse.data != NULL) {
                head_lse = fs_view_cols(fs_view_rows(lse, b * tokens, tokens), h, 1);
            }
            attend(fs_view_cols(fs_view_rows(out, b * tokens, tokens), h * head_width, head_width), head_lse,
                   head_of(qkv, 0, b, tokens, h, heads), head_of(qkv, 1, b, tokens, h, heads),
                   head_of(qkv, 2, b, tokens, h, heads), scale);
        }
    }
}

/* With p = softmax(scale·q·kᵀ): dv = pᵀ·dout, dp = dout·vᵀ, ds = p·(dp − Σ p·dp), dq = scale·ds·k, dk = scale·dsᵀ·q. */
static void attend_backward(const struct fs_view gradients[3], const struct fs_view inputs[3], struct fs_view dout,
                            struct fs_view lse, double scale)
{
    const struct fs_view q = inputs[0], k = inputs[1], v = inputs[2];
    for (int64_t i = 0; i < q.rows; i++) {
        double mean = 0;
        for (int64_t j = 0; j < k.rows; j++) {
            mean += exp(scale * dot(q, i, k, j) - *fs_at(lse, i, 0)) * dot(dout, i, v, j);
        }
        for (int64_t j = 0; j < k.rows; j++) {
            const double p = exp(scale * dot(q, i, k, j) - *fs_at(lse, i, 0));
            const double ds = p * (dot(dout, i, v, j) - mean);
            for (int64_t c = 0; c < q.cols; c++) {
                *fs_at(gradients[0], i, c) += scale * ds * *fs_at(k, j, c);
                *fs_at(gradients[1], j, c) += scale * ds * *fs_at(q, i, c);
                *fs_at(gradients[2], j, c) += p * *fs_at(dout, i, c);
            }
        }
    }
}

static void attention_backward(struct fs_backend *backend, struct fs_view dqkv, struct fs_view dout, struct fs_view qkv,
                               struct fs_view out, struct fs_view lse, int64_t tokens, int64_t heads, double scale)
{
    if (!fs_reference_begin(backend, "attention_backward",
                            fs_attention_backward_fits(backend, dqkv, dout, qkv, out, lse, tokens, heads))) {
        return;
    }
    const int64_t head_width = dout.cols / heads;
    backend->fill(backend, dqkv, 0);
    for (int64_t b = 0; b < out.rows / tokens; b++) {
        for (int64_t h = 0; h < heads; h++) {
            struct fs_view gradients[3], inputs[3];
            for (int part = 0; part < 3; part++) {
                gradients[part] = head_of(dqkv, part, b, tokens, h, heads);
                inputs[part] = head_of(qkv, part, b, tokens, h, heads);
            }
            attend_backward(gradients, inputs,
                            fs_view_cols(fs_view_rows(dout, b * tokens, tokens), h * head_width, head_width),
                            fs_view_cols(fs_view_rows(lse, b * tokens, tokens), h, 1), scale);
        }
    }
}

/* --- layer norm with modulation, gate --- */

static void norm_forward(struct fs_backend *backend, struct fs_view y, struct fs_view statistics, struct fs_view x,
                         struct fs_view shift, struct fs_view scale)
{
    if (!fs_reference_begin(backend, "norm_forward", fs_norm_forward_fits(backend, y, statistics, x, shift, scale))) {
        return;
    }
    for (int64_t i = 0; i < x.rows; i++) {
        const int64_t sample = i / (x.rows / shift.rows);
        double mean = 0, variance = 0;
        for (int64_t j = 0; j < x.cols; j++) {
            mean += *fs_at(x, i, j) / (double)x.cols;
        }
        for (int64_t j = 0; j < x.cols; j++) {
            variance += (*fs_at(x, i, j) - mean) * (*fs_at(x, i, j) - mean) / (double)x.cols;
        }
        const double inverse = 1 / sqrt(variance + 1e-6);
        for (int64_t j = 0; j < x.cols; j++) {
            const double normal = (*fs_at(x, i, j) - mean) * inverse;
            *fs_at(y, i, j) = normal * (1 + *fs_at(scale, sample, j)) + *fs_at(shift, sample, j);
        }
        if (statistics.data != NULL) {
            *fs_at(statistics, i, 0) = mean;
            *fs_at(statistics, i, 1) = inverse;
        }
    }
}

/* With g = dy·(1 + scale): dx += (g − mean(g) − x̂·mean(g·x̂))/√(var + ε). */
static void norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dshift, struct fs_view dscale,
                          struct fs_view dy, struct fs_view x, struct fs_view statistics, struct fs_view scale)
{
    if (!fs_reference_begin(backend, "norm_backward",
                            fs_norm_backward_fits(backend, dx, dshift, dscale, dy, x, statistics, scale))) {
        return;
    }
    const double n = (double)x.cols;
    backend->fill(backend, dshift, 0);
    backend->fill(backend, dscale, 0);
    for (int64_t i = 0; i < x.rows; i++) {
        const int64_t sample = i / (x.rows / scale.rows);
        const double mean = *fs_at(statistics, i, 0), inverse = *fs_at(statistics, i, 1);
        double mean_g = 0, mean_gx = 0;
        for (int64_t j = 0; j < x.cols; j++) {
            const double normal = (*fs_at(x, i, j) - mean) * inverse;
            const double g = *fs_at(dy, i, j) * (1 + *fs_at(scale, sample, j));
            mean_g += g / n;
            mean_gx += g * normal / n;
            *fs_at(dshift, sample, j) += *fs_at(dy, i, j);
            *fs_at(dscale, sample, j) += *fs_at(dy, i, j) * normal;
        }
        for (int64_t j = 0; j < x.cols; j++) {
            const double normal = (*fs_at(x, i, j) - mean) * inverse;
            const double g = *fs_at(dy, i, j) * (1 + *fs_at(scale, sample, j));
            *fs_at(dx, i, j) += (g - mean_g - normal * mean_gx) * inverse;
        }
    }
}

static void gate_forward(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                         struct fs_view gate)
{
    if (!fs_reference_begin(backend, "gate_forward", fs_gate_forward_fits(backend, out, x, y, gate))) {
        return;
    }
    for (int64_t i = 0; i < x.rows; i++) {
        for (int64_t j = 0; j < x.cols; j++) {
            *fs_at(out, i, j) = *fs_at(x, i, j) + *fs_at(gate, i / (x.rows / gate.rows), j) * *fs_at(y, i, j);
        }
    }
}

static void gate_backward(struct fs_backend *backend, struct fs_view dy, struct fs_view dgate, struct fs_view dout,
                          struct fs_view y, struct fs_view gate)
{
    if (!fs_reference_begin(backend, "gate_backward", fs_gate_backward_fits(backend, dy, dgate, dout, y, gate))) {
        return;
    }
    backend->fill(backend, dgate, 0);
    for (int64_t i = 0; i < y.rows; i++) {
        const int64_t sample = i / (y.rows / gate.rows);
        for (int64_t j = 0; j < y.cols; j++) {
            *fs_at(dgate, sample, j) += *fs_at(dout, i, j) * *fs_at(y, i, j);
            *fs_at(dy, i, j) = *fs_at(gate, sample, j) * *fs_at(dout, i, j);
        }
    }
}

static void gate_norm_forward(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                              struct fs_view gate, struct fs_view z, struct fs_view statistics, struct fs_view shift,
                              struct fs_view scale)
{
    if (fs_reference_begin(backend, "gate_norm_forward",
                           fs_gate_norm_forward_fits(backend, out, x, y, gate, z, statistics, shift, scale))) {
        gate_forward(backend, out, x, y, gate);
        norm_forward(backend, z, statistics, out, shift, scale);
    }
}

static void gate_norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view dgate,
                               struct fs_view dshift, struct fs_view dscale, struct fs_view dz, struct fs_view y,
                               struct fs_view gate, struct fs_view out, struct fs_view statistics, struct fs_view scale)
{
    if (fs_reference_begin(
            backend, "gate_norm_backward",
            fs_gate_norm_backward_fits(backend, dx, dy, dgate, dshift, dscale, dz, y, gate, out, statistics, scale))) {
        norm_backward(backend, dx, dshift, dscale, dz, out, statistics, scale);
        gate_backward(backend, dy, dgate, dx, y, gate);
    }
}

/* --- sums --- */

static void add(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y)
{
    if (!fs_reference_begin(backend, "add", fs_add_fits(backend, out, x, y))) {
        return;
    }
    for (int64_t i = 0; i < x.rows; i++) {
        for (int64_t j = 0; j < x.cols; j++) {
            *fs_at(out, i, j) = *fs_at(x, i, j) + *fs_at(y, i % y.rows, j);
        }
    }
}

static void mix(struct fs_backend *backend, struct fs_view out, struct fs_view a, struct fs_view x, struct fs_view c,
                struct fs_view y, double clip)
{
    if (!fs_reference_begin(backend, "mix", fs_mix_fits(backend, out, a, x, c, y))) {
        return;
    }
    for (int64_t i = 0; i < x.rows; i++) {
        for (int64_t j = 0; j < x.cols; j++) {
            double value = *fs_at(a, i, 0) * *fs_at(x, i, j);
            if (y.data != NULL) {
                value += *fs_at(c, i, 0) * *fs_at(y, i, j);
            }
            *fs_at(out, i, j) = clip > 0 ? fmin(fmax(value, -clip), clip) : value;
        }
    }
}

void fs_reference_network(struct fs_backend *backend)
{
    backend->linear_forward = linear_forward;
    backend->linear_backward = linear_backward;
    backend->attention_forward = attention_forward;
    backend->attention_backward = attention_backward;
    backend->norm_forward = norm_forward;
    backend->norm_backward = norm_backward;
    backend->gate_forward = gate_forward;
    backend->gate_backward = gate_backward;
    backend->gate_norm_forward = gate_norm_forward;
    backend->gate_norm_backward = gate_norm_backward;
    backend->silu_forward = silu_forward;
    backend->silu_backward = silu_backward;
    backend->add = add;
    backend->mix = mix;
}
