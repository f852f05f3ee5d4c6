/* fewstep regress in a small repository whose commits have made-up scores: verdicts, exit statuses, wrong use, and a
 * planted regression that git bisect finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/git/git.h"
#include "harness/store/query.h"
#include "harness/store/store.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"
#include "tests/support/shell.h"

#define COMMITS 10
#define PLANTED 6 /* from this commit on, scores are a fifth higher */

static struct fs_error error;
static char program[2048], commits[COMMITS][FS_COMMIT_TEXT];

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* --- a small history --- */

/* Whether a commit changes something that can change a number; the others change a text only. */
static bool changes_source(int commit)
{
    return commit != 3 && commit != 8;
}

static void make_commits(void)
{
    char text[4096];

    assert_int_equal(test_shell(text, sizeof(text), "git init -q . && mkdir -p kernels"), 0);
    for (int i = 0; i < COMMITS; i++) {
        if (test_shell(
                text, sizeof(text),
                "echo %d >> %s && git add -A && git -c user.name=t -c user.email=t@t -c commit.gpgsign=false commit "
                "-qm "
                "'commit %d' && git rev-parse HEAD",
                i, changes_source(i) ? "kernels/a.c" : "README", i) != 0) {
            fail_msg("%s", text);
        }
        snprintf(commits[i], sizeof(commits[i]), "%.*s", (int)strcspn(text, "\n"), text);
    }
}

/* Made-up luck of a seed at a commit: evenly spread over ± 1, the same at each call. */
static double luck(unsigned a, unsigned b, unsigned c)
{
    unsigned word = (a * 2654435761u) ^ (b * 40503u + 12345u) ^ (c * 2246822519u);

    word = (word ^ (word >> 15)) * 2654435761u;
    word = (word ^ (word >> 13)) * 3266489917u;
    return (double)(word >> 8) / 8388608.0 - 1;
}

struct batch {
    const char *source; /* that trains and scores */
    const char *commit; /* recorded with the build */
    bool dirty;
    int seeds;
    double level, spread;
    unsigned salt;
};

/* Runs of two methods at two step counts. */
static void add_runs(struct fs_store *store, const struct batch *batch)
{
    static const char *const methods[] = {"flow-matching", "shortcut"};
    struct fs_environment about = test_environment();
    int64_t environment, experiment;
    char digits[64], id[65], hash[65];

    about.commit = batch->commit;
    about.dirty = batch->dirty;
    about.source_hash = batch->source;
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_store_experiment(store, "small", "small.yaml", "experiment: small", NULL, &experiment, &error));
    for (int method = 0; method < 2; method++) {
        for (int seed = 0; seed < batch->seeds; seed++) {
            snprintf(digits, sizeof(digits), "%d%d%.12s", method, seed, batch->source);
            test_id(digits, id);
            struct fs_run_row run = test_run(id);
            run.method = methods[method];
            run.train_hash = methods[method];
            run.source_hash = batch->source;
            run.seed = seed;
            good(fs_store_run(store, &run, experiment, environment, &error));
            for (int steps = 1; steps <= 4; steps += 3) {
                snprintf(digits, sizeof(digits), "%d%d%d%.12s", steps, method, seed, batch->source);
                test_id(digits, hash);
                struct fs_score_row score = test_score(hash, id);
                score.steps = steps;
                score.noise_seed = seed;
                score.source_hash = batch->source;
                score.value = batch->level *
                              exp(batch->spread * luck((unsigned)(10 * seed + steps), batch->salt, (unsigned)method));
                good(fs_store_score(store, &score, experiment, environment, &error));
            }
        }
    }
}

static struct fs_store *open_database(const char *path)
{
    struct fs_store *store;

    good(fs_store_open(path, FS_STORE_WRITE, &store, &error));
    return store;
}

static void add_commit(struct fs_store *store, int commit, int seeds, double level)
{
    char source[65];

    good(fs_git_source_hash(commits[commit], source, &error));
    add_runs(store, &(struct batch){.source = source,
                                    .commit = commits[commit],
                                    .seeds = seeds,
                                    .level = level,
                                    .spread = 0.01,
                                    .salt = (unsigned)commit});
}

/* Every commit but two has runs; those after PLANTED are worse. */
static void fill_history(const char *path)
{
    struct fs_store *store = open_database(path);

    for (int i = 0; i < COMMITS; i++) {
        if (changes_source(i) && i != 2 && i != 5) {
            add_commit(store, i, 3, i < PLANTED ? 20 : 24);
        }
    }
    fs_store_close(store);
}

/* --- tests --- */

static void refuses(int status, const char *arguments, const char *piece)
{
    char text[8192];
    const int got = test_shell(text, sizeof(text), "%s regress %s", program, arguments);

    if (got != status || !strstr(text, piece)) {
        fail_msg("fewstep regress %s: status %d, expected %d; said: %s", arguments, got, status, text);
    }
}

static void test_verdicts(void **state)
{
    char arguments[512];
    static const struct {
        int base, head, status;
        const char *said;
    } cases[] = {
        {0, 1, 0, "\nsame: of 4 cells 0 worse, 0 better, 4 same"},
        {1, 9, 1, "\nworse: of 4 cells 4 worse"},
        {9, 1, 0, "\nbetter: of 4 cells 0 worse, 4 better"},
        {7, 8, 0, "nothing changed that can change a number"}, /* a commit without runs of its own */
        {7, 2, 3, "has no runs in the database"},
        {5, 7, 3, "commits that have: "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(arguments, sizeof(arguments), "small --base %s --head %s --db ../history.db", commits[cases[i].base],
                 commits[cases[i].head]);
        refuses(cases[i].status, arguments, cases[i].said);
    }
    /* HEAD is the head where none is named; the minimal effect can be larger than what moved. */
    snprintf(arguments, sizeof(arguments), "--base %s --db ../history.db", commits[0]);
    refuses(1, arguments, "worse");
    snprintf(arguments, sizeof(arguments), "--base %s --minimal 0.5 --db ../history.db", commits[0]);
    refuses(0, arguments, "\nsame");
    snprintf(arguments, sizeof(arguments), "--base %s --json --db ../history.db", commits[0]);
    refuses(1, arguments, "\"verdict\":\"worse\"");
}

/* As a comment: a heading with the verdict, and the cells that moved. */
static void test_markdown(void **state)
{
    char arguments[512], text[8192];

    (void)state;
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --format markdown --db ../history.db", commits[1],
             commits[9]);
    refuses(1, arguments, "### fewstep: worse\n\n`");
    refuses(1, arguments, "\n| method | metric | steps | seeds | base | head | change (interval) | verdict |\n|---|");
    refuses(1, arguments, "\n| Shortcut model | fd | 4 | 3 | ");
    refuses(1, arguments, " | **worse** |\n");
    refuses(1, arguments, "\nOf 4 cells 4 worse, 0 better, 0 same, 0 undecided. Chance of any false worse");
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --format markdown --db ../history.db", commits[0],
             commits[1]);
    assert_int_equal(test_shell(text, sizeof(text), "%s regress %s", program, arguments), 0);
    assert_non_null(strstr(text, "### fewstep: same\n"));
    assert_null(strstr(text, "| method")); /* nothing moved: no table */
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --format markdown --db ../history.db", commits[7],
             commits[8]);
    refuses(0, arguments, ": nothing changed that can change a number\n");
    refuses(2, "--base HEAD --format html --db ../history.db", "--format: expected text, markdown or json");
}

/* A training that failed at head has no score there. It must not vanish: the rest being the same is no "same". */
static void test_failed_at_head(void **state)
{
    static const char *const changes[] = {
        "DELETE FROM experiment_scores WHERE score IN (SELECT s.number FROM scores s JOIN runs r ON r.number = s.run "
        "WHERE r.source_hash = ?1 AND r.method = 'shortcut')",
        "DELETE FROM scores WHERE run IN (SELECT number FROM runs WHERE source_hash = ?1 AND method = 'shortcut')",
    };
    char arguments[512], source[65];
    struct fs_store *store = open_database("../failed.db");

    (void)state;
    add_commit(store, 0, 3, 20);
    add_commit(store, 1, 3, 20);
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --db ../failed.db", commits[0], commits[1]);
    refuses(0, arguments, "\nsame: of 4 cells");
    good(fs_git_source_hash(commits[1], source, &error));
    for (int i = 0; i < 2; i++) {
        good(fs_execute(fs_store_handle(store), &error, changes[i], "t", source));
    }
    /* Not run, or not yet: said, and that is all. */
    refuses(0, arguments, "\nnot at head: 6 scores of base\nsame: of 2 cells");
    good(fs_execute(fs_store_handle(store), &error,
                    "UPDATE runs SET state = 'failed' WHERE source_hash = ?1 AND method = 'shortcut' AND seed = 2", "t",
                    source));
    fs_store_close(store);
    refuses(4, arguments, "\nnot at head: 6 scores of base, 2 of them of runs that failed there");
    refuses(4, arguments, "\nundecided: of 2 cells 0 worse, 0 better, 2 same");
    snprintf(arguments, sizeof(arguments), "--json --base %s --head %s --db ../failed.db", commits[0], commits[1]);
    refuses(4, arguments, "\"unmatched\":6,\"failed_at_head\":2");
    unlink("../failed.db");
}

static void test_few_seeds(void **state)
{
    char arguments[512];
    struct fs_store *store = open_database("../few.db");

    (void)state;
    add_commit(store, 0, 1, 20);
    add_commit(store, 1, 1, 40);
    add_commit(store, 4, 2, 20.6);
    add_commit(store, 6, 2, 21);
    fs_store_close(store);
    /* One seed each: never decided, however far apart; with a spread from elsewhere, the seeds that it would take. */
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --db ../few.db", commits[0], commits[1]);
    refuses(4, arguments, "  about 2 seeds would decide");
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --db ../few.db", commits[0], commits[6]);
    refuses(4, arguments, "undecided: of 4 cells");
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --db ../few.db", commits[4], commits[6]);
    refuses(4, arguments, " seeds would decide");
    snprintf(arguments, sizeof(arguments), "--bisect --base %s --head %s --db ../few.db", commits[4], commits[6]);
    refuses(125, arguments, "undecided");
    unlink("../few.db");
}

/* What a changed tree left stands for its commit only where there is nothing better, and never in a search. */
static void test_changed_trees(void **state)
{
    static const char other[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const char older[] = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    char arguments[512];
    struct fs_store *store = open_database("../dirty.db");

    (void)state;
    add_commit(store, 0, 3, 20);
    add_runs(store, &(struct batch){other, commits[4], true, 3, 30, 0.01, 5});
    fs_store_close(store);
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --db ../dirty.db", commits[0], commits[4]);
    refuses(1, arguments, "made from a changed tree");
    strcat(arguments, " --bisect");
    refuses(125, arguments, "(changed tree)");
    /* A clean build of the commit from a time when other files counted. */
    store = open_database("../dirty.db");
    add_runs(store, &(struct batch){older, commits[4], false, 3, 20.001, 0.01, 0});
    fs_store_close(store);
    refuses(0, arguments, "source fedcba98");
    unlink("../dirty.db");
}

/* Only what one source trained and scored by itself is compared. */
static void test_mixed_sources(void **state)
{
    char arguments[512], first[65], second[65], id[65], digits[40];
    struct fs_store *store = open_database("../mixed.db");
    struct fs_environment about = test_environment();
    int64_t environment;

    (void)state;
    good(fs_git_source_hash(commits[0], first, &error));
    good(fs_git_source_hash(commits[1], second, &error));
    add_commit(store, 0, 3, 20);
    add_commit(store, 1, 3, 20);
    /* The first method's seed 2 at head was continued by another source. */
    snprintf(digits, sizeof(digits), "02%.12s", second);
    test_id(digits, id);
    struct fs_run_row run = test_run(id);
    about.source_hash = first;
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_store_run(store, &run, 0, environment, &error));
    fs_store_close(store);
    snprintf(arguments, sizeof(arguments), "--base %s --head %s --json --minimal 0.3 --db ../mixed.db", commits[0],
             commits[1]);
    refuses(0, arguments, "\"method\":\"flow-matching\"");
    char text[8192];
    test_shell(text, sizeof(text), "%s regress %s | grep -c '\"seeds\":2'", program, arguments);
    assert_int_equal(atoi(text), 2);
    test_shell(text, sizeof(text), "%s regress %s | grep -c '\"seeds\":3'", program, arguments);
    assert_int_equal(atoi(text), 2);
    unlink("../mixed.db");
}

static void test_wrong_use(void **state)
{
    char text[4096];

    (void)state;
    refuses(2, "", "--base is missing");
    refuses(2, "--base HEAD --alpha 2 --db ../history.db", "--alpha");
    refuses(2, "--base HEAD --minimal -1 --db ../history.db", "--minimal");
    refuses(2, "--base nowhere --db ../history.db", "nowhere: no such revision");
    refuses(2, "--base HEAD --head -x --db ../history.db", "-x: no such revision");
    refuses(2, "--base HEAD --db ../nowhere.db", "nowhere.db");
    refuses(2, "other --base HEAD --db ../history.db", "other: no such experiment in the database; there are: small");
    refuses(128, "--frob --base HEAD --bisect --db ../history.db", "--frob"); /* 2 would be "bad" to git bisect */
    refuses(128, "--base nowhere --bisect --db ../history.db", "nowhere");
    test_write("../empty.db", "", 0);
    refuses(2, "--base HEAD --db ../empty.db", "empty, no database yet");
    unlink("../empty.db");
    struct fs_store *store = open_database("../bare.db");
    fs_store_close(store);
    refuses(3, "--base HEAD --db ../bare.db", "has no runs in the database, nor has any other commit");
    unlink("../bare.db");
    assert_int_equal(test_shell(text, sizeof(text), "cd / && GIT_DIR=/nowhere %s regress --base HEAD --db %s", program,
                                test_path("history.db")),
                     2);
    assert_non_null(strstr(text, "not in a git repository"));
    assert_int_equal(test_shell(text, sizeof(text), "ls .. | grep -e -wal -e -shm"), 1);
}

static void test_bisect(void **state)
{
    char text[32768], expected[192];

    (void)state;
    assert_int_equal(
        test_shell(text, sizeof(text),
                   "git bisect start %s %s && git bisect run %s regress --base %s --bisect --db ../history.db; "
                   "git bisect reset",
                   commits[COMMITS - 1], commits[0], program, commits[0]),
        0);
    /* The commit before the planted one has no runs, so git can only say that it is one of the two. */
    if (!strstr(text, "The first bad commit could be any of") || !strstr(text, commits[5]) ||
        !strstr(text, commits[6]) || strstr(strstr(text, "The first bad commit"), commits[4])) {
        fail_msg("%s", text);
    }
    /* With runs for that one, too, it is found. */
    struct fs_store *store = open_database("../history.db");
    add_commit(store, 5, 3, 20);
    fs_store_close(store);
    assert_int_equal(
        test_shell(text, sizeof(text),
                   "git bisect start %s %s && git bisect run %s regress --base %s --bisect --db ../history.db; "
                   "git bisect reset",
                   commits[COMMITS - 1], commits[0], program, commits[0]),
        0);
    snprintf(expected, sizeof(expected), "%s is the first bad commit", commits[PLANTED]);
    if (!strstr(text, expected)) {
        fail_msg("%s", text);
    }
}

static int set_up(void **state)
{
    char path[1024];

    (void)state;
    unsetenv("GIT_DIR");
    unsetenv("GIT_WORK_TREE");
    unsetenv("GIT_INDEX_FILE");
    if (!realpath(program, path)) {
        return -1;
    }
    snprintf(program, sizeof(program), "%s", path);
    snprintf(path, sizeof(path), "%s", test_path("repository"));
    char command[1100];
    snprintf(command, sizeof(command), "mkdir %s", path);
    if (system(command) != 0 || chdir(path) != 0) {
        return -1;
    }
    make_commits();
    fill_history("../history.db");
    return 0;
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strstr(argv[0], "/tests/end_to_end/") : NULL;
    snprintf(program, sizeof program, "%.*s/fewstep", slash ? (int)(slash - argv[0]) : 5, slash ? argv[0] : "build");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),  cmocka_unit_test(test_markdown),      cmocka_unit_test(test_failed_at_head),
        cmocka_unit_test(test_few_seeds), cmocka_unit_test(test_changed_trees), cmocka_unit_test(test_mixed_sources),
        cmocka_unit_test(test_wrong_use), cmocka_unit_test(test_bisect),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
