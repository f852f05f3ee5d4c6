/* `fewstep bench`: each operation at the shapes of a model, then the model itself. Times are the best of several runs,
 * which is what a machine can do when nobody disturbs it. */
#include "harness/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/run/session.h"
#include "harness/config/preset.h"
#include "harness/model/dit.h"
#include "kernels/base/clock.h"
#include "kernels/base/memory.h"
#include "kernels/cpu/cpu.h"
#include "metrics/inception.h"

#define BUFFERS_MAX 40

/* Operands of matrix products and attention, float32 or bf16. */
struct matrices {
    struct fs_view x, y, wide, wide2, wide3, weights; /* as in `struct bench` */
};

/* What the operations of one model work on. N = batch · tokens rows. */
struct bench {
    struct fs_backend *backend;
    bool json, on_device;
    FILE *out;
    double peak_flops, half_peak_flops, copy_bytes; /* a second; half: of bf16 products, 0 where not measured */
    enum fs_type type;                              /* of `matrices` */
    struct matrices matrices;

    const char *model;
    struct fs_model_config config;
    int batch, height, width, channels;
    int64_t tokens, rows, dim; /* dim: D */

    void *buffers[BUFFERS_MAX];
    int buffer_count;
    struct fs_error error;                   /* of an allocation that failed */
    struct fs_view x, y, z, images, images2; /* [N, D], [N, D], [N, D], [B, H·W·C] */
    struct fs_view wide, wide2, wide3;       /* [N, 4·D] */
    struct fs_view modulation, modulation2;  /* [B, 6·D] */
    struct fs_view statistics, lse, column, column2, features;
    struct fs_view weights, gradients, bias; /* [4·D, D], [4·D, D], [1, 4·D] */
    struct fs_view flat[5];                  /* a model's parameters, gradients, moments, average */
    struct fs_view images_in, images_out, dimages;
    struct fs_resizer resizer;
    struct fs_view pictures; /* that it makes */
    int32_t *ids;
};

struct work {
    double flops, bytes;
};

/* --- printing --- */

static void print_head(const struct bench *b)
{
    const double peak = b->peak_flops * 1e-9, half = b->half_peak_flops * 1e-9, copy = b->copy_bytes * 1e-9;
    const int threads = b->on_device ? 0 : fs_cpu_threads(b->backend);
    if (b->json) {
        fprintf(b->out,
                "{\"device\":\"%s\",\"variant\":\"%s\",\"threads\":%d,\"peak_gflops\":%.1f,"
                "\"bf16_peak_gflops\":%.1f,\"copy_gbs\":%.1f}\n",
                b->backend->name, b->backend->variant, threads, peak, half, copy);
        return;
    }
    if (b->on_device) {
        fprintf(b->out, "%s, %s\n%s\nlargest products measured: %.1f GFLOP/s in float32, %.1f in bf16; ",
                b->backend->name, b->backend->variant, b->backend->choices, peak, half);
    } else {
        fprintf(b->out, "%s, %s, %d threads: %.1f GFLOP/s float32 multiply-add peak, ", b->backend->name,
                b->backend->variant, threads, peak);
    }
    fprintf(b->out, "%.1f GB/s copied (read + written)\n\n", copy);
    fprintf(b->out, "%-10s %-31s %10s %9s %8s %8s %8s\n", "model", "operation", "ms", "GFLOP/s", "GB/s", "of peak",
            "of copy");
}

static void print_row(const struct bench *b, const char *operation, double seconds, struct work work)
{
    const double flops = work.flops / seconds, bytes = work.bytes / seconds;
    const double peak = b->type == FS_BF16 && b->half_peak_flops > 0 ? b->half_peak_flops : b->peak_flops;
    if (b->json) {
        fprintf(b->out,
                "{\"model\":\"%s\",\"batch\":%d,\"operation\":\"%s\",\"seconds\":%.6g,\"gflops\":%.4g,\"gbs\":%.4g,"
                "\"share_of_peak\":%.4g,\"share_of_copy\":%.4g}\n",
                b->model, b->batch, operation, seconds, flops * 1e-9, bytes * 1e-9, flops / peak,
                bytes / b->copy_bytes);
    } else {
        fprintf(b->out, "%-10s %-31s %10.3f %9.1f %8.1f %7.0f%% %7.0f%%\n", b->model, operation, seconds * 1e3,
                flops * 1e-9, bytes * 1e-9, 100 * flops / peak, 100 * bytes / b->copy_bytes);
    }
    fflush(b->out);
}

/* --- operations --- */

static double bytes_of(struct fs_view view)
{
    return (double)(view.rows * view.cols) * (double)fs_type_size(view.type);
}

static struct work linear(struct bench *b, int64_t in, int64_t out, bool gelu, bool backward)
{
    struct fs_backend *k = b->backend;
    const struct matrices *m = &b->matrices;
    const struct fs_view from = in == b->dim ? m->x : m->wide, w = fs_view(m->weights.data, b->type, out, in);
    const struct fs_view to = fs_view(m->wide2.data, b->type, b->rows, out);
    const struct fs_view dw = fs_view(b->gradients.data, FS_F32, out, in), bias = fs_view_cols(b->bias, 0, out);
    const double product = 2.0 * (double)(b->rows * in * out);
    const double bytes = bytes_of(from) + bytes_of(to) + bytes_of(w);
    if (!backward) {
        const struct fs_view pre = gelu ? fs_view(m->wide3.data, b->type, b->rows, out) : fs_no_view();
        k->linear_forward(k, to, from, w, bias, gelu ? FS_GELU : FS_LINEAR, pre);
        return (struct work){product, bytes + bytes_of(pre)};
    }
    const struct fs_view dx = in == b->dim ? m->y : m->wide3;
    k->linear_backward(k, dx, dw, bias, to, from, w, gelu ? from : fs_no_view());
    return (struct work){2 * product, 2 * bytes + bytes_of(dx)};
}

static struct work qkv_forward(struct bench *b)
{
    return linear(b, b->dim, 3 * b->dim, false, false);
}

static struct work qkv_backward(struct bench *b)
{
    return linear(b, b->dim, 3 * b->dim, false, true);
}

static struct work projection_forward(struct bench *b)
{
    return linear(b, b->dim, b->dim, false, false);
}

static struct work projection_backward(struct bench *b)
{
    return linear(b, b->dim, b->dim, false, true);
}

static struct work up_forward(struct bench *b)
{
    return linear(b, b->dim, 4 * b->dim, true, false);
}

static struct work up_backward(struct bench *b)
{
    return linear(b, b->dim, 4 * b->dim, false, true);
}

static struct work down_forward(struct bench *b)
{
    return linear(b, 4 * b->dim, b->dim, false, false);
}

static struct work down_backward(struct bench *b)
{
    return linear(b, 4 * b->dim, b->dim, true, true);
}

static struct work attention(struct bench *b, bool backward)
{
    struct fs_backend *k = b->backend;
    const struct matrices *m = &b->matrices;
    const struct fs_view qkv = fs_view(m->wide.data, b->type, b->rows, 3 * b->dim);
    const struct fs_view dqkv = fs_view(m->wide2.data, b->type, b->rows, 3 * b->dim);
    const double product = 2.0 * (double)(b->rows * b->tokens * b->dim),
                 scale = (double)b->config.heads / (double)b->dim;
    if (backward) {
        k->attention_backward(k, dqkv, m->y, qkv, m->x, b->lse, b->tokens, b->config.heads, scale);
        return (struct work){4 * product, 2 * bytes_of(qkv) + 2 * bytes_of(m->x)};
    }
    k->attention_forward(k, m->x, b->lse, qkv, b->tokens, b->config.heads, scale);
    return (struct work){2 * product, bytes_of(qkv) + bytes_of(m->x)};
}

static struct work attention_forward(struct bench *b)
{
    return attention(b, false);
}

static struct work attention_backward(struct bench *b)
{
    return attention(b, true);
}

/* A modulation vector [B, D]: part `part` of the six. */
static struct fs_view part(struct fs_view modulation, const struct bench *b, int64_t index)
{
    return fs_view_cols(modulation, index * b->dim, b->dim);
}

static struct work norm_forward(struct bench *b)
{
    struct fs_backend *k = b->backend;
    k->norm_forward(k, b->y, b->statistics, b->x, part(b->modulation, b, 0), part(b->modulation, b, 1));
    return (struct work){0, 2 * bytes_of(b->x)};
}

static struct work norm_backward(struct bench *b)
{
    struct fs_backend *k = b->backend;
    k->norm_backward(k, b->z, part(b->modulation2, b, 0), part(b->modulation2, b, 1), b->y, b->x, b->statistics,
                     part(b->modulation, b, 1));
    return (struct work){0, 4 * bytes_of(b->x)};
}

static struct work gate_forward(struct bench *b)
{
    struct fs_backend *k = b->backend;
    k->gate_forward(k, b->z, b->x, b->y, part(b->modulation, b, 2));
    return (struct work){0, 3 * bytes_of(b->x)};
}

static struct work gate_backward(struct bench *b)
{
    struct fs_backend *k = b->backend;
    k->gate_backward(k, b->z, part(b->modulation2, b, 2), b->x, b->y, part(b->modulation, b, 2));
    return (struct work){0, 3 * bytes_of(b->x)};
}

static struct work silu_forward(struct bench *b)
{
    b->backend->silu_forward(b->backend, b->modulation2, b->modulation);
    return (struct work){0, 2 * bytes_of(b->modulation)};
}

static struct work silu_backward(struct bench *b)
{
    b->backend->silu_backward(b->backend, b->modulation2, b->modulation, b->modulation, false);
    return (struct work){0, 2 * bytes_of(b->modulation)};
}

static struct work copy(struct bench *b)
{
    b->backend->copy(b->backend, b->wide2, b->wide);
    return (struct work){0, 2 * bytes_of(b->wide)};
}

static struct work fill(struct bench *b)
{
    b->backend->fill(b->backend, b->wide2, 0.5);
    return (struct work){0, bytes_of(b->wide)};
}

static struct work add(struct bench *b)
{
    b->backend->add(b->backend, b->z, b->x, fs_view_rows(b->y, 0, b->tokens));
    return (struct work){0, 2 * bytes_of(b->x)};
}

static struct work mix(struct bench *b)
{
    b->backend->mix(b->backend, b->images2, b->column, b->images, b->column2, b->images, 4);
    return (struct work){0, 2 * bytes_of(b->images)};
}

static struct fs_view token_view(const struct bench *b)
{
    return fs_view(b->wide2.data, FS_F32, b->rows, b->images.cols / b->tokens);
}

static struct work patchify(struct bench *b)
{
    b->backend->patchify(b->backend, token_view(b), b->images, b->height, b->width, b->channels, b->config.patch);
    return (struct work){0, 2 * bytes_of(b->images)};
}

static struct work unpatchify(struct bench *b)
{
    b->backend->unpatchify(b->backend, b->images2, token_view(b), b->height, b->width, b->channels, b->config.patch);
    return (struct work){0, 2 * bytes_of(b->images)};
}

static struct work normals(struct bench *b)
{
    b->backend->normals(b->backend, b->images2, (struct fs_random_key){0, FS_STREAM_TEST, 0, 0}, 0);
    return (struct work){0, bytes_of(b->images2)};
}

static struct work sinusoidal(struct bench *b)
{
    b->backend->sinusoidal(b->backend, b->features, b->column);
    return (struct work){0, bytes_of(b->features)};
}

static struct work embed_forward(struct bench *b)
{
    b->backend->embed_forward(b->backend, part(b->modulation2, b, 0), fs_view(b->weights.data, FS_F32, 11, b->dim),
                              b->ids);
    return (struct work){0, 2.0 * (double)(b->batch * b->dim) * sizeof(float)};
}

static struct work embed_backward(struct bench *b)
{
    b->backend->embed_backward(b->backend, fs_view(b->gradients.data, FS_F32, 11, b->dim), part(b->modulation, b, 0),
                               b->ids);
    return (struct work){0, 3.0 * (double)(b->batch * b->dim) * sizeof(float)};
}

static struct work mse(struct bench *b)
{
    b->backend->mse(b->backend, b->column2, b->images2, b->images, b->images, b->column,
                    (struct fs_loss){.kind = FS_LOSS_MEAN_SQUARE});
    return (struct work){0, 2 * bytes_of(b->images)};
}

static struct work sum_squares(struct bench *b)
{
    b->backend->sum_squares(b->backend, fs_view_cols(b->bias, 0, 1), b->flat[0]);
    return (struct work){0, bytes_of(b->flat[0])};
}

static struct work adamw(struct bench *b)
{
    const struct fs_view averages[2] = {b->flat[4], fs_no_view()};
    const struct fs_adamw settings = {.learning_rate = 1e-6f,
                                      .beta1 = 0.9f,
                                      .beta2 = 0.999f,
                                      .epsilon = 1e-8f,
                                      .update = 1,
                                      .ema_decay = {0.999f, 0}};
    b->backend->adamw(b->backend, &settings, b->flat[0], b->flat[1], b->flat[2], b->flat[3], averages);
    return (struct work){0, 9 * bytes_of(b->flat[0])};
}

/* The convolution of a small classifier: 28 × 28, 32 to 64 channels. */
static const struct fs_window window = {28, 28, 32, 64, 3, 3, 1, 1, 1};
#define CONVOLUTION_ROWS 16

static struct work convolution(struct bench *b, bool backward)
{
    struct fs_backend *k = b->backend;
    const struct fs_view x = fs_view(b->images_in.data, FS_F32, CONVOLUTION_ROWS, 28 * 28 * 32);
    const struct fs_view y = fs_view(b->images_out.data, FS_F32, CONVOLUTION_ROWS, 28 * 28 * 64);
    const struct fs_view dx = fs_view(b->dimages.data, FS_F32, CONVOLUTION_ROWS, 28 * 28 * 32);
    const struct fs_view w = fs_view(b->weights.data, FS_F32, 64, 32 * 9), bias = fs_view_cols(b->bias, 0, 64);
    const double flops = 2.0 * CONVOLUTION_ROWS * 28 * 28 * 64 * 32 * 9, bytes = bytes_of(x) + bytes_of(y);
    if (backward) {
        k->convolution_backward(k, dx, fs_view(b->gradients.data, FS_F32, 64, 32 * 9), bias, y, x, y, w, &window);
        return (struct work){2 * flops, 3 * bytes};
    }
    k->convolution_forward(k, y, x, w, bias, &window, true);
    return (struct work){flops, bytes};
}

static struct work convolution_forward(struct bench *b)
{
    return convolution(b, false);
}

static struct work convolution_backward(struct bench *b)
{
    return convolution(b, true);
}

static struct work pool_forward(struct bench *b)
{
    static const struct fs_window halves = {28, 28, 64, 64, 2, 2, 2, 0, 0};
    const struct fs_view x = fs_view(b->images_in.data, FS_F32, CONVOLUTION_ROWS, 28 * 28 * 64);
    const struct fs_view y = fs_view(b->images_out.data, FS_F32, CONVOLUTION_ROWS, 14 * 14 * 64);
    b->backend->pool_forward(b->backend, y, x, &halves, FS_POOL_MAX);
    return (struct work){0, bytes_of(x) + bytes_of(y)};
}

/* Small pictures as a feature network takes them. */
static struct work resize_forward(struct bench *b)
{
    const struct fs_resize_side *vertical = &b->resizer.vertical, *horizontal = &b->resizer.horizontal;
    const struct fs_resize_scale scale = {0, 255, 1.0f / 128, -1};
    const struct fs_view x =
        fs_view(b->images_in.data, FS_F32, b->pictures.rows, vertical->in * horizontal->in * b->resizer.channels);
    b->backend->resize_forward(b->backend, b->pictures, x, vertical, horizontal, b->resizer.channels, &scale);
    return (struct work){0, bytes_of(x) + bytes_of(b->pictures)};
}

static struct work group_norm_forward(struct bench *b)
{
    const struct fs_view x = fs_view(b->images_in.data, FS_F32, CONVOLUTION_ROWS, 28 * 28 * 64);
    const struct fs_view y = fs_view(b->images_out.data, FS_F32, CONVOLUTION_ROWS, 28 * 28 * 64);
    b->backend->group_norm_forward(b->backend, y, x, fs_view_cols(b->bias, 0, 64), fs_view_cols(b->bias, 64, 64), 64,
                                   32, 1e-6);
    return (struct work){0, bytes_of(x) + bytes_of(y)};
}

static const struct {
    const char *name;
    struct work (*run)(struct bench *b);
} operations[] = {
    {"linear qkv forward", qkv_forward},
    {"linear qkv backward", qkv_backward},
    {"linear projection forward", projection_forward},
    {"linear projection backward", projection_backward},
    {"linear up+GELU forward", up_forward},
    {"linear up backward", up_backward},
    {"linear down forward", down_forward},
    {"linear down+GELU backward", down_backward},
    {"attention forward", attention_forward},
    {"attention backward", attention_backward},
    {"norm forward", norm_forward},
    {"norm backward", norm_backward},
    {"gate forward", gate_forward},
    {"gate backward", gate_backward},
    {"silu forward", silu_forward},
    {"silu backward", silu_backward},
    {"fill", fill},
    {"copy", copy},
    {"add", add},
    {"mix", mix},
    {"patchify", patchify},
    {"unpatchify", unpatchify},
    {"normals", normals},
    {"sinusoidal", sinusoidal},
    {"embed forward", embed_forward},
    {"embed backward", embed_backward},
    {"mse", mse},
    {"sum_squares", sum_squares},
    {"adamw", adamw},
    {"convolution forward", convolution_forward},
    {"convolution backward", convolution_backward},
    {"pool forward", pool_forward},
    {"resize forward", resize_forward},
    {"group_norm forward", group_norm_forward},
};

#define MATRIX_OPERATIONS 10 /* the first ones: linear layers and attention, also in bf16 */

/* Waits for what was asked of the backend; a fault stays in b->error. */
static void settle(struct bench *b)
{
    struct fs_error error;
    if (b->backend->synchronise(b->backend, &error) != FS_OK && b->error.status == FS_OK) {
        b->error = error;
    }
}

/* The best time of a few runs, for about a fifth of a second. A device is asked for several at once, so that the way to
 * it does not count. */
static double best_time(struct bench *b, struct work (*run)(struct bench *b), struct work *work)
{
    run(b);
    settle(b);
    const double start = fs_seconds();
    *work = run(b);
    settle(b);
    const int at_once = b->on_device && fs_seconds() - start < 1e-3 ? 20 : 1;
    double best = 1e30;
    for (int i = 0; i < 3 || (fs_seconds() - start < 0.2 && i < 1000); i++) {
        const double before = fs_seconds();
        for (int k = 0; k < at_once; k++) {
            run(b);
        }
        settle(b);
        const double seconds = (fs_seconds() - before) / at_once;
        best = seconds < best ? seconds : best;
    }
    return best;
}

/* --- what they work on --- */

static struct fs_view take(struct bench *b, int64_t rows, int64_t cols)
{
    struct fs_view view = fs_no_view();
    void *data = b->error.status != FS_OK
                     ? NULL
                     : b->backend->allocate(b->backend, (size_t)(rows * cols) * sizeof(float), &b->error);
    if (data != NULL) {
        b->buffers[b->buffer_count++] = data;
        view = fs_view(data, FS_F32, rows, cols);
        b->backend->normals(b->backend, view, (struct fs_random_key){0, FS_STREAM_TEST, 0, 0}, 0);
    }
    return view;
}

/* A copy in the type of the matrices, or the same where that is float32. */
static struct fs_view as_matrix(struct bench *b, struct fs_view view)
{
    if (b->type == FS_F32 || b->error.status != FS_OK) {
        return view;
    }
    const size_t bytes = (size_t)(view.rows * view.cols) * fs_type_size(b->type);
    void *data = b->backend->allocate(b->backend, bytes, &b->error);
    if (data == NULL) {
        return fs_no_view();
    }
    b->buffers[b->buffer_count++] = data;
    const struct fs_view copied = fs_view(data, b->type, view.rows, view.cols);
    b->backend->copy(b->backend, copied, view);
    return copied;
}

static void take_matrices(struct bench *b)
{
    const struct fs_view from[] = {b->x, b->y, b->wide, b->wide2, b->wide3, b->weights};
    struct matrices *m = &b->matrices;
    struct fs_view *const to[] = {&m->x, &m->y, &m->wide, &m->wide2, &m->wide3, &m->weights};
    for (int i = 0; i < 6; i++) {
        *to[i] = as_matrix(b, from[i]);
    }
}

static fs_status take_operands(struct bench *b, int64_t parameters, struct fs_error *error)
{
    const int64_t n = b->rows, d = b->dim;
    struct fs_view *const tokens[] = {&b->x, &b->y, &b->z}, *const wide[] = {&b->wide, &b->wide2, &b->wide3};
    for (int i = 0; i < 3; i++) {
        *tokens[i] = take(b, n, d);
        *wide[i] = take(b, n, 4 * d);
    }
    b->images = take(b, b->batch, (int64_t)b->height * b->width * b->channels);
    b->images2 = take(b, b->batch, b->images.cols);
    b->modulation = take(b, b->batch, 6 * d);
    b->modulation2 = take(b, b->batch, 6 * d);
    b->statistics = take(b, n, 2);
    b->lse = take(b, n, b->config.heads);
    b->column = take(b, b->batch, 1);
    b->column2 = take(b, b->batch, 1);
    b->features = take(b, b->batch, 256);
    b->weights = take(b, 4 * d, d);
    b->gradients = take(b, 4 * d, d);
    b->bias = take(b, 1, 4 * d);
    for (int i = 0; i < 5; i++) {
        b->flat[i] = take(b, 1, parameters);
    }
    b->images_in = take(b, CONVOLUTION_ROWS, 28 * 28 * 64);
    b->images_out = take(b, CONVOLUTION_ROWS, 28 * 28 * 64);
    b->dimages = take(b, CONVOLUTION_ROWS, 28 * 28 * 32);
    b->pictures = take(b, CONVOLUTION_ROWS, (int64_t)FS_INCEPTION_SIDE * FS_INCEPTION_SIDE * 3);
    take_matrices(b);
    const struct fs_view ids = take(b, 1, b->batch);
    if (b->error.status == FS_OK) {
        fs_resizer_create(b->backend, FS_RESIZE_CLEAN, 32, 32, FS_INCEPTION_SIDE, FS_INCEPTION_SIDE, 3, &b->resizer,
                          &b->error);
    }
    if (b->error.status != FS_OK) {
        *error = b->error;
        return error->status;
    }
    b->ids = ids.data;
    b->backend->fill(b->backend, ids, 0);        /* the bits of the number 0 */
    b->backend->fill(b->backend, b->flat[3], 1); /* a second moment is not negative */
    return FS_OK;
}

static void give_operands_back(struct bench *b)
{
    fs_resizer_destroy(&b->resizer);
    while (b->buffer_count > 0) {
        b->backend->release(b->backend, b->buffers[--b->buffer_count]);
    }
}

static fs_status bench_operations(struct bench *b, const char *op, struct fs_error *error)
{
    /* About the model's size: the flat buffers of the optimiser. */
    const int64_t parameters = b->config.depth * 18 * b->dim * b->dim;
    b->error.status = FS_OK;
    fs_status status = take_operands(b, parameters, error);
    for (size_t i = 0; i < sizeof operations / sizeof *operations && status == FS_OK; i++) {
        const bool matrix = i < MATRIX_OPERATIONS;
        if ((op != NULL && strncmp(operations[i].name, op, strlen(op)) != 0) || (b->type == FS_BF16 && !matrix) ||
            (operations[i].run == convolution_backward && b->backend->convolution_backward == NULL)) {
            continue;
        }
        struct work work;
        const double seconds = best_time(b, operations[i].run, &work);
        char name[48];
        snprintf(name, sizeof name, "%s%s", operations[i].name, b->type == FS_BF16 ? " bf16" : "");
        if (b->error.status != FS_OK) {
            *error = b->error;
            status = error->status;
        } else {
            print_row(b, name, seconds, work);
        }
    }
    give_operands_back(b);
    return status;
}

/* --- a whole update --- */

/* The peak of the resident set in MiB since the last reset; 0 where the kernel does not say. */
static double peak_resident(bool reset)
{
    double kib = 0;
    char line[256];
    FILE *file = fopen(reset ? "/proc/self/clear_refs" : "/proc/self/status", reset ? "w" : "r");
    if (file == NULL) {
        return 0;
    }
    if (reset) {
        fputs("5", file);
    } else {
        while (fgets(line, sizeof line, file) != NULL && sscanf(line, "VmHWM: %lf", &kib) != 1) {
        }
    }
    fclose(file);
    return kib / 1024;
}

struct network {
    struct fs_dit *dit;
    struct fs_weights weights;
    struct fs_view gradients, moment1, moment2, average;
    struct fs_view x, target, velocity, dvelocity, loss, row_weights;
    float *t, *s;
    int32_t *labels;
    int64_t update;
};

static void network_free(struct bench *b, struct network *n)
{
    if (n->dit != NULL) {
        fs_weights_destroy(n->dit, &n->weights);
    }
    fs_dit_destroy(n->dit);
    free(n->t);
    free(n->s);
    free(n->labels);
    give_operands_back(b);
}

static fs_status network_create(struct bench *b, struct network *n, enum fs_type precision, struct fs_error *error)
{
    *n = (struct network){0};
    n->dit = fs_dit_create(b->backend, &b->config, b->height, b->width, b->channels, b->batch, true, precision, error);
    n->t = fs_allocate((size_t)b->batch, sizeof *n->t, "times", error);
    n->s = fs_allocate((size_t)b->batch, sizeof *n->s, "levels", error);
    n->labels = fs_allocate((size_t)b->batch, sizeof *n->labels, "labels", error);
    if (n->dit == NULL || n->t == NULL || n->s == NULL || n->labels == NULL) {
        return error->status;
    }
    FS_TRY(fs_weights_create(n->dit, &n->weights, error));
    const int64_t count = fs_dit_parameter_count(n->dit), dim = (int64_t)b->height * b->width * b->channels;
    struct fs_view *const flat[] = {&n->gradients, &n->moment1, &n->moment2, &n->average};
    struct fs_view *const images[] = {&n->x, &n->target, &n->velocity, &n->dvelocity};
    b->error.status = FS_OK;
    for (int i = 0; i < 4; i++) {
        *flat[i] = take(b, 1, count);
        *images[i] = take(b, b->batch, dim);
    }
    n->loss = take(b, b->batch, 1);
    n->row_weights = take(b, b->batch, 1);
    if (b->error.status != FS_OK) {
        *error = b->error;
        return error->status;
    }
    float *initial = fs_allocate((size_t)count, sizeof *initial, "initial weights", error);
    if (initial == NULL) {
        return error->status;
    }
    fs_dit_initialise(n->dit, 0, initial);
    b->backend->upload(b->backend, n->weights.values.data, initial, (size_t)count * sizeof *initial);
    settle(b);
    free(initial);
    b->backend->fill(b->backend, n->moment1, 0);
    b->backend->fill(b->backend, n->moment2, 0);
    fs_dit_refresh(n->dit, &n->weights);
    return b->backend->synchronise(b->backend, error);
}

static struct fs_dit_input input_of(const struct network *n)
{
    return (struct fs_dit_input){n->x, n->t, n->s, n->labels};
}

static void update_operations(struct bench *b, struct network *n)
{
    struct fs_backend *k = b->backend;
    const struct fs_dit_input input = input_of(n);
    k->fill(k, n->gradients, 0);
    fs_dit_forward(n->dit, &n->weights, &input, n->velocity, true);
    k->mse(k, n->loss, n->dvelocity, n->velocity, n->target, n->row_weights,
           (struct fs_loss){.kind = FS_LOSS_MEAN_SQUARE});
    fs_dit_backward(n->dit, &n->weights, n->dvelocity, n->gradients);
    const struct fs_view averages[2] = {n->average, fs_no_view()};
    const struct fs_adamw settings = {.learning_rate = 1e-6f,
                                      .beta1 = 0.9f,
                                      .beta2 = 0.999f,
                                      .epsilon = 1e-8f,
                                      .update = n->update,
                                      .ema_decay = {0.999f, 0}};
    k->adamw(k, &settings, n->weights.values, n->gradients, n->moment1, n->moment2, averages);
    fs_dit_refresh(n->dit, &n->weights);
}

static void one_update(struct bench *b, struct network *n)
{
    n->update++;
    do {
        if (b->backend->update_begin != NULL) {
            b->backend->update_begin(b->backend, 0);
        }
        update_operations(b, n);
    } while (b->backend->update_end != NULL && !b->backend->update_end(b->backend));
}

static void one_forward(struct bench *b, struct network *n)
{
    (void)b;
    const struct fs_dit_input input = input_of(n);
    fs_dit_forward(n->dit, &n->weights, &input, n->velocity, false);
}

static void time_network(struct bench *b, struct network *n, const char *name, double flops,
                         void (*run)(struct bench *b, struct network *n))
{
    double best = 1e30;
    for (int i = 0; i < (b->on_device ? 3 : 1); i++) { /* a device keeps the second update as a graph */
        run(b, n);
    }
    settle(b);
    const double start = fs_seconds();
    for (int i = 0; i < 4 || (fs_seconds() - start < 2 && i < 100); i++) {
        const double before = fs_seconds();
        run(b, n);
        settle(b);
        const double seconds = fs_seconds() - before;
        best = seconds < best ? seconds : best;
    }
    print_row(b, name, best, (struct work){flops, 0});
}

/* MiB: the peak of the resident set, or what of a device's memory is in use that was free at the `start`. */
static double memory_used(struct bench *b, size_t start)
{
    return b->on_device ? ((double)start - (double)b->backend->available(b->backend)) / 1048576 : peak_resident(false);
}

static fs_status bench_network(struct bench *b, enum fs_type precision, struct fs_error *error)
{
    struct network network;
    const bool half = precision == FS_BF16;
    const size_t start = b->on_device ? b->backend->available(b->backend) : 0;
    peak_resident(true);
    b->type = precision;
    fs_status status = network_create(b, &network, precision, error);
    if (status == FS_OK) {
        const double forward = b->batch * fs_dit_sizes(network.dit).forward_flops;
        time_network(b, &network, half ? "sampling bf16" : "sampling", forward, one_forward);
        time_network(b, &network, half ? "update bf16" : "update", 3 * forward, one_update);
        if (b->error.status != FS_OK) {
            *error = b->error;
            status = error->status;
        }
    }
    const double used = memory_used(b, start);
    const char *what = b->on_device ? "device memory in use" : "peak resident set";
    if (status == FS_OK && b->json) {
        fprintf(b->out, "{\"model\":\"%s\",\"batch\":%d,\"precision\":\"%s\",\"%s\":%.0f}\n", b->model, b->batch,
                half ? "bf16" : "fp32", b->on_device ? "device_mib" : "peak_resident_mib", used);
    } else if (status == FS_OK) {
        fprintf(b->out, "%-10s %s %.0f MiB, batch %d%s\n", b->model, what, used, b->batch, half ? ", bf16" : "");
    }
    network_free(b, &network);
    b->type = FS_F32;
    return status;
}

/* --- the network behind FID --- */

#define INCEPTION "inception-v3"

static fs_status time_inception(struct bench *b, struct fs_inception *inception, struct fs_error *error)
{
    const int64_t input = (int64_t)FS_INCEPTION_SIDE * FS_INCEPTION_SIDE * 3;
    b->error.status = FS_OK;
    const struct fs_view pictures = take(b, b->batch, input);
    float *pool = fs_allocate((size_t)b->batch, 2048 * sizeof *pool, "features", &b->error);
    float *const features[FS_INCEPTION_TAPS] = {[FS_INCEPTION_POOL] = pool};
    fs_status status = b->error.status;
    double best = 1e30;
    const double start = fs_seconds();
    for (int i = 0; status == FS_OK && (i < 4 || (fs_seconds() - start < 2 && i < 100)); i++) {
        const double before = fs_seconds();
        status = fs_inception_forward(inception, b->batch, pictures.data, features, &b->error);
        const double seconds = fs_seconds() - before;
        best = seconds < best ? seconds : best;
    }
    if (status == FS_OK) {
        print_row(b, "features", best, (struct work){(double)b->batch * fs_inception_flops(inception), 0});
    } else {
        *error = b->error;
    }
    free(pool);
    give_operands_back(b);
    return status;
}

/* Features of a batch of pictures, up to the pool. Time does not depend on the parameters, so any will do. */
static fs_status bench_inception(struct bench *b, int batch, struct fs_error *error)
{
    struct fs_inception_random parameters;
    b->model = INCEPTION;
    b->batch = batch > 0 ? batch : b->on_device ? 32 : 2 * fs_cpu_threads(b->backend);
    FS_TRY(fs_inception_random_create(0, &parameters, error));
    struct fs_inception *inception = fs_inception_create(b->backend, &parameters.file, error);
    fs_inception_random_destroy(&parameters);
    const fs_status status = inception ? time_inception(b, inception, error) : FS_FAILED;
    fs_inception_destroy(inception);
    return status;
}

/* --- the whole --- */

static fs_status measure_copy(struct bench *b, struct fs_error *error)
{
    b->error.status = FS_OK;
    b->wide = take(b, 1, 32 << 20); /* 128 MiB each, well past the caches */
    b->wide2 = take(b, 1, 32 << 20);
    if (b->error.status == FS_OK) {
        struct work work;
        const double seconds = best_time(b, copy, &work);
        b->copy_bytes = work.bytes / seconds;
    }
    give_operands_back(b);
    if (b->error.status != FS_OK) {
        *error = b->error;
    }
    return b->error.status;
}

static struct work square_product(struct bench *b)
{
    const struct matrices *m = &b->matrices;
    b->backend->linear_forward(b->backend, m->wide2, m->wide, m->weights, fs_no_view(), FS_LINEAR, fs_no_view());
    return (struct work){2.0 * pow((double)m->wide.cols, 3), 0};
}

/* The FLOP/s of a product of two n × n matrices, and how long it takes. */
static double product_speed(struct bench *b, int64_t n, double *seconds)
{
    struct work work = {0, 0};
    b->x = b->y = b->wide3 = take(b, 1, 1);
    b->wide = take(b, n, n);
    b->wide2 = take(b, n, n);
    b->weights = take(b, n, n);
    take_matrices(b);
    *seconds = b->error.status == FS_OK ? best_time(b, square_product, &work) : 1;
    give_operands_back(b);
    return work.flops / *seconds;
}

/* What a device's products reach: ever larger ones, until one takes some milliseconds. */
static fs_status measure_products(struct bench *b, struct fs_error *error)
{
    for (int half = 0; half < 2; half++) {
        double *peak = half ? &b->half_peak_flops : &b->peak_flops, seconds = 0;
        b->error.status = FS_OK;
        b->type = half ? FS_BF16 : FS_F32;
        for (int64_t n = 128; n <= 8192 && seconds < 2e-3 && b->error.status == FS_OK; n *= 2) {
            const double speed = product_speed(b, n, &seconds);
            *peak = speed > *peak ? speed : *peak;
        }
        if (b->error.status != FS_OK) {
            *error = b->error;
            return error->status;
        }
    }
    b->type = FS_F32;
    return FS_OK;
}

static fs_status bench_model(struct bench *b, const char *op, const char *model, int batch, struct fs_error *error)
{
    const bool small = strncmp(model, "dit-xs", 6) == 0; /* Fashion-MNIST; the others work on 32 × 32 × 4 latents */
    b->model = model;
    b->config = (struct fs_model_config){.classes = 10, .finest_steps = 128, .attention_scale = FS_SCALE_INV_D};
    FS_TRY(fs_model_preset(model, &b->config, error));
    b->height = b->width = small ? 28 : 32;
    b->channels = small ? 1 : 4;
    b->batch = batch > 0 ? batch : small ? 128 : 4;
    if (b->height % b->config.patch != 0) {
        return fs_fail(error, FS_USAGE, "bench: %s: patches of %d do not divide %d × %d pictures", model,
                       b->config.patch, b->height, b->width);
    }
    b->tokens = (int64_t)(b->height / b->config.patch) * (b->width / b->config.patch);
    b->rows = b->batch * b->tokens;
    b->dim = b->config.hidden;
    const bool update = op == NULL || strcmp(op, "update") == 0;
    for (int half = 0; half < (b->on_device ? 2 : 1) && (op == NULL || !update); half++) {
        b->type = half ? FS_BF16 : FS_F32;
        const fs_status status = bench_operations(b, op, error);
        b->type = FS_F32;
        FS_TRY(status);
    }
    if (update) {
        FS_TRY(bench_network(b, FS_F32, error));
    }
    return update && b->backend->native_bf16 ? bench_network(b, FS_BF16, error) : FS_OK;
}

static fs_status check_operation(const char *op, struct fs_error *error)
{
    bool known = op == NULL || strcmp(op, "update") == 0 || strcmp(op, INCEPTION) == 0;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        known = known || strncmp(operations[i].name, op, strlen(op)) == 0;
    }
    return known ? FS_OK
                 : fs_fail(error, FS_USAGE,
                           "bench: no operation '%s'; there are linear, attention, norm, gate, silu, fill, copy, add, "
                           "mix, patchify, unpatchify, normals, sinusoidal, embed, mse, sum_squares, adamw, "
                           "convolution, pool, resize, group_norm, update for the whole model, " INCEPTION
                           ", fd, and metrics",
                           op);
}

static fs_status bench_all(struct bench *b, const char *op, const char *model, int batch, struct fs_error *error)
{
    const bool inception = op != NULL && strcmp(op, INCEPTION) == 0;
    if (b->on_device) {
        FS_TRY(measure_products(b, error));
    } else {
        b->peak_flops = fs_cpu_peak_flops(b->backend);
    }
    FS_TRY(measure_copy(b, error));
    print_head(b);
    if (!inception) {
        FS_TRY(bench_model(b, op, model != NULL ? model : "dit-xs/4", batch, error));
    }
    if (!inception && model == NULL) {
        FS_TRY(bench_model(b, op, "dit-b/2", batch, error));
    }
    return inception || (op == NULL && model == NULL) ? bench_inception(b, batch, error) : FS_OK;
}

fs_status fs_bench(enum fs_device_kind device, const char *op, const char *model, int batch, bool json, FILE *out,
                   struct fs_error *error)
{
    FS_TRY(check_operation(op, error));
    struct bench bench = {.json = json, .out = out, .type = FS_F32};
    FS_TRY(fs_open_backend(device, &bench.backend, error));
    bench.on_device = strcmp(bench.backend->name, "cpu") != 0;
    const fs_status status = bench_all(&bench, op, model, batch, error);
    bench.backend->destroy(bench.backend);
    return status;
}
