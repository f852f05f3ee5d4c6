/* The table: methods × steps, mean ± standard error over seeds, out of the database. */
#ifndef FEWSTEP_TABLE_H
#define FEWSTEP_TABLE_H

#include <stdio.h>

#include "harness/results/results.h"

enum fs_table_format { FS_TABLE_TEXT, FS_TABLE_MARKDOWN, FS_TABLE_LATEX, FS_TABLE_CSV };
#define FS_TABLE_FORMATS "text|markdown|latex|csv"

/* What to print; {0} is the table of the experiment that was written to last, whole, as text. */
struct fs_table_request {
    const char *experiment;             /* its name */
    struct fs_result_filter filter;     /* only these scores */
    const struct fs_results *published; /* stands beside sections of the same data set, network and metric; or NULL */
    enum fs_table_format format;
};

/* FS_USAGE when the experiment is not there (names those that are), has no scores, or the filter leaves none. */
fs_status fs_table_print(struct fs_store *store, const struct fs_table_request *request, FILE *stream,
                         struct fs_error *error);
/* A setting of published numbers by itself. */
fs_status fs_table_print_published(const struct fs_results *published, const struct fs_result_section *setting,
                                   enum fs_table_format format, FILE *stream, struct fs_error *error);

#endif
