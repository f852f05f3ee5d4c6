/* fewstep reproduce: a run made again by its own commit's program, and compared. */
#include <stdio.h>
#include <stdlib.h>

#include "harness/cli/command.h"
#include "harness/run/revision_run.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "harness/git/process.h"
#include "harness/report/reproduction_print.h"

struct reproduce_options {
    const char *run, *db, *out;
    bool json, quiet, help;
};

static fs_status parse(int argc, char **argv, struct reproduce_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--json", FS_FLAG_SWITCH, &options->json, NULL, "one JSON object a line: the scores, then the verdict"},
        {"--db", FS_FLAG_TEXT, &options->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where the runs are (out)"},
        {"--quiet", FS_FLAG_SWITCH, &options->quiet, NULL, "no progress"},
    };
    const struct fs_usage usage = {
        .command = "reproduce",
        .arguments = "RUN",
        .summary =
            "Checks out the commit that made a run, builds it, makes the run again and compares its scores:\n"
            "equal bits, or the difference against the spread over seeds. The database is only read.\n"
            "Exit status: 0 equal, or no score differs by more than another seed's would; 1 one does; 4 scores differ\n"
            "of which no spread is known.",
        .example = "fewstep reproduce 4ae0e984 --db results/fewstep.db",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    int count;
    return fs_options_parse(&usage, argc, argv, &options->run, &count, &options->help, error);
}

static fs_status compare(const struct reproduce_options *options, struct fs_store *store,
                         const struct fs_revision_run *other, const char *id, enum fs_reproduced *outcome,
                         struct fs_error *error)
{
    char theirs[FS_PATH_ROOM], copy[FS_PATH_ROOM];
    struct fs_store *again;
    FS_TRY(fs_path(theirs, error, "%s/fewstep.db", other->folder));
    FS_TRY(fs_path(copy, error, "%s/compare.db", other->folder));
    remove(copy);
    FS_TRY(fs_store_copy(theirs, copy, error)); /* of whatever schema it is */
    FS_TRY(fs_store_open(copy, FS_STORE_READ, &again, error));
    struct fs_reproduction reproduction;
    fs_status status = fs_reproduction_compare(store, again, id, &reproduction, error);
    if (status == FS_OK) {
        *outcome = reproduction.outcome;
        status = fs_reproduction_print(&reproduction, options->json, stdout, error);
    }
    fs_reproduction_free(&reproduction);
    fs_store_close(again);
    return status;
}

/* What was made is of no more use once it was compared; a second call is to make it again. */
static void clear_away(const struct fs_revision_run *other)
{
    const char *const argv[] = {"rm", "-rf", "--", other->folder, NULL};
    struct fs_error ignored;
    char *output = NULL;
    size_t size;
    int result;
    if (fs_capture(argv, -1, &output, &size, &result, &ignored) == FS_OK) {
        free(output);
    }
}

static fs_status reproduce(const struct reproduce_options *options, struct fs_store *store,
                           const struct fs_origin *origin, enum fs_reproduced *outcome, struct fs_error *error)
{
    static const char *const quiet[] = {"--quiet", NULL}, *const none[] = {NULL};
    struct fs_revision_run other = {
        .experiment = "experiments/reproduce.yaml", .text = origin->experiment, .more = options->quiet ? quiet : none};
    FS_TRY(fs_git_commit(origin->commit, other.commit, error));
    FS_TRY(fs_path(other.folder, error, "%s/reproduce/%.12s", options->out ? options->out : "out", origin->id));
    FS_TRY(fs_revision_run(&other, error));
    FS_TRY(compare(options, store, &other, origin->id, outcome, error));
    clear_away(&other);
    return FS_OK;
}

static fs_status find_and_reproduce(const struct reproduce_options *options, enum fs_reproduced *outcome,
                                    struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    struct fs_store *store;
    struct fs_origin origin;
    FS_TRY(fs_database_path(options->out, options->db, path, error));
    FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    fs_status status = fs_origin_find(store, options->run, &origin, error);
    status = status == FS_OK ? reproduce(options, store, &origin, outcome, error) : status;
    fs_origin_free(&origin);
    fs_store_close(store);
    return status;
}

fs_status fs_command_reproduce(int argc, char **argv, struct fs_error *error)
{
    static const int exits[] = {
        [FS_REPRODUCED_EQUAL] = FS_OK,
        [FS_REPRODUCED_IN_NOISE] = FS_OK,
        [FS_REPRODUCED_OTHER] = FS_EXIT_WORSE,
        [FS_REPRODUCED_UNKNOWN] = FS_EXIT_UNDECIDED,
    };
    struct reproduce_options options = {0};
    enum fs_reproduced outcome = FS_REPRODUCED_UNKNOWN;
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    FS_TRY(find_and_reproduce(&options, &outcome, error));
    return (fs_status)exits[outcome];
}
