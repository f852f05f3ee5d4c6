/* Progress on stderr: one line that is written over on a terminal, a plain line now and then other. */
#include "harness/run/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "kernels/base/clock.h"

void fs_progress_begin(struct fs_progress *progress, bool quiet)
{
    *progress = (struct fs_progress){.quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
}

bool fs_progress_due(struct fs_progress *progress, bool last)
{
    if (progress->quiet) {
        return false;
    }
    const double time = fs_seconds(), every = progress->terminal ? 0.1 : 10.0;
    if (!last && time - progress->shown < every) {
        return false;
    }
    progress->shown = time;
    return true;
}

void fs_progress_line(struct fs_progress *progress, bool last, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs(progress->terminal ? "\r\033[K" : "", stderr);
    vfprintf(stderr, format, arguments);
    fputs(progress->terminal && !last ? "" : "\n", stderr);
    progress->open = progress->terminal && !last;
    va_end(arguments);
}

void fs_progress_note(struct fs_progress *progress, const char *format, ...)
{
    if (progress->quiet) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    fputs(progress->open ? "\r\033[K" : "", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    progress->open = false;
    va_end(arguments);
}
