/* The parts of the paper's generated files. */
#ifndef FEWSTEP_PAPER_PARTS_H
#define FEWSTEP_PAPER_PARTS_H

#include "harness/report/paper.h"
#include "harness/report/table_section.h"

/* An experiment as the paper shows it: the section of FID where there is one, else of FD, else the first. */
struct fs_study {
    const char *key; /* "main", "ablation" …: begins the names of its facts */
    struct fs_experiment_name name;
    struct fs_table_scores scores;
    struct fs_section section;
    int rows;
    enum fs_order *orders; /* fs_section_orders */
};

struct fs_paper {
    struct fs_store *store;
    const struct fs_paper_options *options;
    const char *folder;
    struct fs_study main, ablation;
    struct fs_study budget, pairs;   /* that ask why the main table is as it is */
    struct fs_study stable;          /* main without the trainings that fell back; there only if one did */
    struct fs_table_scores progress; /* of the budget's runs, at every update they were scored at */
    bool has_ablation, has_samples, has_budget, has_pairs, has_stable;
    int64_t samples_seed; /* of the pictures */
    struct fs_error *error;
};

/* The studies that are there, in the order of the paper: how many. */
#define FS_PAPER_STUDIES 4
int fs_paper_studies(const struct fs_paper *paper, const struct fs_study *studies[FS_PAPER_STUDIES]);

/* A file of the folder, written as a whole. */
typedef fs_status fs_paper_part(const struct fs_paper *paper, FILE *stream, struct fs_error *error);
fs_status fs_paper_file(const struct fs_paper *paper, const char *name, fs_paper_part *part);

/* The row `place` of a study, and its cell at a number of steps (a count of 0: none). */
struct fs_stretch fs_study_row(const struct fs_study *study, int place);
struct fs_stretch fs_study_cell(const struct fs_study *study, int place, int column);
/* "shortcut", or of an ablation the ablated value. */
void fs_study_row_key(const struct fs_study *study, int place, char *text, size_t size);
/* A method's name for a sentence or between parentheses: "Flow matching" of "Flow matching (Euler)". */
void fs_paper_method(const char *method, FILE *stream);
/* The row of a method; −1: none. */
int fs_study_method(const struct fs_study *study, const char *method);
/* The path of the main study's picture of a row's samples for a seed; false when there is none. */
bool fs_paper_picture(const struct fs_paper *paper, int place, int64_t seed, char path[1400]);

/* The scores of a study's runs that did not fall back. Of *stable only `runs` is owned by the caller (free()), also
 * after a failure: its texts are the study's. */
fs_status fs_paper_stable_scores(struct fs_store *store, const struct fs_study *study, struct fs_table_scores *stable,
                                 struct fs_error *error);
/* How many published orders a study confirms: "PREFIXclaims/hold" …, and of two methods that are both inside what they
 * were trained for "PREFIXclaims/inside/hold". */
void fs_paper_claim_facts(const struct fs_paper *paper, const struct fs_study *study, const char *prefix, FILE *stream);

/* \fsset{KEY}{VALUE}, with three significant digits. */
void fs_paper_number_fact(FILE *stream, const char *key, double value);

fs_paper_part fs_paper_facts, fs_paper_claims, fs_paper_progress, fs_paper_progress_facts, fs_paper_stability_facts,
    fs_paper_others, fs_paper_other_facts, fs_paper_steps_figure, fs_paper_ablation_figure, fs_paper_samples,
    fs_paper_numbers, fs_paper_runs;
/* Whether the figure has room for the data's own score: not where that is so low that the lines would be pressed
 * together. */
bool fs_study_shows_floor(const struct fs_study *study);
/* The figures' .dat files. */
fs_status fs_paper_data(const struct fs_paper *paper, struct fs_error *error);

#endif
