/* The CUDA backend from its own source, without a GPU: every operation and the network against the float64 reference,
 * with a block's threads in several orders and with and without cuBLASLt's fused epilogues; pictures; a short training;
 * and what goes wrong on a device. */
#include "tests/support/backend_ops.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metrics/resize.h"
#include "tests/cuda_host/cuda_host.h"
#include "tests/support/backend_network.h"
#include "tests/support/folder.h"
#include "tests/support/network.h"

struct fs_backend *fs_cuda_backend(struct fs_error *error);

static size_t used_before; /* by a test that failed earlier */

static struct fs_backend *open_backend(void)
{
    struct fs_error error;
    struct fs_backend *backend = fs_cuda_backend(&error);
    if (backend == NULL) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(backend->abi, FS_BACKEND_ABI);
    return backend;
}

static void close_backend(struct fs_backend *backend)
{
    backend->destroy(backend);
    assert_int_equal(cuda_host_memory_used(), used_before);
}

static int start(void **state)
{
    (void)state;
    cuda_host_reset();
    used_before = cuda_host_memory_used();
    return 0;
}

/* --- operations --- */

/* A block's threads in an order, and whether cuBLASLt refuses its fused epilogues. */
static struct fs_backend *open_in_order(const struct test_backend *how)
{
    start(NULL);
    cuda_host.order = (enum cuda_host_order)how->setting;
    cuda_host.seed = (uint32_t)time(NULL);
    cuda_host.refuse_epilogues = how->setting == CUDA_HOST_REVERSE;
    return open_backend();
}

static void close_in_order(const struct test_backend *how, struct fs_backend *backend)
{
    (void)how;
    assert_string_equal(cuda_host_report(), "");
    close_backend(backend);
}

/* --- the network --- */

static void test_network(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    test_backend_network(backend, FS_F32, 2e-5);
    test_backend_network(backend, FS_BF16, 0.05);
    test_backend_training(backend);
    assert_string_equal(cuda_host_report(), "");
    close_backend(backend);
}

/* No bit of a gradient depends on the order of blocks and threads. */
static void test_orders(void **state)
{
    (void)state;
    double *first = NULL;
    for (int order = CUDA_HOST_FORWARD; order <= CUDA_HOST_RANDOM; order++) {
        cuda_host.order = (enum cuda_host_order)order;
        cuda_host.seed = (uint32_t)time(NULL);
        struct fs_backend *cuda = open_backend();
        struct test_network network = test_network_create(cuda, &test_network_config, 3, FS_F32, 0.3, 1);
        test_network_pass(&network, 0, 3);
        double *gradients = test_download(cuda, network.gradients);
        const size_t bytes = (size_t)network.gradients.cols * sizeof *gradients;
        if (first == NULL) {
            first = gradients;
        } else {
            assert_memory_equal(first, gradients, bytes);
            free(gradients);
        }
        test_network_destroy(&network);
        close_backend(cuda);
    }
    free(first);
}

/* --- pictures --- */

enum { PICTURES = 3, PIXELS = 5 * 4, RESIZED = 7 * 6 * 3 };

/* The first and then all of a batch, through a resizer of three channels. */
static void resize_on(struct fs_backend *backend, struct fs_image_batch batch, float out[PICTURES * RESIZED])
{
    struct fs_error error;
    struct fs_resizer resizer;
    float *resized = backend->allocate(backend, PICTURES * RESIZED * sizeof(float), &error);
    assert_non_null(resized);
    assert_int_equal(fs_resizer_create(backend, FS_RESIZE_CLEAN, 5, 4, 7, 6, 3, &resizer, &error), FS_OK);
    for (batch.count = 1; batch.count <= PICTURES; batch.count += PICTURES - 1) {
        assert_int_equal(fs_resizer_apply(&resizer, &batch, resized, &error), FS_OK);
    }
    backend->download(backend, out, resized, PICTURES * RESIZED * sizeof(float));
    fs_resizer_destroy(&resizer);
    backend->release(backend, resized);
}

/* Pictures that a resizer brings to the device, as bytes and as floats, grey and in colour, get the CPU's bits. */
static void test_resizer(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *cuda = open_backend(), *cpu = fs_cpu_backend(2, &error);
    const struct fs_random_key key = {(uint32_t)time(NULL), FS_STREAM_TEST, 0, 0};
    uint8_t bytes[PICTURES * PIXELS * 3];
    float floats[PICTURES * PIXELS * 3];
    assert_non_null(cpu);
    for (int i = 0; i < PICTURES * PIXELS * 3; i++) {
        bytes[i] = (uint8_t)(fs_random_word(key, 0, (uint32_t)i) >> 24);
        floats[i] = (float)bytes[i] / 100;
    }
    for (int kind = 0; kind < 4; kind++) {
        float on_cuda[PICTURES * RESIZED], on_cpu[PICTURES * RESIZED];
        struct fs_image_batch batch = {bytes, true, PICTURES, 5, 4, kind % 2 == 0 ? 1 : 3, 0, 2.5f};
        if (kind >= 2) {
            batch.pixels = floats;
            batch.is_uint8 = false;
        }
        resize_on(cuda, batch, on_cuda);
        resize_on(cpu, batch, on_cpu);
        assert_memory_equal(on_cuda, on_cpu, sizeof on_cuda);
    }
    assert_string_equal(cuda_host_report(), "");
    cpu->destroy(cpu);
    close_backend(cuda);
}

/* --- updates as graphs --- */

/* Updates kept as a graph, where the device can, have the bits of updates that run as they come. */
static void expect_same_updates(struct fs_backend *backend, int updates, int graph_launches)
{
    int64_t count = 0;
    const int before = cuda_host_graph_launches();
    double *plain = test_backend_updates(backend, updates, false, &count),
           *kept = test_backend_updates(backend, updates, true, &count);
    assert_memory_equal(plain, kept, (size_t)count * sizeof *plain);
    assert_int_equal(cuda_host_graph_launches() - before, graph_launches);
    assert_string_equal(cuda_host_report(), "");
    free(plain);
    free(kept);
}

static void test_graph(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    expect_same_updates(backend, 3, 2); /* all but the rehearsal */
    close_backend(backend);
    test_ops_passed("update_begin, update_end");
}

static void test_graph_refused(void **state)
{
    (void)state;
    cuda_host.refuse_capture = true;
    struct fs_backend *backend = open_backend();
    expect_same_updates(backend, 2, 0);
    assert_non_null(strstr(backend->notice, "not run as a graph"));
    assert_non_null(strstr(backend->notice, "cannot be captured"));
    close_backend(backend);
}

static float first_number(struct fs_backend *backend, struct fs_view view)
{
    float number = 0;
    backend->download(backend, &number, view.data, sizeof number);
    return number;
}

/* x ← x + 1 for `times`, as an update; false when it has to be done again. */
static bool add_ones(struct fs_backend *backend, struct fs_view x, struct fs_view one, int times)
{
    backend->update_begin(backend, 1);
    for (int i = 0; i < times; i++) {
        backend->add(backend, x, x, one);
    }
    return backend->update_end(backend);
}

static struct fs_view zeros(struct fs_backend *backend, int64_t rows, int64_t cols)
{
    struct fs_error error;
    void *data = backend->allocate(backend, (size_t)(rows * cols) * fs_type_size(backend->real), &error);
    assert_non_null(data);
    return fs_view(data, backend->real, rows, cols);
}

/* An update that is not the one that was kept is not done at all, and said to be so; memory that moves is noticed. */
static void test_graph_given_up(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *backend = open_backend();
    const struct fs_view x = zeros(backend, 1, 8), one = zeros(backend, 1, 8), spare = zeros(backend, 1, 8);
    backend->fill(backend, one, 1);
    for (int i = 0; i < 3; i++) {
        assert_true(add_ones(backend, x, one, 2));
    }
    assert_true(first_number(backend, x) == 6);
    assert_int_equal(cuda_host_graph_launches(), 2);
    backend->release(backend, spare.data); /* a graph may have used it */
    for (int i = 0; i < 3; i++) {
        assert_true(add_ones(backend, x, one, 2));
    }
    assert_true(first_number(backend, x) == 12);
    assert_int_equal(cuda_host_graph_launches(), 4);
    assert_false(add_ones(backend, x, one, 3));
    assert_true(first_number(backend, x) == 12);
    assert_true(add_ones(backend, x, one, 3));
    assert_true(first_number(backend, x) == 15);
    assert_int_equal(cuda_host_graph_launches(), 4);
    assert_int_equal(backend->synchronise(backend, &error), FS_OK);
    assert_string_equal(cuda_host_report(), "");
    backend->release(backend, x.data);
    backend->release(backend, one.data);
    close_backend(backend);
}

static void test_graph_not_wanted(void **state)
{
    (void)state;
    setenv("FEWSTEP_CUDA_GRAPH", "off", 1);
    struct fs_backend *backend = open_backend();
    unsetenv("FEWSTEP_CUDA_GRAPH");
    assert_non_null(strstr(backend->choices, "graph: no"));
    const struct fs_view x = zeros(backend, 1, 8), one = zeros(backend, 1, 8);
    backend->fill(backend, one, 1);
    for (int i = 0; i < 3; i++) {
        assert_true(add_ones(backend, x, one, 1));
    }
    assert_true(first_number(backend, x) == 3);
    assert_int_equal(cuda_host_graph_launches(), 0);
    backend->release(backend, x.data);
    backend->release(backend, one.data);
    close_backend(backend);
}

/* Waiting in the middle of a capture gives the capture up, and the update is done as it comes. */
static void test_graph_with_download(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    const struct fs_view x = zeros(backend, 1, 8), one = zeros(backend, 1, 8);
    backend->fill(backend, one, 1);
    for (int update = 1, passes = 0; update <= 3; update++) {
        float seen = 0;
        do {
            backend->update_begin(backend, 1);
            backend->add(backend, x, x, one);
            seen = first_number(backend, x);
            passes++;
        } while (!backend->update_end(backend));
        assert_true(seen == (float)update);
        assert_int_equal(passes, update == 1 ? 1 : update + 1);
    }
    assert_int_equal(cuda_host_graph_launches(), 0);
    backend->release(backend, x.data);
    backend->release(backend, one.data);
    close_backend(backend);
}

/* Once an update was rehearsed, the device's memory is left alone. */
static void test_updates_allocate_nothing(void **state)
{
    (void)state;
    int64_t count;
    int allocations[2];
    for (int i = 0; i < 2; i++) {
        struct fs_backend *backend = open_backend();
        const int before = cuda_host_allocations();
        free(test_backend_updates(backend, i == 0 ? 1 : 2, true, &count));
        allocations[i] = cuda_host_allocations() - before;
        close_backend(backend);
    }
    assert_int_equal(allocations[0], allocations[1]);
}

/* x ← x + y, as an update. */
static bool add_to(struct fs_backend *backend, struct fs_view x, struct fs_view y)
{
    backend->update_begin(backend, 1);
    backend->add(backend, x, x, y);
    return backend->update_end(backend);
}

/* An update of the same operations on other memory, or of another size, is another update; and it is said that there is
 * no graph any more. */
static void test_graph_of_other_operands(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct fs_backend *backend = open_backend();
        const struct fs_view x = zeros(backend, 2, 8), one = zeros(backend, 2, 8), two = zeros(backend, 2, 8);
        backend->fill(backend, one, 1);
        backend->fill(backend, two, 2);
        for (int i = 0; i < 3; i++) {
            assert_true(add_to(backend, x, one));
        }
        assert_int_equal(cuda_host_graph_launches(), 2);
        assert_null(backend->notice);
        const struct fs_view other = kind == 0 ? two : fs_view_rows(one, 0, 1);
        const struct fs_view target = kind == 0 ? x : fs_view_rows(x, 1, 1);
        assert_false(add_to(backend, target, other));
        assert_non_null(strstr(backend->notice, "differs"));
        assert_true(add_to(backend, target, other));
        assert_true(first_number(backend, x) == (kind == 0 ? 5 : 3));
        assert_true(first_number(backend, fs_view_rows(x, 1, 1)) == (kind == 0 ? 5 : 4));
        assert_int_equal(cuda_host_graph_launches(), 2);
        backend->release(backend, x.data);
        backend->release(backend, one.data);
        backend->release(backend, two.data);
        close_backend(backend);
        cuda_host_reset();
    }
}

/* Several updates by turns are kept beside each other, each with what it uploads; with more of them than there is room
 * for, those that come again in time. */
static void test_several_graphs(void **state)
{
    (void)state;
    enum { KEYS = 4, ROUNDS = 5 };
    struct fs_backend *backend = open_backend();
    const struct fs_view x = zeros(backend, KEYS + 1, 8), y = zeros(backend, KEYS + 1, 8);
    float row[8], want[KEYS + 1] = {0};
    for (int keys = KEYS; keys <= KEYS + 1; keys++) {
        const int before = cuda_host_graph_launches();
        for (int round = 0; round < ROUNDS; round++) {
            for (int key = 0; key < keys; key++) {
                for (int i = 0; i < 8; i++) {
                    row[i] = (float)(100 * key + round);
                }
                do {
                    backend->update_begin(backend, 10 + (uint64_t)key);
                    backend->upload(backend, fs_view_rows(y, key, 1).data, row, sizeof row);
                    backend->add(backend, fs_view_rows(x, key, 1), fs_view_rows(x, key, 1), fs_view_rows(y, key, 1));
                } while (!backend->update_end(backend));
                want[key] += row[0];
                memset(row, 0, sizeof row);
            }
        }
        for (int key = 0; key < keys; key++) {
            assert_true(first_number(backend, fs_view_rows(x, key, 1)) == want[key]);
        }
        /* One too many, in turn: from the first time that it comes, each gives way before it comes again. */
        assert_int_equal(cuda_host_graph_launches() - before, keys == KEYS ? KEYS * (ROUNDS - 1) : KEYS);
    }
    assert_null(backend->notice);
    assert_string_equal(cuda_host_report(), "");
    backend->release(backend, x.data);
    backend->release(backend, y.data);
    close_backend(backend);
}

/* --- copies from the host --- */

/* Memory is refilled as soon as an upload returns, and the device reads it late: what arrives is what was there, also
 * where much more is on its way than the ring holds, and without pinned memory. */
static void test_uploads_are_taken_at_once(void **state)
{
    (void)state;
    enum { BUFFERS = 24, FLOATS = 131071 }; /* 12 MiB */
    for (int pinned = 1; pinned >= 0; pinned--) {
        cuda_host.refuse_pinned = !pinned;
        struct fs_backend *backend = open_backend();
        struct fs_view views[BUFFERS];
        float *host = malloc(FLOATS * sizeof *host), *back = malloc(FLOATS * sizeof *back);
        assert_true(host != NULL && back != NULL);
        for (int i = 0; i < BUFFERS; i++) {
            views[i] = zeros(backend, 1, FLOATS);
        }
        cuda_host.late_copies = true;
        for (int i = 0; i < BUFFERS; i++) {
            for (int j = 0; j < FLOATS; j++) {
                host[j] = (float)(i * 7 + j);
            }
            backend->upload(backend, views[i].data, host, FLOATS * sizeof *host);
        }
        memset(host, 0, FLOATS * sizeof *host);
        for (int i = 0; i < BUFFERS; i++) {
            backend->download(backend, back, views[i].data, FLOATS * sizeof *back);
            for (int j = 0; j < FLOATS; j++) {
                assert_true(back[j] == (float)(i * 7 + j));
            }
            backend->release(backend, views[i].data);
        }
        assert_string_equal(cuda_host_report(), "");
        free(host);
        free(back);
        close_backend(backend);
        cuda_host_reset();
    }
}

/* --- what cuBLASLt offers and refuses --- */

/* y [n, outputs] of x and w all ones with a bias of one, all in bf16: `sum`, which is depth + 1 as bf16 has it. */
static void expect_sums(struct fs_backend *backend, int64_t depth, float sum, const char *fault)
{
    struct fs_error error;
    const int64_t rows = 3, outputs = 16;
    struct fs_view ones = zeros(backend, rows + outputs, depth), half = zeros(backend, rows + outputs, depth),
                   bias = zeros(backend, 1, outputs), y = zeros(backend, rows, outputs),
                   narrow = zeros(backend, rows, outputs);
    half.type = narrow.type = FS_BF16;
    backend->fill(backend, ones, 1);
    backend->fill(backend, bias, 1);
    backend->copy(backend, half, ones);
    backend->linear_forward(backend, narrow, fs_view_rows(half, 0, rows), fs_view_rows(half, rows, outputs), bias,
                            FS_LINEAR, fs_no_view());
    backend->copy(backend, y, narrow);
    if (fault != NULL) {
        assert_int_equal(backend->synchronise(backend, &error), FS_FAILED);
        assert_non_null(strstr(error.text, fault));
    } else {
        assert_true(first_number(backend, y) == sum);
        assert_int_equal(backend->synchronise(backend, &error), FS_OK);
    }
    void *const all[] = {ones.data, half.data, bias.data, y.data, narrow.data};
    for (int i = 0; i < 5; i++) {
        backend->release(backend, all[i]);
    }
}

/* An algorithm that the call refuses gives way to the next, then to a product without the epilogue; when there is none
 * at all, that is the fault. */
static void test_refused_algorithms(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    cuda_host.refuse_algorithms = 2;
    expect_sums(backend, 64, 65, NULL);
    expect_sums(backend, 64, 65, NULL);     /* the choice is kept */
    expect_sums(backend, 4096, 4096, NULL); /* parts of a sum are added in float32: in bf16 they would stop at 1024 */
    close_backend(backend);
    backend = open_backend();
    cuda_host.refuse_algorithms = 100;
    expect_sums(backend, 64, 0, "cuBLASLt has no algorithm");
    close_backend(backend);
    assert_string_equal(cuda_host_report(), "");
}

/* w ← w + dyᵀ·x of ones, twice: what a product adds to is not changed by calls that are only timed. */
static void expect_added(struct fs_backend *backend, int64_t rows)
{
    struct fs_error error;
    const struct fs_view dy = zeros(backend, rows, 8), x = zeros(backend, rows, 16), w = zeros(backend, 8, 16);
    backend->fill(backend, dy, 1);
    backend->fill(backend, x, 1);
    for (int i = 1; i <= 2; i++) {
        backend->linear_backward(backend, fs_no_view(), w, fs_no_view(), dy, x, w, fs_no_view());
        assert_true(first_number(backend, w) == (float)(i * rows));
    }
    assert_int_equal(backend->synchronise(backend, &error), FS_OK);
    backend->release(backend, dy.data);
    backend->release(backend, x.data);
    backend->release(backend, w.data);
}

/* A backend whose products are timed, with so many seconds for each algorithm. */
static struct fs_backend *open_timed(const char *folder, int first, int second, int third)
{
    const int seconds[3] = {first, second, third};
    setenv("FEWSTEP_CUDA_PRODUCTS", folder, 1);
    struct fs_backend *backend = open_backend();
    unsetenv("FEWSTEP_CUDA_PRODUCTS");
    memcpy(cuda_host.product_seconds, seconds, sizeof seconds);
    return backend;
}

/* The fastest algorithm is taken, then by every process, as the folder has it: whatever the clock says later, and also
 * where the file's last line was cut. What the call refuses gives way as ever. Without a folder nothing is timed. */
static void test_timed_products(void **state)
{
    (void)state;
    char folder[1024], path[1200];
    snprintf(folder, sizeof folder, "%s", test_path("products"));
    for (int i = 0; i < 3; i++) {
        struct fs_backend *backend = i == 0 ? open_timed(folder, 5, 2, 3) : open_timed(folder, 1, 9, 9);
        const int before = cuda_host_products();
        expect_added(backend, 40);
        assert_int_equal(cuda_host_last_algorithm(), 1);
        assert_int_equal(cuda_host_products() - before, i == 0 ? 3 * 6 + 2 : 2);
        close_backend(backend);
        snprintf(path, sizeof path, "%s/products-CUDA-on-the-host-130001.txt", folder);
        FILE *file = fopen(path, "a");
        assert_non_null(file);
        fputs("00ff", file);
        fclose(file);
    }
    cuda_host.refuse_algorithms = 2;
    struct fs_backend *backend = open_timed(folder, 1, 1, 1);
    expect_added(backend, 40);
    assert_int_equal(cuda_host_last_algorithm(), 2);
    close_backend(backend);
    cuda_host_reset();
    backend = open_timed("", 3, 2, 1);
    expect_added(backend, 40);
    assert_int_equal(cuda_host_last_algorithm(), 0);
    close_backend(backend);
    assert_string_equal(cuda_host_report(), "");
}

/* w ← w + dyᵀ·x and bias ← bias + column sums of dy, all of ones, twice. */
static void expect_bias_gradients(struct fs_backend *backend, int64_t rows)
{
    struct fs_error error;
    const struct fs_view dy = zeros(backend, rows, 8), x = zeros(backend, rows, 16), w = zeros(backend, 8, 16),
                         bias = zeros(backend, 1, 8);
    backend->fill(backend, dy, 1);
    backend->fill(backend, x, 1);
    for (int i = 1; i <= 2; i++) {
        backend->linear_backward(backend, fs_no_view(), w, bias, dy, x, w, fs_no_view());
        assert_true(first_number(backend, w) == (float)(i * rows));
        assert_true(first_number(backend, bias) == (float)(i * rows));
    }
    assert_int_equal(backend->synchronise(backend, &error), FS_OK);
    void *const all[] = {dy.data, x.data, w.data, bias.data};
    for (int i = 0; i < 4; i++) {
        backend->release(backend, all[i]);
    }
}

/* A bias gradient is made in the product's epilogue, or apart where that was the faster when both were timed, then in
 * every process. */
static void test_timed_bias_gradients(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        int bias_gradient_seconds, timed, in_epilogue; /* products with it: while timed, and of the two that count */
    } cases[] = {{"", 9, 0, 2}, {"apart", 1, 4 * 6, 0}, {"apart", 0, 0, 0}, {"in-it", 0, 4 * 6, 2}, {"in-it", 9, 0, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[1024] = "";
        if (cases[i].folder[0] != '\0') {
            snprintf(folder, sizeof folder, "%s", test_path(cases[i].folder));
        }
        struct fs_backend *backend = open_timed(folder, 2, 2, 2);
        cuda_host.bias_gradient_seconds = cases[i].bias_gradient_seconds;
        const int before = cuda_host_bias_gradients();
        expect_bias_gradients(backend, 700); /* more than one block of sums */
        assert_int_equal(cuda_host_bias_gradients() - before, cases[i].timed + cases[i].in_epilogue);
        assert_string_equal(cuda_host_report(), "");
        close_backend(backend);
    }
}

/* A folder that cannot be written: the first product says so. */
static void test_timed_products_unwritable(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *backend = open_timed("/dev/null/products", 1, 1, 1);
    const struct fs_view x = zeros(backend, 8, 8), y = zeros(backend, 8, 8);
    backend->linear_forward(backend, y, x, x, fs_no_view(), FS_LINEAR, fs_no_view());
    assert_int_equal(backend->synchronise(backend, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "FEWSTEP_CUDA_PRODUCTS"));
    assert_non_null(strstr(error.text, "Not a directory"));
    backend->release(backend, x.data);
    backend->release(backend, y.data);
    close_backend(backend);
}

/* --- attention in chunks --- */

enum { SAMPLES = 7, TOKENS = 5, HEADS = 2, WIDTH = 8, ATTENTION_ROWS = SAMPLES * TOKENS };

/* Every number that attention makes, of the same ones each time. */
struct attention {
    float out[ATTENTION_ROWS * WIDTH], lse[ATTENTION_ROWS * HEADS], dqkv[ATTENTION_ROWS * 3 * WIDTH],
        tangent_out[ATTENTION_ROWS * WIDTH], out_dot[ATTENTION_ROWS * WIDTH];
};

static void download_floats(struct fs_backend *backend, float *host, struct fs_view view)
{
    const struct fs_view wide = zeros(backend, view.rows, view.cols);
    backend->copy(backend, wide, view);
    backend->download(backend, host, wide.data, (size_t)(view.rows * view.cols) * sizeof *host);
    backend->release(backend, wide.data);
}

static struct attention run_attention(struct fs_backend *backend, enum fs_type type)
{
    static struct attention made;
    struct fs_error error;
    const struct fs_random_key key = {7, FS_STREAM_TEST, 0, 0};
    struct fs_view views[6]; /* qkv, its tangent or gradient, out, its gradient, out again, its tangent */
    const struct fs_view numbers = zeros(backend, ATTENTION_ROWS, 3 * WIDTH),
                         lse = zeros(backend, ATTENTION_ROWS, HEADS);
    for (int i = 0; i < 6; i++) {
        views[i] = zeros(backend, ATTENTION_ROWS, i < 2 ? 3 * WIDTH : WIDTH);
        views[i].type = type;
        backend->normals(backend, numbers, key, (uint32_t)(i * ATTENTION_ROWS));
        backend->copy(backend, views[i], fs_view_cols(numbers, 0, views[i].cols));
    }
    backend->attention_tangent(backend, views[4], views[5], views[0], views[1], TOKENS, HEADS, 0.3);
    backend->attention_forward(backend, views[2], lse, views[0], TOKENS, HEADS, 0.3);
    backend->attention_backward(backend, views[1], views[3], views[0], views[2], lse, TOKENS, HEADS, 0.3);
    download_floats(backend, made.out, views[2]);
    download_floats(backend, made.lse, lse);
    download_floats(backend, made.dqkv, views[1]);
    download_floats(backend, made.tangent_out, views[4]);
    download_floats(backend, made.out_dot, views[5]);
    assert_int_equal(backend->synchronise(backend, &error), FS_OK);
    assert_string_equal(cuda_host_report(), "");
    for (int i = 0; i < 6; i++) {
        backend->release(backend, views[i].data);
    }
    backend->release(backend, lse.data);
    backend->release(backend, numbers.data);
    return made;
}

static struct fs_backend *open_with_chunks(const char *chunks)
{
    setenv("FEWSTEP_CUDA_CHUNKS", chunks, 1);
    struct fs_backend *backend = open_backend();
    unsetenv("FEWSTEP_CUDA_CHUNKS");
    return backend;
}

/* No bit depends on how many samples are taken at once, and a device without a cache of that kind takes all. */
static void test_attention_in_chunks(void **state)
{
    (void)state;
    static const struct {
        const char *chunks;
        size_t cache;
        int products[2]; /* float32, bf16: 2 of a chunk forward, 5 backward, 4 of a tangent */
        const char *said;
    } cases[] = {{"memory", 7000, {11, 11}, "fit into memory"},
                 {"auto", 7000, {11, 11}, "fit into memory"},     /* nothing is timed */
                 {"cache", 7000, {69, 52}, "fit into the cache"}, /* of 7 samples 3, 1 and 1; 4, 2 and 1 */
                 {"cache", 1, {77, 77}, "fit into the cache"},
                 {"cache", 0, {11, 11}, "fit into the cache"}};
    for (int type = FS_F32; type <= FS_BF16; type++) {
        struct attention first = {0};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            cuda_host.cache = cases[i].cache;
            struct fs_backend *backend = open_with_chunks(cases[i].chunks);
            const int before = cuda_host_products();
            const struct attention made = run_attention(backend, (enum fs_type)type);
            assert_int_equal(cuda_host_products() - before, cases[i].products[type == FS_BF16]);
            assert_non_null(strstr(backend->choices, cases[i].said));
            close_backend(backend);
            if (i == 0) {
                first = made;
            }
            assert_memory_equal(&first, &made, sizeof made);
        }
    }
}

/* Where products are timed, so are chunks of some sizes, and the fastest is taken from then on, whatever the clock says
 * later: here 3 of 7 samples forward, one backward, and 3 in a tangent. */
static void test_timed_chunks(void **state)
{
    (void)state;
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", test_path("chunks"));
    cuda_host.cache = 7000;
    for (int i = 0; i < 3; i++) {
        struct fs_backend *backend = open_timed(folder, 1, 1, 1);
        assert_non_null(strstr(backend->choices, "memory or cache, as measured once"));
        cuda_host.cached_matrices = i == 0 ? 3 * HEADS : 0;
        cuda_host.uncached_seconds = 10;
        int before = cuda_host_products();
        const struct attention made = run_attention(backend, FS_F32);
        assert_true(i == 0 ? cuda_host_products() - before >= 6 * (12 + 55 + 48) : cuda_host_products() - before == 53);
        before = cuda_host_products();
        const struct attention again = run_attention(backend, FS_F32);
        assert_int_equal(cuda_host_products() - before, 53);
        assert_memory_equal(&made, &again, sizeof made);
        close_backend(backend);
    }
}

/* --- several devices --- */

static void test_device_of_the_local_rank(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *value;
        int devices, expected;
    } cases[] = {{"SLURM_LOCALID", "2", 4, 2},
                 {"OMPI_COMM_WORLD_LOCAL_RANK", "5", 4, 1},
                 {"MPI_LOCALRANKID", "1", 1, 0},
                 {"LOCAL_RANK", "", 4, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cuda_host_reset();
        cuda_host.devices = cases[i].devices;
        setenv(cases[i].variable, cases[i].value, 1);
        struct fs_backend *backend = open_backend();
        unsetenv(cases[i].variable);
        assert_int_equal(cuda_host_device(), cases[i].expected);
        close_backend(backend);
    }
}

/* --- reserved memory --- */

struct held {
    struct fs_view view;
    double value;
};

static void expect_held(struct fs_backend *backend, const struct held *held)
{
    float numbers[512];
    backend->download(backend, numbers, held->view.data, (size_t)held->view.cols * sizeof *numbers);
    for (int64_t i = 0; i < held->view.cols; i++) {
        assert_true((double)numbers[i] == held->value);
    }
}

/* Buffers that come and go in any order keep what was put into them, and start as zeros; those for which the reserved
 * memory has no room come from elsewhere, and all of it can be used again. */
static void test_reserved_memory(void **state)
{
    (void)state;
    enum { PLACES = 40, ROUNDS = 1500, FLOATS = 4096 };
    struct fs_backend *backend = open_backend();
    struct fs_error error;
    struct held held[PLACES] = {0};
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    const size_t before = cuda_host_memory_used(), bytes = FLOATS * sizeof(float);
    assert_int_equal(backend->reserve(backend, bytes, &error), FS_OK);
    assert_int_equal(cuda_host_memory_used(), before + bytes);
    for (int round = 0; round < ROUNDS; round++) {
        struct held *one = &held[rand_r(&seed) % PLACES];
        if (one->view.data != NULL) {
            expect_held(backend, one);
            backend->release(backend, one->view.data);
            one->view.data = NULL;
            continue;
        }
        const int64_t count = 1 + rand_r(&seed) % 512;
        void *memory = backend->allocate(backend, (size_t)count * sizeof(float), &error);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 256, 0);
        *one = (struct held){fs_view(memory, FS_F32, 1, count), 0};
        expect_held(backend, one);
        one->value = round + 1;
        backend->fill(backend, one->view, one->value);
    }
    for (int i = 0; i < PLACES; i++) {
        backend->release(backend, held[i].view.data);
    }
    assert_int_equal(cuda_host_memory_used(), before + bytes);
    void *all = backend->allocate(backend, bytes, &error); /* no gap was lost */
    assert_int_equal(cuda_host_memory_used(), before + bytes);
    backend->release(backend, all);
    assert_string_equal(cuda_host_report(), "");
    close_backend(backend);
}

/* --- what goes wrong --- */

/* A norm's row lies in a block's registers: one that is wider than they are is a fault. */
static void test_rows_too_wide(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *backend = open_backend();
    for (int64_t width = 4096; width <= 4097; width++) {
        const struct fs_view x = zeros(backend, 2, width), shift = zeros(backend, 1, width);
        backend->norm_forward(backend, x, fs_no_view(), x, shift, shift);
        const fs_status status = backend->synchronise(backend, &error);
        assert_int_equal(status, width == 4096 ? FS_OK : FS_FAILED);
        assert_true(status == FS_OK || strstr(error.text, "norm_forward: rows of 4097 columns, but 4096") != NULL);
        backend->release(backend, x.data);
        backend->release(backend, shift.data);
    }
    assert_string_equal(cuda_host_report(), "");
    close_backend(backend);
}

static void expect_no_backend(const char *text)
{
    struct fs_error error;
    assert_null(fs_cuda_backend(&error));
    assert_non_null(strstr(error.text, text));
    assert_null(strchr(error.text, '\n'));
    cuda_host_reset();
}

static void test_no_device(void **state)
{
    (void)state;
    cuda_host.devices = 0;
    expect_no_backend("no CUDA-capable device");
    cuda_host.driver = 0;
    expect_no_backend("no NVIDIA driver");
    cuda_host.driver = 12040;
    expect_no_backend("for CUDA 12.4, this build needs 13.0");
    cuda_host.compute_major = 7;
    expect_no_backend("compute capability 7.0");
    cuda_host.memory = 1 << 20;
    expect_no_backend("no device memory");
    assert_int_equal(cuda_host_memory_used(), used_before);
}

/* A network whose every allocation fails once: each time a clean error, and nothing left behind. */
static void test_out_of_memory(void **state)
{
    (void)state;
    struct fs_backend *backend = open_backend();
    const size_t used = cuda_host_memory_used();
    int failures = 0;
    for (bool made = false; !made; failures++) {
        struct fs_error error = {FS_OK, ""};
        cuda_host.fail_allocation = failures + 1;
        struct fs_dit *dit = fs_dit_create(backend, &test_network_config, TEST_NETWORK_HEIGHT, TEST_NETWORK_WIDTH,
                                           TEST_NETWORK_CHANNELS, 3, FS_PASS_BACKWARD, FS_F32, &error);
        made = dit != NULL;
        if (made) {
            fs_dit_destroy(dit);
        } else {
            assert_non_null(strstr(error.text, "no device memory"));
        }
        assert_int_equal(cuda_host_memory_used(), used);
        assert_true(failures < 100);
    }
    assert_true(failures > 1);
    cuda_host.fail_allocation = 0;
    cuda_host.memory = used + 1000;
    struct fs_error error;
    assert_null(backend->allocate(backend, (size_t)5 << 20, &error));
    assert_non_null(strstr(error.text, "5 MiB asked for"));
    assert_non_null(strstr(error.text, "train.micro_batch"));
    close_backend(backend);
}

/* A device that breaks stays broken; the first operation that saw it is named, and nothing crashes after it. */
static void test_broken_device(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        cuda_host_reset();
        struct fs_backend *backend = open_backend();
        const struct fs_view a = zeros(backend, 8, 8);
        float host[64] = {0};
        struct fs_error error;
        cuda_host.fail_copy = i == 0;
        cuda_host.fail_launch = i == 1;
        if (i == 0) {
            backend->upload(backend, a.data, host, sizeof host);
        } else {
            backend->silu_forward(backend, a, a);
        }
        backend->add(backend, a, a, a);
        assert_int_equal(backend->synchronise(backend, &error), FS_FAILED);
        assert_non_null(strstr(error.text, i == 0 ? "upload" : "silu_forward"));
        assert_non_null(strstr(error.text, "unspecified launch failure"));
        assert_int_equal(backend->synchronise(backend, &error), FS_FAILED);
        backend->download(backend, host, a.data, sizeof host);
        assert_int_equal(backend->synchronise(backend, &error), FS_FAILED);
        backend->release(backend, a.data);
        close_backend(backend);
    }
}

int main(int argc, char **argv)
{
    static struct test_list list;
    static const struct test_backend orders[] = {
        {"forward", open_in_order, close_in_order, "convolution_backward", CUDA_HOST_FORWARD, true},
        {"reverse", open_in_order, close_in_order, "convolution_backward", CUDA_HOST_REVERSE, true},
        {"random", open_in_order, close_in_order, "convolution_backward", CUDA_HOST_RANDOM, true},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_network, start),
        cmocka_unit_test_setup(test_orders, start),
        cmocka_unit_test_setup(test_resizer, start),
        cmocka_unit_test_setup(test_graph, start),
        cmocka_unit_test_setup(test_graph_refused, start),
        cmocka_unit_test_setup(test_graph_not_wanted, start),
        cmocka_unit_test_setup(test_graph_given_up, start),
        cmocka_unit_test_setup(test_graph_with_download, start),
        cmocka_unit_test_setup(test_graph_of_other_operands, start),
        cmocka_unit_test_setup(test_several_graphs, start),
        cmocka_unit_test_setup(test_timed_products, start),
        cmocka_unit_test_setup(test_timed_bias_gradients, start),
        cmocka_unit_test_setup(test_timed_products_unwritable, start),
        cmocka_unit_test_setup(test_attention_in_chunks, start),
        cmocka_unit_test_setup(test_timed_chunks, start),
        cmocka_unit_test_setup(test_uploads_are_taken_at_once, start),
        cmocka_unit_test_setup(test_refused_algorithms, start),
        cmocka_unit_test_setup(test_device_of_the_local_rank, start),
        cmocka_unit_test_setup(test_updates_allocate_nothing, start),
        cmocka_unit_test_setup(test_rows_too_wide, start),
        cmocka_unit_test_setup(test_no_device, start),
        cmocka_unit_test_setup(test_reserved_memory, start),
        cmocka_unit_test_setup(test_out_of_memory, start),
        cmocka_unit_test_setup(test_broken_device, start),
    };
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        test_list_add_ops(&list, &orders[i]);
    }
    test_list_add(&list, tests, sizeof tests / sizeof *tests);
    const int status = test_list_run(&list, argc, argv);
    test_ops_record("host", "");
    return status;
}
