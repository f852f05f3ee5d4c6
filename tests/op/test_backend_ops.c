/* Every operation of the CPU backend, on each instruction set that this machine has, and the gradients of the reference
 * that they are held against. test_backend_ops WORD…: only tests whose name holds one of the words. */
#include "tests/support/backend_ops.h"

#include <stdlib.h>
#include <string.h>

#include "harness/bench/cases.h"

static struct fs_backend *backend_on(const char *isa, int threads)
{
    struct fs_error error;
    setenv("FEWSTEP_CPU", isa, 1);
    struct fs_backend *backend = fs_cpu_backend(threads, &error);
    unsetenv("FEWSTEP_CPU");
    if (backend == NULL) {
        print_message("skipped: %s\n", error.text);
        skip();
    }
    return backend;
}

static struct fs_backend *open_backend(const struct test_backend *how)
{
    return backend_on(how->name, 2);
}

static void close_backend(const struct test_backend *how, struct fs_backend *backend)
{
    (void)how;
    backend->destroy(backend);
}

/* Sums of squares have the same bits for any number of threads; skipped where there is no such instruction set. */
static void test_threads(void **state)
{
    enum { COUNT = 100003 };
    static float numbers[COUNT];
    float sums[2] = {0, 1};
    for (int i = 0; i < COUNT; i++) {
        const struct fs_random_key key = {1, FS_STREAM_TEST, 0, 0};
        numbers[i] = fs_uniform(key, 0, (uint32_t)i) - 0.5f;
    }
    for (int i = 0; i < 2; i++) {
        struct fs_backend *backend = backend_on(*state, i + 1);
        backend->sum_squares(backend, fs_view(&sums[i], FS_F32, 1, 1), fs_view(numbers, FS_F32, 1, COUNT));
        backend->destroy(backend);
    }
    assert_memory_equal(&sums[0], &sums[1], sizeof(float));
}

/* Where the sigmoid would be subnormal (slow on some processors), SiLU, GELU and their slopes are 0. */
static void test_saturated_sigmoid(void **state)
{
    enum { COUNT = 37 };
    float silu_x[COUNT], gelu_x[COUNT], ones[COUNT], y[4][COUNT], one = 1;
    for (int i = 0; i < COUNT; i++) {
        silu_x[i] = -81 - (float)i;
        gelu_x[i] = -9.7f - 0.1f * (float)i; /* 2·√(2/π)·(9.7 + 0.044715·9.7³) = 80.6 */
        ones[i] = 1;
    }
    struct fs_backend *backend = backend_on(*state, 1);
    const struct fs_view g = fs_view(gelu_x, FS_F32, COUNT, 1), s = fs_view(silu_x, FS_F32, COUNT, 1),
                         up = fs_view(ones, FS_F32, COUNT, 1);
    backend->silu_forward(backend, fs_view(y[0], FS_F32, COUNT, 1), s);
    backend->silu_backward(backend, fs_view(y[1], FS_F32, COUNT, 1), up, s, false);
    backend->linear_forward(backend, fs_view(y[2], FS_F32, COUNT, 1), g, fs_view(&one, FS_F32, 1, 1), fs_no_view(),
                            FS_GELU, fs_no_view());
    backend->gelu_tangent(backend, fs_view(y[3], FS_F32, COUNT, 1), up, g);
    struct fs_error error;
    assert_int_equal(backend->synchronise(backend, &error), FS_OK);
    backend->destroy(backend);
    for (int i = 0; i < 4 * COUNT; i++) {
        assert_true(y[i / COUNT][i % COUNT] == 0);
    }
}

/* Each function of the table from `fill` on that computes something has an entry in the list, with cases, and each
 * pair of forward and backward knows the other. */
static void test_list_is_whole(void **state)
{
    (void)state;
    /* An update's frame and the ranks' exchange stand between the copies and the operations; tests/cuda_host has these.
     */
    const size_t first = offsetof(struct fs_backend, synchronise), last = offsetof(struct fs_backend, exchange_check);
    for (size_t at = offsetof(struct fs_backend, fill); at < sizeof(struct fs_backend); at += sizeof(void (*)(void))) {
        const struct fs_operation *operation, *found = NULL;
        const bool other = at >= first && at <= last;
        for (int i = 0; (operation = fs_operation_at(i)) != NULL; i++) {
            found = operation->entry == at ? operation : found;
        }
        if (found == NULL && !other) {
            fail_msg("the operation at byte %zu of struct fs_backend has no entry in harness/bench/cases_*.c", at);
        }
        assert_true(other || found->case_count > 0);
        assert_true(other || strstr(found->name, "_backward") == NULL || found->forward != NULL);
    }
}

static bool is_here(const char *isa)
{
    struct fs_error error;
    setenv("FEWSTEP_CPU", isa, 1);
    struct fs_backend *backend = fs_cpu_backend(1, &error);
    unsetenv("FEWSTEP_CPU");
    if (backend != NULL) {
        backend->destroy(backend);
    }
    return backend != NULL;
}

int main(int argc, char **argv)
{
    static struct test_list list;
    static const struct test_backend isas[] = {{"baseline", open_backend, close_backend, NULL, 0, false},
                                               {"avx2", open_backend, close_backend, NULL, 0, false},
                                               {"avx512", open_backend, close_backend, NULL, 0, false}};
    const struct CMUnitTest others[] = {
        cmocka_unit_test(test_list_is_whole),
        {"baseline sum_squares on one and two threads", test_threads, NULL, NULL, "baseline"},
        {"avx2 sum_squares on one and two threads", test_threads, NULL, NULL, "avx2"},
        {"avx512 sum_squares on one and two threads", test_threads, NULL, NULL, "avx512"},
        {"baseline saturated sigmoid", test_saturated_sigmoid, NULL, NULL, "baseline"},
        {"avx2 saturated sigmoid", test_saturated_sigmoid, NULL, NULL, "avx2"},
        {"avx512 saturated sigmoid", test_saturated_sigmoid, NULL, NULL, "avx512"},
    };
    test_list_add(&list, others, sizeof others / sizeof *others);
    test_list_add_derivatives(&list);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if (is_here(isas[i].name)) {
            test_list_add_ops(&list, &isas[i]);
        }
    }
    return test_list_run(&list, argc, argv);
}
