/* The operations on pictures: patches, convolution, pooling, resize, group norm. */
#include "harness/bench/cases.h"
#include "kernels/operands.h"

#define B c->samples

static int64_t pixels_in(const struct fs_case *c)
{
    return c->window.in_height * c->window.in_width;
}

static int64_t numbers_in(const struct fs_case *c)
{
    return pixels_in(c) * c->window.in_channels;
}

static int64_t numbers_out(const struct fs_case *c)
{
    return fs_window_out_height(&c->window) * fs_window_out_width(&c->window) * c->window.out_channels;
}

/* --- patches: the window's kernel --- */

static int64_t token_count(const struct fs_case *c)
{
    return B * pixels_in(c) / (c->window.kernel_height * c->window.kernel_width);
}

static int64_t token_width(const struct fs_case *c)
{
    return c->window.kernel_height * c->window.kernel_width * c->window.in_channels;
}

static int patchify_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("tokens", FS_ANY, token_count(c), token_width(c)),
                       FS_IN("images", FS_ANY, B, numbers_in(c)));
}

static void patchify(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->patchify(k, v[0], v[1], c->window.in_height, c->window.in_width, c->window.in_channels, c->window.kernel_height);
}

static int unpatchify_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("images", FS_ANY, B, numbers_in(c)),
                       FS_IN("tokens", FS_ANY, token_count(c), token_width(c)));
}

static void unpatchify(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->unpatchify(k, v[0], v[1], c->window.in_height, c->window.in_width, c->window.in_channels,
                  c->window.kernel_height);
}

static const struct fs_case patch_cases[] = {
    {.samples = 3, .window = {6, 4, 5, 0, 2, 2, 2, 0, 0}},
    {.samples = 2, .window = {8, 8, 4, 0, 4, 4, 4, 0, 0}},
    {.samples = 1, .window = {3, 5, 1, 0, 1, 1, 1, 0, 0}},
};

static int patches_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){
        .samples = m->batch,
        .window = {m->height, m->columns, m->channels, 0, m->patch, m->patch, m->patch, 0, 0},
    };
    return 1;
}

/* --- convolution --- */

static int convolution_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    const int64_t filters = c->window.out_channels;
    return FS_OPERANDS(list, FS_OUT("y", FS_ANY, B, numbers_out(c)), FS_IN("x", FS_ANY, B, numbers_in(c)),
                       FS_IN("w", FS_ANY, filters, token_width(c), .dense = true),
                       FS_IN("bias", FS_REAL, !c->bare, filters, .dense = true));
}

static void convolution_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->convolution_forward(k, v[0], v[1], v[2], v[3], &c->window, c->relu);
}

static double convolution_forward_flops(const struct fs_case *c)
{
    return 2.0 * (double)(B * numbers_out(c) * token_width(c));
}

static int convolution_backward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    const int64_t filters = c->window.out_channels;
    return FS_OPERANDS(list, FS_OUT("dx", FS_REAL, c->bare ? 0 : B, numbers_in(c)),
                       FS_SUM("dw", FS_REAL, filters, token_width(c), .dense = true),
                       FS_SUM("dbias", FS_REAL, !c->bare, filters, .dense = true),
                       FS_IN("dy", FS_REAL, B, numbers_out(c)), FS_IN("x", FS_REAL, B, numbers_in(c)),
                       FS_IN("y", FS_REAL, c->relu ? B : 0, numbers_out(c)),
                       FS_IN("w", FS_REAL, filters, token_width(c), .dense = true));
}

static void convolution_backward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->convolution_backward(k, v[0], v[1], v[2], v[3], v[4], v[5], v[6], &c->window);
}

/* Both backends then stand on the same side of the ReLU. */
static void prepare_convolution(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    if (c->relu) {
        k->convolution_forward(k, v[5], v[4], v[6], fs_no_view(), &c->window, true);
    }
}

static double convolution_backward_flops(const struct fs_case *c)
{
    return (c->bare ? 1 : 2) * convolution_forward_flops(c);
}

static const struct fs_case convolution_cases[] = {
    {.samples = 3, .window = {9, 8, 1, 16, 3, 3, 1, 1, 1}, .relu = true},
    {.samples = 2, .window = {7, 11, 5, 7, 5, 3, 2, 2, 0}, .relu = true},
    {.samples = 1, .window = {6, 6, 16, 24, 1, 1, 1, 0, 0}},
    {.samples = 2, .window = {5, 6, 3, 4, 3, 3, 1, 1, 1}, .bare = true},
    {.samples = 2, .window = {8, 6, 8, 8, 3, 3, 2, .pad_below = 1, .pad_right = 1}}, /* an autoencoder's way down */
    {.samples = 1, .window = {5, 9, 12, 6, 3, 2, 1, 0, 1, .pad_below = 2, .channels_last = 1}},
    {.samples = 2, .window = {7, 4, 5, 3, 3, 3, 1, 1, 1, .channels_last = 1}, .relu = true},
};

/* Of a small classifier: 28 × 28, 32 to 64 channels. */
static int convolution_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    (void)m;
    *out = (struct fs_case){.samples = 16, .window = {28, 28, 32, 64, 3, 3, 1, 1, 1}, .relu = true};
    return 1;
}

/* --- pooling --- */

static int pool_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("y", FS_ANY, B, numbers_out(c)), FS_IN("x", FS_ANY, B, numbers_in(c)));
}

static void pool_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->pool_forward(k, v[0], v[1], &c->window, c->pooling);
}

static const struct fs_case pool_cases[] = {
    {.samples = 2, .window = {8, 8, 16, 16, 2, 2, 2, 0, 0}, .pooling = FS_POOL_MAX},
    {.samples = 2, .window = {7, 9, 5, 5, 3, 3, 1, 1, 1}, .pooling = FS_POOL_MAX},
    {.samples = 2, .window = {9, 7, 3, 3, 3, 2, 2, 0, 1}, .pooling = FS_POOL_MAX},
    {.samples = 2, .window = {8, 8, 16, 16, 2, 2, 2, 0, 0}, .pooling = FS_POOL_AVERAGE_PADDED},
    {.samples = 2, .window = {7, 9, 5, 5, 3, 3, 1, 1, 1}, .pooling = FS_POOL_AVERAGE_PADDED},
    {.samples = 2, .window = {9, 7, 3, 3, 3, 2, 2, 0, 1}, .pooling = FS_POOL_AVERAGE_PADDED},
    {.samples = 2, .window = {8, 8, 16, 16, 2, 2, 2, 0, 0}, .pooling = FS_POOL_AVERAGE_UNPADDED},
    {.samples = 2, .window = {7, 9, 5, 5, 3, 3, 1, 1, 1}, .pooling = FS_POOL_AVERAGE_UNPADDED},
    {.samples = 2, .window = {9, 7, 3, 3, 3, 2, 2, 0, 1}, .pooling = FS_POOL_AVERAGE_UNPADDED},
};

static int pool_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    (void)m;
    *out = (struct fs_case){.samples = 16, .window = {28, 28, 64, 64, 2, 2, 2, 0, 0}};
    return 1;
}

/* --- resize: the window's kernel is the taps of each side --- */

static int resize_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    const struct fs_window *w = &c->window;
    const int64_t tall = w->kernel_height, wide = w->kernel_width;
    return FS_OPERANDS(list, FS_OUT("y", FS_ANY, B, c->out_height * c->out_width * w->in_channels),
                       FS_IN("x", FS_ANY, B, numbers_in(c)),
                       FS_IN("vertical", FS_IDS, 1, c->out_height, .dense = true, .below = w->in_height - tall + 1),
                       FS_IN("vertical weights", FS_FLOATS, c->out_height, tall, .dense = true),
                       FS_IN("horizontal", FS_IDS, 1, c->out_width, .dense = true, .below = w->in_width - wide + 1),
                       FS_IN("horizontal weights", FS_FLOATS, c->out_width, wide, .dense = true));
}

static void resize_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    const struct fs_window *w = &c->window;
    const struct fs_resize_side vertical = {w->in_height, c->out_height, w->kernel_height, v[2].data, v[3].data},
                                horizontal = {w->in_width, c->out_width, w->kernel_width, v[4].data, v[5].data};
    const float clip = c->clip > 0 ? (float)c->clip : INFINITY;
    const struct fs_resize_scale scale = {-clip, clip, 0.5f, -0.25f};
    k->resize_forward(k, v[0], v[1], &vertical, &horizontal, w->in_channels, &scale);
}

static const struct fs_case resize_cases[] = {
    {.samples = 3, .window = {5, 7, 3, 0, 3, 2}, .out_height = 9, .out_width = 4, .clip = 1.5},
    {.samples = 2, .window = {8, 6, 16, 0, 4, 6}, .out_height = 4, .out_width = 12},
    {.samples = 2, .window = {9, 3, 9, 0, 1, 3}, .out_height = 6, .out_width = 5, .clip = 1.25},
    {.samples = 1, .window = {1, 1, 1, 0, 1, 1}, .out_height = 1, .out_width = 3},
    {.samples = 1, .window = {31, 16, 20, 0, 8, 2}, .out_height = 17, .out_width = 33, .clip = 1.5},
};

/* Small pictures as a feature network takes them, by PIL's bicubic. */
static int resize_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    (void)m;
    *out = (struct fs_case){.samples = 16, .window = {32, 32, 3, 0, 4, 4}, .out_height = 299, .out_width = 299};
    return 1;
}

/* --- group norm --- */

static int group_norm_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    const int64_t channels = c->window.in_channels;
    return FS_OPERANDS(list, FS_OUT("y", FS_ANY, B, numbers_in(c), .dense = true, .same_as = c->in_place ? 2 : 0),
                       FS_IN("x", FS_ANY, B, numbers_in(c), .centre = c->centre), FS_IN("gamma", FS_ANY, 1, channels),
                       FS_IN("beta", FS_ANY, 1, channels));
}

static void group_norm_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->group_norm_forward(k, v[0], v[1], v[2], v[3], c->window.in_channels, c->groups, 1e-3, c->silu);
}

/* Far from 0, x is itself rounded to its centre's digits. */
static double group_norm_condition(const struct fs_case *c, const struct fs_view reference[])
{
    (void)reference;
    return c->centre > 0 ? 10 : 1;
}

static const struct fs_case group_norm_cases[] = {
    {.samples = 2, .window = {8, 8, 32}, .groups = 8},
    {.samples = 3, .window = {5, 7, 9}, .groups = 3, .in_place = true},
    {.samples = 1, .window = {1, 1, 6}, .groups = 1},
    {.samples = 2, .window = {29, 37, 20}, .groups = 5, .centre = 100}, /* more pixels than are summed at once */
    {.samples = 2, .window = {13, 1, 48}, .groups = 48, .in_place = true},
    {.samples = 2, .window = {6, 11, 24}, .groups = 8, .silu = true},
    {.samples = 1, .window = {9, 9, 7}, .groups = 7, .in_place = true, .silu = true},
};

static int group_norm_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    (void)m;
    *out = (struct fs_case){.samples = 16, .window = {28, 28, 64}, .groups = 32};
    return 1;
}

/* --- the list --- */

enum { PATCHIFY, UNPATCHIFY, CONVOLUTION, CONVOLUTION_BACK, POOL, RESIZE, GROUP_NORM };

const struct fs_operation fs_picture_operations[] = {
    [PATCHIFY] = {FS_OPERATION(patchify), patchify_operands, patchify, FS_CASES(patch_cases),
                  .model_cases = patches_at_model},
    [UNPATCHIFY] = {FS_OPERATION(unpatchify), unpatchify_operands, unpatchify, FS_CASES(patch_cases),
                    .model_cases = patches_at_model},
    [CONVOLUTION] = {FS_OPERATION(convolution_forward), convolution_forward_operands, convolution_forward,
                     .flops = convolution_forward_flops, .tolerance = 5e-6, FS_CASES(convolution_cases),
                     .model_cases = convolution_at_model},
    [CONVOLUTION_BACK] = {FS_OPERATION(convolution_backward), convolution_backward_operands, convolution_backward,
                          prepare_convolution, convolution_backward_flops, .tolerance = 5e-6,
                          .forward = &fs_picture_operations[CONVOLUTION], FS_CASES(convolution_cases),
                          .model_cases = convolution_at_model},
    [POOL] = {FS_OPERATION(pool_forward), pool_forward_operands, pool_forward, .tolerance = 1e-6, FS_CASES(pool_cases),
              .model_cases = pool_at_model},
    [RESIZE] = {FS_OPERATION(resize_forward), resize_forward_operands, resize_forward, .tolerance = 5e-6,
                FS_CASES(resize_cases), .model_cases = resize_at_model},
    [GROUP_NORM] = {FS_OPERATION(group_norm_forward), group_norm_forward_operands, group_norm_forward,
                    .tolerance = 3e-6, .condition = group_norm_condition, FS_CASES(group_norm_cases),
                    .model_cases = group_norm_at_model},
};
const int fs_picture_operation_count = sizeof fs_picture_operations / sizeof *fs_picture_operations;
