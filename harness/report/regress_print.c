/* A comparison of two revisions, for people and as JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/text/number.h"
#include "harness/report/regress.h"
#include "harness/report/rows_json.h"
#include "harness/report/table_cells.h"

/* Geometric means, so that their ratio is the effect. */
static double mean_of(const double *scores, const struct fs_regress_cell *cell)
{
    double sum = 0;

    for (int i = 0; i < cell->seeds; i++) {
        sum += log(scores[cell->first + i]) / cell->seeds;
    }
    return exp(sum);
}

/* An effect as a change in per cent. */
static double per_cent(double effect)
{
    return 100 * expm1(effect);
}

/* --- text --- */

static bool same_measure(const struct fs_regress_cell *a, const struct fs_regress_cell *b)
{
    return strcmp(a->dataset, b->dataset) == 0 && strcmp(a->model, b->model) == 0 &&
           strcmp(a->metric, b->metric) == 0 && strcmp(a->extractor, b->extractor) == 0 &&
           strcmp(a->weights, b->weights) == 0 && a->samples == b->samples && a->guidance_scale == b->guidance_scale;
}

static void print_measure(const struct fs_regress_cell *cell, FILE *stream)
{
    fprintf(stream, "\n%s, %s, %s (%s), %" PRId64 " samples, %s weights", cell->dataset, cell->model, cell->metric,
            cell->extractor, cell->samples, cell->weights);
    if (cell->guidance_scale != 1) {
        fprintf(stream, ", guidance %g", cell->guidance_scale);
    }
    fputc('\n', stream);
}

/* The method, and what tells its trainings apart where there are several. */
static void label_of(const struct fs_regression *all, const struct fs_regress_cell *cell, char *text, size_t size)
{
    bool several = false;

    for (int i = 0; i < all->count; i++) {
        several = several || (strcmp(all->cells[i].method, cell->method) == 0 &&
                              strcmp(all->cells[i].train_hash, cell->train_hash) != 0);
    }
    snprintf(text, size, "%s%s%s", fs_method_label(cell->method), cell->ablated[0] || several ? " " : "",
             cell->ablated[0] ? cell->ablated : "");
    if (several && !cell->ablated[0]) {
        snprintf(text + strlen(text), size - strlen(text), "%.8s", cell->train_hash);
    }
}

static void print_reason(const struct fs_regress_cell *cell, FILE *stream)
{
    const struct fs_outcome *outcome = &cell->outcome;

    if (outcome->equal) {
        fprintf(stream, "  the same bits");
    } else if (isnan(outcome->effect)) {
        fprintf(stream, "  a score is not above 0: no ratio");
    } else if (!isnan(outcome->low)) {
        fprintf(stream, "  %+.1f to %+.1f %%", per_cent(outcome->low), per_cent(outcome->high));
    }
    if (outcome->verdict != FS_VERDICT_UNDECIDED || isnan(outcome->effect)) {
        return;
    }
    if (cell->seeds_needed > 0) {
        fprintf(stream, "; about %d seeds would decide", cell->seeds_needed);
    } else if (cell->own.dof <= 0) {
        fprintf(stream, "  one seed: a second one would tell the spread");
    } else {
        fprintf(stream, "; not even %d seeds would decide", FS_VERDICT_SEEDS_MAX);
    }
}

static void print_cell(const struct fs_regression *all, const struct fs_regress_cell *cell, int width, FILE *stream)
{
    char label[192], base[FS_NUMBER_TEXT], head[FS_NUMBER_TEXT];

    label_of(all, cell, label, sizeof(label));
    fs_three_digits(mean_of(all->base, cell), base);
    fs_three_digits(mean_of(all->head, cell), head);
    fprintf(stream, "%-*s  %5" PRId64 "  %5d  %8s  %8s", width, label, cell->steps, cell->seeds, base, head);
    if (isnan(cell->outcome.effect)) {
        fprintf(stream, "           ");
    } else {
        fprintf(stream, "  %+7.1f %%", per_cent(cell->outcome.effect));
    }
    fprintf(stream, "  %-9s", fs_verdict_name(cell->outcome.verdict));
    print_reason(cell, stream);
    fputc('\n', stream);
}

static void print_revision(const char *side, const struct fs_revision *revision, FILE *stream)
{
    fprintf(stream, "%s  %s  commit %.9s  source %.8s  %d runs%s\n", side, revision->name, revision->commit,
            revision->source_hash, revision->runs,
            revision->dirty ? "  (made from a changed tree: not quite this commit)" : "");
}

/* One line for each spread that was used. */
static void print_spreads(const struct fs_regression *all, FILE *stream)
{
    fputc('\n', stream);
    for (int i = 0; i < all->spread_count; i++) {
        const struct fs_regress_cell *cell = NULL;
        for (int k = 0; k < all->count && !cell; k++) {
            cell = all->cells[k].spread == i ? &all->cells[k] : NULL;
        }
        if (cell && all->spreads[i].dof > 0) {
            fprintf(stream, "spread over seeds, %s, %s: %.1f %% (%.0f degrees of freedom)\n",
                    fs_method_label(cell->method), cell->metric, 100 * all->spreads[i].deviation, all->spreads[i].dof);
        }
    }
}

/* What of base has no counterpart at head: a run that failed there must not vanish from the verdict. */
static void print_lost(const struct fs_regression *all, FILE *stream)
{
    if (all->unmatched > 0) {
        fprintf(stream, "not at head: %d scores of base", all->unmatched);
        fprintf(stream, all->failed > 0 ? ", %d of them of runs that failed there (`fewstep runs` says why)\n" : "\n",
                all->failed);
    }
}

void fs_regression_print(const struct fs_regression *regression, const struct fs_revision *base,
                         const struct fs_revision *head, FILE *stream)
{
    int width = 6, found[4] = {0};
    char label[192];

    print_revision("base", base, stream);
    print_revision("head", head, stream);
    if (strcmp(base->source_hash, head->source_hash) == 0) {
        fprintf(stream, "between them nothing changed that can change a number: their runs are the same\n");
    }
    for (int i = 0; i < regression->count; i++) {
        label_of(regression, &regression->cells[i], label, sizeof(label));
        width = (int)strlen(label) > width ? (int)strlen(label) : width;
        found[regression->cells[i].outcome.verdict]++;
    }
    for (int i = 0; i < regression->count; i++) {
        const struct fs_regress_cell *cell = &regression->cells[i];
        if (i == 0 || !same_measure(cell, cell - 1)) {
            print_measure(cell, stream);
            fprintf(stream, "%-*s  %5s  %5s  %8s  %8s  %9s  %-9s\n", width, "method", "steps", "seeds", "base", "head",
                    "change", "verdict");
        }
        print_cell(regression, cell, width, stream);
    }
    print_spreads(regression, stream);
    print_lost(regression, stream);
    fprintf(
        stream,
        "%s: of %d cells %d worse, %d better, %d same, %d undecided (alpha %g over all cells, effects from %g %%)\n",
        fs_verdict_name(regression->verdict), regression->count, found[FS_VERDICT_WORSE], found[FS_VERDICT_BETTER],
        found[FS_VERDICT_SAME], found[FS_VERDICT_UNDECIDED], regression->rule.alpha, 100 * regression->rule.minimal);
}

/* --- JSON --- */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *scores_json(const double *scores, const struct fs_regress_cell *cell)
{
    json_t *list = json_array();

    for (int i = 0; i < cell->seeds; i++) {
        json_array_append_new(list, number(scores[cell->first + i]));
    }
    return list;
}

static json_t *cell_json(const struct fs_regression *all, const struct fs_regress_cell *cell)
{
    const struct fs_outcome *outcome = &cell->outcome;
    const struct fs_spread *spread = &cell->own;

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:f, s:f, s:b, s:s, s:o}",
        "method", cell->method, "dataset", cell->dataset, "model", cell->model, "metric", cell->metric, "extractor",
        cell->extractor, "weights", cell->weights, "train_hash", cell->train_hash, "ablated", cell->ablated, "steps",
        (json_int_t)cell->steps, "samples", (json_int_t)cell->samples, "guidance_scale", cell->guidance_scale, "seeds",
        cell->seeds, "base", scores_json(all->base, cell), "head", scores_json(all->head, cell), "log_ratio",
        number(outcome->effect), "low", number(outcome->low), "high", number(outcome->high), "p", number(outcome->p),
        "level", number(outcome->equal ? (double)NAN : outcome->level), "spread", spread->deviation,
        "degrees_of_freedom", spread->dof, "equal", outcome->equal, "verdict", fs_verdict_name(outcome->verdict),
        "seeds_needed", cell->seeds_needed ? json_integer(cell->seeds_needed) : json_null());
}

static json_t *revision_json(const struct fs_revision *revision)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:i}", "revision", revision->name, "commit", revision->commit, "source_hash",
                     revision->source_hash, "changed_tree", revision->dirty, "runs", revision->runs);
}

static fs_status print_line(json_t *object, FILE *stream, struct fs_error *error)
{
    if (!object) {
        return fs_fail(error, FS_FAILED, "no memory for a line of JSON");
    }
    json_dumpf(object, stream, JSON_COMPACT);
    fputc('\n', stream);
    json_decref(object);
    return FS_OK;
}

fs_status fs_regression_print_json(const struct fs_regression *regression, const struct fs_revision *base,
                                   const struct fs_revision *head, FILE *stream, struct fs_error *error)
{
    for (int i = 0; i < regression->count; i++) {
        FS_TRY(print_line(cell_json(regression, &regression->cells[i]), stream, error));
    }
    return print_line(json_pack("{s:s, s:o, s:o, s:i, s:i, s:i, s:f, s:f}", "verdict",
                                fs_verdict_name(regression->verdict), "base", revision_json(base), "head",
                                revision_json(head), "cells", regression->count, "unmatched", regression->unmatched,
                                "failed_at_head", regression->failed, "alpha", regression->rule.alpha, "minimal",
                                regression->rule.minimal),
                      stream, error);
}
