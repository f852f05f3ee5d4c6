/* Numbers that papers published: experiments/published.yaml as sections of results. */
#include "harness/results/published.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/config/schema.h"
#include "harness/results/parts.h"
#include "kernels/base/file.h"

/* --- the keys of the file --- */

#define STEPS_MAX 16

struct file {
    const struct fs_node *published;
};

struct setting {
    char name[64], title[128], dataset[64], model[32], metric[32], source[256];
    int64_t samples;
    int steps[STEPS_MAX], step_count;
    const struct fs_node *rows;
};

struct row {
    char method[64], label[64], confirmed_in[128];
    double values[STEPS_MAX];
    int outside[STEPS_MAX], confirmed[STEPS_MAX]; /* among the setting's steps */
    int value_count, outside_count, confirmed_count;
};

#define FIELD(type, member) .offset = offsetof(struct type, member), .size = sizeof(((struct type *)NULL)->member)
#define TEXT(type, member)                                                                                             \
    {                                                                                                                  \
        .name = #member, .kind = FS_KEY_TEXT, FIELD(type, member)                                                      \
    }
#define OPTIONAL_TEXT(type, member)                                                                                    \
    {                                                                                                                  \
        .name = #member, .kind = FS_KEY_TEXT, FIELD(type, member), .fallback_text = ""                                 \
    }
#define STEPS(type, member, count, otherwise)                                                                          \
    {                                                                                                                  \
        .name = #member, .kind = FS_KEY_WHOLES, FIELD(type, member), .count_offset = offsetof(struct type, count),     \
        .fallback_text = otherwise, .fallback = NAN, .minimum = 1, .maximum = 1e9                                      \
    }

static const struct fs_key file_keys[] = {
    {.name = "published", .kind = FS_KEY_NODES, FIELD(file, published)},
};
static const struct fs_key setting_keys[] = {
    TEXT(setting, name),
    TEXT(setting, title),
    TEXT(setting, dataset),
    TEXT(setting, model),
    TEXT(setting, metric),
    TEXT(setting, source),
    {.name = "samples", .kind = FS_KEY_WHOLE, FIELD(setting, samples), .fallback = NAN, .minimum = 1, .maximum = 1e9},
    STEPS(setting, steps, step_count, NULL),
    {.name = "rows", .kind = FS_KEY_NODES, FIELD(setting, rows)},
};
static const struct fs_key row_keys[] = {
    TEXT(row, method),
    OPTIONAL_TEXT(row, label),
    OPTIONAL_TEXT(row, confirmed_in),
    {.name = "values",
     .kind = FS_KEY_REALS,
     FIELD(row, values),
     .count_offset = offsetof(struct row, value_count),
     .fallback = NAN,
     .above_minimum = true,
     .maximum = 1e9},
    STEPS(row, outside, outside_count, "[]"),
    STEPS(row, confirmed, confirmed_count, "[]"),
};
#define SCHEMA(list) (&(const struct fs_schema){list, sizeof(list) / sizeof((list)[0])})

/* --- reading --- */

static bool contains(const int *list, int count, int steps)
{
    for (int i = 0; i < count; i++) {
        if (list[i] == steps) {
            return true;
        }
    }
    return false;
}

/* Beyond what each key says for itself. */
static fs_status check_row(const struct fs_node *node, const struct setting *setting, const struct row *row,
                           struct fs_error *error)
{
    if (row->value_count != setting->step_count) {
        return fs_fail_at(error, node->place, fs_node_find(node, "values")->line, "values",
                          "%d numbers for %d step counts", row->value_count, setting->step_count);
    }
    for (int i = 0; i < row->outside_count; i++) {
        if (!contains(setting->steps, setting->step_count, row->outside[i])) {
            return fs_fail_at(error, node->place, node->line, "outside", "%d is not among the setting's steps",
                              row->outside[i]);
        }
    }
    for (int i = 0; i < row->confirmed_count; i++) {
        if (!contains(setting->steps, setting->step_count, row->confirmed[i])) {
            return fs_fail_at(error, node->place, node->line, "confirmed", "%d is not among the setting's steps",
                              row->confirmed[i]);
        }
    }
    return (row->confirmed_count > 0) == (row->confirmed_in[0] != 0)
               ? FS_OK
               : fs_fail_at(error, node->place, node->line, "confirmed",
                            "needs confirmed_in, which says where, and vice versa");
}

static fs_status read_row(const struct fs_node *node, const struct setting *setting, struct fs_results *published,
                          struct fs_result_section *section, struct fs_error *error)
{
    struct row row = {0};
    struct fs_result_row *added;

    FS_TRY(fs_schema_read(SCHEMA(row_keys), node, &row, error));
    FS_TRY(check_row(node, setting, &row, error));
    for (int i = 0; i < section->row_count; i++) {
        if (strcmp(section->rows[i].method, row.method) == 0) {
            return fs_fail_at(error, node->place, node->line, "method", "%s stands here a second time", row.method);
        }
    }
    const struct fs_result_row training = {
        .method = row.method, .label = "", .train_hash = "", .data_sha256 = "", .config = ""};
    FS_TRY(fs_results_row(published, section, &training, &added, error));
    added->confirmed_in = fs_results_keep(published, row.confirmed_in, error);
    added->name = row.label[0] ? fs_results_keep(published, row.label, error) : added->method_label;
    if (!added->confirmed_in || !added->name) {
        return FS_FAILED;
    }
    for (int i = 0; i < row.value_count; i++) {
        const int steps = setting->steps[i];
        FS_TRY(fs_grow((void **)&added->cells, added->cell_count, sizeof(*added->cells), error));
        added->cells[added->cell_count++] = (struct fs_result_cell){
            .origin = FS_CELL_PUBLISHED,
            .use = contains(row.outside, row.outside_count, steps) ? FS_CELL_OUTSIDE : FS_CELL_INSIDE,
            .confirmed = contains(row.confirmed, row.confirmed_count, steps),
            .steps = steps,
            .mean = row.values[i],
            .error = (double)NAN,
            .low = (double)NAN,
            .high = (double)NAN,
        };
    }
    return FS_OK;
}

static fs_status read_setting(const struct fs_node *node, struct fs_results *published, struct fs_error *error)
{
    struct setting setting = {0};
    struct fs_result_section *section;

    FS_TRY(fs_schema_read(SCHEMA(setting_keys), node, &setting, error));
    for (int i = 0; i < published->section_count; i++) {
        if (strcmp(published->sections[i].name, setting.name) == 0) {
            return fs_fail_at(error, node->place, node->line, "name", "%s stands here a second time", setting.name);
        }
    }
    FS_TRY(fs_results_add_section(published,
                                  &(struct fs_measure){.dataset = setting.dataset,
                                                       .model = setting.model,
                                                       .extractor = "",
                                                       .tap = "",
                                                       .metric = setting.metric,
                                                       .reference = "",
                                                       .weights = "",
                                                       .resize = "",
                                                       .samples = setting.samples},
                                  &section, error));
    section->name = fs_results_keep(published, setting.name, error);
    section->title = fs_results_keep(published, setting.title, error);
    section->source = fs_results_keep(published, setting.source, error);
    for (int i = 0; i < setting.step_count; i++) {
        section->steps[section->step_count++] = setting.steps[i];
    }
    for (const struct fs_node *row = setting.rows->first; row; row = row->next) {
        FS_TRY(read_row(row, &setting, published, section, error));
    }
    return section->name && section->title && section->source ? FS_OK : FS_FAILED;
}

static fs_status read_settings(const struct fs_node *root, struct fs_results *published, struct fs_error *error)
{
    struct file file;

    FS_TRY(fs_schema_read(SCHEMA(file_keys), root, &file, error));
    for (const struct fs_node *setting = file.published->first; setting; setting = setting->next) {
        FS_TRY(read_setting(setting, published, error));
    }
    return FS_OK;
}

bool fs_published_file(char path[FS_PATH_ROOM])
{
    struct fs_error ignored; /* the name has room */
    if (access(FS_PUBLISHED_FILE, R_OK) == 0) {
        return fs_path(path, &ignored, "%s", FS_PUBLISHED_FILE) == FS_OK;
    }
    return fs_program_file(FS_PUBLISHED_FILE, path);
}

fs_status fs_published_read(const char *path, struct fs_results *published, struct fs_error *error)
{
    struct fs_document document = {0};
    struct fs_node *root;
    char *text;
    size_t size;

    *published = (struct fs_results){0};
    FS_TRY(fs_file_read(path, FS_YAML_BYTES_MAX, &text, &size, error));
    fs_status status = fs_yaml_parse(&document, path, true, text, size, &root, error);
    status = status == FS_OK ? read_settings(root, published, error) : status;
    fs_document_free(&document);
    free(text);
    return status;
}

/* --- finding --- */

fs_status fs_published_find(const struct fs_results *published, const char *name,
                            const struct fs_result_section **setting, struct fs_error *error)
{
    char names[512] = "";
    size_t length = 0;

    for (int i = 0; i < published->section_count; i++) {
        *setting = &published->sections[i];
        if (strcmp((*setting)->name, name) == 0) {
            return FS_OK;
        }
        if (length < sizeof(names)) {
            length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s", i ? ", " : "", (*setting)->name);
        }
    }
    *setting = NULL;
    return fs_fail(error, FS_USAGE, "--published: there is no setting '%s' in " FS_PUBLISHED_FILE "; there are: %s",
                   name, names);
}

const struct fs_result_section *fs_published_for(const struct fs_results *published, const struct fs_measure *measure)
{
    for (int i = 0; i < published->section_count; i++) {
        const struct fs_measure *its = &published->sections[i].measure;
        if (strcmp(its->dataset, measure->dataset) == 0 && strcmp(its->model, measure->model) == 0 &&
            strcmp(its->metric, measure->metric) == 0) {
            return &published->sections[i];
        }
    }
    return NULL;
}
