/* A database as larger experiments leave it, with made-up scores: several seeds, updates, sources, an ablation, a
 * second metric, and names that are no safe HTML. For tests of what is made from a database. */
#ifndef FEWSTEP_TEST_STUDY_H
#define FEWSTEP_TEST_STUDY_H

#include "harness/store/store.h"

#define TEST_STUDY_HOSTILE "<script>alert(\"x\")</script>&'" /* name of an experiment without scores */

/* Experiments "table" (4 methods × 3 seeds × 7 step counts, two metrics, and spectra of the last at 1 and 8),
 * "ablation" (7 largest steps × 2 seeds), "commits" (2 methods × 3 seeds × 4 sources) and the hostile one;
 * `samples`/table/ gets a grid for each method's seed 0. Every value follows from its place, so two calls make the same
 * rows. */
fs_status test_study_make(const char *database, const char *samples, struct fs_error *error);

/* Adds "groups": flow matching and the shortcut model, told 1 or 10 groups of classes apart, × 2 seeds, at 1, 4 and 128
 * steps, and the exact velocity of both. */
fs_status test_study_add_groups(const char *database, struct fs_error *error);
/* Their made-up distances; labels: 0 without. */
double test_study_told(int method, int groups, int steps, int seed);
double test_study_exact(int labels, int steps);

/* Adds "longer" (flow matching and the shortcut model with one budget and with four, one seed, at 4 and 128 steps; four
 * budgets give the shortcut model a quarter of its distance and flow matching the same) and "work" (flow matching,
 * Reflow and the shortcut model, each with another number of updates, three seeds, at 4 steps; Reflow has three times
 * its distance). */
fs_status test_study_add_budgets(const char *database, struct fs_error *error);

/* The made-up distance of a method (0 … 3) at a number of steps, for a seed. */
double test_study_value(int method, int steps, int seed);
/* The id of its run in "table". */
void test_study_run(int method, int seed, char id[65]);

#endif
