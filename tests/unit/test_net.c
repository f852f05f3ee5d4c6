/* Inference networks: the CPU's, by oneDNN, on one to three threads, and the ones for any backend, by the CPU's table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/net.h"
#include "tests/reference/reference.h"
#include "tests/support/backend_net.h"

static struct fs_error error;

static void layers_equal_what_they_say(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        struct fs_backend *cpu = fs_cpu_backend(threads, &error);
        assert_non_null(cpu);
        struct fs_backend some = test_some_backend(cpu);
        test_backend_net(cpu);
        test_backend_net(&some);
        cpu->destroy(cpu);
    }
}

static void wrong_networks_are_refused(void **state)
{
    (void)state;
    struct fs_backend *cpu = fs_cpu_backend(1, &error), *reference = fs_reference_backend(&error);
    assert_true(cpu && reference);
    struct fs_backend some = test_some_backend(cpu);
    test_backend_net_refusals(cpu);
    test_backend_net_refusals(&some);
    test_backend_net_layers(cpu);
    test_backend_net_layers(&some);
    assert_null(fs_net_create(reference, FS_NET_THREAD_AN_IMAGE, 1, 4, 4, 1, &error));
    assert_int_equal(error.status, FS_USAGE);
    assert_non_null(strstr(error.text, "float32"));
    cpu->destroy(cpu);
    reference->destroy(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_equal_what_they_say),
        cmocka_unit_test(wrong_networks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
