/* Linear layers: one product each with a fused epilogue where cuBLASLt has it, else a product into scratch memory and
 * a kernel behind it. A bias gradient that costs more in the epilogue than apart is made apart, where that was timed.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/timing.h"

/* Without an epilogue each product has an algorithm: its absence is a fault. */
static void plain_product(struct fs_cuda *cuda, struct fs_cuda_product product)
{
    product.epilogue = FS_EPILOGUE_NONE;
    if (!fs_gemm_product(cuda, &product) && cuda->fault.status == FS_OK) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: cuBLASLt has no algorithm for %lld × %lld", cuda->operation,
                (long long)product.out.rows, (long long)product.out.cols);
    }
}

static struct fs_cuda_product product_of(struct fs_view out, struct fs_view a, struct fs_view b)
{
    struct fs_cuda_product product = {};
    product.out = fs_matrices_of(out);
    product.a = fs_matrices_of(a);
    product.b = fs_matrices_of(b);
    product.batch = 1;
    product.alpha = 1;
    return product;
}

/* --- forward --- */

/* cuBLASLt takes a bias of the output's type; a bf16 one is rounded first, by less than the output will be. */
static void *bias_like(struct fs_cuda *cuda, struct fs_view bias, struct fs_view y)
{
    if (bias.data == NULL || y.type == FS_F32) {
        return bias.data;
    }
    void *memory = fs_cuda_scratch(cuda, (size_t)bias.cols * fs_type_size(FS_BF16));
    if (memory != NULL) {
        fs_cuda_finish_linear(cuda, fs_view(memory, FS_BF16, 1, bias.cols), fs_no_view(), bias, fs_no_view(), false);
    }
    return memory;
}

static bool fused_forward(struct fs_cuda *cuda, struct fs_view y, struct fs_view x, struct fs_view w,
                          struct fs_view bias, bool gelu, struct fs_view pre)
{
    if ((x.type == FS_F32 && y.type == FS_BF16) || (pre.data != NULL && pre.type != y.type)) {
        return false;
    }
    struct fs_cuda_product product = product_of(y, x, w);
    product.transpose_b = true;
    product.bias = bias_like(cuda, bias, y);
    product.aux = pre;
    product.epilogue = gelu ? FS_EPILOGUE_GELU : bias.data != NULL ? FS_EPILOGUE_BIAS : FS_EPILOGUE_NONE;
    return cuda->fault.status == FS_OK && fs_gemm_product(cuda, &product);
}

static void linear_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                           struct fs_view bias, enum fs_activation activation, struct fs_view pre)
{
    const bool gelu = activation == FS_GELU;
    const struct fs_view kept = gelu ? pre : fs_no_view();
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "linear_forward", fs_linear_forward_fits(backend, y, x, w, bias, activation, pre));
    if (cuda == NULL || fused_forward(cuda, y, x, w, bias, gelu, kept) || cuda->fault.status != FS_OK) {
        return;
    }
    void *memory = fs_cuda_scratch(cuda, (size_t)(y.rows * y.cols) * sizeof(float));
    if (memory != NULL) {
        const struct fs_view z = fs_view(memory, FS_F32, y.rows, y.cols);
        struct fs_cuda_product product = product_of(z, x, w);
        product.transpose_b = true;
        plain_product(cuda, product);
        fs_cuda_finish_linear(cuda, y, kept, z, bias, gelu);
    }
}

/* --- backward --- */

static void input_gradient(struct fs_cuda *cuda, struct fs_view dx, struct fs_view dy, struct fs_view w,
                           struct fs_view pre)
{
    const bool types_fit = (dy.type == FS_BF16 || dx.type == FS_F32) && (pre.data == NULL || pre.type == dx.type);
    struct fs_cuda_product product = product_of(dx, dy, w);
    product.aux = pre;
    product.epilogue = pre.data != NULL ? FS_EPILOGUE_GELU_SLOPE : FS_EPILOGUE_NONE;
    if ((types_fit && fs_gemm_product(cuda, &product)) || cuda->fault.status != FS_OK) {
        return;
    }
    void *memory = fs_cuda_scratch(cuda, (size_t)(dx.rows * dx.cols) * sizeof(float));
    if (memory != NULL) {
        const struct fs_view dz = fs_view(memory, FS_F32, dx.rows, dx.cols);
        plain_product(cuda, product_of(dz, dy, w));
        fs_cuda_finish_gradient(cuda, dx, dz, pre);
    }
}

static struct fs_cuda_product weight_product(struct fs_view dw, struct fs_view dy, struct fs_view x)
{
    struct fs_cuda_product product = product_of(dw, dy, x);
    product.transpose_a = true;
    product.accumulate = true;
    return product;
}

/* Both gradients by one product, whose epilogue sums what it reads of dy; false where cuBLASLt has none. */
static bool bias_in_epilogue(struct fs_cuda *cuda, struct fs_view dw, struct fs_view dbias, struct fs_view dy,
                             struct fs_view x)
{
    struct fs_cuda_product product = weight_product(dw, dy, x);
    product.bias = fs_cuda_scratch(cuda, (size_t)dy.cols * sizeof(float));
    product.epilogue = FS_EPILOGUE_COLUMN_SUMS;
    if (product.bias == NULL || !fs_gemm_product(cuda, &product)) {
        return false;
    }
    /* The epilogue overwrites; our gradients add up. */
    fs_cuda_add_column_sums(cuda, dbias, fs_view(product.bias, FS_F32, 1, dy.cols));
    return true;
}

/* By a product without the epilogue, which may be a faster one, and a pass over dy; false where cuBLASLt has none. */
static bool bias_apart(struct fs_cuda *cuda, struct fs_view dw, struct fs_view dbias, struct fs_view dy,
                       struct fs_view x)
{
    const struct fs_cuda_product product = weight_product(dw, dy, x);
    if (!fs_gemm_product(cuda, &product)) {
        return false;
    }
    fs_cuda_add_column_sums(cuda, dbias, dy);
    return true;
}

/* Whether the first of the two is to be tried: it is the default, and where products are timed, the faster one. */
static bool epilogue_is_faster(struct fs_cuda *cuda, struct fs_view dw, struct fs_view dbias, struct fs_view dy,
                               struct fs_view x)
{
    const int64_t key[] = {dy.rows,   dy.cols,  x.cols,           dw.stride,
                           dy.stride, x.stride, (int64_t)dy.type, (int64_t)cuda->tf32};
    const int numbers = sizeof key / sizeof *key;
    int way;
    if (!fs_cuda_knows_way(cuda, "bias-gradients", key, numbers, 2, &way)) {
        /* What is timed adds to memory that nobody reads, aligned as the gradient is. */
        const size_t past = (uintptr_t)dw.data % 256,
                     weights = (size_t)((dw.rows - 1) * dw.stride + dw.cols) * sizeof(float);
        struct fs_view spare = dw;
        void *memory;
        if (cudaMalloc(&memory, past + weights + (size_t)dbias.cols * sizeof(float)) == cudaSuccess) {
            spare.data = (char *)memory + past;
            const struct fs_view spare_bias = fs_view((char *)spare.data + weights, FS_F32, 1, dbias.cols);
            way = fs_cuda_fastest(cuda, 2, [&](int which) {
                return (which == 0 ? bias_in_epilogue : bias_apart)(cuda, spare, spare_bias, dy, x);
            });
            cudaFree(memory);
        } else {
            (void)cudaGetLastError();
        }
        fs_cuda_keep_way(cuda, "bias-gradients", key, numbers, 2, &way);
    }
    return way == 0;
}

static void weight_gradient(struct fs_cuda *cuda, struct fs_view dw, struct fs_view dbias, struct fs_view dy,
                            struct fs_view x)
{
    if (dbias.data == NULL) {
        plain_product(cuda, weight_product(dw, dy, x));
    } else if (!epilogue_is_faster(cuda, dw, dbias, dy, x) || !bias_in_epilogue(cuda, dw, dbias, dy, x)) {
        plain_product(cuda, weight_product(dw, dy, x));
        fs_cuda_add_column_sums(cuda, dbias, dy);
    }
}

static void linear_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dw, struct fs_view dbias,
                            struct fs_view dy, struct fs_view x, struct fs_view w, struct fs_view pre)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "linear_backward", fs_linear_backward_fits(backend, dx, dw, dbias, dy, x, w, pre));
    if (cuda == NULL) {
        return;
    }
    if (dx.data != NULL) {
        input_gradient(cuda, dx, dy, w, pre);
    }
    if (dw.data != NULL) {
        weight_gradient(cuda, dw, dbias, dy, x);
    } else if (dbias.data != NULL) {
        fs_cuda_add_column_sums(cuda, dbias, dy);
    }
}

void fs_cuda_install_linear(struct fs_backend *backend)
{
    backend->linear_forward = FS_TOLD(linear_forward);
    backend->linear_backward = FS_TOLD(linear_backward);
}
