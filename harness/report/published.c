/* Numbers that papers published: experiments/published.yaml read, and printed as a table. */
#include "harness/report/published.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "harness/config/yaml.h"
#include "harness/report/grid.h"
#include "harness/report/latex.h"
#include "harness/text/number.h"
#include "harness/report/table_cells.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define NOT_CONFIRMED "†"

/* --- reading --- */

struct text_key {
    const char *name;
    size_t offset, size;
    bool required;
};

#define TEXT_KEY(type, member, required)                                                                               \
    {                                                                                                                  \
#member, offsetof(struct type, member), sizeof(((struct type *)0)->member), required                           \
    }

static const struct text_key setting_texts[] = {
    TEXT_KEY(fs_published_setting, name, true),    TEXT_KEY(fs_published_setting, title, true),
    TEXT_KEY(fs_published_setting, dataset, true), TEXT_KEY(fs_published_setting, model, true),
    TEXT_KEY(fs_published_setting, metric, true),  TEXT_KEY(fs_published_setting, source, true),
};
static const struct text_key row_texts[] = {
    TEXT_KEY(fs_published_row, method, true),
    TEXT_KEY(fs_published_row, label, false),
    TEXT_KEY(fs_published_row, confirmed_in, false),
};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static fs_status refuse(const struct fs_node *node, const char *what, struct fs_error *error)
{
    char description[FS_DESCRIPTION];

    return fs_fail_at(error, node->place, node->line, node->key ? node->key : "", "expected %s, got %s", what,
                      fs_node_describe(node, description));
}

static fs_status read_text(const struct fs_node *node, char *text, size_t size, struct fs_error *error)
{
    if (node->kind != FS_NODE_SCALAR || !node->text[0]) {
        return refuse(node, "a text", error);
    }
    if (strlen(node->text) >= size) {
        return fs_fail_at(error, node->place, node->line, node->key, "longer than %zu bytes", size - 1);
    }
    snprintf(text, size, "%s", node->text);
    return FS_OK;
}

static fs_status read_number(const struct fs_node *node, bool whole, double *value, struct fs_error *error)
{
    char *end;

    if (node->kind != FS_NODE_SCALAR || node->quoted) {
        return refuse(node, whole ? "a whole number ≥ 1" : "a number > 0", error);
    }
    *value = strtod(node->text, &end);
    return end == node->text || *end || !isfinite(*value) || *value <= 0 || *value > 1e9 ||
                   (whole && *value != floor(*value))
               ? refuse(node, whole ? "a whole number ≥ 1" : "a number > 0", error)
               : FS_OK;
}

/* Reads the texts of a map, and refuses keys that are neither those nor among `others` ("steps values"). */
static fs_status read_texts(const struct fs_node *map, const struct text_key *keys, size_t count, const char *others,
                            void *into, struct fs_error *error)
{
    if (map->kind != FS_NODE_MAP) {
        return refuse(map, "a map of keys", error);
    }
    for (const struct fs_node *node = map->first; node; node = node->next) {
        const struct text_key *key = NULL;
        char word[64];
        for (size_t i = 0; i < count; i++) {
            key = strcmp(keys[i].name, node->key) == 0 ? &keys[i] : key;
        }
        snprintf(word, sizeof(word), " %.60s ", node->key);
        if (key) {
            FS_TRY(read_text(node, (char *)into + key->offset, key->size, error));
        } else if (!strstr(others, word)) {
            return fs_fail_at(error, node->place, node->key_line, node->key, "unknown key; there are: %s", others);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (keys[i].required && !((char *)into + keys[i].offset)[0]) {
            return fs_fail_at(error, map->place, map->line, keys[i].name, "is missing");
        }
    }
    return FS_OK;
}

static const struct fs_node *child(const struct fs_node *map, const char *key)
{
    return fs_node_child(map, key, strlen(key));
}

/* A list of at most FS_PUBLISHED_STEPS numbers, which must be there. */
static fs_status read_numbers(const struct fs_node *map, const char *key, bool whole, double *values, int *count,
                              struct fs_error *error)
{
    const struct fs_node *list = child(map, key);

    *count = 0;
    if (!list) {
        return fs_fail_at(error, map->place, map->line, key, "is missing");
    }
    if (list->kind != FS_NODE_LIST) {
        return refuse(list, "a list of numbers", error);
    }
    for (const struct fs_node *item = list->first; item; item = item->next) {
        if (*count == FS_PUBLISHED_STEPS) {
            return fs_fail_at(error, item->place, item->line, key, "more than %d numbers", FS_PUBLISHED_STEPS);
        }
        FS_TRY(read_number(item, whole, &values[(*count)++], error));
    }
    return FS_OK;
}

/* "outside: [128, 4]": which of the setting's step counts are in the list. */
static fs_status read_flags(const struct fs_node *map, const char *key, const struct fs_published_setting *setting,
                            bool *flags, struct fs_error *error)
{
    const struct fs_node *list = child(map, key);
    double values[FS_PUBLISHED_STEPS];
    int count;

    if (!list) {
        return FS_OK;
    }
    FS_TRY(read_numbers(map, key, true, values, &count, error));
    for (int i = 0; i < count; i++) {
        int at = 0;
        while (at < setting->step_count && setting->steps[at] != (int)values[i]) {
            at++;
        }
        if (at == setting->step_count) {
            return fs_fail_at(error, list->place, list->line, key, "%g is not among the setting's steps", values[i]);
        }
        flags[at] = true;
    }
    return FS_OK;
}

static fs_status read_row(const struct fs_node *map, const struct fs_published_setting *setting,
                          struct fs_published_row *row, struct fs_error *error)
{
    int count;
    bool any = false;

    FS_TRY(read_texts(map, row_texts, COUNT(row_texts), " method label values outside confirmed confirmed_in ", row,
                      error));
    FS_TRY(read_numbers(map, "values", false, row->values, &count, error));
    if (count != setting->step_count) {
        return fs_fail_at(error, map->place, child(map, "values")->line, "values", "%d numbers for %d step counts",
                          count, setting->step_count);
    }
    FS_TRY(read_flags(map, "outside", setting, row->outside, error));
    FS_TRY(read_flags(map, "confirmed", setting, row->confirmed, error));
    for (int i = 0; i < count; i++) {
        any = any || row->confirmed[i];
    }
    if (any != (row->confirmed_in[0] != 0)) {
        return fs_fail_at(error, map->place, map->line, "confirmed",
                          "needs confirmed_in, which says where, and vice versa");
    }
    if (!row->label[0]) {
        snprintf(row->label, sizeof(row->label), "%s", fs_method_label(row->method));
    }
    return FS_OK;
}

static int count_children(const struct fs_node *node)
{
    int count = 0;

    for (const struct fs_node *item = node->first; item; item = item->next) {
        count++;
    }
    return count;
}

static fs_status read_rows(const struct fs_node *map, struct fs_published_setting *setting, struct fs_error *error)
{
    const struct fs_node *list = child(map, "rows");

    if (!list) {
        return fs_fail_at(error, map->place, map->line, "rows", "is missing");
    }
    if (list->kind != FS_NODE_LIST || !list->first) {
        return refuse(list, "a list of rows", error);
    }
    setting->rows = fs_allocate((size_t)count_children(list), sizeof(*setting->rows), "published numbers", error);
    if (!setting->rows) {
        return FS_FAILED;
    }
    for (const struct fs_node *item = list->first; item; item = item->next) {
        struct fs_published_row *row = &setting->rows[setting->row_count];
        FS_TRY(read_row(item, setting, row, error));
        for (int i = 0; i < setting->row_count; i++) {
            if (strcmp(setting->rows[i].method, row->method) == 0) {
                return fs_fail_at(error, item->place, item->line, "method", "%s stands here a second time",
                                  row->method);
            }
        }
        setting->row_count++;
    }
    return FS_OK;
}

static fs_status read_setting(const struct fs_node *map, struct fs_published_setting *setting, struct fs_error *error)
{
    double values[FS_PUBLISHED_STEPS] = {0}, samples = 0;

    FS_TRY(read_texts(map, setting_texts, COUNT(setting_texts),
                      " name title dataset model metric source samples steps rows ", setting, error));
    if (!child(map, "samples")) {
        return fs_fail_at(error, map->place, map->line, "samples", "is missing");
    }
    FS_TRY(read_number(child(map, "samples"), true, &samples, error));
    setting->samples = (int64_t)samples;
    FS_TRY(read_numbers(map, "steps", true, values, &setting->step_count, error));
    for (int i = 0; i < setting->step_count; i++) {
        setting->steps[i] = (int)values[i];
        for (int k = 0; k < i; k++) {
            if (setting->steps[k] == setting->steps[i]) {
                return fs_fail_at(error, map->place, child(map, "steps")->line, "steps", "%d stands here a second time",
                                  setting->steps[i]);
            }
        }
    }
    if (setting->step_count == 0) {
        return fs_fail_at(error, map->place, child(map, "steps")->line, "steps", "expected at least one");
    }
    return read_rows(map, setting, error);
}

static fs_status read_settings(const struct fs_node *root, struct fs_published *published, struct fs_error *error)
{
    const struct fs_node *list = root->kind == FS_NODE_MAP ? child(root, "published") : NULL;

    if (!list || root->first->next || list->kind != FS_NODE_LIST || !list->first) {
        return fs_fail_at(error, root->place, root->line, "", "expected one key, published, with a list of settings");
    }
    published->settings =
        fs_allocate((size_t)count_children(list), sizeof(*published->settings), "published numbers", error);
    if (!published->settings) {
        return FS_FAILED;
    }
    for (const struct fs_node *item = list->first; item; item = item->next) {
        FS_TRY(read_setting(item, &published->settings[published->count++], error));
    }
    for (int i = 1; i < published->count; i++) {
        for (int k = 0; k < i; k++) {
            if (strcmp(published->settings[i].name, published->settings[k].name) == 0) {
                return fs_fail_at(error, root->place, root->line, "name", "%s stands here a second time",
                                  published->settings[i].name);
            }
        }
    }
    return FS_OK;
}

fs_status fs_published_read(const char *path, struct fs_published *published, struct fs_error *error)
{
    struct fs_document document = {0};
    struct fs_node *root;
    char *text;
    size_t size;

    *published = (struct fs_published){0};
    FS_TRY(fs_file_read(path, FS_YAML_BYTES_MAX, &text, &size, error));
    fs_status status = fs_yaml_parse(&document, path, true, text, size, &root, error);
    if (status == FS_OK) {
        status = read_settings(root, published, error);
    }
    fs_document_free(&document);
    free(text);
    return status;
}

void fs_published_free(struct fs_published *published)
{
    for (int i = 0; i < published->count; i++) {
        free(published->settings[i].rows);
    }
    free(published->settings);
    *published = (struct fs_published){0};
}

/* --- finding --- */

fs_status fs_published_find(const struct fs_published *published, const char *name,
                            const struct fs_published_setting **setting, struct fs_error *error)
{
    char names[512] = "";
    size_t length = 0;

    for (int i = 0; i < published->count; i++) {
        *setting = &published->settings[i];
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

const struct fs_published_setting *fs_published_for(const struct fs_published *published, const char *dataset,
                                                    const char *model, const char *metric)
{
    for (int i = 0; i < published->count; i++) {
        const struct fs_published_setting *setting = &published->settings[i];
        if (strcmp(setting->dataset, dataset) == 0 && strcmp(setting->model, model) == 0 &&
            strcmp(setting->metric, metric) == 0) {
            return setting;
        }
    }
    return NULL;
}

/* --- printing --- */

static bool all_confirmed(const struct fs_published_setting *setting)
{
    for (int r = 0; r < setting->row_count; r++) {
        for (int i = 0; i < setting->step_count; i++) {
            if (!setting->rows[r].confirmed[i]) {
                return false;
            }
        }
    }
    return true;
}

/* As papers print it: with one decimal at least. */
static void value_text(double value, char text[FS_NUMBER_TEXT])
{
    fs_shortest(value, text);
    if (!strpbrk(text, ".e")) {
        snprintf(text, FS_NUMBER_TEXT, "%.1f", value);
    }
}

static const char *metric_name(const struct fs_published_setting *setting)
{
    return strcmp(setting->metric, "fid") == 0 ? "FID" : setting->metric;
}

static fs_status fill_grid(const struct fs_published_setting *setting, struct fs_grid *grid, struct fs_error *error)
{
    FS_TRY(fs_grid_make(grid, setting->row_count + 1, setting->step_count + 1, FS_NO_VALUE, error));
    grid->left = 1;
    snprintf(fs_grid_at(grid, 0, 0), FS_GRID_TEXT, "method (published)");
    for (int i = 0; i < setting->step_count; i++) {
        snprintf(fs_grid_at(grid, 0, i + 1), FS_GRID_TEXT, "%d step%s", setting->steps[i],
                 setting->steps[i] == 1 ? "" : "s");
    }
    for (int r = 0; r < setting->row_count; r++) {
        const struct fs_published_row *row = &setting->rows[r];
        snprintf(fs_grid_at(grid, r + 1, 0), FS_GRID_TEXT, "%s", row->label);
        for (int i = 0; i < setting->step_count; i++) {
            char value[FS_NUMBER_TEXT];
            value_text(row->values[i], value);
            snprintf(fs_grid_at(grid, r + 1, i + 1), FS_GRID_TEXT, "%s%s%s%s", row->outside[i] ? "(" : "", value,
                     row->outside[i] ? ")" : "", row->confirmed[i] ? "" : NOT_CONFIRMED);
        }
    }
    FS_TRY(fs_grid_made_note(grid, fs_format(error, "from %s", setting->source), error));
    if (!all_confirmed(setting)) {
        FS_TRY(fs_grid_note(grid, NOT_CONFIRMED ": as reported, not confirmed in a second place", error));
    }
    for (int r = 0; r < setting->row_count; r++) {
        if (setting->rows[r].confirmed_in[0]) {
            FS_TRY(fs_grid_made_note(
                grid, fs_format(error, "%s: confirmed in %s", setting->rows[r].label, setting->rows[r].confirmed_in),
                error));
        }
    }
    return FS_OK;
}

static fs_status print_grid(const struct fs_published_setting *setting, bool markdown, FILE *stream,
                            struct fs_error *error)
{
    const char *strong = markdown ? "**" : "";
    struct fs_grid grid;
    const fs_status status = fill_grid(setting, &grid, error);

    if (status == FS_OK) {
        fprintf(stream, "%spublished%s: %s, %s, %s, %" PRId64 " samples\n\n", strong, strong, setting->title,
                setting->model, metric_name(setting), setting->samples);
        fs_grid_print(&grid, markdown, stream);
    }
    fs_grid_free(&grid);
    return status;
}

void fs_published_latex(const struct fs_published_setting *setting, FILE *stream)
{
    fprintf(stream, "\\begin{tabular}{l*{%d}{r}}\n\\toprule\n", setting->step_count);
    fprintf(stream, " & \\multicolumn{%d}{c}{Sampling steps} \\\\\n\\cmidrule(l){2-%d}\nMethod", setting->step_count,
            setting->step_count + 1);
    for (int i = 0; i < setting->step_count; i++) {
        fprintf(stream, " & %d", setting->steps[i]);
    }
    fputs(" \\\\\n\\midrule\n", stream);
    for (int r = 0; r < setting->row_count; r++) {
        const struct fs_published_row *row = &setting->rows[r];
        fs_latex(stream, row->label);
        for (int i = 0; i < setting->step_count; i++) {
            char value[FS_NUMBER_TEXT];
            value_text(row->values[i], value);
            fprintf(stream, " & %s%s%s%s", row->outside[i] ? "(" : "", value, row->outside[i] ? "\\rlap{)" : "\\rlap{",
                    row->confirmed[i] ? "}" : "$^\\dagger$}");
        }
        fputs(" \\\\\n", stream);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", stream);
}

static void print_latex_table(const struct fs_published_setting *setting, FILE *stream)
{
    fputs("\\begin{table}\n  \\centering\n  \\small\n  \\caption{Published numbers: ", stream);
    fs_latex(stream, setting->title);
    fputs(", ", stream);
    fs_latex(stream, setting->model);
    fprintf(stream, ", %s, %" PRId64 " samples. From ", metric_name(setting), setting->samples);
    fs_latex(stream, setting->source);
    fprintf(stream, ". In parentheses: outside what the method was trained for.%s}\n",
            all_confirmed(setting) ? "" : " $\\dagger$: as reported, not confirmed in a second place.");
    fprintf(stream, "  \\label{tab:published-%s}\n", setting->name);
    fs_published_latex(setting, stream);
    fputs("\\end{table}\n", stream);
}

static void print_csv(const struct fs_published_setting *setting, FILE *stream)
{
    for (int r = 0; r < setting->row_count; r++) {
        for (int i = 0; i < setting->step_count; i++) {
            char value[FS_NUMBER_TEXT];
            fs_shortest(setting->rows[r].values[i], value);
            fprintf(stream, "published:%s,%s,%s,%s,%d,,,%s,,%s,,%" PRId64 ",,,,,,,,,\n", setting->name,
                    setting->dataset, setting->model, setting->rows[r].method, setting->steps[i], setting->metric,
                    value, setting->samples);
        }
    }
}

fs_status fs_published_print(const struct fs_published_setting *setting, enum fs_table_format format, FILE *stream,
                             struct fs_error *error)
{
    switch (format) {
    case FS_TABLE_CSV:
        print_csv(setting, stream);
        return FS_OK;
    case FS_TABLE_LATEX:
        print_latex_table(setting, stream);
        return FS_OK;
    default:
        return print_grid(setting, format == FS_TABLE_MARKDOWN, stream, error);
    }
}
