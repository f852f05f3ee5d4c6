/* A program without the CUDA backend beside it says so in one line; what was not recorded of it is not claimed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "harness/bench/cuda_evidence.h"
#include "harness/build_info.h"
#include "kernels/backend.h"
#include "kernels/base/file.h"

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

/* A line of a record beside this program, for the source that it was built from or for another. */
static void record(const char *source, const char *line)
{
    char folder[FS_PATH_ROOM], path[FS_PATH_ROOM];
    struct fs_error error;
    fs_program_folder(folder);
    assert_int_equal(fs_path(path, &error, "%s/evidence", folder), FS_OK);
    assert_int_equal(fs_make_folder(path, &error), FS_OK);
    assert_int_equal(fs_path(path, &error, "%s/evidence/device.tsv", folder), FS_OK);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "source\t%s\n%s\n", source, line);
    fclose(file);
}

/* Only what was recorded is claimed, and only for the source that was tested. */
static void test_evidence(void **state)
{
    (void)state;
    char text[32];
    record("another", "fill\tyes");
    assert_false(fs_evidence(FS_EVIDENCE_DEVICE, "fill", text, sizeof text));
    record(fs_build_info.source_hash, "fill\t18 tests on H100");
    assert_true(fs_evidence(FS_EVIDENCE_DEVICE, "fill", text, sizeof text));
    assert_string_equal(text, "18 tests on H100");
    assert_false(fs_evidence(FS_EVIDENCE_DEVICE, "copy", text, sizeof text));
    assert_string_equal(text, "");
    record(fs_build_info.source_hash, "*\tsm_80");
    assert_true(fs_evidence(FS_EVIDENCE_DEVICE, "copy", text, sizeof text));
    record("another", "");
    bool updates = false;
    for (int i = 0; fs_evidence_operation(i) != NULL; i++) {
        assert_string_not_equal(fs_evidence_operation(i), "convolution_backward");
        updates = updates || strcmp(fs_evidence_operation(i), "update_begin, update_end") == 0;
    }
    assert_true(updates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_library), cmocka_unit_test(test_evidence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
