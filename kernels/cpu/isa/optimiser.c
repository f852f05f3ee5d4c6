/* AdamW with the moving averages in one pass, and the squared norm for clipping. */
#include "kernels/cpu/isa/vector.h"

#include <math.h>

#define CHUNK 16384 /* elements that one task takes; fixed, so that sums do not depend on the number of threads */

static double sum_squares_of_chunk(struct fs_view x, int64_t first, int64_t count)
{
    double sums[FS_WIDTH] = {0};
    const struct span from = span_of(x, 0, first);
    for (int64_t j = 0; j < count; j += FS_WIDTH) {
        const vf v = span_load(from, j, count - j);
        for (int i = 0; i < FS_WIDTH; i++) {
            sums[i] += (double)v[i] * (double)v[i];
        }
    }
    double sum = 0;
    for (int i = 0; i < FS_WIDTH; i++) {
        sum += sums[i];
    }
    return sum;
}

static void sum_squares(struct fs_backend *backend, struct fs_view result, struct fs_view x)
{
    struct fs_cpu *cpu = fs_cpu_begin(backend, "sum_squares", fs_sum_squares_fits(backend, result, x));
    if (cpu == NULL) {
        return;
    }
    const int64_t n = x.rows * x.cols, chunks = (n + CHUNK - 1) / CHUNK;
    double *sums = fs_cpu_scratch(cpu, "sum_squares", (size_t)chunks * sizeof *sums);
    if (sums == NULL) {
        return;
    }
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t first = chunk * CHUNK;
        sums[chunk] = sum_squares_of_chunk(x, first, n - first < CHUNK ? n - first : CHUNK);
    }
    double sum = 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        sum += sums[chunk];
    }
    *(float *)result.data = (float)sum;
}

/* The numbers of an update that all elements share. */
struct rates {
    float clip, beta1, beta2, epsilon;
    float step;        /* learning rate / (1 − beta1^update) */
    float correction2; /* 1 / (1 − beta2^update) */
    float decay;       /* learning rate · weight decay */
    float ema_decay[2];
};

static struct rates rates_of(const struct fs_adamw *adamw)
{
    const double rate = adamw->learning_rate, update = (double)adamw->update;
    struct rates rates = {
        .clip = 1,
        .beta1 = adamw->beta1,
        .beta2 = adamw->beta2,
        .epsilon = adamw->epsilon,
        .step = (float)(rate / (1 - pow(adamw->beta1, update))),
        .correction2 = (float)(1 / (1 - pow(adamw->beta2, update))),
        .decay = (float)(rate * adamw->weight_decay),
        .ema_decay = {adamw->ema_decay[0], adamw->ema_decay[1]},
    };
    if (adamw->clip_norm > 0) {
        const double norm = sqrt((double)*(const float *)adamw->norm2.data);
        rates.clip = norm > adamw->clip_norm ? (float)(adamw->clip_norm / norm) : 1;
    }
    return rates;
}

/* AdamW (Loshchilov & Hutter 2019, algorithm 2; the decay times the learning rate, as PyTorch has it) on some elements,
 * g the gradient times the clipping factor min(1, clip_norm/‖gradients‖) (Pascanu et al. 2013):
 *
 *     m ← β1·m + (1 − β1)·g  = m + (1 − β1)·(g − m)
 *     v ← β2·v + (1 − β2)·g² = v + (1 − β2)·(g² − v)
 *
 * Both began as 0, so after t updates they hold Σ_k β^(t−k)·(1 − β) = 1 − β^t of a whole mean: m̂ = m/(1 − β1^t) and
 * v̂ = v/(1 − β2^t) are without that bias (Kingma & Ba 2015, section 3); `step` and `correction2` have it. Then
 *
 *     w ← w − rate·m̂/(√v̂ + ε) − rate·weight_decay·w,
 *
 * where the decay, unlike one that is part of g, is not divided by √v̂. Each average follows the new weights,
 * a ← decay·a + (1 − decay)·w: weights of k updates ago count (1 − decay)·decay^k. All of it is one pass, as an update
 * of this kind is as long as its memory traffic. */
static void adamw_chunk(const struct rates *rates, struct span parameters, struct span gradients, struct span moment1,
                        struct span moment2, const struct span averages[2], const struct span copies[3], int64_t count)
{
    for (int64_t j = 0; j < count; j += FS_WIDTH) {
        const int64_t n = count - j;
        const vf g = rates->clip * span_load(gradients, j, n);
        const vf m1 = span_load(moment1, j, n), m2 = span_load(moment2, j, n), w = span_load(parameters, j, n);
        const vf m = vf_fma(vf_all(1 - rates->beta1), g - m1, m1);
        const vf v = vf_fma(vf_all(1 - rates->beta2), vf_fma(g, g, -m2), m2);
        const vf direction = rates->step * m / (vf_sqrt(v * rates->correction2) + rates->epsilon);
        const vf fresh = w - direction - rates->decay * w;
        span_store(moment1, j, n, m);
        span_store(moment2, j, n, v);
        span_store(parameters, j, n, fresh);
        if (copies[0].data != NULL) {
            span_store(copies[0], j, n, fresh);
        }
        for (int k = 0; k < 2; k++) {
            if (averages[k].data == NULL) {
                continue;
            }
            const vf old = span_load(averages[k], j, n),
                     moved = vf_fma(vf_all(1 - rates->ema_decay[k]), fresh - old, old);
            span_store(averages[k], j, n, moved);
            if (copies[1 + k].data != NULL) {
                span_store(copies[1 + k], j, n, moved);
            }
        }
    }
}

/* From element `first` of a view that may be not given. */
static struct span span_from(struct fs_view view, int64_t first)
{
    return view.data != NULL ? span_of(view, 0, first) : (struct span){NULL, false};
}

static void adamw(struct fs_backend *backend, const struct fs_adamw *settings, struct fs_view parameters,
                  struct fs_view gradients, struct fs_view moment1, struct fs_view moment2,
                  const struct fs_view averages[2])
{
    const struct fs_cpu *cpu = fs_cpu_begin(
        backend, "adamw", fs_adamw_fits(backend, settings, parameters, gradients, moment1, moment2, averages));
    if (cpu == NULL) {
        return;
    }
    const struct rates rates = rates_of(settings);
    const int64_t n = parameters.cols, chunks = (n + CHUNK - 1) / CHUNK;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t first = chunk * CHUNK;
        const struct span average[2] = {span_from(averages[0], first), span_from(averages[1], first)};
        const struct span copies[3] = {span_from(settings->copies[0], first), span_from(settings->copies[1], first),
                                       span_from(settings->copies[2], first)};
        adamw_chunk(&rates, span_of(parameters, 0, first), span_of(gradients, 0, first), span_of(moment1, 0, first),
                    span_of(moment2, 0, first), average, copies, n - first < CHUNK ? n - first : CHUNK);
    }
}

void FS_ISA_NAME(fs_install_optimiser)(struct fs_backend *backend)
{
    backend->sum_squares = sum_squares;
    backend->adamw = adamw;
}
