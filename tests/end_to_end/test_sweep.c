/* A sweep in which some runs fail, or belong to another process: the others are made all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/folder.h"
#include "tests/support/program.h"

static char sweep[1024], slow[1024], out[1024];

static const char sweep_text[] = "experiment: sweep\n"
                                 "model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, finest_steps: 8}\n"
                                 "train: {updates: 12, batch: 16, warmup: 2}\n"
                                 "methods:\n"
                                 "  reflow: {pairs: 64, teacher_steps: 4}\n"
                                 "matrix:\n"
                                 "  method: [flow-matching, reflow]\n"
                                 "  train.learning_rate: [10, 1.0e-3]\n"
                                 "evaluate: {steps: [1], samples: 64}\n";

static const char slow_text[] = "experiment: slow\n"
                                "model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, finest_steps: 8}\n"
                                "train: {updates: 1000000, batch: 16, warmup: 2}\n"
                                "method: flow-matching\n"
                                "evaluate: {steps: [1], samples: 64}\n";

static int count(const char *text, const char *piece)
{
    int found = 0;
    for (; (text = strstr(text, piece)) != NULL; text += strlen(piece)) {
        found++;
    }
    return found;
}

static int run(const char *options, char *text, size_t size)
{
    char arguments[2400];
    snprintf(arguments, sizeof arguments, "run %s --out %s --quiet %s >&2", sweep, out, options);
    return test_program_run("", arguments, text, size);
}

/* Flow matching, Reflow's teacher and so Reflow diverge at the first rate; the second is sound for both. */
static void test_the_others_are_made(void **state)
{
    (void)state;
    static char text[16384];
    char states[256];
    for (int call = 0; call < 2; call++) {
        assert_int_equal(run("", text, sizeof text), 3);
        assert_int_equal(count(text, "\nfailed: "), 3 - call); /* the second call does not try the teacher */
        assert_int_equal(count(text, "\nfailed: Flow matching (Euler), seed 0 (run "), 1);
        assert_int_equal(count(text, "\nfailed: Teacher, seed 0 (run "), call == 0);
        assert_non_null(strstr(text, " runs failed; the others are made"));
        assert_non_null(strstr(text, "--retry-failed"));
        assert_non_null(strstr(text, "1 step")); /* the table of what was made */
        test_program_query(out, "SELECT method, state, count(*) FROM runs GROUP BY 1, 2 ORDER BY 1, 2", states,
                           sizeof states);
        assert_string_equal(states,
                            "flow-matching failed 2 \nflow-matching trained 2 \nreflow new 1 \nreflow trained 1 \n");
    }
}

/* Only when it is asked for is a failed run trained again. */
static void test_a_failed_run_is_left_alone(void **state)
{
    (void)state;
    static char text[16384];
    char before[256], after[256];
    static const char sql[] = "SELECT sum(seconds) FROM runs WHERE state = 'failed'";
    test_program_query(out, sql, before, sizeof before);
    assert_int_equal(run("--only method=flow-matching", text, sizeof text), 3);
    assert_non_null(strstr(text, "left alone (--retry-failed)"));
    test_program_query(out, sql, after, sizeof after);
    assert_string_equal(after, before);
    assert_int_equal(run("--only method=flow-matching --retry-failed", text, sizeof text), 3);
    assert_null(strstr(text, "left alone"));
    test_program_query(out, sql, after, sizeof after);
    assert_string_not_equal(after, before);
}

/* A sweep of which nothing could be made has no table, and is no wrong use. */
static void test_all_fail(void **state)
{
    (void)state;
    static char text[16384];
    char arguments[2400];
    snprintf(arguments, sizeof arguments,
             "run %s --out %s-all --quiet --set train.learning_rate=10 --only method=flow-matching >&2", sweep, out);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 3);
    assert_non_null(strstr(text, "1 run failed"));
    assert_null(strstr(text, "pictures:"));
    snprintf(arguments, sizeof arguments,
             "run %s --out %s-all --quiet --set train.learning_rate=1e38 --only method=flow-matching >&2", sweep, out);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 3);
    assert_non_null(strstr(text, "the loss is nan at update"));
}

/* A second process beside one that has no score yet. */
static void test_a_run_of_another_process(void **state)
{
    (void)state;
    static char text[16384];
    char arguments[2400], lock[1200];
    const pid_t child = test_program_start(slow, out);
    snprintf(lock, sizeof lock,
             "test \"$(sqlite3 %s/fewstep.db \"SELECT count(*) FROM runs WHERE state = 'training'\" 2>/dev/null)\" = 1",
             out);
    for (int i = 0; i < 600 && system(lock) != 0; i++) {
        test_sleep(0.1);
    }
    snprintf(arguments, sizeof arguments, "run %s --out %s >&2", slow, out);
    const int status = test_program_run("", arguments, text, sizeof text);
    kill(child, SIGTERM);
    assert_int_equal(test_program_wait(child), 5);
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "1 of the runs belongs to another process at the moment; no run has a score yet"));
    assert_null(strstr(text, "pictures:"));
}

static int set_up(void **state)
{
    (void)state;
    snprintf(sweep, sizeof sweep, "%s", test_path("sweep.yaml"));
    snprintf(slow, sizeof slow, "%s", test_path("slow.yaml"));
    snprintf(out, sizeof out, "%s", test_path("out"));
    test_write(sweep, sweep_text, sizeof sweep_text - 1);
    test_write(slow, slow_text, sizeof slow_text - 1);
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_others_are_made),
        cmocka_unit_test(test_a_failed_run_is_left_alone),
        cmocka_unit_test(test_all_fail),
        cmocka_unit_test(test_a_run_of_another_process),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
