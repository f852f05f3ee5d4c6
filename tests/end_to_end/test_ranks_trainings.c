/* What else ranks share: latents, encoded, trained on and decoded; noise and data paired by optimal transport; a
 * training that diverges and begins again; the bench of what lies between them. Drives the program under mpirun, which
 * is skipped aloud where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/autoencoder.h"
#include "tests/support/folder.h"
#include "tests/support/mpirun.h"
#include "tests/support/pictures.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

static char text[65536], experiment[256], latents_experiment[256], weights[256];

/* Two rows of three groups of rows that are paired lie with another rank than the rest. */
static const char experiment_text[] =
    "experiment: kinds\n"
    "dataset: {name: few, kind: idx, path: %s}\n"
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, classes: 10, finest_steps: 8}\n"
    "train: {updates: 12, batch: 14, warmup: 2, ema: 0.9, pairing_group: 5}\n"
    "method: flow-matching\n"
    "evaluate: {steps: [8], samples: 40, metrics: [spectrum]}\n"
    "device: cpu\n";

static const char latents_text[] =
    "experiment: latents\n"
    "dataset: {name: few, kind: latents, path: %s, vae: %s, mirror: true}\n"
    "model: {preset: tiny, patch: 1, hidden: 32, depth: 2, heads: 2, classes: 10, finest_steps: 8}\n"
    "train: {updates: 12, batch: 9, warmup: 2, ema: 0.9, label_dropout: 0.1}\n"
    "method: shortcut\n"
    "methods: {shortcut: {bootstrap_fraction: 0.5}}\n"
    "evaluate: {steps: [1, 8], samples: 40, metrics: [fd, spectrum]}\n"
    "device: cpu\n";

static void must_run(int ranks, const char *of, const char *out, const char *more)
{
    const int status = test_mpirun(ranks, text, sizeof text, "run %s --out %s --quiet %s", of, test_path(out), more);
    if (status != 0) {
        fail_msg("%d ranks, %s: status %d: %s", ranks, more, status, text);
    }
}

/* Two ranks twice: the same bits; one process: the same but for rounding, which 12 updates let grow. */
static void compare(const char *of, const char *more)
{
    assert_int_equal(test_shell(text, sizeof text, "cd %s && rm -rf one two again", test_folder()), 0);
    must_run(0, of, "one", more);
    must_run(2, of, "two", more);
    must_run(2, of, "again", more);
    test_program_same_results(test_path("two"), test_path("again"));
    assert_true(test_checkpoint_distance("two", "again") == 0);
    assert_in_range(test_checkpoint_distance("one", "two") * 1e9, 1, 1e6);
}

/* --- latents --- */

static void encode(int ranks, const char *folder, const char *more)
{
    const int status = test_mpirun(ranks, text, sizeof text,
                                   "encode %s --kind idx --vae %s -o %s --pictures-per-file 20 --extractor fashion-cnn "
                                   "--device cpu --quiet %s",
                                   test_path("few"), weights, test_path(folder), more);
    if (status != 0) {
        fail_msg("%d ranks: status %d: %s", ranks, status, text);
    }
}

/* Each rank makes files of its own, and there is a line for all. */
static void encoded_latents_have_the_same_bytes(void **state)
{
    (void)state;
    encode(0, "latents", "");
    NEEDS_MPIRUN();
    encode(3, "shared", "");
    assert_non_null(strstr(text, "90 latents of 7 × 7 × 4 in 5 files"));
    assert_null(strstr(strstr(text, "latents of") + 1, "latents of"));
    assert_int_equal(test_shell(text, sizeof text, "cd %s && diff -r latents shared", test_folder()), 0);
    /* Of a part, every rank takes a share, and one has nothing to do. */
    assert_int_equal(test_shell(text, sizeof text, "rm -r %s", test_path("shared")), 0);
    encode(2, "shared", "--shard 1/4");
    assert_int_equal(test_shell(text, sizeof text, "cd %s && ls *.safetensors", test_path("shared")), 0);
    assert_string_equal(text, "latents-00001.safetensors\n");
    encode(2, "shared", "");
    assert_int_equal(test_shell(text, sizeof text, "cd %s && diff -r latents shared", test_folder()), 0);
}

/* A signal that mpirun passes on, or that one rank gets, keeps the rows that are made; a kill ends all. The same
 * command ends with the same bytes. */
static void a_stopped_encoding_goes_on(void **state)
{
    (void)state;
    static const struct {
        const char *signal, *whom;
        int status;
    } stops[] = {{"USR1", "$job", 5},
                 {"USR1", "$(sed 's/ $//; s/.* //' /proc/$job/task/$job/children)", 5},
                 {"KILL", "$(sed 's/ $//; s/.* //' /proc/$job/task/$job/children)", 137}};
    int stopped = 0;
    NEEDS_MPIRUN();
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        const int status = test_shell(
            text, sizeof text,
            "rm -rf %s; mpirun --oversubscribe -n 2 %s encode %s --kind idx --vae %s -o %s --pictures-per-file 20 "
            "--extractor fashion-cnn --device cpu --quiet & job=$!; "
            "until test $(ls %s/*.part 2>/dev/null | wc -l) = 2; do kill -0 $job || break; sleep 0.01; done; "
            "kill -%s %s; wait $job",
            test_path("shared"), test_program(), test_path("few"), weights, test_path("shared"), test_path("shared"),
            stops[i].signal, stops[i].whom);
        if (status != stops[i].status && status != 0) { /* or it was too late */
            fail_msg("%s to %s: status %d: %s", stops[i].signal, stops[i].whom, status, text);
        }
        stopped += status != 0;
        encode(2, "shared", "");
        assert_int_equal(test_shell(text, sizeof text, "cd %s && diff -r latents shared", test_folder()), 0);
    }
    assert_true(stopped > 0);
}

static void latents_are_trained_on_and_decoded(void **state)
{
    (void)state;
    NEEDS_MPIRUN();
    compare(latents_experiment, "");
    test_program_query(test_path("two"), "SELECT count(*) FROM scores WHERE run IS NOT NULL", text, sizeof text);
    assert_string_equal(text, "4 \n");
}

/* --- trainings --- */

static void rows_are_paired_over_all_ranks(void **state)
{
    (void)state;
    NEEDS_MPIRUN();
    compare(experiment, "--set train.pairing=optimal-transport");
}

/* All ranks see the same loss, and begin again together at half the rate, as often as one process. */
static void a_diverged_training_begins_again_on_all(void **state)
{
    (void)state;
    static const char *const more =
        "--set train.learning_rate=0.3 --set train.updates=60 --set train.on_divergence=restart-lower";
    char restarts[2][64];
    NEEDS_MPIRUN();
    assert_int_equal(test_shell(text, sizeof text, "cd %s && rm -rf one two again", test_folder()), 0);
    must_run(0, experiment, "one", more);
    must_run(2, experiment, "two", more);
    must_run(2, experiment, "again", more);
    test_program_same_results(test_path("two"), test_path("again"));
    test_program_query(test_path("one"), "SELECT state, restarts, restarts > 0 FROM runs", restarts[0], 64);
    test_program_query(test_path("two"), "SELECT state, restarts, restarts > 0 FROM runs", restarts[1], 64);
    assert_string_equal(restarts[0], restarts[1]);
    assert_non_null(strstr(restarts[0], " 1 \n"));
}

/* --- the bench --- */

static void gradients_between_ranks_are_measured(void **state)
{
    (void)state;
    NEEDS_MPIRUN();
    assert_int_equal(test_mpirun(3, text, sizeof text, "bench --op reduction --model dit-xs/7"), 0);
    assert_non_null(strstr(text, "dit-xs/7: 5 MB of gradients between 3 ranks, 3 of them on this machine"));
    assert_non_null(strstr(text, "reduction, sums scattered"));
    assert_non_null(strstr(text, "reduction, sums gathered"));
    assert_int_equal(test_mpirun(2, text, sizeof text, "bench --op fd"), 2);
    assert_non_null(strstr(text, "fewstep bench is done by one process, but for --op reduction"));
    test_program_refuses(2, "bench --op reduction", "mpirun -n 2 fewstep bench --op reduction");
}

static int prepare(void **state)
{
    (void)state;
    char contents[4096];
    test_small_fashion_mnist(test_path("few"), 90, 60);
    snprintf(weights, sizeof weights, "%s", test_path("narrow.safetensors"));
    const struct test_autoencoder narrow = {3, {32, 32, 64}, 4, 0};
    test_write_autoencoder(weights, &narrow, NULL, NULL);
    snprintf(experiment, sizeof experiment, "%s", test_path("kinds.yaml"));
    snprintf(contents, sizeof contents, experiment_text, test_path("few"));
    test_write(experiment, contents, strlen(contents));
    snprintf(latents_experiment, sizeof latents_experiment, "%s", test_path("latents.yaml"));
    snprintf(contents, sizeof contents, latents_text, test_path("latents"), weights);
    test_write(latents_experiment, contents, strlen(contents));
    test_mpirun_prepare();
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoded_latents_have_the_same_bytes),
        cmocka_unit_test(a_stopped_encoding_goes_on),
        cmocka_unit_test(latents_are_trained_on_and_decoded),
        cmocka_unit_test(rows_are_paired_over_all_ranks),
        cmocka_unit_test(a_diverged_training_begins_again_on_all),
        cmocka_unit_test(gradients_between_ranks_are_measured),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
