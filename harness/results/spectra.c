/* The curve behind a cell of the metric spectrum. */
#include "harness/results/spectra.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/base/memory.h"

#define NORMAL_QUANTILE 1.96 /* of a 95 % interval */

/* Sums over seeds at each frequency, as long as the first seed's curve: of the ratio in `mean`, of its square in `low`;
 * half the interval of a seed is in `high`. */
static fs_status add_seed(struct fs_store *store, const struct fs_result_score *score, struct fs_power_ratio **curve,
                          int *count, struct fs_error *error)
{
    struct fs_spectrum_point *points;
    int found;

    FS_TRY(fs_store_spectrum(store, score->number, &points, &found, error));
    if (!*curve) {
        *curve = fs_allocate((size_t)found, sizeof(**curve), "a spectrum", error);
        *count = *curve ? found : 0;
    }
    for (int i = 0; i < found && i < *count; i++) {
        struct fs_power_ratio *sum = &(*curve)[i];
        const double ratio = points[i].power / points[i].reference_power;
        sum->frequency = points[i].frequency;
        sum->mean += ratio;
        sum->low += ratio * ratio;
        sum->high = NORMAL_QUANTILE * points[i].standard_error / points[i].reference_power;
    }
    free(points);
    return *curve ? FS_OK : FS_FAILED;
}

fs_status fs_result_spectrum(struct fs_store *store, const struct fs_result_cell *cell, struct fs_power_ratio **curve,
                             int *count, struct fs_error *error)
{
    const int seeds = cell->seeds;

    *curve = NULL;
    *count = 0;
    for (int i = 0; i < seeds; i++) {
        FS_TRY(add_seed(store, &cell->scores[i], curve, count, error));
    }
    for (int i = 0; i < *count; i++) {
        struct fs_power_ratio *point = &(*curve)[i];
        const double mean = point->mean / seeds, squares = fmax(point->low - seeds * mean * mean, 0);
        const double half = seeds > 1 ? sqrt(squares / (seeds - 1) / seeds) : point->high;
        *point = (struct fs_power_ratio){point->frequency, mean, mean - half, mean + half};
    }
    return FS_OK;
}
