/* Curves behind the results. */
#include "harness/results/curves.h"

#include <math.h>
#include <stdlib.h>

#include "harness/results/parts.h"
#include "harness/store/query.h"
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

fs_status fs_result_loss(struct fs_store *store, const char *run, struct fs_loss_point points[FS_LOSS_POINTS],
                         int *count, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    *count = 0;
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "WITH run AS (SELECT r.number, coalesce(t.updates, 0) AS before FROM runs r "
                         "  LEFT JOIN runs t ON t.id = r.teacher WHERE r.id = ?1), "
                         "points AS (SELECT at_update, value, before, max(at_update) OVER () AS last FROM curves "
                         "  JOIN run ON run.number = curves.run WHERE name = 'loss' AND value IS NOT NULL) "
                         "SELECT round(before + avg(at_update)), avg(value) FROM points "
                         "GROUP BY (at_update - 1) * ?2 / last ORDER BY 1",
                         "ti", run, (int64_t)FS_LOSS_POINTS));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row && *count < FS_LOSS_POINTS) {
        points[(*count)++] = (struct fs_loss_point){fs_query_real(query, 0), fs_query_real(query, 1)};
        status = fs_query_next(query, &row, error);
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_result_fall(struct fs_store *store, const char *run, struct fs_result_fall *fall, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    *fall = (struct fs_result_fall){0};
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT f.at_update, f.peak_update, f.before, f.peak FROM (" FS_RESULT_FALLEN ") f "
                         "JOIN runs r ON r.number = f.run WHERE r.id = ?1",
                         "t", run));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        *fall = (struct fs_result_fall){sqlite3_column_int64(query, 0), sqlite3_column_int64(query, 1),
                                        fs_query_real(query, 2), fs_query_real(query, 3)};
    }
    sqlite3_finalize(query);
    return status;
}
