/* Checkpoints that a thread writes while the training goes on: what the training is told of them and when, one at a
 * time, a write that fails, and a process that is killed in one. */
#include <glob.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/train/trainer.h"
#include "kernels/base/hash.h"
#include "tests/support/folder.h"
#include "tests/support/training.h"

#define UPDATES 24

static struct fs_backend *backend;
static struct fs_dataset dataset;
static volatile sig_atomic_t stop;

/* What a training told so far. */
struct told {
    const char *folder;
    pthread_t trains;
    int64_t written, before, update, stop_at;
    int count;
    bool blocked; /* the next checkpoint's name is taken by a folder */
};

static void must(fs_status status, const struct fs_error *error)
{
    if (status != FS_OK) {
        fail_msg("%s", error->text);
    }
}

static const char *path_of(const struct told *told, int64_t update)
{
    static char path[FS_PATH_ROOM];
    struct fs_error error;
    must(fs_checkpoint_path(told->folder, update, path, &error), &error);
    return path;
}

static bool there(const struct told *told, int64_t update)
{
    return access(path_of(told, update), F_OK) == 0;
}

/* Once there is a first checkpoint, a folder has the name of the next but one: the write of that one fails. */
static void on_progress(void *owner, const struct fs_train_progress *progress)
{
    struct told *told = owner;
    told->update = progress->update;
    if (told->stop_at > 0 && progress->update >= told->stop_at) {
        stop = 1;
    }
    if (told->blocked && told->count > 0 && progress->update < UPDATES) {
        for (int64_t update = progress->update; update <= UPDATES; update++) {
            if (!there(told, update)) {
                mkdir(path_of(told, update), 0777);
            }
        }
    }
}

static fs_status on_curve(void *owner, int64_t update, const struct fs_train_value *values, int count,
                          struct fs_error *error)
{
    (void)owner, (void)update, (void)values, (void)count, (void)error;
    return FS_OK;
}

/* By the thread that trains, when the file is whole and before one that it replaces is gone. */
static fs_status on_checkpoint(void *owner, int64_t update, const struct fs_checkpoint_file *file,
                               struct fs_error *error)
{
    struct told *told = owner;
    struct stat about;
    char sha256[FS_HASH_TEXT];
    assert_true(pthread_equal(pthread_self(), told->trains));
    assert_string_equal(file->path, path_of(told, update));
    assert_int_equal(stat(file->path, &about), 0);
    assert_int_equal(about.st_size, file->bytes);
    must(fs_sha256_file(file->path, sha256, error), error);
    assert_string_equal(sha256, file->sha256);
    assert_true(update > told->written);
    assert_true(told->written < 0 || there(told, told->written));
    assert_true(told->before < 0 || (there(told, told->before) && !there(told, told->before - 1)));
    told->before = told->written;
    told->written = update;
    told->count++;
    return FS_OK;
}

static fs_status train_in(struct told *told, const char *to, int hidden, int updates, enum fs_train_end *end,
                          struct fs_error *error)
{
    char text[512], yaml[FS_PATH_ROOM + 8];
    struct fs_experiment experiment;
    const int length = snprintf(text, sizeof text,
                                "experiment: writing\ndataset: {name: gaussian-mixture}\n"
                                "model: {preset: tiny, patch: 1, hidden: %d, depth: 4, heads: 2, classes: 4}\n"
                                "train: {updates: %d, batch: 32, checkpoint_every: 0.000001}\n"
                                "evaluate: {steps: [1]}\nmethod: flow-matching\n",
                                hidden, updates);
    snprintf(yaml, sizeof yaml, "%s.yaml", to);
    test_write(yaml, text, (size_t)length);
    must(fs_experiment_read(yaml, NULL, 0, NULL, 0, &experiment, error), error);
    static char folder[FS_PATH_ROOM];
    snprintf(folder, sizeof folder, "%s", to);
    *told = (struct told){.folder = folder,
                          .trains = pthread_self(),
                          .written = -1,
                          .before = -1,
                          .stop_at = told->stop_at,
                          .blocked = told->blocked};
    struct fs_training training = test_training(backend, &experiment.runs[0], &dataset, "writing", folder);
    training.stop = &stop;
    training.owner = told;
    training.progress = on_progress;
    training.measured = on_curve;
    training.checkpointed = on_checkpoint;
    stop = 0;
    must(fs_make_folder(folder, error), error);
    const fs_status status = fs_train(&training, end, error);
    fs_experiment_free(&experiment);
    return status;
}

static fs_status train(struct told *told, const char *name, enum fs_train_end *end, struct fs_error *error)
{
    return train_in(told, test_path(name), 32, UPDATES, end, error);
}

/* --- kills --- */

#define KILLS 4
#define KILLED_UPDATES 6

static char program[FS_PATH_ROOM];

static int open_all(void)
{
    struct fs_error error;
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    backend = fs_cpu_backend(1, &error);
    return backend && fs_dataset_open(&config, FS_SPLIT_TRAIN, &dataset, &error) == FS_OK ? 0 : 1;
}

/* This program, called with a folder: trains there a network whose checkpoint takes some hundredths of a second to
 * write, nearly all the time. */
static int train_until_killed(const char *folder)
{
    struct told told = {0};
    struct fs_error error = {.text = ""};
    enum fs_train_end end;
    return open_all() != 0 || train_in(&told, folder, 192, KILLED_UPDATES, &end, &error) != FS_OK;
}

static pid_t start(const char *folder)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl(program, program, folder, (char *)NULL);
        _exit(127);
    }
    return child;
}

/* Whether a folder has a checkpoint's file that ends so: ".safetensors", or ".tmp" where it is half-written, by a
 * process or by one that is gone. */
static bool has(const char *folder, const char *end)
{
    char pattern[FS_PATH_ROOM + 32];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/checkpoint-*%s", folder, end);
    const bool there_is = glob(pattern, 0, NULL, &found) == 0;
    globfree(&found);
    return there_is;
}

/* Kills a training in the write of a checkpoint, with `later` not of its first; whether it was in one, or at its end
 * before. */
static bool kill_in_a_write(const char *folder, bool later, bool *finished)
{
    int status = 0;
    char command[FS_PATH_ROOM + 32];
    snprintf(command, sizeof command, "rm -f %s/*.tmp", folder);
    assert_int_equal(system(command), 0);
    const pid_t child = start(folder);
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (has(folder, ".tmp") && (!later || has(folder, ".safetensors"))) {
            kill(child, SIGKILL);
            assert_int_equal(waitpid(child, &status, 0), child);
            break;
        }
    }
    *finished = WIFEXITED(status);
    assert_true(*finished ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    return !*finished && has(folder, ".tmp");
}

static void last_hash(const char *folder, char sha256[FS_HASH_TEXT])
{
    const struct told told = {.folder = folder};
    struct fs_error error = {.text = ""};
    must(fs_sha256_file(path_of(&told, KILLED_UPDATES), sha256, &error), &error);
}

/* What a kill leaves half-written is no checkpoint, and the same training goes on to the same bytes. */
static void a_kill_in_a_write_costs_no_checkpoint(void **state)
{
    (void)state;
    char calm[FS_PATH_ROOM], killed[FS_PATH_ROOM], expected[FS_HASH_TEXT], got[FS_HASH_TEXT];
    int status, in_a_write = 0;
    bool finished = false;
    snprintf(calm, sizeof calm, "%s", test_path("calm"));
    snprintf(killed, sizeof killed, "%s", test_path("killed"));
    assert_int_equal(waitpid(start(calm), &status, 0) > 0 ? status : -1, 0);
    last_hash(calm, expected);
    for (int i = 0; i < KILLS && !finished; i++) {
        in_a_write += kill_in_a_write(killed, i >= KILLS / 2, &finished);
    }
    assert_true(in_a_write > 0);
    assert_int_equal(waitpid(start(killed), &status, 0) > 0 ? status : -1, 0);
    last_hash(killed, got);
    assert_string_equal(got, expected);
    assert_false(has(killed, ".tmp"));
}

/* --- what a training is told --- */

static void each_is_told_when_it_is_there(void **state)
{
    (void)state;
    struct told told = {0};
    struct fs_error error = {.text = ""};
    enum fs_train_end end;
    must(train(&told, "all", &end, &error), &error);
    assert_int_equal(end, FS_TRAIN_FINISHED);
    assert_int_equal(told.written, UPDATES);
    assert_int_equal(told.count, UPDATES); /* each waits for the one before it */
    assert_false(there(&told, told.before));
}

/* A stop waits for the state that it leaves; the same call goes on from it to the same bytes. */
static void a_stop_waits_for_the_write(void **state)
{
    (void)state;
    struct told whole = {0}, told = {.stop_at = 7};
    struct fs_error error = {.text = ""};
    enum fs_train_end end;
    char expected[FS_HASH_TEXT], got[FS_HASH_TEXT];
    must(train(&whole, "whole", &end, &error), &error);
    must(fs_sha256_file(path_of(&whole, UPDATES), expected, &error), &error);
    must(train(&told, "stopped", &end, &error), &error);
    assert_int_equal(end, FS_TRAIN_STOPPED);
    assert_int_equal(told.written, told.update);
    told.stop_at = 0;
    must(train(&told, "stopped", &end, &error), &error);
    must(fs_sha256_file(path_of(&told, UPDATES), got, &error), &error);
    assert_string_equal(expected, got);
}

/* Its error ends the training a few updates later, and what was written before stands. */
static void a_failed_write_ends_the_training(void **state)
{
    (void)state;
    struct told told = {.blocked = true};
    struct fs_error error = {.text = ""};
    enum fs_train_end end;
    assert_int_equal(train(&told, "failing", &end, &error), FS_USAGE);
    assert_int_equal(end, FS_TRAIN_STOPPED);
    assert_non_null(strstr(error.text, "it is a folder"));
    assert_in_range(told.update, told.written + 1, told.written + 3);
    assert_true(told.count > 0 && there(&told, told.written));
}

static int set_up(void **state)
{
    (void)state;
    return open_all();
}

static int tear_down(void **state)
{
    (void)state;
    fs_dataset_close(&dataset);
    backend->destroy(backend);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return train_until_killed(argv[1]);
    }
    snprintf(program, sizeof program, "%s", argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_in_a_write_costs_no_checkpoint),
        cmocka_unit_test(each_is_told_when_it_is_there),
        cmocka_unit_test(a_stop_waits_for_the_write),
        cmocka_unit_test(a_failed_write_ends_the_training),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
