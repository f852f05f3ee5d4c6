/* The table: methods × steps, mean ± standard error over seeds, out of the database. */
#ifndef FEWSTEP_TABLE_H
#define FEWSTEP_TABLE_H

#include <stdio.h>

#include "harness/report/table_scores.h"

enum fs_table_format { FS_TABLE_TEXT, FS_TABLE_MARKDOWN, FS_TABLE_LATEX, FS_TABLE_CSV };
#define FS_TABLE_FORMATS "text|markdown|latex|csv"

/* Prints the table of an experiment (NULL: the one written to last) to `stream`. FS_USAGE when it is not there (names
 * those that are), has no scores, or none that `filter` (NULL: all) lets through. */
fs_status fs_table_print(struct fs_store *store, const char *experiment, const struct fs_table_filter *filter,
                         enum fs_table_format format, FILE *stream, struct fs_error *error);

#endif
