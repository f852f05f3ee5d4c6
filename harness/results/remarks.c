/* What has to be said of single trainings beside their scores. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness/results/parts.h"
#include "harness/store/query.h"
#include "harness/text/number.h"

/* The row of a run, and its seed; NULL: the section has none. */
static const struct fs_result_row *row_of_run(const struct fs_result_section *section, const char *run, int64_t *seed)
{
    for (int r = 0; r < section->row_count; r++) {
        for (int c = 0; c < section->rows[r].cell_count; c++) {
            for (int i = 0; i < section->rows[r].cells[c].seeds; i++) {
                if (strcmp(section->rows[r].cells[c].scores[i].run, run) == 0) {
                    *seed = section->rows[r].cells[c].scores[i].seed;
                    return &section->rows[r];
                }
            }
        }
    }
    return NULL;
}

static fs_status add_remark(struct fs_results *results, struct fs_result_section *section, sqlite3_stmt *query,
                            struct fs_error *error)
{
    int64_t seed;
    const struct fs_result_row *row = row_of_run(section, fs_query_text(query, 0), &seed);
    const char *whose = sqlite3_column_int(query, 1) ? ", its teacher" : "";
    const int restarts = sqlite3_column_int(query, 2);
    const int64_t at_update = sqlite3_column_int64(query, 3);
    char text[512], before[FS_NUMBER_TEXT], peak[FS_NUMBER_TEXT];

    if (!row) {
        return FS_OK;
    }
    int length = snprintf(text, sizeof(text), "%s%s%s, seed %" PRId64 "%s,", row->name, *row->apart ? ", " : "",
                          row->apart, seed, whose);
    if (restarts > 0 && length < (int)sizeof(text)) {
        length +=
            snprintf(text + length, sizeof(text) - (size_t)length, " diverged and began again, at 1/%d of its rate%s",
                     1 << restarts, at_update > 0 ? "; it" : "");
    }
    if (at_update > 0 && length < (int)sizeof(text)) {
        fs_three_digits(fs_query_real(query, 4), before);
        fs_three_digits(fs_query_real(query, 5), peak);
        snprintf(text + length, sizeof(text) - (size_t)length,
                 " fell back at update %" PRId64 ": its loss rose from %s to %s", at_update, before, peak);
    }
    const char *kept = fs_results_keep(results, text, error);
    FS_TRY(kept ? fs_grow((void **)&section->remarks, section->remark_count, sizeof(*section->remarks), error)
                : FS_FAILED);
    section->remarks[section->remark_count++] = kept;
    return FS_OK;
}

fs_status fs_results_remark(struct fs_store *store, struct fs_results *results, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    FS_TRY(
        fs_query_open(fs_store_handle(store), &query, error,
                      "SELECT q.id, q.id <> r.id, r.restarts, coalesce(f.at_update, 0), f.before, f.peak FROM runs r "
                      "JOIN runs q ON q.id = r.id OR q.teacher = r.id LEFT JOIN (" FS_RESULT_FALLEN ") f "
                      "ON f.run = r.number WHERE r.restarts > 0 OR f.run IS NOT NULL ORDER BY q.number, r.number",
                      ""));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        for (int i = 0; status == FS_OK && i < results->section_count; i++) {
            status = add_remark(results, &results->sections[i], query, error);
        }
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}
