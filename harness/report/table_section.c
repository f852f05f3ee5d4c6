/* One section of a table: its shape, the builds behind it, and the comparison of its rows. */
#include "harness/report/table_section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/verdict.h"
#include "kernels/base/memory.h"
#include "metrics/metric.h"
#include "metrics/student.h"

struct fs_section fs_section_make(const struct fs_table_scores *scores, const struct fs_experiment_name *experiment,
                                  struct fs_stretch part)
{
    struct fs_section section = {.scores = scores, .experiment = experiment, .all = part};

    section.floor = fs_find_floor(scores, part.first);
    section.step_count = fs_collect_steps(part, section.steps);
    return section;
}

int fs_section_rows(const struct fs_section *section)
{
    struct fs_stretch row;
    int rows = 0;

    for (int at = 0; fs_next_stretch(section->all, &at, fs_same_row, &row);) {
        rows++;
    }
    return rows;
}

/* --- sets of words --- */

static bool has_word(const char *set, const char *word, size_t length)
{
    for (; *set; set += strcspn(set, " "), set += strspn(set, " ")) {
        if (strcspn(set, " ") == length && strncmp(set, word, length) == 0) {
            return true;
        }
    }
    return false;
}

/* Puts `word` into a set of words with spaces between them, unless it is there. */
fs_status fs_add_word(char **set, const char *word, size_t length, struct fs_error *error)
{
    if (*set && has_word(*set, word, length)) {
        return FS_OK;
    }
    char *longer = fs_format(error, "%s%s%.*s", *set ? *set : "", *set ? " " : "", (int)length, word);
    free(*set);
    *set = longer;
    return longer ? FS_OK : FS_FAILED;
}

/* Adds the commits and the sources of "commit:source commit:source". */
fs_status fs_add_origins(char **commits, char **sources, const char *origins, struct fs_error *error)
{
    while (*origins) {
        const size_t length = strcspn(origins, " "), commit = strcspn(origins, ":");
        FS_TRY(fs_add_word(commits, origins, commit, error));
        FS_TRY(fs_add_word(sources, origins + commit + 1, length - commit - 1, error));
        origins += length;
        origins += strspn(origins, " ");
    }
    return FS_OK;
}

/* Adds each word of `origins` to the set. */
static fs_status add_words(char **set, const char *origins, struct fs_error *error)
{
    while (*origins) {
        FS_TRY(fs_add_word(set, origins, strcspn(origins, " "), error));
        origins += strcspn(origins, " ");
        origins += strspn(origins, " ");
    }
    return FS_OK;
}

char *fs_section_origins(const struct fs_section *section, struct fs_error *error)
{
    char *origins = NULL, *line = NULL;
    fs_status status = FS_OK;

    for (int i = 0; i < section->all.count + (section->floor != NULL) && status == FS_OK; i++) {
        const struct fs_table_score *score = i < section->all.count ? &section->all.first[i] : section->floor;
        status = add_words(&origins, score->text[FS_TEXT_ORIGINS], error);
    }
    for (const char *word = origins ? origins : ""; *word && status == FS_OK;) {
        const char *source = word + strcspn(word, ":") + 1;
        const size_t commit = (size_t)(source - 1 - word);
        const bool dirty = commit > 6 && strncmp(source - 7, "-dirty", 6) == 0;
        char *longer = fs_format(error, "%s%s %.*s%s (source %.12s)", line ? line : "from commit", line ? "," : "",
                                 commit < 12 ? (int)commit : 12, word, dirty && commit > 12 ? "-dirty" : "", source);
        free(line);
        line = longer;
        status = line ? FS_OK : FS_FAILED;
        word += strcspn(word, " ");
        word += strspn(word, " ");
    }
    free(origins);
    return line;
}

/* --- comparing rows --- */

struct comparisons {
    const struct fs_section *section;
    int rows;
    struct fs_stretch *cells;  /* [rows × step_count]; a count of 0: none */
    double *values;            /* of the section's scores, in their order */
    struct fs_sample *samples; /* a cell each */
    int sample_count;
    struct fs_matched_scores *list; /* two rows at one step count */
    int count;                      /* of them */
    struct fs_outcome *outcomes;
    struct fs_spread *spreads; /* of each comparison */
    double *matched;           /* what the comparisons point into */
};

static void comparisons_free(struct comparisons *all)
{
    free(all->cells);
    free(all->values);
    free(all->samples);
    free(all->list);
    free(all->outcomes);
    free(all->spreads);
    free(all->matched);
}

static fs_status comparisons_make(const struct fs_section *section, struct comparisons *all, struct fs_error *error)
{
    const size_t rows = (size_t)fs_section_rows(section), steps = (size_t)section->step_count;
    const size_t pairs = rows * rows, scores = (size_t)section->all.count;

    *all = (struct comparisons){.section = section, .rows = (int)rows};
    all->cells = fs_allocate(rows * steps, sizeof(*all->cells), "the cells of a table", error);
    all->values = fs_allocate(scores, sizeof(double), "the scores of a table", error);
    all->samples = fs_allocate(scores, sizeof(*all->samples), "the scores of a table", error);
    all->list = fs_allocate(pairs * steps, sizeof(*all->list), "comparisons", error);
    all->outcomes = fs_allocate(pairs * steps, sizeof(*all->outcomes), "comparisons", error);
    all->spreads = fs_allocate(pairs * steps, sizeof(*all->spreads), "spreads", error);
    all->matched = fs_allocate(2 * rows * scores, sizeof(double), "matched scores", error);
    return all->cells && all->values && all->samples && all->list && all->outcomes && all->spreads && all->matched
               ? FS_OK
               : FS_FAILED;
}

static void find_cells(struct comparisons *all)
{
    const struct fs_section *section = all->section;
    struct fs_stretch row, cell;

    for (int at = 0, r = 0; fs_next_stretch(section->all, &at, fs_same_row, &row); r++) {
        for (int in_row = 0; fs_next_stretch(row, &in_row, fs_same_cell, &cell);) {
            int column = 0;
            while (column < section->step_count && section->steps[column] != cell.first->steps) {
                column++;
            }
            if (column == section->step_count) {
                continue; /* more step counts than a table has room for */
            }
            all->cells[r * section->step_count + column] = cell;
            double *values = &all->values[cell.first - section->all.first];
            for (int i = 0; i < cell.count; i++) {
                values[i] = cell.first[i].value;
            }
            all->samples[all->sample_count++] = (struct fs_sample){
                .cell = r * section->step_count + column, .training = r, .values = values, .n = cell.count};
        }
    }
}

/* Spread of two rows. */
static struct fs_spread pool_two(struct comparisons *all, int a, int b)
{
    for (int i = 0; i < all->sample_count; i++) {
        all->samples[i].method = all->samples[i].training == a || all->samples[i].training == b ? 0 : 1;
    }
    return fs_spread_pool(all->samples, all->sample_count, 0);
}

/* The scores of two cells with the same seeds, at `matched`: base [n] and head [n] behind it. */
static int match_seeds(struct fs_stretch base, struct fs_stretch head, double *matched)
{
    int n = 0;

    for (int i = 0; i < base.count; i++) {
        for (int k = 0; k < head.count; k++) {
            n += base.first[i].seed == head.first[k].seed;
        }
    }
    for (int i = 0, at = 0; i < base.count; i++) {
        for (int k = 0; k < head.count; k++) {
            if (base.first[i].seed == head.first[k].seed) {
                matched[at] = base.first[i].value;
                matched[n + at++] = head.first[k].value;
            }
        }
    }
    return n;
}

/* Compares each two rows (a < b: head b against base a) at each number of steps. */
static void compare_rows(struct comparisons *all)
{
    const int steps = all->section->step_count;
    double *matched = all->matched;

    for (int a = 0; a < all->rows; a++) {
        for (int b = a + 1; b < all->rows; b++) {
            const struct fs_spread pooled = pool_two(all, a, b);
            for (int column = 0; column < steps; column++) {
                const int cell = a * steps + column, other = b * steps + column;
                const int n = match_seeds(all->cells[cell], all->cells[other], matched);
                all->spreads[all->count] = fs_spread_widen(pooled, all->samples, all->sample_count, cell, other);
                all->list[all->count] = (struct fs_matched_scores){all->count, matched, matched + n, n};
                matched += 2 * n;
                all->count++;
            }
        }
    }
    fs_verdict_cells(all->list, all->count, all->spreads, (struct fs_rule){.alpha = FS_MARKS_ALPHA, .minimal = 0},
                     all->outcomes);
}

/* All comparisons of a section, judged; free with comparisons_free, also after a failure. */
static fs_status compare_section(const struct fs_section *section, struct comparisons *all, struct fs_error *error)
{
    FS_TRY(comparisons_make(section, all, error));
    find_cells(all);
    compare_rows(all);
    return FS_OK;
}

static void fill_orders(const struct comparisons *all, enum fs_order *orders)
{
    const int rows = all->rows;
    int at = 0;

    for (int a = 0; a < rows; a++) {
        for (int b = a + 1; b < rows; b++) {
            for (int column = 0; column < all->section->step_count; column++, at++) {
                const enum fs_verdict verdict = all->outcomes[at].verdict;
                const bool worse = verdict == FS_VERDICT_WORSE, decided = worse || verdict == FS_VERDICT_BETTER;
                orders[(column * rows + a) * rows + b] = !decided ? FS_ORDER_UNDECIDED
                                                         : worse  ? FS_ORDER_LOWER
                                                                  : FS_ORDER_HIGHER;
                orders[(column * rows + b) * rows + a] = !decided ? FS_ORDER_UNDECIDED
                                                         : worse  ? FS_ORDER_HIGHER
                                                                  : FS_ORDER_LOWER;
            }
        }
    }
}

fs_status fs_section_orders(const struct fs_section *section, enum fs_order **orders, struct fs_error *error)
{
    struct comparisons all;

    *orders = NULL;
    fs_status status = compare_section(section, &all, error);
    if (status == FS_OK) {
        *orders = fs_allocate((size_t)(all.rows * all.rows) * (size_t)section->step_count, sizeof(**orders),
                              "comparisons", error);
        status = *orders ? FS_OK : FS_FAILED;
    }
    if (status == FS_OK) {
        fill_orders(&all, *orders);
    }
    comparisons_free(&all);
    return status;
}

/* Adds one comparison: the smallest log ratio that it would decide at `level`. */
static void add_power(const struct fs_matched_scores *one, const struct fs_spread *spread, double level,
                      struct fs_section_power *power)
{
    const double error = spread->deviation * sqrt(2.0 / one->n);
    const double ratio = exp(fs_student_quantile(level / 2, spread->dof) * error);

    power->smallest = fmin(power->smallest, ratio);
    power->largest = fmax(power->largest, ratio);
    power->dof = fmin(power->dof, spread->dof);
}

fs_status fs_section_power(const struct fs_section *section, struct fs_section_power *power, struct fs_error *error)
{
    struct comparisons all;

    *power = (struct fs_section_power){.dof = INFINITY, .smallest = INFINITY};
    const fs_status status = compare_section(section, &all, error);
    for (int i = 0; i < all.count; i++) {
        power->tested += !isnan(all.outcomes[i].p);
    }
    for (int i = 0; i < all.count; i++) {
        if (!isnan(all.outcomes[i].p)) {
            add_power(&all.list[i], &all.spreads[i], FS_MARKS_ALPHA / power->tested, power);
        }
    }
    comparisons_free(&all);
    return status;
}

/* The row of a column that is `best` (lower, or higher) against all others that have a score there, `except` left out;
 * −1: none. */
static int best_row(const enum fs_order *orders, const bool *there, int rows, int except, enum fs_order best)
{
    for (int row = 0; row < rows; row++) {
        int others = 0;
        bool good = there[row] && row != except;
        for (int other = 0; good && other < rows; other++) {
            if (other != row && other != except && there[other]) {
                good = orders[row * rows + other] == best;
                others++;
            }
        }
        if (good && others > 0) {
            return row;
        }
    }
    return -1;
}

static void mark_column(const enum fs_order *orders, const bool *there, int rows, enum fs_order wanted,
                        enum fs_mark *marks, int stride)
{
    const int best = best_row(orders, there, rows, -1, wanted);

    if (best >= 0) {
        const int second = best_row(orders, there, rows, best, wanted);
        marks[best * stride] = FS_MARK_BEST;
        if (second >= 0) {
            marks[second * stride] = FS_MARK_SECOND;
        }
    }
}

/* Which rows have a score at this number of steps. */
static void find_there(const struct fs_section *section, int64_t steps, bool *there)
{
    struct fs_stretch row;

    for (int at = 0, r = 0; fs_next_stretch(section->all, &at, fs_same_row, &row); r++) {
        there[r] = false;
        for (int i = 0; i < row.count; i++) {
            there[r] = there[r] || row.first[i].steps == steps;
        }
    }
}

fs_status fs_section_marks(const struct fs_section *section, enum fs_mark **marks, struct fs_error *error)
{
    const int rows = fs_section_rows(section), steps = section->step_count;
    const struct fs_metric *metric = fs_metric_find(section->all.first->text[FS_TEXT_METRIC]);
    const enum fs_order wanted = metric && metric->larger_is_better ? FS_ORDER_HIGHER : FS_ORDER_LOWER;
    enum fs_order *orders;

    *marks = NULL;
    FS_TRY(fs_section_orders(section, &orders, error));
    bool *there = fs_allocate((size_t)rows, sizeof(*there), "the rows of a table", error);
    *marks = fs_allocate((size_t)rows * (size_t)steps, sizeof(**marks), "the marks of a table", error);
    const fs_status status = there && *marks ? FS_OK : FS_FAILED;
    for (int column = 0; status == FS_OK && metric && column < steps; column++) {
        find_there(section, section->steps[column], there);
        mark_column(orders + (size_t)column * (size_t)rows * (size_t)rows, there, rows, wanted, *marks + column, steps);
    }
    free(there);
    free(orders);
    return status;
}
