/* The machine's multiply-add peak, for bench: independent chains, long enough to hide the latency, on all threads. */
#include "kernels/cpu/isa/vector.h"

#define CHAINS 12

/* `rounds` of multiply-adds on each chain; their sum, which is finite always. */
static float run_chains(int64_t rounds)
{
    float total = 0;
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
    return total;
}

static double peak_flops(const struct fs_cpu *cpu, int64_t rounds)
{
    float total = 0;
#pragma omp parallel num_threads(cpu->threads) reduction(+ : total)
    total += run_chains(rounds);
    /* The sum is used, so that the loop is not removed. */
    return total == total ? 2.0 * CHAINS * FS_WIDTH * (double)rounds * cpu->threads : 0;
}

#if FS_WIDTH == 16
/* Each lane adds two products of bf16 to a float32 (AVX512-BF16; AMX, where there is some, does more). */
__attribute__((target("avx512bf16"), noinline)) static float run_bf16_chains(int64_t rounds)
{
    float total = 0;
    vf chain[CHAINS];
    for (int i = 0; i < CHAINS; i++) {
        chain[i] = vf_all((float)i);
    }
    const __m512bh by = _mm512_cvtne2ps_pbh(vf_all(0.5f), vf_all(0.5f)),
                   plus = _mm512_cvtne2ps_pbh(vf_all(-0.25f), vf_all(0.25f));
    for (int64_t k = 0; k < rounds; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            chain[i] = _mm512_dpbf16_ps(chain[i], by, plus);
        }
    }
    for (int i = 0; i < CHAINS; i++) {
        total += vf_sum(chain[i]);
    }
    return total;
}

static double bf16_peak_flops(const struct fs_cpu *cpu, int64_t rounds)
{
    float total = 0;
#pragma omp parallel num_threads(cpu->threads) reduction(+ : total)
    total += run_bf16_chains(rounds);
    return total == total ? 4.0 * CHAINS * FS_WIDTH * (double)rounds * cpu->threads : 0;
}
#endif

void FS_ISA_NAME(fs_install_peak)(struct fs_backend *backend)
{
    struct fs_cpu *cpu = backend->state;
    cpu->peak_flops = peak_flops;
#if FS_WIDTH == 16
    cpu->bf16_peak_flops = bf16_peak_flops;
#endif
}
