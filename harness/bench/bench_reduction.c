/* `fewstep bench --op reduction`, under mpirun or srun: what an update's gradients cost between the ranks. */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "harness/bench/measure.h"
#include "harness/model/dit.h"
#include "harness/train/reduction.h"
#include "kernels/base/clock.h"

#define WARM 2
#define RUNS 9

struct reduction_bench {
    struct fs_bench *b;
    struct fs_reduction reduction;
    struct fs_view gradients;
};

static void sum(struct reduction_bench *r)
{
    fs_reduction_sum(&r->reduction, r->gradients);
}

static void gather(struct reduction_bench *r)
{
    fs_reduction_gather(&r->reduction, r->gradients);
}

static void exchange(struct reduction_bench *r)
{
    const struct fs_dit_watch watch = fs_reduction_begin(&r->reduction, r->gradients);
    watch.done(watch.owner, 0);
    fs_reduction_end(&r->reduction);
}

/* The best time of a few runs, of the rank that takes the longest; on rank 0. All begin at once. */
static double time_all(struct reduction_bench *r, void (*run)(struct reduction_bench *r))
{
    struct fs_comm *comm = r->reduction.comm;
    double best = DBL_MAX, all[FS_RANKS_MAX];
    for (int i = 0; i < WARM + RUNS; i++) {
        fs_comm_any(comm, false);
        const double begin = fs_seconds();
        run(r);
        fs_bench_settle(r->b);
        const double mine = fs_seconds() - begin;
        double longest = 0;
        fs_comm_gather_same(comm, &mine, sizeof mine, all);
        for (int rank = 0; comm->rank == 0 && rank < comm->size; rank++) {
            longest = fmax(longest, all[rank]);
        }
        best = i >= WARM ? fmin(best, longest) : best;
    }
    return best;
}

/* Of S bytes on each of N ranks, a rank at least reads its slice of all, S/N each, and writes the sum: S + S/N; to
 * gather, it reads and writes what the others have, (N − 1)/N·S. */
static void time_rows(struct reduction_bench *r)
{
    const double ranks = r->reduction.comm->size, size = (double)r->gradients.cols * sizeof(float),
                 scattered = size + size / ranks, gathered = 2 * (ranks - 1) / ranks * size;
    const bool tells = r->reduction.comm->rank == 0;
    if (r->reduction.on_device) {
        const double seconds = time_all(r, exchange);
        if (tells) {
            fs_bench_row(r->b, "reduction", seconds, 0, scattered + gathered);
        }
        return;
    }
    const double apart[2] = {time_all(r, sum), time_all(r, gather)};
    if (tells) {
        fs_bench_row(r->b, "reduction, sums scattered", apart[0], 0, scattered);
        fs_bench_row(r->b, "reduction, sums gathered", apart[1], 0, gathered);
        fs_bench_row(r->b, "reduction", apart[0] + apart[1], 0, scattered + gathered);
    }
}

static void print_way(const struct reduction_bench *r)
{
    const struct fs_comm *comm = r->reduction.comm;
    const struct fs_bench *b = r->b;
    const double size = (double)r->gradients.cols * sizeof(float), bucket = (double)r->reduction.bucket * sizeof(float);
    char way[64] = "through the host's memory, behind the backward pass";
    if (r->reduction.on_device) {
        snprintf(way, sizeof way, "from device to device in buckets of %.0f MB", bucket * 1e-6);
    }
    if (b->json) {
        fprintf(b->out,
                "{\"model\":\"%s\",\"ranks\":%d,\"ranks_here\":%d,\"by\":\"%s\",\"bytes\":%.0f,\"way\":\"%s\"}\n",
                b->model, comm->size, comm->local_size, comm->name, size, way);
    } else {
        fprintf(b->out, "%s: %.0f MB of gradients between %d ranks, %d of them on this machine, by %s, %s\n", b->model,
                size * 1e-6, comm->size, comm->local_size, comm->name, way);
    }
}

static fs_status join(struct reduction_bench *r, struct fs_comm *comm, struct fs_error *error)
{
    struct fs_bench *b = r->b;
    struct fs_dit_sizes sizes;
    fs_status status = fs_dit_sizes_of(FS_F32, &b->config, b->height, b->width, b->channels, 1, FS_PASS_FORWARD, FS_F32,
                                       &sizes, error);
    if (status == FS_OK) {
        status = fs_reduction_create(&r->reduction, comm, b->backend, sizes.flat, error);
    }
    if (status == FS_OK) {
        b->error.status = FS_OK;
        r->gradients = fs_bench_take(b, 1, sizes.flat);
        *error = b->error.status != FS_OK ? b->error : *error;
        status = b->error.status;
    }
    FS_TRY(fs_comm_agree(comm, status, error));
    return fs_reduction_join(&r->reduction, error);
}

fs_status fs_bench_reduction(struct fs_bench *b, struct fs_comm *comm, struct fs_error *error)
{
    struct reduction_bench r = {.b = b};
    fs_status status = join(&r, comm, error);
    if (status == FS_OK) {
        if (comm->rank == 0) {
            print_way(&r);
        }
        time_rows(&r);
        if (b->error.status != FS_OK) {
            *error = b->error;
            status = error->status;
        }
        status = fs_comm_agree(comm, status, error);
    }
    fs_reduction_destroy(&r.reduction);
    fs_bench_release(b);
    return status;
}
