/* Many scores from one run, by many metrics and at several updates: what the program prints and keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/data/dataset.h"
#include "kernels/base/file.h"
#include "tests/support/folder.h"
#include "tests/support/pictures.h"
#include "tests/support/program.h"

static char experiment[256], out[256], data[256];

#define TEXT                                                                                                           \
    "experiment: many\n"                                                                                               \
    "dataset: {name: few, kind: idx, path: %s}\n"                                                                      \
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 1, heads: 2, classes: 10, finest_steps: 8}\n"                 \
    "train: {updates: 8, batch: 16}\n"                                                                                 \
    "method: flow-matching\n"                                                                                          \
    "evaluate: {steps: [1, 8], samples: 130, metrics: [%s]}\n"

static void write_experiment(const char *metrics)
{
    char text[1024];
    const int length = snprintf(text, sizeof text, TEXT, data, metrics);
    test_write(experiment, text, (size_t)length);
}

static void expect_rows(const char *sql, const char *expected)
{
    char text[4096];
    test_program_query(out, sql, text, sizeof text);
    assert_string_equal(text, expected);
}

static void run(const char *metrics, char *text, size_t size)
{
    char arguments[2200];
    write_experiment(metrics);
    snprintf(arguments, sizeof arguments, "run %s --out %s > /dev/null", experiment, out);
    if (test_program_run("", arguments, text, size) != 0) {
        fail_msg("%s", text);
    }
}

/* fd alone; then with all others: fd's score stays the same row, and samples are drawn for the missing ones only. */
static void metrics_are_added_to_a_run(void **state)
{
    (void)state;
    char text[8192], before[256], after[256];
    run("fd", text, sizeof text);
    assert_null(strstr(text, "warning"));
    test_program_query(out, "SELECT group_concat(number || ' ' || value || ' ' || created) FROM scores", before,
                       sizeof before);
    run("fd, kid, is, fd_infinity, precision, recall, density, coverage, spectrum", text, sizeof text);
    assert_non_null(strstr(text, "warning: kid of 130 samples (enough: 1000)"));
    assert_non_null(strstr(text, "warning: precision, recall, density, coverage of 130 samples"));
    assert_null(strstr(text, ": fd "));
    test_program_query(out,
                       "SELECT group_concat(number || ' ' || value || ' ' || created) FROM scores WHERE metric = 'fd'",
                       after, sizeof after);
    assert_string_equal(before, after);
    expect_rows("SELECT steps, count(*), count(DISTINCT metric) FROM scores GROUP BY steps ORDER BY steps",
                "0 9 9 \n1 9 9 \n8 9 9 \n");
    expect_rows("SELECT count(*) FROM scores WHERE NOT (low <= value AND value <= high)", "0 \n");
    expect_rows(
        "SELECT DISTINCT metric, extractor, tap FROM scores WHERE metric IN ('is', 'kid', 'spectrum') ORDER BY 1",
        "is fashion-cnn logits \nkid fashion-cnn penultimate \nspectrum pixels pixels \n");
    expect_rows(
        "SELECT s.steps, s.metric, count(*), min(p.power > 0 AND p.reference_power > 0 AND p.standard_error > 0) "
        "FROM spectra p JOIN scores s ON s.number = p.score GROUP BY 1, 2",
        "0 spectrum 14 1 \n1 spectrum 14 1 \n8 spectrum 14 1 \n");
    /* test pictures have the training pictures' spectrum; eight updates do not make it */
    expect_rows("SELECT (SELECT value FROM scores WHERE metric = 'spectrum' AND steps = 0) < 0.2, "
                "(SELECT value FROM scores WHERE metric = 'spectrum' AND steps = 8) > 0.5",
                "1 1 \n");
    run("fd, kid, is, fd_infinity, precision, recall, density, coverage, spectrum", text, sizeof text);
    expect_rows("SELECT count(*) FROM scores", "27 \n");
}

static void table_of_one_metric(void **state)
{
    (void)state;
    char arguments[2200], said[1024], path[512], *text;
    size_t size;
    struct fs_error error;
    snprintf(path, sizeof path, "%s/table.txt", out);
    snprintf(arguments, sizeof arguments, "table --out %s --metric spectrum > %s", out, path);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    assert_int_equal(fs_file_read(path, 1 << 16, &text, &size, &error), FS_OK);
    assert_non_null(strstr(text, "spectral distance (pixels) to train, 130 samples"));
    assert_non_null(strstr(text, "95 % interval over samples"));
    assert_null(strstr(text, "FD"));
    free(text);
    snprintf(arguments, sizeof arguments, "table --out %s --metric sfd", out);
    test_program_refuses(2, arguments, "no score is left by --metric sfd");
}

/* `set`: what is added to the command, as --set key=value, or nothing. */
static void expect_dry_run(const char *set, const char *expected)
{
    char arguments[2200], said[1024], path[1100], *text;
    size_t size;
    struct fs_error error;
    snprintf(path, sizeof path, "%s/dry.txt", out);
    snprintf(arguments, sizeof arguments, "run %s --out %s %s --dry-run > %s", experiment, out, set, path);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    assert_int_equal(fs_file_read(path, 1 << 16, &text, &size, &error), FS_OK);
    assert_non_null(strstr(text, expected));
    free(text);
}

/* A dry run counts each metric at each number of steps, and refuses what the run would refuse. */
static void a_dry_run_knows_what_is_missing(void **state)
{
    (void)state;
    char arguments[2200];
    write_experiment("fd, spectrum, is");
    expect_dry_run("", "trained, 6/6 scores");
    expect_dry_run("--set evaluate.steps=[1,2]", "trained, 3/6 scores");
    write_experiment("fd, sfd, is");
    snprintf(arguments, sizeof arguments, "run %s --out %s --dry-run", experiment, out);
    test_program_refuses(2, arguments, "sfd is made of an extractor's tap 'spatial', and fashion-cnn has none");
}

/* `eval` adds a metric at another number of steps to a run that is there. */
static void eval_takes_metrics(void **state)
{
    (void)state;
    char arguments[2200], run[80], text[4096];
    test_program_query(out, "SELECT id FROM runs", run, sizeof run);
    snprintf(arguments, sizeof arguments, "eval %.12s --metrics kid,fd --steps 2 --out %s", run, out);
    if (test_program_run("", arguments, text, sizeof text) != 0) {
        fail_msg("%s", text);
    }
    expect_rows("SELECT metric FROM scores WHERE steps = 2 ORDER BY metric", "fd \nkid \n");
    expect_rows(
        "SELECT min(n), max(n) FROM (SELECT count(m.experiment) AS n FROM scores s LEFT JOIN experiment_scores m "
        "ON m.score = s.number WHERE steps = 2 GROUP BY s.number)",
        "2 2 \n"); /* the file was edited once, so the run is part of two experiments of this name */
    snprintf(arguments, sizeof arguments, "table --out %s --metric kid >&2", out);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    assert_non_null(strstr(text, "2 steps"));
    snprintf(arguments, sizeof arguments, "eval %.12s --metrics kid,fdd --out %s", run, out);
    test_program_refuses(2, arguments, "--metrics: unknown metric 'fdd': there are fd, kid, is, fd_infinity, sfd");
    snprintf(arguments, sizeof arguments, "eval %.12s --metrics recall --samples 11 --out %s", run, out);
    test_program_refuses(2, arguments, "recall needs 12 or more, got 11");
}

/* Before anything is trained. */
static void what_the_extractor_cannot_give(void **state)
{
    (void)state;
    char arguments[2200];
    write_experiment("fd, sfd");
    snprintf(arguments, sizeof arguments, "run %s --out %s --set train.updates=100000 --quiet", experiment, out);
    test_program_refuses(2, arguments, "sfd is made of an extractor's tap 'spatial', and fashion-cnn has none");
}

/* Weights before the last ones are kept and scored where the experiment asks for it; tables go on with the last, the
 * page draws them all. A run that was trained before that was asked for says what it has not, and loses nothing. */
static void scores_before_the_last_update(void **state)
{
    (void)state;
    char arguments[2200], text[8192], first[256];
    write_experiment("fd");
    snprintf(arguments, sizeof arguments, "run %s --out %s --set evaluate.updates=[3] > /dev/null", experiment, out);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 3);
    assert_non_null(strstr(text, "the weights of update 3 were not kept when it was trained"));
    expect_dry_run("--set evaluate.updates=[3]", "trained, 2/2 scores, 2 of weights that were not kept");
    snprintf(first, sizeof first, "%s", out);
    snprintf(out, sizeof out, "%s", test_path("updates"));
    snprintf(arguments, sizeof arguments, "run %s --out %s --set evaluate.updates=[3,6] >&2", experiment, out);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    assert_null(strstr(text, "were not kept"));
    expect_dry_run("--set evaluate.updates=[3,6]", "trained, 6/6 scores");
    expect_rows("SELECT at_update, group_concat(steps) FROM scores WHERE run IS NOT NULL GROUP BY 1",
                "3 1,8 \n6 1,8 \n8 1,8 \n");
    expect_rows("SELECT count(DISTINCT value) FROM scores WHERE run IS NOT NULL AND steps = 8", "3 \n");
    expect_rows("SELECT at_update FROM checkpoints ORDER BY 1", "3 \n6 \n8 \n");
    snprintf(arguments, sizeof arguments, "report --out %s -o %s/page.html", out, out);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    snprintf(arguments, sizeof arguments, "grep -q 'at 1 step against training updates' %s/page.html", out);
    assert_int_equal(system(arguments), 0);
    snprintf(out, sizeof out, "%s", first);
}

/* Four metrics of two sides say one thing of each. */
static void a_warning_is_said_once(void **state)
{
    (void)state;
    char text[8192];
    int said = 0;
    assert_int_equal(test_program_run("",
                                      "fid dataset:fashion-mnist:test dataset:fashion-mnist:train --extractor "
                                      "fashion-cnn --samples 50 --metrics precision,recall,density,coverage",
                                      text, sizeof text),
                     0);
    for (const char *at = text; (at = strstr(at, "of 50 samples (enough: 1000)")) != NULL; at++) {
        said++;
    }
    assert_int_equal(said, 2);
}

/* A bootstrap draws one of three samples alone again and again. */
static void few_samples_have_a_distance(void **state)
{
    (void)state;
    char arguments[2200], text[4096];
    write_experiment("fd");
    snprintf(arguments, sizeof arguments, "run %s --out %s --set evaluate.samples=3 > /dev/null", experiment, out);
    if (test_program_run("", arguments, text, sizeof text) != 0) {
        fail_msg("%s", text);
    }
    expect_rows("SELECT count(*), min(value > 0 AND low <= value AND value <= high) FROM scores WHERE samples = 3",
                "3 1 \n");
}

static int setup(void **state)
{
    (void)state;
    snprintf(experiment, sizeof experiment, "%s", test_path("many.yaml"));
    snprintf(out, sizeof out, "%s", test_path("out"));
    snprintf(data, sizeof data, "%s", test_path("data"));
    test_small_fashion_mnist(data, 1500, 300);
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    test_program_find(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_are_added_to_a_run),      cmocka_unit_test(table_of_one_metric),
        cmocka_unit_test(a_dry_run_knows_what_is_missing), cmocka_unit_test(eval_takes_metrics),
        cmocka_unit_test(what_the_extractor_cannot_give),  cmocka_unit_test(scores_before_the_last_update),
        cmocka_unit_test(a_warning_is_said_once),          cmocka_unit_test(few_samples_have_a_distance),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
