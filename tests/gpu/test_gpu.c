/* The CUDA backend on a device: every operation, the network and a training against the float64 reference, inference
 * networks against the same in double, inception-v3 against the CPU's. Skipped, with the reason, where there is none.
 */
#include "tests/support/backend_ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/base/memory.h"
#include "metrics/inception.h"
#include "tests/support/backend_net.h"
#include "tests/support/backend_network.h"

static struct fs_backend *open_backend(void)
{
    struct fs_error error;
    struct fs_backend *backend = fs_load_cuda_backend(&error);
    if (backend == NULL) {
        print_message("skipped: %s\n", error.text);
        skip();
    }
    return backend;
}

/* One backend for all operations: to start one takes a device longer than most of them. */
static struct fs_backend *shared;
static char device[300]; /* its name, and the day */

static struct fs_backend *open_shared(const struct test_backend *how)
{
    (void)how;
    if (shared == NULL) {
        const time_t now = time(NULL);
        char day[32];
        shared = open_backend();
        strftime(day, sizeof day, "%Y-%m-%d", gmtime(&now));
        snprintf(device, sizeof device, "%s, %s", shared->variant, day);
        print_message("on %s\n%s\n", shared->variant, shared->choices);
    }
    return shared;
}

static void keep_shared(const struct test_backend *how, struct fs_backend *backend)
{
    (void)how;
    (void)backend;
}

static void test_network(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    test_backend_network(backend, FS_F32, 5e-5);
    test_backend_network(backend, FS_BF16, 0.05);
    test_backend_training(backend);
    backend->destroy(backend);
}

/* Updates that are kept as a graph have the bits of those that run as they come. */
static void test_updates(void **state)
{
    (void)state;
    int64_t count;
    struct fs_backend *backend = open_backend();
    print_message("%s\n", backend->choices);
    double *plain = test_backend_updates(backend, 3, false, &count),
           *kept = test_backend_updates(backend, 3, true, &count);
    assert_memory_equal(plain, kept, (size_t)count * sizeof *plain);
    free(plain);
    free(kept);
    backend->destroy(backend);
    test_ops_passed("update_begin, update_end");
}

static void test_net(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    test_backend_net(backend);
    test_backend_net_refusals(backend);
    backend->destroy(backend);
}

/* The pool [PICTURES, POOL] of random pictures, which are the same bits on every backend. */
static void pool_of(struct fs_backend *backend, const struct fs_tensor_file *parameters, int64_t pictures, float *pool)
{
    const int64_t input = 3 * (int64_t)FS_INCEPTION_SIDE * FS_INCEPTION_SIDE;
    struct fs_error error;
    struct fs_inception *inception = fs_inception_create(backend, parameters, &error);
    float *values = backend->allocate(backend, (size_t)(pictures * input) * sizeof *values, &error);
    float *const features[FS_INCEPTION_TAPS] = {[FS_INCEPTION_POOL] = pool};
    assert_true(inception && values);
    backend->normals(backend, fs_view(values, FS_F32, pictures, input), (struct fs_random_key){0, FS_STREAM_TEST, 0, 0},
                     0);
    assert_int_equal(fs_inception_forward(inception, pictures, values, features, &error), FS_OK);
    backend->release(backend, values);
    fs_inception_destroy(inception);
}

static void test_inception(void **state)
{
    (void)state;
    enum { PICTURES = 33, POOL = 2048 }; /* one more than go at once */
    struct fs_error error;
    struct fs_inception_random parameters;
    struct fs_backend *backends[2] = {open_backend(), fs_cpu_backend(0, &error)};
    float *pools[2];
    double off = 0, size = 0;
    assert_int_equal(fs_inception_random_create(0, &parameters, &error), FS_OK);
    for (int i = 0; i < 2; i++) {
        pools[i] = fs_allocate(PICTURES, POOL * sizeof(float), "features", &error);
        assert_non_null(pools[i]);
        pool_of(backends[i], &parameters.file, PICTURES, pools[i]);
        backends[i]->destroy(backends[i]);
    }
    for (int i = 0; i < PICTURES * POOL; i++) {
        const double d = (double)pools[0][i] - (double)pools[1][i];
        off += d * d;
        size += (double)pools[1][i] * (double)pools[1][i];
    }
    print_message("inception-v3: off by %.2g\n", sqrt(off / size));
    assert_true(size > 0 && sqrt(off / size) <= 1e-5);
    free(pools[0]);
    free(pools[1]);
    fs_inception_random_destroy(&parameters);
}

int main(int argc, char **argv)
{
    static struct test_list list;
    static const struct test_backend cuda = {"cuda", open_shared, keep_shared, "convolution_backward", 0, false};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_network), cmocka_unit_test(test_updates),
                                       cmocka_unit_test(test_net), cmocka_unit_test(test_inception)};
    struct fs_error error;
    struct fs_backend *found = fs_load_cuda_backend(&error);
    if (found == NULL) { /* said once, not for each operation */
        printf("%s: skipped: %s\n", argv[0], error.text);
        return 0;
    }
    found->destroy(found);
    test_list_add_ops(&list, &cuda);
    test_list_add(&list, tests, sizeof tests / sizeof *tests);
    const int status = test_list_run(&list, argc, argv);
    test_ops_record("device", device);
    if (shared != NULL) {
        shared->destroy(shared);
    }
    return status;
}
