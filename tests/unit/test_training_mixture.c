/* The trainer on the Gaussian mixture, whose exact velocity is known: what a network learns, and the pairs that it
 * draws as a teacher. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "harness/data/mixture.h"
#include "harness/data/source.h"
#include "harness/sample/generator.h"
#include "harness/checkpoint/checkpoint.h"
#include "harness/train/pairs.h"
#include "harness/train/trainer.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/random.h"
#include "methods/defaults.h"
#include "tests/support/folder.h"
#include "tests/support/mock_training.h"
#include "tests/support/training.h"

#define DIM 4
#define ROWS 512
#define PAIRS 230 /* two whole shards and a short one */
#define TEACHER_STEPS 8

static struct fs_backend *backend;
static struct fs_dataset dataset;
static volatile sig_atomic_t stop;

static void must(fs_status status, const struct fs_error *error)
{
    if (status != FS_OK) {
        fail_msg("%s", error->text);
    }
}

/* --- training --- */

static void read_experiment(const char *method, int updates, struct fs_experiment *experiment)
{
    struct fs_error error = {.text = ""};
    char text[1024];
    const int length = snprintf(
        text, sizeof text,
        "experiment: mixture\ndataset: {name: gaussian-mixture}\n"
        "model: {preset: tiny, patch: 1, hidden: 32, depth: 2, heads: 2, classes: 4, finest_steps: 16}\n"
        "train: {updates: %d, batch: 128, learning_rate: 4.0e-3, warmup: 20, schedule: cosine, ema: 0.99}\n"
        "evaluate: {steps: [1, 16]}\n"
        "method: %s\n"
        "%s",
        updates, method, strcmp(method, "reflow") == 0 ? "methods: {reflow: {pairs: 230, teacher_steps: 8}}\n" : "");
    const char *path = test_path("mixture.yaml");
    test_write(path, text, (size_t)length);
    must(fs_experiment_read(path, NULL, 0, NULL, 0, experiment, &error), &error);
}

static void expect_finite(void *owner, const struct fs_train_progress *progress)
{
    (void)owner;
    assert_true(isfinite(progress->loss));
}

/* Trains flow matching in a folder of its own; the path of its last checkpoint. */
static void train(const struct fs_config *config, const char *folder, char checkpoint[1024])
{
    struct fs_error error = {.text = ""};
    struct fs_training training = test_training(backend, config, &dataset, "mixture", folder);
    training.progress = expect_finite;
    enum fs_train_end end;
    int64_t update = 0;
    must(fs_make_folder(folder, &error), &error);
    must(fs_train(&training, &end, &error), &error);
    assert_int_equal(end, FS_TRAIN_FINISHED);
    must(fs_checkpoint_newest(folder, checkpoint, &update, &error), &error);
    assert_int_equal(update, config->train.updates);
}

/* The mixture from a disk that fails at the fourth update; and who reads is told for which row. */
static fs_status read_broken(const struct fs_dataset *data, int64_t index, const struct fs_visit *visit, float *out,
                             struct fs_error *error)
{
    assert_true(visit && visit->seed == 0 && visit->row >= 0 && visit->row < 128);
    if (visit->update >= 3) {
        return fs_fail(error, FS_USAGE, "picture %lld: the disk fails", (long long)index);
    }
    return dataset.source->read(data, index, visit, out, error);
}

static void what_cannot_be_read_ends_the_training(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    struct fs_experiment experiment;
    struct fs_data_source source = *dataset.source;
    struct fs_dataset broken = dataset;
    enum fs_train_end end = FS_TRAIN_FINISHED;
    char path[1024];
    int64_t update = 0;
    source.read = read_broken;
    broken.source = &source;
    read_experiment("shortcut", 8, &experiment);
    const char *folder = test_path("broken");
    struct fs_training training = test_training(backend, &experiment.runs[0], &broken, "broken", folder);
    training.progress = expect_finite;
    must(fs_make_folder(folder, &error), &error);
    assert_int_equal(fs_train(&training, &end, &error), FS_USAGE);
    assert_int_equal(end, FS_TRAIN_STOPPED);
    assert_non_null(strstr(error.text, "the disk fails"));
    must(fs_checkpoint_newest(folder, path, &update, &error), &error);
    assert_int_equal(update, -1); /* nothing is kept of the update whose rows are not there */
    fs_experiment_free(&experiment);
}

/* The network's velocity [n, DIM] at x, through the same door as the sampler's. */
static void network_velocity(struct fs_generator *generator, const float *x, const float *t, const int32_t *labels,
                             int64_t n, float *velocity)
{
    struct fs_error error = {.text = ""};
    struct fs_sampler *sampler = &generator->sampler;
    const size_t row = DIM * sizeof(float);
    static const float zeros[ROWS];
    for (int64_t done = 0; done < n; done += sampler->capacity) {
        const int64_t count = n - done < sampler->capacity ? n - done : sampler->capacity;
        const struct fs_view in = fs_view_rows(generator->x, 0, count),
                             out = fs_view_rows(sampler->scratch[0], 0, count);
        backend->upload(backend, in.data, x + done * DIM, (size_t)count * row);
        sampler->evaluate(sampler, out, in, t + done, zeros, labels + done);
        backend->download(backend, velocity + done * DIM, out.data, (size_t)count * row);
    }
    must(backend->synchronise(backend, &error), &error);
}

/* --- what is learned --- */

/* E|v − v*|²/E|v*|² over fresh noise, data that was not trained on, and times on the grid. */
static double relative_error(struct fs_generator *generator, uint32_t seed)
{
    static float x[ROWS * DIM], t[ROWS], velocity[ROWS * DIM];
    static int32_t labels[ROWS];
    struct fs_dataset test;
    struct fs_error error = {.text = ""};
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    must(fs_dataset_open(&config, FS_SPLIT_TEST, &test, &error), &error);
    for (int i = 0; i < ROWS; i++) {
        float data[DIM], noise[4];
        const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TRAIN_NOISE};
        must(fs_dataset_read(&test, i, data, &error), &error);
        fs_normals4(key, (uint32_t)i, 0, noise);
        labels[i] = test.labels[i];
        t[i] = (float)(i % 16) / 16;
        for (int d = 0; d < DIM; d++) {
            x[i * DIM + d] = (1 - (1 - 1e-5F) * t[i]) * noise[d] + t[i] * data[d];
        }
    }
    fs_dataset_close(&test);
    network_velocity(generator, x, t, labels, ROWS, velocity);
    double wrong = 0, whole = 0;
    for (int i = 0; i < ROWS; i++) {
        double point[DIM], exact[DIM];
        for (int d = 0; d < DIM; d++) {
            point[d] = (double)x[i * DIM + d];
        }
        fs_mixture_velocity(fs_mixture_standard(), point, (double)t[i], labels[i], exact);
        for (int d = 0; d < DIM; d++) {
            wrong += pow((double)velocity[i * DIM + d] - exact[d], 2);
            whole += exact[d] * exact[d];
        }
    }
    return wrong / whole;
}

/* After `updates` of flow matching, whose errors count as `loss` says. */
static double error_after(int updates, uint32_t seed,
                          struct fs_loss (*loss)(const struct fs_method_setup *setup, const struct fs_phase *phase))
{
    struct fs_experiment experiment;
    struct fs_generator generator;
    struct fs_error error = {.text = ""};
    char checkpoint[1024], name[32];
    static int trainings;
    snprintf(name, sizeof name, "training-%d", trainings++);
    read_experiment("flow-matching", updates, &experiment);
    struct fs_method method = *experiment.runs[0].method;
    method.loss = loss;
    experiment.runs[0].method = &method;
    train(&experiment.runs[0], test_path(name), checkpoint);
    must(
        fs_generator_open(&generator, backend, &experiment.runs[0], &dataset.shape, checkpoint, FS_WEIGHTS_EMA, &error),
        &error);
    const double result = relative_error(&generator, seed);
    fs_generator_close(&generator);
    fs_experiment_free(&experiment);
    return result;
}

/* A fresh network says 0 everywhere: an error of 1. */
static void flow_matching_learns_the_exact_velocity(void **state)
{
    (void)state;
    const uint32_t seed = (uint32_t)time(NULL);
    const double early = error_after(60, seed, fs_mean_square), late = error_after(500, seed, fs_mean_square);
    print_message("relative error of the velocity: %.4f after 60 updates, %.4f after 500\n", early, late);
    assert_true(early < 0.8);
    assert_true(late < 0.25 * early);
    assert_true(late < 0.02);
}

static struct fs_loss adaptive(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)setup;
    (void)phase;
    return (struct fs_loss){FS_LOSS_ADAPTIVE, 0.5F, 1e-3F};
}

/* The weight makes rows with large errors count less: another network, which learns too. */
static void a_method_chooses_its_loss(void **state)
{
    (void)state;
    const uint32_t seed = (uint32_t)time(NULL);
    const double plain = error_after(60, seed, fs_mean_square), weighed = error_after(60, seed, adaptive);
    assert_true(weighed != plain);
    assert_true(weighed < 0.8);
}

/* The trained network's velocities of the first rows of the noise bank, at t = ½. */
static void velocities_after(const struct fs_config *config, const char *name, float velocity[ROWS * DIM])
{
    static float x[ROWS * DIM], t[ROWS];
    static int32_t labels[ROWS];
    struct fs_generator generator;
    struct fs_error error = {.text = ""};
    char checkpoint[1024];
    train(config, test_path(name), checkpoint);
    must(fs_generator_open(&generator, backend, config, &dataset.shape, checkpoint, FS_WEIGHTS_RAW, &error), &error);
    must(fs_noise_bank(&generator, 1, ROWS, x, &error), &error);
    for (int i = 0; i < ROWS; i++) {
        t[i] = 0.5F;
        labels[i] = i % 4;
    }
    network_velocity(&generator, x, t, labels, ROWS, velocity);
    fs_generator_close(&generator);
}

/* Self-consistency rows and flow-matching rows in micro-batches that begin in the midst of either, and of the groups
 * within which noise is paired with data. */
static void micro_batches_train_the_same_network(void **state)
{
    (void)state;
    static float whole[2][ROWS * DIM], pieces[ROWS * DIM];
    struct fs_experiment experiment;
    char name[32];
    read_experiment("shortcut", 12, &experiment);
    for (int paired = 0; paired < 2; paired++) {
        experiment.runs[0].train.pairing = paired ? FS_PAIRING_OPTIMAL_TRANSPORT : FS_PAIRING_INDEPENDENT;
        experiment.runs[0].train.micro_batch = 0;
        snprintf(name, sizeof name, "whole-%d", paired);
        velocities_after(&experiment.runs[0], name, whole[paired]);
        experiment.runs[0].train.micro_batch = 7;
        snprintf(name, sizeof name, "pieces-%d", paired);
        velocities_after(&experiment.runs[0], name, pieces);
        double difference = 0, square = 0;
        for (int i = 0; i < ROWS * DIM; i++) {
            difference += pow((double)whole[paired][i] - (double)pieces[i], 2);
            square += pow((double)whole[paired][i], 2);
        }
        assert_true(square > 0 && difference < 1e-6 * square);
    }
    assert_true(memcmp(whole[0], whole[1], sizeof pieces) != 0);
    fs_experiment_free(&experiment);
}

/* Flow matching in three phases of its 24 updates, the last two of which go on as if nothing had ended. */
static int three_phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int64_t updates[3] = {7, 1, setup->updates - 8};
    for (int i = 0; i < 3; i++) {
        fs_single_phase(setup, i == 0 ? FS_START_FRESH : FS_START_CONTINUE, &phases[i]);
        phases[i].updates = updates[i];
        phases[i].averages_continue = phases[i].schedule_continues = i > 0;
    }
    return 3;
}

/* Three that restart the averages, or else the schedule, each at its first update. */
static int three_restarts(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int count = three_phases(setup, phases);
    for (int i = 0; i < count; i++) {
        phases[i].averages_continue = false;
    }
    return count;
}

static int three_schedules(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int count = three_phases(setup, phases);
    for (int i = 0; i < count; i++) {
        phases[i].schedule_continues = false;
    }
    return count;
}

/* Both averages are in a checkpoint, with the weights and their moments. */
static void phases_go_on_where_they_say_so(void **state)
{
    (void)state;
    int (*const cuts[4])(const struct fs_method_setup *, struct fs_phase *) = {NULL, three_phases, three_restarts,
                                                                               three_schedules};
    struct fs_experiment experiment;
    struct fs_error error = {.text = ""};
    char checkpoint[1024], name[32], sha256[4][65];
    read_experiment("shortcut", 24, &experiment);
    experiment.runs[0].train.schedule = FS_SCHEDULE_COSINE_PHASE;
    experiment.runs[0].train.warmup = 2;
    struct fs_method method = *experiment.runs[0].method;
    fs_mock_set_option(&method, &experiment.runs[0].settings, "target_ema", 0.8);
    for (int i = 0; i < 4; i++) {
        method.phases = cuts[i] ? cuts[i] : experiment.runs[0].method->phases;
        experiment.runs[0].method = &method;
        snprintf(name, sizeof name, "phases-%d", i);
        train(&experiment.runs[0], test_path(name), checkpoint);
        must(fs_sha256_file(checkpoint, sha256[i], &error), &error);
    }
    assert_string_equal(sha256[0], sha256[1]);
    assert_string_not_equal(sha256[0], sha256[2]);
    assert_string_not_equal(sha256[0], sha256[3]);
    fs_experiment_free(&experiment);
}

/* --- sampling by steps that draw --- */

/* Sample i of a bank is the same, wherever the drawing begins and however many go through the network at once; from
 * given noise too. */
static void samples_go_by_their_row_of_the_bank(void **state)
{
    (void)state;
    enum { ALL = 300, FIRST = 190 };
    static float all[ALL * DIM], part[ALL * DIM], noise[ALL * DIM];
    int32_t labels[ALL];
    struct fs_experiment experiment;
    struct fs_generator generator;
    struct fs_error error = {.text = ""};
    char checkpoint[1024];
    read_experiment("flow-matching", 5, &experiment);
    struct fs_method method = *experiment.runs[0].method;
    method.step = fs_mock_renoise;
    experiment.runs[0].method = &method;
    train(&experiment.runs[0], test_path("drawing"), checkpoint);
    must(
        fs_generator_open(&generator, backend, &experiment.runs[0], &dataset.shape, checkpoint, FS_WEIGHTS_EMA, &error),
        &error);
    assert_true(generator.sampler.capacity < FIRST);
    must(fs_generate(&generator, 3, 0, ALL, 4, 1, all, &error), &error);
    must(fs_generate(&generator, 3, FIRST, ALL - FIRST, 4, 1, part, &error), &error);
    assert_memory_equal(part, all + FIRST * DIM, sizeof(float) * (ALL - FIRST) * DIM);
    must(fs_noise_bank(&generator, 3, ALL, noise, &error), &error);
    for (int i = 0; i < ALL; i++) {
        labels[i] = i % 4;
    }
    must(fs_generate_from(&generator, noise, labels, 3, ALL, 4, 1, part, &error), &error);
    assert_memory_equal(part, all, sizeof all);
    must(fs_generate_from(&generator, noise, labels, 4, ALL, 4, 1, part, &error), &error);
    assert_true(memcmp(part, all, sizeof all) != 0); /* the same bank, other fresh noise */
    fs_generator_close(&generator);
    fs_experiment_free(&experiment);
}

/* --- Reflow's pairs --- */

/* Euler from the stored noise, written out: x ← x + v(x, i/N)/N. */
static void euler(struct fs_generator *teacher, const struct fs_pairs *pairs, float *x)
{
    static float velocity[PAIRS * DIM], t[PAIRS];
    memcpy(x, pairs->noise, sizeof(float) * PAIRS * DIM);
    for (int step = 0; step < TEACHER_STEPS; step++) {
        for (int i = 0; i < PAIRS; i++) {
            t[i] = (float)step / TEACHER_STEPS;
        }
        network_velocity(teacher, x, t, pairs->labels, PAIRS, velocity);
        for (int i = 0; i < PAIRS * DIM; i++) {
            x[i] += velocity[i] / TEACHER_STEPS;
        }
    }
}

static void check_pairs(struct fs_generator *teacher, const char *folder)
{
    static float x[PAIRS * DIM];
    struct fs_error error = {.text = ""};
    struct fs_pairs pairs;
    must(fs_pairs_read(folder, PAIRS, DIM, &pairs, &error), &error);
    euler(teacher, &pairs, x);
    double moved = 0;
    int seen[4] = {0};
    for (int i = 0; i < PAIRS; i++) {
        seen[pairs.labels[i]]++;
        for (int d = 0; d < DIM; d++) {
            const float image = pairs.data[i * DIM + d];
            assert_true(fabsf(image - x[i * DIM + d]) <= 1e-5F * (1 + fabsf(image)));
            moved = fmax(moved, (double)fabsf(image - pairs.noise[i * DIM + d]));
        }
    }
    assert_true(moved > 1);
    for (int label = 0; label < 4; label++) {
        assert_true(seen[label] > PAIRS / 8);
    }
    fs_pairs_free(&pairs);
}

static void pairs_are_the_teachers_euler_images(void **state)
{
    (void)state;
    struct fs_experiment experiment;
    struct fs_config teacher = {0};
    struct fs_generator generator;
    struct fs_error error = {.text = ""};
    char checkpoint[1024];
    bool finished = false;
    read_experiment("reflow", 120, &experiment);
    must(fs_config_teacher(&experiment.runs[0], &teacher, &error), &error);
    train(&teacher, test_path("teacher"), checkpoint);
    must(fs_generator_open(&generator, backend, &teacher, &dataset.shape, checkpoint, FS_WEIGHTS_EMA, &error), &error);
    const char *folder = test_path("pairs");
    must(fs_pairs_make(folder, fs_comm_single(), &generator.sampler, &experiment.runs[0], &stop, NULL, NULL, &finished,
                       &error),
         &error);
    assert_true(finished);
    check_pairs(&generator, folder);
    fs_generator_close(&generator);
    fs_config_free(&teacher);
    fs_experiment_free(&experiment);
}

static int open_all(void **state)
{
    (void)state;
    struct fs_error error;
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    backend = fs_cpu_backend(0, &error);
    return backend && fs_dataset_open(&config, FS_SPLIT_TRAIN, &dataset, &error) == FS_OK ? 0 : 1;
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
        cmocka_unit_test(flow_matching_learns_the_exact_velocity),
        cmocka_unit_test(what_cannot_be_read_ends_the_training),
        cmocka_unit_test(a_method_chooses_its_loss),
        cmocka_unit_test(micro_batches_train_the_same_network),
        cmocka_unit_test(phases_go_on_where_they_say_so),
        cmocka_unit_test(samples_go_by_their_row_of_the_bank),
        cmocka_unit_test(pairs_are_the_teachers_euler_images),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
