/* inception-v3 against pytorch-fid's port with the same random parameters (make_inception_golden.py): the CPU's
 * network, and the one for any backend, by the CPU's table. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/memory.h"
#include "kernels/base/npy.h"
#include "kernels/base/random.h"
#include "metrics/inception.h"
#include "tests/support/backend_net.h"

#define PICTURES 8
#define TOLERANCE 1e-4
#define INPUT ((int64_t)FS_INCEPTION_SIDE * FS_INCEPTION_SIDE * 3)

static const uint32_t parameter_seed = 3, picture_seed = 4;

static const struct {
    const char *name;
    int64_t dim;
} taps[FS_INCEPTION_TAPS] = {
    [FS_INCEPTION_POOL] = {"pool", 2048},       [FS_INCEPTION_LOGITS] = {"logits_unbiased", 1008},
    [FS_INCEPTION_SPATIAL] = {"spatial", 2023}, [FS_INCEPTION_768] = {"768", 768},
    [FS_INCEPTION_192] = {"192", 192},          [FS_INCEPTION_64] = {"64", 64},
};

static const struct {
    int64_t height, width, channels;
} sizes[PICTURES] = {{299, 299, 3}, {299, 299, 3}, {37, 53, 3}, {37, 53, 3},
                     {37, 53, 3},   {28, 28, 1},   {28, 28, 1}, {400, 301, 3}};

static struct fs_error error;
static struct fs_backend *cpu, some;
static struct fs_inception *network, *some_network;
static float *pictures;                     /* as the network takes them */
static float *features[FS_INCEPTION_TAPS];  /* of all */
static float *features2[FS_INCEPTION_TAPS]; /* of another call */

static void make_picture(int index, float *out)
{
    const int64_t height = sizes[index].height, width = sizes[index].width, channels = sizes[index].channels;
    const int64_t n = height * width * channels;
    const struct fs_random_key key = {.seed = picture_seed, .stream = FS_STREAM_TEST};
    uint8_t *bytes = fs_allocate((size_t)n, 1, "a picture", &error);
    assert_non_null(bytes);
    for (int64_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(fs_random_word(key, (uint32_t)index, (uint32_t)i) >> 24);
    }
    const struct fs_image_batch batch = {bytes, true, 1, height, width, channels, 0, 0};
    struct fs_resizer resizer;
    assert_int_equal(fs_resizer_create(cpu, FS_RESIZE_TORCH, height, width, FS_INCEPTION_SIDE, FS_INCEPTION_SIDE, 3,
                                       &resizer, &error),
                     FS_OK);
    assert_int_equal(fs_resizer_apply(&resizer, &batch, out, &error), FS_OK);
    fs_resizer_destroy(&resizer);
    free(bytes);
}

static int set_up(void **state)
{
    (void)state;
    struct fs_inception_random random;
    assert_int_equal(fs_inception_random_create(parameter_seed, &random, &error), FS_OK);
    assert_int_equal(fs_inception_check("random", &random.file, &error), FS_OK);
    cpu = fs_cpu_backend(2, &error);
    assert_non_null(cpu);
    some = test_some_backend(cpu);
    network = fs_inception_create(cpu, &random.file, &error);
    some_network = fs_inception_create(&some, &random.file, &error);
    assert_true(network && some_network);
    fs_inception_random_destroy(&random);
    pictures = fs_allocate(PICTURES, INPUT * sizeof *pictures, "pictures", &error);
    assert_non_null(pictures);
    for (int i = 0; i < PICTURES; i++) {
        make_picture(i, pictures + i * INPUT);
    }
    for (int tap = 0; tap < FS_INCEPTION_TAPS; tap++) {
        features[tap] = fs_allocate(PICTURES, (size_t)taps[tap].dim * sizeof(float), "features", &error);
        features2[tap] = fs_allocate(PICTURES, (size_t)taps[tap].dim * sizeof(float), "features", &error);
        assert_true(features[tap] && features2[tap]);
    }
    assert_int_equal(fs_inception_forward(network, PICTURES, pictures, features, &error), FS_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fs_inception_destroy(network);
    fs_inception_destroy(some_network);
    cpu->destroy(cpu);
    free(pictures);
    for (int tap = 0; tap < FS_INCEPTION_TAPS; tap++) {
        free(features[tap]);
        free(features2[tap]);
    }
    return 0;
}

/* Of the tap's own size over all pictures: the largest deviation, and that of the whole. */
static void check_taps(float *const *taps_of_all)
{
    for (int tap = 0; tap < FS_INCEPTION_TAPS; tap++) {
        char path[128];
        struct fs_array expected;
        snprintf(path, sizeof path, "tests/golden/inception/%s.npy", taps[tap].name);
        assert_int_equal(fs_npy_read(path, &expected, &error), FS_OK);
        assert_int_equal(expected.type, FS_ARRAY_F32);
        assert_int_equal(expected.rank, 2);
        assert_int_equal(expected.shape[0], PICTURES);
        assert_int_equal(expected.shape[1], taps[tap].dim);
        const float *want = expected.data, *got = taps_of_all[tap];
        double squares = 0, off = 0, worst = 0;
        for (int64_t i = 0; i < PICTURES * taps[tap].dim; i++) {
            const double d = (double)got[i] - (double)want[i];
            squares += (double)want[i] * (double)want[i];
            off += d * d;
            worst = fabs(d) <= worst ? worst : fabs(d); /* a NaN stays */
        }
        const double size = sqrt(squares / (double)(PICTURES * taps[tap].dim));
        print_message("%s: off by %.2g in all, at most %.2g\n", taps[tap].name, sqrt(off / squares), worst / size);
        assert_true(sqrt(off / squares) <= TOLERANCE / 10);
        assert_true(worst / size <= TOLERANCE);
        free(expected.data);
    }
}

static void taps_equal_the_port(void **state)
{
    (void)state;
    check_taps(features);
}

static void taps_on_any_backend_equal_the_port(void **state)
{
    (void)state;
    assert_int_equal(fs_inception_forward(some_network, PICTURES, pictures, features2, &error), FS_OK);
    check_taps(features2);
    assert_float_equal(fs_inception_flops(some_network), fs_inception_flops(network), 0.5);
}

/* The same bits for a picture alone, on one thread, and when only one tap is asked for. */
static void a_picture_does_not_depend_on_its_batch(void **state)
{
    (void)state;
    const int last = PICTURES - 1;
    assert_int_equal(fs_inception_forward(network, 1, pictures + last * INPUT, features2, &error), FS_OK);
    for (int tap = 0; tap < FS_INCEPTION_TAPS; tap++) {
        const size_t bytes = (size_t)taps[tap].dim * sizeof(float);
        assert_memory_equal(features2[tap], features[tap] + last * taps[tap].dim, bytes);
        float *one[FS_INCEPTION_TAPS] = {NULL};
        one[tap] = features2[tap];
        memset(one[tap], 0, bytes);
        assert_int_equal(fs_inception_forward(network, 1, pictures, one, &error), FS_OK);
        assert_memory_equal(one[tap], features[tap], bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taps_equal_the_port),
        cmocka_unit_test(taps_on_any_backend_equal_the_port),
        cmocka_unit_test(a_picture_does_not_depend_on_its_batch),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
