/* The mean squared error with a weight per row, and its gradient. */
#include <math.h>

#include "kernels/cpu/isa/vector.h"

static void mse(struct fs_backend *backend, struct fs_view loss, struct fs_view dprediction, struct fs_view prediction,
                struct fs_view target, struct fs_view weights, struct fs_loss kind)
{
    const bool gradient = dprediction.data != NULL;
    const struct fs_cpu *cpu =
        fs_cpu_begin(backend, "mse", fs_mse_fits(backend, loss, dprediction, prediction, target, weights));
    if (cpu == NULL) {
        return;
    }
    const int64_t cols = prediction.cols;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < prediction.rows; i++) {
        const struct span p = span_of(prediction, i, 0), t = span_of(target, i, 0);
        const struct span d = gradient ? span_of(dprediction, i, 0) : p;
        vf sums = {0};
        for (int64_t j = 0; j < cols; j += FS_WIDTH) {
            const int64_t n = cols - j;
            const vf difference = span_load(p, j, n) - span_load(t, j, n);
            sums = vf_fma(difference, difference, sums);
        }
        const float sum = vf_sum(sums);
        ((float *)loss.data)[i * loss.stride] = sum / (float)cols;
        float factor = 2 * ((const float *)weights.data)[i * weights.stride] / (float)cols;
        if (kind.kind == FS_LOSS_ADAPTIVE) {
            factor *= (float)cols / powf(sum + kind.c, kind.power);
        }
        for (int64_t j = 0; gradient && j < cols; j += FS_WIDTH) {
            const int64_t n = cols - j;
            span_store(d, j, n, factor * (span_load(p, j, n) - span_load(t, j, n)));
        }
    }
}

void FS_ISA_NAME(fs_install_loss)(struct fs_backend *backend)
{
    backend->mse = mse;
}
