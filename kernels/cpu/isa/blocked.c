/* The hot loops of blocked.h. A vector is a part of a block: lanes are channels, and the loops run over pixels. */
#include "kernels/cpu/isa/vector.h"

/* Block `index` of an image, from pixel `first` on. */
static struct span block_of(struct fs_blocked x, int64_t index, int64_t first)
{
    const size_t at = (size_t)((index * x.pixels + first) * x.block);
    return (struct span){(char *)x.data + at * fs_type_size(x.type), x.type == FS_BF16};
}

static int64_t blocks_of(struct fs_blocked x)
{
    return (x.channels + x.block - 1) / x.block;
}

static int64_t chunks_of(struct fs_blocked x)
{
    return (x.pixels + FS_BLOCKED_CHUNK - 1) / FS_BLOCKED_CHUNK;
}

static int64_t pixels_of(struct fs_blocked x, int64_t chunk)
{
    const int64_t rest = x.pixels - chunk * FS_BLOCKED_CHUNK;
    return rest < FS_BLOCKED_CHUNK ? rest : FS_BLOCKED_CHUNK;
}

/* From one vector of a block to the next. */
static int64_t step_of(struct fs_blocked x)
{
    return x.block < FS_WIDTH ? x.block : FS_WIDTH;
}

/* --- group norm --- */

/* The mean of a channel over its group's channels c and chunks k of n_k pixels each, from the chunks' means m_kc and
 * sums of squares around them, s_kc = Σ (x − m_kc)²:
 *
 *     mean = Σ n_k·m_kc / Σ n_k,    Σ (x − mean)² = Σ (s_kc + n_k·(m_kc − mean)²),
 *
 * since Σ (x − m_kc) = 0 in each chunk (Chan, Golub & LeVeque 1983). So the image is read once, and no small difference
 * of large sums is taken. */

struct norm {
    struct fs_blocked y, x;
    const struct fs_blocked_norm *of;
    float *means, *squares; /* [chunks, blocks · block] */
    float *mean, *inverse;  /* [blocks · block], a channel's those of its group; inverse: 1/√(var + ε) */
    int64_t lanes;          /* blocks · block */
};

static struct span floats_at(const float *data, int64_t index)
{
    return (struct span){(char *)(uintptr_t)(data + index), false};
}

static void sum_chunk(const struct norm *op, int64_t index, int64_t chunk)
{
    const int64_t block = op->x.block, count = pixels_of(op->x, chunk);
    const struct span from = block_of(op->x, index, chunk * FS_BLOCKED_CHUNK);
    const struct span means = floats_at(op->means, chunk * op->lanes + index * block),
                      squares = floats_at(op->squares, chunk * op->lanes + index * block);
    for (int64_t j = 0; j < block; j += step_of(op->x)) {
        vf sum = {0}, square = {0};
        for (int64_t p = 0; p < count; p++) {
            sum += span_load(from, p * block + j, block - j);
        }
        const vf mean = sum / (float)count;
        for (int64_t p = 0; p < count; p++) {
            const vf centred = span_load(from, p * block + j, block - j) - mean;
            square = vf_fma(centred, centred, square);
        }
        span_store(means, j, block - j, mean);
        span_store(squares, j, block - j, square);
    }
}

static void finish_group(const struct norm *op, int64_t group)
{
    const int64_t width = op->x.channels / op->of->groups, first = group * width, chunks = chunks_of(op->x);
    const double count = (double)(op->x.pixels * width);
    double mean = 0, squares = 0;
    for (int64_t k = 0; k < chunks; k++) {
        for (int64_t c = first; c < first + width; c++) {
            mean += (double)pixels_of(op->x, k) * (double)op->means[k * op->lanes + c];
        }
    }
    mean /= count;
    for (int64_t k = 0; k < chunks; k++) {
        for (int64_t c = first; c < first + width; c++) {
            const double off = (double)op->means[k * op->lanes + c] - mean;
            squares += (double)op->squares[k * op->lanes + c] + (double)pixels_of(op->x, k) * off * off;
        }
    }
    for (int64_t c = first; c < first + width; c++) {
        op->mean[c] = (float)mean;
        op->inverse[c] = (float)(1 / __builtin_sqrt(squares / count + op->of->epsilon));
    }
}

static void normalise_chunk(const struct norm *op, int64_t index, int64_t chunk)
{
    const int64_t block = op->x.block, count = pixels_of(op->x, chunk);
    const struct span from = block_of(op->x, index, chunk * FS_BLOCKED_CHUNK),
                      to = block_of(op->y, index, chunk * FS_BLOCKED_CHUNK);
    for (int64_t j = 0; j < block; j += step_of(op->x)) {
        const int64_t n = block - j;
        const vf mean = span_load(floats_at(op->mean, index * block), j, n),
                 shift = span_load(floats_at(op->of->beta, index * block), j, n),
                 scale = span_load(floats_at(op->inverse, index * block), j, n) *
                         span_load(floats_at(op->of->gamma, index * block), j, n);
        for (int64_t p = 0; p < count; p++) {
            vf v = vf_fma(span_load(from, p * block + j, n) - mean, scale, shift);
            if (op->of->silu) {
                v *= vf_sigmoid(v);
            }
            span_store(to, p * block + j, n, v);
        }
    }
}

static void norm(const struct fs_cpu *cpu, struct fs_blocked y, struct fs_blocked x, const struct fs_blocked_norm *of)
{
    const int64_t blocks = blocks_of(x), chunks = chunks_of(x), lanes = blocks * x.block;
    const struct norm op = {.y = y,
                            .x = x,
                            .of = of,
                            .mean = of->memory,
                            .inverse = of->memory + lanes,
                            .means = of->memory + 2 * lanes,
                            .squares = of->memory + (2 + chunks) * lanes,
                            .lanes = lanes};
    memset(of->memory, 0, (size_t)(2 * lanes) * sizeof *of->memory);
#pragma omp parallel num_threads(cpu->threads)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < blocks * chunks; i++) {
            sum_chunk(&op, i / chunks, i % chunks);
        }
#pragma omp for schedule(static)
        for (int64_t group = 0; group < of->groups; group++) {
            finish_group(&op, group);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < blocks * chunks; i++) {
            normalise_chunk(&op, i / chunks, i % chunks);
        }
    }
}

/* --- twice as high and wide --- */

static void upsample_row(struct fs_blocked y, struct fs_blocked x, int64_t index, int64_t row, int64_t width)
{
    const size_t pixel = (size_t)x.block * fs_type_size(x.type), line = 2 * (size_t)width * pixel;
    const char *from = block_of(x, index, row * width).data;
    char *to = block_of(y, index, 4 * row * width).data;
    for (int64_t i = 0; i < width; i++) {
        memcpy(to + (size_t)(2 * i) * pixel, from + (size_t)i * pixel, pixel);
        memcpy(to + (size_t)(2 * i + 1) * pixel, from + (size_t)i * pixel, pixel);
    }
    memcpy(to + line, to, line);
}

static void upsample(const struct fs_cpu *cpu, struct fs_blocked y, struct fs_blocked x, int64_t height, int64_t width)
{
    const int64_t blocks = blocks_of(x);
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < blocks * height; i++) {
        upsample_row(y, x, i / height, i % height, width);
    }
}

/* --- a row for each pixel --- */

static void to_rows(const struct fs_cpu *cpu, struct fs_view rows, struct fs_blocked x)
{
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t p = 0; p < x.pixels; p++) {
        const struct span to = span_of(rows, p, 0);
        for (int64_t j = 0; j < x.channels; j += step_of(x)) {
            const int64_t left = x.block - j % x.block, n = left < x.channels - j ? left : x.channels - j;
            span_store(to, j, n, span_load(block_of(x, j / x.block, p), j % x.block, n));
        }
    }
}

static void from_rows(const struct fs_cpu *cpu, struct fs_blocked x, struct fs_view rows)
{
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t p = 0; p < x.pixels; p++) {
        const struct span from = span_of(rows, p, 0);
        for (int64_t j = 0; j < blocks_of(x) * x.block; j += step_of(x)) {
            const int64_t left = x.channels - j, room = x.block - j % x.block;
            const vf v = left > 0 ? span_load(from, j, left < room ? left : room) : vf_all(0);
            span_store(block_of(x, j / x.block, p), j % x.block, room, v);
        }
    }
}

/* --- softmax --- */

static void softmax_row(float *row, int64_t count, float scale)
{
    const struct span all = {(char *)row, false};
    vf largest = vf_all(-3.4e38f), sum = {0};
    const vi lanes = vi_lanes();
    for (int64_t j = 0; j < count; j += FS_WIDTH) {
        const vi inside = lanes < (int32_t)(count - j);
        largest = vf_max(largest, vf_select(inside, span_load(all, j, count - j), vf_all(-3.4e38f)));
    }
    const float top = vf_largest(largest);
    for (int64_t j = 0; j < count; j += FS_WIDTH) {
        const vi inside = lanes < (int32_t)(count - j);
        const vf p = vf_select(inside, vf_exp(scale * (span_load(all, j, count - j) - top)), vf_all(0));
        sum += p;
        span_store(all, j, count - j, p);
    }
    const float inverse = 1 / vf_sum(sum);
    for (int64_t j = 0; j < count; j += FS_WIDTH) {
        span_store(all, j, count - j, inverse * span_load(all, j, count - j));
    }
}

static void softmax(const struct fs_cpu *cpu, struct fs_view rows, float scale)
{
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < rows.rows; i++) {
        softmax_row((float *)rows.data + i * rows.stride, rows.cols, scale);
    }
}

void FS_ISA_NAME(fs_install_blocked)(struct fs_backend *backend)
{
    struct fs_cpu *cpu = backend->state;
    cpu->blocked = (struct fs_blocked_loops){norm, upsample, to_rows, from_rows, softmax};
}
