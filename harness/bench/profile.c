/* A clock around each operation of a backend. */
#include "harness/bench/profile.h"

#include "kernels/base/clock.h"

static double bytes_of(struct fs_view view)
{
    return view.data == NULL ? 0 : (double)view.rows * (double)view.cols * (double)fs_type_size(view.type);
}

/* One call: what it works on is said before it, its time is added behind it. */
struct call {
    struct fs_profile *profile;
    struct fs_profile_row *row; /* NULL: no place for it */
    double begin;
};

static struct call begin(struct fs_backend *backend, const char *operation, struct fs_view view, int64_t outputs)
{
    struct fs_profile *p = (struct fs_profile *)(void *)backend;
    struct fs_profile_row *row = p->rows;
    const struct fs_profile_row *const end = p->rows + p->count;
    while (row < end && !(row->operation == operation && row->rows == view.rows && row->cols == view.cols &&
                          row->outputs == outputs && row->type == view.type)) {
        row++;
    }
    if (row == end && p->count < FS_PROFILE_ROWS) {
        p->count++;
        *row = (struct fs_profile_row){
            .operation = operation, .rows = view.rows, .cols = view.cols, .outputs = outputs, .type = view.type};
    }
    return (struct call){p, row < p->rows + p->count ? row : NULL, fs_seconds()};
}

static void end(struct call call, double flops, double bytes)
{
    struct fs_error error;
    if (call.profile->waits) {
        const fs_status status = call.profile->inner->synchronise(call.profile->inner, &error);
        (void)status; /* a fault shows in what the operation left: the profile's user waits for the last one */
    }
    if (call.row != NULL) {
        call.row->seconds += fs_seconds() - call.begin;
        call.row->calls++;
        call.row->flops += flops;
        call.row->bytes += bytes;
    }
}

#define BEGIN(operation, view, outputs)                                                                                \
    const struct call call = begin(backend, #operation, view, outputs);                                                \
    struct fs_backend *const inner = call.profile->inner;                                                              \
    inner->operation

/* --- memory --- */

static void upload(struct fs_backend *backend, void *device, const void *host, size_t bytes)
{
    BEGIN(upload, fs_view(device, FS_U8, 1, (int64_t)bytes), 0)(inner, device, host, bytes);
    end(call, 0, 2 * (double)bytes);
}

static void fill(struct fs_backend *backend, struct fs_view out, double value)
{
    BEGIN(fill, out, 0)(inner, out, value);
    end(call, 0, bytes_of(out));
}

static void copy(struct fs_backend *backend, struct fs_view out, struct fs_view in)
{
    BEGIN(copy, in, 0)(inner, out, in);
    end(call, 0, bytes_of(out) + bytes_of(in));
}

static void normals(struct fs_backend *backend, struct fs_view out, struct fs_random_key key, uint32_t first_row)
{
    BEGIN(normals, out, 0)(inner, out, key, first_row);
    end(call, 0, bytes_of(out));
}

/* --- linear layers and attention --- */

static void linear_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                           struct fs_view bias, enum fs_activation activation, struct fs_view pre)
{
    BEGIN(linear_forward, x, w.rows)(inner, y, x, w, bias, activation, pre);
    end(call, 2.0 * (double)x.rows * (double)x.cols * (double)w.rows,
        bytes_of(y) + bytes_of(x) + bytes_of(w) + bytes_of(bias) + bytes_of(pre));
}

static void linear_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dw, struct fs_view dbias,
                            struct fs_view dy, struct fs_view x, struct fs_view w, struct fs_view pre)
{
    BEGIN(linear_backward, x, w.rows)(inner, dx, dw, dbias, dy, x, w, pre);
    const int products = (dx.data != NULL) + (dw.data != NULL);
    end(call, products * 2.0 * (double)x.rows * (double)x.cols * (double)w.rows,
        bytes_of(dx) + 2 * bytes_of(dw) + 2 * bytes_of(dbias) + bytes_of(dy) + bytes_of(x) + bytes_of(w) +
            bytes_of(pre));
}

static void attention_forward(struct fs_backend *backend, struct fs_view out, struct fs_view lse, struct fs_view qkv,
                              int64_t tokens, int64_t heads, double scale)
{
    BEGIN(attention_forward, qkv, 0)(inner, out, lse, qkv, tokens, heads, scale);
    end(call, 4.0 * (double)out.rows * (double)tokens * (double)out.cols,
        bytes_of(out) + bytes_of(lse) + bytes_of(qkv));
}

/* Four products; the logits, which are computed again, are not counted. */
static void attention_backward(struct fs_backend *backend, struct fs_view dqkv, struct fs_view dout, struct fs_view qkv,
                               struct fs_view out, struct fs_view lse, int64_t tokens, int64_t heads, double scale)
{
    BEGIN(attention_backward, qkv, 0)(inner, dqkv, dout, qkv, out, lse, tokens, heads, scale);
    end(call, 8.0 * (double)out.rows * (double)tokens * (double)out.cols,
        bytes_of(dqkv) + bytes_of(dout) + bytes_of(qkv) + bytes_of(out) + bytes_of(lse));
}

/* --- what is bounded by memory --- */

static void norm_forward(struct fs_backend *backend, struct fs_view y, struct fs_view statistics, struct fs_view x,
                         struct fs_view shift, struct fs_view scale)
{
    BEGIN(norm_forward, x, 0)(inner, y, statistics, x, shift, scale);
    end(call, 0, bytes_of(y) + bytes_of(statistics) + bytes_of(x) + bytes_of(shift) + bytes_of(scale));
}

static void norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dshift, struct fs_view dscale,
                          struct fs_view dy, struct fs_view x, struct fs_view statistics, struct fs_view scale)
{
    BEGIN(norm_backward, x, 0)(inner, dx, dshift, dscale, dy, x, statistics, scale);
    end(call, 0,
        2 * bytes_of(dx) + bytes_of(dshift) + bytes_of(dscale) + bytes_of(dy) + bytes_of(x) + bytes_of(statistics) +
            bytes_of(scale));
}

static void gate_forward(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                         struct fs_view gate)
{
    BEGIN(gate_forward, x, 0)(inner, out, x, y, gate);
    end(call, 0, bytes_of(out) + bytes_of(x) + bytes_of(y) + bytes_of(gate));
}

static void gate_backward(struct fs_backend *backend, struct fs_view dy, struct fs_view dgate, struct fs_view dout,
                          struct fs_view y, struct fs_view gate)
{
    BEGIN(gate_backward, dout, 0)(inner, dy, dgate, dout, y, gate);
    end(call, 0, bytes_of(dy) + bytes_of(dgate) + bytes_of(dout) + bytes_of(y) + bytes_of(gate));
}

static void gate_norm_forward(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y,
                              struct fs_view gate, struct fs_view z, struct fs_view statistics, struct fs_view shift,
                              struct fs_view scale)
{
    BEGIN(gate_norm_forward, x, 0)(inner, out, x, y, gate, z, statistics, shift, scale);
    end(call, 0,
        bytes_of(out) + bytes_of(x) + bytes_of(y) + bytes_of(gate) + bytes_of(z) + bytes_of(statistics) +
            bytes_of(shift) + bytes_of(scale));
}

static void gate_norm_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view dgate,
                               struct fs_view dshift, struct fs_view dscale, struct fs_view dz, struct fs_view y,
                               struct fs_view gate, struct fs_view out, struct fs_view statistics, struct fs_view scale)
{
    BEGIN(gate_norm_backward, out, 0)(inner, dx, dy, dgate, dshift, dscale, dz, y, gate, out, statistics, scale);
    end(call, 0,
        2 * bytes_of(dx) + bytes_of(dy) + bytes_of(dgate) + bytes_of(dshift) + bytes_of(dscale) + bytes_of(dz) +
            bytes_of(y) + bytes_of(gate) + bytes_of(out) + bytes_of(statistics) + bytes_of(scale));
}

static void silu_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x)
{
    BEGIN(silu_forward, x, 0)(inner, y, x);
    end(call, 0, bytes_of(y) + bytes_of(x));
}

static void silu_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dy, struct fs_view x,
                          bool accumulate)
{
    BEGIN(silu_backward, x, 0)(inner, dx, dy, x, accumulate);
    end(call, 0, (accumulate ? 2 : 1) * bytes_of(dx) + bytes_of(dy) + bytes_of(x));
}

static void add(struct fs_backend *backend, struct fs_view out, struct fs_view x, struct fs_view y)
{
    BEGIN(add, x, 0)(inner, out, x, y);
    end(call, 0, bytes_of(out) + bytes_of(x) + bytes_of(y));
}

static void mix(struct fs_backend *backend, struct fs_view out, struct fs_view a, struct fs_view x, struct fs_view c,
                struct fs_view y, double clip)
{
    BEGIN(mix, x, 0)(inner, out, a, x, c, y, clip);
    end(call, 0, bytes_of(out) + bytes_of(a) + bytes_of(x) + bytes_of(c) + bytes_of(y));
}

static void patchify(struct fs_backend *backend, struct fs_view tokens, struct fs_view images, int64_t height,
                     int64_t width, int64_t channels, int64_t patch)
{
    BEGIN(patchify, images, 0)(inner, tokens, images, height, width, channels, patch);
    end(call, 0, bytes_of(tokens) + bytes_of(images));
}

static void unpatchify(struct fs_backend *backend, struct fs_view images, struct fs_view tokens, int64_t height,
                       int64_t width, int64_t channels, int64_t patch)
{
    BEGIN(unpatchify, images, 0)(inner, images, tokens, height, width, channels, patch);
    end(call, 0, bytes_of(tokens) + bytes_of(images));
}

static void sinusoidal(struct fs_backend *backend, struct fs_view out, struct fs_view values)
{
    BEGIN(sinusoidal, out, 0)(inner, out, values);
    end(call, 0, bytes_of(out) + bytes_of(values));
}

static void embed_forward(struct fs_backend *backend, struct fs_view out, struct fs_view table, const int32_t *ids)
{
    BEGIN(embed_forward, out, 0)(inner, out, table, ids);
    end(call, 0, bytes_of(out) + bytes_of(table) + (double)out.rows * sizeof *ids);
}

static void embed_backward(struct fs_backend *backend, struct fs_view dtable, struct fs_view dout, const int32_t *ids)
{
    BEGIN(embed_backward, dout, 0)(inner, dtable, dout, ids);
    end(call, 0, 2 * bytes_of(dtable) + bytes_of(dout) + (double)dout.rows * sizeof *ids);
}

/* --- loss and optimiser --- */

static void mse(struct fs_backend *backend, struct fs_view loss, struct fs_view dprediction, struct fs_view prediction,
                struct fs_view target, struct fs_view weights, struct fs_loss kind)
{
    BEGIN(mse, prediction, 0)(inner, loss, dprediction, prediction, target, weights, kind);
    end(call, 0, bytes_of(loss) + bytes_of(dprediction) + bytes_of(prediction) + bytes_of(target) + bytes_of(weights));
}

static void sum_squares(struct fs_backend *backend, struct fs_view result, struct fs_view x)
{
    BEGIN(sum_squares, x, 0)(inner, result, x);
    end(call, 0, bytes_of(result) + bytes_of(x));
}

static void adamw(struct fs_backend *backend, const struct fs_adamw *settings, struct fs_view parameters,
                  struct fs_view gradients, struct fs_view moment1, struct fs_view moment2,
                  const struct fs_view averages[2])
{
    BEGIN(adamw, parameters, 0)(inner, settings, parameters, gradients, moment1, moment2, averages);
    end(call, 0,
        (settings->clip_norm > 0 ? bytes_of(settings->norm2) : 0) + bytes_of(gradients) +
            2 * (bytes_of(parameters) + bytes_of(moment1) + bytes_of(moment2) + bytes_of(averages[0]) +
                 bytes_of(averages[1])) +
            bytes_of(settings->copies[0]) + bytes_of(settings->copies[1]) + bytes_of(settings->copies[2]));
}

void fs_profile_clear(struct fs_profile *profile)
{
    profile->count = 0;
}

void fs_profile_begin(struct fs_profile *profile, struct fs_backend *inner, bool waits)
{
    *profile = (struct fs_profile){.backend = *inner, .inner = inner, .waits = waits};
    struct fs_backend *b = &profile->backend;
    b->update_begin = NULL;
    b->update_end = NULL;
    b->upload = upload;
    b->fill = fill;
    b->copy = copy;
    b->normals = normals;
    b->linear_forward = linear_forward;
    b->linear_backward = linear_backward;
    b->attention_forward = attention_forward;
    b->attention_backward = attention_backward;
    b->norm_forward = norm_forward;
    b->norm_backward = norm_backward;
    b->gate_forward = gate_forward;
    b->gate_backward = gate_backward;
    b->gate_norm_forward = gate_norm_forward;
    b->gate_norm_backward = gate_norm_backward;
    b->silu_forward = silu_forward;
    b->silu_backward = silu_backward;
    b->add = add;
    b->mix = mix;
    b->patchify = patchify;
    b->unpatchify = unpatchify;
    b->sinusoidal = sinusoidal;
    b->embed_forward = embed_forward;
    b->embed_backward = embed_backward;
    b->mse = mse;
    b->sum_squares = sum_squares;
    b->adamw = adamw;
}
