/* The table for LaTeX with the package booktabs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/origins.h"
#include "harness/report/table_views.h"
#include "harness/text/escape.h"
#include "harness/text/number.h"

#define ROW_END " \\\\\n"
#define NO_VALUE "--"

/* Columns before the numbers: what names a row. */
static int name_columns(const struct fs_results *results, const struct fs_result_section *section)
{
    return section->source[0] ? 1 : 1 + results->varied_count;
}

static void print_times(const char *text, int times, FILE *stream)
{
    for (int i = 0; i < times; i++) {
        fputs(text, stream);
    }
}

static void print_row_name(const struct fs_result_row *row, int names, FILE *stream)
{
    fs_latex(stream, row->name);
    for (int i = 0; i + 1 < names; i++) {
        fputs(" & ", stream);
        fs_latex(stream, row->varied[i] ? row->varied[i] : FS_NO_VALUE);
    }
}

static void print_row_heading(const struct fs_results *results, int names, FILE *stream)
{
    fputs("Method", stream);
    for (int i = 0; i + 1 < names; i++) {
        fputs(" & ", stream);
        fs_latex(stream, results->varied_name[i]);
    }
}

/* --- methods × steps --- */

/* Whether a cell has other seeds than the table, which takes room behind it. */
static bool has_counts(const struct fs_result_section *section)
{
    for (int r = 0; r < section->row_count; r++) {
        for (int c = 0; c < section->rows[r].cell_count; c++) {
            if (section->rows[r].cells[c].seeds != section->seeds) {
                return true;
            }
        }
    }
    return false;
}

static void print_cell(const struct fs_result_section *section, const struct fs_result_cell *cell, FILE *stream)
{
    static const char *const commands[] = {"", "\\textbf", "\\underline"};
    const bool outside = cell->use == FS_CELL_OUTSIDE;
    char value[FS_NUMBER_TEXT];

    if (cell->origin == FS_CELL_PUBLISHED) {
        fs_published_text(cell->mean, value);
        fprintf(stream, "%s%s%s%s", outside ? "(" : "", value, outside ? "\\rlap{)" : "\\rlap{",
                cell->confirmed ? "}" : "$^\\dagger$}");
    } else {
        fs_latex_cell(stream, cell->mean, cell->error, outside, commands[cell->order],
                      cell->seeds == section->seeds ? 0 : cell->seeds);
    }
}

static void print_row(const struct fs_result_section *section, const struct fs_result_row *row, int names, FILE *stream)
{
    print_row_name(row, names, stream);
    for (int i = 0; i < section->step_count; i++) {
        const struct fs_result_cell *cell = fs_result_cell_at(row, section->steps[i]);
        fputs(cell ? " & " : " & " NO_VALUE, stream);
        if (cell) {
            print_cell(section, cell, stream);
        }
    }
    fputs(ROW_END, stream);
}

static void print_data(const struct fs_result_section *section, int names, FILE *stream)
{
    char value[FS_NUMBER_TEXT];

    fs_three_digits(section->data->mean, value);
    fputs("\\midrule\nData: ", stream);
    fs_latex(stream, section->data_split);
    fputs(" split", stream);
    print_times(" & ", names - 1, stream);
    for (int i = 0; i < section->step_count; i++) {
        fprintf(stream, " & %s", value);
    }
    fputs(ROW_END, stream);
}

static void print_scores(const struct fs_results *results, const struct fs_result_section *section, FILE *stream)
{
    const int names = name_columns(results, section), steps = section->step_count;

    fputs("\\begin{tabular}{", stream);
    print_times("l", names, stream);
    fprintf(stream, "*{%d}{r%s}}\n\\toprule\n", steps, has_counts(section) ? "@{\\hspace{2em}}" : "");
    print_times(" &", names - 1, stream);
    fprintf(stream, " & \\multicolumn{%d}{c}{Sampling steps}" ROW_END "\\cmidrule(l){%d-%d}\n", steps, names + 1,
            names + steps);
    print_row_heading(results, names, stream);
    for (int i = 0; i < steps; i++) {
        fprintf(stream, " & %" PRId64, section->steps[i]);
    }
    fputs(ROW_END "\\midrule\n", stream);
    for (int r = 0; r < section->row_count; r++) {
        print_row(section, &section->rows[r], names, stream);
    }
    if (section->exact_count) {
        fputs("\\midrule\n", stream);
    }
    for (int r = 0; r < section->exact_count; r++) {
        print_row(section, &section->exact[r], names, stream);
    }
    if (section->data) {
        print_data(section, names, stream);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", stream);
}

/* --- cost --- */

static void print_cost(const struct fs_results *results, const struct fs_result_section *section, FILE *stream)
{
    const int names = name_columns(results, section);
    char all[FS_NUMBER_TEXT], teacher[FS_NUMBER_TEXT];

    fputs("\\begin{tabular}{", stream);
    print_times("l", names, stream);
    fputs("rrrrrr}\n\\toprule\n", stream);
    print_times(" &", names - 1, stream);
    fprintf(stream,
            " & \\multicolumn{2}{c}{Updates} & \\multicolumn{2}{c}{TFLOP} & Peak & Wall" ROW_END
            "\\cmidrule(lr){%d-%d}\\cmidrule(lr){%d-%d}\n",
            names + 1, names + 2, names + 3, names + 4);
    print_row_heading(results, names, stream);
    fputs(" & all & teacher & all & teacher & memory & time" ROW_END "\\midrule\n", stream);
    for (int r = 0; r < section->row_count; r++) {
        const struct fs_result_row *row = &section->rows[r];
        const struct fs_result_score *of = row->cells->scores;
        print_row_name(row, names, stream);
        snprintf(teacher, sizeof(teacher), "%" PRId64, of->teacher_updates);
        fprintf(stream, " & %" PRId64 " & %s", of->updates, of->teacher_updates > 0 ? teacher : NO_VALUE);
        fs_three_digits(of->flops * 1e-12, all);
        fs_three_digits(of->teacher_flops * 1e-12, teacher);
        fprintf(stream, " & %s & %s", all, of->teacher_flops > 0 ? teacher : NO_VALUE);
        fs_byte_size((int64_t)row->peak_bytes, all);
        fs_duration((int64_t)(row->seconds + 0.5), teacher);
        fprintf(stream, " & %s & %s" ROW_END, all, teacher);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", stream);
}

/* --- both, with a caption --- */

static void print_caption(const struct fs_results *results, const struct fs_result_section *section, FILE *stream)
{
    fputs("  \\caption{", stream);
    fs_latex(stream, results->experiment.name);
    fputs(": ", stream);
    fs_latex(stream, section->about);
    if (section->better) {
        fprintf(stream, "; %s is better", section->better > 0 ? "higher" : "lower");
    }
    if (section->seeds > 1) {
        fprintf(stream,
                ". Mean $\\pm$ standard error over %d seeds (or as many as a raised number in parentheses says). Bold: "
                "the best of a column, underlined: the second, where they differ from all that are worse by more than "
                "noise (t intervals of the log ratios, Holm's correction over the table, $\\alpha = %g$)",
                section->seeds, FS_RESULT_ALPHA);
    } else {
        fputs(". One seed: differences cannot be told from noise, so nothing is marked as best", stream);
    }
    if (section->exact_count) {
        fputs(". Exact velocity: what flow matching would draw if it had learned its training set perfectly, in one "
              "step its mean picture",
              stream);
    }
    for (int i = 0; i < section->remark_count; i++) {
        fputs(". ", stream);
        fs_latex(stream, section->remarks[i]);
    }
    fputs(". In parentheses: a number of steps that the method was not trained for. Cost is that of one training, a "
          "teacher's share included; wall time does not include the drawing of pairs, and memory is the largest "
          "resident set.}\n  \\vspace{1ex}\n",
          stream);
}

static void print_published(const struct fs_results *results, const struct fs_result_section *setting, FILE *stream)
{
    fputs("\\begin{table}\n  \\centering\n  \\small\n  \\caption{Published numbers: ", stream);
    fs_latex(stream, setting->title);
    fputs(", ", stream);
    fs_latex(stream, setting->measure.model);
    fprintf(stream, ", %s, %" PRId64 " samples. From ", fs_published_metric(setting), setting->measure.samples);
    fs_latex(stream, setting->source);
    fprintf(stream, ". In parentheses: outside what the method was trained for.%s}\n  \\label{tab:published-",
            fs_all_confirmed(setting) ? "" : " $\\dagger$: as reported, not confirmed in a second place.");
    fs_put_latex_label(setting->name, stream);
    fputs("}\n", stream);
    print_scores(results, setting, stream);
    fputs("\\end{table}\n", stream);
}

fs_status fs_table_latex(const struct fs_results *results, const struct fs_result_section *section, FILE *stream,
                         struct fs_error *error)
{
    const bool wide = section->step_count > 5;

    if (section->source[0]) {
        print_published(results, section, stream);
        return FS_OK;
    }
    char *builds = fs_result_builds(section, error);
    if (!builds) {
        return FS_FAILED;
    }
    fputs("% needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}; ", stream);
    fs_put_plain(builds, stream); /* a newline would end the comment */
    fputc('\n', stream);
    free(builds);
    fprintf(stream, "\\begin{table}\n  \\centering\n  \\%s\n  \\setlength{\\tabcolsep}{%dpt}\n",
            wide ? "footnotesize" : "small", wide ? 3 : 4);
    print_caption(results, section, stream);
    fputs("  \\label{tab:fewstep-", stream);
    fs_put_latex_label(results->experiment.name, stream);
    if (section > results->sections) {
        fprintf(stream, "-%d", (int)(section - results->sections) + 1);
    }
    fputs("}\n", stream);
    print_scores(results, section, stream);
    fputs("\n\\medskip\n", stream);
    print_cost(results, section, stream);
    fputs("\\end{table}\n", stream);
    return FS_OK;
}
