/* Every operation of the CPU backend, on each instruction set that this machine has. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/support/backend_ops.h"

static struct fs_backend *backend_on(const char *isa, int threads)
{
    struct fs_error error;
    setenv("FEWSTEP_CPU", isa, 1);
    struct fs_backend *backend = fs_cpu_backend(threads, &error);
    unsetenv("FEWSTEP_CPU");
    if (backend == NULL) {
        print_message("skipped: %s\n", error.text);
        skip();
    }
    return backend;
}

/* Sums of squares have the same bits for any number of threads. */
static void test_threads(const char *isa)
{
    enum { count = 100003 };
    static float numbers[count];
    float sums[2] = {0, 1};
    for (int i = 0; i < count; i++) {
        const struct fs_random_key key = {1, FS_STREAM_TEST, 0, 0};
        numbers[i] = fs_uniform(key, 0, (uint32_t)i) - 0.5f;
    }
    for (int i = 0; i < 2; i++) {
        struct fs_backend *backend = backend_on(isa, i + 1);
        backend->sum_squares(backend, fs_view(&sums[i], FS_F32, 1, 1), fs_view(numbers, FS_F32, 1, count));
        backend->destroy(backend);
    }
    assert_memory_equal(&sums[0], &sums[1], sizeof(float));
}

static void test_isa(void **state)
{
    const char *isa = *state;
    struct fs_backend *backend = backend_on(isa, 2);
    test_backend_ops(backend);
    backend->destroy(backend);
    test_threads(isa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"baseline", test_isa, NULL, NULL, "baseline"},
        {"avx2", test_isa, NULL, NULL, "avx2"},
        {"avx512", test_isa, NULL, NULL, "avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
