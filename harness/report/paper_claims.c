/* The orders of two methods that papers published, each held against ours. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/paper_parts.h"

struct claim {
    int64_t steps;
    int column, lower, higher; /* rows of the study */
};

/* By which factor `higher` is above `lower` in a setting; NAN where it does not have both. */
static double published_ratio(const struct fs_result_section *setting, const char *lower, const char *higher,
                              int64_t steps)
{
    double values[2] = {NAN, NAN};

    for (int r = 0; r < setting->row_count; r++) {
        for (int i = 0; i < setting->step_count; i++) {
            if (setting->steps[i] == steps) {
                values[0] = strcmp(setting->rows[r].method, lower) == 0 ? setting->rows[r].cells[i].mean : values[0];
                values[1] = strcmp(setting->rows[r].method, higher) == 0 ? setting->rows[r].cells[i].mean : values[1];
            }
        }
    }
    return values[1] / values[0];
}

static const char *method_at(const struct fs_study *study, int row)
{
    return fs_study_row(study, row).first->text[FS_TEXT_METHOD];
}

/* Of the higher score to the lower one, as they were published: above 1, ours points the same way. NAN: no seed has
 * both. */
static double our_ratio(const struct fs_study *study, const struct claim *claim)
{
    return fs_cell_ratio(fs_study_cell(study, claim->higher, claim->column),
                         fs_study_cell(study, claim->lower, claim->column))
        .ratio;
}

/* Whether all settings agree that `lower` is lower, and a seed of ours has both. */
static bool is_claim(const struct fs_results *published, const struct fs_study *study, const struct claim *claim)
{
    if (claim->lower == claim->higher || isnan(our_ratio(study, claim))) {
        return false;
    }
    for (int i = 0; i < published->section_count; i++) {
        if (!(published_ratio(&published->sections[i], method_at(study, claim->lower), method_at(study, claim->higher),
                              claim->steps) > 1)) {
            return false;
        }
    }
    return published->section_count > 0;
}

/* The next claim after `claim` (start with lower, higher = 0, −1 and column 0). */
static bool next_claim(const struct fs_results *published, const struct fs_study *study, struct claim *claim)
{
    for (;;) {
        if (++claim->higher == study->rows) {
            claim->higher = 0;
            claim->lower++;
        }
        if (claim->lower == study->rows) {
            claim->lower = 0;
            claim->column++;
        }
        if (claim->column >= study->section.step_count) {
            return false;
        }
        claim->steps = study->section.steps[claim->column];
        if (is_claim(published, study, claim)) {
            return true;
        }
    }
}

static enum fs_order our_order(const struct fs_study *study, const struct claim *claim)
{
    return study->orders[(claim->column * study->rows + claim->lower) * study->rows + claim->higher];
}

static bool is_outside(const struct fs_study *study, int row, int column)
{
    bool known;

    return fs_outside_training(fs_study_cell(study, row, column).first, &known);
}

/* --- facts --- */

struct tally {
    int all, hold, reversed, undecided, alike;
};

static void count_claim(struct tally *tally, enum fs_order order, bool alike)
{
    tally->all++;
    tally->hold += order == FS_ORDER_LOWER;
    tally->reversed += order == FS_ORDER_HIGHER;
    tally->undecided += order == FS_ORDER_UNDECIDED;
    tally->alike += order == FS_ORDER_UNDECIDED && alike;
}

static void tally_facts(FILE *stream, const char *key, const struct tally *tally)
{
    fprintf(stream,
            "\\fsset{%s/all}{%d}\n\\fsset{%s/hold}{%d}\n\\fsset{%s/reversed}{%d}\n\\fsset{%s/undecided}{%d}\n"
            "\\fsset{%s/undecided-alike}{%d}\n\\fsset{%s/undecided-against}{%d}\n",
            key, tally->all, key, tally->hold, key, tally->reversed, key, tally->undecided, key, tally->alike, key,
            tally->undecided - tally->alike);
}

void fs_paper_claim_facts(const struct fs_paper *paper, const struct fs_study *study, const char *prefix, FILE *stream)
{
    struct claim claim = {.higher = -1};
    struct tally all = {0}, inside = {0};
    char key[64];

    while (next_claim(paper->options->published, study, &claim)) {
        const bool alike = our_ratio(study, &claim) > 1;
        count_claim(&all, our_order(study, &claim), alike);
        if (!is_outside(study, claim.lower, claim.column) && !is_outside(study, claim.higher, claim.column)) {
            count_claim(&inside, our_order(study, &claim), alike);
        }
    }
    snprintf(key, sizeof(key), "%sclaims", prefix);
    tally_facts(stream, key, &all);
    snprintf(key, sizeof(key), "%sclaims/inside", prefix);
    tally_facts(stream, key, &inside);
}

/* --- the table --- */

static void print_method(const struct fs_study *study, int row, int column, FILE *stream)
{
    const bool outside = is_outside(study, row, column);

    fputs(outside ? "(" : "", stream);
    fs_paper_method(method_at(study, row), stream);
    fputs(outside ? ")" : "", stream);
}

static void print_claim(const struct fs_paper *paper, const struct claim *claim, bool first, FILE *stream)
{
    const struct fs_study *main = &paper->main;
    const double ratio = our_ratio(main, claim);
    const char *const words[] = {ratio > 1 ? "undecided ($+$)" : "undecided ($-$)", "confirmed", "\\textbf{reversed}"};

    if (first) {
        fprintf(stream, "%" PRId64, claim->steps);
    }
    fputs(" & ", stream);
    print_method(main, claim->lower, claim->column, stream);
    fputs(" $<$ ", stream);
    print_method(main, claim->higher, claim->column, stream);
    for (int i = 0; i < paper->options->published->section_count; i++) {
        fprintf(stream, " & %.2f",
                published_ratio(&paper->options->published->sections[i], method_at(main, claim->lower),
                                method_at(main, claim->higher), claim->steps));
    }
    fprintf(stream, " & %.2f & %s \\\\\n", ratio, words[our_order(main, claim)]);
}

fs_status fs_paper_claims(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_results *published = paper->options->published;
    struct claim claim = {.higher = -1};
    int64_t last = -1;

    (void)error;
    fprintf(stream, "\\begin{tabular}{rl*{%d}{r}l}\n\\toprule\n", published->section_count + 1);
    fprintf(stream,
            " & & \\multicolumn{%d}{c}{Ratio of the scores} & \\\\\n\\cmidrule(lr){3-%d}\nSteps & Published order",
            published->section_count + 1, published->section_count + 3);
    for (int i = 0; i < published->section_count; i++) {
        const char *title = published->sections[i].title;
        char word[64];
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(title, " ,"), title);
        fputs(" & ", stream);
        fs_latex(stream, word);
    }
    fputs(" & here & Verdict \\\\\n\\midrule\n", stream);
    while (next_claim(published, &paper->main, &claim)) {
        fputs(last >= 0 && claim.steps != last ? "\\addlinespace\n" : "", stream);
        print_claim(paper, &claim, claim.steps != last, stream);
        last = claim.steps;
    }
    fputs("\\bottomrule\n\\end{tabular}\n", stream);
    return FS_OK;
}
