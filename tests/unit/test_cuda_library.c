/* A program without the CUDA backend beside it says so in one line; what doctor and the backend's README claim of it is
 * the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "harness/bench/cuda_evidence.h"
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

static const char *or_never(const char *text)
{
    return text ? text : "never";
}

static void test_evidence(void **state)
{
    (void)state;
    static char readme[32768];
    FILE *file = fopen("kernels/cuda/README.md", "r");
    assert_non_null(file);
    readme[fread(readme, 1, sizeof readme - 1, file)] = '\0';
    fclose(file);
    int rows = 0, told = 0;
    const struct fs_cuda_evidence *seen;
    for (; (seen = fs_cuda_evidence(rows)) != NULL; rows++) {
        char row[256];
        snprintf(row, sizeof row, "| `%s` | %s | %s | %s | %s |\n", seen->operation, or_never(seen->compiled),
                 or_never(seen->on_host), or_never(seen->vendor), or_never(seen->on_device));
        if (!strstr(readme, row)) {
            fail_msg("kernels/cuda/README.md lacks the row %s", row);
        }
    }
    for (const char *at = strstr(readme, "a device |\n"); at && (at = strstr(at, "\n| `")); at++) {
        told++;
    }
    assert_int_equal(told, rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_library), cmocka_unit_test(test_evidence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
