/* Progress on stderr: one line that is written over on a terminal, a plain line now and then other. */
#include "harness/run/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "harness/text/escape.h"
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

/* Columns of the terminal on stderr; 80 where it does not say. */
static size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* The first `columns` characters (names in the lines are of ordinary width), with … for the rest. */
static void cut(char *text, size_t columns)
{
    size_t at = 0, shown = 0, last = 0;
    while (text[at] && shown < columns) {
        last = at;
        at += fs_utf8_length(text + at, strlen(text + at));
        shown++;
    }
    if (text[at]) {
        strcpy(text + last, "…"); /* three bytes; LINE_BYTES leaves room for them */
    }
}

#define LINE_BYTES 2048

static void format_line(char line[LINE_BYTES + 4], const char *format, va_list arguments)
{
    char raw[LINE_BYTES];
    vsnprintf(raw, sizeof raw, format, arguments);
    fs_plain_text(raw, line, LINE_BYTES);
}

void fs_progress_line(struct fs_progress *progress, bool last, const char *format, ...)
{
    char line[LINE_BYTES + 4];
    va_list arguments;
    va_start(arguments, format);
    format_line(line, format, arguments);
    va_end(arguments);
    progress->open = progress->terminal && !last;
    if (progress->open) {
        cut(line, terminal_columns() - 1); /* a full line would move the cursor to the next on some terminals */
    }
    fprintf(stderr, "%s%s%s", progress->terminal ? "\r\033[K" : "", line, progress->open ? "" : "\n");
}

void fs_progress_note(struct fs_progress *progress, const char *format, ...)
{
    if (progress->quiet) {
        return;
    }
    char line[LINE_BYTES + 4];
    va_list arguments;
    va_start(arguments, format);
    format_line(line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s\n", progress->open ? "\r\033[K" : "", line);
    progress->open = false;
}
