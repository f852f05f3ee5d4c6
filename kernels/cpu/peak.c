/* What this CPU's multiply-adds reach. The scheduler may leave two threads on one core for a while, which halves what
 * is measured, so each thread is bound to a CPU of its own meanwhile. */
#define _GNU_SOURCE
#include <omp.h>
#include <sched.h>

#include "kernels/base/clock.h"
#include "kernels/cpu/cpu.h"

#define SECONDS 0.25
#define ROUNDS 2000000 /* a few milliseconds */

/* Binds the calling thread to the `index`-th of `count` parts of the CPUs that the program may run on. */
static void bind(const cpu_set_t *all, int index, int count)
{
    const int cpus = CPU_COUNT(all);
    int skip = (int)((int64_t)index * cpus / count); /* spread: neighbours are often two threads of one core */
    for (int cpu = 0; cpus >= count && cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, all) && skip-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one); /* where it may not, the measurement is as good as the scheduler */
            return;
        }
    }
}

static double run_for_a_while(const struct fs_cpu *cpu, double (*run)(const struct fs_cpu *cpu, int64_t rounds))
{
    double best = 0;
    const double start = fs_seconds();
    while (fs_seconds() - start < SECONDS) {
        const double begin = fs_seconds(), flops = run(cpu, ROUNDS), seconds = fs_seconds() - begin;
        best = flops / seconds > best ? flops / seconds : best;
    }
    return best;
}

/* Each thread gets back what it was bound to before: with OMP_PROC_BIND that is not the same for all. */
static double best_of(struct fs_cpu *cpu, double (*run)(const struct fs_cpu *cpu, int64_t rounds))
{
    cpu_set_t all, *before = fs_cpu_scratch(cpu, "peak", (size_t)cpu->threads * sizeof *before);
    if (before == NULL) {
        return run_for_a_while(cpu, run);
    }
    CPU_ZERO(&all);
#pragma omp parallel num_threads(cpu->threads)
    {
        cpu_set_t *own = before + omp_get_thread_num();
        if (sched_getaffinity(0, sizeof *own, own) != 0) {
            CPU_ZERO(own);
        }
#pragma omp critical
        CPU_OR(&all, &all, own);
#pragma omp barrier
        bind(&all, omp_get_thread_num(), cpu->threads);
    }
    const double best = run_for_a_while(cpu, run);
#pragma omp parallel num_threads(cpu->threads)
    {
        const cpu_set_t *own = before + omp_get_thread_num();
        if (CPU_COUNT(own) > 0) {
            sched_setaffinity(0, sizeof *own, own);
        }
    }
    return best;
}

double fs_cpu_peak_flops(struct fs_backend *backend)
{
    struct fs_cpu *cpu = backend->state;
    return best_of(cpu, cpu->peak_flops);
}

double fs_cpu_bf16_peak_flops(struct fs_backend *backend)
{
    struct fs_cpu *cpu = backend->state;
    return backend->native_bf16 && cpu->bf16_peak_flops ? best_of(cpu, cpu->bf16_peak_flops) : 0;
}
