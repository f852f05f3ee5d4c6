#include "tests/support/experiment_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static int count(const char *const *list)
{
    int n = 0;
    while (list != NULL && list[n] != NULL) {
        n++;
    }
    return n;
}

fs_status read_experiment_text(const char *text, size_t size, const char *const *sets, const char *const *only,
                               char path[256], struct fs_experiment *experiment, struct fs_error *error)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, 256, "%s/fewstep-experiment-XXXXXX", folder == NULL ? "/tmp" : folder);
    const int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, size), (ssize_t)size);
    close(file);
    const fs_status status = fs_experiment_read(path, sets, count(sets), only, count(only), experiment, error);
    unlink(path);
    return status;
}
