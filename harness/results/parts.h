/* What the files of this folder share in making results. */
#ifndef FEWSTEP_RESULTS_PARTS_H
#define FEWSTEP_RESULTS_PARTS_H

#include <stddef.h>

#include <sqlite3.h>

#include "harness/results/results.h"

/* SQL for the points of loss curves at which a training falls back (run's number, at_update, before): the loss is ten
 * times the mean of ten points shortly before it, and above a quarter. The loss of a network that says nothing is about
 * 1, and a new phase of a distillation begins far below that. */
#define FS_RESULT_FALLS                                                                                                \
    "SELECT run, at_update, before FROM (SELECT run, at_update, value, avg(value) OVER (PARTITION BY run ORDER BY "    \
    "at_update ROWS BETWEEN 12 PRECEDING AND 3 PRECEDING) AS before FROM curves WHERE name = 'loss') WHERE value >= "  \
    "10 * before AND value >= 0.25"

/* SQL for the trainings that fell back (run's number, before, at_update, peak, peak_update): where they did so first,
 * and the highest loss from there on. */
#define FS_RESULT_FALLEN                                                                                               \
    "SELECT f.run AS run, f.before AS before, f.at_update AS at_update, max(p.value) AS peak, p.at_update AS "         \
    "peak_update FROM (SELECT run, min(at_update) AS at_update, before FROM (" FS_RESULT_FALLS ") GROUP BY run) f "    \
    "JOIN curves p ON p.run = f.run AND p.name = 'loss' AND p.at_update >= f.at_update GROUP BY f.run"

/* SQL for the builds of environments for which `where` holds: "COMMIT:SOURCE" each, and those of the score s. */
#define FS_RESULT_ORIGINS(where)                                                                                       \
    "(SELECT group_concat(origin, ' ') FROM (SELECT DISTINCT coalesce(commit_hash, 'unknown') || "                     \
    "iif(dirty, '-dirty', '') || ':' || source_hash AS origin FROM environments WHERE " where " ORDER BY id))"
#define FS_RESULT_SCORE_ORIGINS FS_RESULT_ORIGINS("id = s.environment")

/* A copy of the text that lives as long as the results; NULL and `error` filled when there is no memory. */
const char *fs_results_keep(struct fs_results *results, const char *text, struct fs_error *error);
/* Room for one more element of `size` bytes behind `count` that were added by this alone; it is zeroed. */
fs_status fs_grow(void **list, int count, size_t size, struct fs_error *error);

/* A new section of this measure, with its names; texts that are not given are empty. */
fs_status fs_results_add_section(struct fs_results *results, const struct fs_measure *measure,
                                 struct fs_result_section **section, struct fs_error *error);
/* The last row of the section if it is of this training, else a new one behind it, named but for what varies. */
fs_status fs_results_row(struct fs_results *results, struct fs_result_section *section,
                         const struct fs_result_row *training, struct fs_result_row **row, struct fs_error *error);

/* The section and the row that the next score of a query belongs to: the last ones, or new ones. Its columns 0 to 17:
 * the members of struct fs_measure, method, train_hash, data_sha256, configuration, label. */
fs_status fs_results_place(struct fs_results *results, sqlite3_stmt *query, struct fs_result_section **section,
                           struct fs_result_row **row, struct fs_error *error);

/* A score from a query's columns from `column` on: run, configuration, source, origins, data; number, seed, samples,
 * at_update, updates, teacher's updates; flops and seconds, each with the teacher's, peak, value, low, high. */
fs_status fs_result_read_score(sqlite3_stmt *query, int column, struct fs_results *results,
                               struct fs_result_score *score, struct fs_error *error);
/* Adds a score to the row's cell that it belongs to, made with this use and origin when there is none. Where the same
 * seed is there already it is left out: a later row of a run and steps is an earlier checkpoint, or was scored by an
 * older build. */
fs_status fs_result_add_score(struct fs_result_row *row, int64_t steps, enum fs_cell_use use,
                              enum fs_cell_origin origin, const struct fs_result_score *score,
                              enum fs_result_history history, struct fs_error *error);
/* The section's rows that no training made: the data's score, and those of the exact velocity. Its runs are there. */
fs_status fs_results_read_untrained(struct fs_store *store, struct fs_results *results,
                                    struct fs_result_section *section, struct fs_error *error);

/* Once all rows are there: as the experiment's file has them, where it is stored and can be read; what it does not name
 * stands behind its method's others. Runs join as they are made, by several processes or method by method. Where the
 * file names all rows, they have its configurations. */
fs_status fs_results_order(struct fs_store *store, struct fs_results *results, struct fs_error *error);
/* Once all rows are there: the keys that they differ in, and what sets each apart. */
fs_status fs_results_set_apart(struct fs_results *results, struct fs_error *error);
/* The sections' remarks: trainings whose scores tell of an unstable rate as well as of the method, or whose teachers'
 * do. The rows have their names. */
fs_status fs_results_remark(struct fs_store *store, struct fs_results *results, struct fs_error *error);
/* Mean, error and interval of a cell from its scores. */
void fs_result_cell_mean(struct fs_result_cell *cell);
/* The scores of two cells with the same seeds, one after the other; returns how many there are. base, head: room for as
 * many as the cell with fewer has. */
int fs_result_match_seeds(const struct fs_result_cell *base_cell, const struct fs_result_cell *head_cell, double *base,
                          double *head);
/* Comparisons, power and the order of the cells. */
fs_status fs_result_section_compare(struct fs_result_section *section, struct fs_error *error);

#endif
