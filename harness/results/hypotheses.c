/* What an experiment's file expected before anything ran, held against its scores. */
#include "harness/results/hypotheses.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/parts.h"
#include "harness/store/query.h"
#include "harness/text/number.h"
#include "kernels/base/memory.h"
#include "metrics/student.h"

const char *fs_hypothesis_finding_name(enum fs_hypothesis_finding finding)
{
    static const char *const names[] = {"not tested", "confirmed", "reversed", "undecided"};

    return names[finding];
}

/* --- the test --- */

#define SEEDS_MAX 1024

/* A hypothesis is a cell of verdict.h: `head` the lower method's scores, `base` the higher's, so "better" confirms it.
 */
struct testing {
    struct fs_matched_scores matched[FS_HYPOTHESES_MAX];
    struct fs_spread spreads[FS_HYPOTHESES_MAX];
    struct fs_outcome outcomes[FS_HYPOTHESES_MAX];
    double base[FS_HYPOTHESES_MAX][SEEDS_MAX], head[FS_HYPOTHESES_MAX][SEEDS_MAX];
};

static int find_row(const struct fs_result_section *section, const struct fs_method *method)
{
    for (int r = 0; r < section->row_count; r++) {
        if (strcmp(section->rows[r].method, method->name) == 0 && !section->rows[r].label[0]) {
            return r;
        }
    }
    return -1;
}

/* The scores of hypothesis `i`, and the spread that they are judged by; none where a row or a cell is not there. */
static void collect(const struct fs_result_section *section, int i, struct fs_hypothesis_test *test,
                    struct testing *all)
{
    const int64_t steps = test->hypothesis.steps;
    const int lower = find_row(section, test->hypothesis.lower), higher = find_row(section, test->hypothesis.higher);
    all->matched[i] = (struct fs_matched_scores){i, all->base[i], all->head[i], 0};
    if (lower < 0 || higher < 0) {
        return;
    }
    const struct fs_result_cell *head = fs_result_cell_at(&section->rows[lower], steps);
    const struct fs_result_cell *base = fs_result_cell_at(&section->rows[higher], steps);
    const struct fs_result_comparison *comparison = fs_result_comparison_of(section, lower, higher, steps);
    if (!head || !base || !comparison || comparison->seeds > SEEDS_MAX) {
        return;
    }
    test->lower_mean = head->mean;
    test->higher_mean = base->mean;
    all->matched[i].n = fs_result_match_seeds(base, head, all->base[i], all->head[i]);
    all->spreads[i] = comparison->spread;
}

/* Seen with a chance of FS_VERDICT_POWER: with the interval's half width h at the level of Holm's first turn and the
 * standard error e, the estimate is beyond h with that chance where the effect is h + e·t(1 − power). */
static double detectable(int n, struct fs_spread spread, int tested)
{
    if (n < 2 || spread.dof <= 0) {
        return NAN;
    }
    const double error = spread.deviation * sqrt(2.0 / n);
    const double half = fs_student_quantile(FS_RESULT_ALPHA / tested / 2, spread.dof) * error;
    return exp(-half - fs_student_quantile(1 - FS_VERDICT_POWER, spread.dof) * error);
}

static void judge(struct fs_hypothesis_test *test, const struct fs_outcome *outcome)
{
    test->ratio = exp(outcome->effect);
    test->low = exp(outcome->low);
    test->high = exp(outcome->high);
    test->p = outcome->p;
    test->finding = isnan(outcome->p)                       ? FS_HYPOTHESIS_UNTESTED
                    : outcome->verdict == FS_VERDICT_BETTER ? FS_HYPOTHESIS_CONFIRMED
                    : outcome->verdict == FS_VERDICT_WORSE  ? FS_HYPOTHESIS_REVERSED
                                                            : FS_HYPOTHESIS_UNDECIDED;
}

static fs_status test_section(struct fs_results *results, const struct fs_result_section *section,
                              struct fs_error *error)
{
    const int count = results->hypothesis_count;
    struct testing *all = fs_allocate(1, sizeof *all, "the test of hypotheses", error);
    int tested = 0;
    if (!all) {
        return FS_FAILED;
    }
    for (int i = 0; i < count; i++) {
        collect(section, i, &results->hypotheses[i], all);
    }
    fs_verdict_cells(all->matched, count, all->spreads, (struct fs_rule){.alpha = FS_RESULT_ALPHA, .minimal = 0},
                     all->outcomes);
    for (int i = 0; i < count; i++) {
        tested += !isnan(all->outcomes[i].p);
    }
    for (int i = 0; i < count; i++) {
        struct fs_hypothesis_test *test = &results->hypotheses[i];
        test->seeds = all->matched[i].n;
        judge(test, &all->outcomes[i]);
        test->detectable = detectable(test->seeds, all->spreads[i], tested);
    }
    free(all);
    return FS_OK;
}

/* --- reading --- */

static bool names_all(const char *text, const struct fs_hypotheses *wanted)
{
    struct fs_hypotheses there;

    fs_hypotheses_of_text(text, &there);
    for (int i = 0; i < wanted->count; i++) {
        if (fs_hypotheses_find(&there, &wanted->list[i]) < 0) {
            return false;
        }
    }
    return true;
}

/* Whether the oldest file of this name that has all of them was run before the first of its runs began. */
static fs_status named_before(struct fs_store *store, const struct fs_results *results,
                              const struct fs_hypotheses *wanted, bool *before, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT e.text, e.created <= (SELECT min(r.created) FROM runs r JOIN experiment_runs m ON "
                         "m.run = r.number JOIN experiments x ON x.id = m.experiment WHERE x.name = ?1) FROM "
                         "experiments e WHERE e.name = ?1 ORDER BY e.created, e.id",
                         "t", results->experiment.name));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row && !names_all(fs_query_text(query, 0), wanted)) {
        status = fs_query_next(query, &row, error);
    }
    *before = status == FS_OK && row && sqlite3_column_int(query, 1) != 0;
    sqlite3_finalize(query);
    return status;
}

fs_status fs_results_test_hypotheses(struct fs_store *store, struct fs_results *results, struct fs_error *error)
{
    const struct fs_result_section *section = fs_results_main(results);
    struct fs_hypotheses wanted;
    char *text;

    FS_TRY(fs_experiment_text(store, results->experiment.id, &text, error));
    fs_hypotheses_of_text(text, &wanted);
    free(text);
    if (wanted.count == 0 || !section) {
        return FS_OK;
    }
    results->hypotheses = fs_allocate((size_t)wanted.count, sizeof *results->hypotheses, "hypotheses", error);
    if (!results->hypotheses) {
        return FS_FAILED;
    }
    results->hypothesis_count = wanted.count;
    for (int i = 0; i < wanted.count; i++) {
        results->hypotheses[i] = (struct fs_hypothesis_test){
            .hypothesis = wanted.list[i], .lower_mean = NAN, .higher_mean = NAN, .detectable = NAN};
    }
    FS_TRY(named_before(store, results, &wanted, &results->named_before, error));
    return test_section(results, section, error);
}

/* --- in words --- */

const char *fs_hypotheses_heading(const struct fs_results *results)
{
    return results->named_before
               ? "hypotheses, named before the first of these runs began, corrected for each other by Holm's procedure"
               : "hypotheses, named after some of these runs had begun, corrected for each other by Holm's procedure";
}

char *fs_hypothesis_text(const struct fs_hypothesis_test *test, struct fs_error *error)
{
    const struct fs_hypothesis *of = &test->hypothesis;
    char ratio[FS_NUMBER_TEXT], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT], seen[FS_NUMBER_TEXT];
    char *begin = fs_format(error, "%s below %s at %" PRId64 " step%s: %s", of->lower->label, of->higher->label,
                            of->steps, of->steps == 1 ? "" : "s", fs_hypothesis_finding_name(test->finding));
    if (!begin || test->finding == FS_HYPOTHESIS_UNTESTED) {
        return begin;
    }
    char *whole = fs_format(
        error, "%s, %s times it (%s – %s) over %d seeds; a true ratio of %s would be confirmed with a chance of %g",
        begin, fs_three_digits(test->ratio, ratio), fs_three_digits(test->low, low), fs_three_digits(test->high, high),
        test->seeds, fs_three_digits(test->detectable, seen), FS_VERDICT_POWER);
    free(begin);
    return whole;
}
