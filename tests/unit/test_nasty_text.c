/* A database may be anybody's: one text, hostile to every format, stands in each place of it that holds a text, and
 * goes through every view. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/export.h"
#include "harness/report/page.h"
#include "harness/report/regress_print.h"
#include "harness/report/runs_list.h"
#include "harness/report/show.h"
#include "harness/report/table.h"
#include "harness/text/escape.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"

/* Begins as a formula and as a way out of a folder; acts on a terminal; ends a cell, a line, an element, a group. The
 * name of an experiment has 63 bytes, so the worst comes first. */
#define NASTY                                                                                                          \
    "=../x\x1b[31m\nINJECTED \xc2\x9b"                                                                                 \
    "1m\\input{y}<script>a|\"'&}$%`id`\x7f\xe2\x80\xae,\r#_^~ \xff"
#define HEAD_SOURCE "head"

static struct fs_error error;
static struct fs_store *store;
static char folder[256], id[2][65];

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static void add_source(int number, const char *source)
{
    struct fs_environment about = test_environment();
    int64_t environment, experiment;
    char hash[65];

    about.commit = number ? NASTY "1" : NASTY "0";
    about.source_hash = source;
    about.compiler = about.flags = about.libraries = about.cpu = about.isa = about.device = about.host = NASTY;
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_store_experiment(store, NASTY, NASTY, NASTY, NASTY, &experiment, &error));
    test_id(number ? "cd01" : "ab01", id[number]);
    test_id(number ? "cd02" : "ab02", hash);
    struct fs_run_row run = test_run(id[number]);
    run.method = run.dataset = run.model = run.train_hash = NASTY;
    run.data_sha256 = NASTY;
    run.source_hash = source;
    run.config_json = "{\"model\": {\"preset\": \"\\u001b[1m\\nINJECTED \\u009b|<script>\"}}";
    struct fs_score_row score = test_score(hash, id[number]);
    score.labels = score.extractor = score.tap = score.reference = score.device = NASTY;
    score.source_hash = source;
    good(fs_store_run(store, &run, experiment, environment, &error));
    good(fs_store_run_state(store, id[number], "trained", NASTY, 1, 1e6, &error));
    good(fs_store_label(store, id[number], experiment, NASTY, &error));
    good(fs_store_checkpoint(store, id[number], 4000, NASTY, NASTY, 5, &error));
    const struct fs_curve_point point = {NASTY, 1, 0.5};
    good(fs_store_curve(store, id[number], &point, 1, &error));
    good(fs_store_score(store, &score, experiment, environment, &error));
}

/* --- what no view may print --- */

/* Controls that reach a terminal: in files too, for they are looked at there. JSON escapes the C0 ones, and what it has
 * above is replaced on the way to a terminal. */
static void no_controls(const char *view, const char *text, bool json)
{
    const size_t all = strlen(text);
    for (size_t i = 0; i < all;) {
        const size_t length = fs_utf8_length(text + i, all - i);
        if (length == 0 && !json) {
            fail_msg("%s: no UTF-8 at byte %zu: %.80s", view, i, text + i);
        }
        if (text[i] != '\n' && text[i] != '\t' && (length == 1 || !json) && fs_is_control(text + i, length) &&
            !(json && text[i] == 0x7f)) {
            fail_msg("%s: a control at byte %zu: %.80s", view, i, text + i);
        }
        i += length ? length : 1;
    }
}

static void has_not(const char *view, const char *text, const char *piece)
{
    const char *at = strstr(text, piece);
    if (at) {
        fail_msg("%s: has %s: %.120s", view, piece, at > text + 20 ? at - 20 : text);
    }
}

static char *take(FILE **stream, char **text, size_t *size)
{
    (void)size;
    fclose(*stream);
    assert_non_null(*text);
    assert_true(strlen(*text) > 0);
    return *text;
}

/* --- the views --- */

static char *table(enum fs_table_format format)
{
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    good(fs_table_print(store, &(struct fs_table_request){.format = format}, stream, &error));
    return take(&stream, &text, &size);
}

static void test_tables(void **state)
{
    static const char *const names[] = {"text", "markdown", "LaTeX", "CSV"};

    (void)state;
    for (int format = 0; format < 4; format++) {
        char *text = table((enum fs_table_format)format);
        no_controls(names[format], text, false);
        assert_non_null(strstr(text, "INJECTED")); /* it is there, */
        has_not(names[format], text, format == FS_TABLE_CSV ? "\n=" : "\nINJECTED");
        if (format == FS_TABLE_MARKDOWN) {
            has_not("markdown", text, " <script>");
            has_not("markdown", text, "y}<script>");
        }
        if (format == FS_TABLE_LATEX) {
            for (char *line = text; *line; line += strcspn(line, "\n") + 1) {
                memset(line, ' ', *line == '%' ? strcspn(line, "\n") : 0); /* in a comment all is as it is */
            }
            has_not("LaTeX", text, "\\input");
            const char *label = strstr(text, "\\label{");
            assert_non_null(label);
            label += strlen("\\label{");
            assert_int_equal(label[strcspn(label, "}$%&\\\n ")], '}');
            assert_int_equal(label[strcspn(label, "}") + 1], '\n');
        }
        free(text);
    }
}

/* Every field of every line: as many as in the heading, none that a spreadsheet would compute. */
static void test_fields_of_csv(void **state)
{
    (void)state;
    char *text = table(FS_TABLE_CSV);
    int columns = 0, fields = 1, rows = 0;
    bool quoted = false, begins = true;
    for (const char *at = text; *at; at++) {
        if (begins && strchr("=+-@\t\r", at[*at == '"'])) {
            fail_msg("a formula: %.60s", at);
        }
        begins = !quoted && *at == ',';
        quoted ^= *at == '"';
        fields += !quoted && *at == ',';
        if (!quoted && *at == '\n') {
            columns = columns ? columns : fields;
            assert_int_equal(fields, columns);
            fields = 1;
            rows++;
            begins = true;
        }
    }
    assert_false(quoted);
    assert_true(rows >= 2);
    free(text);
}

static void test_lists(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        char *text;
        size_t size;
        FILE *stream = open_memstream(&text, &size);
        good(fs_runs_print(store, NULL, json, stream, &error));
        take(&stream, &text, &size);
        no_controls("runs", text, json);
        has_not("runs", text, "\nINJECTED");
        free(text);
        stream = open_memstream(&text, &size);
        good(fs_show_print(store, "ab01ab", json, stream, &error));
        take(&stream, &text, &size);
        no_controls("show", text, json);
        assert_non_null(strstr(text, "INJECTED"));
        has_not("show", text, "\nINJECTED");
        free(text);
    }
}

/* Each line is an object, and a text of it is the text that came in, but for what is no UTF-8. */
static void test_json(void **state)
{
    (void)state;
    char *text, *rest;
    size_t size, texts = 0;
    FILE *stream = open_memstream(&text, &size);
    good(fs_export_json(store, NULL, stream, &error));
    take(&stream, &text, &size);
    no_controls("export", text, true);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        const char *type = json_string_value(json_object_get(object, "type"));
        if (strcmp(type, "run") == 0) {
            char plain[512];
            assert_string_equal(json_string_value(json_object_get(object, "method")),
                                fs_plain_text(NASTY, plain, sizeof plain));
            texts++;
        }
        json_decref(object);
    }
    assert_int_equal(texts, 2);
    free(text);
}

static void test_page(void **state)
{
    (void)state;
    char *text, *notes = NULL;
    size_t size;
    const struct fs_page_options options = {.samples = folder, .database = NASTY};
    FILE *stream = open_memstream(&text, &size);
    good(fs_page_print(store, &options, stream, &notes, &error));
    take(&stream, &text, &size);
    no_controls("page", text, false);
    has_not("page", text, "<script>a");
    has_not("page", text, "<script>\"");
    assert_non_null(strstr(text, "INJECTED"));
    free(text);
    free(notes);
}

static void test_verdict(void **state)
{
    (void)state;
    const struct fs_rule rule = FS_RULE_DEFAULT;
    const struct fs_revision base = {.name = "base", .commit = "c0", .source_hash = "base", .runs = 1},
                             head = {.name = "head", .commit = "c1", .source_hash = HEAD_SOURCE, .runs = 1};
    struct fs_regression regression;
    char *text;
    size_t size;
    good(fs_regress(store, "base", HEAD_SOURCE, NULL, rule, &regression, &error));
    FILE *stream = open_memstream(&text, &size);
    fs_regression_print(&regression, &base, &head, stream);
    take(&stream, &text, &size);
    no_controls("regress", text, false);
    has_not("regress", text, "\nINJECTED");
    free(text);
    stream = open_memstream(&text, &size);
    good(fs_regression_print_json(&regression, &base, &head, stream, &error));
    take(&stream, &text, &size);
    no_controls("regress", text, true);
    free(text);
    fs_regression_free(&regression);
}

/* The folders of TensorBoard lie in the one that was named. */
static void test_folders(void **state)
{
    (void)state;
    char path[300];
    int runs, entries = 0;
    snprintf(path, sizeof path, "%s/inner/events", folder);
    good(fs_export_tensorboard(store, NULL, path, &runs, &error));
    assert_int_equal(runs, 2);
    DIR *directory = opendir(path);
    for (const struct dirent *entry; (entry = readdir(directory));) {
        entries += entry->d_name[0] != '.';
        assert_true(entry->d_name[0] == '.' || fs_is_file_name(entry->d_name) || entry->d_name[0] == '_');
    }
    closedir(directory);
    assert_int_equal(entries, 2);
    snprintf(path, sizeof path, "%s/inner", folder);
    assert_int_equal(test_folder_files(path), 0);
}

static int set_up(void **state)
{
    char path[300];

    (void)state;
    test_folder_make(folder);
    snprintf(path, sizeof path, "%s/fewstep.db", folder);
    good(fs_store_open(path, FS_STORE_WRITE, &store, &error));
    add_source(0, "base");
    add_source(1, HEAD_SOURCE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fs_store_close(store);
    test_folder_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),  cmocka_unit_test(test_fields_of_csv), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_json),    cmocka_unit_test(test_page),          cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
