/* The reference's tangents, by the formulas of kernels/backend.h as they stand there. */
#include <math.h>

#include "tests/reference/reference.h"

#define SQRT_2_OVER_PI 0.79788456080286535588

static void gelu_tangent(struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot, struct fs_view x)
{
    if (!fs_reference_begin(backend, "gelu_tangent", fs_gelu_tangent_fits(backend, y_dot, x_dot, x))) {
        return;
    }
    for (int64_t i = 0; i < x.rows; i++) {
        for (int64_t j = 0; j < x.cols; j++) {
            const double v = *fs_at(x, i, j), t = tanh(SQRT_2_OVER_PI * (v + 0.044715 * v * v * v));
            const double dt = (1 - t * t) * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * v * v);
            *fs_at(y_dot, i, j) = *fs_at(x_dot, i, j) * (0.5 * (1 + t) + 0.5 * v * dt);
        }
    }
}

/* One head of one sample: [0] the value, [1] its tangent. */
struct pair {
    struct fs_view of[2];
};

static double dot(struct fs_view a, int64_t i, struct fs_view b, int64_t j)
{
    double sum = 0;
    for (int64_t c = 0; c < a.cols; c++) {
        sum += *fs_at(a, i, c) * *fs_at(b, j, c);
    }
    return sum;
}

/* Ṡ_ij = scale·(q̇_i·k_j + q_i·k̇_j). */
static double slope(const struct pair *q, const struct pair *k, int64_t i, int64_t j, double scale)
{
    return scale * (dot(q->of[1], i, k->of[0], j) + dot(q->of[0], i, k->of[1], j));
}

static void tangent_of_query(const struct pair *out, const struct pair *q, const struct pair *k, const struct pair *v,
                             int64_t i, double scale)
{
    const int64_t tokens = k->of[0].rows;
    double largest = -INFINITY, sum = 0, mean = 0;
    for (int64_t j = 0; j < tokens; j++) {
        largest = fmax(largest, scale * dot(q->of[0], i, k->of[0], j));
    }
    for (int64_t j = 0; j < tokens; j++) {
        sum += exp(scale * dot(q->of[0], i, k->of[0], j) - largest);
    }
    for (int64_t j = 0; j < tokens; j++) {
        mean += exp(scale * dot(q->of[0], i, k->of[0], j) - largest) / sum * slope(q, k, i, j, scale);
    }
    for (int64_t c = 0; c < v->of[0].cols; c++) {
        *fs_at(out->of[0], i, c) = *fs_at(out->of[1], i, c) = 0;
    }
    for (int64_t j = 0; j < tokens; j++) {
        const double p = exp(scale * dot(q->of[0], i, k->of[0], j) - largest) / sum;
        const double p_dot = p * (slope(q, k, i, j, scale) - mean);
        for (int64_t c = 0; c < v->of[0].cols; c++) {
            *fs_at(out->of[0], i, c) += p * *fs_at(v->of[0], j, c);
            *fs_at(out->of[1], i, c) += p_dot * *fs_at(v->of[0], j, c) + p * *fs_at(v->of[1], j, c);
        }
    }
}

static void attention_tangent(struct fs_backend *backend, struct fs_view out, struct fs_view out_dot,
                              struct fs_view qkv, struct fs_view qkv_dot, int64_t tokens, int64_t heads, double scale)
{
    if (!fs_reference_begin(backend, "attention_tangent",
                            fs_attention_tangent_fits(backend, out, out_dot, qkv, qkv_dot, tokens, heads))) {
        return;
    }
    const struct fs_view outs[2] = {out, out_dot}, inputs[2] = {qkv, qkv_dot};
    const int64_t width = out.cols, head_width = width / heads;
    for (int64_t index = 0; index < out.rows / tokens * heads; index++) {
        const int64_t first = index / heads * tokens, column = index % heads * head_width;
        struct pair pairs[4]; /* q, k, v, out */
        for (int which = 0; which < 2; which++) {
            for (int part = 0; part < 3; part++) {
                pairs[part].of[which] =
                    fs_view_cols(fs_view_rows(inputs[which], first, tokens), part * width + column, head_width);
            }
            pairs[3].of[which] = fs_view_cols(fs_view_rows(outs[which], first, tokens), column, head_width);
        }
        for (int64_t i = 0; i < tokens; i++) {
            tangent_of_query(&pairs[3], &pairs[0], &pairs[1], &pairs[2], i, scale);
        }
    }
}

static void norm_tangent(struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot, struct fs_view x,
                         struct fs_view statistics, struct fs_view scale, struct fs_view shift_dot,
                         struct fs_view scale_dot)
{
    if (!fs_reference_begin(backend, "norm_tangent",
                            fs_norm_tangent_fits(backend, y_dot, x_dot, x, statistics, scale, shift_dot, scale_dot))) {
        return;
    }
    const double n = (double)x.cols;
    for (int64_t i = 0; i < x.rows; i++) {
        const int64_t sample = i / (x.rows / scale.rows);
        const double mean = *fs_at(statistics, i, 0), inverse = *fs_at(statistics, i, 1);
        double mean_dot = 0, mean_normal = 0;
        for (int64_t j = 0; j < x.cols; j++) {
            mean_dot += *fs_at(x_dot, i, j) / n;
            mean_normal += *fs_at(x_dot, i, j) * (*fs_at(x, i, j) - mean) * inverse / n;
        }
        for (int64_t j = 0; j < x.cols; j++) {
            const double normal = (*fs_at(x, i, j) - mean) * inverse;
            const double normal_dot = (*fs_at(x_dot, i, j) - mean_dot - normal * mean_normal) * inverse;
            *fs_at(y_dot, i, j) = normal_dot * (1 + *fs_at(scale, sample, j)) + normal * *fs_at(scale_dot, sample, j) +
                                  *fs_at(shift_dot, sample, j);
        }
    }
}

static void sinusoidal_tangent(struct fs_backend *backend, struct fs_view out_dot, struct fs_view values,
                               struct fs_view values_dot)
{
    if (!fs_reference_begin(backend, "sinusoidal_tangent",
                            fs_sinusoidal_tangent_fits(backend, out_dot, values, values_dot))) {
        return;
    }
    const int64_t half = out_dot.cols / 2;
    for (int64_t b = 0; b < out_dot.rows; b++) {
        for (int64_t i = 0; i < half; i++) {
            const double frequency = pow(10000, -(double)i / (double)half);
            const double angle = *fs_at(values, b, 0) * frequency, along = frequency * *fs_at(values_dot, b, 0);
            *fs_at(out_dot, b, i) = -sin(angle) * along;
            *fs_at(out_dot, b, half + i) = cos(angle) * along;
        }
    }
}

void fs_reference_tangents(struct fs_backend *backend)
{
    backend->gelu_tangent = gelu_tangent;
    backend->attention_tangent = attention_tangent;
    backend->norm_tangent = norm_tangent;
    backend->sinusoidal_tangent = sinusoidal_tangent;
}
