/* Several ranks in a test without MPI: processes that this one forks, joined by memory that they share. */
#ifndef FEWSTEP_TEST_RANKS_H
#define FEWSTEP_TEST_RANKS_H

#include "harness/comm/comm.h"

#define TEST_RANKS_MAX 4

/* Runs `body` on so many ranks and waits for all; exits[rank] is what it returned there, or the status that the rank
 * was ended with; 128 + its signal where one ended it. A rank that takes more than ten minutes is ended. What they say
 * on stderr goes to `text`. In a rank nothing of cmocka may be called. */
void test_ranks_run(int ranks, int (*body)(struct fs_comm *comm, void *argument), void *argument,
                    int exits[TEST_RANKS_MAX], char *text, size_t size);

#endif
