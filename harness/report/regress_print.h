/* A comparison of two revisions, for people and as JSON. */
#ifndef FEWSTEP_REGRESS_PRINT_H
#define FEWSTEP_REGRESS_PRINT_H

#include <stdio.h>

#include "harness/results/regress.h"

/* The cells and the verdict, as text or as a JSON object a line. */
void fs_regression_print(const struct fs_regression *regression, const struct fs_revision *base,
                         const struct fs_revision *head, FILE *stream);
fs_status fs_regression_print_json(const struct fs_regression *regression, const struct fs_revision *base,
                                   const struct fs_revision *head, FILE *stream, struct fs_error *error);

#endif
