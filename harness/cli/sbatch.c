/* fewstep sbatch: an experiment as a job of Slurm, a task a run. */
#include <stdio.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/config/config.h"
#include "harness/text/escape.h"

struct sbatch_options {
    struct fs_list sets, only;
    const char *experiment, *time, *out, *gpus;
    int64_t ranks, cpus;
    bool help;
};

static fs_status parse(int argc, char **argv, struct sbatch_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--ranks", FS_FLAG_WHOLE, &options->ranks, "N", "processes of a run (1)"},
        {"--cpus", FS_FLAG_WHOLE, &options->cpus, "N", "CPUs of a process (what the site gives)"},
        {"--gpus", FS_FLAG_TEXT, &options->gpus, "N", "GPUs of a process (none)"},
        {"--time", FS_FLAG_TEXT, &options->time, "T", "limit of a task, which is begun again at it (04:00:00)"},
        {"--set", FS_FLAG_LIST, &options->sets, "a.b=c", "as of run"},
        {"--only", FS_FLAG_LIST, &options->only, "key=value", "as of run"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where everything goes (out)"},
    };
    const struct fs_usage usage = {
        .command = "sbatch",
        .arguments = "EXPERIMENT.yaml",
        .summary =
            "Prints a job script for Slurm: an array with a task a run, each with a database of its own. Two minutes\n"
            "before its time is over a task writes a checkpoint and is queued again; when all have ended, a job\n"
            "joins the databases in OUT/fewstep.db.",
        .example =
            "fewstep sbatch experiments/fashion-unconditional.yaml --ranks 2 --time 02:00:00 > job.sh && sbatch job.sh",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    int count;
    return fs_options_parse(&usage, argc, argv, &options->experiment, &count, &options->help, error);
}

static void print_head(const struct sbatch_options *options, const struct fs_experiment *experiment)
{
    printf("#!/bin/bash\n"
           "#SBATCH --job-name=fewstep-%s\n"
           "#SBATCH --array=1-%d\n"
           "#SBATCH --ntasks=%d\n",
           experiment->name, experiment->run_count, (int)options->ranks);
    if (options->cpus > 0) {
        printf("#SBATCH --cpus-per-task=%d\n", (int)options->cpus);
    }
    if (options->gpus) {
        printf("#SBATCH --gpus-per-task=%s\n", options->gpus);
    }
    printf("#SBATCH --time=%s\n"
           "#SBATCH --requeue\n"
           "#SBATCH --open-mode=append\n"
           "#SBATCH --signal=B:USR1@120\n\n",
           options->time);
}

static void print_names(const struct sbatch_options *options)
{
    printf("program=${FEWSTEP:-build/fewstep}\nout=");
    fs_put_shell(options->out, stdout);
    printf(
        "\nmkdir -p \"$out\"\n"
        "# Each task writes a database of its own: many processes and one file on a network's file system lose data.\n"
        "db=$out/task-$SLURM_ARRAY_TASK_ID.db\n\n");
}

/* afterany: of all tasks of the array, and a task that is queued again has not ended. */
static void print_merge(void)
{
    printf("if [ \"$SLURM_ARRAY_TASK_ID\" = 1 ] && [ \"${SLURM_RESTART_COUNT:-0}\" = 0 ]; then\n"
           "    sbatch --job-name=fewstep-merge --dependency=\"afterany:$SLURM_ARRAY_JOB_ID\" \\\n"
           "        --wrap=\"'$program' merge '$out'/task-*.db -o '$out/fewstep.db'\"\n"
           "fi\n\n");
}

/* The shell gets the signal (B:) and passes it on; `wait` returns at a signal, before the program has ended. */
static void print_work(const struct sbatch_options *options, int runs)
{
    printf("trap 'kill -USR1 $child' USR1\ntrap 'kill -TERM $child' TERM\n"
           "srun --kill-on-bad-exit=1 \"$program\" run ");
    fs_put_shell(options->experiment, stdout);
    printf(" --shard \"$SLURM_ARRAY_TASK_ID/%d\" --out \"$out\" --db \"$db\"", runs);
    for (int i = 0; i < options->sets.count; i++) {
        printf(" --set ");
        fs_put_shell(options->sets.items[i], stdout);
    }
    for (int i = 0; i < options->only.count; i++) {
        printf(" --only ");
        fs_put_shell(options->only.items[i], stdout);
    }
    printf(" &\nchild=$!\n"
           "wait $child\nstatus=$?\n"
           "while kill -0 $child 2>/dev/null; do\n    wait $child\n    status=$?\ndone\n"
           "if [ $status -gt 128 ]; then # a signal came last, and the program ended meanwhile\n"
           "    wait $child\n    status=$?\nfi\n\n"
           "if [ $status = 5 ]; then # stopped at a checkpoint: the same task goes on\n"
           "    scontrol requeue \"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\"\n"
           "fi\n"
           "exit $status\n");
}

fs_status fs_command_sbatch(int argc, char **argv, struct fs_error *error)
{
    struct sbatch_options options = {.ranks = 1, .time = "04:00:00", .out = "out"};
    struct fs_experiment experiment = {0};
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    if (options.ranks < 1 || options.ranks > 512) {
        return fs_fail(error, FS_USAGE, "--ranks: expected 1 to 512, got %lld", (long long)options.ranks);
    }
    FS_TRY(fs_experiment_read(options.experiment, options.sets.items, options.sets.count, options.only.items,
                              options.only.count, &experiment, error));
    fs_status status = FS_OK;
    if (!fs_is_file_name(experiment.name)) {
        status =
            fs_fail(error, FS_USAGE, "%s: experiment: '%s' is no name of a job", options.experiment, experiment.name);
    } else {
        print_head(&options, &experiment);
        print_names(&options);
        print_merge();
        print_work(&options, experiment.run_count);
    }
    fs_experiment_free(&experiment);
    return status;
}
