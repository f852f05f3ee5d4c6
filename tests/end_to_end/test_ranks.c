/* One command on several ranks: the same bits each time, those of one process but for rounding, whatever is killed on
 * the way. Drives the program under mpirun, which is skipped aloud where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "tests/support/folder.h"
#include "tests/support/mpirun.h"
#include "tests/support/pictures.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

static char experiment[256];
static char text[65536];

/* All that ranks share: a teacher, pairs, phases, averages that targets ask (shortcut's is the one that is scored, so
 * that it is whole on every rank), clipping, micro-batches, features and sums of pictures. 9 rows do not divide. */
static const char experiment_text[] =
    "experiment: ranks\n"
    "dataset: {name: few, kind: idx, path: %s}\n"
    "model: {preset: tiny, patch: 7, hidden: 64, depth: 2, heads: 2, classes: 10, finest_steps: 8}\n"
    "train: {updates: 12, batch: 9, micro_batch: 4, warmup: 2, clip_norm: 0.5, ema: 0.9, checkpoint_every: 0.02}\n"
    "methods:\n"
    "  shortcut: {bootstrap_fraction: 0.5, target_ema: 0.9}\n"
    "  reflow: {pairs: 130, teacher_steps: 2}\n"
    "matrix:\n"
    "  method: [shortcut, progressive-distillation, reflow]\n"
    "evaluate: {steps: [1, 8], samples: 140, metrics: [fd, spectrum]}\n"
    "device: cpu\n";

/* "fewstep run" on so many ranks (0: without mpirun). */
static int run(int ranks, const char *out, const char *more)
{
    return test_mpirun(ranks, text, sizeof text, "run %s --out %s --quiet %s", experiment, test_path(out), more);
}

static void must_run(int ranks, const char *out, const char *more)
{
    const int status = run(ranks, out, more);
    if (status != 0) {
        fail_msg("%d ranks, %s: status %d: %s", ranks, more, status, text);
    }
}

/* --- tests --- */

static void two_runs_have_the_same_bits(void **state)
{
    (void)state;
    char ranks[64];
    NEEDS_MPIRUN();
    must_run(0, "one", "");
    must_run(2, "two", "");
    must_run(2, "again", "");
    test_program_same_results(test_path("two"), test_path("again"));
    assert_true(test_checkpoint_distance("two", "again") == 0);
    test_program_query(test_path("two"), "SELECT DISTINCT ranks FROM environments", ranks, sizeof ranks);
    assert_string_equal(ranks, "2 \n");
}

/* Rounding grows through 12 updates of a network that begins as nothing; a row left out or taken twice is 1e-1. */
static void ranks_differ_by_rounding(void **state)
{
    (void)state;
    static char runs[2][65536];
    NEEDS_MPIRUN();
    must_run(3, "three", "");
    assert_in_range(test_checkpoint_distance("one", "two") * 1e9, 1, 1e6);
    assert_in_range(test_checkpoint_distance("one", "three") * 1e9, 1, 1e6);
    static const char *const sql = "SELECT id, config_json, train_hash FROM runs ORDER BY id";
    test_program_query(test_path("one"), sql, runs[0], sizeof runs[0]);
    test_program_query(test_path("three"), sql, runs[1], sizeof runs[1]);
    assert_string_equal(runs[0], runs[1]);
}

/* Scores of the same weights have the same bits on any number of ranks: batches are what they were. */
static void scores_are_those_of_one_process(void **state)
{
    (void)state;
    static const char *const sql =
        "SELECT metric, steps, samples, value FROM scores WHERE run IS NOT NULL AND samples = "
        "141 ORDER BY run, metric, steps";
    static char scores[2][8192];
    NEEDS_MPIRUN();
    assert_int_equal(test_shell(text, sizeof text, "cd %s && cp -r two scored && cp -r two scored-one", test_folder()),
                     0);
    must_run(0, "scored-one", "--set evaluate.samples=141");
    must_run(3, "scored", "--set evaluate.samples=141");
    test_program_query(test_path("scored-one"), sql, scores[0], sizeof scores[0]);
    test_program_query(test_path("scored"), sql, scores[1], sizeof scores[1]);
    assert_string_equal(scores[0], scores[1]);
    assert_true(strlen(scores[0]) > 100);
    /* eval, too */
    static const char *const eval_sql = "SELECT metric, steps, samples, value FROM scores WHERE samples = 139 AND "
                                        "run IS NOT NULL ORDER BY metric, steps";
    char run_id[128];
    test_program_query(test_path("scored"), "SELECT id FROM runs WHERE method = 'shortcut'", run_id, sizeof run_id);
    run_id[12] = '\0';
    static const char *const outs[] = {"scored-one", "scored"};
    for (int i = 0; i < 2; i++) {
        if (test_mpirun(3 * i, text, sizeof text, "eval %s --steps 2,8 --samples 139 --out %s", run_id,
                        test_path(outs[i])) != 0) {
            fail_msg("%s", text);
        }
        test_program_query(test_path(outs[i]), eval_sql, scores[i], sizeof scores[i]);
    }
    assert_string_equal(scores[0], scores[1]);
    assert_non_null(strstr(scores[0], "fd 8 139 "));
}

static void a_sharded_optimiser_has_the_same_bits(void **state)
{
    (void)state;
    NEEDS_MPIRUN();
    must_run(2, "sharded", "--set train.shard_optimizer=true");
    assert_true(test_checkpoint_distance("two", "sharded") == 0);
    must_run(0, "sharded-one", "--set train.shard_optimizer=true");
    assert_true(test_checkpoint_distance("one", "sharded-one") == 0);
}

/* --- what ends before the end --- */

static pid_t start(int ranks, const char *out, const char *more)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char command[4096];
        snprintf(command, sizeof command,
                 "exec mpirun --oversubscribe -n %d %s run %s --out %s --quiet %s >> %s.log 2>&1", ranks,
                 test_program(), experiment, test_path(out), more, test_path(out));
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return child;
}

/* Whether the zero-separated texts of a file in /proc have this one among them, `whole` or as a beginning. */
static bool proc_has(long process, const char *file, const char *wanted, bool whole)
{
    static char bytes[1 << 16];
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", process, file);
    FILE *stream = fopen(path, "rb");
    const size_t size = stream ? fread(bytes, 1, sizeof bytes - 1, stream) : 0;
    if (stream) {
        fclose(stream);
    }
    bytes[size] = '\0';
    for (size_t at = 0; at < size; at += strlen(bytes + at) + 1) {
        if (whole ? strcmp(bytes + at, wanted) == 0 : strncmp(bytes + at, wanted, strlen(wanted)) == 0) {
            return true;
        }
    }
    return false;
}

/* The process of a rank (−1: of any) that works in the folder; 0: none, or none yet. */
static pid_t find_rank(const char *out, int rank)
{
    char variable[64] = "OMPI_COMM_WORLD_RANK=";
    pid_t found = 0;
    if (rank >= 0) {
        snprintf(variable, sizeof variable, "OMPI_COMM_WORLD_RANK=%d", rank);
    }
    DIR *folder = opendir("/proc");
    assert_non_null(folder);
    for (const struct dirent *entry; !found && (entry = readdir(folder));) {
        const long process = atol(entry->d_name);
        if (process > 0 && proc_has(process, "cmdline", test_path(out), true) &&
            proc_has(process, "environ", variable, rank >= 0)) {
            found = (pid_t)process;
        }
    }
    closedir(folder);
    return found;
}

/* Until there is another checkpoint than now. */
static void wait_for_a_checkpoint(const char *out)
{
    static char before[16384];
    const double begin = fs_seconds();
    test_shell(before, sizeof before, "ls %s/runs/*/checkpoint-* 2>/dev/null", test_path(out));
    do {
        assert_true(fs_seconds() - begin < 300);
        test_sleep(0.02);
        test_shell(text, sizeof text, "ls %s/runs/*/checkpoint-* 2>/dev/null", test_path(out));
    } while (strcmp(before, text) == 0);
}

static void nobody_is_left(const char *out)
{
    const double begin = fs_seconds();
    while (find_rank(out, -1) > 0) {
        assert_true(fs_seconds() - begin < 120);
        test_sleep(0.05);
    }
}

/* kill −9 of the rank behind, of rank 0, of mpirun itself: all end, and the same command goes on to the same bytes. */
static void a_killed_rank_ends_all_and_they_go_on(void **state)
{
    (void)state;
    NEEDS_MPIRUN();
    for (int rank = 1; rank >= -1; rank--) {
        const pid_t launcher = start(2, "killed", "");
        wait_for_a_checkpoint("killed");
        test_sleep(0.3 * (double)rand() / RAND_MAX);
        const pid_t victim = rank >= 0 ? find_rank("killed", rank) : launcher;
        if (victim > 0) {
            kill(victim, SIGKILL);
        }
        const int status = test_program_wait(launcher);
        nobody_is_left("killed");
        if (victim > 0 && status == 0) {
            print_message("rank %d was killed when all was done\n", rank);
        }
    }
    must_run(2, "killed", "");
    test_program_same_results(test_path("two"), test_path("killed"));
    assert_true(test_checkpoint_distance("two", "killed") == 0);
}

/* Nobody else writes to the database from here on; to be closed. */
static sqlite3 *lock_database(const char *out)
{
    char path[600];
    sqlite3 *database;
    snprintf(path, sizeof path, "%s/fewstep.db", test_path(out));
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    sqlite3_busy_timeout(database, 20000);
    assert_int_equal(sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return database;
}

/* While rank 0 works alone, here at a database that lets nobody in, the others wait; one that dies then, or rank 0, is
 * named by mpirun and ends all. */
static void a_rank_dies_while_rank_0_works_alone(void **state)
{
    (void)state;
    NEEDS_MPIRUN();
    for (int rank = 1; rank >= 0; rank--) {
        char path[600], line[128];
        const pid_t launcher = start(2, "alone", "");
        wait_for_a_checkpoint("alone");
        sqlite3 *database = lock_database("alone");
        test_sleep(0.5);
        const pid_t victim = find_rank("alone", rank);
        assert_true(victim > 0);
        kill(victim, SIGKILL);
        assert_int_not_equal(test_program_wait(launcher), 0);
        nobody_is_left("alone");
        sqlite3_close(database);
        snprintf(path, sizeof path, "%s.log", test_path("alone"));
        snprintf(line, sizeof line, "process rank %d with PID", rank);
        assert_int_equal(test_shell(text, sizeof text, "grep -A 1 '%s' %s", line, path), 0);
        assert_non_null(strstr(text, "signal 9"));
    }
    must_run(2, "alone", "");
    test_program_same_results(test_path("two"), test_path("alone"));
    assert_true(test_checkpoint_distance("two", "alone") == 0);
}

/* A signal that one rank gets stops all at a checkpoint; three go on where two were, and one where three were. */
static void a_signal_to_one_rank_stops_all(void **state)
{
    (void)state;
    static const char *const more = "--only method=shortcut --set train.updates=100000";
    char path[600];
    NEEDS_MPIRUN();
    for (int ranks = 2; ranks <= 3; ranks++) {
        const pid_t launcher = start(ranks, "stopped", more);
        wait_for_a_checkpoint("stopped");
        const pid_t last = find_rank("stopped", ranks - 1);
        assert_true(last > 0);
        kill(last, SIGUSR1);
        assert_int_equal(test_program_wait(launcher), 5);
        nobody_is_left("stopped");
    }
    snprintf(path, sizeof path, "%s.log", test_path("stopped"));
    assert_int_equal(test_shell(text, sizeof text, "grep -c 'the same command goes on from here' %s", path), 0);
    assert_int_equal(atoi(text), 2);
    test_program_query(test_path("stopped"), "SELECT count(*), max(at_update) > 2 FROM checkpoints", text, sizeof text);
    assert_non_null(strstr(text, " 1 \n"));
}

/* --- what is refused --- */

static void says_one_line(int status, const char *piece)
{
    int said = 0;
    for (const char *at = text; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        said += strncmp(at, "fewstep", 7) == 0;
    }
    if (said != 1 || !strstr(text, piece)) {
        fail_msg("status %d: expected one line with '%s': %s", status, piece, text);
    }
    assert_int_equal(status, 2);
}

static void without_the_module_one_line_says_so(void **state)
{
    (void)state;
    NEEDS_MPIRUN();
    assert_int_equal(test_shell(text, sizeof text, "mkdir -p %s && cp %s %s/fewstep", test_path("bare"), test_program(),
                                test_path("bare")),
                     0);
    const int status = test_shell(text, sizeof text, "mpirun --oversubscribe -n 3 %s/fewstep run %s --out %s --quiet",
                                  test_path("bare"), experiment, test_path("none"));
    says_one_line(status, "this build has no MPI");
    assert_int_not_equal(access(test_path("none"), F_OK), 0);
    /* What is no work for several says so, too. */
    says_one_line(test_shell(text, sizeof text, "mpirun --oversubscribe -n 2 %s table --out %s", test_program(),
                             test_path("one")),
                  "fewstep table is done by one process");
    says_one_line(test_shell(text, sizeof text, "mpirun --oversubscribe -n 2 %s tabel", test_program()),
                  "did you mean table?");
    says_one_line(test_shell(text, sizeof text, "FEWSTEP_RANKS=alone mpirun --oversubscribe -n 2 %s run %s",
                             test_program(), experiment),
                  "FEWSTEP_RANKS=alone: expected single");
}

static void other_programs_and_other_data_are_refused(void **state)
{
    (void)state;
    char other[600];
    NEEDS_MPIRUN();
    snprintf(other, sizeof other, "%s --out %s --quiet", experiment, test_path("mixed"));
    int status =
        test_shell(text, sizeof text, "mpirun --oversubscribe -n 2 %s run %s : -n 1 %s run %s --set train.batch=10",
                   test_program(), other, test_program(), other);
    says_one_line(status, "was started with other arguments than rank 0");
    assert_non_null(strstr(text, "rank 2 ("));
    /* A program of another source, by its hash. */
    status =
        test_shell(text, sizeof text,
                   "cp %.*slibfewstep_mpi.so %s && hash=$(%s --version | sed 's/.* source //') && "
                   "sed \"s/$hash/012345678901/g\" %s > "
                   "%s/fewstep && mpirun --oversubscribe -n 1 %s run %s : -n 1 %s/fewstep run %s",
                   (int)(strrchr(test_program(), '/') + 1 - test_program()), test_program(), test_path("bare"),
                   test_program(), test_program(), test_path("bare"), test_program(), other, test_path("bare"), other);
    says_one_line(status, "is another program");
    /* Pictures that lie elsewhere for rank 1, and are others. */
    assert_int_equal(test_shell(text, sizeof text, "cd %s && mkdir here there", test_folder()), 0);
    test_small_fashion_mnist(test_path("here/few"), 150, 100);
    test_small_fashion_mnist(test_path("there/few"), 149, 100);
    status = test_shell(text, sizeof text,
                        "program=$(realpath %s) && mpirun --oversubscribe -wdir %s -n 1 $program run %s --set "
                        "dataset.path=few : -wdir %s -n 1 $program run %s --set dataset.path=few",
                        test_program(), test_path("here"), other, test_path("there"), other);
    if (status != 3 || !strstr(text, "rank 1: the data set is another here than on rank 0")) { /* each run by itself */
        fail_msg("status %d: %s", status, text);
    }
}

/* The job script, with stand-ins for what it calls: tasks that stop are queued again, and in the end the databases are
 * joined. */
static void a_job_script_runs_all_and_joins_them(void **state)
{
    (void)state;
    static const char stand_ins[] =
        "mkdir -p %s/bin && cd %s/bin && "
        "printf '#!/bin/sh\\nshift\\nexec \"$@\"\\n' > srun && "
        "printf '#!/bin/sh\\nfor last; do :; done\\necho \"${last#--wrap=}\" > merge.sh\\n' > "
        "sbatch && printf '#!/bin/sh\\necho \"$@\" > requeued\\n' > scontrol && chmod +x *";
    static const char task[] = "cd %s && export PATH=$PWD/bin:$PATH FEWSTEP=$(cd %s && realpath %s) "
                               "SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=%d && bash job.sh";
    char here[600];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(test_shell(text, sizeof text, stand_ins, test_folder(), test_folder()), 0);
    if (test_shell(text, sizeof text, "%s sbatch %s --out %s --only method=shortcut --set 'seed=[0, 1]' > %s",
                   test_program(), experiment, test_path("job"), test_path("job.sh")) != 2) {
        fail_msg("a list for seed is no value: %s", text);
    }
    assert_int_equal(test_shell(text, sizeof text, "%s sbatch %s --out %s --ranks 4 --set evaluate.samples=140 > %s",
                                test_program(), experiment, test_path("job"), test_path("job.sh")),
                     0);
    assert_int_equal(test_shell(text, sizeof text,
                                "grep -x '#SBATCH --array=1-3' %s && grep -x '#SBATCH --ntasks=4' %s",
                                test_path("job.sh"), test_path("job.sh")),
                     0);
    for (int i = 1; i <= 3; i++) {
        const int status = test_shell(text, sizeof text, task, test_folder(), here, test_program(), i);
        if (status != 0) {
            fail_msg("task %d: status %d: %s", i, status, text);
        }
    }
    assert_int_equal(test_shell(text, sizeof text, "cd %s && sh merge.sh && test ! -e requeued", test_folder()), 0);
    test_program_query(test_path("job"), "SELECT count(DISTINCT run) FROM scores", text, sizeof text);
    assert_string_equal(text, "3 \n");
    /* A signal to the script alone: the program stops at a checkpoint, and the task is queued again. */
    assert_int_equal(test_shell(text, sizeof text,
                                "%s sbatch %s --out %s --only method=shortcut --set train.updates=1000000 > %s",
                                test_program(), experiment, test_path("long"), test_path("job.sh")),
                     0);
    const int status = test_shell(text, sizeof text,
                                  "cd %s && export PATH=$PWD/bin:$PATH FEWSTEP=$(cd %s && realpath %s) "
                                  "SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=1; bash job.sh & job=$!; "
                                  "until ls long/runs/*/checkpoint-* > /dev/null 2>&1; do sleep 0.1; done; "
                                  "kill -USR1 $job; wait $job",
                                  test_folder(), here, test_program());
    if (status != 5) {
        fail_msg("status %d: %s", status, text);
    }
    assert_int_equal(test_shell(text, sizeof text, "grep -x 'requeue 7_1' %s", test_path("requeued")), 0);
}

static int prepare(void **state)
{
    (void)state;
    char contents[sizeof experiment_text + 256];
    test_small_fashion_mnist(test_path("few"), 150, 100);
    snprintf(contents, sizeof contents, experiment_text, test_path("few"));
    snprintf(experiment, sizeof experiment, "%s", test_path("ranks.yaml"));
    test_write(experiment, contents, strlen(contents));
    test_mpirun_prepare();
    srand(11);
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argv[0]);
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]); /* one of the tests that need no other: a_job_script* */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_runs_have_the_same_bits),
        cmocka_unit_test(ranks_differ_by_rounding),
        cmocka_unit_test(scores_are_those_of_one_process),
        cmocka_unit_test(a_sharded_optimiser_has_the_same_bits),
        cmocka_unit_test(a_killed_rank_ends_all_and_they_go_on),
        cmocka_unit_test(a_rank_dies_while_rank_0_works_alone),
        cmocka_unit_test(a_signal_to_one_rank_stops_all),
        cmocka_unit_test(a_job_script_runs_all_and_joins_them),
        cmocka_unit_test(without_the_module_one_line_says_so),
        cmocka_unit_test(other_programs_and_other_data_are_refused),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
