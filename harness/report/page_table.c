/* A table of the page: methods × steps, each number a link to where it comes from. */
#include <math.h>
#include <stdlib.h>

#include "harness/report/html.h"
#include "harness/text/number.h"
#include "harness/report/page_model.h"
#include "harness/report/table_section.h"
#include "metrics/metric.h"

/* The number of seeds of all means of a section; 0 where they differ. */
static int common_seeds(const struct fs_page *page, const struct fs_page_section *section)
{
    int seeds = 0;

    for (int i = 0; i < section->row_count; i++) {
        for (int k = 0; k < section->step_count; k++) {
            const int number = section->rows[i].numbers[k];
            const int its = number ? fs_page_number(page, number)->scores.count : 0;
            if (number && seeds && its != seeds) {
                return 0;
            }
            seeds = number ? its : seeds;
        }
    }
    return seeds;
}

/* `seeds`: what common_seeds says. */
static void print_number(const struct fs_page *page, int number, enum fs_mark mark, int seeds, FILE *out)
{
    static const char *const begins[] = {"", "<b>", "<u>"}, *const ends[] = {"", "</b>", "</u>"};
    char value[FS_NUMBER_TEXT], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];

    if (number == 0) {
        fs_html(out, "<td>" FS_NO_VALUE);
        return;
    }
    const struct fs_page_number *of = fs_page_number(page, number);
    fs_three_digits(of->mean, value);
    fs_html(out, "<td><a class=number href=\"#n%d\">%s", number, of->outside ? "(" : "");
    fputs(begins[mark], out);
    fs_html(out, "%s", value);
    fputs(ends[mark], out);
    fs_html(out, "%s</a>", of->outside ? ")" : "");
    if (of->scores.count > 1) {
        fs_three_digits(of->high - of->mean, low);
        fs_html(out, " <small>± %s", low);
        if (seeds == 0) {
            fs_html(out, ", n %d", of->scores.count);
        }
        fs_html(out, "</small>");
    } else if (isfinite(of->low) && isfinite(of->high)) {
        fs_three_digits(of->low, low);
        fs_three_digits(of->high, high);
        fs_html(out, " <small>%s to %s</small>", low, high);
    }
}

static void print_heading(const struct fs_page_section *section, FILE *out)
{
    fs_html(out, "<thead><tr><th scope=col>method");
    for (int i = 0; i < section->step_count; i++) {
        fs_html(out, "<th scope=col>%ld step%s", (long)section->steps[i], section->steps[i] == 1 ? "" : "s");
    }
    fs_html(out, "<th scope=col>updates<th scope=col>TFLOP<tbody>\n");
}

static void print_row(const struct fs_page *page, const struct fs_page_section *section, const struct fs_page_row *row,
                      const enum fs_mark *marks, int seeds, FILE *out)
{
    char work[FS_NUMBER_TEXT];

    fs_html(out, "<tr><th scope=row>%s", row->name);
    for (int i = 0; i < section->step_count; i++) {
        print_number(page, row->numbers[i], marks[i], seeds, out);
    }
    fs_three_digits(row->scores.first->flops * 1e-12, work);
    fs_html(out, "<td>%ld<td>%s\n", (long)row->scores.first->updates, work);
}

/* Under the table: what its signs mean, of those that it has. */
static void print_notes(const struct fs_page *page, const struct fs_page_section *section, const enum fs_mark *marks,
                        int seeds, FILE *out)
{
    bool means = false, single = false, outside = false, unreadable = false, marked = false;

    for (int i = 0; i < section->row_count; i++) {
        for (int k = 0; k < section->step_count; k++) {
            marked |= marks[i * section->step_count + k] != FS_MARK_NONE;
            if (section->rows[i].numbers[k]) {
                const struct fs_page_number *number = fs_page_number(page, section->rows[i].numbers[k]);
                means |= number->scores.count > 1;
                single |= number->scores.count == 1 && isfinite(number->low);
                outside |= number->outside;
                unreadable |= number->unreadable;
            }
        }
    }
    fs_html(out, "<p class=note>");
    if (means && seeds) {
        fs_html(out, "Means of %d seeds, ± their standard error. ", seeds);
    } else if (means) {
        fs_html(out, "± is the standard error of a mean of n seeds. ");
    }
    const struct fs_metric *metric = fs_metric_find(section->scores.first->text[FS_TEXT_METRIC]);
    if (metric) {
        fs_html(out, "%s is better. ", metric->larger_is_better ? "Higher" : "Lower");
    }
    fs_html(out, "%s%sUpdates and TFLOP are of one training, its teacher’s share included.",
            single ? "Small under a number of one seed: the 95 % bootstrap interval over its samples. " : "",
            outside ? "In parentheses: at a number of steps that the method was not trained for. " : "");
    if (marked) {
        fs_html(out, " Bold: best of its column, underlined: second, where the differences are more than noise.");
    }
    if (section->floor && section->floor->samples != section->scores.first->samples) {
        fs_html(out, " The data’s own score is of %ld samples (fewer samples score higher).",
                (long)section->floor->samples);
    }
    if (unreadable) {
        fs_html(out, " Some runs have no parentheses because this build cannot read their configuration.");
    }
    fs_html(out, "</p>\n");
}

fs_status fs_page_table(const struct fs_page *page, const struct fs_page_experiment *experiment,
                        const struct fs_page_section *section, struct fs_error *error)
{
    const struct fs_section compared = fs_section_make(&experiment->scores, &experiment->name, section->scores);
    const int seeds = common_seeds(page, section);
    enum fs_mark *marks;
    FILE *out = page->out;

    FS_TRY(fs_section_marks(&compared, &marks, error));
    fs_html(out,
            "<p class=caption id=\"about-%d\">%s</p>\n<div class=scroll tabindex=0 role=region "
            "aria-labelledby=\"about-%d\"><table class=results aria-labelledby=\"about-%d\">\n",
            section->measure, section->title, section->measure, section->measure);
    print_heading(section, out);
    for (int i = 0; i < section->row_count; i++) {
        print_row(page, section, &section->rows[i], marks + (size_t)i * (size_t)section->step_count, seeds, out);
    }
    if (section->floor) {
        fs_html(out, "<tr class=floor><th scope=row>data: %s split", fs_split_name(section->floor));
        for (int i = 0; i < section->step_count; i++) {
            print_number(page, section->floor_number, FS_MARK_NONE, seeds, out);
        }
        fs_html(out, "<td>" FS_NO_VALUE "<td>" FS_NO_VALUE "\n");
    }
    fs_html(out, "</table></div>\n");
    print_notes(page, section, marks, seeds, out);
    free(marks);
    return FS_OK;
}
