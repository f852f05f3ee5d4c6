/* fewstep table: methods × steps out of the database. */
#include "harness/report/table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "harness/results/regress.h"
#include "harness/results/published.h"

struct table_options {
    const char *format_text, *db, *out, *experiment;
    const char *commit, *since_text, *dataset, *method, *metric, *published;
    enum fs_table_format format;
    int64_t since;
    bool help;
};

static fs_status parse_format(struct table_options *options, struct fs_error *error)
{
    static const char *const names[] = {"text", "markdown", "latex", "csv"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        if (strcmp(options->format_text, names[i]) == 0) {
            options->format = (enum fs_table_format)i;
            return FS_OK;
        }
    }
    return fs_fail(error, FS_USAGE, "--format: expected text, markdown, latex or csv, got '%s'", options->format_text);
}

/* "2026-11-24" or "2026-11-24T18:30", UTC. */
static fs_status parse_since(struct table_options *options, struct fs_error *error)
{
    struct tm day = {0};
    int length = 0, time_length = 0;
    const char *text = options->since_text;
    if (!text) {
        return FS_OK;
    }
    const int parts = sscanf(text, "%4d-%2d-%2d%n", &day.tm_year, &day.tm_mon, &day.tm_mday, &length);
    bool good = parts == 3 && length > 0;
    if (good && text[length]) {
        good = sscanf(text + length, "T%2d:%2d%n", &day.tm_hour, &day.tm_min, &time_length) == 2 && time_length > 0 &&
               !text[length + time_length] && day.tm_hour >= 0 && day.tm_hour < 24 && day.tm_min >= 0 &&
               day.tm_min < 60;
    }
    const int month = day.tm_mon, date = day.tm_mday;
    day.tm_year -= 1900;
    day.tm_mon -= 1;
    options->since = (int64_t)timegm(&day);
    if (!good || day.tm_mon + 1 != month || day.tm_mday != date || options->since <= 0) {
        return fs_fail(error, FS_USAGE,
                       "--since: expected a day such as 2026-11-24 or 2026-11-24T18:30 (UTC), got '%s'", text);
    }
    return FS_OK;
}

static fs_status parse(int argc, char **argv, struct table_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--format", FS_FLAG_TEXT, &options->format_text, FS_TABLE_FORMATS, "csv: in long form, a line a cell"},
        {"--commit", FS_FLAG_TEXT, &options->commit, "REV", "only runs of this revision's source"},
        {"--since", FS_FLAG_TEXT, &options->since_text, "DATE", "only scores made on or after this day (UTC)"},
        {"--dataset", FS_FLAG_TEXT, &options->dataset, "NAME", "only runs on this data set"},
        {"--method", FS_FLAG_TEXT, &options->method, "NAME", "only runs of this method"},
        {"--metric", FS_FLAG_TEXT, &options->metric, "NAME", "only this metric: fd, kid, is, precision, spectrum …"},
        {"--published", FS_FLAG_TEXT, &options->published, "SETTING", "only what papers published: celebahq256, …"},
        {"--db", FS_FLAG_TEXT, &options->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where the runs are (out)"},
    };
    const struct fs_usage usage = {
        .command = "table",
        .arguments = "[EXPERIMENT]",
        .summary = "Prints an experiment's table (the one written to last, unless named): mean ± standard error "
                   "(seeds).\nThe newest run of each training and seed counts, among those that the options let "
                   "through.",
        .example = "fewstep table fashion-unconditional --db results/fewstep.db --format latex\n"
                   "  fewstep table fashion-unconditional --commit HEAD~20 --method shortcut",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_max = 1,
    };
    int count;
    FS_TRY(fs_options_parse(&usage, argc, argv, &options->experiment, &count, &options->help, error));
    if (options->help) {
        return FS_OK;
    }
    FS_TRY(parse_format(options, error));
    return parse_since(options, error);
}

static fs_status print(const struct table_options *options, struct fs_store *store, const struct fs_results *published,
                       struct fs_error *error)
{
    struct fs_revision revision;
    struct fs_table_request request = {
        .experiment = options->experiment,
        .filter = {.dataset = options->dataset,
                   .method = options->method,
                   .metric = options->metric,
                   .since = options->since},
        .published = published,
        .format = options->format,
    };
    if (options->commit) {
        FS_TRY(fs_revision_find(store, options->commit, true, &revision, error));
        request.filter.source = revision.source_hash;
        request.filter.revision = options->commit;
    }
    return fs_table_print(store, &request, stdout, error);
}

static fs_status print_published(const struct table_options *options, const struct fs_results *published,
                                 struct fs_error *error)
{
    const struct fs_result_section *setting;
    FS_TRY(fs_published_find(published, options->published, &setting, error));
    return fs_table_print_published(published, setting, options->format, stdout, error);
}

static fs_status print_database(const struct table_options *options, const struct fs_results *published,
                                struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    struct fs_store *store;
    FS_TRY(fs_database_path(options->out, options->db, path, error));
    FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    const fs_status status = print(options, store, published, error);
    fs_store_close(store);
    return status;
}

fs_status fs_command_table(int argc, char **argv, struct fs_error *error)
{
    struct table_options options = {.format_text = "text"};
    struct fs_results published = {0};
    char path[FS_PATH_ROOM];
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    fs_status status = FS_OK;
    if (fs_published_file(path) || options.published) {
        status = fs_published_read(path, &published, error);
    }
    if (status == FS_OK) {
        status = options.published ? print_published(&options, &published, error)
                                   : print_database(&options, &published, error);
    }
    fs_results_free(&published);
    return status;
}
