/* Pooling over NHWC images: largest value, or the mean with or without the padding counted. */
#include "kernels/cuda/device.cuh"

/* A row is an output position, its columns are the channels. */
struct pool_operation {
    struct span y, x;
    struct window window;
    enum fs_pooling pooling;
    __device__ void piece(int64_t position, int64_t col, int count) const
    {
        const struct window &w = window;
        const int positions = w.out_height * w.out_width;
        const int64_t image = position / positions;
        const int place = (int)(position % positions);
        const int top = place / w.out_width * w.stride - w.pad_height,
                  left = place % w.out_width * w.stride - w.pad_width;
        const int first_row = max(top, 0), end_row = min(top + w.kernel_height, w.in_height);
        const int first_col = max(left, 0), end_col = min(left + w.kernel_width, w.in_width);
        const bool largest = pooling == FS_POOL_MAX;
        const int inside = (end_row - first_row) * (end_col - first_col);
        const int divisor = pooling == FS_POOL_AVERAGE_PADDED ? w.kernel_height * w.kernel_width : inside;
        for (int channel = (int)col; channel < (int)col + count; channel++) {
            float result = largest ? -3.402823466e38f : 0;
            for (int i = first_row; i < end_row; i++) {
                for (int j = first_col; j < end_col; j++) {
                    const float value = load(x, image, (i * w.in_width + j) * w.channels + channel);
                    result = largest ? fmaxf(result, value) : result + value;
                }
            }
            store(y, image, place * w.channels + channel, largest ? result : result / (float)divisor);
        }
    }
};

static void pool_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, const struct fs_window *window,
                         enum fs_pooling pooling)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "pool_forward",
                      fs_pool_forward_fits(backend, y, x, window) && x.cols <= INT32_MAX && y.cols <= INT32_MAX);
    if (cuda != NULL) {
        const struct window w = window_of(window);
        for_each_piece(cuda, pool_operation{span_of(y), span_of(x), w, pooling}, x.rows * w.out_height * w.out_width,
                       w.channels);
    }
}

void fs_cuda_install_pooling(struct fs_backend *backend)
{
    backend->pool_forward = FS_TOLD(pool_forward);
}
