/* fewstep paper: what paper/fewstep.tex takes from the database. */
#include "harness/report/paper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"

struct paper_command {
    const char *output, *db, *out;
    struct fs_paper_options options;
    bool help;
};

static fs_status parse(int argc, char **argv, struct paper_command *command, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"-o", FS_FLAG_TEXT, &command->output, "DIR", "where the files go (paper/generated)"},
        {"--main", FS_FLAG_TEXT, &command->options.main, "NAME", "the main table's experiment (fashion-table)"},
        {"--ablation", FS_FLAG_TEXT, &command->options.ablation, "NAME", "the ablation's (ablation-max-step)"},
        {"--budget", FS_FLAG_TEXT, &command->options.budget, "NAME", "the one scored at several updates (why-budget)"},
        {"--pairs", FS_FLAG_TEXT, &command->options.pairs, "NAME", "the one that varies Reflow's pairs (why-pairs)"},
        {"--samples", FS_FLAG_TEXT, &command->options.samples, "DIR",
         "the grids that `run` drew (beside the database)"},
        {"--db", FS_FLAG_TEXT, &command->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &command->out, "DIR", "where the runs are (out)"},
    };
    const struct fs_usage usage = {
        .command = "paper",
        .arguments = "",
        .summary =
            "Writes what the paper takes from the database: its numbers as LaTeX macros, its tables, the data of "
            "its\nfigures, and the appendix that maps every number to its run. `make paper` compiles them.",
        .example = "fewstep paper --db results/fewstep.db -o build/paper",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
    };
    int count;
    return fs_options_parse(&usage, argc, argv, NULL, &count, &command->help, error);
}

static fs_status write_paper(const struct paper_command *command, const struct fs_results *published,
                             struct fs_error *error)
{
    char database[1024], samples[1100], *notes;
    struct fs_store *store;
    fs_database_path(command->out, command->db, database);
    const char *slash = strrchr(database, '/');
    snprintf(samples, sizeof samples, "%.*ssamples", slash ? (int)(slash + 1 - database) : 0, database);
    struct fs_paper_options options = command->options;
    options.database = database;
    options.published = published;
    options.samples = options.samples ? options.samples : samples;
    FS_TRY(fs_store_open(database, FS_STORE_READ, &store, error));
    const fs_status status = fs_paper_write(store, &options, command->output, &notes, error);
    fs_store_close(store);
    if (status == FS_OK) {
        fputs(notes, stderr);
    }
    free(notes);
    return status;
}

fs_status fs_command_paper(int argc, char **argv, struct fs_error *error)
{
    struct paper_command command = {.output = "paper/generated"};
    struct fs_results published = {0};
    FS_TRY(parse(argc, argv, &command, error));
    if (command.help) {
        return FS_OK;
    }
    fs_status status = FS_OK;
    if (access(FS_PUBLISHED_FILE, R_OK) == 0) { /* away from the source tree there are none */
        status = fs_published_read(FS_PUBLISHED_FILE, &published, error);
    }
    if (status == FS_OK) {
        status = write_paper(&command, &published, error);
    }
    fs_results_free(&published);
    return status;
}
