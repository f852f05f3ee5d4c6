/* The curves behind the metric spectrum: power of samples over the data's by frequency, a chart a row of the table. */
#include <stdlib.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "harness/results/curves.h"
#include "kernels/base/memory.h"

static fs_status fill_line(const struct fs_page *page, const struct fs_result_cell *cell, struct fs_chart_line *line,
                           struct fs_error *error)
{
    struct fs_power_ratio *curve;
    int count;

    snprintf(line->label, sizeof(line->label), "%ld step%s", (long)cell->steps, cell->steps == 1 ? "" : "s");
    fs_status status = fs_result_spectrum(page->store, cell, &curve, &count, error);
    if (status == FS_OK) {
        line->points = fs_allocate((size_t)count, sizeof(*line->points), "a chart", error);
        status = line->points ? FS_OK : FS_FAILED;
    }
    for (int i = 0; status == FS_OK && i < count; i++) {
        line->points[line->count++] = (struct fs_chart_point){
            .x = curve[i].frequency, .y = curve[i].mean, .low = curve[i].low, .high = curve[i].high};
    }
    free(curve);
    return status;
}

static fs_status draw_row(const struct fs_page *page, const struct fs_result_section *section, int place,
                          struct fs_error *error)
{
    struct fs_chart_line lines[FS_CHART_LINES_MAX] = {0};
    const struct fs_result_row *row = &section->rows[place];
    const int count = row->cell_count < FS_CHART_LINES_MAX ? row->cell_count : FS_CHART_LINES_MAX;
    char id[48], title[FS_PAGE_NAME + 64], caption[FS_PAGE_NAME + 512], label[FS_PAGE_NAME];
    fs_status status = FS_OK;

    for (int i = 0; i < count && status == FS_OK; i++) {
        status = fill_line(page, &row->cells[i], &lines[i], error);
    }
    if (status == FS_OK) {
        fs_page_label(row, label);
        snprintf(id, sizeof(id), "spectrum-%d-%d", fs_page_measure(page, section), place + 1);
        snprintf(title, sizeof(title), "Power against frequency, %s", label);
        snprintf(caption, sizeof(caption),
                 "Radially averaged power of the samples of %s over that of the training pictures, a line a number of "
                 "sampling steps: below 1 detail is missing, above 1 there is noise. Bands: ± the standard error over "
                 "seeds, or of a single seed the 95 %% interval over its samples.",
                 label);
        struct fs_chart chart = {.id = id,
                                 .title = title,
                                 .x_title = "cycles a pixel",
                                 .y_title = "power, of the data's",
                                 .log_y = true, /* of every row, so that they can be held against each other */
                                 .table = true,
                                 .sequential = true,
                                 .lines = lines,
                                 .line_count = count,
                                 .baseline = 1,
                                 .baseline_label = "the data's"};
        fs_page_figure(page, &chart, caption);
    }
    for (int i = 0; i < FS_CHART_LINES_MAX; i++) {
        free(lines[i].points);
    }
    return status;
}

fs_status fs_page_spectra_charts(struct fs_page *page, const struct fs_result_section *section, struct fs_error *error)
{
    if (strcmp(section->measure.metric, "spectrum") != 0) {
        return FS_OK;
    }
    for (int i = 0; i < section->row_count; i++) {
        FS_TRY(draw_row(page, section, i, error));
    }
    return FS_OK;
}
