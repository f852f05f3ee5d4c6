/* Attention in bf16 by cuDNN: the logits never reach memory forward, and once, in bf16, backward. */
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cudnn/attention_graph.h"
#include "kernels/cuda/cudnn/run.h"

/* bf16 with rows and heads on 16 bytes. */
static bool fits(struct fs_view view)
{
    return view.type == FS_BF16 && view.stride % 8 == 0 && (uintptr_t)view.data % 16 == 0;
}

static bool describe_forward(struct fs_cudnn_graph *graph, const int64_t *shape)
{
    return fs_attention_graph_forward(graph, (const struct fs_attention_shape *)shape);
}

static bool describe_backward(struct fs_cudnn_graph *graph, const int64_t *shape)
{
    return fs_attention_graph_backward(graph, (const struct fs_attention_shape *)shape);
}

static void *column(struct fs_view view, int64_t first)
{
    return view.data == NULL ? NULL : fs_view_cols(view, first, view.cols - first).data;
}

static bool run_part(struct fs_cuda *cuda, const struct fs_attention *op, bool backward)
{
    const int64_t width = op->heads * op->head_width;
    const struct fs_attention_shape shape = {op->samples,
                                             op->tokens,
                                             op->heads,
                                             op->head_width,
                                             op->qkv.stride,
                                             op->out.stride,
                                             op->lse.data != NULL ? op->lse.stride : 0,
                                             backward ? op->dqkv.stride : 0,
                                             backward ? op->dout.stride : 0};
    const struct fs_cudnn_plan *plan =
        fs_cudnn_plan_of(cuda, backward ? describe_backward : describe_forward, (const int64_t *)&shape,
                         sizeof shape / sizeof(int64_t), false, cuda->attention);
    if (plan == NULL) {
        return false;
    }
    const int64_t sums = backward ? (op->samples * op->heads * op->tokens * 4 + 255) / 256 * 256 : 0;
    char *scratch = (char *)fs_cuda_scratch(cuda, (size_t)(sums + plan->workspace));
    if (scratch == NULL) {
        return false;
    }
    float scale = op->scale, one = 1;
    void *pointers[FS_ATTENTION_TENSORS] = {column(op->qkv, 0),
                                            column(op->qkv, width),
                                            column(op->qkv, 2 * width),
                                            op->out.data,
                                            op->lse.data,
                                            &scale,
                                            backward ? &one : NULL,
                                            op->dout.data,
                                            backward ? scratch : NULL,
                                            column(op->dqkv, 0),
                                            column(op->dqkv, width),
                                            column(op->dqkv, 2 * width)};
    return fs_cudnn_execute(cuda, plan, pointers, FS_ATTENTION_TENSORS, scratch + sums);
}

bool fs_cudnn_attention(struct fs_cuda *cuda, const struct fs_attention *op, bool backward)
{
    if (cuda->cudnn == NULL || cuda->attention == FS_PATH_OWN || !fits(op->qkv) || !fits(op->out) ||
        (backward && (!fits(op->dqkv) || !fits(op->dout)))) {
        return false;
    }
    /* Backward keeps a square of bf16 for each head. */
    const int64_t a_sample = backward ? op->heads * op->tokens * op->tokens * 2 : 1;
    int64_t chunk = FS_CUDA_SCRATCH_LIMIT / a_sample;
    chunk = chunk < 1 ? 1 : chunk < op->samples ? chunk : op->samples;
    for (int64_t first = 0; first < op->samples; first += chunk) {
        const int64_t left = op->samples - first;
        const struct fs_attention part = fs_attention_part(op, first, left < chunk ? left : chunk);
        if (!run_part(cuda, &part, backward)) {
            return false; /* a refusal of the rest lets our own path do all of it again */
        }
    }
    return true;
}
