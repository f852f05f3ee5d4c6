/* The program on several ranks, as its users start it. */
#ifndef FEWSTEP_TEST_MPIRUN_H
#define FEWSTEP_TEST_MPIRUN_H

#include <stdbool.h>
#include <stdio.h>

/* For programs under mpirun: as root, too, a thread each, and metrics' weights wherever the test's folder is. Once, in
 * a set-up, from the repository's root. */
void test_mpirun_prepare(void);
/* Whether there is an mpirun, and a module for it beside the program. */
bool test_mpirun_there(void);

#define NEEDS_MPIRUN()                                                                                                 \
    do {                                                                                                               \
        if (!test_mpirun_there()) {                                                                                    \
            print_message("skipped: there is no mpirun, or no libfewstep_mpi.so (libopenmpi-dev, openmpi-bin)\n");     \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* Runs `fewstep ARGUMENTS` on so many ranks (0: without mpirun), at most 400 s; what it says, on both streams, goes to
 * `text`. Returns the exit status. */
int test_mpirun(int ranks, char *text, size_t size, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The largest distance of a tensor of the last checkpoints of all runs in two of the test's folders, relative to
 * its length. */
double test_checkpoint_distance(const char *out, const char *other);

#endif
