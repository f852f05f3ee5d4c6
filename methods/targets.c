/* What the methods share when they make targets. */
#include "methods/targets.h"

#include <math.h>

static struct fs_view rows_of(struct fs_view view, struct fs_row_range range)
{
    return fs_view_rows(view, range.first, range.count);
}

int fs_share_of_rows(int batch, double share)
{
    return (int)floor(batch * share + 1e-9);
}

/* --- parts of a row --- */

struct fs_random_key fs_target_key(const struct fs_method_context *context, uint32_t stream)
{
    return (struct fs_random_key){.seed = context->seed, .stream = stream, .update = (uint32_t)context->update};
}

struct fs_view fs_row_noise(const struct fs_method_context *context, struct fs_row_range range)
{
    return rows_of(context->noise.data ? context->noise : context->scratch[0], range);
}

struct fs_view fs_draw_noise(struct fs_method_context *context, struct fs_row_range range, uint32_t stream)
{
    const struct fs_view noise = fs_row_noise(context, range);
    if (!context->noise.data) {
        context->backend->normals(context->backend, noise, fs_target_key(context, stream), (uint32_t)range.global);
    }
    return noise;
}

void fs_draw_labels(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    const struct fs_random_key key = fs_target_key(context, FS_STREAM_LABEL_DROPOUT);
    for (int i = range.first; i < range.first + range.count; i++) {
        const bool drop = (double)fs_uniform(key, fs_global_row(range, i), 0) < context->label_dropout;
        targets->labels[i] = drop ? context->null_label : context->labels[i];
    }
}

void fs_draw_grid_times(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    const struct fs_random_key key = fs_target_key(context, FS_STREAM_TRAIN_TIME);
    const int steps = context->setup.finest_steps;
    for (int i = range.first; i < range.first + range.count; i++) {
        targets->t[i] = (float)fs_random_below(key, fs_global_row(range, i), 0, (uint32_t)steps) / (float)steps;
    }
}

void fs_mix_noise_and_data(struct fs_method_context *context, struct fs_view out, struct fs_view noise, const float *t,
                           struct fs_view data)
{
    float *const left = context->numbers[0];
    for (int64_t i = 0; i < out.rows; i++) {
        left[i] = (float)(1 - (1 - FS_SIGMA) * (double)t[i]);
    }
    context->mix(context, out, left, noise, t, data, 0);
}

void fs_mix_at_times(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                     struct fs_view noise)
{
    fs_mix_noise_and_data(context, rows_of(targets->x, range), noise, targets->t + range.first,
                          rows_of(context->data, range));
}

void fs_mix_evenly(struct fs_method_context *context, struct fs_view out, double a, struct fs_view x, double c,
                   struct fs_view y, double clip)
{
    float *const left = context->numbers[0], *const right = context->numbers[1];
    for (int64_t i = 0; i < out.rows; i++) {
        left[i] = (float)a;
        right[i] = (float)c;
    }
    context->mix(context, out, left, x, right, y, clip);
}

void fs_guided_velocity(struct fs_method_context *context, enum fs_network network, int64_t guided, struct fs_view out,
                        struct fs_view x, const float *t, const float *s, const int32_t *labels)
{
    context->evaluate(context, network, out, x, t, s, labels);
    if (guided == 0) {
        return;
    }
    const struct fs_view null = fs_view_rows(context->scratch[3], 0, guided), mixed = fs_view_rows(out, 0, guided);
    for (int64_t i = 0; i < guided; i++) {
        context->spare_labels[i] = context->null_label;
    }
    context->evaluate(context, network, null, fs_view_rows(x, 0, guided), t, s, context->spare_labels);
    fs_mix_evenly(context, mixed, context->guidance_scale, mixed, 1 - context->guidance_scale, null, 0);
}

/* --- flow matching --- */

void fs_flow_matching_at_times(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                               float s)
{
    if (range.count == 0) {
        return;
    }
    fs_draw_labels(context, targets, range);
    for (int i = range.first; i < range.first + range.count; i++) {
        targets->s[i] = s;
        targets->weight[i] = 1;
        targets->level[i] = context->setup.levels;
    }
    const struct fs_view noise = fs_draw_noise(context, range, FS_STREAM_TRAIN_NOISE);
    fs_mix_at_times(context, targets, range, noise);
    fs_mix_evenly(context, rows_of(targets->target, range), 1, rows_of(context->data, range), -(1 - FS_SIGMA), noise,
                  0);
}

void fs_flow_matching_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                           float s)
{
    fs_draw_grid_times(context, targets, range);
    fs_flow_matching_at_times(context, targets, range, s);
}

/* --- two half steps --- */

static void draw_bootstrap(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                           bool conditioned)
{
    const struct fs_random_key times = fs_target_key(context, FS_STREAM_BOOTSTRAP_TIME);
    for (int i = range.first; i < range.first + range.count; i++) {
        const uint32_t steps = (uint32_t)1 << targets->level[i]; /* 1/d */
        targets->t[i] = (float)fs_random_below(times, fs_global_row(range, i), 0, steps) / (float)steps;
        targets->s[i] = conditioned ? (float)targets->level[i] : 0;
        targets->labels[i] = context->labels[i];
        targets->weight[i] = 1;
    }
    fs_mix_at_times(context, targets, range, fs_draw_noise(context, range, FS_STREAM_BOOTSTRAP_NOISE));
}

void fs_half_step_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                       const struct fs_half_steps *how)
{
    if (range.count == 0) {
        return;
    }
    draw_bootstrap(context, targets, range, how->conditioned);
    const struct fs_view x = rows_of(targets->x, range);
    const struct fs_view v1 = fs_view_rows(context->scratch[0], 0, range.count);
    const struct fs_view middle = fs_view_rows(context->scratch[1], 0, range.count);
    const struct fs_view v2 = fs_view_rows(context->scratch[2], 0, range.count);
    const float *t = targets->t + range.first;
    const int32_t *labels = targets->labels + range.first, *level = targets->level + range.first;
    float *const half_level = context->numbers[2], *const later = context->numbers[3];
    for (int i = 0; i < range.count; i++) {
        half_level[i] = how->conditioned ? (float)(level[i] + 1) : 0;
        later[i] = t[i] + ldexpf(1, -level[i] - 1);
    }
    fs_guided_velocity(context, how->network, how->guided, v1, x, t, half_level, labels);
    float *const one = context->numbers[0], *const half = context->numbers[1];
    for (int i = 0; i < range.count; i++) {
        one[i] = 1;
        half[i] = ldexpf(1, -level[i] - 1); /* d/2 */
    }
    context->mix(context, middle, one, x, half, v1, FS_CLIP);
    fs_guided_velocity(context, how->network, how->guided, v2, middle, later, half_level, labels);
    fs_mix_evenly(context, rows_of(targets->target, range), 0.5, v1, 0.5, v2, how->clip);
}

/* --- consistency --- */

void fs_consistency_target(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                           struct fs_view later, const float *later_t)
{
    const struct fs_view difference = fs_view_rows(context->scratch[0], 0, range.count);
    const struct fs_view velocity = fs_view_rows(context->scratch[2], 0, range.count);
    const float *t = targets->t + range.first;
    float *const left = context->numbers[0], *const right = context->numbers[1];
    context->evaluate(context, FS_NETWORK_AVERAGE, velocity, later, later_t, targets->s + range.first,
                      targets->labels + range.first);
    fs_mix_evenly(context, difference, 1, later, -1, rows_of(targets->x, range), 0);
    for (int i = 0; i < range.count; i++) {
        left[i] = (float)(1 / (1 - (double)t[i]));
        right[i] = (float)((1 - (double)later_t[i]) / (1 - (double)t[i]));
    }
    context->mix(context, rows_of(targets->target, range), left, difference, right, velocity, 0);
}
