/* The graphs of attention in bf16, so that a test can check them without a device. */
#ifndef FEWSTEP_CUDA_ATTENTION_GRAPH_H
#define FEWSTEP_CUDA_ATTENTION_GRAPH_H

#include "kernels/cuda/cudnn/graph.h"

/* From one row of a matrix to the next, in elements. */
struct fs_attention_shape {
    int64_t samples, tokens, heads, head_width;
    int64_t qkv_stride, out_stride, lse_stride; /* lse_stride 0: not kept */
    int64_t dqkv_stride, dout_stride;           /* backward */
};

/* The tensors in memory. q, k and v lie in one matrix, and so do their gradients. */
enum fs_attention_tensor {
    FS_ATTENTION_Q = 1,
    FS_ATTENTION_K,
    FS_ATTENTION_V,
    FS_ATTENTION_OUT,
    FS_ATTENTION_LSE,
    FS_ATTENTION_SCALE, /* a float in the host's memory, as the next one */
    FS_ATTENTION_ONE,   /* backward by products: 1, which cuDNN's pattern has where dropout would be */
    FS_ATTENTION_DOUT,
    FS_ATTENTION_ROW_SUMS, /* backward by products: float32 [samples, heads, tokens], scratch */
    FS_ATTENTION_DQ,
    FS_ATTENTION_DK,
    FS_ATTENTION_DV,
    FS_ATTENTION_TENSORS = FS_ATTENTION_DV,
};

/* False with the reason in graph->refusal. */
bool fs_attention_graph_forward(struct fs_cudnn_graph *graph, const struct fs_attention_shape *shape);
bool fs_attention_graph_backward_operation(struct fs_cudnn_graph *graph, const struct fs_attention_shape *shape);
bool fs_attention_graph_backward_products(struct fs_cudnn_graph *graph, const struct fs_attention_shape *shape);

#endif
