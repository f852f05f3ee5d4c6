/* The options that make a stored run again: for every key that there is, and for many at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/config/config.h"
#include "harness/config/schema.h"
#include "harness/run/rows.h"

static struct fs_error error;

static const char plain[] = "experiment: plain\ntrain: {updates: 400, label_dropout: 0.1}\nmethod: flow-matching\n";
/* Sizes of one's own go together. */
static const char sized[] = "experiment: sized\ntrain: {updates: 400}\nmethod: flow-matching\n"
                            "model: {preset: own, patch: 4, hidden: 64, depth: 2, heads: 4}\n";
static const char matrix[] = "experiment: matrix\n"
                             "train: {updates: 400, warmup: 7}\n"
                             "methods: {shortcut: {bootstrap_fraction: 0.25}}\n"
                             "matrix:\n"
                             "  method: [flow-matching, progressive-distillation, reflow, shortcut]\n"
                             "  train.batch: [32, 64]\n"
                             "  model.preset: [dit-xs/4, dit-xs/7]\n"
                             "  seed: [0, 3]\n"
                             "evaluate: {steps: [1, 4], samples: 100}\n";

#define WORDS 64

/* What a shell makes of " --set a=b --only c=d". */
static int split(const char *options, const char **sets, const char **only, int *only_count)
{
    static char read[16384];
    char command[16384];
    int set_count = 0;
    *only_count = 0;
    snprintf(command, sizeof command, "printf '%%s\\001' %s", options);
    FILE *pipe = popen(command, "r");
    read[fread(read, 1, sizeof read - 1, pipe)] = 0;
    assert_int_equal(pclose(pipe), 0);
    char *rest;
    for (char *word = strtok_r(read, "\001", &rest); word; word = strtok_r(NULL, "\001", &rest)) {
        const bool is_set = strcmp(word, "--set") == 0;
        assert_true(is_set || strcmp(word, "--only") == 0);
        word = strtok_r(NULL, "\001", &rest);
        assert_non_null(word);
        *(is_set ? &sets[set_count++] : &only[(*only_count)++]) = word;
        assert_true(set_count < WORDS && *only_count < WORDS);
    }
    return set_count;
}

/* The options of `run` make that very run of the text, and no other. Returns how many there are. */
static int made_again(const char *text, const struct fs_config *run)
{
    char *options, one[FS_HASH_TEXT], other[FS_HASH_TEXT];
    const char *sets[WORDS], *only[WORDS];
    int only_count, set_count;
    struct fs_experiment again;

    if (fs_run_options(text, run->json, &options, &error) != FS_OK) {
        fail_msg("%s\n%s", error.text, run->json);
    }
    set_count = *options ? split(options, sets, only, &only_count) : (only_count = 0);
    if (fs_experiment_parse("again", text, sets, set_count, only, only_count, &again, &error) != FS_OK) {
        fail_msg("%s\n%s", options, error.text);
    }
    assert_int_equal(again.run_count, 1);
    assert_int_equal(fs_run_id(run, "data", one, &error), FS_OK);
    assert_int_equal(fs_run_id(&again.runs[0], "data", other, &error), FS_OK);
    if (strcmp(one, other) != 0 || strcmp(again.runs[0].json, run->json) != 0) {
        fail_msg("%s\n  %s\n  %s", options, run->json, again.runs[0].json);
    }
    fs_experiment_free(&again);
    free(options);
    return set_count + only_count;
}

static void test_a_matrix(void **state)
{
    struct fs_experiment experiment;

    (void)state;
    assert_int_equal(fs_experiment_parse("m", matrix, NULL, 0, NULL, 0, &experiment, &error), FS_OK);
    assert_int_equal(experiment.run_count, 32);
    for (int i = 0; i < experiment.run_count; i++) {
        assert_int_equal(made_again(matrix, &experiment.runs[i]), 4);
    }
    fs_experiment_free(&experiment);
    assert_int_equal(fs_experiment_parse("p", plain, NULL, 0, NULL, 0, &experiment, &error), FS_OK);
    assert_int_equal(made_again(plain, &experiment.runs[0]), 0);
    fs_experiment_free(&experiment);
}

/* The i-th value to try: one of the key's own choices, then some of every kind; NULL past the last. */
static const char *value_to_try(const struct fs_key *key, size_t i, char choice[64])
{
    static const char *const tried[] = {"1",
                                        "3",
                                        "2",
                                        "5",
                                        "0.5",
                                        "0.25",
                                        "64",
                                        "true",
                                        "false",
                                        "[2]",
                                        "[8, 16]",
                                        "[kid, fd]",
                                        "1/4",
                                        "random",
                                        "dit-b/2",
                                        "authors",
                                        "torch",
                                        "tf1",
                                        "'a text'",
                                        "idx",
                                        "256",
                                        "uniform",
                                        "[2, 2, 2, 2, 2, 2, 2]"};
    for (const char *word = key->choices; word != NULL; i--) {
        const size_t length = strcspn(word, "|");
        if (i == 0) {
            snprintf(choice, 64, "%.*s", (int)length, word);
            return choice;
        }
        word = word[length] == '|' ? word + length + 1 : NULL;
    }
    return i < sizeof tried / sizeof *tried ? tried[i] : NULL;
}

/* Tries values until one is valid and another than the default; false where none is. */
static bool change(const char *text, const struct fs_key *key, const char *method, char value[200])
{
    const char *attempt;
    char choice[64];
    char set[2][200];
    const char *const sets[] = {set[0], set[1]};
    struct fs_experiment base, changed;

    snprintf(set[0], sizeof set[0], "method=%s", method);
    assert_int_equal(fs_experiment_parse("p", text, sets, 1, NULL, 0, &base, &error), FS_OK);
    for (size_t i = 0; (attempt = value_to_try(key, i, choice)) != NULL; i++) {
        snprintf(set[1], sizeof set[1], "%s=%s", key->name, attempt);
        if (fs_experiment_parse("p", text, sets, 2, NULL, 0, &changed, &error) != FS_OK) {
            continue;
        }
        char *one = fs_key_text(key, &base.runs[0], &error), *other = fs_key_text(key, &changed.runs[0], &error);
        const bool differs = strcmp(one, other) != 0;
        free(one);
        free(other);
        fs_experiment_free(&changed);
        if (differs) {
            snprintf(value, 200, "%s", set[1]);
            fs_experiment_free(&base);
            return true;
        }
    }
    fs_experiment_free(&base);
    return false;
}

/* For each key, the run with another value than the file's; for a method's key, that method's run. */
static void test_every_key(void **state)
{
    struct fs_schema schema;
    int keys = 0;

    (void)state;
    assert_int_equal(fs_schema_create(&schema, &error), FS_OK);
    for (int i = 0; i < schema.count; i++) {
        const struct fs_key *key = &schema.keys[i];
        const char *method = key->method ? key->method->name : "flow-matching";
        char value[200], by[64];
        const char *const sets[] = {by, value}, *text = strncmp(key->name, "model.", 6) == 0 ? sized : plain;
        struct fs_experiment changed;
        if (strcmp(key->name, "experiment") == 0) {
            continue;
        }
        snprintf(by, sizeof by, "method=%s", method);
        if (strcmp(key->name, "method") == 0) {
            snprintf(value, sizeof value, "method=shortcut");
        } else if (key->name_at && !change(text, key, method, value)) {
            continue; /* there is one name only */
        } else if (!key->name_at && !change(text, key, method, value)) {
            fail_msg("%s: none of the values that were tried is another valid one", key->name);
        }
        assert_int_equal(fs_experiment_parse("p", text, sets, 2, NULL, 0, &changed, &error), FS_OK);
        const int options = made_again(text, &changed.runs[0]);
        assert_int_equal(options, key->method && strcmp(method, "flow-matching") != 0 ? 2 : 1);
        keys++;
        fs_experiment_free(&changed);
    }
    assert_true(keys > 40);
    fs_schema_destroy(&schema);
}

/* A batch of one row is nothing for the matrix's shortcut model, which the other methods' runs must not be held up by.
 */
static void test_what_another_run_refuses(void **state)
{
    static const char *const sets[] = {"methods.shortcut.allow_missing_levels=true", "train.batch=1"};
    struct fs_experiment changed;

    (void)state;
    assert_int_equal(fs_experiment_parse("m", matrix, sets, 2, NULL, 0, &changed, &error), FS_OK);
    for (int i = 0; i < changed.run_count; i++) {
        made_again(matrix, &changed.runs[i]);
    }
    fs_experiment_free(&changed);
}

/* Some keys at once, drawn anew each time, over the matrix. */
static void test_many_keys(void **state)
{
    struct fs_schema schema;

    (void)state;
    assert_int_equal(fs_schema_create(&schema, &error), FS_OK);
    for (int trial = 0; trial < 40; trial++) {
        char values[8][200];
        const char *sets[8];
        int count = 0;
        struct fs_experiment changed;
        for (int k = 0; k < 6; k++) {
            const struct fs_key *key = &schema.keys[rand() % schema.count];
            if (strcmp(key->name, "experiment") != 0 && strcmp(key->name, "method") != 0 &&
                change(plain, key, key->method ? key->method->name : "flow-matching", values[count])) {
                sets[count] = values[count];
                count++;
            }
        }
        if (fs_experiment_parse("m", matrix, sets, count, NULL, 0, &changed, &error) != FS_OK) {
            continue; /* they do not go together */
        }
        for (int i = 0; i < changed.run_count; i += 5) {
            made_again(matrix, &changed.runs[i]);
        }
        fs_experiment_free(&changed);
    }
    fs_schema_destroy(&schema);
}

/* A file that is none without its settings, and values that a shell or YAML would take for something else. */
static void test_hard_values(void **state)
{
    static const char *const values[] = {"\"it's\"",    "\"$HOME `id` \\\"x\\\" \\\\\"",
                                         "\"true\"",    "\"No\"",
                                         "\"inf\"",     "\"mine\"",
                                         "\"-1\"",      "\"1e3\"",
                                         "\"a: b #c\"", "\"~\"",
                                         "\"é — 图\"",  "\" \"",
                                         "/a-b/c",      "\"-x/y\""};
    static const char bare[] = "experiment: bare\n";

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char set[200];
        const char *const sets[] = {"train.updates=5", "method=reflow", set};
        struct fs_experiment experiment;
        snprintf(set, sizeof set, "dataset.path=%s", values[i]);
        if (fs_experiment_parse("b", bare, sets, 3, NULL, 0, &experiment, &error) != FS_OK) {
            fail_msg("%s", error.text);
        }
        made_again(bare, &experiment.runs[0]);
        fs_experiment_free(&experiment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_matrix),
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_what_another_run_refuses),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_hard_values),
    };

    srand((unsigned)time(NULL));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
