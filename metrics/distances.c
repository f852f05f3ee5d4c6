/* Blocks of lower bounds of squared distances. */
#include "metrics/distances.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

#define SLACK 32
#define COLUMNS 128            /* whose means a thread takes at once */
#define NORM_MAX (FLT_MAX / 8) /* so that sums of two norms and a product are finite in float32 */

fs_status fs_distances_open(struct fs_distances *d, int64_t dim, struct fs_error *error)
{
    const size_t block = FS_DISTANCE_BLOCK, row = (size_t)dim * sizeof(float);
    const char *what = "a block of distances";
    *d = (struct fs_distances){.dim = dim, .e = (double)(dim + SLACK) * FLT_EPSILON / 2};
    d->backend = fs_cpu_backend(0, error);
    d->centre = d->backend ? fs_allocate((size_t)dim, sizeof(double), what, error) : NULL;
    d->x = d->centre ? fs_allocate(block, row, what, error) : NULL;
    d->y = d->x ? fs_allocate(block, row, what, error) : NULL;
    d->products = d->y ? fs_allocate(block, block * sizeof(float), what, error) : NULL;
    return d->products ? FS_OK : FS_FAILED;
}

void fs_distances_close(struct fs_distances *d)
{
    if (d->backend) {
        d->backend->destroy(d->backend);
    }
    free(d->centre);
    free(d->x);
    free(d->y);
    free(d->products);
    *d = (struct fs_distances){0};
}

void fs_distances_centre(struct fs_distances *d, const struct fs_distance_rows *rows)
{
    memset(d->centre, 0, (size_t)d->dim * sizeof *d->centre);
    d->in_x = NULL;
#pragma omp parallel for
    for (int64_t first = 0; first < d->dim; first += COLUMNS) {
        const int64_t end = first + COLUMNS < d->dim ? first + COLUMNS : d->dim;
        for (int64_t i = 0; i < rows->n; i++) {
            for (int64_t j = first; j < end; j++) {
                d->centre[j] += (double)rows->features[i * d->dim + j] / (double)rows->n;
            }
        }
    }
}

fs_status fs_distances_bounds(const struct fs_distances *d, struct fs_distance_rows *rows, const char *what,
                              struct fs_error *error)
{
    int64_t bad = rows->n;
#pragma omp parallel for reduction(min : bad)
    for (int64_t i = 0; i < rows->n; i++) {
        const float *row = rows->features + i * d->dim;
        double squares = 0;
        for (int64_t j = 0; j < d->dim; j++) {
            const double centred = (double)row[j] - d->centre[j];
            squares += centred * centred;
        }
        rows->bounds[i] = (float)((1 - d->e) * squares);
        bad = squares <= (double)NORM_MAX || bad < i ? bad : i; /* a NaN is not below anything */
    }
    return bad == rows->n ? FS_OK
                          : fs_fail(error, FS_FAILED,
                                    "distances of features: row %lld of the %s is not finite, or "
                                    "too large",
                                    (long long)bad, what);
}

static void centre_rows(const struct fs_distances *d, const struct fs_distance_rows *rows, int64_t first, int64_t count,
                        double scale, float *out)
{
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++) {
        const float *row = rows->features + (first + i) * d->dim;
        for (int64_t j = 0; j < d->dim; j++) {
            out[i * d->dim + j] = (float)(scale * ((double)row[j] - d->centre[j]));
        }
    }
}

fs_status fs_distances_fill(struct fs_distances *d, const struct fs_distance_rows *x, const struct fs_distance_rows *y,
                            struct fs_distance_block block, struct fs_error *error)
{
    const float *in_x = x->features + block.first_x * d->dim;
    if (d->in_x != in_x || d->count_x != block.count_x) { /* blocks come in rows: x is mostly that of the last one */
        centre_rows(d, x, block.first_x, block.count_x, 1, d->x);
        d->in_x = in_x;
        d->count_x = block.count_x;
    }
    centre_rows(d, y, block.first_y, block.count_y, -2, d->y);
    d->backend->linear_forward(d->backend, fs_view(d->products, FS_F32, block.count_x, block.count_y),
                               fs_view(d->x, FS_F32, block.count_x, d->dim),
                               fs_view(d->y, FS_F32, block.count_y, d->dim),
                               fs_view(y->bounds + block.first_y, FS_F32, 1, block.count_y), FS_LINEAR, fs_no_view());
    return d->backend->synchronise(d->backend, error);
}

float fs_float_above(double value)
{
    const float nearest = (float)value;
    return (double)nearest < value ? nextafterf(nearest, INFINITY) : nearest;
}

/* What has vectors of eight or four doubles uses them; nothing is contracted, so that no bit depends on it. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define BY_MACHINE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define BY_MACHINE
#endif

/* Eight sums side by side: fixed here, so that a machine's vectors change no bit. */
BY_MACHINE double fs_squared_distance(int64_t dim, const float *x, const float *y)
{
    enum { SUMS = 8 };
    double sums[SUMS] = {0}, rest = 0;
    int64_t j = 0;
    for (; j + SUMS <= dim; j += SUMS) {
#pragma omp simd
        for (int k = 0; k < SUMS; k++) {
            const double difference = (double)x[j + k] - (double)y[j + k];
            sums[k] += difference * difference;
        }
    }
    for (; j < dim; j++) {
        const double difference = (double)x[j] - (double)y[j];
        rest += difference * difference;
    }
    return rest + (((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7])));
}
