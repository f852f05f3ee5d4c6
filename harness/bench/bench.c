/* `fewstep bench`: each operation at the shapes of a model, then the model itself. Times are the best of several runs,
 * which is what a machine can do when nobody disturbs it. */
#include "harness/bench/bench.h"

#include <math.h>
#include <string.h>

#include "harness/bench/cases.h"
#include "harness/bench/measure.h"
#include "harness/config/preset.h"
#include "harness/run/session.h"
#include "kernels/base/clock.h"

#define LOADER "loader"  /* --op: an update fed from memory, from a folder of pictures and from latents */
#define PEAKS_AGREE 0.05 /* two measurements of the peak that are nearer than this are the same */

/* --- printing --- */

static void print_head(const struct fs_bench *b)
{
    const double peak = b->peak_flops * 1e-9, half = b->half_peak_flops * 1e-9, copy = b->copy_bytes * 1e-9;
    const int threads = b->on_device ? 0 : fs_cpu_threads(b->backend);
    if (b->json) {
        fprintf(b->out,
                "{\"device\":\"%s\",\"variant\":\"%s\",\"threads\":%d,\"peak_gflops\":%.1f,"
                "\"bf16_peak_gflops\":%.1f,\"copy_gbs\":%.1f}\n",
                b->backend->name, b->backend->variant, threads, peak, half, copy);
        return;
    }
    if (b->on_device) {
        fprintf(b->out, "%s, %s\n%s\nlargest products measured: %.1f GFLOP/s in float32, %.1f in bf16; ",
                b->backend->name, b->backend->variant, b->backend->choices, peak, half);
    } else {
        fprintf(b->out, "%s, %s, %d thread%s: %.1f GFLOP/s float32 multiply-add peak, ", b->backend->name,
                b->backend->variant, threads, threads == 1 ? "" : "s", peak);
        if (half > 0) {
            fprintf(b->out, "%.1f in bf16, ", half);
        }
    }
    fprintf(b->out, "%.1f GB/s copied (read + written)\n\n", copy);
    if (b->profile) {
        return;
    }
    fprintf(b->out, "%-10s %-31s %10s %9s %8s %9s %9s\n", "model", "operation", "ms", "GFLOP/s", "GB/s", "of peak",
            "of copy");
}

/* A number of the table, or nothing for what was not counted. */
static void print_number(FILE *out, int width, const char *format, double value)
{
    char text[32] = "";
    if (value > 0) {
        snprintf(text, sizeof text, format, value);
    }
    fprintf(out, " %*s", width, text);
}

void fs_bench_row(struct fs_bench *b, const char *operation, double seconds, double flops, double bytes)
{
    const double peak = b->type == FS_BF16 && b->half_peak_flops > 0 ? b->half_peak_flops : b->peak_flops;
    const double of_peak = flops / seconds / peak, of_copy = bytes / seconds / b->copy_bytes;
    if (b->json) {
        fprintf(b->out,
                "{\"model\":\"%s\",\"batch\":%d,\"operation\":\"%s\",\"seconds\":%.6g,\"gflops\":%.4g,\"gbs\":%.4g,"
                "\"share_of_peak\":%.4g,\"share_of_copy\":%.4g}\n",
                b->model, b->batch, operation, seconds, flops / seconds * 1e-9, bytes / seconds * 1e-9, of_peak,
                of_copy);
    } else {
        fprintf(b->out, "%-10s %-31s %10.3f", b->model, operation, seconds * 1e3);
        print_number(b->out, 9, "%.1f", flops / seconds * 1e-9);
        print_number(b->out, 8, "%.1f", bytes / seconds * 1e-9);
        print_number(b->out, 9, of_peak > 1 ? "%.0f%%*" : "%.0f%%", 100 * of_peak);
        print_number(b->out, 9, of_copy > 1 ? "%.0f%%*" : "%.0f%%", 100 * of_copy);
        fprintf(b->out, "\n");
    }
    b->above_peak = b->above_peak || of_peak > 1;
    b->above_copy = b->above_copy || of_copy > 1;
    fflush(b->out);
}

/* What the marks of shares above 100 % mean, and whether the peak was the same after the work as before. */
static void print_end(const struct fs_bench *b, double after)
{
    if (b->json) {
        fprintf(b->out, "{\"peak_gflops_after\":%.1f}\n", after * 1e-9);
        return;
    }
    fprintf(b->out, "\npeak measured again: %.1f GFLOP/s", after * 1e-9);
    const double change = after / b->peak_flops - 1;
    if (change > PEAKS_AGREE) {
        fprintf(b->out,
                ", %+.0f%%: something else ran at the beginning; by this peak the shares are %.2f of those above",
                100 * change, 1 / (1 + change));
    } else if (change < -PEAKS_AGREE) {
        fprintf(b->out, ", %+.0f%%: something else runs here now, and may have run beside the operations",
                100 * change);
    }
    fprintf(b->out, "\n");
    if (b->above_peak) {
        fprintf(b->out,
                "* above 100%% of peak: the peak was measured while something else took a part of the machine\n");
    }
    if (b->above_copy) {
        fprintf(b->out, "* above 100%% of copy: operands that stay in the caches, which the copy of 256 MB does not\n");
    }
}

/* --- one case --- */

void fs_bench_settle(struct fs_bench *b)
{
    struct fs_error error;
    if (b->backend->synchronise(b->backend, &error) != FS_OK && b->error.status == FS_OK) {
        b->error = error;
    }
}

/* The best time of a few runs, for about a fifth of a second. A device is asked for several at once, so that the way to
 * it does not count. */
static double best_time(struct fs_bench *b, const struct fs_case *c, const struct fs_view views[])
{
    void (*const run)(struct fs_backend *, const struct fs_case *, const struct fs_view[]) = c->operation->run;
    run(b->backend, c, views);
    fs_bench_settle(b);
    const double start = fs_seconds();
    run(b->backend, c, views);
    fs_bench_settle(b);
    const int at_once = b->on_device && fs_seconds() - start < 1e-3 ? 20 : 1;
    double best = 1e30;
    for (int i = 0; i < 3 || (fs_seconds() - start < 0.2 && i < 1000); i++) {
        const double before = fs_seconds();
        for (int k = 0; k < at_once; k++) {
            run(b->backend, c, views);
        }
        fs_bench_settle(b);
        best = fmin(best, (fs_seconds() - before) / at_once);
    }
    return best;
}

/* Normals, and ids that rise from 0 to their bound. */
static void fill_operands(struct fs_bench *b, const struct fs_case *c, const struct fs_view views[])
{
    struct fs_case_operand operands[FS_CASE_OPERANDS];
    const int count = c->operation->operands(c, operands);
    for (int i = 0; i < count; i++) {
        if (operands[i].content == FS_IDS) {
            int32_t ids[512];
            for (int64_t first = 0; first < views[i].cols; first += 512) {
                const int64_t n = views[i].cols - first < 512 ? views[i].cols - first : 512;
                for (int64_t k = 0; k < n; k++) {
                    ids[k] = (int32_t)((first + k) * operands[i].below / views[i].cols);
                }
                b->backend->upload(b->backend, (int32_t *)views[i].data + first, ids, (size_t)n * sizeof *ids);
                fs_bench_settle(b);
            }
        } else if (views[i].data != NULL) {
            b->backend->normals(b->backend, views[i], (struct fs_random_key){0, FS_STREAM_TEST, 0, 0}, 0);
        }
    }
    if (c->operation->prepare != NULL) {
        c->operation->prepare(b->backend, c, views);
    }
    fs_bench_settle(b);
}

/* How long a run of the case takes, and its bytes; b->error when it does not work. */
static double time_case(struct fs_bench *b, const struct fs_case *c, double *bytes)
{
    struct fs_view views[FS_CASE_OPERANDS];
    double seconds = 1;
    b->error.status = FS_OK;
    if (fs_case_allocate(b->backend, c, b->type, 0, views, &b->error) == FS_OK) {
        fill_operands(b, c, views);
        seconds = best_time(b, c, views);
        *bytes = fs_case_bytes(c, views);
    }
    fs_case_release(b->backend, c, views);
    return seconds;
}

static double flops_of(const struct fs_case *c)
{
    return c->operation->flops != NULL ? c->operation->flops(c) : 0;
}

/* --- the operations of a model --- */

static fs_status bench_case(struct fs_bench *b, const struct fs_case *c, const char *name, struct fs_error *error)
{
    double bytes = 0;
    const double seconds = time_case(b, c, &bytes), flops = flops_of(c);
    if (b->error.status != FS_OK) {
        *error = b->error;
        return error->status;
    }
    fs_bench_row(b, name, seconds, flops, bytes); /* of products, the bytes are shown too */
    return FS_OK;
}

/* Whether products of this operation may be of bf16. */
static bool has_bf16(const struct fs_operation *operation)
{
    return operation->flops != NULL && strncmp(operation->name, "convolution", 11) != 0;
}

static fs_status bench_operations(struct fs_bench *b, const char *op, struct fs_error *error)
{
    const struct fs_case_model model = {
        b->batch,         (int64_t)(b->height / b->config.patch) * (b->width / b->config.patch),
        b->config.hidden, b->config.heads,
        b->height,        b->width,
        b->channels,      b->config.patch};
    const struct fs_operation *operation;
    for (int i = 0; (operation = fs_operation_at(i)) != NULL; i++) {
        struct fs_case cases[FS_MODEL_CASES_MAX];
        const bool wanted = fs_backend_has(b->backend, operation) && operation->model_cases != NULL &&
                            (b->type == FS_F32 || has_bf16(operation));
        const int count = wanted ? operation->model_cases(&model, cases) : 0;
        for (int k = 0; k < count; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s%s%s%s", operation->name, cases[k].label != NULL ? " " : "",
                     cases[k].label != NULL ? cases[k].label : "", b->type == FS_BF16 ? " bf16" : "");
            cases[k].operation = operation;
            if (op == NULL || strncmp(name, op, strlen(op)) == 0) {
                FS_TRY(bench_case(b, &cases[k], name, error));
            }
        }
    }
    return FS_OK;
}

/* --- buffers --- */

struct fs_view fs_bench_take(struct fs_bench *b, int64_t rows, int64_t cols)
{
    struct fs_view view = fs_no_view();
    void *data = b->error.status != FS_OK
                     ? NULL
                     : b->backend->allocate(b->backend, (size_t)(rows * cols) * sizeof(float), &b->error);
    if (data != NULL) {
        b->buffers[b->buffer_count++] = data;
        view = fs_view(data, FS_F32, rows, cols);
        b->backend->normals(b->backend, view, (struct fs_random_key){0, FS_STREAM_TEST, 0, 0}, 0);
    }
    return view;
}

void fs_bench_release(struct fs_bench *b)
{
    while (b->buffer_count > 0) {
        b->backend->release(b->backend, b->buffers[--b->buffer_count]);
    }
}

/* --- what the machine can do --- */

static const struct fs_operation *operation_named(const char *name)
{
    int i = 0;
    while (fs_operation_at(i) != NULL && strcmp(fs_operation_at(i)->name, name) != 0) {
        i++;
    }
    return fs_operation_at(i);
}

static fs_status measure_copy(struct fs_bench *b, struct fs_error *error)
{
    const struct fs_case copy = {.operation = operation_named("copy"), .samples = 1, .width = 32 << 20};
    double bytes = 0;
    const double seconds = time_case(b, &copy, &bytes); /* 128 MiB each, well past the caches */
    b->copy_bytes = bytes / seconds;
    if (b->error.status != FS_OK) {
        *error = b->error;
    }
    return b->error.status;
}

/* What a device's products reach: ever larger ones, until one takes some milliseconds. */
static fs_status measure_products(struct fs_bench *b, struct fs_error *error)
{
    for (int half = 0; half < 2; half++) {
        double *peak = half ? &b->half_peak_flops : &b->peak_flops, seconds = 0, bytes;
        b->type = half ? FS_BF16 : FS_F32;
        for (int64_t n = 128; n <= 8192 && seconds < 2e-3; n *= 2) {
            const struct fs_case product = {
                .operation = operation_named("linear_forward"), .samples = n, .width = n, .outputs = n, .bare = true};
            seconds = time_case(b, &product, &bytes);
            *peak = fmax(*peak, flops_of(&product) / seconds);
            if (b->error.status != FS_OK) {
                *error = b->error;
                return error->status;
            }
        }
    }
    b->type = FS_F32;
    return FS_OK;
}

/* --- the whole --- */

static fs_status choose_model(struct fs_bench *b, const char *model, int batch, struct fs_error *error)
{
    const bool small = strncmp(model, "dit-xs", 6) == 0; /* Fashion-MNIST; the others work on 32 × 32 × 4 latents */
    b->model = model;
    b->config = (struct fs_model_config){.classes = 10, .finest_steps = 128, .attention_scale = FS_SCALE_INV_D};
    FS_TRY(fs_model_preset(model, &b->config, error));
    b->height = b->width = small ? 28 : 32;
    b->channels = small ? 1 : 4;
    b->batch = batch > 0 ? batch : small ? 128 : 4;
    if (b->height % b->config.patch != 0) {
        return fs_fail(error, FS_USAGE, "bench: %s: patches of %d do not divide %d × %d pictures", model,
                       b->config.patch, b->height, b->width);
    }
    return FS_OK;
}

/* What is measured of the network as a whole, in both precisions. */
static const struct {
    const char *name;
    fs_status (*measure)(struct fs_bench *b, enum fs_type precision, struct fs_error *error);
} networks[] = {{"update", fs_bench_update}, {"tangent", fs_bench_tangent}, {"recompute", fs_bench_recompute}};

static bool is_of_whole(const char *op)
{
    bool is = op != NULL && strcmp(op, LOADER) == 0;
    for (size_t i = 0; op != NULL && i < sizeof networks / sizeof *networks; i++) {
        is |= strcmp(op, networks[i].name) == 0;
    }
    return is;
}

static fs_status bench_model(struct fs_bench *b, const char *op, const char *model, int batch, struct fs_error *error)
{
    FS_TRY(choose_model(b, model, batch, error));
    if (b->profile) {
        FS_TRY(fs_bench_profile(b, FS_F32, error));
        return b->backend->native_bf16 ? fs_bench_profile(b, FS_BF16, error) : FS_OK;
    }
    if (op == NULL || strcmp(op, LOADER) == 0) {
        FS_TRY(fs_bench_loader(b, error));
    }
    for (int half = 0; half < (b->on_device ? 2 : 1) && !is_of_whole(op); half++) {
        b->type = half ? FS_BF16 : FS_F32;
        const fs_status status = bench_operations(b, op, error);
        b->type = FS_F32;
        FS_TRY(status);
    }
    for (int half = 0; half < (b->backend->native_bf16 ? 2 : 1); half++) {
        for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
            if (op == NULL || strcmp(op, networks[i].name) == 0) {
                FS_TRY(networks[i].measure(b, half ? FS_BF16 : FS_F32, error));
            }
        }
    }
    return FS_OK;
}

static fs_status check_operation(const char *op, struct fs_error *error)
{
    char names[768] = "";
    bool known =
        op == NULL || is_of_whole(op) || strcmp(op, FS_BENCH_INCEPTION) == 0 || strcmp(op, FS_BENCH_REDUCTION) == 0;
    for (int i = 0; fs_operation_at(i) != NULL; i++) {
        const char *name = fs_operation_at(i)->name;
        const size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s, ", name);
        known = known || strncmp(name, op, strlen(op)) == 0 || strncmp(name, op, strlen(name)) == 0;
    }
    return known
               ? FS_OK
               : fs_fail(
                     error, FS_USAGE,
                     "bench: no operation '%s'; there are %supdate, tangent and recompute for the whole model, " LOADER
                     " for an update and its data, " FS_BENCH_INCEPTION ", " FS_BENCH_REDUCTION
                     " between ranks, fd, and metrics",
                     op, names);
}

static fs_status measure_peaks(struct fs_bench *b, struct fs_error *error)
{
    if (b->on_device) {
        return measure_products(b, error);
    }
    b->peak_flops = fs_cpu_peak_flops(b->backend);
    b->half_peak_flops = fs_cpu_bf16_peak_flops(b->backend);
    return FS_OK;
}

static fs_status bench_all(struct fs_bench *b, const struct fs_bench_request *request, struct fs_error *error)
{
    const char *op = request->op, *model = request->model;
    const bool inception = op != NULL && strcmp(op, FS_BENCH_INCEPTION) == 0;
    FS_TRY(measure_peaks(b, error));
    FS_TRY(measure_copy(b, error));
    print_head(b);
    if (!inception) {
        FS_TRY(bench_model(b, op, model != NULL ? model : "dit-xs/4", request->batch, error));
    }
    if (!inception && model == NULL) {
        FS_TRY(bench_model(b, op, "dit-b/2", request->batch, error));
    }
    if (inception || (op == NULL && model == NULL && !b->profile)) {
        FS_TRY(fs_bench_inception(b, request->batch, error));
    }
    if (!b->on_device) {
        print_end(b, fs_cpu_peak_flops(b->backend));
    }
    return FS_OK;
}

/* All ranks. The peak is rank 0's alone, for which it is bound to the first CPU, where others would be, too; copies and
 * what lies between the ranks are measured on all at once, and rank 0 prints. */
static fs_status bench_ranks(struct fs_bench *b, const struct fs_bench_request *request, struct fs_error *error)
{
    struct fs_comm *comm = request->comm;
    const char *const models[] = {request->model != NULL ? request->model : "dit-xs/4", "dit-b/2"};
    const bool tells = comm->rank == 0;
    FS_TRY(fs_comm_agree(comm, tells ? measure_peaks(b, error) : FS_OK, error));
    FS_TRY(fs_comm_agree(comm, measure_copy(b, error), error));
    if (tells) {
        print_head(b);
    }
    for (int i = 0; i < (request->model != NULL ? 1 : 2); i++) {
        FS_TRY(fs_comm_agree(comm, choose_model(b, models[i], request->batch, error), error));
        FS_TRY(fs_bench_reduction(b, comm, error));
    }
    if (tells && !b->on_device) {
        print_end(b, fs_cpu_peak_flops(b->backend));
    }
    return FS_OK;
}

fs_status fs_bench(const struct fs_bench_request *request, struct fs_error *error)
{
    const bool between = request->op != NULL && strcmp(request->op, FS_BENCH_REDUCTION) == 0;
    if (between != (request->comm->size > 1)) {
        return fs_fail(error, FS_USAGE,
                       between ? "bench: --op " FS_BENCH_REDUCTION
                                 " is between ranks: `mpirun -n 2 fewstep bench --op " FS_BENCH_REDUCTION "`"
                               : "fewstep bench is done by one process, but for --op " FS_BENCH_REDUCTION
                                 ": start it without mpirun or srun");
    }
    FS_TRY(check_operation(request->op, error));
    struct fs_bench bench = {.json = request->json, .profile = request->profile, .out = request->out, .type = FS_F32};
    const fs_status opened = fs_open_rank_backend(request->device, request->comm, &bench.backend, error);
    FS_TRY(fs_comm_agree(request->comm, opened, error));
    bench.on_device = strcmp(bench.backend->name, "cpu") != 0;
    const fs_status status = between ? bench_ranks(&bench, request, error) : bench_all(&bench, request, error);
    bench.backend->destroy(bench.backend);
    return status;
}
