/* What has to be said of single trainings beside their scores. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness/results/parts.h"
#include "harness/store/query.h"
#include "harness/text/number.h"
#include "methods/method.h"

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

static fs_status add_remark(struct fs_results *results, struct fs_result_section *section, const char *text,
                            struct fs_error *error)
{
    const char *kept = fs_results_keep(results, text, error);

    FS_TRY(kept ? fs_grow((void **)&section->remarks, section->remark_count, sizeof(*section->remarks), error)
                : FS_FAILED);
    section->remarks[section->remark_count++] = kept;
    return FS_OK;
}

/* A training that began again at a lower rate, or whose loss fell back. */
static fs_status add_unstable(struct fs_results *results, struct fs_result_section *section, sqlite3_stmt *query,
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
    return add_remark(results, section, text, error);
}

/* ?1: the experiment. */
static const char unstable[] =
    "SELECT q.id, q.id <> r.id, r.restarts, coalesce(f.at_update, 0), f.before, f.peak FROM runs r "
    "JOIN runs q ON q.id = r.id OR q.teacher = r.id LEFT JOIN (" FS_RESULT_FALLEN ") f "
    "ON f.run = r.number JOIN experiment_runs m ON m.run = q.number WHERE m.experiment = ?1 AND (r.restarts > 0 OR "
    "f.run IS NOT NULL) ORDER BY q.number, r.number";

/* A training of the experiment that failed, or whose teacher did, so that it is in no mean. Its message is said up to
 * the first semicolon: behind it stands advice for whoever ran it. */
static fs_status add_failure(struct fs_results *results, struct fs_result_section *section, sqlite3_stmt *query,
                             struct fs_error *error)
{
    const struct fs_method *method = fs_method_find(fs_query_text(query, 2));
    const char *run = fs_query_text(query, 3), *whole = fs_query_text(query, 6);
    const int64_t seed = sqlite3_column_int64(query, 4);
    char text[512], begins[32];

    if (strcmp(section->measure.dataset, fs_query_text(query, 0)) != 0 ||
        strcmp(section->measure.model, fs_query_text(query, 1)) != 0) {
        return FS_OK;
    }
    snprintf(begins, sizeof(begins), "run %.8s: ", fs_query_text(query, 7));
    const char *message = strncmp(whole, begins, strlen(begins)) == 0 ? whole + strlen(begins) : whole;
    snprintf(text, sizeof(text), "%s, seed %" PRId64 " (run %.8s), failed%s and is in no mean: %.*s",
             method ? method->label : fs_query_text(query, 2), seed, run,
             sqlite3_column_int(query, 5) ? " with its teacher" : "", (int)strcspn(message, ";"), message);
    return add_remark(results, section, text, error);
}

/* ?1: the experiment. None of those that were made after all, by this program or by another. */
static const char failures[] =
    "SELECT q.dataset, q.model, q.method, q.id, q.seed, q.id <> r.id, coalesce(r.message, 'no message'), r.id FROM "
    "runs r "
    "JOIN runs q ON q.id = r.id OR q.teacher = r.id JOIN experiment_runs m ON m.run = q.number "
    "WHERE m.experiment = ?1 AND r.state = 'failed' AND NOT EXISTS (SELECT 1 FROM runs n WHERE n.state = 'trained' AND "
    "n.train_hash = q.train_hash AND n.data_sha256 = q.data_sha256 AND n.seed = q.seed) ORDER BY m.position, q.number";

/* What `add` makes of each row of the query, for every section. */
static fs_status add_all(struct fs_store *store, const char *sql, struct fs_results *results,
                         fs_status (*add)(struct fs_results *results, struct fs_result_section *section,
                                          sqlite3_stmt *query, struct fs_error *error),
                         struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, sql, "i", results->experiment.id));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        for (int i = 0; status == FS_OK && i < results->section_count; i++) {
            status = add(results, &results->sections[i], query, error);
        }
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_results_remark(struct fs_store *store, struct fs_results *results, struct fs_error *error)
{
    FS_TRY(add_all(store, unstable, results, add_unstable, error));
    return add_all(store, failures, results, add_failure, error);
}
