/* The machine's multiply-add peak, for bench: independent chains, long enough to hide the latency, on all threads. */
#include "kernels/cpu/isa/vector.h"

#define CHAINS 12

static double peak_flops(const struct fs_cpu *cpu, int64_t rounds)
{
    float total = 0;
#pragma omp parallel num_threads(cpu->threads) reduction(+ : total)
    {
        vf chain[CHAINS];
        for (int i = 0; i < CHAINS; i++) {
            chain[i] = vf_all((float)i);
        }
        const vf by = vf_all(0.999999f), plus = vf_all(1e-6f);
        for (int64_t k = 0; k < rounds; k++) {
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; i++) {
                chain[i] = vf_fma(chain[i], by, plus);
            }
        }
        for (int i = 0; i < CHAINS; i++) {
            total += vf_sum(chain[i]);
        }
    }
    /* The sum is used, so that the loop is not removed; it is finite always. */
    return total == total ? 2.0 * CHAINS * FS_WIDTH * (double)rounds * cpu->threads : 0;
}

void FS_ISA_NAME(fs_install_peak)(struct fs_backend *backend)
{
    struct fs_cpu *cpu = backend->state;
    cpu->peak_flops = peak_flops;
}
