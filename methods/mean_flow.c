/* MeanFlow: the average velocity by its derivative along the path, which the network's tangent gives. Part of each
 * batch is flow matching (r = t). */
#include "methods/defaults.h"
#include "methods/intervals.h"

struct settings {
    struct fs_interval_settings intervals;
};

static const struct fs_option options[] = {FS_INTERVAL_OPTIONS(struct settings, 0.75, 1, 1e-3)};

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int count = fs_single_phase(setup, FS_START_FRESH, phases);
    fs_mean_flow_phase(setup, &phases[0]);
    phases[0].asks_average = fs_interval_asks_average(setup);
    return count;
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    fs_interval_rows(context, targets);
    fs_interval_guide(context, targets, context->groups[FS_INSTANT_ROWS]);
    fs_interval_guide(context, targets, context->groups[FS_INTERVAL_ROWS]);
    fs_mean_flow_target(context, targets, context->groups[FS_INTERVAL_ROWS]);
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)phase;
    return fs_interval_guidance_forwards(setup);
}

const struct fs_method fs_mean_flow = {
    .name = "mean-flow",
    .label = "MeanFlow",
    .citation = "Geng, Deng, Bai, Kolter, He: Mean Flows for One-step Generative Modeling, 2025",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    FS_INTERVAL_ENTRIES,
    .check = fs_no_check,
    .phases = phases,
    .make_targets = make_targets,
    .extra_forwards = extra_forwards,
    .guidance_allowed = fs_interval_guidance_allowed,
};
