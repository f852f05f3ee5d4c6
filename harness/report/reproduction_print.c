/* A run and what came out when it was made again, for people and as JSON. */
#include "harness/report/reproduction_print.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>

#include "harness/report/grid.h"
#include "harness/text/number.h"

static void fill_row(struct fs_grid *grid, int row, const struct fs_reproduced_score *score)
{
    snprintf(fs_grid_at(grid, row, 0), FS_GRID_TEXT, "%s (%s)", score->metric, score->extractor);
    snprintf(fs_grid_at(grid, row, 1), FS_GRID_TEXT, "%" PRId64, score->steps);
    fs_shortest(score->recorded, fs_grid_at(grid, row, 2));
    if (isnan(score->again)) {
        snprintf(fs_grid_at(grid, row, 4), FS_GRID_TEXT, "not made again");
        return;
    }
    fs_shortest(score->again, fs_grid_at(grid, row, 3));
    if (score->equal) {
        snprintf(fs_grid_at(grid, row, 4), FS_GRID_TEXT, "equal bits");
    } else {
        snprintf(fs_grid_at(grid, row, 4), FS_GRID_TEXT, "%+.3g %%", 100 * (score->again / score->recorded - 1));
    }
    if (!isnan(score->spreads)) {
        snprintf(fs_grid_at(grid, row, 5), FS_GRID_TEXT, "%.2f", score->spreads);
    }
}

static fs_status print_scores(const struct fs_reproduction *all, FILE *stream, struct fs_error *error)
{
    static const char *const heading[] = {"metric", "steps",      "recorded",
                                          "again",  "difference", "in spreads over seeds"};
    struct fs_grid grid;
    const fs_status status = fs_grid_make(&grid, 1 + all->count, 6, "–", error);

    if (status == FS_OK) {
        grid.left = 1;
        for (int i = 0; i < 6; i++) {
            snprintf(fs_grid_at(&grid, 0, i), FS_GRID_TEXT, "%s", heading[i]);
        }
        for (int i = 0; i < all->count; i++) {
            fill_row(&grid, i + 1, &all->scores[i]);
        }
        fs_grid_print(&grid, false, stream);
    }
    fs_grid_free(&grid);
    return status;
}

static fs_status print_json(const struct fs_reproduced_score *score, FILE *stream, struct fs_error *error)
{
    json_t *object = json_pack("{s:s, s:s, s:I, s:f, s:b}", "metric", score->metric, "extractor", score->extractor,
                               "steps", (json_int_t)score->steps, "recorded", score->recorded, "equal", score->equal);

    if (!object) {
        return fs_fail(error, FS_FAILED, "no memory for a score");
    }
    json_object_set_new(object, "again", isnan(score->again) ? json_null() : json_real(score->again));
    json_object_set_new(object, "spreads", isfinite(score->spreads) ? json_real(score->spreads) : json_null());
    json_dumpf(object, stream, JSON_COMPACT);
    fputc('\n', stream);
    json_decref(object);
    return FS_OK;
}

fs_status fs_reproduction_print(const struct fs_reproduction *all, bool json, FILE *stream, struct fs_error *error)
{
    const char *const words[] = {
        all->missing ? "reproduced: every score that was made again is equal to the last bit"
                     : "reproduced: every score is equal to the last bit",
        "not the same bits, but no score differs by more than another seed's would",
        "not reproduced: a score differs by more than another seed's would",
        "not the same bits, and of a score that differs no spread over seeds is known",
    };
    static const char *const weights[] = {"not known", "other bytes", "the same bytes"};

    if (!json) {
        FS_TRY(print_scores(all, stream, error));
        fprintf(stream, "\nweights: %s\nrun %.8s, %s (%d of %d scores equal", weights[all->weights + 1], all->run,
                words[all->outcome], all->equal, all->compared);
        fprintf(stream, all->missing ? ", %d not made again)\n" : ")\n", all->missing);
        return FS_OK;
    }
    for (int i = 0; i < all->count; i++) {
        FS_TRY(print_json(&all->scores[i], stream, error));
    }
    fprintf(stream,
            "{\"run\":\"%s\",\"verdict\":\"%s\",\"compared\":%d,\"equal\":%d,\"missing\":%d,\"weights\":\"%s\"}\n",
            all->run, words[all->outcome], all->compared, all->equal, all->missing, weights[all->weights + 1]);
    return FS_OK;
}
