/* The lists of columns: the hash that they make, and that the tables have the columns that they name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/store/query.h"
#include "harness/store/schema.h"
#include "harness/store/store.h"
#include "kernels/base/hash.h"

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static void assert_hash_of(const struct fs_columns *columns, const void *row, const char *json)
{
    char hash[65], expected[65];

    good(fs_columns_hash(columns, row, hash, &error));
    fs_sha256(json, strlen(json), expected);
    assert_string_equal(hash, expected);
}

/* The form in which every row so far was hashed. */
static void test_canonical_form(void **state)
{
    const struct fs_run_row run = {.train_hash = "t", .seed = 7, .data_sha256 = "d", .source_hash = "s", .updates = 9};
    struct fs_score_row score = {
        .run = NULL,
        .source = "dataset:ü \"x\":test",
        .update = 4000,
        .weights = "ema",
        .steps = 4,
        .guidance_scale = 1,
        .labels = "null",
        .noise_seed = 4294967295,
        .samples = 5000,
        .quantize = true,
        .resize = "none",
        .extractor = "e",
        .extractor_sha256 = "e0",
        .tap = "pool",
        .reference = "train",
        .reference_sha256 = "4e",
        .metric = "fd",
        .precision = "fp32",
        .device = "cpu",
        .source_hash = "50",
        .value = 3,
    };

    (void)state;
    assert_hash_of(&fs_run_columns, &run, "{\"data\":\"d\",\"seed\":7,\"source\":\"s\",\"train\":\"t\"}");
#define REST(guidance, quantize, run)                                                                                  \
    "{\"device\":\"cpu\",\"extractor\":\"e\",\"extractor_sha256\":\"e0\",\"guidance_scale\":" guidance                 \
    ",\"labels\":\"null\",\"metric\":\"fd\",\"noise_seed\":4294967295,\"precision\":\"fp32\",\"quantize\":" quantize   \
    ",\"reference\":\"train\",\"reference_sha256\":\"4e\",\"resize\":\"none\",\"run\":\"" run                          \
    "\",\"samples\":5000,\"source\":\"dataset:ü \\\"x\\\":test\",\"source_hash\":\"50\",\"steps\":4,"                 \
    "\"tap\":\"pool\",\"update\":4000,\"weights\":\"ema\"}"
    assert_hash_of(&fs_score_columns, &score, REST("1.0", "true", ""));
    score.run = "r";
    score.quantize = false;
    score.guidance_scale = 0.1;
    score.value = 4; /* what came out is no part of it */
    assert_hash_of(&fs_score_columns, &score, REST("0.10000000000000001", "false", "r"));
}

struct row {
    int64_t always, whole;
    double real;
    bool yes;
    const char *text;
};

/* A column that is added later enters the hash off its default only. */
static void test_later_columns_are_left_out_at_their_default(void **state)
{
    static const struct fs_column list[] = {
        {"always", FS_SQL_WHOLE, offsetof(struct row, always), FS_ROLE_WHAT, "always", NULL},
        {"whole", FS_SQL_WHOLE, offsetof(struct row, whole), FS_ROLE_WHAT, "w", "-3"},
        {"real", FS_SQL_REAL, offsetof(struct row, real), FS_ROLE_SEED, "real", "0.5"},
        {"yes", FS_SQL_BOOL, offsetof(struct row, yes), FS_ROLE_WHAT, "yes", "1"},
        {"text", FS_SQL_TEXT, offsetof(struct row, text), FS_ROLE_RESULT, "text", "euler"},
    };
    const struct fs_columns columns = {"rows", "hash", list, 5};
    const struct row usual = {0, -3, 0.5, true, "euler"};
    struct row other;

    (void)state;
    assert_hash_of(&columns, &usual, "{\"always\":0}");
    other = usual, other.whole = 0;
    assert_hash_of(&columns, &other, "{\"always\":0,\"w\":0}");
    other = usual, other.real = 0;
    assert_hash_of(&columns, &other, "{\"always\":0,\"real\":0.0}");
    other = usual, other.yes = false;
    assert_hash_of(&columns, &other, "{\"always\":0,\"yes\":false}");
    other = usual, other.text = "";
    assert_hash_of(&columns, &other, "{\"always\":0,\"text\":\"\"}");
    other = usual, other.text = NULL; /* a row that does not say is as before */
    assert_hash_of(&columns, &other, "{\"always\":0}");

    char *text = fs_columns_join(&columns, FS_ROLE_WHAT | FS_ROLE_RESULT, "a.$ = b.$", " AND ", &error);
    assert_string_equal(text, "a.always = b.always AND a.whole = b.whole AND a.yes = b.yes AND a.text = b.text");
    free(text);
    text = fs_columns_join(&columns, FS_ROLE_MACHINE, "$", ", ", &error);
    assert_string_equal(text, "");
    free(text);
}

/* --- the lists and the tables --- */

static const struct fs_column *find(const struct fs_columns *columns, const char *name)
{
    for (int i = 0; i < columns->count; i++) {
        if (strcmp(columns->list[i].name, name) == 0) {
            return &columns->list[i];
        }
    }
    return NULL;
}

/* `others`: columns that the store fills by itself, each between spaces. */
static void compare_with_table(sqlite3 *database, const struct fs_columns *columns, const char *others)
{
    static const char *const types[] = {"TEXT", "INTEGER", "REAL", "INTEGER", "INTEGER"};
    sqlite3_stmt *query;
    bool row;
    int found = 0;

    good(fs_query_open(database, &query, &error,
                       "SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info(?1)", "t", columns->table));
    for (good(fs_query_next(query, &row, &error)); row; good(fs_query_next(query, &row, &error))) {
        const char *name = fs_query_text(query, 0);
        const struct fs_column *column = find(columns, name);
        char between[80];
        snprintf(between, sizeof between, " %s ", name);
        if (!column != (strstr(others, between) != NULL)) {
            fail_msg("%s.%s is in the table and %s the list", columns->table, name, column ? "twice in" : "not in");
        }
        if (!column) {
            continue;
        }
        found++;
        assert_string_equal(fs_query_text(query, 1), types[column->type]);
        if (column->left_out) { /* so that older rows hash as they did */
            char *literal = sqlite3_mprintf(column->type == FS_SQL_TEXT ? "%Q" : "%s", column->left_out);
            assert_string_equal(fs_query_text(query, 3), literal);
            assert_int_equal(sqlite3_column_int(query, 2), 1);
            sqlite3_free(literal);
        }
    }
    sqlite3_finalize(query);
    assert_int_equal(found, columns->count); /* and none of the list is not in the table */
}

static void test_tables_have_these_columns(void **state)
{
    sqlite3 *database;
    int count;

    (void)state;
    assert_int_equal(sqlite3_open(":memory:", &database), SQLITE_OK);
    const struct fs_migration *migrations = fs_store_migrations(&count);
    good(fs_store_migrate(database, migrations, count, &error));
    compare_with_table(database, &fs_score_columns, " number score_hash environment created outside ");
    compare_with_table(database, &fs_run_columns,
                       " number id state message seconds peak_bytes restarts created changed ");
    sqlite3_close(database);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_form),
        cmocka_unit_test(test_later_columns_are_left_out_at_their_default),
        cmocka_unit_test(test_tables_have_these_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
