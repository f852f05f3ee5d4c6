/* A comparison of two revisions: for people, as JSON, and as Markdown. */
#include "harness/report/regress_print.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/text/escape.h"
#include "harness/text/json.h"
#include "harness/text/number.h"

#define LABEL 512

/* An effect as a change in per cent. */
static double per_cent(double effect)
{
    return 100 * expm1(effect);
}

/* --- text --- */

static void print_measure(const struct fs_measure *measure, FILE *stream)
{
    fputc('\n', stream);
    fs_put_plain(measure->dataset, stream);
    fputs(", ", stream);
    fs_put_plain(measure->model, stream);
    fprintf(stream, ", %s (", measure->metric);
    fs_put_plain(measure->extractor, stream);
    fprintf(stream, "), %" PRId64 " samples, %s weights", measure->samples, measure->weights);
    if (measure->guidance_scale != 1) {
        fprintf(stream, ", guidance %g", measure->guidance_scale);
    }
    if (strcmp(measure->sampler, FS_SCORE_SAMPLER) != 0) {
        fprintf(stream, ", %s sampler", measure->sampler);
    }
    if (strcmp(measure->time_grid, FS_SCORE_TIME_GRID) != 0) {
        fprintf(stream, ", time grid %s", measure->time_grid);
    }
    fputc('\n', stream);
}

static const struct fs_result_row *row_of(const struct fs_regression *all, const struct fs_regress_cell *cell)
{
    return &all->results.sections[cell->section].rows[cell->row];
}

/* The row's name, and what sets it apart. */
static void label_of(const struct fs_result_row *row, char text[LABEL])
{
    char whole[LABEL];

    snprintf(whole, sizeof(whole), "%s%s%s", row->name, row->apart[0] ? ", " : "", row->apart);
    fs_plain_text(whole, text, LABEL);
}

static void print_reason(const struct fs_regress_cell *cell, FILE *stream)
{
    const struct fs_outcome *outcome = &cell->outcome;
    const bool interval = !outcome->equal && !isnan(outcome->effect) && !isnan(outcome->low);
    const char *then = outcome->equal || interval ? ";" : " "; /* what follows begins the column, or goes on in it */

    if (outcome->equal) {
        fprintf(stream, "  the same bits");
    } else if (isnan(outcome->effect)) {
        fprintf(stream, "  a score is not above 0: no ratio");
    } else if (interval) {
        fprintf(stream, "  %+.1f to %+.1f %%", per_cent(outcome->low), per_cent(outcome->high));
    }
    if (outcome->verdict != FS_VERDICT_UNDECIDED || isnan(outcome->effect)) {
        return;
    }
    if (cell->seeds_needed > 0) {
        fprintf(stream, "%s about %d seeds would decide", then, cell->seeds_needed);
    } else if (cell->own.dof <= 0) {
        fprintf(stream, "  one seed: a second one would tell the spread");
    } else {
        fprintf(stream, "%s not even %d seeds would decide", then, FS_VERDICT_SEEDS_MAX);
    }
}

static void print_cell(const struct fs_regression *all, const struct fs_regress_cell *cell, int width, FILE *stream)
{
    char label[LABEL], base[FS_NUMBER_TEXT], head[FS_NUMBER_TEXT];

    label_of(row_of(all, cell), label);
    fs_three_digits(cell->base, base);
    fs_three_digits(cell->head, head);
    fprintf(stream, "%-*s  %5" PRId64 "  %5d  %8s  %8s", width + (int)strlen(label) - fs_utf8_characters(label), label,
            cell->steps, cell->seeds, base, head);
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
                    row_of(all, cell)->method_label, all->results.sections[cell->section].measure.metric,
                    100 * all->spreads[i].deviation, all->spreads[i].dof);
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
    int width = 6;
    char label[LABEL];

    print_revision("base", base, stream);
    print_revision("head", head, stream);
    if (strcmp(base->source_hash, head->source_hash) == 0) {
        fprintf(stream, "between them nothing changed that can change a number: their runs are the same\n");
    }
    for (int i = 0; i < regression->count; i++) {
        label_of(row_of(regression, &regression->cells[i]), label);
        width = fs_utf8_characters(label) > width ? fs_utf8_characters(label) : width;
    }
    for (int i = 0; i < regression->count; i++) {
        const struct fs_regress_cell *cell = &regression->cells[i];
        if (i == 0 || cell->section != cell[-1].section) {
            print_measure(&regression->results.sections[cell->section].measure, stream);
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
        fs_verdict_name(regression->verdict), regression->count, regression->found[FS_VERDICT_WORSE],
        regression->found[FS_VERDICT_BETTER], regression->found[FS_VERDICT_SAME],
        regression->found[FS_VERDICT_UNDECIDED], regression->rule.alpha, 100 * regression->rule.minimal);
}

/* --- Markdown --- */

static void print_markdown_cell(const struct fs_regression *all, const struct fs_regress_cell *cell, FILE *stream)
{
    const struct fs_measure *measure = &all->results.sections[cell->section].measure;
    const struct fs_outcome *outcome = &cell->outcome;
    char label[LABEL], base[FS_NUMBER_TEXT], head[FS_NUMBER_TEXT];

    label_of(row_of(all, cell), label);
    fs_three_digits(cell->base, base);
    fs_three_digits(cell->head, head);
    fputs("| ", stream);
    fs_put_markdown(label, stream);
    fprintf(stream, " | %s | %" PRId64 " | %d | %s | %s | ", measure->metric, cell->steps, cell->seeds, base, head);
    if (!isnan(outcome->effect)) {
        fprintf(stream, "%+.1f %%", per_cent(outcome->effect));
    }
    if (!outcome->equal && !isnan(outcome->effect) && !isnan(outcome->low)) {
        fprintf(stream, " (%+.1f to %+.1f)", per_cent(outcome->low), per_cent(outcome->high));
    }
    fprintf(stream, outcome->verdict == FS_VERDICT_WORSE ? " | **%s** |\n" : " | %s |\n",
            fs_verdict_name(outcome->verdict));
}

static void print_markdown_revision(const struct fs_revision *revision, FILE *stream)
{
    fputc('`', stream);
    fprintf(stream, "%.9s`%s", revision->commit, revision->dirty ? " (made from a changed tree)" : "");
}

/* The cells of a table, at most `limit` of them; how many there are. */
static int print_markdown_cells(const struct fs_regression *all, int limit, FILE *stream)
{
    static const enum fs_verdict order[] = {FS_VERDICT_WORSE, FS_VERDICT_UNDECIDED, FS_VERDICT_BETTER};
    int count = 0;

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        for (int k = 0; k < all->count; k++) {
            if (all->cells[k].outcome.verdict != order[i]) {
                continue;
            }
            if (count == 0) {
                fputs("\n| method | metric | steps | seeds | base | head | change (interval) | verdict |\n"
                      "|---|---|--:|--:|--:|--:|--:|---|\n",
                      stream);
            }
            if (count++ < limit) {
                print_markdown_cell(all, &all->cells[k], stream);
            }
        }
    }
    return count;
}

void fs_regression_print_markdown(const struct fs_regression *regression, const struct fs_revision *base,
                                  const struct fs_revision *head, FILE *stream)
{
    fprintf(stream, "### fewstep: %s\n\n", fs_verdict_name(regression->verdict));
    print_markdown_revision(base, stream);
    fputs(" → ", stream);
    print_markdown_revision(head, stream);
    fputs(strcmp(base->source_hash, head->source_hash) == 0
              ? ": nothing changed that can change a number\n"
              : ": a cell is one training at one number of steps, over the seeds that both have\n",
          stream);
    const int shown = print_markdown_cells(regression, FS_REGRESSION_ROWS, stream);
    fputc('\n', stream);
    if (shown > FS_REGRESSION_ROWS) {
        fprintf(stream, "%d more are left out. ", shown - FS_REGRESSION_ROWS);
    }
    fprintf(stream, "Of %d cells %d worse, %d better, %d same, %d undecided.", regression->count,
            regression->found[FS_VERDICT_WORSE], regression->found[FS_VERDICT_BETTER],
            regression->found[FS_VERDICT_SAME], regression->found[FS_VERDICT_UNDECIDED]);
    if (regression->unmatched > 0) {
        fprintf(stream, " Not at head: %d scores of base, %d of them of runs that failed there.", regression->unmatched,
                regression->failed);
    }
    fprintf(stream, " Chance of any false worse or better: %g; effects from %g %%.\n", regression->rule.alpha,
            100 * regression->rule.minimal);
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

/* "train.batch=64": what sets the row apart from others of its method. */
static void print_varied(const struct fs_results *results, const struct fs_result_row *row, char text[LABEL])
{
    size_t length = 0;

    text[0] = 0;
    for (int i = 0; i < results->varied_count; i++) {
        if (row->varied[i] && length < LABEL) {
            length += (size_t)snprintf(text + length, LABEL - length, "%s%s=%s", length ? ", " : "", results->varied[i],
                                       row->varied[i]);
        }
    }
}

static json_t *cell_json(const struct fs_regression *all, const struct fs_regress_cell *cell)
{
    const struct fs_outcome *outcome = &cell->outcome;
    const struct fs_spread *spread = &cell->own;
    const struct fs_measure *measure = &all->results.sections[cell->section].measure;
    const struct fs_result_row *row = row_of(all, cell);
    char varied[LABEL];

    print_varied(&all->results, row, varied);
    return json_pack(
        "{s:o, s:o, s:o, s:s, s:o, s:s, s:o, s:o, s:I, s:I, s:f, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:f, s:f, s:b, s:s, s:o}",
        "method", fs_json_string(row->method), "dataset", fs_json_string(measure->dataset), "model",
        fs_json_string(measure->model), "metric", measure->metric, "extractor", fs_json_string(measure->extractor),
        "weights", measure->weights, "train_hash", fs_json_string(row->train_hash), "ablated", fs_json_string(varied),
        "steps", (json_int_t)cell->steps, "samples", (json_int_t)measure->samples, "guidance_scale",
        measure->guidance_scale, "sampler", measure->sampler, "time_grid", measure->time_grid, "seeds", cell->seeds,
        "base", scores_json(all->base, cell), "head", scores_json(all->head, cell), "log_ratio",
        number(outcome->effect), "low", number(outcome->low), "high", number(outcome->high), "p", number(outcome->p),
        "level", number(outcome->equal ? (double)NAN : outcome->level), "spread", spread->deviation,
        "degrees_of_freedom", spread->dof, "equal", outcome->equal, "verdict", fs_verdict_name(outcome->verdict),
        "seeds_needed", cell->seeds_needed ? json_integer(cell->seeds_needed) : json_null());
}

static json_t *revision_json(const struct fs_revision *revision)
{
    return json_pack("{s:o, s:o, s:s, s:b, s:i}", "revision", fs_json_string(revision->name), "commit",
                     fs_json_string(revision->commit), "source_hash", revision->source_hash, "changed_tree",
                     revision->dirty, "runs", revision->runs);
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
