/* Pictures to tokens and back, and the conditioning's inputs: sinusoidal features and embeddings. */
#include "kernels/cuda/device.cuh"

/* --- patches --- */

/* An element of a token belongs to one of an image; one of them is written. */
struct move_patches {
    struct span tokens, images;
    int64_t width, channels, patch; /* of the image in pixels, of a pixel, of a patch in pixels */
    int64_t across, per_image;      /* patches in a row of the image, and in all of it */
    bool to_tokens;
    __device__ void piece(int64_t token, int64_t col, int count) const
    {
        const int64_t image = token / per_image, place = token % per_image;
        for (int64_t j = col; j < col + count; j++) {
            const int64_t pixel = j / channels;
            const int64_t row = place / across * patch + pixel / patch, column = place % across * patch + pixel % patch;
            const int64_t at = (row * width + column) * channels + j % channels;
            if (to_tokens) {
                store(tokens, token, j, load(images, image, at));
            } else {
                store(images, image, at, load(tokens, token, j));
            }
        }
    }
};

static void run_patches(struct fs_backend *backend, const char *operation, struct fs_view tokens, struct fs_view images,
                        const int64_t size[4], bool to_tokens)
{
    const int64_t height = size[0], width = size[1], channels = size[2], patch = size[3];
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, operation, fs_patches_fit(backend, tokens, images, height, width, channels, patch));
    if (cuda != NULL) {
        const int64_t across = width / patch;
        for_each_piece(cuda,
                       move_patches{span_of(tokens), span_of(images), width, channels, patch, across,
                                    across * (height / patch), to_tokens},
                       tokens.rows, tokens.cols);
    }
}

static void patchify(struct fs_backend *backend, struct fs_view tokens, struct fs_view images, int64_t height,
                     int64_t width, int64_t channels, int64_t patch)
{
    const int64_t size[4] = {height, width, channels, patch};
    run_patches(backend, "patchify", tokens, images, size, true);
}

static void unpatchify(struct fs_backend *backend, struct fs_view images, struct fs_view tokens, int64_t height,
                       int64_t width, int64_t channels, int64_t patch)
{
    const int64_t size[4] = {height, width, channels, patch};
    run_patches(backend, "unpatchify", tokens, images, size, false);
}

/* --- conditioning --- */

/* With `along` its tangent: cos and sin of value·f become −sin and cos, times f·along. */
struct sinusoidal_operation {
    struct span out, values, along;
    int64_t half;
    double exponent; /* −ln 10000 / half */
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        const float value = load(values, row, 0);
        struct piece p;
        for (int k = 0; k < FS_PIECE; k++) {
            const int64_t j = col + k, i = j < half ? j : j - half;
            const float frequency = (float)exp(exponent * (double)i), angle = value * frequency;
            const bool cosine = (j < half) == (along.data == NULL);
            p.v[k] = cosine ? cosf(angle) : sinf(angle);
            if (along.data != NULL) {
                p.v[k] *= (cosine ? frequency : -frequency) * load(along, row, 0);
            }
        }
        store_piece(out, row, col, count, p);
    }
};

static void run_features(struct fs_cuda *cuda, struct fs_view out, struct fs_view values, struct fs_view along)
{
    for_each_piece(cuda,
                   sinusoidal_operation{span_of(out), span_of(values), span_of(along), out.cols / 2,
                                        -2 * log(10000.0) / (double)out.cols},
                   out.rows, out.cols);
}

static void sinusoidal(struct fs_backend *backend, struct fs_view out, struct fs_view values)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "sinusoidal", fs_sinusoidal_fits(backend, out, values));
    if (cuda != NULL) {
        run_features(cuda, out, values, fs_no_view());
    }
}

static void sinusoidal_tangent(struct fs_backend *backend, struct fs_view out_dot, struct fs_view values,
                               struct fs_view values_dot)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "sinusoidal_tangent", fs_sinusoidal_tangent_fits(backend, out_dot, values, values_dot));
    if (cuda != NULL) {
        run_features(cuda, out_dot, values, values_dot);
    }
}

/* The ids are the device's, so a wrong one cannot be refused in time: it gives NaN, which stops a training. */
struct embed_operation {
    struct span out, table;
    const int32_t *ids;
    int64_t table_rows;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        const int32_t id = ids[row];
        struct piece p;
        if (id >= 0 && id < table_rows) {
            p = load_piece(table, id, col, count);
        } else {
            for (int k = 0; k < FS_PIECE; k++) {
                p.v[k] = NAN;
            }
        }
        store_piece(out, row, col, count, p);
    }
};

static void embed_forward(struct fs_backend *backend, struct fs_view out, struct fs_view table, const int32_t *ids)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "embed_forward", fs_embed_forward_fits(backend, out, table, ids));
    if (cuda != NULL) {
        for_each_piece(cuda, embed_operation{span_of(out), span_of(table), ids, table.rows}, out.rows, out.cols);
    }
}

/* One thread for some columns goes through the batch in order: no two add to one place at once. */
struct embed_gradient {
    struct span dtable, dout;
    const int32_t *ids;
    int64_t table_rows, count_ids;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        (void)row;
        for (int64_t i = 0; i < count_ids; i++) {
            const int32_t id = ids[i];
            if (id < 0 || id >= table_rows) {
                continue;
            }
            struct piece sum = load_piece(dtable, id, col, count);
            const struct piece more = load_piece(dout, i, col, count);
            for (int k = 0; k < FS_PIECE; k++) {
                sum.v[k] += more.v[k];
            }
            store_piece(dtable, id, col, count, sum);
        }
    }
};

static void embed_backward(struct fs_backend *backend, struct fs_view dtable, struct fs_view dout, const int32_t *ids)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "embed_backward", fs_embed_backward_fits(backend, dtable, dout, ids));
    if (cuda != NULL) {
        for_each_piece(cuda, embed_gradient{span_of(dtable), span_of(dout), ids, dtable.rows, dout.rows}, 1, dout.cols);
    }
}

void fs_cuda_install_tokens(struct fs_backend *backend)
{
    backend->patchify = FS_TOLD(patchify);
    backend->unpatchify = FS_TOLD(unpatchify);
    backend->sinusoidal = FS_TOLD(sinusoidal);
    backend->sinusoidal_tangent = FS_TOLD(sinusoidal_tangent);
    backend->embed_forward = FS_TOLD(embed_forward);
    backend->embed_backward = FS_TOLD(embed_backward);
}
