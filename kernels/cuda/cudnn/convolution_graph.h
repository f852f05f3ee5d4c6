/* The graph of a convolution with bias and ReLU, so that a test can check it without a device. */
#ifndef FEWSTEP_CUDA_CONVOLUTION_GRAPH_H
#define FEWSTEP_CUDA_CONVOLUTION_GRAPH_H

#include "kernels/cuda/cudnn/graph.h"

struct fs_convolution_shape {
    int64_t images;
    struct fs_window window;
    int64_t bias, relu;   /* 0 or 1 */
    int64_t type, y_type; /* enum fs_type: of images and filters, and of the result */
};

/* The tensors in memory, images as NHWC; the bias is float32. */
enum fs_convolution_tensor {
    FS_CONVOLUTION_X = 1,
    FS_CONVOLUTION_W, /* each filter as (row, column, channel) */
    FS_CONVOLUTION_BIAS,
    FS_CONVOLUTION_Y,
    FS_CONVOLUTION_TENSORS = FS_CONVOLUTION_Y,
};

/* False with the reason in graph->refusal. */
bool fs_convolution_graph(struct fs_cudnn_graph *graph, const struct fs_convolution_shape *shape);

#endif
