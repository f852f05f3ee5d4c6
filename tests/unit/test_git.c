/* Revisions and their source hashes, in a small repository made here; the oracle is the script that the build uses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/git/git.h"
#include "harness/git/process.h"
#include "tests/support/folder.h"

static struct fs_error error;
static char root[1024]; /* where the test was started: the source tree */

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* A shell command's first line. */
static void shell(const char *command, char *line, size_t size)
{
    const char *const argv[] = {"sh", "-ec", command, NULL};
    char *output;
    size_t length;
    int result;

    good(fs_capture(argv, -1, &output, &length, &result, &error));
    assert_int_equal(result, 0);
    if (line) {
        snprintf(line, size, "%.*s", (int)strcspn(output, "\n"), output);
    }
    free(output);
}

#define GIT "git -c user.name=t -c user.email=t@t -c commit.gpgsign=false "
#define COMMIT GIT "add -A && " GIT "commit -qm x"

static void make_repository(void)
{
    shell("git init -q . && mkdir -p kernels/a kernels/a.d methods harness/report harness/train other && "
          "printf 'b' > kernels/a/b.c && printf 'x\\n' > kernels/a.c && : > kernels/a-b.h && printf '\\n\\n' > "
          "kernels/a0.h && "
          "printf 'cu' > methods/x.cu && printf 'z' > methods/z.cuh && printf 't' > harness/train/t.c && "
          "printf 'r' > harness/report/r.c && printf 'm' > kernels/read.md && printf 'o' > other/o.c && "
          "printf 'n' > kernels/noend && printf 'd' > kernels/a.d/notc && ln -s a.c kernels/link.c && " COMMIT,
          NULL, 0);
}

/* What the build would embed for the files that lie here. */
static void hash_by_build(char hash[65])
{
    char command[4096];

    snprintf(command, sizeof(command),
             "sh %s/harness/build_info.sh cc '' '' '' $(find %s -type f 2>/dev/null | grep -E '\\.(c|h|cu|cuh)$' | "
             "LC_ALL=C sort) | sed -n 's/.*source_hash = \"\\(.*\\)\".*/\\1/p'",
             root, fs_build_info.number_folders);
    shell(command, hash, 65);
    assert_int_equal(strlen(hash), 64);
}

static void test_source_hash(void **state)
{
    char commit[FS_COMMIT_TEXT], expected[65], hash[65], before[65];

    (void)state;
    assert_string_equal(fs_build_info.number_endings, "c h cu cuh");
    good(fs_git_commit("HEAD", commit, &error));
    hash_by_build(expected);
    good(fs_git_source_hash(commit, hash, &error));
    assert_string_equal(hash, expected);

    /* What cannot change a number does not move it; what can, does; and the first commit keeps its own. */
    snprintf(before, sizeof(before), "%s", hash);
    shell("echo more > README && echo r2 > harness/report/r.c && " COMMIT, NULL, 0);
    good(fs_git_commit("HEAD", commit, &error));
    good(fs_git_source_hash(commit, hash, &error));
    assert_string_equal(hash, before);
    shell("echo more >> methods/x.cu && git rm -q harness/train/t.c && " COMMIT, NULL, 0);
    good(fs_git_commit("HEAD", commit, &error));
    good(fs_git_source_hash(commit, hash, &error));
    assert_string_not_equal(hash, before);
    hash_by_build(expected);
    assert_string_equal(hash, expected);
    good(fs_git_commit("HEAD~2", commit, &error));
    good(fs_git_source_hash(commit, hash, &error));
    assert_string_equal(hash, before);

    /* The tree as it lies here does not count, only what was committed. */
    shell("echo changed > kernels/a.c; mkdir -p deep/er", NULL, 0);
    assert_int_equal(chdir("deep/er"), 0);
    good(fs_git_source_hash(commit, hash, &error));
    assert_string_equal(hash, before);
    assert_int_equal(chdir("../.."), 0);
}

/* Whether the build would call the tree that lies here changed. */
static bool built_dirty(void)
{
    char command[2048], line[64];

    snprintf(command, sizeof(command), "sh %s/harness/build_info.sh cc '' '' '' README | sed -n 's/.*dirty = //p'",
             root);
    shell(command, line, sizeof(line));
    return strcmp(line, "true,") == 0;
}

/* What the program writes into the source tree makes no score "-dirty"; another source file does. */
static void test_changed(void **state)
{
    (void)state;
    shell("git checkout -q . && " COMMIT " || true", NULL, 0);
    assert_false(built_dirty());
    shell("mkdir -p samples metrics && echo > report.html && echo > samples/a.png && echo > metrics/grid.png && "
          "echo > x.safetensors",
          NULL, 0);
    assert_false(built_dirty());
    shell("echo > metrics/new.c", NULL, 0);
    assert_true(built_dirty());
    shell("rm metrics/new.c && echo more >> README", NULL, 0);
    assert_true(built_dirty());
    shell("git checkout -q README", NULL, 0);
    assert_false(built_dirty());
}

/* Every output that the READMEs' commands name is ignored. */
static void test_outputs_are_ignored(void **state)
{
    char command[4600], line[256];

    (void)state;
    snprintf(
        command, sizeof(command),
        "cp %s/.gitignore . && sed -n 's/.*-o \\([A-Za-z][A-Za-z._]*\\/*\\)[ `)].*/\\1/p' %s/README.md %s/*/README.md "
        "%s/*/*/README.md > names && "
        "test $(wc -l < names) -gt 4 && echo tensorboard/ >> names && "
        "for name in $(grep -v 'OUT\\|DIR' names); do git check-ignore -q $name || echo $name; done; "
        "git checkout -q . ; rm -f .gitignore names",
        root, root, root, root);
    shell(command, line, sizeof(line));
    assert_string_equal(line, "");
}

static void test_names(void **state)
{
    char commit[FS_COMMIT_TEXT], head[FS_COMMIT_TEXT], top[1024];
    static const char *const wrong[] = {"nowhere", "--all", "-q", "", "HEAD~99", "HEAD:kernels", "HEAD; rm -rf x"};

    (void)state;
    shell("git rev-parse HEAD", head, sizeof(head));
    good(fs_git_commit("HEAD", commit, &error));
    assert_string_equal(commit, head);
    shell("git tag -f -a -m x v1 2>/dev/null || " GIT "tag -f -a -m x v1", NULL, 0);
    good(fs_git_commit("v1", commit, &error));
    assert_string_equal(commit, head);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(fs_git_commit(wrong[i], commit, &error), FS_USAGE);
        assert_non_null(strstr(error.text, "no such revision"));
    }
    good(fs_git_top(top, &error));
    assert_string_equal(strrchr(top, '/'), strrchr(test_folder(), '/'));
}

static void test_outside(void **state)
{
    char commit[FS_COMMIT_TEXT];

    (void)state;
    setenv("GIT_CEILING_DIRECTORIES", "/", 1);
    setenv("GIT_DIR", test_path("nowhere"), 1);
    assert_int_equal(fs_git_commit("HEAD", commit, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "not in a git repository"));
    unsetenv("GIT_DIR");
}

static void test_processes(void **state)
{
    const char *const nowhere[] = {"/nowhere/program", NULL};
    const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
    const char *const many[] = {"sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; exit 7", NULL};
    char *output;
    size_t size;
    int result;

    (void)state;
    assert_int_equal(fs_capture(nowhere, -1, &output, &size, &result, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "/nowhere/program"));
    good(fs_capture(killed, -1, &output, &size, &result, &error));
    assert_int_equal(result, 128 + 9);
    assert_int_equal(size, 0);
    free(output);
    good(fs_capture(many, -1, &output, &size, &result, &error));
    assert_int_equal(result, 7);
    assert_int_equal(size, 300000);
    assert_int_equal(strspn(output, "x"), 300000);
    free(output);
}

static int set_up(void **state)
{
    (void)state;
    /* A hook or an alias that runs the tests must not lend them its own repository. */
    unsetenv("GIT_DIR");
    unsetenv("GIT_WORK_TREE");
    unsetenv("GIT_INDEX_FILE");
    if (!getcwd(root, sizeof(root)) || chdir(test_folder()) != 0) {
        return -1;
    }
    make_repository();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_hash), cmocka_unit_test(test_changed), cmocka_unit_test(test_outputs_are_ignored),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_outside), cmocka_unit_test(test_processes),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
