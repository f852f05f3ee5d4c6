/* One section of results (ours or published) in the formats of a table. Nothing is computed here. */
#ifndef FEWSTEP_TABLE_VIEWS_H
#define FEWSTEP_TABLE_VIEWS_H

#include <stdio.h>

#include "harness/results/results.h"
#include "harness/text/number.h"

#define FS_NO_VALUE "–"
#define FS_VALUES_TEXT 256

/* A row's values of the keys that are varied, with commas between them; "" where nothing is. */
const char *fs_row_values(const struct fs_result_row *row, char text[FS_VALUES_TEXT]);
/* A published number, as papers print it: with one decimal at least. */
void fs_published_text(double value, char text[FS_NUMBER_TEXT]);
/* "FID"; the metric's own name where the section's numbers are no FID. */
const char *fs_published_metric(const struct fs_result_section *setting);
bool fs_all_confirmed(const struct fs_result_section *setting);

/* Aligned text or Markdown, with its title and notes. */
fs_status fs_table_text(const struct fs_results *results, const struct fs_result_section *section, bool markdown,
                        FILE *stream, struct fs_error *error);

/* A line a cell, for programs (RFC 4180); the heading has a column for each key that the results vary. */
void fs_table_csv_heading(const struct fs_results *results, FILE *stream);
fs_status fs_table_csv(const struct fs_results *results, const struct fs_result_section *section, FILE *stream,
                       struct fs_error *error);

/* For LaTeX with the package booktabs: a floating table of methods × steps, then what the methods cost, with a caption
 * that says what they are; of published numbers the first alone. A failed write is found by ferror(). */
fs_status fs_table_latex(const struct fs_results *results, const struct fs_result_section *section, FILE *stream,
                         struct fs_error *error);

#endif
