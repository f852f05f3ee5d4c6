/* What the page shows, read from the database: experiments, their sections (a table each) and rows, and the numbers,
 * each of which can be asked where it comes from. */
#ifndef FEWSTEP_PAGE_MODEL_H
#define FEWSTEP_PAGE_MODEL_H

#include "harness/report/chart.h"
#include "harness/report/page.h"
#include "harness/report/rows_json.h"
#include "harness/report/table_cells.h"

#define FS_PAGE_VALUE 112 /* characters of a number as text */

/* A number of the page: a mean over seeds. Its anchor is "n" and its place in the list, from 1. */
struct fs_page_number {
    struct fs_stretch scores;
    int measure; /* anchor "m" and this: what the scores of a section share */
    char what[320];
    double mean, low, high; /* low, high: ± the standard error over seeds; of one seed the 95 % interval over its
                               samples; NAN where there is neither */
    bool outside;           /* used outside what the method was trained for */
    bool unreadable;        /* its configuration is not this build's, so `outside` is not known */
};

struct fs_page_row {
    struct fs_stretch scores;
    char label[256]; /* the method, and the ablated value if the experiment has one */
    char name[256];  /* the same where space is dear: the ablated value alone where all rows are of one method */
    int numbers[FS_TABLE_STEPS_MAX]; /* by step count; 0: none */
};

struct fs_page_section {
    struct fs_stretch scores;
    const struct fs_table_score *floor; /* or NULL */
    int floor_number, measure;
    char title[640], metric[96];
    int64_t steps[FS_TABLE_STEPS_MAX];
    int step_count;
    struct fs_page_row *rows;
    int row_count;
};

struct fs_page_experiment {
    struct fs_experiment_name name;
    struct fs_table_scores scores;  /* what the tables show */
    struct fs_table_scores updates; /* the same at every scored update */
    struct fs_table_scores sources; /* of every source */
    struct fs_page_section *sections;
    int section_count;
};

struct fs_page {
    struct fs_store *store;
    const struct fs_page_options *options;
    FILE *out;
    char *notes;
    struct fs_page_experiment *experiments;
    int experiment_count;
    struct fs_page_number *numbers;
    int number_count, number_capacity, measure_count;
};

/* Reads everything; free with fs_page_free, also after a failure. */
fs_status fs_page_read(struct fs_page *page, struct fs_error *error);
void fs_page_free(struct fs_page *page);

/* Adds the mean of `scores` to the numbers: *number is its place. */
fs_status fs_page_add_number(struct fs_page *page, struct fs_stretch scores, int measure, const char *what, int *number,
                             struct fs_error *error);
const struct fs_page_number *fs_page_number(const struct fs_page *page, int number);
/* "80.9", "80.9 ± 1.2", with parentheses outside what the method was trained for. */
void fs_page_value(const struct fs_page_number *number, char text[FS_PAGE_VALUE]);

/* The number as a point of a chart at `x`. */
/* The colour and mark of a row's line: a method has its own on the whole page, rows of one method theirs by place. */
int fs_page_style(const struct fs_page_section *section, const struct fs_page_row *row);
struct fs_chart_point fs_page_point(const struct fs_page *page, int number, double x);
/* Whether the values of a chart's lines want a logarithmic axis: all positive, and over more than a factor of 4. */
bool fs_page_logarithmic(const struct fs_chart_line *lines, int line_count);
/* Room for `count` lines of up to `points` points each; free with fs_page_lines_free. NULL: no memory. */
struct fs_chart_line *fs_page_lines(int count, int points, struct fs_error *error);
void fs_page_lines_free(struct fs_chart_line *lines, int count);
/* A chart in a figure with its caption, which is also its description; the caption's text is escaped. */
void fs_page_figure(const struct fs_page *page, struct fs_chart *chart, const char *caption);

/* A line in the page in place of what is missing, and in the notes; takes `line`, which may be NULL (no memory). */
fs_status fs_page_missing(struct fs_page *page, char *line, struct fs_error *error);

/* The parts of the page, each in a file of its name. The section's are printed by fs_page_section's order in page.c. */
fs_status fs_page_table(const struct fs_page *page, const struct fs_page_experiment *experiment,
                        const struct fs_page_section *section, struct fs_error *error);
fs_status fs_page_steps_chart(struct fs_page *page, const struct fs_page_section *section, struct fs_error *error);
fs_status fs_page_ablation_chart(struct fs_page *page, const struct fs_page_experiment *experiment,
                                 const struct fs_page_section *section, struct fs_error *error);
/* Nothing for another metric than spectrum. */
fs_status fs_page_spectra_charts(struct fs_page *page, const struct fs_page_section *section, struct fs_error *error);
fs_status fs_page_updates_chart(struct fs_page *page, const struct fs_page_experiment *experiment,
                                struct fs_error *error);
fs_status fs_page_commits_chart(struct fs_page *page, const struct fs_page_experiment *experiment,
                                struct fs_error *error);
fs_status fs_page_samples(struct fs_page *page, const struct fs_page_experiment *experiment, struct fs_error *error);
fs_status fs_page_provenance(struct fs_page *page, struct fs_error *error);

#endif
