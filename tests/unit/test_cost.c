/* What a run is said to cost before it starts, against what is then multiplied, allocated and written. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/sample/generator.h"
#include "harness/train/cost.h"
#include "harness/train/pairs.h"
#include "harness/train/trainer.h"
#include "kernels/base/file.h"
#include "tests/support/folder.h"

static struct fs_backend *backend;
static struct fs_dataset dataset;
static volatile sig_atomic_t stop;

static void must(fs_status status, const struct fs_error *error)
{
    if (status != FS_OK) {
        fail_msg("%s", error->text);
    }
}

static void read_experiment(const char *text, struct fs_experiment *experiment)
{
    struct fs_error error = {.text = ""};
    const char *path = test_path("x.yaml");
    test_write(path, text, strlen(text));
    must(fs_experiment_read(path, NULL, 0, NULL, 0, experiment, &error), &error);
}

/* --- FLOPs --- */

/* Against design 7: forward passes a sample and update are 3 for flow matching, 3.25 for shortcut at a share of 1/8, 5
 * for progressive distillation, and 128 for each pair of Reflow. */
static void costs_follow_the_forwards(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    struct fs_error error;
    const struct fs_data_shape shape = {28, 28, 1, 10, 60000};
    read_experiment("experiment: x\ntrain: {updates: 1000, batch: 64}\nmethods: {reflow: {pairs: 300}}\n"
                    "evaluate: {steps: [1, 4], samples: 50}\n"
                    "matrix: {method: [flow-matching, shortcut, progressive-distillation, reflow]}\n",
                    &experiment);
    static const double student[] = {3 * 64e3, 3.25 * 64e3, 5 * 32e3, 3 * 32e3};
    static const double teacher[] = {0, 0, 3 * 32e3, 3 * 32e3}, pairs[] = {0, 0, 0, 128 * 300};
    for (int i = 0; i < 4; i++) {
        struct fs_cost cost;
        must(fs_run_cost(&experiment.runs[i], &shape, &cost, &error), &error);
        const double forward = cost.forward_flops;
        assert_true(fabs(cost.student_flops / forward - student[i]) < 1e-3);
        assert_true(fabs(cost.teacher_flops / forward - teacher[i]) < 1e-3);
        assert_true(fabs(cost.pair_flops / forward - pairs[i]) < 1e-3);
        assert_true(fabs(cost.score_flops / forward - (5 * 50)) < 1e-3);
    }
    fs_experiment_free(&experiment);
}

/* Forwards a sample and update of the average velocities (methods/README.md), a tangent by the network's own count;
 * α-Flow's 1000 updates are 289 of flow matching, 423 with a forward more for half of the rows, 288 with a tangent,
 * whose value is the training's own. */
static void average_velocities_cost_as_said(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    struct fs_error error;
    struct fs_dit_sizes sizes;
    const struct fs_data_shape shape = {28, 28, 1, 10, 60000};
    read_experiment("experiment: x\ntrain: {updates: 1000, batch: 64, label_dropout: 0.1}\n"
                    "evaluate: {steps: [1], guidance_scale: 1.5}\n"
                    "methods:\n  mean-flow: {guided_target: true, kappa: 0.5}\n"
                    "  split-mean-flow: {guided_target: true}\n"
                    "matrix: {method: [split-mean-flow, transition-model, mean-flow, alpha-flow]}\n",
                    &experiment);
    must(fs_dit_sizes_of(FS_F32, &experiment.runs[0].model, 28, 28, 1, 1, FS_PASS_TANGENT, FS_F32, &sizes, &error),
         &error);
    const double tangent = sizes.tangent_flops / sizes.forward_flops;
    assert_true(tangent > 2 && tangent < 2.3);
    const double forwards[] = {3 + 0.25 * 2 + 0.75, 3 + 0.5 * 2, 3 + 2 + 0.25 * (tangent - 1),
                               3 + 0.423 * 0.5 + 0.288 * 0.5 * (tangent - 1)};
    for (int i = 0; i < 4; i++) {
        struct fs_cost cost;
        must(fs_run_cost(&experiment.runs[i], &shape, &cost, &error), &error);
        assert_true(fabs(cost.student_flops / cost.forward_flops / 64e3 - forwards[i]) < 1e-9);
    }
    fs_experiment_free(&experiment);
}

/* Where scores are guided, a step costs two forwards. */
static void guided_scores_cost_two_forwards(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    struct fs_error error;
    const struct fs_data_shape shape = {28, 28, 1, 10, 60000};
    read_experiment("experiment: x\ntrain: {updates: 1000, label_dropout: 0.1}\n"
                    "methods: {shortcut: {bootstrap_guidance: true}}\n"
                    "evaluate: {steps: [4, 128], samples: 10, guidance_scale: 1.5}\n"
                    "matrix: {method: [flow-matching, progressive-distillation, reflow, shortcut]}\n",
                    &experiment);
    static const double forwards[] = {2 * 132, 132, 132, 4 + 2 * 128};
    for (int i = 0; i < 4; i++) {
        struct fs_cost cost;
        must(fs_run_cost(&experiment.runs[i], &shape, &cost, &error), &error);
        assert_true(fabs(cost.score_flops / cost.forward_flops - 10 * forwards[i]) < 1e-6);
    }
    fs_experiment_free(&experiment);
}

/* --- bytes --- */

static void *(*real_allocate)(struct fs_backend *backend, size_t bytes, struct fs_error *error);
static double allocated; /* since it was set to 0 */

static void *counting_allocate(struct fs_backend *owner, size_t bytes, struct fs_error *error)
{
    allocated += (double)bytes;
    return real_allocate(owner, bytes, error);
}

static void no_progress(void *owner, const struct fs_train_progress *progress)
{
    (void)owner, (void)progress;
}

static fs_status no_values(void *owner, int64_t update, const struct fs_train_value *values, int count,
                           struct fs_error *error)
{
    (void)owner, (void)update, (void)values, (void)count, (void)error;
    return FS_OK;
}

/* Adds the bytes of a checkpoint's tensors: what stands behind the eight bytes of a length and the header. */
static fs_status add_tensors(void *owner, int64_t update, const struct fs_checkpoint_file *file, struct fs_error *error)
{
    (void)update, (void)error;
    double *bytes = owner;
    uint64_t header = 0;
    struct stat about;
    FILE *stream = fopen(file->path, "rb");
    assert_non_null(stream);
    assert_int_equal(fread(&header, sizeof header, 1, stream), 1);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(stat(file->path, &about), 0);
    assert_int_equal(about.st_size, file->bytes);
    *bytes += (double)about.st_size - 8 - (double)header;
    return FS_OK;
}

/* Trains all of `config`; the bytes of its checkpoints, and in `allocated` those of the backend. */
static double train(const struct fs_config *config, const char *name, const char *teacher, const char *pairs,
                    char checkpoint[1024])
{
    struct fs_error error = {.text = ""};
    double written = 0;
    enum fs_train_end end = FS_TRAIN_STOPPED;
    int64_t update;
    const char *folder = test_path(name);
    const struct fs_training training = {.backend = backend,
                                         .config = config,
                                         .data = &dataset,
                                         .run = "cost",
                                         .source_hash = "test",
                                         .folder = folder,
                                         .teacher = teacher,
                                         .pairs = pairs,
                                         .stop = &stop,
                                         .owner = &written,
                                         .progress = no_progress,
                                         .measured = no_values,
                                         .checkpointed = add_tensors};
    must(fs_make_folder(folder, &error), &error);
    allocated = 0;
    must(fs_train(&training, &end, &error), &error);
    assert_int_equal(end, FS_TRAIN_FINISHED);
    must(fs_checkpoint_newest(folder, checkpoint, &update, &error), &error);
    return written;
}

/* The teacher's checkpoint, and for a method that trains on pairs their folder. */
static void prepare(const struct fs_config *config, const char *name, char checkpoint[1024], char pairs[1024])
{
    struct fs_error error = {.text = ""};
    struct fs_config teacher;
    struct fs_generator generator;
    char folder[64];
    bool finished;
    must(fs_config_teacher(config, &teacher, &error), &error);
    snprintf(folder, sizeof folder, "%s-teacher", name);
    train(&teacher, folder, NULL, NULL, checkpoint);
    if (strcmp(config->method->name, "reflow") == 0) {
        snprintf(folder, sizeof folder, "%s-pairs", name);
        snprintf(pairs, 1024, "%s", test_path(folder));
        must(fs_generator_open(&generator, backend, &teacher, &dataset.shape, checkpoint, FS_WEIGHTS_EMA, &error),
             &error);
        must(fs_pairs_make(pairs, fs_comm_single(), &generator.sampler, config, &stop, NULL, NULL, &finished, &error),
             &error);
        fs_generator_close(&generator);
    }
    fs_config_free(&teacher);
}

static void expect_costs(const struct fs_config *config, const char *name)
{
    struct fs_error error = {.text = ""};
    char teacher[1024], pairs[1024], checkpoint[1024];
    const bool taught = config->method->teacher_share(&config->settings) > 0;
    struct fs_cost cost;
    must(fs_run_cost(config, &dataset.shape, &cost, &error), &error);
    if (taught) {
        prepare(config, name, teacher, pairs);
    }
    const double written = train(config, name, taught ? teacher : NULL, taught ? pairs : NULL, checkpoint);
    assert_true(cost.snapshot_bytes >= 4 * cost.parameters * sizeof(float));
    if (cost.memory_bytes != allocated || cost.checkpoint_bytes != written) {
        fail_msg("%s: %.0f bytes of memory were said and %.0f taken, %.0f of checkpoints said and %.0f written", name,
                 cost.memory_bytes, allocated, cost.checkpoint_bytes, written);
    }
}

/* To the byte, for every method, with few step sizes (2: distillation has one phase, and a teacher all the same) and
 * with many, whole batches and parts of them, phases whose weights are kept. */
static void memory_and_checkpoints_are_what_was_said(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    read_experiment(
        "experiment: cost\ndataset: {name: gaussian-mixture}\n"
        "model: {preset: tiny, patch: 1, hidden: 12, depth: 2, heads: 3, classes: 4}\n"
        "train: {updates: 16, batch: 24, ema: 0.999, checkpoint_every: 1000}\n"
        "evaluate: {steps: [1], updates: [3]}\n"
        "methods:\n  reflow: {pairs: 30, teacher_steps: 2}\n  shortcut: {bootstrap_fraction: 0.5, target_ema: 0.9}\n"
        "  progressive-distillation: {phase_checkpoints: true}\n"
        "matrix:\n  model.finest_steps: [2, 16]\n  train.micro_batch: [0, 7]\n"
        "  method: [flow-matching, shortcut, progressive-distillation, reflow, mean-flow, alpha-flow]\n",
        &experiment);
    assert_int_equal(experiment.run_count, 24);
    for (int i = 0; i < experiment.run_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%d-%d", experiment.runs[i].method->name, experiment.runs[i].model.finest_steps,
                 experiment.runs[i].train.micro_batch);
        expect_costs(&experiment.runs[i], name);
    }
    if (backend->native_bf16) {
        experiment.runs[0].train.precision = FS_PRECISION_BF16;
        expect_costs(&experiment.runs[0], "bf16");
    }
    fs_experiment_free(&experiment);
}

static int open_all(void **state)
{
    (void)state;
    struct fs_error error;
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    backend = fs_cpu_backend(0, &error);
    if (!backend || fs_dataset_open(&config, FS_SPLIT_TRAIN, &dataset, &error) != FS_OK) {
        return 1;
    }
    real_allocate = backend->allocate;
    backend->allocate = counting_allocate;
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fs_dataset_close(&dataset);
    backend->destroy(backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_follow_the_forwards),
        cmocka_unit_test(average_velocities_cost_as_said),
        cmocka_unit_test(guided_scores_cost_two_forwards),
        cmocka_unit_test(memory_and_checkpoints_are_what_was_said),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
