/* Convolution with bias and ReLU in one launch, by cuDNN. */
#include "kernels/cuda/cudnn/convolution_graph.h"
#include "kernels/cuda/cudnn/run.h"
#include "kernels/cuda/device.cuh"

/* Each filter as (row, column, channel), from (channel, row, column). */
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
    const struct fs_convolution_shape shape = {x.rows, *window, bias.data != NULL, relu};
    const struct fs_cudnn_plan *plan = fs_cudnn_plan_of(cuda, describe, (const int64_t *)&shape,
                                                        sizeof shape / sizeof(int64_t), !cuda->tf32, cuda->convolution);
    if (plan == NULL) {
        return false;
    }
    const int64_t area = window->kernel_height * window->kernel_width;
    const int64_t filters = (w.rows * w.cols * (int64_t)sizeof(float) + 255) / 256 * 256;
    char *scratch = (char *)fs_cuda_scratch(cuda, (size_t)(filters + plan->workspace));
    if (scratch == NULL) {
        return false;
    }
    const struct fs_view turned = fs_view(scratch, FS_F32, w.rows, w.cols);
    for_each_piece(cuda, filter_operation{span_of(turned), span_of(w), (int)area, (int)window->in_channels}, w.rows,
                   w.cols);
    void *pointers[FS_CONVOLUTION_TENSORS] = {x.data, turned.data, bias.data, y.data};
    return fs_cudnn_execute(cuda, plan, pointers, FS_CONVOLUTION_TENSORS, scratch + filters);
}
