/* The resize modes against what the libraries of their references make (make_resize_golden.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/base/memory.h"
#include "kernels/base/npy.h"
#include "metrics/resize.h"

#define TOLERANCE 1e-5 /* of the range, which is 2 */

static struct fs_error error;
static struct fs_backend *backend;

static int set_up(void **state)
{
    (void)state;
    backend = fs_cpu_backend(2, &error);
    return backend ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    backend->destroy(backend);
    return 0;
}

static struct fs_array read(const char *name, const char *mode)
{
    char path[256];
    struct fs_array array;
    snprintf(path, sizeof path, "tests/golden/resize/%s%s%s.npy", name, *mode ? "_" : "", mode);
    assert_int_equal(fs_npy_read(path, &array, &error), FS_OK);
    assert_int_equal(array.rank, 4);
    return array;
}

/* As many copies of the picture, as floats low … high where `stretch` is not 0. */
static struct fs_image_batch batch_of(const struct fs_array *picture, int copies, double stretch)
{
    const int64_t n = picture->shape[1] * picture->shape[2] * picture->shape[3];
    const uint8_t *bytes = picture->data;
    uint8_t *pixels = fs_allocate((size_t)(copies * n), 1, "pixels", &error);
    float *values = fs_allocate((size_t)(copies * n), sizeof *values, "values", &error);
    assert_true(pixels && values);
    for (int64_t i = 0; i < copies * n; i++) {
        pixels[i] = bytes[i % n];
        values[i] = (float)(stretch * (bytes[i % n] / 127.5 - 1));
    }
    struct fs_image_batch batch = {.pixels = stretch != 0 ? (void *)values : (void *)pixels,
                                   .is_uint8 = stretch == 0,
                                   .count = copies,
                                   .height = picture->shape[1],
                                   .width = picture->shape[2],
                                   .channels = picture->shape[3],
                                   .low = -1,
                                   .high = 1};
    free(stretch != 0 ? (void *)pixels : (void *)values);
    return batch;
}

static double check(const char *name, enum fs_resize mode, double stretch)
{
    struct fs_array picture = read(name, ""), expected = read(name, fs_resize_name((int)mode));
    const int copies = 3;
    struct fs_image_batch batch = batch_of(&picture, copies, stretch);
    struct fs_resizer resizer;
    const int64_t n = expected.shape[1] * expected.shape[2] * expected.shape[3];
    float *out = fs_allocate((size_t)(copies * n), sizeof *out, "out", &error);
    assert_non_null(out);
    assert_int_equal(fs_resizer_create(backend, mode, batch.height, batch.width, expected.shape[1], expected.shape[2],
                                       batch.channels, &resizer, &error),
                     FS_OK);
    assert_int_equal(fs_resizer_apply(&resizer, &batch, out, &error), FS_OK);
    double worst = 0;
    for (int64_t i = 0; i < copies * n; i++) {
        const double off = fabs((double)out[i] - (double)((const float *)expected.data)[i % n]);
        worst = off <= worst ? worst : off; /* a NaN stays */
    }
    if (!(worst <= 2 * TOLERANCE)) {
        print_error("%s, %s: off by %g\n", name, fs_resize_name((int)mode), worst);
    }
    fs_resizer_destroy(&resizer);
    free((void *)batch.pixels);
    free(out);
    free(expected.data);
    free(picture.data);
    return worst;
}

static const char *const cases[] = {"enlarge", "grey", "large", "shrink", "pixel", "same"};

static void modes_equal_their_references(void **state)
{
    (void)state;
    const enum fs_resize modes[] = {FS_RESIZE_CLEAN, FS_RESIZE_TORCH, FS_RESIZE_TF1, FS_RESIZE_AUTHORS};
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        double worst = 0;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            worst = fmax(worst, check(cases[i], modes[m], modes[m] == FS_RESIZE_AUTHORS ? 1.2 : 0));
        }
        print_message("%s: at most %.2g of the range\n", fs_resize_name((int)modes[m]), worst / 2);
        assert_true(worst <= 2 * TOLERANCE);
    }
}

/* clean and torch do not mind whether the same values come as bytes or as floats. */
static void floats_equal_bytes(void **state)
{
    (void)state;
    assert_true(check("shrink", FS_RESIZE_CLEAN, 1) <= 2 * TOLERANCE);
    assert_true(check("enlarge", FS_RESIZE_TF1, 1) <= 2 * TOLERANCE);
    assert_true(check("grey", FS_RESIZE_TORCH, 1) <= 2 * TOLERANCE);
}

static void no_resize_keeps_the_pixels(void **state)
{
    (void)state;
    const uint8_t pixels[6] = {0, 255, 51, 102, 204, 153};
    const float expected[6] = {-1, 1, -0.6f, -0.2f, 0.6f, 0.2f};
    const struct fs_image_batch batch = {pixels, true, 2, 1, 3, 1, 0, 0};
    struct fs_resizer resizer;
    float out[6];
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_NONE, 1, 3, 1, 3, 1, &resizer, &error), FS_OK);
    assert_int_equal(fs_resizer_apply(&resizer, &batch, out, &error), FS_OK);
    for (int i = 0; i < 6; i++) {
        assert_float_equal(out[i], expected[i], 1e-6);
    }
    fs_resizer_destroy(&resizer);
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_NONE, 1, 3, 1, 4, 1, &resizer, &error), FS_USAGE);
}

/* Grey pictures in a resizer of three channels are the grey result three times, as bytes and as floats. */
static void grey_pictures_are_repeated(void **state)
{
    (void)state;
    enum { PLACES = 4 * 2 };
    const uint8_t pixels[6] = {0, 255, 51, 102, 204, 153};
    float values[6], grey[PLACES], out[3 * PLACES];
    for (int i = 0; i < 6; i++) {
        values[i] = pixels[i];
    }
    const struct fs_image_batch batches[] = {{pixels, true, 1, 2, 3, 1, 0, 0}, {values, false, 1, 2, 3, 1, 0, 255}};
    struct fs_resizer one, three;
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_CLEAN, 2, 3, 4, 2, 1, &one, &error), FS_OK);
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_CLEAN, 2, 3, 4, 2, 3, &three, &error), FS_OK);
    for (int b = 0; b < 2; b++) {
        assert_int_equal(fs_resizer_apply(&one, &batches[b], grey, &error), FS_OK);
        assert_int_equal(fs_resizer_apply(&three, &batches[b], out, &error), FS_OK);
        for (int i = 0; i < 3 * PLACES; i++) {
            assert_true(out[i] == grey[i / 3]);
        }
    }
    fs_resizer_destroy(&one);
    fs_resizer_destroy(&three);
}

static void wrong_use_is_refused(void **state)
{
    (void)state;
    struct fs_resizer resizer;
    enum fs_resize mode;
    const uint8_t pixels[12] = {0};
    const struct fs_image_batch batch = {pixels, true, 1, 3, 4, 1, 0, 0};
    float out[4];
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_CLEAN, 0, 3, 299, 299, 1, &resizer, &error), FS_USAGE);
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_CLEAN, 3, 3, 299, 299, 0, &resizer, &error), FS_USAGE);
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_TORCH, 3, 1 << 25, 299, 299, 1, &resizer, &error), FS_USAGE);
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_TF1, 4, 3, 2, 2, 1, &resizer, &error), FS_OK);
    assert_int_equal(fs_resizer_apply(&resizer, &batch, out, &error), FS_FAILED);
    fs_resizer_destroy(&resizer);
    assert_int_equal(fs_resize_parse("bicubic", &mode, &error), FS_USAGE);
    for (int i = 0; fs_resize_name(i); i++) {
        assert_int_equal(fs_resize_parse(fs_resize_name(i), &mode, &error), FS_OK);
        assert_int_equal(mode, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_equal_their_references), cmocka_unit_test(floats_equal_bytes),
        cmocka_unit_test(no_resize_keeps_the_pixels),   cmocka_unit_test(grey_pictures_are_repeated),
        cmocka_unit_test(wrong_use_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
