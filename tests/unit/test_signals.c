/* A signal that meets a product in the middle destroys nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/run/session.h"
#include "kernels/base/thread.h"

#define ROWS 1024
#define INPUTS 128
#define OUTPUTS 512
#define SIGNALS 1500

static volatile bool over;
static struct sigaction caught; /* what the program does with a signal, before the first one has come */

/* One signal after the other to the process, each when the one before was seen. */
static void *send_signals(void *unused)
{
    const struct timespec pause = {0, 200000};
    (void)unused;
    for (int i = 0; i < SIGNALS; i++) {
        fs_stop = 0;
        sigaction(SIGUSR1, &caught, NULL);
        kill(getpid(), SIGUSR1);
        struct sigaction now = caught;
        while (!fs_stop || now.sa_handler != SIG_DFL) { /* which the handler sets last */
            nanosleep(&pause, NULL);
            sigaction(SIGUSR1, NULL, &now);
        }
    }
    over = true;
    return NULL;
}

struct layer {
    struct fs_view x, w, dy, dx, dw, y;
};

static struct fs_view take(struct fs_backend *backend, int64_t rows, int64_t cols)
{
    struct fs_error error;
    void *data = backend->allocate(backend, (size_t)(rows * cols) * sizeof(float), &error);
    assert_non_null(data);
    return fs_view(data, FS_F32, rows, cols);
}

static void pass(struct fs_backend *backend, const struct layer *l)
{
    backend->fill(backend, l->dw, 0);
    backend->linear_forward(backend, l->y, l->x, l->w, fs_no_view(), FS_LINEAR, fs_no_view());
    backend->linear_backward(backend, l->dx, l->dw, fs_no_view(), l->dy, l->x, l->w, fs_no_view());
}

static void *bytes_of(struct fs_view view, size_t *size)
{
    *size = (size_t)(view.rows * view.cols) * sizeof(float);
    void *copy = malloc(*size);
    assert_non_null(copy);
    return memcpy(copy, view.data, *size);
}

static void test_products_among_signals(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *backend = fs_cpu_backend(2, &error);
    assert_non_null(backend);
    const struct layer l = {take(backend, ROWS, INPUTS), take(backend, OUTPUTS, INPUTS), take(backend, ROWS, OUTPUTS),
                            take(backend, ROWS, INPUTS), take(backend, OUTPUTS, INPUTS), take(backend, ROWS, OUTPUTS)};
    const struct fs_view given[] = {l.x, l.w, l.dy}, results[] = {l.dx, l.dw, l.y};
    for (uint32_t i = 0; i < 3; i++) {
        const struct fs_random_key key = {(uint32_t)time(NULL), FS_STREAM_TEST, i, 0};
        backend->normals(backend, given[i], key, 0);
    }
    pass(backend, &l);
    void *expected[3];
    size_t sizes[3];
    for (int i = 0; i < 3; i++) {
        expected[i] = bytes_of(results[i], &sizes[i]);
    }
    fs_catch_signals();
    assert_int_equal(sigaction(SIGUSR1, NULL, &caught), 0);
    pthread_t sender;
    assert_true(fs_thread_start(&sender, send_signals, NULL));
    while (!over) {
        pass(backend, &l);
        for (int i = 0; i < 3; i++) {
            assert_memory_equal(results[i].data, expected[i], sizes[i]);
        }
    }
    pthread_join(sender, NULL);
    for (int i = 0; i < 3; i++) {
        backend->release(backend, given[i].data);
        backend->release(backend, results[i].data);
        free(expected[i]);
    }
    backend->destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products_among_signals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
