/* Pooling over NHWC images: largest value, or the mean with or without the padding counted. */
#include "kernels/cpu/isa/vector.h"

struct pool {
    struct fs_view y, x;
    const struct fs_window *window;
    enum fs_pooling pooling;
    int64_t out_height, out_width;
};

/* One output position (row r, column c of sample b), all channels. */
static void pool_position(const struct pool *op, int64_t b, int64_t r, int64_t c)
{
    const struct fs_window *w = op->window;
    const int64_t channels = w->in_channels;
    const int64_t top = r * w->stride - w->pad_height, left = c * w->stride - w->pad_width;
    const int64_t first_row = top < 0 ? 0 : top, first_col = left < 0 ? 0 : left;
    const int64_t last_row = top + w->kernel_height < w->in_height ? top + w->kernel_height : w->in_height;
    const int64_t last_col = left + w->kernel_width < w->in_width ? left + w->kernel_width : w->in_width;
    const bool largest = op->pooling == FS_POOL_MAX;
    const int64_t inside = (last_row - first_row) * (last_col - first_col);
    const int64_t divisor = op->pooling == FS_POOL_AVERAGE_PADDED ? w->kernel_height * w->kernel_width : inside;
    const struct span to = span_of(op->y, b, (r * op->out_width + c) * channels);
    for (int64_t j = 0; j < channels; j += FS_WIDTH) {
        vf result = vf_all(largest ? -3.402823466e38f : 0);
        for (int64_t i = first_row; i < last_row; i++) {
            for (int64_t k = first_col; k < last_col; k++) {
                const vf v = span_load(span_of(op->x, b, (i * w->in_width + k) * channels), j, channels - j);
                result = largest ? vf_max(result, v) : result + v;
            }
        }
        span_store(to, j, channels - j, largest ? result : result / (float)divisor);
    }
}

static void pool_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, const struct fs_window *window,
                         enum fs_pooling pooling)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "pool_forward", fs_pool_forward_fits(backend, y, x, window));
    if (cpu == NULL) {
        return;
    }
    const int64_t out_height = fs_window_out_height(window), out_width = fs_window_out_width(window);
    const struct pool op = {y, x, window, pooling, out_height, out_width};
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t line = 0; line < x.rows * out_height; line++) {
        for (int64_t c = 0; c < out_width; c++) {
            pool_position(&op, line / out_height, line % out_height, c);
        }
    }
}

void FS_ISA_NAME(fs_install_pooling)(struct fs_backend *backend)
{
    backend->pool_forward = pool_forward;
}
