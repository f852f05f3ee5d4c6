/* fewstep table: methods × steps out of the database. */
#include "harness/report/table.h"

#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/cli/session.h"

static fs_status parse_format(const char *text, enum fs_table_format *format, struct fs_error *error)
{
    static const char *const names[] = {"text", "markdown", "csv"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *format = (enum fs_table_format)i;
            return FS_OK;
        }
    }
    return fs_fail(error, FS_USAGE, "--format: expected text, markdown or csv, got '%s'", text);
}

fs_status fs_command_table(int argc, char **argv, struct fs_error *error)
{
    const char *format_text = "text", *db = NULL, *out = NULL, *experiment = NULL;
    const struct fs_flag flags[] = {
        {"--format", FS_FLAG_TEXT, &format_text, "text|markdown|csv", "csv: in long form, a line a cell"},
        {"--db", FS_FLAG_TEXT, &db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &out, "DIR", "where the runs are (out)"},
    };
    const struct fs_usage usage = {
        .command = "table",
        .arguments = "[EXPERIMENT]",
        .summary =
            "Prints an experiment's table (the one written to last, unless named): mean ± standard error (seeds).",
        .example = "fewstep table fashion-table --db results/fewstep.db --format markdown",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_max = 1,
    };
    int count;
    bool help;
    char path[1024];
    enum fs_table_format format = FS_TABLE_TEXT;
    struct fs_store *store;
    FS_TRY(fs_options_parse(&usage, argc, argv, &experiment, &count, &help, error));
    if (help) {
        return FS_OK;
    }
    FS_TRY(parse_format(format_text, &format, error));
    fs_database_path(out, db, path);
    FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    const fs_status status = fs_table_print(store, experiment, format, stdout, error);
    fs_store_close(store);
    return status;
}
