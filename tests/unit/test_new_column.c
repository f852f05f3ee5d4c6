/* A score gets a column: this program has a list of its own with one more, in place of the library's, and nothing else
 * of the program had to know. `solver` is what a sampler might be told apart by; the scores before it are "euler". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define fs_score_columns todays_columns
#define list todays_list
#include "harness/store/score_columns.c" // NOLINT: the copy that gets another line
#undef fs_score_columns
#undef list

#include "harness/results/regress.h"
#include "harness/results/reproduction.h"
#include "harness/store/merge.h"
#include "harness/store/query.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"

struct solver_row {
    struct fs_score_row row;
    const char *solver;
};

#define TODAYS (sizeof todays_list / sizeof *todays_list)
static struct fs_column list[TODAYS + 1] = {
    [TODAYS] = {"solver", FS_SQL_TEXT, offsetof(struct solver_row, solver), FS_ROLE_WHAT, "solver", "euler"},
};
const struct fs_columns fs_score_columns = {"scores", "score_hash", list, TODAYS + 1};

static struct fs_error error;
static char run_id[65];

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static int64_t whole(struct fs_store *store, const char *sql)
{
    int64_t value;

    good(fs_query_whole(fs_store_handle(store), &value, -1, &error, sql, ""));
    return value;
}

/* A database with the column, as a migration would add it, and a run by `source`. */
static struct fs_store *make(const char *name, const char *source, int64_t *environment)
{
    struct fs_store *store;
    struct fs_environment about = test_environment();

    remove(test_path(name));
    good(fs_store_open(test_path(name), FS_STORE_WRITE, &store, &error));
    good(fs_execute(fs_store_handle(store), &error,
                    "ALTER TABLE scores ADD COLUMN solver TEXT NOT NULL DEFAULT 'euler'", ""));
    about.source_hash = source;
    good(fs_store_environment(store, &about, environment, &error));
    test_id(source, run_id);
    struct fs_run_row run = test_run(run_id);
    run.source_hash = source;
    good(fs_store_run(store, &run, 0, *environment, &error));
    return store;
}

/* A score of the run that was made last. */
static struct solver_row make_score(const char *source, const char *solver, char hash[65])
{
    struct solver_row score = {test_score(NULL, run_id), solver};

    score.row.source_hash = source;
    good(fs_columns_hash(&fs_score_columns, &score, hash, &error));
    score.row.score_hash = hash;
    return score;
}

static void add(struct fs_store *store, int64_t environment, const char *source, const char *solver, double value)
{
    char hash[65];
    struct solver_row score = make_score(source, solver, hash);

    score.row.value = value;
    good(fs_store_score(store, &score.row, 0, environment, &error));
}

static void test_hash_and_look_up(void **state)
{
    int64_t environment;
    struct fs_store *store = make("a.db", "50a", &environment);
    char euler[65], heun[65], before[65];
    bool found;
    double value;

    (void)state;
    const struct solver_row usual = make_score("50a", "euler", euler);
    make_score("50a", "heun", heun);
    good(fs_columns_hash(&todays_columns, &usual, before, &error));
    assert_string_equal(euler, before); /* the scores that are there keep their hash */
    assert_string_not_equal(heun, before);
    add(store, environment, "50a", "euler", 1);
    good(fs_store_find_score(store, heun, 0, &found, &value, &error));
    assert_false(found);
    add(store, environment, "50a", "heun", 2);
    add(store, environment, "50a", "heun", 3); /* scored again */
    good(fs_store_find_score(store, heun, 0, &found, &value, &error));
    assert_true(found && value == 3);
    assert_int_equal(whole(store, "SELECT group_concat(value, '') FROM (SELECT CAST(value AS INTEGER) AS value FROM "
                                  "scores ORDER BY solver)"),
                     13);
    fs_store_close(store);
}

static void test_merge(void **state)
{
    struct fs_merge how = {0};
    int64_t environment;

    (void)state;
    struct fs_store *other = make("b.db", "50a", &environment);
    add(other, environment, "50a", "heun", 2);
    fs_store_close(other);
    struct fs_store *store = make("a.db", "50a", &environment);
    add(store, environment, "50a", "euler", 1);
    good(fs_store_import(store, test_path("b.db"), "b", &how, &error));
    assert_int_equal(how.conflicts, 0);
    assert_int_equal(whole(store, "SELECT sum((solver = 'euler' AND value = 1) + 10 * (solver = 'heun' AND value = 2)) "
                                  "FROM scores"),
                     11);
    fs_store_close(store);
}

static void test_regress(void **state)
{
    struct fs_regression regression;
    int64_t environment;
    const struct fs_rule rule = {.alpha = 0.05};

    (void)state;
    struct fs_store *other = make("b.db", "50b", &environment);
    add(other, environment, "50b", "heun", 20);
    fs_store_close(other);
    struct fs_store *store = make("a.db", "50a", &environment);
    add(store, environment, "50a", "euler", 10);
    add(store, environment, "50a", "heun", 20);
    good(fs_store_import(store, test_path("b.db"), "b", &(struct fs_merge){0}, &error));
    good(fs_regress(store, "50a", "50b", NULL, rule, &regression, &error));
    assert_int_equal(regression.count, 1); /* heun against heun */
    assert_true(regression.base[0] == 20 && regression.head[0] == 20);
    assert_int_equal(regression.unmatched, 1);
    fs_regression_free(&regression);
    fs_store_close(store);
}

static void test_reproduce(void **state)
{
    struct fs_reproduction reproduction;
    int64_t environment;

    (void)state;
    struct fs_store *again = make("b.db", "50b", &environment);
    add(again, environment, "50b", "euler", 10);
    struct fs_store *store = make("a.db", "50a", &environment);
    add(store, environment, "50a", "euler", 10);
    add(store, environment, "50a", "heun", 10);
    good(fs_reproduction_compare(store, again, run_id, &reproduction, &error));
    assert_int_equal(reproduction.compared, 1);
    assert_int_equal(reproduction.equal, 1);
    assert_int_equal(reproduction.missing, 1);
    fs_reproduction_free(&reproduction);
    fs_store_close(store);
    fs_store_close(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_and_look_up),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_regress),
        cmocka_unit_test(test_reproduce),
    };

    memcpy(list, todays_list, sizeof todays_list);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
