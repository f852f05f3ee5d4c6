/* Other programs: git, make, an older fewstep. */
#include "harness/git/process.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Descriptors for the child's standard input, output and error; −1: /dev/null. */
static fs_status start(const char *const *argv, int input, int output, int messages, pid_t *child,
                       struct fs_error *error)
{
    const int from[3] = {input, output, messages};
    posix_spawn_file_actions_t actions;

    int failure = posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3 && failure == 0; i++) {
        failure = from[i] < 0 ? posix_spawn_file_actions_addopen(&actions, i, "/dev/null", i ? O_WRONLY : O_RDONLY, 0)
                              : posix_spawn_file_actions_adddup2(&actions, from[i], i);
    }
    if (failure == 0) {
        failure = posix_spawnp(child, argv[0], &actions, NULL, (char *const *)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    return failure == 0 ? FS_OK
                        : fs_fail(error, FS_FAILED, "%s cannot be started: %s%s", argv[0], strerror(failure),
                                  failure == ENOENT ? "; is it installed?" : "");
}

static int result_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static fs_status read_all(int file, char **output, size_t *size, struct fs_error *error)
{
    size_t capacity = 0;

    *size = 0;
    for (;;) {
        if (capacity - *size < 4096) {
            capacity = 2 * capacity + 8192;
            char *grown = realloc(*output, capacity);
            if (!grown) {
                return fs_fail(error, FS_FAILED, "no memory for what a program printed");
            }
            *output = grown;
        }
        const ssize_t got = read(file, *output + *size, capacity - *size - 1);
        if (got > 0) {
            *size += (size_t)got;
        } else if (got == 0) {
            (*output)[*size] = 0;
            return FS_OK;
        } else if (errno != EINTR) {
            return fs_fail(error, FS_FAILED, "what a program printed cannot be read: %s", strerror(errno));
        }
    }
}

fs_status fs_capture(const char *const *argv, int input, char **output, size_t *size, int *result,
                     struct fs_error *error)
{
    int ends[2], status = 0;
    pid_t child;

    *output = NULL;
    if (pipe(ends) != 0) {
        return fs_fail(error, FS_FAILED, "no pipe to %s: %s", argv[0], strerror(errno));
    }
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fs_status outcome = start(argv, input, ends[1], -1, &child, error);
    close(ends[1]);
    if (outcome == FS_OK) {
        outcome = read_all(ends[0], output, size, error);
    }
    close(ends[0]); /* a program that still prints ends by that */
    if (outcome == FS_OK || *output) {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
    }
    *result = result_of(status);
    if (outcome != FS_OK) {
        free(*output);
        *output = NULL;
    }
    return outcome;
}

fs_status fs_run_program(const char *const *argv, int output, int messages, const volatile sig_atomic_t *stop,
                         int *result, struct fs_error *error)
{
    int status = 0;
    pid_t child;

    FS_TRY(start(argv, -1, output, messages, &child, error));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        if (*stop) {
            kill(child, SIGTERM);
        }
    }
    *result = result_of(status);
    return FS_OK;
}
