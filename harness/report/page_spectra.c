/* The curves behind the metric spectrum: power of samples over the data's by frequency, a chart a row of the table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "kernels/base/memory.h"

#define NORMAL_QUANTILE 1.96 /* of a 95 % interval */

/* Sums over seeds at each frequency; `points` is as long as the first seed's curve. */
static fs_status add_seed(struct fs_store *store, const struct fs_table_score *score, struct fs_chart_line *line,
                          struct fs_error *error)
{
    struct fs_spectrum_point *curve;
    int count;

    FS_TRY(fs_store_spectrum(store, score->number, &curve, &count, error));
    if (!line->points) {
        line->points = fs_allocate((size_t)count, sizeof(*line->points), "a chart", error);
        line->count = line->points ? count : 0;
    }
    for (int i = 0; i < count && i < line->count; i++) {
        struct fs_chart_point *point = &line->points[i];
        const double ratio = curve[i].power / curve[i].reference_power;
        const double half = NORMAL_QUANTILE * curve[i].standard_error / curve[i].reference_power;
        point->x = curve[i].frequency;
        point->y += ratio;
        point->low += ratio * ratio;
        point->high = half; /* used for a single seed only */
    }
    free(curve);
    return line->points ? FS_OK : FS_FAILED;
}

/* From sums to means, ± the standard error over seeds, or of one seed the interval over its samples. */
static void finish_line(struct fs_chart_line *line, int seeds)
{
    for (int i = 0; i < line->count; i++) {
        struct fs_chart_point *point = &line->points[i];
        const double mean = point->y / seeds, squares = fmax(point->low - seeds * mean * mean, 0);
        const double half = seeds > 1 ? sqrt(squares / (seeds - 1) / seeds) : point->high;
        point->y = mean;
        point->low = mean - half;
        point->high = mean + half;
    }
}

static fs_status fill_lines(const struct fs_page *page, const struct fs_page_row *row, struct fs_chart_line *lines,
                            int *count, struct fs_error *error)
{
    struct fs_stretch cell;

    for (int at = 0; *count < FS_CHART_LINES_MAX && fs_next_stretch(row->scores, &at, fs_same_cell, &cell);) {
        struct fs_chart_line *line = &lines[(*count)++];
        snprintf(line->label, sizeof(line->label), "%ld step%s", (long)cell.first->steps,
                 cell.first->steps == 1 ? "" : "s");
        for (int i = 0; i < cell.count; i++) {
            FS_TRY(add_seed(page->store, &cell.first[i], line, error));
        }
        finish_line(line, cell.count);
    }
    return FS_OK;
}

static fs_status draw_row(struct fs_page *page, const struct fs_page_section *section, int place,
                          struct fs_error *error)
{
    struct fs_chart_line lines[FS_CHART_LINES_MAX] = {0};
    const struct fs_page_row *row = &section->rows[place];
    char id[48], title[320], caption[640];
    int count = 0;

    const fs_status status = fill_lines(page, row, lines, &count, error);
    if (status == FS_OK) {
        snprintf(id, sizeof(id), "spectrum-%d-%d", section->measure, place + 1);
        snprintf(title, sizeof(title), "Power against frequency, %s", row->label);
        snprintf(caption, sizeof(caption),
                 "Radially averaged power of the samples of %s over that of the training pictures, a line a number of "
                 "sampling steps: below 1 detail is missing, above 1 there is noise. Bands: ± the standard error over "
                 "seeds, or of a single seed the 95 %% interval over its samples.",
                 row->label);
        struct fs_chart chart = {.id = id,
                                 .title = title,
                                 .x_title = "cycles a pixel",
                                 .y_title = "power, of the data's",
                                 .log_y = true, /* of every row, so that they can be held against each other */
                                 .table = true,
                                 .sequential = true,
                                 .lines = lines,
                                 .line_count = count,
                                 .floor = 1,
                                 .floor_label = "the data's"};
        fs_page_figure(page, &chart, caption);
    }
    for (int i = 0; i < FS_CHART_LINES_MAX; i++) {
        free(lines[i].points);
    }
    return status;
}

fs_status fs_page_spectra_charts(struct fs_page *page, const struct fs_page_section *section, struct fs_error *error)
{
    if (strcmp(section->scores.first->text[FS_TEXT_METRIC], "spectrum") != 0) {
        return FS_OK;
    }
    for (int i = 0; i < section->row_count; i++) {
        FS_TRY(draw_row(page, section, i, error));
    }
    return FS_OK;
}
