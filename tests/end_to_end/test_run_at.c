/* fewstep run --at and fewstep reproduce in a small repository whose commits build a stand-in for the program: it is
 * checked out, built, run, imported or compared, and cleared away; what goes wrong is said in a line; and git bisect
 * scores commits as it goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "harness/git/git.h"
#include "harness/store/store.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"
#include "tests/support/shell.h"

enum { COMMITS = 7, PLANTED = 4, BROKEN = 6, SEEDS = 4 }; /* from PLANTED on, scores are a fifth higher */

static struct fs_error error;
static char program[2048], commits[COMMITS][FS_COMMIT_TEXT], text[32768];

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static void said(const char *piece)
{
    if (!strstr(text, piece)) {
        fail_msg("no '%s' in:\n%s", piece, text);
    }
}

/* --- the repository --- */

/* In place of the program: says which options it got, keeps the experiment it was given, and copies the database that
 * the test made for its commit. */
static const char stand_in[] = "#!/bin/sh\n"
                               "echo \"$@\" >> $TEST_HOME/calls\n"
                               "[ -z \"$TEST_WAIT\" ] || { touch $TEST_HOME/waiting; exec sleep 30; }\n"
                               "cp \"$2\" $TEST_HOME/experiment\n"
                               "[ -z \"$TEST_FAIL\" ] || { echo 'stand-in: wrong' >&2; exit 2; }\n"
                               "echo 'a table that nobody needs'\n"
                               "cp $TEST_HOME/databases/$(git rev-parse HEAD).db \"$4/fewstep.db\"\n"
                               "exit ${TEST_END:-0}\n";

static const char makefile[] = "build/fewstep: stand-in.sh\n"
                               "\tmkdir -p build\n"
                               "\tcp stand-in.sh build/fewstep\n"
                               "\tchmod +x build/fewstep\n";

#define COMMIT                                                                                                         \
    "git add -A && git -c user.name=t -c user.email=t@t -c commit.gpgsign=false commit -qm 'commit %d' && git "        \
    "rev-parse HEAD"

static void make_commits(void)
{
    assert_int_equal(test_shell(text, sizeof(text), "git init -q . && mkdir -p kernels experiments"), 0);
    test_write("Makefile", makefile, sizeof(makefile) - 1);
    test_write("stand-in.sh", stand_in, sizeof(stand_in) - 1);
    test_write("experiments/small.yaml", "experiment: small\n", 18);
    for (int i = 0; i < COMMITS; i++) {
        if (test_shell(text, sizeof(text), "echo %d >> kernels/a.c; %s" COMMIT, i,
                       i == BROKEN ? "echo 'all: ; no-such-compiler a.c' > Makefile; " : "", i) != 0) {
            fail_msg("%s", text);
        }
        snprintf(commits[i], sizeof(commits[i]), "%.*s", (int)strcspn(text, "\n"), text);
    }
    assert_int_equal(test_shell(text, sizeof(text), "git checkout -q %s", commits[PLANTED + 1]), 0);
}

/* What a commit's program would leave: one method, one step count, a few seeds. */
static void make_database(int commit, double level)
{
    struct fs_environment about = test_environment();
    int64_t environment, experiment;
    char path[128], source[65], digits[40], id[65], hash[65];
    struct fs_store *store;

    snprintf(path, sizeof(path), "../databases/%s.db", commits[commit]);
    unlink(path);
    good(fs_git_source_hash(commits[commit], source, &error));
    good(fs_store_open(path, FS_STORE_WRITE, &store, &error));
    /* A test's database need not outlive a power cut. */
    assert_int_equal(sqlite3_exec(fs_store_handle(store), "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
    about.commit = commits[commit];
    about.source_hash = source;
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_store_experiment(store, "small", "experiments/small.yaml", "experiment: small\n", NULL, &experiment,
                             &error));
    for (int seed = 0; seed < SEEDS; seed++) {
        snprintf(digits, sizeof(digits), "%d%.16s", seed, source);
        test_id(digits, id);
        struct fs_run_row run = test_run(id);
        run.source_hash = source;
        run.seed = seed;
        good(fs_store_run(store, &run, experiment, environment, &error));
        snprintf(digits, sizeof(digits), "%.16s%d", source, seed);
        test_id(digits, hash);
        struct fs_score_row score = test_score(hash, id);
        score.source_hash = source;
        score.noise_seed = seed;
        score.value = level * (1 + 0.004 * ((seed * 7 + commit * 3) % 5 - 2));
        good(fs_store_score(store, &score, experiment, environment, &error));
    }
    fs_store_close(store);
}

static void nothing_is_left(void)
{
    assert_int_equal(test_shell(text, sizeof(text), "ls ../tmp; git worktree list | sed 1d"), 0);
    assert_string_equal(text, "");
}

static int run_at(const char *more, const char *revision)
{
    return test_shell(text, sizeof(text), "TMPDIR=$PWD/../tmp %s run experiments/small.yaml --at %s --out ../out %s",
                      program, revision, more);
}

/* --- tests --- */

static void test_an_old_commit_is_run_and_imported(void **state)
{
    (void)state;
    assert_int_equal(run_at("--set train.batch=3 --only method=flow-matching --quiet", commits[1]), 0);
    said("small: fashion-mnist, dit-xs/4, FD");
    said("± 0.0"); /* the mean of four seeds */
    said("from commit ");
    assert_non_null(strstr(strstr(text, "from commit "), (char[]){commits[1][0], commits[1][1], commits[1][2], 0}));
    assert_null(strstr(text, "nobody needs"));
    nothing_is_left();
    assert_int_equal(test_shell(text, sizeof(text), "cat ../calls"), 0);
    said("run experiments/small.yaml --out ");
    said("--set train.batch=3 --only method=flow-matching --quiet\n");
    /* Once more changes nothing; another commit joins it. */
    assert_int_equal(run_at("", commits[1]), 0);
    assert_int_equal(run_at("", "HEAD"), 0);
    assert_int_equal(test_shell(text, sizeof(text), "sqlite3 ../out/fewstep.db 'SELECT count(*) FROM scores'"), 0);
    assert_string_equal(text, "8\n");
    assert_int_equal(test_shell(text, sizeof(text), "%s table --db ../out/fewstep.db --commit %s", program, commits[1]),
                     0);
    said("20.0");
}

/* The experiment is today's file, also when it is not committed; the commit's sources are what was committed. */
static void test_a_changed_tree(void **state)
{
    (void)state;
    test_write("experiments/small.yaml", "experiment: small # edited\n", 27);
    assert_int_equal(run_at("", "HEAD~1"), 0);
    said("note: this tree has changes that are not committed; commit ");
    assert_int_equal(test_shell(text, sizeof(text), "cat ../experiment; git checkout -q experiments"), 0);
    assert_string_equal(text, "experiment: small # edited\n");
    nothing_is_left();
}

static void test_what_goes_wrong(void **state)
{
    (void)state;
    assert_int_equal(run_at("", "nowhere"), 2);
    said("fewstep: nowhere: no such revision in ");
    assert_int_equal(run_at("--dry-run", "HEAD"), 2);
    said("do not go together");
    assert_int_equal(test_shell(text, sizeof(text), "%s run nowhere.yaml --at HEAD --out ../out", program), 2);
    said("nowhere.yaml");
    assert_int_equal(test_shell(text, sizeof(text), "cd / && %s run %s --at HEAD --out %s", program,
                                test_path("repository/experiments/small.yaml"), test_path("out")),
                     2);
    said("not in a git repository");
    assert_int_equal(run_at("", commits[BROKEN]), 3);
    said("fewstep: this commit does not build here (make ended with 2); its log: ");
    assert_int_equal(test_shell(text, sizeof(text), "cat ../out/at/%.12s/build.log", commits[BROKEN]), 0);
    said("no-such-compiler");
    nothing_is_left();
    setenv("TEST_FAIL", "1", 1);
    assert_int_equal(run_at("", commits[2]), 2);
    unsetenv("TEST_FAIL");
    said("stand-in: wrong\n");
    said("ended with 2, for the reason it gave above");
    nothing_is_left();
    /* Of several runs some failed: what was made is added all the same. */
    setenv("TEST_END", "3", 1);
    assert_int_equal(run_at("--db ../some-failed.db", commits[1]), 3);
    unsetenv("TEST_END");
    said("ended with 3, for the reason it gave above");
    assert_int_equal(test_shell(text, sizeof(text), "sqlite3 ../some-failed.db 'SELECT count(*) > 0 FROM scores'"), 0);
    assert_string_equal(text, "1\n");
    assert_int_equal(test_shell(text, sizeof(text), "rm ../some-failed.db*"), 0);
    nothing_is_left();
}

static void test_databases_that_do_not_fit(void **state)
{
    (void)state;
    make_database(1, 21); /* the same run came out differently */
    assert_int_equal(run_at("", commits[1]), 2);
    said("conflict: ");
    assert_int_equal(
        test_shell(text, sizeof(text), "sqlite3 ../databases/%s.db 'PRAGMA user_version = 99'", commits[1]), 0);
    assert_int_equal(run_at("", commits[1]), 2);
    said("newer");
    assert_int_equal(test_shell(text, sizeof(text), "ls ../out/at/%.12s | grep import", commits[1]), 1);
    make_database(1, 20);
    assert_int_equal(run_at("", commits[1]), 0);
    nothing_is_left();
}

static void test_a_signal(void **state)
{
    (void)state;
    assert_int_equal(test_shell(text, sizeof(text),
                                "rm -f ../waiting; export TEST_WAIT=1 TMPDIR=$PWD/../tmp; "
                                "%s run experiments/small.yaml --at %s --out ../out & "
                                "while [ ! -e ../waiting ]; do sleep 0.05; done; kill -TERM $!; wait $!",
                                program, commits[2]),
                     5);
    said("fewstep: stopped; the same command goes on from here\n");
    nothing_is_left();
}

/* --- reproduce --- */

static int reproduce(const char *run, const char *more)
{
    return test_shell(text, sizeof(text), "TMPDIR=$PWD/../tmp %s reproduce %s --db ../out/fewstep.db --out ../out %s",
                      program, run, more);
}

/* The run of a commit's first seed in ../out/fewstep.db. */
static void first_run(int commit, char id[65])
{
    char source[65];

    good(fs_git_source_hash(commits[commit], source, &error));
    assert_int_equal(
        test_shell(text, sizeof(text),
                   "sqlite3 ../out/fewstep.db \"SELECT id FROM runs WHERE source_hash = '%s' AND seed = 0\"", source),
        0);
    snprintf(id, 65, "%.*s", (int)strcspn(text, "\n"), text);
    assert_int_equal(strlen(id), 64);
}

static void test_a_run_is_reproduced(void **state)
{
    char id[65];

    (void)state;
    assert_int_equal(run_at("", commits[1]), 0);
    first_run(1, id);
    assert_int_equal(reproduce(id, ""), 0);
    said("\nfd (fashion-cnn)      4");
    said("equal bits");
    said(", reproduced: every score is equal to the last bit (1 of 1 scores equal)\n");
    nothing_is_left();
    assert_int_equal(test_shell(text, sizeof(text), "ls ../out/reproduce; cat ../experiment"), 0);
    assert_non_null(strstr(text, "# run ")); /* its own configuration, and nothing is left of the runs */
    assert_int_equal(strncmp(text, "# run ", 6), 0);
    make_database(1, 20.1); /* half a percent higher: about the spread of the seeds */
    assert_int_equal(reproduce(id, ""), 0);
    said("+0.5 %");
    said("not the same bits, but no score differs by more than another seed's would");
    make_database(1, 22);
    assert_int_equal(reproduce(id, "--json"), 1);
    said("\"equal\":false,");
    said("\"verdict\":\"not reproduced: a score differs");
    assert_int_equal(test_shell(text, sizeof(text),
                                "sqlite3 ../databases/%s.db 'DELETE FROM experiment_scores; DELETE "
                                "FROM scores'",
                                commits[1]),
                     0);
    assert_int_equal(reproduce(id, ""), 3);
    said("none of its scores was made again");
    make_database(1, 20);
}

static void test_runs_that_cannot_be_reproduced(void **state)
{
    char id[65];

    (void)state;
    assert_int_equal(run_at("", commits[1]), 0);
    first_run(1, id);
    assert_int_equal(reproduce("ffffffffffff", ""), 2);
    said("fewstep: ");
    assert_int_equal(test_shell(text, sizeof(text), "sqlite3 ../out/fewstep.db 'UPDATE environments SET dirty = 1'"),
                     0);
    assert_int_equal(reproduce(id, ""), 3);
    said("changes that are in no commit");
    assert_int_equal(test_shell(text, sizeof(text), "%s runs --db ../out/fewstep.db", program), 0);
    said("-dirty");
    assert_int_equal(test_shell(text, sizeof(text),
                                "sqlite3 ../out/fewstep.db 'UPDATE environments SET dirty = 0, commit_hash = NULL'"),
                     0);
    assert_int_equal(reproduce(id, ""), 3);
    said("was built outside git");
    assert_int_equal(test_shell(text, sizeof(text),
                                "sqlite3 ../out/fewstep.db \"UPDATE environments SET commit_hash = '%s'\"",
                                "0123456789012345678901234567890123456789"),
                     0);
    assert_int_equal(reproduce(id, ""), 2);
    said("no such revision");
    assert_int_equal(test_shell(text, sizeof(text), "rm ../out/fewstep.db; ls ../out | grep -e -wal -e -shm"), 1);
}

/* git bisect with no runs to begin with: each commit that it asks for is scored by its own program. */
static void test_bisect_scores_as_it_goes(void **state)
{
    char expected[128];

    (void)state;
    assert_int_equal(
        test_shell(text, sizeof(text),
                   "export TMPDIR=$PWD/../tmp; cp experiments/small.yaml ../small.yaml; "
                   "%s run ../small.yaml --at %s --db ../bisect.db --out ../fresh >/dev/null && "
                   "git bisect start %s %s && git bisect run sh -c '%s run ../small.yaml --at HEAD --db "
                   "../bisect.db --out ../fresh >/dev/null || exit 125; %s regress --base %s --bisect --db "
                   "../bisect.db'; git bisect reset",
                   program, commits[0], commits[PLANTED + 1], commits[0], program, program, commits[0]),
        0);
    snprintf(expected, sizeof(expected), "%s is the first bad commit", commits[PLANTED]);
    said(expected);
    nothing_is_left();
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
    snprintf(path, sizeof(path), "cd %s && mkdir repository databases tmp", test_folder());
    if (system(path) != 0 || chdir(test_path("repository")) != 0) {
        return -1;
    }
    setenv("TEST_HOME", test_folder(), 1);
    make_commits();
    for (int i = 0; i < COMMITS; i++) {
        make_database(i, i < PLANTED ? 20 : 24);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strstr(argv[0], "/tests/end_to_end/") : NULL;
    snprintf(program, sizeof program, "%.*s/fewstep", slash ? (int)(slash - argv[0]) : 5, slash ? argv[0] : "build");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_old_commit_is_run_and_imported),
        cmocka_unit_test(test_a_changed_tree),
        cmocka_unit_test(test_what_goes_wrong),
        cmocka_unit_test(test_databases_that_do_not_fit),
        cmocka_unit_test(test_a_signal),
        cmocka_unit_test(test_a_run_is_reproduced),
        cmocka_unit_test(test_runs_that_cannot_be_reproduced),
        cmocka_unit_test(test_bisect_scores_as_it_goes),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
