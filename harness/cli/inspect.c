/* fewstep runs and show: what is in the database. */
#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "harness/report/runs_list.h"
#include "harness/report/show.h"

struct inspect_options {
    const char *db, *out, *argument;
    bool json, help;
};

static fs_status parse(const struct fs_usage *shape, int argc, char **argv, struct inspect_options *options,
                       struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--db", FS_FLAG_TEXT, &options->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where the runs are (out)"},
        {"--json", FS_FLAG_SWITCH, &options->json, NULL, "one JSON object a line"},
    };
    struct fs_usage usage = *shape;
    usage.flags = flags;
    usage.flag_count = sizeof flags / sizeof *flags;
    int count;
    return fs_options_parse(&usage, argc, argv, &options->argument, &count, &options->help, error);
}

/* Parses, opens the database read-only and prints: what the two commands have in common. */
static fs_status inspect(const struct fs_usage *usage, int argc, char **argv,
                         fs_status (*print)(struct fs_store *store, const struct inspect_options *options,
                                            struct fs_error *error),
                         struct fs_error *error)
{
    struct inspect_options options = {0};
    struct fs_store *store;
    char path[FS_PATH_ROOM];
    FS_TRY(parse(usage, argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    FS_TRY(fs_database_path(options.out, options.db, path, error));
    FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    const fs_status status = print(store, &options, error);
    fs_store_close(store);
    return status;
}

static fs_status print_runs(struct fs_store *store, const struct inspect_options *options, struct fs_error *error)
{
    return fs_runs_print(store, options->argument, options->json, stdout, error);
}

fs_status fs_command_runs(int argc, char **argv, struct fs_error *error)
{
    const struct fs_usage usage = {.command = "runs",
                                   .arguments = "[EXPERIMENT]",
                                   .summary =
                                       "A line a run: id, method, model, seed, state, updates, cost, age, commit.",
                                   .example = "fewstep runs demo",
                                   .arguments_max = 1};
    return inspect(&usage, argc, argv, print_runs, error);
}

static fs_status print_show(struct fs_store *store, const struct inspect_options *options, struct fs_error *error)
{
    return fs_show_print(store, options->argument, options->json, stdout, error);
}

fs_status fs_command_show(int argc, char **argv, struct fs_error *error)
{
    const struct fs_usage usage = {
        .command = "show",
        .arguments = "RUN",
        .summary = "Everything about one run: where it came from, what it scored, how to make it again.\n"
                   "RUN is the beginning of its id, 6 digits or more.",
        .example = "fewstep show 3fa9c1",
        .arguments_min = 1,
        .arguments_max = 1};
    return inspect(&usage, argc, argv, print_show, error);
}
