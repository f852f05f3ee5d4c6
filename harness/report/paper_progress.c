/* How scores move while a training goes on: the budget study's table of updates × methods and steps, and its facts. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/paper_parts.h"

#define UPDATES_MAX 64

static bool same_update(const struct fs_table_score *a, const struct fs_table_score *b)
{
    return fs_same_cell(a, b) && a->at_update == b->at_update;
}

/* The scores of a row of the study at a number of steps and an update (a count of 0: none). */
static struct fs_stretch scores_at(const struct fs_paper *paper, int place, int column, int64_t update)
{
    const struct fs_study *study = &paper->budget;
    const struct fs_stretch all = {paper->progress.runs, paper->progress.run_count};
    const struct fs_table_score *row = fs_study_row(study, place).first;
    struct fs_stretch part;

    for (int at = 0; fs_next_stretch(all, &at, same_update, &part);) {
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

    fprintf(stream, "\\begin{tabular}{r*{%d}{r}}\n\\toprule\n", study->rows * steps);
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

/* "budget/ratio/4/first": by which factor the shortcut model's score is above flow matching's at 4 steps and the first
 * update; "last": at the last. */
static void ratio_fact(const struct fs_paper *paper, FILE *stream, int column, int64_t update, const char *when)
{
    const struct fs_study *study = &paper->budget;
    const int shortcut = fs_study_method(study, "shortcut"), flow = fs_study_method(study, "flow-matching");
    double above, below, error;
    char key[64];

    if (shortcut < 0 || flow < 0) {
        return;
    }
    const struct fs_stretch over = scores_at(paper, shortcut, column, update),
                            under = scores_at(paper, flow, column, update);
    if (over.count > 0 && under.count > 0) {
        fs_mean_and_error(over, &above, &error);
        fs_mean_and_error(under, &below, &error);
        snprintf(key, sizeof(key), "budget/ratio/%" PRId64 "/%s", study->section.steps[column], when);
        fs_paper_number_fact(stream, key, above / below);
    }
}

fs_status fs_paper_progress_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    int64_t updates[UPDATES_MAX] = {0};
    const int count = collect_updates(paper, updates);

    (void)error;
    for (int column = 0; column < paper->budget.section.step_count; column++) {
        ratio_fact(paper, stream, column, updates[0], "first");
        ratio_fact(paper, stream, column, updates[count - 1], "last");
    }
    fprintf(stream, "\\fsset{budget/updates/first}{%" PRId64 "}\n\\fsset{budget/updates/last}{%" PRId64 "}\n",
            updates[0], updates[count - 1]);
    return FS_OK;
}
