/* An extractor of one's own: any size and colour, named after its file and hash; and what a distance makes of pictures
 * that are made worse and worse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/compare/disturbance.h"
#include "harness/data/dataset.h"
#include "kernels/base/random.h"
#include "metrics/train_classifier.h"
#include "tests/support/folder.h"

static struct fs_error error;
static struct fs_backend *backend;

/* Class k of three: one colour is bright, over noise. */
static void colour_pictures(const struct fs_classifier_shape *shape, int64_t count, uint8_t *pixels, int32_t *labels)
{
    const struct fs_random_key key = {.seed = 8, .stream = FS_STREAM_TEST};
    const int64_t numbers = fs_classifier_pixels(shape);
    for (int64_t i = 0; i < count; i++) {
        labels[i] = (int32_t)(i * 5 % 3);
        for (int64_t k = 0; k < numbers; k++) {
            pixels[i * numbers + k] =
                (uint8_t)(fs_random_below(key, (uint32_t)i, (uint32_t)k, 120) + (k % 3 == labels[i] ? 100 : 0));
        }
    }
}

/* Trained, written, opened by its path, and told apart by its hash. */
static void colour_pictures_have_one(void **state)
{
    (void)state;
    enum { TRAIN = 96, TEST = 30 };
    static const int sides[] = {28, 33, 64};
    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
        const struct fs_classifier_shape shape = {sides[s], 3, 3};
        const size_t numbers = (size_t)fs_classifier_pixels(&shape);
        uint8_t *pixels = malloc((TRAIN + TEST) * numbers);
        int32_t labels[TRAIN + TEST];
        char path[256], label[64];
        assert_non_null(pixels);
        colour_pictures(&shape, TRAIN + TEST, pixels, labels);
        const struct fs_labelled_pictures train = {pixels, labels, TRAIN, shape},
                                          test = {pixels + TRAIN * numbers, labels + TRAIN, TEST, shape};
        struct fs_classifier_recipe recipe = fs_classifier_recipe();
        struct fs_classifier_result result;
        struct fs_extractor extractor;
        recipe.epochs = 4;
        recipe.batch = 12;
        snprintf(path, sizeof path, "%s", test_path("own-cnn.safetensors"));
        assert_int_equal(fs_classifier_train(backend, &recipe, &train, &test, path, NULL, &result, &error), FS_OK);
        assert_true(result.accuracy > 0.9);
        assert_int_equal(fs_extractor_open(path, backend, &extractor, &error), FS_OK);
        snprintf(label, sizeof label, "own-cnn %.8s", result.sha256);
        assert_string_equal(extractor.name, "own-cnn");
        assert_string_equal(extractor.label, label);
        assert_string_equal(extractor.sha256, result.sha256);
        assert_int_equal(extractor.side, sides[s]);
        assert_int_equal(extractor.channels, 3);
        assert_int_equal(extractor.taps[0].dim, 128);
        assert_int_equal(extractor.taps[1].dim, 3);
        float logits[TEST * 3], features[TEST * 128];
        float *const wanted[FS_TAPS_MAX] = {features, logits};
        struct fs_image_batch batch = {.pixels = test.pixels,
                                       .is_uint8 = true,
                                       .count = TEST,
                                       .height = sides[s],
                                       .width = sides[s],
                                       .channels = 3};
        int right = 0;
        assert_int_equal(extractor.extract(&extractor, &batch, wanted, &error), FS_OK);
        for (int i = 0; i < TEST; i++) {
            const float *z = logits + 3 * i, own = z[test.labels[i]];
            right += own >= z[0] && own >= z[1] && own >= z[2];
        }
        assert_true(right == (int)(result.accuracy * TEST + 0.5));
        batch.channels = 1;
        assert_int_equal(extractor.extract(&extractor, &batch, wanted, &error), FS_USAGE);
        fs_extractor_close(&extractor);
        free(pixels);
    }
}

static void other_shapes_and_files_are_refused(void **state)
{
    (void)state;
    static const struct fs_classifier_shape bad[] = {{27, 3, 3}, {65, 3, 3}, {32, 2, 3}, {32, 3, 1}, {32, 3, 1001}};
    struct fs_classifier classifier;
    struct fs_extractor extractor;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(fs_classifier_create(backend, &bad[i], 1, &classifier, &error), FS_USAGE);
        fs_classifier_destroy(&classifier);
    }
    assert_int_equal(fs_extractor_open("nowhere.safetensors", backend, &extractor, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "`fewstep extractor` makes one"));
    test_write(test_path("not-one.safetensors"), "\2\0\0\0\0\0\0\0{}", 10);
    assert_int_equal(fs_extractor_open(test_path("not-one.safetensors"), backend, &extractor, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "no classifier that `fewstep extractor` makes"));
}

/* The distance grows with each kind of damage, and always to the same number. */
static void damage_is_seen(void **state)
{
    (void)state;
    enum { REFERENCE = 1000, TEST = 400 };
    const struct fs_dataset_config config = {.name = "fashion-mnist"};
    struct fs_dataset data;
    struct fs_extractor extractor;
    struct fs_disturbance_table table, again;
    if (access("/usr/share/datasets/fashion-mnist", R_OK) != 0) {
        print_message("skipped: no Fashion-MNIST (apt install dataset-fashion-mnist)\n");
        skip();
    }
    uint8_t *pixels = malloc((REFERENCE + TEST) * 784);
    assert_non_null(pixels);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TEST, &data, &error), FS_OK);
    assert_int_equal(fs_dataset_bytes(&data, 0, REFERENCE + TEST, pixels, &error), FS_OK);
    assert_int_equal(fs_extractor_open("fashion-cnn", backend, &extractor, &error), FS_OK);
    const struct fs_squares reference = {pixels, REFERENCE, 28, 1}, test = {pixels + REFERENCE * 784, TEST, 28, 1};
    assert_int_equal(fs_disturbances_measure(&extractor, &reference, &test, &table, &error), FS_OK);
    assert_int_equal(fs_disturbances_measure(&extractor, &reference, &test, &again, &error), FS_OK);
    assert_memory_equal(&table, &again, sizeof table);
    for (int kind = 0; kind < FS_DISTURBANCES; kind++) {
        double last = table.unchanged;
        for (int i = 0; i < FS_STRENGTHS; i++) {
            assert_true(table.distance[kind][i] > last);
            last = table.distance[kind][i];
        }
        assert_true(last > 5 * table.unchanged);
    }
    fs_extractor_close(&extractor);
    fs_dataset_close(&data);
    free(pixels);
}

static int begin(void **state)
{
    (void)state;
    backend = fs_cpu_backend(1, &error);
    return backend ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    backend->destroy(backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colour_pictures_have_one),
        cmocka_unit_test(other_shapes_and_files_are_refused),
        cmocka_unit_test(damage_is_seen),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
