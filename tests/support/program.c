/* The program under test, as its users run it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/support/program.h"

static char program[512] = "build/fewstep";

void test_program_find(const char *argv0)
{
    const char *slash = strstr(argv0, "/tests/end_to_end/");
    if (slash) {
        snprintf(program, sizeof program, "%.*s/fewstep", (int)(slash - argv0), argv0);
    }
}

const char *test_program(void)
{
    return program;
}

int test_program_run(const char *prefix, const char *arguments, char *text, size_t size)
{
    char command[8192]; /* with a path of nearly PATH_MAX */
    snprintf(command, sizeof command, "%s %s 2>&1 >/dev/null %s", prefix, program, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    const size_t length = fread(text, 1, size - 1, pipe);
    text[length] = 0;
    const int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void test_program_refuses(int status, const char *arguments, const char *piece)
{
    char text[4096];
    const int got = test_program_run("", arguments, text, sizeof text);
    const char *end = strchr(text, '\n');
    if (got != status || !strstr(text, piece) || end != text + strlen(text) - 1) {
        fail_msg("fewstep %s\n  status %d, expected %d\n  said: %s  expected one line: %s", arguments, got, status,
                 text, piece);
    }
}

pid_t test_program_start(const char *experiment, const char *out)
{
    char log[1100];
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

int test_program_wait(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void test_program_finish(const char *experiment, const char *out)
{
    const int status = test_program_wait(test_program_start(experiment, out));
    if (status != 0) {
        char command[1200];
        snprintf(command, sizeof command, "tail -n 20 %s.log >&2", out);
        fail_msg("fewstep run ended with %d%s", status, system(command) == 0 ? "" : " and left no log");
    }
}

void test_sleep(double seconds)
{
    const struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&pause, NULL);
}

/* --- what a run left --- */

void test_program_query(const char *out, const char *sql, char *text, size_t size)
{
    char path[1100];
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
            assert_true(length + 1 < size);
        }
        text[length++] = '\n';
    }
    text[length] = 0;
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_true(length > 0);
}

void test_program_same_results(const char *out, const char *other)
{
    static const char *const queries[] = {
        "SELECT r.id, MAX(c.at_update), c.sha256 FROM checkpoints AS c JOIN runs AS r ON r.number = c.run "
        "GROUP BY r.id ORDER BY r.id",
        "SELECT score_hash, steps, printf('%!.17g', value), printf('%!.17g', low), printf('%!.17g', high) FROM scores "
        "ORDER BY score_hash",
    };
    static char one[65536], two[65536];
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        test_program_query(out, queries[i], one, sizeof one);
        test_program_query(other, queries[i], two, sizeof two);
        assert_string_equal(one, two);
    }
}
