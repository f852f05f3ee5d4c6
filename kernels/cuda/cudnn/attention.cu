/* Attention in bf16 by cuDNN: the logits never reach memory forward, and once, in bf16, backward. */
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cudnn/attention_graph.h"
#include "kernels/cuda/cudnn/run.h"

/* bf16 with rows and heads on 16 bytes. */
static bool fits(struct fs_view view)
{
    return view.type == FS_BF16 && view.stride % 8 == 0 && (uintptr_t)view.data % 16 == 0;
}

/* Three graphs; of those backward the first keeps no square in memory, and cuDNN may refuse it. */
enum graph { FORWARD, BACKWARD_OPERATION, BACKWARD_PRODUCTS };

static bool describe_forward(struct fs_cudnn_graph *graph, const int64_t *shape)
{
    return fs_attention_graph_forward(graph, (const struct fs_attention_shape *)shape);
}

static bool describe_operation(struct fs_cudnn_graph *graph, const int64_t *shape)
{
    return fs_attention_graph_backward_operation(graph, (const struct fs_attention_shape *)shape);
}

static bool describe_products(struct fs_cudnn_graph *graph, const int64_t *shape)
{
    return fs_attention_graph_backward_products(graph, (const struct fs_attention_shape *)shape);
}

#define NUMBERS ((int)(sizeof(struct fs_attention_shape) / sizeof(int64_t)))

/* The plan for the first `samples` of it. */
static const struct fs_cudnn_plan *plan_of(struct fs_cuda *cuda, const struct fs_attention *op, enum graph graph,
                                           int64_t samples)
{
    static const fs_cudnn_describe describe[] = {describe_forward, describe_operation, describe_products};
    const bool backward = graph != FORWARD;
    const struct fs_attention_shape shape = {samples,
                                             op->tokens,
                                             op->heads,
                                             op->head_width,
                                             op->qkv.stride,
                                             op->out.stride,
                                             op->lse.data != NULL ? op->lse.stride : 0,
                                             backward ? op->dqkv.stride : 0,
                                             backward ? op->dout.stride : 0};
    /* That the first way backward is refused is no fault where cuDNN was asked for: there is the second. */
    const enum fs_cuda_path path = graph == BACKWARD_OPERATION ? FS_PATH_AUTO : cuda->attention;
    return fs_cudnn_plan_of(cuda, describe[graph], (const int64_t *)&shape, NUMBERS, false, path);
}

static void *column(struct fs_view view, int64_t first)
{
    return view.data == NULL ? NULL : fs_view_cols(view, first, view.cols - first).data;
}

static bool run_part(struct fs_cuda *cuda, const struct fs_attention *op, enum graph graph)
{
    const int64_t width = op->heads * op->head_width;
    const struct fs_cudnn_plan *plan = plan_of(cuda, op, graph, op->samples);
    if (plan == NULL) {
        return false;
    }
    const bool products = graph == BACKWARD_PRODUCTS;
    const int64_t sums = products ? (op->samples * op->heads * op->tokens * 4 + 255) / 256 * 256 : 0;
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
                                            products ? &one : NULL,
                                            op->dout.data,
                                            products ? scratch : NULL,
                                            column(op->dqkv, 0),
                                            column(op->dqkv, width),
                                            column(op->dqkv, 2 * width)};
    return fs_cudnn_execute(cuda, plan, pointers, FS_ATTENTION_TENSORS, scratch + sums);
}

/* Samples that a graph takes at once. The products keep a square of bf16 for each head; what the operation keeps, its
 * plan says. */
static int64_t chunk_of(struct fs_cuda *cuda, const struct fs_attention *op, enum graph graph)
{
    int64_t chunk = op->samples;
    if (graph == BACKWARD_PRODUCTS) {
        const int64_t most = FS_CUDA_SCRATCH_LIMIT / (op->heads * op->tokens * op->tokens * 2);
        chunk = most < 1 ? 1 : most < chunk ? most : chunk;
    }
    if (graph == BACKWARD_OPERATION) {
        const struct fs_cudnn_plan *plan = plan_of(cuda, op, graph, chunk);
        while (plan != NULL && plan->workspace > FS_CUDA_SCRATCH_LIMIT && chunk > 1) {
            chunk = (chunk + 1) / 2;
            plan = plan_of(cuda, op, graph, chunk);
        }
    }
    return chunk;
}

/* False when cuDNN refuses it, or on a fault: a refusal of the rest lets another way do all of it again. */
static bool run(struct fs_cuda *cuda, const struct fs_attention *op, enum graph graph)
{
    const int64_t chunk = chunk_of(cuda, op, graph);
    bool good = true;
    for (int64_t first = 0; good && first < op->samples; first += chunk) {
        const int64_t left = op->samples - first;
        const struct fs_attention part = fs_attention_part(op, first, left < chunk ? left : chunk);
        good = run_part(cuda, &part, graph);
    }
    return good;
}

bool fs_cudnn_attention(struct fs_cuda *cuda, const struct fs_attention *op, bool backward)
{
    if (cuda->cudnn == NULL || cuda->attention == FS_PATH_OWN || !fits(op->qkv) || !fits(op->out) ||
        (backward && (!fits(op->dqkv) || !fits(op->dout)))) {
        return false;
    }
    if (!backward) {
        return run(cuda, op, FORWARD);
    }
    return run(cuda, op, BACKWARD_OPERATION) || (cuda->fault.status == FS_OK && run(cuda, op, BACKWARD_PRODUCTS));
}

void fs_cudnn_attention_backward_way(struct fs_cuda *cuda, char *text, size_t size)
{
    const struct fs_attention_shape shape = {1, 256, 12, 64, 3 * 768, 768, 12, 3 * 768, 768}; /* dit-b/2's */
    char why[96];
    if (fs_cudnn_engines_for(cuda, describe_operation, (const int64_t *)&shape, false, why, sizeof why) > 0) {
        snprintf(text, size, "backward as one operation, where it takes that, else as products");
    } else {
        snprintf(text, size, "backward as products, since one operation is refused: %s", why);
    }
}
