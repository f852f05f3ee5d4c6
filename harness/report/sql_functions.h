/* What a query can call to write its answers as LaTeX. */
#ifndef FEWSTEP_SQL_FUNCTIONS_H
#define FEWSTEP_SQL_FUNCTIONS_H

#include "harness/store/store.h"

/* Registers, for the store's connection:
 *   latex(TEXT)             what has a meaning in LaTeX is escaped (latex.h)
 *   three_digits(X)         three significant digits
 *   shortest(X)             the shortest decimal that reads back as X
 *   duration(SECONDS), byte_size(BYTES)   "20 min", "645 MB"
 *   table_cell(MEAN, ERROR, OUTSIDE, MARK, SEEDS)   mean ± error in LaTeX; in parentheses where OUTSIDE; MARK "best" or
 *                           "second"; SEEDS raised behind it. Those from ERROR on may be left out, or be NULL
 *   log_axis(LOW, HIGH)     a logarithmic y axis of pgfplots for these values, as options: its ends and round marks
 *   method_label(NAME)      as tables call a method
 *   run_command(ID)         the command line that makes a run again; NULL where no experiment asked for it
 *   file_path(PATH)         the whole path of a file that is there and that LaTeX can name; else NULL
 * Each gives NULL for NULL. `store` must outlive its use. */
fs_status fs_sql_functions(struct fs_store *store, struct fs_error *error);

#endif
