/* The trainer on the CUDA backend, without a GPU: a run that a fault of the device ends goes on from its checkpoint to
 * the bits of one that nothing disturbed, and a device that is too small says what would fit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/train/checkpoint.h"
#include "harness/train/trainer.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "tests/cuda_host/cuda_host.h"
#include "tests/support/folder.h"

#define UPDATES 4

struct fs_backend *fs_cuda_backend(struct fs_error *error);

static struct fs_experiment experiment;
static struct fs_dataset dataset;
static volatile sig_atomic_t stop;

static void must(fs_status status, const struct fs_error *error)
{
    if (status != FS_OK) {
        fail_msg("%s", error->text);
    }
}

/* What happens to the device once this many updates are done; 0: nothing. */
static struct {
    int64_t update;
    void (*fault)(void);
} accident;

static void on_progress(void *owner, const struct fs_train_progress *progress)
{
    (void)owner;
    if (progress->update == accident.update) {
        accident.fault();
    }
}

static fs_status no_curve(void *owner, const struct fs_curve_point *points, int count, struct fs_error *error)
{
    (void)owner, (void)points, (void)count, (void)error;
    return FS_OK;
}

static fs_status no_note(void *owner, int64_t update, const char *path, struct fs_error *error)
{
    (void)owner, (void)update, (void)path, (void)error;
    return FS_OK;
}

static fs_status train(const char *folder, struct fs_error *error)
{
    struct fs_backend *backend = fs_cuda_backend(error);
    assert_non_null(backend);
    const struct fs_training training = {.backend = backend,
                                         .config = &experiment.runs[0],
                                         .data = &dataset,
                                         .run = "mixture",
                                         .source_hash = "test",
                                         .folder = folder,
                                         .stop = &stop,
                                         .progress = on_progress,
                                         .curve = no_curve,
                                         .checkpointed = no_note};
    bool finished = false;
    must(fs_make_folder(folder, error), error);
    const fs_status status = fs_train(&training, &finished, error);
    backend->destroy(backend);
    assert_int_equal(finished, status == FS_OK);
    return status;
}

static void break_device(void)
{
    cuda_host.fail_launch = 5;
}

static void break_copy(void)
{
    cuda_host.fail_copy = 3;
}

static void take_memory(void)
{
    cuda_host.memory = cuda_host_memory_used(); /* somebody else has the rest */
    cuda_host.fail_allocation = 1;
}

static void test_faults_cost_no_checkpoint(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
        void (*fault)(void);
        bool goes_on; /* memory that nobody needs any more */
    } cases[] = {{"launch", "unspecified launch failure", break_device, false},
                 {"copy", "unspecified launch failure", break_copy, false},
                 {"memory", "", take_memory, true}};
    struct fs_error error = {.text = ""};
    char whole[1024], part[1024], checkpoint[1024];
    int64_t update;
    snprintf(whole, sizeof whole, "%s", test_path("undisturbed"));
    must(train(whole, &error), &error);
    must(fs_checkpoint_newest(whole, checkpoint, &update, &error), &error);
    assert_int_equal(update, UPDATES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char resumed[1024];
        snprintf(part, sizeof part, "%s", test_path(cases[i].name));
        accident.update = 2;
        accident.fault = cases[i].fault;
        const fs_status status = train(part, &error);
        assert_int_equal(status, cases[i].goes_on ? FS_OK : FS_FAILED);
        if (status != FS_OK) {
            assert_non_null(strstr(error.text, cases[i].says));
            assert_null(strstr(error.text, "MiB")); /* it is not for lack of memory */
            must(fs_checkpoint_newest(part, resumed, &update, &error), &error);
            assert_in_range(update, 1, 2);
        }
        accident.update = 0;
        cuda_host_reset(); /* a new process, a device that works */
        must(train(part, &error), &error);
        must(fs_checkpoint_newest(part, resumed, &update, &error), &error);
        assert_int_equal(update, UPDATES);
        char want[65], got[65];
        must(fs_sha256_file(checkpoint, want, &error), &error);
        must(fs_sha256_file(resumed, got, &error), &error);
        assert_string_equal(got, want);
    }
}

static void test_too_small(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    const char *folder = test_path("small");
    const struct fs_config small = experiment.runs[0];
    experiment.runs[0].train.batch = 512;
    cuda_host.memory = (size_t)36 << 20; /* products take 32 MiB of it */
    assert_int_equal(train(folder, &error), FS_FAILED);
    print_message("%s\n", error.text);
    assert_non_null(strstr(error.text, "no device memory for a buffer"));
    assert_non_null(strstr(error.text, "train.micro_batch: "));
    assert_non_null(strstr(error.text, "fits"));
    cuda_host.memory = ((size_t)32 << 20) + 300000;
    assert_int_equal(train(folder, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "a smaller model"));
    experiment.runs[0] = small;
}

static int start(void **state)
{
    (void)state;
    cuda_host_reset();
    accident.update = 0;
    return 0;
}

static int open_experiment(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    char text[1024];
    const int length = snprintf(
        text, sizeof text,
        "experiment: mixture\ndataset: {name: gaussian-mixture}\n"
        "model: {preset: tiny, patch: 1, hidden: 32, depth: 1, heads: 2, classes: 4, finest_steps: 16}\n"
        "train: {updates: %d, batch: 8, learning_rate: 4.0e-3, warmup: 2, ema: 0.99, checkpoint_every: 0.000001}\n"
        "evaluate: {steps: [1, 16]}\nmethod: shortcut\nmethods: {shortcut: {bootstrap_fraction: 0.5}}\n",
        UPDATES);
    const char *path = test_path("mixture.yaml");
    test_write(path, text, (size_t)length);
    must(fs_experiment_read(path, NULL, 0, NULL, 0, &experiment, &error), &error);
    must(fs_dataset_open(&experiment.runs[0].dataset, FS_SPLIT_TRAIN, &dataset, &error), &error);
    return 0;
}

static int close_experiment(void **state)
{
    (void)state;
    fs_dataset_close(&dataset);
    fs_experiment_free(&experiment);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_faults_cost_no_checkpoint, start),
        cmocka_unit_test_setup(test_too_small, start),
    };
    return cmocka_run_group_tests(tests, open_experiment, close_experiment);
}
