/* Sentences below a table. */
#include "harness/report/findings_print.h"

#include <inttypes.h>
#include <math.h>

#include "harness/results/findings.h"
#include "harness/text/escape.h"
#include "harness/text/number.h"

static void print_list(const struct fs_findings *all, enum fs_relation relation, const char *begin, FILE *stream)
{
    int printed = 0;

    for (int i = 0; i < all->count; i++) {
        const struct fs_finding *one = &all->list[i];
        char value[FS_NUMBER_TEXT], ratio[FS_NUMBER_TEXT], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];
        if (one->relation != relation) {
            continue;
        }
        fprintf(stream, "\n  %s: ", begin);
        fs_put_plain(one->row->name, stream);
        fprintf(stream, "%s", *one->row->apart ? ", " : "");
        fs_put_plain(one->row->apart, stream);
        fprintf(stream, ", %s, %s times it (%s – %s)", fs_three_digits(one->value, value),
                fs_three_digits(one->ratio, ratio), fs_three_digits(one->low, low), fs_three_digits(one->high, high));
        printed++;
    }
    if (printed == 0 && relation == FS_RELATION_LOWER) {
        fprintf(stream, "\n  below it: none");
    }
}

static void print_findings(const struct fs_findings *all, FILE *stream)
{
    char value[FS_NUMBER_TEXT];

    fprintf(stream, "\nat %" PRId64 " step%s, %s has %s", all->steps, all->steps == 1 ? "" : "s", all->baseline->name,
            fs_three_digits(all->value, value));
    print_list(all, FS_RELATION_LOWER, "below it", stream);
    print_list(all, FS_RELATION_UNDECIDED, "not to be told apart", stream);
    print_list(all, FS_RELATION_HIGHER, "above it", stream);
    fputc('\n', stream);
}

static fs_status print_section(const struct fs_result_section *section, FILE *stream, struct fs_error *error)
{
    char value[FS_NUMBER_TEXT];
    int labels, seeds = 0, said = 0;

    for (int i = 0; i < FS_FINDINGS_STEPS; i++) {
        struct fs_findings findings;
        FS_TRY(fs_findings_make(section, fs_findings_steps[i], &findings, error));
        if (findings.count > 0) {
            print_findings(&findings, stream);
            seeds = said == 0 || findings.seeds < seeds ? findings.seeds : seeds;
            said++;
        }
        fs_findings_free(&findings);
    }
    if (said > 0 && seeds > 1) {
        fprintf(stream, "intervals: 95 %% over %d seeds, corrected for all comparisons of the table\n", seeds);
    } else if (said > 0) {
        fprintf(stream,
                "intervals: 95 %% over the %" PRId64 " samples of one training each; another seed moves them, too\n",
                section->measure.samples);
    }
    const double mean_picture = fs_mean_picture_score(section, &labels);
    if (said > 0 && isfinite(mean_picture)) {
        fprintf(stream, "to compare with: the mean picture of %s, repeated, has %s\n",
                labels ? "each label's data" : "the data", fs_three_digits(mean_picture, value));
    }
    return FS_OK;
}

fs_status fs_findings_print(struct fs_store *store, const char *experiment, FILE *stream, struct fs_error *error)
{
    struct fs_experiment_name found;
    struct fs_results results;
    FS_TRY(fs_experiment_find(store, experiment, &found, error));
    fs_status status = fs_results_read(store, &found, NULL, FS_LAST_SCORE, &results, error);
    if (status == FS_OK && fs_results_main(&results)) {
        status = print_section(fs_results_main(&results), stream, error);
    }
    fs_results_free(&results);
    return status;
}
