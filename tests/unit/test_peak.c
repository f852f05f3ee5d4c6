/* The peak is the machine's: while it is measured each thread has a CPU of its own, and afterwards all of them again.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <omp.h>
#include <sched.h>

#include "kernels/cpu/cpu.h"

enum { THREADS = 2 };

static cpu_set_t allowed[THREADS];

static void look(void)
{
#pragma omp parallel num_threads(THREADS)
    sched_getaffinity(0, sizeof(cpu_set_t), &allowed[omp_get_thread_num()]);
}

static int measured;

/* In the place of the multiply-adds. */
static double bound_threads(const struct fs_cpu *cpu, int64_t rounds)
{
    (void)cpu;
    look();
    measured++;
    assert_int_equal(CPU_COUNT(&allowed[0]), 1);
    assert_int_equal(CPU_COUNT(&allowed[1]), 1);
    assert_false(CPU_EQUAL(&allowed[0], &allowed[1]));
    return (double)rounds;
}

static void test_a_cpu_for_each_thread(void **state)
{
    (void)state;
    struct fs_error error;
    cpu_set_t before;
    struct fs_backend *backend = fs_cpu_backend(THREADS, &error);
    assert_non_null(backend);
    look();
    before = allowed[0];
    if (CPU_COUNT(&before) < THREADS) {
        print_message("skipped: this process has one CPU\n");
        skip();
    }
    ((struct fs_cpu *)backend->state)->peak_flops = bound_threads;
    assert_true(fs_cpu_peak_flops(backend) > 0);
    assert_true(measured > 0);
    look();
    assert_true(CPU_EQUAL(&allowed[0], &before) && CPU_EQUAL(&allowed[1], &before));
    backend->destroy(backend);
}

/* What OMP_PROC_BIND does: each thread is on one CPU before, and on the same one afterwards. */
static void test_bound_threads_stay(void **state)
{
    (void)state;
    struct fs_error error;
    cpu_set_t before[THREADS], all;
    struct fs_backend *backend = fs_cpu_backend(THREADS, &error);
    assert_non_null(backend);
    sched_getaffinity(0, sizeof all, &all);
    if (CPU_COUNT(&all) < THREADS) {
        print_message("skipped: this process has one CPU\n");
        skip();
    }
#pragma omp parallel num_threads(THREADS)
    {
        int skip_cpus = omp_get_thread_num();
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &all) && skip_cpus-- == 0) {
                CPU_ZERO(&before[omp_get_thread_num()]);
                CPU_SET(cpu, &before[omp_get_thread_num()]);
            }
        }
        sched_setaffinity(0, sizeof(cpu_set_t), &before[omp_get_thread_num()]);
    }
    ((struct fs_cpu *)backend->state)->peak_flops = bound_threads;
    assert_true(fs_cpu_peak_flops(backend) > 0);
    look();
    for (int i = 0; i < THREADS; i++) {
        assert_true(CPU_EQUAL(&allowed[i], &before[i]));
    }
#pragma omp parallel num_threads(THREADS)
    sched_setaffinity(0, sizeof all, &all);
    backend->destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_cpu_for_each_thread),
                                       cmocka_unit_test(test_bound_threads_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
