/* α-Flow: from flow matching over the whole interval (α = 1) by way of consistency over a share α of it to MeanFlow
 * (α = 0), in the course of one training. Each of the three is a phase, since they ask the network for different
 * things; weights, moments and averages go on. */
#include "methods/defaults.h"
#include "methods/intervals.h"
#include "methods/targets.h"

#include <math.h>

enum { PART_FLOW_MATCHING, PART_CONSISTENCY, PART_MEAN_FLOW, PARTS };

struct settings {
    struct fs_interval_settings intervals;
    double alpha; /* throughout; < 0: by the schedule */
    double alpha_middle, alpha_steepness, alpha_clamp;
};

static const struct fs_option options[] = {
    FS_INTERVAL_OPTIONS(struct settings, 0.5, 1, 1e-3),
    {.key = "alpha",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, alpha),
     .fallback = -1,
     .minimum = -1,
     .maximum = 1},
    {.key = "alpha_middle",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, alpha_middle),
     .fallback = 0.5,
     .minimum = 0,
     .maximum = 1},
    {.key = "alpha_steepness",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, alpha_steepness),
     .fallback = 25,
     .minimum = 0,
     .maximum = 1e6},
    {.key = "alpha_clamp",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, alpha_clamp),
     .fallback = 0.005,
     .minimum = 1e-6,
     .maximum = 0.5},
};

/* --- the schedule --- */

/* α at update k of U, falling: 1 − sigmoid(steepness·(k/U − middle)), and 1 or 0 within the clamp of those. */
static double alpha_at(const struct fs_method_setup *setup, int64_t update)
{
    const struct settings *settings = setup->settings;
    if (settings->alpha >= 0) {
        return settings->alpha;
    }
    const double done = (double)update / (double)setup->updates;
    const double alpha = 1 / (1 + exp(settings->alpha_steepness * (done - settings->alpha_middle)));
    return alpha > 1 - settings->alpha_clamp ? 1 : alpha < settings->alpha_clamp ? 0 : alpha;
}

static int part_at(const struct fs_method_setup *setup, int64_t update)
{
    const double alpha = alpha_at(setup, update);
    return alpha >= 1 ? PART_FLOW_MATCHING : alpha > 0 ? PART_CONSISTENCY : PART_MEAN_FLOW;
}

/* The first update of that part or a later one; the number of updates where there is none. */
static int64_t begin_of(const struct fs_method_setup *setup, int part)
{
    int64_t low = 0, high = setup->updates;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (part_at(setup, middle) >= part) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* --- the table --- */

static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    const double alpha = ((const struct settings *)setup->settings)->alpha;
    if (alpha < 0 && alpha != -1) {
        return fs_fail(error, FS_USAGE, "methods.alpha-flow.alpha: expected 0 to 1, or -1 for the schedule, got %g",
                       alpha);
    }
    return FS_OK;
}

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    int count = 0;
    for (int part = 0; part < PARTS; part++) {
        const int64_t updates = begin_of(setup, part + 1) - begin_of(setup, part);
        if (updates > 0) {
            fs_single_phase(setup, count == 0 ? FS_START_FRESH : FS_START_CONTINUE, &phases[count]);
            phases[count].updates = updates;
            phases[count].averages_continue = phases[count].schedule_continues = count > 0;
            phases[count].part = part;
            phases[count].asks_average = fs_interval_asks_average(setup) &&
                                         (part != PART_FLOW_MATCHING || fs_interval_guidance_forwards(setup) > 0);
            if (part == PART_MEAN_FLOW) {
                fs_mean_flow_phase(setup, &phases[count]);
            }
            count++;
        }
    }
    return count;
}

/* The row's weight. A consistency row's error Δ is about α times what MeanFlow's would be, so with the adaptive loss's
 * 1/(ΣΔ² + c)^p its gradient is of MeanFlow's size where it is multiplied by α^(2p − 1): by 1/α in the mean square, as
 * the loss is defined (Zhang et al. 2025, equation 7), and by α at p = 1, as their adaptive weight is. */
static float row_weight(const struct settings *settings, double alpha)
{
    return (float)pow(alpha, 2 * settings->intervals.loss_power - 1);
}

/* α·ṽ + (1 − α)·u(x_t + α·d·ṽ, t + α·d, (1 − α)·d) in rows over an interval (there equation 7; their s is t + α·d). */
static void consistency_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    const struct settings *settings = context->setup.settings;
    const double alpha = alpha_at(&context->setup, context->update);
    const struct fs_view x = fs_view_rows(targets->x, range.first, range.count);
    const struct fs_view target = fs_view_rows(targets->target, range.first, range.count);
    const struct fs_view later = fs_view_rows(context->scratch[1], 0, range.count);
    const struct fs_view velocity = fs_view_rows(context->scratch[2], 0, range.count);
    float *const one = context->numbers[0], *const length = context->numbers[1];
    float *const time = context->numbers[2], *const left = context->numbers[3];
    for (int i = 0; i < range.count; i++) {
        const float d = targets->s[range.first + i];
        one[i] = 1;
        length[i] = (float)(alpha * (double)d);
        time[i] = targets->t[range.first + i] + length[i];
        left[i] = d - length[i];
        targets->weight[range.first + i] = row_weight(settings, alpha);
    }
    context->mix(context, later, one, x, length, target, 0);
    context->evaluate(context, fs_interval_network(context), velocity, later, time, left,
                      targets->labels + range.first);
    fs_mix_evenly(context, target, alpha, target, 1 - alpha, velocity, 0);
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    const struct fs_row_range intervals = context->groups[FS_INTERVAL_ROWS];
    fs_interval_rows(context, targets);
    fs_interval_guide(context, targets, context->groups[FS_INSTANT_ROWS]);
    fs_interval_guide(context, targets, intervals);
    if (context->phase->part == PART_MEAN_FLOW) {
        fs_mean_flow_target(context, targets, intervals);
    } else if (context->phase->part == PART_CONSISTENCY && intervals.count > 0) {
        consistency_rows(context, targets, intervals);
    }
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    return fs_interval_guidance_forwards(setup) + (phase->part == PART_CONSISTENCY ? fs_interval_share(setup) : 0);
}

const struct fs_method fs_alpha_flow = {
    .name = "alpha-flow",
    .label = "α-Flow",
    .citation = "Zhang, Siarohin, Menapace et al.: AlphaFlow: Understanding and Improving MeanFlow Models, 2025",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    FS_INTERVAL_ENTRIES,
    .check = check,
    .phases = phases,
    .make_targets = make_targets,
    .extra_forwards = extra_forwards,
    .guidance_allowed = fs_interval_guidance_allowed,
};
