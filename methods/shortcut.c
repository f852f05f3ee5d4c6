/* The shortcut model: one network for all step sizes. Part of each batch is flow matching at the finest level; in the
 * rest (self-consistency rows) one step of size d has to equal two steps of d/2 by the average network. */
#include "methods/defaults.h"
#include "methods/steps.h"
#include "methods/targets.h"

#include <math.h>
#include <stdio.h>

struct settings {
    double bootstrap_fraction;
    int max_step_level; /* level of the largest step trained on: `max_step: 1/8` is 3. K: none */
    double target_ema;  /* < 0: train.ema */
    bool bootstrap_guidance;
    bool bootstrap_dt_bias;    /* half of the self-consistency rows are of the two largest steps */
    bool allow_missing_levels; /* fewer self-consistency rows than levels are not refused */
};

static const struct fs_option options[] = {
    {.key = "bootstrap_fraction",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, bootstrap_fraction),
     .fallback = 0.125,
     .minimum = 0,
     .maximum = 1},
    {.key = "max_step", .kind = FS_OPTION_STEP, FS_SETTING(struct settings, max_step_level), .fallback = 0},
    FS_TARGET_EMA_OPTION(struct settings),
    {.key = "bootstrap_guidance",
     .kind = FS_OPTION_BOOL,
     FS_SETTING(struct settings, bootstrap_guidance),
     .fallback = 0},
    {.key = "bootstrap_dt_bias", .kind = FS_OPTION_BOOL, FS_SETTING(struct settings, bootstrap_dt_bias), .fallback = 0},
    {.key = "allow_missing_levels",
     .kind = FS_OPTION_BOOL,
     FS_SETTING(struct settings, allow_missing_levels),
     .fallback = 0},
};

/* --- which row of the batch is what: levels from the finest bootstrapped one (first) to the coarsest --- */

/* In equal shares, what is left over to the coarsest. With the bias towards large steps, the levels K − 1 … 2 share
 * half of the rows as if 1 and 0 had a share of it too, a quarter of the rows is of level 1, and the rest of level 0.
 */

struct layout {
    int rows;   /* self-consistency rows, the first of the batch */
    int levels; /* that are bootstrapped: K − 1 … coarsest */
    int share;  /* rows a level, the first levels at least */
    int guided; /* rows whose half steps are guided: those of level K − 1 */
};

/* Self-consistency rows with which each level has one. */
static int rows_needed(const struct settings *settings, int levels)
{
    return settings->bootstrap_dt_bias ? 2 * levels : levels;
}

static struct layout layout_of(const struct fs_method_setup *setup)
{
    const struct settings *settings = setup->settings;
    struct layout layout = {.levels = setup->levels - settings->max_step_level};
    if (layout.levels > 0) {
        layout.rows = fs_share_of_rows(setup->batch, settings->bootstrap_fraction);
        layout.share = layout.rows / rows_needed(settings, layout.levels);
    }
    if (settings->bootstrap_guidance && setup->guidance_scale != 1) {
        layout.guided = layout.levels == 1 ? layout.rows : layout.share;
    }
    return layout;
}

static int level_of(const struct fs_method_setup *setup, const struct layout *layout, int row)
{
    const struct settings *settings = setup->settings;
    const int coarsest = settings->max_step_level;
    if (settings->bootstrap_dt_bias && row >= layout->share * (layout->levels - 2)) {
        return row < layout->share * (layout->levels - 2) + layout->rows / 4 ? 1 : 0;
    }
    const int level = layout->share > 0 ? setup->levels - 1 - row / layout->share : coarsest;
    return level > coarsest ? level : coarsest;
}

/* --- the table --- */

static fs_status too_few_rows(const struct fs_method_setup *setup, const struct layout *layout, struct fs_error *error)
{
    const struct settings *settings = setup->settings;
    const double fraction = settings->bootstrap_fraction;
    const int needed = rows_needed(settings, layout->levels);
    char larger_batch[64] = "";
    const double batch = ceil((needed - 5e-10) / fraction); /* the smallest with a row for each level */
    if (fraction < 1 && batch < 1e6) {
        snprintf(larger_batch, sizeof larger_batch, ", or train.batch at least %.0f", batch);
    }
    const double enough = ceil(1e4 * needed / setup->batch) / 1e4;
    if (fs_share_of_rows(setup->batch, enough) >= setup->batch) {
        return fs_fail(error, FS_USAGE,
                       "train.batch: %d rows are too few for %d levels of self-consistency and a row of "
                       "flow matching: take a larger batch, or a smaller methods.shortcut.max_step%s",
                       setup->batch, layout->levels, larger_batch);
    }
    return fs_fail(error, FS_USAGE,
                   "methods.shortcut.bootstrap_fraction: %g of a batch of %d is %d rows for %d levels of "
                   "self-consistency, which need one each: take at least %g%s",
                   fraction, setup->batch, layout->rows, layout->levels, enough, larger_batch);
}

static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    const struct settings *settings = setup->settings;
    const struct layout layout = layout_of(setup);
    if (settings->max_step_level < 0 || settings->max_step_level > setup->levels) {
        return fs_fail(error, FS_USAGE,
                       "methods.shortcut.max_step: expected 1, 1/2 … 1/%d (model.finest_steps), got 2^%d",
                       setup->finest_steps, -settings->max_step_level);
    }
    if (settings->bootstrap_dt_bias && (settings->max_step_level != 0 || setup->levels < 2)) {
        return fs_fail(
            error, FS_USAGE,
            "methods.shortcut.bootstrap_dt_bias: is for a max_step of 1 and a model.finest_steps of 4 or more");
    }
    if (layout.levels > 0 && layout.share == 0 && !settings->allow_missing_levels) {
        return too_few_rows(setup, &layout, error);
    }
    if (layout.rows >= setup->batch) {
        return fs_fail(
            error, FS_USAGE,
            "methods.shortcut.bootstrap_fraction: %g leaves no row of a batch of %d for flow matching: take at "
            "most %g",
            settings->bootstrap_fraction, setup->batch, floor(1e4 * (setup->batch - 1) / setup->batch) / 1e4);
    }
    return FS_OK;
}

static double target_ema(const void *settings)
{
    return ((const struct settings *)settings)->target_ema;
}

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int count = fs_single_phase(setup, FS_START_FRESH, phases);
    phases[0].asks_average = layout_of(setup).rows > 0;
    return count;
}

enum { BOOTSTRAP, FLOW_MATCHING };

static int row_groups(const struct fs_method_setup *setup, int counts[FS_ROW_GROUPS_MAX])
{
    counts[BOOTSTRAP] = layout_of(setup).rows;
    counts[FLOW_MATCHING] = setup->batch - counts[BOOTSTRAP];
    return 2;
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    const struct layout layout = layout_of(&context->setup);
    const struct fs_row_range bootstrap = context->groups[BOOTSTRAP];
    for (int i = bootstrap.first; i < bootstrap.first + bootstrap.count; i++) {
        targets->level[i] = level_of(&context->setup, &layout, (int)fs_global_row(bootstrap, i));
    }
    const int guided = layout.guided - bootstrap.global; /* the first rows of the batch */
    const struct fs_half_steps how = {
        .network = FS_NETWORK_AVERAGE,
        .conditioned = true,
        .clip = FS_CLIP,
        .guided = guided < 0                 ? 0
                  : guided < bootstrap.count ? guided
                                             : bootstrap.count,
    };
    fs_half_step_rows(context, targets, bootstrap, &how);
    fs_flow_matching_rows(context, targets, context->groups[FLOW_MATCHING], (float)context->setup.levels);
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)phase;
    const struct layout layout = layout_of(setup);
    return 2.0 * (layout.rows + layout.guided) / setup->batch;
}

/* The level of 1/steps, but none coarser than was trained. */
static float conditioning(const struct fs_method_setup *setup, int steps)
{
    const struct settings *settings = setup->settings;
    int level = 0;
    while (level < setup->levels && 1 << level < steps) {
        level++;
    }
    return (float)(level > settings->max_step_level ? level : settings->max_step_level);
}

static bool trains_guided(const void *settings)
{
    return ((const struct settings *)settings)->bootstrap_guidance;
}

static bool guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    if (steps < setup->finest_steps) {
        *reason = "a shortcut model is trained with the null label at its finest step only";
        return false;
    }
    return true;
}

/* A step larger than max_step was never trained on. */
static bool outside_training(const struct fs_method_setup *setup, int steps)
{
    const struct settings *settings = setup->settings;
    return steps < 1 << settings->max_step_level;
}

const struct fs_method fs_shortcut = {
    .name = "shortcut",
    .label = "Shortcut model",
    .citation = "Frans, Hafner, Levine, Abbeel: One Step Diffusion via Shortcut Models, 2024",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    .check = check,
    .teacher_share = fs_no_teacher,
    .target_ema = target_ema,
    .phases = phases,
    .row_groups = row_groups,
    .make_targets = make_targets,
    .loss = fs_mean_square,
    .extra_forwards = extra_forwards,
    .conditioning = conditioning,
    .step = fs_euler_step,
    .trains_guided = trains_guided,
    .guidance_allowed = guidance_allowed,
    .outside_training = outside_training,
};
