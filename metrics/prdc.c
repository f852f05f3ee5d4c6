/* Precision, recall, density and coverage from blocks of squared distances. */
#include "metrics/prdc.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "metrics/metric.h"

#define BLOCK 1024 /* rows of a block of distances, and its columns */
#define SLICE 64   /* columns that a thread takes at once */
#define GROUPS_MAX 20
#define NEAREST_MAX 8
#define KEPT 16 /* nearest samples that are remembered, so that most are left when a group is taken out */

/* --- squared distances --- */

struct rows {
    const float *features;
    int64_t n;
    double *norms; /* [n], squared, of the centred rows */
};

struct distances {
    int64_t dim;
    double *centre;  /* [dim]: the closer to the rows, the less their products cancel */
    double *x, *y;   /* [BLOCK, dim], centred */
    double *squared; /* [BLOCK, BLOCK] */
    double rounding; /* of a squared distance, relative to both norms: below it two rows are the same */
    const struct fs_metric_watch *watch;
    int64_t done, of; /* blocks */
};

static void centre_rows(const struct distances *d, const struct rows *rows, int64_t first, int64_t count, double *out)
{
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < d->dim; j++) {
            out[i * d->dim + j] = (double)rows->features[(first + i) * d->dim + j] - d->centre[j];
        }
    }
}

static fs_status fill_norms(struct distances *d, struct rows *rows, const char *what, struct fs_error *error)
{
    rows->norms = fs_allocate((size_t)rows->n, sizeof *rows->norms, "norms of features", error);
    if (!rows->norms) {
        return FS_FAILED;
    }
    for (int64_t first = 0; first < rows->n; first += BLOCK) {
        const int64_t count = rows->n - first < BLOCK ? rows->n - first : BLOCK;
        centre_rows(d, rows, first, count, d->x);
        for (int64_t i = 0; i < count; i++) {
            const double *row = d->x + i * d->dim;
            rows->norms[first + i] = cblas_ddot((int)d->dim, row, 1, row, 1);
            if (!isfinite(rows->norms[first + i])) {
                return fs_fail(error, FS_FAILED, "precision and recall: row %lld of the %s is not finite, or too large",
                               (long long)(first + i), what);
            }
        }
    }
    return FS_OK;
}

/* A block of two sets of rows. */
struct block {
    int64_t first_x, count_x, first_y, count_y;
};

/* |x|² + |y|² − 2·x·y to d->squared [count_x, count_y]. */
static void fill_block(struct distances *d, const struct rows *x, const struct rows *y, struct block block)
{
    centre_rows(d, x, block.first_x, block.count_x, d->x);
    centre_rows(d, y, block.first_y, block.count_y, d->y);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)block.count_x, (int)block.count_y, (int)d->dim, -2, d->x,
                (int)d->dim, d->y, (int)d->dim, 0, d->squared, (int)block.count_y);
#pragma omp parallel for
    for (int64_t i = 0; i < block.count_x; i++) {
        double *row = d->squared + i * block.count_y;
        for (int64_t j = 0; j < block.count_y; j++) {
            const double norms = x->norms[block.first_x + i] + y->norms[block.first_y + j];
            const double squared = row[j] + norms;
            row[j] = squared > d->rounding * norms ? squared : 0;
        }
    }
    fs_metric_progress(d->watch, "precision, recall, density, coverage", ++d->done, d->of);
}

static int64_t blocks_of(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK;
}

/* --- nearest neighbours within a set --- */

struct neighbour {
    double squared;
    int group;
};

/* `squared` is below that of the last of the list. */
static void keep_nearest(struct neighbour *nearest, double squared, int group)
{
    int place = KEPT - 1;
    for (; place > 0 && nearest[place - 1].squared > squared; place--) {
        nearest[place] = nearest[place - 1];
    }
    nearest[place] = (struct neighbour){squared, group};
}

/* What a block of distances says of its rows. */
static void keep_of_rows(const struct distances *d, struct block block, int64_t n, int groups,
                         struct neighbour *nearest)
{
#pragma omp parallel for
    for (int64_t i = 0; i < block.count_x; i++) {
        struct neighbour *list = nearest + (block.first_x + i) * KEPT;
        for (int64_t j = 0; j < block.count_y; j++) {
            const double squared = d->squared[i * block.count_y + j];
            if (squared < list[KEPT - 1].squared && block.first_x + i != block.first_y + j) {
                keep_nearest(list, squared, fs_group_of_row(block.first_y + j, n, groups));
            }
        }
    }
}

/* And of its columns, which threads share out by slices, as a column alone lies far apart in memory. */
static void keep_of_columns(const struct distances *d, struct block block, int64_t n, int groups,
                            struct neighbour *nearest)
{
#pragma omp parallel for
    for (int64_t part = 0; part < (block.count_y + SLICE - 1) / SLICE; part++) {
        const int64_t end = part * SLICE + SLICE < block.count_y ? part * SLICE + SLICE : block.count_y;
        for (int64_t i = 0; i < block.count_x; i++) {
            const int group = fs_group_of_row(block.first_x + i, n, groups);
            for (int64_t j = part * SLICE; j < end; j++) {
                struct neighbour *list = nearest + (block.first_y + j) * KEPT;
                const double squared = d->squared[i * block.count_y + j];
                if (squared < list[KEPT - 1].squared) {
                    keep_nearest(list, squared, group);
                }
            }
        }
    }
}

/* nearest [n, KEPT], ascending. Blocks above the diagonal serve both their rows and their columns. */
static void find_nearest(struct distances *d, const struct rows *rows, int groups, struct neighbour *nearest)
{
    for (int64_t i = 0; i < rows->n * KEPT; i++) {
        nearest[i] = (struct neighbour){INFINITY, -1};
    }
    for (int64_t x = 0; x < rows->n; x += BLOCK) {
        for (int64_t y = x; y < rows->n; y += BLOCK) {
            const struct block block = {x, rows->n - x < BLOCK ? rows->n - x : BLOCK, y,
                                        rows->n - y < BLOCK ? rows->n - y : BLOCK};
            fill_block(d, rows, rows, block);
            keep_of_rows(d, block, rows->n, groups, nearest);
            if (y > x) {
                keep_of_columns(d, block, rows->n, groups, nearest);
            }
        }
    }
}

/* The squared distance to the k-th nearest that is not of group `without` (−1: to the k-th nearest); where fewer than k
 * of those remembered are left, to the last remembered. */
static double radius(const struct neighbour *nearest, int k, int without)
{
    double last = nearest[0].squared;
    for (int i = 0; i < KEPT && k > 0; i++) {
        if (nearest[i].group != without && isfinite(nearest[i].squared)) {
            last = nearest[i].squared;
            k--;
        }
    }
    return last;
}

/* --- who lies in whose ball --- */

struct membership {
    int groups, precision_nearest, density_nearest;
    int64_t n, reference_n;
    double *precision_radii, *density_radii; /* [reference_n] */
    double *radii;                           /* [n, groups + 1]: of samples, without each group; the last: with all */
    double *largest;                         /* [n]: of these */
    uint8_t *precise;                        /* [n]: the sample is in a ball of the reference */
    int64_t *dense;                          /* [n]: in how many */
    uint32_t *recalled, *covered; /* [reference_n]: bit g: also without group g; bit `groups`: with all samples */
};

/* Threads share out the columns, which are samples. */
static void judge_samples(const struct distances *d, struct block block, struct membership *m)
{
#pragma omp parallel for
    for (int64_t part = 0; part < (block.count_y + SLICE - 1) / SLICE; part++) {
        const int64_t end = part * SLICE + SLICE < block.count_y ? part * SLICE + SLICE : block.count_y;
        for (int64_t i = 0; i < block.count_x; i++) {
            const double precision = m->precision_radii[block.first_x + i],
                         density = m->density_radii[block.first_x + i];
            for (int64_t j = part * SLICE; j < end; j++) {
                const double squared = d->squared[i * block.count_y + j];
                m->precise[block.first_y + j] |= squared < precision;
                m->dense[block.first_y + j] += squared < density;
            }
        }
    }
}

/* Threads share out the rows, which are of the reference. */
static void judge_reference(const struct distances *d, struct block block, struct membership *m)
{
    const uint32_t every = (2U << m->groups) - 1;
#pragma omp parallel for
    for (int64_t i = 0; i < block.count_x; i++) {
        uint32_t recalled = 0, covered = 0;
        for (int64_t j = 0; j < block.count_y; j++) {
            const int64_t sample = block.first_y + j;
            const double squared = d->squared[i * block.count_y + j];
            const bool in_ball = squared < m->density_radii[block.first_x + i];
            if (!in_ball && squared >= m->largest[sample]) {
                continue;
            }
            const uint32_t others = every & ~(1U << fs_group_of_row(sample, m->n, m->groups));
            uint32_t inside = 0;
            for (int g = 0; g <= m->groups; g++) {
                inside |= (uint32_t)(squared < m->radii[sample * (m->groups + 1) + g]) << g;
            }
            covered |= in_ball ? others : 0;
            recalled |= inside & others;
        }
        m->recalled[block.first_x + i] |= recalled;
        m->covered[block.first_x + i] |= covered;
    }
}

static void find_members(struct distances *d, const struct rows *reference, const struct rows *samples,
                         struct membership *m)
{
    for (int64_t x = 0; x < reference->n; x += BLOCK) {
        for (int64_t y = 0; y < samples->n; y += BLOCK) {
            const struct block block = {x, reference->n - x < BLOCK ? reference->n - x : BLOCK, y,
                                        samples->n - y < BLOCK ? samples->n - y : BLOCK};
            fill_block(d, reference, samples, block);
            judge_samples(d, block, m);
            judge_reference(d, block, m);
        }
    }
}

/* --- from members to numbers --- */

/* An interval ends where the number itself does. */
static struct fs_estimate within(struct fs_estimate estimate, double least, double most)
{
    estimate.low = fmax(estimate.low, least);
    estimate.high = fmin(estimate.high, most);
    return estimate;
}

/* Means over samples: of all, and of all but each group. */
static struct fs_estimate over_samples(const struct membership *m, bool density)
{
    double sums[GROUPS_MAX] = {0}, counts[GROUPS_MAX] = {0}, without[GROUPS_MAX], sum = 0;
    const double unit = density ? m->density_nearest : 1;
    for (int64_t i = 0; i < m->n; i++) {
        const int group = fs_group_of_row(i, m->n, m->groups);
        sums[group] += (density ? (double)m->dense[i] : m->precise[i]) / unit;
        counts[group]++;
    }
    for (int g = 0; g < m->groups; g++) {
        sum += sums[g];
    }
    for (int g = 0; g < m->groups; g++) {
        without[g] = (sum - sums[g]) / ((double)m->n - counts[g]);
    }
    return within(fs_estimate_jackknife(sum / (double)m->n, without, m->groups), 0, density ? INFINITY : 1);
}

static struct fs_estimate over_reference(const struct membership *m, const uint32_t *bits)
{
    double shares[GROUPS_MAX + 1] = {0};
    for (int64_t i = 0; i < m->reference_n; i++) {
        for (int g = 0; g <= m->groups; g++) {
            shares[g] += bits[i] >> g & 1U;
        }
    }
    for (int g = 0; g <= m->groups; g++) {
        shares[g] /= (double)m->reference_n;
    }
    return within(fs_estimate_jackknife(shares[m->groups], shares, m->groups), 0, 1);
}

/* --- the whole --- */

static void membership_free(struct membership *m)
{
    free(m->precision_radii);
    free(m->density_radii);
    free(m->radii);
    free(m->largest);
    free(m->precise);
    free(m->dense);
    free(m->recalled);
    free(m->covered);
}

static fs_status membership_create(struct membership *m, struct fs_error *error)
{
    const size_t n = (size_t)m->n, reference_n = (size_t)m->reference_n;
    const char *what = "the balls around features";
    m->precision_radii = fs_allocate(reference_n, sizeof(double), what, error);
    m->density_radii = fs_allocate(reference_n, sizeof(double), what, error);
    m->radii = fs_allocate(n, (size_t)(m->groups + 1) * sizeof(double), what, error);
    m->largest = fs_allocate(n, sizeof(double), what, error);
    m->precise = fs_allocate(n, 1, what, error);
    m->dense = fs_allocate(n, sizeof(int64_t), what, error);
    m->recalled = fs_allocate(reference_n, sizeof(uint32_t), what, error);
    m->covered = fs_allocate(reference_n, sizeof(uint32_t), what, error);
    const bool there = m->precision_radii && m->density_radii && m->radii && m->largest && m->precise && m->dense &&
                       m->recalled && m->covered;
    return there ? FS_OK : FS_FAILED;
}

/* Radii around the reference, then around samples; `nearest` [the larger of both, KEPT] is scratch. */
static void measure_radii(struct distances *d, const struct rows *reference, const struct rows *samples,
                          struct neighbour *nearest, struct membership *m)
{
    find_nearest(d, reference, m->groups, nearest);
    for (int64_t i = 0; i < m->reference_n; i++) {
        m->precision_radii[i] = radius(nearest + i * KEPT, m->precision_nearest, -1);
        m->density_radii[i] = radius(nearest + i * KEPT, m->density_nearest, -1);
    }
    find_nearest(d, samples, m->groups, nearest);
    for (int64_t i = 0; i < m->n; i++) {
        for (int g = 0; g <= m->groups; g++) {
            const double r = radius(nearest + i * KEPT, m->precision_nearest, g < m->groups ? g : -1);
            m->radii[i * (m->groups + 1) + g] = r;
            m->largest[i] = fmax(m->largest[i], r);
        }
    }
}

static fs_status open_distances(struct distances *d, const struct rows *reference, struct fs_error *error)
{
    const char *what = "a block of distances";
    d->centre = fs_allocate((size_t)d->dim, sizeof(double), what, error);
    d->x = fs_allocate(BLOCK, (size_t)d->dim * sizeof(double), what, error);
    d->y = fs_allocate(BLOCK, (size_t)d->dim * sizeof(double), what, error);
    d->squared = fs_allocate(BLOCK, BLOCK * sizeof(double), what, error);
    if (!d->centre || !d->x || !d->y || !d->squared) {
        return FS_FAILED;
    }
    for (int64_t i = 0; i < reference->n; i++) {
        for (int64_t j = 0; j < d->dim; j++) {
            d->centre[j] += (double)reference->features[i * d->dim + j] / (double)reference->n;
        }
    }
    return FS_OK;
}

static fs_status measure(struct distances *d, struct rows *reference, struct rows *samples, struct membership *m,
                         struct fs_error *error)
{
    const int64_t larger = reference->n > samples->n ? reference->n : samples->n;
    FS_TRY(open_distances(d, reference, error));
    FS_TRY(fill_norms(d, reference, "reference", error));
    FS_TRY(fill_norms(d, samples, "samples", error));
    FS_TRY(membership_create(m, error));
    struct neighbour *nearest = fs_allocate((size_t)larger, KEPT * sizeof *nearest, "nearest neighbours", error);
    if (!nearest) {
        return FS_FAILED;
    }
    measure_radii(d, reference, samples, nearest, m);
    free(nearest);
    find_members(d, reference, samples, m);
    return FS_OK;
}

static fs_status check_arguments(int64_t dim, int64_t n, int64_t reference_n, int precision_nearest,
                                 int density_nearest, struct fs_error *error)
{
    const int larger = precision_nearest > density_nearest ? precision_nearest : density_nearest;
    const int smaller = precision_nearest < density_nearest ? precision_nearest : density_nearest;
    if (dim < 1 || dim > INT32_MAX || smaller < 1 || larger > NEAREST_MAX) {
        return fs_fail(error, FS_USAGE, "precision and recall: expected 1 … %d nearest neighbours, got %d and %d",
                       NEAREST_MAX, precision_nearest, density_nearest);
    }
    if (n < 2 * (larger + 1) || reference_n < larger + 1) {
        return fs_fail(error, FS_USAGE,
                       "precision and recall: expected %d samples and %d rows of the reference or more, got %lld and "
                       "%lld",
                       2 * (larger + 1), larger + 1, (long long)n, (long long)reference_n);
    }
    return FS_OK;
}

fs_status fs_prdc(int64_t dim, const float *features, int64_t n, const float *reference, int64_t reference_n,
                  int precision_nearest, int density_nearest, const struct fs_metric_watch *watch,
                  struct fs_prdc *result, struct fs_error *error)
{
    FS_TRY(check_arguments(dim, n, reference_n, precision_nearest, density_nearest, error));
    struct rows of_reference = {.features = reference, .n = reference_n}, samples = {.features = features, .n = n};
    struct distances d = {.dim = dim, .rounding = 4 * DBL_EPSILON * sqrt((double)dim), .watch = watch};
    const int64_t a = blocks_of(reference_n), b = blocks_of(n);
    d.of = a * (a + 1) / 2 + b * (b + 1) / 2 + a * b;
    struct membership m = {.groups = n < GROUPS_MAX ? (int)n : GROUPS_MAX,
                           .precision_nearest = precision_nearest,
                           .density_nearest = density_nearest,
                           .n = n,
                           .reference_n = reference_n};
    const fs_status status = measure(&d, &of_reference, &samples, &m, error);
    if (status == FS_OK) {
        *result = (struct fs_prdc){over_samples(&m, false), over_reference(&m, m.recalled), over_samples(&m, true),
                                   over_reference(&m, m.covered)};
    }
    membership_free(&m);
    free(of_reference.norms);
    free(samples.norms);
    free(d.centre);
    free(d.x);
    free(d.y);
    free(d.squared);
    return status;
}

/* --- the metrics --- */

/* As many rows of the reference as there are samples; owned by the caller. */
static float *chosen_reference(const struct fs_evaluation *e, struct fs_error *error)
{
    const int64_t dim = e->reference.dim, n = e->samples.n;
    float *rows = fs_allocate((size_t)n, (size_t)dim * sizeof *rows, "features of the reference", error);
    int64_t chosen = 0;
    for (int64_t row = 0; rows && row < e->reference.n; row++) {
        if (fs_row_is_chosen(e->seed, row, e->reference.n, chosen, n)) {
            memcpy(rows + chosen++ * dim, e->reference.features + row * dim, (size_t)dim * sizeof *rows);
        }
    }
    return rows;
}

enum { PRECISION, RECALL, DENSITY, COVERAGE };

static fs_status evaluate(const struct fs_evaluation *e, struct fs_estimate *estimates, struct fs_metric_curve *curve,
                          struct fs_error *error)
{
    const bool fewer = e->reference.n > e->samples.n;
    float *chosen = fewer ? chosen_reference(e, error) : NULL;
    struct fs_prdc prdc;
    (void)curve;
    if (fewer && !chosen) {
        return FS_FAILED;
    }
    const fs_status status = fs_prdc(e->samples.dim, e->samples.features, e->samples.n,
                                     fewer ? chosen : e->reference.features, fewer ? e->samples.n : e->reference.n,
                                     FS_PRECISION_NEAREST, FS_DENSITY_NEAREST, e->watch, &prdc, error);
    free(chosen);
    if (status == FS_OK) {
        estimates[PRECISION] = prdc.precision;
        estimates[RECALL] = prdc.recall;
        estimates[DENSITY] = prdc.density;
        estimates[COVERAGE] = prdc.coverage;
    }
    return status;
}

static int64_t enough(int64_t dim)
{
    (void)dim;
    return 1000;
}

/* clang-format off */
#define IN_COMMON \
    .family = "precision, recall, density, coverage", \
    .needs = {FS_NEED_FEATURES, FS_NEED_FEATURES}, \
    .larger_is_better = true, \
    .minimum = (int64_t)2 * (FS_DENSITY_NEAREST + 1), \
    .enough = enough, \
    .bias = "the balls around few features are large: precision and recall are too high, coverage is uncertain", \
    .evaluate = evaluate
/* clang-format on */

const struct fs_metric fs_metric_precision = {.name = "precision", .label = "precision", .part = PRECISION, IN_COMMON};
const struct fs_metric fs_metric_recall = {.name = "recall", .label = "recall", .part = RECALL, IN_COMMON};
const struct fs_metric fs_metric_density = {.name = "density", .label = "density", .part = DENSITY, IN_COMMON};
const struct fs_metric fs_metric_coverage = {.name = "coverage", .label = "coverage", .part = COVERAGE, IN_COMMON};
