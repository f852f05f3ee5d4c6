/* `fewstep bench`: a whole update of the network, its sampling forward, its tangent, and the network behind FID. */
#include <stdlib.h>
#include <string.h>

#include "harness/bench/network.h"
#include "harness/data/loader.h"
#include "kernels/base/clock.h"
#include "kernels/base/memory.h"
#include "kernels/cpu/cpu.h"
#include "metrics/inception.h"

static void one_forward(struct fs_bench *b, struct fs_bench_network *n)
{
    (void)b;
    const struct fs_dit_input input = fs_bench_network_input(n);
    fs_dit_forward(n->dit, &n->weights, &input, n->velocity, false);
}

static void time_network(struct fs_bench *b, struct fs_bench_network *n, const char *name, double flops,
                         void (*run)(struct fs_bench *b, struct fs_bench_network *n))
{
    double best = 1e30;
    for (int i = 0; i < (b->on_device ? 3 : 1); i++) { /* a device keeps the second update as a graph */
        run(b, n);
    }
    fs_bench_settle(b);
    const double start = fs_seconds();
    for (int i = 0; i < 4 || (fs_seconds() - start < 2 && i < 100); i++) {
        const double before = fs_seconds();
        run(b, n);
        fs_bench_settle(b);
        const double seconds = fs_seconds() - before;
        best = seconds < best ? seconds : best;
    }
    fs_bench_row(b, name, best, flops, 0);
}

/* x, t and s all move: the target stands in for x's direction. */
static void one_tangent(struct fs_bench *b, struct fs_bench_network *n)
{
    (void)b;
    const struct fs_dit_input input = fs_bench_network_input(n);
    const struct fs_dit_direction direction = {n->target, n->t, n->s};
    fs_dit_tangent(n->dit, &n->weights, &input, &direction, n->velocity, n->dvelocity, false);
}

/* Velocity and tangent beside the velocity alone, in turn, so that whatever else runs takes from both: the best time of
 * each, and their ratio. */
static void time_tangent(struct fs_bench *b, struct fs_bench_network *n, bool half)
{
    void (*const runs[])(struct fs_bench * b, struct fs_bench_network * n) = {one_forward, one_tangent};
    double best[2] = {1e30, 1e30};
    one_tangent(b, n);
    fs_bench_settle(b);
    const double start = fs_seconds();
    for (int i = 0; i < 4 || (fs_seconds() - start < 3 && i < 100); i++) {
        for (int which = 0; which < 2; which++) {
            const double before = fs_seconds();
            runs[which](b, n);
            fs_bench_settle(b);
            const double seconds = fs_seconds() - before;
            best[which] = seconds < best[which] ? seconds : best[which];
        }
    }
    fs_bench_row(b, half ? "tangent bf16" : "tangent", best[1], b->batch * fs_dit_sizes(n->dit).tangent_flops, 0);
    const double forwards = best[1] / best[0];
    if (b->json) {
        fprintf(b->out, "{\"model\":\"%s\",\"batch\":%d,\"precision\":\"%s\",\"tangent_forwards\":%.4g}\n", b->model,
                b->batch, half ? "bf16" : "fp32", forwards);
    } else {
        fprintf(b->out, "%-10s velocity and tangent take %.2f forwards, batch %d%s\n", b->model, forwards, b->batch,
                half ? ", bf16" : "");
    }
}

/* MiB: the peak of the resident set, or what of a device's memory is in use that was free at the `start`. */
static double memory_used(struct fs_bench *b, size_t start)
{
    return b->on_device ? ((double)start - (double)b->backend->available(b->backend)) / 1048576
                        : (double)fs_memory_peak() / 1048576;
}

static void print_memory(struct fs_bench *b, const char *work, bool half, double used)
{
    const char *what = b->on_device ? "device memory in use" : "peak resident set";
    if (b->json) {
        fprintf(b->out, "{\"model\":\"%s\",\"batch\":%d,\"precision\":\"%s\",\"work\":\"%s\",\"%s\":%.0f}\n", b->model,
                b->batch, half ? "bf16" : "fp32", work, b->on_device ? "device_mib" : "peak_resident_mib", used);
    } else {
        fprintf(b->out, "%-10s %s: %s %.0f MiB, batch %d%s\n", b->model, work, what, used, b->batch,
                half ? ", bf16" : "");
    }
}

typedef void time_parts(struct fs_bench *b, struct fs_bench_network *n, bool half);

/* Makes a network for `passes`, times its parts and says what memory that took. */
static fs_status time_passes(struct fs_bench *b, enum fs_type precision, unsigned passes, time_parts *parts,
                             const char *work, struct fs_error *error)
{
    struct fs_bench_network network;
    const bool half = precision == FS_BF16;
    const size_t start = b->on_device ? b->backend->available(b->backend) : 0;
    fs_memory_peak_reset();
    b->type = precision;
    fs_status status = fs_bench_network_create(b, &network, precision, passes, error);
    if (status == FS_OK) {
        parts(b, &network, half);
        status = b->error.status;
        *error = status == FS_OK ? *error : b->error;
    }
    if (status == FS_OK) {
        print_memory(b, work, half, memory_used(b, start));
    }
    fs_bench_network_free(b, &network);
    b->type = FS_F32;
    return status;
}

static double forward_flops(const struct fs_bench *b, const struct fs_bench_network *n)
{
    return b->batch * fs_dit_sizes(n->dit).forward_flops;
}

static void update_parts(struct fs_bench *b, struct fs_bench_network *n, bool half)
{
    time_network(b, n, half ? "sampling bf16" : "sampling", forward_flops(b, n), one_forward);
    time_network(b, n, half ? "update bf16" : "update", 3 * forward_flops(b, n), fs_bench_network_update);
}

fs_status fs_bench_update(struct fs_bench *b, enum fs_type precision, struct fs_error *error)
{
    return time_passes(b, precision, FS_PASS_BACKWARD, update_parts, "update", error);
}

fs_status fs_bench_tangent(struct fs_bench *b, enum fs_type precision, struct fs_error *error)
{
    return time_passes(b, precision, FS_PASS_BACKWARD | FS_PASS_TANGENT, time_tangent, "tangent", error);
}

/* As many FLOPs by our count, more of work, less memory. */
static void recompute_parts(struct fs_bench *b, struct fs_bench_network *n, bool half)
{
    time_network(b, n, half ? "update, recompute bf16" : "update, recompute", 3 * forward_flops(b, n),
                 fs_bench_network_update);
}

fs_status fs_bench_recompute(struct fs_bench *b, enum fs_type precision, struct fs_error *error)
{
    return time_passes(b, precision, FS_PASS_BACKWARD | FS_PASS_RECOMPUTE, recompute_parts, "update, recompute", error);
}

/* --- an update and its data --- */

#define FED_ROUNDS_MAX 400
#define FED_ROUNDS_MIN 4
#define FED_SECONDS 20

/* An update whose rows come from a loader. */
struct fed_update {
    struct fs_dataset data;
    struct fs_loader *loader;
    double seconds[FED_ROUNDS_MAX]; /* of each update, of all kinds of data in turn, */
    double waited[FED_ROUNDS_MAX];  /* and of it, until its rows were there */
};

static fs_status feed(struct fs_bench *b, struct fs_bench_network *n, struct fed_update *fed, int update, float *rows,
                      struct fs_error *error)
{
    const double before = fs_seconds();
    FS_TRY(fs_loader_rows(fed->loader, update, 0, b->batch, rows, n->labels, error));
    fed->waited[update] = fs_seconds() - before;
    b->backend->upload(b->backend, n->target.data, rows, (size_t)(b->batch * n->target.cols) * sizeof *rows);
    fs_bench_network_update(b, n);
    fs_bench_settle(b);
    fed->seconds[update] = fs_seconds() - before;
    return FS_OK;
}

static int by_size(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return (values[count / 2] + values[(count - 1) / 2]) / 2;
}

/* Round by round each kind of data once, so that what else the machine does meets all of them; then the medians of the
 * times, of what an update takes longer than that from memory in the same round, and of the share that it waits for its
 * rows. How much of a difference is noise is what the same memory shows against itself. */
static fs_status time_fed_updates(struct fs_bench *b, struct fs_bench_network *n, struct fed_update *fed,
                                  struct fs_error *error)
{
    float *rows = fs_allocate((size_t)b->batch, (size_t)n->target.cols * sizeof *rows, "a batch", error);
    fs_status status = rows ? FS_OK : FS_FAILED;
    const double start = fs_seconds();
    int rounds = 0;
    while (status == FS_OK && rounds < FED_ROUNDS_MAX &&
           (rounds < FED_ROUNDS_MIN || fs_seconds() - start < FED_SECONDS)) {
        for (int k = 0; status == FS_OK && k < FS_BENCH_DATA; k++) {
            const int kind = (k + rounds) % FS_BENCH_DATA; /* none always comes first */
            status = fed[kind].loader ? feed(b, n, &fed[kind], rounds, rows, error) : FS_OK;
        }
        rounds++;
    }
    free(rows);
    FS_TRY(status);
    for (int kind = 0; kind < FS_BENCH_DATA; kind++) {
        double more[FED_ROUNDS_MAX], all[FED_ROUNDS_MAX], waited[FED_ROUNDS_MAX];
        char name[64];
        if (!fed[kind].loader) {
            continue;
        }
        for (int r = 2; r < rounds; r++) { /* the first ones warm up */
            all[r - 2] = fed[kind].seconds[r];
            more[r - 2] = fed[kind].seconds[r] / fed[FS_BENCH_MEMORY].seconds[r] - 1;
            waited[r - 2] = fed[kind].waited[r] / fed[kind].seconds[r];
        }
        snprintf(name, sizeof name, "loader: update, %s", fs_bench_data_name(b, kind));
        fs_bench_row(b, name, median(all, rounds - 2), 3 * b->batch * fs_dit_sizes(n->dit).forward_flops, 0);
        const double percent = 100 * median(more, rounds - 2), share = 100 * median(waited, rounds - 2);
        if (b->json) {
            fprintf(b->out,
                    "{\"model\":\"%s\",\"batch\":%d,\"data\":\"%s\",\"percent_more\":%.3g,\"percent_waited\":%.3g}\n",
                    b->model, b->batch, fs_bench_data_name(b, kind), percent, share);
        } else {
            fprintf(b->out, "%-10s data from %s: an update takes %+.2f %%, and waits %.2f %% of its time for them\n",
                    b->model, fs_bench_data_name(b, kind), percent, share);
        }
    }
    return FS_OK;
}

fs_status fs_bench_loader(struct fs_bench *b, struct fs_error *error)
{
    struct fs_bench_network network;
    const struct fs_loader_range all = {0, b->batch};
    struct fed_update *fed = fs_allocate(FS_BENCH_DATA, sizeof *fed, "times", error);
    if (!fed) {
        return FS_FAILED;
    }
    fs_status status = fs_bench_network_create(b, &network, FS_F32, FS_PASS_BACKWARD | FS_PASS_TANGENT, error);
    for (int i = 0; status == FS_OK && i < FS_BENCH_DATA; i++) {
        if (!fs_bench_data_name(b, i)) {
            continue;
        }
        status = fs_bench_data_open(b, i, &fed[i].data, error);
        if (status == FS_OK) {
            status = fs_loader_create(&fed[i].data, 0, INT64_MAX, b->batch, &all, 1, &fed[i].loader, error);
        }
    }
    if (status == FS_OK) {
        status = time_fed_updates(b, &network, fed, error);
    }
    for (int i = 0; i < FS_BENCH_DATA; i++) {
        fs_loader_destroy(fed[i].loader);
        fs_dataset_close(&fed[i].data);
    }
    free(fed);
    fs_bench_network_free(b, &network);
    return status;
}

/* --- the network behind FID --- */

static fs_status time_inception(struct fs_bench *b, struct fs_inception *inception, struct fs_error *error)
{
    const int64_t input = (int64_t)FS_INCEPTION_SIDE * FS_INCEPTION_SIDE * 3;
    b->error.status = FS_OK;
    const struct fs_view pictures = fs_bench_take(b, b->batch, input);
    float *pool = fs_allocate((size_t)b->batch, 2048 * sizeof *pool, "features", &b->error);
    float *const features[FS_INCEPTION_TAPS] = {[FS_INCEPTION_POOL] = pool};
    fs_status status = b->error.status;
    double best = 1e30;
    const double start = fs_seconds();
    for (int i = 0; status == FS_OK && (i < 4 || (fs_seconds() - start < 2 && i < 100)); i++) {
        const double before = fs_seconds();
        status = fs_inception_forward(inception, b->batch, pictures.data, features, &b->error);
        const double seconds = fs_seconds() - before;
        best = seconds < best ? seconds : best;
    }
    if (status == FS_OK) {
        fs_bench_row(b, "features", best, (double)b->batch * fs_inception_flops(inception), 0);
    } else {
        *error = b->error;
    }
    free(pool);
    fs_bench_release(b);
    return status;
}

/* Features of a batch of pictures, up to the pool. Time does not depend on the parameters, so any will do. */
fs_status fs_bench_inception(struct fs_bench *b, int batch, struct fs_error *error)
{
    struct fs_inception_random parameters;
    b->model = FS_BENCH_INCEPTION;
    b->batch = batch > 0 ? batch : b->on_device ? 32 : 2 * fs_cpu_threads(b->backend);
    FS_TRY(fs_inception_random_create(0, &parameters, error));
    struct fs_inception *inception = fs_inception_create(b->backend, &parameters.file, error);
    fs_inception_random_destroy(&parameters);
    const fs_status status = inception ? time_inception(b, inception, error) : FS_FAILED;
    fs_inception_destroy(inception);
    return status;
}
