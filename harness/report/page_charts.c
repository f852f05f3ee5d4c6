/* The charts of the page over sampling steps and over an ablated key, and what all its charts share. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "harness/report/table_views.h"
#include "kernels/base/memory.h"
#include "methods/method.h"

#define ABLATIONS_MAX 4 /* of more methods the table has to do */
#define BAND_NOTE "Bands: ± the standard error over seeds, or of a single seed the 95 %% interval over its samples. "

int fs_page_style(const struct fs_result_section *section, const struct fs_result_row *row)
{
    int rows = 0, style = 0;

    for (int i = 0; i < section->row_count; i++) {
        rows += strcmp(section->rows[i].method, row->method) == 0;
    }
    for (int i = 0; rows == 1 && fs_method_at(i); i++) {
        style = strcmp(fs_method_at(i)->name, row->method) == 0 ? i + 1 : style;
    }
    return style;
}

struct fs_chart_point fs_page_point(const struct fs_page *page, int number, double x)
{
    const struct fs_result_cell *of = page->numbers[number - 1].cell;
    struct fs_chart_point point = {
        .x = x, .y = of->mean, .low = of->low, .high = of->high, .hollow = of->use == FS_CELL_OUTSIDE};

    snprintf(point.link, sizeof(point.link), "n%d", number);
    return point;
}

bool fs_page_sequential(const struct fs_result_section *section)
{
    return section->row_count > 1 && strcmp(section->rows[0].method, section->rows[1].method) == 0;
}

bool fs_page_logarithmic(const struct fs_chart_line *lines, int line_count)
{
    double low = INFINITY, high = -INFINITY;

    for (int i = 0; i < line_count; i++) {
        for (int k = 0; k < lines[i].count; k++) {
            low = fmin(low, lines[i].points[k].y);
            high = fmax(high, lines[i].points[k].y);
        }
    }
    return low > 0 && high > 4 * low;
}

struct fs_chart_line *fs_page_lines(int count, int points, struct fs_error *error)
{
    struct fs_chart_line *lines = fs_allocate((size_t)count, sizeof(*lines), "a chart", error);

    for (int i = 0; lines && i < count; i++) {
        lines[i].points = fs_allocate((size_t)points, sizeof(*lines[i].points), "a chart", error);
        if (!lines[i].points) {
            fs_page_lines_free(lines, count);
            return NULL;
        }
    }
    return lines;
}

void fs_page_lines_free(struct fs_chart_line *lines, int count)
{
    for (int i = 0; lines && i < count; i++) {
        free(lines[i].points);
    }
    free(lines);
}

void fs_page_figure(const struct fs_page *page, struct fs_chart *chart, const char *caption)
{
    chart->description = caption;
    fs_html(page->out, "<figure id=\"%s\"><h3>%s</h3>\n", chart->id, chart->title);
    fs_chart_print(chart, page->out);
    fs_html(page->out, "<figcaption>%s</figcaption></figure>\n", caption);
}

static bool any_outside(const struct fs_chart_line *lines, int line_count)
{
    for (int i = 0; i < line_count; i++) {
        for (int k = 0; k < lines[i].count; k++) {
            if (lines[i].points[k].hollow) {
                return true;
            }
        }
    }
    return false;
}

/* --- over steps --- */

static void fill_steps_lines(const struct fs_page *page, const struct fs_result_section *section,
                             struct fs_chart_line *lines, int count)
{
    for (int i = 0; i < count; i++) {
        const struct fs_result_row *row = &section->rows[i];
        char name[FS_PAGE_NAME];
        snprintf(lines[i].label, sizeof(lines[i].label), "%s", fs_page_name(section, row, name));
        lines[i].style = fs_page_style(section, row);
        for (int c = 0; c < row->cell_count; c++) {
            lines[i].points[lines[i].count++] =
                fs_page_point(page, fs_page_place(page, &row->cells[c]), (double)row->cells[c].steps);
        }
    }
}

/* The line of the data's own score. */
static void add_data(const struct fs_result_section *section, struct fs_chart *chart, char label[FS_PAGE_NAME])
{
    chart->baseline = (double)NAN;
    chart->baseline_label = "";
    if (section->data) {
        snprintf(label, FS_PAGE_NAME, "data: %s split", section->data_split);
        chart->baseline = section->data->mean;
        chart->baseline_label = label;
    }
}

fs_status fs_page_steps_chart(struct fs_page *page, const struct fs_result_section *section, struct fs_error *error)
{
    const int count = section->row_count < FS_CHART_LINES_MAX ? section->row_count : FS_CHART_LINES_MAX;
    double ticks[FS_RESULT_STEPS_MAX];
    char id[32], title[160], caption[512], data[FS_PAGE_NAME];
    struct fs_chart_line *lines = fs_page_lines(count, section->step_count, error);

    if (!lines) {
        return FS_FAILED;
    }
    fill_steps_lines(page, section, lines, count);
    for (int i = 0; i < section->step_count; i++) {
        ticks[i] = (double)section->steps[i];
    }
    snprintf(id, sizeof(id), "steps-%d", fs_page_measure(page, section));
    snprintf(title, sizeof(title), "%s against sampling steps", section->metric_label);
    snprintf(caption, sizeof(caption), "%s over the number of sampling steps, a line a method. " BAND_NOTE "%s%s",
             section->metric_label,
             any_outside(lines, count) ? "Hollow marks: not trained for that number of steps. " : "",
             section->row_count > count ? "Only the first lines are drawn; the table has them all." : "");
    struct fs_chart chart = {
        .id = id,
        .title = title,
        .x_title = "sampling steps",
        .y_title = section->metric_label,
        .log_x = true,
        .log_y = fs_page_logarithmic(lines, count),
        .sequential = fs_page_sequential(section),
        .markers = true,
        .ticks = ticks,
        .tick_count = section->step_count,
        .lines = lines,
        .line_count = count,
    };
    add_data(section, &chart, data);
    fs_page_figure(page, &chart, caption);
    fs_page_lines_free(lines, count);
    return FS_OK;
}

/* --- over an ablated key --- */

/* "1/8" is 0.125; NAN for what is no number. */
static double value_of(const char *text)
{
    char *end;
    const double top = strtod(text, &end);

    if (end == text) {
        return NAN;
    }
    return *end == '/' ? top / strtod(end + 1, NULL) : top;
}

/* A row of the ablation, at its value of the key; of several keys at all of their values. */
struct ablated {
    char text[FS_VALUES_TEXT];
    double value; /* of the first key */
    const struct fs_result_row *row;
};

/* Numbers ascending; other values stay in the order of the matrix. */
static int compare_ablated(const void *a, const void *b)
{
    const struct ablated *left = a, *right = b;

    if (isfinite(left->value) && isfinite(right->value) && left->value != right->value) {
        return left->value < right->value ? -1 : 1;
    }
    return (left->row > right->row) - (left->row < right->row);
}

/* The rows of `method` that have the key, in the order of the chart. */
static int collect_ablated(const struct fs_result_section *section, const char *method, struct ablated *values)
{
    int count = 0;

    for (int i = 0; i < section->row_count; i++) {
        const struct fs_result_row *row = &section->rows[i];
        if (row->varied[0] && strcmp(row->method, method) == 0) { /* one without the key is no part of the ablation */
            values[count] = (struct ablated){.value = value_of(row->varied[0]), .row = row};
            fs_row_values(row, values[count++].text);
        }
    }
    qsort(values, (size_t)count, sizeof(*values), compare_ablated);
    return count;
}

static void draw_ablation(struct fs_page *page, const struct fs_results *results,
                          const struct fs_result_section *section, const struct ablated *values, int count,
                          struct fs_chart_line *lines)
{
    const char *names[FS_RESULT_STEPS_MAX];
    double ticks[FS_RESULT_STEPS_MAX];
    char id[32], title[256], caption[768], keys[FS_PAGE_NAME] = "", short_keys[FS_PAGE_NAME] = "", data[FS_PAGE_NAME];
    const int line_count = section->step_count < FS_CHART_LINES_MAX ? section->step_count : FS_CHART_LINES_MAX;

    for (int k = 0; k < line_count; k++) {
        lines[k].count = 0;
        snprintf(lines[k].label, sizeof(lines[k].label), "%ld step%s", (long)section->steps[k],
                 section->steps[k] == 1 ? "" : "s");
        for (int i = 0; i < count; i++) {
            const struct fs_result_cell *cell = fs_result_cell_at(values[i].row, section->steps[k]);
            if (cell) {
                lines[k].points[lines[k].count++] = fs_page_point(page, fs_page_place(page, cell), i);
            }
        }
    }
    for (int i = 0; i < count; i++) {
        names[i] = values[i].text;
        ticks[i] = i;
    }
    for (int i = 0; i < results->varied_count; i++) {
        const size_t length = strlen(keys), short_length = strlen(short_keys);
        snprintf(keys + length, sizeof(keys) - length, "%s%s", i ? ", " : "", results->varied[i]);
        snprintf(short_keys + short_length, sizeof(short_keys) - short_length, "%s%s", i ? ", " : "",
                 results->varied_name[i]);
    }
    snprintf(id, sizeof(id), "ablation-%d-%d", fs_page_measure(page, section), (int)(values->row - section->rows));
    snprintf(title, sizeof(title), "%s: %s against %.120s", values->row->name, section->metric_label, short_keys);
    snprintf(caption, sizeof(caption), "%s: %s over %.200s, a line a number of sampling steps. " BAND_NOTE,
             values->row->name, section->metric_label, keys);
    struct fs_chart chart = {.id = id,
                             .title = title,
                             .x_title = short_keys,
                             .y_title = section->metric_label,
                             .log_y = fs_page_logarithmic(lines, line_count),
                             .sequential = true,
                             .markers = true,
                             .ticks = ticks,
                             .tick_names = names,
                             .tick_count = count,
                             .lines = lines,
                             .line_count = line_count};
    add_data(section, &chart, data);
    fs_page_figure(page, &chart, caption);
}

static bool has_earlier_row(const struct fs_result_section *section, int place)
{
    for (int i = 0; i < place; i++) {
        if (strcmp(section->rows[i].method, section->rows[place].method) == 0) {
            return true;
        }
    }
    return false;
}

/* From row `*place` on, the next method that has the key with two values at least: how many rows it has, which are then
 * in `values`; 0 where none is left. */
static int next_ablation(const struct fs_result_section *section, int *place, struct ablated *values)
{
    while (*place < section->row_count) {
        const int row = (*place)++;
        const int count =
            has_earlier_row(section, row) ? 0 : collect_ablated(section, section->rows[row].method, values);
        if (count > 1 && count <= FS_RESULT_STEPS_MAX) {
            return count;
        }
    }
    return 0;
}

/* A chart a method; none where there would be too many. */
static void draw_ablations(struct fs_page *page, const struct fs_results *results,
                           const struct fs_result_section *section, struct ablated *values, struct fs_chart_line *lines)
{
    int charts = 0, count;

    for (int place = 0; next_ablation(section, &place, values) > 0;) {
        charts++;
    }
    for (int place = 0; charts <= ABLATIONS_MAX && (count = next_ablation(section, &place, values)) > 0;) {
        draw_ablation(page, results, section, values, count, lines);
    }
}

fs_status fs_page_ablation_charts(struct fs_page *page, const struct fs_page_experiment *experiment,
                                  const struct fs_result_section *section, struct fs_error *error)
{
    if (experiment->results.varied_count == 0) {
        return FS_OK;
    }
    struct ablated *values = fs_allocate((size_t)section->row_count, sizeof(*values), "an ablation", error);
    struct fs_chart_line *lines = fs_page_lines(section->step_count, section->row_count, error);
    const bool ready = values && lines;
    if (ready) {
        draw_ablations(page, &experiment->results, section, values, lines);
    }
    fs_page_lines_free(lines, section->step_count);
    free(values);
    return ready ? FS_OK : FS_FAILED;
}
