/* A comparison of two revisions: for people, as JSON, and as Markdown. */
#ifndef FEWSTEP_REGRESS_PRINT_H
#define FEWSTEP_REGRESS_PRINT_H

#include <stdio.h>

#include "harness/results/regress.h"

/* The cells and the verdict, as text or as a JSON object a line. */
void fs_regression_print(const struct fs_regression *regression, const struct fs_revision *base,
                         const struct fs_revision *head, FILE *stream);
fs_status fs_regression_print_json(const struct fs_regression *regression, const struct fs_revision *base,
                                   const struct fs_revision *head, FILE *stream, struct fs_error *error);
/* As a comment on a change: the verdict as a heading, a table of the cells that moved or are undecided, worse ones
 * first, FS_REGRESSION_ROWS at most; then how many are the same, and what was compared. */
#define FS_REGRESSION_ROWS 20
void fs_regression_print_markdown(const struct fs_regression *regression, const struct fs_revision *base,
                                  const struct fs_revision *head, FILE *stream);

#endif
