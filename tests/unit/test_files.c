/* Files, errors, memory and hashes: what is written is whole or not there, and what fails says so. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "tests/support/folder.h"

static struct fs_error error;

static void assert_contents(const char *path, const char *expected)
{
    char *contents;
    size_t size;
    assert_int_equal(fs_file_read(path, 1 << 20, &contents, &size, &error), FS_OK);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(contents, expected);
    free(contents);
}

static void errors_are_one_line_and_nest(void **state)
{
    (void)state;
    assert_int_equal(fs_fail(&error, FS_USAGE, "key '%s': bad", "a\nb\x1b"), FS_USAGE);
    assert_string_equal(error.text, "key 'a b ': bad");
    assert_int_equal(fs_fail_in(&error, "file %d", 3), FS_USAGE);
    assert_string_equal(error.text, "file 3: key 'a b ': bad");
    assert_int_equal(fs_fail(&error, FS_FAILED, "again: %s", error.text), FS_FAILED);
    assert_string_equal(error.text, "again: file 3: key 'a b ': bad");
    for (int i = 0; i < 200; i++) {
        assert_int_equal(fs_fail_in(&error, "a long context"), FS_FAILED);
    }
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
}

static void memory_is_aligned_zeroed_and_checked(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 63, 64, 65, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *bytes = fs_allocate(sizes[i], 1, "test", &error);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % 64, 0);
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(bytes[k], 0);
        }
        free(bytes);
    }
    assert_null(fs_allocate(SIZE_MAX / 2, 3, "weights", &error));
    assert_int_equal(error.status, FS_FAILED);
    assert_non_null(strstr(error.text, "weights"));
    assert_null(fs_allocate(SIZE_MAX, 1, "weights", &error));
    char *text = fs_format(&error, "%d-%s", 12, "x");
    assert_string_equal(text, "12-x");
    free(text);
}

static void a_committed_file_is_there_and_nothing_else(void **state)
{
    (void)state;
    const int entries = test_folder_entries();
    struct fs_new_file file;
    const char *path = test_path("committed");
    assert_int_equal(fs_new_file_open(&file, path, &error), FS_OK);
    fputs("old", file.stream);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(fs_new_file_commit(&file, &error), FS_OK);
    assert_contents(path, "old");
    assert_int_equal(fs_new_file_open(&file, path, &error), FS_OK);
    fputs("newer", file.stream);
    assert_contents(path, "old");
    assert_int_equal(fs_new_file_commit(&file, &error), FS_OK);
    assert_contents(path, "newer");
    assert_int_equal(test_folder_entries(), entries + 1);
}

static void an_abandoned_file_leaves_nothing(void **state)
{
    (void)state;
    const int entries = test_folder_entries();
    struct fs_new_file file;
    assert_int_equal(fs_new_file_open(&file, test_path("abandoned"), &error), FS_OK);
    fputs("text", file.stream);
    fs_new_file_abandon(&file);
    fs_new_file_abandon(&file);
    assert_int_equal(test_folder_entries(), entries);
}

/* A rename over a device would put a file in its place. */
static void a_device_is_not_replaced(void **state)
{
    (void)state;
    struct fs_new_file file;
    struct stat about;
    const char *path = test_path("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    const int entries = test_folder_entries();
    assert_int_equal(fs_new_file_open(&file, path, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "no ordinary file"));
    assert_int_equal(stat(path, &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    assert_int_equal(test_folder_entries(), entries);
}

/* What a killed writer left under the temporary name is longer than what is written now. */
static void leftovers_are_written_over(void **state)
{
    (void)state;
    const char *path = test_path("leftover");
    test_write(test_path("leftover.tmp"), "something longer", 16);
    struct fs_new_file file;
    assert_int_equal(fs_new_file_open(&file, path, &error), FS_OK);
    fputs("short", file.stream);
    assert_int_equal(fs_new_file_commit(&file, &error), FS_OK);
    assert_contents(path, "short");
}

static void a_full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    const char *path = test_path("full");
    test_write(path, "old", 3);
    const int entries = test_folder_entries();
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 10000;
    signal(SIGXFSZ, SIG_IGN);
    struct fs_new_file file;
    assert_int_equal(fs_new_file_open(&file, path, &error), FS_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 5000; i++) {
        fputs("abcdefgh", file.stream);
    }
    const fs_status status = fs_new_file_commit(&file, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, FS_FAILED);
    assert_non_null(strstr(error.text, path));
    assert_contents(path, "old");
    assert_int_equal(test_folder_entries(), entries);
}

static void places_that_cannot_be_written_are_named(void **state)
{
    (void)state;
    test_write(test_path("plain"), "x", 1);
    const char *const paths[] = {test_path("no/such/folder"), test_path("plain/below"), test_folder()};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct fs_new_file file;
        assert_int_equal(fs_new_file_open(&file, paths[i], &error), FS_USAGE);
        assert_non_null(strstr(error.text, paths[i]));
    }
    char long_path[2000];
    memset(long_path, 'a', sizeof long_path);
    long_path[sizeof long_path - 1] = '\0';
    struct fs_new_file file;
    assert_int_equal(fs_new_file_open(&file, long_path, &error), FS_USAGE);
}

/* Several processes write one path again and again; a reader always sees one writer's whole file. */
static void writers_of_one_path_take_turns(void **state)
{
    (void)state;
    const char *path = test_path("shared");
    pid_t children[3];
    for (int child = 0; child < 3; child++) {
        children[child] = fork();
        assert_true(children[child] >= 0);
        if (children[child] == 0) {
            int failures = 0;
            for (int i = 0; i < 40; i++) {
                struct fs_new_file file;
                failures += fs_new_file_open(&file, path, &error) != FS_OK;
                for (int k = 0; k < 20000 + 5000 * child && !failures; k++) {
                    fputc('a' + child, file.stream);
                }
                failures += failures || fs_new_file_commit(&file, &error) != FS_OK;
            }
            _exit(failures != 0);
        }
    }
    for (int child = 0; child < 3; child++) {
        int status;
        assert_int_equal(waitpid(children[child], &status, 0), children[child]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        char *contents;
        size_t size;
        assert_int_equal(fs_file_read(path, 1 << 20, &contents, &size, &error), FS_OK);
        assert_int_equal(size, 20000 + 5000 * (size_t)(contents[0] - 'a'));
        for (size_t k = 0; k < size; k++) {
            assert_int_equal(contents[k], contents[0]);
        }
        free(contents);
    }
}

static void reading_has_a_limit_and_takes_pipes(void **state)
{
    (void)state;
    char *contents;
    size_t size;
    const char *path = test_path("ten");
    test_write(path, "0123456789", 10);
    assert_int_equal(fs_file_read(path, 10, &contents, &size, &error), FS_OK);
    assert_int_equal(size, 10);
    assert_int_equal(contents[10], 0);
    free(contents);
    assert_int_equal(fs_file_read(path, 9, &contents, &size, &error), FS_USAGE);
    assert_null(contents);
    assert_int_equal(fs_file_read(test_path("absent"), 9, &contents, &size, &error), FS_USAGE);
    assert_int_equal(fs_file_read(test_folder(), 9, &contents, &size, &error), FS_USAGE);
    assert_int_equal(fs_file_read("/dev/zero", 100000, &contents, &size, &error), FS_USAGE);
    const char *fifo = test_path("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const pid_t child = fork();
    if (child == 0) {
        char block[30000];
        memset(block, 'p', sizeof block);
        test_write(fifo, block, sizeof block);
        _exit(0);
    }
    assert_int_equal(fs_file_read(fifo, 100000, &contents, &size, &error), FS_OK);
    assert_int_equal(size, 30000);
    free(contents);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    assert_int_equal(fs_make_folder(test_path("a/b//c/"), &error), FS_OK);
    assert_int_equal(fs_make_folder(test_path("a/b/c"), &error), FS_OK);
    test_write(test_path("a/b/c/file"), "x", 1);
    assert_int_equal(fs_make_folder("/", &error), getuid() == 0 ? FS_OK : FS_USAGE);
    assert_int_equal(fs_make_folder(test_path("a/b/c/file"), &error), FS_USAGE);
    assert_int_equal(fs_make_folder(test_path("a/b/c/file/d"), &error), FS_USAGE);
    assert_non_null(strstr(error.text, "a/b/c/file/d"));
    assert_int_equal(fs_make_folder("", &error), FS_USAGE);
    const char *locked = test_path("locked");
    assert_int_equal(mkdir(locked, 0500), 0);
    if (getuid() != 0) { /* root may write everywhere */
        assert_int_equal(fs_make_folder(locked, &error), FS_USAGE);
        assert_int_equal(fs_make_folder(test_path("locked/below"), &error), FS_USAGE);
    }
}

/* FIPS 180-2, appendix B. */
static void sha256_gives_the_published_answers(void **state)
{
    (void)state;
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char million[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    char text[65];
    fs_sha256("abc", 3, text);
    assert_string_equal(text, abc);
    char *letters = malloc(1000000);
    assert_non_null(letters);
    memset(letters, 'a', 1000000);
    struct fs_sha256 hash;
    fs_sha256_begin(&hash);
    for (size_t done = 0, piece = 1; done < 1000000; done += piece, piece = piece * 3 % 1000 + 1) {
        piece = piece > 1000000 - done ? 1000000 - done : piece;
        fs_sha256_add(&hash, letters + done, piece);
    }
    fs_sha256_end(&hash, text);
    assert_string_equal(text, million);
    const char *path = test_path("million");
    test_write(path, letters, 1000000);
    free(letters);
    assert_int_equal(fs_sha256_file(path, text, &error), FS_OK);
    assert_string_equal(text, million);
    assert_int_equal(fs_sha256_file(test_path("absent"), text, &error), FS_USAGE);
    assert_int_equal(fs_sha256_file(test_folder(), text, &error), FS_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_one_line_and_nest),
        cmocka_unit_test(memory_is_aligned_zeroed_and_checked),
        cmocka_unit_test(a_committed_file_is_there_and_nothing_else),
        cmocka_unit_test(an_abandoned_file_leaves_nothing),
        cmocka_unit_test(a_device_is_not_replaced),
        cmocka_unit_test(leftovers_are_written_over),
        cmocka_unit_test(a_full_disk_keeps_the_old_file),
        cmocka_unit_test(places_that_cannot_be_written_are_named),
        cmocka_unit_test(writers_of_one_path_take_turns),
        cmocka_unit_test(reading_has_a_limit_and_takes_pipes),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(sha256_gives_the_published_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
