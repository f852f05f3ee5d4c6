/* A run that is killed with SIGKILL at random moments and started again ends with the same checkpoint bytes and the
 * same scores as one that was left alone. Drives the program itself, on a small model and all four methods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#define KILLS 10

static char folder[64], experiment[128], program[512];

static const char experiment_text[] =
    "experiment: resume\n"
    "dataset: {name: fashion-mnist}\n"
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, classes: 10, finest_steps: 8}\n"
    "train: {updates: 120, batch: 16, learning_rate: 1.0e-3, warmup: 5,"
    " checkpoint_every: 0.05, ema: 0.99}\n"
    "methods:\n"
    "  shortcut: {bootstrap_fraction: 0.25, target_ema: 0.9}\n"
    "  reflow: {pairs: 250, teacher_steps: 4}\n"
    "matrix:\n"
    "  method: [shortcut, progressive-distillation, reflow]\n"
    "evaluate: {steps: [1, 8], samples: 200}\n";

/* Starts `fewstep run` into `out`; its output goes to a file there. */
static pid_t start(const char *out)
{
    char log[256];
    snprintf(log, sizeof log, "%s.log", out);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int file = open(log, O_CREAT | O_WRONLY | O_APPEND, 0644);
        dup2(file, STDOUT_FILENO);
        dup2(file, STDERR_FILENO);
        execl(program, program, "run", experiment, "--out", out, (char *)NULL);
        _exit(127);
    }
    return child;
}

static int wait_for(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void show_log(const char *out)
{
    char command[320];
    snprintf(command, sizeof command, "tail -n 20 %s.log >&2", out);
    if (system(command) != 0) {
        print_message("no log of %s\n", out);
    }
}

static void remove_folder(const char *path)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

static void run_undisturbed(const char *out)
{
    const int status = wait_for(start(out));
    if (status != 0) {
        show_log(out);
    }
    assert_int_equal(status, 0);
}

static const char last_checkpoints[] =
    "SELECT r.id, MAX(c.at_update), c.sha256 FROM checkpoints AS c JOIN runs AS r ON r.number = c.run GROUP BY r.id "
    "ORDER BY r.id";

/* --- comparing --- */

/* "run-id/checkpoint-name sha256" of every last checkpoint, from the database. */
static void list_results(const char *out, const char *sql, char *text, size_t size)
{
    char path[256];
    sqlite3 *db;
    sqlite3_stmt *statement;
    size_t length = 0;
    snprintf(path, sizeof path, "%s/fewstep.db", out);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            length +=
                (size_t)snprintf(text + length, size - length, "%s ", (const char *)sqlite3_column_text(statement, i));
            assert_true(length < size);
        }
        text[length++] = '\n';
    }
    text[length] = 0;
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_true(length > 0);
}

static void compare(const char *sql)
{
    static char calm[65536], killed[65536];
    char out[128];
    snprintf(out, sizeof out, "%s/calm", folder);
    list_results(out, sql, calm, sizeof calm);
    snprintf(out, sizeof out, "%s/killed", folder);
    list_results(out, sql, killed, sizeof killed);
    assert_string_equal(calm, killed);
}

static void compare_results(void)
{
    compare(last_checkpoints);
    compare(
        "SELECT score_hash, steps, printf('%!.17g', value), printf('%!.17g', low), printf('%!.17g', high) FROM scores "
        "ORDER BY score_hash");
}

static void sleep_for(double seconds)
{
    const struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&pause, NULL);
}

/* Kills the program KILLS times at random moments. A run that came to its end in between is compared, and begun anew.
 */
static void run_killed(const char *out, double seconds)
{
    const double longest = fmin(fmax(seconds / 2, 2), 5);
    for (int killed = 0; killed < KILLS;) {
        const pid_t child = start(out);
        sleep_for(longest * (double)rand() / RAND_MAX);
        kill(child, SIGKILL);
        const int status = wait_for(child);
        assert_true(status == 0 || status == -1);
        killed += status == -1;
        if (status == 0) {
            compare_results();
            remove_folder(out);
        }
    }
    run_undisturbed(out);
    compare_results();
}

static void test_killed_run_ends_the_same(void **state)
{
    (void)state;
    char calm[128], killed[128];
    struct timespec begin, end;
    snprintf(calm, sizeof calm, "%s/calm", folder);
    snprintf(killed, sizeof killed, "%s/killed", folder);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    run_undisturbed(calm);
    clock_gettime(CLOCK_MONOTONIC, &end);
    run_killed(killed, (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec));
}

static void test_a_finished_run_is_not_repeated(void **state)
{
    (void)state;
    char out[128], path[256];
    struct stat before, after;
    static char first[65536], second[65536];
    snprintf(out, sizeof out, "%s/calm", folder);
    snprintf(path, sizeof path, "%s/samples/resume", out);
    list_results(out, last_checkpoints, first, sizeof first);
    assert_int_equal(stat(path, &before), 0);
    run_undisturbed(out);
    list_results(out, last_checkpoints, second, sizeof second);
    assert_int_equal(stat(path, &after), 0);
    assert_string_equal(first, second);
    assert_int_equal(before.st_mtime, after.st_mtime);
}

/* --- set-up --- */

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/fewstep-resume-XXXXXX");
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(experiment, sizeof experiment, "%s/resume.yaml", folder);
    FILE *file = fopen(experiment, "w");
    if (!file) {
        return -1;
    }
    fputs(experiment_text, file);
    return fclose(file);
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(int argc, char **argv)
{
    /* The program lies two folders above: BUILD/tests/end_to_end/test_resume. */
    const char *slash = argc > 0 ? strstr(argv[0], "/tests/end_to_end/") : NULL;
    snprintf(program, sizeof program, "%.*s/fewstep", slash ? (int)(slash - argv[0]) : 5, slash ? argv[0] : "build");
    srand((unsigned)time(NULL));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_run_ends_the_same),
        cmocka_unit_test(test_a_finished_run_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
