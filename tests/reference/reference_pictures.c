/* The reference's patches, convolutions, pooling, resizing and group norm. */
#include <math.h>

#include "tests/reference/reference.h"

/* --- patches --- */

static void move_patches(struct fs_view tokens, struct fs_view images, int64_t height, int64_t width, int64_t channels,
                         int64_t patch, bool to_tokens)
{
    const int64_t across = width / patch, per_image = across * (height / patch);
    for (int64_t b = 0; b < images.rows; b++) {
        for (int64_t pixel = 0; pixel < height * width; pixel++) {
            const int64_t row = pixel / width, col = pixel % width;
            const int64_t token = b * per_image + row / patch * across + col / patch;
            for (int64_t c = 0; c < channels; c++) {
                double *image_at = fs_at(images, b, pixel * channels + c);
                double *token_at = fs_at(tokens, token, (row % patch * patch + col % patch) * channels + c);
                *(to_tokens ? token_at : image_at) = *(to_tokens ? image_at : token_at);
            }
        }
    }
}

static void patchify(struct fs_backend *backend, struct fs_view tokens, struct fs_view images, int64_t height,
                     int64_t width, int64_t channels, int64_t patch)
{
    if (fs_reference_begin(backend, "patchify",
                           fs_patches_fit(backend, tokens, images, height, width, channels, patch))) {
        move_patches(tokens, images, height, width, channels, patch, true);
    }
}

static void unpatchify(struct fs_backend *backend, struct fs_view images, struct fs_view tokens, int64_t height,
                       int64_t width, int64_t channels, int64_t patch)
{
    if (fs_reference_begin(backend, "unpatchify",
                           fs_patches_fit(backend, tokens, images, height, width, channels, patch))) {
        move_patches(tokens, images, height, width, channels, patch, false);
    }
}

/* --- windows --- */

/* Column of channel 0 of the input pixel under kernel element (r, s) at output pixel (i, j); −1: in the padding. */
static int64_t under(const struct fs_window *window, int64_t i, int64_t j, int64_t r, int64_t s)
{
    const int64_t row = i * window->stride + r - window->pad_height;
    const int64_t col = j * window->stride + s - window->pad_width;
    if (row < 0 || row >= window->in_height || col < 0 || col >= window->in_width) {
        return -1;
    }
    return (row * window->in_width + col) * window->in_channels;
}

/* The column of the number that element k of a filter meets at output pixel (i, j); −1: padding. */
static int64_t input_of(const struct fs_window *window, int64_t i, int64_t j, int64_t k)
{
    const int64_t area = window->kernel_width * window->kernel_height, channels = window->in_channels;
    const int64_t c = window->channels_last ? k % channels : k / area;
    const int64_t place = window->channels_last ? k / channels : k % area;
    const int64_t at = under(window, i, j, place / window->kernel_width, place % window->kernel_width);
    return at < 0 ? -1 : at + c;
}

/* Σ over the window of w·x, for output pixel (i, j) of sample b and filter o. */
static double convolve(struct fs_view x, struct fs_view w, const struct fs_window *window, int64_t b, int64_t i,
                       int64_t j, int64_t o)
{
    double sum = 0;
    for (int64_t k = 0; k < w.cols; k++) {
        const int64_t at = input_of(window, i, j, k);
        if (at >= 0) {
            sum += *fs_at(x, b, at) * *fs_at(w, o, k);
        }
    }
    return sum;
}

static void convolution_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view w,
                                struct fs_view bias, const struct fs_window *window, bool relu)
{
    if (!fs_reference_begin(backend, "convolution_forward",
                            fs_convolution_forward_fits(backend, y, x, w, bias, window))) {
        return;
    }
    const int64_t width = fs_window_out_width(window), filters = window->out_channels;
    for (int64_t b = 0; b < y.rows; b++) {
        for (int64_t at = 0; at < y.cols; at++) {
            const int64_t o = at % filters, pixel = at / filters;
            const double offset = bias.data == NULL ? 0 : *fs_at(bias, 0, o);
            const double z = offset + convolve(x, w, window, b, pixel / width, pixel % width, o);
            *fs_at(y, b, at) = relu ? fmax(z, 0) : z;
        }
    }
}

static void convolution_backward(struct fs_backend *backend, struct fs_view dx, struct fs_view dw, struct fs_view dbias,
                                 struct fs_view dy, struct fs_view x, struct fs_view y, struct fs_view w,
                                 const struct fs_window *window)
{
    if (!fs_reference_begin(backend, "convolution_backward",
                            fs_convolution_backward_fits(backend, dx, dw, dbias, dy, x, y, w, window))) {
        return;
    }
    if (dx.data != NULL) {
        backend->fill(backend, dx, 0);
    }
    const int64_t width = fs_window_out_width(window), filters = window->out_channels;
    for (int64_t b = 0; b < dy.rows; b++) {
        for (int64_t at = 0; at < dy.cols; at++) {
            const int64_t o = at % filters, i = at / filters / width, j = at / filters % width;
            const double g = y.data != NULL && *fs_at(y, b, at) <= 0 ? 0 : *fs_at(dy, b, at);
            if (dbias.data != NULL) {
                *fs_at(dbias, 0, o) += g;
            }
            for (int64_t k = 0; k < w.cols; k++) {
                const int64_t from = input_of(window, i, j, k);
                if (from >= 0) {
                    *fs_at(dw, o, k) += g * *fs_at(x, b, from);
                }
                if (from >= 0 && dx.data != NULL) {
                    *fs_at(dx, b, from) += g * *fs_at(w, o, k);
                }
            }
        }
    }
}

static double pool(struct fs_view x, const struct fs_window *window, enum fs_pooling pooling, int64_t b, int64_t i,
                   int64_t j, int64_t c)
{
    double largest = -INFINITY, sum = 0;
    int64_t inside = 0;
    for (int64_t r = 0; r < window->kernel_height; r++) {
        for (int64_t s = 0; s < window->kernel_width; s++) {
            const int64_t at = under(window, i, j, r, s);
            if (at >= 0) {
                largest = fmax(largest, *fs_at(x, b, at + c));
                sum += *fs_at(x, b, at + c);
                inside++;
            }
        }
    }
    if (pooling == FS_POOL_MAX) {
        return largest;
    }
    return sum / (double)(pooling == FS_POOL_AVERAGE_UNPADDED ? inside : window->kernel_height * window->kernel_width);
}

static void pool_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, const struct fs_window *window,
                         enum fs_pooling pooling)
{
    if (!fs_reference_begin(backend, "pool_forward", fs_pool_forward_fits(backend, y, x, window))) {
        return;
    }
    const int64_t width = fs_window_out_width(window), channels = window->out_channels;
    for (int64_t b = 0; b < y.rows; b++) {
        for (int64_t at = 0; at < y.cols; at++) {
            const int64_t pixel = at / channels;
            *fs_at(y, b, at) = pool(x, window, pooling, b, pixel / width, pixel % width, at % channels);
        }
    }
}

/* --- resizing, group norm --- */

/* Number c of output pixel (i, j) of sample b. */
static double resized(struct fs_view x, const struct fs_resize_side *vertical, const struct fs_resize_side *horizontal,
                      int64_t channels, int64_t b, int64_t i, int64_t j, int64_t c)
{
    double sum = 0;
    for (int64_t r = 0; r < vertical->taps; r++) {
        for (int64_t s = 0; s < horizontal->taps; s++) {
            const int64_t pixel = (vertical->first[i] + r) * horizontal->in + horizontal->first[j] + s;
            sum += (double)vertical->weights[i * vertical->taps + r] * horizontal->weights[j * horizontal->taps + s] *
                   *fs_at(x, b, pixel * channels + c);
        }
    }
    return sum;
}

static void resize_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x,
                           const struct fs_resize_side *vertical, const struct fs_resize_side *horizontal,
                           int64_t channels, const struct fs_resize_scale *scale)
{
    if (!fs_reference_begin(backend, "resize_forward",
                            fs_resize_forward_fits(backend, y, x, vertical, horizontal, channels))) {
        return;
    }
    for (int64_t b = 0; b < y.rows; b++) {
        for (int64_t at = 0; at < y.cols; at++) {
            const int64_t i = at / channels / horizontal->out, j = at / channels % horizontal->out;
            const double v = resized(x, vertical, horizontal, channels, b, i, j, at % channels);
            const double clipped = v < scale->low ? scale->low : v > scale->high ? scale->high : v;
            *fs_at(y, b, at) = clipped * scale->gain + scale->offset;
        }
    }
}

static bool in_group(int64_t at, int64_t channels, int64_t groups, int64_t group)
{
    return at % channels / (channels / groups) == group;
}

static void normalise_group(struct fs_view y, struct fs_view x, struct fs_view gamma, struct fs_view beta, int64_t b,
                            int64_t groups, int64_t group, double epsilon, bool silu)
{
    const int64_t channels = gamma.cols, count = x.cols / groups;
    double mean = 0, variance = 0;
    for (int64_t at = 0; at < x.cols; at++) {
        mean += in_group(at, channels, groups, group) ? *fs_at(x, b, at) / (double)count : 0;
    }
    for (int64_t at = 0; at < x.cols; at++) {
        const double off = in_group(at, channels, groups, group) ? *fs_at(x, b, at) - mean : 0;
        variance += off * off / (double)count;
    }
    for (int64_t at = 0; at < x.cols; at++) {
        if (in_group(at, channels, groups, group)) {
            const double normal = (*fs_at(x, b, at) - mean) / sqrt(variance + epsilon);
            const double z = normal * *fs_at(gamma, 0, at % channels) + *fs_at(beta, 0, at % channels);
            *fs_at(y, b, at) = silu ? z / (1 + exp(-z)) : z;
        }
    }
}

static void group_norm_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view gamma,
                               struct fs_view beta, int64_t channels, int64_t groups, double epsilon, bool silu)
{
    if (!fs_reference_begin(backend, "group_norm_forward",
                            fs_group_norm_forward_fits(backend, y, x, gamma, beta, channels, groups))) {
        return;
    }
    for (int64_t index = 0; index < x.rows * groups; index++) {
        normalise_group(y, x, gamma, beta, index / groups, groups, index % groups, epsilon, silu);
    }
}

void fs_reference_pictures(struct fs_backend *backend)
{
    backend->patchify = patchify;
    backend->unpatchify = unpatchify;
    backend->convolution_forward = convolution_forward;
    backend->convolution_backward = convolution_backward;
    backend->pool_forward = pool_forward;
    backend->resize_forward = resize_forward;
    backend->group_norm_forward = group_norm_forward;
}
