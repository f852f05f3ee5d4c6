/* Which operands each operation of kernels/backend.h takes, once for all backends: a backend asks at the beginning of
 * an operation, with the operation's own arguments, and records a fault where they do not fit. A limit of its own
 * (32-bit indices, say) it adds there. */
#ifndef FEWSTEP_OPERANDS_H
#define FEWSTEP_OPERANDS_H

#include "kernels/backend.h"

/* --- what is said of one operand --- */

/* Of the backend's type of statistics, and there. */
static inline bool fs_is_real(const struct fs_backend *backend, struct fs_view view)
{
    return view.data != NULL && view.type == backend->real;
}

/* Of any type that operands of this backend may have, and there. */
static inline bool fs_is_any(const struct fs_backend *backend, struct fs_view view)
{
    return fs_is_real(backend, view) || (view.data != NULL && backend->real == FS_F32 && view.type == FS_BF16);
}

static inline bool fs_has_shape(struct fs_view view, int64_t rows, int64_t cols)
{
    return view.rows == rows && view.cols == cols;
}

static inline bool fs_real_shape(const struct fs_backend *backend, struct fs_view view, int64_t rows, int64_t cols)
{
    return fs_is_real(backend, view) && fs_has_shape(view, rows, cols);
}

static inline bool fs_any_shape(const struct fs_backend *backend, struct fs_view view, int64_t rows, int64_t cols)
{
    return fs_is_any(backend, view) && fs_has_shape(view, rows, cols);
}

/* [B, D] beside [B·T, D]: a row for each group of rows of `x`. */
static inline bool fs_per_sample(const struct fs_backend *backend, struct fs_view view, struct fs_view x)
{
    return fs_any_shape(backend, view, view.rows, x.cols) && view.rows > 0 && x.rows % view.rows == 0;
}

/* --- memory and random numbers --- */

static inline bool fs_fill_fits(const struct fs_backend *backend, struct fs_view out)
{
    return fs_is_any(backend, out);
}

static inline bool fs_copy_fits(const struct fs_backend *backend, struct fs_view out, struct fs_view in)
{
    return fs_is_any(backend, out) && fs_any_shape(backend, in, out.rows, out.cols);
}

static inline bool fs_normals_fits(const struct fs_backend *backend, struct fs_view out)
{
    return fs_is_any(backend, out);
}

/* --- between ranks --- */

static inline bool fs_exchange_sum_fits(const struct fs_backend *backend, int size, struct fs_view values,
                                        struct fs_view room)
{
    return fs_real_shape(backend, values, 1, values.cols) && fs_real_shape(backend, room, 1, room.cols) &&
           room.cols >= values.cols + (int64_t)FS_EXCHANGE_PIECE * size;
}

static inline bool fs_exchange_gather_fits(const struct fs_backend *backend, int size, struct fs_view values,
                                           const int64_t *borders)
{
    return fs_real_shape(backend, values, 1, values.cols) && borders[0] == 0 && borders[size] == values.cols;
}

/* --- linear layer --- */

static inline bool fs_linear_forward_fits(const struct fs_backend *backend, struct fs_view y, struct fs_view x,
                                          struct fs_view w, struct fs_view bias, enum fs_activation activation,
                                          struct fs_view pre)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, w, w.rows, x.cols) && x.type == w.type &&
           fs_any_shape(backend, y, x.rows, w.rows) && (bias.data == NULL || fs_real_shape(backend, bias, 1, w.rows)) &&
           (activation != FS_GELU || pre.data == NULL || fs_any_shape(backend, pre, y.rows, y.cols));
}

static inline bool fs_linear_backward_fits(const struct fs_backend *backend, struct fs_view dx, struct fs_view dw,
                                           struct fs_view dbias, struct fs_view dy, struct fs_view x, struct fs_view w,
                                           struct fs_view pre)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, w, w.rows, x.cols) && x.type == w.type &&
           fs_any_shape(backend, dy, x.rows, w.rows) && dy.type == x.type &&
           (dx.data == NULL || fs_any_shape(backend, dx, x.rows, x.cols)) &&
           (dw.data == NULL || fs_real_shape(backend, dw, w.rows, w.cols)) &&
           (dbias.data == NULL || fs_real_shape(backend, dbias, 1, w.rows)) &&
           (pre.data == NULL || fs_any_shape(backend, pre, x.rows, x.cols));
}

/* --- attention --- */

static inline bool fs_heads_fit(const struct fs_backend *backend, struct fs_view out, struct fs_view qkv,
                                int64_t tokens, int64_t heads)
{
    return fs_is_any(backend, out) && fs_any_shape(backend, qkv, out.rows, 3 * out.cols) && tokens > 0 && heads > 0 &&
           out.rows % tokens == 0 && out.cols % heads == 0;
}

static inline bool fs_attention_forward_fits(const struct fs_backend *backend, struct fs_view out, struct fs_view lse,
                                             struct fs_view qkv, int64_t tokens, int64_t heads)
{
    return fs_heads_fit(backend, out, qkv, tokens, heads) &&
           (lse.data == NULL || fs_real_shape(backend, lse, out.rows, heads));
}

static inline bool fs_attention_backward_fits(const struct fs_backend *backend, struct fs_view dqkv,
                                              struct fs_view dout, struct fs_view qkv, struct fs_view out,
                                              struct fs_view lse, int64_t tokens, int64_t heads)
{
    return fs_heads_fit(backend, out, qkv, tokens, heads) && fs_heads_fit(backend, dout, dqkv, tokens, heads) &&
           fs_has_shape(dout, out.rows, out.cols) && fs_real_shape(backend, lse, out.rows, heads);
}

/* --- layer norm and gate --- */

static inline bool fs_norm_forward_fits(const struct fs_backend *backend, struct fs_view y, struct fs_view statistics,
                                        struct fs_view x, struct fs_view shift, struct fs_view scale)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, y, x.rows, x.cols) && fs_per_sample(backend, shift, x) &&
           fs_any_shape(backend, scale, shift.rows, shift.cols) &&
           (statistics.data == NULL || fs_real_shape(backend, statistics, x.rows, 2));
}

static inline bool fs_norm_backward_fits(const struct fs_backend *backend, struct fs_view dx, struct fs_view dshift,
                                         struct fs_view dscale, struct fs_view dy, struct fs_view x,
                                         struct fs_view statistics, struct fs_view scale)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, dx, x.rows, x.cols) &&
           fs_any_shape(backend, dy, x.rows, x.cols) && fs_real_shape(backend, statistics, x.rows, 2) &&
           fs_per_sample(backend, scale, x) && fs_any_shape(backend, dshift, scale.rows, scale.cols) &&
           fs_any_shape(backend, dscale, scale.rows, scale.cols);
}

static inline bool fs_gate_forward_fits(const struct fs_backend *backend, struct fs_view out, struct fs_view x,
                                        struct fs_view y, struct fs_view gate)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, out, x.rows, x.cols) &&
           fs_any_shape(backend, y, x.rows, x.cols) && fs_per_sample(backend, gate, x);
}

static inline bool fs_gate_backward_fits(const struct fs_backend *backend, struct fs_view dy, struct fs_view dgate,
                                         struct fs_view dout, struct fs_view y, struct fs_view gate)
{
    return fs_gate_forward_fits(backend, dy, y, dout, gate) && fs_any_shape(backend, dgate, gate.rows, gate.cols);
}

static inline bool fs_gate_norm_forward_fits(const struct fs_backend *backend, struct fs_view out, struct fs_view x,
                                             struct fs_view y, struct fs_view gate, struct fs_view z,
                                             struct fs_view statistics, struct fs_view shift, struct fs_view scale)
{
    return fs_is_real(backend, out) && fs_is_real(backend, x) && fs_gate_forward_fits(backend, out, x, y, gate) &&
           fs_norm_forward_fits(backend, z, statistics, out, shift, scale) && shift.rows == gate.rows;
}

static inline bool fs_gate_norm_backward_fits(const struct fs_backend *backend, struct fs_view dx, struct fs_view dy,
                                              struct fs_view dgate, struct fs_view dshift, struct fs_view dscale,
                                              struct fs_view dz, struct fs_view y, struct fs_view gate,
                                              struct fs_view out, struct fs_view statistics, struct fs_view scale)
{
    return fs_is_real(backend, dx) && fs_is_real(backend, out) &&
           fs_norm_backward_fits(backend, dx, dshift, dscale, dz, out, statistics, scale) &&
           fs_gate_backward_fits(backend, dy, dgate, dx, y, gate) && scale.rows == gate.rows;
}

/* --- element by element --- */

static inline bool fs_silu_forward_fits(const struct fs_backend *backend, struct fs_view y, struct fs_view x)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, y, x.rows, x.cols);
}

static inline bool fs_silu_backward_fits(const struct fs_backend *backend, struct fs_view dx, struct fs_view dy,
                                         struct fs_view x)
{
    return fs_silu_forward_fits(backend, dx, x) && fs_any_shape(backend, dy, x.rows, x.cols);
}

static inline bool fs_add_fits(const struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, out, x.rows, x.cols) && fs_per_sample(backend, y, x);
}

static inline bool fs_mix_fits(const struct fs_backend *backend, struct fs_view out, struct fs_view a, struct fs_view x,
                               struct fs_view c, struct fs_view y)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, out, x.rows, x.cols) &&
           fs_real_shape(backend, a, x.rows, 1) &&
           (y.data == NULL || (fs_any_shape(backend, y, x.rows, x.cols) && fs_real_shape(backend, c, x.rows, 1)));
}

/* --- pictures and tokens, conditioning --- */

/* Of patchify and of unpatchify. */
static inline bool fs_patches_fit(const struct fs_backend *backend, struct fs_view tokens, struct fs_view images,
                                  int64_t height, int64_t width, int64_t channels, int64_t patch)
{
    return patch > 0 && height % patch == 0 && width % patch == 0 &&
           fs_any_shape(backend, images, images.rows, height * width * channels) &&
           fs_any_shape(backend, tokens, images.rows * (height / patch) * (width / patch), patch * patch * channels);
}

static inline bool fs_sinusoidal_fits(const struct fs_backend *backend, struct fs_view out, struct fs_view values)
{
    return fs_is_any(backend, out) && out.cols > 0 && out.cols % 2 == 0 && fs_real_shape(backend, values, out.rows, 1);
}

static inline bool fs_embed_forward_fits(const struct fs_backend *backend, struct fs_view out, struct fs_view table,
                                         const int32_t *ids)
{
    return fs_is_any(backend, out) && fs_any_shape(backend, table, table.rows, out.cols) && ids != NULL;
}

static inline bool fs_embed_backward_fits(const struct fs_backend *backend, struct fs_view dtable, struct fs_view dout,
                                          const int32_t *ids)
{
    return fs_is_any(backend, dout) && fs_real_shape(backend, dtable, dtable.rows, dout.cols) && ids != NULL;
}

/* --- forward-mode tangents --- */

static inline bool fs_gelu_tangent_fits(const struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot,
                                        struct fs_view x)
{
    return fs_silu_backward_fits(backend, y_dot, x_dot, x);
}

static inline bool fs_attention_tangent_fits(const struct fs_backend *backend, struct fs_view out,
                                             struct fs_view out_dot, struct fs_view qkv, struct fs_view qkv_dot,
                                             int64_t tokens, int64_t heads)
{
    return fs_heads_fit(backend, out, qkv, tokens, heads) && fs_heads_fit(backend, out_dot, qkv_dot, tokens, heads) &&
           fs_has_shape(out_dot, out.rows, out.cols);
}

static inline bool fs_norm_tangent_fits(const struct fs_backend *backend, struct fs_view y_dot, struct fs_view x_dot,
                                        struct fs_view x, struct fs_view statistics, struct fs_view scale,
                                        struct fs_view shift_dot, struct fs_view scale_dot)
{
    return fs_is_any(backend, x) && fs_any_shape(backend, y_dot, x.rows, x.cols) &&
           fs_any_shape(backend, x_dot, x.rows, x.cols) && fs_real_shape(backend, statistics, x.rows, 2) &&
           fs_per_sample(backend, scale, x) && fs_any_shape(backend, shift_dot, scale.rows, scale.cols) &&
           fs_any_shape(backend, scale_dot, scale.rows, scale.cols);
}

static inline bool fs_sinusoidal_tangent_fits(const struct fs_backend *backend, struct fs_view out_dot,
                                              struct fs_view values, struct fs_view values_dot)
{
    return fs_sinusoidal_fits(backend, out_dot, values) && fs_real_shape(backend, values_dot, out_dot.rows, 1);
}

/* --- loss and optimiser --- */

static inline bool fs_mse_fits(const struct fs_backend *backend, struct fs_view loss, struct fs_view dprediction,
                               struct fs_view prediction, struct fs_view target, struct fs_view weights)
{
    return fs_is_any(backend, prediction) && fs_any_shape(backend, target, prediction.rows, prediction.cols) &&
           fs_real_shape(backend, loss, prediction.rows, 1) && fs_real_shape(backend, weights, prediction.rows, 1) &&
           (dprediction.data == NULL || fs_any_shape(backend, dprediction, prediction.rows, prediction.cols));
}

static inline bool fs_sum_squares_fits(const struct fs_backend *backend, struct fs_view result, struct fs_view x)
{
    return fs_real_shape(backend, result, 1, 1) && fs_is_any(backend, x) && (x.rows == 1 || x.stride == x.cols);
}

static inline bool fs_adamw_fits(const struct fs_backend *backend, const struct fs_adamw *adamw,
                                 struct fs_view parameters, struct fs_view gradients, struct fs_view moment1,
                                 struct fs_view moment2, const struct fs_view averages[2])
{
    bool fits = adamw->clip_norm <= 0 || fs_real_shape(backend, adamw->norm2, 1, 1);
    const struct fs_view flat[] = {parameters, gradients, moment1, moment2};
    for (int i = 0; i < 4; i++) {
        fits = fits && fs_real_shape(backend, flat[i], 1, parameters.cols);
    }
    for (int i = 0; i < 2; i++) {
        fits = fits && (averages[i].data == NULL || fs_real_shape(backend, averages[i], 1, parameters.cols));
    }
    for (int i = 0; i < 3; i++) {
        fits = fits && (adamw->copies[i].data == NULL || (fs_any_shape(backend, adamw->copies[i], 1, parameters.cols) &&
                                                          (i == 0 || averages[i - 1].data != NULL)));
    }
    return fits;
}

/* --- convolution and pooling --- */

static inline int64_t fs_window_out_height(const struct fs_window *window)
{
    return (window->in_height + 2 * window->pad_height + window->pad_below - window->kernel_height) / window->stride +
           1;
}

static inline int64_t fs_window_out_width(const struct fs_window *window)
{
    return (window->in_width + 2 * window->pad_width + window->pad_right - window->kernel_width) / window->stride + 1;
}

/* Images in and out, of any type, are as large as the window says, and each place of it holds a pixel. */
static inline bool fs_window_fits(const struct fs_backend *backend, struct fs_view y, struct fs_view x,
                                  const struct fs_window *window)
{
    return window->stride > 0 && window->pad_height + window->pad_below < window->kernel_height &&
           window->pad_width + window->pad_right < window->kernel_width &&
           fs_any_shape(backend, x, x.rows, window->in_height * window->in_width * window->in_channels) &&
           fs_any_shape(backend, y, x.rows,
                        fs_window_out_height(window) * fs_window_out_width(window) * window->out_channels);
}

static inline bool fs_convolution_forward_fits(const struct fs_backend *backend, struct fs_view y, struct fs_view x,
                                               struct fs_view w, struct fs_view bias, const struct fs_window *window)
{
    const int64_t filter = window->in_channels * window->kernel_height * window->kernel_width;
    return fs_window_fits(backend, y, x, window) && fs_any_shape(backend, w, window->out_channels, filter) &&
           w.type == x.type && (bias.data == NULL || fs_real_shape(backend, bias, 1, window->out_channels));
}

static inline bool fs_convolution_backward_fits(const struct fs_backend *backend, struct fs_view dx, struct fs_view dw,
                                                struct fs_view dbias, struct fs_view dy, struct fs_view x,
                                                struct fs_view y, struct fs_view w, const struct fs_window *window)
{
    return fs_convolution_forward_fits(backend, dy, x, w, dbias, window) && fs_is_real(backend, dy) &&
           fs_is_real(backend, x) && fs_real_shape(backend, dw, w.rows, w.cols) &&
           (dx.data == NULL || fs_real_shape(backend, dx, x.rows, x.cols)) &&
           (y.data == NULL || fs_real_shape(backend, y, dy.rows, dy.cols));
}

static inline bool fs_pool_forward_fits(const struct fs_backend *backend, struct fs_view y, struct fs_view x,
                                        const struct fs_window *window)
{
    return window->out_channels == window->in_channels && fs_window_fits(backend, y, x, window);
}

/* --- resize and group norm --- */

static inline bool fs_resize_forward_fits(const struct fs_backend *backend, struct fs_view y, struct fs_view x,
                                          const struct fs_resize_side *vertical,
                                          const struct fs_resize_side *horizontal, int64_t channels)
{
    return fs_any_shape(backend, x, x.rows, vertical->in * horizontal->in * channels) &&
           fs_any_shape(backend, y, x.rows, vertical->out * horizontal->out * channels) && vertical->taps > 0 &&
           vertical->first != NULL && vertical->weights != NULL && horizontal->first != NULL &&
           horizontal->weights != NULL && horizontal->taps > 0 && vertical->taps <= vertical->in &&
           horizontal->taps <= horizontal->in;
}

static inline bool fs_group_norm_forward_fits(const struct fs_backend *backend, struct fs_view y, struct fs_view x,
                                              struct fs_view gamma, struct fs_view beta, int64_t channels,
                                              int64_t groups)
{
    return channels > 0 && groups > 0 && channels % groups == 0 && fs_is_any(backend, x) && x.cols > 0 &&
           x.cols % channels == 0 && fs_any_shape(backend, y, x.rows, x.cols) &&
           fs_any_shape(backend, gamma, 1, channels) && fs_any_shape(backend, beta, 1, channels);
}

#endif
