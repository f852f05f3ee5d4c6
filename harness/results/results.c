/* The results of an experiment in memory: sections, rows and cells, and what finds them. */
#include "harness/results/results.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/parts.h"
#include "kernels/base/memory.h"
#include "methods/method.h"
#include "metrics/metric.h"

/* --- memory --- */

struct fs_result_text {
    struct fs_result_text *next;
    char text[];
};

const char *fs_results_keep(struct fs_results *results, const char *text, struct fs_error *error)
{
    const size_t size = strlen(text) + 1;
    struct fs_result_text *kept = fs_allocate(1, sizeof(*kept) + size, "the texts of a table", error);

    if (!kept) {
        return NULL;
    }
    memcpy(kept->text, text, size);
    kept->next = results->texts;
    results->texts = kept;
    return kept->text;
}

fs_status fs_grow(void **list, int count, size_t size, struct fs_error *error)
{
    if ((count & (count - 1)) == 0) { /* full: 0, 1, 2, 4, 8 … */
        char *grown = realloc(*list, (size_t)(count ? 2 * count : 1) * size);
        if (!grown) {
            return fs_fail(error, FS_FAILED, "no memory for the results of an experiment");
        }
        *list = grown;
    }
    memset((char *)*list + (size_t)count * size, 0, size);
    return FS_OK;
}

void fs_results_free(struct fs_results *results)
{
    for (int i = 0; i < results->section_count; i++) {
        struct fs_result_section *section = &results->sections[i];
        for (int r = 0; r < section->row_count; r++) {
            for (int c = 0; c < section->rows[r].cell_count; c++) {
                free(section->rows[r].cells[c].scores);
            }
            free(section->rows[r].cells);
        }
        free(section->rows);
        for (int r = 0; r < section->exact_count; r++) {
            for (int c = 0; c < section->exact[r].cell_count; c++) {
                free(section->exact[r].cells[c].scores);
            }
            free(section->exact[r].cells);
        }
        free(section->exact);
        free(section->comparisons);
        free(section->remarks);
        if (section->data) {
            free(section->data->scores);
        }
        free(section->data);
    }
    free(results->hypotheses);
    free(results->sections);
    for (struct fs_result_text *next, *text = results->texts; text; text = next) {
        next = text->next;
        free(text);
    }
    *results = (struct fs_results){0};
}

/* --- sections and rows --- */

bool fs_measure_equal(const struct fs_measure *a, const struct fs_measure *b)
{
    return strcmp(a->dataset, b->dataset) == 0 && strcmp(a->model, b->model) == 0 &&
           strcmp(a->extractor, b->extractor) == 0 && strcmp(a->tap, b->tap) == 0 &&
           strcmp(a->metric, b->metric) == 0 && strcmp(a->reference, b->reference) == 0 &&
           strcmp(a->weights, b->weights) == 0 && a->samples == b->samples && a->quantize == b->quantize &&
           a->guidance_scale == b->guidance_scale && strcmp(a->resize, b->resize) == 0 &&
           strcmp(a->sampler, b->sampler) == 0 && strcmp(a->time_grid, b->time_grid) == 0;
}

/* How samples were drawn, where that is not the methods' own N equal steps, and what N of them cost. */
static void name_sampling(const struct fs_measure *of, char *about, size_t size)
{
    const bool heun = strcmp(of->sampler, fs_solver_name(FS_SOLVER_HEUN)) == 0;
    const size_t length = strlen(about);

    if (*of->sampler && strcmp(of->sampler, FS_SCORE_SAMPLER) != 0) {
        snprintf(about + length, size - length, ", %s sampler (N steps are %s evaluations of the network)", of->sampler,
                 heun ? "2N − 1" : "2N");
    }
    if (*of->time_grid && strcmp(of->time_grid, FS_SCORE_TIME_GRID) != 0) {
        snprintf(about + strlen(about), size - strlen(about), ", time grid %s", of->time_grid);
    }
}

static fs_status name_section(struct fs_results *results, struct fs_result_section *section, struct fs_error *error)
{
    const struct fs_measure *of = &section->measure;
    const struct fs_metric *metric = fs_metric_find(of->metric);
    char label[96], guidance[64] = "", resize[64] = "", about[1024];

    if (metric && metric->fid_name && strcmp(metric->fid_name, of->metric) == 0) {
        snprintf(label, sizeof(label), "%s", metric->fid_label);
    } else {
        snprintf(label, sizeof(label), "%s (%s)", metric ? metric->label : of->metric, of->extractor);
    }
    if (of->guidance_scale != 1) {
        snprintf(guidance, sizeof(guidance), ", guidance %g", of->guidance_scale);
    }
    if (strcmp(of->resize, fs_resize_name(FS_RESIZE_NONE)) != 0 &&
        strcmp(of->resize, fs_resize_name(FS_RESIZE_CLEAN)) != 0) {
        snprintf(resize, sizeof(resize), ", resized as %s", of->resize);
    }
    snprintf(about, sizeof(about), "%s, %s, %s to %s, %" PRId64 " samples, %s weights%s%s%s", of->dataset, of->model,
             label, of->reference, of->samples, strcmp(of->weights, "ema") == 0 ? "EMA" : "raw", guidance,
             of->quantize ? "" : ", not rounded to 8 bits", resize);
    name_sampling(of, about, sizeof(about));
    section->better = !metric ? 0 : metric->larger_is_better ? 1 : -1;
    section->metric_label = fs_results_keep(results, label, error);
    section->about = fs_results_keep(results, about, error);
    section->name = section->title = section->source = section->data_split = "";
    return section->metric_label && section->about ? FS_OK : FS_FAILED;
}

fs_status fs_results_add_section(struct fs_results *results, const struct fs_measure *measure,
                                 struct fs_result_section **section, struct fs_error *error)
{
    FS_TRY(fs_grow((void **)&results->sections, results->section_count, sizeof(**section), error));
    *section = &results->sections[results->section_count++];
    struct fs_measure *of = &(*section)->measure;
    const char **const texts[] = {&of->dataset,   &of->model,   &of->extractor, &of->tap,     &of->metric,
                                  &of->reference, &of->weights, &of->resize,    &of->sampler, &of->time_grid};
    *of = *measure;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i] = fs_results_keep(results, *texts[i] ? *texts[i] : "", error);
        if (!*texts[i]) {
            return FS_FAILED;
        }
    }
    return name_section(results, *section, error);
}

static bool same_training(const struct fs_result_row *a, const struct fs_result_row *b)
{
    return strcmp(a->train_hash, b->train_hash) == 0 && strcmp(a->data_sha256, b->data_sha256) == 0 &&
           strcmp(a->method, b->method) == 0;
}

/* "Flow matching (Euler)" is not what a section of another sampler shows. */
static const char *method_label(struct fs_results *results, const struct fs_measure *of, const char *name,
                                struct fs_error *error)
{
    static const char euler[] = " (Euler)";
    const struct fs_method *method = fs_method_find(name);
    const char *label = method ? method->label : name;
    const size_t length = strlen(label), end = sizeof(euler) - 1;
    char solved[96];

    if (!method || !*of->sampler || strcmp(of->sampler, FS_SCORE_SAMPLER) == 0 || length < end ||
        strcmp(label + length - end, euler) != 0) {
        return method ? label : fs_results_keep(results, label, error);
    }
    const bool heun = strcmp(of->sampler, fs_solver_name(FS_SOLVER_HEUN)) == 0;
    snprintf(solved, sizeof(solved), "%.*s (%s)", (int)(length - end), label, heun ? "Heun" : of->sampler);
    return fs_results_keep(results, solved, error);
}

fs_status fs_results_row(struct fs_results *results, struct fs_result_section *section,
                         const struct fs_result_row *training, struct fs_result_row **row, struct fs_error *error)
{
    struct fs_result_row *last = section->row_count ? &section->rows[section->row_count - 1] : NULL;

    if (last && same_training(last, training)) {
        *row = last;
        return FS_OK;
    }
    FS_TRY(fs_grow((void **)&section->rows, section->row_count, sizeof(**row), error));
    *row = &section->rows[section->row_count++];
    **row = (struct fs_result_row){
        .method = fs_results_keep(results, training->method, error),
        .method_label = method_label(results, &section->measure, training->method, error),
        .label = fs_results_keep(results, training->label, error),
        .train_hash = fs_results_keep(results, training->train_hash, error),
        .data_sha256 = fs_results_keep(results, training->data_sha256, error),
        .config = fs_results_keep(results, training->config, error),
        .apart = "",
        .confirmed_in = "",
    };
    (*row)->name = (*row)->method_label;
    return (*row)->method && (*row)->method_label && (*row)->label && (*row)->train_hash && (*row)->data_sha256 &&
                   (*row)->config
               ? FS_OK
               : FS_FAILED;
}

const struct fs_result_row *fs_result_row_like(const struct fs_result_section *section, const struct fs_result_row *row)
{
    for (int i = 0; i < section->row_count; i++) {
        if (same_training(&section->rows[i], row)) {
            return &section->rows[i];
        }
    }
    return NULL;
}

const struct fs_result_row *fs_result_training(const struct fs_results *results, const char *train_hash,
                                               const char *data_sha256)
{
    for (int i = 0; i < results->section_count; i++) {
        for (int r = 0; r < results->sections[i].row_count; r++) {
            const struct fs_result_row *row = &results->sections[i].rows[r];
            if (strcmp(row->train_hash, train_hash) == 0 && strcmp(row->data_sha256, data_sha256) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

struct fs_result_cell *fs_result_cell_at(const struct fs_result_row *row, int64_t steps)
{
    for (int i = 0; i < row->cell_count; i++) {
        if (row->cells[i].steps == steps) {
            return &row->cells[i];
        }
    }
    return NULL;
}

struct fs_result_section *fs_results_main(const struct fs_results *results)
{
    static const char *const metrics[] = {"fid", "fd"};

    for (int m = 0; m < 2; m++) {
        for (int i = 0; i < results->section_count; i++) {
            if (strcmp(results->sections[i].measure.metric, metrics[m]) == 0) {
                return &results->sections[i];
            }
        }
    }
    return results->section_count ? results->sections : NULL;
}
