/* SplitMeanFlow: the average velocity over [t, r] is the mean, by length, of those over its two parts. Part of each
 * batch is flow matching (r = t); in the rest the interval is split at a random time m, and the target is made of two
 * steps of the network, without a derivative. The shortcut model is this with intervals on a grid, split in half. */
#include "methods/defaults.h"
#include "methods/intervals.h"
#include "methods/targets.h"

#define STREAM_SPLIT (FS_STREAM_METHOD + 8)

enum { SPLIT_UNIFORM, SPLIT_HALF };

struct settings {
    struct fs_interval_settings intervals;
    int split; /* SPLIT_UNIFORM or SPLIT_HALF */
    double clip;
};

static const struct fs_option options[] = {
    FS_INTERVAL_OPTIONS(struct settings, 0.75, 0, 1e-3),
    {.key = "split", .kind = FS_OPTION_CHOICE, FS_SETTING(struct settings, split), .choices = "uniform|half"},
    {.key = "clip", .kind = FS_OPTION_REAL, FS_SETTING(struct settings, clip), .minimum = 0, .maximum = 1e6},
};

/* Without rows of r = t nothing ties the network to the data: 0 is consistent with itself. */
static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    int counts[FS_ROW_GROUPS_MAX];
    fs_interval_row_groups(setup, counts);
    if (counts[FS_INSTANT_ROWS] < 1 || counts[FS_INTERVAL_ROWS] < 1) {
        return fs_fail(error, FS_USAGE,
                       "methods.split-mean-flow.flow_matching_share: %g of a batch of %d is %d rows: expected a share "
                       "that gives both kinds of rows one, %g to %g",
                       ((const struct settings *)setup->settings)->intervals.flow_matching_share, setup->batch,
                       counts[FS_INSTANT_ROWS], 1.0 / setup->batch, (setup->batch - 1.0) / setup->batch);
    }
    return FS_OK;
}

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int count = fs_single_phase(setup, FS_START_FRESH, phases);
    phases[0].asks_average = fs_interval_asks_average(setup);
    return count;
}

/* With m = t + λ·d, λ uniform, and no gradient (Guo et al. 2025, equation 10 and algorithm 1, λ of the part that lies
 * next to the noise):
 *   x_m = x_t + λ·d·u(x_t, t, λ·d)   u(x_t, t, d) = λ·u(x_t, t, λ·d) + (1 − λ)·u(x_m, m, (1 − λ)·d). */
static void split_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    const struct settings *settings = context->setup.settings;
    const enum fs_network network = fs_interval_network(context);
    const struct fs_view x = fs_view_rows(targets->x, range.first, range.count);
    const struct fs_view target = fs_view_rows(targets->target, range.first, range.count);
    const struct fs_view u1 = fs_view_rows(context->scratch[0], 0, range.count);
    const struct fs_view middle = fs_view_rows(context->scratch[1], 0, range.count);
    const struct fs_view u2 = fs_view_rows(context->scratch[2], 0, range.count);
    const struct fs_random_key key = fs_target_key(context, STREAM_SPLIT);
    float *const one = context->numbers[0], *const first = context->numbers[1];
    float *const second = context->numbers[2], *const later = context->numbers[3];
    const float *t = targets->t + range.first;
    int32_t *labels = targets->labels + range.first;
    for (int i = 0; i < range.count; i++) {
        const float d = targets->s[range.first + i];
        const float lambda = settings->split == SPLIT_HALF ? 0.5F : fs_uniform(key, (uint32_t)(range.global + i), 0);
        labels[i] = context->labels[range.first + i]; /* dropped in rows of flow matching alone */
        one[i] = 1;
        first[i] = lambda * d;
        second[i] = d - first[i];
        later[i] = t[i] + first[i];
    }
    context->evaluate(context, network, u1, x, t, first, labels);
    context->mix(context, middle, one, x, first, u1, settings->clip);
    context->evaluate(context, network, u2, middle, later, second, labels);
    for (int i = 0; i < range.count; i++) {
        const float d = targets->s[range.first + i];
        first[i] = d > 0 ? first[i] / d : 1; /* λ again, as it was rounded */
        second[i] = 1 - first[i];
    }
    context->mix(context, target, first, u1, second, u2, settings->clip);
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    fs_interval_rows(context, targets);
    fs_interval_guide(context, targets, context->groups[FS_INSTANT_ROWS]);
    if (context->groups[FS_INTERVAL_ROWS].count > 0) {
        split_rows(context, targets, context->groups[FS_INTERVAL_ROWS]);
    }
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)phase;
    const double share = fs_interval_share(setup);
    return 2 * share + fs_interval_guidance_forwards(setup) * (1 - share);
}

static bool guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    if (!fs_interval_guidance_allowed(setup, steps, reason)) {
        return false;
    }
    *reason = "its null label is trained with rows of flow matching only";
    return steps >= setup->finest_steps;
}

const struct fs_method fs_split_mean_flow = {
    .name = "split-mean-flow",
    .label = "SplitMeanFlow",
    .citation = "Guo, Wang, Yuan et al.: SplitMeanFlow: Interval Splitting Consistency in Few-Step Generative "
                "Modeling, 2025",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    FS_INTERVAL_ENTRIES,
    .check = check,
    .phases = phases,
    .make_targets = make_targets,
    .extra_forwards = extra_forwards,
    .guidance_allowed = guidance_allowed,
};
