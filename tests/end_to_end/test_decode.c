/* `fewstep decode`: latents of an array to pictures in each kind of output, and what it refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/data/picture.h"
#include "harness/data/png.h"
#include "kernels/base/npy.h"
#include "tests/support/autoencoder.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"

#define SCALE 0.18215

static struct fs_error error;
static char text[4096];

/* The golden latents of 64 × 64 pictures (make_autoencoder_golden.py), `count` times, as a network would draw them. */
static void write_latents(const char *path, int count, double scale)
{
    enum { NUMBERS = 8 * 8 * 4 };
    float values[3 * NUMBERS];
    for (int i = 0; i < count * NUMBERS; i++) {
        const double u = test_named_uniform("latents 64x64", (uint32_t)(i % NUMBERS));
        values[i] = (float)(scale * (double)(3 * (float)(2 * u - 1)));
    }
    const struct fs_array array = {.type = FS_ARRAY_F32, .rank = 4, .shape = {count, 8, 8, 4}, .data = values};
    assert_int_equal(fs_npy_write(path, &array, &error), FS_OK);
}

static void run(const char *arguments)
{
    if (test_program_run("", arguments, text, sizeof text) != 0) {
        fail_msg("%s: %s", arguments, text);
    }
}

static void check_array(const char *path, int count)
{
    struct fs_array got, expected;
    assert_int_equal(fs_npy_read(path, &got, &error), FS_OK);
    assert_int_equal(fs_npy_read("tests/golden/autoencoder/picture_64x64.npy", &expected, &error), FS_OK);
    assert_true(got.rank == 4 && got.shape[0] == count && got.shape[1] == 64 && got.shape[2] == 64 &&
                got.shape[3] == 3);
    for (int i = 0; i < count * 64 * 64 * 3; i++) {
        assert_float_equal(((float *)got.data)[i], ((float *)expected.data)[i % (64 * 64 * 3)], 2e-4);
    }
    free(got.data);
    free(expected.data);
}

static void check_picture(const char *path)
{
    struct fs_picture picture;
    struct fs_array expected;
    assert_int_equal(fs_picture_read(path, &picture, &error), FS_OK);
    assert_int_equal(fs_npy_read("tests/golden/autoencoder/picture_64x64.npy", &expected, &error), FS_OK);
    assert_true(picture.height == 64 && picture.width == 64 && picture.channels == 3);
    for (int i = 0; i < 64 * 64 * 3; i++) {
        assert_true(abs(picture.pixels[i] - fs_pixel(((float *)expected.data)[i])) <= 1);
    }
    free(picture.pixels);
    free(expected.data);
}

static void latents_become_pictures(void **state)
{
    char arguments[1024];
    (void)state;
    const char *vae = test_path("narrow.safetensors"), *scaled = test_path("scaled.npy"), *raw = test_path("raw.npy");
    test_write_autoencoder(vae, &test_narrow_autoencoder, NULL, NULL);
    write_latents(scaled, 3, SCALE);
    write_latents(raw, 1, 1);
    snprintf(arguments, sizeof arguments, "decode %s --vae %s --device cpu -o %s/out.npy", scaled, vae, test_folder());
    run(arguments);
    assert_non_null(strstr(text, "scale 0.18215"));
    check_array(test_path("out.npy"), 3);
    snprintf(arguments, sizeof arguments, "decode %s --raw --quiet --vae %s --device cpu -o %s/one.png", raw, vae,
             test_folder());
    run(arguments);
    assert_string_equal(text, "");
    check_picture(test_path("one.png"));
    snprintf(arguments, sizeof arguments, "decode %s --vae %s --device cpu -o %s/pictures/", scaled, vae,
             test_folder());
    run(arguments);
    assert_int_equal(test_folder_files(test_path("pictures")), 3);
    check_picture(test_path("pictures/000002.png"));
}

static void wrong_use_is_said(void **state)
{
    char arguments[1024];
    (void)state;
    const char *vae = test_path("narrow.safetensors"), *raw = test_path("raw.npy");
    snprintf(arguments, sizeof arguments, "decode %s --vae %s", raw, vae);
    test_program_refuses(2, arguments, "-o: expected");
    snprintf(arguments, sizeof arguments, "decode %s --vae %s -o out.gif", raw, vae);
    test_program_refuses(2, arguments, "got out.gif");
    snprintf(arguments, sizeof arguments, "decode %s --vae %s/none.safetensors -o out.png", raw, test_folder());
    test_program_refuses(2, arguments, "none.safetensors");
    snprintf(arguments, sizeof arguments, "decode tests/golden/autoencoder/picture_64x64.npy --vae %s -o out.png", vae);
    test_program_refuses(2, arguments, "expected float32 [N, H, W, 4]");
    snprintf(arguments, sizeof arguments, "decode %s --vae %s --precision fp8 -o out.png", raw, vae);
    test_program_refuses(2, arguments, "fp32 or bf16");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latents_become_pictures),
        cmocka_unit_test(wrong_use_is_said),
    };
    (void)argc;
    test_program_find(argv[0]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
