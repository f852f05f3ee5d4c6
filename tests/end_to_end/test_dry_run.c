/* A dry run promises what the real run then makes: as many scores, whatever key of `evaluate` is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/config/schema.h"
#include "tests/support/folder.h"
#include "tests/support/pictures.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

#define TEXT                                                                                                           \
    "experiment: small\n"                                                                                              \
    "dataset: {name: few, kind: idx, path: %s}\n"                                                                      \
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 1, heads: 2, classes: 10, finest_steps: 8}\n"                 \
    "train: {updates: 8, batch: 16, label_dropout: 0.1}\n"                                                             \
    "method: flow-matching\n"                                                                                          \
    "evaluate: {steps: [1, 8], updates: [4], samples: 130, metrics: [fd]}\n"

static char experiment[256], out[256], drawn[256];

/* Another value than the experiment's, how many new scores it asks for of weights that are there (−1: not known), of
 * two numbers of steps at updates 4 and 8, and the run's exit status. */
static const struct change {
    const char *key, *value;
    int scores, status;
} changes[] = {
    {"evaluate.decoder_precision", "bf16", 0, 0},     /* pictures are not decoded */
    {"evaluate.exact_velocity", "true", 0, 0},        /* its scores are of no run */
    {"evaluate.extractors", "[inception-v3]", -1, 2}, /* its weights are not there */
    {"evaluate.guidance_scale", "2", 4, 0},
    {"evaluate.guidance_scales", "[3, 1]", 2, 0},
    {"evaluate.labels", "uniform", 4, 0},
    {"evaluate.metrics", "[fd, kid, spectrum]", 8, 0},
    {"evaluate.quantize", "false", 4, 0},
    {"evaluate.reference", drawn, 4, 0},
    {"evaluate.resize", "tf1", 0, 0}, /* fashion-cnn takes one size only */
    {"evaluate.sampler", "midpoint", 4, 0},
    {"evaluate.samples", "150", 4, 0},
    {"evaluate.steps", "[1, 2, 4]", 4, 0},
    {"evaluate.time_shift", "3", 4, 0},
    {"evaluate.updates", "[4, 6]", 0, 3}, /* those of 6 were not kept */
    {"evaluate.weights", "raw", 4, 0},
};

/* What the program prints with `more` options; its exit status. */
static int run(const char *more, char *text, size_t size)
{
    return test_shell(text, size, "env -u FEWSTEP_DATA HOME=/nowhere %s run %s --out %s %s", test_program(), experiment,
                      out, more);
}

/* "trained, 3/4 scores" → how many are missing; −1: not known. */
static int promised(const char *set)
{
    static char text[16384];
    char more[256];
    int made, asked;

    snprintf(more, sizeof more, "--dry-run %s", set);
    if (run(more, text, sizeof text) != 0) {
        fail_msg("%s", text);
    }
    const char *done = strstr(text, "trained, ");
    if (!done) {
        fail_msg("%s: not trained: %s", set, text);
    }
    return sscanf(done, "trained, %d/%d scores", &made, &asked) == 2 ? asked - made : -1;
}

static const struct change *find_change(const char *key)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        if (strcmp(changes[i].key, key) == 0) {
            return &changes[i];
        }
    }
    return NULL;
}

static int count_scores(void)
{
    char text[64];

    test_program_query(out, "SELECT count(*) FROM scores WHERE run IS NOT NULL", text, sizeof text);
    return atoi(text);
}

static void test_every_key_of_evaluate(void **state)
{
    static char text[16384];
    struct fs_schema schema;
    struct fs_error error;
    int walked = 0;

    (void)state;
    assert_int_equal(fs_schema_create(&schema, &error), FS_OK);
    assert_int_equal(promised(""), 0);
    for (int i = 0; i < schema.count; i++) {
        if (strncmp(schema.keys[i].name, "evaluate.", 9) != 0) {
            continue;
        }
        const struct change *change = find_change(schema.keys[i].name);
        if (!change) {
            fail_msg("%s: a new key: say here what another value of it asks for", schema.keys[i].name);
            return;
        }
        char set[256];
        snprintf(set, sizeof set, "--quiet --set '%s=%s'", change->key, change->value);
        const int missing = promised(set + strlen("--quiet ")), before = count_scores();
        assert_int_equal(missing, change->scores);
        const int status = run(set, text, sizeof text);
        if (status != change->status) {
            fail_msg("%s: the dry run promised %d scores and the run ended with %d: %s", set, missing, status, text);
        }
        assert_int_equal(count_scores() - before, missing > 0 ? missing : 0);
        assert_int_equal(promised(set + strlen("--quiet ")), missing > 0 ? 0 : missing);
        walked++;
    }
    fs_schema_destroy(&schema);
    assert_int_equal(walked, sizeof changes / sizeof *changes);
}

/* Weights that an earlier run was not asked to keep cannot be scored: that is said, and nothing is promised. */
static void test_weights_that_were_not_kept(void **state)
{
    static char text[16384];

    (void)state;
    assert_int_equal(run("--dry-run --set 'evaluate.updates=[4, 6]'", text, sizeof text), 0);
    assert_non_null(strstr(text, "scores, 2 of weights that were not kept"));
}

/* Two keys that vary: each line says both. */
static void test_runs_are_named_apart(void **state)
{
    static char text[16384];
    char file[1024];
    const char *path = test_path("two.yaml");

    (void)state;
    const int length =
        snprintf(file, sizeof file, TEXT "matrix: {train.batch: [16, 24], train.learning_rate: [1e-3, 1e-4]}\n",
                 test_path("data"));
    test_write(path, file, (size_t)length);
    assert_int_equal(test_shell(text, sizeof text, "env -u FEWSTEP_DATA HOME=/nowhere %s run %s --out %s --dry-run",
                                test_program(), path, test_path("none")),
                     0);
    assert_non_null(strstr(text, "\nFlow matching (Euler), batch 16, learning_rate 0.001   "));
    assert_non_null(strstr(text, "\nFlow matching (Euler), batch 24, learning_rate 0.0001  "));
}

/* The paper's tables: their cost can be told before there are latents, on a GPU that is named at a rate that is said.
 * Of eight trainings, three have the flow-matching run as their teacher, which is counted once: 0.35·989 TFLOP/s for
 * the hours that are printed is the total. */
static void test_latents_that_are_still_to_be_made(void **state)
{
    static char text[16384];
    static const char *const names[] = {"celebahq256", "imagenet256"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        double total = 0, student = 0, pairs = 0, scores = 0, all = 0, hours = 0;
        assert_int_equal(test_shell(text, sizeof text, "%s run experiments/%s-table.yaml --out %s --dry-run",
                                    test_program(), names[i], test_path("none")),
                         0);
        int lines = 0;
        for (const char *at = text; (at = strstr(at, "the data are not there")) != NULL; at++) {
            const char *line = at;
            while (line > text && line[-1] != '\n') {
                line--;
            }
            assert_int_equal(sscanf(line + 30, "%*d %*d %lf TF %*f TF %lf TF %lf TF", &student, &pairs, &scores), 3);
            all += student + pairs + scores;
            lines++;
        }
        assert_int_equal(lines, 8);
        const char *sum = strstr(text, "at most "), *gpu = strstr(text, "one H100 at 35 % of the 989 TFLOP/s");
        assert_non_null(sum);
        assert_non_null(gpu);
        assert_int_equal(sscanf(sum, "at most %lf TFLOP", &total), 1);
        assert_int_equal(sscanf(strstr(gpu, "bf16: "), "bf16: %lf hours", &hours), 1);
        assert_true(total > 0.9999 * all && total < 1.0001 * all);
        const double expected = total / (0.35 * 989) / 3600;
        assert_true(hours > 0.99 * expected && hours < 1.01 * expected);
        double plain[3], sharded[3];
        const char *ranks = strstr(text, "memory of each of several ranks"),
                   *in_parts = strstr(text, "shard_optimizer: ");
        assert_true(ranks && in_parts);
        assert_int_equal(sscanf(strstr(ranks, "2 ranks"), "2 ranks %lf GB, 4 ranks %lf GB, 8 ranks %lf GB", &plain[0],
                                &plain[1], &plain[2]),
                         3);
        assert_int_equal(sscanf(in_parts, "shard_optimizer: 2 ranks %lf GB, 4 ranks %lf GB, 8 ranks %lf GB",
                                &sharded[0], &sharded[1], &sharded[2]),
                         3);
        for (int k = 0; k < 3;
             k++) { /* fewer rows a rank need less, and so do parts of the moments of 0.13 G weights */
            const double saved = plain[k] - sharded[k], moments = 8 * 0.13 * (1 - 0.5 / (1 << k));
            assert_true(k == 0 || plain[k] < plain[k - 1]);
            assert_true(saved > 0.8 * moments && saved < 2.2 * moments); /* and of an average */
        }
        assert_non_null(strstr(in_parts, "the 80 GB of one H100 are enough for "));
        assert_int_equal(test_shell(text, sizeof text, "%s run experiments/%s-table.yaml --out %s", test_program(),
                                    names[i], test_path("none")),
                         2);
        assert_non_null(strstr(text, "no folder of latents"));
    }
    assert_int_equal(
        test_shell(text, sizeof text, "%s run experiments/imagenet256-table.yaml --dry-run --gpu K80", test_program()),
        2);
    assert_non_null(strstr(text, "--gpu: 'K80' is not known; there are "));
}

static int setup(void **state)
{
    static char text[16384];
    char data[512];

    (void)state;
    snprintf(experiment, sizeof experiment, "%s", test_path("small.yaml"));
    snprintf(out, sizeof out, "%s", test_path("out"));
    snprintf(data, sizeof data, "%s", test_path("data"));
    test_small_fashion_mnist(data, 1500, 300);
    const int length = snprintf(text, sizeof text, TEXT, data);
    test_write(experiment, text, (size_t)length);
    if (run("--quiet", text, sizeof text) != 0) {
        fail_msg("%s", text);
    }
    char id[80];
    snprintf(drawn, sizeof drawn, "%s", test_path("drawn/"));
    test_program_query(out, "SELECT id FROM runs", id, sizeof id);
    return test_shell(text, sizeof text, "%s sample %.12s --out %s --count 20 --steps 1 -o %s", test_program(), id, out,
                      drawn);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_of_evaluate),
        cmocka_unit_test(test_weights_that_were_not_kept),
        cmocka_unit_test(test_runs_are_named_apart),
        cmocka_unit_test(test_latents_that_are_still_to_be_made),
    };

    (void)argc;
    test_program_find(argv[0]);
    return cmocka_run_group_tests(tests, setup, NULL);
}
