/* Live reflow: Reflow whose pairs are drawn by the network that is being trained, afresh at each update. Part of each
 * batch is flow matching at the finest level; for the rest the network carries noise to data in a few Euler steps, and
 * learns that straight line under s = 0. Named and described by the shortcut model's authors (Frans et al. 2024,
 * section 5.1). */
#include "methods/defaults.h"
#include "methods/steps.h"
#include "methods/targets.h"

struct settings {
    double reflow_fraction;
    int reflow_steps;
};

static const struct fs_option options[] = {
    {.key = "reflow_fraction",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, reflow_fraction),
     .fallback = 0.125,
     .minimum = 0,
     .maximum = 1},
    {.key = "reflow_steps",
     .kind = FS_OPTION_WHOLE,
     FS_SETTING(struct settings, reflow_steps),
     .fallback = 8,
     .minimum = 1,
     .maximum = 1024},
};

static int reflow_rows(const struct fs_method_setup *setup)
{
    const struct settings *settings = setup->settings;
    return fs_share_of_rows(setup->batch, settings->reflow_fraction);
}

static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    const int rows = reflow_rows(setup);
    if (rows < 1 || rows >= setup->batch) {
        return fs_fail(error, FS_USAGE,
                       "methods.live-reflow.reflow_fraction: %g of a batch of %d is %d rows: expected a share that "
                       "gives both kinds of rows one, %g to %g",
                       ((const struct settings *)setup->settings)->reflow_fraction, setup->batch, rows,
                       1.0 / setup->batch, (setup->batch - 1.0) / setup->batch);
    }
    return FS_OK;
}

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    return fs_single_phase(setup, FS_START_FRESH, phases);
}

enum { REFLOW, FLOW_MATCHING };

static int row_groups(const struct fs_method_setup *setup, int counts[FS_ROW_GROUPS_MAX])
{
    counts[REFLOW] = reflow_rows(setup);
    counts[FLOW_MATCHING] = setup->batch - counts[REFLOW];
    return 2;
}

/* Where the current network carries the noise of the range in Euler steps at level K: in scratch[1]. */
static struct fs_view draw_images(struct fs_method_context *context, const struct fs_targets *targets,
                                  struct fs_row_range range, struct fs_view noise)
{
    const int steps = ((const struct settings *)context->setup.settings)->reflow_steps;
    const struct fs_view image = fs_view_rows(context->scratch[1], 0, range.count);
    const struct fs_view velocity = fs_view_rows(context->scratch[2], 0, range.count);
    float *const t = context->numbers[2], *const s = context->numbers[3];
    for (int step = 0; step < steps; step++) {
        for (int i = 0; i < range.count; i++) {
            t[i] = (float)step / (float)steps;
            s[i] = (float)context->setup.levels;
        }
        const struct fs_view x = step == 0 ? noise : image;
        fs_guided_velocity(context, FS_NETWORK_CURRENT, context->guidance_scale != 1 ? range.count : 0, velocity, x, t,
                           s, targets->labels + range.first);
        fs_mix_evenly(context, image, 1, x, 1.0 / steps, velocity, 0);
    }
    return image;
}

/* x_t between noise and its image, target image − noise. */
static void reflow_targets(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    if (range.count == 0) {
        return;
    }
    const struct fs_random_key times = fs_target_key(context, FS_STREAM_BOOTSTRAP_TIME);
    const int finest = context->setup.finest_steps;
    for (int i = range.first; i < range.first + range.count; i++) {
        targets->t[i] = (float)fs_random_below(times, fs_global_row(range, i), 0, (uint32_t)finest) / (float)finest;
        targets->s[i] = 0;
        targets->labels[i] = context->labels[i];
        targets->weight[i] = 1;
        targets->level[i] = 0;
    }
    const struct fs_view noise = fs_draw_noise(context, range, FS_STREAM_BOOTSTRAP_NOISE);
    const struct fs_view image = draw_images(context, targets, range, noise);
    fs_mix_noise_and_data(context, fs_view_rows(targets->x, range.first, range.count), noise, targets->t + range.first,
                          image);
    fs_mix_evenly(context, fs_view_rows(targets->target, range.first, range.count), 1, image, -1, noise, 0);
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    reflow_targets(context, targets, context->groups[REFLOW]);
    fs_flow_matching_rows(context, targets, context->groups[FLOW_MATCHING], (float)context->setup.levels);
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)phase;
    const struct settings *settings = setup->settings;
    const double forwards = setup->guidance_scale != 1 ? 2.0 : 1.0;
    return forwards * settings->reflow_steps * reflow_rows(setup) / setup->batch;
}

/* Straightened paths at fewer steps than the finest, flow matching there. */
static float conditioning(const struct fs_method_setup *setup, int steps)
{
    return steps < setup->finest_steps ? 0 : (float)setup->levels;
}

static bool guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    *reason = "what it samples with below its finest step was trained without the null label, on images that were "
              "drawn with guidance already";
    return steps == setup->finest_steps;
}

const struct fs_method fs_live_reflow = {
    .name = "live-reflow",
    .label = "Live reflow",
    .citation = "Frans, Hafner, Levine, Abbeel: One Step Diffusion via Shortcut Models, 2024",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    .check = check,
    .teacher_share = fs_no_teacher,
    .target_ema = fs_train_average,
    .phases = phases,
    .row_groups = row_groups,
    .make_targets = make_targets,
    .loss = fs_mean_square,
    .extra_forwards = extra_forwards,
    .conditioning = conditioning,
    .freedom = FS_ANY_STEPS | FS_ANY_TIMES | FS_ANY_SOLVER,
    .step = fs_euler_step,
    .trains_guided = fs_always_guided,
    .guidance_allowed = guidance_allowed,
    .outside_training = fs_inside_training,
};
