/* A program without the CUDA backend beside it says so in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/backend.h"

static void test_no_library(void **state)
{
    (void)state;
    struct fs_error error;
    assert_null(fs_load_cuda_backend(&error));
    assert_int_equal(error.status, FS_USAGE);
    assert_non_null(strstr(error.text, "this build has no CUDA backend"));
    assert_non_null(strstr(error.text, "tests/unit/libfewstep_cuda.so")); /* beside this program */
    assert_null(strchr(error.text, '\n'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_library)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
