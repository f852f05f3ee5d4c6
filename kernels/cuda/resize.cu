/* Separable resizing of NHWC images: each number of the result from the pixels under it, along the rows first. */
#include "kernels/cuda/device.cuh"

/* A row is an output position, its columns are the channels. The order of sums is the CPU's, so the bits are too. */
struct resize_operation {
    struct span y, x;
    struct fs_resize_side vertical, horizontal;
    struct fs_resize_scale scale;
    int channels;

    /* Pixels of row `line` under output column `place`, times their weights. */
    __device__ struct piece row_sum(int64_t image, int line, int place, int col, int count) const
    {
        const int width = (int)horizontal.in, taps = (int)horizontal.taps;
        const int first = line * width + horizontal.first[place];
        const float *weights = horizontal.weights + (int64_t)place * taps;
        struct piece sum = {};
        for (int k = 0; k < taps; k++) {
            const struct piece pixel = load_piece(x, image, (int64_t)(first + k) * channels + col, count);
            const float weight = weights[k];
            for (int c = 0; c < FS_PIECE; c++) {
                sum.v[c] += weight * pixel.v[c];
            }
        }
        return sum;
    }

    __device__ void piece(int64_t position, int64_t col, int count) const
    {
        const int out_width = (int)horizontal.out, positions = (int)vertical.out * out_width;
        const int taps = (int)vertical.taps;
        const int64_t image = position / positions;
        const int pixel = (int)(position % positions), line = pixel / out_width, place = pixel % out_width;
        const float *weights = vertical.weights + (int64_t)line * taps;
        const int first = vertical.first[line];
        struct piece sum = {};
        for (int k = 0; k < taps; k++) {
            const struct piece row = row_sum(image, first + k, place, (int)col, count);
            const float weight = weights[k];
            for (int c = 0; c < FS_PIECE; c++) {
                sum.v[c] += weight * row.v[c];
            }
        }
        for (int c = 0; c < FS_PIECE; c++) {
            const float v = sum.v[c], clipped = v < scale.low ? scale.low : v > scale.high ? scale.high : v;
            sum.v[c] = clipped * scale.gain + scale.offset;
        }
        store_piece(y, image, (int64_t)pixel * channels + col, count, sum);
    }
};

static void resize_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x,
                           const struct fs_resize_side *vertical, const struct fs_resize_side *horizontal,
                           int64_t channels, const struct fs_resize_scale *scale)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "resize_forward",
                                         fs_resize_forward_fits(backend, y, x, vertical, horizontal, channels) &&
                                             x.cols <= INT32_MAX && y.cols <= INT32_MAX);
    if (cuda != NULL) {
        for_each_piece(cuda,
                       resize_operation{span_of_pixels(y, channels), span_of_pixels(x, channels), *vertical,
                                        *horizontal, *scale, (int)channels},
                       x.rows * vertical->out * horizontal->out, channels);
    }
}

void fs_cuda_install_resize(struct fs_backend *backend)
{
    backend->resize_forward = FS_TOLD(resize_forward);
}
