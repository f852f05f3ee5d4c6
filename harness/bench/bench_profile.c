/* `fewstep bench --profile`: where the time of an update goes, operation by operation, beside the least that the
 * machine needs for it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/bench/network.h"
#include "harness/bench/profile.h"
#include "harness/data/loader.h"
#include "kernels/base/clock.h"
#include "kernels/base/memory.h"

#define SECONDS 4 /* of updates, of which the shortest is shown */

/* An update whose rows come from memory. */
struct fed {
    struct fs_dataset memory;
    struct fs_loader *loader;
    float *rows;
    int64_t update;
};

static fs_status fed_open(struct fs_bench *b, const struct fs_bench_network *n, struct fed *fed, struct fs_error *error)
{
    const struct fs_loader_range all = {0, b->batch};
    fed->rows = fs_allocate((size_t)b->batch, (size_t)n->target.cols * sizeof *fed->rows, "a batch", error);
    if (!fed->rows) {
        return FS_FAILED;
    }
    FS_TRY(fs_bench_data_open(b, FS_BENCH_MEMORY, &fed->memory, error));
    return fs_loader_create(&fed->memory, 0, INT64_MAX, b->batch, &all, 1, &fed->loader, error);
}

static void fed_close(struct fed *fed)
{
    fs_loader_destroy(fed->loader);
    fs_dataset_close(&fed->memory);
    free(fed->rows);
}

/* What one update took: its operations, and the rows that `loader` waited for. */
struct taken {
    struct fs_profile_row rows[FS_PROFILE_ROWS + 2];
    int count;
    double seconds;
};

static fs_status take_update(struct fs_bench *b, struct fs_bench_network *n, struct fs_profile *profile,
                             struct fed *fed, struct taken *taken, struct fs_error *error)
{
    fs_profile_clear(profile);
    const double begin = fs_seconds();
    double loading = 0;
    if (fed->loader) {
        FS_TRY(fs_loader_rows(fed->loader, fed->update++, 0, b->batch, fed->rows, n->labels, error));
        loading = fs_seconds() - begin;
        b->backend->upload(b->backend, n->target.data, fed->rows,
                           (size_t)(b->batch * n->target.cols) * sizeof *fed->rows);
    }
    fs_bench_network_update(b, n);
    fs_bench_settle(b);
    taken->seconds = fs_seconds() - begin;
    taken->count = profile->count;
    memcpy(taken->rows, profile->rows, (size_t)profile->count * sizeof *taken->rows);
    double between = taken->seconds - loading;
    for (int i = 0; i < profile->count; i++) {
        between -= profile->rows[i].seconds;
    }
    if (fed->loader) {
        taken->rows[taken->count++] = (struct fs_profile_row){
            .operation = "loader", .rows = b->batch, .cols = n->target.cols, .seconds = loading};
    }
    taken->rows[taken->count++] = (struct fs_profile_row){.operation = "between operations", .seconds = between};
    return FS_OK;
}

static fs_status take_shortest(struct fs_bench *b, struct fs_bench_network *n, struct fs_profile *profile,
                               struct taken *shortest, struct fs_error *error)
{
    struct fed fed = {.loader = NULL};
    struct taken taken;
    fs_status status = fed_open(b, n, &fed, error);
    const double start = fs_seconds();
    shortest->seconds = INFINITY;
    for (int i = 0; status == FS_OK && (i < 4 || fs_seconds() - start < SECONDS); i++) {
        status = take_update(b, n, profile, &fed, &taken, error);
        if (status == FS_OK && i > 0 && taken.seconds < shortest->seconds) {
            *shortest = taken;
        }
    }
    fed_close(&fed);
    return status;
}

/* --- the table --- */

/* The least time of a row: its FLOPs at the peak or its bytes at the speed of a copy, whichever is more. */
static double least_seconds(const struct fs_bench *b, const struct fs_profile_row *row)
{
    const double peak = row->type == FS_BF16 && b->half_peak_flops > 0 ? b->half_peak_flops : b->peak_flops;
    return fmax(row->flops / peak, row->bytes / b->copy_bytes);
}

static void name_of(const struct fs_profile_row *row, char text[160])
{
    char outputs[32] = "", shape[64] = "";
    if (row->outputs > 0) {
        snprintf(outputs, sizeof outputs, " → %lld", (long long)row->outputs);
    }
    if (row->rows > 0) {
        snprintf(shape, sizeof shape, " %lld × %lld", (long long)row->rows, (long long)row->cols);
    }
    snprintf(text, 160, "%.40s%s%s%s", row->operation, shape, outputs, row->type == FS_BF16 ? " bf16" : "");
}

static void print_row(const struct fs_bench *b, const char *name, const struct fs_profile_row *row, double least,
                      double whole)
{
    if (b->json) {
        fprintf(b->out,
                "{\"model\":\"%s\",\"batch\":%d,\"precision\":\"%s\",\"profile\":\"%s\",\"calls\":%lld,"
                "\"seconds\":%.6g,\"least_seconds\":%.6g,\"gap_seconds\":%.6g}\n",
                b->model, b->batch, b->type == FS_BF16 ? "bf16" : "fp32", name, (long long)row->calls, row->seconds,
                least, row->seconds - least);
        return;
    }
    int width = 42; /* of letters, of which × and → have two and three bytes */
    for (const char *c = name; *c; c++) {
        width += (*c & 0xc0) == 0x80;
    }
    fprintf(b->out, "%-*s %6lld %10.3f %7.1f%% %10.3f %10.3f\n", width, name, (long long)row->calls, row->seconds * 1e3,
            100 * row->seconds / whole, least * 1e3, (row->seconds - least) * 1e3);
}

/* The row with the largest gap of those from `first` on, put there. */
static void bring_largest(const struct fs_bench *b, struct taken *taken, int first)
{
    int largest = first;
    double gap = -INFINITY;
    for (int i = first; i < taken->count; i++) {
        const double other = taken->rows[i].seconds - least_seconds(b, &taken->rows[i]);
        largest = other > gap ? i : largest;
        gap = fmax(gap, other);
    }
    const struct fs_profile_row row = taken->rows[largest];
    taken->rows[largest] = taken->rows[first];
    taken->rows[first] = row;
}

static void print_profile(const struct fs_bench *b, struct taken *taken)
{
    struct fs_profile_row sum = {.calls = 0};
    double least = 0;
    char name[160];
    if (!b->json) {
        fprintf(b->out, "%s, batch %d, %s: an update, %s\n%-42s %6s %10s %8s %10s %10s\n", b->model, b->batch,
                b->type == FS_BF16 ? "bf16" : "fp32",
                b->on_device ? "each operation waited for" : "the shortest of some seconds", "operation", "calls", "ms",
                "share", "least ms", "gap ms");
    }
    for (int i = 0; i < taken->count; i++) {
        bring_largest(b, taken, i);
        const struct fs_profile_row *row = &taken->rows[i];
        name_of(row, name);
        print_row(b, name, row, least_seconds(b, row), taken->seconds);
        sum.calls += row->calls;
        sum.seconds += row->seconds;
        least += least_seconds(b, row);
    }
    print_row(b, "update", &sum, least, taken->seconds);
    fflush(b->out);
}

/* --- what the products alone would take --- */

#define PRODUCT_SECONDS 0.15 /* of each, of which the shortest counts */

/* A buffer of normals in the type of the row's operands. */
static struct fs_view take_as(struct fs_bench *b, int64_t rows, int64_t cols, enum fs_type type)
{
    const struct fs_view wide = fs_bench_take(b, rows, cols);
    if (type == FS_F32 || wide.data == NULL) {
        return wide;
    }
    struct fs_view half = fs_bench_take(b, rows, cols);
    half.type = type;
    if (half.data != NULL) {
        b->backend->copy(b->backend, half, wide);
    }
    return half;
}

/* Seconds of all calls of a row of linear layers with no bias, no activation and no gradient of either. */
static double seconds_of_products(struct fs_bench *b, const struct fs_profile_row *row)
{
    const bool backward = strcmp(row->operation, "linear_backward") == 0;
    const int products = (int)lround(row->flops / (2.0 * (double)(row->rows * row->cols * row->outputs * row->calls)));
    const struct fs_view x = take_as(b, row->rows, row->cols, row->type),
                         w = take_as(b, row->outputs, row->cols, row->type),
                         y = take_as(b, row->rows, row->outputs, row->type),
                         dx = backward && products > 1 ? take_as(b, row->rows, row->cols, row->type) : fs_no_view(),
                         dw = fs_bench_take(b, row->outputs, row->cols), none = fs_no_view();
    double best = INFINITY;
    const double start = fs_seconds();
    for (int i = 0; b->error.status == FS_OK && (i < 4 || fs_seconds() - start < PRODUCT_SECONDS); i++) {
        const double begin = fs_seconds();
        if (backward) {
            b->backend->linear_backward(b->backend, dx, dw, none, y, x, w, none);
        } else {
            b->backend->linear_forward(b->backend, y, x, w, none, FS_LINEAR, none);
        }
        fs_bench_settle(b);
        best = fmin(best, fs_seconds() - begin);
    }
    fs_bench_release(b);
    return best * (double)row->calls;
}

/* How far the update's linear layers are from their products, and those from the peak: what an update could reach at
 * most, were all else free. */
static fs_status compare_with_products(struct fs_bench *b, const struct taken *taken, struct fs_error *error)
{
    double layers = 0, alone = 0, least = 0;
    b->error.status = FS_OK;
    for (int i = 0; i < taken->count && b->error.status == FS_OK; i++) {
        const struct fs_profile_row *row = &taken->rows[i];
        if (strncmp(row->operation, "linear_", strlen("linear_")) == 0) {
            layers += row->seconds;
            alone += seconds_of_products(b, row);
            least += row->flops / (row->type == FS_BF16 && b->half_peak_flops > 0 ? b->half_peak_flops : b->peak_flops);
        }
    }
    if (b->error.status != FS_OK) {
        *error = b->error;
        return error->status;
    }
    fprintf(b->out,
            b->json ? "{\"products_alone_seconds\":%.6g,\"of_peak\":%.4g,\"layers_seconds\":%.6g,\"seconds\":%.6g}\n"
                    : "the products of its linear layers alone: %.1f ms, %.0f%% of the peak; the layers take %.1f, the "
                      "update %.1f\n\n",
            alone * (b->json ? 1 : 1e3), least / alone * (b->json ? 1 : 100), layers * (b->json ? 1 : 1e3),
            taken->seconds * (b->json ? 1 : 1e3));
    fflush(b->out);
    return FS_OK;
}

fs_status fs_bench_profile(struct fs_bench *b, enum fs_type precision, struct fs_error *error)
{
    struct fs_bench_network network;
    struct fs_profile *profile = fs_allocate(1, sizeof *profile, "a profile", error);
    struct taken *shortest = fs_allocate(1, sizeof *shortest, "a profile", error);
    struct fs_backend *const backend = b->backend;
    if (!profile || !shortest) {
        free(profile);
        free(shortest);
        return FS_FAILED;
    }
    fs_profile_begin(profile, backend, b->on_device);
    b->backend = &profile->backend;
    b->type = precision;
    fs_status status = fs_bench_network_create(b, &network, precision, FS_PASS_BACKWARD | FS_PASS_TANGENT, error);
    if (status == FS_OK) {
        status = take_shortest(b, &network, profile, shortest, error);
    }
    if (status == FS_OK && b->error.status != FS_OK) {
        *error = b->error;
        status = error->status;
    }
    if (status == FS_OK) {
        print_profile(b, shortest);
    }
    fs_bench_network_free(b, &network);
    b->backend = backend;
    if (status == FS_OK) {
        status = compare_with_products(b, shortest, error);
    }
    b->type = FS_F32;
    free(profile);
    free(shortest);
    return status;
}
