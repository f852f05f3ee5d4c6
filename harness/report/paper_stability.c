/* Trainings of the main table that fell back on the way: their scores tell of an unstable rate, not of the method. They
 * are named, and the table's findings are taken again without them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/text/number.h"
#include "harness/report/paper_parts.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

/* The first update at which the loss is ten times the mean of ten points shortly before it, and above a quarter: the
 * loss of a network that says nothing is about 1, and a new phase of a distillation begins far below that. Then the
 * highest loss from there on. */
static const char jump[] =
    "WITH points AS (SELECT at_update, value, avg(value) OVER (ORDER BY at_update ROWS BETWEEN 12 PRECEDING AND 3 "
    "PRECEDING) AS before FROM curves WHERE name = 'loss' AND run = (SELECT number FROM runs WHERE id = ?1)), "
    "first AS (SELECT at_update, before FROM points WHERE value >= 10 * before AND value >= 0.25 ORDER BY at_update "
    "LIMIT 1) "
    "SELECT first.at_update, first.before, points.value, points.at_update FROM first JOIN points ON points.at_update "
    ">= first.at_update ORDER BY points.value DESC LIMIT 1";

struct fall {
    bool found;
    int64_t update, peak_update; /* of the run's own training */
    double before, peak;         /* loss */
};

static fs_status find_fall(struct fs_store *store, const char *run, struct fall *fall, struct fs_error *error)
{
    sqlite3_stmt *query;

    *fall = (struct fall){0};
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, jump, "t", run));
    const fs_status status = fs_query_next(query, &fall->found, error);
    if (status == FS_OK && fall->found) {
        fall->update = sqlite3_column_int64(query, 0);
        fall->before = sqlite3_column_double(query, 1);
        fall->peak = sqlite3_column_double(query, 2);
        fall->peak_update = sqlite3_column_int64(query, 3);
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_paper_stable_scores(struct fs_store *store, const struct fs_study *study, struct fs_table_scores *stable,
                                 struct fs_error *error)
{
    const struct fs_table_scores *all = &study->scores;
    const char *last = "";
    struct fall fall = {0};

    *stable = (struct fs_table_scores){.floors = all->floors, .floor_count = all->floor_count, .older = all->older};
    stable->runs = fs_allocate((size_t)all->run_count, sizeof(*stable->runs), "the scores of a table", error);
    if (!stable->runs) {
        return FS_FAILED;
    }
    for (int i = 0; i < all->run_count; i++) {
        const char *run = all->runs[i].text[FS_TEXT_RUN];
        if (strcmp(run, last) != 0) {
            FS_TRY(find_fall(store, run, &fall, error));
            last = run;
        }
        if (!fall.found) {
            stable->runs[stable->run_count++] = all->runs[i];
        }
    }
    return FS_OK;
}

/* --- facts --- */

static void print_name(const struct fs_table_score *of, FILE *stream)
{
    fs_latex(stream, fs_method_label(of->text[FS_TEXT_METHOD]));
    fprintf(stream, " (seed %" PRId64 ")", of->seed);
}

static void print_fall(const struct fs_table_score *of, const struct fall *fall, FILE *stream)
{
    char before[FS_NUMBER_TEXT], peak[FS_NUMBER_TEXT];

    fs_three_digits(fall->before, before);
    fs_three_digits(fall->peak, peak);
    print_name(of, stream);
    fprintf(stream, ", whose loss rose from %s before update %" PRId64 "%s to %s at update %" PRId64, before,
            fall->update, of->teacher_updates > 0 ? " of the student" : "", peak, fall->peak_update);
}

/* Each run of the main table that fell back, with its story or by its name alone. */
static fs_status print_falls(const struct fs_paper *paper, bool story, FILE *stream, struct fs_error *error)
{
    struct fall fall;
    int count = 0;

    for (int r = 0; r < paper->main.rows; r++) {
        const struct fs_stretch cell = fs_study_cell(&paper->main, r, 0);
        for (int i = 0; i < cell.count; i++) {
            FS_TRY(find_fall(paper->store, cell.first[i].text[FS_TEXT_RUN], &fall, error));
            if (fall.found) {
                fputs(count++ ? "; " : "", stream);
                if (story) {
                    print_fall(&cell.first[i], &fall, stream);
                } else {
                    print_name(&cell.first[i], stream);
                }
            }
        }
    }
    return FS_OK;
}

/* "Reflow 44.9 ± 0.2 at 1 step, …, from 2 seeds": a row as it is without them; nothing of a row that has lost none. */
static void print_without(const struct fs_paper *paper, int place, FILE *stream)
{
    const struct fs_stretch row = fs_study_row(&paper->main, place);
    const struct fs_study *stable = &paper->stable;
    int left = -1;

    for (int r = 0; r < stable->rows; r++) {
        left = fs_same_row(fs_study_row(stable, r).first, row.first) ? r : left;
    }
    if (left >= 0 && fs_study_row(stable, left).count == row.count) {
        return;
    }
    fs_latex(stream, fs_method_label(row.first->text[FS_TEXT_METHOD]));
    fputs(left < 0 ? ": no run is left" : "", stream);
    for (int column = 0, printed = 0; left >= 0 && column < stable->section.step_count; column++) {
        const struct fs_stretch cell = fs_study_cell(stable, left, column);
        double mean, error;
        if (cell.count > 0) {
            fs_mean_and_error(cell, &mean, &error);
            fputs(printed ? ", " : " ", stream);
            fs_latex_value(stream, mean, error, 0, "");
            fprintf(stream, printed ? " at %" PRId64 : " at %" PRId64 " step%s", stable->section.steps[column],
                    stable->section.steps[column] == 1 ? "" : "s");
            printed++;
        }
    }
    fputs("; ", stream);
}

fs_status fs_paper_stability_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    fputs("\\fsset{main/unstable}{", stream);
    FS_TRY(print_falls(paper, true, stream, error));
    fputs("}\n\\fsset{main/unstable/names}{", stream);
    FS_TRY(print_falls(paper, false, stream, error));
    fputs("}\n\\fsset{main/unstable/without}{", stream);
    for (int r = 0; paper->has_stable && r < paper->main.rows; r++) {
        print_without(paper, r, stream);
    }
    fprintf(stream, "}\n\\fsunstable%s\n", paper->has_stable ? "true" : "false");
    return FS_OK;
}
