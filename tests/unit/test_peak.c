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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_cpu_for_each_thread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
