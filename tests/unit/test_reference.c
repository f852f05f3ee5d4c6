/* References: a pass that is stopped again and again ends with the bytes of one that was not, and what is on disk is
 * not computed again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/sample/reference.h"
#include "kernels/base/hash.h"
#include "tests/support/folder.h"

static struct fs_error error;
static struct fs_dataset train;
static int64_t extracted; /* pictures */
static volatile sig_atomic_t stop;

static const struct fs_tap taps[] = {{"pool", 3}, {"spatial", 2}};

/* Features that are no linear functions of the pixels, so that the order of sums shows in the last bits. */
static fs_status extract(struct fs_extractor *extractor, const struct fs_image_batch *batch, float *const *features,
                         struct fs_error *fault)
{
    (void)extractor;
    (void)fault;
    const float *pixels = batch->pixels;
    const int64_t dim = batch->height * batch->width * batch->channels;
    for (int64_t i = 0; i < batch->count; i++) {
        for (int64_t t = 0; t < 2; t++) {
            for (int64_t j = 0; features[t] && j < taps[t].dim; j++) {
                features[t][i * taps[t].dim + j] = sinf(3 * pixels[i * dim + j] + (float)t) + 1e3F;
            }
        }
    }
    extracted += batch->count;
    return FS_OK;
}

static const char *device = "cpu";

static struct fs_extractor fake(void)
{
    struct fs_extractor made = {.name = "fake",
                                .sha256 = "0123456789abcdef0123456789abcdef",
                                .taps = taps,
                                .tap_count = 2,
                                .batch_max = 100,
                                .channels = 1,
                                .extract = extract};
    snprintf(made.device, sizeof made.device, "%s", device);
    return made;
}

static void stop_after(void *owner, int64_t done, int64_t of, double rate)
{
    int64_t *left = owner;
    assert_true(done > 0 && done <= of && rate > 0);
    if (--*left == 0) {
        stop = 1;
    }
}

static const struct fs_evaluate_config everything = {.metrics = {"fd", "sfd", "kid", "spectrum", "recall"},
                                                     .metric_count = 5};

/* What metrics of `parts` need. `blocks`: how many of them pass before it is stopped; 0: never. */
static fs_status open_once(const char *cache, struct fs_evaluate_config parts, int64_t blocks,
                           struct fs_reference *reference)
{
    struct fs_extractor extractor = fake();
    const struct fs_reference_watch watch = {&stop, &blocks, stop_after};
    const struct fs_reference_source source = {.pictures = train};
    stop = 0;
    return fs_reference_open(reference, &parts, &extractor, &source, cache, &watch, &error);
}

static int set_up(void **state)
{
    (void)state;
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &train, &error), FS_OK);
    assert_int_equal(train.shape.count, 60000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fs_dataset_close(&train);
    return 0;
}

static void cached_path(char path[512], const char *cache, const char *ending)
{
    snprintf(path, 512, "%s/%.16s-0123456789abcdef-none%s.safetensors", cache, train.sha256, ending);
}

static void assert_same_file(const char *a, const char *b, const char *ending)
{
    char paths[2][512], hashes[2][65];
    cached_path(paths[0], a, ending);
    cached_path(paths[1], b, ending);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fs_sha256_file(paths[i], hashes[i], &error), FS_OK);
    }
    assert_string_equal(hashes[0], hashes[1]);
}

static void stopped_passes_end_with_the_same_bytes(void **state)
{
    (void)state;
    struct fs_reference whole, parts;
    char once[256], often[256], unfinished[512];
    snprintf(once, sizeof once, "%s", test_path("once"));
    snprintf(often, sizeof often, "%s", test_path("often"));
    cached_path(unfinished, often, "-unfinished");
    extracted = 0;
    assert_int_equal(open_once(once, everything, 0, &whole), FS_OK);
    assert_int_equal(extracted, train.shape.count);
    assert_int_equal(whole.taps[0].count, FS_REFERENCE_ROWS);
    assert_int_equal(whole.taps[1].moments.dim, 2);
    assert_null(whole.taps[1].features);
    extracted = 0;
    static const int64_t blocks[] = {1, 30, 7, 50};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(open_once(often, everything, blocks[i], &parts), FS_STOPPED);
        assert_non_null(strstr(error.text, "goes on from here"));
        assert_int_equal(access(unfinished, R_OK), 0);
    }
    assert_int_equal(extracted, 88 * 256);
    assert_int_equal(open_once(often, everything, 0, &parts), FS_OK);
    assert_int_equal(extracted, train.shape.count);
    assert_int_not_equal(access(unfinished, R_OK), 0);
    assert_same_file(once, often, "");
    assert_same_file(once, often, "-spatial");
    assert_same_file(once, often, "-features");
    const struct fs_metric *spectrum = fs_metric_find("spectrum");
    const struct fs_picture_shape shape = {train.shape.height, train.shape.width, train.shape.channels};
    const struct fs_metric_side sides[] = {fs_reference_side(&whole, spectrum, 0),
                                           fs_reference_side(&parts, spectrum, 0)};
    for (int64_t i = 0; i < spectrum->sums->summary_count(&shape); i++) {
        assert_true(sides[0].summary[i] == sides[1].summary[i]);
    }
    fs_reference_close(&whole);
    fs_reference_close(&parts);
    assert_int_equal(open_once(often, everything, 1, &parts), FS_OK); /* all of it is there */
    assert_int_equal(extracted, train.shape.count);
    fs_reference_close(&parts);
}

/* What was left is of other parts, or damaged: the pass begins anew. */
static void what_does_not_fit_is_not_used(void **state)
{
    (void)state;
    struct fs_reference reference;
    char cache[256], unfinished[512];
    snprintf(cache, sizeof cache, "%s", test_path("misfit"));
    cached_path(unfinished, cache, "-unfinished");
    const struct fs_evaluate_config none = {.metric_count = 0};
    assert_int_equal(open_once(cache, none, 3, &reference), FS_STOPPED);
    extracted = 0;
    assert_int_equal(open_once(cache, everything, 2, &reference), FS_STOPPED);
    assert_int_equal(extracted, 2 * 256);
    test_write(unfinished, "garbage", 7);
    extracted = 0;
    assert_int_equal(open_once(cache, none, 0, &reference), FS_OK);
    assert_int_equal(extracted, train.shape.count);
    assert_int_not_equal(access(unfinished, R_OK), 0);
    fs_reference_close(&reference);
}

/* Features of one device are not taken for another's; the spectrum is of pixels. */
static void another_device_has_its_own(void **state)
{
    (void)state;
    static const char *const devices[] = {"cpu", "cuda-0123abcd", "cuda-4567ef01"};
    struct fs_reference reference;
    const struct fs_evaluate_config parts = {.metrics = {"spectrum"}, .metric_count = 1};
    const char *cache = test_path("devices");
    char path[512];
    extracted = 0;
    for (int i = 0; i < 6; i++) {
        device = devices[i % 3];
        assert_int_equal(open_once(cache, parts, 0, &reference), FS_OK);
        assert_int_equal(extracted, (i < 3 ? i + 1 : 3) * train.shape.count);
        fs_reference_close(&reference);
    }
    device = "cpu";
    cached_path(path, cache, "");
    assert_int_equal(access(path, R_OK), 0);
    cached_path(path, cache, "-cuda-0123abcd");
    assert_int_equal(access(path, R_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_passes_end_with_the_same_bytes),
        cmocka_unit_test(what_does_not_fit_is_not_used),
        cmocka_unit_test(another_device_has_its_own),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
