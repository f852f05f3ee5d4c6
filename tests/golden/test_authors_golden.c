/* A checkpoint of the shortcut-model authors' own code, converted (make_authors_golden.py): its samples from the same
 * noise are those of their sampler, at 1, 4 and 128 steps, and with guidance. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/sample/generator.h"
#include "kernels/base/memory.h"
#include "kernels/base/npy.h"

#define FOLDER "tests/golden/authors/"
#define TOLERANCE 1e-4 /* relative to the largest sample */

static struct fs_error error;

static struct fs_array read(const char *name)
{
    char path[256];
    struct fs_array array;
    snprintf(path, sizeof path, FOLDER "%s.npy", name);
    assert_int_equal(fs_npy_read(path, &array, &error), FS_OK);
    return array;
}

static void compare(struct fs_generator *generator, const char *name, int steps, double guidance)
{
    struct fs_array noise = read("noise"), labels = read("labels"), expected = read(name);
    const int64_t count = noise.shape[0], numbers = count * noise.shape[1] * noise.shape[2] * noise.shape[3];
    float *got = fs_allocate((size_t)numbers, sizeof *got, "samples", &error);
    double worst = 0, largest = 0;
    assert_non_null(got);
    assert_int_equal(fs_generate_from(generator, noise.data, labels.data, 0, count, steps, guidance, got, &error),
                     FS_OK);
    for (int64_t i = 0; i < numbers; i++) {
        const double want = ((const float *)expected.data)[i];
        largest = fmax(largest, fabs(want));
        worst = fmax(worst, fabs((double)got[i] - want));
    }
    print_message("%s: %.1e of %.2f\n", name, worst, largest);
    assert_true(worst <= TOLERANCE * largest);
    free(got);
    free(noise.data);
    free(labels.data);
    free(expected.data);
}

static void samples_are_the_authors_own(void **state)
{
    struct fs_config config;
    struct fs_generator generator;
    char *json, run[FS_HASH_TEXT], source[FS_HASH_TEXT];
    int64_t update;
    const struct fs_data_shape shape = {.height = 8, .width = 8, .channels = 4};
    (void)state;
    struct fs_backend *backend = fs_cpu_backend(2, &error);
    assert_non_null(backend);
    assert_int_equal(fs_checkpoint_metadata(FOLDER "authors.safetensors", &json, run, source, &update, &error), FS_OK);
    assert_int_equal(update, 1234);
    assert_int_equal(fs_config_from_json(json, &config, &error), FS_OK);
    assert_int_equal(
        fs_generator_open(&generator, backend, &config, &shape, FOLDER "authors.safetensors", FS_WEIGHTS_EMA, &error),
        FS_OK);
    compare(&generator, "samples_1", 1, 1);
    compare(&generator, "samples_4", 4, 1);
    compare(&generator, "samples_128", 128, 1);
    compare(&generator, "samples_guided", 128, 1.5);
    fs_generator_close(&generator);
    fs_config_free(&config);
    free(json);
    backend->destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_the_authors_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
