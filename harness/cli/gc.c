/* fewstep gc: what is on the disk, and what of it may go. */
#include "harness/run/gc.h"

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"

struct gc_options {
    const char *runs[FS_LIST_MAX];
    int run_count;
    const char *db, *out;
    bool half_trained, apply, help;
};

static fs_status parse(int argc, char **argv, struct gc_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--half-trained", FS_FLAG_SWITCH, &options->half_trained, NULL,
         "also half-trained runs of another source than this program's"},
        {"--apply", FS_FLAG_SWITCH, &options->apply, NULL, "remove it (else: only say)"},
        {"--db", FS_FLAG_TEXT, &options->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where the runs are (out)"},
    };
    const struct fs_usage usage = {
        .command = "gc",
        .arguments = "[RUN…]",
        .summary = "What checkpoints, pairs and decoded pictures cost on disk, and which may go: pairs and pictures "
                   "that can be\n"
                   "made again, and the runs that are named. What the database does not know stays. Scores are kept in "
                   "any case.",
        .example = "fewstep gc --apply\n  fewstep gc 3fa9c1 07be22 --apply",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_max = FS_LIST_MAX,
    };
    return fs_options_parse(&usage, argc, argv, options->runs, &options->run_count, &options->help, error);
}

fs_status fs_command_gc(int argc, char **argv, struct fs_error *error)
{
    struct gc_options options = {0};
    struct fs_store *store;
    char path[FS_PATH_ROOM];
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    FS_TRY(fs_database_path(options.out, options.db, path, error));
    FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    const struct fs_gc_request request = {
        .out = options.out ? options.out : "out",
        .runs = options.runs,
        .run_count = options.run_count,
        .half_trained = options.half_trained,
        .apply = options.apply,
    };
    const fs_status status = fs_gc(store, &request, stdout, error);
    fs_store_close(store);
    return status;
}
