/* What the methods of average velocities share. */
#include "methods/intervals.h"

#include <math.h>

#include "methods/targets.h"

static const struct fs_interval_settings *settings_of(const struct fs_method_setup *setup)
{
    return setup->settings;
}

/* --- entries of the table --- */

int fs_interval_row_groups(const struct fs_method_setup *setup, int counts[FS_ROW_GROUPS_MAX])
{
    counts[FS_INSTANT_ROWS] = fs_share_of_rows(setup->batch, settings_of(setup)->flow_matching_share);
    counts[FS_INTERVAL_ROWS] = setup->batch - counts[FS_INSTANT_ROWS];
    return 2;
}

double fs_interval_target_ema(const void *settings)
{
    const struct fs_interval_settings *intervals = settings;
    return intervals->target_network == FS_TARGET_AVERAGE ? intervals->target_ema : -1;
}

struct fs_loss fs_interval_loss(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)phase;
    const struct fs_interval_settings *intervals = settings_of(setup);
    if (intervals->loss_power == 0) {
        return (struct fs_loss){.kind = FS_LOSS_MEAN_SQUARE};
    }
    return (struct fs_loss){FS_LOSS_ADAPTIVE, (float)intervals->loss_power, (float)intervals->loss_constant};
}

float fs_interval_conditioning(const struct fs_method_setup *setup, int steps)
{
    (void)setup;
    return 1 / (float)steps;
}

void fs_interval_step(struct fs_step *step)
{
    const double d = step->next - step->t;
    step->velocity(step, step->scratch[0], step->x, step->t, (float)d);
    step->mix(step, step->x, 1, step->x, d, step->scratch[0], 0);
}

bool fs_interval_trains_guided(const void *settings)
{
    return ((const struct fs_interval_settings *)settings)->guided_target;
}

bool fs_interval_guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    (void)steps;
    if (settings_of(setup)->guided_target) {
        *reason = "its targets are guided already (guided_target)";
        return false;
    }
    return true;
}

/* --- times --- */

static float sigmoid(double x)
{
    return (float)(1 / (1 + exp(-x)));
}

/* t and r of a row that spans an interval; a row with r = t takes this t, but on the grid. */
static void draw_interval(const struct fs_method_setup *setup, struct fs_random_key key, uint32_t row, float *t,
                          float *r)
{
    const struct fs_interval_settings *intervals = settings_of(setup);
    float normals[4];
    if (intervals->time_sampler == FS_TIMES_GRID) {
        const int level = (int)fs_random_below(key, row, 0, (uint32_t)setup->levels);
        *t = ldexpf((float)fs_random_below(key, row, 1, (uint32_t)1 << level), -level);
        *r = *t + ldexpf(1, -level);
        return;
    }
    float first = fs_uniform(key, row, 0), second = fs_uniform(key, row, 1);
    if (intervals->time_sampler == FS_TIMES_LOGIT_NORMAL) {
        fs_normals4(key, row, 0, normals);
        first = sigmoid(intervals->time_mean + intervals->time_deviation * (double)normals[0]);
        second = sigmoid(intervals->time_mean + intervals->time_deviation * (double)normals[1]);
    }
    *t = fminf(first, second);
    *r = fmaxf(first, second);
}

/* The level whose step is nearest to d, by ratio. */
static int32_t level_of(float d, int levels)
{
    const long level = d > 0 ? lround(-log2((double)d)) : levels;
    return (int32_t)(level < 0 ? 0 : level > levels ? levels : level);
}

void fs_interval_set(const struct fs_method_setup *setup, struct fs_targets *targets, int row, float d)
{
    targets->s[row] = d;
    targets->level[row] = level_of(d, setup->levels);
}

static void fill_interval_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    const struct fs_random_key key = fs_target_key(context, FS_STREAM_TRAIN_TIME);
    float unused;
    for (int i = range.first; i < range.first + range.count; i++) {
        draw_interval(&context->setup, key, fs_global_row(range, i), &targets->t[i], &unused);
    }
    fs_flow_matching_at_times(context, targets, range, 0);
    for (int i = range.first; i < range.first + range.count; i++) {
        float t, r;
        draw_interval(&context->setup, key, fs_global_row(range, i), &t, &r);
        fs_interval_set(&context->setup, targets, i, r - t);
    }
}

static void fill_instant_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    const struct fs_random_key key = fs_target_key(context, FS_STREAM_TRAIN_TIME);
    float unused;
    if (settings_of(&context->setup)->time_sampler == FS_TIMES_GRID) {
        fs_draw_grid_times(context, targets, range);
    } else {
        for (int i = range.first; i < range.first + range.count; i++) {
            draw_interval(&context->setup, key, fs_global_row(range, i), &targets->t[i], &unused);
        }
    }
    fs_flow_matching_at_times(context, targets, range, 0);
}

void fs_interval_rows(struct fs_method_context *context, struct fs_targets *targets)
{
    fill_interval_rows(context, targets, context->groups[FS_INTERVAL_ROWS]);
    fill_instant_rows(context, targets, context->groups[FS_INSTANT_ROWS]);
}

double fs_interval_share(const struct fs_method_setup *setup)
{
    int counts[FS_ROW_GROUPS_MAX];
    fs_interval_row_groups(setup, counts);
    return (double)counts[FS_INTERVAL_ROWS] / setup->batch;
}

/* --- guidance --- */

enum fs_network fs_interval_network(const struct fs_method_context *context)
{
    return fs_interval_asks_average(&context->setup) ? FS_NETWORK_AVERAGE : FS_NETWORK_CURRENT;
}

bool fs_interval_asks_average(const struct fs_method_setup *setup)
{
    return settings_of(setup)->target_network == FS_TARGET_AVERAGE;
}

double fs_interval_guidance_forwards(const struct fs_method_setup *setup)
{
    const struct fs_interval_settings *intervals = settings_of(setup);
    if (!intervals->guided_target || (setup->guidance_scale == 1 && intervals->kappa == 0)) {
        return 0;
    }
    return intervals->kappa > 0 ? 2 : 1;
}

/* Coefficients of a guided row, 1 and 0 in one that keeps ṽ. */
static void guidance_coefficients(struct fs_method_context *context, const struct fs_targets *targets,
                                  struct fs_row_range range, double omega, double other, float *data, float *network)
{
    const struct fs_interval_settings *intervals = settings_of(&context->setup);
    for (int i = 0; i < range.count; i++) {
        const double t = (double)targets->t[range.first + i];
        const bool guided = targets->labels[range.first + i] != context->null_label && t >= intervals->guidance_begin &&
                            t <= intervals->guidance_end;
        data[i] = guided ? (float)omega : 1;
        network[i] = guided ? (float)other : 0;
    }
}

void fs_interval_guide(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    const double kappa = settings_of(&context->setup)->kappa, omega = context->guidance_scale * (1 - kappa);
    if (range.count == 0 || fs_interval_guidance_forwards(&context->setup) == 0) {
        return;
    }
    const enum fs_network network = fs_interval_network(context);
    const struct fs_view x = fs_view_rows(targets->x, range.first, range.count);
    const struct fs_view target = fs_view_rows(targets->target, range.first, range.count);
    const struct fs_view null = fs_view_rows(context->scratch[1], 0, range.count);
    const struct fs_view labelled = fs_view_rows(context->scratch[2], 0, range.count);
    const float *t = targets->t + range.first;
    float *const left = context->numbers[0], *const right = context->numbers[1], *const zero = context->numbers[2];
    for (int i = 0; i < range.count; i++) {
        zero[i] = 0;
        context->spare_labels[i] = context->null_label;
    }
    context->evaluate(context, network, null, x, t, zero, context->spare_labels);
    guidance_coefficients(context, targets, range, omega, 1 - omega - kappa, left, right);
    context->mix(context, target, left, target, right, null, 0);
    if (kappa > 0) {
        context->evaluate(context, network, labelled, x, t, zero, targets->labels + range.first);
        guidance_coefficients(context, targets, range, 1, kappa, left, right);
        context->mix(context, target, left, target, right, labelled, 0);
    }
}

/* --- MeanFlow --- */

void fs_mean_flow_phase(const struct fs_method_setup *setup, struct fs_phase *phase)
{
    phase->tangents = fs_interval_share(setup);
    phase->known = fs_interval_asks_average(setup) ? 0 : phase->tangents;
}

void fs_mean_flow_target(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    if (range.count == 0) {
        return;
    }
    const struct fs_view x = fs_view_rows(targets->x, range.first, range.count);
    const struct fs_view target = fs_view_rows(targets->target, range.first, range.count);
    const struct fs_view u = fs_view_rows(context->scratch[1], 0, range.count);
    const struct fs_view u_dot = fs_view_rows(context->scratch[2], 0, range.count);
    const float *t = targets->t + range.first, *s = targets->s + range.first;
    float *const one = context->numbers[0], *const minus_one = context->numbers[1];
    for (int i = 0; i < range.count; i++) {
        one[i] = 1;
        minus_one[i] = -1;
    }
    context->evaluate_tangent(context, fs_interval_network(context), u, u_dot, x, t, s, targets->labels + range.first,
                              target, one, minus_one);
    context->mix(context, target, one, target, s, u_dot, 0);
    targets->known = fs_interval_asks_average(&context->setup) || range.first > 0 ? 0 : range.count;
}
