/* The CUDA backend on a device: every operation, the network and a training against the float64 reference. Skipped,
 * with the reason, where there is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/support/backend_network.h"
#include "tests/support/backend_ops.h"

static struct fs_backend *open_backend(void)
{
    struct fs_error error;
    struct fs_backend *backend = fs_load_cuda_backend(&error);
    if (backend == NULL) {
        print_message("skipped: %s\n", error.text);
        skip();
    }
    print_message("on %s\n", backend->variant);
    return backend;
}

static void test_operations(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    test_backend_ops(backend);
    backend->destroy(backend);
}

static void test_network(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    test_backend_network(backend, FS_F32, 5e-5);
    test_backend_network(backend, FS_BF16, 0.05);
    test_backend_training(backend);
    backend->destroy(backend);
}

/* Updates that are kept as a graph have the bits of those that run as they come. */
static void test_updates(void **state)
{
    (void)state;
    int64_t count;
    struct fs_backend *backend = open_backend();
    print_message("%s\n", backend->choices);
    double *plain = test_backend_updates(backend, 3, false, &count),
           *kept = test_backend_updates(backend, 3, true, &count);
    assert_memory_equal(plain, kept, (size_t)count * sizeof *plain);
    free(plain);
    free(kept);
    backend->destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operations), cmocka_unit_test(test_network),
                                       cmocka_unit_test(test_updates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
