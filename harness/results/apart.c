/* What sets the rows of a table apart: the keys of their configurations in which trainings of one method differ. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/config/schema.h"
#include "harness/results/parts.h"
#include "harness/text/json.h"
#include "harness/text/number.h"
#include "kernels/base/memory.h"

#define VALUE_TEXT 112
#define KEYS_MAX 64
/* Names in place of a key's, for trainings whose configurations are alike: on other data, or by another version of the
 * configuration. */
#define DATA "data"
#define TRAINING "training"

struct training {
    const struct fs_result_row *row;
    const struct fs_measure *of;
    json_t *config;
};

/* A key in which trainings differ, and the column of it: methods that have a key of the same name share one. */
struct key {
    const char *name; /* dotted */
    int column;
};

struct rows {
    struct fs_results *results;
    struct key keys[KEYS_MAX];
    int key_count;
    struct fs_schema schema;
    struct training *list; /* each training once */
    int count;
    struct fs_error *error;
};

/* --- keys --- */

/* Behind "methods.NAME."; NULL: no key of a method. */
static const char *own_name(const char *key)
{
    const char *dot = strncmp(key, "methods.", 8) == 0 ? strchr(key + 8, '.') : NULL;
    return dot ? dot + 1 : NULL;
}

static bool same_column(const char *a, const char *b)
{
    const char *left = own_name(a), *right = own_name(b);
    return left && right ? strcmp(left, right) == 0 : strcmp(a, b) == 0;
}

/* The key's column, a new one where there is none; -1: no column is left. A column that several methods share is called
 * methods.*.KEY. */
static fs_status find_column(struct rows *rows, const char *key, int *column)
{
    struct fs_results *results = rows->results;

    for (*column = 0; *column < results->varied_count; (*column)++) {
        if (same_column(results->varied[*column], key)) {
            char shared[FS_KEY_NAME];
            snprintf(shared, sizeof(shared), "methods.*.%s", own_name(key));
            results->varied[*column] = fs_results_keep(results, shared, rows->error);
            return results->varied[*column] ? FS_OK : FS_FAILED;
        }
    }
    if (*column == FS_RESULT_VARIED_MAX) {
        *column = -1;
        return FS_OK;
    }
    results->varied[*column] = fs_results_keep(results, key, rows->error);
    results->varied_count += results->varied[*column] != NULL;
    return results->varied[*column] ? FS_OK : FS_FAILED;
}

static fs_status add_key(struct rows *rows, const char *key)
{
    for (int i = 0; i < rows->key_count; i++) {
        if (strcmp(rows->keys[i].name, key) == 0) {
            return FS_OK;
        }
    }
    if (rows->key_count == KEYS_MAX) {
        return FS_OK;
    }
    struct key *next = &rows->keys[rows->key_count];
    FS_TRY(find_column(rows, key, &next->column));
    next->name = fs_results_keep(rows->results, key, rows->error);
    rows->key_count += next->name && next->column >= 0;
    return next->name ? FS_OK : FS_FAILED;
}

static void value_text(const json_t *value, char text[VALUE_TEXT])
{
    if (json_is_real(value)) { /* two that differ must not look alike */
        fs_shortest(json_real_value(value), text);
    } else {
        fs_json_text(value, text, VALUE_TEXT);
    }
}

static bool differs(const json_t *a, const json_t *b)
{
    char left[VALUE_TEXT], right[VALUE_TEXT];

    value_text(a, left);
    value_text(b, right);
    return strcmp(left, right) != 0;
}

/* Adds the keys below `prefix` in which two configurations differ; *found is set where there is one. A key that moves
 * no training, or that a program of another time did not write down, counts only if `any`. */
static fs_status compare_objects(struct rows *rows, const json_t *a, const json_t *b, const char *prefix, bool any,
                                 bool *found)
{
    const char *name;
    const json_t *value;

    json_object_foreach((json_t *)a, name, value)
    {
        char key[FS_KEY_NAME];
        const json_t *other = json_object_get(b, name);
        snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix ? "." : "", name);
        const struct fs_key *known = fs_schema_find(&rows->schema, key);
        if (json_is_object(value)) {
            FS_TRY(compare_objects(rows, value, other, key, any, found));
        } else if (differs(value, other) && strcmp(key, "seed") != 0 && strcmp(key, "experiment") != 0 &&
                   (any || (other && (!known || known->trains)))) {
            FS_TRY(add_key(rows, key));
            *found = true;
        }
    }
    return FS_OK;
}

static fs_status compare_two(struct rows *rows, const struct training *a, const struct training *b)
{
    bool found = false;

    if (strcmp(a->row->method, b->row->method) != 0 || strcmp(a->of->dataset, b->of->dataset) != 0 ||
        strcmp(a->of->model, b->of->model) != 0) {
        return FS_OK;
    }
    if (strcmp(a->row->data_sha256, b->row->data_sha256) != 0) {
        FS_TRY(add_key(rows, DATA));
        found = strcmp(a->row->train_hash, b->row->train_hash) == 0;
    }
    for (int any = 0; any < 2 && !found; any++) {
        FS_TRY(compare_objects(rows, a->config, b->config, "", any, &found));
        FS_TRY(any ? compare_objects(rows, b->config, a->config, "", any, &found) : FS_OK);
    }
    return found ? FS_OK : add_key(rows, TRAINING);
}

/* --- rows --- */

static fs_status collect(struct rows *rows)
{
    int most = 0;

    for (int i = 0; i < rows->results->section_count; i++) {
        most += rows->results->sections[i].row_count;
    }
    rows->list = fs_allocate((size_t)most, sizeof(*rows->list), "the rows of a table", rows->error);
    if (!rows->list) {
        return FS_FAILED;
    }
    for (int i = 0; i < rows->results->section_count; i++) {
        const struct fs_result_section *section = &rows->results->sections[i];
        for (int r = 0; r < section->row_count; r++) {
            const struct fs_result_row *row = &section->rows[r];
            bool there = false;
            for (int k = 0; k < rows->count; k++) {
                there = there || (strcmp(rows->list[k].row->train_hash, row->train_hash) == 0 &&
                                  strcmp(rows->list[k].row->data_sha256, row->data_sha256) == 0);
            }
            if (!there) {
                rows->list[rows->count++] = (struct training){row, &section->measure, json_loads(row->config, 0, NULL)};
            }
        }
    }
    return FS_OK;
}

/* The ends of the keys' names, or the whole where two end alike. */
static void name_keys(struct fs_results *results)
{
    for (int i = 0; i < results->varied_count; i++) {
        const char *dot = strrchr(results->varied[i], '.'), *leaf = dot ? dot + 1 : results->varied[i];
        results->varied_name[i] = leaf;
        for (int k = 0; k < results->varied_count; k++) {
            const char *other = strrchr(results->varied[k], '.');
            if (k != i && strcmp(other ? other + 1 : results->varied[k], leaf) == 0) {
                results->varied_name[i] = results->varied[i];
            }
        }
    }
}

/* A row's value of a key; "" where its method has no such key. */
static void value_of(const struct fs_result_row *row, const json_t *config, const char *key, char text[VALUE_TEXT])
{
    const json_t *value = fs_json_at(config, key);

    text[0] = 0;
    if (strcmp(key, DATA) == 0) {
        snprintf(text, VALUE_TEXT, "%.8s", row->data_sha256);
    } else if (strcmp(key, TRAINING) == 0) {
        snprintf(text, VALUE_TEXT, "%.8s", row->train_hash);
    } else if (value) {
        value_text(value, text);
    }
}

/* "learning_rate 0.004, target_ema 0.9" of the row's values. */
static void put_values(const struct fs_results *results, const struct fs_result_row *row, char *text, size_t size)
{
    size_t length = 0;

    for (int i = 0; i < results->varied_count; i++) {
        if (row->varied[i] && length < size) {
            length += (size_t)snprintf(text + length, size - length, "%s%s %s", length ? ", " : "",
                                       results->varied_name[i], row->varied[i]);
        }
    }
}

static fs_status name_row(const struct rows *rows, struct fs_result_row *row, struct fs_error *error)
{
    struct fs_results *results = rows->results;
    char apart[FS_RESULT_VARIED_MAX * (VALUE_TEXT + FS_KEY_NAME)] = "", value[VALUE_TEXT], name[256];
    json_t *config = json_loads(row->config, 0, NULL);

    for (int i = 0; i < rows->key_count; i++) {
        value_of(row, config, rows->keys[i].name, value);
        if (*value) {
            row->varied[rows->keys[i].column] = fs_results_keep(results, value, error);
        }
    }
    put_values(results, row, apart, sizeof apart);
    json_decref(config);
    row->apart = fs_results_keep(results, apart, error);
    if (row->label[0]) {
        results->labelled = true;
        snprintf(name, sizeof(name), "%.120s (%.120s)", row->label, row->method_label);
        row->name = fs_results_keep(results, name, error);
    }
    return row->apart && row->name ? FS_OK : FS_FAILED;
}

fs_status fs_results_set_apart(struct fs_results *results, struct fs_error *error)
{
    struct rows rows = {.results = results, .error = error};

    FS_TRY(fs_schema_create(&rows.schema, error));
    fs_status status = collect(&rows);
    if (status == FS_OK && results->experiment.ablated[0]) {
        status = add_key(&rows, results->experiment.ablated);
    }
    for (int i = 0; i < rows.count; i++) {
        for (int k = 0; status == FS_OK && k < i; k++) {
            status = compare_two(&rows, &rows.list[k], &rows.list[i]);
        }
    }
    name_keys(results);
    for (int i = 0; i < results->section_count; i++) {
        for (int r = 0; status == FS_OK && r < results->sections[i].row_count; r++) {
            status = name_row(&rows, &results->sections[i].rows[r], error);
        }
    }
    for (int i = 0; i < rows.count; i++) {
        json_decref(rows.list[i].config);
    }
    free(rows.list);
    fs_schema_destroy(&rows.schema);
    return status;
}
