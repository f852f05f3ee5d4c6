/* The classifier: its recipe on pictures that are easy to tell apart, and the
 * committed extractor against the float64 reference and the Fashion-MNIST test pictures. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/data/dataset.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/safetensors.h"
#include "metrics/fashion_cnn.h"
#include "metrics/train_classifier.h"
#include "tests/support/folder.h"
#include "tests/reference/reference.h"

#define PIXELS (28 * 28)
#define FEATURES FS_CLASSIFIER_FEATURES

static const struct fs_classifier_shape grey28 = {28, 1, 10};

static struct fs_backend *backend;
static char path[512]; /* of weights that a test writes */

static int begin(void **state)
{
    struct fs_error error;
    (void)state;
    backend = fs_cpu_backend(1, &error);
    snprintf(path, sizeof path, "%s", test_path("fashion-cnn.safetensors"));
    return backend ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    backend->destroy(backend);
    return 0;
}

static void expect(fs_status status, fs_status expected, const struct fs_error *error, const char *words)
{
    if (status != expected || (words && !strstr(error->text, words))) {
        fail_msg("status %d, expected %d with '%s': %s", (int)status, (int)expected, words ? words : "",
                 status == FS_OK ? "no error" : error->text);
    }
}

static void random_pictures(uint32_t seed, int64_t count, uint8_t *pixels)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST};
    for (int64_t i = 0; i < count * PIXELS; i++) {
        pixels[i] = (uint8_t)fs_random_below(key, (uint32_t)(i / PIXELS), (uint32_t)(i % PIXELS), 256);
    }
}

/* --- the recipe --- */

/* Class k: a bright square in one of ten places, with noise. */
static void square_pictures(uint32_t seed, int64_t count, uint8_t *pixels, int32_t *labels)
{
    random_pictures(seed, count, pixels);
    for (int64_t i = 0; i < count; i++) {
        const int label = (int)(i * 7 % 10), top = 2 + 12 * (label / 5), size = 4 + 2 * (label % 5);
        labels[i] = label;
        for (int p = 0; p < PIXELS; p++) {
            const int row = p / 28 - top, column = abs(p % 28 * 2 - 27) / 2; /* a mirror must not change the class */
            const bool bright = row >= 0 && row < 9 && column < size;
            pixels[i * PIXELS + p] = (uint8_t)(pixels[i * PIXELS + p] / 4 + (bright ? 190 : 0));
        }
    }
}

struct losses {
    double first, last;
    int64_t updates;
};

static void remember(void *context, int64_t update, int64_t updates, double loss)
{
    struct losses *losses = context;
    losses->first = update == 1 ? loss : losses->first;
    losses->last = loss;
    losses->updates = updates;
}

static void recipe_learns_and_repeats_itself(void **state)
{
    (void)state;
    enum { TRAIN = 480, TEST = 100 };
    uint8_t *pixels = malloc((TRAIN + TEST) * PIXELS);
    int32_t labels[TRAIN + TEST];
    assert_non_null(pixels);
    square_pictures(1, TRAIN + TEST, pixels, labels);
    const struct fs_labelled_pictures train = {pixels, labels, TRAIN, grey28},
                                      test = {pixels + TRAIN * PIXELS, labels + TRAIN, TEST, grey28};
    struct fs_classifier_recipe recipe = fs_classifier_recipe();
    struct losses losses = {0};
    const struct fs_classifier_watch watch = {remember, &losses};
    struct fs_classifier_result result, again;
    struct fs_error error;
    recipe.epochs = 4;
    recipe.batch = 24;
    expect(fs_classifier_train(backend, &recipe, &train, &test, path, &watch, &result, &error), FS_OK, &error, NULL);
    assert_int_equal(losses.updates, 4 * (TRAIN / 24));
    assert_true(losses.first > 1.5 && losses.last < 0.3);
    assert_true(result.accuracy >= 0.95);
    expect(fs_classifier_train(backend, &recipe, &train, &test, path, NULL, &again, &error), FS_OK, &error, NULL);
    assert_string_equal(result.sha256, again.sha256);
    recipe.seed = 1;
    recipe.epochs = 1;
    recipe.accuracy = 0;
    expect(fs_classifier_train(backend, &recipe, &train, &test, path, NULL, &again, &error), FS_OK, &error, NULL);
    assert_string_not_equal(result.sha256, again.sha256);
    unlink(path);

    recipe.accuracy = 1.01;
    expect(fs_classifier_train(backend, &recipe, &train, &test, path, NULL, &again, &error), FS_FAILED, &error,
           "was not written");
    assert_int_equal(access(path, F_OK), -1);
    labels[3] = 10;
    expect(fs_classifier_train(backend, &recipe, &train, &test, path, NULL, &again, &error), FS_USAGE, &error,
           "picture 3 has the label 10");
    const struct fs_labelled_pictures few = {pixels, labels, 23, grey28};
    expect(fs_classifier_train(backend, &recipe, &few, &test, path, NULL, &again, &error), FS_USAGE, &error,
           "23 training pictures");
    free(pixels);
}

/* --- the committed extractor --- */

static struct fs_extractor open_extractor(void)
{
    struct fs_extractor extractor;
    struct fs_error error;
    expect(fs_extractor_open("fashion-cnn", backend, &extractor, &error), FS_OK, &error, NULL);
    return extractor;
}

static void committed_file_is_the_expected_one(void **state)
{
    (void)state;
    char sha256[65];
    struct fs_error error;
    struct fs_extractor extractor = open_extractor();
    expect(fs_sha256_file("metrics/fashion-cnn.safetensors", sha256, &error), FS_OK, &error, NULL);
    assert_string_equal(extractor.sha256, sha256);
    assert_string_equal(FS_FASHION_CNN_SHA256, sha256);
    assert_int_equal(extractor.tap_count, 2);
    assert_string_equal(extractor.taps[1].name, "logits");
    assert_int_equal(extractor.taps[1].dim, 10);
    assert_string_equal(extractor.taps[0].name, "penultimate");
    assert_int_equal(extractor.taps[0].dim, FEATURES);
    assert_string_equal(extractor.path, "metrics/fashion-cnn.safetensors");
    assert_false(extractor.fid);
    assert_string_equal(fs_extractor_name(0), extractor.name);
    assert_string_equal(extractor.device, "cpu");
    fs_extractor_close(&extractor);
    expect(fs_extractor_open("inception", backend, &extractor, &error), FS_USAGE, &error,
           "there is fashion-cnn, inception-v3");
    fs_extractor_close(&extractor);
}

/* A tensor of the file in the reference's float64. */
static struct fs_view reference_tensor(const struct fs_tensor_file *file, const char *layer, const char *kind,
                                       int64_t rows, int64_t cols)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", layer, kind);
    const struct fs_tensor *tensor = fs_tensor_find(file, name);
    double *values = malloc((size_t)(rows * cols) * sizeof *values);
    assert_non_null(tensor);
    assert_non_null(values);
    for (int64_t i = 0; i < rows * cols; i++) {
        values[i] = ((const float *)tensor->data)[i];
    }
    return fs_view(values, FS_F64, rows, cols);
}

/* The features of `count` pictures by the float64 reference, from the file alone; the caller's. */
static double *reference_features(const uint8_t *pixels, int64_t count)
{
    struct fs_error error;
    struct fs_tensor_file file;
    struct fs_backend *reference = fs_reference_backend(&error);
    assert_non_null(reference);
    expect(fs_tensor_file_read("metrics/fashion-cnn.safetensors", &file, &error), FS_OK, &error, NULL);
    struct fs_view x = fs_view(malloc((size_t)(count * PIXELS) * sizeof(double)), FS_F64, count, PIXELS);
    assert_non_null(x.data);
    for (int64_t i = 0; i < count * PIXELS; i++) {
        *fs_at(x, 0, i) = pixels[i] / 127.5 - 1;
    }
    struct fs_classifier_layer layers[FS_CLASSIFIER_LAYERS];
    fs_classifier_layers(&grey28, layers);
    for (int i = 0; i < FS_CLASSIFIER_LAYERS - 1; i++) {
        const struct fs_classifier_layer *layer = &layers[i];
        const struct fs_window *window = &layer->window;
        const int64_t filters = window->out_channels, next = layers[i + 1].window.in_height;
        struct fs_view w = reference_tensor(&file, layer->name, "weight", filters,
                                            window->in_channels * window->kernel_height * window->kernel_width);
        struct fs_view bias = reference_tensor(&file, layer->name, "bias", 1, filters);
        struct fs_view y = fs_view(malloc((size_t)(count * next * next * filters) * sizeof(double)), FS_F64, count,
                                   next * next * filters);
        assert_non_null(y.data);
        reference->convolution_forward(reference, y, x, w, bias, window, true);
        expect(reference->synchronise(reference, &error), FS_OK, &error, NULL);
        free(x.data);
        free(w.data);
        free(bias.data);
        x = y;
    }
    assert_int_equal(x.cols, FEATURES);
    fs_tensor_file_free(&file);
    reference->destroy(reference);
    return x.data;
}

static struct fs_image_batch bytes(const uint8_t *pixels, int64_t count)
{
    return (struct fs_image_batch){
        .pixels = pixels, .is_uint8 = true, .count = count, .height = 28, .width = 28, .channels = 1};
}

static void assert_features_close(const float *features, const double *expected, int64_t count, double tolerance)
{
    double largest = 0, off = 0;
    for (int64_t i = 0; i < count * FEATURES; i++) {
        largest = fmax(largest, fabs(expected[i]));
        off = fmax(off, fabs(features[i] - expected[i]));
    }
    assert_true(largest > 0);
    if (!(off <= tolerance * largest)) {
        fail_msg("features off by %g, the largest is %g", off, largest);
    }
}

static void features_match_the_reference(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    uint8_t pixels[COUNT * PIXELS];
    int32_t labels[COUNT];
    float features[COUNT * FEATURES], *wanted[2] = {features};
    struct fs_error error;
    struct fs_extractor extractor = open_extractor();
    square_pictures(5, COUNT, pixels, labels);
    random_pictures(6, 1, pixels);
    double *expected = reference_features(pixels, COUNT);
    const struct fs_image_batch batch = bytes(pixels, COUNT);
    expect(extractor.extract(&extractor, &batch, wanted, &error), FS_OK, &error, NULL);
    assert_features_close(features, expected, COUNT, 1e-5);
    free(expected);
    fs_extractor_close(&extractor);
}

/* Bytes, floats in [−1, 1] and floats in [0, 1] are the same pictures; so are many at once (more than batch_max). */
static void inputs_agree(void **state)
{
    (void)state;
    enum { COUNT = 603 };
    uint8_t *pixels = malloc(COUNT * PIXELS);
    float *real = malloc(COUNT * PIXELS * sizeof *real), *features = malloc(COUNT * FEATURES * sizeof *features);
    double *expected = malloc(COUNT * FEATURES * sizeof *expected);
    assert_true(pixels && real && features && expected);
    float *wanted[2] = {features}, *nothing[2] = {NULL};
    struct fs_error error;
    struct fs_extractor extractor = open_extractor();
    random_pictures(7, COUNT, pixels);
    struct fs_image_batch batch = bytes(pixels, COUNT);
    assert_true(extractor.batch_max < COUNT);
    expect(extractor.extract(&extractor, &batch, wanted, &error), FS_OK, &error, NULL);
    for (int i = 0; i < COUNT * FEATURES; i++) {
        expected[i] = features[i];
    }
    for (int range = 0; range < 2; range++) {
        for (int i = 0; i < COUNT * PIXELS; i++) {
            real[i] = range == 0 ? (float)pixels[i] / 127.5F - 1 : (float)pixels[i] / 255;
        }
        batch = (struct fs_image_batch){.pixels = real,
                                        .count = COUNT,
                                        .height = 28,
                                        .width = 28,
                                        .channels = 1,
                                        .low = range == 0 ? -1.0F : 0.0F,
                                        .high = 1};
        memset(features, 0, COUNT * FEATURES * sizeof *features);
        expect(extractor.extract(&extractor, &batch, wanted, &error), FS_OK, &error, NULL);
        assert_features_close(features, expected, COUNT, range == 0 ? 0 : 1e-5);
    }
    batch = bytes(pixels + (COUNT - 1) * PIXELS, 1);
    expect(extractor.extract(&extractor, &batch, wanted, &error), FS_OK, &error, NULL);
    assert_features_close(features, expected + (COUNT - 1) * FEATURES, 1, 1e-5);
    expect(extractor.extract(&extractor, &batch, nothing, &error), FS_OK, &error, NULL);
    fs_extractor_close(&extractor);
    free(pixels);
    free(real);
    free(features);
    free(expected);
}

static void pictures_it_cannot_take(void **state)
{
    (void)state;
    static const uint8_t pixels[32 * 32 * 3];
    float features[FEATURES], *wanted[2] = {features};
    struct fs_error error;
    struct fs_extractor extractor = open_extractor();
    struct fs_image_batch batch = bytes(pixels, 1);
    batch.height = batch.width = 32;
    expect(extractor.extract(&extractor, &batch, wanted, &error), FS_USAGE, &error, "32 × 32 × 1");
    batch = bytes(pixels, 1);
    batch.channels = 3;
    expect(extractor.extract(&extractor, &batch, wanted, &error), FS_USAGE, &error, "28 × 28 × 3");
    batch = bytes(pixels, 1);
    batch.is_uint8 = false;
    expect(extractor.extract(&extractor, &batch, wanted, &error), FS_USAGE, &error, "low < high");
    fs_extractor_close(&extractor);
}

/* FEWSTEP_DATA goes first, and a file there that is not the expected one is an error, not passed over. */
static void other_weights_are_refused(void **state)
{
    (void)state;
    char *contents;
    size_t size;
    struct fs_error error;
    struct fs_new_file file;
    struct fs_extractor extractor;
    struct fs_classifier cnn;
    expect(fs_file_read("metrics/fashion-cnn.safetensors", 4 << 20, &contents, &size, &error), FS_OK, &error, NULL);
    assert_true(size < 2000000);
    contents[size - 100] ^= 1;
    expect(fs_new_file_open(&file, path, &error), FS_OK, &error, NULL);
    assert_int_equal(fwrite(contents, 1, size, file.stream), size);
    expect(fs_new_file_commit(&file, &error), FS_OK, &error, NULL);
    free(contents);
    setenv("FEWSTEP_DATA", test_folder(), 1);
    expect(fs_extractor_open("fashion-cnn", backend, &extractor, &error), FS_USAGE, &error, path);
    expect(fs_extractor_open("fashion-cnn", backend, &extractor, &error), FS_USAGE, &error, FS_FASHION_CNN_SHA256);

    const float one = 1;
    const struct fs_tensor tensor = {.name = "conv1.weight", .type = FS_F32, .rank = 1, .shape = {1}, .data = &one};
    expect(fs_tensor_file_write(path, &tensor, 1, NULL, 0, &error), FS_OK, &error, NULL);
    expect(fs_classifier_create(backend, &grey28, 1, &cnn, &error), FS_OK, &error, NULL);
    expect(fs_classifier_read(&cnn, path, &error), FS_USAGE, &error, "conv1.weight");
    fs_classifier_destroy(&cnn);
    unlink(path);
    setenv("FEWSTEP_DATA", "/nowhere", 1);
    expect(fs_extractor_open("fashion-cnn", backend, &extractor, &error), FS_OK, &error, NULL);
    fs_extractor_close(&extractor);
    unsetenv("FEWSTEP_DATA");
}

static void accuracy_on_the_test_pictures(void **state)
{
    (void)state;
    const struct fs_dataset_config config = {.name = "fashion-mnist"};
    struct fs_dataset dataset;
    struct fs_error error;
    struct fs_classifier cnn;
    double accuracy;
    if (access("/usr/share/datasets/fashion-mnist", R_OK) != 0) {
        print_message("skipped: no Fashion-MNIST (apt install dataset-fashion-mnist)\n");
        skip();
    }
    expect(fs_dataset_open(&config, FS_SPLIT_TEST, &dataset, &error), FS_OK, &error, NULL);
    uint8_t *pixels = calloc((size_t)dataset.shape.count, 784);
    assert_non_null(pixels);
    expect(fs_dataset_bytes(&dataset, 0, dataset.shape.count, pixels, &error), FS_OK, &error, NULL);
    const struct fs_labelled_pictures test = {pixels, dataset.labels, dataset.shape.count, grey28};
    expect(fs_classifier_create(backend, &grey28, 200, &cnn, &error), FS_OK, &error, NULL);
    expect(fs_classifier_read(&cnn, "metrics/fashion-cnn.safetensors", &error), FS_OK, &error, NULL);
    expect(fs_classifier_accuracy(&cnn, &test, &accuracy, &error), FS_OK, &error, NULL);
    print_message("test accuracy %.2f %%\n", 100 * accuracy);
    assert_true(accuracy >= 0.91);
    fs_classifier_destroy(&cnn);
    free(pixels);
    fs_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipe_learns_and_repeats_itself), cmocka_unit_test(committed_file_is_the_expected_one),
        cmocka_unit_test(features_match_the_reference),     cmocka_unit_test(inputs_agree),
        cmocka_unit_test(pictures_it_cannot_take),          cmocka_unit_test(other_weights_are_refused),
        cmocka_unit_test(accuracy_on_the_test_pictures),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
