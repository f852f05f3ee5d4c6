/* The program under test, as its users run it. */
#ifndef FEWSTEP_TEST_PROGRAM_H
#define FEWSTEP_TEST_PROGRAM_H

#include <stddef.h>
#include <sys/types.h>

/* Finds it two folders above a test program: BUILD/tests/end_to_end/test_x → BUILD/fewstep. */
void test_program_find(const char *argv0);
/* Its path. */
const char *test_program(void);

/* Runs `fewstep ARGUMENTS` through the shell with what the environment `prefix` ("" or "ulimit -f 100;") says first.
 * Its stderr goes to `text`. Returns the exit status. */
int test_program_run(const char *prefix, const char *arguments, char *text, size_t size);

/* The same, and the test fails unless it ends with `status` and says one line that has `piece` in it. */
void test_program_refuses(int status, const char *arguments, const char *piece);

/* Starts `fewstep run EXPERIMENT --out OUT`; its output is added to OUT.log. */
pid_t test_program_start(const char *experiment, const char *out);
/* Its exit status, or −1 when a signal ended it. */
int test_program_wait(pid_t child);
/* Runs it to the end, which must be a good one. */
void test_program_finish(const char *experiment, const char *out);

void test_sleep(double seconds);

/* --- what a run left in OUT/fewstep.db --- */

/* Rows of a query, a line each. */
void test_program_query(const char *out, const char *sql, char *text, size_t size);
/* Both folders hold the same runs with the same last checkpoints (by hash) and the same scores to the last bit. */
void test_program_same_results(const char *out, const char *other);

#endif
