/* Consistency distillation: whatever the time, the student jumps to where the path ends. It learns it from its own
 * average, one step of the frozen teacher further on the same path. */
#include "methods/defaults.h"
#include "methods/steps.h"
#include "methods/targets.h"

struct settings {
    double teacher_share;
    int64_t teacher_updates;
    double target_ema; /* < 0: train.ema */
    bool teacher_guidance;
};

static const struct fs_option options[] = {
    FS_TEACHER_SHARE_OPTION(struct settings),
    FS_TEACHER_UPDATES_OPTION(struct settings),
    FS_TARGET_EMA_OPTION(struct settings),
    {.key = "teacher_guidance", .kind = FS_OPTION_BOOL, FS_SETTING(struct settings, teacher_guidance), .fallback = 1},
};

static double teacher_share(const void *settings)
{
    return ((const struct settings *)settings)->teacher_share;
}

static int64_t teacher_updates(const void *settings)
{
    return ((const struct settings *)settings)->teacher_updates;
}

static double target_ema(const void *settings)
{
    return ((const struct settings *)settings)->target_ema;
}

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int count = fs_single_phase(setup, FS_START_TEACHER, phases);
    phases[0].asks_teacher = phases[0].asks_average = true;
    return count;
}

/* The teacher's step is guided, so that the student's velocity is: its own null label is never trained. */
static bool is_guided(const struct fs_method_setup *setup)
{
    return ((const struct settings *)setup->settings)->teacher_guidance && setup->guidance_scale != 1;
}

/* t uniform on {0 … M−1}/M, x' = clip(x_t + v_teacher(x_t, t)/M) at t' = t + 1/M. */
static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    const struct fs_row_range all = context->groups[0];
    const int rows = all.count, finest = context->setup.finest_steps;
    fs_draw_grid_times(context, targets, all);
    fs_mix_at_times(context, targets, all, fs_draw_noise(context, all, FS_STREAM_TRAIN_NOISE));
    float *const later_t = context->numbers[2];
    for (int i = 0; i < rows; i++) {
        targets->s[i] = 0;
        targets->weight[i] = 1;
        targets->labels[i] = context->labels[i];
        targets->level[i] = context->setup.levels;
        later_t[i] = targets->t[i] + 1.0f / (float)finest;
    }
    const struct fs_view velocity = fs_view_rows(context->scratch[0], 0, rows);
    const struct fs_view later = fs_view_rows(context->scratch[1], 0, rows);
    fs_guided_velocity(context, FS_NETWORK_TEACHER, is_guided(&context->setup) ? rows : 0, velocity, targets->x,
                       targets->t, targets->s, targets->labels);
    fs_mix_evenly(context, later, 1, targets->x, 1.0 / finest, velocity, FS_CLIP);
    fs_consistency_target(context, targets, all, later, later_t);
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)phase;
    return is_guided(setup) ? 3 : 2;
}

static bool trains_guided(const void *settings)
{
    return ((const struct settings *)settings)->teacher_guidance;
}

static bool guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    (void)setup;
    (void)steps;
    *reason = "the student's null label is never trained; guidance comes from its teacher "
              "(methods.consistency-distillation.teacher_guidance)";
    return false;
}

const struct fs_method fs_consistency_distillation = {
    .name = "consistency-distillation",
    .label = "Consistency distillation",
    .citation = "Song, Dhariwal, Chen, Sutskever: Consistency Models, 2023",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    .check = fs_no_check,
    .teacher_share = teacher_share,
    .teacher_updates = teacher_updates,
    .target_ema = target_ema,
    .phases = phases,
    .row_groups = fs_one_row_group,
    .make_targets = make_targets,
    .loss = fs_mean_square,
    .extra_forwards = extra_forwards,
    .conditioning = fs_unconditioned,
    .freedom = FS_ANY_STEPS,
    .step = fs_euler_step,
    .trains_guided = trains_guided,
    .guidance_allowed = guidance_allowed,
    .outside_training = fs_inside_training,
};
