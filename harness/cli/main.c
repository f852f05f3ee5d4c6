/* fewstep: the command line. */
#include <stdbool.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/cli/command.h"
#include "harness/cli/help.h"
#include "harness/comm/open.h"
#include "harness/text/escape.h"
#include "harness/text/nearest.h"
#include "kernels/cpu/blas_memory.h"

struct entry {
    const char *name;
    fs_command *run;
    const char *summary;
};

static const struct entry entries[] = {
    {"run", fs_command_run, "train and score what an experiment file asks for; goes on where it was stopped"},
    {"table", fs_command_table, "methods × steps, from the database"},
    {"report", fs_command_report, "one page with tables, charts, samples, and where each number comes from"},
    {"paper", fs_command_paper, "the paper's numbers, tables and figures for LaTeX"},
    {"regress", fs_command_regress, "whether scores moved between two commits: better, same, worse or undecided"},
    {"reproduce", fs_command_reproduce, "a run made again by its own commit's program, and compared"},
    {"export", fs_command_export, "the database as CSV, JSON or TensorBoard's event files"},
    {"sample", fs_command_sample, "draw pictures from a run or a checkpoint"},
    {"decode", fs_command_decode, "pictures from latents, by an autoencoder"},
    {"eval", fs_command_eval, "score a run or a checkpoint again"},
    {"runs", fs_command_runs, "the runs in the database"},
    {"show", fs_command_show, "everything about one run"},
    {"gc", fs_command_gc, "what checkpoints cost on disk, and which may go"},
    {"sbatch", fs_command_sbatch, "an experiment as a job script for Slurm, a task a run"},
    {"merge", fs_command_merge, "several databases into one"},
    {"fid", fs_command_fid, "distances between two sets of pictures, or their statistics"},
    {"encode", fs_command_encode, "pictures to the latents that an autoencoder makes of them, for training on those"},
    {"stats", fs_command_stats, "mean and covariance of features of pictures, as an .npz"},
    {"bench", fs_command_bench, "time of each operation and of a whole update, as a share of this machine's peak"},
    {"doctor", fs_command_doctor, "compiler, libraries, instruction sets, data sets, weights: what is here"},
    {"extractor", fs_command_extractor, "a feature extractor of one's own, for tables of one's own pictures"},
};
#define ENTRIES ((int)(sizeof entries / sizeof *entries))

static void print_help(FILE *stream)
{
    fprintf(stream, "usage: fewstep COMMAND …\n\nFew-step generative models, trained, scored and compared.\n\n");
    for (int i = 0; i < ENTRIES; i++) {
        fprintf(stream, "  %-12s %s\n", entries[i].name, entries[i].summary);
    }
    fprintf(stream, "\nfewstep COMMAND --help says more. Exit status: 0 good, 2 wrong use, 3 the work failed,\n5 "
                    "stopped by a signal, where the same command goes on;\nof regress and reproduce also 1 worse or "
                    "other, 4 undecided.\nFirst steps:\n  fewstep run "
                    "experiments/demo.yaml\n");
}

/* The whole man page or completion: every command says its own part. */
static fs_status print_whole_help(enum fs_help kind, struct fs_error *error)
{
    struct fs_help_entry all[ENTRIES];
    char *argv[] = {kind == FS_HELP_MAN ? "--help=man" : "--help=bash", NULL};
    for (int i = 0; i < ENTRIES; i++) {
        all[i] = (struct fs_help_entry){entries[i].name, entries[i].summary};
    }
    fs_help_begin(all, ENTRIES, kind);
    for (int i = 0; i < ENTRIES; i++) {
        FS_TRY(entries[i].run(1, argv, error));
    }
    fs_help_end(kind);
    return FS_OK;
}

static fs_status unknown_command(const char *name, struct fs_error *error)
{
    struct fs_nearest nearest = {.word = name};
    char names[512] = "";
    for (int i = 0; i < ENTRIES; i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", entries[i].name);
        fs_nearest_try(&nearest, entries[i].name);
    }
    return nearest.name ? fs_fail(error, FS_USAGE, "there is no command '%s'; did you mean %s?", name, nearest.name)
                        : fs_fail(error, FS_USAGE, "there is no command '%s'; there are: %s", name, names);
}

/* Whose work several processes may share. */
static fs_command *const by_ranks[] = {fs_command_run, fs_command_eval, fs_command_encode, fs_command_bench};

/* What all ranks have to say is said once, before the launcher ends all. */
static fs_status leave_to_rank_0(struct fs_error *error)
{
    if (fs_launcher_find(getenv).rank > 0) {
        error->text[0] = '\0';
        sleep(1);
    }
    return error->status;
}

/* N processes that each do the whole of a command would be in each other's way. */
static fs_status check_ranks(const struct entry *entry, struct fs_error *error)
{
    const struct fs_launcher launcher = fs_launcher_find(getenv);
    bool shared = launcher.size == 1;
    for (size_t i = 0; i < sizeof by_ranks / sizeof *by_ranks; i++) {
        shared = shared || by_ranks[i] == entry->run;
    }
    if (shared) {
        return FS_OK;
    }
    fs_fail(error, FS_USAGE, "fewstep %s is done by one process: start it without %s", entry->name, launcher.name);
    return leave_to_rank_0(error);
}

/* OpenMP's threads wait by spinning unless the environment says otherwise before the program starts. With any other
 * work on the machine, each of the thousands of short parallel loops then waits for a time slice: a training on two
 * cores beside one busy process ran at a quarter of the speed that it has with waiting threads asleep. */
static void let_threads_sleep(char **argv)
{
    if (!getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT") && setenv("OMP_WAIT_POLICY", "passive", 1) == 0) {
        char program[PATH_MAX];
        const ssize_t length = readlink("/proc/self/exe", program, sizeof program);
        if (length > 0 && (size_t)length < sizeof program) {
            program[length] = '\0';
            execv(program, argv); /* by its name, which ps and top show */
        }
        execv("/proc/self/exe", argv); /* where this fails too, the program only runs slower */
    }
}

/* Whatever a command prints, names from a foreign database or file among it, goes through a filter: nothing of it acts
 * on the terminal. */
static fs_status filter_output(struct fs_error *error)
{
    static struct fs_plain_filter filter; /* the stream outlives main: see finish */
    FILE *filtered = fs_plain_stream(stdout, &filter);
    if (!filtered) {
        return fs_fail(error, FS_FAILED, "no memory to begin with");
    }
    setvbuf(filtered, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFSIZ);
    stdout = filtered;
    return FS_OK;
}

/* The exit status, once what was printed is known to have arrived; the error, if any, goes to stderr. stdout is `plain`
 * again, what it was before. The filter stays open: libraries that took stdout when they were loaded, as cuBLASLt does
 * for its log, flush it behind main. */
static int finish(fs_status status, FILE *plain, struct fs_error *error)
{
    const bool written = fflush(stdout) == 0 && !ferror(stdout);
    stdout = plain;
    if (!error->text[0] && !written) {
        status = fs_fail(error, FS_FAILED, "standard output: cannot be written: disk full, or closed?");
    }
    if (error->text[0]) {
        fputs(isatty(STDERR_FILENO) ? "\r\033[K" : "", stderr); /* a line of progress may wait to be written over */
        fputs(strncmp(error->text, "fewstep ", 8) == 0 ? "" : "fewstep: ",
              stderr); /* "fewstep run: …" says it itself */
        fs_put_plain(error->text, stderr);
        fputc('\n', stderr);
    }
    return (int)status;
}

int main(int argc, char **argv)
{
    struct fs_error error = {0};
    FILE *const plain = stdout;
    let_threads_sleep(argv);
    if (fs_blas_memory_check(&error) != FS_OK) {
        fprintf(stderr, "fewstep: %s\n", error.text);
        _exit(FS_FAILED);
    }
    if (filter_output(&error) != FS_OK) {
        return finish(FS_FAILED, plain, &error);
    }
    if (argc < 2) {
        print_help(stderr);
        return finish(FS_USAGE, plain, &error);
    }
    enum fs_help kind = FS_HELP_TEXT;
    if (fs_help_asked(argv[1], &kind) || strcmp(argv[1], "help") == 0) {
        fs_status status = FS_OK;
        if (kind == FS_HELP_TEXT) {
            print_help(stdout);
        } else {
            status = print_whole_help(kind, &error);
        }
        return finish(status, plain, &error);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("fewstep %s, commit %.12s%s, source %.12s\n", fs_build_info.version,
               *fs_build_info.commit ? fs_build_info.commit : "unknown", fs_build_info.dirty ? " (changed)" : "",
               fs_build_info.source_hash);
        return finish(FS_OK, plain, &error);
    }
    for (int i = 0; i < ENTRIES; i++) {
        if (strcmp(argv[1], entries[i].name) == 0) {
            fs_status status = check_ranks(&entries[i], &error);
            status = status == FS_OK ? entries[i].run(argc - 2, argv + 2, &error) : status;
            return finish(status, plain, &error);
        }
    }
    unknown_command(argv[1], &error);
    return finish(leave_to_rank_0(&error), plain, &error);
}
