/* The trainer on the CUDA backend, without a GPU: a run that a fault of the device ends goes on from its checkpoint to
 * the bits of one that nothing disturbed, and a device that is too small says what would fit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/sample/generator.h"
#include "harness/train/trainer.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "tests/cuda_host/cuda_host.h"
#include "tests/support/folder.h"
#include "tests/support/mock_training.h"
#include "tests/support/training.h"

#define UPDATES 4
#define LEVELS 7 /* where the defaults of every method fit */
#define BATCH 61
#define DIM 6

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

static struct {
    size_t memory;
    int allocations;
} taken; /* by a training, at its last update */

static void on_progress(void *owner, const struct fs_train_progress *progress)
{
    (void)owner;
    taken.memory = cuda_host_memory_used();
    taken.allocations = cuda_host_allocations();
    if (progress->update == accident.update) {
        accident.fault();
    }
}

static fs_status train(const char *folder, struct fs_error *error)
{
    struct fs_backend *backend = fs_cuda_backend(error);
    assert_non_null(backend);
    struct fs_training training = test_training(backend, &experiment.runs[0], &dataset, "mixture", folder);
    training.stop = &stop;
    training.progress = on_progress;
    enum fs_train_end end;
    must(fs_make_folder(folder, error), error);
    const fs_status status = fs_train(&training, &end, error);
    backend->destroy(backend);
    assert_int_equal(end, status == FS_OK ? FS_TRAIN_FINISHED : FS_TRAIN_STOPPED);
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

/* The hash of a training's last checkpoint, in a process of its own. */
static void train_whole(const char *folder, char sha256[65])
{
    struct fs_error error = {.text = ""};
    char checkpoint[1024];
    int64_t update;
    accident.update = 0;
    cuda_host_reset();
    must(train(folder, &error), &error);
    must(fs_checkpoint_newest(folder, checkpoint, &update, &error), &error);
    assert_int_equal(update, UPDATES);
    must(fs_sha256_file(checkpoint, sha256, &error), &error);
}

/* A training that a fault ends after two updates: it says so, and its checkpoint is there. */
static void train_and_break(const char *folder, void (*fault)(void))
{
    struct fs_error error = {.text = ""};
    char checkpoint[1024];
    int64_t update;
    accident.update = 2;
    accident.fault = fault;
    assert_int_equal(train(folder, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "unspecified launch failure"));
    assert_null(strstr(error.text, "MiB")); /* it is not for lack of memory */
    must(fs_checkpoint_newest(folder, checkpoint, &update, &error), &error);
    assert_in_range(update, 1, 2);
}

static void test_faults_cost_no_checkpoint(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        void (*fault)(void);
    } cases[] = {{"launch", break_device}, {"copy", break_copy}};
    char want[65], got[65], folder[1024];
    train_whole(test_path("undisturbed"), want);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(folder, sizeof folder, "%s", test_path(cases[i].folder));
        train_and_break(folder, cases[i].fault);
        train_whole(folder, got);
        assert_string_equal(got, want);
    }
}

/* Blocks that the backward pass passes again give the same bytes, in the graph of an update too. */
static void test_recompute(void **state)
{
    (void)state;
    const struct fs_config plain = experiment.runs[0];
    char want[65], got[65];
    experiment.runs[0].model.depth = 3; /* the last is not passed again */
    train_whole(test_path("kept"), want);
    experiment.runs[0].train.recompute = FS_RECOMPUTE_BLOCKS;
    train_whole(test_path("again"), got);
    experiment.runs[0] = plain;
    assert_string_equal(got, want);
}

/* Two updates of flow matching, one of consistency, one with the network's tangent: each phase is other work for the
 * device, and a fault in the midst of them costs no bit. */
static void test_phases_with_a_tangent(void **state)
{
    (void)state;
    const struct fs_config shortcut = experiment.runs[0];
    struct fs_phase phases[FS_PHASES_MAX];
    char want[65], got[65], folder[1024];
    experiment.runs[0].method = fs_method_find("alpha-flow");
    fs_mock_default_settings(experiment.runs[0].method, &experiment.runs[0].settings);
    const struct fs_method_setup setup = fs_config_method_setup(&experiment.runs[0]);
    assert_int_equal(setup.updates, UPDATES);
    assert_int_equal(experiment.runs[0].method->phases(&setup, phases), 3);
    assert_true(phases[2].tangents > 0);
    train_whole(test_path("phases"), want);
    snprintf(folder, sizeof folder, "%s", test_path("phases-broken"));
    train_and_break(folder, break_device);
    train_whole(folder, got);
    assert_string_equal(got, want);
    experiment.runs[0] = shortcut;
}

/* Somebody else takes memory while a training stands still: what goes on has its buffers, but not what its first
 * operations need beside them. It says so, and the checkpoint is as it was. */
static void test_out_of_memory_in_the_middle(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    char want[65], got[65], folder[1024], before[1024], after[1024];
    int64_t update;
    train_whole(test_path("plenty"), want);
    const size_t enough = taken.memory;
    snprintf(folder, sizeof folder, "%s", test_path("scarce"));
    train_and_break(folder, break_device);
    must(fs_checkpoint_newest(folder, before, &update, &error), &error);
    must(fs_sha256_file(before, want, &error), &error);
    accident.update = 0;
    cuda_host_reset();
    cuda_host.memory = enough - 1;
    assert_int_equal(train(folder, &error), FS_FAILED);
    print_message("%s\n", error.text);
    assert_non_null(strstr(error.text, "cuda: no device memory for "));
    assert_null(strstr(error.text, "buffer")); /* those it has: it was an operation that found none */
    must(fs_checkpoint_newest(folder, after, &update, &error), &error);
    must(fs_sha256_file(after, got, &error), &error);
    assert_string_equal(before, after);
    assert_string_equal(got, want);
    train_whole(test_path("plenty"), want);
    train_whole(folder, got);
    assert_string_equal(got, want);
}

/* All buffers of a training are cut from one allocation; beside it are the backend's own few. */
static void test_one_pool(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    must(train(test_path("pool"), &error), &error);
    print_message("%d allocations, %zu bytes\n", taken.allocations, taken.memory);
    assert_in_range(taken.allocations, 4, 10); /* products, numbers, the pool, scratch memory that grows */
}

/* Samples of a network with random weights, in batches of `rows`, which half of the free memory allows; free() them. */
static float *draw_samples(int batches, int *rows)
{
    struct fs_error error;
    struct fs_generator generator;
    struct fs_backend *backend = fs_cuda_backend(&error);
    assert_non_null(backend);
    cuda_host.memory = cuda_host_memory_used() + 600000;
    must(fs_generator_open(&generator, backend, &experiment.runs[0], &dataset.shape, NULL, FS_WEIGHTS_EMA, &error),
         &error);
    cuda_host.memory = (size_t)1 << 30;
    backend->normals(backend, generator.weights.values, (struct fs_random_key){3, FS_STREAM_TEST, 0, 0}, 0);
    *rows = generator.sampler.capacity;
    const int64_t count = (int64_t)batches * *rows + 1; /* and one row that is none of them */
    float *samples = calloc((size_t)count, (size_t)generator.sampler.dim * sizeof *samples);
    assert_non_null(samples);
    must(fs_generate(&generator, 1, 0, count, 2, 1.5, samples, &error), &error);
    fs_generator_close(&generator);
    backend->destroy(backend);
    assert_string_equal(cuda_host_report(), "");
    return samples;
}

/* A sampler's passes, with and without label, are graphs from the second batch on, and change no bit. */
static void test_sampling_by_graphs(void **state)
{
    (void)state;
    enum { BATCHES = 4 };
    const struct fs_config shortcut = experiment.runs[0];
    int rows[2], launches[2];
    float *samples[2];
    experiment.runs[0].method = fs_method_find("flow-matching");
    fs_mock_default_settings(experiment.runs[0].method, &experiment.runs[0].settings);
    for (int i = 0; i < 2; i++) {
        setenv("FEWSTEP_CUDA_GRAPH", i == 0 ? "auto" : "off", 1);
        cuda_host_reset();
        samples[i] = draw_samples(BATCHES, &rows[i]);
        launches[i] = cuda_host_graph_launches();
    }
    unsetenv("FEWSTEP_CUDA_GRAPH");
    print_message("%d rows at once, %d graphs launched\n", rows[0], launches[0]);
    assert_in_range(rows[0], 2, 64);
    assert_int_equal(rows[0], rows[1]);
    assert_memory_equal(samples[0], samples[1],
                        (size_t)(BATCHES * rows[0] + 1) * (size_t)fs_shape_dim(&dataset.shape) * sizeof(float));
    assert_true(launches[0] >= (BATCHES - 2) * 4 && launches[1] == 0);
    free(samples[0]);
    free(samples[1]);
    experiment.runs[0] = shortcut;
}

/* --- losses that are read one update late --- */

enum { LONG = 1600 }; /* updates of which every fourth has a point of the curves */

static struct {
    double loss[8];
    int count;
    int64_t last; /* update that was heard of */
} heard;

static void hear_progress(void *owner, const struct fs_train_progress *progress)
{
    (void)owner;
    heard.last = progress->update;
    stop = progress->update >= 9;
}

static fs_status hear_curve(void *owner, int64_t update, const struct fs_train_value *values, int count,
                            struct fs_error *error)
{
    (void)owner, (void)update, (void)error;
    assert_true(count > 0 && strcmp(values[0].name, "loss") == 0 && heard.count < 8);
    heard.loss[heard.count++] = values[0].value;
    return FS_OK;
}

/* Ten updates of a long training; the hash of its checkpoint where it ended well. */
static fs_status train_ten(bool late, const char *name, char sha256[65], struct fs_error *error)
{
    char folder[1024], checkpoint[1024];
    int64_t update;
    enum fs_train_end end;
    cuda_host_reset();
    struct fs_backend *backend = fs_cuda_backend(error);
    assert_non_null(backend);
    if (!late) {
        backend->download_begin = NULL;
    }
    snprintf(folder, sizeof folder, "%s", test_path(name));
    struct fs_training training = test_training(backend, &experiment.runs[0], &dataset, "mixture", folder);
    training.stop = &stop;
    training.progress = hear_progress;
    training.measured = hear_curve;
    must(fs_make_folder(folder, error), error);
    memset(&heard, 0, sizeof heard);
    stop = 0;
    const fs_status status = fs_train(&training, &end, error);
    stop = 0;
    backend->destroy(backend);
    must(fs_checkpoint_newest(folder, checkpoint, &update, error), error);
    if (status == FS_OK) {
        assert_int_equal(update, 10);
        must(fs_sha256_file(checkpoint, sha256, error), error);
    } else {
        assert_int_equal(end, FS_TRAIN_DIVERGED);
        assert_int_equal(update, -1);
    }
    return status;
}

/* Losses that are read late change nothing of what is learned and written: the checkpoint, the points of the curves.
 * One that explodes is named with its own update, and nothing is written after it. */
static void test_losses_read_late(void **state)
{
    (void)state;
    const struct fs_config before = experiment.runs[0];
    struct fs_error error[2];
    char sha256[2][65];
    double losses[2][2];
    experiment.runs[0].train.updates = LONG;
    experiment.runs[0].train.checkpoint_every = 1e9;
    for (int late = 0; late < 2; late++) {
        must(train_ten(late != 0, late ? "late" : "at-once", sha256[late], &error[late]), &error[late]);
        assert_int_equal(heard.count, 2);
        assert_int_equal(heard.last, 10);
        memcpy(losses[late], heard.loss, sizeof losses[late]);
    }
    assert_string_equal(sha256[0], sha256[1]);
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
    experiment.runs[0].train.learning_rate = 1e3;
    experiment.runs[0].train.warmup = 0;
    for (int late = 0; late < 2; late++) {
        assert_int_equal(train_ten(late != 0, "exploded", sha256[late], &error[late]), FS_FAILED);
    }
    print_message("%s\n", error[1].text);
    assert_non_null(strstr(error[1].text, "the loss is "));
    assert_string_equal(error[0].text, error[1].text);
    experiment.runs[0] = before;
}

static void test_too_small(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    const char *folder = test_path("small");
    const struct fs_config small = experiment.runs[0];
    experiment.runs[0].train.batch = 512;
    experiment.runs[0].model.depth = 2;
    cuda_host.memory = (size_t)36 << 20; /* products take 32 MiB of it */
    assert_int_equal(train(folder, &error), FS_FAILED);
    print_message("%s\n", error.text);
    assert_non_null(strstr(error.text, "no device memory for the buffers that were planned"));
    assert_non_null(strstr(error.text, "train.micro_batch: "));
    assert_non_null(strstr(error.text, "fits"));
    assert_non_null(strstr(error.text, "; train.recompute: blocks needs "));
    cuda_host.memory = ((size_t)32 << 20) + 300000;
    assert_int_equal(train(folder, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "a smaller model"));
    experiment.runs[0] = small;
}

static void waves(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                  double *velocity)
{
    for (int d = 0; d < dim; d++) {
        velocity[d] = sin(x[d] + 2 * x[(d + 1) % dim] + t) + 0.1 * s + 0.2 * label + 0.3 * (double)network;
    }
}

/* What make_targets gives in that phase. */
static struct fs_mock_targets targets_on(struct fs_backend *backend, const struct fs_method *method, int phase)
{
    struct fs_mock_training mock;
    struct fs_phase phases[FS_PHASES_MAX];
    fs_mock_create(&mock, backend, method, LEVELS, BATCH, DIM, waves);
    mock.label_dropout = 0.25;
    mock.setup.guidance_scale = 1.5;
    assert_in_range(phase, 0, method->phases(&mock.setup, phases) - 1);
    struct fs_mock_targets targets = fs_mock_make(&mock, &phases[phase], 40);
    fs_mock_destroy(&mock);
    return targets;
}

static int last_phase(struct fs_backend *backend, const struct fs_method *method)
{
    struct fs_mock_training mock;
    struct fs_phase phases[FS_PHASES_MAX];
    fs_mock_create(&mock, backend, method, LEVELS, BATCH, DIM, waves);
    const int count = method->phases(&mock.setup, phases);
    fs_mock_destroy(&mock);
    return count - 1;
}

/* Noise and mixing are the same bits on every backend, and so are the rows of every method, in its first phase and its
 * last. */
static void test_methods_rows(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    struct fs_backend *cuda = fs_cuda_backend(&error), *cpu = fs_cpu_backend(1, &error);
    assert_true(cuda && cpu);
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        const int last = last_phase(cpu, method);
        for (int phase = 0; phase <= last; phase += last > 0 ? last : 1) {
            struct fs_mock_targets here = targets_on(cuda, method, phase), there = targets_on(cpu, method, phase);
            assert_memory_equal(here.x, there.x, BATCH * DIM * sizeof *here.x);
            assert_memory_equal(here.target, there.target, BATCH * DIM * sizeof *here.target);
            assert_memory_equal(here.t, there.t, BATCH * sizeof *here.t);
            fs_mock_free_targets(&here);
            fs_mock_free_targets(&there);
        }
    }
    cpu->destroy(cpu);
    cuda->destroy(cuda);
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
        cmocka_unit_test_setup(test_recompute, start),
        cmocka_unit_test_setup(test_phases_with_a_tangent, start),
        cmocka_unit_test_setup(test_out_of_memory_in_the_middle, start),
        cmocka_unit_test_setup(test_one_pool, start),
        cmocka_unit_test_setup(test_sampling_by_graphs, start),
        cmocka_unit_test_setup(test_losses_read_late, start),
        cmocka_unit_test_setup(test_too_small, start),
        cmocka_unit_test_setup(test_methods_rows, start),
    };
    return cmocka_run_group_tests(tests, open_experiment, close_experiment);
}
