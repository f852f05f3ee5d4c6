/* The database: what goes in comes out; several writers, killed writers, full disks, foreign files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/config/config.h"
#include "harness/store/environment.h"
#include "harness/store/query.h"
#include "harness/store/schema.h"
#include "kernels/base/hash.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"

struct place {
    char folder[256], path[300];
    struct fs_error error;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    test_folder_make(place->folder);
    snprintf(place->path, sizeof(place->path), "%s/a?b%%c#.db", place->folder); /* signs that mean something in a URI */
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    chmod(place->folder, 0700);
    test_folder_remove(place->folder);
    free(place);
    return 0;
}

static struct fs_store *open_store(struct place *place, enum fs_store_mode mode)
{
    struct fs_store *store;

    if (fs_store_open(place->path, mode, &store, &place->error) != FS_OK) {
        fail_msg("%s", place->error.text);
    }
    return store;
}

static int64_t whole(struct fs_store *store, const char *sql)
{
    struct fs_error error;
    int64_t value;

    if (fs_query_whole(fs_store_handle(store), &value, -1, &error, sql, "") != FS_OK) {
        fail_msg("%s", error.text);
    }
    return value;
}

static int count_migrations(void)
{
    int count;

    fs_store_migrations(&count);
    return count;
}

static void good(fs_status status, const struct fs_error *error)
{
    if (status != FS_OK) {
        fail_msg("%s", error->text);
    }
}

/* A store with an environment, an experiment and a run in it. */
static struct fs_store *filled(struct place *place, char run[65], int64_t *experiment, int64_t *environment)
{
    struct fs_store *store = open_store(place, FS_STORE_WRITE);
    const struct fs_environment about = test_environment();

    test_id("abcdef01", run);
    const struct fs_run_row row = test_run(run);
    good(fs_store_environment(store, &about, environment, &place->error), &place->error);
    good(fs_store_experiment(store, "table", "experiments/table.yaml", "experiment: table\n", NULL, experiment,
                             &place->error),
         &place->error);
    good(fs_store_run(store, &row, *experiment, *environment, &place->error), &place->error);
    return store;
}

/* --- round trips --- */

static void test_environments_and_experiments_are_stored_once(void **state)
{
    struct place *place = *state;
    struct fs_store *store = open_store(place, FS_STORE_WRITE);
    struct fs_environment about = test_environment();
    int64_t first, again, other;

    good(fs_store_environment(store, &about, &first, &place->error), &place->error);
    good(fs_store_environment(store, &about, &again, &place->error), &place->error);
    about.ranks = 1; /* one process says so, or says nothing */
    good(fs_store_environment(store, &about, &again, &place->error), &place->error);
    assert_int_equal(first, again);
    about.ranks = 4;
    good(fs_store_environment(store, &about, &other, &place->error), &place->error);
    assert_int_not_equal(first, other);
    assert_int_equal(whole(store, "SELECT ranks FROM environments ORDER BY id DESC"), 4);
    about.ranks = 0;
    about.dirty = true;
    good(fs_store_environment(store, &about, &other, &place->error), &place->error);
    assert_int_equal(first, again);
    assert_int_not_equal(first, other);
    about.commit = "";
    about.isa = NULL;
    good(fs_store_environment(store, &about, &other, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT count(*) FROM environments WHERE commit_hash IS NULL AND isa IS NULL"), 1);
    assert_int_equal(whole(store, "SELECT count(*) FROM environments WHERE commit_hash LIKE 'c0ffee%' AND host = 'here'"
                                  " AND threads = 2 AND device = 'cpu' AND cpu = 'a processor' AND isa = 'avx2'"
                                  " AND flags = '-O2' AND compiler = 'gcc 12.2.0' AND libraries = 'oneDNN 2.6.3'"),
                     3);

    good(fs_store_experiment(store, "t", "t.yaml", "a: 1", NULL, &first, &place->error), &place->error);
    good(fs_store_experiment(store, "t", "moved.yaml", "a: 1", "train.batch", &again, &place->error), &place->error);
    good(fs_store_experiment(store, "t", "t.yaml", "a: 2", NULL, &other, &place->error), &place->error);
    assert_int_equal(first, again);
    assert_int_not_equal(first, other);
    assert_int_equal(whole(store, "SELECT count(*) FROM experiments WHERE path = 'moved.yaml' AND ablated = "
                                  "'train.batch' AND text = 'a: 1'"),
                     1);
    fs_store_close(store);
}

static void test_runs(void **state)
{
    struct place *place = *state;
    char id[65], teacher[65], found[65], *config;
    int64_t experiment, environment;
    struct fs_store *store = filled(place, id, &experiment, &environment);
    struct fs_run_row row;

    test_id("abcdef99", teacher);
    row = test_run(teacher);
    row.is_teacher = true;
    good(fs_store_run(store, &row, 0, environment, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT count(*) FROM experiment_runs"), 1);
    assert_int_equal(whole(store, "SELECT sum(is_teacher) FROM runs"), 1);
    row.is_teacher = false; /* now it stands in a matrix too, and stays so */
    good(fs_store_run(store, &row, experiment, environment, &place->error), &place->error);
    row.is_teacher = true;
    good(fs_store_run(store, &row, experiment, environment, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT sum(is_teacher) FROM runs"), 0);
    assert_int_equal(whole(store, "SELECT count(*) FROM runs"), 2);
    assert_int_equal(whole(store, "SELECT count(*) FROM run_environments"), 2);

    good(fs_store_run_restarts(store, id, 2, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT group_concat(restarts, '') FROM (SELECT restarts FROM runs ORDER BY number)"),
                     20);
    good(fs_store_run_state(store, id, "training", NULL, 2, 1e9, &place->error), &place->error);
    good(fs_store_run_state(store, id, "failed", "loss is NaN", 3, 5e8, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT count(*) FROM runs WHERE seconds = 5 AND peak_bytes = 1e9 AND state = "
                                  "'failed' AND message = 'loss is NaN'"),
                     1);
    assert_int_equal(fs_store_run_state(store, "nobody", "trained", NULL, 0, 0, &place->error), FS_FAILED);
    assert_int_equal(fs_store_run_state(store, id, "no such state", NULL, 0, 0, &place->error), FS_FAILED);

    good(fs_store_find_run(store, "abcdef01", found, &config, &place->error), &place->error);
    assert_string_equal(found, id);
    assert_string_equal(config, "{}");
    free(config);
    assert_int_equal(fs_store_find_run(store, "abcdef", found, &config, &place->error), FS_USAGE);
    assert_non_null(strstr(place->error.text, "several"));
    assert_int_equal(fs_store_find_run(store, "abcde", found, &config, &place->error), FS_USAGE);
    assert_int_equal(fs_store_find_run(store, "123456", found, &config, &place->error), FS_USAGE);
    assert_int_equal(fs_store_find_run(store, "abcdeg01", found, &config, &place->error), FS_USAGE);
    fs_store_close(store);
}

static void test_half_trained_runs_of_another_source_are_found(void **state)
{
    struct place *place = *state;
    char id[65], newer[65], found_id[65];
    int64_t experiment, environment;
    struct fs_store *store = filled(place, id, &experiment, &environment);
    struct fs_run_row row;
    bool found;

    test_id("abcdef02", newer);
    row = test_run(newer);
    good(fs_store_run(store, &row, experiment, environment, &place->error), &place->error);
    good(fs_store_find_half_trained(store, "7a17", 0, "da7a", "new", found_id, &found, &place->error), &place->error);
    assert_false(found); /* neither has begun */
    good(fs_store_run_state(store, id, "training", NULL, 0, 0, &place->error), &place->error);
    good(fs_store_run_state(store, newer, "failed", "full", 0, 0, &place->error), &place->error);
    good(fs_store_find_half_trained(store, "7a17", 0, "da7a", "new", found_id, &found, &place->error), &place->error);
    assert_true(found);
    assert_string_equal(found_id, newer);
    good(fs_store_run_state(store, newer, "trained", NULL, 0, 0, &place->error), &place->error);
    good(fs_store_find_half_trained(store, "7a17", 0, "da7a", "new", found_id, &found, &place->error), &place->error);
    assert_true(found);
    assert_string_equal(found_id, id);
    good(fs_store_find_half_trained(store, "7a17", 1, "da7a", "new", found_id, &found, &place->error), &place->error);
    assert_false(found);
    good(fs_store_find_half_trained(store, "7a17", 0, "da7a", row.source_hash, found_id, &found, &place->error),
         &place->error);
    assert_false(found);
    fs_store_close(store);
}

static void test_this_environment_is_described(void **state)
{
    const struct fs_backend backend = {.name = "cpu", .variant = "avx2"};
    struct place *place = *state;
    struct fs_environment_texts texts;
    const struct fs_environment about = fs_environment_collect(&backend, 1, &texts);
    struct fs_store *store = open_store(place, FS_STORE_WRITE);
    int64_t id;

    assert_int_equal(strlen(about.source_hash), 64);
    assert_non_null(strstr(about.libraries, sqlite3_libversion()));
    assert_null(strstr(about.libraries, "unknown"));
    assert_in_range(about.threads, 1, 4096);
    assert_true(about.host[0] && about.cpu[0] && about.compiler[0]);
    good(fs_store_this_environment(store, &backend, 1, &id, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT count(*) FROM environments WHERE isa = 'avx2' AND device = 'cpu'"), 1);
    fs_store_close(store);
}

static void test_checkpoints_and_curves_are_replaced(void **state)
{
    struct place *place = *state;
    char id[65];
    int64_t experiment, environment;
    struct fs_store *store = filled(place, id, &experiment, &environment);
    struct fs_curve_point points[] = {{"loss", 1, 0.5}, {"loss", 2, 0.25}, {"loss/level/3", 2, (double)NAN}};

    good(fs_store_checkpoint(store, id, 100, "a", "1", 10, &place->error), &place->error);
    good(fs_store_checkpoint(store, id, 100, "b", "2", 20, &place->error), &place->error);
    good(fs_store_checkpoint(store, id, 200, "c", "3", 30, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT sum(bytes) FROM checkpoints"), 50);

    good(fs_store_curve(store, id, points, 3, &place->error), &place->error);
    points[1].value = 2;
    good(fs_store_curve(store, id, points, 3, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT count(*) FROM curves"), 3);
    assert_int_equal(whole(store, "SELECT value = 2 FROM curves WHERE name = 'loss' AND at_update = 2"), 1);
    assert_int_equal(whole(store, "SELECT value IS NULL FROM curves WHERE name = 'loss/level/3'"), 1);
    fs_store_close(store);
}

static void test_spectra_come_and_go_with_their_score(void **state)
{
    struct place *place = *state;
    char id[65];
    int64_t experiment, environment;
    struct fs_store *store = filled(place, id, &experiment, &environment);
    struct fs_spectrum_point points[3] = {{0.1, 5, 0.5, 4}, {0.2, 0.1, 0.01, 0.2}, {0.3, 1e-9, 0, 1e-9}}, *read;
    struct fs_score_row score = test_score("s1", id);
    int count;

    score.metric = "spectrum";
    score.spectrum = points;
    score.spectrum_count = 3;
    good(fs_store_score(store, &score, experiment, environment, &place->error), &place->error);
    const int64_t number = whole(store, "SELECT number FROM scores");
    good(fs_store_spectrum(store, number, &read, &count, &place->error), &place->error);
    assert_int_equal(count, 3);
    assert_memory_equal(read, points, sizeof points);
    free(read);
    score.spectrum_count = 2;
    points[1].power = 7;
    good(fs_store_score(store, &score, experiment, environment, &place->error), &place->error);
    good(fs_store_spectrum(store, number, &read, &count, &place->error), &place->error);
    assert_int_equal(count, 2);
    assert_true(read[1].power == 7);
    free(read);
    good(fs_store_spectrum(store, number + 1, &read, &count, &place->error), &place->error);
    assert_int_equal(count, 0);
    free(read);
    fs_store_close(store);
}

static void test_scores(void **state)
{
    struct place *place = *state;
    char id[65];
    int64_t experiment, environment;
    struct fs_store *store = filled(place, id, &experiment, &environment);
    struct fs_score_row score = test_score("s1", id);
    bool found;
    double value = 0;

    score.value = 0.1; /* no short binary form: must come back to the last bit */
    score.noise_seed = 7;
    good(fs_store_score(store, &score, experiment, environment, &place->error), &place->error);
    score = test_score("floor", NULL);
    score.source = "dataset:fashion-mnist:test";
    score.low = score.high = (double)NAN;
    good(fs_store_score(store, &score, 0, environment, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT count(*) FROM experiment_scores"), 1);

    good(fs_store_find_score(store, "s1", 0, &found, &value, &place->error), &place->error);
    assert_true(found && value == 0.1);
    good(fs_store_find_score(store, "floor", experiment, &found, &value, &place->error), &place->error);
    assert_true(found && value == 12.5);
    assert_int_equal(whole(store, "SELECT count(*) FROM experiment_scores"), 2);
    good(fs_store_find_score(store, "none", experiment, &found, &value, &place->error), &place->error);
    assert_false(found);

    assert_int_equal(
        whole(store, "SELECT count(*) FROM scores WHERE score_hash = 's1' AND run = 1 AND source = 'run' AND at_update "
                     "= 4000 AND weights = 'ema' AND steps = 4 AND guidance_scale = 1 AND labels = 'index mod 10' AND "
                     "noise_seed = 7 AND samples = 5000 AND quantize = 1 AND resize = 'none' AND extractor = "
                     "'fashion-cnn' AND extractor_sha256 = 'e0' AND tap = 'features' AND reference = "
                     "'dataset:fashion-mnist:train' AND reference_sha256 = '4e' AND metric = 'fd' AND precision = "
                     "'fp32' AND device = 'cpu' AND source_hash LIKE '5011ce%' AND low = 12 AND high = 13 AND seconds "
                     "= 2.5 AND environment = 1"),
        1);
    assert_int_equal(whole(store, "SELECT count(*) FROM scores WHERE run IS NULL AND low IS NULL AND high IS NULL"), 1);

    score = test_score("s1", id);
    score.value = 3;
    good(fs_store_score(store, &score, experiment, environment, &place->error), &place->error);
    good(fs_store_find_score(store, "s1", 0, &found, &value, &place->error), &place->error);
    assert_true(value == 3);
    score.run = "nobody";
    assert_int_equal(fs_store_score(store, &score, experiment, environment, &place->error), FS_FAILED);
    score = test_score("s2", id); /* an experiment that is not there: nothing half-written stays */
    assert_int_equal(fs_store_score(store, &score, 99, environment, &place->error), FS_FAILED);
    good(fs_store_find_score(store, "s2", 0, &found, &value, &place->error), &place->error);
    assert_false(found);
    fs_store_close(store);
    assert_int_equal(test_folder_files(place->folder), 1);
}

/* A run's row may have another name in each experiment; it is no part of what the run is. */
static void test_labels(void **state)
{
    struct place *place = *state;
    char id[65];
    int64_t experiment, second, environment;
    struct fs_store *store = filled(place, id, &experiment, &environment);
    const struct fs_run_row row = test_run(id);

    good(fs_store_experiment(store, "second", "2.yaml", "2", NULL, &second, &place->error), &place->error);
    good(fs_store_run(store, &row, second, environment, &place->error), &place->error);
    good(fs_store_label(store, id, second, "a row; of \"mine\"", &place->error), &place->error);
    good(fs_store_run(store, &row, second, environment, &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT count(*) FROM experiment_runs WHERE label IS NULL"), 1);
    assert_int_equal(whole(store, "SELECT experiment FROM experiment_runs WHERE label = 'a row; of \"mine\"'"), second);
    good(fs_store_label(store, id, second, "", &place->error), &place->error);
    assert_int_equal(whole(store, "SELECT count(*) FROM experiment_runs WHERE label IS NULL"), 2);
    fs_store_close(store);
}

/* --- several processes, killed ones, full disks --- */

/* Writes scores "<tag><i>" and one byte to `report` for each that was reported as written; ends at a failure. */
static fs_status write_scores(struct place *place, const char *tag, int count, int report)
{
    struct fs_store *store;
    fs_status status = fs_store_open(place->path, FS_STORE_WRITE, &store, &place->error);

    if (status != FS_OK) {
        return status;
    }
    for (int i = 0; i < count && status == FS_OK; i++) {
        char hash[32];
        snprintf(hash, sizeof(hash), "%s%d", tag, i);
        const struct fs_score_row score = test_score(hash, NULL);
        status = fs_store_score(store, &score, 1, 1, &place->error);
        if (status == FS_OK && write(report, "+", 1) != 1) {
            status = FS_FAILED;
        }
    }
    fs_store_close(store);
    return status;
}

static int bytes_in(int file)
{
    char buffer[4096];
    ssize_t size;
    int count = 0;

    while ((size = read(file, buffer, sizeof(buffer))) > 0) {
        count += (int)size;
    }
    close(file);
    return count;
}

static void test_two_processes_write_at_once(void **state)
{
    struct place *place = *state;
    const char *const tags[] = {"left-", "right-"};
    char id[65];
    int64_t experiment, environment;
    int report[2];

    fs_store_close(filled(place, id, &experiment, &environment));
    assert_int_equal(pipe(report), 0);
    for (int i = 0; i < 2; i++) {
        if (fork() == 0) {
            _exit(write_scores(place, tags[i], 200, report[1]));
        }
    }
    close(report[1]);
    for (int i = 0; i < 2; i++) {
        int status;
        wait(&status);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), FS_OK);
    }
    assert_int_equal(bytes_in(report[0]), 400);
    assert_int_equal(test_folder_files(place->folder), 1);
    struct fs_store *store = open_store(place, FS_STORE_READ);
    assert_int_equal(whole(store, "SELECT count(DISTINCT score_hash) FROM scores"), 400);
    assert_int_equal(whole(store, "SELECT count(*) FROM experiment_scores"), 400);
    fs_store_close(store);
}

static void test_two_processes_make_the_database_at_once(void **state)
{
    struct place *place = *state;

    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            struct fs_store *store;
            const fs_status status = fs_store_open(place->path, FS_STORE_WRITE, &store, &place->error);
            fs_store_close(store);
            _exit(status);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status;
        wait(&status);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), FS_OK);
    }
    fs_store_close(open_store(place, FS_STORE_READ));
}

static void test_a_killed_writer_loses_nothing_reported(void **state)
{
    struct place *place = *state;
    char id[65];
    int64_t experiment, environment;
    int report[2], status;

    fs_store_close(filled(place, id, &experiment, &environment));
    assert_int_equal(pipe(report), 0);
    if (fork() == 0) {
        struct fs_store *store = open_store(place, FS_STORE_WRITE);
        for (int i = 0; i < 20; i++) {
            char hash[32];
            snprintf(hash, sizeof(hash), "%d", i);
            const struct fs_score_row score = test_score(hash, id);
            if (fs_store_score(store, &score, experiment, environment, &place->error) == FS_OK &&
                write(report[1], "+", 1) != 1) {
                _exit(1);
            }
        }
        sqlite3 *database = fs_store_handle(store);
        fs_write_begin(database, &place->error);
        fs_execute(database, &place->error, "UPDATE scores SET value = -1", "");
        kill(getpid(), SIGKILL);
    }
    close(report[1]);
    wait(&status);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(bytes_in(report[0]), 20);

    struct fs_store *store = open_store(place, FS_STORE_READ);
    assert_int_equal(whole(store, "SELECT count(*) FROM scores WHERE value = 12.5"), 20);
    fs_store_close(store);
    store = open_store(place, FS_STORE_WRITE);
    assert_int_equal(whole(store, "SELECT count(*) FROM scores WHERE value = 12.5"), 20);
    fs_store_close(store);
    assert_int_equal(test_folder_files(place->folder), 1);
}

static void test_a_full_disk_is_said_and_loses_nothing_reported(void **state)
{
    struct place *place = *state;
    char id[65];
    int64_t experiment, environment;
    int report[2], status;

    fs_store_close(filled(place, id, &experiment, &environment));
    assert_int_equal(pipe(report), 0);
    if (fork() == 0) {
        const struct rlimit limit = {.rlim_cur = 300 * 1024, .rlim_max = 300 * 1024};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(write_scores(place, "full-", 3000, report[1]));
    }
    close(report[1]);
    wait(&status);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), FS_FAILED);
    const int reported = bytes_in(report[0]);
    assert_in_range(reported, 1, 2999);
    struct fs_store *store = open_store(place, FS_STORE_WRITE);
    assert_int_equal(whole(store, "SELECT count(*) FROM scores"), reported);
    assert_int_equal(whole(store, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    fs_store_close(store);
}

/* --- files that are not ours --- */

static void refused(struct place *place, const char *what)
{
    for (int mode = FS_STORE_READ; mode <= FS_STORE_WRITE; mode++) {
        struct fs_store *store;
        assert_int_equal(fs_store_open(place->path, (enum fs_store_mode)mode, &store, &place->error), FS_USAGE);
        assert_null(store);
        if (!strstr(place->error.text, what)) {
            fail_msg("'%s' does not say '%s'", place->error.text, what);
        }
    }
}

static void test_foreign_files_are_refused(void **state)
{
    struct place *place = *state;
    sqlite3 *other;
    FILE *file = fopen(place->path, "wb");

    for (int i = 0; i < 5000; i++) {
        fputc(i * 37 % 251, file);
    }
    fclose(file);
    refused(place, "not an SQLite database");

    unlink(place->path);
    assert_int_equal(sqlite3_open(place->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "CREATE TABLE cats (name TEXT)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    refused(place, "not one of fewstep");

    unlink(place->path);
    fs_store_close(open_store(place, FS_STORE_WRITE));
    assert_int_equal(sqlite3_open(place->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "PRAGMA user_version = 1000", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    refused(place, "newer");

    snprintf(place->path, sizeof(place->path), "%s/no/such/folder.db", place->folder);
    refused(place, "folder.db");
}

static void test_an_empty_file_is_no_database_to_read_and_a_fresh_one_to_write(void **state)
{
    struct place *place = *state;
    struct fs_store *store;

    assert_int_equal(fs_store_open(place->path, FS_STORE_READ, &store, &place->error), FS_USAGE);
    assert_int_equal(test_folder_files(place->folder), 0);
    fclose(fopen(place->path, "wb"));
    assert_int_equal(fs_store_open(place->path, FS_STORE_READ, &store, &place->error), FS_USAGE);
    fs_store_close(open_store(place, FS_STORE_WRITE));
    fs_store_close(open_store(place, FS_STORE_READ));
}

/* --- reading --- */

static void read_one_score(struct place *place)
{
    struct fs_store *store = open_store(place, FS_STORE_READ);
    struct fs_error error;

    assert_int_equal(whole(store, "SELECT count(*) FROM scores"), 1);
    assert_int_not_equal(fs_execute(fs_store_handle(store), &error, "DELETE FROM scores", ""), FS_OK);
    assert_int_equal(test_folder_files(place->folder), 1);
    fs_store_close(store);
    assert_int_equal(test_folder_files(place->folder), 1);
}

/* Of interest to a superuser only: puts the rights of a user on, and off again. */
static void become(uid_t user)
{
    if (getuid() == 0) {
        assert_int_equal(seteuid(user), 0);
    }
}

static void test_reading_leaves_no_files_even_in_a_read_only_folder(void **state)
{
    struct place *place = *state;
    char id[65];
    int64_t experiment, environment;
    struct fs_store *store = filled(place, id, &experiment, &environment);
    const struct fs_score_row score = test_score("s", id);
    sqlite3 *other;

    good(fs_store_score(store, &score, experiment, environment, &place->error), &place->error);
    fs_store_close(store);
    for (int marked_wal = 0; marked_wal < 2; marked_wal++) {
        read_one_score(place);
        chmod(place->path, 0444);
        chmod(place->folder, 0555);
        become(65534); /* permissions do not bind the superuser */
        read_one_score(place);
        become(0);
        chmod(place->folder, 0700);
        chmod(place->path, 0600);
        /* Once more with the header as another tool's clean close leaves it: WAL, but no log. */
        assert_int_equal(sqlite3_open(place->path, &other), SQLITE_OK);
        assert_int_equal(sqlite3_exec(other, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(other);
    }
}

static void test_a_reader_sees_what_a_writer_has_reported(void **state)
{
    struct place *place = *state;
    char id[65];
    int64_t experiment, environment;
    struct fs_store *writer = filled(place, id, &experiment, &environment);
    struct fs_store *reader = open_store(place, FS_STORE_READ);
    const struct fs_score_row score = test_score("s", id);

    assert_int_equal(whole(reader, "SELECT count(*) FROM scores"), 0);
    good(fs_store_score(writer, &score, experiment, environment, &place->error), &place->error);
    assert_int_equal(whole(reader, "SELECT count(*) FROM scores"), 1);
    fs_store_close(reader);
    fs_store_close(writer);
    assert_int_equal(test_folder_files(place->folder), 1);
}

/* As on a network share: SQLite's file layer with lock files knows no shared memory, and so no write-ahead log. */
static void test_a_network_share_is_refused_for_writing_and_read(void **state)
{
    struct place *place = *state;
    char id[65], path[320];
    int64_t experiment, environment;
    struct fs_store *store = filled(place, id, &experiment, &environment);
    const struct fs_score_row score = test_score("s", id);
    sqlite3_vfs *usual = sqlite3_vfs_find(NULL), *share = sqlite3_vfs_find("unix-dotfile");

    good(fs_store_score(store, &score, experiment, environment, &place->error), &place->error);
    fs_store_close(store);
    assert_non_null(share);
    sqlite3_vfs_register(share, 1);
    for (int made = 0; made < 2; made++) { /* a database that is there, and a new one */
        snprintf(path, sizeof(path), "%s%s", place->path, made ? "" : ".new");
        assert_int_equal(fs_store_open(path, FS_STORE_WRITE, &store, &place->error), FS_USAGE);
        assert_non_null(strstr(place->error.text, path));
        assert_non_null(strstr(place->error.text, "its file system (a network share?) does not allow SQLite's "
                                                  "write-ahead log; give a --db on a local disk"));
        unlink(path + (made ? strlen(path) : 0));
    }
    read_one_score(place);
    sqlite3_vfs_register(usual, 1);
    read_one_score(place);
}

/* --- migrations --- */

/* A file as version 1 wrote it, perhaps still marked for WAL, is read as if it were up to date, and not touched; the
 * first writer brings it up to date. */
static void test_an_older_schema_is_read_and_migrated(void **state)
{
    struct place *place = *state;
    struct fs_spectrum_point *points;
    char before[65], after[65];
    int count;

    for (int wal = 0; wal < 2; wal++) {
        sqlite3 *database;
        unlink(place->path);
        assert_int_equal(sqlite3_open(place->path, &database), SQLITE_OK);
        if (wal) {
            assert_int_equal(sqlite3_exec(database, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), SQLITE_OK);
        }
        good(fs_store_migrate(database, fs_store_migrations(&count), 1, &place->error), &place->error);
        good(fs_execute(database, &place->error,
                        "INSERT INTO experiments VALUES (7, 'old', 'old.yaml', 'a: 1', '0', NULL, 1, 1)", ""),
             &place->error);
        sqlite3_close(database);
        good(fs_sha256_file(place->path, before, &place->error), &place->error);

        struct fs_store *store = open_store(place, FS_STORE_READ);
        assert_int_equal(whole(store, "SELECT id FROM experiments WHERE name = 'old'"), 7);
        assert_int_equal(whole(store, "SELECT count(*) FROM spectra"), 0);
        good(fs_store_spectrum(store, 1, &points, &count, &place->error), &place->error);
        assert_int_equal(count, 0);
        free(points);
        assert_int_not_equal(fs_execute(fs_store_handle(store), &place->error, "DELETE FROM experiments", ""), FS_OK);
        fs_store_close(store);
        good(fs_sha256_file(place->path, after, &place->error), &place->error);
        assert_string_equal(before, after);
        assert_int_equal(test_folder_files(place->folder), 1);
    }
    fs_store_close(open_store(place, FS_STORE_WRITE));
    struct fs_store *store = open_store(place, FS_STORE_READ);
    assert_int_equal(whole(store, "PRAGMA user_version"), count_migrations());
    assert_int_equal(whole(store, "SELECT id FROM experiments WHERE name = 'old'"), 7);
    fs_store_close(store);
}

#define ENVIRONMENTS_2                                                                                                 \
    "id, hash, commit_hash, dirty, source_hash, compiler, flags, libraries, cpu, isa, device, host, threads, created"
#define RUNS_2                                                                                                         \
    "number, id, method, dataset, model, config_json, train_hash, seed, data_sha256, source_hash, teacher, "           \
    "is_teacher, updates, flops, state, message, seconds, peak_bytes, created, changed"
#define SCORES_2                                                                                                       \
    "number, score_hash, run, source, at_update, weights, steps, guidance_scale, labels, noise_seed, samples, "        \
    "quantize, resize, extractor, extractor_sha256, tap, reference, reference_sha256, metric, precision, device, "     \
    "source_hash, value, low, high, seconds, environment, created"

/* Scores of version 2 learn whether they are used outside what their method was trained for; scores of data and of
 * configurations that this build does not know do not. */
static void test_outside_is_filled_by_the_migration(void **state)
{
    struct place *place = *state;
    sqlite3 *database;
    sqlite3_stmt *query;
    bool row;
    int count, outside[2] = {0, 0};

    assert_int_equal(sqlite3_open(place->path, &database), SQLITE_OK);
    good(fs_store_migrate(database, fs_store_migrations(&count), 2, &place->error), &place->error);
    if (sqlite3_exec(database,
                     "ATTACH 'results/fewstep.db' AS other; INSERT INTO environments (" ENVIRONMENTS_2 ") "
                     "SELECT " ENVIRONMENTS_2 " FROM other.environments; INSERT INTO runs (" RUNS_2 ") SELECT " RUNS_2
                     " FROM other.runs; INSERT INTO scores (" SCORES_2 ") SELECT " SCORES_2
                     " FROM other.scores; UPDATE runs SET config_json = 'not known' WHERE number = 1",
                     NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s", sqlite3_errmsg(database));
    }
    sqlite3_close(database);
    fs_store_close(open_store(place, FS_STORE_WRITE));
    struct fs_store *store = open_store(place, FS_STORE_READ);
    assert_int_equal(whole(store, "SELECT count(*) FROM scores WHERE (run IS NULL OR run = 1) <> (outside IS NULL)"),
                     0);
    assert_true(whole(store, "SELECT count(*) FROM scores WHERE outside IS NULL") > 1);
    good(fs_query_open(fs_store_handle(store), &query, &place->error,
                       "SELECT r.config_json, s.steps, s.outside FROM scores s JOIN runs r ON r.number = s.run WHERE "
                       "r.number > 1",
                       ""),
         &place->error);
    for (good(fs_query_next(query, &row, &place->error), &place->error); row;
         good(fs_query_next(query, &row, &place->error), &place->error)) {
        struct fs_config config;
        good(fs_config_from_json(fs_query_text(query, 0), &config, &place->error), &place->error);
        const struct fs_method_setup setup = fs_config_method_setup(&config);
        const bool expected = config.method->outside_training(&setup, sqlite3_column_int(query, 1));
        assert_int_equal(sqlite3_column_int(query, 2), expected);
        outside[expected]++;
        fs_config_free(&config);
    }
    sqlite3_finalize(query);
    fs_store_close(store);
    assert_true(outside[0] > 10 && outside[1] > 10);
}

/* The database in the repository, whatever schema it was made with. */
static void test_the_committed_database_is_read(void **state)
{
    struct place *place = *state;

    snprintf(place->path, sizeof(place->path), "results/fewstep.db");
    struct fs_store *store = open_store(place, FS_STORE_READ);
    assert_true(whole(store, "SELECT count(*) FROM scores WHERE metric = 'fd'") > 0);
    assert_int_equal(whole(store, "SELECT count(*) FROM spectra WHERE score NOT IN (SELECT number FROM scores)"), 0);
    fs_store_close(store);
}

/* A score is found again by its identity: those of the scores in the repository are still what they were stored by. */
static void test_identities_of_stored_scores_hold(void **state)
{
    struct place *place = *state;
    sqlite3_stmt *query;
    bool row;
    int count = 0;

    snprintf(place->path, sizeof(place->path), "results/fewstep.db");
    struct fs_store *store = open_store(place, FS_STORE_READ);
    good(fs_query_open(
             fs_store_handle(store), &query, &place->error,
             "SELECT s.score_hash, r.id, s.source, s.at_update, s.weights, s.steps, s.guidance_scale, "
             "s.labels, s.noise_seed, s.samples, s.quantize, s.resize, s.extractor, s.extractor_sha256, "
             "s.tap, s.reference, s.reference_sha256, s.metric, s.precision, s.device, s.source_hash, s.sampler, "
             "s.time_grid, s.decoder_sha256, s.decoder_precision "
             "FROM scores s LEFT JOIN runs r ON r.number = s.run",
             ""),
         &place->error);
    for (good(fs_query_next(query, &row, &place->error), &place->error); row;
         good(fs_query_next(query, &row, &place->error), &place->error), count++) {
        const struct fs_score_row score = {
            .run = sqlite3_column_type(query, 1) == SQLITE_NULL ? NULL : fs_query_text(query, 1),
            .source = fs_query_text(query, 2),
            .update = sqlite3_column_int64(query, 3),
            .weights = fs_query_text(query, 4),
            .steps = sqlite3_column_int(query, 5),
            .guidance_scale = sqlite3_column_double(query, 6),
            .labels = fs_query_text(query, 7),
            .noise_seed = sqlite3_column_int64(query, 8),
            .samples = sqlite3_column_int64(query, 9),
            .quantize = sqlite3_column_int(query, 10),
            .resize = fs_query_text(query, 11),
            .extractor = fs_query_text(query, 12),
            .extractor_sha256 = fs_query_text(query, 13),
            .tap = fs_query_text(query, 14),
            .reference = fs_query_text(query, 15),
            .reference_sha256 = fs_query_text(query, 16),
            .metric = fs_query_text(query, 17),
            .precision = fs_query_text(query, 18),
            .device = fs_query_text(query, 19),
            .source_hash = fs_query_text(query, 20),
            .sampler = fs_query_text(query, 21),
            .time_grid = fs_query_text(query, 22),
            .decoder_sha256 = fs_query_text(query, 23),
            .decoder_precision = fs_query_text(query, 24),
        };
        char hash[65];
        good(fs_columns_hash(&fs_score_columns, &score, hash, &place->error), &place->error);
        assert_string_equal(hash, fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    assert_int_equal(count, whole(store, "SELECT count(*) FROM scores"));
    assert_true(count >= 361);
    fs_store_close(store);
}

/* So is a run: by the hash of its configuration, and by the id over that hash. */
static void test_identities_of_stored_runs_hold(void **state)
{
    struct place *place = *state;
    sqlite3_stmt *query;
    bool row;
    int count = 0;

    snprintf(place->path, sizeof(place->path), "results/fewstep.db");
    struct fs_store *store = open_store(place, FS_STORE_READ);
    good(fs_query_open(fs_store_handle(store), &query, &place->error,
                       "SELECT id, config_json, train_hash, seed, data_sha256, source_hash FROM runs", ""),
         &place->error);
    for (good(fs_query_next(query, &row, &place->error), &place->error); row;
         good(fs_query_next(query, &row, &place->error), &place->error), count++) {
        struct fs_config config;
        char id[65];
        good(fs_config_from_json(fs_query_text(query, 1), &config, &place->error), &place->error);
        assert_string_equal(config.train_hash, fs_query_text(query, 2));
        assert_int_equal(config.seed, sqlite3_column_int64(query, 3));
        const struct fs_run_row run = {.train_hash = config.train_hash,
                                       .seed = config.seed,
                                       .data_sha256 = fs_query_text(query, 4),
                                       .source_hash = fs_query_text(query, 5)};
        good(fs_columns_hash(&fs_run_columns, &run, id, &place->error), &place->error);
        assert_string_equal(id, fs_query_text(query, 0));
        fs_config_free(&config);
    }
    sqlite3_finalize(query);
    assert_int_equal(count, whole(store, "SELECT count(*) FROM runs"));
    assert_true(count >= 47);
    fs_store_close(store);
}

static void test_migrations_apply_what_is_lacking_and_all_or_nothing(void **state)
{
    static const char *const first[] = {"CREATE TABLE a (x INTEGER)", "INSERT INTO a VALUES (1)", NULL};
    static const char *const second[] = {"ALTER TABLE a ADD COLUMN y INTEGER", "UPDATE a SET y = x + 1", NULL};
    static const char *const broken[] = {"DELETE FROM a", "INSERT INTO nowhere VALUES (1)", NULL};
    const struct fs_migration list[] = {{first, NULL}, {second, NULL}, {broken, NULL}};
    struct place *place = *state;
    sqlite3 *database;
    int64_t value;
    int version;

    assert_int_equal(sqlite3_open(place->path, &database), SQLITE_OK);
    good(fs_store_migrate(database, list, 1, &place->error), &place->error);
    good(fs_store_migrate(database, list, 2, &place->error), &place->error);
    good(fs_store_migrate(database, list, 2, &place->error), &place->error);
    good(fs_query_whole(database, &value, -1, &place->error, "SELECT sum(y) FROM a", ""), &place->error);
    assert_int_equal(value, 2);
    assert_int_equal(fs_store_migrate(database, list, 3, &place->error), FS_FAILED);
    good(fs_query_whole(database, &value, -1, &place->error, "SELECT count(*) FROM a", ""), &place->error);
    assert_int_equal(value, 1);
    good(fs_store_check_schema(database, 3, &version, &place->error), &place->error);
    assert_int_equal(version, 2);
    assert_int_equal(fs_store_check_schema(database, 1, &version, &place->error), FS_USAGE);
    sqlite3_close(database);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_environments_and_experiments_are_stored_once),
        TEST(test_runs),
        TEST(test_half_trained_runs_of_another_source_are_found),
        TEST(test_this_environment_is_described),
        TEST(test_checkpoints_and_curves_are_replaced),
        TEST(test_scores),
        TEST(test_labels),
        TEST(test_two_processes_write_at_once),
        TEST(test_two_processes_make_the_database_at_once),
        TEST(test_a_killed_writer_loses_nothing_reported),
        TEST(test_a_full_disk_is_said_and_loses_nothing_reported),
        TEST(test_foreign_files_are_refused),
        TEST(test_an_empty_file_is_no_database_to_read_and_a_fresh_one_to_write),
        TEST(test_reading_leaves_no_files_even_in_a_read_only_folder),
        TEST(test_a_reader_sees_what_a_writer_has_reported),
        TEST(test_a_network_share_is_refused_for_writing_and_read),
        TEST(test_spectra_come_and_go_with_their_score),
        TEST(test_an_older_schema_is_read_and_migrated),
        TEST(test_outside_is_filled_by_the_migration),
        TEST(test_the_committed_database_is_read),
        TEST(test_identities_of_stored_scores_hold),
        TEST(test_identities_of_stored_runs_hold),
        TEST(test_migrations_apply_what_is_lacking_and_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
