/* Pictures to tokens and back, sinusoidal features, embedding look-up. */
#include "kernels/cpu/isa/vector.h"

#include <math.h>

static void copy_span(struct span to, struct span from, int64_t count)
{
    for (int64_t j = 0; j < count; j += FS_WIDTH) {
        span_store(to, j, count - j, span_load(from, j, count - j));
    }
}

struct patches {
    int64_t height, width, channels, patch;
};

/* Row i of the tokens: `patch` pieces, each contiguous in both. */
static void move_patch(struct fs_view tokens, struct fs_view images, const struct patches *p, int64_t i, bool to_tokens)
{
    const int64_t across = p->width / p->patch, count = across * (p->height / p->patch);
    const int64_t top = i % count / across * p->patch, left = i % across * p->patch, length = p->patch * p->channels;
    for (int64_t r = 0; r < p->patch; r++) {
        const struct span token = span_of(tokens, i, r * length);
        const struct span image = span_of(images, i / count, ((top + r) * p->width + left) * p->channels);
        copy_span(to_tokens ? token : image, to_tokens ? image : token, length);
    }
}

static void patchify(struct fs_backend *backend, struct fs_view tokens, struct fs_view images, int64_t height,
                     int64_t width, int64_t channels, int64_t patch)
{
    const struct patches patches = {height, width, channels, patch};
    const struct fs_cpu *cpu =
        fs_cpu_begin(backend, "patchify", fs_patches_fit(backend, tokens, images, height, width, channels, patch));
    if (cpu == NULL) {
        return;
    }
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < tokens.rows; i++) {
        move_patch(tokens, images, &patches, i, true);
    }
}

static void unpatchify(struct fs_backend *backend, struct fs_view images, struct fs_view tokens, int64_t height,
                       int64_t width, int64_t channels, int64_t patch)
{
    const struct patches patches = {height, width, channels, patch};
    const struct fs_cpu *cpu =
        fs_cpu_begin(backend, "unpatchify", fs_patches_fit(backend, tokens, images, height, width, channels, patch));
    if (cpu == NULL) {
        return;
    }
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t i = 0; i < tokens.rows; i++) {
        move_patch(tokens, images, &patches, i, false);
    }
}

/* The features of `values`, or with `values_dot` their tangents: cos and sin of v·f become −sin and cos, times f·v̇. */
static void features_of(struct fs_cpu *cpu, const char *name, struct fs_view out, struct fs_view values,
                        struct fs_view values_dot)
{
    const int64_t half = out.cols / 2;
    const bool tangent = values_dot.data != NULL;
    float *features = fs_cpu_scratch(cpu, name, (size_t)(out.rows + 1) * (size_t)out.cols * sizeof *features);
    if (features == NULL) {
        return;
    }
    float *frequencies = features + out.rows * out.cols;
    for (int64_t i = 0; i < half; i++) {
        frequencies[i] = (float)exp(-log(10000.0) * (double)i / (double)half);
    }
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t b = 0; b < out.rows; b++) {
        const float value = ((const float *)values.data)[b * values.stride];
        const float along = tangent ? ((const float *)values_dot.data)[b * values_dot.stride] : 0;
        float *row = features + b * out.cols;
        for (int64_t i = 0; i < half; i++) {
            const float cosine = cosf(value * frequencies[i]), sine = sinf(value * frequencies[i]);
            const float slope = frequencies[i] * along;
            row[i] = tangent ? -sine * slope : cosine;
            row[half + i] = tangent ? cosine * slope : sine;
        }
        copy_span(span_of(out, b, 0), (struct span){(char *)row, false}, out.cols);
    }
}

static void sinusoidal(struct fs_backend *backend, struct fs_view out, struct fs_view values)
{
    struct fs_cpu *cpu = fs_cpu_begin(backend, "sinusoidal", fs_sinusoidal_fits(backend, out, values));
    if (cpu != NULL) {
        features_of(cpu, "sinusoidal", out, values, fs_no_view());
    }
}

static void sinusoidal_tangent(struct fs_backend *backend, struct fs_view out_dot, struct fs_view values,
                               struct fs_view values_dot)
{
    struct fs_cpu *cpu =
        fs_cpu_begin(backend, "sinusoidal_tangent", fs_sinusoidal_tangent_fits(backend, out_dot, values, values_dot));
    if (cpu != NULL) {
        features_of(cpu, "sinusoidal_tangent", out_dot, values, values_dot);
    }
}

static bool ids_fit(const int32_t *ids, int64_t count, int64_t rows)
{
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= rows) {
            return false;
        }
    }
    return true;
}

static void embed_forward(struct fs_backend *backend, struct fs_view out, struct fs_view table, const int32_t *ids)
{
    if (fs_cpu_begin(backend, "embed_forward",
                     fs_embed_forward_fits(backend, out, table, ids) && ids_fit(ids, out.rows, table.rows)) == NULL) {
        return;
    }
    for (int64_t i = 0; i < out.rows; i++) {
        copy_span(span_of(out, i, 0), span_of(table, ids[i], 0), out.cols);
    }
}

static void embed_backward(struct fs_backend *backend, struct fs_view dtable, struct fs_view dout, const int32_t *ids)
{
    if (fs_cpu_begin(backend, "embed_backward",
                     fs_embed_backward_fits(backend, dtable, dout, ids) && ids_fit(ids, dout.rows, dtable.rows)) ==
        NULL) {
        return;
    }
    for (int64_t i = 0; i < dout.rows; i++) {
        const struct span to = span_of(dtable, ids[i], 0), from = span_of(dout, i, 0);
        for (int64_t j = 0; j < dout.cols; j += FS_WIDTH) {
            const int64_t n = dout.cols - j;
            span_store(to, j, n, span_load(to, j, n) + span_load(from, j, n));
        }
    }
}

void FS_ISA_NAME(fs_install_tokens)(struct fs_backend *backend)
{
    backend->patchify = patchify;
    backend->unpatchify = unpatchify;
    backend->sinusoidal = sinusoidal;
    backend->sinusoidal_tangent = sinusoidal_tangent;
    backend->embed_forward = embed_forward;
    backend->embed_backward = embed_backward;
}
