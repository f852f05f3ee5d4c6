/* Group norm over NHWC images. Sums are taken by channel over chunks of a fixed number of pixels, then over the chunks
 * and channels of a group in order, so that they do not depend on the number of threads; first the mean, then the
 * squares around it. */
#include "kernels/cpu/isa/vector.h"

#define PIXELS_A_CHUNK 64

struct group_norm {
    struct fs_view y, x, gamma, beta;
    int64_t channels, groups, pixels, chunks;
    double epsilon;
    bool silu;
    float *partial;        /* [B · chunks, channels] */
    float *mean, *inverse; /* [B, channels], a channel's those of its group; inverse: 1/√(var + ε) */
};

static struct span floats_of(float *rows, int64_t row, int64_t cols)
{
    return (struct span){(char *)(rows + row * cols), false};
}

/* A chunk's sums of x, or, once there is a mean, of (x − mean)². */
static void sum_chunk(const struct group_norm *op, int64_t chunk, bool squares)
{
    const int64_t channels = op->channels, b = chunk / op->chunks, first = chunk % op->chunks * PIXELS_A_CHUNK;
    const int64_t end = first + PIXELS_A_CHUNK < op->pixels ? first + PIXELS_A_CHUNK : op->pixels;
    const struct span sums = floats_of(op->partial, chunk, channels), mean = floats_of(op->mean, b, channels);
    memset(sums.data, 0, (size_t)channels * sizeof(float));
    for (int64_t pixel = first; pixel < end; pixel++) {
        const struct span from = span_of(op->x, b, pixel * channels);
        for (int64_t j = 0; j < channels; j += FS_WIDTH) {
            const int64_t n = channels - j;
            vf v = span_load(from, j, n);
            if (squares) {
                v -= span_load(mean, j, n);
                v *= v;
            }
            span_store(sums, j, n, span_load(sums, j, n) + v);
        }
    }
}

/* The mean over a group (index b·groups + g) of what was summed. */
static double mean_of_group(const struct group_norm *op, int64_t index)
{
    const int64_t b = index / op->groups, width = op->channels / op->groups, first = index % op->groups * width;
    double sum = 0;
    for (int64_t chunk = b * op->chunks; chunk < (b + 1) * op->chunks; chunk++) {
        for (int64_t c = first; c < first + width; c++) {
            sum += op->partial[chunk * op->channels + c];
        }
    }
    return sum / (double)(op->pixels * width);
}

static void statistics(const struct group_norm *op, int threads, bool squares)
{
    const int64_t samples = op->x.rows, width = op->channels / op->groups;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t chunk = 0; chunk < samples * op->chunks; chunk++) {
        sum_chunk(op, chunk, squares);
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t index = 0; index < samples * op->groups; index++) {
        const double mean = mean_of_group(op, index);
        for (int64_t c = index * width; c < (index + 1) * width; c++) { /* samples lie one after the other */
            if (squares) {
                op->inverse[c] = 1.0f / __builtin_sqrtf((float)(mean + op->epsilon));
            } else {
                op->mean[c] = (float)mean;
            }
        }
    }
}

static void normalise_pixel(const struct group_norm *op, int64_t b, int64_t pixel)
{
    const int64_t channels = op->channels;
    const struct span to = span_of(op->y, b, pixel * channels), from = span_of(op->x, b, pixel * channels),
                      mean = floats_of(op->mean, b, channels), inverse = floats_of(op->inverse, b, channels),
                      gamma = span_of(op->gamma, 0, 0), beta = span_of(op->beta, 0, 0);
    for (int64_t j = 0; j < channels; j += FS_WIDTH) {
        const int64_t n = channels - j;
        const vf normal = (span_load(from, j, n) - span_load(mean, j, n)) * span_load(inverse, j, n);
        const vf z = vf_fma(normal, span_load(gamma, j, n), span_load(beta, j, n));
        span_store(to, j, n, op->silu ? z * vf_sigmoid(z) : z);
    }
}

static void group_norm_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view gamma,
                               struct fs_view beta, int64_t channels, int64_t groups, double epsilon, bool silu)
{
    struct fs_cpu *cpu = fs_cpu_begin(backend, "group_norm_forward",
                                      fs_group_norm_forward_fits(backend, y, x, gamma, beta, channels, groups));
    if (cpu == NULL) {
        return;
    }
    const int64_t pixels = x.cols / channels, chunks = (pixels + PIXELS_A_CHUNK - 1) / PIXELS_A_CHUNK;
    const int64_t numbers = x.rows * channels;
    float *memory = fs_cpu_scratch(cpu, "group_norm_forward", (size_t)((chunks + 2) * numbers) * sizeof *memory);
    if (memory == NULL) {
        return;
    }
    const struct group_norm op = {y,
                                  x,
                                  gamma,
                                  beta,
                                  channels,
                                  groups,
                                  pixels,
                                  chunks,
                                  epsilon,
                                  silu,
                                  memory + 2 * numbers,
                                  memory,
                                  memory + numbers};
    statistics(&op, cpu->threads, false);
    statistics(&op, cpu->threads, true);
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t index = 0; index < x.rows * pixels; index++) {
        normalise_pixel(&op, index / pixels, index % pixels);
    }
}

void FS_ISA_NAME(fs_install_group_norm)(struct fs_backend *backend)
{
    backend->group_norm_forward = group_norm_forward;
}
