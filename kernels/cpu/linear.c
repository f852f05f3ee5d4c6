/* Linear layers: the product by oneDNN, activation and bias gradient by our own loops. bf16 operands go into the
 * product as they are where the CPU multiplies bf16, and are widened to float32 elsewhere. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/onednn.h"

static struct fs_operand operand(struct fs_view view)
{
    return (struct fs_operand){view.data, view.type, view.stride, 1};
}

static struct fs_operand transposed(struct fs_view view)
{
    return (struct fs_operand){view.data, view.type, 1, view.stride};
}

static size_t floats_of(struct fs_view view)
{
    return (size_t)((view.rows * view.cols + 15) / 16 * 16);
}

/* Takes a dense float32 view of the shape of `like` from scratch memory. */
static struct fs_view take(float **memory, struct fs_view like)
{
    const struct fs_view view = fs_view(*memory, FS_F32, like.rows, like.cols);
    *memory += floats_of(like);
    return view;
}

static struct fs_view widened(struct fs_backend *backend, float **memory, struct fs_view view)
{
    const struct fs_view wide = take(memory, view);
    backend->copy(backend, wide, view);
    return wide;
}

static void multiply(struct fs_cpu *cpu, const struct fs_product *product)
{
    if (cpu->fault.status == FS_OK) {
        fs_onednn_product(cpu->onednn, product, &cpu->fault);
    }
}

static void linear_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                           struct fs_view bias, enum fs_activation activation, struct fs_view pre)
{
    const bool gelu = activation == FS_GELU, keep = gelu && pre.data != NULL;
    struct fs_cpu *cpu =
        fs_cpu_begin(backend, "linear_forward", fs_linear_forward_fits(backend, y, x, w, bias, activation, pre));
    if (cpu == NULL) {
        return;
    }
    const struct fs_view z = keep ? pre : y;
    const bool widen = x.type == FS_BF16 && !backend->native_bf16;
    const bool narrow = z.type == FS_BF16 && (widen || x.type == FS_F32);
    /* oneDNN's own GELU is slow without AVX-512; and it leaves no z. */
    const bool fused = gelu && !keep && cpu->isa == FS_ISA_AVX512;
    float *memory = NULL;
    if (widen || narrow) {
        const size_t floats = (widen ? floats_of(x) + floats_of(w) : 0) + (narrow ? floats_of(z) : 0);
        memory = fs_cpu_scratch(cpu, "linear_forward", floats * sizeof *memory);
        if (memory == NULL) {
            return;
        }
    }
    if (widen) {
        x = widened(backend, &memory, x);
        w = widened(backend, &memory, w);
    }
    const struct fs_view result = narrow ? take(&memory, z) : z;
    multiply(cpu, &(struct fs_product){.m = x.rows,
                                       .n = w.rows,
                                       .k = x.cols,
                                       .a = operand(x),
                                       .b = transposed(w),
                                       .c = operand(result),
                                       .bias = bias.data,
                                       .gelu = fused});
    if (narrow) {
        backend->copy(backend, z, result);
    }
    if (gelu && !fused) {
        cpu->gelu_forward(cpu, y, result);
    }
}

struct linear_gradient {
    struct fs_view dx, dw, dbias, dy, x, w, pre;
};

/* Everything here is in types that the product takes; dx may have to be narrowed through `wide_dx`. */
static void linear_gradients(struct fs_backend *backend, struct fs_cpu *cpu, const struct linear_gradient *op,
                             struct fs_view wide_dx, float *partial)
{
    if (op->dx.data != NULL) {
        const struct fs_view dx = wide_dx.data != NULL ? wide_dx : op->dx;
        multiply(cpu, &(struct fs_product){.m = op->dy.rows,
                                           .n = op->w.cols,
                                           .k = op->w.rows,
                                           .a = operand(op->dy),
                                           .b = operand(op->w),
                                           .c = operand(dx)});
        if (op->pre.data != NULL) {
            cpu->gelu_gradient(cpu, dx, dx, op->pre);
        }
        if (wide_dx.data != NULL) {
            backend->copy(backend, op->dx, wide_dx);
        }
    }
    if (op->dw.data != NULL) {
        multiply(cpu, &(struct fs_product){.m = op->w.rows,
                                           .n = op->w.cols,
                                           .k = op->dy.rows,
                                           .a = transposed(op->dy),
                                           .b = operand(op->x),
                                           .c = operand(op->dw),
                                           .accumulate = true});
    }
    if (op->dbias.data != NULL) {
        cpu->column_sums(cpu, op->dbias, op->dy, partial);
    }
}

static void linear_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dw, struct fs_view dbias,
                            struct fs_view dy, struct fs_view x, struct fs_view w, struct fs_view pre)
{
    struct linear_gradient op = {dx, dw, dbias, dy, x, w, pre};
    struct fs_cpu *cpu =
        fs_cpu_begin(backend, "linear_backward", fs_linear_backward_fits(backend, dx, dw, dbias, dy, x, w, pre));
    if (cpu == NULL) {
        return;
    }
    const bool widen = x.type == FS_BF16 && !backend->native_bf16;
    const bool narrow = dx.data != NULL && dx.type == FS_BF16 && (widen || x.type == FS_F32);
    const size_t floats = (widen ? floats_of(dy) + floats_of(x) + floats_of(w) : 0) + (narrow ? floats_of(dx) : 0) +
                          (size_t)(fs_column_chunks(dy.rows) * dy.cols);
    float *memory = fs_cpu_scratch(cpu, "linear_backward", floats * sizeof *memory);
    if (memory == NULL) {
        return;
    }
    if (widen) {
        op.dy = widened(backend, &memory, dy);
        op.x = widened(backend, &memory, x);
        op.w = widened(backend, &memory, w);
    }
    const struct fs_view wide_dx = narrow ? take(&memory, dx) : fs_no_view();
    linear_gradients(backend, cpu, &op, wide_dx, memory);
}

void fs_cpu_install_linear(struct fs_backend *backend)
{
    backend->linear_forward = linear_forward;
    backend->linear_backward = linear_backward;
}
