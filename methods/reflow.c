/* Reflow: flow matching on pairs of noise and the teacher's sample from it, which makes the paths straighter. The pairs
 * are drawn once, before the training. */
#include "methods/defaults.h"
#include "methods/steps.h"
#include "methods/targets.h"

enum { INIT_TEACHER, INIT_SCRATCH };

struct settings {
    double teacher_share;
    int64_t teacher_updates;
    int64_t pairs;
    int teacher_steps;
    int init; /* INIT_TEACHER or INIT_SCRATCH */
};

static const struct fs_option options[] = {
    FS_TEACHER_SHARE_OPTION(struct settings),
    FS_TEACHER_UPDATES_OPTION(struct settings),
    {.key = "pairs",
     .kind = FS_OPTION_WHOLE,
     FS_SETTING(struct settings, pairs),
     .fallback = 5000,
     .minimum = 1,
     .maximum = 4294967295.0}, /* a pair is a row of its random streams */
    {.key = "teacher_steps",
     .kind = FS_OPTION_WHOLE,
     FS_SETTING(struct settings, teacher_steps),
     .fallback = 128,
     .minimum = 1,
     .maximum = 1 << FS_PHASES_MAX},
    {.key = "init",
     .kind = FS_OPTION_CHOICE,
     FS_SETTING(struct settings, init),
     .fallback = INIT_TEACHER,
     .choices = "teacher|scratch"},
};

static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    const struct settings *settings = setup->settings;
    const int steps = settings->teacher_steps;
    if (steps < 1 || steps > setup->finest_steps || (steps & (steps - 1)) != 0) {
        return fs_fail(error, FS_USAGE,
                       "methods.reflow.teacher_steps: expected a power of two up to model.finest_steps, %d, got %d",
                       setup->finest_steps, steps);
    }
    return FS_OK;
}

static double teacher_share(const void *settings)
{
    return ((const struct settings *)settings)->teacher_share;
}

static int64_t teacher_updates(const void *settings)
{
    return ((const struct settings *)settings)->teacher_updates;
}

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const struct settings *settings = setup->settings;
    const int count =
        fs_single_phase(setup, settings->init == INIT_SCRATCH ? FS_START_FRESH : FS_START_TEACHER, phases);
    phases[0].pairs = (struct fs_pairs_request){settings->pairs, settings->teacher_steps};
    return count;
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    fs_flow_matching_rows(context, targets, context->groups[0], 0);
}

static bool guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    (void)steps;
    if (setup->guidance_scale != 1) {
        *reason = "its pairs were drawn with guidance already";
        return false;
    }
    return true;
}

const struct fs_method fs_reflow = {
    .name = "reflow",
    .label = "Reflow",
    .citation =
        "Liu, Gong, Liu: Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, 2022",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    .check = check,
    .teacher_share = teacher_share,
    .teacher_updates = teacher_updates,
    .target_ema = fs_train_average,
    .phases = phases,
    .row_groups = fs_one_row_group,
    .make_targets = make_targets,
    .loss = fs_mean_square,
    .extra_forwards = fs_no_extra_forwards,
    .conditioning = fs_unconditioned,
    .freedom = FS_ANY_STEPS | FS_ANY_TIMES | FS_ANY_SOLVER,
    .step = fs_euler_step,
    .trains_guided = fs_always_guided,
    .guidance_allowed = guidance_allowed,
    .outside_training = fs_inside_training,
};
