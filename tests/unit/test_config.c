/* Resolved runs: hashes that must not change, defaults left out, numbers as text, the matrix, --set and --only, and the
 * way back from stored JSON. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/config/schema.h"
#include "harness/config/preset.h"
#include "harness/train/schedule.h"
#include "tests/support/folder.h"
#include "tests/support/mock_training.h"

#define PLAIN "experiment: x\nmethod: flow-matching\ntrain: {updates: 10}\n"

static int count(const char *const *list)
{
    int n = 0;
    while (list != NULL && list[n] != NULL) {
        n++;
    }
    return n;
}

/* `sets` and `only` end with NULL, or are NULL. */
static void read_good(const char *text, const char *const *sets, const char *const *only,
                      struct fs_experiment *experiment)
{
    const char *path = test_path("x.yaml");
    struct fs_error error = {.text = ""};
    test_write(path, text, strlen(text));
    if (fs_experiment_read(path, sets, count(sets), only, count(only), experiment, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static double option(const struct fs_config *run, const char *key)
{
    return fs_mock_option(run->method, &run->settings, key);
}

static void assert_train_hash(const char *text, const char *expected)
{
    struct fs_experiment experiment;
    read_good(text, NULL, NULL, &experiment);
    assert_string_equal(experiment.runs[0].train_hash, expected);
    fs_experiment_free(&experiment);
}

/* --- identity --- */

/* Each by sha256sum over the canonical JSON in the comment, not by this program. */
static void golden_hashes(void **state)
{
    (void)state;
    /* {"config_version":1,"method":"flow-matching","train":{"updates":10}} */
    assert_train_hash(PLAIN, "ca19086e89a16255d0a939e5b4d32f8af90658253dc772e45cc526ef34f851ad");
    /* {"config_version":1,"method":"shortcut","methods":{"shortcut":{"bootstrap_fraction":0.25,"max_step":"1/8"}},
     * "model":{"depth":1,"heads":2,"hidden":16,"patch":7},"train":{"learning_rate":0.0003,"updates":10}} */
    assert_train_hash("experiment: x\nmethod: shortcut\n"
                      "model: {preset: tiny, patch: 7, hidden: 16, depth: 1, heads: 2}\n"
                      "methods: {shortcut: {max_step: 1/8, bootstrap_fraction: 0.25}}\n"
                      "train: {updates: 10, learning_rate: 3.0e-4}\n",
                      "7adcc29c2d3475f9c0ba703d38b81ca4951d91116e8b41e954ea9d308e6cc30e");
    /* {"config_version":1,"evaluate":{"guidance_scale":1.5},"method":"reflow",
     * "train":{"label_dropout":0.1,"updates":100}}: the pairs are guided */
    assert_train_hash("experiment: x\nmethod: reflow\ntrain: {updates: 100, label_dropout: 0.1}\n"
                      "evaluate: {guidance_scale: 1.5}\n",
                      "ceaef2cd1880abbaeec9af2dfac46083adf068a744cdbca1314f42e2d12229e8");
}

/* However it is written, one training has one hash. */
static void hash_goes_by_what_is_trained(void **state)
{
    static const struct {
        const char *method, *one[3], *other[3];
        bool same;
    } cases[] = {
        {"flow-matching", {"methods.flow-matching.learning_rate=0.002"}, {"train.learning_rate=0.002"}, true},
        {"shortcut", {"methods.shortcut.clip_norm=1"}, {"train.clip_norm=1"}, true},
        {"shortcut", {"methods.flow-matching.clip_norm=1"}, {NULL}, true},
        {"shortcut", {"dataset.groups=1"}, {"model.classes=0"}, true},
        {"shortcut", {"dataset.groups=2"}, {"dataset.groups=5"}, false},
        /* a student by its own rate and its teacher's */
        {"reflow", {"methods.flow-matching.learning_rate=0.002"}, {NULL}, false},
        {"reflow", {"methods.reflow.learning_rate=0.002"}, {"train.learning_rate=0.002"}, false},
        {"reflow",
         {"methods.reflow.learning_rate=0.002", "methods.flow-matching.learning_rate=0.002"},
         {"train.learning_rate=0.002"},
         true},
        {"reflow",
         {"train.learning_rate=0.002", "methods.reflow.learning_rate=0.001"},
         {"methods.flow-matching.learning_rate=0.002"},
         true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fs_experiment one, other;
        char text[128];
        snprintf(text, sizeof text, "experiment: x\nmethod: %s\ntrain: {updates: 10}\n", cases[i].method);
        read_good(text, cases[i].one, NULL, &one);
        read_good(text, cases[i].other, NULL, &other);
        if ((strcmp(one.runs[0].train_hash, other.runs[0].train_hash) == 0) != cases[i].same) {
            fail_msg("%s and %s", cases[i].one[0], cases[i].other[0] ? cases[i].other[0] : "nothing");
        }
        fs_experiment_free(&one);
        fs_experiment_free(&other);
    }
}

/* A teacher has flow matching's own pace, and what is stored of its student says so. */
static void a_pace_of_its_own_reaches_the_teacher(void **state)
{
    static const char *const sets[] = {"methods.flow-matching.learning_rate=0.002", "methods.reflow.clip_norm=3",
                                       "dataset.groups=5", NULL};
    static const char *const alone[] = {"train.learning_rate=0.002", "dataset.groups=5", "train.updates=5", NULL};
    struct fs_experiment reflow, flow;
    struct fs_config teacher, stored, again;
    struct fs_error error;

    (void)state;
    read_good("experiment: x\nmethod: reflow\ntrain: {updates: 10}\n", sets, NULL, &reflow);
    read_good(PLAIN, alone, NULL, &flow);
    const struct fs_pace_config pace = fs_config_pace(&reflow.runs[0]);
    assert_true(pace.learning_rate == 0.001 && pace.clip_norm == 3);
    assert_int_equal(fs_config_teacher(&reflow.runs[0], &teacher, &error), FS_OK);
    assert_true(fs_config_pace(&teacher).learning_rate == 0.002 && fs_config_pace(&teacher).clip_norm == 0);
    assert_string_equal(teacher.train_hash, flow.runs[0].train_hash);
    assert_int_equal(fs_config_from_json(reflow.runs[0].json, &stored, &error), FS_OK);
    assert_string_equal(stored.train_hash, reflow.runs[0].train_hash);
    assert_string_equal(stored.json, reflow.runs[0].json);
    assert_int_equal(stored.model.classes, 5);
    assert_int_equal(fs_config_teacher(&stored, &again, &error), FS_OK);
    assert_string_equal(again.train_hash, teacher.train_hash);
    fs_config_free(&again);
    fs_config_free(&stored);
    fs_config_free(&teacher);
    fs_experiment_free(&reflow);
    fs_experiment_free(&flow);
}

/* Groups are alike in size, each class is in one, and one group says nothing. */
static void groups_of_labels(void **state)
{
    static const int groups[] = {1, 2, 5, 10};

    (void)state;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        char set[40];
        const char *const sets[] = {set, NULL};
        struct fs_experiment experiment;
        int counts[10] = {0};
        snprintf(set, sizeof set, "dataset.groups=%d", groups[i]);
        read_good(PLAIN, sets, NULL, &experiment);
        assert_int_equal(experiment.runs[0].model.classes, groups[i] == 1 ? 0 : groups[i]);
        for (int label = 0; label < 10; label++) {
            const int32_t group = fs_config_label(&experiment.runs[0], label);
            assert_in_range(group, 0, groups[i] - 1);
            counts[group]++;
        }
        for (int group = 0; group < groups[i]; group++) {
            assert_int_equal(counts[group], 10 / groups[i]);
        }
        fs_experiment_free(&experiment);
    }
}

/* --- the rate --- */

static double rate_at(enum fs_schedule schedule, int64_t update, int64_t phase_begin, int64_t phase_updates)
{
    const struct fs_train_config train = {.warmup = 10, .schedule = schedule};
    return fs_learning_rate(&train, 2, &(struct fs_update_place){update, 100, phase_begin, phase_updates});
}

static void a_schedule_ends_with_the_stage_or_with_each_phase(void **state)
{
    (void)state;
    for (enum fs_schedule schedule = FS_SCHEDULE_CONSTANT; schedule <= FS_SCHEDULE_COSINE_PHASE; schedule++) {
        assert_true(rate_at(schedule, 0, 0, 50) == 0.2 && rate_at(schedule, 9, 0, 50) == 2); /* the warm-up */
        assert_true(rate_at(schedule, 10, 0, 50) == 2);
    }
    assert_true(rate_at(FS_SCHEDULE_CONSTANT, 99, 50, 50) == 2);
    assert_true(fabs(rate_at(FS_SCHEDULE_COSINE, 55, 50, 50) - 1) < 1e-12);
    assert_true(rate_at(FS_SCHEDULE_COSINE, 99, 50, 50) < 0.01);
    assert_true(fabs(rate_at(FS_SCHEDULE_COSINE_PHASE, 30, 0, 50) - 1) < 1e-12); /* half of what is left of it */
    assert_true(rate_at(FS_SCHEDULE_COSINE_PHASE, 49, 0, 50) < 0.01);
    assert_true(rate_at(FS_SCHEDULE_COSINE_PHASE, 50, 50, 50) == 2); /* begins anew, without a warm-up */
    assert_true(fabs(rate_at(FS_SCHEDULE_COSINE_PHASE, 75, 50, 50) - 1) < 1e-12);
    assert_true(rate_at(FS_SCHEDULE_COSINE_PHASE, 4, 4, 4) == 1); /* phases within the warm-up do not end it */
    assert_true(rate_at(FS_SCHEDULE_COSINE_PHASE, 11, 8, 4) == 1);
}

/* Writing a default out changes no hash; so does what moves no weight. Another value does. */
static void hash_depends_on_training_alone(void **state)
{
    (void)state;
    struct fs_experiment plain;
    read_good(PLAIN, NULL, NULL, &plain);
    static const char *const same[] = {
        "train.batch=128",
        "train.learning_rate=0.001",
        "train.learning_rate=1e-3",
        "train.beta2=0.9990",
        "train.ema_warmup=true",
        "train.ema_reset=true",
        "train.student_start=ema",
        "train.warmup_from_zero=false",
        "train.micro_batch=32",
        "train.checkpoint_every=5",
        "train.recompute=blocks",
        "train.precision=fp32",
        "model.preset=dit-xs/4",
        "model.attention_scale=inv_d",
        "model.finest_steps=128",
        "train.on_divergence=stop",
        "dataset.groups=classes",
        "dataset.groups=10",
        "methods.flow-matching.learning_rate=train",
        "methods.flow-matching.learning_rate=0.001",
        "methods.shortcut.learning_rate=0.01",
        "evaluate.sampler=heun",
        "evaluate.labels=uniform",
        "evaluate.exact_velocity=true",
        "evaluate.time_shift=2",
        "evaluate.reference=elsewhere",
        "dataset.path=elsewhere",
        "dataset.name=mine",
        "dataset.kind=idx",
        "dataset.mirror=false",
        "dataset.size=32",
        "dataset.crop=none",
        "dataset.background=black",
        "evaluate.samples=100",
        "evaluate.steps=[1]",
        "seed=3",
        "experiment=y",
        "device=cpu",
        "methods.shortcut.bootstrap_fraction=0.5",
        "evaluate.weights=raw",
    };
    static const char *const different[] = {
        "train.batch=64",
        "train.learning_rate=0.002",
        "train.updates=11",
        "train.schedule=cosine",
        "train.schedule=cosine-phase",
        "train.on_divergence=restart-lower",
        "dataset.groups=1",
        "dataset.groups=5",
        "methods.flow-matching.learning_rate=0.002",
        "methods.flow-matching.clip_norm=1",
        "train.ema=0.99",
        "train.ema_warmup=false",
        "train.ema_reset=false",
        "train.student_start=raw",
        "train.warmup_from_zero=true",
        "train.weight_decay=0",
        "train.clip_norm=1",
        "train.warmup=0",
        "model.classes=0",
        "train.label_dropout=0.1",
        "train.precision=bf16",
        "dataset.mirror=true",
        "model.preset=dit-xs/7",
        "model.attention_scale=inv_sqrt_d",
        "method=reflow",
        "train.beta1=0.8",
        "train.beta2=0.99",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same + sizeof different / sizeof *different; i++) {
        const bool is_same = i < sizeof same / sizeof *same;
        const char *const sets[] = {is_same ? same[i] : different[i - sizeof same / sizeof *same], NULL};
        struct fs_experiment other;
        read_good(PLAIN, sets, NULL, &other);
        if ((strcmp(plain.runs[0].train_hash, other.runs[0].train_hash) == 0) != is_same) {
            fail_msg("%s", sets[0]);
        }
        fs_experiment_free(&other);
    }
    fs_experiment_free(&plain);
}

/* Every key of the schema: the default written out as --set leaves hash and JSON as they were. */
static void every_default_can_be_written(void **state)
{
    (void)state;
    struct fs_schema schema;
    struct fs_error error;
    assert_int_equal(fs_schema_create(&schema, &error), FS_OK);
    for (int i = 0; i < schema.count; i++) {
        const struct fs_key *key = &schema.keys[i];
        struct fs_config defaults = {.seed = 0};
        assert_true(i == 0 || strcmp(schema.keys[i - 1].name, key->name) < 0);
        if (fs_key_required(key) || (key->zero != NULL && strcmp(key->zero, "preset") == 0)) {
            continue;
        }
        assert_int_equal(fs_key_default(key, &defaults, &error), FS_OK);
        char *value = fs_key_text(key, &defaults, &error);
        assert_non_null(value);
        char base[256], set[512];
        snprintf(base, sizeof base, "experiment: x\nmethod: %s\ntrain: {updates: 1000}\n",
                 key->method == NULL ? "flow-matching" : key->method->name);
        snprintf(set, sizeof set, "%s=%s", key->name, value);
        struct fs_experiment plain, written;
        read_good(base, NULL, NULL, &plain);
        read_good(base, (const char *const[]){set, NULL}, NULL, &written);
        assert_string_equal(plain.runs[0].json, written.runs[0].json);
        assert_string_equal(plain.runs[0].train_hash, written.runs[0].train_hash);
        fs_experiment_free(&plain);
        fs_experiment_free(&written);
        free(value);
    }
    fs_schema_destroy(&schema);
}

static void numbers_as_text(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {128, "128"},
        {5000, "5000"},
        {0.1, "0.1"},
        {1e-3, "0.001"},
        {1e-5, "1e-05"},
        {0.999, "0.999"},
        {0.9999, "0.9999"},
        {1.0 / 3, "0.3333333333333333"},
        {2.5, "2.5"},
        {1e20, "1e+20"},
        {0.1 + 0.2, "0.30000000000000004"},
        {-1, "-1"},
        {4294967295.0, "4294967295"},
        {5e-324, "5e-324"},
    };
    char text[FS_NUMBER_TEXT];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(fs_number_text(cases[i].value, text), cases[i].text);
    }
    uint64_t bits = 88172645463325252U; /* xorshift64, Marsaglia 2003 */
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (value - value == 0) { /* finite */
            assert_true(strtod(fs_number_text(value, text), NULL) == value);
        }
    }
}

static void json_holds_every_key(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    read_good("experiment: \"a \\\"b\\\\ ü\"\nmethod: flow-matching\ntrain: {updates: 10, checkpoint_every: 2.5}\n",
              NULL, NULL, &experiment);
    assert_string_equal(
        experiment.runs[0].json,
        "{\"config_version\":1,\"dataset\":{\"background\":\"white\",\"channels\":3,\"crop\":\"center\",\"groups\":"
        "\"classes\",\"kind\":\"\","
        "\"mirror\":false,\"name\":\"fashion-mnist\",\"path\":\"\",\"posterior\":\"sample\",\"size\":0,\"test_share\":"
        "0.1,\"vae\":\"\"},\"device\":"
        "\"auto\",\"evaluate\":"
        "{\"decoder_precision\":\"fp32\","
        "\"exact_velocity\":false,\"extractors\":[\"fashion-cnn\"],\"guidance_scale\":1,\"guidance_scales\":[],"
        "\"labels\":\"cycle\",\"metrics\":[\"fd\"],\"quantize\":true,"
        "\"reference\":\"train\",\"resize\":\"clean\",\"sampler\":\"method\",\"samples\":5000,"
        "\"steps\":[1,2,4,8,16,32,128],\"time_shift\":1,\"updates\":[],\"weights\":\"ema\"},\"experiment\":\"a "
        "\\\"b\\\\ ü\",\"method\":"
        "\"flow-matching\",\"methods\":{\"flow-matching\":{\"clip_norm\":\"train\",\"learning_rate\":\"train\"}},"
        "\"model\":{\"attention_scale\":\"inv_d\",\"classes\":10,\"depth\":4,\"finest_steps\":128,"
        "\"heads\":4,\"hidden\":128,\"patch\":4,\"preset\":\"dit-xs/4\"},\"seed\":0,\"train\":{\"batch\":128,\"beta1\":"
        "0.9,\"beta2\":0.999,\"checkpoint_every\":2.5,\"clip_norm\":0,\"ema\":0.999,\"ema_reset\":true,"
        "\"ema_warmup\":true,"
        "\"label_dropout\":0,\"learning_rate\":0.001,\"micro_batch\":0,\"on_divergence\":\"stop\",\"pairing\":"
        "\"independent\",\"pairing_group\":"
        "64,\"precision\":\"fp32\",\"recompute\":\"none\",\"schedule\":"
        "\"constant\","
        "\"shard_optimizer\":false,\"student_start\":\"ema\",\"updates\":10,\"warmup\":200,\"warmup_from_zero\":false,"
        "\"weight_decay\":0.01}}");
    fs_experiment_free(&experiment);
}

static void json_restores(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    struct fs_error error = {.text = ""};
    read_good("experiment: \"quoted \\\" ü\"\ntrain: {updates: 1000, learning_rate: 0.30000000000000004}\n"
              "model: {preset: tiny, patch: 14, hidden: 24, depth: 2, heads: 3}\n"
              "methods: {shortcut: {max_step: 1/4, target_ema: 0.97}, reflow: {init: scratch, pairs: 77}}\n"
              "matrix: {method: [flow-matching, progressive-distillation, reflow, shortcut], seed: [4294967295]}\n",
              NULL, NULL, &experiment);
    assert_int_equal(experiment.run_count, 4);
    for (int i = 0; i < experiment.run_count; i++) {
        const struct fs_config *run = &experiment.runs[i];
        struct fs_config back;
        if (fs_config_from_json(run->json, &back, &error) != FS_OK) {
            fail_msg("%s", error.text);
        }
        assert_string_equal(back.json, run->json);
        assert_string_equal(back.train_hash, run->train_hash);
        assert_ptr_equal(back.method, run->method);
        assert_true(back.seed == 4294967295 && back.model.hidden == 24 && back.train.updates == 1000);
        assert_true(back.train.learning_rate == 0.30000000000000004);
        fs_config_free(&back);
    }
    assert_int_equal((int)option(&experiment.runs[3], "max_step"), 2);
    assert_int_equal((int)option(&experiment.runs[2], "pairs"), 77);
    fs_experiment_free(&experiment);

    struct fs_config config;
    assert_int_equal(fs_config_from_json("{}", &config, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "config_version: is missing"));
    assert_int_equal(fs_config_from_json("{\"config_version\":99}", &config, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "99 is newer than the 1"));
    assert_int_equal(fs_config_from_json("[1", &config, &error), FS_USAGE);
    assert_int_equal(fs_config_from_json("", &config, &error), FS_USAGE);
}

/* --- the matrix --- */

#define MATRIX                                                                                                         \
    "experiment: x\ntrain: {updates: 1000}\nmethods: {shortcut: {bootstrap_fraction: 0.5}}\nmatrix:\n  method: "       \
    "[shortcut, flow-matching]\n  seed: [5, 3]\n"                                                                      \
    "  train.batch: [64, 32]\n"

static void first_key_varies_slowest(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        int seed, batch;
    } expected[] = {
        {"shortcut", 5, 64},      {"shortcut", 5, 32},      {"shortcut", 3, 64},      {"shortcut", 3, 32},
        {"flow-matching", 5, 64}, {"flow-matching", 5, 32}, {"flow-matching", 3, 64}, {"flow-matching", 3, 32},
    };
    struct fs_experiment experiment;
    read_good(MATRIX, NULL, NULL, &experiment);
    assert_int_equal(experiment.run_count, 8);
    for (int i = 0; i < 8; i++) {
        assert_string_equal(experiment.runs[i].method->name, expected[i].method);
        assert_int_equal(experiment.runs[i].seed, expected[i].seed);
        assert_int_equal(experiment.runs[i].train.batch, expected[i].batch);
    }
    assert_string_equal(experiment.name, "x");
    assert_string_equal(experiment.ablated, "train.batch");
    assert_string_equal(experiment.text, MATRIX);
    fs_experiment_free(&experiment);
}

/* Five seeds of one method and two of the others, say: blocks follow one another, and what --set names leaves them all.
 */
static void blocks_follow_one_another(void **state)
{
    (void)state;
    static const char text[] = "experiment: x\ntrain: {updates: 1000}\nmatrix:\n"
                               "  - {method: [shortcut], seed: [5, 3, 4]}\n"
                               "  - {seed: [5, 1], method: [flow-matching, shortcut]}\n";
    static const struct {
        const char *method;
        int seed;
    } expected[] = {{"shortcut", 5},      {"shortcut", 3},
                    {"shortcut", 4},      {"flow-matching", 5}, /* shortcut, 5: once */
                    {"flow-matching", 1}, {"shortcut", 1}};
    struct fs_experiment experiment;
    read_good(text, NULL, NULL, &experiment);
    assert_int_equal(experiment.run_count, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(experiment.runs[i].method->name, expected[i].method);
        assert_int_equal(experiment.runs[i].seed, expected[i].seed);
    }
    fs_experiment_free(&experiment);
    read_good(text, (const char *const[]){"seed=7", NULL}, (const char *const[]){"method=shortcut", NULL}, &experiment);
    assert_int_equal(experiment.run_count, 1);
    assert_int_equal(experiment.runs[0].seed, 7);
    fs_experiment_free(&experiment);
}

static void identical_runs_are_one(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    read_good("experiment: x\ntrain: {updates: 1000}\nmatrix:\n  method: [flow-matching, shortcut]\n"
              "  methods.shortcut.max_step: [1, 1/2, 1/64]\n",
              NULL, NULL, &experiment);
    assert_int_equal(experiment.run_count, 4);
    assert_string_equal(experiment.runs[0].method->name, "flow-matching");
    for (int i = 1; i < 4; i++) {
        static const int levels[] = {0, 1, 6};
        assert_int_equal((int)option(&experiment.runs[i], "max_step"), levels[i - 1]);
    }
    fs_experiment_free(&experiment);
}

/* How samples are drawn sets no training apart. */
static void samplers_ablate_nothing(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    read_good("experiment: x\nmethod: flow-matching\ntrain: {updates: 5}\nmatrix:\n  evaluate.sampler: [method, heun]\n"
              "  evaluate.time_shift: [1, 3]\n  seed: [0, 1]\n",
              NULL, NULL, &experiment);
    assert_int_equal(experiment.run_count, 8);
    assert_null(experiment.ablated);
    fs_experiment_free(&experiment);
}

static void set_replaces(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    static const char *const sets[] = {"train.batch=16",      "evaluate.steps=[1, 128]",
                                       "train.micro_batch=8", "methods.shortcut.bootstrap_fraction=0.5",
                                       "method=shortcut",     NULL};
    read_good(MATRIX, sets, NULL, &experiment);
    assert_int_equal(experiment.run_count, 2); /* the seeds */
    assert_null(experiment.ablated);
    for (int i = 0; i < 2; i++) {
        const struct fs_config *run = &experiment.runs[i];
        assert_string_equal(run->method->name, "shortcut");
        assert_int_equal(run->train.batch, 16);
        assert_int_equal(run->train.micro_batch, 8);
        assert_int_equal(run->evaluate.step_count, 2);
        assert_int_equal(run->evaluate.steps[1], 128);
        assert_true(option(run, "bootstrap_fraction") == 0.5);
    }
    fs_experiment_free(&experiment);
}

static void only_filters(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    read_good(MATRIX, NULL, (const char *const[]){"method=shortcut", "seed=3", NULL}, &experiment);
    assert_int_equal(experiment.run_count, 2);
    assert_int_equal(experiment.runs[0].seed, 3);
    assert_int_equal(experiment.runs[1].train.batch, 32);
    fs_experiment_free(&experiment);
    /* A method's own key: runs of other methods have no such value. */
    read_good(MATRIX, NULL, (const char *const[]){"methods.shortcut.max_step=1", NULL}, &experiment);
    assert_int_equal(experiment.run_count, 4);
    fs_experiment_free(&experiment);
    read_good(MATRIX, NULL, (const char *const[]){"train.learning_rate=1e-3", "train.batch=64", NULL}, &experiment);
    assert_int_equal(experiment.run_count, 4);
    fs_experiment_free(&experiment);
}

/* --- teachers --- */

static void teachers_are_shared(void **state)
{
    (void)state;
    struct fs_experiment experiment, alone;
    struct fs_error error;
    read_good(
        "experiment: x\ntrain: {updates: 80, batch: 32}\nmethod: reflow\nmethods:\n  reflow: {teacher_share: 0.5}\n"
        "  progressive-distillation: {teacher_share: 0.5}\n"
        "matrix: {method: [reflow, progressive-distillation]}\n",
        NULL, NULL, &experiment);
    read_good("experiment: other\ntrain: {updates: 40, batch: 32}\nmethod: flow-matching\n", NULL, NULL, &alone);
    for (int i = 0; i < 2; i++) {
        struct fs_config teacher;
        assert_int_equal(fs_config_teacher(&experiment.runs[i], &teacher, &error), FS_OK);
        assert_int_equal(teacher.train.updates, 40);
        assert_string_equal(teacher.train_hash, alone.runs[0].train_hash);
        assert_int_equal(fs_config_method_setup(&experiment.runs[i]).updates, 40);
        assert_int_equal(fs_config_method_setup(&experiment.runs[i]).levels, 7);
        fs_config_free(&teacher);
    }
    fs_experiment_free(&experiment);
    fs_experiment_free(&alone);
}

/* A teacher beside the budget is the same run, and leaves the student all of it. */
static void a_teacher_may_have_its_own_updates(void **state)
{
    (void)state;
    struct fs_experiment experiment, alone;
    struct fs_error error;
    read_good("experiment: x\ntrain: {updates: 70, batch: 32}\n"
              "methods:\n  reflow: {teacher_updates: 40}\n  progressive-distillation: {teacher_updates: 40}\n"
              "  consistency-distillation: {teacher_updates: 40}\n"
              "matrix: {method: [reflow, progressive-distillation, consistency-distillation]}\n",
              NULL, NULL, &experiment);
    read_good("experiment: other\ntrain: {updates: 40, batch: 32}\nmethod: flow-matching\n", NULL, NULL, &alone);
    for (int i = 0; i < 3; i++) {
        struct fs_config teacher;
        assert_int_equal(fs_config_teacher(&experiment.runs[i], &teacher, &error), FS_OK);
        assert_string_equal(teacher.train_hash, alone.runs[0].train_hash);
        assert_int_equal(fs_config_teacher_updates(&experiment.runs[i]), 40);
        assert_int_equal(fs_config_method_setup(&experiment.runs[i]).updates, 70);
        fs_config_free(&teacher);
    }
    fs_experiment_free(&experiment);
    fs_experiment_free(&alone);
}

/* Scores ask for guidance where the weights have not learned it. */
static void guidance_is_asked_for_once(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    read_good("experiment: x\ntrain: {updates: 1000, label_dropout: 0.1}\n"
              "methods: {shortcut: {bootstrap_guidance: true}}\n"
              "evaluate: {steps: [4, 128], samples: 10, guidance_scale: 1.5}\n"
              "matrix: {method: [flow-matching, progressive-distillation, reflow, shortcut]}\n",
              NULL, NULL, &experiment);
    static const double at_4[] = {1.5, 1, 1, 1}, at_128[] = {1.5, 1, 1, 1.5};
    for (int i = 0; i < 4; i++) {
        assert_true(fs_config_guidance(&experiment.runs[i], 4) == at_4[i]);
        assert_true(fs_config_guidance(&experiment.runs[i], 128) == at_128[i]);
    }
    fs_experiment_free(&experiment);

    /* Flow matching is one training at every scale; where guidance is learned, another scale is another training. */
    for (int i = 0; i < 2; i++) {
        struct fs_experiment scales;
        const char *const sets[] = {i == 0 ? "method=flow-matching" : "method=reflow", NULL};
        read_good("experiment: x\ntrain: {updates: 1000, label_dropout: 0.1}\n"
                  "matrix: {evaluate.guidance_scale: [1, 2]}\n",
                  sets, NULL, &scales);
        assert_int_equal(strcmp(scales.runs[0].train_hash, scales.runs[1].train_hash) == 0, i == 0);
        fs_experiment_free(&scales);
    }
}

/* A distillation's student is made for one number of steps at a time: at the end for 1, and at the end of each phase
 * for that phase's. */
static void kept_weights_are_inside_at_their_own_steps(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    struct fs_kept_update kept[FS_KEPT_MAX];
    read_good(
        "experiment: x\nmodel: {finest_steps: 16}\ntrain: {updates: 1000}\nmethod: progressive-distillation\n"
        "methods: {progressive-distillation: {phase_checkpoints: true}}\nevaluate: {steps: [1, 4], updates: [10]}\n",
        NULL, NULL, &experiment);
    const struct fs_config *config = &experiment.runs[0];
    const int64_t last = fs_config_method_setup(config).updates;
    const int count = fs_config_kept_updates(config, kept);
    assert_true(count > 3);
    for (int i = 0; i < count; i++) {
        for (int steps = 1; steps <= 16; steps *= 2) {
            assert_int_equal(fs_config_outside_training(config, kept[i].update, steps),
                             steps != 1 && steps != kept[i].steps);
            assert_int_equal(fs_config_outside_training(config, last, steps), steps != 1);
        }
    }
    fs_experiment_free(&experiment);
}

static void presets(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int patch, hidden, depth, heads;
    } expected[] = {
        {"dit-xs/4", 4, 128, 4, 4},  {"dit-ti/2", 2, 192, 6, 3},     {"dit-s/8", 8, 384, 12, 6},
        {"dit-b/2", 2, 768, 12, 12}, {"dit-l/16", 16, 1024, 24, 16}, {"dit-xl/2", 2, 1152, 28, 16},
    };
    struct fs_error error;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct fs_model_config model = {.patch = 0};
        assert_int_equal(fs_model_preset(expected[i].name, &model, &error), FS_OK);
        assert_int_equal(model.patch, expected[i].patch);
        assert_int_equal(model.hidden, expected[i].hidden);
        assert_int_equal(model.depth, expected[i].depth);
        assert_int_equal(model.heads, expected[i].heads);
    }
    static const char *const bad[] = {"",      "/",        "dit-b",   "dit-b/",  "dit-b/0",    "dit-b/02",  "dit-b/2x",
                                      "dit/2", "dit-b/-2", "dit-x/2", "DIT-B/2", "dit-b/1000", "dit-b/2/2", "dit-bb/2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fs_model_config model;
        assert_int_equal(fs_model_preset(bad[i], &model, &error), FS_USAGE);
        assert_non_null(strstr(error.text, "dit-xs, dit-ti, dit-s, dit-b, dit-l or dit-xl"));
    }
}

static void experiments_of_the_repository(void **state)
{
    (void)state;
    static const struct {
        const char *path, *ablated;
        int runs;
    } cases[] = {
        {"experiments/demo.yaml", NULL, 4},
        {"experiments/fashion-table.yaml", NULL, 12},
        {"experiments/ablation-max-step.yaml", "methods.shortcut.max_step", 12},
        {"experiments/fashion-all.yaml", NULL, 36},
        {"experiments/fashion-rates.yaml", "train.learning_rate", 36},
        {"experiments/fashion-unconditional.yaml", NULL, 44},
        {"experiments/fashion-samplers.yaml", NULL, 20},
        {"experiments/fashion-longer.yaml", "train.updates", 4},
        {"experiments/fashion-groups.yaml", "dataset.groups", 16},
        {"experiments/fashion-equal-work.yaml", "train.updates", 12},
        {"experiments/celebahq256-table.yaml", NULL, 8},
        {"experiments/imagenet256-table.yaml", NULL, 8},
        {"experiments/why-budget.yaml", NULL, 2},
        {"experiments/why-pairs.yaml", "methods.reflow.pairs", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fs_experiment experiment;
        struct fs_error error;
        if (fs_experiment_read(cases[i].path, NULL, 0, NULL, 0, &experiment, &error) != FS_OK) {
            fail_msg("%s", error.text);
        }
        assert_int_equal(experiment.run_count, cases[i].runs);
        assert_true((experiment.ablated == NULL) == (cases[i].ablated == NULL));
        assert_true(cases[i].ablated == NULL || strcmp(experiment.ablated, cases[i].ablated) == 0);
        fs_experiment_free(&experiment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_hashes),
        cmocka_unit_test(hash_depends_on_training_alone),
        cmocka_unit_test(hash_goes_by_what_is_trained),
        cmocka_unit_test(a_pace_of_its_own_reaches_the_teacher),
        cmocka_unit_test(groups_of_labels),
        cmocka_unit_test(a_schedule_ends_with_the_stage_or_with_each_phase),
        cmocka_unit_test(every_default_can_be_written),
        cmocka_unit_test(numbers_as_text),
        cmocka_unit_test(json_holds_every_key),
        cmocka_unit_test(json_restores),
        cmocka_unit_test(first_key_varies_slowest),
        cmocka_unit_test(blocks_follow_one_another),
        cmocka_unit_test(identical_runs_are_one),
        cmocka_unit_test(samplers_ablate_nothing),
        cmocka_unit_test(set_replaces),
        cmocka_unit_test(only_filters),
        cmocka_unit_test(teachers_are_shared),
        cmocka_unit_test(a_teacher_may_have_its_own_updates),
        cmocka_unit_test(guidance_is_asked_for_once),
        cmocka_unit_test(kept_weights_are_inside_at_their_own_steps),
        cmocka_unit_test(presets),
        cmocka_unit_test(experiments_of_the_repository),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
