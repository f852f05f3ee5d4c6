/* Latents on the CUDA backend, without a GPU: pictures encoded, a network trained on them, its samples decoded and
 * scored; latents and decoded pictures are the CPU's. */
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
#include "harness/sample/encode.h"
#include "harness/sample/score.h"
#include "harness/train/trainer.h"
#include "kernels/backend.h"
#include "tests/cuda_host/cuda_host.h"
#include "tests/support/autoencoder.h"
#include "tests/support/folder.h"
#include "tests/support/pictures.h"
#include "tests/support/training.h"

#define PICTURES 3
#define UPDATES 2
#define SAMPLES 2
#define TOLERANCE 1e-4

struct fs_backend *fs_cuda_backend(struct fs_error *error);

static struct fs_error error;
static volatile sig_atomic_t stop;
static char weights[512], latents[2][512];
static struct fs_backend *backends[2]; /* CPU, CUDA */
static struct fs_experiment experiment;

static void must(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* --- encoding --- */

static void encode(int device)
{
    struct fs_dataset_config config = {.name = "few", .kind = "idx"};
    struct fs_dataset pictures;
    struct fs_encode_outcome outcome;
    snprintf(config.path, sizeof config.path, "%s", test_path("few"));
    must(fs_dataset_open(&config, FS_SPLIT_TRAIN, &pictures, &error));
    struct fs_autoencoder *autoencoder = fs_autoencoder_open(backends[device], weights, FS_F32, &error);
    assert_non_null(autoencoder);
    const struct fs_encode_request request = {.pictures = &pictures,
                                              .source = "few",
                                              .identity = pictures.sha256,
                                              .autoencoder = autoencoder,
                                              .device = backends[device]->name,
                                              .stored = FS_F32,
                                              .folder = latents[device],
                                              .parts = 1};
    must(fs_encode(&request, &outcome, &error));
    assert_true(outcome.complete);
    fs_latents_manifest_free(&outcome.manifest);
    fs_autoencoder_close(autoencoder);
    fs_dataset_close(&pictures);
}

static void open_latents(int device, struct fs_dataset *data)
{
    struct fs_dataset_config config = {.name = "few", .kind = "latents"};
    snprintf(config.path, sizeof config.path, "%s", latents[device]);
    must(fs_dataset_open(&config, FS_SPLIT_TRAIN, data, &error));
}

static void close_to(const float *a, const float *b, int64_t count)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    assert_true(size > 0);
    if (!(difference <= TOLERANCE * TOLERANCE * size)) {
        fail_msg("off by %g of %g", sqrt(difference), sqrt(size));
    }
}

static void test_latents_are_the_cpus(void **state)
{
    (void)state;
    struct fs_dataset data[2];
    float *rows[2];
    for (int device = 0; device < 2; device++) {
        encode(device);
        open_latents(device, &data[device]);
        rows[device] = calloc((size_t)(PICTURES * fs_shape_dim(&data[device].shape)), sizeof(float));
        assert_non_null(rows[device]);
        must(fs_dataset_rows(&data[device], 0, PICTURES, rows[device], &error));
    }
    assert_string_equal(fs_latents_of(&data[0])->pictures_sha256, fs_latents_of(&data[1])->pictures_sha256);
    close_to(rows[1], rows[0], PICTURES * fs_shape_dim(&data[0].shape));
    for (int device = 0; device < 2; device++) {
        free(rows[device]);
        fs_dataset_close(&data[device]);
    }
    assert_string_equal(cuda_host_report(), "");
}

/* --- training and drawing --- */

static void train(const struct fs_dataset *data, char checkpoint[FS_PATH_ROOM])
{
    struct fs_training training = test_training(backends[1], &experiment.runs[0], data, "latents", test_path("run"));
    enum fs_train_end end;
    int64_t update;
    must(fs_make_folder(test_path("run"), &error));
    must(fs_train(&training, &end, &error));
    must(fs_checkpoint_newest(test_path("run"), checkpoint, &update, &error));
    assert_int_equal(update, UPDATES);
}

static void decode_as_the_cpu_does(const struct fs_dataset *data, const float *drawn)
{
    float *pictures[2];
    for (int device = 0; device < 2; device++) {
        struct fs_decoder decoder;
        must(fs_decoder_open(&decoder, backends[device], data, weights, FS_F32, &error));
        assert_int_equal(fs_shape_dim(&decoder.picture), 784);
        float *copy = malloc((size_t)(SAMPLES * fs_shape_dim(&data->shape)) * sizeof *copy);
        pictures[device] = malloc(SAMPLES * 784 * sizeof(float));
        assert_true(copy && pictures[device]);
        memcpy(copy, drawn, (size_t)(SAMPLES * fs_shape_dim(&data->shape)) * sizeof *copy);
        must(fs_decode(&decoder, copy, SAMPLES, pictures[device], &error));
        free(copy);
        fs_decoder_close(&decoder);
    }
    close_to(pictures[1], pictures[0], SAMPLES * 784);
    free(pictures[0]);
    free(pictures[1]);
}

/* --- scores --- */

static fs_status keep(void *owner, const struct fs_score_result *result, struct fs_error *failure)
{
    (void)failure;
    *(double *)owner = result->estimate.value;
    return FS_OK;
}

static double score(const struct fs_dataset *data, struct fs_generator *generator)
{
    struct fs_dataset_config config = {.name = "few", .kind = "idx"};
    struct fs_reference_source source = {.statistics = NULL};
    struct fs_decoder decoder;
    struct fs_extractor extractor;
    struct fs_reference reference;
    double value = NAN;
    bool done;
    snprintf(config.path, sizeof config.path, "%s", test_path("few"));
    must(fs_dataset_open(&config, FS_SPLIT_TRAIN, &source.pictures, &error));
    must(fs_decoder_open(&decoder, backends[1], data, weights, FS_F32, &error));
    must(fs_extractor_open("fashion-cnn", backends[1], &extractor, &error));
    must(fs_reference_open(&reference, &experiment.runs[0].evaluate, &extractor, &source, test_path("references"), NULL,
                           &error));
    const struct fs_scoring scoring = {.extractor = &extractor,
                                       .reference = &reference,
                                       .shape = &decoder.picture,
                                       .decoder = &decoder,
                                       .stop = &stop,
                                       .owner = &value,
                                       .result = keep};
    struct fs_score_request request = {.generator = generator,
                                       .data = data,
                                       .steps = generator ? 1 : 0,
                                       .guidance_scale = 1,
                                       .samples = SAMPLES,
                                       .quantize = true,
                                       .metrics = {fs_metric_find("fd")},
                                       .metric_count = 1};
    must(fs_score(&scoring, &request, &done, &error));
    assert_true(done);
    fs_reference_close(&reference);
    fs_extractor_close(&extractor);
    fs_decoder_close(&decoder);
    fs_dataset_close(&source.pictures);
    return value;
}

static void test_a_training_is_scored_in_pictures(void **state)
{
    (void)state;
    struct fs_dataset data;
    struct fs_generator generator;
    char checkpoint[FS_PATH_ROOM];
    open_latents(1, &data);
    float *drawn = malloc((size_t)(SAMPLES * fs_shape_dim(&data.shape)) * sizeof *drawn);
    assert_non_null(drawn);
    train(&data, checkpoint);
    must(fs_generator_open(&generator, backends[1], &experiment.runs[0], &data.shape, checkpoint, FS_WEIGHTS_EMA,
                           &error));
    must(fs_generate(&generator, 3, 0, SAMPLES, 1, 1, drawn, &error));
    decode_as_the_cpu_does(&data, drawn);
    const double samples = score(&data, &generator), reconstructions = score(&data, NULL);
    assert_true(isfinite(samples) && samples > 0);
    assert_true(isfinite(reconstructions) && reconstructions > 0 && reconstructions != samples);
    fs_generator_close(&generator);
    free(drawn);
    fs_dataset_close(&data);
    assert_string_equal(cuda_host_report(), "");
}

static int start(void **state)
{
    (void)state;
    const struct test_autoencoder narrow = {2, {32, 32}, 4, 0};
    static const char text[] =
        "experiment: latents\ndataset: {name: few}\n"
        "model: {preset: tiny, patch: 7, hidden: 32, depth: 1, heads: 2, classes: 10, finest_steps: 4}\n"
        "train: {updates: 2, batch: 4, learning_rate: 1.0e-3, warmup: 0}\nmethod: shortcut\n"
        "methods: {shortcut: {bootstrap_fraction: 0.5}}\nevaluate: {steps: [1], samples: 2}\n";
    cuda_host_reset();
    snprintf(weights, sizeof weights, "%s", test_path("narrow.safetensors"));
    snprintf(latents[0], sizeof latents[0], "%s", test_path("latents-cpu"));
    snprintf(latents[1], sizeof latents[1], "%s", test_path("latents-cuda"));
    test_small_fashion_mnist(test_path("few"), PICTURES, 1);
    test_write_autoencoder(weights, &narrow, NULL, NULL);
    backends[0] = fs_cpu_backend(0, &error);
    backends[1] = fs_cuda_backend(&error);
    if (!backends[0] || !backends[1]) {
        return 1;
    }
    return fs_experiment_parse("latents", text, NULL, 0, NULL, 0, &experiment, &error);
}

static int end(void **state)
{
    (void)state;
    fs_experiment_free(&experiment);
    backends[0]->destroy(backends[0]);
    backends[1]->destroy(backends[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latents_are_the_cpus),
        cmocka_unit_test(test_a_training_is_scored_in_pictures),
    };
    return cmocka_run_group_tests(tests, start, end);
}
