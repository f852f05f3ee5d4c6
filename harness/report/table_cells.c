/* The cells of a table: stretches of the sorted scores, their means and their names. */
#include "harness/report/table_cells.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/config/config.h"
#include "harness/report/rows_json.h"
#include "metrics/metric.h"

bool fs_same_cell(const struct fs_table_score *a, const struct fs_table_score *b)
{
    return fs_same_row(a, b) && a->steps == b->steps;
}

bool fs_same_update(const struct fs_table_score *a, const struct fs_table_score *b)
{
    return fs_same_cell(a, b) && a->at_update == b->at_update;
}

bool fs_next_stretch(struct fs_stretch whole, int *at, fs_together *belong, struct fs_stretch *part)
{
    *part = (struct fs_stretch){whole.first + *at, 0};
    while (*at < whole.count && belong(part->first, &whole.first[*at])) {
        part->count++;
        (*at)++;
    }
    return part->count > 0;
}

void fs_mean_and_error(struct fs_stretch cell, double *mean, double *error)
{
    double sum = 0, squares = 0;

    for (int i = 0; i < cell.count; i++) {
        sum += cell.first[i].value;
    }
    *mean = sum / cell.count;
    for (int i = 0; i < cell.count; i++) {
        squares += (cell.first[i].value - *mean) * (cell.first[i].value - *mean);
    }
    *error = cell.count > 1 ? sqrt(squares / (cell.count - 1) / cell.count) : (double)NAN;
}

struct fs_cell_ratio fs_cell_ratio(struct fs_stretch first, struct fs_stretch second)
{
    struct fs_cell_ratio all = {0};
    double logs = 0;

    for (int i = 0; i < first.count; i++) {
        for (int k = 0; k < second.count; k++) {
            if (first.first[i].seed == second.first[k].seed) {
                logs += log(first.first[i].value) - log(second.first[k].value); /* NAN below 0 */
                all.seeds++;
                all.below += first.first[i].value < second.first[k].value;
            }
        }
    }
    all.ratio = all.seeds > 0 && isfinite(logs) ? exp(logs / all.seeds) : (double)NAN;
    return all;
}

struct fs_cost_mean fs_mean_cost(struct fs_stretch runs)
{
    struct fs_cost_mean cost = {0};
    int count = 0;

    for (int i = 0; i < runs.count; i++) {
        const struct fs_table_score *score = &runs.first[i];
        bool seen = false;
        for (int k = 0; k < i; k++) {
            seen = seen || strcmp(runs.first[k].text[FS_TEXT_RUN], score->text[FS_TEXT_RUN]) == 0;
        }
        if (!seen) {
            cost.seconds += score->seconds + score->teacher_seconds;
            count++;
        }
        cost.peak_bytes = score->peak_bytes > cost.peak_bytes ? score->peak_bytes : cost.peak_bytes;
    }
    cost.seconds /= count > 0 ? count : 1;
    return cost;
}

int fs_stretch_seeds(struct fs_stretch part)
{
    struct fs_stretch cell;
    int seeds = 0;

    for (int at = 0; fs_next_stretch(part, &at, fs_same_cell, &cell);) {
        seeds = cell.count > seeds ? cell.count : seeds;
    }
    return seeds;
}

static int compare_steps(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

int fs_collect_steps(struct fs_stretch section, int64_t steps[FS_TABLE_STEPS_MAX])
{
    int count = 0;

    for (int i = 0; i < section.count; i++) {
        int known = 0;
        while (known < count && steps[known] != section.first[i].steps) {
            known++;
        }
        if (known == count && known < FS_TABLE_STEPS_MAX) {
            steps[count++] = section.first[i].steps;
        }
    }
    qsort(steps, (size_t)count, sizeof(steps[0]), compare_steps);
    return count;
}

const struct fs_table_score *fs_find_floor(const struct fs_table_scores *scores, const struct fs_table_score *of)
{
    static const enum fs_table_text alike[] = {FS_TEXT_EXTRACTOR, FS_TEXT_TAP, FS_TEXT_METRIC, FS_TEXT_REFERENCE};
    const struct fs_table_score *found = NULL;
    char dataset[128];

    const int length = snprintf(dataset, sizeof(dataset), "dataset:%s:", of->text[FS_TEXT_DATASET]);
    for (int i = 0; i < scores->floor_count; i++) {
        const struct fs_table_score *floor = &scores->floors[i];
        bool fits = strncmp(floor->text[FS_TEXT_DATASET], dataset, (size_t)length) == 0;
        for (size_t k = 0; k < sizeof(alike) / sizeof(alike[0]); k++) {
            fits = fits && strcmp(floor->text[alike[k]], of->text[alike[k]]) == 0;
        }
        if (fits && (!found || (floor->samples == of->samples && found->samples != of->samples))) {
            found = floor;
        }
    }
    return found;
}

bool fs_outside_training(const struct fs_table_score *score, bool *known)
{
    struct fs_config config = {0};
    struct fs_error unreadable;
    bool outside = false;

    *known = fs_config_from_json(score->text[FS_TEXT_CONFIG], &config, &unreadable) == FS_OK;
    if (*known) {
        const struct fs_method_setup setup = fs_config_method_setup(&config);
        outside = config.method->outside_training(&setup, (int)score->steps);
    }
    fs_config_free(&config);
    return outside;
}

/* --- names --- */

void fs_metric_label(const struct fs_table_score *score, char *text, size_t size)
{
    const char *name = score->text[FS_TEXT_METRIC];
    const struct fs_metric *metric = fs_metric_find(name);

    if (metric && metric->fid_name && strcmp(metric->fid_name, name) == 0) {
        snprintf(text, size, "%s", metric->fid_label);
    } else {
        snprintf(text, size, "%s (%s)", metric ? metric->label : name, score->text[FS_TEXT_EXTRACTOR]);
    }
}

const char *fs_method_label(const char *name)
{
    const struct fs_method *method = fs_method_find(name);

    return method ? method->label : name;
}

void fs_ablated_value(const struct fs_table_score *score, const char *key, char *text, size_t size)
{
    fs_config_text(score->text[FS_TEXT_CONFIG], key, text, size);
}

const char *fs_split_name(const struct fs_table_score *floor)
{
    const char *colon = strrchr(floor->text[FS_TEXT_DATASET], ':');

    return colon ? colon + 1 : floor->text[FS_TEXT_DATASET];
}

void fs_section_title(const struct fs_table_score *of, char *text, size_t size)
{
    char metric[96], guidance[64] = "";

    fs_metric_label(of, metric, sizeof(metric));
    if (of->guidance_scale != 1) {
        snprintf(guidance, sizeof(guidance), ", guidance %g", of->guidance_scale);
    }
    snprintf(text, size, "%s, %s, %s to %s, %" PRId64 " samples, %s weights%s%s", of->text[FS_TEXT_DATASET],
             of->text[FS_TEXT_MODEL], metric, of->text[FS_TEXT_REFERENCE], of->samples,
             strcmp(of->text[FS_TEXT_WEIGHTS], "ema") == 0 ? "EMA" : "raw", guidance,
             of->quantize ? "" : ", not rounded to 8 bits");
}
