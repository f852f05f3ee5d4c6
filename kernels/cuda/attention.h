/* What the two paths of attention share: our own (attention.cu) and cuDNN's (cudnn/attention.cu). */
#ifndef FEWSTEP_CUDA_ATTENTION_H
#define FEWSTEP_CUDA_ATTENTION_H

#include "kernels/cuda/cuda.h"

struct fs_attention {
    struct fs_view out, lse, qkv, dout, dqkv; /* dout, dqkv: gradients, or tangents */
    int64_t samples, tokens, heads, head_width;
    float scale;
};

static inline struct fs_view fs_attention_rows(struct fs_view view, int64_t first, int64_t rows)
{
    return view.data == NULL ? view : fs_view_rows(view, first, rows);
}

/* `count` of its samples. */
static inline struct fs_attention fs_attention_part(const struct fs_attention *op, int64_t first, int64_t count)
{
    const int64_t row = first * op->tokens, rows = count * op->tokens;
    struct fs_attention part = *op;
    part.samples = count;
    part.qkv = fs_attention_rows(op->qkv, row, rows);
    part.out = fs_attention_rows(op->out, row, rows);
    part.lse = fs_attention_rows(op->lse, row, rows);
    part.dout = fs_attention_rows(op->dout, row, rows);
    part.dqkv = fs_attention_rows(op->dqkv, row, rows);
    return part;
}

/* True when cuDNN did it; false when it is not here, not wanted or refuses this shape, or on a fault. */
#ifdef FS_CUDNN
bool fs_cudnn_attention(struct fs_cuda *cuda, const struct fs_attention *op, bool backward);
/* In words, how cuDNN goes backward on this device; cuda->cudnn is there. */
void fs_cudnn_attention_backward_way(struct fs_cuda *cuda, char *text, size_t size);
#else
static inline bool fs_cudnn_attention(struct fs_cuda *, const struct fs_attention *, bool)
{
    return false;
}
static inline void fs_cudnn_attention_backward_way(struct fs_cuda *, char *text, size_t size)
{
    snprintf(text, size, "%s", "");
}
#endif

#endif
