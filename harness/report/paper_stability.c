/* Trainings of the main table that fell back on the way: their scores tell of an unstable rate, not of the method. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/number.h"
#include "harness/report/paper_parts.h"
#include "harness/store/query.h"

/* The first update at which the loss is ten times the mean of ten points shortly before it, and above a quarter: the
 * loss of a network that says nothing is about 1, and a new phase of a distillation begins far below that. */
static const char jump[] =
    "SELECT at_update, before, value FROM (SELECT at_update, value, avg(value) OVER (ORDER BY at_update ROWS BETWEEN "
    "12 "
    "PRECEDING AND 3 PRECEDING) AS before FROM curves WHERE name = 'loss' AND run = (SELECT number FROM runs WHERE id "
    "= ?1)) WHERE value >= 10 * before AND value >= 0.25 ORDER BY at_update LIMIT 1";

static fs_status tell_jump(const struct fs_paper *paper, const struct fs_table_score *of, int *count, FILE *stream,
                           struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;
    char before[FS_NUMBER_TEXT], after[FS_NUMBER_TEXT];

    FS_TRY(fs_query_open(fs_store_handle(paper->store), &query, error, jump, "t", of->text[FS_TEXT_RUN]));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        fs_three_digits(sqlite3_column_double(query, 1), before);
        fs_three_digits(sqlite3_column_double(query, 2), after);
        fputs((*count)++ ? "; " : "", stream);
        fs_latex(stream, fs_method_label(of->text[FS_TEXT_METHOD]));
        fprintf(stream, ", seed %" PRId64 ", at update %" PRId64 " from %s to %s", of->seed,
                (int64_t)sqlite3_column_int64(query, 0), before, after);
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_paper_stability_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    int count = 0;

    fputs("\\fsset{main/unstable}{", stream);
    for (int r = 0; r < paper->main.rows; r++) {
        const struct fs_stretch cell = fs_study_cell(&paper->main, r, 0);
        for (int i = 0; i < cell.count; i++) {
            FS_TRY(tell_jump(paper, &cell.first[i], &count, stream, error));
        }
    }
    fprintf(stream, "}\n\\fsunstable%s\n", count ? "true" : "false");
    return FS_OK;
}
