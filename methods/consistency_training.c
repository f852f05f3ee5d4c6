/* Consistency training: a consistency model without a teacher. The later state on the same path is the same noise and
 * data mixed a step of δ further, and δ becomes finer in the course of the training. */
#include "methods/defaults.h"
#include "methods/steps.h"
#include "methods/targets.h"

#include <inttypes.h>

struct settings {
    double target_ema; /* < 0: train.ema */
    bool drop_labels;
};

static const struct fs_option options[] = {
    FS_TARGET_EMA_OPTION(struct settings),
    {.key = "drop_labels", .kind = FS_OPTION_BOOL, FS_SETTING(struct settings, drop_labels), .fallback = 0},
};

static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    if (setup->levels < 1 || setup->levels > FS_PHASES_MAX) {
        return fs_fail(error, FS_USAGE,
                       "model.finest_steps: consistency training refines its step from 1 to twice the finest: expected "
                       "2 to %d, got %d",
                       1 << FS_PHASES_MAX, setup->finest_steps);
    }
    if (setup->updates < setup->levels) {
        return fs_fail(error, FS_USAGE,
                       "train.updates: %" PRId64 " are fewer than the %d phases of consistency training from a step "
                       "of 1 to one of 1/%d: take more, or a smaller model.finest_steps",
                       setup->updates, setup->levels, setup->finest_steps / 2);
    }
    return FS_OK;
}

static double target_ema(const void *settings)
{
    return ((const struct settings *)settings)->target_ema;
}

/* Phase j trains steps of δ = 2^−j, from 1 to 2/M; their lengths differ by one at most. */
static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    const int count = setup->levels;
    for (int i = 0; i < count; i++) {
        phases[i] = (struct fs_phase){
            .updates = setup->updates * (i + 1) / count - setup->updates * i / count,
            .start = i == 0 ? FS_START_FRESH : FS_START_CONTINUE,
            .asks_average = true,
            .level = i,
        };
    }
    return count;
}

static bool drops_labels(const struct fs_method_setup *setup)
{
    return ((const struct settings *)setup->settings)->drop_labels;
}

/* t uniform on the multiples of δ below 1; x_t and x' at t + δ are mixed from the same noise and data. */
static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    const struct fs_row_range all = context->groups[0];
    const struct fs_random_key times = fs_target_key(context, FS_STREAM_TRAIN_TIME);
    const uint32_t steps = (uint32_t)1 << context->phase->level; /* 1/δ */
    float *const later_t = context->numbers[2];
    for (int i = 0; i < all.count; i++) {
        const uint32_t k = fs_random_below(times, fs_global_row(all, i), 0, steps);
        targets->t[i] = (float)k / (float)steps;
        later_t[i] = (float)(k + 1) / (float)steps;
        targets->s[i] = 0;
        targets->weight[i] = 1;
        targets->labels[i] = context->labels[i];
        targets->level[i] = context->phase->level;
    }
    if (drops_labels(&context->setup)) {
        fs_draw_labels(context, targets, all);
    }
    const struct fs_view noise = fs_draw_noise(context, all, FS_STREAM_TRAIN_NOISE);
    const struct fs_view later = fs_view_rows(context->scratch[1], 0, all.count);
    fs_mix_at_times(context, targets, all, noise);
    fs_mix_noise_and_data(context, later, noise, later_t, context->data);
    fs_consistency_target(context, targets, all, later, later_t);
}

static double extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)setup;
    (void)phase;
    return 1;
}

/* The network jumps to the end of the path, and fresh noise takes that back to the next time: Song et al. 2023,
 * algorithm 1, on a straight path. */
static void step(struct fs_step *step)
{
    const struct fs_view velocity = step->scratch[0], noise = step->scratch[1];
    step->velocity(step, velocity, step->x, step->t, step->s);
    step->mix(step, step->x, 1, step->x, 1 - step->t, velocity, 0);
    if (step->step + 1 < step->steps) {
        fs_step_noise(step, noise);
        step->mix(step, step->x, step->next, step->x, 1 - step->next, noise, 0);
    }
}

static bool guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason)
{
    (void)steps;
    *reason = "its null label is never trained (methods.consistency-training.drop_labels)";
    return drops_labels(setup);
}

const struct fs_method fs_consistency_training = {
    .name = "consistency-training",
    .label = "Consistency training",
    .citation = "Song, Dhariwal, Chen, Sutskever: Consistency Models, 2023",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    .check = check,
    .teacher_share = fs_no_teacher,
    .target_ema = target_ema,
    .phases = phases,
    .row_groups = fs_one_row_group,
    .make_targets = make_targets,
    .loss = fs_mean_square,
    .extra_forwards = extra_forwards,
    .conditioning = fs_unconditioned,
    .step = step,
    .trains_guided = fs_never_guided,
    .guidance_allowed = guidance_allowed,
    .outside_training = fs_inside_training,
};
