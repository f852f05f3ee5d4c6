/* A table of the page: methods × steps, each number a link to where it comes from. */
#include <math.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/report/number.h"
#include "harness/report/page_model.h"

static void print_number(const struct fs_page *page, int number, FILE *out)
{
    char value[112], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];

    if (number == 0) {
        fs_html(out, "<td>" FS_NO_VALUE);
        return;
    }
    const struct fs_page_number *of = fs_page_number(page, number);
    fs_page_value(of, value);
    fs_html(out, "<td><a class=number href=\"#n%d\">%s</a>", number, value);
    if (of->scores.count > 1) {
        fs_html(out, " <small>n %d</small>", of->scores.count);
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
                      FILE *out)
{
    char work[FS_NUMBER_TEXT];

    fs_html(out, "<tr><th scope=row>%s", row->label);
    for (int i = 0; i < section->step_count; i++) {
        print_number(page, row->numbers[i], out);
    }
    fs_three_digits(row->scores.first->flops * 1e-12, work);
    fs_html(out, "<td>%ld<td>%s\n", (long)row->scores.first->updates, work);
}

/* Under the table: what its signs mean, of those that it has. */
static void print_notes(const struct fs_page *page, const struct fs_page_section *section, FILE *out)
{
    bool seeds = false, single = false, outside = false;

    for (int i = 0; i < section->row_count; i++) {
        for (int k = 0; k < section->step_count; k++) {
            if (section->rows[i].numbers[k]) {
                const struct fs_page_number *number = fs_page_number(page, section->rows[i].numbers[k]);
                seeds |= number->scores.count > 1;
                single |= number->scores.count == 1 && isfinite(number->low);
                outside |= number->outside;
            }
        }
    }
    fs_html(out, "<p class=note>%s%s%sUpdates and TFLOP are of one training, its teacher’s share included.",
            seeds ? "± is the standard error over n seeds. " : "",
            single ? "Small under a number of one seed: the 95 % bootstrap interval over its samples. " : "",
            outside ? "In parentheses: at a number of steps that the method was not trained for. " : "");
    if (section->floor && section->floor->samples != section->scores.first->samples) {
        fs_html(out, " The data’s own score is of %ld samples (fewer samples score higher).",
                (long)section->floor->samples);
    }
    fs_html(out, "</p>\n");
}

void fs_page_table(const struct fs_page *page, const struct fs_page_section *section)
{
    FILE *out = page->out;

    fs_html(out,
            "<div class=scroll tabindex=0 role=region aria-label=\"Table: %s\"><table "
            "class=results><caption>%s</caption>\n",
            section->metric, section->title);
    print_heading(section, out);
    for (int i = 0; i < section->row_count; i++) {
        print_row(page, section, &section->rows[i], out);
    }
    if (section->floor) {
        fs_html(out, "<tr class=floor><th scope=row>data: %s split", fs_split_name(section->floor));
        for (int i = 0; i < section->step_count; i++) {
            print_number(page, section->floor_number, out);
        }
        fs_html(out, "<td>" FS_NO_VALUE "<td>" FS_NO_VALUE "\n");
    }
    fs_html(out, "</table></div>\n");
    print_notes(page, section, out);
}
