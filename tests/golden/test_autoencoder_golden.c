/* The autoencoder against diffusers' (make_autoencoder_golden.py): moments and pictures, at two sizes, under both names
 * of the attention's parameters, on the CPU's own networks and on those for any backend. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness/model/autoencoder.h"
#include "kernels/base/memory.h"
#include "kernels/base/npy.h"
#include "tests/support/autoencoder.h"
#include "tests/support/backend_net.h"
#include "tests/support/folder.h"

#define TOLERANCE 1e-4
#define BF16_TOLERANCE 0.05

static struct fs_error error;
static const int64_t sizes[2][2] = {{64, 64}, {72, 40}};

static void *allocate(int64_t count)
{
    void *values = fs_allocate((size_t)count, sizeof(float), "values", &error);
    assert_non_null(values);
    return values;
}

static float *numbers(const char *what, const int64_t size[2], int64_t count, float gain)
{
    char name[64];
    float *values = allocate(count);
    snprintf(name, sizeof name, "%s %dx%d", what, (int)size[0], (int)size[1]);
    for (int64_t i = 0; i < count; i++) {
        values[i] = gain * (float)(2 * test_named_uniform(name, (uint32_t)i) - 1);
    }
    return values;
}

/* The difference's root mean square, relative to that of the expected. */
static double difference(const char *what, const int64_t size[2], int64_t count, const float *got)
{
    char path[256];
    struct fs_array array;
    double off = 0, all = 0;
    snprintf(path, sizeof path, "tests/golden/autoencoder/%s_%dx%d.npy", what, (int)size[0], (int)size[1]);
    assert_int_equal(fs_npy_read(path, &array, &error), FS_OK);
    assert_int_equal(array.shape[1] * array.shape[2] * array.shape[3], count);
    for (int64_t i = 0; i < count; i++) {
        const double expected = ((const float *)array.data)[i];
        off += pow((double)got[i] - expected, 2);
        all += pow(expected, 2);
    }
    free(array.data);
    return sqrt(off / all);
}

static void check_size(struct fs_autoencoder *autoencoder, const int64_t size[2], double tolerance)
{
    struct fs_latent_shape shape;
    assert_int_equal(fs_autoencoder_latents(autoencoder, size[0], size[1], &shape, &error), FS_OK);
    assert_true(shape.height == size[0] / 8 && shape.width == size[1] / 8 && shape.channels == 4);
    const int64_t pixels = size[0] * size[1] * 3, count = shape.height * shape.width * 4;
    float *picture = numbers("picture", size, pixels, 1), *latents = numbers("latents", size, count, 3);
    float *mean = allocate(count), *log_variance = allocate(count), *decoded = allocate(pixels);
    assert_int_equal(fs_autoencoder_encode(autoencoder, 1, size[0], size[1], picture, mean, log_variance, &error),
                     FS_OK);
    assert_int_equal(fs_autoencoder_decode(autoencoder, 1, shape.height, shape.width, latents, decoded, &error), FS_OK);
    const double of_mean = difference("mean", size, count, mean),
                 of_variance = difference("log_variance", size, count, log_variance),
                 of_picture = difference("picture", size, pixels, decoded);
    print_message("%d × %d: mean %.1e, log-variance %.1e, picture %.1e\n", (int)size[0], (int)size[1], of_mean,
                  of_variance, of_picture);
    assert_true(of_mean < tolerance && of_variance < tolerance && of_picture < tolerance);
    free(picture);
    free(latents);
    free(mean);
    free(log_variance);
    free(decoded);
}

static void check(struct fs_backend *backend, int old_names, enum fs_type precision, double tolerance)
{
    struct test_autoencoder narrow = test_narrow_autoencoder;
    narrow.old_names = old_names;
    const char *path = test_path("narrow.safetensors");
    test_write_autoencoder(path, &narrow, NULL, NULL);
    struct fs_autoencoder *autoencoder = fs_autoencoder_open(backend, path, precision, &error);
    assert_non_null(autoencoder);
    for (int i = 0; i < 2; i++) {
        check_size(autoencoder, sizes[i], tolerance);
    }
    fs_autoencoder_close(autoencoder);
}

static void equals_diffusers(void **state)
{
    (void)state;
    struct fs_backend *cpu = fs_cpu_backend(2, &error);
    assert_non_null(cpu);
    struct fs_backend some = test_some_backend(cpu);
    check(cpu, 0, FS_F32, TOLERANCE);
    check(cpu, 1, FS_F32, TOLERANCE);
    check(&some, 0, FS_F32, TOLERANCE);
    cpu->destroy(cpu);
}

static void bf16_is_near(void **state)
{
    (void)state;
    struct fs_backend *cpu = fs_cpu_backend(2, &error);
    assert_non_null(cpu);
    struct fs_backend some = test_some_backend(cpu);
    if (!cpu->native_bf16) {
        cpu->destroy(cpu);
        skip();
    }
    check(cpu, 0, FS_BF16, BF16_TOLERANCE);
    check(&some, 0, FS_BF16, BF16_TOLERANCE);
    cpu->destroy(cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_diffusers),
        cmocka_unit_test(bf16_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
