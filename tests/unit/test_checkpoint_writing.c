/* Checkpoints that a thread writes while the training goes on: what the training is told of them and when, one at a
 * time, and a write that fails. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/train/trainer.h"
#include "kernels/base/hash.h"
#include "tests/support/folder.h"

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

static fs_status train(struct told *told, const char *name, enum fs_train_end *end, struct fs_error *error)
{
    static const char text[] = "experiment: writing\ndataset: {name: gaussian-mixture}\n"
                               "model: {preset: tiny, patch: 1, hidden: 32, depth: 2, heads: 2, classes: 4}\n"
                               "train: {updates: 24, batch: 32, checkpoint_every: 0.000001}\n"
                               "evaluate: {steps: [1]}\nmethod: flow-matching\n";
    struct fs_experiment experiment;
    const char *yaml = test_path("writing.yaml");
    test_write(yaml, text, sizeof text - 1);
    must(fs_experiment_read(yaml, NULL, 0, NULL, 0, &experiment, error), error);
    static char folder[FS_PATH_ROOM];
    snprintf(folder, sizeof folder, "%s", test_path(name));
    *told = (struct told){.folder = folder,
                          .trains = pthread_self(),
                          .written = -1,
                          .before = -1,
                          .stop_at = told->stop_at,
                          .blocked = told->blocked};
    const struct fs_training training = {.backend = backend,
                                         .config = &experiment.runs[0],
                                         .data = &dataset,
                                         .run = "writing",
                                         .source_hash = "test",
                                         .folder = folder,
                                         .stop = &stop,
                                         .owner = told,
                                         .progress = on_progress,
                                         .measured = on_curve,
                                         .checkpointed = on_checkpoint};
    stop = 0;
    must(fs_make_folder(folder, error), error);
    const fs_status status = fs_train(&training, end, error);
    fs_experiment_free(&experiment);
    return status;
}

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
    struct fs_error error;
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    backend = fs_cpu_backend(1, &error);
    return backend && fs_dataset_open(&config, FS_SPLIT_TRAIN, &dataset, &error) == FS_OK ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    fs_dataset_close(&dataset);
    backend->destroy(backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_told_when_it_is_there),
        cmocka_unit_test(a_stop_waits_for_the_write),
        cmocka_unit_test(a_failed_write_ends_the_training),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
