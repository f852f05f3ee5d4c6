/* Rows in the order of the experiment's file and with its configurations, whoever made their runs, and when: a run that
 * another experiment had made already may be written otherwise (no classes, in place of one group of them). */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "harness/config/config.h"
#include "harness/results/parts.h"
#include "kernels/base/memory.h"

/* The training's run in the file; NULL: it names none. */
static const struct fs_config *find_run(const struct fs_experiment *file, const struct fs_result_row *row)
{
    for (int i = 0; i < file->run_count; i++) {
        if (strcmp(file->runs[i].train_hash, row->train_hash) == 0) {
            return &file->runs[i];
        }
    }
    return NULL;
}

/* The training's place in the file. One that it does not name, as --set makes them, stands behind its method's others,
 * and behind all where the file has not its method. */
static int place_of(const struct fs_experiment *file, const struct fs_result_row *row)
{
    const struct fs_config *run = find_run(file, row);
    int behind = INT_MAX;

    if (run) {
        return 2 * (int)(run - file->runs);
    }
    for (int i = 0; i < file->run_count; i++) {
        behind = strcmp(file->runs[i].method->name, row->method) == 0 ? 2 * i + 1 : behind;
    }
    return behind;
}

/* By insertion: rows of the same place, such as those on other data, stay as they came. */
static fs_status sort_rows(const struct fs_experiment *file, struct fs_result_section *section, struct fs_error *error)
{
    int *places = fs_allocate((size_t)section->row_count + 1, sizeof *places, "the rows' places", error);

    if (!places) {
        return FS_FAILED;
    }
    for (int r = 0; r < section->row_count; r++) {
        const struct fs_result_row row = section->rows[r];
        const int place = place_of(file, &row);
        int to = r;
        for (; to > 0 && places[to - 1] > place; to--) {
            places[to] = places[to - 1];
            section->rows[to] = section->rows[to - 1];
        }
        places[to] = place;
        section->rows[to] = row;
    }
    free(places);
    return FS_OK;
}

/* All rows or none: two ways to write the same would look like a difference between rows. */
static fs_status take_configurations(const struct fs_experiment *file, struct fs_results *results,
                                     struct fs_error *error)
{
    for (int i = 0; i < results->section_count; i++) {
        for (int r = 0; r < results->sections[i].row_count; r++) {
            if (!find_run(file, &results->sections[i].rows[r])) {
                return FS_OK;
            }
        }
    }
    for (int i = 0; i < results->section_count; i++) {
        for (int r = 0; r < results->sections[i].row_count; r++) {
            struct fs_result_row *row = &results->sections[i].rows[r];
            row->config = fs_results_keep(results, find_run(file, row)->json, error);
            FS_TRY(row->config ? FS_OK : FS_FAILED);
        }
    }
    return FS_OK;
}

fs_status fs_results_order(struct fs_store *store, struct fs_results *results, struct fs_error *error)
{
    struct fs_experiment file;
    struct fs_error ignored; /* the text may be of another version of the program */
    char *text;

    FS_TRY(fs_experiment_text(store, results->experiment.id, &text, error));
    const bool readable = fs_experiment_parse("", text, NULL, 0, NULL, 0, &file, &ignored) == FS_OK;
    free(text);
    fs_status status = FS_OK;
    for (int i = 0; readable && status == FS_OK && i < results->section_count; i++) {
        status = sort_rows(&file, &results->sections[i], error);
    }
    if (readable) {
        status = status == FS_OK ? take_configurations(&file, results, error) : status;
        fs_experiment_free(&file);
    }
    return status;
}
