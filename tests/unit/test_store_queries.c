/* The queries of harness/store/README.md run as they stand there, on a database with several seeds, sources and
 * updates, and its list of tables is that of the schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

static struct fs_error error;
static char *readme;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static int setup(void **state)
{
    size_t size;

    (void)state;
    good(fs_file_read("harness/store/README.md", 1 << 20, &readme, &size, &error));
    good(test_study_make(test_path("fewstep.db"), test_path("samples"), &error));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(readme);
    return 0;
}

static sqlite3 *open_database(const char *path)
{
    sqlite3 *database;

    assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    return database;
}

/* Number of rows of one statement. */
static int run_query(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *query;
    const char *rest;
    int rows = 0, result;

    if (sqlite3_prepare_v2(database, sql, -1, &query, &rest) != SQLITE_OK) {
        fail_msg("%s in:\n%s", sqlite3_errmsg(database), sql);
    }
    assert_int_equal(strspn(rest, " \n"), strlen(rest)); /* one statement an example */
    while ((result = sqlite3_step(query)) == SQLITE_ROW) {
        rows++;
    }
    assert_int_equal(result, SQLITE_DONE);
    sqlite3_finalize(query);
    return rows;
}

/* Calls `check` with each ```sql block. */
static int each_query(sqlite3 *database, void check(sqlite3 *database, const char *sql))
{
    static const char fence[] = "```sql\n";
    int count = 0;

    for (const char *at = readme; (at = strstr(at, fence)); count++) {
        char sql[4096];
        at += strlen(fence);
        const char *end = strstr(at, "```");
        assert_non_null(end);
        assert_true((size_t)(end - at) < sizeof(sql));
        snprintf(sql, sizeof(sql), "%.*s", (int)(end - at), at);
        check(database, sql);
    }
    return count;
}

static void finds_something(sqlite3 *database, const char *sql)
{
    const int rows = run_query(database, sql);

    /* All but those that name the demo, or ask for what this database has none of. */
    if (!strstr(sql, "'demo'") && !strstr(sql, "4ae0e9") && !strstr(sql, "peak_share") &&
        !strstr(sql, "<> 'trained'")) {
        assert_true(rows > 0);
    }
}

static void test_queries(void **state)
{
    sqlite3 *database = open_database(test_path("fewstep.db"));

    (void)state;
    assert_true(each_query(database, finds_something) >= 9);
    sqlite3_close(database);
}

/* The first query's means are those that the scores were made with. */
static void test_the_table_by_hand(void **state)
{
    char sql[2048], path[1024];
    sqlite3 *database;
    sqlite3_stmt *query;
    int cells = 0;
    bool row;

    (void)state;
    const char *begin = strstr(readme, "SELECT r.method, s.steps, round(avg");
    assert_non_null(begin);
    snprintf(sql, sizeof(sql), "%.*s", (int)(strstr(begin, "```") - begin), begin);
    char *name = strstr(sql, "'demo'");
    assert_non_null(name);
    memmove(name + 7, name + 6, strlen(name + 6) + 1);
    memcpy(name, "'table'", 7);
    snprintf(path, sizeof(path), "%s", test_path("fewstep.db"));
    database = open_database(path);
    good(fs_query_open(database, &query, &error, sql, ""));
    for (good(fs_query_next(query, &row, &error)); row; good(fs_query_next(query, &row, &error))) {
        const int steps = sqlite3_column_int(query, 1);
        if (strcmp(fs_query_text(query, 0), "reflow") == 0 && steps != 4) { /* 4 was scored at several updates */
            const double mean =
                (test_study_value(2, steps, 0) + test_study_value(2, steps, 1) + test_study_value(2, steps, 2)) / 3;
            assert_true(fabs(fs_query_real(query, 2) - mean) <= 0.00501);
            assert_int_equal(sqlite3_column_int(query, 3), 3);
            cells++;
        }
    }
    assert_int_equal(cells, 6);
    sqlite3_finalize(query);
    sqlite3_close(database);
}

/* Each table of the schema stands in the README's list, and no other. */
static void test_every_table_is_described(void **state)
{
    sqlite3 *database = open_database(test_path("fewstep.db"));
    sqlite3_stmt *query;
    int tables = 0, described = 0;
    bool row;

    (void)state;
    good(fs_query_open(database, &query, &error,
                       "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'", ""));
    for (good(fs_query_next(query, &row, &error)); row; good(fs_query_next(query, &row, &error))) {
        char line[128];
        snprintf(line, sizeof(line), "\n| `%s` | ", fs_query_text(query, 0));
        if (!strstr(readme, line)) {
            fail_msg("harness/store/README.md has no row for the table %s", fs_query_text(query, 0));
        }
        tables++;
    }
    for (const char *at = readme; (at = strstr(at, "\n| `")); at++) {
        described++;
    }
    assert_int_equal(described, tables);
    sqlite3_finalize(query);
    sqlite3_close(database);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_the_table_by_hand),
        cmocka_unit_test(test_every_table_is_described),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
