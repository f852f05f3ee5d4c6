/* The table from a small database filled by hand; means and standard errors worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "harness/config/config.h"
#include "harness/report/latex.h"
#include "harness/text/number.h"
#include "harness/report/runs_list.h"
#include "harness/report/show.h"
#include "harness/report/table.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"

#define COMMIT "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
#define SOURCE "5011ce005011ce005011ce005011ce005011ce005011ce005011ce005011ce00"

struct place {
    char folder[256], path[300], output[16384];
    struct fs_store *store;
    int64_t experiment, environment;
    int scores;
    struct fs_error error;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    const struct fs_environment about = test_environment();

    test_folder_make(place->folder);
    snprintf(place->path, sizeof(place->path), "%s/fewstep.db", place->folder);
    *state = place;
    return fs_store_open(place->path, FS_STORE_WRITE, &place->store, &place->error) ||
           fs_store_environment(place->store, &about, &place->environment, &place->error);
}

static int teardown(void **state)
{
    struct place *place = *state;

    fs_store_close(place->store);
    test_folder_remove(place->folder);
    free(place);
    return 0;
}

static void good(struct place *place, fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", place->error.text);
    }
}

static void add_experiment(struct place *place, const char *name, const char *text, const char *ablated)
{
    good(place, fs_store_experiment(place->store, name, "experiments/x.yaml", text, ablated, &place->experiment,
                                    &place->error));
}

/* A run whose train_hash is its method and what `own` says of it; its id is `digits` repeated. */
static void add_run(struct place *place, const char *digits, const char *method, const char *own, int seed,
                    double tflop)
{
    char id[65], config[512], train_hash[128];

    test_id(digits, id);
    snprintf(config, sizeof(config),
             "{\"config_version\":1,\"dataset\":{\"name\":\"fashion-mnist\"},\"experiment\":\"t\",\"method\":\"%s\","
             "\"methods\":{\"%s\":{%s}},\"model\":{\"classes\":10,\"finest_steps\":128,\"preset\":\"dit-xs/4\"},"
             "\"seed\":%d,\"train\":{\"updates\":4000}}",
             method, method, own, seed);
    snprintf(train_hash, sizeof(train_hash), "%s %s", method, own);
    struct fs_run_row row = test_run(id);
    row.method = method;
    row.config_json = config;
    row.train_hash = train_hash;
    row.seed = seed;
    row.flops = tflop * 1e12;
    good(place, fs_store_run(place->store, &row, place->experiment, place->environment, &place->error));
}

/* A run whose configuration and hash the test has itself. */
static void add_run_as(struct place *place, const char *digits, const char *method, const char *train_hash,
                       const char *config)
{
    char id[65];

    test_id(digits, id);
    struct fs_run_row row = test_run(id);
    row.method = method;
    row.config_json = config;
    row.train_hash = train_hash;
    good(place, fs_store_run(place->store, &row, place->experiment, place->environment, &place->error));
}

static void add_score_row(struct place *place, struct fs_score_row score)
{
    char hash[32];

    snprintf(hash, sizeof(hash), "%d", place->scores++);
    score.score_hash = hash;
    good(place, fs_store_score(place->store, &score, place->experiment, place->environment, &place->error));
}

/* A score of the run with these digits; no interval. */
static void add_score(struct place *place, const char *digits, int steps, double value)
{
    char id[65];

    test_id(digits, id);
    struct fs_score_row score = test_score("", id);
    score.steps = steps;
    score.value = value;
    score.low = score.high = (double)NAN;
    add_score_row(place, score);
}

static void add_floor(struct place *place, int64_t samples, double value)
{
    struct fs_score_row score = test_score("", NULL);

    score.source = "dataset:fashion-mnist:test";
    score.steps = 0;
    score.update = 0;
    score.samples = samples;
    score.value = value;
    score.low = score.high = (double)NAN;
    add_score_row(place, score);
}

/* NULL: of the experiment that was used last. */
static void print_table_of(struct place *place, const char *experiment, enum fs_table_format format)
{
    FILE *stream = fmemopen(place->output, sizeof(place->output), "w");

    good(place, fs_table_print(place->store, &(struct fs_table_request){.experiment = experiment, .format = format},
                               stream, &place->error));
    fclose(stream);
}

static void print_table(struct place *place, enum fs_table_format format)
{
    print_table_of(place, NULL, format);
}

static void prints(struct place *place, const char *experiment, enum fs_table_format format, const char *expected)
{
    print_table_of(place, experiment, format);
    assert_string_equal(place->output, expected);
}

/* Trainings that failed, or whose teacher did, are named below the table of the experiment that asked for them, unless
 * they were made after all. */
static void test_failures_are_named(void **state)
{
    static const char *const advice = "run f1f1f1f1: the loss is 441 at update 119, training stopped; lower the rate";
    struct place *place = *state;
    char id[65], teacher[65];

    add_experiment(place, "failing", "a", NULL);
    add_run(place, "f0", "flow-matching", "", 0, 1);
    add_score(place, "f0", 1, 100);
    add_run(place, "f1", "flow-matching", "", 1, 1);
    add_run(place, "f2", "flow-matching", "", 2, 1);
    add_run(place, "a2", "flow-matching", "", 2, 1);
    add_run(place, "d0", "flow-matching", "\"clip_norm\":1", 7, 1);
    for (int i = 0; i < 3; i++) {
        test_id(i == 0 ? "f1" : i == 1 ? "f2" : "d0", id);
        good(place, fs_store_run_state(place->store, id, "failed", i == 0 ? advice : "no disk", 1, 1, &place->error));
    }
    test_id("a2", id);
    good(place, fs_store_run_state(place->store, id, "trained", NULL, 1, 1, &place->error));
    test_id("d0", teacher);
    test_id("b0", id);
    struct fs_run_row student = test_run(id);
    student.method = "reflow";
    student.train_hash = "reflow";
    student.teacher = teacher;
    student.seed = 7;
    good(place, fs_store_run(place->store, &student, place->experiment, place->environment, &place->error));

    print_table(place, FS_TABLE_TEXT);
    assert_non_null(strstr(place->output,
                           "\nFlow matching (Euler), seed 1 (run f1f1f1f1), failed and is in no mean: the "
                           "loss is 441 at update 119, training stopped\n"));
    assert_non_null(strstr(place->output,
                           "\nReflow, seed 7 (run b0b0b0b0), failed with its teacher and is in no mean: no "
                           "disk\n"));
    assert_null(strstr(place->output, "f2f2f2f2"));
}

/* Rows stand as the file has them, whichever run joined first; one that --set made behind its method's others. */
static void test_rows_are_in_the_order_of_the_file(void **state)
{
    static const char text[] = "experiment: ordered\nmatrix: {method: [shortcut, flow-matching, reflow], "
                               "train.updates: [20, 10]}\n";
    static const struct {
        const char *label;
        int updates;
    } rows[] = {{"Shortcut model ", 20},        {"Shortcut model ", 10},        {"Shortcut model ", 30},
                {"Flow matching (Euler) ", 20}, {"Flow matching (Euler) ", 10}, {"Reflow ", 20}};
    static const int joined[] = {5, 3, 2, 4, 1, 0}; /* of the rows; 2: in no file */
    struct place *place = *state;
    struct fs_experiment file;

    add_experiment(place, "ordered", text, "train.updates");
    good(place, fs_experiment_parse("", text, NULL, 0, NULL, 0, &file, &place->error));
    assert_int_equal(file.run_count, 6);
    for (int i = 0; i < 6; i++) {
        const int row = joined[i] < 2 ? joined[i] : joined[i] - 1;
        char digits[3], config[256];
        snprintf(digits, sizeof digits, "%d0", i);
        snprintf(config, sizeof config, "{\"train\":{\"updates\":%d}}", rows[joined[i]].updates);
        add_run_as(place, digits, joined[i] == 2 ? "shortcut" : file.runs[row].method->name,
                   joined[i] == 2 ? "other" : file.runs[row].train_hash, config);
        add_score(place, digits, 1, 100 + i);
    }
    fs_experiment_free(&file);
    print_table(place, FS_TABLE_TEXT);
    /* One column of updates, not another beside the work. */
    assert_non_null(strstr(place->output, "\nmethod                 updates  1 step  TFLOP\n"));
    const char *line = strstr(place->output, "\nShortcut model ");
    for (int i = 0; i < 6; i++) {
        const size_t length = strlen(rows[i].label);
        assert_non_null(line);
        assert_memory_equal(line + 1, rows[i].label, length);
        assert_int_equal(strtol(line + 1 + length, NULL, 10), rows[i].updates);
        line = strchr(line + 1, '\n');
    }
}

/* One group of labels is none: where another experiment without labels has made that run, it is written otherwise. */
static void test_rows_are_called_as_in_the_file(void **state)
{
    static const char text[] = "experiment: told\nmethod: shortcut\nmodel: {classes: 10}\ntrain: {updates: 9}\n"
                               "matrix: {dataset.groups: [1, 5]}\n";
    struct place *place = *state;
    struct fs_experiment file;

    add_experiment(place, "told", text, "dataset.groups");
    good(place, fs_experiment_parse("", text, NULL, 0, NULL, 0, &file, &place->error));
    assert_int_equal(file.run_count, 2);
    for (int i = 0; i < 2; i++) {
        const char *digits = i ? "b0" : "a0";
        add_run_as(place, digits, "shortcut", file.runs[i].train_hash,
                   i ? "{\"dataset\":{\"groups\":5},\"model\":{\"classes\":10}}"
                     : "{\"dataset\":{\"groups\":\"classes\"},\"model\":{\"classes\":0}}");
        add_score(place, digits, 1, 100 + i);
    }
    fs_experiment_free(&file);
    print_table(place, FS_TABLE_TEXT);
    assert_non_null(strstr(place->output, "\nmethod          groups  1 step "));
    assert_non_null(strstr(place->output, "\nShortcut model  1          100 "));
    assert_non_null(strstr(place->output, "\nShortcut model  5          101 "));
}

/* Flow matching at two seeds, the shortcut model at three, and the data's row. */
static void fill_small(struct place *place)
{
    add_experiment(place, "small", "a", NULL);
    add_run(place, "f0", "flow-matching", "", 0, 123.4);
    add_run(place, "f1", "flow-matching", "", 1, 123.4);
    add_run(place, "50", "shortcut", "", 0, 140);
    add_run(place, "51", "shortcut", "", 1, 140);
    add_run(place, "52", "shortcut", "", 2, 140);
    add_score(place, "f0", 1, 1200); /* 1234 ± 34 */
    add_score(place, "f1", 1, 1268);
    add_score(place, "f0", 128, 7.2); /* 7.3 ± 0.1 */
    add_score(place, "f1", 128, 7.4);
    add_score(place, "50", 1, 50); /* 52 ± √(((−2)² + 0² + 2²)/2/3) = 1.1547 */
    add_score(place, "51", 1, 52);
    add_score(place, "52", 1, 54);
    add_score(place, "50", 4, 33.333); /* a single seed; nothing at 128 */
    add_floor(place, 10000, 1.0949);
}

/* --- numbers --- */

static void test_three_significant_digits(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {99.95, "100"},     {99.94, "99.9"},    {0.001234, "0.00123"}, {1234, "1230"},
        {1235.1, "1240"},   {7.3, "7.30"},      {0, "0.00"},           {9.996, "10.0"},
        {999.6, "1000"},    {-12.345, "-12.3"}, {618, "618"},          {0.5, "0.500"},
        {123456, "123000"}, {1e-9, "1.00e-09"}, {2.5e12, "2.50e+12"},  {INFINITY, "inf"},
    };
    char text[FS_NUMBER_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fs_three_digits(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    fs_three_digits((double)NAN, text);
    assert_string_equal(text, "nan");
}

static void test_durations_and_sizes(void **state)
{
    char text[FS_NUMBER_TEXT];

    (void)state;
    fs_duration(59, text);
    assert_string_equal(text, "59 s");
    fs_duration(7200, text);
    assert_string_equal(text, "2 h");
    fs_duration(86400 * 12 + 5, text);
    assert_string_equal(text, "12 d");
    fs_byte_size(999, text);
    assert_string_equal(text, "999 B");
    fs_byte_size(999600, text);
    assert_string_equal(text, "1.00 MB");
    fs_byte_size(12345678, text);
    assert_string_equal(text, "12.3 MB");
    fs_shortest(0.1, text);
    assert_string_equal(text, "0.1");
    fs_shortest(1.0 / 3, text);
    assert_true(strtod(text, NULL) == 1.0 / 3);
}

/* --- the three formats --- */

static void test_text(void **state)
{
    struct place *place = *state;

    fill_small(place);
    prints(
        place, "small", FS_TABLE_TEXT,
        "small: fashion-mnist, dit-xs/4, FD (fashion-cnn) to dataset:fashion-mnist:train, 5000 samples, EMA weights\n"
        "\n"
        "method                            1 step  4 steps         128 steps  updates  TFLOP\n"
        "Flow matching (Euler)  (1230 ± 34.0) (2)        –  7.30 ± 0.100 (2)     4000    123\n"
        "Shortcut model           52.0 ± 1.15 (3)     33.3                 –     4000    140\n"
        "data: test split                    1.09     1.09              1.09        –      –\n"
        "\n"
        "data: 10000 samples (fewer samples score higher)\n"
        "mean ± standard error (seeds)\n"
        "in parentheses: at a number of steps that the method was not trained for\n"
        "updates and TFLOP are of one training, its teacher's share included\n"
        "from commit c0ffee00c0ff (source 5011ce005011)\n");
}

static void test_markdown(void **state)
{
    struct place *place = *state;

    fill_small(place);
    add_floor(place, 5000, 2); /* as many as the samples: taken, and no note */
    add_floor(place, 2500, 3);
    prints(place, NULL, FS_TABLE_MARKDOWN,
           "**small**: fashion-mnist, dit-xs/4, FD (fashion-cnn) to dataset:fashion-mnist:train, 5000 samples, EMA "
           "weights\n"
           "\n"
           "| method | 1 step | 4 steps | 128 steps | updates | TFLOP |\n"
           "|---|--:|--:|--:|--:|--:|\n"
           "| Flow matching (Euler) | (1230 ± 34.0) (2) | – | 7.30 ± 0.100 (2) | 4000 | 123 |\n"
           "| Shortcut model | **52.0** ± 1.15 (3) | 33.3 | – | 4000 | 140 |\n"
           "| data: test split | 2.00 | 2.00 | 2.00 | – | – |\n"
           "\n"
           "- mean ± standard error (seeds)\n"
           "- in parentheses: at a number of steps that the method was not trained for\n"
           "- bold: best of its column, underlined: second, where the differences are more than noise (t intervals of "
           "log ratios over common seeds, Holm's correction over the table, alpha 0.05)\n"
           "- updates and TFLOP are of one training, its teacher's share included\n"
           "- from commit c0ffee00c0ff (source 5011ce005011)\n");
}

static void test_csv(void **state)
{
    struct place *place = *state;
    char expected[4096], f0[65], f1[65], s0[65];

    test_id("f0", f0);
    test_id("f1", f1);
    test_id("50", s0);
    add_experiment(place, "a \"quoted\", name", "a", NULL);
    add_run(place, "f0", "flow-matching", "", 0, 123.4);
    add_run(place, "f1", "flow-matching", "", 1, 123.4);
    add_run(place, "50", "shortcut", "", 0, 140);
    add_score(place, "f0", 4, 1.5); /* 2 ± 0.5 */
    add_score(place, "f1", 4, 2.5);
    add_score(place, "50", 4, 0.1);
    add_floor(place, 10000, 1.25);
    snprintf(
        expected, sizeof(expected),
        "experiment,dataset,model,method,steps,guidance_scale,extractor,metric,n_seeds,mean,std_error,samples,"
        "train_updates,train_flops,commit,source_hash,run_ids,teacher_updates,teacher_flops,wall_seconds,peak_bytes\n"
        "\"a \"\"quoted\"\", name\",fashion-mnist,dit-xs/4,flow-matching,4,1,fashion-cnn,fd,2,2,0.5,5000,4000,"
        "123400000000000," COMMIT "," SOURCE ",%s %s,0,0,0,0\n"
        "\"a \"\"quoted\"\", name\",fashion-mnist,dit-xs/4,shortcut,4,1,fashion-cnn,fd,1,0.1,,5000,4000,"
        "140000000000000," COMMIT "," SOURCE ",%s,0,0,0,0\n"
        "\"a \"\"quoted\"\", name\",fashion-mnist,dit-xs/4,data,,,fashion-cnn,fd,1,1.25,,10000,,," COMMIT "," SOURCE
        ",,,,,\n",
        f0, f1, s0);
    prints(place, NULL, FS_TABLE_CSV, expected);
}

/* --- what is chosen --- */

static void test_an_ablation_has_a_row_for_each_value(void **state)
{
    struct place *place = *state;

    add_experiment(place, "ablation", "a", "methods.shortcut.max_step");
    add_run(place, "50", "shortcut", "\"max_step\":1", 0, 140);
    add_run(place, "51", "shortcut", "\"max_step\":\"1/8\"", 0, 140);
    add_run(place, "f0", "flow-matching", "", 0, 120);
    add_score(place, "50", 16, 60);
    add_score(place, "51", 16, 80);
    add_score(place, "51", 8, 30);
    add_score(place, "f0", 8, 70);
    prints(place, "ablation", FS_TABLE_MARKDOWN,
           "**ablation**: fashion-mnist, dit-xs/4, FD (fashion-cnn) to dataset:fashion-mnist:train, 5000 samples, EMA "
           "weights\n"
           "\n"
           "| method | max_step | 8 steps | 16 steps | updates | TFLOP |\n"
           "|---|---|--:|--:|--:|--:|\n"
           "| Shortcut model | 1 | – | 60.0 | 4000 | 140 |\n"
           "| Shortcut model | 1/8 | 30.0 | 80.0 | 4000 | 140 |\n"
           "| Flow matching (Euler) | – | (70.0) | – | 4000 | 120 |\n"
           "\n"
           "- in parentheses: at a number of steps that the method was not trained for\n"
           "- updates and TFLOP are of one training, its teacher's share included\n"
           "- from commit c0ffee00c0ff (source 5011ce005011)\n");
    print_table_of(place, "ablation", FS_TABLE_CSV);
    assert_non_null(strstr(place->output, "peak_bytes,methods.shortcut.max_step\n"));
    assert_non_null(strstr(place->output, "5151,0,0,0,0,1/8\n"));
    assert_non_null(strstr(place->output, "f0f0,0,0,0,0,\n"));
}

/* What two methods call alike is one column, in which each has its own values. */
static void test_methods_share_a_column(void **state)
{
    struct place *place = *state;

    add_experiment(place, "averages", "a", NULL);
    add_run(place, "50", "shortcut", "\"target_ema\":0.9", 0, 140);
    add_run(place, "51", "shortcut", "\"target_ema\":0.99", 0, 140);
    add_run(place, "60", "consistency-training", "\"target_ema\":0.5", 0, 130);
    add_run(place, "61", "consistency-training", "\"target_ema\":0.7", 0, 130);
    add_run(place, "70", "mean-flow", "\"target_ema\":-1", 0, 110);
    add_score(place, "50", 1, 60);
    add_score(place, "51", 1, 80);
    add_score(place, "60", 1, 30);
    add_score(place, "61", 1, 40);
    add_score(place, "70", 1, 20);
    prints(place, "averages", FS_TABLE_MARKDOWN,
           "**averages**: fashion-mnist, dit-xs/4, FD (fashion-cnn) to dataset:fashion-mnist:train, 5000 samples, EMA "
           "weights\n"
           "\n"
           "| method | target_ema | 1 step | updates | TFLOP |\n"
           "|---|---|--:|--:|--:|\n"
           "| Shortcut model | 0.9 | 60.0 | 4000 | 140 |\n"
           "| Shortcut model | 0.99 | 80.0 | 4000 | 140 |\n"
           "| Consistency training | 0.5 | 30.0 | 4000 | 130 |\n"
           "| Consistency training | 0.7 | 40.0 | 4000 | 130 |\n"
           "| MeanFlow | – | 20.0 | 4000 | 110 |\n"
           "\n"
           "- updates and TFLOP are of one training, its teacher's share included\n"
           "- from commit c0ffee00c0ff (source 5011ce005011)\n");
    print_table_of(place, "averages", FS_TABLE_CSV);
    assert_non_null(strstr(place->output, "peak_bytes,methods.*.target_ema\n"));
}

/* The newest source's run counts, the last checkpoint's score, and a teacher's runs do not. */
static void test_the_newest_run_and_its_last_checkpoint_count(void **state)
{
    struct place *place = *state;
    struct fs_environment other = test_environment();
    struct fs_score_row score;
    char id[65];

    add_experiment(place, "twice", "a", NULL);
    add_run(place, "0a", "shortcut", "", 0, 100);
    add_score(place, "0a", 1, 99);
    other.commit = "beef";
    other.dirty = true;
    other.source_hash = "feed";
    good(place, fs_store_environment(place->store, &other, &place->environment, &place->error));
    add_run(place, "0b", "shortcut", "", 0, 100);
    add_score(place, "0b", 1, 11);
    test_id("0b", id);
    score = test_score("", id);
    score.steps = 1;
    score.update = 3000;
    score.value = 77;
    add_score_row(place, score);
    struct fs_run_row teacher = test_run(id);
    test_id("0c", id);
    teacher.is_teacher = true;
    good(place, fs_store_run(place->store, &teacher, 0, place->environment, &place->error));
    add_score(place, "0c", 1, 55);
    prints(place, "twice", FS_TABLE_MARKDOWN,
           "**twice**: fashion-mnist, dit-xs/4, FD (fashion-cnn) to dataset:fashion-mnist:train, 5000 samples, EMA "
           "weights\n"
           "\n"
           "| method | 1 step | updates | TFLOP |\n"
           "|---|--:|--:|--:|\n"
           "| Shortcut model | 11.0 | 4000 | 100 |\n"
           "\n"
           "- updates and TFLOP are of one training, its teacher's share included\n"
           "- from commit beef-dirty (source feed)\n"
           "- 1 older run of other sources left out\n");
}

static void test_sections_and_intervals(void **state)
{
    struct place *place = *state;
    struct fs_score_row score;
    char id[65];

    add_experiment(place, "two", "a", NULL);
    add_run(place, "50", "shortcut", "", 0, 140);
    test_id("50", id);
    for (int guided = 0; guided < 2; guided++) {
        score = test_score("", id);
        score.guidance_scale = guided ? 1.5 : 1;
        score.steps = 128;
        score.weights = "raw";
        score.quantize = !guided;
        score.metric = guided ? "fid" : "fd";
        score.low = 11.849;
        add_score_row(place, score);
    }
    prints(place, "two", FS_TABLE_TEXT,
           "two: fashion-mnist, dit-xs/4, FD (fashion-cnn) to dataset:fashion-mnist:train, 5000 samples, raw weights\n"
           "\n"
           "method          128 steps  updates  TFLOP\n"
           "Shortcut model       12.5     4000    140\n"
           "\n"
           "95 % interval over samples, Shortcut model: 11.8 – 13.0 (128)\n"
           "updates and TFLOP are of one training, its teacher's share included\n"
           "from commit c0ffee00c0ff (source 5011ce005011)\n"
           "\n"
           "two: fashion-mnist, dit-xs/4, FID to dataset:fashion-mnist:train, 5000 samples, raw weights, guidance 1.5, "
           "not rounded to 8 bits\n"
           "\n"
           "method          128 steps  updates  TFLOP\n"
           "Shortcut model       12.5     4000    140\n"
           "\n"
           "95 % interval over samples, Shortcut model: 11.8 – 13.0 (128)\n"
           "updates and TFLOP are of one training, its teacher's share included\n"
           "from commit c0ffee00c0ff (source 5011ce005011)\n");
}

/* Pictures that were brought to the extractor's size in another way are another measure: the later score does not stand
 * in the earlier one's place. */
static void test_another_resize_is_another_section(void **state)
{
    struct place *place = *state;
    char id[65];

    add_experiment(place, "resized", "a", NULL);
    add_run(place, "50", "shortcut", "", 0, 140);
    test_id("50", id);
    for (int i = 0; i < 2; i++) {
        struct fs_score_row score = test_score("", id);
        score.resize = i ? "tf1" : "clean";
        score.steps = 4;
        score.value = i ? 40 : 20;
        score.low = score.high = (double)NAN;
        add_score_row(place, score);
    }
    prints(
        place, "resized", FS_TABLE_TEXT,
        "resized: fashion-mnist, dit-xs/4, FD (fashion-cnn) to dataset:fashion-mnist:train, 5000 samples, EMA weights\n"
        "\n"
        "method          4 steps  updates  TFLOP\n"
        "Shortcut model     20.0     4000    140\n"
        "\n"
        "updates and TFLOP are of one training, its teacher's share included\n"
        "from commit c0ffee00c0ff (source 5011ce005011)\n"
        "\n"
        "resized: fashion-mnist, dit-xs/4, FD (fashion-cnn) to dataset:fashion-mnist:train, 5000 samples, EMA weights, "
        "resized as tf1\n"
        "\n"
        "method          4 steps  updates  TFLOP\n"
        "Shortcut model     40.0     4000    140\n"
        "\n"
        "updates and TFLOP are of one training, its teacher's share included\n"
        "from commit c0ffee00c0ff (source 5011ce005011)\n");
}

static void test_wrong_names_are_said(void **state)
{
    struct place *place = *state;

    assert_int_equal(fs_table_print(place->store,
                                    &(struct fs_table_request){.experiment = NULL, .format = FS_TABLE_TEXT}, stdout,
                                    &place->error),
                     FS_USAGE);
    add_experiment(place, "one", "a", NULL);
    add_experiment(place, "two", "b", NULL);
    assert_int_equal(fs_table_print(place->store,
                                    &(struct fs_table_request){.experiment = "three", .format = FS_TABLE_TEXT}, stdout,
                                    &place->error),
                     FS_USAGE);
    assert_non_null(strstr(place->error.text, "one, two"));
    assert_int_equal(fs_table_print(place->store,
                                    &(struct fs_table_request){.experiment = "one", .format = FS_TABLE_CSV}, stdout,
                                    &place->error),
                     FS_USAGE);
    assert_int_equal(fs_runs_print(place->store, "three", false, stdout, &place->error), FS_USAGE);
}

/* --- what sets rows apart --- */

/* A run with keys of its training; its train_hash follows from them. */
static void add_training(struct place *place, const char *digits, int batch, const char *rate, int updates)
{
    char config[512], train_hash[64];

    snprintf(config, sizeof(config),
             "{\"config_version\":1,\"device\":\"%s\",\"evaluate\":{\"samples\":%d},\"method\":\"flow-matching\","
             "\"methods\":{\"flow-matching\":{}},\"seed\":0,\"train\":{\"batch\":%d,\"learning_rate\":%s,"
             "\"updates\":%d}}",
             batch == 16 ? "cpu" : "auto", batch, batch, rate, updates);
    snprintf(train_hash, sizeof(train_hash), "%d %s %d", batch, rate, updates);
    add_run_as(place, digits, "flow-matching", train_hash, config);
    add_score(place, digits, 4, batch * 10 + updates);
}

static void has_all(struct place *place, const char *const *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!strstr(place->output, lines[i])) {
            fail_msg("no '%s' in:\n%s", lines[i], place->output);
        }
    }
}
#define HAS_ALL(place, ...)                                                                                            \
    has_all(place, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Samples of other samplers and grids are other measures, behind the methods' own, and say what a step costs. */
static void test_samplers_stand_apart(void **state)
{
    static const char *const samplers[] = {NULL, "heun", "midpoint", NULL}, *const grids[] = {NULL, NULL, "shifted 3",
                                                                                              "shifted 3"};
    struct place *place = *state;
    char id[65];

    add_experiment(place, "solved", "a", NULL);
    add_run(place, "51", "flow-matching", "", 0, 140);
    test_id("51", id);
    for (int i = 0; i < 4; i++) {
        struct fs_score_row score = test_score("", id);
        score.steps = 3;
        score.sampler = samplers[i];
        score.time_grid = grids[i];
        score.value = 10 + i;
        score.low = score.high = (double)NAN;
        add_score_row(place, score);
    }
    print_table(place, FS_TABLE_TEXT);
    HAS_ALL(place, "5000 samples, EMA weights\n\n", "EMA weights, time grid shifted 3\n",
            "EMA weights, heun sampler (N steps are 2N − 1 evaluations of the network)\n",
            "EMA weights, midpoint sampler (N steps are 2N evaluations of the network), time grid shifted 3\n",
            "Flow matching (Euler)   (10.0)", "Flow matching (Euler)   (13.0)", "Flow matching (Heun)   (11.0)",
            "Flow matching (midpoint)   (12.0)");
}

/* Two varied keys, of which the matrix's own comes first; keys that move no training, and those that are the same in
 * all rows, are no columns. Rates that differ in the seventh digit differ in the table. */
static void test_two_varied_keys_are_two_columns(void **state)
{
    struct place *place = *state;

    add_experiment(place, "two", "a", "train.learning_rate");
    add_training(place, "a0", 16, "0.001", 100);
    add_training(place, "a1", 16, "0.00010000001", 100);
    add_training(place, "a2", 24, "0.001", 100);
    add_training(place, "a3", 24, "0.0001", 100);
    print_table(place, FS_TABLE_MARKDOWN);
    HAS_ALL(place, "| method | learning_rate | batch | 4 steps | updates | TFLOP |\n|---|---|---|--:|",
            "| Flow matching (Euler) | 0.001 | 16 |", "| Flow matching (Euler) | 0.00010000001 | 16 |",
            "| Flow matching (Euler) | 0.001 | 24 |", "| Flow matching (Euler) | 0.0001 | 24 |");
    print_table(place, FS_TABLE_TEXT);
    HAS_ALL(place, "method                 learning_rate  batch  4 steps",
            "\nFlow matching (Euler)  0.0001         24");
    print_table(place, FS_TABLE_CSV);
    HAS_ALL(place, "peak_bytes,train.learning_rate,train.batch\n", ",0,0,0,0,0.001,16\n", ",0,0,0,0,0.0001,24\n");
    print_table(place, FS_TABLE_LATEX);
    HAS_ALL(place, "\\begin{tabular}{lll*{1}{r}}", "\nMethod & learning\\_rate & batch & 4 \\\\",
            "\nFlow matching (Euler) & 0.0001 & 24 & ");
}

/* After `--set` a method has two trainings in one experiment, which no matrix tells of. */
static void test_what_was_set_sets_rows_apart(void **state)
{
    struct place *place = *state;

    add_experiment(place, "set", "a", NULL);
    add_training(place, "b0", 16, "0.001", 100);
    add_training(place, "b1", 16, "0.001", 200);
    add_run(place, "b2", "shortcut", "\"max_step\":1", 0, 10); /* has neither key, and nothing to be told from */
    add_score(place, "b2", 4, 3);
    print_table(place, FS_TABLE_MARKDOWN);
    HAS_ALL(place, "| method | updates | 4 steps |", "| Flow matching (Euler) | 100 | 260 |",
            "| Flow matching (Euler) | 200 | 360 |");
}

/* In the list of runs, too. */
static void test_runs_are_named_apart(void **state)
{
    struct place *place = *state;
    FILE *stream = fmemopen(place->output, sizeof(place->output), "w");
    char id[65];

    add_experiment(place, "set", "a", NULL);
    add_training(place, "b0", 16, "0.001", 100);
    add_training(place, "b1", 16, "0.001", 200);
    add_training(place, "b2", 24, "0.001", 200);
    test_id("b2", id);
    good(place, fs_store_label(place->store, id, place->experiment, "mine", &place->error));
    good(place, fs_runs_print(place->store, "set", false, stream, &place->error));
    fclose(stream);
    HAS_ALL(place, "  c0ffee00c0ff  updates 100, batch 16\n", "  c0ffee00c0ff  updates 200, batch 16\n",
            "  c0ffee00c0ff  mine, updates 200, batch 24\n");
    stream = fmemopen(place->output, sizeof(place->output), "w");
    good(place, fs_runs_print(place->store, NULL, true, stream, &place->error));
    fclose(stream);
    HAS_ALL(place, "\"name\":\"set: updates 100, batch 16\"}\n", "\"name\":\"set: mine, updates 200, batch 24\"}\n");
}

/* Configurations that are alike: then the data, or the training's hash, says that these are two. */
static void test_rows_on_other_data_or_of_another_time(void **state)
{
    struct place *place = *state;
    sqlite3 *database = fs_store_handle(place->store);

    add_experiment(place, "alike", "a", NULL);
    add_training(place, "c0", 16, "0.001", 100);
    add_training(place, "c1", 16, "0.001", 100);
    sqlite3_exec(database, "UPDATE runs SET data_sha256 = 'fedcba9876' WHERE id LIKE 'c1%'", NULL, NULL, NULL);
    print_table(place, FS_TABLE_MARKDOWN);
    HAS_ALL(place, "| method | data |", "| Flow matching (Euler) | da7a |", "| Flow matching (Euler) | fedcba98 |");
    sqlite3_exec(database, "UPDATE runs SET data_sha256 = 'da7a', train_hash = '0123456789' WHERE id LIKE 'c1%'", NULL,
                 NULL, NULL);
    print_table(place, FS_TABLE_MARKDOWN);
    HAS_ALL(place, "| method | training |", "| Flow matching (Euler) | 01234567 |");
}

/* The user's own name stands first, with the method's behind it; a program finds it in a column of its own. */
static void test_a_label_names_its_row(void **state)
{
    struct place *place = *state;
    char id[65];

    add_experiment(place, "named", "a", NULL);
    add_training(place, "d0", 16, "0.001", 100);
    add_training(place, "d1", 32, "0.001", 100);
    test_id("d1", id);
    good(place, fs_store_label(place->store, id, place->experiment, "my \"own\", name", &place->error));
    print_table(place, FS_TABLE_TEXT);
    HAS_ALL(place, "\nFlow matching (Euler)                   16 ", "\nmy \"own\", name (Flow matching (Euler))  32 ");
    print_table(place, FS_TABLE_CSV);
    HAS_ALL(place, "peak_bytes,label,train.batch\n", ",0,0,0,0,,16\n", ",0,0,0,0,\"my \"\"own\"\", name\",32\n",
            ",flow-matching,4,");
    print_table(place, FS_TABLE_LATEX);
    HAS_ALL(place, "\nmy \\textquotedbl{}own\\textquotedbl{}, name (Flow matching (Euler)) & 32 & ");
}

/* --- what differs by more than noise, and LaTeX --- */

/* Three methods at three seeds. At one step the first is far below two that are alike; at four all are apart; at 128
 * one seed alone says nothing. */
static void fill_marked(struct place *place)
{
    static const char *const methods[] = {"shortcut", "reflow", "flow-matching"};
    static const double at_one[] = {10, 20, 20.02}, at_four[] = {30, 20, 10};

    add_experiment(place, "marked & 50%_", "a", NULL);
    for (int m = 0; m < 3; m++) {
        for (int seed = 0; seed < 3; seed++) {
            char digits[3] = {(char)('a' + m), (char)('0' + seed), 0};
            add_run(place, digits, methods[m], "", seed, 100);
            add_score(place, digits, 1, at_one[m] * (1 + 0.01 * (seed - 1)));
            add_score(place, digits, 4, at_four[m] * (1 + 0.01 * (1 - seed)));
        }
    }
    add_score(place, "a0", 128, 1);
    add_score(place, "b0", 128, 100);
}

static void test_only_what_is_no_noise_is_marked(void **state)
{
    struct place *place = *state;
    fill_marked(place);
    print_table(place, FS_TABLE_MARKDOWN);
    static const char *const lines[] = {
        "\n| Shortcut model | **10.0** ± 0.0577 (3) | 30.0 ± 0.173 (3) | 1.00 |",
        "\n| Reflow | 20.0 ± 0.115 (3) | <u>20.0</u> ± 0.115 (3) | 100 |",
        "\n| Flow matching (Euler) | (20.0 ± 0.116) (3) | (**10.0** ± 0.0577) (3) | – |",
        "\n- bold: best of its column, underlined: second, where the differences are more than noise",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(place->output, lines[i])) {
            fail_msg("no '%s' in:\n%s", lines[i], place->output);
        }
    }
}

/* Rows that hardly vary do not vouch for one that does: two rows are compared by their own spread. */
static void test_a_wide_row_is_judged_by_its_own_spread(void **state)
{
    static const char *const pairs[] = {"\"pairs\":500", "\"pairs\":1000", "\"pairs\":2000", "\"pairs\":4000"};
    static const double at_one[] = {9.3, 10, 10, 10};
    struct place *place = *state;
    add_experiment(place, "wide", "a", "methods.reflow.pairs");
    for (int m = 0; m < 4; m++) {
        for (int seed = 0; seed < 3; seed++) {
            char digits[3] = {(char)('a' + m), (char)('0' + seed), 0};
            add_run(place, digits, "reflow", pairs[m], seed, 100);
            add_score(place, digits, 1, at_one[m] * (1 + (m == 0 ? 0.04 : 0.0002) * (seed - 1)));
        }
    }
    print_table(place, FS_TABLE_MARKDOWN);
    if (!strstr(place->output, "| 500 | 9.30 ± 0.215 (3) |")) { /* 7 % below, and 4 % from seed to seed */
        fail_msg("%s", place->output);
    }
}

/* Of some metrics the largest is the best, and of what this build does not know, none. */
static void test_the_metric_says_what_is_best(void **state)
{
    static const struct {
        const char *metric, *line;
    } cases[] = {
        {"recall", "\n| Shortcut model | 10.0 ± 0.0577 (3) | **30.0** ± 0.173 (3) |"},
        {"elegance", "\n| Shortcut model | 10.0 ± 0.0577 (3) | 30.0 ± 0.173 (3) |"},
        {"kid", "\n| Shortcut model | -10.0 ± 0.0577 (3) | -30.0 ± 0.173 (3) |"}, /* below 0 there is no ratio */
    };
    struct place *place = *state;
    char sql[128];

    fill_marked(place);
    for (int i = 0; i < 3; i++) {
        snprintf(sql, sizeof(sql), "UPDATE scores SET metric = '%s', value = %s value", cases[i].metric,
                 i == 2 ? "-" : "");
        sqlite3_exec(fs_store_handle(place->store), sql, NULL, NULL, NULL);
        print_table(place, FS_TABLE_MARKDOWN);
        if (!strstr(place->output, cases[i].line)) {
            fail_msg("no '%s' in:\n%s", cases[i].line, place->output);
        }
    }
}

static void test_latex(void **state)
{
    struct place *place = *state;
    fill_marked(place);
    add_floor(place, 5000, 2);
    print_table(place, FS_TABLE_LATEX);
    static const char *const lines[] = {
        "\n  \\caption{marked \\& 50\\%\\_: fashion-mnist, dit-xs/4, FD (fashion-cnn) to ",
        "Mean $\\pm$ standard error over 3 seeds",
        " EMA weights; lower is better. Mean",
        "\n  \\label{tab:fewstep-marked---50--}\n\\begin{tabular}{l*{3}{r@{\\hspace{2em}}}}\n",
        "\nMethod & 1 & 4 & 128 \\\\\n\\midrule\nShortcut model & \\textbf{10.0}{\\scriptsize\\,$\\pm$\\,0.1} & "
        "30.0{\\scriptsize\\,$\\pm$\\,0.2} & 1.00\\rlap{$^{(1)}$} \\\\\n",
        "\nReflow & 20.0{\\scriptsize\\,$\\pm$\\,0.1} & \\underline{20.0}{\\scriptsize",
        "\nFlow matching (Euler) & (20.0{\\scriptsize\\,$\\pm$\\,0.1}\\rlap{)} & (\\textbf{10.0}{",
        "\\rlap{)} & -- \\\\\n\\midrule\nData: test split & 2.00 & 2.00 & 2.00 \\\\\n\\bottomrule",
        "\nReflow & 4000 & -- & 100 & -- & 0 B & 0 s \\\\\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(place->output, lines[i])) {
            fail_msg("no '%s' in:\n%s", lines[i], place->output);
        }
    }
}

static void test_latex_text(void **state)
{
    char text[256] = "";
    FILE *stream = fmemopen(text, sizeof(text), "w");

    (void)state;
    fs_latex(stream, "a_b%{}\\~^<>|#$& \"x\" -- é ∞ – \xe4\xb8\xad\xff\n");
    fclose(stream);
    assert_string_equal(
        text, "a\\_b\\%\\{\\}\\textbackslash{}\\textasciitilde{}\\textasciicircum{}\\textless{}"
              "\\textgreater{}\\textbar{}\\#\\$\\& \\textquotedbl{}x\\textquotedbl{} {-}- é $\\infty$ – [U+4E2D]? ");
}

/* --- filters --- */

/* The first column of the rows of a Markdown table, and its numbers. */
static void rows_are(struct place *place, const struct fs_result_filter *filter, const char *expected)
{
    FILE *stream = fmemopen(place->output, sizeof(place->output), "w");

    good(place, fs_table_print(place->store,
                               &(struct fs_table_request){.experiment = "small",
                                                          .filter = filter ? *filter : (struct fs_result_filter){0},
                                                          .format = FS_TABLE_MARKDOWN},
                               stream, &place->error));
    fclose(stream);
    const char *rows = strstr(place->output, "--:|\n");
    assert_non_null(rows);
    if (strncmp(rows + 5, expected, strlen(expected)) != 0) {
        fail_msg("no '%s' in:\n%s", expected, place->output);
    }
}

static void test_filters(void **state)
{
    struct place *place = *state;
    struct fs_environment other = test_environment();

    fill_small(place);
    rows_are(place, &(struct fs_result_filter){.method = "shortcut"},
             "| Shortcut model | 52.0 ± 1.15 (3) | 33.3 | 4000 | 140 |\n| data");
    rows_are(place, &(struct fs_result_filter){.since = 1, .dataset = "fashion-mnist"}, "| Flow");
    assert_int_equal(fs_table_print(place->store,
                                    &(struct fs_table_request){.experiment = "small", .filter = {.method = "gan"}},
                                    stdout, &place->error),
                     FS_USAGE);
    assert_non_null(strstr(place->error.text, "--method gan; the experiment has methods"));
    assert_int_equal(
        fs_table_print(place->store,
                       &(struct fs_table_request){.experiment = "small", .filter = {.since = INT64_MAX / 2}}, stdout,
                       &place->error),
        FS_USAGE);
    /* A newer source and an edited file: the older source's numbers are still to be had. */
    other.commit = "beef";
    other.source_hash = "feed";
    good(place, fs_store_environment(place->store, &other, &place->environment, &place->error));
    add_experiment(place, "small", "edited", NULL);
    add_run(place, "e0", "shortcut", "", 0, 140);
    sqlite3_exec(fs_store_handle(place->store), "UPDATE runs SET source_hash = 'feed' WHERE id LIKE 'e0%'", NULL, NULL,
                 NULL);
    add_score(place, "e0", 1, 7);
    rows_are(place, NULL, "| Shortcut model | 7.00 |");
    rows_are(place, &(struct fs_result_filter){.source = SOURCE}, "| Flow");
    rows_are(place, &(struct fs_result_filter){.source = "feed"}, "| Shortcut model | 7.00 |");
}

/* --- runs and show --- */

static void test_runs_and_show(void **state)
{
    struct place *place = *state;
    const struct fs_curve_point points[] = {{"loss", 100, 0.5}, {"loss", 200, 0.25}};
    char id[65];

    add_experiment(place, "ablation", "a", "methods.shortcut.max_step");
    add_run(place, "abcdef01", "shortcut", "\"max_step\":\"1/8\"", 3, 140);
    test_id("abcdef01", id);
    good(place, fs_store_curve(place->store, id, points, 2, &place->error));
    good(place, fs_store_checkpoint(place->store, id, 150, "out/c.safetensors", "c5", 1000, &place->error));
    add_score(place, "abcdef01", 4, 12.5);

    FILE *stream = fmemopen(place->output, sizeof(place->output), "w");
    good(place, fs_runs_print(place->store, "ablation", false, stream, &place->error));
    fclose(stream);
    assert_non_null(strstr(place->output, "\nabcdef01  shortcut"));
    assert_non_null(strstr(place->output, " 200/4000      140      0 s  c0ffee00c0ff  max_step 1/8\n"));

    stream = fmemopen(place->output, sizeof(place->output), "w");
    good(place, fs_show_print(place->store, "abcdef", false, stream, &place->error));
    fclose(stream);
    static const char *const lines[] = {
        "\n    shortcut:\n      max_step: 1/8\n",
        "\n  - update 150, path out/c.safetensors, bytes 1000, sha256 c5, on_disk false\n",
        "\n  - metric fd, extractor fashion-cnn, steps 4, value 12.5,",
        "\n  - name loss, update 200, value 0.25\n",
        "\n  - name ablation, path experiments/x.yaml, ablated methods.shortcut.max_step, label –\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(place->output, lines[i])) {
            fail_msg("no '%s' in:\n%s", lines[i], place->output);
        }
    }
    stream = fmemopen(place->output, sizeof(place->output), "w");
    good(place, fs_show_print(place->store, "abcdef", true, stream, &place->error));
    fclose(stream);
    assert_ptr_equal(strchr(place->output, '\n'), place->output + strlen(place->output) - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_significant_digits),
        cmocka_unit_test(test_durations_and_sizes),
        TEST(test_text),
        TEST(test_markdown),
        TEST(test_csv),
        TEST(test_an_ablation_has_a_row_for_each_value),
        TEST(test_the_newest_run_and_its_last_checkpoint_count),
        TEST(test_samplers_stand_apart),
        TEST(test_sections_and_intervals),
        TEST(test_another_resize_is_another_section),
        TEST(test_wrong_names_are_said),
        TEST(test_methods_share_a_column),
        TEST(test_two_varied_keys_are_two_columns),
        TEST(test_what_was_set_sets_rows_apart),
        TEST(test_runs_are_named_apart),
        TEST(test_rows_on_other_data_or_of_another_time),
        TEST(test_a_label_names_its_row),
        TEST(test_only_what_is_no_noise_is_marked),
        TEST(test_a_wide_row_is_judged_by_its_own_spread),
        TEST(test_the_metric_says_what_is_best),
        TEST(test_latex),
        cmocka_unit_test(test_latex_text),
        TEST(test_filters),
        TEST(test_runs_and_show),
        TEST(test_failures_are_named),
        TEST(test_rows_are_in_the_order_of_the_file),
        TEST(test_rows_are_called_as_in_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
