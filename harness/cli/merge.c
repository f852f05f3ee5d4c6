/* fewstep merge: the databases of several machines, or of several seeds, as one. */
#include "harness/store/merge.h"

#include <inttypes.h>
#include <stdio.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/store/query.h"
#include "harness/text/escape.h"

struct merge_options {
    const char *inputs[FS_LIST_MAX];
    int count;
    const char *output;
    bool keep_first, help;
};

static fs_status parse(int argc, char **argv, struct merge_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"-o", FS_FLAG_TEXT, &options->output, "C.db", "the new database; an input of this name is added to"},
        {"--keep-first", FS_FLAG_SWITCH, &options->keep_first, NULL, "of rows that conflict, keep those named first"},
    };
    const struct fs_usage usage = {
        .command = "merge",
        .arguments = "A.db B.db…",
        .summary = "Joins databases: every run, score and curve once. The inputs are only read; older schemas are\n"
                   "migrated on copies. Rows of one identity and another content are named, and nothing is written.",
        .example = "fewstep merge seed0.db seed1.db seed2.db -o results/fewstep.db\n"
                   "  fewstep merge out/fewstep.db other-machine.db -o out/fewstep.db",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = FS_LIST_MAX,
    };
    FS_TRY(fs_options_parse(&usage, argc, argv, options->inputs, &options->count, &options->help, error));
    return options->help || options->output ? FS_OK : fs_fail(error, FS_USAGE, "fewstep merge: -o is missing: -o C.db");
}

static void print_conflict(void *owner, const char *line)
{
    (void)owner;
    fputs("conflict: ", stderr);
    fs_put_plain(line, stderr);
    fputc('\n', stderr);
}

static fs_status print_counts(const char *path, struct fs_error *error)
{
    struct fs_store *store;
    int64_t runs, scores = 0;
    FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    fs_status status = fs_query_whole(fs_store_handle(store), &runs, 0, error, "SELECT count(*) FROM runs", "");
    if (status == FS_OK) {
        status = fs_query_whole(fs_store_handle(store), &scores, 0, error, "SELECT count(*) FROM scores", "");
    }
    fs_store_close(store);
    if (status == FS_OK) {
        printf("%s: %" PRId64 " runs, %" PRId64 " scores\n", path, runs, scores);
    }
    return status;
}

fs_status fs_command_merge(int argc, char **argv, struct fs_error *error)
{
    struct merge_options options = {0};
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    struct fs_merge merge = {.keep_first = options.keep_first, .conflict = print_conflict};
    FS_TRY(fs_store_merge(options.inputs, options.count, options.output, &merge, error));
    return print_counts(options.output, error);
}
