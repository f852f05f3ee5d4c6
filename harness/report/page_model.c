/* What the page shows, read from the database. */
#include "harness/report/page_model.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/store/query.h"
#include "harness/text/number.h"
#include "kernels/base/memory.h"

/* --- numbers --- */

fs_status fs_page_add_number(struct fs_page *page, const struct fs_result_section *section,
                             const struct fs_result_cell *cell, const char *what, int *number, struct fs_error *error)
{
    if (page->number_count == page->number_capacity) {
        const int capacity = page->number_capacity ? 2 * page->number_capacity : 64;
        struct fs_page_number *grown = realloc(page->numbers, (size_t)capacity * sizeof(*grown));
        if (!grown) {
            return fs_fail(error, FS_FAILED, "no memory for the numbers of a page");
        }
        page->numbers = grown;
        page->number_capacity = capacity;
    }
    struct fs_page_number *added = &page->numbers[page->number_count];
    *added = (struct fs_page_number){.section = section, .cell = cell};
    snprintf(added->what, sizeof(added->what), "%s", what);
    *number = ++page->number_count;
    return FS_OK;
}

int fs_page_place(const struct fs_page *page, const struct fs_result_cell *cell)
{
    int place = 0;

    while (page->numbers[place].cell != cell) {
        place++;
    }
    return place + 1;
}

void fs_page_value(const struct fs_result_cell *cell, char text[FS_PAGE_VALUE])
{
    char mean[FS_NUMBER_TEXT], deviation[FS_NUMBER_TEXT];
    const char *open = cell->use == FS_CELL_OUTSIDE ? "(" : "", *close = *open ? ")" : "";

    fs_three_digits(cell->mean, mean);
    fs_three_digits(cell->error, deviation);
    if (cell->seeds == 1) {
        snprintf(text, FS_PAGE_VALUE, "%s%s%s", open, mean, close);
    } else {
        snprintf(text, FS_PAGE_VALUE, "%s%s ± %s%s", open, mean, deviation, close);
    }
}

fs_status fs_page_missing(struct fs_page *page, char *line, struct fs_error *error)
{
    char *longer = line ? fs_format(error, "%s%s\n", page->notes ? page->notes : "", line) : NULL;

    if (longer) {
        fs_html(page->out, "<p class=missing>%s</p>\n", line);
        free(page->notes);
        page->notes = longer;
    }
    free(line);
    return longer ? FS_OK : FS_FAILED;
}

/* --- names --- */

const struct fs_result_section *fs_page_section(const struct fs_page_experiment *experiment, int place)
{
    const struct fs_result_section *first = fs_results_main(&experiment->results), *all = experiment->results.sections;

    return place == 0 ? first : place <= first - all ? &all[place - 1] : &all[place];
}

int fs_page_measure(const struct fs_page *page, const struct fs_result_section *section)
{
    for (int i = 0; i < page->experiment_count; i++) {
        const struct fs_page_experiment *experiment = &page->experiments[i];
        for (int k = 0; k < experiment->results.section_count; k++) {
            if (&experiment->results.sections[k] == section) {
                return experiment->measures_before + k + 1;
            }
        }
    }
    return 0;
}

const char *fs_page_title(const struct fs_result_section *section, char text[FS_PAGE_WHAT])
{
    snprintf(text, FS_PAGE_WHAT, "%s%s%s", section->one_method ? section->rows->method_label : "",
             section->one_method ? ": " : "", section->about);
    return text;
}

const char *fs_page_label(const struct fs_result_row *row, char text[FS_PAGE_NAME])
{
    snprintf(text, FS_PAGE_NAME, "%s%s%s", row->name, row->apart[0] ? ", " : "", row->apart);
    return text;
}

const char *fs_page_name(const struct fs_result_section *section, const struct fs_result_row *row,
                         char text[FS_PAGE_NAME])
{
    if (section->one_method && row->apart[0] && !row->label[0]) {
        snprintf(text, FS_PAGE_NAME, "%s", row->apart);
        return text;
    }
    return fs_page_label(row, text);
}

/* --- reading --- */

static fs_status add_row(struct fs_page *page, const struct fs_result_section *section, const struct fs_result_row *row,
                         struct fs_error *error)
{
    char what[FS_PAGE_WHAT], label[FS_PAGE_NAME];
    int number;

    for (int c = 0; c < row->cell_count; c++) {
        snprintf(what, sizeof(what), "%s, %" PRId64 " step%s", fs_page_label(row, label), row->cells[c].steps,
                 row->cells[c].steps == 1 ? "" : "s");
        FS_TRY(fs_page_add_number(page, section, &row->cells[c], what, &number, error));
    }
    return FS_OK;
}

static fs_status add_numbers(struct fs_page *page, const struct fs_result_section *section, struct fs_error *error)
{
    char what[FS_PAGE_WHAT];
    int number;

    for (int r = 0; r < section->row_count; r++) {
        FS_TRY(add_row(page, section, &section->rows[r], error));
    }
    for (int r = 0; r < section->exact_count; r++) {
        FS_TRY(add_row(page, section, &section->exact[r], error));
    }
    snprintf(what, sizeof(what), "data: %s split", section->data_split);
    return section->data ? fs_page_add_number(page, section, section->data, what, &number, error) : FS_OK;
}

static fs_status read_experiment(struct fs_page *page, const char *name, struct fs_page_experiment *experiment,
                                 struct fs_error *error)
{
    struct fs_experiment_name found;

    FS_TRY(fs_experiment_find(page->store, name, &found, error));
    FS_TRY(fs_results_read(page->store, &found, NULL, FS_LAST_SCORE, &experiment->results, error));
    FS_TRY(fs_results_read(page->store, &found, NULL, FS_EVERY_UPDATE, &experiment->updates, error));
    FS_TRY(fs_results_read(page->store, &found, NULL, FS_EVERY_SOURCE, &experiment->sources, error));
    for (int i = 0; i < experiment->results.section_count; i++) {
        FS_TRY(add_numbers(page, &experiment->results.sections[i], error));
    }
    return FS_OK;
}

static fs_status read_next(struct fs_page *page, const char *name, int capacity, struct fs_error *error)
{
    const int place = page->experiment_count;

    if (place == capacity) { /* written to meanwhile */
        return FS_OK;
    }
    page->experiment_count++;
    if (place > 0) {
        const struct fs_page_experiment *last = &page->experiments[place - 1];
        page->experiments[place].measures_before = last->measures_before + last->results.section_count;
    }
    return read_experiment(page, name, &page->experiments[place], error);
}

/* All experiments, in the order in which the database met them. */
static fs_status read_all(struct fs_page *page, int count, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    FS_TRY(fs_query_open(fs_store_handle(page->store), &query, error,
                         "SELECT name FROM experiments GROUP BY name ORDER BY max(used) DESC, min(id)", ""));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        status = read_next(page, fs_query_text(query, 0), count, error);
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_page_read(struct fs_page *page, struct fs_error *error)
{
    const struct fs_page_options *options = page->options;
    struct fs_experiment_name any;
    int64_t count = options->experiment_count;

    if (count == 0) {
        FS_TRY(fs_experiment_find(page->store, NULL, &any, error)); /* says what to do where there is none */
        FS_TRY(fs_query_whole(fs_store_handle(page->store), &count, 0, error,
                              "SELECT count(DISTINCT name) FROM experiments", ""));
    }
    page->experiments = fs_allocate((size_t)count, sizeof(*page->experiments), "the experiments", error);
    if (!page->experiments) {
        return FS_FAILED;
    }
    if (options->experiment_count == 0) {
        return read_all(page, (int)count, error);
    }
    for (int i = 0; i < options->experiment_count; i++) {
        FS_TRY(read_next(page, options->experiments[i], (int)count, error));
    }
    return FS_OK;
}

void fs_page_free(struct fs_page *page)
{
    for (int i = 0; i < page->experiment_count; i++) {
        fs_results_free(&page->experiments[i].results);
        fs_results_free(&page->experiments[i].updates);
        fs_results_free(&page->experiments[i].sources);
    }
    free(page->experiments);
    free(page->numbers);
    free(page->of_one_source);
    page->of_one_source = NULL;
    page->experiments = NULL;
    page->numbers = NULL;
}
