/* Paths have one maker: what has no room is refused and not cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/run/session.h"
#include "kernels/base/file.h"

static void test_path(void **state)
{
    (void)state;
    struct fs_error error;
    char path[FS_PATH_ROOM], folder[FS_PATH_ROOM];
    memset(folder, 'a', sizeof folder);
    folder[FS_PATH_ROOM - 3] = '\0';
    assert_int_equal(fs_path(path, &error, "%s/%s", folder, "b"), FS_OK); /* with its zero byte, all there is */
    assert_int_equal(strlen(path), FS_PATH_ROOM - 1);
    assert_int_equal(path[FS_PATH_ROOM - 2], 'b');
    assert_int_equal(fs_path(path, &error, "%s/%s", folder, "bc"), FS_USAGE);
    assert_non_null(strstr(error.text, "the path is too long: 1024 bytes, 1023 is the most"));
}

/* The names that lie in a folder are not cut either: a checkpoint's would be another update's. */
static void test_names_in_a_folder(void **state)
{
    (void)state;
    struct fs_error error;
    char path[FS_PATH_ROOM], folder[FS_PATH_ROOM];
    memset(folder, 'a', sizeof folder);
    folder[FS_PATH_ROOM - 1 - strlen("/checkpoint-12.safetensors")] = '\0';
    assert_int_equal(fs_checkpoint_path(folder, 12, path, &error), FS_OK);
    assert_string_equal(path + strlen(folder), "/checkpoint-12.safetensors");
    assert_int_equal(fs_checkpoint_path(folder, 123, path, &error), FS_USAGE);
    assert_int_equal(fs_database_path(folder, NULL, path, &error), FS_OK);
    memset(folder, 'a', sizeof folder - 1);
    folder[FS_PATH_ROOM - 1] = '\0';
    assert_int_equal(fs_database_path(folder, NULL, path, &error), FS_USAGE);
    assert_int_equal(fs_database_path(NULL, folder, path, &error), FS_OK);
    assert_string_equal(path, folder);
}

static void test_program_folder(void **state)
{
    (void)state;
    char folder[FS_PATH_ROOM];
    fs_program_folder(folder);
    assert_int_equal(folder[0], '/');
    assert_non_null(strstr(folder, "tests/unit"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_path), cmocka_unit_test(test_names_in_a_folder),
                                       cmocka_unit_test(test_program_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
