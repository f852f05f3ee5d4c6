/* Did a score move between two commits, or is that noise? */
#include "harness/results/verdict.h"

#include <math.h>
#include <string.h>

#include "metrics/student.h"

const char *fs_verdict_name(enum fs_verdict verdict)
{
    static const char *const names[] = {"same", "better", "worse", "undecided"};

    return names[verdict];
}

/* --- the spread --- */

/* A score errs by a factor rather than by an amount, so it is its logarithm that is compared. Between seeds the
 * logarithm of a cell's score (a method at a number of steps) varies about the cell's own mean; the variance is taken
 * to be the same for all cells of a method, since three seeds of one say next to nothing about it:
 *
 *     s² = Σ_cells Σ_seeds (log x − mean of the cell)² / Σ_cells (n − 1)
 *
 * (the mean square within groups of an analysis of variance; Fisher 1925). A difference of two means of n seeds then
 * has the standard error s·√(2/n), and divided by it is Student's t. Its degrees of freedom are not Σ (n − 1): the
 * cells of one training have its seeds' luck in common, so a training counts once, with the largest n − 1 of its cells.
 */

static bool contains(const struct fs_sample *all, double value)
{
    for (int i = 0; i < all->n; i++) {
        if (memcmp(&all->values[i], &value, sizeof(value)) == 0) {
            return true;
        }
    }
    return false;
}

static double mean_log(const struct fs_sample *sample)
{
    double mean = 0;

    for (int i = 0; i < sample->n; i++) {
        mean += log(sample->values[i]) / sample->n;
    }
    return mean;
}

static double squares_about_mean(const struct fs_sample *sample)
{
    const double mean = mean_log(sample);
    double squares = 0;

    for (int i = 0; i < sample->n; i++) {
        squares += (log(sample->values[i]) - mean) * (log(sample->values[i]) - mean);
    }
    return squares;
}

/* Two samples of one cell with the same luck of their seeds, but for rounding or little more: a tenth of what two
 * draws would differ by. */
static bool is_nearly(const struct fs_sample *a, const struct fs_sample *b)
{
    const double of_a = mean_log(a), of_b = mean_log(b);
    double squares = 0;

    if (a->n != b->n) {
        return false;
    }
    for (int i = 0; i < a->n; i++) {
        const double difference = log(a->values[i]) - of_a - (log(b->values[i]) - of_b);
        squares += difference * difference;
    }
    return squares < 0.1 * (squares_about_mean(a) + squares_about_mean(b));
}

/* Another commit's sample of this cell has all of these numbers, or nearly: they are the same, not drawn again. */
static bool is_repeated(const struct fs_sample *samples, int count, int index)
{
    const struct fs_sample *sample = &samples[index];

    for (int j = 0; j < count; j++) {
        if (j == index || samples[j].cell != sample->cell || samples[j].n < sample->n ||
            (samples[j].n == sample->n && j > index)) {
            continue;
        }
        int shared = 0;
        while (shared < sample->n && contains(&samples[j], sample->values[shared])) {
            shared++;
        }
        if (shared == sample->n || is_nearly(&samples[j], sample)) {
            return true;
        }
    }
    return false;
}

/* Squares about means, and their weight. */
struct pool {
    double squares, weight;
};

/* Adds a sample unless it says nothing; returns its degrees of freedom. */
static double add_sample(struct pool *pool, const struct fs_sample *samples, int count, int index)
{
    const struct fs_sample *sample = &samples[index];
    const double squares = sample->n > 1 ? squares_about_mean(sample) : (double)NAN;

    if (!isfinite(squares) || is_repeated(samples, count, index)) {
        return 0;
    }
    pool->squares += squares;
    pool->weight += sample->n - 1;
    return sample->n - 1;
}

static double deviation_of(const struct pool *pool)
{
    return pool->weight > 0 ? sqrt(pool->squares / pool->weight) : 0;
}

struct fs_spread fs_spread_pool(const struct fs_sample *samples, int count, int method)
{
    struct pool pool = {0};
    double dof = 0, of_training = 0;

    for (int i = 0; i < count; i++) {
        if (samples[i].method == method) {
            of_training = fmax(of_training, add_sample(&pool, samples, count, i));
        }
        if (i + 1 == count || samples[i + 1].training != samples[i].training) {
            dof += of_training;
            of_training = 0;
        }
    }
    return (struct fs_spread){deviation_of(&pool), dof};
}

struct fs_spread fs_spread_widen(struct fs_spread pooled, const struct fs_sample *samples, int count, int cell,
                                 int other)
{
    struct pool pool = {0};

    for (int i = 0; i < count; i++) {
        if (samples[i].cell == cell || samples[i].cell == other) {
            add_sample(&pool, samples, count, i);
        }
    }
    return (struct fs_spread){fmax(pooled.deviation, deviation_of(&pool)), pooled.dof};
}

/* --- verdicts --- */

static struct fs_outcome measure(const struct fs_matched_scores *cell, const struct fs_spread *spread)
{
    struct fs_outcome outcome = {.verdict = FS_VERDICT_UNDECIDED, .effect = 0, .low = NAN, .high = NAN, .p = NAN};

    outcome.equal = cell->n > 0 && memcmp(cell->base, cell->head, (size_t)cell->n * sizeof(double)) == 0;
    if (outcome.equal) {
        outcome.verdict = FS_VERDICT_SAME;
        return outcome;
    }
    for (int i = 0; i < cell->n; i++) {
        outcome.effect += (log(cell->head[i]) - log(cell->base[i])) / cell->n; /* NAN below 0, infinite at 0 */
    }
    if (cell->n == 0 || !isfinite(outcome.effect)) {
        outcome.effect = NAN;
    } else if (cell->n > 1 && spread->dof > 0) {
        outcome.p = fs_student_two_sided(fabs(outcome.effect) / (spread->deviation * sqrt(2.0 / cell->n)), spread->dof);
    }
    return outcome;
}

/* The place of each tested cell in the order of their chances, from 0; *tested: how many there are. */
static void rank_cells(struct fs_outcome *outcomes, int count, int *tested)
{
    *tested = 0;
    for (int i = 0; i < count; i++) {
        outcomes[i].rank = -1;
        if (isnan(outcomes[i].p)) {
            continue;
        }
        outcomes[i].rank = 0;
        (*tested)++;
        for (int j = 0; j < count; j++) {
            const bool tie_before = j < i && outcomes[j].p == outcomes[i].p;
            outcomes[i].rank += outcomes[j].p < outcomes[i].p || tie_before;
        }
    }
}

/* How many cells Holm's procedure takes: it goes through them from the smallest chance, each held against alpha by the
 * number of cells that are left, and stops at the first that fails. */
static int holm_taken(const struct fs_outcome *outcomes, int count, int tested, double alpha)
{
    int failed = tested;

    for (int i = 0; i < count; i++) {
        const int rank = outcomes[i].rank;
        if (rank >= 0 && rank < failed && outcomes[i].p > alpha / (tested - rank)) {
            failed = rank;
        }
    }
    return failed;
}

static void judge(struct fs_outcome *outcome, int n, const struct fs_spread *spread, double minimal)
{
    if (!isnan(outcome->p)) {
        const double half = fs_student_quantile(outcome->level / 2, spread->dof) * spread->deviation * sqrt(2.0 / n);
        outcome->low = outcome->effect - half;
        outcome->high = outcome->effect + half;
        if (outcome->p <= outcome->level && fabs(outcome->effect) >= minimal) {
            outcome->verdict = outcome->effect > 0 ? FS_VERDICT_WORSE : FS_VERDICT_BETTER;
        } else if (outcome->low > -minimal && outcome->high < minimal) {
            outcome->verdict = FS_VERDICT_SAME;
        }
    }
}

void fs_verdict_cells(const struct fs_matched_scores *cells, int count, const struct fs_spread *spreads,
                      struct fs_rule rule, struct fs_outcome *outcomes)
{
    const double minimal = log1p(rule.minimal);
    int tested = 0;

    for (int i = 0; i < count; i++) {
        outcomes[i] = measure(&cells[i], &spreads[cells[i].spread]);
    }
    rank_cells(outcomes, count, &tested);
    const int taken = holm_taken(outcomes, count, tested, rule.alpha);
    for (int i = 0; i < count; i++) {
        if (!outcomes[i].equal) {
            /* A cell that the procedure takes has the level of its own turn; those that are left share the last one,
             * and their intervals hold together (Strassburger & Bretz 2008). A cell that is not tested yet would be
             * one more. */
            const int rank = outcomes[i].rank;
            const int left = rank < 0 ? tested - taken + 1 : tested - (rank < taken ? rank : taken);
            outcomes[i].level = rule.alpha / left;
            judge(&outcomes[i], cells[i].n, &spreads[cells[i].spread], minimal);
        }
    }
}

/* --- how many seeds --- */

struct plan {
    double effect, level, minimal;
    int n;
    struct fs_spread spread;
};

static double chance_above(double t, double dof)
{
    const double beyond = 0.5 * fs_student_two_sided(fabs(t), dof);

    return t >= 0 ? beyond : 1 - beyond;
}

static bool would_decide(const struct plan *plan, int seeds)
{
    const double dof = plan->spread.dof + 2.0 * (seeds - plan->n), error = plan->spread.deviation * sqrt(2.0 / seeds);
    const double half = fs_student_quantile(plan->level / 2, dof) * error, effect = fabs(plan->effect);
    double chance = chance_above((fmax(half, plan->minimal) - effect) / error, dof);

    if (half < plan->minimal) { /* "same": the estimate between ± `room` */
        const double room = plan->minimal - half;
        chance += 1 - chance_above((room - effect) / error, dof) - chance_above((room + effect) / error, dof);
    }
    return chance >= FS_VERDICT_POWER;
}

int fs_verdict_seeds(const struct fs_outcome *outcome, int n, struct fs_spread spread, struct fs_rule rule)
{
    const struct plan plan = {outcome->effect, outcome->level, log1p(rule.minimal), n, spread};
    int low = n < 2 ? 1 : n, high = FS_VERDICT_SEEDS_MAX; /* more seeds never decide less */

    if (!isfinite(outcome->effect) || spread.dof <= 0 || low >= high || !would_decide(&plan, high)) {
        return 0;
    }
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (would_decide(&plan, middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return high;
}

enum fs_verdict fs_verdict_overall(const struct fs_outcome *outcomes, int count)
{
    int found[4] = {0};

    for (int i = 0; i < count; i++) {
        found[outcomes[i].verdict]++;
    }
    return found[FS_VERDICT_WORSE]                     ? FS_VERDICT_WORSE
           : found[FS_VERDICT_UNDECIDED] || count == 0 ? FS_VERDICT_UNDECIDED
           : found[FS_VERDICT_BETTER]                  ? FS_VERDICT_BETTER
                                                       : FS_VERDICT_SAME;
}
