/* How samples are drawn and what they are held against: each choice is part of a score's identity, is told apart in the
 * table, and a dry run knows it. */
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

static char experiment[256], out[256], data[256];

#define TEXT                                                                                                           \
    "experiment: choices\n"                                                                                            \
    "dataset: {name: few, kind: idx, path: %s}\n"                                                                      \
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 1, heads: 2, classes: 10, finest_steps: 8}\n"                 \
    "train: {updates: 8, batch: 16, warmup: 1, learning_rate: 0.01}\n"                                                 \
    "method: flow-matching\n"                                                                                          \
    "evaluate: {steps: [2, 3], samples: 130, weights: raw, quantize: false}\n"

static void expect_rows(const char *sql, const char *expected)
{
    char text[4096];
    test_program_query(out, sql, text, sizeof text);
    assert_string_equal(text, expected);
}

/* `run` with more arguments; *said: all that it says. */
static void run(const char *more, char *said, size_t size)
{
    char arguments[2200];
    snprintf(arguments, sizeof arguments, "run %s --out %s %s >&2", experiment, out, more);
    if (test_program_run("", arguments, said, size) != 0) {
        fail_msg("%s", said);
    }
}

static void run_with(const char *more)
{
    char said[8192];
    run(more, said, sizeof said);
}

static void expect_dry_run(const char *more, const char *expected)
{
    char with[1024], said[8192];
    snprintf(with, sizeof with, "%s --dry-run", more);
    run(with, said, sizeof said);
    if (!strstr(said, expected)) {
        fail_msg("no '%s' in: %s", expected, said);
    }
}

/* Three steps, Heun's, and a shifted grid: one training, scores of their own, sections of their own. */
static void samplers_are_scores_of_their_own(void **state)
{
    (void)state;
    char arguments[2200], id[80], said[8192];
    run_with("");
    expect_dry_run("--set evaluate.sampler=heun", "trained, 0/2 scores");
    run_with("--set evaluate.sampler=heun");
    expect_dry_run("--set evaluate.sampler=heun", "trained, 2/2 scores");
    expect_dry_run("--set evaluate.time_shift=3", "trained, 0/2 scores");
    run_with("--set evaluate.time_shift=3");
    expect_dry_run("", "trained, 2/2 scores");
    expect_rows("SELECT sampler, time_grid, group_concat(steps) FROM scores GROUP BY 1, 2 ORDER BY 1, 2",
                "heun uniform 2,3 \nmethod shifted 3 2,3 \nmethod uniform 0,2,3 \n");
    expect_rows("SELECT count(*), count(DISTINCT value) FROM scores WHERE steps > 0", "6 6 \n");
    expect_rows("SELECT count(*) FROM runs", "1 \n");
    test_program_query(out, "SELECT id FROM runs", id, sizeof id);
    snprintf(arguments, sizeof arguments, "eval %.12s --sampler midpoint --time-shift 0.5 --steps 5 --out %s >&2", id,
             out);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    assert_non_null(strstr(said, "midpoint, shifted 0.5"));
    snprintf(arguments, sizeof arguments, "table --out %s >&2", out);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    assert_non_null(strstr(said, "heun sampler (N steps are 2N − 1 evaluations of the network)"));
    assert_non_null(
        strstr(said, "midpoint sampler (N steps are 2N evaluations of the network), time grid shifted 0.5"));
    assert_non_null(strstr(said, "Flow matching (Heun)"));
}

/* Labels in turn or at random, and guidance by the number of steps: other scores of one training. */
static void labels_and_guidance(void **state)
{
    (void)state;
    run_with("--set evaluate.labels=uniform");
    expect_dry_run("--set evaluate.labels=uniform", "trained, 2/2 scores");
    expect_dry_run("", "trained, 2/2 scores");
    expect_rows("SELECT labels, count(*) FROM scores WHERE run IS NOT NULL AND sampler = 'method' AND time_grid = "
                "'uniform' GROUP BY 1 ORDER BY 1",
                "index mod classes 2 \nuniform 2 \n");
    expect_rows("SELECT count(*), count(DISTINCT run) FROM scores WHERE labels = 'uniform'", "2 1 \n");
    run_with("--set train.label_dropout=0.2 --set evaluate.guidance_scales=[1,1.5]");
    expect_rows("SELECT steps, guidance_scale FROM scores WHERE run = 2 ORDER BY 1", "2 1.0 \n3 1.5 \n");
    expect_dry_run("--set train.label_dropout=0.2", "trained, 1/2 scores");
}

/* A row of its own by the number of labels, scored once and shared by all runs of a seed. */
static void the_exact_velocity_is_a_row(void **state)
{
    char arguments[2200], said[8192];

    (void)state;
    run_with("--set evaluate.exact_velocity=true");
    expect_rows("SELECT substr(source, 1, 10), substr(source, -3), group_concat(steps) FROM scores WHERE source LIKE "
                "'exact:%' GROUP BY source",
                "exact:few: :10 2,3 \n");
    run_with("--set evaluate.exact_velocity=true --set dataset.groups=2");
    expect_rows("SELECT count(*), count(DISTINCT value) FROM scores WHERE source LIKE 'exact:%'", "4 4 \n");
    run("--set evaluate.exact_velocity=true", said, sizeof said);
    assert_null(strstr(said, "Exact velocity, seed 0: "));
    assert_non_null(strstr(said, "Exact velocity, 10 labels"));
    assert_non_null(strstr(said, "exact velocity: what flow matching would draw"));
    snprintf(arguments, sizeof arguments, "table --format csv --out %s >&2", out);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    assert_non_null(strstr(said, ",exact,2,"));
}

static int setup(void **state)
{
    char text[1024];
    (void)state;
    snprintf(experiment, sizeof experiment, "%s", test_path("choices.yaml"));
    snprintf(out, sizeof out, "%s", test_path("out"));
    snprintf(data, sizeof data, "%s", test_path("data"));
    test_small_fashion_mnist(data, 1500, 300);
    const int length = snprintf(text, sizeof text, TEXT, data);
    test_write(experiment, text, (size_t)length);
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    test_program_find(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samplers_are_scores_of_their_own),
        cmocka_unit_test(labels_and_guidance),
        cmocka_unit_test(the_exact_velocity_is_a_row),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
