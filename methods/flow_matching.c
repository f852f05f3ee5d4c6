/* Flow matching: the velocity from noise to data by regression, sampled by Euler steps. The baseline, and the teacher
 * of the methods that distil. */
#include "methods/defaults.h"
#include "methods/steps.h"
#include "methods/targets.h"

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    return fs_single_phase(setup, FS_START_FRESH, phases);
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    fs_flow_matching_rows(context, targets, context->groups[0], 0);
}

static bool guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    (void)setup;
    (void)steps;
    (void)reason;
    return true;
}

static bool outside_training(const struct fs_method_setup *setup, int steps)
{
    return steps != setup->finest_steps;
}

const struct fs_method fs_flow_matching = {
    .name = "flow-matching",
    .label = "Flow matching (Euler)",
    .citation = "Lipman, Chen, Ben-Hamu, Nickel, Le: Flow Matching for Generative Modeling, 2022",
    .check = fs_no_check,
    .teacher_share = fs_no_teacher,
    .target_ema = fs_train_average,
    .phases = phases,
    .row_groups = fs_one_row_group,
    .make_targets = make_targets,
    .loss = fs_mean_square,
    .extra_forwards = fs_no_extra_forwards,
    .conditioning = fs_unconditioned,
    .freedom = FS_ANY_STEPS | FS_ANY_TIMES | FS_ANY_SOLVER,
    .step = fs_euler_step,
    .trains_guided = fs_never_guided,
    .guidance_allowed = guidance_allowed,
    .outside_training = outside_training,
};
