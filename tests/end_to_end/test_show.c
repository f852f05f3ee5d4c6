/* What `show` says of a run, and `eval`: the command that makes it again, in a folder of its own, makes that very run;
 * a label is the experiment's, and moves no id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

static char experiment[1024], out[1024], fresh[1024];

static const char experiment_text[] =
    "experiment: show\n"
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, finest_steps: 8}\n"
    "train: {updates: 6, batch: 16, warmup: 1}\n"
    "methods:\n"
    "  reflow: {pairs: 32, teacher_steps: 2}\n"
    "matrix:\n"
    "  method: [flow-matching, reflow]\n"
    "  train.batch: [16, 24]\n"
    "  train.ema: [0.99, 0.9]\n"
    "evaluate: {steps: [1], samples: 64}\n";

static void run(const char *command, const char *folder)
{
    char arguments[3000], text[8192];
    snprintf(arguments, sizeof arguments, "%s --out %s --quiet", command, folder);
    if (test_program_run("", arguments, text, sizeof text) != 0) {
        fail_msg("fewstep %s: %s", arguments, text);
    }
}

/* "run …" of the line "command: … build/fewstep run …". */
static void command_of(const char *id, char command[2048])
{
    static char text[65536];
    char arguments[1400];
    snprintf(arguments, sizeof arguments, "show %.16s --out %s >&2", id, out);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    const char *line = strstr(text, "\ncommand: ");
    assert_non_null(line);
    const char *begin = strstr(line, "build/fewstep run ");
    assert_non_null(begin);
    begin += strlen("build/fewstep ");
    snprintf(command, 2048, "%.*s", (int)strcspn(begin, "\n"), begin);
}

/* Runs of the matrix with two varied keys, one with settings, and a teacher, which those that need it make. */
static void test_the_command_makes_the_same_run(void **state)
{
    (void)state;
    char options[2048], ids[4096], command[2048], references[8192], again[1024];
    snprintf(options, sizeof options, "run %s --only train.batch=24 --only train.ema=0.9", experiment);
    run(options, out);
    snprintf(options, sizeof options,
             "run %s --set train.learning_rate=3e-4 --set train.batch=20 --set seed=5 "
             "--only method=flow-matching --only train.ema=0.99",
             experiment);
    run(options, out);
    test_program_query(out, "SELECT id FROM runs ORDER BY number", ids, sizeof ids);
    int count = 0;
    for (char *rest, *id = strtok_r(ids, " \n", &rest); id; id = strtok_r(NULL, " \n", &rest), count++) {
        char sql[256];
        command_of(id, command);
        snprintf(references, sizeof references, "rm -rf %s; mkdir -p %s; cp -r %s/references %s", fresh, fresh, out,
                 fresh);
        assert_int_equal(test_shell(again, sizeof again, "%s", references), 0);
        run(command, fresh);
        snprintf(sql, sizeof sql,
                 "SELECT count(*), (SELECT count(*) FROM runs WHERE is_teacher = 0) FROM runs WHERE id = '%s'", id);
        test_program_query(fresh, sql, again, sizeof again);
        assert_string_equal(again, "1 1 \n");
    }
    assert_int_equal(count, 4);
}

static void test_a_label(void **state)
{
    (void)state;
    char options[2048], text[256], before[4096], after[4096];
    static const char ids[] = "SELECT id FROM runs ORDER BY id", labels[] =
                                                                     "SELECT coalesce(group_concat(label), 'none') "
                                                                     "FROM experiment_runs";
    test_program_query(out, ids, before, sizeof before);
    snprintf(options, sizeof options,
             "run %s --only train.batch=24 --only train.ema=0.9 --only method=reflow --label 'my try'", experiment);
    run(options, out);
    test_program_query(out, ids, after, sizeof after);
    assert_string_equal(after, before);
    test_program_query(out, labels, text, sizeof text);
    assert_string_equal(text, "my try \n");
    strcpy(strstr(options, "'my try'"), "''");
    run(options, out);
    test_program_query(out, labels, text, sizeof text);
    assert_string_equal(text, "none \n");
    snprintf(options, sizeof options, "run %s --label \"$(printf 'a\\033[1mb')\"", experiment);
    test_program_refuses(2, options, "--label: expected a name on one line");
}

/* `eval` prints what was asked for, on standard output, whether it was made now or is there. */
static void test_scores_are_printed(void **state)
{
    (void)state;
    char id[80], command[4096], first[4096], second[4096], value[64];
    test_program_query(out, "SELECT id FROM runs WHERE method = 'flow-matching' LIMIT 1", id, sizeof id);
    snprintf(command, sizeof command, "eval %.8s --steps 4,2 --out %s --quiet >&2", id, out);
    assert_int_equal(test_program_run("", command, first, sizeof first), 0);
    assert_non_null(strstr(first, "\n    4  fd (fashion-cnn) "));
    assert_non_null(strstr(first, "\n    2  fd (fashion-cnn) "));
    assert_int_equal(test_program_run("", command, second, sizeof second), 0);
    assert_string_equal(second, first);
    snprintf(command, sizeof command, "eval %.8s --steps 4 --out %s --quiet --json >&2", id, out);
    assert_int_equal(test_program_run("", command, first, sizeof first), 0);
    test_program_query(out, "SELECT printf('%.6g', value) FROM scores WHERE steps = 4", value, sizeof value);
    assert_int_equal(strncmp(strstr(first, "\"value\":") + 8, value, 6), 0);
    assert_ptr_equal(strchr(first, '\n'), first + strlen(first) - 1); /* one object */
}

/* What is drawn is asked as strictly as what is scored, and it is said what was written. */
static void test_samples(void **state)
{
    (void)state;
    char id[80], command[4096], text[4096];
    test_program_query(out, "SELECT id FROM runs WHERE method = 'flow-matching' LIMIT 1", id, sizeof id);
    snprintf(command, sizeof command, "sample %.8s --count 4 --steps 2 --out %s -o %s/noise.npy", id, out, out);
    assert_int_equal(test_program_run("", command, text, sizeof text), 0);
    assert_non_null(strstr(text, "4 samples of run "));
    assert_non_null(strstr(text, "noise.npy"));
    snprintf(command, sizeof command, "sample %.8s --noise %s/noise.npy --count 9 --out %s -o %s/x.npy", id, out, out,
             out);
    test_program_refuses(2, command, "holds the noise of 4 samples, and --count asks for 9");
    snprintf(command, sizeof command, "sample %.8s --noise %s/noise.npy --out %s -o %s/x.npy", id, out, out, out);
    assert_int_equal(test_program_run("", command, text, sizeof text), 0);
    static const char *const refused[] = {"--guidance 2", "--steps 3 --sampler rk4", "--steps 1025", "--steps 0"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        for (int eval = 0; eval < 2; eval++) {
            snprintf(command, sizeof command, "%s %.8s %s --out %s %s%s%s", eval ? "eval" : "sample", id, refused[i],
                     out, eval ? "" : "-o ", eval ? "" : out, eval ? "" : "/x.npy");
            test_program_refuses(2, command, "");
        }
    }
}

/* Scores of weights that were not kept cannot be made: the others are, and it is said what to do. */
static void test_weights_that_were_not_kept(void **state)
{
    (void)state;
    char options[4096], text[8192];
    snprintf(options, sizeof options,
             "run %s --out %s --quiet --only train.batch=24 --only train.ema=0.9 --only "
             "method=flow-matching --set evaluate.updates='[3, 4]' --set evaluate.steps='[1, 8]' >&2",
             experiment, out);
    assert_int_equal(test_program_run("", options, text, sizeof text), 3);
    assert_non_null(strstr(text, "the weights of update 3, 4 were not kept"));
    assert_non_null(strstr(text, "the same command with another --out"));
    assert_non_null(strstr(text, "8 steps"));
    /* What it says works. */
    snprintf(options, sizeof options,
             "run %s --only train.batch=24 --only train.ema=0.9 --only method=flow-matching "
             "--set evaluate.updates='[3, 4]'",
             experiment);
    assert_int_equal(test_shell(text, sizeof text, "rm -rf %s", fresh), 0);
    run(options, fresh);
    snprintf(options, sizeof options, "merge %s/fewstep.db %s/fewstep.db -o %s/fewstep.db", out, fresh, out);
    assert_int_equal(test_program_run("", options, text, sizeof text), 0);
    snprintf(options, sizeof options,
             "run %s --out %s --quiet --only train.batch=24 --only train.ema=0.9 --only "
             "method=flow-matching --set evaluate.updates='[3, 4]' >&2",
             experiment, out);
    assert_int_equal(test_program_run("", options, text, sizeof text), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(experiment, sizeof experiment, "%s", test_path("my experiment.yaml")); /* a blank in its name */
    snprintf(out, sizeof out, "%s", test_path("out"));
    snprintf(fresh, sizeof fresh, "%s", test_path("fresh"));
    test_write(experiment, experiment_text, sizeof experiment_text - 1);
    snprintf(experiment, sizeof experiment, "'%s'", test_path("my experiment.yaml"));
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_command_makes_the_same_run),
        cmocka_unit_test(test_a_label),
        cmocka_unit_test(test_scores_are_printed),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_weights_that_were_not_kept),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
