/* fewstep paper: the queries of a LaTeX document become its macros, tables and figures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/report/latex_document.h"
#include "harness/results/published.h"
#include "harness/run/session.h"
#include "kernels/base/memory.h"

struct paper_command {
    const char *folder, *output, *db, *out;
    struct fs_list set;
    bool help;
};

static fs_status parse(int argc, char **argv, struct paper_command *command, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--from", FS_FLAG_TEXT, &command->folder, "DIR", "the folder with the text and its queries (paper)"},
        {"-o", FS_FLAG_TEXT, &command->output, "DIR", "where the files go (paper/generated)"},
        {"--set", FS_FLAG_LIST, &command->set, "NAME=TEXT",
         "what given('NAME') is in the queries: main=demo makes the paper of another experiment, samples=DIR is where "
         "the grids "
         "are that `run` drew (beside the database)"},
        {"--db", FS_FLAG_TEXT, &command->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &command->out, "DIR", "where the runs are (out)"},
    };
    const struct fs_usage usage = {
        .command = "paper",
        .arguments = "",
        .summary = "Asks the queries beside a LaTeX text (paper/*.sql) and writes their answers as its macros, tables "
                   "and\nfigures. Fails on one that the text does not use or misses. `make paper` compiles them; "
                   "paper/README.md\nsays how to write one.",
        .example = "fewstep paper --db results/fewstep.db -o build/paper",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
    };
    int count;
    return fs_options_parse(&usage, argc, argv, NULL, &count, &command->help, error);
}

#define GIVEN 2 /* values that are there without --set: database and samples */

/* The values of the queries: `texts` are owned by the caller. */
static fs_status take_values(const struct paper_command *command, const char *database, const char *samples,
                             struct fs_latex_given *values, int *count, char **texts, struct fs_error *error)
{
    values[0] = (struct fs_latex_given){.name = "database", .text = database};
    values[1] = (struct fs_latex_given){.name = "samples", .text = samples};
    *count = GIVEN;
    for (int i = 0; i < command->set.count; i++) {
        char *name = texts[i] = fs_copy_text(command->set.items[i], error);
        char *sign = name ? strchr(name, '=') : NULL;
        if (!name) {
            return FS_FAILED;
        }
        if (!sign || sign == name) {
            return fs_fail(error, FS_USAGE, "--set %s: expected NAME=TEXT", name);
        }
        *sign = 0;
        const struct fs_latex_given value = {.name = name, .text = sign + 1, .needed = true};
        if (strcmp(name, "samples") == 0) {
            values[1] = value;
        } else {
            values[(*count)++] = value;
        }
    }
    return FS_OK;
}

static fs_status write_paper(const struct paper_command *command, const struct fs_results *published,
                             struct fs_error *error)
{
    char database[FS_PATH_ROOM], samples[FS_PATH_ROOM], *notes = NULL, *texts[FS_LIST_MAX] = {0};
    struct fs_latex_given values[FS_LIST_MAX + GIVEN];
    struct fs_latex_document document = {.folder = command->folder, .output = command->output, .published = published};
    struct fs_store *store;

    FS_TRY(fs_database_path(command->out, command->db, database, error));
    const char *slash = strrchr(database, '/');
    FS_TRY(fs_path(samples, error, "%.*ssamples", slash ? (int)(slash + 1 - database) : 0, database));
    fs_status status = take_values(command, database, samples, values, &document.value_count, texts, error);
    document.values = values;
    status = status == FS_OK ? fs_store_open(database, FS_STORE_READ, &store, error) : status;
    if (status == FS_OK) {
        status = fs_latex_document_write(store, &document, &notes, error);
        fs_store_close(store);
    }
    if (status == FS_OK) {
        fputs(notes, stderr);
    }
    free(notes);
    for (int i = 0; i < command->set.count; i++) {
        free(texts[i]);
    }
    return status;
}

fs_status fs_command_paper(int argc, char **argv, struct fs_error *error)
{
    struct paper_command command = {.folder = "paper", .output = "paper/generated"};
    struct fs_results published = {0};
    char path[FS_PATH_ROOM];
    FS_TRY(parse(argc, argv, &command, error));
    if (command.help) {
        return FS_OK;
    }
    fs_status status = FS_OK;
    if (fs_published_file(path)) {
        status = fs_published_read(path, &published, error);
    }
    if (status == FS_OK) {
        status = write_paper(&command, &published, error);
    }
    fs_results_free(&published);
    return status;
}
