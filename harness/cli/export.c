/* fewstep export: the database in other programs' formats. */
#include "harness/report/export.h"

#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "harness/report/table.h"
#include "kernels/base/file.h"

static fs_status print_text(struct fs_store *store, const char *format, const char *experiment, FILE *stream,
                            struct fs_error *error)
{
    return strcmp(format, "csv") == 0
               ? fs_table_print(store, &(struct fs_table_request){.experiment = experiment, .format = FS_TABLE_CSV},
                                stream, error)
               : fs_export_json(store, experiment, stream, error);
}

static fs_status write_text(struct fs_store *store, const char *format, const char *experiment, const char *path,
                            struct fs_error *error)
{
    struct fs_new_file file;

    FS_TRY(fs_new_file_open(&file, path, error));
    const fs_status status = print_text(store, format, experiment, file.stream, error);
    if (status != FS_OK) {
        fs_new_file_abandon(&file);
        return status;
    }
    return fs_new_file_commit(&file, error);
}

static fs_status write_events(struct fs_store *store, const char *experiment, const char *folder,
                              struct fs_error *error)
{
    int runs;

    FS_TRY(fs_export_tensorboard(store, experiment, folder, &runs, error));
    fprintf(stderr, "%d runs; tensorboard --logdir %s\n", runs, folder);
    return FS_OK;
}

static fs_status export_to(const char *database, const char *format, const char *experiment, const char *path,
                           struct fs_error *error)
{
    struct fs_store *store;
    fs_status status;

    FS_TRY(fs_store_open(database, FS_STORE_READ, &store, error));
    if (strcmp(format, "tensorboard") == 0) {
        status = write_events(store, experiment, path ? path : "tensorboard", error);
    } else if (path && strcmp(path, "-") != 0) {
        status = write_text(store, format, experiment, path, error);
    } else {
        status = print_text(store, format, experiment, stdout, error);
    }
    fs_store_close(store);
    return status;
}

fs_status fs_command_export(int argc, char **argv, struct fs_error *error)
{
    const char *format = "csv", *path = NULL, *db = NULL, *out = NULL, *experiment = NULL;
    const struct fs_flag flags[] = {
        {"--format", FS_FLAG_TEXT, &format, "csv|json|tensorboard", ""},
        {"-o", FS_FLAG_TEXT, &path, "PATH", "a file (standard output); for tensorboard a folder (tensorboard/)"},
        {"--db", FS_FLAG_TEXT, &db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &out, "DIR", "where the runs are (out)"},
    };
    const struct fs_usage usage = {
        .command = "export",
        .arguments = "[EXPERIMENT]",
        .summary = "Writes the database for other programs.\n"
                   "csv: an experiment's table (the one written to last, unless named) in long form, a line a cell.\n"
                   "json: experiments, environments, runs, scores, spectra and curves, an object a line.\n"
                   "tensorboard: event files with the curves and scores of each run.",
        .example = "fewstep export --format tensorboard -o events --db results/fewstep.db",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_max = 1,
    };
    char database[FS_PATH_ROOM];
    int count;
    bool help;
    FS_TRY(fs_options_parse(&usage, argc, argv, &experiment, &count, &help, error));
    if (help) {
        return FS_OK;
    }
    if (strcmp(format, "csv") != 0 && strcmp(format, "json") != 0 && strcmp(format, "tensorboard") != 0) {
        return fs_fail(error, FS_USAGE, "--format: expected csv, json or tensorboard, got '%s'", format);
    }
    FS_TRY(fs_database_path(out, db, database, error));
    FS_TRY(path ? fs_check_output(database, path, error) : FS_OK);
    return export_to(database, format, experiment, path, error);
}
