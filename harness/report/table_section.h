/* One section of a table, the scores of one measure, and what prints it. */
#ifndef FEWSTEP_TABLE_SECTION_H
#define FEWSTEP_TABLE_SECTION_H

#include <stdio.h>

#include "harness/report/rows_json.h"
#include "harness/report/table_cells.h"

struct fs_section {
    const struct fs_table_scores *scores;
    const struct fs_experiment_name *experiment;
    struct fs_stretch all;
    const struct fs_table_score *floor; /* or NULL */
    int64_t steps[FS_TABLE_STEPS_MAX];
    int step_count;
};

/* The section `part` of the scores of an experiment; both must outlive it. */
struct fs_section fs_section_make(const struct fs_table_scores *scores, const struct fs_experiment_name *experiment,
                                  struct fs_stretch part);
/* The number of its rows, without the floor's. */
int fs_section_rows(const struct fs_section *section);

/* The best and the second of each column, where the differences are more than noise. Each two rows are compared at each
 * number of steps over their common seeds by the t interval of verdict.h for the log ratio of their scores, with the
 * spread over seeds pooled over all cells of the two rows (or that of the two cells where it is larger), corrected for
 * all these comparisons by Holm's procedure at alpha = 0.05. The best is better than every other row; the second exists
 * only below a best, and is better than every other but that. Scores that are not above 0 decide nothing, and a metric
 * that this build does not know has no marks. *marks [rows × step_count], owned by the caller (free()). */
#define FS_MARKS_ALPHA 0.05
#define FS_MARKS_NOTE                                                                                                  \
    "bold: best of its column, underlined: second, where the differences are more than noise (t intervals of log "     \
    "ratios over common seeds, Holm's correction over the table, alpha 0.05)"
enum fs_mark { FS_MARK_NONE, FS_MARK_BEST, FS_MARK_SECOND };
fs_status fs_section_marks(const struct fs_section *section, enum fs_mark **marks, struct fs_error *error);

/* How the scores of two rows at one number of steps compare, by the same test: FS_VERDICT_BETTER: `row` is lower than
 * `other`. */
enum fs_order { FS_ORDER_UNDECIDED, FS_ORDER_LOWER, FS_ORDER_HIGHER };
/* *orders [step_count × rows × rows], [(column * rows + row) * rows + other]; owned by the caller. */
fs_status fs_section_orders(const struct fs_section *section, enum fs_order **orders, struct fs_error *error);

/* What this test can see. A ratio of two scores is decided if it is at least `smallest` (for the two methods with the
 * least spread) to `largest` (for those with the most), as the first of Holm's order and with the seeds that there are;
 * dof: the least degrees of freedom of a spread. tested 0: nothing can be. */
struct fs_section_power {
    int tested;
    double dof, smallest, largest;
};
fs_status fs_section_power(const struct fs_section *section, struct fs_section_power *power, struct fs_error *error);

/* "commit" and "source" words of "commit:source commit:source", each once; both owned by the caller. */
fs_status fs_add_origins(char **commits, char **sources, const char *origins, struct fs_error *error);
/* Puts a word into a set of words with spaces between them, unless it is there. */
fs_status fs_add_word(char **set, const char *word, size_t length, struct fs_error *error);
/* "from commit 0123456789ab (source 0123456789ab), …": the builds behind a section; owned by the caller. */
char *fs_section_origins(const struct fs_section *section, struct fs_error *error);

/* A line a cell, for programs (RFC 4180). */
void fs_csv_heading(const struct fs_experiment_name *experiment, FILE *stream);
fs_status fs_csv_section(const struct fs_section *section, FILE *stream, struct fs_error *error);

/* For LaTeX with the package booktabs: methods × steps, and what the methods cost, each one tabular. A failed write is
 * found by ferror(). */
fs_status fs_latex_scores(const struct fs_section *section, FILE *stream, struct fs_error *error);
void fs_latex_cost(const struct fs_section *section, FILE *stream);
/* Both in one floating table with a caption that says what they are. */
fs_status fs_latex_section(const struct fs_section *section, FILE *stream, struct fs_error *error);

#endif
