/* Line charts as SVG within HTML. Colours, dashes and fonts are in page.css; what a chart says by colour it also says
 * by marker and by the name beside each line. */
#ifndef FEWSTEP_CHART_H
#define FEWSTEP_CHART_H

#include <stdbool.h>
#include <stdio.h>

#define FS_CHART_LINES_MAX 16 /* as many styles: 8 colours and marks, then the same dashed */

struct fs_chart_point {
    double x, y;
    double low, high; /* of the band; NAN: none */
    bool hollow;
    char link[24]; /* anchor in the page, "" for none */
};

struct fs_chart_line {
    char label[256];
    char link[24]; /* of the whole line */
    int style;     /* which colour and mark, from 1; 0: by its place */
    struct fs_chart_point *points;
    int count;
};

struct fs_chart {
    const char *id;          /* unique in the page */
    const char *title;       /* what is drawn against what */
    const char *description; /* what a reader who cannot see it should know */
    const char *x_title, *y_title;
    bool log_x, log_y;
    bool sequential;               /* the lines are values of one quantity: one hue from dark to light */
    bool markers;                  /* a mark at each point */
    bool table;                    /* the numbers follow in a table that can be opened */
    const double *ticks;           /* marked values of x; NULL: round ones */
    const char *const *tick_names; /* NULL: the values themselves */
    int tick_count;
    const struct fs_chart_line *lines;
    int line_count;
    double baseline; /* a horizontal line across; NAN: none */
    const char *baseline_label;
};

/* The chart twice: a wide one with the names beside the lines, and a narrow one for a phone with the names above it;
 * the style sheet shows one of them. Then the table, if it was asked for. Prints nothing where no point is finite (on a
 * logarithmic axis: positive). */
void fs_chart_print(const struct fs_chart *chart, FILE *stream);

#endif
