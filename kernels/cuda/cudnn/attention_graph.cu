/* Forward is cuDNN's own operation, and backward, where it takes that (up to 9.20 it is refused in any graph). Else
 * backward is the pattern of products that cuDNN documents as fused attention:
 *   r = Σ dout·out, p = exp(scale·q·kᵀ − lse), dv = pᵀ·dout, ds = scale·p·(dout·vᵀ − r), dk = dsᵀ·q, dq = ds·k.
 * dq is a product of the whole row, and not added up in memory, so the same call gives the same bits. */
#include "kernels/cuda/cudnn/attention_graph.h"

struct layout {
    int64_t sizes[FS_CUDNN_RANK], strides[FS_CUDNN_RANK];
};

/* Heads of a matrix with a row for each token. */
static struct layout heads_of(const struct fs_attention_shape *s, int64_t stride, int64_t width)
{
    return {{s->samples, s->heads, s->tokens, width}, {s->tokens * stride, width, stride, 1}};
}

/* Rows × cols for each sample and head, dense. */
static struct layout dense(const struct fs_attention_shape *s, int64_t rows, int64_t cols)
{
    return {{s->samples, s->heads, rows, cols}, {s->heads * rows * cols, rows * cols, cols, 1}};
}

static struct layout transposed(struct layout of)
{
    const struct layout to = {{of.sizes[0], of.sizes[1], of.sizes[3], of.sizes[2]},
                              {of.strides[0], of.strides[1], of.strides[3], of.strides[2]}};
    return to;
}

static fs_cudnn_part make(struct fs_cudnn_graph *graph, int64_t id, cudnnDataType_t type, struct layout layout)
{
    return fs_cudnn_tensor(graph, id, type, layout.sizes, layout.strides);
}

static fs_cudnn_part lse_of(struct fs_cudnn_graph *graph, const struct fs_attention_shape *s)
{
    return make(graph, FS_ATTENTION_LSE, CUDNN_DATA_FLOAT, heads_of(s, s->lse_stride, 1));
}

bool fs_attention_graph_forward(struct fs_cudnn_graph *graph, const struct fs_attention_shape *s)
{
    const cudnnDataType_t bf16 = CUDNN_DATA_BFLOAT16;
    const struct layout in = heads_of(s, s->qkv_stride, s->head_width);
    const struct fs_cudnn_role roles[] = {
        {CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, make(graph, FS_ATTENTION_Q, bf16, in)},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, make(graph, FS_ATTENTION_K, bf16, in)},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, make(graph, FS_ATTENTION_V, bf16, in)},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC,
         make(graph, FS_ATTENTION_OUT, bf16, heads_of(s, s->out_stride, s->head_width))},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, fs_cudnn_scalar(graph, FS_ATTENTION_SCALE)},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, s->lse_stride > 0 ? lse_of(graph, s) : NULL}};
    fs_cudnn_operation(graph, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, "attention forward", roles, 6);
    return fs_cudnn_finish(graph);
}

/* The operation's descriptor came with 9.17: an older header does not know it, nor does the library then. */
bool fs_attention_graph_backward_operation(struct fs_cudnn_graph *graph, const struct fs_attention_shape *s)
{
#if CUDNN_VERSION >= 91700
    const cudnnDataType_t bf16 = CUDNN_DATA_BFLOAT16;
    const struct layout in = heads_of(s, s->qkv_stride, s->head_width), out = heads_of(s, s->out_stride, s->head_width),
                        dout = heads_of(s, s->dout_stride, s->head_width),
                        gradient = heads_of(s, s->dqkv_stride, s->head_width);
    const struct fs_cudnn_role roles[] = {
        {CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, make(graph, FS_ATTENTION_Q, bf16, in)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC, make(graph, FS_ATTENTION_K, bf16, in)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, make(graph, FS_ATTENTION_V, bf16, in)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC, make(graph, FS_ATTENTION_OUT, bf16, out)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, make(graph, FS_ATTENTION_DOUT, bf16, dout)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC, lse_of(graph, s)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC, fs_cudnn_scalar(graph, FS_ATTENTION_SCALE)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, make(graph, FS_ATTENTION_DQ, bf16, gradient)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, make(graph, FS_ATTENTION_DK, bf16, gradient)},
        {CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, make(graph, FS_ATTENTION_DV, bf16, gradient)}};
    fs_cudnn_operation(graph, CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR, "attention backward", roles, 10);
    return fs_cudnn_finish(graph);
#else
    (void)s;
    snprintf(graph->refusal, sizeof graph->refusal, "the build's cuDNN is older than 9.17");
    return false;
#endif
}

bool fs_attention_graph_backward_products(struct fs_cudnn_graph *graph, const struct fs_attention_shape *s)
{
    const cudnnDataType_t f32 = CUDNN_DATA_FLOAT, bf16 = CUDNN_DATA_BFLOAT16;
    const struct layout in = heads_of(s, s->qkv_stride, s->head_width),
                        gradient = heads_of(s, s->dqkv_stride, s->head_width), row = dense(s, s->tokens, 1),
                        square = dense(s, s->tokens, s->tokens), wide = dense(s, s->tokens, s->head_width);
    const fs_cudnn_part q = make(graph, FS_ATTENTION_Q, bf16, in),
                        k_columns = make(graph, FS_ATTENTION_K, bf16, transposed(in)),
                        v_columns = make(graph, FS_ATTENTION_V, bf16, transposed(in)), k = make(graph, 0, bf16, in),
                        out = make(graph, FS_ATTENTION_OUT, bf16, heads_of(s, s->out_stride, s->head_width)),
                        dout = make(graph, FS_ATTENTION_DOUT, bf16, heads_of(s, s->dout_stride, s->head_width)),
                        lse = lse_of(graph, s), scale = fs_cudnn_scalar(graph, FS_ATTENTION_SCALE);
    /* r = Σ dout·out, kept in memory as two chains of the pattern meet in it. */
    const fs_cudnn_part terms = make(graph, 0, f32, wide), sums = make(graph, 0, f32, row),
                        r = make(graph, FS_ATTENTION_ROW_SUMS, f32, row),
                        one = fs_cudnn_scalar(graph, FS_ATTENTION_ONE);
    fs_cudnn_pointwise(graph, CUDNN_POINTWISE_MUL, terms, dout, out);
    fs_cudnn_sum(graph, sums, terms);
    fs_cudnn_pointwise(graph, CUDNN_POINTWISE_MUL, r, sums, one);
    /* p = exp(scale·q·kᵀ − lse), dv = pᵀ·dout */
    const fs_cudnn_part s0 = make(graph, 0, f32, square), s1 = make(graph, 0, f32, square),
                        s2 = make(graph, 0, f32, square), p = make(graph, 0, f32, square),
                        p_columns = make(graph, 0, bf16, transposed(square)),
                        dv = make(graph, FS_ATTENTION_DV, bf16, gradient);
    fs_cudnn_multiply(graph, s0, q, k_columns);
    fs_cudnn_pointwise(graph, CUDNN_POINTWISE_MUL, s1, s0, scale);
    fs_cudnn_pointwise(graph, CUDNN_POINTWISE_SUB, s2, s1, lse);
    fs_cudnn_pointwise(graph, CUDNN_POINTWISE_EXP, p, s2, NULL);
    fs_cudnn_reshape(graph, p_columns, p);
    fs_cudnn_multiply(graph, dv, p_columns, dout);
    /* ds = scale·p·(dout·vᵀ − r), dk = dsᵀ·q, dq = ds·k */
    const fs_cudnn_part dp = make(graph, 0, f32, square), d1 = make(graph, 0, f32, square),
                        d2 = make(graph, 0, f32, square), ds = make(graph, 0, f32, square),
                        ds_columns = make(graph, 0, bf16, transposed(square)),
                        dk = make(graph, FS_ATTENTION_DK, bf16, gradient),
                        dq = make(graph, FS_ATTENTION_DQ, bf16, gradient);
    fs_cudnn_multiply(graph, dp, dout, v_columns);
    fs_cudnn_pointwise(graph, CUDNN_POINTWISE_SUB, d1, dp, r);
    fs_cudnn_pointwise(graph, CUDNN_POINTWISE_MUL, d2, d1, p);
    fs_cudnn_pointwise(graph, CUDNN_POINTWISE_MUL, ds, d2, scale);
    fs_cudnn_reshape(graph, ds_columns, ds);
    fs_cudnn_multiply(graph, dk, ds_columns, q);
    fs_cudnn_reshape(graph, k, k_columns);
    fs_cudnn_multiply(graph, dq, ds, k);
    return fs_cudnn_finish(graph);
}
