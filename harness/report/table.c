/* The table: methods × steps, mean ± standard error over seeds, a section a measure. */
#include "harness/report/table.h"

#include "harness/report/table_views.h"
#include "harness/results/published.h"
#include "harness/store/query.h"

/* `results`: whose varied keys the columns have. */
static fs_status print_section(const struct fs_results *results, const struct fs_result_section *section,
                               enum fs_table_format format, FILE *stream, struct fs_error *error)
{
    switch (format) {
    case FS_TABLE_CSV:
        return fs_table_csv(results, section, stream, error);
    case FS_TABLE_LATEX:
        return fs_table_latex(results, section, stream, error);
    default:
        return fs_table_text(results, section, format == FS_TABLE_MARKDOWN, stream, error);
    }
}

fs_status fs_table_print_published(const struct fs_results *published, const struct fs_result_section *setting,
                                   enum fs_table_format format, FILE *stream, struct fs_error *error)
{
    if (format == FS_TABLE_CSV) {
        fs_table_csv_heading(published, stream);
    }
    return print_section(published, setting, format, stream, error);
}

static fs_status print_results(const struct fs_results *results, const struct fs_table_request *request, FILE *stream,
                               struct fs_error *error)
{
    const char *between = request->format == FS_TABLE_CSV ? "" : "\n";

    if (results->section_count == 0) {
        return fs_fail(error, FS_USAGE, "%s: no run of it has a score yet; `fewstep run` with its file makes them",
                       results->experiment.name);
    }
    if (request->format == FS_TABLE_CSV) {
        fs_table_csv_heading(results, stream);
    }
    for (int i = 0; i < results->section_count; i++) {
        const struct fs_result_section *section = &results->sections[i];
        const struct fs_result_section *setting =
            request->published ? fs_published_for(request->published, &section->measure) : NULL;
        fputs(i ? between : "", stream);
        FS_TRY(print_section(results, section, request->format, stream, error));
        if (setting) {
            fputs(between, stream);
            FS_TRY(print_section(results, setting, request->format, stream, error));
        }
    }
    return FS_OK;
}

/* Of an experiment's files (an edited one is another row of the same name), the one used last that has scores of the
 * source. `found` holds the name, and takes the row. */
static fs_status experiment_of_source(struct fs_store *store, const struct fs_result_filter *filter,
                                      struct fs_experiment_name *found, struct fs_error *error)
{
    return fs_query_whole(fs_store_handle(store), &found->id, found->id, error,
                          "SELECT e.id FROM experiments e WHERE e.name = ?1 AND EXISTS (SELECT 1 FROM "
                          "experiment_scores m JOIN scores s ON s.number = m.score JOIN runs r ON r.number = s.run "
                          "WHERE m.experiment = e.id AND r.source_hash = ?2) ORDER BY e.used DESC, e.id DESC LIMIT 1",
                          "tt", found->name, filter->source);
}

fs_status fs_table_print(struct fs_store *store, const struct fs_table_request *request, FILE *stream,
                         struct fs_error *error)
{
    struct fs_experiment_name found;
    struct fs_results results;

    FS_TRY(fs_experiment_find(store, request->experiment, &found, error));
    if (request->filter.source) {
        FS_TRY(experiment_of_source(store, &request->filter, &found, error));
    }
    fs_status status = fs_results_read(store, &found, &request->filter, FS_LAST_SCORE, &results, error);
    if (status == FS_OK) {
        status = print_results(&results, request, stream, error);
    }
    fs_results_free(&results);
    return status;
}
