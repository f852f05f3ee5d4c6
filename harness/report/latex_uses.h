/* What a LaTeX text takes from its queries (latex_document.h). */
#ifndef FEWSTEP_LATEX_USES_H
#define FEWSTEP_LATEX_USES_H

#include <jansson.h>
#include <stdbool.h>

#include "kernels/base/error.h"

/* Each has the names that are used; the value is the first place that needs one ("paper/fewstep.tex:12"), or null where
 * it stands only in branches that are not taken. Owned by the caller (json_decref). */
struct fs_latex_uses {
    json_t *facts;    /* "main/seeds" of \fs{main/seeds} */
    json_t *switches; /* "budget" of \iffsbudget */
    json_t *files;    /* "fs-x.tex" of {fs-x}, "fs-x.dat" of {fs-x.dat} */
};

/* Adds what `text`, of the file `place`, uses, given the switches (name to boolean; an unknown one counts as both).
 * FS_USAGE: \else or \fi without an \if. */
fs_status fs_latex_scan(const char *place, const char *text, const json_t *switches, struct fs_latex_uses *uses,
                        struct fs_error *error);

#endif
