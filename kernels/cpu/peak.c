/* What this CPU's multiply-adds reach. The scheduler may leave two threads on one core for a while, which halves what
 * is measured, so each thread is bound to a CPU of its own meanwhile. */
#define _GNU_SOURCE
#include <omp.h>
#include <sched.h>

#include "kernels/base/clock.h"
#include "kernels/cpu/cpu.h"

#define SECONDS 0.25
#define ROUNDS 2000000 /* a few milliseconds */

/* Binds the calling thread to the `index`-th of `count` parts of the CPUs that it may run on. */
static void bind(const cpu_set_t *allowed, int index, int count)
{
    const int cpus = CPU_COUNT(allowed);
    int skip = (int)((int64_t)index * cpus / count); /* spread: neighbours are often two threads of one core */
    for (int cpu = 0; cpus >= count && cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && skip-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one); /* where it may not, the measurement is as good as the scheduler */
            return;
        }
    }
}

double fs_cpu_peak_flops(struct fs_backend *backend)
{
    const struct fs_cpu *cpu = backend->state;
    cpu_set_t allowed;
    double best = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        CPU_ZERO(&allowed);
    }
#pragma omp parallel num_threads(cpu->threads)
    bind(&allowed, omp_get_thread_num(), cpu->threads);
    const double start = fs_seconds();
    while (fs_seconds() - start < SECONDS) {
        const double begin = fs_seconds(), flops = cpu->peak_flops(cpu, ROUNDS), seconds = fs_seconds() - begin;
        best = flops / seconds > best ? flops / seconds : best;
    }
#pragma omp parallel num_threads(cpu->threads)
    if (CPU_COUNT(&allowed) > 0) {
        sched_setaffinity(0, sizeof allowed, &allowed);
    }
    return best;
}
