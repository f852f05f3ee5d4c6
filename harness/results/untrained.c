/* The rows of a section that no training made: the data's own score, and the exact velocity of the training set. */
#include "harness/results/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/parts.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

#define DATA_NAME 128 /* bytes, with the terminator */

/* What may stand for a section's data in the source of a score: their name, or the beginning of their hash. */
static void name_data(const struct fs_result_section *section, char names[2][DATA_NAME])
{
    snprintf(names[0], DATA_NAME, "%s", section->measure.dataset);
    snprintf(names[1], DATA_NAME, "%.*s", FS_SOURCE_DATA_DIGITS,
             section->row_count ? section->rows[0].data_sha256 : "");
}

/* The data's own score by the measure ?2 to ?5 and ?8 of the data set whose splits begin with ?6: with ?7 samples where
 * there is one, then the newest. */
static const char data_score[] =
    "SELECT '', '', s.source_hash, " FS_RESULT_SCORE_ORIGINS
    ", s.source, s.number, 0, s.samples, 0, 0, 0, 0, 0, 0, 0, 0, s.value, s.low, "
    "s.high FROM scores s JOIN experiment_scores m ON m.score = s.number WHERE m.experiment = ?1 AND s.run IS NULL AND "
    "s.extractor = ?2 AND s.tap = ?3 AND s.metric = ?4 AND s.reference = ?5 AND substr(s.source, 1, length(?6)) = ?6 "
    "AND "
    "s.resize = ?8 ORDER BY s.samples <> ?7, s.number DESC LIMIT 1";

static fs_status read_data_as(struct fs_store *store, const char *name, struct fs_results *results,
                              struct fs_result_section *section, struct fs_error *error)
{
    const struct fs_measure *of = &section->measure;
    char splits[DATA_NAME + 16];
    sqlite3_stmt *query;
    bool row;

    snprintf(splits, sizeof(splits), "dataset:%.*s:", DATA_NAME, name);
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, data_score, "itttttit", results->experiment.id,
                         of->extractor, of->tap, of->metric, of->reference, splits, of->samples, of->resize));
    fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        section->data = fs_allocate(1, sizeof(*section->data), "the data's score", error);
        struct fs_result_score *score = fs_allocate(1, sizeof(*score), "the data's score", error);
        if (section->data) {
            *section->data = (struct fs_result_cell){.origin = FS_CELL_DATA, .seeds = 1, .scores = score};
        }
        status = section->data && score ? fs_result_read_score(query, 0, results, score, error) : FS_FAILED;
    }
    sqlite3_finalize(query);
    if (status == FS_OK && section->data) {
        fs_result_cell_mean(section->data);
        const char *source = section->data->scores->of_data, *colon = strrchr(source, ':');
        section->data_split = colon ? colon + 1 : source;
    }
    return status;
}

static fs_status read_data(struct fs_store *store, struct fs_results *results, struct fs_result_section *section,
                           struct fs_error *error)
{
    char names[2][DATA_NAME];

    name_data(section, names);
    for (int i = 0; i < 2 && !section->data; i++) {
        FS_TRY(read_data_as(store, names[i], results, section, error));
    }
    return FS_OK;
}

/* What fs_result_read_score reads, behind the source and the steps: of the exact velocity of a training set, by a
 * measure. */
static const char exact_scores[] =
    "SELECT s.source, s.steps, '', '', s.source_hash, " FS_RESULT_SCORE_ORIGINS
    ", s.source, s.number, s.noise_seed, s.samples, "
    "0, 0, 0, 0, 0, 0, 0, 0, s.value, s.low, s.high FROM scores s JOIN experiment_scores m ON m.score = s.number "
    "WHERE m.experiment = ?1 AND s.run IS NULL AND substr(s.source, 1, length(?2)) = ?2 AND s.extractor = ?3 AND "
    "s.tap = ?4 AND s.metric = ?5 AND s.reference = ?6 AND s.samples = ?7 AND s.resize = ?8 AND s.quantize = ?9 AND "
    "s.sampler = ?10 AND s.time_grid = ?11 ORDER BY CAST(substr(s.source, length(?2) + 14) AS INTEGER), s.source, "
    "s.steps, s.noise_seed, s.number DESC";

static fs_status add_exact(struct fs_results *results, struct fs_result_section *section, sqlite3_stmt *query,
                           struct fs_error *error)
{
    struct fs_result_row *row = section->exact_count ? &section->exact[section->exact_count - 1] : NULL;
    struct fs_result_score score;
    const char *source = fs_query_text(query, 0), *labels = strrchr(source, ':');
    const int count = labels ? atoi(labels + 1) : 0;
    char name[96];

    if (!row || strcmp(row->train_hash, source) != 0) {
        FS_TRY(fs_grow((void **)&section->exact, section->exact_count, sizeof(*section->exact), error));
        row = &section->exact[section->exact_count++];
        snprintf(name, sizeof(name), count ? "Exact velocity, %d labels" : "Exact velocity, no labels", count);
        *row = (struct fs_result_row){.method = "exact",
                                      .label = "",
                                      .data_sha256 = "",
                                      .config = "",
                                      .apart = "",
                                      .confirmed_in = "",
                                      .train_hash = fs_results_keep(results, source, error),
                                      .method_label = fs_results_keep(results, name, error)};
        row->name = row->method_label;
        FS_TRY(row->train_hash && row->name ? FS_OK : FS_FAILED);
    }
    FS_TRY(fs_result_read_score(query, 2, results, &score, error));
    return fs_result_add_score(row, sqlite3_column_int64(query, 1), FS_CELL_INSIDE, FS_CELL_DATA, &score, FS_LAST_SCORE,
                               error);
}

static fs_status read_exact_as(struct fs_store *store, const char *name, struct fs_results *results,
                               struct fs_result_section *section, struct fs_error *error)
{
    const struct fs_measure *of = &section->measure;
    char source[DATA_NAME + 16];
    sqlite3_stmt *query;
    bool row = true;

    snprintf(source, sizeof(source), FS_EXACT_SOURCE "%.*s:", DATA_NAME, name);
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error, exact_scores, "itttttititt", results->experiment.id,
                         source, of->extractor, of->tap, of->metric, of->reference, of->samples, of->resize,
                         (int64_t)of->quantize, of->sampler, of->time_grid));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        status = add_exact(results, section, query, error);
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status read_exact(struct fs_store *store, struct fs_results *results, struct fs_result_section *section,
                            struct fs_error *error)
{
    char names[2][DATA_NAME];
    fs_status status = FS_OK;

    name_data(section, names);
    for (int i = 0; i < 2 && status == FS_OK; i++) {
        status = read_exact_as(store, names[i], results, section, error);
    }
    for (int r = 0; r < section->exact_count; r++) {
        for (int c = 0; c < section->exact[r].cell_count; c++) {
            fs_result_cell_mean(&section->exact[r].cells[c]);
        }
    }
    return status;
}

fs_status fs_results_read_untrained(struct fs_store *store, struct fs_results *results,
                                    struct fs_result_section *section, struct fs_error *error)
{
    FS_TRY(read_data(store, results, section, error));
    return read_exact(store, results, section, error);
}
