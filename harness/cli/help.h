/* What --help says, as a text, as a part of the man page, or as a part of bash's completion: views of one table. */
#ifndef FEWSTEP_HELP_H
#define FEWSTEP_HELP_H

#include <stdbool.h>

#include "harness/cli/options.h"

enum fs_help { FS_HELP_TEXT, FS_HELP_MAN, FS_HELP_BASH };

/* "--help", "-h", "--help=man" or "--help=bash" to its kind; false for another word. */
bool fs_help_asked(const char *word, enum fs_help *kind);

/* A sub-command's part, to stdout: for FS_HELP_MAN a section in roff, for FS_HELP_BASH a branch of a case. */
void fs_help_print(const struct fs_usage *usage, enum fs_help kind);

/* Around the parts of all sub-commands: what stands before them and behind them in the whole man page or completion. */
struct fs_help_entry {
    const char *name, *summary;
};
void fs_help_begin(const struct fs_help_entry *entries, int count, enum fs_help kind);
void fs_help_end(enum fs_help kind);

#endif
