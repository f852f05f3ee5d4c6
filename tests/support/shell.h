/* Shell commands in a test. */
#ifndef FEWSTEP_TEST_SHELL_H
#define FEWSTEP_TEST_SHELL_H

#include <stddef.h>

/* Runs a shell command; what it says, on both streams, goes to `text`. Returns its exit status. */
int test_shell(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
