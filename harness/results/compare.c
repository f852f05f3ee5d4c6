/* The statistics of a section: means over seeds, and how its rows compare. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/parts.h"
#include "kernels/base/memory.h"
#include "metrics/student.h"

void fs_result_cell_mean(struct fs_result_cell *cell)
{
    double sum = 0, squares = 0, seconds = 0;

    for (int i = 0; i < cell->seeds; i++) {
        const struct fs_result_score *score = &cell->scores[i];
        sum += score->value;
        seconds += score->seconds + score->teacher_seconds;
        cell->peak_bytes = fmax(cell->peak_bytes, score->peak_bytes);
    }
    cell->mean = sum / cell->seeds;
    cell->seconds = seconds / cell->seeds;
    for (int i = 0; i < cell->seeds; i++) {
        squares += (cell->scores[i].value - cell->mean) * (cell->scores[i].value - cell->mean);
    }
    cell->error = cell->seeds > 1 ? sqrt(squares / (cell->seeds - 1) / cell->seeds) : (double)NAN;
    cell->low = cell->seeds > 1 ? cell->mean - cell->error : cell->scores->low;
    cell->high = cell->seeds > 1 ? cell->mean + cell->error : cell->scores->high;
}

/* --- each two rows --- */

/* What the verdicts point into. */
struct comparing {
    struct fs_result_section *section;
    const struct fs_result_cell **cells; /* [rows × step_count]; NULL: none */
    double *values;                      /* of all cells, one after the other */
    struct fs_sample *samples;           /* a cell each */
    int sample_count;
    struct fs_matched_scores *matched; /* of each comparison */
    double *matched_values;            /* that they point into */
    struct fs_spread *spreads;
    struct fs_outcome *outcomes;
};

static void comparing_free(struct comparing *all)
{
    free(all->cells);
    free(all->values);
    free(all->samples);
    free(all->matched);
    free(all->matched_values);
    free(all->spreads);
    free(all->outcomes);
}

static fs_status comparing_make(struct fs_result_section *section, struct comparing *all, struct fs_error *error)
{
    const size_t rows = (size_t)section->row_count, steps = (size_t)section->step_count;
    const size_t pairs = rows * (rows - 1) / 2 * steps;
    size_t scores = 0;

    for (int r = 0; r < section->row_count; r++) {
        for (int c = 0; c < section->rows[r].cell_count; c++) {
            scores += (size_t)section->rows[r].cells[c].seeds;
        }
    }
    *all = (struct comparing){.section = section};
    all->cells = fs_allocate(rows * steps, sizeof(struct fs_result_cell *), "the cells of a table", error);
    all->values = fs_allocate(scores, sizeof(double), "the scores of a table", error);
    all->samples = fs_allocate(rows * steps, sizeof(*all->samples), "the cells of a table", error);
    all->matched = fs_allocate(pairs, sizeof(*all->matched), "comparisons", error);
    all->matched_values = fs_allocate(2 * rows * scores, sizeof(double), "matched scores", error);
    all->spreads = fs_allocate(pairs, sizeof(*all->spreads), "spreads", error);
    all->outcomes = fs_allocate(pairs, sizeof(*all->outcomes), "verdicts", error);
    section->comparisons = fs_allocate(pairs, sizeof(*section->comparisons), "comparisons", error);
    section->comparison_count = section->comparisons ? (int)pairs : 0;
    return all->cells && all->values && all->samples && all->matched && all->matched_values && all->spreads &&
                   all->outcomes && section->comparisons
               ? FS_OK
               : FS_FAILED;
}

static void find_cells(struct comparing *all)
{
    const struct fs_result_section *section = all->section;
    double *values = all->values;

    for (int r = 0; r < section->row_count; r++) {
        for (int column = 0; column < section->step_count; column++) {
            const int place = r * section->step_count + column;
            const struct fs_result_cell *cell = fs_result_cell_at(&section->rows[r], section->steps[column]);
            all->cells[place] = cell;
            if (cell) {
                all->samples[all->sample_count++] =
                    (struct fs_sample){.cell = place, .training = r, .values = values, .n = cell->seeds};
                for (int i = 0; i < cell->seeds; i++) {
                    *values++ = cell->scores[i].value;
                }
            }
        }
    }
}

/* Spread of two rows. */
static struct fs_spread pool_two(struct comparing *all, int a, int b)
{
    for (int i = 0; i < all->sample_count; i++) {
        all->samples[i].method = all->samples[i].training == a || all->samples[i].training == b ? 0 : 1;
    }
    return fs_spread_pool(all->samples, all->sample_count, 0);
}

int fs_result_match_seeds(const struct fs_result_cell *base_cell, const struct fs_result_cell *head_cell, double *base,
                          double *head)
{
    int n = 0;

    for (int i = 0; i < base_cell->seeds; i++) {
        for (int k = 0; k < head_cell->seeds; k++) {
            if (base_cell->scores[i].seed == head_cell->scores[k].seed) {
                base[n] = base_cell->scores[i].value;
                head[n++] = head_cell->scores[k].value;
            }
        }
    }
    return n;
}

/* The scores of two cells (or NULL) with the same seeds, at `base` and `head`, and the comparison's own figures of
 * them. */
static void match(const struct fs_result_cell *base_cell, const struct fs_result_cell *head_cell, double *base,
                  double *head, struct fs_result_comparison *comparison)
{
    const int n = base_cell && head_cell ? fs_result_match_seeds(base_cell, head_cell, base, head) : 0;
    double logs = 0;

    for (int i = 0; i < n; i++) {
        logs += log(base[i]) - log(head[i]); /* NAN below 0 */
        comparison->below += base[i] < head[i];
    }
    comparison->seeds = n;
    comparison->ratio = n > 0 && isfinite(logs) ? exp(logs / n) : (double)NAN;
}

/* Compares each two rows (a < b: head b against base a) at each number of steps. */
static void compare_rows(struct comparing *all)
{
    struct fs_result_section *section = all->section;
    const int steps = section->step_count;
    double *matched = all->matched_values;
    int at = 0;

    for (int a = 0; a < section->row_count; a++) {
        for (int b = a + 1; b < section->row_count; b++) {
            const struct fs_spread pooled = pool_two(all, a, b);
            for (int column = 0; column < steps; column++, at++) {
                const int cell = a * steps + column, other = b * steps + column;
                struct fs_result_comparison *comparison = &section->comparisons[at];
                *comparison = (struct fs_result_comparison){.row = a, .other = b, .column = column};
                double *head = matched + (all->cells[cell] ? all->cells[cell]->seeds : 0);
                match(all->cells[cell], all->cells[other], matched, head, comparison);
                all->spreads[at] = fs_spread_widen(pooled, all->samples, all->sample_count, cell, other);
                all->matched[at] = (struct fs_matched_scores){at, matched, head, comparison->seeds};
                matched = head + comparison->seeds;
            }
        }
    }
    fs_verdict_cells(all->matched, at, all->spreads, (struct fs_rule){.alpha = FS_RESULT_ALPHA, .minimal = 0},
                     all->outcomes);
    for (int i = 0; i < at; i++) {
        struct fs_result_comparison *comparison = &section->comparisons[i];
        comparison->spread = all->spreads[i];
        comparison->outcome = all->outcomes[i];
        comparison->relation = all->outcomes[i].verdict == FS_VERDICT_WORSE    ? FS_RELATION_LOWER
                               : all->outcomes[i].verdict == FS_VERDICT_BETTER ? FS_RELATION_HIGHER
                                                                               : FS_RELATION_UNDECIDED;
    }
}

/* The smallest log ratio that each comparison would decide as the first of Holm's order. */
static void find_power(struct fs_result_section *section)
{
    struct fs_result_power *power = &section->power;

    *power = (struct fs_result_power){.dof = INFINITY, .smallest = INFINITY};
    for (int i = 0; i < section->comparison_count; i++) {
        power->tested += !isnan(section->comparisons[i].outcome.p);
    }
    for (int i = 0; i < section->comparison_count; i++) {
        const struct fs_result_comparison *one = &section->comparisons[i];
        if (!isnan(one->outcome.p)) {
            const double error = one->spread.deviation * sqrt(2.0 / one->seeds);
            const double level = FS_RESULT_ALPHA / power->tested;
            const double ratio = exp(fs_student_quantile(level / 2, one->spread.dof) * error);
            power->smallest = fmin(power->smallest, ratio);
            power->largest = fmax(power->largest, ratio);
            power->dof = fmin(power->dof, one->spread.dof);
        }
    }
}

const struct fs_result_comparison *fs_result_comparison_of(const struct fs_result_section *section, int a, int b,
                                                           int64_t steps)
{
    for (int i = 0; i < section->comparison_count; i++) {
        const struct fs_result_comparison *one = &section->comparisons[i];
        const bool same = (one->row == a && one->other == b) || (one->row == b && one->other == a);
        if (same && section->steps[one->column] == steps) {
            return one;
        }
    }
    return NULL;
}

/* --- the order of a column --- */

/* `row` to another one, whichever of them the comparison has first. */
static enum fs_relation relation_of(const struct fs_result_section *section, int row, int other, int column)
{
    const int rows = section->row_count, a = row < other ? row : other, b = row < other ? other : row;
    /* before row a stand rows − 1 + rows − 2 + … pairs */
    const int pair = a * (2 * rows - a - 1) / 2 + b - a - 1;
    const enum fs_relation relation = section->comparisons[pair * section->step_count + column].relation;

    if (a == row || relation == FS_RELATION_UNDECIDED) {
        return relation;
    }
    return relation == FS_RELATION_LOWER ? FS_RELATION_HIGHER : FS_RELATION_LOWER;
}

/* The row of a column that is better than all others that have a score there, `except` left out; −1: none. */
static int best_row(const struct comparing *all, int column, int except)
{
    const struct fs_result_section *section = all->section;
    const enum fs_relation best = section->better > 0 ? FS_RELATION_HIGHER : FS_RELATION_LOWER;

    for (int row = 0; row < section->row_count; row++) {
        int others = 0;
        bool good = all->cells[row * section->step_count + column] && row != except;
        for (int other = 0; good && other < section->row_count; other++) {
            if (other != row && other != except && all->cells[other * section->step_count + column]) {
                good = relation_of(section, row, other, column) == best;
                others++;
            }
        }
        if (good && others > 0) {
            return row;
        }
    }
    return -1;
}

static void order_column(const struct comparing *all, int column)
{
    const struct fs_result_section *section = all->section;
    const int best = best_row(all, column, -1), second = best < 0 ? -1 : best_row(all, column, best);

    if (best >= 0) {
        fs_result_cell_at(&section->rows[best], section->steps[column])->order = FS_CELL_BEST;
    }
    if (second >= 0) {
        fs_result_cell_at(&section->rows[second], section->steps[column])->order = FS_CELL_SECOND;
    }
}

fs_status fs_result_section_compare(struct fs_result_section *section, struct fs_error *error)
{
    struct comparing all;
    const fs_status status = comparing_make(section, &all, error);

    if (status == FS_OK) {
        find_cells(&all);
        compare_rows(&all);
        find_power(section);
        for (int column = 0; section->better && column < section->step_count; column++) {
            order_column(&all, column);
        }
    }
    comparing_free(&all);
    return status;
}
