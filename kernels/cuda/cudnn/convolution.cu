/* Convolution with bias and ReLU in one launch, by cuDNN. */
#include "kernels/cuda/cudnn/convolution_graph.h"
#include "kernels/cuda/cudnn/run.h"
#include "kernels/cuda/device.cuh"

/* Each filter as (place, channel), from (channel, place), `area` places. */
struct filter_operation {
    struct span out, in;
    int area, channels;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        for (int j = (int)col; j < (int)col + count; j++) {
            store(out, row, j, load(in, row, (int64_t)(j % channels) * area + j / channels));
        }
    }
};

/* `in` with its channels last, and without gaps between the filters. */
static void turn_filters(struct fs_cuda *cuda, struct fs_view out, struct fs_view in, const struct fs_window *window)
{
    const bool last = window->channels_last != 0;
    const int64_t area = window->kernel_height * window->kernel_width;
    for_each_piece(cuda,
                   filter_operation{span_of(out), span_of(in), last ? 1 : (int)area,
                                    last ? (int)in.cols : (int)window->in_channels},
                   in.rows, in.cols);
}

static bool describe(struct fs_cudnn_graph *graph, const int64_t *shape)
{
    return fs_convolution_graph(graph, (const struct fs_convolution_shape *)shape);
}

static bool is_dense(struct fs_view view)
{
    return view.stride == view.cols && (uintptr_t)view.data % 16 == 0;
}

bool fs_cudnn_convolution(struct fs_cuda *cuda, struct fs_view y, struct fs_view x, struct fs_view w,
                          struct fs_view bias, const struct fs_window *window, bool relu)
{
    if (!is_dense(y) || !is_dense(x) || (uintptr_t)bias.data % 16 != 0) {
        return false;
    }
    const bool ready = window->channels_last && is_dense(w), ieee = x.type == FS_F32 && !cuda->tf32;
    struct fs_convolution_shape shape = {x.rows, *window, bias.data != NULL, relu, x.type, y.type};
    shape.window.channels_last = 1; /* of the filters that it gets */
    const struct fs_cudnn_plan *plan = fs_cudnn_plan_of(cuda, describe, (const int64_t *)&shape,
                                                        sizeof shape / sizeof(int64_t), ieee, cuda->convolution);
    if (plan == NULL) {
        return false;
    }
    const int64_t filters = ready ? 0 : (w.rows * w.cols * (int64_t)fs_type_size(w.type) + 255) / 256 * 256;
    char *scratch = (char *)fs_cuda_scratch(cuda, (size_t)(filters + plan->workspace));
    if (scratch == NULL) {
        return false;
    }
    const struct fs_view turned = ready ? w : fs_view(scratch, w.type, w.rows, w.cols);
    if (!ready) {
        turn_filters(cuda, turned, w, window);
    }
    void *pointers[FS_CONVOLUTION_TENSORS] = {x.data, turned.data, bias.data, y.data};
    return fs_cudnn_execute(cuda, plan, pointers, FS_CONVOLUTION_TENSORS, scratch + filters);
}
