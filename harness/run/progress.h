/* Progress on stderr: one line that is written over on a terminal, a plain line now and then other. */
#ifndef FEWSTEP_PROGRESS_H
#define FEWSTEP_PROGRESS_H

#include <stdbool.h>

struct fs_progress {
    bool quiet, terminal;
    double shown; /* when the last line was shown */
    bool open;    /* a line on the terminal waits to be written over */
};

void fs_progress_begin(struct fs_progress *progress, bool quiet);
/* True when it is time for a new line: ten a second on a terminal, one in ten seconds elsewhere; `last` always is. */
bool fs_progress_due(struct fs_progress *progress, bool last);
/* The line itself; `last`: it stays. On a terminal one that does not stay is cut to its width, so that the next can be
 * written over it. Names that come from elsewhere do not act on the terminal. */
void fs_progress_line(struct fs_progress *progress, bool last, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A message of its own line. */
void fs_progress_note(struct fs_progress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
