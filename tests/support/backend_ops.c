#include "tests/support/backend_ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "harness/bench/cases.h"
#include "harness/build_info.h"
#include "tests/reference/reference.h"

#define GAP 5 /* elements between two rows, where there may be some */

/* A case on the tested backend and on the reference. */
struct fixture {
    struct fs_case c;
    struct fs_case_operand operands[FS_CASE_OPERANDS];
    int count;
    struct fs_backend *backend, *reference;
    enum fs_type any; /* the type of operands that may be bf16 */
    struct fs_view tested[FS_CASE_OPERANDS], ref[FS_CASE_OPERANDS];
    struct fs_random_key key;
};

static void begin(struct fixture *f, int64_t gap)
{
    struct fs_error error;
    f->count = f->c.operation->operands(&f->c, f->operands);
    if (f->backend != NULL && fs_case_allocate(f->backend, &f->c, f->any, gap, f->tested, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(fs_case_allocate(f->reference, &f->c, FS_F64, 0, f->ref, &error), FS_OK);
}

static void end(struct fixture *f)
{
    if (f->backend != NULL) {
        fs_case_release(f->backend, &f->c, f->tested);
    }
    fs_case_release(f->reference, &f->c, f->ref);
}

static struct fs_random_key fresh_key(void)
{
    const char *seed = getenv("FEWSTEP_TEST_SEED"); /* to have a failed test's numbers again */
    return (struct fs_random_key){seed ? (uint32_t)strtoul(seed, NULL, 10) : (uint32_t)time(NULL), FS_STREAM_TEST, 0,
                                  0};
}

/* --- numbers --- */

static size_t bytes_of(struct fs_view view)
{
    return (size_t)(view.rows * view.stride) * fs_type_size(view.type);
}

static struct fs_view host_copy(struct fs_view view)
{
    view.data = calloc(1, bytes_of(view) + 1);
    assert_non_null(view.data);
    return view;
}

static struct fs_view downloaded(struct fixture *f, struct fs_view view)
{
    const struct fs_view host = host_copy(view);
    f->backend->download(f->backend, host.data, view.data, bytes_of(view));
    return host;
}

/* The reference's numbers into the tested backend's memory (zero between the rows), and rounded so into the reference.
 */
static void give(struct fixture *f, int i)
{
    const struct fs_view host = host_copy(f->tested[i]);
    f->reference->copy(f->reference, host, f->ref[i]);
    f->backend->upload(f->backend, f->tested[i].data, host.data, bytes_of(host));
    f->reference->copy(f->reference, f->ref[i], host);
    free(host.data);
}

/* Standard normals around the operand's centre, or ids below its bound. */
static void draw(struct fixture *f, int i)
{
    const struct fs_case_operand *o = &f->operands[i];
    const struct fs_view to = f->ref[i];
    f->key.update++;
    for (int64_t r = 0; r < to.rows; r++) {
        for (int64_t j = 0; j < to.cols; j++) {
            float four[4];
            fs_normals4(f->key, (uint32_t)r, (uint32_t)(j / 4), four);
            if (o->content == FS_IDS) {
                ((int32_t *)to.data)[j] = (int32_t)fs_random_below(f->key, 0, (uint32_t)j, (uint32_t)o->below);
            } else if (to.type == FS_F32) {
                ((float *)to.data)[r * to.stride + j] = four[j % 4];
            } else {
                *fs_at(to, r, j) = o->centre + (double)four[j % 4];
            }
        }
    }
}

/* Operands that the operations before this one would have left are made in double; both sides get them rounded. */
static void fill(struct fixture *f)
{
    for (int i = 0; i < f->count; i++) {
        if (f->ref[i].data != NULL && f->operands[i].same_as == 0) {
            draw(f, i);
        }
    }
    for (int pass = 0; pass < (f->c.operation->prepare != NULL ? 2 : 1); pass++) {
        if (pass == 1) {
            f->c.operation->prepare(f->reference, &f->c, f->ref);
        }
        for (int i = 0; f->backend != NULL && i < f->count; i++) {
            if (f->ref[i].data == NULL || f->operands[i].same_as != 0) {
                continue;
            }
            if (f->operands[i].content == FS_IDS) {
                f->backend->upload(f->backend, f->tested[i].data, f->ref[i].data, bytes_of(f->ref[i]));
            } else {
                give(f, i);
            }
        }
    }
}

static void expect_no_fault(struct fixture *f, const char *name)
{
    struct fs_error error;
    if ((f->backend != NULL && f->backend->synchronise(f->backend, &error) != FS_OK) ||
        f->reference->synchronise(f->reference, &error) != FS_OK) {
        fail_msg("%s: %s", name, error.text);
    }
}

/* --- a result --- */

static double tolerance_of(const struct fixture *f, double condition)
{
    const double tolerance = f->c.operation->tolerance * condition;
    return tolerance + (f->any == FS_BF16 && tolerance > 0 ? 0.015 : 0);
}

/* Operand i as the operation's tolerance says; `got` is in double. */
static void expect_near(const struct fixture *f, int i, struct fs_view got, double condition, const char *name)
{
    double largest = fmax(f->c.operation->terms, 1e-30), worst = 0;
    for (int64_t r = 0; r < got.rows; r++) {
        for (int64_t j = 0; j < got.cols; j++) {
            const double want = *fs_at(f->ref[i], r, j), difference = fabs(*fs_at(got, r, j) - want);
            largest = fmax(largest, fabs(want));
            worst = difference > worst || isnan(difference) ? difference : worst;
        }
    }
    if (!(worst <= tolerance_of(f, condition) * largest)) {
        fail_msg("%s on %s, %s: %s is %.3g off where the largest is %.3g (FEWSTEP_TEST_SEED=%u)", name,
                 f->backend->variant, f->any == FS_BF16 ? "bf16" : "float32", f->operands[i].name, worst, largest,
                 f->key.seed);
    }
}

static void compare(struct fixture *f, int i, double condition, const char *name)
{
    struct fs_view got = host_copy(f->ref[i]);
    const struct fs_view host = downloaded(f, f->tested[i]);
    f->reference->copy(f->reference, got, host);
    if (f->c.operation->tolerance == 0) { /* the same bits, once the reference's are rounded */
        f->reference->copy(f->reference, host, f->ref[i]);
        f->reference->copy(f->reference, f->ref[i], host);
    }
    expect_near(f, i, got, condition, name);
    free(host.data);
    free(got.data);
}

static bool is_result(const struct fixture *f, int i)
{
    return f->tested[i].data != NULL && (f->operands[i].use == FS_USE_OUT || f->operands[i].use == FS_USE_SUM);
}

static bool is_overwritten(const struct fixture *f, int i)
{
    for (int k = 0; k < f->count; k++) {
        if (f->operands[k].same_as == i + 1 && f->tested[k].data != NULL) {
            return true;
        }
    }
    return is_result(f, i);
}

/* What is between the rows of operand i is as it was: zeros. */
static void expect_gaps(const struct fixture *f, int i, struct fs_view host, const char *name)
{
    const size_t size = fs_type_size(host.type), gap = (size_t)(host.stride - host.cols) * size;
    static const char zeros[GAP * 8];
    for (int64_t r = 0; r < host.rows; r++) {
        if (memcmp((char *)host.data + (size_t)(r * host.stride + host.cols) * size, zeros, gap) != 0) {
            fail_msg("%s on %s wrote behind row %d of %s", name, f->backend->variant, (int)r, f->operands[i].name);
        }
    }
}

/* Runs it from `before` again: the results have the bits of the first time. */
static void expect_repeated(struct fixture *f, const struct fs_view before[], const char *name)
{
    struct fs_view first[FS_CASE_OPERANDS];
    for (int i = 0; i < f->count; i++) {
        first[i] = f->tested[i].data ? downloaded(f, f->tested[i]) : fs_no_view();
    }
    for (int i = 0; i < f->count; i++) {
        if (f->tested[i].data != NULL && f->operands[i].same_as == 0) {
            f->backend->upload(f->backend, f->tested[i].data, before[i].data, bytes_of(before[i]));
        }
    }
    f->c.operation->run(f->backend, &f->c, f->tested);
    for (int i = 0; i < f->count; i++) {
        if (is_result(f, i)) {
            const struct fs_view again = downloaded(f, f->tested[i]);
            if (memcmp(again.data, first[i].data, bytes_of(again)) != 0) {
                fail_msg("%s on %s: %s has other bits the second time", name, f->backend->variant, f->operands[i].name);
            }
            free(again.data);
        }
        free(first[i].data);
    }
}

static void check_case(struct fixture *f, int64_t gap, const char *name)
{
    struct fs_view before[FS_CASE_OPERANDS];
    begin(f, gap);
    fill(f);
    const double condition = f->c.operation->condition ? f->c.operation->condition(&f->c, f->ref) : 1;
    for (int i = 0; i < f->count; i++) {
        before[i] = f->tested[i].data ? downloaded(f, f->tested[i]) : fs_no_view();
    }
    f->c.operation->run(f->backend, &f->c, f->tested);
    f->c.operation->run(f->reference, &f->c, f->ref);
    expect_no_fault(f, name);
    for (int i = 0; i < f->count; i++) {
        if (f->tested[i].data == NULL) {
            continue;
        }
        if (is_result(f, i)) {
            compare(f, i, condition, name);
        }
        const struct fs_view after = downloaded(f, f->tested[i]);
        expect_gaps(f, i, after, name);
        if (!is_overwritten(f, i) && memcmp(after.data, before[i].data, bytes_of(after)) != 0) {
            fail_msg("%s on %s changed %s", name, f->backend->variant, f->operands[i].name);
        }
        free(after.data);
    }
    expect_repeated(f, before, name);
    for (int i = 0; i < f->count; i++) {
        free(before[i].data);
    }
    end(f);
}

/* --- what single operations promise beside that --- */

static struct fs_view floats(struct fs_backend *backend, const float *values, int64_t rows, int64_t cols)
{
    struct fs_error error;
    const size_t bytes = (size_t)(rows * cols) * sizeof *values;
    void *data = backend->allocate(backend, bytes, &error);
    assert_non_null(data);
    if (values != NULL) {
        backend->upload(backend, data, values, bytes);
    }
    return fs_view(data, FS_F32, rows, cols);
}

/* Far out, where exp saturates: SiLU and GELU go to x and to 0 without a NaN. */
static void check_extremes(struct fs_backend *backend)
{
    enum { COUNT = 8 };
    static const float values[COUNT] = {-1e30f, -1e4f, -90, -20, 0, 20, 1e4f, 1e30f}, one = 1;
    const struct fs_view x = floats(backend, values, COUNT, 1), y = floats(backend, NULL, COUNT, 1),
                         w = floats(backend, &one, 1, 1);
    for (int gelu = 0; gelu < 2; gelu++) {
        float got[COUNT];
        if (gelu) {
            backend->linear_forward(backend, y, x, w, fs_no_view(), FS_GELU, fs_no_view());
        } else {
            backend->silu_forward(backend, y, x);
        }
        backend->download(backend, got, y.data, sizeof got);
        for (int i = 0; i < COUNT; i++) {
            const double v = (double)values[i], cubic = sqrt(2 / 3.141592653589793) * (v + 0.044715 * v * v * v);
            const double want = gelu ? v / 2 * (1 + tanh(cubic)) : v / (1 + exp(-v));
            if (!(fabs((double)got[i] - want) <= 1e-6 * fabs(want) + 1e-7)) {
                fail_msg("%s of %g is %g, not %g", gelu ? "GELU" : "SiLU", v, (double)got[i], want);
            }
        }
    }
    backend->release(backend, x.data);
    backend->release(backend, y.data);
    backend->release(backend, w.data);
}

/* Errors of (3, −4) and (0, 0) by the adaptive weight in numbers that can be checked by hand, and a gradient that
 * overwrites the prediction. */
static void check_adaptive_by_hand(struct fs_backend *backend)
{
    static const float predictions[4] = {4, -3, 2, 2}, targets[4] = {1, 1, 2, 2}, weights[2] = {0.5f, 3};
    const float expected[4] = {0.5f, -4.0f / 6, 0, 0}; /* 2 · ½ · 2/(25 + 11)^½ · Δ/2 */
    float gradient[4], losses[2];
    struct fs_error error;
    const struct fs_view p = floats(backend, predictions, 2, 2), t = floats(backend, targets, 2, 2),
                         w = floats(backend, weights, 2, 1), loss = floats(backend, NULL, 2, 1);
    backend->mse(backend, loss, p, p, t, w, (struct fs_loss){FS_LOSS_ADAPTIVE, 0.5f, 11});
    backend->download(backend, gradient, p.data, sizeof gradient);
    backend->download(backend, losses, loss.data, sizeof losses);
    assert_int_equal(backend->synchronise(backend, &error), FS_OK);
    for (int i = 0; i < 4; i++) {
        assert_true(fabsf(gradient[i] - expected[i]) < 1e-6f);
    }
    assert_true(losses[0] == 12.5f && losses[1] == 0);
    const struct fs_view views[] = {p, t, w, loss};
    for (int i = 0; i < 4; i++) {
        backend->release(backend, views[i].data);
    }
}

/* A resized picture has the bits of the CPU's plainest loops, and what is not a number stays so. */
static void check_resize_bits(struct fs_backend *backend)
{
    enum { PIXELS = 2 * 7 * 5 * 3, RESIZED = 2 * 9 * 8 * 3 };
    static const int32_t vertical_first[9] = {0, 0, 1, 1, 2, 3, 3, 4, 4},
                         horizontal_first[8] = {0, 0, 0, 0, 1, 1, 1, 1};
    const struct fs_random_key key = fresh_key();
    struct fs_error error;
    setenv("FEWSTEP_CPU", "baseline", 1);
    struct fs_backend *plain = fs_cpu_backend(1, &error), *backends[2] = {plain, backend};
    unsetenv("FEWSTEP_CPU");
    assert_non_null(plain);
    float results[2][RESIZED], picture[PIXELS], weights[9 * 3 + 8 * 4];
    for (int i = 0; i < PIXELS; i++) {
        picture[i] = 4 * fs_uniform(key, 0, (uint32_t)i) - 2;
    }
    for (int i = 0; i < 9 * 3 + 8 * 4; i++) {
        weights[i] = fs_uniform(key, 1, (uint32_t)i) - 0.25f;
    }
    for (int i = 0; i < 3; i++) { /* the last time on numbers that are none */
        struct fs_backend *on = backends[i < 2 ? i : 1];
        const struct fs_view x = floats(on, picture, 2, PIXELS / 2), y = floats(on, NULL, 2, RESIZED / 2),
                             w = floats(on, weights, 1, 9 * 3 + 8 * 4), first = floats(on, NULL, 1, 9 + 8);
        int32_t *ids = first.data;
        on->upload(on, ids, vertical_first, sizeof vertical_first);
        on->upload(on, ids + 9, horizontal_first, sizeof horizontal_first);
        const struct fs_resize_side vertical = {7, 9, 3, ids, w.data},
                                    horizontal = {5, 8, 4, ids + 9, (float *)w.data + 9 * 3};
        const struct fs_resize_scale scale = {-1, 1, 0.7f, 0.1f};
        if (i == 2) {
            on->fill(on, x, (double)NAN);
        }
        on->resize_forward(on, y, x, &vertical, &horizontal, 3, &scale);
        on->download(on, results[i < 2 ? i : 0], y.data, sizeof results[0]);
        assert_int_equal(on->synchronise(on, &error), FS_OK);
        if (i == 1) {
            assert_memory_equal(results[0], results[1], sizeof results[0]);
        }
        const struct fs_view views[] = {x, y, w, first};
        for (int v = 0; v < 4; v++) {
            on->release(on, views[v].data);
        }
    }
    for (int i = 0; i < RESIZED; i++) {
        assert_true(isnan(results[0][i]));
    }
    plain->destroy(plain);
}

/* --- operands that do not fit --- */

/* A fault that names the operation, stops what follows, and is gone once it was reported. */
static void expect_fault(struct fixture *f, const struct fs_view views[], int i, const char *how)
{
    struct fs_error error;
    char name[256];
    fs_case_name(&f->c, name, sizeof name);
    f->c.operation->run(f->backend, &f->c, views);
    if (f->backend->synchronise(f->backend, &error) == FS_OK || strstr(error.text, f->c.operation->name) == NULL) {
        fail_msg("%s on %s takes %s with %s", name, f->backend->variant, f->operands[i].name, how);
    }
    assert_int_equal(f->backend->synchronise(f->backend, &error), FS_OK);
}

static void check_faults_of(struct fixture *f)
{
    for (int i = 0; i < f->count; i++) {
        struct fs_view views[FS_CASE_OPERANDS];
        if (f->tested[i].data == NULL || f->operands[i].use == FS_USE_SPARE) {
            continue;
        }
        memcpy(views, f->tested, sizeof views);
        if (f->operands[i].content == FS_IDS || f->operands[i].content == FS_FLOATS) {
            views[i].data = NULL;
            expect_fault(f, views, i, "no memory");
            continue;
        }
        views[i].type = FS_F64;
        expect_fault(f, views, i, "a type that it does not have");
        views[i] = f->tested[i];
        views[i].cols++;
        if (!f->operands[i].free) {
            expect_fault(f, views, i, "a column too many");
        }
    }
}

static void check_faults(struct fs_backend *backend)
{
    struct fs_error error;
    struct fixture f = {.backend = backend, .reference = fs_reference_backend(&error)};
    assert_non_null(f.reference);
    for (int i = 0; fs_small_case(i, &f.c); i++) {
        if (fs_backend_has(backend, f.c.operation)) {
            begin(&f, 1); /* room for the column too many */
            check_faults_of(&f);
            end(&f);
        }
    }
    const struct fs_view a = floats(backend, NULL, 4, 8), b = floats(backend, NULL, 4, 7);
    float first;
    backend->fill(backend, a, 1);
    backend->silu_forward(backend, a, b);
    backend->fill(backend, a, 2); /* is not done */
    assert_int_equal(backend->synchronise(backend, &error), FS_FAILED);
    backend->download(backend, &first, a.data, sizeof first);
    assert_true(first == 1);
    backend->release(backend, a.data);
    backend->release(backend, b.data);
    f.reference->destroy(f.reference);
}

/* --- gradients --- */

static int named(const struct fixture *f, const char *before, const char *name)
{
    for (int i = 0; i < f->count; i++) {
        const size_t length = strlen(before);
        if (f->ref[i].data != NULL && strncmp(f->operands[i].name, before, length) == 0 &&
            strcmp(f->operands[i].name + length, name) == 0) {
            return i;
        }
    }
    return -1;
}

static double dot(struct fs_view a, struct fs_view b, double *size)
{
    double sum = 0;
    for (int64_t r = 0; r < a.rows; r++) {
        for (int64_t j = 0; j < a.cols; j++) {
            sum += *fs_at(a, r, j) * *fs_at(b, r, j);
            *size += fabs(*fs_at(a, r, j) * *fs_at(b, r, j));
        }
    }
    return sum;
}

/* Σ dY·Y over the forward operation's results: what the backward one takes the gradient of. The loss's are its rows'
 * weights. */
static double loss_of(struct fixture *forward, const struct fixture *backward)
{
    double loss = 0, size = 0;
    forward->c.operation->run(forward->reference, &forward->c, forward->ref);
    for (int i = 0; i < forward->count; i++) {
        const char *name = forward->operands[i].name;
        const int by = strcmp(name, "loss") == 0 ? named(backward, "", "weights") : named(backward, "d", name);
        if (forward->operands[i].use == FS_USE_OUT && by >= 0 && backward->operands[by].use == FS_USE_IN) {
            loss += dot(forward->ref[i], backward->ref[by], &size);
        }
    }
    return loss;
}

static void move(struct fs_view x, struct fs_view direction, double by)
{
    for (int64_t r = 0; r < x.rows; r++) {
        for (int64_t j = 0; j < x.cols; j++) {
            *fs_at(x, r, j) += by * *fs_at(direction, r, j);
        }
    }
}

/* The derivative along a random direction of input i against the central difference. */
static void check_gradient_by(struct fixture *forward, struct fixture *backward, int i, int gradient)
{
    const double step = 1e-6;
    const struct fs_view x = forward->ref[i], direction = host_copy(x);
    double size = 1e-30;
    backward->key.update++;
    forward->reference->normals(forward->reference, direction, backward->key, 0);
    move(x, direction, step);
    const double above = loss_of(forward, backward);
    move(x, direction, -2 * step);
    const double below = loss_of(forward, backward);
    move(x, direction, step);
    const double want = (above - below) / (2 * step), got = dot(backward->ref[gradient], direction, &size);
    if (!(fabs(got - want) <= 1e-6 * size)) {
        fail_msg("%s: %s gives %.9g along a direction, finite differences %.9g (FEWSTEP_TEST_SEED=%u)",
                 backward->c.operation->name, backward->operands[gradient].name, got, want, backward->key.seed);
    }
    free(direction.data);
}

static void test_gradient(void **state)
{
    struct fs_error error;
    struct fs_backend *reference = fs_reference_backend(&error);
    struct fixture backward = {.c = *(const struct fs_case *)*state, .reference = reference, .key = fresh_key()},
                   forward = {.c = backward.c, .reference = reference};
    int checked = 0;
    assert_non_null(reference);
    forward.c.operation = backward.c.operation->forward;
    begin(&backward, 0);
    begin(&forward, 0);
    fill(&backward);
    for (int i = 0; i < forward.count; i++) { /* what the backward operation does not know (a bias) stays 0 */
        const int same = named(&backward, "", forward.operands[i].name);
        if (forward.ref[i].data != NULL && same >= 0) {
            memcpy(forward.ref[i].data, backward.ref[same].data, bytes_of(forward.ref[i]));
        }
    }
    for (int i = 0; i < backward.count; i++) {
        if (backward.ref[i].data != NULL && backward.operands[i].use == FS_USE_SUM) {
            reference->fill(reference, backward.ref[i], 0);
        }
    }
    backward.c.operation->run(reference, &backward.c, backward.ref);
    expect_no_fault(&backward, "gradient");
    for (int i = 0; i < forward.count; i++) {
        const int gradient = named(&backward, "d", forward.operands[i].name);
        if (forward.ref[i].data != NULL && forward.operands[i].use == FS_USE_IN && gradient >= 0 &&
            backward.operands[gradient].use != FS_USE_IN) {
            check_gradient_by(&forward, &backward, i, gradient);
            checked++;
        }
    }
    assert_true(checked > 0);
    end(&forward);
    end(&backward);
    reference->destroy(reference);
}

/* --- tangents --- */

static const struct fs_operation *operation_named(const char *name)
{
    const struct fs_operation *operation = NULL;
    for (int i = 0; (operation = fs_operation_at(i)) != NULL && strcmp(operation->name, name) != 0; i++) {
    }
    assert_non_null(operation);
    return operation;
}

/* The operand of `tangent` that is X_dot to the value's X; −1: X stays as it is. */
static int direction_of(const struct fixture *tangent, const char *name)
{
    char dotted[64];
    snprintf(dotted, sizeof dotted, "%s_dot", name);
    return named(tangent, "", dotted);
}

/* The value's operands moved by `by` along the directions, and its results there. */
static void value_along(struct fixture *value, const struct fixture *tangent, double by)
{
    for (int i = 0; i < value->count; i++) {
        const int direction = direction_of(tangent, value->operands[i].name);
        if (value->ref[i].data != NULL && value->operands[i].use == FS_USE_IN && direction >= 0) {
            move(value->ref[i], tangent->ref[direction], by);
        }
    }
    value->c.operation->run(value->reference, &value->c, value->ref);
}

/* Result i of the value: its tangent against the central difference, all directions at once. */
static void check_tangent_of(struct fixture *value, const struct fixture *tangent, int i, int got)
{
    const double step = 1e-6;
    const struct fs_view above = host_copy(value->ref[i]);
    double worst = 0, largest = 1;
    value_along(value, tangent, step);
    memcpy(above.data, value->ref[i].data, bytes_of(above));
    value_along(value, tangent, -2 * step);
    for (int64_t r = 0; r < above.rows; r++) {
        for (int64_t j = 0; j < above.cols; j++) {
            const double want = (*fs_at(above, r, j) - *fs_at(value->ref[i], r, j)) / (2 * step);
            worst = fmax(worst, fabs(*fs_at(tangent->ref[got], r, j) - want));
            largest = fmax(largest, fabs(want));
        }
    }
    value_along(value, tangent, step);
    free(above.data);
    if (!(worst <= 1e-6 * largest)) {
        fail_msg("%s: %s is %.3g from finite differences, the largest is %.3g (FEWSTEP_TEST_SEED=%u)",
                 tangent->c.operation->name, tangent->operands[got].name, worst, largest, tangent->key.seed);
    }
}

static void test_tangent(void **state)
{
    struct fs_error error;
    struct fs_backend *reference = fs_reference_backend(&error);
    struct fixture tangent = {.c = *(const struct fs_case *)*state, .reference = reference, .key = fresh_key()},
                   value = {.c = tangent.c, .reference = reference};
    int checked = 0;
    assert_non_null(reference);
    value.c.operation = operation_named(tangent.c.operation->tangent_of);
    begin(&tangent, 0);
    begin(&value, 0);
    fill(&tangent);
    for (int i = 0; i < value.count; i++) { /* what the tangent does not know (a shift) stays 0 */
        const int same = named(&tangent, "", value.operands[i].name);
        if (value.ref[i].data != NULL && value.operands[i].use == FS_USE_IN && same >= 0) {
            memcpy(value.ref[i].data, tangent.ref[same].data, bytes_of(value.ref[i]));
        }
    }
    tangent.c.operation->run(reference, &tangent.c, tangent.ref);
    expect_no_fault(&tangent, "tangent");
    for (int i = 0; i < value.count; i++) {
        const int got = direction_of(&tangent, value.operands[i].name);
        if (value.ref[i].data != NULL && value.operands[i].use == FS_USE_OUT && got >= 0) {
            check_tangent_of(&value, &tangent, i, got);
            checked++;
        }
    }
    assert_true(checked > 0);
    end(&value);
    end(&tangent);
    reference->destroy(reference);
}

/* GELU alone is a linear layer of one number with weight 1. */
static void test_gelu_derivative(void **state)
{
    (void)state;
    enum { COUNT = 41 };
    struct fs_error error;
    struct fs_backend *k = fs_reference_backend(&error);
    double x[COUNT], ones[COUNT], slopes[COUNT], ends[2][COUNT], one = 1;
    assert_non_null(k);
    const struct fs_view at = fs_view(x, FS_F64, COUNT, 1), w = fs_view(&one, FS_F64, 1, 1);
    for (int end = 0; end < 2; end++) {
        for (int i = 0; i < COUNT; i++) {
            x[i] = (i - COUNT / 2) * 0.3 + (end ? 1e-6 : -1e-6);
        }
        k->linear_forward(k, fs_view(ends[end], FS_F64, COUNT, 1), at, w, fs_no_view(), FS_GELU, fs_no_view());
    }
    for (int i = 0; i < COUNT; i++) {
        x[i] = (i - COUNT / 2) * 0.3;
        ones[i] = 1;
    }
    k->gelu_tangent(k, fs_view(slopes, FS_F64, COUNT, 1), fs_view(ones, FS_F64, COUNT, 1), at);
    assert_int_equal(k->synchronise(k, &error), FS_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_true(fabs(slopes[i] - (ends[1][i] - ends[0][i]) / 2e-6) < 1e-8);
    }
    k->destroy(k);
}

/* --- lists of both --- */

static void add_derivative(struct test_list *list, const char *kind, void (*test)(void **), const struct fs_case *c)
{
    static struct fs_case cases[256];
    static int count;
    char text[256];
    fs_case_name(c, text, sizeof text);
    const size_t size = sizeof text + 16;
    char *name = malloc(size);
    assert_true(name != NULL && count < 256);
    snprintf(name, size, "%s %s", kind, text);
    cases[count] = *c;
    const struct CMUnitTest unit = {name, test, NULL, NULL, &cases[count++]};
    test_list_add(list, &unit, 1);
}

void test_list_add_derivatives(struct test_list *list)
{
    static const struct CMUnitTest gelu = cmocka_unit_test(test_gelu_derivative);
    test_list_add(list, &gelu, 1);
    struct fs_case c;
    for (int i = 0; fs_small_case(i, &c); i++) {
        if (c.operation->tangent_of != NULL) {
            c.in_place = false;
            c.bare = true; /* without what a backward pass would read of the value */
            add_derivative(list, "tangent", test_tangent, &c);
        }
        if (c.operation->forward == NULL) {
            continue;
        }
        /* GELU's derivative, which the layer before hands back, and the adaptive weight, through which no gradient
         * goes, are no gradients of the operation alone: tests/unit/test_dit_gradient.c has the former. */
        c.gelu = c.kept = c.in_place = false;
        c.loss = (struct fs_loss){FS_LOSS_MEAN_SQUARE, 0, 0};
        c.bare = c.bare && c.operation->forward != c.operation;
        add_derivative(list, "gradient", test_gradient, &c);
    }
}

/* --- the tests of a backend --- */

struct op_test {
    const struct test_backend *how;
    struct fs_case c;
    enum fs_type any;
    char name[256];
    void (*whole)(struct fs_backend *backend); /* what is no case */
    bool passed;
};

static struct op_test op_tests[4096];
static int op_test_count;

static void test_op(void **state)
{
    struct op_test *test = *state;
    struct fs_error error;
    struct fs_backend *backend = test->how->open(test->how);
    if (test->whole != NULL) {
        test->whole(backend);
    } else {
        struct fixture f = {.c = test->c,
                            .backend = backend,
                            .reference = fs_reference_backend(&error),
                            .any = test->any,
                            .key = fresh_key()};
        assert_non_null(f.reference);
        assert_true(fs_backend_has(backend, test->c.operation));
        f.c.seed = f.key.seed;
        for (int gaps = 0; gaps < 2; gaps++) {
            if (!test->how->slow || gaps == (test->how->setting + (int)test->any) % 2) {
                check_case(&f, gaps ? GAP : 0, test->name);
            }
        }
        f.reference->destroy(f.reference);
    }
    test->how->close(test->how, backend);
    test->passed = true;
}

static struct op_test *add_op(struct test_list *list, const struct test_backend *how, const char *what)
{
    assert_true(op_test_count < (int)(sizeof op_tests / sizeof *op_tests));
    struct op_test *test = &op_tests[op_test_count++];
    test->how = how;
    snprintf(test->name, sizeof test->name, "%s %s", how->name, what);
    const struct CMUnitTest unit = {test->name, test_op, NULL, NULL, test};
    test_list_add(list, &unit, 1);
    return test;
}

/* Whether any of its operands may be of either type. */
static bool has_any(const struct fs_case *c)
{
    struct fs_case_operand operands[FS_CASE_OPERANDS];
    const int count = c->operation->operands(c, operands);
    bool any = false;
    for (int i = 0; i < count; i++) {
        any = any || operands[i].content == FS_ANY;
    }
    return any;
}

void test_list_add_ops(struct test_list *list, const struct test_backend *how)
{
    static const struct {
        const char *name;
        void (*check)(struct fs_backend *backend);
    } wholes[] = {{"faults of every operation", check_faults},
                  {"silu and gelu far out", check_extremes},
                  {"mse by hand", check_adaptive_by_hand},
                  {"resize_forward bits", check_resize_bits}};
    struct fs_case c;
    for (int i = 0; fs_small_case(i, &c); i++) {
        if (how->without != NULL && strcmp(how->without, c.operation->name) == 0) {
            continue;
        }
        for (int type = FS_F32; type <= (has_any(&c) ? FS_BF16 : FS_F32); type++) {
            char name[240], text[200];
            fs_case_name(&c, text, sizeof text);
            snprintf(name, sizeof name, "%s %s", type == FS_BF16 ? "bf16" : "float32", text);
            struct op_test *test = add_op(list, how, name);
            test->c = c;
            test->any = (enum fs_type)type;
        }
    }
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        add_op(list, how, wholes[i].name)->whole = wholes[i].check;
    }
}

/* --- lists --- */

void test_list_add(struct test_list *list, const struct CMUnitTest *tests, size_t count)
{
    assert_true((size_t)list->count + count <= sizeof list->tests / sizeof *list->tests);
    memcpy(list->tests + list->count, tests, count * sizeof *tests);
    list->count += (int)count;
}

int test_list_run(struct test_list *list, int argc, char **argv)
{
    int chosen = 0;
    for (int i = 0; i < list->count; i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++) {
            wanted = wanted || strstr(list->tests[i].name, argv[k]) != NULL;
        }
        if (wanted) {
            list->tests[chosen++] = list->tests[i];
        }
    }
    if (chosen == 0) {
        fprintf(stderr, "%s: no test's name holds that\n", argv[0]);
        return 2;
    }
    list->count = chosen;
    return _cmocka_run_group_tests(argv[0], list->tests, (size_t)chosen, NULL, NULL);
}

/* FOLDER/kind.tsv with its first line; NULL where no record is asked for. */
static FILE *begin_record(const char *kind)
{
    const char *folder = getenv("FEWSTEP_EVIDENCE");
    char path[4096];
    if (folder == NULL || *folder == '\0') {
        return NULL;
    }
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/%s.tsv", folder, kind);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "source\t%s\n", fs_build_info.source_hash);
    return file;
}

static const char *others_passed[8];

void test_ops_passed(const char *what)
{
    for (size_t i = 0; i < sizeof others_passed / sizeof *others_passed; i++) {
        if (others_passed[i] == NULL) {
            others_passed[i] = what;
            return;
        }
    }
}

void test_ops_record(const char *kind, const char *where)
{
    FILE *file = begin_record(kind);
    const struct fs_operation *operation;
    for (int i = 0; file != NULL && (operation = fs_operation_at(i)) != NULL; i++) {
        int count = 0, passed = 0;
        for (int k = 0; k < op_test_count; k++) {
            if (op_tests[k].c.operation == operation) {
                count++;
                passed += op_tests[k].passed;
            }
        }
        if (count > 0 && passed == count) {
            fprintf(file, "%s\t%d tests%s%s\n", operation->name, count, *where ? " on " : "", where);
        }
    }
    for (int i = 0; file != NULL && i < 8 && others_passed[i] != NULL; i++) {
        fprintf(file, "%s\tyes%s%s\n", others_passed[i], *where ? " on " : "", where);
    }
    if (file != NULL) {
        fclose(file);
    }
}
