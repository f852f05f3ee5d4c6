/* The builds behind scores, as words. */
#ifndef FEWSTEP_ORIGINS_H
#define FEWSTEP_ORIGINS_H

#include <stddef.h>

#include "harness/results/results.h"

/* A set of words with spaces between them; NULL: empty. Owned by whoever adds to it (free()). */
fs_status fs_add_word(char **set, const char *word, size_t length, struct fs_error *error);
/* The commits and the sources of "commit:source commit:source". */
fs_status fs_add_origins(char **commits, char **sources, const char *origins, struct fs_error *error);

/* "from commit 0123456789ab (source 0123456789ab), …": the builds behind a section; owned by the caller. */
char *fs_result_builds(const struct fs_result_section *section, struct fs_error *error);

#endif
