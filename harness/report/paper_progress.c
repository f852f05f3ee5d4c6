/* How scores move while a training goes on: the budget study's table of updates × methods and steps, and its facts. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/paper_parts.h"

#define UPDATES_MAX 64

/* The scores of a row of the study at a number of steps and an update (a count of 0: none). */
static struct fs_stretch scores_at(const struct fs_paper *paper, int place, int column, int64_t update)
{
    const struct fs_study *study = &paper->budget;
    const struct fs_stretch all = {paper->progress.runs, paper->progress.run_count};
    const struct fs_table_score *row = fs_study_row(study, place).first;
    struct fs_stretch part;

    for (int at = 0; fs_next_stretch(all, &at, fs_same_update, &part);) {
        if (fs_same_section(part.first, row) && fs_same_row(part.first, row) && part.first->at_update == update &&
            part.first->steps == study->section.steps[column]) {
            return part;
        }
    }
    return (struct fs_stretch){0};
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The updates that any run of the study was scored at, ascending; their number. */
static int collect_updates(const struct fs_paper *paper, int64_t updates[UPDATES_MAX])
{
    int count = 0;

    for (int i = 0; i < paper->progress.run_count; i++) {
        bool known = !fs_same_section(&paper->progress.runs[i], paper->budget.section.all.first);
        for (int k = 0; k < count; k++) {
            known = known || updates[k] == paper->progress.runs[i].at_update;
        }
        if (!known && count < UPDATES_MAX) {
            updates[count++] = paper->progress.runs[i].at_update;
        }
    }
    qsort(updates, (size_t)count, sizeof *updates, compare);
    return count;
}

/* --- the table --- */

static void print_heading(const struct fs_study *study, FILE *stream)
{
    const int steps = study->section.step_count;

    fputs("\\begin{tabular}{r", stream);
    for (int r = 0; r < study->rows; r++) {
        fprintf(stream, "!{\\hspace{0.8em}}*{%d}{r}", steps);
    }
    fputs("}\n\\toprule\n", stream);
    for (int r = 0; r < study->rows; r++) {
        fprintf(stream, " & \\multicolumn{%d}{c}{", steps);
        fs_latex(stream, fs_method_label(fs_study_row(study, r).first->text[FS_TEXT_METHOD]));
        fputs(", steps}", stream);
    }
    fputs(" \\\\\n", stream);
    for (int r = 0; r < study->rows; r++) {
        fprintf(stream, "\\cmidrule(lr){%d-%d}", 2 + r * steps, 1 + (r + 1) * steps);
    }
    fputs("\nUpdates", stream);
    for (int i = 0; i < study->rows * steps; i++) {
        fprintf(stream, " & %" PRId64, study->section.steps[i % steps]);
    }
    fputs(" \\\\\n\\midrule\n", stream);
}

static void print_scores(struct fs_stretch scores, FILE *stream)
{
    double mean, error;
    bool known;

    fputs(" & ", stream);
    if (scores.count == 0) {
        fputs("--", stream);
        return;
    }
    fs_mean_and_error(scores, &mean, &error);
    fs_latex_value(stream, mean, error, fs_outside_training(scores.first, &known), "");
}

fs_status fs_paper_progress(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *study = &paper->budget;
    int64_t updates[UPDATES_MAX] = {0};

    (void)error;
    if (!paper->has_budget) {
        return FS_OK;
    }
    const int count = collect_updates(paper, updates);
    print_heading(study, stream);
    for (int u = 0; u < count; u++) {
        fprintf(stream, "%" PRId64, updates[u]);
        for (int r = 0; r < study->rows; r++) {
            for (int column = 0; column < study->section.step_count; column++) {
                print_scores(scores_at(paper, r, column, updates[u]), stream);
            }
        }
        fputs(" \\\\\n", stream);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", stream);
    return FS_OK;
}

/* --- facts --- */

/* Of two rows at two updates, over their common seeds; NAN where there is no such row or score. */
static double ratio_of(const struct fs_paper *paper, int column, int place, int64_t update, int other,
                       int64_t other_update)
{
    return place < 0 || other < 0
               ? (double)NAN
               : fs_cell_ratio(scores_at(paper, place, column, update), scores_at(paper, other, column, other_update))
                     .ratio;
}

static void step_fact(FILE *stream, const char *what, int64_t steps, const char *which, double value)
{
    char key[160];

    snprintf(key, sizeof(key), "budget/%s/%" PRId64 "%s", what, steps, which);
    fs_paper_number_fact(stream, key, value);
}

/* By which factor the shortcut model's score is above flow matching's: "budget/ratio/4/first", "…/largest", "…/last".
 */
static void ratio_facts(const struct fs_paper *paper, FILE *stream, int column, const int64_t *updates, int count)
{
    const struct fs_study *study = &paper->budget;
    const int shortcut = fs_study_method(study, "shortcut"), flow = fs_study_method(study, "flow-matching");
    const int64_t steps = study->section.steps[column];
    double first = NAN, largest = -INFINITY, last = NAN;
    int64_t when = 0;

    for (int u = 0; u < count; u++) {
        const double ratio = ratio_of(paper, column, shortcut, updates[u], flow, updates[u]);
        first = isnan(first) ? ratio : first;
        last = isnan(ratio) ? last : ratio;
        when = ratio > largest ? updates[u] : when;
        largest = ratio > largest ? ratio : largest;
    }
    if (!isnan(last)) {
        step_fact(stream, "ratio", steps, "/first", first);
        step_fact(stream, "ratio", steps, "/largest", largest);
        step_fact(stream, "ratio", steps, "/last", last);
        fprintf(stream, "\\fsset{budget/ratio/%" PRId64 "/largest-at}{%" PRId64 "}\n", steps, when);
    }
}

/* What the last stretch between two scored updates left of a method's score: "budget/left/shortcut/4". */
static void left_facts(const struct fs_paper *paper, FILE *stream, int column, const int64_t *updates, int count)
{
    const struct fs_study *study = &paper->budget;

    for (int r = 0; r < study->rows && count > 1; r++) {
        const double left = ratio_of(paper, column, r, updates[count - 1], r, updates[count - 2]);
        char what[96];
        snprintf(what, sizeof(what), "left/%s", fs_study_row(study, r).first->text[FS_TEXT_METHOD]);
        if (!isnan(left)) {
            step_fact(stream, what, study->section.steps[column], "", left);
        }
    }
}

/* Every score on the way: "budget/at/700/flow-matching/64". */
static void score_facts(const struct fs_paper *paper, FILE *stream, int column, int64_t update)
{
    const struct fs_study *study = &paper->budget;

    for (int r = 0; r < study->rows; r++) {
        const struct fs_stretch scores = scores_at(paper, r, column, update);
        double mean, error;
        if (scores.count > 0) {
            fs_mean_and_error(scores, &mean, &error);
            fprintf(stream, "\\fsset{budget/at/%" PRId64 "/%s/%" PRId64 "}{", update,
                    fs_study_row(study, r).first->text[FS_TEXT_METHOD], study->section.steps[column]);
            fs_latex_value(stream, mean, error, 0, "");
            fputs("}\n", stream);
        }
    }
}

fs_status fs_paper_progress_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    int64_t updates[UPDATES_MAX] = {0};
    const int count = collect_updates(paper, updates);

    (void)error;
    for (int column = 0; column < paper->budget.section.step_count; column++) {
        ratio_facts(paper, stream, column, updates, count);
        left_facts(paper, stream, column, updates, count);
        for (int u = 0; u < count; u++) {
            score_facts(paper, stream, column, updates[u]);
        }
    }
    fprintf(stream,
            "\\fsset{budget/updates/first}{%" PRId64 "}\n\\fsset{budget/updates/before-last}{%" PRId64
            "}\n\\fsset{budget/updates/last}{%" PRId64 "}\n",
            updates[0], updates[count > 1 ? count - 2 : 0], updates[count - 1]);
    return FS_OK;
}
