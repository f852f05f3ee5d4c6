/* Linear layers: the products by oneDNN, activation and bias gradient by our own loops. bf16 operands go into the
 * product as they are where the CPU multiplies bf16, and are widened to float32 elsewhere.
 *
 * Threads are shared out here and not in oneDNN: each multiplies parts of its own, so that an activation follows its
 * product while the part is still in the cache, and a layer is one parallel region. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/onednn.h"

#include <omp.h>

#define PART_ROWS 256 /* of a product that an activation follows: a few hundred KB */
#define LEAST_ROWS 32 /* of a part: with fewer rows, columns are shared out */
#define ALIGNED_ROWS 16

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

/* --- a product in parts --- */

struct split {
    bool by_rows; /* of the result; else by its columns */
    int64_t count, parts;
};

/* The same number of parts for each thread, of nearly the same size; with `small` of few rows. */
static struct split split_of(const struct fs_cpu *cpu, const struct fs_product *p, bool small)
{
    const bool by_rows = p->m >= (int64_t)LEAST_ROWS * cpu->threads || p->m >= p->n;
    const int64_t count = by_rows ? p->m : p->n, each = count / ((int64_t)PART_ROWS * cpu->threads);
    return (struct split){by_rows, count, cpu->threads * (small && by_rows && each > 1 ? each : 1)};
}

/* Where part `index` begins. */
static int64_t begin_of(const struct split *split, int64_t index)
{
    const int64_t at = split->count * index / split->parts;
    return index == split->parts ? split->count : at / ALIGNED_ROWS * ALIGNED_ROWS;
}

static void *moved(struct fs_operand operand, int64_t rows, int64_t cols)
{
    return (char *)operand.data + (size_t)(rows * operand.row + cols * operand.col) * fs_type_size(operand.type);
}

/* Part `index`, by the calling thread of a parallel region; a failure goes to its own `error`. */
static void multiply_part(const struct fs_cpu *cpu, const struct fs_product *whole, const struct split *split,
                          int64_t index, struct fs_error *error)
{
    const int64_t first = begin_of(split, index), count = begin_of(split, index + 1) - first;
    struct fs_product part = *whole;
    if (count == 0 || error->status != FS_OK) {
        return;
    }
    if (split->by_rows) {
        part.m = count;
        part.a.data = moved(whole->a, first, 0);
        part.c.data = moved(whole->c, first, 0);
    } else {
        part.n = count;
        part.b.data = moved(whole->b, 0, first);
        part.c.data = moved(whole->c, 0, first);
        part.bias = whole->bias != NULL ? whole->bias + first : NULL;
    }
    fs_onednn_product(cpu->workers[omp_get_thread_num()], &part, error);
}

static struct fs_view rows_of_part(struct fs_view view, const struct split *split, int64_t index)
{
    const int64_t first = begin_of(split, index);
    return fs_view_rows(view, first, begin_of(split, index + 1) - first);
}

/* Each thread's failure to the backend's. */
static void join_fault(struct fs_cpu *cpu, const struct fs_error *error)
{
    if (error->status != FS_OK) {
#pragma omp critical(fs_linear_fault)
        cpu->fault = *error;
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
    const struct fs_product product = {.m = x.rows,
                                       .n = w.rows,
                                       .k = x.cols,
                                       .a = operand(x),
                                       .b = transposed(w),
                                       .c = operand(result),
                                       .bias = bias.data,
                                       .gelu = fused};
    const struct split split = split_of(cpu, &product, gelu && !fused);
    const bool follows = gelu && !fused && !narrow && split.by_rows; /* each part of the product */
#pragma omp parallel num_threads(cpu->threads)
    {
        struct fs_error error = {.status = FS_OK};
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < split.parts; i++) {
            multiply_part(cpu, &product, &split, i, &error);
            if (follows) {
                cpu->gelu_forward(cpu, rows_of_part(y, &split, i), rows_of_part(result, &split, i));
            }
        }
        join_fault(cpu, &error);
    }
    if (narrow) {
        backend->copy(backend, z, result);
    }
    if (gelu && !fused && !follows) {
        cpu->gelu_forward(cpu, y, result);
    }
}

struct linear_gradient {
    struct fs_view dx, dw, dbias, dy, x, w, pre;
};

/* The two products and the column sums in one region; nothing of it waits for the rest. */
static void gradient_parts(struct fs_cpu *cpu, const struct linear_gradient *op, struct fs_view dx, float *partial)
{
    const struct fs_product inputs = {.m = op->dy.rows,
                                      .n = op->w.cols,
                                      .k = op->w.rows,
                                      .a = operand(op->dy),
                                      .b = operand(op->w),
                                      .c = operand(dx)};
    const struct fs_product weights = {.m = op->w.rows,
                                       .n = op->w.cols,
                                       .k = op->dy.rows,
                                       .a = transposed(op->dy),
                                       .b = operand(op->x),
                                       .c = operand(op->dw),
                                       .accumulate = true};
    const bool gelu = dx.data != NULL && op->pre.data != NULL;
    const struct split of_inputs = split_of(cpu, &inputs, gelu), of_weights = split_of(cpu, &weights, false);
    const int64_t chunks = op->dbias.data != NULL ? fs_column_chunks(op->dy.rows) : 0;
    const bool follows = gelu && of_inputs.by_rows;
#pragma omp parallel num_threads(cpu->threads)
    {
        struct fs_error error = {.status = FS_OK};
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < (dx.data != NULL ? of_inputs.parts : 0); i++) {
            multiply_part(cpu, &inputs, &of_inputs, i, &error);
            if (follows) {
                const struct fs_view part = rows_of_part(dx, &of_inputs, i);
                cpu->gelu_gradient(cpu, part, part, rows_of_part(op->pre, &of_inputs, i));
            }
        }
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < (op->dw.data != NULL ? of_weights.parts : 0); i++) {
            multiply_part(cpu, &weights, &of_weights, i, &error);
        }
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < chunks; i++) {
            const int64_t first = i * FS_COLUMN_CHUNK, last = first + FS_COLUMN_CHUNK;
            cpu->column_sums(partial + i * op->dy.cols, op->dy, first, last < op->dy.rows ? last : op->dy.rows);
        }
        join_fault(cpu, &error);
    }
    if (gelu && !follows) {
        cpu->gelu_gradient(cpu, dx, dx, op->pre);
    }
    for (int64_t i = 0; i < chunks; i++) {
        for (int64_t j = 0; j < op->dy.cols; j++) {
            ((float *)op->dbias.data)[j] += partial[i * op->dy.cols + j];
        }
    }
}

/* Everything here is in types that the product takes; dx may have to be narrowed through `wide_dx`. */
static void linear_gradients(struct fs_backend *backend, struct fs_cpu *cpu, const struct linear_gradient *op,
                             struct fs_view wide_dx, float *partial)
{
    gradient_parts(cpu, op, wide_dx.data != NULL ? wide_dx : op->dx, partial);
    if (wide_dx.data != NULL) {
        backend->copy(backend, op->dx, wide_dx);
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
