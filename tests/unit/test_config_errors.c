/* Wrong experiment files: for each the whole message, with line and key; and mutations of a good file, which must be
 * either taken or refused with one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "harness/data/dataset.h"
#include "tests/support/folder.h"
#include "tests/support/mock_training.h"

#define GOOD "experiment: x\nmethod: flow-matching\n"
#define TRAIN GOOD "train:\n  updates: 10\n"

/* `message` follows the file's path. */
static const struct {
    const char *text, *message;
} FILES[] = {
    /* what is no map of known keys */
    {"", ": is empty"},
    {"just text\n", ":1: expected lines of the form `key: value`, got 'just text'"},
    {"- a\n- b\n", ":1: expected lines of the form `key: value`, got a list"},
    {GOOD "train: 5\n", ":3: train: expected a section of keys, got '5'"},
    {GOOD "train:\n", ":3: train: expected a section of keys, got nothing"},
    {GOOD "train: [updates]\n", ":3: train: expected a section of keys, got a list"},
    {GOOD "methods:\n  shortcut: 1\n", ":4: methods.shortcut: expected a section of keys, got '1'"},
    {TRAIN "  btach: 3\n", ":5: train.btach: unknown key; did you mean train.batch?"},
    {GOOD "batch: 3\n", ":3: batch: unknown key; did you mean train.batch?"},
    {GOOD "trian:\n  batch: 3\n", ":3: trian: unknown key; did you mean train?"},
    {GOOD "matrx: {}\n", ":3: matrx: unknown key; did you mean matrix?"},
    {GOOD "hypothesis: []\n", ":3: hypothesis: unknown key; did you mean hypotheses?"},
    /* what is expected */
    {TRAIN "hypotheses: []\n", ":5: hypotheses: expected a list, got an empty one"},
    {TRAIN "hypotheses: shortcut < reflow at 4\n", ":5: hypotheses: expected a list, got 'shortcut < reflow at 4'"},
    {TRAIN "hypotheses:\n  - shortcut > reflow at 4\n",
     ":6: hypotheses: expected A < B at N, such as shortcut < flow-matching at 4, got 'shortcut > reflow at 4'"},
    {TRAIN "hypotheses:\n  - shortcut < reflow at 0\n",
     ":6: hypotheses: expected A < B at N, such as shortcut < flow-matching at 4, got 'shortcut < reflow at 0'"},
    {TRAIN "hypotheses:\n  - shortcut < reflow at 4 steps\n",
     ":6: hypotheses: expected A < B at N, such as shortcut < flow-matching at 4, got 'shortcut < reflow at 4 steps'"},
    {TRAIN "hypotheses:\n  - shortcat < reflow at 4\n", ":6: hypotheses: there is no method 'shortcat'"},
    {TRAIN "hypotheses:\n  - reflow < reflow at 4\n", ":6: hypotheses: 'reflow' stands on both sides"},
    {TRAIN "hypotheses: [shortcut < reflow at 1, shortcut < reflow at 1]\n",
     ":5: hypotheses: 'shortcut < reflow at 1' stands there twice"},
    {TRAIN "hypotheses: [flow-matching < reflow at 1]\n",
     ":5: hypotheses: no run of this experiment is of reflow and scored at 1 step"},
    {TRAIN "evaluate: {steps: [1, 4]}\nmatrix: {method: [flow-matching, shortcut]}\nhypotheses:\n  - shortcut < "
           "flow-matching at 4\n  - shortcut < flow-matching at 8\n",
     ":9: hypotheses: no run of this experiment is of shortcut and scored at 8 steps"},
    {TRAIN "  colour: red\n",
     ":5: train.colour: unknown key; train has: batch, beta1, beta2, checkpoint_every, clip_norm, ema, ema_reset, "
     "ema_warmup, label_dropout, learning_rate, micro_batch, on_divergence, pairing, pairing_group, precision, "
     "recompute, schedule, shard_optimizer, "
     "student_start, "
     "updates, warmup, warmup_from_zero, weight_decay"},
    {GOOD "something: {else: 1}\n", ":3: something: unknown key; the file has: dataset, device, evaluate, experiment, "
                                    "method, methods, model, seed, train"},
    {GOOD "methods: {shortcut: {max_steps: 1}}\n",
     ":3: methods.shortcut.max_steps: unknown key; did you mean methods.shortcut.max_step?"},
    {GOOD "train.batch: 3\n", ":3: train.batch: dotted names are for `matrix` and `--set`; write it as a key of its "
                              "section"},
    {TRAIN "  updates: 11\n", ":5: the key 'updates' stands here a second time"},
    {"method: flow-matching\ntrain: {updates: 1}\n", ": experiment: is missing, and has no default"},
    {"experiment: x\ntrain: {updates: 1}\n", ": method: is missing, and has no default"},
    {GOOD, ": train.updates: is missing, and has no default"},
    /* types and ranges */
    {TRAIN "  batch: abc\n", ":5: train.batch: expected a whole number from 1 to 65536, got 'abc'"},
    {TRAIN "  batch: 0\n", ":5: train.batch: expected a whole number from 1 to 65536, got '0'"},
    {TRAIN "  batch: 1.5\n", ":5: train.batch: expected a whole number from 1 to 65536, got '1.5'"},
    {TRAIN "  batch: 010\n", ":5: train.batch: expected a whole number from 1 to 65536, got '010'"},
    {TRAIN "  batch: \"8\"\n", ":5: train.batch: expected a whole number from 1 to 65536, got the quoted text '8'"},
    {TRAIN "  batch:\n", ":5: train.batch: expected a whole number from 1 to 65536, got nothing"},
    {TRAIN "  batch: {a: 1}\n", ":5: train.batch: expected a whole number from 1 to 65536, got a map"},
    {TRAIN "  batch: 99999999999999999999\n",
     ":5: train.batch: expected a whole number from 1 to 65536, got '99999999999999999999'"},
    {TRAIN "  learning_rate: -1\n", ":5: train.learning_rate: expected a number > 0, got '-1'"},
    {TRAIN "  learning_rate: 0\n", ":5: train.learning_rate: expected a number > 0, got '0'"},
    {TRAIN "  learning_rate: nan\n", ":5: train.learning_rate: expected a number > 0, got 'nan'"},
    {TRAIN "  learning_rate: 1e999\n", ":5: train.learning_rate: expected a number > 0, got '1e999'"},
    {TRAIN "  learning_rate: 0x1p-3\n", ":5: train.learning_rate: expected a number > 0, got '0x1p-3'"},
    {TRAIN "  weight_decay: -0.1\n", ":5: train.weight_decay: expected a number ≥ 0, got '-0.1'"},
    {TRAIN "  ema: 1\n", ":5: train.ema: expected a number in [0, 1), got '1'"},
    {TRAIN "  ema_warmup: yes\n", ":5: train.ema_warmup: expected true or false, got 'yes'"},
    {TRAIN "  schedule: linear\n", ":5: train.schedule: expected constant, cosine or cosine-phase, got 'linear'"},
    {TRAIN "  on_divergence: lower\n", ":5: train.on_divergence: expected stop or restart-lower, got 'lower'"},
    {TRAIN "dataset: {groups: 3}\n", ":5: dataset.groups: expected a number that divides model.classes 10, so that all "
                                     "groups are alike, got 3"},
    {TRAIN "dataset: {groups: 2}\nmodel: {classes: 0}\n",
     ":5: dataset.groups: expected a number that divides model.classes 0, so that all groups are alike, got 2"},
    {TRAIN "dataset: {gruops: 2}\n", ":5: dataset.gruops: unknown key; did you mean dataset.groups?"},
    {TRAIN "methods: {shortcut: {learning_rate: 0}}\n",
     ":5: methods.shortcut.learning_rate: expected train or a number > 0, got '0'"},
    {TRAIN "methods: {reflow: {clip-norm: 1}}\n",
     ":5: methods.reflow.clip-norm: unknown key; did you mean methods.reflow.clip_norm?"},
    {TRAIN "  precision: fp16\n", ":5: train.precision: expected fp32 or bf16, got 'fp16'"},
    {TRAIN "  checkpoint_every: never\n", ":5: train.checkpoint_every: expected auto or a number > 0, got 'never'"},
    {TRAIN "  checkpoint_every: 0\n", ":5: train.checkpoint_every: expected auto or a number > 0, got '0'"},
    {TRAIN "  micro_batch: 129\n", ":5: train.micro_batch: 129 is more than train.batch 128"},
    {TRAIN "device: tpu\n", ":5: device: expected auto, cpu or cuda, got 'tpu'"},
    {TRAIN "seed: -1\n", ":5: seed: expected a whole number from 0 to 4294967295, got '-1'"},
    {TRAIN "seed: 4294967296\n", ":5: seed: expected a whole number from 0 to 4294967295, got '4294967296'"},
    {"experiment: [x]\n", ":1: experiment: expected one line of text shorter than 64 bytes, got a list"},
    {"experiment: \"\"\nmethod: reflow\n",
     ":1: experiment: expected one line of text shorter than 64 bytes, got the quoted text ''"},
    {"experiment: 1234567890123456789012345678901234567890123456789012345678901234\n",
     ":1: experiment: expected one line of text shorter than 64 bytes, got "
     "'123456789012345678901234567890123456789012345678…'"},
    /* names */
    {TRAIN "matrix: {model.classes: [10, 7]}\n",
     ":5: model.classes: expected the 10 of fashion-mnist, or 0 for no labels, got 7"},
    {TRAIN "dataset: {name: gaussian-mixture}\nmodel: {preset: dit-xs/4, classes: 4}\n",
     ":6: model.preset: patches of 4 do not divide the 2×2 pictures of gaussian-mixture"},
    {TRAIN "model:\n  preset: dit-xxl/4\n", ":6: model.preset: expected dit-xs, dit-ti, dit-s, dit-b, dit-l or dit-xl "
                                            "with a patch size, such as dit-xs/4, got 'dit-xxl/4'"},
    {TRAIN "evaluate: {extractors: [resnet]}\n",
     ":5: evaluate.extractors: expected a list of fashion-cnn, inception-v3 or a file NAME.safetensors, got 'resnet'"},
    {TRAIN "evaluate: {metrics: [fid]}\n",
     ":5: evaluate.metrics: expected a list of fd, kid, is, fd_infinity, sfd, precision, recall, density, coverage or "
     "spectrum, got 'fid'"},
    {TRAIN "evaluate: {metrics: [fd, kid, fd]}\n",
     ":5: evaluate.metrics: expected a list of fd, kid, is, "
     "fd_infinity, sfd, precision, recall, density, coverage or spectrum, got 'fd'"},
    {TRAIN "evaluate: {metrics: [fd, recall], samples: 11}\n", ":5: evaluate.samples: recall needs 12 or more, got 11"},
    /* lists */
    {TRAIN "evaluate:\n  steps: []\n",
     ":6: evaluate.steps: expected a list of different whole numbers from 1 to 1024, got a list"},
    {TRAIN "evaluate:\n  steps: [1,\n    1]\n",
     ":7: evaluate.steps: expected a list of different whole numbers from 1 to 1024, got '1'"},
    {TRAIN "evaluate: {steps: [0]}\n",
     ":5: evaluate.steps: expected a list of different whole numbers from 1 to 1024, got '0'"},
    {TRAIN "evaluate: {steps: [[1]]}\n",
     ":5: evaluate.steps: expected a list of different whole numbers from 1 to 1024, got a list"},
    {TRAIN "evaluate: {steps: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}\n",
     ":5: evaluate.steps: more than 16 values"},
    {TRAIN "matrix: {method: [shortcut]}\nevaluate: {steps: [1, 3]}\n",
     ":6: evaluate.steps: expected powers of two up to model.finest_steps 128 for shortcut, got 3"},
    {TRAIN "evaluate: {steps: [3, 256]}\n",
     ":5: evaluate.steps: expected numbers up to model.finest_steps 128 for flow-matching, got 256"},
    {TRAIN "model: {finest_steps: 64}\n",
     ": evaluate.steps: expected numbers up to model.finest_steps 64 for flow-matching, got 128"},
    {TRAIN "evaluate: {sampler: huen}\n", ":5: evaluate.sampler: expected method, heun or midpoint, got 'huen'"},
    {TRAIN "matrix: {method: [flow-matching, shortcut]}\nevaluate: {sampler: heun}\n",
     ":6: evaluate.sampler: expected method for shortcut, whose steps are its own, got heun"},
    {TRAIN "evaluate: {steps: [1, 4, 128], guidance_scales: [1, 1.5]}\n",
     ":5: evaluate.guidance_scales: expected a scale for each of the 3 evaluate.steps, got 2"},
    {TRAIN "evaluate: {guidance_scales: [-1]}\n",
     ":5: evaluate.guidance_scales: expected a list of numbers ≥ 0, got '-1'"},
    {TRAIN "evaluate: {steps: [1, 128], guidance_scales: [1, 1.5]}\n",
     ":5: evaluate.guidance_scales: needs train.label_dropout above 0: without it the null label is never trained"},
    {TRAIN "evaluate: {labels: random}\n", ":5: evaluate.labels: expected cycle or uniform, got 'random'"},
    {TRAIN "evaluate: {exact-velocity: true}\n",
     ":5: evaluate.exact-velocity: unknown key; did you mean evaluate.exact_velocity?"},
    {TRAIN "evaluate: {time_shift: 0}\n", ":5: evaluate.time_shift: expected a number in (0, 1000], got '0'"},
    {TRAIN "evaluate: {time-shift: 3}\n", ":5: evaluate.time-shift: unknown key; did you mean evaluate.time_shift?"},
    {TRAIN "matrix: {method: [shortcut]}\nevaluate: {time_shift: 3}\n",
     ":6: evaluate.time_shift: expected 1 for shortcut, whose steps are all alike, got 3"},
    {TRAIN "evaluate: {samples: 1}\n", ":5: evaluate.samples: expected a whole number from 2 to 10000000, got '1'"},
    /* keys against each other, the data set and the method */
    {TRAIN "model: {finest_steps: 100}\n", ":5: model.finest_steps: expected a power of two from 2 to 1024, got 100"},
    {TRAIN "model: {finest_steps: 2048}\n",
     ":5: model.finest_steps: expected a whole number from 2 to 1024, got '2048'"},
    {TRAIN "model: {preset: dit-xs/5}\n",
     ":5: model.preset: patches of 5 do not divide the 28×28 pictures of fashion-mnist"},
    {TRAIN "model: {classes: 7}\n", ":5: model.classes: expected the 10 of fashion-mnist, or 0 for no labels, got 7"},
    {TRAIN "model: {preset: dit-xs/4, hidden: 64}\n", ":5: model.preset: patch, hidden, depth and heads go together, "
                                                      "under a name of their own in model.preset"},
    {TRAIN "model: {preset: dit-xs/4, patch: 4, hidden: 64, depth: 4, heads: 4}\n",
     ":5: model.preset: dit-xs/4 has patch 4, hidden 128, depth 4, heads 4; other sizes need a name of their own"},
    {TRAIN "model:\n  preset: mine\n  patch: 4\n  hidden: 20\n  depth: 1\n  heads: 3\n",
     ":8: model.hidden: 20 is not divisible by 3 heads"},
    {TRAIN "model:\n  preset: mine\n  patch: 4\n  hidden: 18\n  depth: 1\n  heads: 3\n",
     ":8: model.hidden: 18 is not divisible by 4 (sine and cosine of row and column)"},
    {TRAIN "model:\n  preset: mine\n  patch: 3\n  hidden: 16\n  depth: 1\n  heads: 2\n",
     ":7: model.patch: patches of 3 do not divide the 28×28 pictures of fashion-mnist"},
    {TRAIN "evaluate: {guidance_scale: 2}\n", ":5: evaluate.guidance_scale: needs train.label_dropout above 0: without "
                                              "it the null label is never trained"},
    {TRAIN "model: {classes: 0}\nevaluate: {guidance_scale: 2}\n",
     ":6: evaluate.guidance_scale: needs labels, and model.classes is 0"},
    {"experiment: x\nmethod: reflow\ntrain: {updates: 1}\n",
     ":3: train.updates: 1 cannot be shared: the teacher would get 1 and the student 0"},
    {"experiment: x\nmethod: shortcut\ntrain: {updates: 10, label_dropout: 0.1}\nevaluate: {guidance_scale: 2}\n",
     ":4: evaluate.guidance_scale: means nothing for shortcut at 1 steps: a shortcut model is trained with the null "
     "label "
     "at its finest step only"},
    /* a method that was not chosen is read too */
    {TRAIN "methods:\n  shortcut: {max_step: 3}\n",
     ":6: methods.shortcut.max_step: expected a step size 1, 1/2, 1/4, 1/8 …, got '3'"},
    {TRAIN "methods: {shortcut: {max_step: 1/3}}\n",
     ":5: methods.shortcut.max_step: expected a step size 1, 1/2, 1/4, 1/8 …, got '1/3'"},
    {TRAIN "methods: {reflow: {init: random}}\n", ":5: methods.reflow.init: expected teacher or scratch, got 'random'"},
    {TRAIN "methods: {reflow: {pairs: many}}\n", NULL},
    {TRAIN "methods: {progressive-distillation: {teacher_share: 1}}\n", NULL},
    {TRAIN "methods: {progressive-distillation: {teacher_share: 0}}\n", NULL},
    {"experiment: x\nmethod: shortcut\ntrain: {updates: 10, batch: 8}\n", NULL},
    /* the matrix */
    {TRAIN "matrix: 5\n", ":5: matrix: expected dotted keys with lists of values, got '5'"},
    {TRAIN "matrix: []\n", ":5: matrix: expected dotted keys with lists of values, got a list"},
    {TRAIN "matrix:\n  - {seed: [0]}\n  - 3\n",
     ":7: matrix: expected dotted keys with lists of values in each of its blocks, got '3'"},
    {TRAIN "matrix:\n  - {seed: [0]}\n  - {seed: [1], train.batch: [8]}\n",
     ":6: matrix: its blocks name the same keys; this one has no train.batch"},
    {TRAIN "matrix:\n  - {seed: [0], train.batch: [8]}\n  - {seed: [1]}\n",
     ":7: matrix: its blocks name the same keys; this one has no train.batch"},
    {TRAIN "matrix:\n  - {seed: [0]}\n  - {sead: [1]}\n", ":7: sead: unknown key; did you mean seed?"},
    {TRAIN "matrix: {seed: 0}\n", ":5: matrix.seed: expected a list of values, got '0'"},
    {TRAIN "matrix: {seed: []}\n", ":5: matrix.seed: expected a list of values, got an empty one"},
    {TRAIN "matrix:\n  sead: [0]\n", ":6: sead: unknown key; did you mean seed?"},
    {TRAIN "matrix: {device: {a: 1}}\n", ":5: matrix.device: expected a list of values, got a map"},
    {TRAIN "matrix: {experiment: [a, b]}\n", ":5: matrix.experiment: an experiment has one name"},
    {TRAIN "matrix: {methods.reflow: [1]}\n",
     ":5: methods.reflow: is a section, not a key; it has: clip_norm, init, learning_rate, pairs, "
     "teacher_share, teacher_steps, teacher_updates"},
    {TRAIN "matrix:\n  seed:\n    - 0\n    - x\n", ":8: seed: expected a whole number from 0 to 4294967295, got 'x'"},
};

/* Reads an experiment as `run` does: the file, then each run against its data. */
static fs_status read_all(const char *path, const char *const *sets, int set_count, const char *const *only,
                          int only_count, struct fs_error *error)
{
    struct fs_experiment experiment;
    fs_status status = fs_experiment_read(path, sets, set_count, only, only_count, &experiment, error);
    for (int i = 0; status == FS_OK && i < experiment.run_count; i++) {
        struct fs_data_shape shape;
        status = fs_dataset_check(&experiment.runs[i], &shape, error);
    }
    fs_experiment_free(&experiment);
    return status;
}

static void files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        const char *path = test_path("x.yaml");
        struct fs_error error = {.text = ""};
        char expected[1200];
        test_write(path, FILES[i].text, strlen(FILES[i].text));
        if (read_all(path, NULL, 0, NULL, 0, &error) != FS_USAGE) {
            fail_msg("taken:\n%s", FILES[i].text);
        }
        snprintf(expected, sizeof expected, "%s%s", path, FILES[i].message == NULL ? ":" : FILES[i].message);
        if (FILES[i].message == NULL) { /* the range is the method's own */
            assert_memory_equal(error.text, expected, strlen(expected));
            assert_non_null(strstr(error.text, ": methods."));
        } else {
            assert_string_equal(error.text, expected);
        }
    }
}

/* The kinds that the message names are those of the list. */
static void unknown_data(void **state)
{
    (void)state;
    static const char text[] = TRAIN "dataset: {name: mnist}\n";
    const char *path = test_path("x.yaml"), *kind;
    struct fs_error error = {.text = ""};
    char begin[512];
    bool needs_path;
    test_write(path, text, strlen(text));
    assert_int_equal(read_all(path, NULL, 0, NULL, 0, &error), FS_USAGE);
    const int length =
        snprintf(begin, sizeof begin, "%s:5: dataset.name: there is no data set 'mnist'; there are ", path);
    assert_memory_equal(error.text, begin, (size_t)length);
    for (int i = 0; (kind = fs_dataset_kind(i, &needs_path)) != NULL; i++) {
        assert_non_null(strstr(error.text + length, kind));
    }
}

/* --set and --only are their own place; what the file says elsewhere keeps its own. */
static void options(void **state)
{
    (void)state;
    static const struct {
        const char *option, *message;
        bool only;
    } cases[] = {
        {"train.batch=abc", "--set train.batch=abc: train.batch: expected a whole number from 1 to 65536, got 'abc'",
         false},
        {"train.btach=3", "--set train.btach=3: train.btach: unknown key; did you mean train.batch?", false},
        {"train=3",
         "--set train=3: train: is a section, not a key; it has: batch, beta1, beta2, checkpoint_every, clip_norm, "
         "ema, ema_reset, ema_warmup, label_dropout, learning_rate, micro_batch, on_divergence, pairing, "
         "pairing_group, precision, recompute, "
         "schedule, shard_optimizer, student_start, updates, warmup, warmup_from_zero, weight_decay",
         false},
        {"train.batch", "--set train.batch: expected KEY=VALUE, such as --set train.batch=64", false},
        {"train.batch=", "--set train.batch=: train.batch: no value after '='", false},
        {"evaluate.steps=[1, 300]",
         "--set evaluate.steps=[1, 300]: evaluate.steps: expected numbers up to model.finest_steps 128 for "
         "flow-matching, got 300",
         false},
        {"evaluate.updates=[1, 10]",
         "--set evaluate.updates=[1, 10]: evaluate.updates: expected numbers below train.updates 10 (the "
         "last is "
         "always scored), got 10",
         false},
        {"evaluate.updates=[0]",
         "--set evaluate.updates=[0]: evaluate.updates: expected a list of different whole numbers from 1 to "
         "1000000000, got '0'",
         false},
        {"evaluate.steps=[1,",
         "--set evaluate.steps=[1,: not valid YAML: did not find expected node content while parsing a flow node",
         false},
        {"=3", NULL, false},
        {"model.preset=dit-xs/5",
         "--set model.preset=dit-xs/5: model.preset: patches of 5 do not divide the 28×28 pictures of fashion-mnist",
         false},
        {"sed=1", "--only sed=1: sed: unknown key; did you mean seed?", true},
    };
    const char *path = test_path("x.yaml");
    test_write(path, TRAIN, strlen(TRAIN));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fs_error error = {.text = ""};
        const char *const list[] = {cases[i].option};
        assert_int_equal(read_all(path, list, !cases[i].only, list, cases[i].only, &error), FS_USAGE);
        if (cases[i].message != NULL) {
            assert_string_equal(error.text, cases[i].message);
        }
    }
    struct fs_experiment experiment;
    struct fs_error error = {.text = ""};
    char expected[512];
    assert_int_equal(fs_experiment_read(path, NULL, 0, (const char *const[]){"seed=1"}, 1, &experiment, &error),
                     FS_USAGE);
    snprintf(expected, sizeof expected, "%s: --only leaves none of the 1 runs", path);
    assert_string_equal(error.text, expected);
}

static void unknown_methods_are_told_those_there_are(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    struct fs_error error = {.text = ""};
    char methods[512], expected[2048];
    const char *path = test_path("x.yaml"), *wrong = "experiment: x\nmethod: shortcutt\n";
    fs_mock_expected_methods(methods, sizeof methods);
    test_write(path, wrong, strlen(wrong));
    assert_int_equal(fs_experiment_read(path, NULL, 0, NULL, 0, &experiment, &error), FS_USAGE);
    snprintf(expected, sizeof expected, "%s:2: method: %s, got 'shortcutt'", path, methods);
    assert_string_equal(error.text, expected);
    test_write(path, TRAIN, strlen(TRAIN));
    const char *const only[] = {"method=shortcutt"};
    assert_int_equal(fs_experiment_read(path, NULL, 0, only, 1, &experiment, &error), FS_USAGE);
    snprintf(expected, sizeof expected, "--only method=shortcutt: method: %s, got 'shortcutt'", methods);
    assert_string_equal(error.text, expected);
}

static void missing_and_oversized(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    struct fs_error error = {.text = ""};
    assert_int_equal(fs_experiment_read(test_path("none.yaml"), NULL, 0, NULL, 0, &experiment, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "none.yaml"));
    assert_int_equal(fs_experiment_read(test_folder(), NULL, 0, NULL, 0, &experiment, &error), FS_USAGE);

    char text[8192] = TRAIN "matrix:\n  seed: [0";
    for (int i = 1; i < 100; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), ", %d", i);
    }
    strcat(text, "]\n  train.warmup: [0");
    for (int i = 1; i < 100; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), ", %d", i);
    }
    strcat(text, "]\n");
    const char *path = test_path("large.yaml");
    test_write(path, text, strlen(text));
    assert_int_equal(fs_experiment_read(path, NULL, 0, NULL, 0, &experiment, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "large.yaml:5: matrix: makes more than 4096 runs"));
}

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state ^= *state << 13; /* xorshift, Marsaglia 2003 */
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % below;
}

/* Whole words of the file change places, which keeps most of it readable, so that the mistakes lie deep. */
static void survives_mutations(void **state)
{
    (void)state;
    static const char *const words[] = {
        "1",      "0",          "-1",  "1e9",      "1/2",      "abc",    "true", "[1, 2]",
        "{a: 1}", "''",         "~",   "reflow",   "shortcut", "train",  "seed", "updates: 3",
        "steps",  "4294967295", "0.5", "dit-xs/7", "dit-b/2",  "matrix", "1024", "fashion-mnist",
    };
    static const char valid[] = "experiment: x\nmethod: shortcut\ntrain: { updates: 1000 , batch: 64 }\n"
                                "model: { preset: dit-xs/4 , finest_steps: 128 }\nseed: 0\n"
                                "methods: { shortcut: { max_step: 1/4 , target_ema: 0.9 } }\n"
                                "matrix: { seed: [ 0 , 1 ], train.warmup: [ 1 , 2 ] }\n"
                                "evaluate: { steps: [ 1 , 4 ], samples: 100 }\n";
    int taken = 0;
    for (uint32_t seed = 1; seed <= 2000; seed++) {
        char text[1024] = "";
        uint32_t random = seed * 2654435761U + 1;
        for (const char *at = valid; *at != '\0';) {
            const size_t gap = strspn(at, " \n"), length = strcspn(at + gap, " \n");
            const char *word = draw(&random, 40) == 0 ? words[draw(&random, sizeof words / sizeof *words)] : NULL;
            snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s%.*s", (int)gap, at,
                     word == NULL ? (int)length : (int)strlen(word), word == NULL ? at + gap : word);
            at += gap + length;
        }
        const char *path = test_path("x.yaml");
        struct fs_experiment experiment;
        struct fs_error error = {.text = ""};
        test_write(path, text, strlen(text));
        const fs_status status = fs_experiment_read(path, NULL, 0, NULL, 0, &experiment, &error);
        if (status == FS_OK) {
            assert_true(experiment.run_count >= 1 && experiment.runs[0].json != NULL);
            fs_experiment_free(&experiment);
            taken++;
        } else {
            assert_int_equal(status, FS_USAGE);
            assert_memory_equal(error.text, path, strlen(path));
            assert_null(strchr(error.text, '\n'));
        }
    }
    assert_in_range(taken, 100, 1900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(unknown_data),
        cmocka_unit_test(options),
        cmocka_unit_test(unknown_methods_are_told_those_there_are),
        cmocka_unit_test(missing_and_oversized),
        cmocka_unit_test(survives_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
