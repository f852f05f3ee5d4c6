/* Convolutions over NHWC images, by oneDNN. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/onednn.h"

static struct fs_convolution convolution_of(enum fs_direction direction, struct fs_view y, struct fs_view x,
                                            struct fs_view w, struct fs_view bias, const struct fs_window *window)
{
    return (struct fs_convolution){.direction = direction,
                                   .window = window,
                                   .samples = x.rows,
                                   .x_stride = x.stride,
                                   .y_stride = y.stride,
                                   .w_stride = w.stride,
                                   .type = x.type,
                                   .y_type = y.type,
                                   .x = x.data,
                                   .w = w.data,
                                   .bias = bias.data,
                                   .y = y.data};
}

static void convolution_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                                struct fs_view bias, const struct fs_window *window, bool relu)
{
    struct fs_cpu *cpu =
        fs_cpu_begin(backend, "convolution_forward", fs_convolution_forward_fits(backend, y, x, w, bias, window));
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
    struct fs_cpu *cpu = fs_cpu_begin(backend, "convolution_backward",
                                      fs_convolution_backward_fits(backend, dx, dw, dbias, dy, x, y, w, window));
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
