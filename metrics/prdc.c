/* Precision, recall, density and coverage: who lies in whose ball. Blocks of float32 products rule out most pairs
 * (distances.h); the rest is measured in double, so that all four are what double alone gives. */
#include "metrics/prdc.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "metrics/distances.h"
#include "metrics/metric.h"

#define BLOCK FS_DISTANCE_BLOCK
#define SLICE 64 /* columns that are ruled out at once */
#define DIM_MAX (1 << 20)
#define GROUPS_MAX 20
#define NEAREST_MAX 8
#define KEPT 16 /* nearest samples that are remembered, so that most are left when a group is taken out */

/* What is measured, and how far it is. */
struct pass {
    struct fs_distances distances;
    const struct fs_metric_watch *watch;
    int64_t done, of; /* blocks */
};

static fs_status fill_block(struct pass *p, const struct fs_distance_rows *x, const struct fs_distance_rows *y,
                            struct fs_distance_block block, struct fs_error *error)
{
    FS_TRY(fs_distances_fill(&p->distances, x, y, block, error));
    return fs_metric_progress(p->watch, "precision, recall, density, coverage", ++p->done, p->of, error);
}

static int64_t blocks_of(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Whether any of a slice of products may be a distance below its row's limit: t < limit − (1 − e)·|x|². */
static bool any_below(const float *t, int64_t count, float limit)
{
    int any = 0;
#pragma omp simd reduction(| : any)
    for (int64_t j = 0; j < count; j++) {
        any |= t[j] < limit;
    }
    return any != 0;
}

/* The same where each column has a limit of its own, or the row has one beside it. */
static bool any_below_each(const float *t, int64_t count, float x, const float *limits, float limit)
{
    int any = 0;
#pragma omp simd reduction(| : any)
    for (int64_t j = 0; j < count; j++) {
        any |= (t[j] < limit) | (t[j] + x < limits[j]);
    }
    return any != 0;
}

static double exact(const struct pass *p, const struct fs_distance_rows *x, int64_t i, const struct fs_distance_rows *y,
                    int64_t j)
{
    const int64_t dim = p->distances.dim;
    return fs_squared_distance(dim, x->features + i * dim, y->features + j * dim);
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

/* Below it a squared distance would be among the nearest. Nothing is nearer than a row that is the same. */
static float limit_of(const struct neighbour *list)
{
    const double last = list[KEPT - 1].squared;
    return last > 0 ? fs_float_above(last) : -INFINITY;
}

/* What a block says of its rows. */
static void keep_of_rows(const struct pass *p, const struct fs_distance_rows *rows, struct fs_distance_block block,
                         int groups, struct neighbour *nearest)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < block.count_x; i++) {
        const int64_t row = block.first_x + i;
        const float *products = p->distances.products + i * block.count_y;
        struct neighbour *list = nearest + row * KEPT;
        float limit = fs_float_above((double)limit_of(list) - (double)rows->bounds[row]);
        for (int64_t first = 0; first < block.count_y; first += SLICE) {
            const int64_t end = least(first + SLICE, block.count_y);
            for (int64_t j = any_below(products + first, end - first, limit) ? first : end; j < end; j++) {
                const int64_t other = block.first_y + j;
                const double squared =
                    products[j] < limit && other != row ? exact(p, rows, row, rows, other) : INFINITY;
                if (squared < list[KEPT - 1].squared) {
                    keep_nearest(list, squared, fs_group_of_row(other, rows->n, groups));
                    limit = fs_float_above((double)limit_of(list) - (double)rows->bounds[row]);
                }
            }
        }
    }
}

/* And of its columns, which threads share out by slices, as a column alone lies far apart in memory. */
static void keep_of_columns(const struct pass *p, const struct fs_distance_rows *rows, struct fs_distance_block block,
                            int groups, struct neighbour *nearest)
{
#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < block.count_y; first += SLICE) {
        const int64_t count = least(SLICE, block.count_y - first);
        float limits[SLICE];
        for (int64_t j = 0; j < count; j++) {
            limits[j] = limit_of(nearest + (block.first_y + first + j) * KEPT);
        }
        for (int64_t i = 0; i < block.count_x; i++) {
            const int64_t row = block.first_x + i;
            const float *products = p->distances.products + i * block.count_y + first, bound = rows->bounds[row];
            const int group = fs_group_of_row(row, rows->n, groups);
            for (int64_t j = any_below_each(products, count, bound, limits, -INFINITY) ? 0 : count; j < count; j++) {
                const int64_t other = block.first_y + first + j;
                struct neighbour *list = nearest + other * KEPT;
                const double squared = products[j] + bound < limits[j] ? exact(p, rows, row, rows, other) : INFINITY;
                if (squared < list[KEPT - 1].squared) {
                    keep_nearest(list, squared, group);
                    limits[j] = limit_of(list);
                }
            }
        }
    }
}

/* nearest [n, KEPT], ascending. Blocks above the diagonal serve both their rows and their columns. */
static fs_status find_nearest(struct pass *p, const struct fs_distance_rows *rows, int groups,
                              struct neighbour *nearest, struct fs_error *error)
{
    for (int64_t i = 0; i < rows->n * KEPT; i++) {
        nearest[i] = (struct neighbour){INFINITY, -1};
    }
    for (int64_t x = 0; x < rows->n; x += BLOCK) {
        for (int64_t y = x; y < rows->n; y += BLOCK) {
            const struct fs_distance_block block = {x, least(BLOCK, rows->n - x), y, least(BLOCK, rows->n - y)};
            FS_TRY(fill_block(p, rows, rows, block, error));
            keep_of_rows(p, rows, block, groups, nearest);
            if (y > x) {
                keep_of_columns(p, rows, block, groups, nearest);
            }
        }
    }
    return FS_OK;
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
    double *smallest;                        /* [n]: of these */
    float *largest;                          /* [n]: not below any of these */
    uint8_t *precise;                        /* [n]: the sample is in a ball of the reference */
    int64_t *dense;                          /* [n]: in how many */
    uint32_t *recalled, *covered; /* [reference_n]: bit g: also without group g; bit `groups`: with all samples */
};

/* What a pass over a block of reference × samples works with. */
struct judged {
    const struct pass *p;
    const struct fs_distance_rows *reference, *samples;
    struct fs_distance_block block;
};

/* The squared distance of row i of the block to its column j; 0 where it is below `radius`, the least that it will be
 * compared with, beyond doubt. */
static double compared(const struct judged *of, int64_t i, int64_t j, double radius)
{
    const struct fs_distances *d = &of->p->distances;
    const double x = (double)of->reference->bounds[of->block.first_x + i],
                 y = (double)of->samples->bounds[of->block.first_y + j];
    const double most = (double)d->products[i * of->block.count_y + j] + x + 2 * d->e / (1 - d->e) * (x + y);
    return most < radius ? 0 : exact(of->p, of->reference, of->block.first_x + i, of->samples, of->block.first_y + j);
}

/* Threads share out the columns, which are samples. */
static void judge_samples(const struct judged *of, struct membership *m)
{
    const struct fs_distance_block block = of->block;
#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < block.count_y; first += SLICE) {
        const int64_t end = least(first + SLICE, block.count_y);
        for (int64_t i = 0; i < block.count_x; i++) {
            const int64_t row = block.first_x + i;
            const double precision = m->precision_radii[row], density = m->density_radii[row];
            const float *products = of->p->distances.products + i * block.count_y;
            const float limit = fs_float_above(fmax(precision, density) - (double)of->reference->bounds[row]);
            for (int64_t j = any_below(products + first, end - first, limit) ? first : end; j < end; j++) {
                if (products[j] < limit) {
                    const double squared = compared(of, i, j, fmin(precision, density));
                    m->precise[block.first_y + j] |= squared < precision;
                    m->dense[block.first_y + j] += squared < density;
                }
            }
        }
    }
}

/* Of which groups' absence a row of the reference, within or without the ball's radius `density` of its own, can bear
 * witness by a sample: adds to the bits of both. */
static void judge_pair(const struct membership *m, int64_t sample, double squared, double density, uint32_t *recalled,
                       uint32_t *covered)
{
    const uint32_t every = (2U << m->groups) - 1;
    const uint32_t others = every & ~(1U << fs_group_of_row(sample, m->n, m->groups));
    uint32_t inside = 0;
    for (int g = 0; g <= m->groups; g++) {
        inside |= (uint32_t)(squared < m->radii[sample * (m->groups + 1) + g]) << g;
    }
    *covered |= squared < density ? others : 0;
    *recalled |= inside & others;
}

/* Threads share out the rows, which are of the reference. */
static void judge_reference(const struct judged *of, struct membership *m)
{
    const struct fs_distance_block block = of->block;
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < block.count_x; i++) {
        const int64_t row = block.first_x + i;
        const float *products = of->p->distances.products + i * block.count_y, bound = of->reference->bounds[row];
        const double density = m->density_radii[row];
        const float limit = fs_float_above(density - (double)bound);
        uint32_t recalled = 0, covered = 0;
        for (int64_t first = 0; first < block.count_y; first += SLICE) {
            const int64_t end = least(first + SLICE, block.count_y);
            const float *largest = m->largest + block.first_y;
            const bool any = any_below_each(products + first, end - first, bound, largest + first, limit);
            for (int64_t j = any ? first : end; j < end; j++) {
                if (products[j] < limit || products[j] + bound < largest[j]) {
                    const int64_t sample = block.first_y + j;
                    judge_pair(m, sample, compared(of, i, j, fmin(density, m->smallest[sample])), density, &recalled,
                               &covered);
                }
            }
        }
        m->recalled[row] |= recalled;
        m->covered[row] |= covered;
    }
}

static fs_status find_members(struct pass *p, const struct fs_distance_rows *reference,
                              const struct fs_distance_rows *samples, struct membership *m, struct fs_error *error)
{
    for (int64_t x = 0; x < reference->n; x += BLOCK) {
        for (int64_t y = 0; y < samples->n; y += BLOCK) {
            const struct judged of = {
                p, reference, samples, {x, least(BLOCK, reference->n - x), y, least(BLOCK, samples->n - y)}};
            FS_TRY(fill_block(p, reference, samples, of.block, error));
            judge_samples(&of, m);
            judge_reference(&of, m);
        }
    }
    return FS_OK;
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
    free(m->smallest);
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
    m->smallest = fs_allocate(n, sizeof(double), what, error);
    m->largest = fs_allocate(n, sizeof(float), what, error);
    m->precise = fs_allocate(n, 1, what, error);
    m->dense = fs_allocate(n, sizeof(int64_t), what, error);
    m->recalled = fs_allocate(reference_n, sizeof(uint32_t), what, error);
    m->covered = fs_allocate(reference_n, sizeof(uint32_t), what, error);
    const bool there = m->precision_radii && m->density_radii && m->radii && m->smallest && m->largest && m->precise &&
                       m->dense && m->recalled && m->covered;
    return there ? FS_OK : FS_FAILED;
}

/* Radii around the reference, then around samples; `nearest` [the larger of both, KEPT] is scratch. */
static fs_status measure_radii(struct pass *p, struct fs_distance_rows *reference, struct fs_distance_rows *samples,
                               struct neighbour *nearest, struct membership *m, struct fs_error *error)
{
    fs_distances_centre(&p->distances, reference);
    FS_TRY(fs_distances_bounds(&p->distances, reference, "reference", error));
    FS_TRY(find_nearest(p, reference, m->groups, nearest, error));
    for (int64_t i = 0; i < m->reference_n; i++) {
        m->precision_radii[i] = radius(nearest + i * KEPT, m->precision_nearest, -1);
        m->density_radii[i] = radius(nearest + i * KEPT, m->density_nearest, -1);
    }
    fs_distances_centre(&p->distances, samples);
    FS_TRY(fs_distances_bounds(&p->distances, samples, "samples", error));
    FS_TRY(find_nearest(p, samples, m->groups, nearest, error));
    for (int64_t i = 0; i < m->n; i++) {
        double largest = 0;
        m->smallest[i] = INFINITY;
        for (int g = 0; g <= m->groups; g++) {
            const double r = radius(nearest + i * KEPT, m->precision_nearest, g < m->groups ? g : -1);
            m->radii[i * (m->groups + 1) + g] = r;
            m->smallest[i] = fmin(m->smallest[i], r);
            largest = fmax(largest, r);
        }
        m->largest[i] = fs_float_above(largest);
    }
    return FS_OK;
}

static fs_status measure(struct pass *p, struct fs_distance_rows *reference, struct fs_distance_rows *samples,
                         struct membership *m, struct fs_error *error)
{
    const int64_t larger = reference->n > samples->n ? reference->n : samples->n;
    reference->bounds = fs_allocate((size_t)reference->n, sizeof(float), "norms of features", error);
    samples->bounds =
        reference->bounds ? fs_allocate((size_t)samples->n, sizeof(float), "norms of features", error) : NULL;
    if (!samples->bounds) {
        return FS_FAILED;
    }
    FS_TRY(membership_create(m, error));
    struct neighbour *nearest = fs_allocate((size_t)larger, KEPT * sizeof *nearest, "nearest neighbours", error);
    if (!nearest) {
        return FS_FAILED;
    }
    fs_status status = measure_radii(p, reference, samples, nearest, m, error);
    free(nearest);
    FS_TRY(status);
    fs_distances_centre(&p->distances, reference);
    FS_TRY(fs_distances_bounds(&p->distances, samples, "samples", error));
    return find_members(p, reference, samples, m, error);
}

static fs_status check_arguments(int64_t dim, int64_t n, int64_t reference_n, int precision_nearest,
                                 int density_nearest, struct fs_error *error)
{
    const int larger = precision_nearest > density_nearest ? precision_nearest : density_nearest;
    const int smaller = precision_nearest < density_nearest ? precision_nearest : density_nearest;
    if (dim < 1 || dim > DIM_MAX || smaller < 1 || larger > NEAREST_MAX) {
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
    struct fs_distance_rows of_reference = {.features = reference, .n = reference_n},
                            samples = {.features = features, .n = n};
    const int64_t a = blocks_of(reference_n), b = blocks_of(n);
    struct pass p = {.watch = watch, .of = a * (a + 1) / 2 + b * (b + 1) / 2 + a * b};
    struct membership m = {.groups = n < GROUPS_MAX ? (int)n : GROUPS_MAX,
                           .precision_nearest = precision_nearest,
                           .density_nearest = density_nearest,
                           .n = n,
                           .reference_n = reference_n};
    fs_status status = fs_distances_open(&p.distances, dim, error);
    if (status == FS_OK) {
        status = measure(&p, &of_reference, &samples, &m, error);
    }
    if (status == FS_OK) {
        *result = (struct fs_prdc){over_samples(&m, false), over_reference(&m, m.recalled), over_samples(&m, true),
                                   over_reference(&m, m.covered)};
    }
    membership_free(&m);
    free(of_reference.bounds);
    free(samples.bounds);
    fs_distances_close(&p.distances);
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
