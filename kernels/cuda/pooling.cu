/* Pooling over NHWC images: largest value, or the mean with or without the padding counted. */
#include "kernels/cuda/device.cuh"

/* A row is an output position, its columns are the channels. */
struct pool_operation {
    struct span y, x;
    struct fs_window window;
    enum fs_pooling pooling;
    int64_t out_height, out_width;
    __device__ void piece(int64_t position, int64_t col, int count) const
    {
        const int64_t image = position / (out_height * out_width), place = position % (out_height * out_width);
        const int64_t top = place / out_width * window.stride - window.pad_height,
                      left = place % out_width * window.stride - window.pad_width;
        const int64_t first_row = max(top, (int64_t)0), end_row = min(top + window.kernel_height, window.in_height);
        const int64_t first_col = max(left, (int64_t)0), end_col = min(left + window.kernel_width, window.in_width);
        const bool largest = pooling == FS_POOL_MAX;
        const int64_t inside = (end_row - first_row) * (end_col - first_col);
        const int64_t divisor = pooling == FS_POOL_AVERAGE_PADDED ? window.kernel_height * window.kernel_width : inside;
        for (int64_t channel = col; channel < col + count; channel++) {
            float result = largest ? -3.402823466e38f : 0;
            for (int64_t i = first_row; i < end_row; i++) {
                for (int64_t j = first_col; j < end_col; j++) {
                    const float value = load(x, image, (i * window.in_width + j) * window.in_channels + channel);
                    result = largest ? fmaxf(result, value) : result + value;
                }
            }
            store(y, image, place * window.in_channels + channel, largest ? result : result / (float)divisor);
        }
    }
};

static void pool_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, const struct fs_window *window,
                         enum fs_pooling pooling)
{
    const int64_t out_height =
        (window->in_height + 2 * window->pad_height - window->kernel_height) / window->stride + 1;
    const int64_t out_width = (window->in_width + 2 * window->pad_width - window->kernel_width) / window->stride + 1;
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "pool_forward",
                      fs_is_any(y) && fs_is_any(x) && y.rows == x.rows && window->pad_height < window->kernel_height &&
                          window->pad_width < window->kernel_width &&
                          x.cols == window->in_height * window->in_width * window->in_channels &&
                          y.cols == out_height * out_width * window->in_channels);
    if (cuda != NULL) {
        for_each_piece(cuda, pool_operation{span_of(y), span_of(x), *window, pooling, out_height, out_width},
                       x.rows * out_height * out_width, window->in_channels);
    }
}

void fs_cuda_install_pooling(struct fs_backend *backend)
{
    backend->pool_forward = pool_forward;
}
