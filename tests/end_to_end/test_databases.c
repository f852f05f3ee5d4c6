/* Each command that reads a database, on databases that cannot be read: one clear line and an exit status, and no file
 * beside the database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "harness/store/store.h"
#include "kernels/base/hash.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/study.h"

/* With %s where the scratch folder belongs. */
static const char *const commands[] = {
    "table",
    "table --format latex",
    "table --format csv",
    "report -o %s/page.html",
    "paper -o %s/paper",
    "runs",
    "show 123456",
    "export --format csv",
    "export --format json",
    "export --format tensorboard -o %s/tensorboard",
    "gc --out %s",
    "regress --base HEAD",
    "reproduce 123456",
    "eval 123456 --steps 1 --out %s",
    "sample 123456 -o %s/grid.png",
};

static const struct {
    const char *name, *piece;
} databases[] = {
    {"nowhere", "nowhere.db: No such file or directory; `fewstep run` makes the database"},
    {"empty", "empty.db: empty, no database yet; `fewstep run` makes one"},
    {"newer", "newer.db: its schema is version 99 and this build knows up to"},
    {"other", "other.db: an SQLite database, but not one of fewstep"},
    {"junk", "junk.db: not an SQLite database"},
    {"torn", "torn.db: the database is damaged"},
    {"folder", "folder.db: Is a directory; --db names a database"},
};

static void test_each_command_says_what_is_wrong(void **state)
{
    char command[512], arguments[1024];

    (void)state;
    for (size_t c = 0; c < sizeof(commands) / sizeof(commands[0]); c++) {
        for (size_t d = 0; d < sizeof(databases) / sizeof(databases[0]); d++) {
            snprintf(command, sizeof(command), commands[c], test_folder());
            snprintf(arguments, sizeof(arguments), "%s --db %s/%s.db", command, test_folder(), databases[d].name);
            test_program_refuses(2, arguments, databases[d].piece);
        }
    }
    for (size_t d = 0; d < sizeof(databases) / sizeof(databases[0]); d++) {
        snprintf(arguments, sizeof(arguments), "merge %s/%s.db -o %s/merged.db", test_folder(), databases[d].name,
                 test_folder());
        test_program_refuses(2, arguments, databases[d].piece);
    }
}

/* Of a database without a row. */
static void test_bare_databases(void **state)
{
    static const struct {
        int status;
        const char *command, *piece;
    } cases[] = {
        {2, "table", "the database holds no experiment yet"},
        {2, "report -o %s/page.html", "the database holds no experiment yet"},
        {2, "paper -o %s/paper", "the database holds no experiment yet"},
        {2, "export --format csv", "the database holds no experiment yet"},
        {2, "export --format json", "the database holds no experiment yet"},
        {2, "show 123456", "123456: no such run in the database"},
        {2, "reproduce 123456", "123456: no such run in the database"},
        {3, "regress --base HEAD", "has no runs in the database, nor has any other commit"},
    };
    char command[512], arguments[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(command, sizeof(command), cases[i].command, test_folder());
        snprintf(arguments, sizeof(arguments), "%s --db %s/bare.db", command, test_folder());
        test_program_refuses(cases[i].status, arguments, cases[i].piece);
    }
}

/* Reading commands on a good one: nothing is left beside it, whatever journal it was left with. (The paper's needs all
 * that its text asks for: test_outputs.c.) */
static void test_reading_leaves_nothing(void **state)
{
    static const char *const reading[] = {"table table", "table table --format latex", "runs", "report -o %s/page.html",
                                          "export table --format json"};
    char command[512], arguments[1024], text[4096];

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(reading) / sizeof(reading[0]); i++) {
        snprintf(command, sizeof(command), reading[i / 2], test_folder());
        snprintf(arguments, sizeof(arguments), "%s --db %s/%s.db", command, test_folder(), i % 2 ? "wal" : "good");
        if (test_program_run("", arguments, text, sizeof(text)) != 0) {
            fail_msg("fewstep %s: %s", arguments, text);
        }
        snprintf(arguments, sizeof(arguments), "ls %s | grep -e '-wal$' -e '-shm$' -e '-journal$'", test_folder());
        assert_int_not_equal(system(arguments), 0);
    }
}

/* What is written never replaces the database that is read, by whatever name, nor SQLite's files beside it. */
static void test_output_is_not_the_database(void **state)
{
    static const char *const writing[] = {"report", "export --format csv table", "export --format json"};
    static const char *const names[] = {"good.db", "../%s/good.db", "link.db", "good.db-wal", "good.db-journal"};
    char arguments[2400], before[65], after[65], name[256], link[1200];
    struct fs_error error;

    (void)state;
    snprintf(link, sizeof(link), "ln -sf good.db %s/link.db", test_folder());
    assert_int_equal(system(link), 0);
    fs_sha256_file(test_path("good.db"), before, &error);
    for (size_t i = 0; i < sizeof(writing) / sizeof(writing[0]); i++) {
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
            snprintf(name, sizeof(name), names[k], strrchr(test_folder(), '/') + 1);
            snprintf(arguments, sizeof(arguments), "%s --db %s/good.db -o %s/%s", writing[i], test_folder(),
                     test_folder(), name);
            test_program_refuses(2, arguments, "database that is read; name another file");
        }
    }
    fs_sha256_file(test_path("good.db"), after, &error);
    assert_string_equal(before, after);
}

static void change(const char *name, const char *sql)
{
    sqlite3 *database;

    assert_int_equal(sqlite3_open(test_path(name), &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static int set_up(void **state)
{
    static const char junk[] = "this is text, and long enough to be taken for a database by its size alone, but none";
    struct fs_error error;
    struct fs_store *store;
    char command[1200];

    (void)state;
    if (test_study_make(test_path("good.db"), test_path("samples"), &error) != FS_OK ||
        fs_store_open(test_path("bare.db"), FS_STORE_WRITE, &store, &error) != FS_OK) {
        return -1;
    }
    fs_store_close(store);
    test_write(test_path("empty.db"), "", 0);
    test_write(test_path("junk.db"), junk, sizeof(junk) - 1);
    mkdir(test_path("folder.db"), 0755);
    change("other.db", "CREATE TABLE t (a)");
    snprintf(command, sizeof(command),
             "cd %s && cp bare.db newer.db && cp good.db wal.db && head -c 9000 good.db > torn.db", test_folder());
    if (system(command) != 0) {
        return -1;
    }
    change("newer.db", "PRAGMA user_version = 99");
    change("wal.db", "PRAGMA journal_mode = WAL");
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_command_says_what_is_wrong),
        cmocka_unit_test(test_bare_databases),
        cmocka_unit_test(test_reading_leaves_nothing),
        cmocka_unit_test(test_output_is_not_the_database),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
