/* Feature extractors on the CUDA backend, without a GPU: inference networks against the same in double, fashion-cnn's
 * features against the CPU's, and what goes wrong on a device. Inception is too much for the host. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/model/autoencoder.h"
#include "kernels/base/memory.h"
#include "kernels/net.h"
#include "metrics/extractor.h"
#include "metrics/fashion_cnn.h"
#include "tests/cuda_host/cuda_host.h"
#include "tests/support/autoencoder.h"
#include "tests/support/backend_net.h"
#include "tests/support/folder.h"

#define PICTURES 3
#define TOLERANCE 1e-5

struct fs_backend *fs_cuda_backend(struct fs_error *error);

static struct fs_error error;
static uint8_t pixels[PICTURES * (28 * 28)];
static const struct fs_image_batch pictures = {pixels, true, PICTURES, 28, 28, 1, 0, 0};

static int start(void **state)
{
    (void)state;
    const struct fs_random_key key = {.stream = FS_STREAM_TEST};
    cuda_host_reset();
    for (uint32_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(fs_random_word(key, 0, i) >> 24);
    }
    return 0;
}

static struct fs_backend *open_cuda(void)
{
    struct fs_backend *backend = fs_cuda_backend(&error);
    if (backend == NULL) {
        fail_msg("%s", error.text);
    }
    return backend;
}

static void close_cuda(struct fs_backend *backend)
{
    backend->destroy(backend);
    assert_int_equal(cuda_host_memory_used(), 0);
}

static struct fs_extractor open_fashion_cnn(struct fs_backend *backend)
{
    struct fs_extractor extractor;
    if (fs_extractor_open("fashion-cnn", backend, &extractor, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    return extractor;
}

static void test_net(void **state)
{
    (void)state;
    for (int order = CUDA_HOST_FORWARD; order <= CUDA_HOST_RANDOM; order++) {
        cuda_host.order = (enum cuda_host_order)order;
        cuda_host.seed = (uint32_t)time(NULL);
        struct fs_backend *cuda = open_cuda();
        test_backend_net(cuda);
        test_backend_net_refusals(cuda);
        assert_string_equal(cuda_host_report(), "");
        close_cuda(cuda);
    }
}

/* Each tap off by no more than 1e-5 of its own size. */
static void test_fashion_cnn(void **state)
{
    (void)state;
    struct fs_backend *backends[2] = {fs_cpu_backend(1, &error), open_cuda()};
    static float features[2][PICTURES * FS_CLASSIFIER_FEATURES], logits[2][PICTURES * 10];
    for (int i = 0; i < 2; i++) {
        struct fs_extractor extractor = open_fashion_cnn(backends[i]);
        float *const taps[] = {features[i], logits[i]};
        assert_int_equal(extractor.extract(&extractor, &pictures, taps, &error), FS_OK);
        fs_extractor_close(&extractor);
    }
    const float *const got[] = {features[1], logits[1]}, *const want[] = {features[0], logits[0]};
    const int counts[] = {PICTURES * FS_CLASSIFIER_FEATURES, PICTURES * 10};
    for (int tap = 0; tap < 2; tap++) {
        double off = 0, size = 0;
        for (int i = 0; i < counts[tap]; i++) {
            const double d = (double)got[tap][i] - (double)want[tap][i];
            off += d * d;
            size += (double)want[tap][i] * (double)want[tap][i];
        }
        print_message("tap %d: off by %.2g\n", tap, sqrt(off / size));
        assert_true(size > 0 && sqrt(off / size) <= TOLERANCE);
    }
    assert_string_equal(cuda_host_report(), "");
    backends[0]->destroy(backends[0]);
    close_cuda(backends[1]);
}

/* Features in other arithmetic are another device's, as far as a reference that was kept goes. */
static void test_names(void **state)
{
    (void)state;
    char names[3][32];
    for (int i = 0; i < 3; i++) {
        setenv("FEWSTEP_CUDA_FP32", i == 1 ? "tf32" : "ieee", 1);
        struct fs_backend *cuda = open_cuda();
        struct fs_extractor extractor = open_fashion_cnn(cuda);
        memcpy(names[i], extractor.device, sizeof names[i]);
        fs_extractor_close(&extractor);
        close_cuda(cuda);
    }
    unsetenv("FEWSTEP_CUDA_FP32");
    assert_int_equal(strncmp(names[0], "cuda-", 5), 0);
    assert_int_equal(strlen(names[0]), 5 + 8);
    assert_string_equal(names[0], names[2]);
    assert_string_not_equal(names[0], names[1]);
}

/* A fault anywhere is the extraction's: no features are taken for good that are not. */
static void test_faults(void **state)
{
    (void)state;
    int *const faults[] = {&cuda_host.fail_copy, &cuda_host.fail_launch};
    float features[PICTURES * FS_CLASSIFIER_FEATURES];
    float *const taps[] = {features, NULL};
    for (int kind = 0; kind < 2; kind++) {
        fs_status status = FS_FAILED;
        int place = 0;
        for (; status != FS_OK; place++) {
            cuda_host_reset();
            struct fs_backend *cuda = open_cuda();
            struct fs_extractor extractor = open_fashion_cnn(cuda);
            *faults[kind] = place + 1;
            status = extractor.extract(&extractor, &pictures, taps, &error);
            assert_true(status == FS_OK || strstr(error.text, "unspecified launch failure") != NULL);
            fs_extractor_close(&extractor);
            close_cuda(cuda);
            assert_true(place < 100);
        }
        assert_true(place > (kind == 0 ? 2 : 5)); /* an upload and a download; a kernel for each layer */
    }
}

/* --- an autoencoder --- */

enum { SIDE = 8, LATENTS = SIDE * SIDE / 4 * 4, COLOURS = SIDE * SIDE * 3, COUNT = 3 };

struct decoded {
    float mean[COUNT * LATENTS], log_variance[COUNT * LATENTS], pictures[COUNT * COLOURS];
};

static struct decoded *through_autoencoder(struct fs_backend *backend, const char *path, enum fs_type precision)
{
    float images[COUNT * COLOURS];
    struct decoded *out = fs_allocate(1, sizeof *out, "pictures", &error);
    struct fs_autoencoder *autoencoder = fs_autoencoder_open(backend, path, precision, &error);
    assert_true(out != NULL && autoencoder != NULL);
    for (int i = 0; i < COUNT * COLOURS; i++) {
        images[i] = (float)(2 * test_named_uniform("pictures", (uint32_t)i) - 1);
    }
    assert_int_equal(
        fs_autoencoder_encode(autoencoder, COUNT, SIDE, SIDE, images, out->mean, out->log_variance, &error), FS_OK);
    assert_int_equal(fs_autoencoder_decode(autoencoder, COUNT, SIDE / 2, SIDE / 2, out->mean, out->pictures, &error),
                     FS_OK);
    fs_autoencoder_close(autoencoder);
    return out;
}

static double off_by(const float *got, const float *expected, int count)
{
    double off = 0, all = 0;
    for (int i = 0; i < count; i++) {
        off += pow((double)got[i] - (double)expected[i], 2);
        all += pow((double)expected[i], 2);
    }
    return sqrt(off / all);
}

static void compare_autoencoders(const struct decoded *got, const struct decoded *expected, double tolerance)
{
    assert_true(off_by(got->mean, expected->mean, COUNT * LATENTS) < tolerance);
    assert_true(off_by(got->log_variance, expected->log_variance, COUNT * LATENTS) < tolerance);
    assert_true(off_by(got->pictures, expected->pictures, COUNT * COLOURS) < tolerance);
}

static void test_autoencoder(void **state)
{
    (void)state;
    const struct test_autoencoder tiny = {2, {32, 32}, 4, 0};
    const char *path = test_path("tiny.safetensors");
    test_write_autoencoder(path, &tiny, NULL, NULL);
    struct fs_backend *cpu = fs_cpu_backend(1, &error), *cuda = open_cuda();
    assert_non_null(cpu);
    assert_true(cuda->native_bf16);
    struct decoded *expected = through_autoencoder(cpu, path, FS_F32);
    struct decoded *in_float = through_autoencoder(cuda, path, FS_F32);
    struct decoded *in_half = through_autoencoder(cuda, path, FS_BF16);
    compare_autoencoders(in_float, expected, 1e-5);
    compare_autoencoders(in_half, expected, 0.05);
    free(expected);
    free(in_float);
    free(in_half);
    close_cuda(cuda);
    cpu->destroy(cpu);
}

/* One convolution, a pooling into a part of an image, a mean. */
static fs_status make_net(struct fs_backend *backend)
{
    static const float weights[16 * 9], bias[16];
    const struct fs_net_kernel three = {3, 3, 1, .pad_height = 1, .pad_width = 1};
    const struct fs_net_slice input = {FS_NET_INPUT, 0, 1};
    struct fs_net_slice first, second;
    struct fs_net *net = fs_net_create(backend, FS_NET_THREAD_AN_IMAGE, 2, 8, 8, 1, &error);
    assert_non_null(net);
    assert_int_equal(fs_net_image(net, FS_F32, 8, 8, 16, &first, &error), FS_OK);
    assert_int_equal(fs_net_image(net, FS_F32, 8, 8, 32, &second, &error), FS_OK);
    fs_status status = fs_net_convolution(net, first, input, &three, FS_NET_RELU, weights, bias, &error);
    if (status == FS_OK) {
        const struct fs_net_slice half = {second.image, 16, 16};
        assert_int_equal(fs_net_pool(net, half, first, &three, FS_POOL_MAX, &error), FS_OK);
        status = fs_net_finish(net, &error);
    }
    if (status == FS_OK) {
        float out[32];
        float *images = backend->allocate(backend, 64 * sizeof *images, &error);
        const struct fs_net_result result = {second, true, out};
        status = images ? fs_net_run(net, 1, images, &result, 1, &error) : FS_FAILED;
        backend->release(backend, images);
    }
    fs_net_destroy(net);
    return status;
}

static fs_status make_fashion_cnn(struct fs_backend *backend)
{
    struct fs_extractor extractor;
    const fs_status status = fs_extractor_open("fashion-cnn", backend, &extractor, &error);
    if (status == FS_OK) {
        fs_extractor_close(&extractor);
    }
    return status;
}

/* Every allocation fails once: each time a clean error, and nothing left behind. */
static void expect_clean_failures(fs_status (*make)(struct fs_backend *))
{
    struct fs_backend *cuda = open_cuda();
    const size_t used = cuda_host_memory_used();
    int failures = 0;
    for (fs_status status = FS_FAILED; status != FS_OK; failures++) {
        cuda_host.fail_allocation = failures + 1;
        status = make(cuda);
        if (status != FS_OK) {
            assert_non_null(strstr(error.text, "no device memory"));
            assert_int_equal(cuda_host_memory_used(), used);
        }
        assert_true(failures < 100);
    }
    assert_true(failures > 3);
    cuda_host.fail_allocation = 0;
    close_cuda(cuda); /* and with it the scratch memory of the run */
}

static void test_out_of_memory(void **state)
{
    (void)state;
    expect_clean_failures(make_net);
    expect_clean_failures(make_fashion_cnn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_net, start),           cmocka_unit_test_setup(test_fashion_cnn, start),
        cmocka_unit_test_setup(test_names, start),         cmocka_unit_test_setup(test_faults, start),
        cmocka_unit_test_setup(test_out_of_memory, start), cmocka_unit_test_setup(test_autoencoder, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
