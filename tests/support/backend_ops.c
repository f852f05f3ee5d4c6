#include "tests/support/backend_ops.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/reference/reference.h"

#define MEMORY_MAX 64

struct fixture {
    struct fs_backend *reference, *cpu; /* the oracle, and the backend that is tested */
    enum fs_type any;                   /* the type of operands that may be bf16 */
    struct fs_random_key key;
    struct {
        struct fs_backend *owner;
        void *data;
    } memory[MEMORY_MAX];
    int memory_count;
};

/* --- operands --- */

/* The same numbers in the tested backend and in the reference. */
struct pair {
    struct fs_view cpu, ref;
};

static struct fs_view buffer(struct fixture *f, struct fs_backend *owner, enum fs_type type, int64_t rows, int64_t cols,
                             int64_t stride)
{
    struct fs_error error;
    assert_true(f->memory_count < MEMORY_MAX);
    void *data = owner->allocate(owner, (size_t)(rows * stride) * fs_type_size(type), &error);
    assert_non_null(data);
    f->memory[f->memory_count].owner = owner;
    f->memory[f->memory_count++].data = data;
    return (struct fs_view){data, type, rows, cols, stride};
}

static size_t bytes_of(struct fs_view view)
{
    return (size_t)(view.rows * view.stride) * fs_type_size(view.type);
}

static struct fs_view host_copy(struct fs_view view)
{
    view.data = calloc(1, bytes_of(view));
    assert_non_null(view.data);
    return view;
}

/* The reference's numbers into the tested backend's memory (zero between the rows), and back. */
static void put(struct fixture *f, struct fs_view tested, struct fs_view ref)
{
    const struct fs_view host = host_copy(tested);
    f->reference->copy(f->reference, host, ref);
    f->cpu->upload(f->cpu, tested.data, host.data, bytes_of(host));
    free(host.data);
}

static void get(struct fixture *f, struct fs_view ref, struct fs_view tested)
{
    const struct fs_view host = host_copy(tested);
    f->cpu->download(f->cpu, host.data, tested.data, bytes_of(host));
    f->reference->copy(f->reference, ref, host);
    free(host.data);
}

static bool same_bytes(struct fixture *f, struct fs_view a, struct fs_view b)
{
    const struct fs_view first = host_copy(a), second = host_copy(b);
    f->cpu->download(f->cpu, first.data, a.data, bytes_of(a));
    f->cpu->download(f->cpu, second.data, b.data, bytes_of(b));
    const bool same = memcmp(first.data, second.data, bytes_of(a)) == 0;
    free(first.data);
    free(second.data);
    return same;
}

/* Standard normals, rounded to `type`; every other operand has gaps between its rows. */
static struct pair operand(struct fixture *f, enum fs_type type, int64_t rows, int64_t cols)
{
    const int64_t stride = cols + (f->memory_count % 4 == 0 ? 5 : 0);
    struct pair p = {buffer(f, f->cpu, type, rows, cols, stride), buffer(f, f->reference, FS_F64, rows, cols, cols)};
    f->key.update++;
    f->reference->normals(f->reference, p.ref, f->key, 0);
    put(f, p.cpu, p.ref);
    get(f, p.ref, p.cpu);
    return p;
}

static struct pair dense(struct fixture *f, enum fs_type type, int64_t rows, int64_t cols)
{
    struct pair p = operand(f, type, rows, cols);
    if (p.cpu.stride != cols) {
        p.cpu = buffer(f, f->cpu, type, rows, cols, cols);
        put(f, p.cpu, p.ref);
    }
    return p;
}

static struct pair absent(void)
{
    return (struct pair){fs_no_view(), fs_no_view()};
}

static void give_back(struct fixture *f)
{
    while (f->memory_count > 0) {
        f->memory_count--;
        f->memory[f->memory_count].owner->release(f->memory[f->memory_count].owner, f->memory[f->memory_count].data);
    }
}

/* The tested result is within tolerance · (largest magnitude of the reference, or of what was added up to make it,
 * where that may cancel); bf16 results get their rounding. */
static void expect_near_terms(struct fixture *f, struct pair p, double tolerance, double terms, const char *what)
{
    struct fs_error error;
    if (f->cpu->synchronise(f->cpu, &error) != FS_OK || f->reference->synchronise(f->reference, &error) != FS_OK) {
        fail_msg("%s: %s", what, error.text);
    }
    const struct fs_view got = buffer(f, f->reference, FS_F64, p.ref.rows, p.ref.cols, p.ref.cols);
    get(f, got, p.cpu);
    if (f->any == FS_BF16) {
        tolerance += 0.015;
    }
    double largest = terms, worst = 0;
    for (int64_t i = 0; i < got.rows; i++) {
        for (int64_t j = 0; j < got.cols; j++) {
            const double want = *fs_at(p.ref, i, j), difference = fabs(*fs_at(got, i, j) - want);
            largest = fabs(want) > largest ? fabs(want) : largest;
            worst = difference > worst || isnan(difference) ? difference : worst;
        }
    }
    if (!(worst <= tolerance * largest)) {
        fail_msg("%s on %s, %s: %.3g off where the largest is %.3g (seed %u)", what, f->cpu->variant,
                 f->any == FS_BF16 ? "bf16" : "float32", worst, largest, f->key.seed);
    }
}

static void expect_near(struct fixture *f, struct pair p, double tolerance, const char *what)
{
    expect_near_terms(f, p, tolerance, 1e-30, what);
}

/* --- memory and random numbers --- */

static void copies_of(struct fixture *f)
{
    const struct pair from = operand(f, f->any, 7, 37), to = operand(f, FS_F32, 7, 37);
    f->cpu->copy(f->cpu, to.cpu, from.cpu);
    f->reference->copy(f->reference, to.ref, from.ref);
    expect_near(f, to, 0, "copy");
    const struct pair narrow = operand(f, f->any, 5, 19), wide = operand(f, FS_F32, 5, 19);
    f->cpu->copy(f->cpu, narrow.cpu, wide.cpu);
    get(f, narrow.ref, narrow.cpu);
    const struct fs_view rounded = buffer(f, f->reference, f->any, 5, 19, 19);
    f->reference->copy(f->reference, rounded, wide.ref);
    f->reference->copy(f->reference, wide.ref, rounded);
    for (int64_t i = 0; i < 5; i++) {
        assert_memory_equal(fs_at(wide.ref, i, 0), fs_at(narrow.ref, i, 0), 19 * sizeof(double));
    }
    f->cpu->fill(f->cpu, narrow.cpu, -1.5);
    f->reference->fill(f->reference, narrow.ref, -1.5);
    expect_near(f, narrow, 0, "fill");
}

static void normals_of(struct fixture *f)
{
    const struct pair p = operand(f, FS_F32, 3, 1031);
    const struct fs_random_key key = {f->key.seed, FS_STREAM_TEST, 7, 9};
    f->cpu->normals(f->cpu, p.cpu, key, 0xfffffffe); /* rows wrap around */
    f->reference->normals(f->reference, p.ref, key, 0xfffffffe);
    f->any = FS_F32;
    expect_near(f, p, 0, "normals"); /* the same bits on each instruction set */
}

/* --- linear layers --- */

/* A bias, and gradients that are added to, are standard normals: in a small shape all of the result may cancel. */
static void linear_shape(struct fixture *f, int64_t n, int64_t in, int64_t out, bool gelu, bool keep)
{
    const struct pair x = operand(f, f->any, n, in), w = operand(f, f->any, out, in), bias = dense(f, FS_F32, 1, out),
                      y = operand(f, f->any, n, out), pre = keep ? operand(f, f->any, n, out) : absent();
    const enum fs_activation activation = gelu ? FS_GELU : FS_LINEAR;
    f->cpu->linear_forward(f->cpu, y.cpu, x.cpu, w.cpu, bias.cpu, activation, pre.cpu);
    f->reference->linear_forward(f->reference, y.ref, x.ref, w.ref, bias.ref, activation, pre.ref);
    expect_near_terms(f, y, 5e-6, 1, "linear_forward");
    if (keep) {
        expect_near_terms(f, pre, 5e-6, 1, "linear_forward (pre)");
    }
    const struct pair dy = operand(f, f->any, n, out), dx = operand(f, f->any, n, in), dw = dense(f, FS_F32, out, in),
                      db = dense(f, FS_F32, 1, out), before = gelu ? operand(f, f->any, n, in) : absent();
    f->cpu->linear_backward(f->cpu, dx.cpu, dw.cpu, db.cpu, dy.cpu, x.cpu, w.cpu, before.cpu);
    f->reference->linear_backward(f->reference, dx.ref, dw.ref, db.ref, dy.ref, x.ref, w.ref, before.ref);
    expect_near_terms(f, dx, 5e-6, 1, "linear_backward (dx)");
    expect_near_terms(f, dw, 5e-6, 1, "linear_backward (dw)");
    expect_near_terms(f, db, 5e-6, 1, "linear_backward (dbias)");
    f->cpu->linear_backward(f->cpu, fs_no_view(), dw.cpu, fs_no_view(), dy.cpu, x.cpu, w.cpu, fs_no_view());
    f->reference->linear_backward(f->reference, fs_no_view(), dw.ref, fs_no_view(), dy.ref, x.ref, w.ref, fs_no_view());
    expect_near_terms(f, dw, 5e-6, 1, "linear_backward (dw again)");
    give_back(f);
}

static void linear_of(struct fixture *f)
{
    linear_shape(f, 1, 1, 1, false, false);
    linear_shape(f, 49, 32, 96, true, true);
    linear_shape(f, 67, 33, 17, true, false);
    linear_shape(f, 530, 24, 71, false, false);
    linear_shape(f, 3, 256, 64, true, true);
}

/* --- attention --- */

/* With gaps between rows, or without: a device's library may take only the latter. Logits are about scale·√width, and
 * what is rounded of them goes through exp: tolerances grow with it. */
static void attention_shape(struct fixture *f, int64_t samples, int64_t tokens, int64_t heads, int64_t width,
                            double scale, bool gaps)
{
    struct pair (*const make)(struct fixture *, enum fs_type, int64_t, int64_t) = gaps ? operand : dense;
    const int64_t rows = samples * tokens, d = heads * width;
    const double logits = fmax(1, scale * sqrt((double)width)), tolerance = 3e-6 * logits;
    const struct pair qkv = make(f, f->any, rows, 3 * d), out = make(f, f->any, rows, d),
                      lse = make(f, FS_F32, rows, heads);
    f->cpu->attention_forward(f->cpu, out.cpu, lse.cpu, qkv.cpu, tokens, heads, scale);
    f->reference->attention_forward(f->reference, out.ref, lse.ref, qkv.ref, tokens, heads, scale);
    expect_near(f, out, tolerance, "attention_forward");
    expect_near(f, lse, 3e-6, "attention_forward (lse)");
    const struct pair dqkv = make(f, f->any, rows, 3 * d), dout = make(f, f->any, rows, d),
                      again = dense(f, f->any, rows, 3 * d);
    f->cpu->attention_backward(f->cpu, dqkv.cpu, dout.cpu, qkv.cpu, out.cpu, lse.cpu, tokens, heads, scale);
    if (!gaps) {
        f->cpu->attention_backward(f->cpu, again.cpu, dout.cpu, qkv.cpu, out.cpu, lse.cpu, tokens, heads, scale);
        assert_true(same_bytes(f, again.cpu, dqkv.cpu));
    }
    f->reference->attention_backward(f->reference, dqkv.ref, dout.ref, qkv.ref, out.ref, lse.ref, tokens, heads, scale);
    expect_near(f, dqkv, fmax(3e-5, tolerance), "attention_backward");
    f->cpu->attention_forward(f->cpu, out.cpu, fs_no_view(), qkv.cpu, tokens, heads, scale);
    expect_near(f, out, tolerance, "attention_forward without lse");
    give_back(f);
}

static void attention_of(struct fixture *f)
{
    attention_shape(f, 2, 49, 4, 32, 1.0 / 32, true);
    attention_shape(f, 3, 1, 1, 5, 1, true);
    attention_shape(f, 1, 67, 3, 7, 0.4, true);
    attention_shape(f, 2, 16, 2, 64, 0.125, false);
    attention_shape(f, 1, 33, 2, 72, 1.0 / 72, false);
    attention_shape(f, 1, 300, 2, 24, 2, true); /* peaked: a large scale */
}

/* --- layer norm and gates --- */

/* A row whose numbers are nearly equal loses digits to their mean: tolerances grow with the largest 1/√(var + ε). */
static double sharpest(struct pair statistics)
{
    double sharp = 1;
    for (int64_t i = 0; i < statistics.ref.rows; i++) {
        sharp = fmax(sharp, *fs_at(statistics.ref, i, 1));
    }
    return sharp;
}

static void norm_shape(struct fixture *f, int64_t samples, int64_t tokens, int64_t d)
{
    const int64_t rows = samples * tokens;
    const struct pair x = operand(f, f->any, rows, d), y = operand(f, f->any, rows, d),
                      statistics = operand(f, FS_F32, rows, 2), shift = operand(f, f->any, samples, d),
                      scale = operand(f, f->any, samples, d);
    f->cpu->norm_forward(f->cpu, y.cpu, statistics.cpu, x.cpu, shift.cpu, scale.cpu);
    f->reference->norm_forward(f->reference, y.ref, statistics.ref, x.ref, shift.ref, scale.ref);
    const double sharp = sharpest(statistics);
    expect_near(f, y, 3e-6 * sharp, "norm_forward");
    expect_near(f, statistics, 3e-6 * sharp, "norm_forward (statistics)");
    const struct pair dx = operand(f, f->any, rows, d), dy = operand(f, f->any, rows, d),
                      dshift = operand(f, f->any, samples, d), dscale = operand(f, f->any, samples, d);
    f->cpu->norm_backward(f->cpu, dx.cpu, dshift.cpu, dscale.cpu, dy.cpu, x.cpu, statistics.cpu, scale.cpu);
    f->reference->norm_backward(f->reference, dx.ref, dshift.ref, dscale.ref, dy.ref, x.ref, statistics.ref, scale.ref);
    expect_near(f, dx, 5e-6 * sharp, "norm_backward (dx)");
    expect_near(f, dshift, 5e-6, "norm_backward (dshift)");
    expect_near(f, dscale, 5e-6 * sharp, "norm_backward (dscale)");
    give_back(f);
}

static void gate_shape(struct fixture *f, int64_t samples, int64_t tokens, int64_t d)
{
    const int64_t rows = samples * tokens;
    const struct pair x = operand(f, f->any, rows, d), y = operand(f, f->any, rows, d),
                      gate = operand(f, f->any, samples, d);
    f->cpu->gate_forward(f->cpu, x.cpu, x.cpu, y.cpu, gate.cpu);
    f->reference->gate_forward(f->reference, x.ref, x.ref, y.ref, gate.ref);
    expect_near(f, x, 1e-6, "gate_forward");
    const struct pair dy = operand(f, f->any, rows, d), dgate = operand(f, f->any, samples, d),
                      dout = operand(f, f->any, rows, d);
    f->cpu->gate_backward(f->cpu, dy.cpu, dgate.cpu, dout.cpu, y.cpu, gate.cpu);
    f->reference->gate_backward(f->reference, dy.ref, dgate.ref, dout.ref, y.ref, gate.ref);
    expect_near(f, dy, 1e-6, "gate_backward (dy)");
    expect_near(f, dgate, 3e-6, "gate_backward (dgate)");
    give_back(f);
}

static void norm_and_gate_of(struct fixture *f)
{
    norm_shape(f, 3, 49, 32);
    norm_shape(f, 2, 131, 37);
    norm_shape(f, 2, 3, 531);
    norm_shape(f, 1, 1, 3);
    gate_shape(f, 3, 49, 32);
    gate_shape(f, 2, 131, 37);
    gate_shape(f, 2, 3, 531);
    gate_shape(f, 4, 1, 3);
}

/* --- element by element --- */

static void elements_of(struct fixture *f)
{
    const struct pair x = operand(f, f->any, 9, 1021), y = operand(f, f->any, 9, 1021),
                      dy = operand(f, f->any, 9, 1021), table = operand(f, f->any, 3, 1021),
                      a = operand(f, FS_F32, 9, 1), c = operand(f, FS_F32, 9, 1);
    f->cpu->silu_forward(f->cpu, y.cpu, x.cpu);
    f->reference->silu_forward(f->reference, y.ref, x.ref);
    expect_near(f, y, 5e-7, "silu_forward");
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        f->cpu->silu_backward(f->cpu, y.cpu, dy.cpu, x.cpu, accumulate);
        f->reference->silu_backward(f->reference, y.ref, dy.ref, x.ref, accumulate);
        expect_near(f, y, 1e-6, "silu_backward");
    }
    f->cpu->add(f->cpu, y.cpu, x.cpu, dy.cpu);
    f->reference->add(f->reference, y.ref, x.ref, dy.ref);
    expect_near(f, y, 1e-7, "add");
    f->cpu->add(f->cpu, y.cpu, y.cpu, table.cpu);
    f->reference->add(f->reference, y.ref, y.ref, table.ref);
    expect_near(f, y, 1e-6, "add (repeated)");
    f->cpu->mix(f->cpu, y.cpu, a.cpu, x.cpu, c.cpu, dy.cpu, 1.25);
    f->reference->mix(f->reference, y.ref, a.ref, x.ref, c.ref, dy.ref, 1.25);
    expect_near(f, y, 1e-6, "mix (clipped)");
    f->cpu->mix(f->cpu, y.cpu, a.cpu, x.cpu, fs_no_view(), fs_no_view(), 0);
    f->reference->mix(f->reference, y.ref, a.ref, x.ref, fs_no_view(), fs_no_view(), 0);
    expect_near(f, y, 1e-6, "mix (one operand)");
}

/* Far out, where exp saturates: SiLU and GELU go to x and to 0 without a NaN. */
static void extremes_of(struct fixture *f)
{
    const struct pair x = dense(f, FS_F32, 1, 8), y = dense(f, FS_F32, 1, 8), w = dense(f, FS_F32, 1, 1),
                      column = {fs_view(x.cpu.data, FS_F32, 8, 1), fs_view(x.ref.data, FS_F64, 8, 1)},
                      result = {fs_view(y.cpu.data, FS_F32, 8, 1), fs_view(y.ref.data, FS_F64, 8, 1)};
    const double values[8] = {-1e30, -1e4, -90, -20, 0, 20, 1e4, 1e30};
    memcpy(x.ref.data, values, sizeof values);
    put(f, x.cpu, x.ref);
    f->cpu->silu_forward(f->cpu, y.cpu, x.cpu);
    f->reference->silu_forward(f->reference, y.ref, x.ref);
    expect_near(f, y, 1e-6, "silu_forward far out");
    f->cpu->fill(f->cpu, w.cpu, 1);
    f->reference->fill(f->reference, w.ref, 1);
    for (int i = 0; i < 8; i++) { /* one at a time: each is measured against itself */
        const struct pair from = {fs_view_rows(column.cpu, i, 1), fs_view_rows(column.ref, i, 1)},
                          to = {fs_view_rows(result.cpu, i, 1), fs_view_rows(result.ref, i, 1)};
        f->cpu->linear_forward(f->cpu, to.cpu, from.cpu, w.cpu, fs_no_view(), FS_GELU, fs_no_view());
        f->reference->linear_forward(f->reference, to.ref, from.ref, w.ref, fs_no_view(), FS_GELU, fs_no_view());
        float got;
        f->cpu->download(f->cpu, &got, to.cpu.data, sizeof got);
        const double want = *(const double *)to.ref.data;
        assert_true(fabs(got - want) <= 1e-6 * fabs(want) + 1e-7);
    }
}

/* --- pictures, tokens, conditioning --- */

static void tokens_of(struct fixture *f)
{
    const struct pair images = operand(f, f->any, 3, 6 * 4 * 5), tokens = operand(f, f->any, 3 * 6, 2 * 2 * 5);
    f->cpu->patchify(f->cpu, tokens.cpu, images.cpu, 6, 4, 5, 2);
    f->reference->patchify(f->reference, tokens.ref, images.ref, 6, 4, 5, 2);
    expect_near(f, tokens, 0, "patchify");
    const struct pair back = operand(f, f->any, 3, 6 * 4 * 5);
    f->cpu->unpatchify(f->cpu, back.cpu, tokens.cpu, 6, 4, 5, 2);
    f->reference->unpatchify(f->reference, back.ref, tokens.ref, 6, 4, 5, 2);
    expect_near(f, back, 0, "unpatchify");

    const struct pair values = operand(f, FS_F32, 11, 1), features = operand(f, f->any, 11, 38);
    f->cpu->sinusoidal(f->cpu, features.cpu, values.cpu);
    f->reference->sinusoidal(f->reference, features.ref, values.ref);
    expect_near(f, features, 1e-6, "sinusoidal");

    static const int32_t ids[7] = {2, 0, 3, 3, 2, 3, 1};
    const struct fs_view memory = buffer(f, f->cpu, FS_F32, 1, 7, 7); /* 32 bits each */
    const int32_t *tested_ids = memory.data;
    f->cpu->upload(f->cpu, memory.data, ids, sizeof ids);
    const struct pair table = operand(f, f->any, 4, 27), rows = operand(f, f->any, 7, 27),
                      dtable = operand(f, FS_F32, 4, 27);
    f->cpu->embed_forward(f->cpu, rows.cpu, table.cpu, tested_ids);
    f->reference->embed_forward(f->reference, rows.ref, table.ref, ids);
    expect_near(f, rows, 0, "embed_forward");
    f->cpu->embed_backward(f->cpu, dtable.cpu, rows.cpu, tested_ids);
    f->reference->embed_backward(f->reference, dtable.ref, rows.ref, ids);
    expect_near(f, dtable, 1e-6, "embed_backward");
}

/* --- loss and optimiser --- */

static void mse_of(struct fixture *f, struct fs_loss kind, int64_t rows, int64_t cols)
{
    const struct pair p = operand(f, f->any, rows, cols), t = operand(f, f->any, rows, cols),
                      d = operand(f, f->any, rows, cols), weights = operand(f, FS_F32, rows, 1),
                      loss = operand(f, FS_F32, rows, 1), alone = operand(f, FS_F32, rows, 1);
    f->cpu->mse(f->cpu, loss.cpu, d.cpu, p.cpu, t.cpu, weights.cpu, kind);
    f->reference->mse(f->reference, loss.ref, d.ref, p.ref, t.ref, weights.ref, kind);
    expect_near(f, loss, 1e-6, "mse");
    expect_near(f, d, 1e-6, "mse (gradient)");
    f->cpu->mse(f->cpu, alone.cpu, fs_no_view(), p.cpu, t.cpu, weights.cpu, kind);
    f->reference->mse(f->reference, alone.ref, fs_no_view(), p.ref, t.ref, weights.ref, kind);
    expect_near(f, alone, 1e-6, "mse (loss alone)");
}

/* Errors of (3, −4) and (0, 0) in numbers that can be checked by hand, and a gradient that overwrites the prediction.
 */
static void adaptive_by_hand(struct fixture *f)
{
    static const float predictions[4] = {4, -3, 2, 2}, targets[4] = {1, 1, 2, 2}, weights[2] = {0.5f, 3};
    float gradient[4], losses[2];
    struct fs_error error;
    const struct fs_view p = buffer(f, f->cpu, FS_F32, 2, 2, 2), t = buffer(f, f->cpu, FS_F32, 2, 2, 2),
                         w = buffer(f, f->cpu, FS_F32, 2, 1, 1), loss = buffer(f, f->cpu, FS_F32, 2, 1, 1);
    f->cpu->upload(f->cpu, p.data, predictions, sizeof predictions);
    f->cpu->upload(f->cpu, t.data, targets, sizeof targets);
    f->cpu->upload(f->cpu, w.data, weights, sizeof weights);
    f->cpu->mse(f->cpu, loss, p, p, t, w, (struct fs_loss){FS_LOSS_ADAPTIVE, 0.5f, 11});
    f->cpu->download(f->cpu, gradient, p.data, sizeof gradient);
    f->cpu->download(f->cpu, losses, loss.data, sizeof losses);
    assert_int_equal(f->cpu->synchronise(f->cpu, &error), FS_OK);
    const float expected[4] = {0.5f, -4.0f / 6, 0, 0}; /* 2 · ½ · 2/(25 + 11)^½ · Δ/2 */
    for (int i = 0; i < 4; i++) {
        assert_true(fabsf(gradient[i] - expected[i]) < 1e-6f);
    }
    assert_true(losses[0] == 12.5f && losses[1] == 0);
}

static void training_of(struct fixture *f)
{
    static const struct fs_loss kinds[] = {
        {FS_LOSS_MEAN_SQUARE, 0, 0}, {FS_LOSS_ADAPTIVE, 1, 1e-3f}, {FS_LOSS_ADAPTIVE, 0.75f, 1e-2f}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        mse_of(f, kinds[k], 13, 301);
        mse_of(f, kinds[k], 8, 64);
        mse_of(f, kinds[k], 5, 1);
        give_back(f);
    }
    adaptive_by_hand(f);
    const struct pair x = dense(f, f->any, 1, 50021), result = dense(f, FS_F32, 1, 1);
    f->cpu->sum_squares(f->cpu, result.cpu, x.cpu);
    f->reference->sum_squares(f->reference, result.ref, x.ref);
    expect_near(f, result, 1e-7, "sum_squares");
}

static void adamw_updates(struct fixture *f, double clip_norm, int averages)
{
    const int64_t n = 16411;
    const struct pair w = dense(f, FS_F32, 1, n), g = dense(f, FS_F32, 1, n), m1 = dense(f, FS_F32, 1, n),
                      m2 = dense(f, FS_F32, 1, n), norm2 = dense(f, FS_F32, 1, 1);
    struct pair average[2] = {averages > 0 ? dense(f, FS_F32, 1, n) : absent(),
                              averages > 1 ? dense(f, FS_F32, 1, n) : absent()};
    f->cpu->fill(f->cpu, m1.cpu, 0);
    f->reference->fill(f->reference, m1.ref, 0);
    f->cpu->fill(f->cpu, m2.cpu, 0);
    f->reference->fill(f->reference, m2.ref, 0);
    const struct fs_view cpu_averages[2] = {average[0].cpu, average[1].cpu},
                         ref_averages[2] = {average[0].ref, average[1].ref};
    f->cpu->sum_squares(f->cpu, norm2.cpu, g.cpu);
    f->reference->sum_squares(f->reference, norm2.ref, g.ref);
    struct fs_adamw settings = {.learning_rate = 0.01f,
                                .beta1 = 0.9f,
                                .beta2 = 0.999f,
                                .epsilon = 1e-8f,
                                .weight_decay = 0.1f,
                                .clip_norm = (float)clip_norm,
                                .ema_decay = {0.9f, 0.99f}};
    for (settings.update = 1; settings.update <= 5; settings.update++) {
        settings.norm2 = norm2.cpu;
        f->cpu->adamw(f->cpu, &settings, w.cpu, g.cpu, m1.cpu, m2.cpu, cpu_averages);
        settings.norm2 = norm2.ref;
        f->reference->adamw(f->reference, &settings, w.ref, g.ref, m1.ref, m2.ref, ref_averages);
    }
    expect_near(f, w, 2e-6, "adamw (weights)");
    expect_near(f, m1, 2e-6, "adamw (first moment)");
    expect_near(f, m2, 2e-6, "adamw (second moment)");
    for (int k = 0; k < averages; k++) {
        expect_near(f, average[k], 2e-6, "adamw (average)");
    }
    give_back(f);
}

static void optimiser_of(struct fixture *f)
{
    if (f->any == FS_F32) { /* its operands are float32 always */
        adamw_updates(f, 0, 0);
        adamw_updates(f, 1, 2);
        adamw_updates(f, 1e6, 1); /* clipping that does not bite */
    }
}

/* --- convolution --- */

static void convolution_shape(struct fixture *f, int64_t samples, struct fs_window window, bool relu)
{
    const int64_t height = (window.in_height + 2 * window.pad_height - window.kernel_height) / window.stride + 1;
    const int64_t width = (window.in_width + 2 * window.pad_width - window.kernel_width) / window.stride + 1;
    const int64_t inputs = window.in_height * window.in_width * window.in_channels;
    const int64_t outputs = height * width * window.out_channels;
    const int64_t filter = window.in_channels * window.kernel_height * window.kernel_width;
    const struct pair x = operand(f, FS_F32, samples, inputs), w = dense(f, FS_F32, window.out_channels, filter),
                      bias = dense(f, FS_F32, 1, window.out_channels), y = operand(f, FS_F32, samples, outputs);
    f->cpu->convolution_forward(f->cpu, y.cpu, x.cpu, w.cpu, bias.cpu, &window, relu);
    f->reference->convolution_forward(f->reference, y.ref, x.ref, w.ref, bias.ref, &window, relu);
    expect_near(f, y, 5e-6, "convolution_forward");
    if (f->cpu->convolution_backward == NULL) {
        give_back(f);
        return;
    }
    const struct pair dx = operand(f, FS_F32, samples, inputs), dw = dense(f, FS_F32, window.out_channels, filter),
                      db = dense(f, FS_F32, 1, window.out_channels), dy = operand(f, FS_F32, samples, outputs);
    get(f, y.ref, y.cpu); /* the same side of the ReLU */
    const struct pair gate = relu ? y : absent();
    f->cpu->convolution_backward(f->cpu, dx.cpu, dw.cpu, db.cpu, dy.cpu, x.cpu, gate.cpu, w.cpu, &window);
    f->reference->convolution_backward(f->reference, dx.ref, dw.ref, db.ref, dy.ref, x.ref, gate.ref, w.ref, &window);
    expect_near(f, dx, 5e-6, "convolution_backward (dx)");
    expect_near(f, dw, 5e-6, "convolution_backward (dw)");
    expect_near(f, db, 5e-6, "convolution_backward (dbias)");
    give_back(f);
}

static void pool_shape(struct fixture *f, struct fs_window window)
{
    const int64_t height = (window.in_height + 2 * window.pad_height - window.kernel_height) / window.stride + 1;
    const int64_t width = (window.in_width + 2 * window.pad_width - window.kernel_width) / window.stride + 1;
    const int64_t channels = window.in_channels;
    const struct pair x = operand(f, f->any, 2, window.in_height * window.in_width * channels),
                      y = operand(f, f->any, 2, height * width * channels);
    for (int pooling = FS_POOL_MAX; pooling <= FS_POOL_AVERAGE_UNPADDED; pooling++) {
        f->cpu->pool_forward(f->cpu, y.cpu, x.cpu, &window, (enum fs_pooling)pooling);
        f->reference->pool_forward(f->reference, y.ref, x.ref, &window, (enum fs_pooling)pooling);
        expect_near(f, y, 1e-6, "pool_forward");
    }
    give_back(f);
}

static void pictures_of(struct fixture *f)
{
    if (f->any == FS_F32) {
        convolution_shape(f, 3, (struct fs_window){9, 8, 1, 16, 3, 3, 1, 1, 1}, true);
        convolution_shape(f, 2, (struct fs_window){7, 11, 5, 7, 5, 3, 2, 2, 0}, true);
        convolution_shape(f, 1, (struct fs_window){6, 6, 16, 24, 1, 1, 1, 0, 0}, false);
    }
    pool_shape(f, (struct fs_window){8, 8, 16, 16, 2, 2, 2, 0, 0});
    pool_shape(f, (struct fs_window){7, 9, 5, 5, 3, 3, 1, 1, 1});
    pool_shape(f, (struct fs_window){9, 7, 3, 3, 3, 2, 2, 0, 1});
}

/* --- resize and group norm --- */

/* Any windows and weights, in the tested backend's memory and in the reference's. */
struct sides {
    struct fs_resize_side cpu, ref;
};

static struct sides side(struct fixture *f, int64_t in, int64_t out, int64_t taps)
{
    const struct pair weights = dense(f, FS_F32, out, taps); /* the reference's are float32 too: of its own copy */
    const struct fs_view first = buffer(f, f->cpu, FS_F32, 1, out, out), /* 32 bits each */
        ref_first = buffer(f, f->reference, FS_F32, 1, out, out),
                         ref_weights = buffer(f, f->reference, FS_F32, out, taps, taps);
    int32_t *numbers = ref_first.data;
    for (int64_t i = 0; i < out; i++) {
        numbers[i] = (int32_t)(fs_random_word(f->key, 1, (uint32_t)i) % (uint32_t)(in - taps + 1));
    }
    f->cpu->upload(f->cpu, first.data, numbers, (size_t)out * sizeof *numbers);
    f->reference->copy(f->reference, ref_weights, weights.ref);
    return (struct sides){{in, out, taps, first.data, weights.cpu.data}, {in, out, taps, numbers, ref_weights.data}};
}

static void resize_shape(struct fixture *f, int64_t samples, int64_t channels, struct sides vertical,
                         struct sides horizontal, const struct fs_resize_scale *scale)
{
    const int64_t from = vertical.cpu.in * horizontal.cpu.in * channels,
                  to = vertical.cpu.out * horizontal.cpu.out * channels;
    const struct pair x = operand(f, f->any, samples, from), y = operand(f, f->any, samples, to);
    f->cpu->resize_forward(f->cpu, y.cpu, x.cpu, &vertical.cpu, &horizontal.cpu, channels, scale);
    f->reference->resize_forward(f->reference, y.ref, x.ref, &vertical.ref, &horizontal.ref, channels, scale);
    expect_near(f, y, 5e-6, "resize_forward");
    give_back(f);
}

/* The same bits as the CPU's plainest loops, and what is not a number stays so. */
static void resize_bits(struct fixture *f)
{
    const struct fs_resize_scale scale = {-1, 1, 0.7f, 0.1f};
    const struct sides vertical = side(f, 7, 9, 3), horizontal = side(f, 5, 8, 4);
    const struct pair x = dense(f, f->any, 2, 7 * 5 * 3), y = dense(f, f->any, 2, 9 * 8 * 3);
    const struct fs_view host_x = host_copy(x.cpu), host_y = host_copy(y.cpu), got = host_copy(y.cpu);
    f->cpu->resize_forward(f->cpu, y.cpu, x.cpu, &vertical.cpu, &horizontal.cpu, 3, &scale);
    f->cpu->download(f->cpu, got.data, y.cpu.data, bytes_of(got));

    struct fs_error error;
    setenv("FEWSTEP_CPU", "baseline", 1);
    struct fs_backend *plain = fs_cpu_backend(1, &error);
    unsetenv("FEWSTEP_CPU");
    assert_non_null(plain);
    f->reference->copy(f->reference, host_x, x.ref);
    plain->resize_forward(plain, host_y, host_x, &vertical.ref, &horizontal.ref, 3, &scale);
    assert_int_equal(plain->synchronise(plain, &error), FS_OK);
    plain->destroy(plain);
    assert_memory_equal(got.data, host_y.data, bytes_of(got));
    free(host_x.data);
    free(host_y.data);
    free(got.data);

    f->cpu->fill(f->cpu, x.cpu, NAN);
    f->cpu->resize_forward(f->cpu, y.cpu, x.cpu, &vertical.cpu, &horizontal.cpu, 3, &scale);
    get(f, y.ref, y.cpu);
    for (int64_t j = 0; j < y.ref.cols; j++) {
        assert_true(isnan(*fs_at(y.ref, 1, j)));
    }
    give_back(f);
}

static void resize_of(struct fixture *f)
{
    const struct fs_resize_scale clipped = {-1.5f, 1.25f, 0.5f, -0.25f}, as_it_is = {-INFINITY, INFINITY, 2, 1};
    resize_shape(f, 3, 3, side(f, 5, 9, 3), side(f, 7, 4, 2), &clipped);
    resize_shape(f, 2, 16, side(f, 8, 4, 4), side(f, 6, 12, 6), &as_it_is);
    resize_shape(f, 2, 9, side(f, 9, 6, 1), side(f, 3, 5, 3), &clipped);
    resize_shape(f, 1, 1, side(f, 1, 1, 1), side(f, 1, 3, 1), &as_it_is);
    resize_shape(f, 1, 20, side(f, 31, 17, 8), side(f, 16, 33, 2), &clipped);
    resize_bits(f);
}

/* x about `centre`: far from 0, a variance from one pass would be lost to rounding. */
static void group_norm_shape(struct fixture *f, int64_t samples, int64_t pixels, int64_t channels, int64_t groups,
                             double centre)
{
    const int64_t numbers = pixels * channels;
    const double tolerance = centre > 0 ? 3e-5 : 3e-6;
    const struct pair x = operand(f, f->any, samples, numbers), y = dense(f, f->any, samples, numbers),
                      again = dense(f, f->any, samples, numbers), gamma = operand(f, f->any, 1, channels),
                      beta = operand(f, f->any, 1, channels);
    for (int64_t i = 0; i < samples * numbers; i++) {
        *fs_at(x.ref, 0, i) += centre;
    }
    put(f, x.cpu, x.ref);
    get(f, x.ref, x.cpu);
    f->cpu->group_norm_forward(f->cpu, y.cpu, x.cpu, gamma.cpu, beta.cpu, channels, groups, 1e-3);
    f->reference->group_norm_forward(f->reference, y.ref, x.ref, gamma.ref, beta.ref, channels, groups, 1e-3);
    expect_near(f, y, tolerance, "group_norm_forward");
    f->cpu->group_norm_forward(f->cpu, again.cpu, x.cpu, gamma.cpu, beta.cpu, channels, groups, 1e-3);
    assert_true(same_bytes(f, y.cpu, again.cpu));
    f->cpu->group_norm_forward(f->cpu, x.cpu, x.cpu, gamma.cpu, beta.cpu, channels, groups, 1e-3);
    f->reference->group_norm_forward(f->reference, x.ref, x.ref, gamma.ref, beta.ref, channels, groups, 1e-3);
    expect_near(f, x, tolerance, "group_norm_forward in place");
    give_back(f);
}

static void group_norm_of(struct fixture *f)
{
    group_norm_shape(f, 2, 64, 32, 8, 0);
    group_norm_shape(f, 3, 35, 9, 3, 0);
    group_norm_shape(f, 1, 1, 6, 1, 0);
    group_norm_shape(f, 2, 1073, 20, 5, 100); /* more pixels than are summed at once */
    group_norm_shape(f, 2, 13, 48, 48, 0);    /* a group for each channel */
}

/* --- what holds for all --- */

/* The same call gives the same bits. */
static void repeats_of(struct fixture *f)
{
    const struct pair qkv = operand(f, f->any, 2 * 49, 96), dqkv = dense(f, FS_F32, 2 * 49, 96),
                      again = dense(f, FS_F32, 2 * 49, 96), out = operand(f, f->any, 2 * 49, 32),
                      lse = operand(f, FS_F32, 2 * 49, 2), w = operand(f, f->any, 96, 32);
    struct fs_backend *cpu = f->cpu;
    cpu->attention_forward(cpu, out.cpu, lse.cpu, qkv.cpu, 49, 2, 0.2);
    cpu->attention_backward(cpu, dqkv.cpu, out.cpu, qkv.cpu, out.cpu, lse.cpu, 49, 2, 0.2);
    cpu->attention_backward(cpu, again.cpu, out.cpu, qkv.cpu, out.cpu, lse.cpu, 49, 2, 0.2);
    assert_true(same_bytes(f, dqkv.cpu, again.cpu));
    cpu->linear_forward(cpu, dqkv.cpu, out.cpu, w.cpu, fs_no_view(), FS_GELU, fs_no_view());
    cpu->linear_forward(cpu, again.cpu, out.cpu, w.cpu, fs_no_view(), FS_GELU, fs_no_view());
    assert_true(same_bytes(f, dqkv.cpu, again.cpu));

    struct fs_error error;
    assert_int_equal(cpu->synchronise(cpu, &error), FS_OK);
}

/* Operands that do not fit are a fault that stays, names the operation, and stops what follows until it is reported. */
static void faults_of(struct fixture *f)
{
    const struct pair a = operand(f, f->any, 4, 8), b = operand(f, f->any, 4, 7);
    struct fs_error error;
    f->cpu->fill(f->cpu, a.cpu, 1);
    f->cpu->silu_forward(f->cpu, a.cpu, b.cpu);
    f->cpu->fill(f->cpu, a.cpu, 2);
    assert_int_equal(f->cpu->synchronise(f->cpu, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "silu_forward"));
    f->reference->fill(f->reference, a.ref, 1);
    expect_near(f, a, 0, "fill before a fault");
    assert_int_equal(f->cpu->synchronise(f->cpu, &error), FS_OK);
}

void test_backend_ops(struct fs_backend *backend)
{
    void (*const tests[])(struct fixture *) = {copies_of,   normals_of,  linear_of,     attention_of, norm_and_gate_of,
                                               elements_of, extremes_of, tokens_of,     training_of,  optimiser_of,
                                               pictures_of, resize_of,   group_norm_of, repeats_of,   faults_of};
    struct fs_error error;
    struct fixture f = {
        .cpu = backend, .reference = fs_reference_backend(&error), .key = {(uint32_t)time(NULL), FS_STREAM_TEST, 0, 0}};
    assert_non_null(f.reference);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        for (int type = FS_F32; type <= FS_BF16; type++) {
            f.any = (enum fs_type)type;
            tests[i](&f);
            give_back(&f);
        }
    }
    f.reference->destroy(f.reference);
}
