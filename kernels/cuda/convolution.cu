/* Convolution over NHWC images as one product: each output position's window is laid out as a row (im2col), times the
 * filters. It reads the images several times over: for what cuDNN does not take. */
#include "kernels/cuda/device.cuh"

#define SCRATCH_LIMIT FS_CUDA_SCRATCH_LIMIT /* at least one image is taken */

/* Row: image and output position; column: channel and place in the window, in the order in which the weights lie. */
struct gather_operation {
    struct span rows, x;
    struct window window;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        const struct window &w = window;
        const int positions = w.out_height * w.out_width, area = w.kernel_height * w.kernel_width;
        const int64_t image = row / positions;
        const int place = (int)(row % positions);
        const int top = place / w.out_width * w.stride - w.pad_height,
                  left = place % w.out_width * w.stride - w.pad_width;
        for (int j = (int)col; j < (int)col + count; j++) {
            const int under = w.channels_last ? j / w.channels : j % area,
                      channel = w.channels_last ? j % w.channels : j / area;
            const int i = top + under / w.kernel_width, k = left + under % w.kernel_width;
            const bool inside = i >= 0 && i < w.in_height && k >= 0 && k < w.in_width;
            store(rows, row, j, inside ? load(x, image, (i * w.in_width + k) * w.channels + channel) : 0);
        }
    }
};

/* y = z + bias, not below zero when `relu`; z has a row for each position, y one for each image. */
struct scatter_operation {
    struct span y, z, bias;
    int64_t positions, channels;
    bool relu;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        const int64_t image = row / positions, place = row % positions;
        for (int64_t j = col; j < col + count; j++) {
            const float value = load(z, row, j) + (bias.data != NULL ? load(bias, 0, j) : 0);
            store(y, image, place * channels + j, relu && value < 0 ? 0 : value);
        }
    }
};

static int64_t rounded_bytes(int64_t count, enum fs_type type)
{
    return (count * (int64_t)fs_type_size(type) + 255) / 256 * 256;
}

static void convolve_chunk(struct fs_cuda *cuda, struct fs_view y, struct fs_view x, struct fs_view w,
                           struct fs_view bias, const struct window *window, bool relu, char *memory)
{
    const int64_t positions = (int64_t)window->out_height * window->out_width, count = x.rows * positions;
    const struct fs_view rows = fs_view(memory, x.type, count, w.cols),
                         z = fs_view(memory + rounded_bytes(count * w.cols, x.type), FS_F32, count, w.rows);
    for_each_piece(cuda, gather_operation{span_of(rows), span_of(x), *window}, rows.rows, rows.cols);
    struct fs_cuda_product product = {};
    product.out = fs_matrices_of(z);
    product.a = fs_matrices_of(rows);
    product.b = fs_matrices_of(w);
    product.transpose_b = true;
    product.batch = 1;
    product.alpha = 1;
    if (fs_gemm_product(cuda, &product)) {
        for_each_piece(cuda, scatter_operation{span_of(y), span_of(z), span_of(bias), positions, w.rows, relu}, z.rows,
                       z.cols);
    } else if (cuda->fault.status == FS_OK) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: convolution_forward: cuBLASLt has no algorithm for it");
    }
}

static void convolution_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                                struct fs_view bias, const struct fs_window *window, bool relu)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "convolution_forward",
                                         fs_convolution_forward_fits(backend, y, x, w, bias, window) &&
                                             x.cols <= INT32_MAX && y.cols <= INT32_MAX);
    if (cuda == NULL || fs_cudnn_convolution(cuda, y, x, w, bias, window, relu) || cuda->fault.status != FS_OK) {
        return;
    }
    const struct window small = window_of(window);
    const int64_t positions = (int64_t)small.out_height * small.out_width;
    const int64_t an_image = rounded_bytes(positions * w.cols, x.type) + rounded_bytes(positions * w.rows, FS_F32);
    int64_t chunk = SCRATCH_LIMIT / an_image;
    chunk = chunk < 1 ? 1 : chunk < x.rows ? chunk : x.rows;
    char *memory = (char *)fs_cuda_scratch(cuda, (size_t)(chunk * an_image));
    for (int64_t first = 0; memory != NULL && first < x.rows; first += chunk) {
        const int64_t count = x.rows - first < chunk ? x.rows - first : chunk;
        convolve_chunk(cuda, fs_view_rows(y, first, count), fs_view_rows(x, first, count), w, bias, &small, relu,
                       memory);
    }
}

void fs_cuda_install_convolution(struct fs_backend *backend)
{
    backend->convolution_forward = FS_TOLD(convolution_forward);
}
