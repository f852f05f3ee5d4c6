/* The paper's figures: pgfplots code that reads the data beside it, and the pictures of samples. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/text/number.h"
#include "harness/report/paper_parts.h"
#include "harness/report/svg.h"
#include "kernels/base/file.h"

#define STYLES 8 /* fs line 1 … of paper/fewstep.tex */

/* A point of a figure. Of one seed the bars are the 95 % interval over its samples. */
struct point {
    double y, below, above;
    bool outside;
};

static struct point point_of(struct fs_stretch cell)
{
    struct point point = {0};
    double error;
    bool known;

    fs_mean_and_error(cell, &point.y, &error);
    if (cell.count > 1) {
        point.below = point.above = error;
    } else if (isfinite(cell.first->low) && isfinite(cell.first->high)) {
        point.below = fmax(point.y - cell.first->low, 0);
        point.above = fmax(cell.first->high - point.y, 0);
    }
    point.outside = fs_outside_training(cell.first, &known);
    return point;
}

/* --- data --- */

static void print_point(FILE *stream, double x, const struct point *point)
{
    char texts[4][FS_NUMBER_TEXT];
    const double values[] = {x, point->y, point->below, point->above};

    for (int i = 0; i < 4; i++) {
        fs_shortest(values[i], texts[i]);
    }
    fprintf(stream, "%s %s %s %s %d\n", texts[0], texts[1], texts[2], texts[3], point->outside);
}

/* Steps against score of one row, or of an ablation the row's place against the score at one number of steps; only the
 * points for which `wanted` holds (0 inside, 1 outside what the method was trained for, 2 all). *count: how many. */
static fs_status write_line(const struct fs_paper *paper, const struct fs_study *study, int line, int wanted,
                            int *count, struct fs_error *error)
{
    static const char *const names[] = {"inside", "outside", "all"};
    const bool ablation = study->name.ablated[0];
    char path[1024];
    struct fs_new_file file;

    *count = 0;
    snprintf(path, sizeof(path), "%s/fs-%s-%d-%s.dat", paper->folder, study->key, line + 1, names[wanted]);
    FS_TRY(fs_new_file_open(&file, path, error));
    fprintf(file.stream, "x y below above outside\n");
    const int points = ablation ? study->rows : study->section.step_count;
    for (int i = 0; i < points; i++) {
        const struct fs_stretch cell = ablation ? fs_study_cell(study, i, line) : fs_study_cell(study, line, i);
        if (cell.count == 0) {
            continue;
        }
        const struct point point = point_of(cell);
        if (wanted == 2 || point.outside == wanted) {
            print_point(file.stream, ablation ? i : (double)study->section.steps[i], &point);
            (*count)++;
        }
    }
    return fs_new_file_commit(&file, error);
}

static int line_count(const struct fs_study *study)
{
    return study->name.ablated[0] ? study->section.step_count : study->rows;
}

static fs_status write_lines(const struct fs_paper *paper, const struct fs_study *study, struct fs_error *error)
{
    int count;

    for (int line = 0; line < line_count(study); line++) {
        for (int wanted = 0; wanted < 3; wanted++) {
            FS_TRY(write_line(paper, study, line, wanted, &count, error));
        }
    }
    return FS_OK;
}

fs_status fs_paper_data(const struct fs_paper *paper, struct fs_error *error)
{
    FS_TRY(write_lines(paper, &paper->main, error));
    return paper->has_ablation ? write_lines(paper, &paper->ablation, error) : FS_OK;
}

/* --- axes --- */

static void y_range(const struct fs_study *study, double *low, double *high)
{
    *low = INFINITY;
    *high = 0;
    for (int r = 0; r < study->rows; r++) {
        for (int column = 0; column < study->section.step_count; column++) {
            const struct fs_stretch cell = fs_study_cell(study, r, column);
            if (cell.count > 0) {
                const struct point point = point_of(cell);
                *low = fmin(*low, point.y - point.below);
                *high = fmax(*high, point.y + point.above);
            }
        }
    }
}

bool fs_study_shows_floor(const struct fs_study *study)
{
    double low, high;

    y_range(study, &low, &high);
    return study->section.floor && study->section.floor->value > low / 4;
}

/* The vertical axis, logarithmic: its ends and round marks. */
static void print_y_axis(FILE *stream, const struct fs_study *study)
{
    double low, high, ticks[FS_TICKS_MAX];
    char text[FS_NUMBER_TEXT], metric[96];

    y_range(study, &low, &high);
    if (fs_study_shows_floor(study)) {
        low = fmin(low, study->section.floor->value);
        high = fmax(high, study->section.floor->value);
    }
    const struct fs_axis axis = fs_axis_make(fmax(low, 1e-9), fmax(high, 1e-9), true, 0, 1);
    const int count = fs_axis_ticks(&axis, 6, ticks);
    fs_metric_label(study->section.all.first, metric, sizeof(metric));
    fputs("ymode=log, ylabel={", stream);
    fs_latex(stream, metric);
    fprintf(stream, "}, ymin=%.6g, ymax=%.6g, ytick={", axis.low, axis.high);
    for (int i = 0; i < count; i++) {
        fprintf(stream, "%s%.6g", i ? "," : "", ticks[i]);
    }
    fputs("}, yticklabels={", stream);
    for (int i = 0; i < count; i++) {
        fs_shortest(ticks[i], text);
        fprintf(stream, "%s%s", i ? "," : "", text);
    }
    fputs("}", stream);
}

/* A line, its filled marks and its hollow ones. */
static void print_line(FILE *stream, const struct fs_study *study, int line, const char *label)
{
    static const char *const names[] = {"inside", "outside"};
    const bool ablation = study->name.ablated[0];
    const int style = line % STYLES + 1, points = ablation ? study->rows : study->section.step_count;
    int counts[2] = {0};

    for (int i = 0; i < points; i++) {
        const struct fs_stretch cell = ablation ? fs_study_cell(study, i, line) : fs_study_cell(study, line, i);
        if (cell.count > 0) {
            counts[point_of(cell).outside]++;
        }
    }
    fprintf(stream, "\\addlegendimage{fs line %d, fs inside}\n\\addlegendentry{", style);
    fs_latex(stream, label);
    fputs("}\n", stream);
    fprintf(stream,
            "\\addplot[fs line %d, mark=none, forget plot, error bars/.cd, y dir=both, y explicit] table[x=x, y=y, y "
            "error minus=below, y error plus=above] {fs-%s-%d-all.dat};\n",
            style, study->key, line + 1);
    for (int i = 0; i < 2; i++) {
        if (counts[i] > 0) {
            fprintf(stream,
                    "\\addplot[fs line %d, fs %s, only marks, forget plot] table[x=x, y=y] {fs-%s-%d-%s.dat};\n", style,
                    names[i], study->key, line + 1, names[i]);
        }
    }
}

static void print_floor(FILE *stream, const struct fs_study *study, double from, double to)
{
    if (fs_study_shows_floor(study)) {
        fprintf(stream, "\\addlegendimage{fs floor}\n\\addlegendentry{data: ");
        fs_latex(stream, fs_split_name(study->section.floor));
        fprintf(stream, " split}\n\\addplot[fs floor, forget plot] coordinates {(%g,%.9g) (%g,%.9g)};\n", from,
                study->section.floor->value, to, study->section.floor->value);
    }
}

fs_status fs_paper_steps_figure(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *main = &paper->main;
    const int steps = main->section.step_count;

    (void)error;
    fprintf(stream,
            "\\begin{tikzpicture}\n\\begin{axis}[fs chart, xmode=log, log basis x=2, xlabel={Sampling steps}, ");
    fprintf(stream, "xmin=%.6g, xmax=%.6g, xtick={", (double)main->section.steps[0] / 1.3,
            (double)main->section.steps[steps - 1] * 1.3);
    for (int i = 0; i < steps; i++) {
        fprintf(stream, "%s%" PRId64, i ? "," : "", main->section.steps[i]);
    }
    fputs("}, xticklabels={", stream);
    for (int i = 0; i < steps; i++) {
        fprintf(stream, "%s%" PRId64, i ? "," : "", main->section.steps[i]);
    }
    fputs("}, ", stream);
    print_y_axis(stream, main);
    fputs("]\n", stream);
    for (int r = 0; r < main->rows; r++) {
        print_line(stream, main, r, fs_method_label(fs_study_row(main, r).first->text[FS_TEXT_METHOD]));
    }
    print_floor(stream, main, (double)main->section.steps[0] / 1.3, (double)main->section.steps[steps - 1] * 1.3);
    fputs("\\end{axis}\n\\end{tikzpicture}\n", stream);
    return FS_OK;
}

fs_status fs_paper_ablation_figure(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *study = &paper->ablation;
    const char *dot = strrchr(study->name.ablated, '.');
    char text[112];

    (void)error;
    if (!paper->has_ablation) {
        return FS_OK;
    }
    fputs("\\begin{tikzpicture}\n\\begin{axis}[fs chart, xlabel={\\texttt{", stream);
    fs_latex(stream, dot ? dot + 1 : study->name.ablated);
    fprintf(stream, "}}, xmin=-0.4, xmax=%d.4, xtick={", study->rows - 1);
    for (int r = 0; r < study->rows; r++) {
        fprintf(stream, "%s%d", r ? "," : "", r);
    }
    fputs("}, xticklabels={", stream);
    for (int r = 0; r < study->rows; r++) {
        fs_study_row_key(study, r, text, sizeof(text));
        fputs(r ? ",{" : "{", stream);
        fs_latex(stream, text);
        fputc('}', stream);
    }
    fputs("}, ", stream);
    print_y_axis(stream, study);
    fputs("]\n", stream);
    for (int i = 0; i < study->section.step_count; i++) {
        snprintf(text, sizeof(text), "%" PRId64 " step%s", study->section.steps[i],
                 study->section.steps[i] == 1 ? "" : "s");
        print_line(stream, study, i, text);
    }
    print_floor(stream, study, -0.4, study->rows - 0.6);
    fputs("\\end{axis}\n\\end{tikzpicture}\n", stream);
    return FS_OK;
}

/* --- samples --- */

fs_status fs_paper_samples(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    char path[1400], whole[PATH_MAX];

    (void)error;
    for (int r = 0, shown = 0; r < paper->main.rows; r++) {
        if (!fs_paper_picture(paper, r, paper->samples_seed, path) || strpbrk(path, "%#{}\\~ ")) {
            continue; /* a name that LaTeX would not find */
        }
        if (!realpath(path, whole)) {
            continue;
        }
        fputs(shown % 2 ? "\\hfill\n" : shown ? "\n\n\\smallskip\n\n" : "", stream);
        fputs("\\fssample{", stream);
        fs_latex(stream, fs_method_label(fs_study_row(&paper->main, r).first->text[FS_TEXT_METHOD]));
        fprintf(stream, "}{%s}%%\n", whole);
        shown++;
    }
    return FS_OK;
}
