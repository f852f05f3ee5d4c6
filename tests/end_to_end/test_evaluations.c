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
#include <sys/stat.h>

#include "harness/data/dataset.h"
#include "harness/data/png.h"
#include "metrics/gaussian.h"
#include "tests/support/folder.h"
#include "tests/support/shell.h"
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
    assert_int_equal(
        test_shell(said, sizeof said, "ls %s/samples/*/*.png | sed 's/.*-seed/seed/' | LC_ALL=C sort", out), 0);
    assert_string_equal(said, "seed0-heun.png\nseed0-shift3.png\nseed0.png\n");
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

/* Of a matrix, whoever makes its runs, the exact velocity's samples are drawn once for each number of labels. */
static void the_exact_velocity_is_scored_once(void **state)
{
    char text[1200], said[8192], arguments[2200];
    (void)state;
    const int length = snprintf(text, sizeof text, TEXT "matrix: {seed: [3, 4], dataset.groups: [10, 2]}\n", data);
    test_write(test_path("matrix.yaml"), text, (size_t)length);
    for (int shard = 2; shard > 0; shard--) {
        snprintf(arguments, sizeof arguments,
                 "run %s --out %s-matrix --set evaluate.exact_velocity=true --shard %d/2 >&2", test_path("matrix.yaml"),
                 out, shard);
        if (test_program_run("", arguments, said, sizeof said) != 0) {
            fail_msg("%s", said);
        }
    }
    snprintf(arguments, sizeof arguments, "%s-matrix", out);
    test_program_query(arguments,
                       "SELECT substr(source, -2), noise_seed, group_concat(steps) FROM scores WHERE source LIKE "
                       "'exact:%' GROUP BY 1, 2 ORDER BY 1",
                       said, sizeof said);
    assert_string_equal(said, "10 3 2,3 \n:2 3 2,3 \n");
    test_program_query(arguments, "SELECT count(*) FROM runs", said, sizeof said);
    assert_string_equal(said, "4 \n");
}

/* A row of its own by the number of labels, scored once and shared by all runs. */
static void the_exact_velocity_is_a_row(void **state)
{
    char arguments[2200], said[8192];

    (void)state;
    run_with("--set evaluate.exact_velocity=true");
    expect_rows(
        "SELECT substr(source, 7, 12) = substr(data_sha256, 1, 12), substr(source, -3), group_concat(steps) FROM "
        "scores, (SELECT data_sha256 FROM runs LIMIT 1) WHERE source LIKE 'exact:%' GROUP BY source",
        "1 :10 2,3 \n");
    run_with("--set evaluate.exact_velocity=true --set dataset.groups=2");
    expect_rows("SELECT count(*), count(DISTINCT value) FROM scores WHERE source LIKE 'exact:%'", "4 4 \n");
    run("--set evaluate.exact_velocity=true", said, sizeof said);
    assert_null(strstr(said, "Exact velocity, seed 0: "));
    assert_non_null(strstr(said, "Exact velocity, 10 labels"));
    assert_non_null(strstr(said, "exact velocity: what flow matching would draw"));
    snprintf(arguments, sizeof arguments, "table --format csv --out %s >&2", out);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    assert_non_null(strstr(said, ",exact,2,"));
    snprintf(arguments, sizeof arguments, "table --format latex --out %s >&2", out);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    assert_non_null(strstr(said, "\nExact velocity, 2 labels & "));
    assert_int_equal(
        test_shell(said, sizeof said,
                   "%s report --out %s -o %s/page.html 2>&1 && grep -o '<th scope=row>Exact[^/]*' %s/page.html",
                   test_program(), out, out, out),
        0);
    assert_non_null(strstr(said, "<th scope=row>Exact velocity, 2 labels<td data-column=\"2 steps\"><a class=number"));
}

/* The training pictures as files of their own. */
static void write_pictures(const char *folder, int count)
{
    struct fs_dataset_config config = {.name = "few", .kind = "idx"};
    struct fs_dataset pictures;
    struct fs_error error;
    uint8_t pixels[28 * 28];
    snprintf(config.path, sizeof config.path, "%s", data);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &pictures, &error), FS_OK);
    mkdir(folder, 0777);
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%04d.png", folder, i);
        assert_int_equal(fs_dataset_bytes(&pictures, i, 1, pixels, &error), FS_OK);
        assert_int_equal(fs_png_write(path, pixels, 28, 28, 1, &error), FS_OK);
    }
    fs_dataset_close(&pictures);
}

/* The training pictures as they are, as a folder, and as statistics of it: one distance, by three names. */
static void references(void **state)
{
    char folder[300], statistics[300], moved[300], set[400], arguments[2200], said[8192];
    (void)state;
    snprintf(folder, sizeof folder, "%s", test_path("training"));
    snprintf(statistics, sizeof statistics, "%s", test_path("training.npz"));
    snprintf(moved, sizeof moved, "%s", test_path("moved.npz"));
    write_pictures(folder, 1500);
    snprintf(arguments, sizeof arguments, "stats %s --extractor fashion-cnn --quiet -o %s >&2", folder, statistics);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(set, sizeof set, "--set evaluate.reference=%s", i ? statistics : folder);
        expect_dry_run(set, "trained, 0/2 scores");
        run_with(set);
        expect_dry_run(set, "trained, 2/2 scores");
    }
    expect_rows("SELECT substr(reference, 1, instr(reference || ' ', ' ')), count(*), count(DISTINCT source) FROM "
                "scores WHERE sampler = 'method' AND time_grid = 'uniform' AND labels <> 'uniform' AND source NOT LIKE "
                "'exact%' AND (run = 1 OR run IS NULL) GROUP BY reference ORDER BY 1",
                "pictures  3 2 \nstatistics  3 2 \ntrain 3 2 \n");
    expect_rows("SELECT count(*) FROM scores a JOIN scores b ON a.run = b.run AND a.steps = b.steps AND a.sampler = "
                "b.sampler AND a.labels = b.labels AND a.time_grid = b.time_grid WHERE a.run = 1 AND a.reference = "
                "'train' AND b.reference <> 'train' AND abs(a.value - b.value) < 1e-6 * a.value",
                "4 \n");
    expect_rows("SELECT count(*) FROM scores WHERE reference <> 'train' AND instr(reference, substr(reference_sha256, "
                "1, 12)) > 0",
                "6 \n");
    run(set, said, sizeof said);
    assert_non_null(strstr(said, "FD (fashion-cnn) to statistics "));
    assert_int_equal(rename(statistics, moved), 0); /* what a file is called is no part of a score */
    snprintf(set, sizeof set, "--set evaluate.reference=%s", moved);
    expect_dry_run(set, "trained, 2/2 scores");
    char id[80];
    test_program_query(out, "SELECT id FROM runs WHERE number = 1", id, sizeof id);
    snprintf(arguments, sizeof arguments, "eval %.12s --steps 1 --reference %s --out %s >&2", id, moved, out);
    assert_int_equal(test_program_run("", arguments, said, sizeof said), 0);
    expect_rows("SELECT count(*) FROM scores WHERE steps = 1 AND reference LIKE 'statistics %'", "1 \n");
}

static void refuses_reference(const char *more, const char *piece)
{
    char arguments[2200];
    snprintf(arguments, sizeof arguments, "run %s --out %s --quiet %s", experiment, out, more);
    test_program_refuses(2, arguments, piece);
}

/* What cannot be compared with is said before any work. */
static void references_that_do_not_fit(void **state)
{
    char set[600], path[300];
    double numbers[3 * 3] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct fs_gaussian other = {.dim = 3, .mean = numbers, .covariance = numbers};
    struct fs_error error;
    (void)state;
    refuses_reference("--set evaluate.reference=/nowhere.npz",
                      "evaluate.reference: expected train, a folder of pictures or an .npz with mu and sigma, got "
                      "/nowhere.npz: No such file or directory");
    snprintf(set, sizeof set, "--set evaluate.reference=%s --dry-run", experiment);
    refuses_reference(set, "expected train, a folder of pictures or an .npz with mu and sigma, got ");
    snprintf(path, sizeof path, "%s", test_path("others.npz"));
    assert_int_equal(fs_gaussian_write(path, &other, &error), FS_OK);
    snprintf(set, sizeof set, "--set evaluate.reference=%s", path);
    refuses_reference(set, "statistics of 3 features, and tap penultimate of fashion-cnn has 128: another "
                           "extractor's, which cannot be compared");
    snprintf(set, sizeof set, "--set evaluate.reference=%s --set 'evaluate.metrics=[fd, kid]'", path);
    refuses_reference(set, "has a mean and a covariance only, and kid needs features of single pictures");
    snprintf(set, sizeof set, "--set evaluate.reference=%s --set evaluate.metrics=spectrum --dry-run", path);
    refuses_reference(set, "and spectrum needs pictures");
    snprintf(other.origin.extractor, sizeof other.origin.extractor, "inception-v3");
    assert_int_equal(fs_gaussian_write(path, &other, &error), FS_OK);
    snprintf(set, sizeof set, "--set evaluate.reference=%s", path);
    refuses_reference(set, "features of inception-v3 (), tap , resize ; evaluate.extractors: of fashion-cnn (");
    write_pictures(test_path("single"), 1);
    snprintf(set, sizeof set, "--set evaluate.reference=%s", test_path("single"));
    refuses_reference(set, "evaluate.reference: samples would be compared with 1 picture: a covariance needs two or");
    snprintf(set, sizeof set,
             "--set dataset.kind=image-folder --set dataset.size=28 --set dataset.channels=1 --set model.classes=0 "
             "--set dataset.path=%s",
             test_path("single"));
    refuses_reference(set, "dataset.path: samples would be compared with 1 picture");
    mkdir(test_path("empty"), 0777);
    snprintf(set, sizeof set, "--set evaluate.reference=%s", test_path("empty"));
    refuses_reference(set, "evaluate.reference: ");
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
        cmocka_unit_test(the_exact_velocity_is_scored_once),
        cmocka_unit_test(references),
        cmocka_unit_test(references_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
