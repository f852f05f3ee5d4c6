/* Linear layers: one product each with a fused epilogue where cuBLASLt has it, else a product into scratch memory and
 * a kernel behind it. */
#include "kernels/cuda/cuda.h"

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

static void weight_gradient(struct fs_cuda *cuda, struct fs_view dw, struct fs_view dbias, struct fs_view dy,
                            struct fs_view x)
{
    struct fs_cuda_product product = product_of(dw, dy, x);
    product.transpose_a = true;
    product.accumulate = true;
    if (dbias.data != NULL) {
        /* The epilogue overwrites; our gradients add up. */
        product.bias = fs_cuda_scratch(cuda, (size_t)dy.cols * sizeof(float));
        product.epilogue = FS_EPILOGUE_COLUMN_SUMS;
        if (product.bias == NULL) {
            return;
        }
        if (fs_gemm_product(cuda, &product)) {
            fs_cuda_add_column_sums(cuda, dbias, fs_view(product.bias, FS_F32, 1, dy.cols));
            return;
        }
    }
    plain_product(cuda, product);
    if (dbias.data != NULL) {
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
