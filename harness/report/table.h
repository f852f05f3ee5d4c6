/* The table: methods × steps, mean ± standard error over seeds, out of the database. */
#ifndef FEWSTEP_TABLE_H
#define FEWSTEP_TABLE_H

#include <stdio.h>

#include "harness/store/store.h"

enum fs_table_format { FS_TABLE_TEXT, FS_TABLE_MARKDOWN, FS_TABLE_CSV };

/* Prints the table of an experiment (NULL: the one written to last) to `stream`. FS_USAGE when it is not there (names
 * those that are) or has no scores. */
fs_status fs_table_print(struct fs_store *store, const char *experiment, enum fs_table_format format, FILE *stream,
                         struct fs_error *error);

#endif
