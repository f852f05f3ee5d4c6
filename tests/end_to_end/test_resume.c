/* A run that is killed with SIGKILL at random moments and started again ends with the same checkpoint bytes and the
 * same scores as one that was left alone. Drives the program itself, on a small model and all four methods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "kernels/base/clock.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"

#define KILLS 10

static char experiment[1024], calm[1024], killed[1024];

static const char experiment_text[] =
    "experiment: resume\n"
    "dataset: {name: fashion-mnist}\n"
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, classes: 10, finest_steps: 8}\n"
    "train: {updates: 120, batch: 16, learning_rate: 1.0e-3, warmup: 5,"
    " checkpoint_every: 0.05, ema: 0.99}\n"
    "methods:\n"
    "  shortcut: {bootstrap_fraction: 0.25, target_ema: 0.9}\n"
    "  progressive-distillation: {phase_checkpoints: true}\n"
    "  reflow: {pairs: 250, teacher_steps: 4}\n"
    "matrix:\n"
    "  method: [shortcut, progressive-distillation, reflow]\n"
    "evaluate: {steps: [1, 8], samples: 200}\n";

static void remove_folder(const char *path)
{
    char command[1100];
    snprintf(command, sizeof command, "rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

/* Kills the program KILLS times at random moments. A run that came to its end in between is compared, and begun anew.
 */
static void run_killed(double seconds)
{
    const double longest = fmin(fmax(seconds / 2, 2), 5);
    for (int kills = 0; kills < KILLS;) {
        const pid_t child = test_program_start(experiment, killed);
        test_sleep(longest * (double)rand() / RAND_MAX);
        kill(child, SIGKILL);
        const int status = test_program_wait(child);
        assert_true(status == 0 || status == -1);
        kills += status == -1;
        if (status == 0) {
            test_program_same_results(calm, killed);
            remove_folder(killed);
        }
    }
    test_program_finish(experiment, killed);
    test_program_same_results(calm, killed);
}

static void test_killed_run_ends_the_same(void **state)
{
    (void)state;
    const double begin = fs_seconds();
    test_program_finish(experiment, calm);
    run_killed(fs_seconds() - begin);
}

/* Until a run in the folder has its first checkpoint; five minutes are for machines that are busy with other work. */
static void wait_for_checkpoint(const char *out)
{
    char command[1200];
    const double begin = fs_seconds();
    snprintf(command, sizeof command, "ls %s/runs/*/checkpoint-* > /dev/null 2>&1", out);
    while (system(command) != 0) {
        assert_true(fs_seconds() - begin < 300);
        test_sleep(0.02);
    }
}

/* Stopped politely, the program says how to go on, and leaves nothing half-written. */
static void test_signals_stop_at_a_checkpoint(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        char command[2400];
        remove_folder(killed);
        const pid_t child = test_program_start(experiment, killed);
        wait_for_checkpoint(killed); /* it listens to signals, and most of the work is still to do */
        kill(child, signals[i]);
        const int status = test_program_wait(child);
        snprintf(command, sizeof command, "test -z \"$(find %s -name '*.tmp')\"", killed);
        assert_int_equal(system(command), 0);
        if (status == 0) { /* it was done all the same */
            test_program_same_results(calm, killed);
            continue;
        }
        assert_int_equal(status, 5);
        snprintf(command, sizeof command, "grep -q 'the same command goes on from here' %s.log", killed);
        assert_int_equal(system(command), 0);
    }
    test_program_finish(experiment, killed);
    test_program_same_results(calm, killed);
}

/* Two processes share the work: each run is trained by one of them. */
static void test_two_processes_at_once(void **state)
{
    (void)state;
    char text[1024];
    remove_folder(killed);
    const pid_t one = test_program_start(experiment, killed), two = test_program_start(experiment, killed);
    assert_int_equal(test_program_wait(one), 0);
    assert_int_equal(test_program_wait(two), 0);
    test_program_finish(experiment, killed); /* scores what a process left to the other one's teacher */
    test_program_same_results(calm, killed);
    test_program_query(killed, "SELECT count(*) FROM runs WHERE state <> 'trained'", text, sizeof text);
    assert_string_equal(text, "0 \n");
}

/* A disk that fills up while a checkpoint is written: status 3, the one before it stays good, and nothing half-written
 * stays behind. A limit on the size of a file stands in for the disk: below a checkpoint's 1 MB, and above what the
 * database has written by the time that the thread which writes the checkpoint meets it. */
static void test_a_full_disk_costs_no_checkpoint(void **state)
{
    (void)state;
    char arguments[2400], text[4096], command[1200];
    remove_folder(killed);
    snprintf(arguments, sizeof arguments, "run %s --out %s --quiet", experiment, killed);
    pid_t child = test_program_start(experiment, killed);
    wait_for_checkpoint(killed);
    kill(child, SIGTERM);
    test_program_wait(child);
    const int status = test_program_run("ulimit -f 900;", arguments, text, sizeof text);
    assert_int_equal(status, 3);
    assert_non_null(strstr(text, "checkpoint-"));
    assert_non_null(strstr(text, "File too large"));
    snprintf(command, sizeof command, "test -z \"$(find %s -name '*.tmp')\"", killed);
    assert_int_equal(system(command), 0);
    test_program_finish(experiment, killed);
    test_program_same_results(calm, killed);
}

/* Each student of progressive distillation but the last is kept and scored at its own number of steps. */
static void test_phases_are_kept_and_scored(void **state)
{
    (void)state;
    char text[4096], command[2400];
    test_program_query(calm,
                       "SELECT s.at_update, s.steps FROM scores s JOIN runs r ON r.number = s.run WHERE r.method = "
                       "'progressive-distillation' AND s.at_update < 60 ORDER BY s.at_update",
                       text, sizeof text);
    assert_string_equal(text, "20 4 \n40 2 \n");
    snprintf(command, sizeof command,
             "test $(ls %s/runs/*/checkpoint-20.safetensors %s/runs/*/checkpoint-40.* | wc -l) = 2", calm, calm);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "table --out %s >&2", calm); /* the table has the last student's scores only */
    assert_int_equal(test_program_run("", command, text, sizeof text), 0);
    assert_non_null(strstr(text, "8 steps"));
    assert_null(strstr(text, "4 steps"));
}

static void test_a_finished_run_is_not_repeated(void **state)
{
    (void)state;
    char path[1100];
    struct stat before, after;
    static char first[65536], second[65536];
    static const char sql[] = "SELECT run, at_update, sha256, created FROM checkpoints ORDER BY run, at_update";
    snprintf(path, sizeof path, "%s/samples/resume", calm);
    test_program_query(calm, sql, first, sizeof first);
    assert_int_equal(stat(path, &before), 0);
    test_program_finish(experiment, calm);
    test_program_query(calm, sql, second, sizeof second);
    assert_int_equal(stat(path, &after), 0);
    assert_string_equal(first, second);
    assert_int_equal(before.st_mtime, after.st_mtime);
}

/* What --dry-run says is done is what was done. */
static void test_a_dry_run_knows_what_is_done(void **state)
{
    (void)state;
    char arguments[2400], text[4096];
    snprintf(arguments, sizeof arguments, "run %s --out %s --dry-run >&2", experiment, calm);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    int trained = 0;
    for (const char *at = text; (at = strstr(at, "trained, 2/2 scores")) != NULL; at++) {
        trained++;
    }
    assert_int_equal(trained, 2);
    /* The students of 4 and 2 steps are kept, and scored at these. */
    assert_non_null(strstr(text, "trained, 4/4 scores"));
    snprintf(arguments, sizeof arguments, "run %s --out %s --dry-run --set train.batch=17 >&2", experiment, calm);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    assert_null(strstr(text, "trained"));
    assert_non_null(strstr(text, "nothing"));
}

static int set_up(void **state)
{
    (void)state;
    snprintf(experiment, sizeof experiment, "%s", test_path("resume.yaml"));
    snprintf(calm, sizeof calm, "%s", test_path("calm"));
    snprintf(killed, sizeof killed, "%s", test_path("killed"));
    test_write(experiment, experiment_text, sizeof experiment_text - 1);
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    srand((unsigned)time(NULL));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_run_ends_the_same),     cmocka_unit_test(test_signals_stop_at_a_checkpoint),
        cmocka_unit_test(test_two_processes_at_once),        cmocka_unit_test(test_a_full_disk_costs_no_checkpoint),
        cmocka_unit_test(test_phases_are_kept_and_scored),   cmocka_unit_test(test_a_finished_run_is_not_repeated),
        cmocka_unit_test(test_a_dry_run_knows_what_is_done),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
