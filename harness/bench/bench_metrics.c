/* `fewstep bench --op metrics`: all metrics from made-up features of Inception's size. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/bench/bench.h"
#include "harness/run/progress.h"
#include "kernels/base/clock.h"
#include "kernels/base/memory.h"
#include "kernels/base/random.h"
#include "metrics/distances.h"
#include "metrics/frechet.h"
#include "metrics/metric.h"

#define DIM 2048
#define SPATIAL_DIM 2023
#define CLASSES 1008
#define SIDE 32
#define CHANNELS 3
#define PICTURES 500 /* at once, for the spectrum */

struct bench {
    int64_t rows;
    bool json;
    FILE *out;
    struct fs_progress progress;
    float *features, *reference, *spatial, *logits;
    struct fs_moments moments, spatial_moments;
    struct fs_picture_sums_set sums;
    double *summaries[FS_PICTURE_SUMS_MAX];
};

static void print_time(const struct bench *b, const char *what, double seconds)
{
    fprintf(b->out,
            b->json ? "{\"operation\":\"%s\",\"rows\":%" PRId64 ",\"dim\":%d,\"seconds\":%.6g}\n"
                    : "%-24s %7" PRId64 " × %d %10.3f s\n",
            what, b->rows, DIM, seconds);
    fflush(b->out);
}

static void show(void *context, const char *metric, int64_t done, int64_t of)
{
    struct bench *b = context;
    if (fs_progress_due(&b->progress, false)) {
        fs_progress_line(&b->progress, false, "%s: part %" PRId64 "/%" PRId64, metric, done, of);
    }
}

/* Dimensions of unlike size around unlike means; `shift` moves them. Owned by the caller. */
static float *made_up(uint32_t seed, int64_t rows, int64_t dim, float shift, struct fs_error *error)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_SYNTHETIC_DATA};
    float *out = fs_allocate((size_t)rows, (size_t)dim * sizeof *out, "features", error);
    if (!out) {
        return NULL;
    }
#pragma omp parallel for
    for (int64_t i = 0; i < rows; i++) {
        float normals[4] = {0};
        for (int64_t j = 0; j < dim; j++) {
            if (j % 4 == 0) {
                fs_normals4(key, (uint32_t)i, (uint32_t)(j / 4), normals);
            }
            const float size = 0.1F + 0.4F * (float)(j % 7);
            out[i * dim + j] = size * (1 + shift + normals[j % 4]);
        }
    }
    return out;
}

static fs_status moments_of(const float *rows, int64_t n, int64_t dim, struct fs_moments *moments,
                            struct fs_error *error)
{
    struct fs_statistics statistics = {0};
    fs_status status = fs_moments_create(dim, moments, error);
    if (status == FS_OK) {
        status = fs_statistics_create(dim, &statistics, error);
    }
    if (status == FS_OK) {
        fs_statistics_add(&statistics, rows, n);
        status = fs_moments_fill(moments, &statistics, 0, error);
    }
    fs_statistics_destroy(&statistics);
    return status;
}

/* --- two statistics --- */

static fs_status fill_covariance(const float *rows, int64_t n, double *mean, double *covariance, struct fs_error *error)
{
    struct fs_statistics statistics;
    FS_TRY(fs_statistics_create(DIM, &statistics, error));
    fs_statistics_add(&statistics, rows, n);
    const fs_status status = fs_statistics_covariance(&statistics, covariance, error);
    memcpy(mean, statistics.mean, DIM * sizeof *mean);
    fs_statistics_destroy(&statistics);
    return status;
}

/* The Fréchet distance from two statistics alone, the best of three. */
static fs_status time_distance(const struct bench *b, struct fs_error *error)
{
    const int64_t rows = b->rows < 2 * DIM ? b->rows : 2 * DIM;
    double *covariances = fs_allocate(2 * DIM, DIM * sizeof(double), "two covariances", error), means[2][DIM];
    double best = INFINITY, distance;
    fs_status status = covariances ? fill_covariance(b->features, rows, means[0], covariances, error) : FS_FAILED;
    if (status == FS_OK) {
        status = fill_covariance(b->reference, rows, means[1], covariances + DIM * DIM, error);
    }
    for (int i = 0; status == FS_OK && i < 3; i++) {
        const double begin = fs_seconds();
        status = fs_frechet_distance(DIM, means[0], covariances, means[1], covariances + DIM * DIM, &distance, error);
        best = fmin(best, fs_seconds() - begin);
    }
    free(covariances);
    if (status == FS_OK) {
        print_time(b, "fd of two statistics", best);
    }
    return status;
}

/* --- all metrics --- */

/* The sums over pictures that metrics want; the reference's summaries are all 1. */
static fs_status time_sums(struct bench *b, struct fs_error *error)
{
    const struct fs_picture_shape shape = {SIDE, SIDE, CHANNELS};
    for (int i = 0; fs_metric_at(i); i++) {
        fs_picture_sums_want(&b->sums, fs_metric_at(i)->sums);
    }
    float *pictures = made_up(5, PICTURES, (int64_t)SIDE * SIDE * CHANNELS, 0, error);
    fs_status status = pictures ? fs_picture_sums_open(&b->sums, &shape, b->rows, error) : FS_FAILED;
    const double begin = fs_seconds();
    for (int64_t first = 0; status == FS_OK && first < b->rows; first += PICTURES) {
        const int64_t n = b->rows - first < PICTURES ? b->rows - first : PICTURES;
        status = fs_picture_sums_add(&b->sums, pictures, n, error);
    }
    if (status == FS_OK) {
        print_time(b, "spectra of 32 × 32 × 3", fs_seconds() - begin);
    }
    free(pictures);
    for (int i = 0; i < b->sums.count && status == FS_OK; i++) {
        const int64_t count = b->sums.kinds[i]->summary_count(&shape);
        b->summaries[i] = fs_allocate((size_t)count, sizeof(double), "a spectrum", error);
        status = b->summaries[i] ? FS_OK : FS_FAILED;
        for (int64_t k = 0; k < count && status == FS_OK; k++) {
            b->summaries[i][k] = 1;
        }
    }
    return status;
}

/* Of Inception's taps. */
static struct fs_evaluation evaluation_of(const struct bench *b, const struct fs_metric *metric)
{
    struct fs_evaluation e = {.metric = metric,
                              .samples = {b->rows, DIM, b->features, NULL, fs_picture_sums_of(&b->sums, metric->sums)},
                              .reference = {b->rows, DIM, b->reference, &b->moments}};
    for (int i = 0; i < b->sums.count; i++) {
        if (b->sums.kinds[i] == metric->sums) {
            e.reference.summary = b->summaries[i];
        }
    }
    if (metric->tap && strcmp(metric->tap, "spatial") == 0) {
        e.samples.dim = e.reference.dim = SPATIAL_DIM;
        e.samples.features = b->spatial;
        e.reference.moments = &b->spatial_moments;
    } else if (metric->tap) {
        e.samples.dim = CLASSES;
        e.samples.features = b->logits;
    }
    return e;
}

/* Seconds that the float32 products alone take which precision and its kin need: of each two rows of the samples, of
 * each two of the reference, and of each row of one with each of the other, 2·rows² in all. From the best of three
 * blocks as they work on them. */
static fs_status time_products(const struct bench *b, double *seconds, struct fs_error *error)
{
    enum { BLOCK = FS_DISTANCE_BLOCK };
    const int64_t side = b->rows < BLOCK ? b->rows : BLOCK;
    struct fs_backend *cpu = fs_cpu_backend(0, error);
    float *products = fs_allocate(BLOCK, BLOCK * sizeof *products, "a block of products", error);
    double best = INFINITY;
    fs_status status = cpu && products ? FS_OK : FS_FAILED;
    for (int i = 0; status == FS_OK && i < 3; i++) {
        const double begin = fs_seconds();
        cpu->linear_forward(cpu, fs_view(products, FS_F32, side, side), fs_view(b->features, FS_F32, side, DIM),
                            fs_view(b->reference, FS_F32, side, DIM), fs_no_view(), FS_LINEAR, fs_no_view());
        status = cpu->synchronise(cpu, error);
        best = fmin(best, fs_seconds() - begin);
    }
    const double blocks = (double)b->rows / (double)side;
    *seconds = 2 * blocks * blocks * best;
    free(products);
    if (cpu) {
        cpu->destroy(cpu);
    }
    return status;
}

/* Beside what precision and its kin took; the products are timed before and after it. */
static void print_products(const struct bench *b, double took, double before, double after)
{
    const double alone = (before + after) / 2;
    print_time(b, "its products alone", alone);
    fprintf(b->out, b->json ? "{\"of_products_alone\":%.3g}\n" : "%.2f of its products alone\n", took / alone);
}

static fs_status time_metrics(struct bench *b, struct fs_error *error)
{
    const struct fs_metric_watch watch = {.progress = show, .context = b};
    struct fs_family_estimates known = {0};
    for (int i = 0; fs_metric_at(i); i++) {
        struct fs_evaluation e = evaluation_of(b, fs_metric_at(i));
        struct fs_estimate estimate;
        e.watch = &watch;
        e.known = &known;
        const bool has_products =
            strcmp(e.metric->name, "precision") == 0; /* and its kin, which are worked out with it */
        double before = 0, after = 0;
        FS_TRY(has_products ? time_products(b, &before, error) : FS_OK);
        const double begin = fs_seconds();
        FS_TRY(fs_evaluate(&e, &estimate, NULL, error));
        const double took = fs_seconds() - begin;
        print_time(b, fs_metric_name(i), took);
        if (has_products) {
            FS_TRY(time_products(b, &after, error));
            print_products(b, took, before, after);
        }
    }
    return FS_OK;
}

static fs_status run(struct bench *b, struct fs_error *error)
{
    b->features = made_up(1, b->rows, DIM, 0.1F, error);
    b->reference = made_up(2, b->rows, DIM, 0, error);
    b->spatial = made_up(3, b->rows, SPATIAL_DIM, 0, error);
    b->logits = made_up(4, b->rows, CLASSES, 0, error);
    if (!b->features || !b->reference || !b->spatial || !b->logits) {
        return FS_FAILED;
    }
    FS_TRY(time_distance(b, error));
    const double begin = fs_seconds();
    FS_TRY(moments_of(b->reference, b->rows, DIM, &b->moments, error));
    print_time(b, "reference", fs_seconds() - begin);
    FS_TRY(moments_of(b->spatial, b->rows, SPATIAL_DIM, &b->spatial_moments, error));
    FS_TRY(time_sums(b, error));
    return time_metrics(b, error);
}

fs_status fs_bench_distance(bool json, FILE *out, struct fs_error *error)
{
    struct bench b = {.rows = 2 * DIM, .json = json, .out = out};
    b.features = made_up(1, b.rows, DIM, 0.1F, error);
    b.reference = made_up(2, b.rows, DIM, 0, error);
    const fs_status status = b.features && b.reference ? time_distance(&b, error) : FS_FAILED;
    free(b.features);
    free(b.reference);
    return status;
}

fs_status fs_bench_metrics(int64_t rows, bool json, FILE *out, struct fs_error *error)
{
    struct bench b = {.rows = rows > 0 ? rows : 50000, .json = json, .out = out};
    fs_progress_begin(&b.progress, false);
    const double begin = fs_seconds();
    const fs_status status = run(&b, error);
    if (status == FS_OK) {
        print_time(&b, "all", fs_seconds() - begin);
        fprintf(out, json ? "{\"peak_resident_mib\":%.0f}\n" : "peak resident set %.0f MiB\n",
                (double)fs_memory_peak() / 1048576);
    }
    fs_picture_sums_close(&b.sums);
    for (int i = 0; i < FS_PICTURE_SUMS_MAX; i++) {
        free(b.summaries[i]);
    }
    fs_moments_free(&b.moments);
    fs_moments_free(&b.spatial_moments);
    free(b.features);
    free(b.reference);
    free(b.spatial);
    free(b.logits);
    return status;
}
