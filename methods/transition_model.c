/* Transition models: the average velocity by its derivative along the path, as MeanFlow has it, with a central finite
 * difference in the derivative's place, which needs two forwards and no tangent. A share of the rows spans all of the
 * time that is left, and long intervals count less. */
#include "methods/defaults.h"
#include "methods/intervals.h"
#include "methods/targets.h"

#include <math.h>

enum { WEIGHT_TANGENT, WEIGHT_NONE };

struct settings {
    struct fs_interval_settings intervals;
    double consistency_share; /* of the batch's rows: those with r = 1 */
    double epsilon;
    int interval_weight; /* WEIGHT_TANGENT or WEIGHT_NONE */
};

static const struct fs_option options[] = {
    FS_INTERVAL_OPTIONS(struct settings, 0.5, 1, 1e-2),
    {.key = "consistency_share",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, consistency_share),
     .fallback = 0.1,
     .minimum = 0,
     .maximum = 1},
    {.key = "epsilon",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, epsilon),
     .fallback = 0.005,
     .minimum = 1e-4,
     .maximum = 0.5},
    {.key = "interval_weight",
     .kind = FS_OPTION_CHOICE,
     FS_SETTING(struct settings, interval_weight),
     .choices = "tangent|none"},
};

static const struct settings *settings_of(const struct fs_method_setup *setup)
{
    return setup->settings;
}

/* The first rows of the batch. */
static int consistency_rows(const struct fs_method_setup *setup)
{
    return fs_share_of_rows(setup->batch, settings_of(setup)->consistency_share);
}

static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    int counts[FS_ROW_GROUPS_MAX];
    fs_interval_row_groups(setup, counts);
    if (consistency_rows(setup) > counts[FS_INTERVAL_ROWS]) {
        return fs_fail(error, FS_USAGE,
                       "methods.transition-model.consistency_share: %g of a batch of %d is %d rows, and "
                       "flow_matching_share %g leaves %d: take at most %g",
                       settings_of(setup)->consistency_share, setup->batch, consistency_rows(setup),
                       settings_of(setup)->intervals.flow_matching_share, counts[FS_INTERVAL_ROWS],
                       (double)counts[FS_INTERVAL_ROWS] / setup->batch);
    }
    return FS_OK;
}

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int count = fs_single_phase(setup, FS_START_FRESH, phases);
    phases[0].asks_average = fs_interval_asks_average(setup);
    return count;
}

/* The authors' weight of a row: 1/√(1 + tan t' − tan r') in their times t' = 1 − t and r' = 1 − r. */
static float interval_weight(double t, double d)
{
    return (float)(1 / sqrt(1 + tan(1 - t) - tan(1 - t - d)));
}

/* Rows with r = 1, and the weights. */
static void finish_intervals(const struct fs_method_context *context, struct fs_targets *targets,
                             struct fs_row_range range)
{
    const struct settings *settings = settings_of(&context->setup);
    const uint32_t to_the_end = (uint32_t)consistency_rows(&context->setup);
    for (int i = range.first; i < range.first + range.count; i++) {
        if (fs_global_row(range, i) < to_the_end) {
            fs_interval_set(&context->setup, targets, i, 1 - targets->t[i]);
        }
        if (settings->interval_weight == WEIGHT_TANGENT) {
            targets->weight[i] = interval_weight((double)targets->t[i], (double)targets->s[i]);
        }
    }
}

/* The times between which a row's difference is taken: t ± ε, but no further than 0 and r, so that the interval that is
 * left of d is never negative. */
static void difference_ends(double epsilon, float t, float d, float *from, float *to)
{
    *from = fmaxf(t - (float)epsilon, 0);
    *to = fminf(t + (float)epsilon, t + d);
}

/* out = u at time `from` (or `to`) of each row's path, over what is left until r. Uses scratch[1], numbers[0], [2] and
 * [3]. */
static void evaluate_end(struct fs_method_context *context, const struct fs_targets *targets, struct fs_row_range range,
                         bool last, struct fs_view out)
{
    const double epsilon = settings_of(&context->setup)->epsilon;
    const struct fs_view noise = fs_row_noise(context, range);
    const struct fs_view data = fs_view_rows(context->data, range.first, range.count);
    const struct fs_view state = fs_view_rows(context->scratch[1], 0, range.count);
    float *const time = context->numbers[2], *const left = context->numbers[3];
    for (int i = 0; i < range.count; i++) {
        const float t = targets->t[range.first + i], d = targets->s[range.first + i];
        float from, to;
        difference_ends(epsilon, t, d, &from, &to);
        time[i] = last ? to : from;
        left[i] = t + d - time[i];
    }
    fs_mix_noise_and_data(context, state, noise, time, data);
    context->evaluate(context, fs_interval_network(context), out, state, time, left, targets->labels + range.first);
}

/* Along the path of this noise and data r stays and d shrinks, so the mean velocity's derivative is that between two
 * points of it: Wang et al. 2025 ("Transition Models: Rethinking the Generative Learning Objective"), their
 * differential derivation equation. target ← ṽ + d·(u(x_b, b, r − b) − u(x_a, a, r − a))/(b − a), a and b next to t. */
static void difference_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range)
{
    const double epsilon = settings_of(&context->setup)->epsilon;
    const struct fs_view target = fs_view_rows(targets->target, range.first, range.count);
    const struct fs_view u_from = fs_view_rows(context->scratch[2], 0, range.count);
    const struct fs_view u_to = fs_view_rows(context->scratch[3], 0, range.count);
    float *const minus = context->numbers[0], *const plus = context->numbers[1];
    evaluate_end(context, targets, range, false, u_from);
    evaluate_end(context, targets, range, true, u_to);
    for (int i = 0; i < range.count; i++) {
        const float t = targets->t[range.first + i], d = targets->s[range.first + i];
        float from, to;
        difference_ends(epsilon, t, d, &from, &to);
        plus[i] = to > from ? d / (to - from) : 0;
        minus[i] = -plus[i];
    }
    context->mix(context, u_to, plus, u_to, minus, u_from, 0);
    fs_mix_evenly(context, target, 1, target, 1, u_to, 0);
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    const struct fs_row_range intervals = context->groups[FS_INTERVAL_ROWS];
    fs_interval_rows(context, targets);
    finish_intervals(context, targets, intervals);
    fs_interval_guide(context, targets, context->groups[FS_INSTANT_ROWS]);
    fs_interval_guide(context, targets, intervals);
    if (intervals.count > 0) {
        difference_rows(context, targets, intervals);
    }
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)phase;
    return 2 * fs_interval_share(setup) + fs_interval_guidance_forwards(setup);
}

const struct fs_method fs_transition_model = {
    .name = "transition-model",
    .label = "Transition model",
    .citation = "Wang, Zhang, Yue et al.: Transition Models: Rethinking the Generative Learning Objective, 2025",
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
