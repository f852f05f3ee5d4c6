/* Progressive distillation: K phases, in each of which the student learns to do in one step what its teacher does in
 * two, and then is the teacher of the next. */
#include "methods/defaults.h"
#include "methods/steps.h"
#include "methods/targets.h"

#include <inttypes.h>

struct settings {
    double teacher_share;
    int64_t teacher_updates;
    bool phase_checkpoints;
};

static const struct fs_option options[] = {
    FS_TEACHER_SHARE_OPTION(struct settings),
    FS_TEACHER_UPDATES_OPTION(struct settings),
    {.key = "phase_checkpoints", .kind = FS_OPTION_BOOL, FS_SETTING(struct settings, phase_checkpoints), .fallback = 0},
};

static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    if (setup->levels < 1 || setup->levels > FS_PHASES_MAX) {
        return fs_fail(error, FS_USAGE,
                       "model.finest_steps: progressive distillation halves it down to 1: expected 2 to "
                       "%d, got %d",
                       1 << FS_PHASES_MAX, setup->finest_steps);
    }
    if (setup->updates < setup->levels) {
        return fs_fail(error, FS_USAGE,
                       "train.updates: the student's %" PRId64
                       " are fewer than the %d phases of progressive distillation "
                       "from %d steps to 1: take more, or a smaller methods.progressive-distillation.teacher_share",
                       setup->updates, setup->levels, setup->finest_steps);
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

/* Phase i ends at floor(updates·(i + 1)/K): lengths differ by one at most. */
static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const struct settings *settings = setup->settings;
    const int count = setup->levels;
    for (int i = 0; i < count; i++) {
        phases[i] = (struct fs_phase){
            .updates = setup->updates * (i + 1) / count - setup->updates * i / count,
            .start = i == 0 ? FS_START_TEACHER : FS_START_CONTINUE,
            .teacher_is_previous = i > 0,
            .asks_teacher = true,
            .level = count - 1 - i,
            .keep = settings->phase_checkpoints && i + 1 < count,
        };
    }
    return count;
}

/* In phase 0 alone: what comes later learns from a student that has the guidance in it. */
static bool is_guided(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    return setup->guidance_scale != 1 && phase->level == setup->levels - 1;
}

static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    for (int i = 0; i < context->rows; i++) {
        targets->level[i] = context->phase->level;
    }
    /* The target is not clipped: the shortcut model's authors clip it in that model alone. */
    const struct fs_half_steps how = {
        .network = FS_NETWORK_TEACHER,
        .conditioned = false,
        .guided = is_guided(&context->setup, context->phase) ? context->rows : 0,
    };
    fs_half_step_rows(context, targets, context->groups[0], &how);
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    return is_guided(setup, phase) ? 4 : 2;
}

static bool guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    (void)setup;
    (void)steps;
    *reason = "guidance is distilled into the student, and its null label is not";
    return false;
}

static bool outside_training(const struct fs_method_setup *setup, int steps)
{
    (void)setup;
    return steps != 1;
}

const struct fs_method fs_progressive_distillation = {
    .name = "progressive-distillation",
    .label = "Progressive distillation",
    .citation = "Salimans, Ho: Progressive Distillation for Fast Sampling of Diffusion Models, 2022",
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
    .extra_forwards = extra_forwards,
    .conditioning = fs_unconditioned,
    .step = fs_euler_step,
    .trains_guided = fs_always_guided,
    .guidance_allowed = guidance_allowed,
    .outside_training = outside_training,
};
