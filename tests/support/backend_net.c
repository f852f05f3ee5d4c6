/* Inference networks on any backend: convolutions and poolings with odd shapes, borders and joins against the same
 * written out in double, and what they refuse. */
#include "tests/support/backend_net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/memory.h"
#include "kernels/net.h"

#define COUNT 5
#define BATCH_MAX 2 /* so that the last of three batches is short */
#define TOLERANCE 1e-5
#define HEIGHT 13
#define WIDTH 10
#define CHANNELS 3

static struct fs_error error;

static float random_value(uint32_t row, int64_t i)
{
    const struct fs_random_key key = {.stream = FS_STREAM_TEST};
    return 2 * fs_uniform(key, row, (uint32_t)i) - 1;
}

static float *random_values(uint32_t row, int64_t count)
{
    float *values = fs_allocate((size_t)count, sizeof *values, "values", &error);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = random_value(row, i);
    }
    return values;
}

/* --- the same in double, [height, width, channels] --- */

struct picture {
    int64_t height, width, channels;
    double *values;
};

static struct picture new_picture(int64_t height, int64_t width, int64_t channels)
{
    struct picture made = {height, width, channels,
                           fs_allocate((size_t)(height * width * channels), sizeof(double), "a picture", &error)};
    assert_non_null(made.values);
    return made;
}

static struct picture result_of(const struct picture *in, int64_t channels, const struct fs_net_kernel *k)
{
    return new_picture((in->height + 2 * k->pad_height - k->height) / k->stride + 1,
                       (in->width + 2 * k->pad_width - k->width) / k->stride + 1, channels);
}

/* The pixel under element (i, j) of the window at output (y, x), or NULL: padding. */
static const double *under(const struct picture *in, const struct fs_net_kernel *k, int64_t y, int64_t x, int64_t i,
                           int64_t j)
{
    const int64_t row = y * k->stride + i - k->pad_height, column = x * k->stride + j - k->pad_width;
    return row < 0 || column < 0 || row >= in->height || column >= in->width
               ? NULL
               : in->values + (row * in->width + column) * in->channels;
}

static double convolved(const struct picture *in, const struct fs_net_kernel *k, int64_t y, int64_t x,
                        const float *filter, double bias)
{
    double sum = bias;
    for (int64_t i = 0; i < k->height; i++) {
        for (int64_t j = 0; j < k->width; j++) {
            const double *pixel = under(in, k, y, x, i, j);
            for (int64_t c = 0; pixel && c < in->channels; c++) {
                sum += pixel[c] * (double)filter[(c * k->height + i) * k->width + j];
            }
        }
    }
    return fmax(sum, 0);
}

static struct picture convolve(const struct picture *in, int64_t channels, const struct fs_net_kernel *k,
                               const float *weights, const float *bias)
{
    struct picture out = result_of(in, channels, k);
    for (int64_t p = 0; p < out.height * out.width; p++) {
        for (int64_t o = 0; o < channels; o++) {
            out.values[p * channels + o] =
                convolved(in, k, p / out.width, p % out.width, weights + o * in->channels * k->height * k->width,
                          (double)bias[o]);
        }
    }
    return out;
}

static double pooled(const struct picture *in, const struct fs_net_kernel *k, int64_t y, int64_t x, int64_t c,
                     enum fs_pooling pooling)
{
    double sum = 0, largest = -INFINITY;
    int inside = 0;
    for (int64_t i = 0; i < k->height * k->width; i++) {
        const double *pixel = under(in, k, y, x, i / k->width, i % k->width);
        if (pixel) {
            sum += pixel[c];
            largest = fmax(largest, pixel[c]);
            inside++;
        }
    }
    return pooling == FS_POOL_MAX ? largest
                                  : sum / (pooling == FS_POOL_AVERAGE_PADDED ? (double)(k->height * k->width) : inside);
}

static struct picture pool(const struct picture *in, const struct fs_net_kernel *k, enum fs_pooling pooling)
{
    struct picture out = result_of(in, in->channels, k);
    for (int64_t i = 0; i < out.height * out.width * out.channels; i++) {
        const int64_t p = i / out.channels;
        out.values[i] = pooled(in, k, p / out.width, p % out.width, i % out.channels, pooling);
    }
    return out;
}

static void check(const struct picture *expected, int64_t first, int64_t channels, const float *got)
{
    for (int64_t p = 0; p < expected->height * expected->width; p++) {
        for (int64_t c = 0; c < channels; c++) {
            const double want = expected->values[p * expected->channels + first + c];
            assert_true(fabs((double)got[p * channels + c] - want) <= TOLERANCE * (1 + fabs(want)));
        }
    }
}

/* --- a network: two convolutions, then three poolings and a 1 × 3 convolution side by side --- */

static const struct fs_net_kernel halve = {3, 3, 2, .pad_height = 0}, wide = {1, 3, 1, .pad_width = 1},
                                  three = {3, 3, 1, .pad_height = 1, .pad_width = 1}, tall = {5, 1, 1, .pad_height = 2};
static float *weights[3], *biases[3];

struct network {
    struct fs_net *net;
    struct fs_net_slice first, second, join;
};

static struct fs_net_slice part(struct fs_net_slice whole, int64_t first, int64_t channels)
{
    return (struct fs_net_slice){whole.image, first, channels};
}

static struct network make_network(struct fs_backend *backend)
{
    const struct fs_net_slice input = {FS_NET_INPUT, 0, CHANNELS};
    struct network n = {.net =
                            fs_net_create(backend, FS_NET_THREAD_AN_IMAGE, BATCH_MAX, HEIGHT, WIDTH, CHANNELS, &error)};
    assert_non_null(n.net);
    assert_int_equal(fs_net_image(n.net, FS_F32, 6, 4, 32, &n.first, &error), FS_OK);
    assert_int_equal(fs_net_image(n.net, FS_F32, 6, 4, 48, &n.second, &error), FS_OK);
    assert_int_equal(fs_net_image(n.net, FS_F32, 6, 4, 160, &n.join, &error), FS_OK);
    assert_int_equal(fs_net_convolution(n.net, n.first, input, &halve, FS_NET_RELU, weights[0], biases[0], &error),
                     FS_OK);
    assert_int_equal(fs_net_convolution(n.net, n.second, n.first, &wide, FS_NET_RELU, weights[1], biases[1], &error),
                     FS_OK);
    assert_int_equal(fs_net_pool(n.net, part(n.join, 0, 48), n.second, &three, FS_POOL_AVERAGE_UNPADDED, &error),
                     FS_OK);
    assert_int_equal(fs_net_convolution(n.net, part(n.join, 48, 16), part(n.second, 16, 32), &tall, FS_NET_RELU,
                                        weights[2], biases[2], &error),
                     FS_OK);
    assert_int_equal(fs_net_pool(n.net, part(n.join, 64, 48), n.second, &three, FS_POOL_AVERAGE_PADDED, &error), FS_OK);
    assert_int_equal(fs_net_pool(n.net, part(n.join, 112, 48), n.second, &three, FS_POOL_MAX, &error), FS_OK);
    return n;
}

static void make_parameters(void)
{
    const int64_t sizes[3] = {32 * CHANNELS * 9, 48 * 32 * 3, 16 * 32 * 5}, filters[3] = {32, 48, 16};
    for (uint32_t i = 0; i < 3; i++) {
        weights[i] = random_values(10 + i, sizes[i]);
        biases[i] = random_values(20 + i, filters[i]);
    }
}

static void free_parameters(void)
{
    for (int i = 0; i < 3; i++) {
        free(weights[i]);
        free(biases[i]);
    }
}

/* Channels 16 … 47 of a picture as one of their own. */
static struct picture middle(const struct picture *in)
{
    struct picture out = new_picture(in->height, in->width, 32);
    for (int64_t i = 0; i < out.height * out.width * 32; i++) {
        out.values[i] = in->values[i / 32 * in->channels + 16 + i % 32];
    }
    return out;
}

static void check_image(const float *image, const float *first, const float *join)
{
    struct picture in = new_picture(HEIGHT, WIDTH, CHANNELS);
    for (int i = 0; i < HEIGHT * WIDTH * CHANNELS; i++) {
        in.values[i] = (double)image[i];
    }
    const struct picture a = convolve(&in, 32, &halve, weights[0], biases[0]);
    const struct picture b = convolve(&a, 48, &wide, weights[1], biases[1]), c = middle(&b);
    const struct picture parts[4] = {pool(&b, &three, FS_POOL_AVERAGE_UNPADDED),
                                     convolve(&c, 16, &tall, weights[2], biases[2]),
                                     pool(&b, &three, FS_POOL_AVERAGE_PADDED), pool(&b, &three, FS_POOL_MAX)};
    struct picture whole = new_picture(6, 4, 160);
    for (int64_t p = 0; p < 6 * 4; p++) {
        int64_t filled = 0;
        for (int i = 0; i < 4; i++) {
            memcpy(whole.values + p * 160 + filled, parts[i].values + p * parts[i].channels,
                   (size_t)parts[i].channels * sizeof(double));
            filled += parts[i].channels;
        }
    }
    check(&a, 3, 7, first);
    check(&whole, 0, 160, join);
    for (int i = 0; i < 4; i++) {
        free(parts[i].values);
    }
    free(whole.values);
    free(in.values);
    free(a.values);
    free(b.values);
    free(c.values);
}

enum { IMAGE = HEIGHT * WIDTH * CHANNELS, PIXELS = 6 * 4, JOINED = 160, FIRST = 7, MEANS = 50 };

/* What is read of COUNT images. */
struct results {
    float *first, *join, *mean; /* channels 3 … 9 of the first image; all of the join; the mean of its channels 60 … */
};

static float *host_values(int64_t count)
{
    float *values = fs_allocate((size_t)count, sizeof *values, "values", &error);
    assert_non_null(values);
    return values;
}

static struct results run_network(struct network n, int64_t count, const float *images)
{
    const struct results r = {host_values(count * PIXELS * FIRST), host_values(count * PIXELS * JOINED),
                              host_values(count * MEANS)};
    const struct fs_net_result results[] = {
        {part(n.first, 3, FIRST), false, r.first}, {n.join, false, r.join}, {part(n.join, 60, MEANS), true, r.mean}};
    assert_int_equal(fs_net_run(n.net, count, images, results, 3, &error), FS_OK);
    return r;
}

static void free_results(struct results r)
{
    free(r.first);
    free(r.join);
    free(r.mean);
}

static void check_means(const float *join, const float *mean)
{
    for (int c = 0; c < MEANS; c++) {
        double sum = 0;
        for (int p = 0; p < PIXELS; p++) {
            sum += (double)join[p * JOINED + 60 + c];
        }
        assert_float_equal(mean[c], sum / PIXELS, TOLERANCE);
    }
}

/* `alone`: what a picture among others gave, when it is the only one. The CPU's networks promise the same bits. */
static void check_alone(const struct fs_backend *backend, const float *alone, const float *join)
{
    for (int i = 0; i < PIXELS * JOINED; i++) {
        assert_float_equal(alone[i], join[i], TOLERANCE);
        assert_true(fs_cpu_threads(backend) == 0 || alone[i] == join[i]);
    }
}

static void check_network(struct fs_backend *backend, const float *images, const float *device_images)
{
    struct network n = make_network(backend);
    assert_int_equal(fs_net_finish(n.net, &error), FS_OK);
    const struct results one = run_network(n, 1, device_images + 3 * IMAGE), all = run_network(n, COUNT, device_images);
    for (int i = 0; i < COUNT; i++) {
        check_image(images + i * IMAGE, all.first + i * PIXELS * FIRST, all.join + i * PIXELS * JOINED);
        check_means(all.join + i * PIXELS * JOINED, all.mean + i * MEANS);
    }
    check_alone(backend, one.join, all.join + 3 * PIXELS * JOINED);
    assert_float_equal(fs_net_flops(n.net), 2.0 * PIXELS * (32 * 3 * 9 + 48 * 32 * 3 + 16 * 32 * 5), 0.5);
    free_results(one);
    free_results(all);
    fs_net_destroy(n.net);
}

void test_backend_net(struct fs_backend *backend)
{
    make_parameters();
    float *images = random_values(1, COUNT * (int64_t)IMAGE);
    const size_t bytes = COUNT * (size_t)IMAGE * sizeof *images;
    float *device_images = backend->allocate(backend, bytes, &error);
    assert_non_null(device_images);
    backend->upload(backend, device_images, images, bytes);
    check_network(backend, images, device_images);
    backend->release(backend, device_images);
    free(images);
    free_parameters();
}

void test_backend_net_refusals(struct fs_backend *backend)
{
    make_parameters();
    struct network n = make_network(backend);
    struct fs_net_slice odd, image;
    const struct fs_net_slice input = {FS_NET_INPUT, 0, CHANNELS}, nowhere = {99, 0, 16};
    float out[6 * 4 * 160];
    assert_int_equal(fs_net_image(n.net, FS_F64, 6, 4, 48, &odd, &error), FS_FAILED);
    assert_int_equal(fs_net_image(n.net, FS_F32, 5, 4, 48, &image, &error), FS_OK);
    /* sizes that do not fit, channels past the end or not in blocks, the same image, pooling to other channels */
    assert_int_equal(fs_net_pool(n.net, image, n.second, &three, FS_POOL_MAX, &error), FS_FAILED);
    assert_int_equal(fs_net_pool(n.net, part(n.join, 144, 48), n.second, &three, FS_POOL_MAX, &error), FS_FAILED);
    assert_int_equal(fs_net_pool(n.net, part(n.join, 8, 48), n.second, &three, FS_POOL_MAX, &error), FS_FAILED);
    assert_int_equal(fs_net_pool(n.net, n.second, n.second, &three, FS_POOL_MAX, &error), FS_FAILED);
    assert_int_equal(fs_net_pool(n.net, part(n.join, 0, 32), n.second, &three, FS_POOL_MAX, &error), FS_FAILED);
    assert_int_equal(fs_net_pool(n.net, nowhere, n.second, &three, FS_POOL_MAX, &error), FS_FAILED);
    /* the input has been read */
    assert_int_equal(fs_net_convolution(n.net, n.first, input, &halve, FS_NET_RELU, weights[0], biases[0], &error),
                     FS_FAILED);
    const struct fs_net_result whole = {n.join, false, out}, too_wide = {part(n.join, 100, 61), false, out};
    assert_int_equal(fs_net_run(n.net, 1, out, &whole, 1, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "not finished"));
    assert_int_equal(fs_net_finish(n.net, &error), FS_OK);
    assert_int_equal(fs_net_run(n.net, 1, out, &too_wide, 1, &error), FS_FAILED);
    fs_net_destroy(n.net);
    fs_net_destroy(NULL);
    free_parameters();
}

/* What is for whole images of one type, and for networks whose threads work together. */
static void refuse_layers(struct fs_backend *backend, enum fs_net_threads threads)
{
    static const float numbers[48 * 16];
    const bool together = threads == FS_NET_THREADS_TOGETHER;
    const struct fs_net_slice input = {FS_NET_INPUT, 0, CHANNELS};
    struct fs_net_slice a, b, half, twice, thrice;
    struct fs_net *net = fs_net_create(backend, threads, 1, 4, 6, CHANNELS, &error);
    assert_non_null(net);
    assert_int_equal(fs_net_image(net, FS_F32, 4, 6, 20, &a, &error), FS_OK);
    assert_int_equal(fs_net_image(net, FS_F32, 4, 6, 20, &b, &error), FS_OK);
    assert_int_equal(fs_net_image(net, FS_BF16, 4, 6, 20, &half, &error), FS_OK);
    assert_int_equal(fs_net_image(net, FS_F32, 8, 12, 20, &twice, &error), FS_OK);
    assert_int_equal(fs_net_image(net, FS_F32, 4, 6, 60, &thrice, &error), FS_OK);
    const struct fs_net_kernel one = {1, 1, 1, .pad_height = 0};
    assert_int_equal(fs_net_convolution(net, a, input, &one, FS_NET_SUM, numbers, numbers, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "no layer has written"));
    assert_int_equal(fs_net_convolution(net, a, input, &one, FS_NET_LINEAR, numbers, numbers, &error), FS_OK);
    const fs_status fits = together ? FS_OK : FS_FAILED;
    assert_int_equal(fs_net_group_norm(net, b, a, 5, 1e-6, numbers, numbers, true, &error), fits);
    assert_int_equal(fs_net_upsample(net, twice, a, &error), fits);
    assert_int_equal(fs_net_group_norm(net, b, a, 3, 1e-6, numbers, numbers, true, &error), FS_FAILED);
    assert_int_equal(fs_net_group_norm(net, half, a, 5, 1e-6, numbers, numbers, true, &error), FS_FAILED);
    assert_int_equal(fs_net_group_norm(net, part(b, 0, 16), part(a, 0, 16), 4, 1e-6, numbers, numbers, true, &error),
                     FS_FAILED);
    assert_int_equal(fs_net_upsample(net, b, a, &error), FS_FAILED);
    assert_int_equal(fs_net_attention(net, b, a, &error), FS_FAILED);
    assert_int_equal(fs_net_attention(net, b, thrice, &error), fits);
    assert_int_equal(fs_net_finish(net, &error), FS_OK);
    assert_true(fs_net_activation_bytes(net) >= 4 * 6 * 32 * (int64_t)sizeof(float));
    fs_net_destroy(net);
}

void test_backend_net_layers(struct fs_backend *backend)
{
    refuse_layers(backend, FS_NET_THREADS_TOGETHER);
    refuse_layers(backend, FS_NET_THREAD_AN_IMAGE);
}

/* --- some backend --- */

static void destroy_nothing(struct fs_backend *backend)
{
    (void)backend;
}

struct fs_backend test_some_backend(const struct fs_backend *cpu)
{
    struct fs_backend some = *cpu;
    some.name = "some";
    some.destroy = destroy_nothing; /* the CPU's backend is known by this function */
    return some;
}
