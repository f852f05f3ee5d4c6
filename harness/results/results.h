/* What a database says of an experiment, as numbers: sections (what one measure says), their rows (one training), the
 * cells of a row (that training at one number of steps, over its seeds), and how each two rows compare. Tables, page,
 * paper and export are views of this and compute nothing; nothing here prints. Published numbers have the same form
 * (published.h). */
#ifndef FEWSTEP_RESULTS_H
#define FEWSTEP_RESULTS_H

#include "harness/config/config.h"
#include "harness/results/experiment.h"
#include "harness/results/verdict.h"
#include "harness/store/store.h"

#define FS_RESULT_STEPS_MAX 40  /* 16 step counts a run; several runs may differ */
#define FS_RESULT_VARIED_MAX 16 /* keys that rows differ in */

/* One score behind a cell: of a run and its seed, or of data. Texts live as long as the results. */
struct fs_result_score {
    const char *run;     /* its id; "" for data */
    const char *config;  /* the run's resolved configuration, as JSON; "" for data */
    const char *source;  /* hash of the source that began the run, or that scored the data */
    const char *origins; /* "commit:source" of each build that trained or scored it, with spaces between */
    const char *of_data; /* "dataset:fashion-mnist:test"; "" for a run */
    int64_t number;      /* its row in the database */
    int64_t seed, samples;
    int64_t at_update;                /* of the scored checkpoint, its teacher's updates counted before it */
    int64_t updates, teacher_updates; /* of the whole training; the teacher's share of them */
    double flops, teacher_flops;      /* likewise */
    double seconds, teacher_seconds;  /* wall time of the run's own training, and of its teacher's */
    double peak_bytes;                /* largest resident set of the two */
    double value, low, high;          /* the 95 % interval over its samples; NAN without one */
};

enum fs_cell_origin { FS_CELL_MEASURED, FS_CELL_PUBLISHED, FS_CELL_DATA };
/* Whether the method is used at a number of steps that it was trained for; unknown where the database
 * does not say. */
enum fs_cell_use { FS_CELL_INSIDE, FS_CELL_OUTSIDE, FS_CELL_USE_UNKNOWN };
enum fs_cell_order { FS_CELL_UNORDERED, FS_CELL_BEST, FS_CELL_SECOND };

struct fs_result_cell {
    enum fs_cell_origin origin;
    enum fs_cell_use use;
    enum fs_cell_order order; /* in its column, where the differences are more than noise */
    int64_t steps;            /* 0: data, which is drawn in no steps */
    int64_t at_update;        /* with a history of updates: the update; else the first score's */
    const char *source;       /* with a history of sources: the source; else the first score's */
    int seeds;                /* 0: published */
    double mean, error;       /* over seeds; the standard error, √(Σ(x − x̄)²/(n − 1)/n), is NAN for one */
    double low, high;         /* mean ± error; of one seed the interval over its samples; NAN where there is neither */
    bool confirmed;           /* published: found in a second place */
    double seconds, peak_bytes;     /* mean wall time of its trainings, teachers' included; largest resident set */
    struct fs_result_score *scores; /* [seeds], by seed; NULL: published */
};

struct fs_result_row {
    const char *method, *method_label; /* "shortcut", "Shortcut model" */
    const char *label;                 /* the user's own name of it; "" */
    const char *train_hash, *data_sha256;
    const char *config; /* as the experiment's file has it, where that names all rows; else of its first run */
    /* What sets it apart: a value for each of the results' varied keys; NULL where its method has no such key. */
    const char *varied[FS_RESULT_VARIED_MAX];
    const char *name;             /* "Shortcut model", or "NAME (Shortcut model)" with a user's label */
    const char *apart;            /* "max_step 1/8, batch 32"; "" where nothing varies */
    const char *confirmed_in;     /* published: where; "" */
    struct fs_result_cell *cells; /* by steps; published ones in the order of the file */
    int cell_count;
    int seeds;                  /* the most that a cell has */
    double seconds, peak_bytes; /* as a cell's, of all its trainings */
};

/* What all scores of a section share. */
struct fs_measure {
    const char *dataset, *model, *extractor, *tap, *metric, *reference, *weights;
    int64_t samples;
    bool quantize;
    double guidance_scale;
    const char *resize; /* to the extractor's size, as fs_resize_name says it */
    const char *sampler, *time_grid;
};

/* Two rows at one number of steps, over the seeds that both have. */
enum fs_relation { FS_RELATION_UNDECIDED, FS_RELATION_LOWER, FS_RELATION_HIGHER };
struct fs_result_comparison {
    int row, other;            /* places of rows, row < other */
    int column;                /* place among the section's steps */
    int seeds, below;          /* common ones, and those of them in which `row` has the lower score */
    double ratio;              /* geometric mean of row / other; NAN without a seed or where a score is not above 0 */
    enum fs_relation relation; /* of `row` to `other`, where the difference is more than noise */
    struct fs_outcome outcome; /* of `other` as head against `row` as base (verdict.h) */
    struct fs_spread spread;   /* that it is judged by */
};

/* What the comparisons of a section can decide. A ratio of two scores is decided if it is at least `smallest` (for the
 * two rows with the least spread) to `largest` (for those with the most), as the first of Holm's order and with the
 * seeds that there are; dof: the least degrees of freedom of a spread. tested 0: nothing can be. */
struct fs_result_power {
    int tested;
    double dof, smallest, largest;
};

/* Each two rows are compared at each number of steps over their common seeds by the t interval of verdict.h for the log
 * ratio of their scores, with the spread over seeds pooled over all cells of the two rows (or that of the two cells
 * where it is larger), corrected for all these comparisons by Holm's procedure at this alpha. The best of a column is
 * better than every other row; the second exists only below a best, and is better than every other but that. Scores
 * that are not above 0 decide nothing, and a metric that this build does not know has no order. */
#define FS_RESULT_ALPHA 0.05

struct fs_result_section {
    struct fs_measure measure;
    const char *metric_label; /* "FID", or "FD (fashion-cnn)": FID is only what the 2015 Inception weights give */
    const char *about;        /* "fashion-mnist, dit-xs/4, FD (fashion-cnn) to train, 5000 samples, EMA weights" */
    int better;               /* 1: higher is, −1: lower is, 0: not known */
    const char *name, *title, *source;  /* published: the setting, and where its numbers are from; "" */
    int64_t steps[FS_RESULT_STEPS_MAX]; /* of its cells, ascending; published: in the order of the file */
    int step_count;
    struct fs_result_row *rows;
    int row_count;
    bool one_method; /* all rows are of one */
    int seeds;       /* the most that a cell has */
    struct fs_result_cell
        *data;              /* data's own score by this measure, with as many samples where there is one; or NULL */
    const char *data_split; /* "test" */
    /* Scores of the exact velocity of the training set by this measure: a row for each number of labels that tell its
     * pictures apart. Neither compared nor trained. */
    struct fs_result_row *exact;
    int exact_count;
    /* Of trainings that fell back, or diverged and began again: "Reflow, seed 0, fell back at update 1206: …". */
    const char **remarks;
    int remark_count;
    struct fs_result_comparison *comparisons; /* by row, then other, then column; none in a history */
    int comparison_count;
    struct fs_result_power power;
};

struct fs_results {
    struct fs_experiment_name experiment;
    const char *varied[FS_RESULT_VARIED_MAX];      /* dotted names of the keys that rows differ in, the experiment's own
                                                      first; methods.*.target_ema is a key that several methods have */
    const char *varied_name[FS_RESULT_VARIED_MAX]; /* "max_step"; the dotted name where two end alike */
    int varied_count;
    bool labelled; /* a row has a user's label */
    struct fs_result_section *sections;
    int section_count;
    int older; /* runs that are left out because a newer source has made them again */
    struct fs_hypothesis_test
        *hypotheses; /* of the experiment's file (harness/results/hypotheses.h); last words only */
    int hypothesis_count;
    bool named_before; /* all of them, before the first of the runs began */
    struct fs_result_text *texts;
};

/* Which scores of runs to read; NULL and 0 let all through. What they are compared with, data's own scores, stays. */
struct fs_result_filter {
    const char *source;   /* hash of the source that began the run */
    const char *revision; /* what the user called it, for messages */
    const char *dataset, *method, *metric;
    int64_t since; /* made at or after this second since 1970 (UTC) */
    bool stable;   /* without trainings that fell back: whose loss rose to ten times what it had been */
};

/* With more than the last word: a cell for each scored update of these runs, or for the last score of each source
 * (oldest first). */
enum fs_result_history { FS_LAST_SCORE, FS_EVERY_UPDATE, FS_EVERY_SOURCE };

/* The results of an experiment: of each training and seed the newest run's last scores, among those that `filter`
 * (NULL: all) lets through; sections of the distances that the others are relatives of come first. FS_USAGE when the
 * filter leaves none. An experiment without scores has no section. Free with fs_results_free, also after a failure. */
fs_status fs_results_read(struct fs_store *store, const struct fs_experiment_name *experiment,
                          const struct fs_result_filter *filter, enum fs_result_history history,
                          struct fs_results *results, struct fs_error *error);
void fs_results_free(struct fs_results *results);

/* The trainings of an experiment, teachers' left out, as rows without cells: a section for each data set and network.
 * What sets each apart is all that they say. Free with fs_results_free, also after a failure. */
fs_status fs_results_of_runs(struct fs_store *store, const struct fs_experiment_name *experiment,
                             struct fs_results *results, struct fs_error *error);

/* The same of trainings that are yet to be made: those of an experiment's file. */
fs_status fs_results_planned(const struct fs_experiment *experiment, struct fs_results *results,
                             struct fs_error *error);

/* The section that stands for the experiment: FID where there is one, else FD, else the first; NULL without any. */
struct fs_result_section *fs_results_main(const struct fs_results *results);
/* A row's cell at a number of steps (with a history: its first); NULL: none. */
struct fs_result_cell *fs_result_cell_at(const struct fs_result_row *row, int64_t steps);
/* The first row of a training, in any section; NULL: none. */
const struct fs_result_row *fs_result_training(const struct fs_results *results, const char *train_hash,
                                               const char *data_sha256);
/* The comparison of two rows, by their places in either order, at a number of steps; NULL: none. */
const struct fs_result_comparison *fs_result_comparison_of(const struct fs_result_section *section, int a, int b,
                                                           int64_t steps);
bool fs_measure_equal(const struct fs_measure *a, const struct fs_measure *b);
/* The row of the same training; NULL: none. */
const struct fs_result_row *fs_result_row_like(const struct fs_result_section *section,
                                               const struct fs_result_row *row);

#endif
