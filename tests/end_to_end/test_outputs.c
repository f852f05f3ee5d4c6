/* What the program says about the committed database (results/fewstep.db), byte for byte: its tables are those of
 * results/, the rest is that of tests/golden/outputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

#define DATABASE "results/fewstep.db"

static char text[16384];

/* Whatever experiment has a table in results/ is asked for again, in each of the four formats. */
static void test_tables(void **state)
{
    static const char *const formats[][2] = {{"text", "txt"}, {"markdown", "md"}, {"latex", "tex"}, {"csv", "csv"}};
    glob_t tables;

    (void)state;
    assert_int_equal(glob("results/*.csv", 0, NULL, &tables), 0);
    for (size_t t = 0; t < tables.gl_pathc; t++) {
        const int length = (int)(strlen(tables.gl_pathv[t]) - strlen("results/.csv"));
        const char *name = tables.gl_pathv[t] + strlen("results/");

        for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
            if (test_shell(text, sizeof text,
                           "%s table %.*s --format %s --db " DATABASE " > %s/table && "
                           "diff results/%.*s.%s %s/table",
                           test_program(), length, name, formats[f][0], test_folder(), length, name, formats[f][1],
                           test_folder()) != 0) {
                fail_msg("results/%.*s.%s is not what the program prints now (\"make results\" writes it again, where "
                         "that was meant):\n%s",
                         length, name, formats[f][1], text);
            }
        }
    }
    globfree(&tables);
}

/* A clone without history has not the commits that `regress` is asked about. */
static bool has_history(void)
{
    return test_shell(text, sizeof text, "git cat-file -e 9c6784b^{commit} && git cat-file -e b359a40^{commit}") == 0;
}

static int make_outputs(void **state)
{
    (void)state;
    if (test_shell(text, sizeof text, "sh tests/golden/make_outputs_golden.sh %s %s/outputs %s", test_program(),
                   test_folder(), has_history() ? "" : "no-history") != 0) {
        fail_msg("%s", text);
    }
    return 0;
}

static void compare_outputs(const char *files)
{
    if (test_shell(text, sizeof text,
                   "cd tests/golden/outputs && for file in %s; do diff $file %s/outputs/$file || status=1; done; "
                   "exit $status",
                   files, test_folder()) != 0) {
        fail_msg("other output than before (tests/golden/make_outputs_golden.sh says how to keep it, where that was "
                 "meant):\n%s",
                 text);
    }
}

static void test_published_numbers(void **state)
{
    (void)state;
    compare_outputs("published-*");
}

static void test_exports(void **state)
{
    (void)state;
    compare_outputs("export.tsv");
}

static void test_paper(void **state)
{
    (void)state;
    compare_outputs("paper-*");
}

static void test_regress(void **state)
{
    (void)state;
    if (!has_history()) {
        print_message("skipped: `regress demo` is not compared, for this clone has not the history of its commits\n");
        skip();
    }
    compare_outputs("regress-demo.*");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables), cmocka_unit_test(test_published_numbers), cmocka_unit_test(test_exports),
        cmocka_unit_test(test_paper),  cmocka_unit_test(test_regress),
    };

    (void)argc;
    test_program_find(argv[0]);
    return cmocka_run_group_tests(tests, make_outputs, NULL);
}
