/* Convolutions over NHWC images, by oneDNN. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/onednn.h"

static bool images_fit(struct fs_view y, struct fs_view x, struct fs_view w, const struct fs_window *window)
{
    const int64_t height = (window->in_height + 2 * window->pad_height - window->kernel_height) / window->stride + 1;
    const int64_t width = (window->in_width + 2 * window->pad_width - window->kernel_width) / window->stride + 1;
    return fs_is_f32(y) && fs_is_f32(x) && fs_is_f32(w) && y.rows == x.rows &&
           x.cols == window->in_height * window->in_width * window->in_channels &&
           y.cols == height * width * window->out_channels && w.rows == window->out_channels &&
           w.cols == window->in_channels * window->kernel_height * window->kernel_width;
}

static struct fs_convolution convolution_of(enum fs_direction direction, struct fs_view y, struct fs_view x,
                                            struct fs_view w, struct fs_view bias, const struct fs_window *window)
{
    return (struct fs_convolution){.direction = direction,
                                   .window = window,
                                   .samples = x.rows,
                                   .x_stride = x.stride,
                                   .y_stride = y.stride,
                                   .w_stride = w.stride,
                                   .x = x.data,
                                   .w = w.data,
                                   .bias = bias.data,
                                   .y = y.data};
}

static void convolution_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                                struct fs_view bias, const struct fs_window *window, bool relu)
{
    struct fs_cpu *cpu = fs_cpu_begin(
        backend, "convolution_forward",
        images_fit(y, x, w, window) && (bias.data == NULL || (fs_is_f32(bias) && bias.cols == window->out_channels)));
    if (cpu == NULL) {
        return;
    }
    struct fs_convolution convolution = convolution_of(FS_CONVOLUTION_FORWARD, y, x, w, bias, window);
    convolution.relu = relu;
    fs_onednn_convolution(cpu->onednn, &convolution, &cpu->fault);
}

static void convolution_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dw, struct fs_view dbias,
                                 struct fs_view dy, struct fs_view x, struct fs_view y, struct fs_view w,
                                 const struct fs_window *window)
{
    const bool relu = y.data != NULL;
    struct fs_cpu *cpu =
        fs_cpu_begin(backend, "convolution_backward",
                     images_fit(dy, x, w, window) && fs_is_f32(dw) && fs_same_shape(dw, w) &&
                         (dbias.data == NULL || (fs_is_f32(dbias) && dbias.cols == window->out_channels)) &&
                         (dx.data == NULL || (fs_is_f32(dx) && fs_same_shape(dx, x))) &&
                         (!relu || (fs_is_f32(y) && fs_same_shape(y, dy))));
    if (cpu == NULL) {
        return;
    }
    if (relu) {
        float *memory = fs_cpu_scratch(cpu, "convolution_backward", (size_t)(dy.rows * dy.cols) * sizeof *memory);
        if (memory == NULL) {
            return;
        }
        const struct fs_view dz = fs_view(memory, FS_F32, dy.rows, dy.cols);
        cpu->relu_backward(cpu, dz, dy, y);
        dy = dz;
    }
    const struct fs_convolution weights = convolution_of(FS_CONVOLUTION_WEIGHTS, dy, x, dw, dbias, window);
    if (fs_onednn_convolution(cpu->onednn, &weights, &cpu->fault) == FS_OK && dx.data != NULL) {
        const struct fs_convolution data = convolution_of(FS_CONVOLUTION_DATA, dy, dx, w, fs_no_view(), window);
        fs_onednn_convolution(cpu->onednn, &data, &cpu->fault);
    }
}

void fs_cpu_install_convolution(struct fs_backend *backend)
{
    backend->convolution_forward = convolution_forward;
    backend->convolution_backward = convolution_backward;
}
