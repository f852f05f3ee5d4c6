/* What the page shows, read from the database. */
#include "harness/report/page_model.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/text/number.h"
#include "kernels/base/memory.h"

/* --- numbers --- */

fs_status fs_page_add_number(struct fs_page *page, struct fs_stretch scores, int measure, const char *what, int *number,
                             struct fs_error *error)
{
    double deviation;
    bool known;

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
    *added = (struct fs_page_number){.scores = scores, .measure = measure};
    snprintf(added->what, sizeof(added->what), "%s", what);
    fs_mean_and_error(scores, &added->mean, &deviation);
    added->low = scores.count > 1 ? added->mean - deviation : scores.first->low;
    added->high = scores.count > 1 ? added->mean + deviation : scores.first->high;
    if (scores.first->text[FS_TEXT_RUN][0]) {
        added->outside = fs_outside_training(scores.first, &known);
        added->unreadable = !known;
    }
    *number = ++page->number_count;
    return FS_OK;
}

const struct fs_page_number *fs_page_number(const struct fs_page *page, int number)
{
    return &page->numbers[number - 1];
}

void fs_page_value(const struct fs_page_number *number, char text[FS_PAGE_VALUE])
{
    char mean[FS_NUMBER_TEXT], deviation[FS_NUMBER_TEXT];
    const char *open = number->outside ? "(" : "", *close = number->outside ? ")" : "";

    fs_three_digits(number->mean, mean);
    if (number->scores.count == 1) {
        snprintf(text, FS_PAGE_VALUE, "%s%s%s", open, mean, close);
    } else {
        fs_three_digits(number->high - number->mean, deviation);
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

/* --- sections --- */

static bool of_one_method(struct fs_stretch scores)
{
    for (int i = 1; i < scores.count; i++) {
        if (strcmp(scores.first[i].text[FS_TEXT_METHOD], scores.first->text[FS_TEXT_METHOD]) != 0) {
            return false;
        }
    }
    return true;
}

static void name_row(struct fs_page_row *row, const char *ablated, bool one_method)
{
    const char *method = fs_method_label(row->scores.first->text[FS_TEXT_METHOD]), *dot = strrchr(ablated, '.');
    char value[48], own[116];

    if (*ablated) {
        fs_ablated_value(row->scores.first, ablated, value, sizeof(value));
        snprintf(own, sizeof(own), "%s %s", dot ? dot + 1 : ablated, value);
        snprintf(row->label, sizeof(row->label), "%s, %s", method, own);
    } else {
        snprintf(row->label, sizeof(row->label), "%s", method);
    }
    snprintf(row->name, sizeof(row->name), "%s", *ablated && one_method ? own : row->label);
}

static fs_status read_row(struct fs_page *page, struct fs_page_section *section, struct fs_page_row *row,
                          struct fs_error *error)
{
    char what[320];
    struct fs_stretch cell;

    for (int at = 0; fs_next_stretch(row->scores, &at, fs_same_cell, &cell);) {
        snprintf(what, sizeof(what), "%s, %" PRId64 " step%s", row->label, cell.first->steps,
                 cell.first->steps == 1 ? "" : "s");
        for (int i = 0; i < section->step_count; i++) {
            if (section->steps[i] == cell.first->steps) {
                FS_TRY(fs_page_add_number(page, cell, section->measure, what, &row->numbers[i], error));
            }
        }
    }
    return FS_OK;
}

static fs_status read_section(struct fs_page *page, const struct fs_page_experiment *experiment,
                              struct fs_page_section *section, struct fs_error *error)
{
    struct fs_stretch row;
    char what[320];

    section->measure = ++page->measure_count;
    section->step_count = fs_collect_steps(section->scores, section->steps);
    const bool one_method = of_one_method(section->scores);
    char about[512];
    fs_section_title(section->scores.first, about, sizeof(about));
    snprintf(section->title, sizeof(section->title), "%s%s%s",
             one_method ? fs_method_label(section->scores.first->text[FS_TEXT_METHOD]) : "", one_method ? ": " : "",
             about);
    fs_metric_label(section->scores.first, section->metric, sizeof(section->metric));
    for (int at = 0; fs_next_stretch(section->scores, &at, fs_same_row, &row);) {
        section->row_count++;
    }
    section->rows = fs_allocate((size_t)section->row_count, sizeof(*section->rows), "a table", error);
    if (!section->rows) {
        return FS_FAILED;
    }
    for (int at = 0, i = 0; fs_next_stretch(section->scores, &at, fs_same_row, &row); i++) {
        section->rows[i].scores = row;
        name_row(&section->rows[i], experiment->name.ablated, one_method);
        FS_TRY(read_row(page, section, &section->rows[i], error));
    }
    section->floor = fs_find_floor(&experiment->scores, section->scores.first);
    if (!section->floor) {
        return FS_OK;
    }
    snprintf(what, sizeof(what), "data: %s split", fs_split_name(section->floor));
    return fs_page_add_number(page, (struct fs_stretch){section->floor, 1}, section->measure, what,
                              &section->floor_number, error);
}

/* The section that is shown in full: FID where there is one, else FD, else the first. It is put before the others. */
static void choose_main_section(struct fs_page_experiment *experiment)
{
    static const char *const metrics[] = {"fid", "fd"};

    for (int m = 0; m < 2; m++) {
        for (int i = 0; i < experiment->section_count; i++) {
            if (strcmp(experiment->sections[i].scores.first->text[FS_TEXT_METRIC], metrics[m]) == 0) {
                const struct fs_page_section chosen = experiment->sections[i];
                memmove(&experiment->sections[1], experiment->sections, (size_t)i * sizeof(chosen));
                experiment->sections[0] = chosen;
                return;
            }
        }
    }
}

static fs_status read_experiment(struct fs_page *page, const char *name, struct fs_page_experiment *experiment,
                                 struct fs_error *error)
{
    struct fs_stretch part;

    FS_TRY(fs_experiment_find(page->store, name, &experiment->name, error));
    const int64_t id = experiment->name.id;
    FS_TRY(fs_table_scores_read(page->store, id, NULL, &experiment->scores, error));
    FS_TRY(fs_table_scores_history(page->store, id, FS_EVERY_UPDATE, &experiment->updates, error));
    FS_TRY(fs_table_scores_history(page->store, id, FS_EVERY_SOURCE, &experiment->sources, error));
    const struct fs_stretch all = {experiment->scores.runs, experiment->scores.run_count};
    for (int at = 0; all.count && fs_next_stretch(all, &at, fs_same_section, &part);) {
        experiment->section_count++;
    }
    experiment->sections =
        fs_allocate((size_t)experiment->section_count, sizeof(*experiment->sections), "the tables", error);
    if (!experiment->sections) {
        experiment->section_count = 0;
        return FS_FAILED;
    }
    for (int at = 0, i = 0; i < experiment->section_count && fs_next_stretch(all, &at, fs_same_section, &part); i++) {
        experiment->sections[i].scores = part;
        FS_TRY(read_section(page, experiment, &experiment->sections[i], error));
    }
    choose_main_section(experiment);
    return FS_OK;
}

/* The names of all experiments, in the order in which the database met them. */
static fs_status read_names(struct fs_store *store, json_t **names, struct fs_error *error)
{
    struct fs_experiment_name any;

    FS_TRY(fs_experiment_find(store, NULL, &any, error)); /* says what to do where there is none */
    return fs_rows_json(store, names, error,
                        "SELECT name FROM experiments GROUP BY name ORDER BY max(used) DESC, min(id)", "", NULL);
}

fs_status fs_page_read(struct fs_page *page, struct fs_error *error)
{
    const struct fs_page_options *options = page->options;
    json_t *names = NULL;
    fs_status status = FS_OK;

    if (options->experiment_count == 0) {
        FS_TRY(read_names(page->store, &names, error));
    }
    const int count = names ? (int)json_array_size(names) : options->experiment_count;
    page->experiments = fs_allocate((size_t)count, sizeof(*page->experiments), "the experiments", error);
    status = page->experiments ? FS_OK : FS_FAILED;
    for (int i = 0; status == FS_OK && i < count; i++) {
        page->experiment_count++;
        status = read_experiment(page,
                                 names ? json_string_value(json_object_get(json_array_get(names, (size_t)i), "name"))
                                       : options->experiments[i],
                                 &page->experiments[i], error);
    }
    json_decref(names);
    return status;
}

void fs_page_free(struct fs_page *page)
{
    for (int i = 0; i < page->experiment_count; i++) {
        struct fs_page_experiment *experiment = &page->experiments[i];
        for (int k = 0; k < experiment->section_count; k++) {
            free(experiment->sections[k].rows);
        }
        free(experiment->sections);
        fs_table_scores_free(&experiment->scores);
        fs_table_scores_free(&experiment->updates);
        fs_table_scores_free(&experiment->sources);
    }
    free(page->experiments);
    free(page->numbers);
    page->experiments = NULL;
    page->numbers = NULL;
}
