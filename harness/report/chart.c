/* Line charts as SVG within HTML. */
#include "harness/report/chart.h"

#include <math.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/text/number.h"
#include "harness/report/svg.h"

#define STYLES 8
#define FONT 13.0       /* pixels; page.css has the same */
#define WIDEST_FONT 1.2 /* how much wider a font may be than the one whose widths are estimated (DejaVu Sans: 1.13) */
#define LINE_HEIGHT 17.0

struct layout {
    const struct fs_chart *chart;
    FILE *stream;
    const char *name; /* "wide" or "narrow" */
    double width, height;
    struct fs_axis x, y;
    bool names_beside; /* names right of the lines; else above the plot */
    int name_columns;
    double name_width;
};

static bool drawable(const struct fs_chart *chart, const struct fs_chart_point *point)
{
    return isfinite(point->x) && isfinite(point->y) && (!chart->log_x || point->x > 0) &&
           (!chart->log_y || point->y > 0);
}

static bool has_band(const struct fs_chart_point *point)
{
    return isfinite(point->low) && isfinite(point->high);
}

static void widen(double value, bool logarithmic, double *low, double *high)
{
    if (isfinite(value) && (!logarithmic || value > 0)) {
        *low = fmin(*low, value);
        *high = fmax(*high, value);
    }
}

/* The smallest and largest value of each axis; false when there is nothing to draw. */
static bool find_ranges(const struct fs_chart *chart, double x[2], double y[2])
{
    x[0] = y[0] = INFINITY;
    x[1] = y[1] = -INFINITY;
    for (int i = 0; i < chart->line_count; i++) {
        for (int k = 0; k < chart->lines[i].count; k++) {
            const struct fs_chart_point *point = &chart->lines[i].points[k];
            if (drawable(chart, point)) {
                widen(point->x, chart->log_x, &x[0], &x[1]);
                widen(point->y, chart->log_y, &y[0], &y[1]);
                widen(point->low, chart->log_y, &y[0], &y[1]);
                widen(point->high, chart->log_y, &y[0], &y[1]);
            }
        }
    }
    if (x[0] > x[1]) {
        return false;
    }
    widen(chart->baseline, chart->log_y, &y[0], &y[1]);
    for (int i = 0; i < chart->tick_count; i++) {
        widen(chart->ticks[i], chart->log_x, &x[0], &x[1]);
    }
    return true;
}

static void lay_out(struct layout *layout, const double x[2], const double y[2])
{
    const struct fs_chart *chart = layout->chart;
    double top = 30, right = 16;

    for (int i = 0; i < chart->line_count; i++) {
        layout->name_width = fmax(layout->name_width, fs_text_width(chart->lines[i].label, FONT) + 34);
    }
    if (layout->names_beside) {
        right = fmin(layout->name_width, 0.4 * layout->width) + 8;
    } else {
        const int fit = (int)(layout->width / layout->name_width);
        layout->name_columns = fit > 1 ? fit : 1;
        const int name_rows = (chart->line_count + layout->name_columns - 1) / layout->name_columns;
        top += name_rows * LINE_HEIGHT + 6;
        layout->height += name_rows * LINE_HEIGHT;
    }
    const double beside = chart->tick_names ? 0.4 : 0; /* places have room on both sides */
    layout->x = fs_axis_make(x[0] - beside, x[1] + beside, chart->log_x, 52, layout->width - right);
    layout->y = fs_axis_make(y[0], y[1], chart->log_y, layout->height - 44, top);
    if (y[0] >= 0) {
        layout->y.low = fmax(layout->y.low, 0); /* what cannot be negative has no room below 0 */
    }
}

/* --- axes --- */

static void draw_y_axis(const struct layout *layout)
{
    FILE *out = layout->stream;
    double ticks[FS_TICKS_MAX];
    const int count = fs_axis_ticks(&layout->y, 5, ticks);

    for (int i = 0; i < count; i++) {
        const double at = fs_axis_at(&layout->y, ticks[i]);
        fs_html(out, "<line class=grid x1=%.1f x2=%.1f y1=%.1f y2=%.1f />", layout->x.start, layout->x.stop, at, at);
        fs_html(out, "<text class=tick x=%.1f y=%.1f text-anchor=end>%g</text>\n", layout->x.start - 6, at + 4,
                ticks[i]);
    }
    fs_html(out, "<text class=axis x=4 y=14>%s%s</text>\n", layout->chart->y_title,
            layout->chart->log_y ? ", log scale" : "");
}

static void draw_tick_x(const struct layout *layout, double value, const char *name, double *free_from)
{
    const double at = fs_axis_at(&layout->x, value), half = fs_text_width(name, FONT) / 2, y = layout->y.start;

    fs_html(layout->stream, "<line class=rule x1=%.1f x2=%.1f y1=%.1f y2=%.1f />", at, at, y, y + 4);
    if (at - half >= *free_from) { /* a name that would touch the one before is left out */
        fs_html(layout->stream, "<text class=tick x=%.1f y=%.1f text-anchor=middle>%s</text>\n", at, y + 18, name);
        *free_from = at + half + 6;
    }
}

static void draw_x_axis(const struct layout *layout)
{
    const struct fs_chart *chart = layout->chart;
    const double y = layout->y.start;
    double found[FS_TICKS_MAX], free_from = 0;
    const double *ticks = chart->ticks ? chart->ticks : found;
    const int count = chart->ticks ? chart->tick_count : fs_axis_ticks(&layout->x, 5, found);
    char number[FS_NUMBER_TEXT];

    fs_html(layout->stream, "<line class=rule x1=%.1f x2=%.1f y1=%.1f y2=%.1f />\n", layout->x.start, layout->x.stop, y,
            y);
    for (int i = 0; i < count; i++) {
        snprintf(number, sizeof(number), "%g", ticks[i]);
        draw_tick_x(layout, ticks[i], chart->tick_names ? chart->tick_names[i] : number, &free_from);
    }
    fs_html(layout->stream, "<text class=axis x=%.1f y=%.1f text-anchor=middle>%s</text>\n",
            (layout->x.start + layout->x.stop) / 2, y + 37, chart->x_title);
}

static void draw_baseline(const struct layout *layout)
{
    const struct fs_chart *chart = layout->chart;

    if (isfinite(chart->baseline) && (!chart->log_y || chart->baseline > 0)) {
        const double at = fs_axis_at(&layout->y, chart->baseline);
        fs_html(layout->stream, "<line class=baseline x1=%.1f x2=%.1f y1=%.1f y2=%.1f />", layout->x.start,
                layout->x.stop, at, at);
        fs_html(layout->stream, "<text class=tick x=%.1f y=%.1f>%s</text>\n", layout->x.start + 4, at - 5,
                chart->baseline_label);
    }
}

/* --- lines --- */

/* Colour and mark of a line; from STYLES on they come again, and the line is dashed. */
static int style_of(const struct fs_chart *chart, int line)
{
    const int style = chart->lines[line].style;

    return (style > 0 ? style - 1 : line) % (2 * STYLES);
}

static void begin_line(FILE *out, int style)
{
    if (style < STYLES) {
        fs_html(out, "<g class=k%d>", style);
    } else {
        fs_html(out, "<g class=\"k%d dashed\">", style - STYLES);
    }
}

/* Marks that differ in shape, about the same in area. */
static void draw_mark(FILE *out, int style, double x, double y, bool hollow)
{
    static const char *const paths[STYLES] = {
        "m-4.5,0a4.5,4.5 0 1 0 9,0a4.5,4.5 0 1 0 -9,0z",              /* circle */
        "m-4,-4h8v8h-8z",                                             /* square */
        "m0,-5.2l5,8.7h-10z",                                         /* triangle */
        "m0,-5.6l5.6,5.6l-5.6,5.6l-5.6,-5.6z",                        /* diamond */
        "m0,5.2l5,-8.7h-10z",                                         /* triangle downwards */
        "m-1.7,-5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z", /* plus */
        "m0,-5.2l5,3.6l-1.9,5.9h-6.2l-1.9,-5.9z",                     /* pentagon */
        "m-5,-2.4h10v4.8h-10z",                                       /* bar */
    };

    fs_html(out, "<path class=\"mark%s\" d=\"M%.1f,%.1f%s\"/>", hollow ? " hollow" : "", x, y, paths[style % STYLES]);
}

static void draw_band(const struct layout *layout, const struct fs_chart_line *line)
{
    const struct fs_chart *chart = layout->chart;
    const char *command = "M";
    int count = 0;

    for (int i = 0; i < line->count; i++) {
        count += drawable(chart, &line->points[i]) && has_band(&line->points[i]);
    }
    if (count < 2) {
        return;
    }
    fs_html(layout->stream, "<path class=band d=\"");
    for (int pass = 0; pass < 2; pass++) { /* along the lower bounds, and back along the upper ones */
        for (int i = 0; i < line->count; i++) {
            const struct fs_chart_point *point = &line->points[pass ? line->count - 1 - i : i];
            if (drawable(chart, point) && has_band(point)) {
                fs_html(layout->stream, "%s%.1f,%.1f", command, fs_axis_at(&layout->x, point->x),
                        fs_axis_at(&layout->y, pass ? point->high : point->low));
                command = "L";
            }
        }
    }
    fs_html(layout->stream, "z\"/>\n");
}

static void draw_curve(const struct layout *layout, const struct fs_chart_line *line)
{
    const char *command = "M";

    fs_html(layout->stream, "<path class=curve d=\"");
    for (int i = 0; i < line->count; i++) {
        const struct fs_chart_point *point = &line->points[i];
        if (drawable(layout->chart, point)) {
            fs_html(layout->stream, "%s%.1f,%.1f", command, fs_axis_at(&layout->x, point->x),
                    fs_axis_at(&layout->y, point->y));
            command = "L";
        }
    }
    fs_html(layout->stream, "\"/>\n");
}

/* "Shortcut model, 4 steps: 80.9 (76.1 to 86.1)" of a point, for the pointer and for screen readers. */
static void print_point_text(const struct layout *layout, const struct fs_chart_line *line,
                             const struct fs_chart_point *point)
{
    const struct fs_chart *chart = layout->chart;
    char value[FS_NUMBER_TEXT], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];

    fs_three_digits(point->y, value);
    fs_html(layout->stream, "%s, %s ", line->label, chart->x_title);
    for (int i = 0; i < chart->tick_count && chart->tick_names; i++) {
        if (chart->ticks[i] == point->x) {
            fs_html(layout->stream, "%s: %s", chart->tick_names[i], value);
        }
    }
    if (!chart->tick_names) {
        fs_html(layout->stream, "%g: %s", point->x, value);
    }
    if (has_band(point)) {
        fs_three_digits(point->low, low);
        fs_three_digits(point->high, high);
        fs_html(layout->stream, " (%s to %s)", low, high);
    }
}

static void draw_points(const struct layout *layout, const struct fs_chart_line *line, int style)
{
    FILE *out = layout->stream;

    for (int i = 0; i < line->count; i++) {
        const struct fs_chart_point *point = &line->points[i];
        if (!drawable(layout->chart, point)) {
            continue;
        }
        const double x = fs_axis_at(&layout->x, point->x), y = fs_axis_at(&layout->y, point->y);
        if (point->link[0]) {
            fs_html(out, "<a class=point href=\"#%s\"><title>", point->link);
        } else {
            fs_html(out, "<g><title>");
        }
        print_point_text(layout, line, point);
        /* The invisible disc is what a finger or a pointer has to hit. */
        fs_html(out, "</title><circle class=hit cx=%.1f cy=%.1f r=11 />", x, y);
        draw_mark(out, style, x, y, point->hollow);
        fputs(point->link[0] ? "</a>\n" : "</g>\n", out);
    }
}

/* --- names --- */

/* Above a narrow chart nothing may stick out: a name that might, in a font wider than the one that widths are estimated
 * for, is set closer. */
static void fit_name(const struct layout *layout, const char *name, double room)
{
    const double width = fs_text_width(name, FONT);

    if (!layout->names_beside && WIDEST_FONT * width > room) {
        fs_html(layout->stream, " textLength=%.1f lengthAdjust=spacingAndGlyphs", fmin(width, room));
    }
}

static void draw_name(const struct layout *layout, int line, double x, double y)
{
    const struct fs_chart_line *of = &layout->chart->lines[line];
    FILE *out = layout->stream;

    begin_line(out, style_of(layout->chart, line));
    fs_html(out, "<path class=curve d=\"M%.1f,%.1fh16\"/>", x, y);
    if (layout->chart->markers) {
        draw_mark(out, style_of(layout->chart, line), x + 8, y, false);
    }
    if (of->link[0]) {
        fs_html(out, "<a href=\"#%s\">", of->link);
    }
    fs_html(out, "<text class=name x=%.1f y=%.1f", x + 21, y + 4.5);
    fit_name(layout, of->label, layout->width - x - 21);
    fs_html(out, ">%s</text>%s</g>\n", of->label, of->link[0] ? "</a>" : "");
}

static double end_of(const struct layout *layout, const struct fs_chart_line *line)
{
    for (int i = line->count - 1; i >= 0; i--) {
        if (drawable(layout->chart, &line->points[i])) {
            return fs_axis_at(&layout->y, line->points[i].y);
        }
    }
    return NAN;
}

/* Each name at the height where its line ends, moved as little as keeps them apart and beside the plot. */
static void draw_names_beside(const struct layout *layout)
{
    const int count = layout->chart->line_count;
    int order[FS_CHART_LINES_MAX], shown = 0;
    double at[FS_CHART_LINES_MAX];

    for (int i = 0; i < count; i++) {
        const double end = end_of(layout, &layout->chart->lines[i]);
        int place = shown;
        if (isnan(end)) {
            continue;
        }
        for (; place > 0 && at[place - 1] > end; place--) {
            at[place] = at[place - 1];
            order[place] = order[place - 1];
        }
        at[place] = end;
        order[place] = i;
        shown++;
    }
    for (int pass = 0; shown > 0 && pass < 200; pass++) { /* neighbours that are too near push each other away */
        for (int i = 0; i + 1 < shown; i++) {
            const double lacking = LINE_HEIGHT - (at[i + 1] - at[i]);
            at[i] -= fmax(lacking, 0) / 2;
            at[i + 1] += fmax(lacking, 0) / 2;
        }
        at[0] = fmax(at[0], layout->y.stop);
        at[shown - 1] = fmin(at[shown - 1], layout->y.start - LINE_HEIGHT / 2);
    }
    for (int i = 0; i < shown; i++) {
        draw_name(layout, order[i], layout->x.stop + 6, at[i]);
    }
}

static void draw_names_above(const struct layout *layout)
{
    for (int i = 0; i < layout->chart->line_count; i++) {
        draw_name(layout, i, 4 + (i % layout->name_columns) * layout->name_width,
                  32 + (i / layout->name_columns) * LINE_HEIGHT);
    }
}

/* --- the whole --- */

static void draw(struct layout *layout)
{
    const struct fs_chart *chart = layout->chart;
    FILE *out = layout->stream;

    fs_html(out, "<svg class=\"%s%s\" viewBox=\"0 0 %.0f %.0f\" role=group aria-labelledby=\"%s-%s-t %s-%s-d\">\n",
            layout->name, chart->sequential ? " sequential" : "", layout->width, layout->height, chart->id,
            layout->name, chart->id, layout->name);
    fs_html(out, "<title id=\"%s-%s-t\">%s</title><desc id=\"%s-%s-d\">%s</desc>\n", chart->id, layout->name,
            chart->title, chart->id, layout->name, chart->description);
    draw_y_axis(layout);
    draw_x_axis(layout);
    draw_baseline(layout);
    for (int i = 0; i < chart->line_count; i++) {
        begin_line(out, style_of(chart, i));
        draw_band(layout, &chart->lines[i]);
        draw_curve(layout, &chart->lines[i]);
        fs_html(out, "</g>\n");
    }
    for (int i = 0; i < chart->line_count && chart->markers; i++) { /* above every line, so that each can be hit */
        begin_line(out, style_of(chart, i));
        draw_points(layout, &chart->lines[i], style_of(chart, i));
        fs_html(out, "</g>\n");
    }
    if (layout->names_beside) {
        draw_names_beside(layout);
    } else {
        draw_names_above(layout);
    }
    fs_html(out, "</svg>\n");
}

/* The y of the point of a line at `x`; NAN without. */
static double value_at(const struct fs_chart_line *line, double x)
{
    for (int i = 0; i < line->count; i++) {
        if (line->points[i].x == x) {
            return line->points[i].y;
        }
    }
    return NAN;
}

/* The smallest x of any line beyond `after`; infinity past the last. */
static double next_x(const struct fs_chart *chart, double after)
{
    double next = INFINITY;

    for (int i = 0; i < chart->line_count; i++) {
        for (int k = 0; k < chart->lines[i].count; k++) {
            const double x = chart->lines[i].points[k].x;
            next = x > after && x < next ? x : next;
        }
    }
    return next;
}

static void print_table(const struct fs_chart *chart, FILE *out)
{
    char value[FS_NUMBER_TEXT];

    fs_html(out,
            "<details class=numbers><summary>The numbers of this figure</summary><div class=scroll tabindex=0 "
            "role=region aria-label=\"%s\"><table><thead><tr><th scope=col>%s",
            chart->title, chart->x_title);
    for (int i = 0; i < chart->line_count; i++) {
        fs_html(out, "<th scope=col>%s", chart->lines[i].label);
    }
    fs_html(out, "<tbody>\n");
    for (double x = next_x(chart, -INFINITY); isfinite(x); x = next_x(chart, x)) {
        fs_html(out, "<tr><th scope=row>");
        const char *name = NULL;
        for (int i = 0; i < chart->tick_count && chart->tick_names; i++) {
            name = chart->ticks[i] == x ? chart->tick_names[i] : name;
        }
        snprintf(value, sizeof(value), "%.6g", x);
        fs_html(out, "%s", name ? name : value);
        for (int i = 0; i < chart->line_count; i++) {
            const double y = value_at(&chart->lines[i], x);
            fs_three_digits(y, value);
            fs_html(out, "<td>%s", isfinite(y) ? value : "–");
        }
        fs_html(out, "\n");
    }
    fs_html(out, "</table></div></details>\n");
}

void fs_chart_print(const struct fs_chart *chart, FILE *stream)
{
    double x[2], y[2];
    struct layout wide = {
        .chart = chart, .stream = stream, .name = "wide", .width = 680, .height = 400, .names_beside = true};
    struct layout narrow = {.chart = chart, .stream = stream, .name = "narrow", .width = 340, .height = 300};

    if (!find_ranges(chart, x, y)) {
        return;
    }
    lay_out(&wide, x, y);
    lay_out(&narrow, x, y);
    draw(&wide);
    draw(&narrow);
    if (chart->table) {
        print_table(chart, stream);
    }
}
