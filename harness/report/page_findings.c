/* What an experiment's main table says: its hypotheses, a sentence at 1 and one at 4 steps above it. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "harness/report/html.h"
#include "harness/report/page_model.h"
#include "harness/results/findings.h"
#include "harness/results/hypotheses.h"
#include "harness/text/number.h"

#define NAMED_MAX 4 /* more methods are counted: the table has them */

static void print_finding(const struct fs_page *page, const struct fs_finding *one, const char *before)
{
    char name[FS_PAGE_NAME], value[FS_NUMBER_TEXT], ratio[FS_NUMBER_TEXT], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];

    fs_html(page->out, "%s%s %s (%s×, %s to %s)", before, fs_page_label(one->row, name),
            fs_three_digits(one->value, value), fs_three_digits(one->ratio, ratio), fs_three_digits(one->low, low),
            fs_three_digits(one->high, high));
}

/* Those of one relation to the baseline, by ratio, after `begin`: all of a few, of many the first and the last. Nothing
 * where there are none. */
static void print_those(const struct fs_page *page, const struct fs_findings *all, enum fs_relation relation,
                        const char *begin)
{
    int count = 0, printed = 0;

    for (int i = 0; i < all->count; i++) {
        count += all->list[i].relation == relation;
    }
    for (int i = 0; i < all->count; i++) {
        if (all->list[i].relation != relation) {
            continue;
        }
        printed++;
        if (count <= NAMED_MAX) {
            print_finding(page, &all->list[i], printed > 1 ? ", " : begin);
        } else if (printed == 1) {
            fs_html(page->out, "%s%d methods", begin, count);
            print_finding(page, &all->list[i], ", from ");
        } else if (printed == count) {
            print_finding(page, &all->list[i], " to ");
        }
    }
    if (printed == 0 && relation == FS_RELATION_LOWER) {
        fs_html(page->out, "%snone", begin);
    }
}

/* `of`: the first experiment, where they stand at the head of the page; NULL: in its own section. */
static void print_findings(const struct fs_page *page, const struct fs_findings *all, const char *of)
{
    char name[FS_PAGE_NAME], value[FS_NUMBER_TEXT];

    fs_html(page->out, "<p class=findings>");
    if (of) {
        fs_html(page->out, "<a href=\"#experiment-1\">%s</a>: ", of);
    }
    fs_html(page->out, of ? "at <b>" : "At <b>");
    fs_html(page->out, "%" PRId64 " step%s</b> %s has %s. ", all->steps, all->steps == 1 ? "" : "s",
            fs_page_label(all->baseline, name), fs_three_digits(all->value, value));
    print_those(page, all, FS_RELATION_LOWER, "Below it: ");
    print_those(page, all, FS_RELATION_UNDECIDED, "; not to be told apart from it: ");
    print_those(page, all, FS_RELATION_HIGHER, "; above it: ");
    fs_html(page->out, ".</p>\n");
}

fs_status fs_page_findings(struct fs_page *page, const struct fs_result_section *section, const char *of,
                           struct fs_error *error)
{
    for (int i = 0; i < FS_FINDINGS_STEPS; i++) {
        struct fs_findings findings;
        FS_TRY(fs_findings_make(section, fs_findings_steps[i], &findings, error));
        if (findings.count > 0) {
            print_findings(page, &findings, of);
        }
        fs_findings_free(&findings);
    }
    return FS_OK;
}

fs_status fs_page_hypotheses(struct fs_page *page, const struct fs_results *results, struct fs_error *error)
{
    if (results->hypothesis_count == 0) {
        return FS_OK;
    }
    fs_html(page->out, "<p class=\"findings hypotheses\">%s:</p>\n<ul class=findings>\n",
            fs_hypotheses_heading(results));
    for (int i = 0; i < results->hypothesis_count; i++) {
        char *text = fs_hypothesis_text(&results->hypotheses[i], error);
        if (!text) {
            return FS_FAILED;
        }
        fs_html(page->out, "<li>%s\n", text);
        free(text);
    }
    fs_html(page->out, "</ul>\n");
    return FS_OK;
}
