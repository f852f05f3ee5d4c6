/* Other programs: git, make, an older fewstep. */
#ifndef FEWSTEP_PROCESS_H
#define FEWSTEP_PROCESS_H

#include <signal.h>
#include <stddef.h>

#include "kernels/base/error.h"

/* Runs argv (NULL past the last word; argv[0] is looked for in PATH) with its standard input from the descriptor
 * `input` (−1: empty) and keeps what it prints: `output`, owned by the caller, has a zero byte behind its `size` bytes.
 * Its messages are dropped. *result: its exit status, 128 + number when a signal ended it. FS_FAILED when it cannot be
 * started. */
fs_status fs_capture(const char *const *argv, int input, char **output, size_t *size, int *result,
                     struct fs_error *error);

/* Runs argv with its output and its messages on descriptors (−1: dropped). While *stop is set (a signal came), the
 * program is asked to end, too, and waited for. */
fs_status fs_run_program(const char *const *argv, int output, int messages, const volatile sig_atomic_t *stop,
                         int *result, struct fs_error *error);

#endif
