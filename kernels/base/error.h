/* What a function that failed says: what, where, what to do. Nothing below the command line prints or exits. */
#ifndef FEWSTEP_ERROR_H
#define FEWSTEP_ERROR_H

#include <stdarg.h>

/* The values are the exit statuses of the command line. */
typedef enum {
    FS_OK = 0,
    FS_USAGE = 2,   /* the user's option, file or configuration is wrong */
    FS_FAILED = 3,  /* the work itself failed: no memory, disk full, NaN */
    FS_STOPPED = 5, /* by a signal; the same command goes on */
} fs_status;

struct fs_error {
    fs_status status;
    char text[1024]; /* one line, no newline: "experiments/x.yaml:12: train.batch: expected …" */
};

/* Fills `error` (its earlier text may be among the arguments) and returns `status`, so that a caller writes
 * `return fs_fail(error, FS_USAGE, "%s: …", path);`. */
fs_status fs_fail(struct fs_error *error, fs_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before what `error` already says; returns its status. */
fs_status fs_fail_in(struct fs_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Leaves the function with the callee's status; for functions that hold nothing to give back. */
#define FS_TRY(call)                                                                                                   \
    do {                                                                                                               \
        const fs_status fs_try_status = (call);                                                                        \
        if (fs_try_status != FS_OK) {                                                                                  \
            return fs_try_status;                                                                                      \
        }                                                                                                              \
    } while (0)

#endif
