/* A name stands for its data: other pictures are not called by it, and runs on other data are other rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/folder.h"
#include "tests/support/pictures.h"
#include "tests/support/program.h"

static char experiment[1024], out[1024], data[2][1024];

static const char experiment_text[] =
    "experiment: names\n"
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 1, heads: 2, finest_steps: 8}\n"
    "train: {updates: 4, batch: 16, warmup: 1}\n"
    "method: flow-matching\n"
    "evaluate: {steps: [1], samples: 64}\n";

static void test_a_known_name_is_not_given_to_other_data(void **state)
{
    (void)state;
    static const char *const names[] = {"", "--set dataset.name=fashion-mnist", "--set dataset.kind=fashion-mnist",
                                        "--set dataset.kind=idx --set dataset.name=fashion-mnist"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char arguments[8192];
        snprintf(arguments, sizeof arguments, "run %s --out %s --quiet --set dataset.path=%s %s", experiment, out,
                 data[0], names[i]);
        test_program_refuses(2, arguments, "a name of their own");
    }
}

static void test_runs_on_other_data_are_other_rows(void **state)
{
    (void)state;
    static char text[16384];
    char arguments[8192], runs[256];
    for (int i = 0; i < 2; i++) {
        snprintf(arguments, sizeof arguments,
                 "run %s --out %s --quiet --set dataset.kind=idx --set dataset.name=mine --set dataset.path=%s >&2",
                 experiment, out, data[i]);
        assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    }
    assert_null(strstr(text, "older run"));
    const char *first = strstr(text, "\nFlow matching (Euler)  ");
    assert_non_null(first);
    const char *second = strstr(first + 1, "\nFlow matching (Euler)  ");
    assert_non_null(second);
    assert_int_not_equal(strncmp(first, second, 31), 0); /* the rows' names and what sets them apart */
    test_program_query(out, "SELECT count(*), count(DISTINCT data_sha256), group_concat(DISTINCT dataset) FROM runs",
                       runs, sizeof runs);
    assert_string_equal(runs, "2 2 mine \n");
}

/* What one's own data are called is in no hash: nothing is made again, and the table has the data's row. */
static void test_data_may_be_called_otherwise(void **state)
{
    (void)state;
    static char text[16384];
    char arguments[8192], scores[2][256];
    for (int i = 0; i < 2; i++) {
        snprintf(arguments, sizeof arguments,
                 "run %s --out %s --set dataset.kind=idx --set dataset.name=%s --set dataset.path=%s >&2", experiment,
                 test_path("called"), i ? "yours" : "mine", data[0]);
        assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
        assert_non_null(strstr(text, "\ndata: test split"));
        test_program_query(test_path("called"),
                           "SELECT count(*), group_concat(score_hash), (SELECT count(*) FROM runs) FROM scores",
                           scores[i], sizeof scores[i]);
    }
    assert_string_equal(scores[0], scores[1]);
    assert_int_equal(strncmp(scores[0], "2 ", 2), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(experiment, sizeof experiment, "%s", test_path("names.yaml"));
    snprintf(out, sizeof out, "%s", test_path("out"));
    test_write(experiment, experiment_text, sizeof experiment_text - 1);
    for (int i = 0; i < 2; i++) {
        snprintf(data[i], sizeof data[i], "%s", test_path(i ? "two" : "one"));
        test_small_fashion_mnist(data[i], 300 - 100 * i, 100);
    }
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_known_name_is_not_given_to_other_data),
        cmocka_unit_test(test_runs_on_other_data_are_other_rows),
        cmocka_unit_test(test_data_may_be_called_otherwise),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
