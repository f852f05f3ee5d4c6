/* fewstep report: the page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "harness/report/methods_picture.h"
#include "harness/report/page.h"
#include "harness/text/escape.h"
#include "kernels/base/file.h"

/* The samples lie beside the database, unless `samples` says otherwise. */
static fs_status samples_folder(const char *samples, const char *database, char path[FS_PATH_ROOM],
                                struct fs_error *error)
{
    const char *slash = strrchr(database, '/');

    return samples ? fs_path(path, error, "%s", samples)
                   : fs_path(path, error, "%.*ssamples", slash ? (int)(slash + 1 - database) : 0, database);
}

static fs_status write_page(struct fs_store *store, const struct fs_page_options *options, const char *path,
                            struct fs_error *error)
{
    struct fs_new_file file = {0};
    const bool to_stdout = strcmp(path, "-") == 0;
    char *notes = NULL;

    FS_TRY(to_stdout ? FS_OK : fs_new_file_open(&file, path, error));
    fs_status status = fs_page_print(store, options, to_stdout ? stdout : file.stream, &notes, error);
    if (!to_stdout && status == FS_OK) {
        status = fs_new_file_commit(&file, error);
    } else if (!to_stdout) {
        fs_new_file_abandon(&file);
    }
    if (status == FS_OK && notes) {
        struct fs_plain_filter filter;
        FILE *plain = fs_plain_stream(stderr, &filter); /* names from the database stand in them */
        fputs(notes, plain ? plain : stderr);
        if (plain) {
            fclose(plain);
        }
    }
    if (status == FS_OK && !to_stdout) {
        fprintf(stderr, "page: %s\n", path);
    }
    free(notes);
    return status;
}

fs_status fs_command_report(int argc, char **argv, struct fs_error *error)
{
    const char *output = "report.html", *db = NULL, *out = NULL, *samples = NULL, *picture = NULL,
               *experiments[FS_LIST_MAX];
    const struct fs_flag flags[] = {
        {"-o", FS_FLAG_TEXT, &output, "FILE.html", "where the page goes (report.html); - for standard output"},
        {"--db", FS_FLAG_TEXT, &db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &out, "DIR", "where the runs are (out)"},
        {"--samples", FS_FLAG_TEXT, &samples, "DIR", "the grids that `run` drew (samples/ beside the database)"},
        {"--picture", FS_FLAG_TEXT, &picture, "FILE.png", "no page, but one picture: methods × steps, the same noise"},
    };
    const struct fs_usage usage = {
        .command = "report",
        .arguments = "[EXPERIMENT…]",
        .summary = "Writes one HTML page that needs no network: tables, charts, samples, and where each number comes "
                   "from.\nAll experiments of the database, unless some are named.",
        .example = "fewstep report -o report.html --db results/fewstep.db\n"
                   "  fewstep report demo --picture demo.png",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_max = FS_LIST_MAX,
    };
    struct fs_page_options options = {.experiments = experiments};
    char database[FS_PATH_ROOM], folder[FS_PATH_ROOM];
    struct fs_store *store;
    bool help;
    FS_TRY(fs_options_parse(&usage, argc, argv, experiments, &options.experiment_count, &help, error));
    if (help) {
        return FS_OK;
    }
    FS_TRY(fs_database_path(out, db, database, error));
    FS_TRY(samples_folder(samples, database, folder, error));
    options.database = database;
    options.samples = folder;
    if (picture && options.experiment_count > 1) {
        return fs_fail(error, FS_USAGE, "fewstep report: --picture is of one experiment");
    }
    FS_TRY(fs_check_output(database, picture ? picture : output, error));
    FS_TRY(fs_store_open(database, FS_STORE_READ, &store, error));
    const fs_status status = picture ? fs_methods_picture_write(store, options.experiment_count ? experiments[0] : NULL,
                                                                folder, picture, error)
                                     : write_page(store, &options, output, error);
    fs_store_close(store);
    return status;
}
