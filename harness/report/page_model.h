/* What the page shows: the results of its experiments, and its numbers, each of which can be asked where it comes from.
 */
#ifndef FEWSTEP_PAGE_MODEL_H
#define FEWSTEP_PAGE_MODEL_H

#include "harness/report/chart.h"
#include "harness/report/page.h"
#include "harness/results/results.h"

#define FS_PAGE_NAME 512  /* characters of what a row is called */
#define FS_PAGE_WHAT 640  /* of what a number is */
#define FS_PAGE_VALUE 112 /* of a number as text */

/* A number of the page: a cell. Its anchor is "n" and its place in the list, from 1. */
struct fs_page_number {
    const struct fs_result_section *section; /* of its measure, among the experiment's results */
    const struct fs_result_cell *cell;
    char what[FS_PAGE_WHAT];
};

struct fs_page_experiment {
    struct fs_results results; /* what the tables show */
    struct fs_results updates; /* the same at every scored update */
    struct fs_results sources; /* of every source */
    int measures_before;       /* sections of the experiments before it */
};

struct fs_page {
    struct fs_store *store;
    const struct fs_page_options *options;
    FILE *out;
    char *notes;
    struct fs_page_experiment *experiments;
    int experiment_count;
    struct fs_page_number *numbers;
    int number_count, number_capacity;
    char *of_one_source; /* "a, b": experiments that have nothing to draw against commits; owned */
};

/* Reads everything; free with fs_page_free, also after a failure. */
fs_status fs_page_read(struct fs_page *page, struct fs_error *error);
void fs_page_free(struct fs_page *page);

/* Sections, from the one that is shown in full (fs_results_main) on, then the others in their order. */
const struct fs_result_section *fs_page_section(const struct fs_page_experiment *experiment, int place);
/* What all scores of a section share has the anchor "m" and this. */
int fs_page_measure(const struct fs_page *page, const struct fs_result_section *section);
/* "FD (fashion-cnn) to train, …", with the method before it where all rows are of one. */
const char *fs_page_title(const struct fs_result_section *section, char text[FS_PAGE_WHAT]);
/* The whole name of a row, "Shortcut model, max_step 1/8"; and where space is dear, what sets it apart alone if all
 * rows are of one method. */
const char *fs_page_label(const struct fs_result_row *row, char text[FS_PAGE_NAME]);
const char *fs_page_name(const struct fs_result_section *section, const struct fs_result_row *row,
                         char text[FS_PAGE_NAME]);

/* Adds a cell to the numbers: *number is its place. */
fs_status fs_page_add_number(struct fs_page *page, const struct fs_result_section *section,
                             const struct fs_result_cell *cell, const char *what, int *number, struct fs_error *error);
/* The place of a cell that was added. */
int fs_page_place(const struct fs_page *page, const struct fs_result_cell *cell);
/* "80.9", "80.9 ± 1.2", with parentheses outside what the method was trained for. */
void fs_page_value(const struct fs_result_cell *cell, char text[FS_PAGE_VALUE]);

/* The colour and mark of a row's line: a method has its own on the whole page, rows of one method theirs by place. */
int fs_page_style(const struct fs_result_section *section, const struct fs_result_row *row);
/* A number as a point of a chart at `x`. */
struct fs_chart_point fs_page_point(const struct fs_page *page, int number, double x);
/* Whether the values of a chart's lines want a logarithmic axis: all positive, and over more than a factor of 4. */
bool fs_page_logarithmic(const struct fs_chart_line *lines, int line_count);
/* Whether the lines are of one method, whose values of a key they are: then they have one hue from dark to light. */
bool fs_page_sequential(const struct fs_result_section *section);
/* Room for `count` lines of up to `points` points each; free with fs_page_lines_free. NULL: no memory. */
struct fs_chart_line *fs_page_lines(int count, int points, struct fs_error *error);
void fs_page_lines_free(struct fs_chart_line *lines, int count);
/* A chart in a figure with its caption, which is also its description; the caption's text is escaped. */
void fs_page_figure(const struct fs_page *page, struct fs_chart *chart, const char *caption);

/* A line in the page in place of what is missing, and in the notes; takes `line`, which may be NULL (no memory). */
fs_status fs_page_missing(struct fs_page *page, char *line, struct fs_error *error);

/* The parts of the page, each in a file of its name. */
/* The hypotheses of the experiment's file, a line each; nothing without. */
fs_status fs_page_hypotheses(struct fs_page *page, const struct fs_results *results, struct fs_error *error);
/* Nothing where the section has no flow matching beside other methods, or no score at 1 or 4 steps. `of`: the name of
 * the first experiment, for the head of the page; NULL: they stand in the section of theirs. */
fs_status fs_page_findings(struct fs_page *page, const struct fs_result_section *section, const char *of,
                           struct fs_error *error);
void fs_page_table(const struct fs_page *page, const struct fs_result_section *section);
fs_status fs_page_steps_chart(struct fs_page *page, const struct fs_result_section *section, struct fs_error *error);
/* A chart for each method that has rows with two values at least of the keys that rows differ in; nothing where there
 * are more than four of them. */
fs_status fs_page_ablation_charts(struct fs_page *page, const struct fs_page_experiment *experiment,
                                  const struct fs_result_section *section, struct fs_error *error);
/* Nothing for another metric than spectrum. */
fs_status fs_page_spectra_charts(struct fs_page *page, const struct fs_result_section *section, struct fs_error *error);
fs_status fs_page_updates_chart(struct fs_page *page, const struct fs_page_experiment *experiment,
                                struct fs_error *error);
fs_status fs_page_commits_chart(struct fs_page *page, const struct fs_page_experiment *experiment,
                                struct fs_error *error);
fs_status fs_page_samples(struct fs_page *page, const struct fs_page_experiment *experiment, struct fs_error *error);
fs_status fs_page_provenance(struct fs_page *page, struct fs_error *error);

#endif
