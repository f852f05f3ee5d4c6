/* fewstep bench: how fast this machine runs each operation and a whole update. */
#include "harness/bench/bench.h"

#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/worker.h"

static fs_status bench_command(struct fs_comm *comm, int argc, char **argv, struct fs_error *error)
{
    const char *op = NULL, *model = NULL, *device = "cpu";
    int64_t batch = 0;
    bool json = false, profile = false, help;
    int count;
    const struct fs_flag flags[] = {
        {"--op", FS_FLAG_TEXT, &op, "NAME",
         "only operations whose name begins so; update, tangent, recompute: the whole network;\n"
         "                           loader: an update fed from memory and from a folder of pictures; inception-v3: "
         "its features; reduction: what gradients cost "
         "between\n"
         "                           the ranks of mpirun or srun;\n"
         "                           fd: one from two 2048-d statistics; metrics: all, from 50 000 × 2048 features"},
        {"--profile", FS_FLAG_SWITCH, &profile, NULL,
         "an update, operation by operation, beside the least time that the peak and the memory allow"},
        {"--model", FS_FLAG_TEXT, &model, "PRESET", "only this one (dit-xs/4 and dit-b/2)"},
        {"--device", FS_FLAG_TEXT, &device, "NAME", "cpu (the default) or cuda"},
        {"--batch", FS_FLAG_WHOLE, &batch, "N", "rows (128 for dit-xs, else 4)"},
        {"--json", FS_FLAG_SWITCH, &json, NULL, "one JSON object a line"},
    };
    const struct fs_usage usage = {
        .command = "bench",
        .arguments = "",
        .summary =
            "Time, GFLOP/s, GB/s and share of this machine's peak, which is measured before and after, for each\n"
            "operation, a whole update, a sampling forward and a tangent.",
        .example = "fewstep bench --model dit-xs/4 --op update",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
    };
    FS_TRY(fs_options_parse(&usage, argc, argv, NULL, &count, &help, error));
    if (help) {
        return FS_OK;
    }
    if (op && profile) {
        return fs_fail(error, FS_USAGE, "bench: --profile is of a whole update: leave --op out");
    }
    if (op && comm->size == 1 && strcmp(op, "fd") == 0) {
        return fs_bench_distance(json, stdout, error);
    }
    if (op && comm->size == 1 && strcmp(op, "metrics") == 0) {
        return fs_bench_metrics(batch, json, stdout, error);
    }
    const bool cuda = strcmp(device, "cuda") == 0;
    if (!cuda && strcmp(device, "cpu") != 0) {
        return fs_fail(error, FS_USAGE, "--device %s: expected cpu or cuda", device);
    }
    return fs_bench(
        &(struct fs_bench_request){
            .comm = comm,
            .device = cuda ? FS_DEVICE_CUDA : FS_DEVICE_CPU,
            .op = op,
            .model = model,
            .profile = profile,
            .json = json,
            .batch = (int)(batch > 65536 ? 65536 : batch),
            .out = stdout,
        },
        error);
}

fs_status fs_command_bench(int argc, char **argv, struct fs_error *error)
{
    return fs_run_each_rank(bench_command, argc, argv, error);
}
