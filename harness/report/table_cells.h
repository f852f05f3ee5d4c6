/* The cells of a table: stretches of the sorted scores (table_scores.h), their means and their names. */
#ifndef FEWSTEP_TABLE_CELLS_H
#define FEWSTEP_TABLE_CELLS_H

#include <stddef.h>

#include "harness/report/table_scores.h"

#define FS_TABLE_STEPS_MAX 40 /* 16 step counts a run; several runs may differ */
#define FS_NO_VALUE "–"

/* A part of the sorted list: a section, a row or a cell. */
struct fs_stretch {
    const struct fs_table_score *first;
    int count;
};

/* The part of `whole` that begins at `at` and belongs together; *at moves behind it. False at the end. */
typedef bool fs_together(const struct fs_table_score *a, const struct fs_table_score *b);
bool fs_next_stretch(struct fs_stretch whole, int *at, fs_together *belong, struct fs_stretch *part);
bool fs_same_cell(const struct fs_table_score *a, const struct fs_table_score *b);
/* A cell at one update, of scores with their history. */
bool fs_same_update(const struct fs_table_score *a, const struct fs_table_score *b);

/* Mean over seeds and its standard error (sample deviation / √n); NAN for one seed. */
void fs_mean_and_error(struct fs_stretch cell, double *mean, double *error);
/* How two cells compare over their common seeds. */
struct fs_cell_ratio {
    double ratio;     /* geometric mean of first / second; NAN without common seeds, or where a score is not above 0 */
    int seeds, below; /* common ones; those in which the first is the lower one */
};
struct fs_cell_ratio fs_cell_ratio(struct fs_stretch first, struct fs_stretch second);
/* What a training cost: wall time with its teacher's (which several runs may share), mean over seeds, and the largest
 * resident set of any of them. `runs` holds at least one score of each run. */
struct fs_cost_mean {
    double seconds, peak_bytes;
};
struct fs_cost_mean fs_mean_cost(struct fs_stretch runs);
/* The most seeds that a cell of it has. */
int fs_stretch_seeds(struct fs_stretch part);
/* The step counts of a section, ascending; their number. */
int fs_collect_steps(struct fs_stretch section, int64_t steps[FS_TABLE_STEPS_MAX]);
/* The data's own score by the same measure: with as many samples where there is one, else the newest; NULL without. */
const struct fs_table_score *fs_find_floor(const struct fs_table_scores *scores, const struct fs_table_score *of);

/* Whether the method is used at a number of steps that it was not trained for (in parentheses, in tables). *known:
 * false where this build cannot read the run's configuration. */
bool fs_outside_training(const struct fs_table_score *score, bool *known);

/* "FID", or "FD (fashion-cnn)": FID is only what the 2015 Inception weights give; the same formula on other features is
 * an FD of its extractor. */
void fs_metric_label(const struct fs_table_score *score, char *text, size_t size);
/* "Shortcut model" of "shortcut"; the name itself where this build does not know it. */
const char *fs_method_label(const char *name);
/* The value of a key in a run's configuration; FS_NO_VALUE where its method has no such key. */
void fs_ablated_value(const struct fs_table_score *score, const char *key, char *text, size_t size);
/* "test" of "dataset:fashion-mnist:test". */
const char *fs_split_name(const struct fs_table_score *floor);
/* What all scores of a section share: "fashion-mnist, dit-xs/4, FD (fashion-cnn) to train, 5000 samples, EMA weights"
 */
void fs_section_title(const struct fs_table_score *of, char *text, size_t size);

#endif
