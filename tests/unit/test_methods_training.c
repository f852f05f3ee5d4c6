/* Every method of the registry trains, with its teacher and pairs, and goes on to the same bytes wherever it is
 * stopped; and those for few steps learn what they are for. */

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/sample/generator.h"
#include "harness/train/pairs.h"
#include "harness/train/trainer.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "tests/support/folder.h"
#include "tests/support/mock_training.h"
#include "tests/support/training.h"

#define DIM 4
#define UPDATES 16 /* of which a teacher has half: a student of M = 128 needs seven */

static volatile sig_atomic_t stop;
static struct fs_backend *backend;

/* What a training is told to do and what it saw. */
struct watch {
    int64_t stop_at; /* update; 0: not at all */
};

static void must(fs_status status, const struct fs_error *error)
{
    if (status != FS_OK) {
        fail_msg("%s", error->text);
    }
}

static void on_progress(void *owner, const struct fs_train_progress *progress)
{
    const struct watch *watch = owner;
    assert_true(progress->update >= 1);
    assert_true(isfinite(progress->loss));
    stop = progress->update == watch->stop_at;
}

/* What a method is trained on. */
struct lesson {
    const struct fs_config *config;
    const struct fs_dataset *data;
    char teacher[1024], pairs[1024]; /* empty: none */
};

/* One call of the trainer; how far it came. */
static int64_t train(const struct lesson *lesson, const char *folder, struct watch *watch, char checkpoint[1024])
{
    struct fs_error error = {.text = ""};
    struct fs_training training = test_training(backend, lesson->config, lesson->data, "methods", folder);
    training.teacher = *lesson->teacher ? lesson->teacher : NULL;
    training.pairs = *lesson->pairs ? lesson->pairs : NULL;
    training.stop = &stop;
    training.owner = watch;
    training.progress = on_progress;
    enum fs_train_end end;
    int64_t update = 0;
    stop = 0;
    must(fs_make_folder(folder, &error), &error);
    must(fs_train(&training, &end, &error), &error);
    must(fs_checkpoint_newest(folder, checkpoint, &update, &error), &error);
    return update;
}

static int64_t own_updates(const struct fs_config *config)
{
    return fs_config_method_setup(config).updates;
}

/* The teacher and the pairs that the configuration asks for, in folders of their own. */
static void prepare(struct lesson *lesson, const char *name)
{
    const struct fs_config *config = lesson->config;
    struct fs_error error = {.text = ""};
    struct fs_config teacher = {0};
    struct watch watch = {0};
    char folder[64];
    if (config->method->teacher_share(&config->settings) == 0) {
        return;
    }
    must(fs_config_teacher(config, &teacher, &error), &error);
    const struct lesson first = {&teacher, lesson->data, "", ""};
    snprintf(folder, sizeof folder, "%s-teacher", name);
    assert_true(train(&first, test_path(folder), &watch, lesson->teacher) == own_updates(&teacher));
    if (fs_config_pairs(config).count > 0) {
        struct fs_generator generator;
        bool finished = false;
        snprintf(folder, sizeof folder, "%s-pairs", name);
        snprintf(lesson->pairs, sizeof lesson->pairs, "%s", test_path(folder));
        must(fs_generator_open(&generator, backend, &teacher, &lesson->data->shape, lesson->teacher, FS_WEIGHTS_EMA,
                               &error),
             &error);
        must(fs_pairs_make(lesson->pairs, fs_comm_single(), &generator.sampler, config, &stop, NULL, NULL, &finished,
                           &error),
             &error);
        assert_true(finished);
        fs_generator_close(&generator);
    }
    fs_config_free(&teacher);
}

/* Trained whole, and stopped three times on the way. */
static void train_both_ways(const struct lesson *lesson, const char *name)
{
    struct watch whole = {0};
    struct fs_error error = {.text = ""};
    const int64_t updates = own_updates(lesson->config), stops[] = {1, updates / 2, updates - 2};
    char checkpoint[1024], folder[64], want[65], got[65];
    snprintf(folder, sizeof folder, "%s-whole", name);
    assert_true(train(lesson, test_path(folder), &whole, checkpoint) == updates);
    must(fs_sha256_file(checkpoint, want, &error), &error);
    snprintf(folder, sizeof folder, "%s-stopped", name);
    for (int i = 0; i < 3; i++) {
        struct watch watch = {.stop_at = stops[i]};
        const int64_t reached = train(lesson, test_path(folder), &watch, checkpoint);
        assert_in_range(reached, stops[i], stops[i] + 1); /* ranks agree on it with the update's loss */
    }
    struct watch rest = {0};
    assert_true(train(lesson, test_path(folder), &rest, checkpoint) == updates);
    must(fs_sha256_file(checkpoint, got, &error), &error);
    if (strcmp(got, want) != 0) {
        fail_msg("%s: a training that was stopped three times ends with other bytes", name);
    }
}

static void read_experiment(const char *method, struct fs_experiment *experiment)
{
    struct fs_error error = {.text = ""};
    char text[1024];
    const int length =
        snprintf(text, sizeof text,
                 "experiment: methods\ndataset: {name: gaussian-mixture}\n"
                 "model: {preset: tiny, patch: 1, hidden: 8, depth: 1, heads: 2, classes: 4, finest_steps: 128}\n"
                 "train: {updates: %d, batch: 61, learning_rate: 4.0e-3, warmup: 2, ema: 0.9, label_dropout: 0.2}\n"
                 "evaluate: {steps: [1]}\nmethod: %s\nmethods: {reflow: {pairs: 70, teacher_steps: 2}}\n",
                 UPDATES, method);
    const char *path = test_path("methods.yaml");
    test_write(path, text, (size_t)length);
    must(fs_experiment_read(path, NULL, 0, NULL, 0, experiment, &error), &error);
}

static void every_method_resumes_to_the_same_bytes(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        struct fs_experiment experiment;
        struct fs_dataset data;
        read_experiment(method->name, &experiment);
        must(fs_dataset_open(&experiment.runs[0].dataset, FS_SPLIT_TRAIN, &data, &error), &error);
        struct lesson lesson = {.config = &experiment.runs[0], .data = &data};
        prepare(&lesson, method->name);
        train_both_ways(&lesson, method->name);
        fs_dataset_close(&data);
        fs_experiment_free(&experiment);
    }
}

/* --- what a student begins with --- */

/* The weights of a checkpoint and their average, each of `count` numbers. */
static int64_t read_weights(const struct lesson *lesson, const char *path, float **model, float **average)
{
    struct fs_error error = {.text = ""};
    const struct fs_data_shape *shape = &lesson->data->shape;
    struct fs_dit *dit = fs_dit_create(backend, &lesson->config->model, shape->height, shape->width, shape->channels, 1,
                                       0, FS_F32, &error);
    assert_non_null(dit);
    const int64_t count = fs_dit_parameter_count(dit);
    *model = calloc((size_t)count, sizeof(float));
    *average = calloc((size_t)count, sizeof(float));
    assert_true(*model && *average);
    struct fs_checkpoint checkpoint = {.copies = {[FS_COPY_MODEL] = *model, [FS_COPY_EMA] = *average}};
    must(fs_checkpoint_read(path, dit, &checkpoint, &error), &error);
    fs_dit_destroy(dit);
    return count;
}

/* A student that does not move at all, so that its weights stay what they began as, R or E of its teacher, and its
 * average is what began as E or as the weights, drawn towards the weights by half at each of the `averaged` updates
 * since. */
static void expect_start(struct lesson *lesson, bool reset, enum fs_weights_kind start)
{
    char checkpoint[1024], folder[64];
    float *raw, *ema, *model, *average;
    struct watch watch = {0};
    struct fs_config config = *lesson->config;
    config.train.ema_reset = reset;
    config.train.student_start = start;
    config.train.ema_warmup = false;
    config.train.ema = 0.5;
    config.train.learning_rate = 1e-30;
    config.train.weight_decay = 0;
    struct lesson student = *lesson;
    student.config = &config;
    snprintf(folder, sizeof folder, "student-%d-%d", reset, start);
    const int64_t updates = train(&student, test_path(folder), &watch, checkpoint);
    const int64_t count = read_weights(lesson, lesson->teacher, &raw, &ema);
    assert_true(read_weights(lesson, checkpoint, &model, &average) == count);
    double apart = 0;
    for (int64_t i = 0; i < count; i++) {
        const double began = (double)(start == FS_WEIGHTS_RAW ? raw[i] : ema[i]);
        const double average_began = reset ? began : (double)ema[i];
        apart = fmax(apart, fabs((double)raw[i] - (double)ema[i]));
        assert_true((double)model[i] == began);
        assert_true(fabs((double)average[i] - (began + (average_began - began) * pow(0.5, (double)updates))) < 1e-7);
    }
    assert_true(apart > 1e-3);
    free(raw);
    free(ema);
    free(model);
    free(average);
}

/* Seven phases, one average through all of them where it is not reset. */
static void students_begin_as_they_are_told(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    struct fs_experiment experiment;
    struct fs_dataset data;
    read_experiment("progressive-distillation", &experiment);
    must(fs_dataset_open(&experiment.runs[0].dataset, FS_SPLIT_TRAIN, &data, &error), &error);
    struct lesson lesson = {.config = &experiment.runs[0], .data = &data};
    prepare(&lesson, "begin");
    for (int i = 0; i < 4; i++) {
        expect_start(&lesson, i % 2 == 0, i / 2 == 0 ? FS_WEIGHTS_EMA : FS_WEIGHTS_RAW);
    }
    fs_dataset_close(&data);
    fs_experiment_free(&experiment);
}

/* --- what is learned --- */

#define SAMPLES 512

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (int d = 0; d < DIM; d++) {
        sum += ((double)a[d] - (double)b[d]) * ((double)a[d] - (double)b[d]);
    }
    return sqrt(sum);
}

/* The mean of |a − b| over all pairs of two sets of SAMPLES points. */
static double mean_distance(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < SAMPLES; i++) {
        for (int j = 0; j < SAMPLES; j++) {
            sum += distance(a + i * DIM, b + j * DIM);
        }
    }
    return sum / SAMPLES / SAMPLES;
}

/* The energy distance 2·E|X − Y| − E|X − X'| − E|Y − Y'| (Székely & Rizzo 2013), 0 for the same distribution, of
 * samples in one step from test data. */
static double one_step_distance(const struct lesson *lesson, const char *checkpoint)
{
    static float drawn[SAMPLES * DIM], real[SAMPLES * DIM];
    struct fs_error error = {.text = ""};
    struct fs_generator generator;
    struct fs_dataset test;
    must(fs_dataset_open(&lesson->config->dataset, FS_SPLIT_TEST, &test, &error), &error);
    for (int i = 0; i < SAMPLES; i++) {
        must(fs_dataset_read(&test, i, real + i * DIM, &error), &error);
    }
    fs_dataset_close(&test);
    must(fs_generator_open(&generator, backend, lesson->config, &lesson->data->shape, checkpoint, FS_WEIGHTS_EMA,
                           &error),
         &error);
    must(fs_generate(&generator, 1, 0, SAMPLES, 1, 1, drawn, &error), &error);
    fs_generator_close(&generator);
    return 2 * mean_distance(drawn, real) - mean_distance(drawn, drawn) - mean_distance(real, real);
}

/* After 300 updates, without labels: of four modes, so that one step of a velocity field alone ends between them. */
static double distance_after_training(const struct fs_method *method, enum fs_pairing_kind pairing)
{
    struct fs_experiment experiment;
    struct fs_dataset data;
    struct fs_error error = {.text = ""};
    struct watch watch = {0};
    char text[1024], checkpoint[1024], name[64];
    const int length =
        snprintf(text, sizeof text,
                 "experiment: learned\ndataset: {name: gaussian-mixture}\n"
                 "model: {preset: tiny, patch: 2, hidden: 48, depth: 2, heads: 2, classes: 0, finest_steps: 16}\n"
                 "train: {updates: 300, batch: 64, learning_rate: 4.0e-3, warmup: 20, ema: 0.98}\n"
                 "evaluate: {steps: [1]}\nmethod: %s\nmethods: {reflow: {pairs: 2000, teacher_steps: 16}, "
                 "shortcut: {bootstrap_fraction: 0.25, target_ema: 0.95}}\n",
                 method->name);
    const char *path = test_path("learned.yaml");
    test_write(path, text, (size_t)length);
    must(fs_experiment_read(path, NULL, 0, NULL, 0, &experiment, &error), &error);
    must(fs_dataset_open(&experiment.runs[0].dataset, FS_SPLIT_TRAIN, &data, &error), &error);
    experiment.runs[0].train.pairing = pairing;
    struct lesson lesson = {.config = &experiment.runs[0], .data = &data};
    snprintf(name, sizeof name, "learned-%s-%d", method->name, pairing);
    prepare(&lesson, name);
    train(&lesson, test_path(name), &watch, checkpoint);
    const double result = one_step_distance(&lesson, checkpoint);
    fs_dataset_close(&data);
    fs_experiment_free(&experiment);
    return result;
}

/* Each that is trained for one step is nearer in one step than flow matching, by far. */
static void few_step_methods_are_near_in_one_step(void **state)
{
    (void)state;
    const struct fs_method *method;
    const double flow_matching = distance_after_training(fs_method_find("flow-matching"), FS_PAIRING_INDEPENDENT);
    print_message("energy distance in one step: flow-matching %.3f\n", flow_matching);
    assert_true(flow_matching > 0.7);
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        struct fs_method_settings settings;
        fs_mock_default_settings(method, &settings);
        const struct fs_method_setup setup = {
            .settings = &settings, .finest_steps = 16, .levels = 4, .guidance_scale = 1};
        if (!method->outside_training(&setup, 1)) {
            const double found = distance_after_training(method, FS_PAIRING_INDEPENDENT);
            print_message("%s %.3f\n", method->name, found);
            assert_true(found < 0.35);
        }
    }
}

/* Noise that is paired with near data goes there on straighter paths, so that one step of their velocity does more. */
static void pairing_straightens_paths(void **state)
{
    (void)state;
    const struct fs_method *method = fs_method_find("flow-matching");
    const double chance = distance_after_training(method, FS_PAIRING_INDEPENDENT),
                 paired = distance_after_training(method, FS_PAIRING_OPTIMAL_TRANSPORT);
    print_message("energy distance of flow matching in one step: %.3f by chance, %.3f paired\n", chance, paired);
    assert_true(paired < 0.5 * chance);
}

static int open_backend(void **state)
{
    (void)state;
    struct fs_error error;
    backend = fs_cpu_backend(1, &error);
    return backend ? 0 : 1;
}

static int close_backend(void **state)
{
    (void)state;
    backend->destroy(backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_resumes_to_the_same_bytes),
        cmocka_unit_test(students_begin_as_they_are_told),
        cmocka_unit_test(few_step_methods_are_near_in_one_step),
        cmocka_unit_test(pairing_straightens_paths),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
