/* The table for LaTeX with the package booktabs. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/text/number.h"
#include "harness/report/table_section.h"
#include "kernels/base/memory.h"
#include "metrics/metric.h"

#define ROW_END " \\\\\n"
#define NO_VALUE "--"

/* --- what names a row --- */

static void print_row_name(const struct fs_section *section, const struct fs_table_score *of, FILE *stream)
{
    const char *ablated = section->experiment->ablated;
    char value[112];

    fs_latex(stream, fs_method_label(of->text[FS_TEXT_METHOD]));
    if (*ablated) {
        fs_ablated_value(of, ablated, value, sizeof(value));
        fputs(" & ", stream);
        fs_latex(stream, strcmp(value, FS_NO_VALUE) == 0 ? "–" : value);
    }
}

static void print_row_heading(const struct fs_section *section, FILE *stream)
{
    const char *ablated = section->experiment->ablated, *dot = strrchr(ablated, '.');

    fputs("Method", stream);
    if (*ablated) {
        fputs(" & ", stream);
        fs_latex(stream, dot ? dot + 1 : ablated);
    }
}

/* --- methods × steps --- */

/* Whether a cell has other seeds than the table, which takes room behind it. */
static bool has_counts(const struct fs_section *section, int seeds)
{
    struct fs_stretch cell;

    for (int at = 0; fs_next_stretch(section->all, &at, fs_same_cell, &cell);) {
        if (cell.count != seeds) {
            return true;
        }
    }
    return false;
}

static void print_cell(struct fs_stretch cell, enum fs_mark mark, int seeds, FILE *stream)
{
    static const char *const commands[] = {"", "\\textbf", "\\underline"};
    double mean, error;
    bool known;

    fs_mean_and_error(cell, &mean, &error);
    fs_latex_cell(stream, mean, error, fs_outside_training(cell.first, &known), commands[mark],
                  cell.count == seeds ? 0 : cell.count);
}

static void print_scores_row(const struct fs_section *section, struct fs_stretch row, const enum fs_mark *marks,
                             int seeds, FILE *stream)
{
    struct fs_stretch cell;

    print_row_name(section, row.first, stream);
    for (int i = 0; i < section->step_count; i++) {
        bool found = false;
        fputs(" & ", stream);
        for (int at = 0; fs_next_stretch(row, &at, fs_same_cell, &cell);) {
            if (cell.first->steps == section->steps[i]) {
                print_cell(cell, marks[i], seeds, stream);
                found = true;
            }
        }
        fputs(found ? "" : NO_VALUE, stream);
    }
    fputs(ROW_END, stream);
}

static void print_floor(const struct fs_section *section, FILE *stream)
{
    char value[FS_NUMBER_TEXT];

    fs_three_digits(section->floor->value, value);
    fputs("\\midrule\nData: ", stream);
    fs_latex(stream, fs_split_name(section->floor));
    fputs(" split", stream);
    fputs(section->experiment->ablated[0] ? " & " : "", stream);
    for (int i = 0; i < section->step_count; i++) {
        fprintf(stream, " & %s", value);
    }
    fputs(ROW_END, stream);
}

fs_status fs_latex_scores(const struct fs_section *section, FILE *stream, struct fs_error *error)
{
    const int seeds = fs_stretch_seeds(section->all);
    struct fs_stretch row;
    enum fs_mark *marks;

    FS_TRY(fs_section_marks(section, &marks, error));
    fprintf(stream, "\\begin{tabular}{l%s*{%d}{r%s}}\n\\toprule\n", section->experiment->ablated[0] ? "l" : "",
            section->step_count, has_counts(section, seeds) ? "@{\\hspace{2em}}" : "");
    fprintf(stream, "%s & \\multicolumn{%d}{c}{Sampling steps}" ROW_END, section->experiment->ablated[0] ? " &" : "",
            section->step_count);
    const int names = section->experiment->ablated[0] ? 2 : 1;
    fprintf(stream, "\\cmidrule(l){%d-%d}\n", names + 1, names + section->step_count);
    print_row_heading(section, stream);
    for (int i = 0; i < section->step_count; i++) {
        fprintf(stream, " & %" PRId64, section->steps[i]);
    }
    fputs(ROW_END "\\midrule\n", stream);
    for (int at = 0, r = 0; fs_next_stretch(section->all, &at, fs_same_row, &row); r++) {
        print_scores_row(section, row, marks + (size_t)r * (size_t)section->step_count, seeds, stream);
    }
    if (section->floor) {
        print_floor(section, stream);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", stream);
    free(marks);
    return FS_OK;
}

/* --- cost --- */

static void print_share(double whole, double part, FILE *stream)
{
    char text[FS_NUMBER_TEXT];

    fs_three_digits(whole, text);
    fprintf(stream, " & %s & ", text);
    fs_three_digits(part, text);
    fputs(part > 0 ? text : NO_VALUE, stream);
}

void fs_latex_cost(const struct fs_section *section, FILE *stream)
{
    char seconds[FS_NUMBER_TEXT], bytes[FS_NUMBER_TEXT];
    struct fs_stretch row;

    fprintf(stream,
            "\\begin{tabular}{l%srrrrrr}\n\\toprule\n%s & \\multicolumn{2}{c}{Updates} & "
            "\\multicolumn{2}{c}{TFLOP} & Peak & Wall" ROW_END,
            section->experiment->ablated[0] ? "l" : "", section->experiment->ablated[0] ? " &" : "");
    const int first = section->experiment->ablated[0] ? 3 : 2;
    fprintf(stream, "\\cmidrule(lr){%d-%d}\\cmidrule(lr){%d-%d}\n", first, first + 1, first + 2, first + 3);
    print_row_heading(section, stream);
    fputs(" & all & teacher & all & teacher & memory & time" ROW_END "\\midrule\n", stream);
    for (int at = 0; fs_next_stretch(section->all, &at, fs_same_row, &row);) {
        const struct fs_cost_mean cost = fs_mean_cost(row);
        const struct fs_table_score *of = row.first;
        print_row_name(section, of, stream);
        fprintf(stream, " & %" PRId64 " & ", of->updates);
        if (of->teacher_updates > 0) {
            fprintf(stream, "%" PRId64, of->teacher_updates);
        } else {
            fputs(NO_VALUE, stream);
        }
        print_share(of->flops * 1e-12, of->teacher_flops * 1e-12, stream);
        fs_duration((int64_t)(cost.seconds + 0.5), seconds);
        fs_byte_size((int64_t)cost.peak_bytes, bytes);
        fprintf(stream, " & %s & %s" ROW_END, bytes, seconds);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", stream);
}
