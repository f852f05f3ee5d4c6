/* Separable resizing of NHWC images: a thread takes a whole image, its rows first, then the columns. Never a fused
 * multiply-add: the same bits on each instruction set. */
#include "kernels/cpu/isa/vector.h"

#include <omp.h>

struct resize {
    struct fs_view y, x;
    const struct fs_resize_side *vertical, *horizontal;
    int64_t channels, in_row, out_row; /* a row: so many numbers */
    struct fs_resize_scale scale;
};

/* One row: in [horizontal->in, channels] to out [horizontal->out, channels]. */
static void resize_row(const struct resize *op, const float *in, float *out)
{
    const struct fs_resize_side *side = op->horizontal;
    const int64_t channels = op->channels;
    for (int64_t i = 0; i < side->out; i++) {
        const float *weights = side->weights + i * side->taps, *from = in + side->first[i] * channels;
        for (int64_t c = 0; c < channels; c++) {
            float sum = 0;
            for (int64_t k = 0; k < side->taps; k++) {
                sum += weights[k] * from[k * channels + c];
            }
            out[i * channels + c] = sum;
        }
    }
}

FS_INLINE vf scaled(vf v, struct fs_resize_scale scale)
{
    v = vf_select(v < scale.low, vf_all(scale.low), v);
    v = vf_select(v > scale.high, vf_all(scale.high), v);
    return v * scale.gain + scale.offset;
}

/* Row i of the result from the rows that are as wide as it. */
static void resize_columns(const struct resize *op, const float *rows, int64_t i, struct span to)
{
    const int64_t taps = op->vertical->taps, length = op->out_row;
    const float *weights = op->vertical->weights + i * taps;
    const float *from = rows + op->vertical->first[i] * length;
    for (int64_t j = 0; j < length; j += FS_WIDTH) {
        vf sum = {0};
        for (int64_t k = 0; k < taps; k++) {
            const struct span row = {(char *)(from + k * length), false};
            sum += weights[k] * span_load(row, j, length - j);
        }
        span_store(to, j, length - j, scaled(sum, op->scale));
    }
}

/* memory: room for a row of the image, and for as many rows as it has, each as wide as the result. */
static void resize_image(const struct resize *op, int64_t b, float *memory)
{
    const struct span row = {(char *)memory, false};
    float *rows = memory + op->in_row;
    for (int64_t i = 0; i < op->vertical->in; i++) {
        struct span from = span_of(op->x, b, i * op->in_row);
        for (int64_t j = 0; from.half && j < op->in_row; j += FS_WIDTH) {
            span_store(row, j, op->in_row - j, span_load(from, j, op->in_row - j));
        }
        from = from.half ? row : from;
        resize_row(op, (const float *)(const void *)from.data, rows + i * op->out_row);
    }
    for (int64_t i = 0; i < op->vertical->out; i++) {
        resize_columns(op, rows, i, span_of(op->y, b, i * op->out_row));
    }
}

static void resize_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x,
                           const struct fs_resize_side *vertical, const struct fs_resize_side *horizontal,
                           int64_t channels, const struct fs_resize_scale *scale)
{
    struct fs_cpu *cpu =
        fs_cpu_begin(backend, "resize_forward", fs_resize_forward_fits(backend, y, x, vertical, horizontal, channels));
    if (cpu == NULL) {
        return;
    }
    const struct resize op = {
        y, x, vertical, horizontal, channels, horizontal->in * channels, horizontal->out * channels, *scale};
    const int64_t floats = (op.in_row + vertical->in * op.out_row + 15) / 16 * 16;
    float *memory = fs_cpu_scratch(cpu, "resize_forward", (size_t)(cpu->threads * floats) * sizeof *memory);
    if (memory == NULL) {
        return;
    }
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t b = 0; b < x.rows; b++) {
        resize_image(&op, b, memory + omp_get_thread_num() * floats);
    }
}

void FS_ISA_NAME(fs_install_resize)(struct fs_backend *backend)
{
    backend->resize_forward = resize_forward;
}
