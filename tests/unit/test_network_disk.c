/* The warning where a database or the folder of everything lies on another machine's disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "harness/run/network_disk.h"
#include "tests/support/folder.h"

#define NFS 0x6969
#define LUSTRE 0x0bd00bd0
#define EXT4 0xef53

static unsigned long all_local(const char *path)
{
    (void)path;
    return EXT4;
}

static unsigned long home_is_remote(const char *path)
{
    return strncmp(path, "/home/", 6) == 0 ? NFS : EXT4;
}

static unsigned long unknown(const char *path)
{
    (void)path;
    return 0;
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(fs_network_disk(NFS), "NFS");
    assert_string_equal(fs_network_disk(LUSTRE), "Lustre");
    assert_string_equal(fs_network_disk(0xff534d42), "CIFS");
    assert_string_equal(fs_network_disk((unsigned long)(int32_t)0xff534d42), "CIFS"); /* sign-extended */
    assert_null(fs_network_disk(EXT4));
    assert_null(fs_network_disk(0x01021994)); /* tmpfs */
    assert_null(fs_network_disk(0));
}

static void one_line(void **state)
{
    (void)state;
    char line[512] = "";
    assert_false(fs_warn_network_disk("/tmp/a.db", "/tmp/out", all_local, line, sizeof line));
    assert_false(fs_warn_network_disk("/home/a.db", "/home/out", unknown, line, sizeof line));
    assert_string_equal(line, "");
    assert_true(fs_warn_network_disk("/home/a.db", "/home/out", home_is_remote, line, sizeof line));
    assert_non_null(strstr(line, "the database /home/a.db lies on a network file system (NFS)"));
    assert_non_null(strstr(line, "--db"));
    assert_null(strchr(line, '\n'));
    assert_true(fs_warn_network_disk("/tmp/a.db", "/home/out", home_is_remote, line, sizeof line));
    assert_non_null(strstr(line, "/home/out lies on a network file system (NFS)"));
}

static void what_is_here(void **state)
{
    (void)state;
    assert_true(fs_disk_kind(test_folder()) != 0);
    assert_true(fs_disk_kind("/no/such/place") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(one_line),
        cmocka_unit_test(what_is_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
