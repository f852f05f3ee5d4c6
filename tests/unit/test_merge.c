/* Joining databases: what is in any of them is in the result, once; conflicts are named; the inputs stay as they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness/store/merge.h"
#include "harness/store/query.h"
#include "harness/store/schema.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static void execute(const char *path, const char *sql)
{
    sqlite3 *database;
    char *message = NULL;

    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
    sqlite3_close(database);
}

/* A run of `seed` with two scores, a checkpoint and a point, made with what `host` is. Different seeds differ in
 * everything. */
static void add_run(struct fs_store *store, int seed, const char *host, const char *experiment)
{
    char digits[32], id[65], hash[2][65], text[64];
    struct fs_environment about = test_environment();
    int64_t environment, row;

    snprintf(digits, sizeof(digits), "ab%06d", seed);
    test_id(digits, id);
    about.host = host;
    struct fs_run_row run = test_run(id);
    run.seed = seed;
    snprintf(text, sizeof(text), "experiment: %s", experiment);
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_store_experiment(store, experiment, "x.yaml", text, "seed", &row, &error));
    good(fs_store_run(store, &run, row, environment, &error));
    good(fs_store_run_state(store, id, "trained", NULL, 10, 1e9, &error));
    good(fs_store_checkpoint(store, id, 4000, "a.safetensors", "c0", 100, &error));
    good(fs_store_curve(store, id, &(struct fs_curve_point){"loss", 10, 0.1 * seed}, 1, &error));
    for (int i = 0; i < 2; i++) {
        snprintf(digits, sizeof(digits), "%d%06d", i, seed);
        test_id(digits, hash[i]);
        struct fs_score_row score = test_score(hash[i], id);
        score.steps = 1 + i;
        score.value = 10 + seed + 0.125 * i;
        struct fs_spectrum_point point = {0.25, 1 + seed, 0.5, 2 + i};
        score.spectrum = &point;
        score.spectrum_count = i;
        good(fs_store_score(store, &score, row, environment, &error));
    }
}

static void make(const char *path, int first, int last, const char *host, const char *experiment)
{
    struct fs_store *store;

    good(fs_store_open(path, FS_STORE_WRITE, &store, &error));
    for (int seed = first; seed <= last; seed++) {
        add_run(store, seed, host, experiment);
    }
    fs_store_close(store);
}

/* What is in a database, without the numbers of its rows: sorted, so that two files can be compared. */
static const char *const contents[] = {
    "SELECT hash, commit_hash, dirty, source_hash, compiler, flags, libraries, cpu, isa, device, host, threads, ranks "
    "FROM environments",
    "SELECT name, path, text, hash, ablated FROM experiments",
    "SELECT id, method, dataset, model, config_json, train_hash, seed, data_sha256, source_hash, teacher, is_teacher, "
    "updates, flops, state, message, seconds, peak_bytes, restarts FROM runs",
    "SELECT e.name, r.id FROM experiment_runs m JOIN experiments e ON e.id = m.experiment JOIN runs r ON r.number = "
    "m.run",
    "SELECT r.id, e.hash FROM run_environments m JOIN environments e ON e.id = m.environment JOIN runs r ON r.number = "
    "m.run",
    "SELECT r.id, at_update, path, sha256, bytes FROM checkpoints JOIN runs r ON r.number = run",
    "SELECT r.id, name, at_update, value FROM curves JOIN runs r ON r.number = run",
    "SELECT s.score_hash, r.id, s.steps, s.value, s.low, s.high, e.hash FROM scores s JOIN runs r ON r.number = s.run "
    "JOIN environments e ON e.id = s.environment",
    "SELECT s.score_hash, p.bin, p.frequency, p.power, p.standard_error, p.reference_power FROM spectra p JOIN scores "
    "s "
    "ON s.number = p.score",
    "SELECT e.name, s.score_hash FROM experiment_scores m JOIN experiments e ON e.id = m.experiment "
    "JOIN scores s ON s.number = m.score",
};

static void dump_query(sqlite3 *database, const char *sql, struct fs_sha256 *hash, int *rows)
{
    sqlite3_stmt *query;
    bool row;
    char sorted[2048];

    snprintf(sorted, sizeof(sorted), "SELECT * FROM (%s) ORDER BY 1, 2", sql);
    good(fs_query_open(database, &query, &error, strchr(sql, ',') ? sorted : sql, ""));
    for (good(fs_query_next(query, &row, &error)); row; good(fs_query_next(query, &row, &error))) {
        for (int i = 0; i < sqlite3_column_count(query); i++) {
            const char *text = fs_query_text(query, i);
            fs_sha256_add(hash, text, strlen(text) + 1);
        }
        (*rows)++;
    }
    sqlite3_finalize(query);
}

/* A hash over everything; *rows: of how many rows. */
static void dump(const char *path, char text[65], int *rows)
{
    struct fs_store *store;
    struct fs_sha256 hash;

    *rows = 0;
    good(fs_store_open(path, FS_STORE_READ, &store, &error));
    fs_sha256_begin(&hash);
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        dump_query(fs_store_handle(store), contents[i], &hash, rows);
    }
    fs_sha256_end(&hash, text);
    fs_store_close(store);
}

static int64_t whole(const char *path, const char *sql)
{
    struct fs_store *store;
    int64_t value;

    good(fs_store_open(path, FS_STORE_READ, &store, &error));
    good(fs_query_whole(fs_store_handle(store), &value, -1, &error, sql, ""));
    fs_store_close(store);
    return value;
}

static void assert_same_contents(const char *a, const char *b)
{
    char left[65], right[65];
    int left_rows, right_rows;

    dump(a, left, &left_rows);
    dump(b, right, &right_rows);
    assert_int_equal(left_rows, right_rows);
    assert_true(left_rows > 0);
    assert_string_equal(left, right);
}

static fs_status merge(const char *a, const char *b, const char *output, struct fs_merge *how)
{
    const char *const inputs[] = {a, b};

    return fs_store_merge(inputs, b ? 2 : 1, output, how, &error);
}

/* --- what comes out --- */

static int fresh(const char *name, char path[1024])
{
    snprintf(path, 1024, "%s", test_path(name));
    return unlink(path);
}

static void test_union(void **state)
{
    char a[1024], b[1024], all[1024], ab[1024], ba[1024];
    struct fs_merge how = {0};

    (void)state;
    const int first = rand() % 1000, middle = first + 1 + rand() % 3, last = middle + 1 + rand() % 4;
    fresh("a.db", a), fresh("b.db", b), fresh("all.db", all), fresh("ab.db", ab), fresh("ba.db", ba);
    make(a, first, middle, "one", "table");
    make(b, middle + 1, last, "one", "table");
    make(all, first, last, "one", "table");
    good(merge(a, b, ab, &how));
    good(merge(b, a, ba, &how));
    assert_same_contents(ab, all);
    assert_same_contents(ba, all);
    assert_int_equal(whole(ab, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_int_equal(how.conflicts, 0);

    /* Again, and with an input as output: nothing is there twice. */
    good(merge(ab, b, ab, &how));
    assert_same_contents(ab, all);
}

static void test_every_column(void **state)
{
    char a[1024], copy[1024], sql[256];
    struct fs_merge how = {0};
    struct fs_store *left, *right;
    sqlite3_stmt *tables;
    bool row;

    (void)state;
    fresh("a.db", a), fresh("copy.db", copy);
    make(a, 1, 5, "one", "table");
    execute(a,
            "UPDATE runs SET message = 'a message', teacher = id, restarts = 2; UPDATE scores SET outside = steps = 1; "
            "UPDATE experiment_runs SET label = 'run ' || run");
    good(merge(a, NULL, copy, &how));
    good(fs_store_open(a, FS_STORE_READ, &left, &error));
    good(fs_store_open(copy, FS_STORE_READ, &right, &error));
    good(fs_query_open(fs_store_handle(left), &tables, &error, "SELECT name FROM sqlite_schema WHERE type = 'table'",
                       ""));
    for (good(fs_query_next(tables, &row, &error)); row; good(fs_query_next(tables, &row, &error))) {
        struct fs_sha256 hash;
        char one[65], other[65];
        int rows = 0, rows_there = 0;
        snprintf(sql, sizeof(sql), "SELECT * FROM %s", fs_query_text(tables, 0));
        fs_sha256_begin(&hash);
        dump_query(fs_store_handle(left), sql, &hash, &rows);
        fs_sha256_end(&hash, one);
        fs_sha256_begin(&hash);
        dump_query(fs_store_handle(right), sql, &hash, &rows_there);
        fs_sha256_end(&hash, other);
        assert_int_equal(rows, rows_there);
        assert_true(rows > 0); /* a table that this test does not fill */
        assert_string_equal(one, other);
    }
    sqlite3_finalize(tables);
    fs_store_close(left);
    fs_store_close(right);
}

static void test_rows_are_known_by_what_they_are(void **state)
{
    char a[1024], b[1024], c[1024];
    struct fs_merge how = {0};

    (void)state;
    /* The same run on two machines, in two experiments, half-trained here and trained there. */
    fresh("a.db", a), fresh("b.db", b), fresh("c.db", c);
    make(a, 7, 7, "one", "table");
    make(b, 6, 8, "two", "ablation");
    execute(a, "UPDATE runs SET state = 'failed', message = 'disk', seconds = 3, is_teacher = 1");
    execute(b, "UPDATE runs SET restarts = 1");
    good(merge(a, b, c, &how));
    assert_int_equal(whole(c, "SELECT count(*) FROM runs"), 3);
    assert_int_equal(whole(c, "SELECT count(*) FROM scores"), 6);
    assert_int_equal(whole(c, "SELECT count(*) FROM experiment_runs"), 4);
    assert_int_equal(whole(c, "SELECT count(*) FROM experiment_scores"), 8);
    assert_int_equal(whole(c, "SELECT count(*) FROM run_environments"), 4);
    assert_int_equal(whole(c, "SELECT count(*) FROM runs WHERE state = 'trained' AND message IS NULL AND seconds = 10 "
                              "AND is_teacher = 0 AND restarts = 1"),
                     3);
}

/* Of a row that has a name in one of the files only, that one; of two names, the first. */
static void test_labels(void **state)
{
    char a[1024], b[1024], c[1024];
    struct fs_merge how = {0};

    (void)state;
    fresh("a.db", a), fresh("b.db", b), fresh("c.db", c);
    make(a, 1, 2, "one", "table");
    make(b, 1, 3, "two", "table");
    execute(a, "UPDATE experiment_runs SET label = 'here' WHERE run = 1");
    execute(b, "UPDATE experiment_runs SET label = 'there'");
    good(merge(a, b, c, &how));
    assert_int_equal(whole(c, "SELECT sum((label = 'here') + 10 * (label = 'there')) FROM experiment_runs"), 21);
    assert_int_equal(whole(c, "SELECT r.seed FROM experiment_runs m JOIN runs r ON r.number = m.run WHERE label = "
                              "'here'"),
                     1);
}

static void test_rows_stand_by_age(void **state)
{
    char a[1024], b[1024], c[1024];
    struct fs_merge how = {0};

    (void)state;
    fresh("a.db", a), fresh("b.db", b), fresh("c.db", c);
    make(a, 1, 2, "one", "table");
    make(b, 3, 4, "one", "table");
    execute(a, "UPDATE runs SET created = 1000 * (4 - seed)"); /* 3000, 2000 */
    execute(b, "UPDATE runs SET created = 2500 * (5 - seed)"); /* 5000, 2500 */
    good(merge(a, b, c, &how));
    assert_int_equal(whole(c, "SELECT group_concat(seed, '') FROM (SELECT seed FROM runs ORDER BY number)"), 2413);
    assert_int_equal(whole(c, "SELECT count(*) FROM scores s JOIN runs r ON r.number = s.run WHERE s.value = 10 + "
                              "r.seed + 0.125 * (s.steps - 1)"),
                     8);
}

/* --- conflicts --- */

struct lines {
    char text[4096];
};

static void keep_line(void *owner, const char *line)
{
    struct lines *lines = owner;
    const size_t length = strlen(lines->text);

    snprintf(lines->text + length, sizeof(lines->text) - length, "%s\n", line);
}

static void test_conflicts(void **state)
{
    static const struct {
        const char *change, *said;
    } cases[] = {
        {"UPDATE scores SET value = 11.1 WHERE steps = 2", "(run ab000001, 2 steps, fd) is 11.1"},
        {"UPDATE scores SET value = value * (1 + 3e-16) WHERE steps = 2", ", not 11.125"},
        {"UPDATE checkpoints SET sha256 = 'c1'", "run ab000001: its checkpoint at update 4000 has other bytes"},
        {"UPDATE runs SET seed = 5, updates = 9", "run ab000001 is another training: it differs in seed updates"},
        {"UPDATE runs SET teacher = id", "it differs in teacher"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char a[1024], b[1024], c[1024];
        struct lines lines = {""};
        struct fs_merge how = {.conflict = keep_line, .owner = &lines};
        fresh("a.db", a), fresh("b.db", b), fresh("c.db", c);
        make(a, 1, 1, "one", "table");
        make(b, 1, 2, "one", "table");
        execute(b, cases[i].change);
        assert_int_equal(merge(a, b, c, &how), FS_USAGE);
        assert_non_null(strstr(error.text, "nothing was written"));
        assert_true(how.conflicts >= 1);
        if (!strstr(lines.text, cases[i].said) || strstr(lines.text, b) != lines.text) {
            fail_msg("said: %s", lines.text);
        }
        assert_int_equal(access(c, F_OK), -1);
        how.keep_first = true;
        good(merge(a, b, c, &how));
        assert_int_equal(whole(c, "SELECT count(*) FROM scores WHERE value = 11.125"), 1);
        assert_int_equal(whole(c, "SELECT count(*) FROM runs"), 2);
    }
}

/* One training, asked for other scores: its checkpoint's file holds the configuration, so its bytes say nothing. */
static void test_another_evaluation_is_no_conflict(void **state)
{
    char a[1024], b[1024], c[1024];
    struct fs_merge how = {0};

    (void)state;
    fresh("a.db", a), fresh("b.db", b), fresh("c.db", c);
    make(a, 1, 1, "one", "table");
    make(b, 1, 1, "one", "table");
    execute(b, "UPDATE runs SET config_json = json_set(config_json, '$.evaluate.samples', 7)");
    execute(b, "UPDATE checkpoints SET sha256 = 'c1'");
    good(merge(a, b, c, &how));
    assert_int_equal(how.conflicts, 0);
    assert_int_equal(whole(c, "SELECT count(*) FROM checkpoints WHERE sha256 = 'c1'"), 0); /* the first one's stays */
    assert_int_equal(whole(c, "SELECT count(*) FROM checkpoints"), 1);
}

/* Two machines that scored the same pictures agree but for rounding; one machine agrees with itself. */
static void test_rounding_is_no_conflict(void **state)
{
    char a[1024], b[1024], c[1024];
    static const struct {
        const char *host, *change;
        int conflicts;
    } cases[] = {
        {"two", "UPDATE scores SET value = value * (1 + 1e-5)", 0},
        {"two", "UPDATE scores SET value = value * (1 - 2e-4)", 2},
        {"one", "UPDATE scores SET value = value * (1 + 1e-5)", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fs_merge how = {0};
        fresh("a.db", a), fresh("b.db", b), fresh("c.db", c);
        make(a, 1, 1, "one", "table");
        make(b, 1, 1, cases[i].host, "table");
        execute(b, cases[i].change);
        assert_int_equal(merge(a, b, c, &how), cases[i].conflicts ? FS_USAGE : FS_OK);
        assert_int_equal(how.conflicts, cases[i].conflicts);
        if (!cases[i].conflicts) {
            assert_int_equal(whole(c, "SELECT count(*) FROM scores WHERE value = 11.125"), 1);
            assert_int_equal(whole(c, "SELECT count(*) FROM scores"), 2);
        }
    }
}

/* --- files --- */

static void test_inputs_stay_as_they_are(void **state)
{
    char a[1024], b[1024], c[1024], before[65], after[65];
    struct fs_merge how = {0};

    (void)state;
    fresh("a.db", a), fresh("b.db", b), fresh("c.db", c);
    make(a, 1, 2, "one", "table");
    make(b, 3, 4, "one", "table");
    execute(b, "PRAGMA journal_mode = WAL"); /* another tool left it so */
    fs_sha256_file(b, before, &error);
    chmod(a, 0400);
    const int files = test_folder_entries();
    good(merge(a, b, c, &how));
    assert_int_equal(test_folder_entries(), files + 1);
    fs_sha256_file(b, after, &error);
    assert_string_equal(before, after);
}

static void test_output_that_is_there(void **state)
{
    char a[1024], c[1024], log[1040];
    struct fs_merge how = {0};

    (void)state;
    fresh("a.db", a), fresh("c.db", c);
    make(a, 1, 2, "one", "table");
    test_write(c, "precious", 8);
    const int files = test_folder_entries();
    assert_int_equal(merge(a, NULL, c, &how), FS_USAGE);
    assert_non_null(strstr(error.text, "is there already"));
    assert_int_equal(merge(c, a, c, &how), FS_USAGE); /* no database */
    assert_int_equal(merge(a, NULL, test_path("no/such/folder/c.db"), &how), FS_USAGE);
    assert_int_equal(merge(test_path("nowhere.db"), a, test_path("d.db"), &how), FS_USAGE);
    assert_non_null(strstr(error.text, "nowhere.db"));
    snprintf(log, sizeof(log), "%s-wal", a);
    test_write(log, "x", 1);
    assert_int_equal(merge(a, NULL, a, &how), FS_USAGE);
    assert_non_null(strstr(error.text, "writing"));
    unlink(log);
    assert_int_equal(test_folder_entries(), files);
}

static void test_schemas(void **state)
{
    int count;
    const struct fs_migration *migrations = fs_store_migrations(&count);

    (void)state;
    for (int version = 1; version <= count + 1; version++) {
        char old[1024], c[1024], mark[64], before[65], after[65];
        sqlite3 *database;
        struct fs_merge how = {0};
        fresh("old.db", old), fresh("c.db", c);
        assert_int_equal(sqlite3_open(old, &database), SQLITE_OK);
        good(fs_store_migrate(database, migrations, version < count ? version : count, &error));
        snprintf(mark, sizeof(mark), "PRAGMA user_version = %d", version);
        assert_int_equal(sqlite3_exec(database, mark, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(database);
        fs_sha256_file(old, before, &error);
        const fs_status status = merge(old, NULL, c, &how);
        fs_sha256_file(old, after, &error);
        assert_string_equal(before, after);
        assert_int_equal(status, version <= count ? FS_OK : FS_USAGE);
        assert_int_equal(access(c, F_OK), version <= count ? 0 : -1);
        if (version <= count) {
            assert_int_equal(whole(c, "PRAGMA user_version"), count);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_union),
        cmocka_unit_test(test_every_column),
        cmocka_unit_test(test_rows_are_known_by_what_they_are),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_rows_stand_by_age),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_another_evaluation_is_no_conflict),
        cmocka_unit_test(test_rounding_is_no_conflict),
        cmocka_unit_test(test_inputs_stay_as_they_are),
        cmocka_unit_test(test_output_that_is_there),
        cmocka_unit_test(test_schemas),
    };

    srand((unsigned)time(NULL));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
