/* A table of the page: methods × steps, each number a link to where it comes from. */
#include <math.h>
#include <stdlib.h>

#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "harness/report/table_views.h"
#include "harness/text/number.h"

/* What a table has, so that its notes explain that and no more. */
struct signs {
    bool means, single, outside, unknown, ordered;
    int seeds; /* of all means; 0 where they differ */
};

static struct signs find_signs(const struct fs_result_section *section)
{
    struct signs signs = {.seeds = section->seeds};

    for (int r = 0; r < section->row_count; r++) {
        for (int c = 0; c < section->rows[r].cell_count; c++) {
            const struct fs_result_cell *cell = &section->rows[r].cells[c];
            signs.means |= cell->seeds > 1;
            signs.single |= cell->seeds == 1 && isfinite(cell->low);
            signs.outside |= cell->use == FS_CELL_OUTSIDE;
            signs.unknown |= cell->use == FS_CELL_USE_UNKNOWN;
            signs.ordered |= cell->order != FS_CELL_UNORDERED;
            signs.seeds = cell->seeds == section->seeds ? signs.seeds : 0;
        }
    }
    return signs;
}

static void print_step_count(int64_t steps, FILE *out)
{
    fs_html(out, "%ld step%s", (long)steps, steps == 1 ? "" : "s");
}

/* `steps`: the cell's column, which a narrow screen says in the cell. */
static void print_cell(const struct fs_page *page, const struct fs_result_cell *cell, int64_t steps, int seeds,
                       FILE *out)
{
    static const char *const begins[] = {"", "<b>", "<u>"}, *const ends[] = {"", "</b>", "</u>"};
    char value[FS_NUMBER_TEXT], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];

    fputs("<td data-column=\"", out);
    print_step_count(steps, out);
    fputs("\">", out);
    if (!cell) {
        fs_html(out, FS_NO_VALUE);
        return;
    }
    const bool outside = cell->use == FS_CELL_OUTSIDE;
    fs_three_digits(cell->mean, value);
    fs_html(out, "<a class=number href=\"#n%d\">%s", fs_page_place(page, cell), outside ? "(" : "");
    fputs(begins[cell->order], out);
    fs_html(out, "%s", value);
    fputs(ends[cell->order], out);
    fs_html(out, "%s</a>", outside ? ")" : "");
    if (cell->seeds > 1) {
        fs_three_digits(cell->error, low);
        fs_html(out, " <small>± %s", low);
        if (seeds == 0) {
            fs_html(out, ", n %d", cell->seeds);
        }
        fs_html(out, "</small>");
    } else if (isfinite(cell->low) && isfinite(cell->high)) {
        fs_three_digits(cell->low, low);
        fs_three_digits(cell->high, high);
        fs_html(out, " <small>%s to %s</small>", low, high);
    }
}

static void print_heading(const struct fs_result_section *section, FILE *out)
{
    fs_html(out, "<thead><tr><th scope=col>method");
    for (int i = 0; i < section->step_count; i++) {
        fputs("<th scope=col>", out);
        print_step_count(section->steps[i], out);
    }
    fs_html(out, "<th scope=col>updates<th scope=col>TFLOP<tbody>\n");
}

static void print_cells(const struct fs_page *page, const struct fs_result_section *section,
                        const struct fs_result_row *row, int seeds, FILE *out)
{
    for (int i = 0; i < section->step_count; i++) {
        print_cell(page, fs_result_cell_at(row, section->steps[i]), section->steps[i], seeds, out);
    }
}

#define NO_TRAINING "<td data-column=updates>" FS_NO_VALUE "<td data-column=TFLOP>" FS_NO_VALUE "\n"

static void print_rows(const struct fs_page *page, const struct fs_result_section *section, int seeds, FILE *out)
{
    char work[FS_NUMBER_TEXT], name[FS_PAGE_NAME];

    for (int r = 0; r < section->row_count; r++) {
        const struct fs_result_row *row = &section->rows[r];
        fs_html(out, "<tr><th scope=row>%s", fs_page_name(section, row, name));
        print_cells(page, section, row, seeds, out);
        fs_three_digits(row->cells->scores->flops * 1e-12, work);
        fs_html(out, "<td data-column=updates>%ld<td data-column=TFLOP>%s\n", (long)row->cells->scores->updates, work);
    }
    for (int r = 0; r < section->exact_count; r++) { /* nothing was trained for it */
        fs_html(out, "<tr class=data><th scope=row>%s", section->exact[r].name);
        print_cells(page, section, &section->exact[r], seeds, out);
        fs_html(out, NO_TRAINING);
    }
    if (section->data) {
        fs_html(out, "<tr class=data><th scope=row>data: %s split", section->data_split);
        for (int i = 0; i < section->step_count; i++) {
            print_cell(page, section->data, section->steps[i], seeds, out);
        }
        fs_html(out, NO_TRAINING);
    }
}

/* Under the table: what its signs mean, of those that it has. */
static void print_notes(const struct fs_result_section *section, const struct signs *signs, FILE *out)
{
    fs_html(out, "<p class=note>");
    if (signs->means && signs->seeds) {
        fs_html(out, "Means of %d seeds, ± their standard error. ", signs->seeds);
    } else if (signs->means) {
        fs_html(out, "± is the standard error of a mean of n seeds. ");
    }
    if (section->better) {
        fs_html(out, "%s is better. ", section->better > 0 ? "Higher" : "Lower");
    }
    fs_html(out, "%s%sUpdates and TFLOP are of one training, its teacher’s share included.",
            signs->single ? "Small under a number of one seed: the 95 % bootstrap interval over its samples. " : "",
            signs->outside ? "In parentheses: at a number of steps that the method was not trained for. " : "");
    if (signs->ordered) {
        fs_html(out, " Bold: best of its column, underlined: second, where the differences are more than noise.");
    }
    if (section->data && section->data->scores->samples != section->measure.samples) {
        fs_html(out, " The data’s own score is of %ld samples (fewer samples score higher).",
                (long)section->data->scores->samples);
    }
    if (signs->unknown) {
        fs_html(out, " Some runs have no parentheses because this build cannot read their configuration.");
    }
    if (section->exact_count) {
        fs_html(out, " Exact velocity: what flow matching would draw if it had learned its training set perfectly: in "
                     "one step its mean picture, with labels that of each; no network.");
    }
    for (int i = 0; i < section->remark_count; i++) {
        fs_html(out, " %s.", section->remarks[i]);
    }
    fs_html(out, "</p>\n");
}

void fs_page_table(const struct fs_page *page, const struct fs_result_section *section)
{
    const struct signs signs = find_signs(section);
    const int measure = fs_page_measure(page, section);
    char title[FS_PAGE_WHAT];
    FILE *out = page->out;

    fs_html(out,
            "<p class=caption id=\"about-%d\">%s</p>\n<div class=scroll tabindex=0 role=region "
            "aria-labelledby=\"about-%d\"><table class=results aria-labelledby=\"about-%d\">\n",
            measure, fs_page_title(section, title), measure, measure);
    print_heading(section, out);
    print_rows(page, section, signs.seeds, out);
    fs_html(out, "</table></div>\n");
    print_notes(section, &signs, out);
}
