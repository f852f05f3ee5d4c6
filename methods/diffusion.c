/* Diffusion: the network predicts the noise ε, or v, of a variance-preserving process of 1000 steps, and DDIM samples
 * from it. The baseline that flow matching is compared with. Step k of the process is noise at 1000 and data at 0, in
 * our time t = 1 − k/1000:
 *   x_k = √ᾱ_k·x1 + √(1 − ᾱ_k)·ε,   ᾱ_k = Π_{i ≤ k} (1 − β_i).
 * Ho, Jain, Abbeel 2020 (linear schedule); Nichol, Dhariwal 2021 (cosine schedule); Salimans, Ho 2022 (v). */
#include "methods/defaults.h"
#include "methods/steps.h"
#include "methods/targets.h"

#include <math.h>

enum { PROCESS_STEPS = 1000 };
enum { PREDICT_EPSILON, PREDICT_V };
enum { SCHEDULE_LINEAR, SCHEDULE_COSINE };

struct settings {
    int prediction; /* PREDICT_EPSILON or PREDICT_V */
    int schedule;   /* SCHEDULE_LINEAR or SCHEDULE_COSINE */
    double clip;    /* ± range of the data, which predictions of x1 are clipped to while sampling; 0: they are not */
};

static const struct fs_option options[] = {
    {.key = "prediction",
     .kind = FS_OPTION_CHOICE,
     FS_SETTING(struct settings, prediction),
     .fallback = PREDICT_EPSILON,
     .choices = "epsilon|v"},
    {.key = "schedule",
     .kind = FS_OPTION_CHOICE,
     FS_SETTING(struct settings, schedule),
     .fallback = SCHEDULE_LINEAR,
     .choices = "linear|cosine"},
    {.key = "clip",
     .kind = FS_OPTION_REAL,
     FS_SETTING(struct settings, clip),
     .fallback = 1,
     .minimum = 0,
     .maximum = 1000},
};

static fs_status check(const struct fs_method_setup *setup, struct fs_error *error)
{
    if (setup->finest_steps > PROCESS_STEPS) {
        return fs_fail(error, FS_USAGE, "model.finest_steps: diffusion has a process of %d steps: expected at most 512",
                       PROCESS_STEPS);
    }
    return FS_OK;
}

static int phases(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX])
{
    return fs_single_phase(setup, FS_START_FRESH, phases);
}

/* --- the process --- */

/* √ᾱ_k and √(1 − ᾱ_k): how much of data and of noise is in x_k. */
struct amounts {
    double data, noise;
};

/* β_i, i = 1 … 1000. The cosine schedule has ᾱ ∝ cos²((i/1000 + 0.008)/1.008·π/2), and β at most 0.999. */
static double beta(int schedule, int i)
{
    if (schedule == SCHEDULE_LINEAR) {
        return 1e-4 + (0.02 - 1e-4) * (i - 1) / (PROCESS_STEPS - 1);
    }
    const double quarter_turn = 1.57079632679489661923;
    const double before = cos(((i - 1.0) / PROCESS_STEPS + 0.008) / 1.008 * quarter_turn);
    const double after = cos(((double)i / PROCESS_STEPS + 0.008) / 1.008 * quarter_turn);
    return fmin(1 - (after * after) / (before * before), 0.999);
}

static void process_amounts(const struct settings *settings, struct amounts amounts[PROCESS_STEPS + 1])
{
    double kept = 1; /* ᾱ */
    amounts[0] = (struct amounts){1, 0};
    for (int k = 1; k <= PROCESS_STEPS; k++) {
        kept *= 1 - beta(settings->schedule, k);
        amounts[k] = (struct amounts){sqrt(kept), sqrt(1 - kept)};
    }
}

static float time_of(int k)
{
    return (float)(PROCESS_STEPS - k) / (float)PROCESS_STEPS;
}

/* --- training --- */

/* k uniform on 1 … 1000. Of v = √ᾱ·ε − √(1 − ᾱ)·x1, ε is the case that has none of x1. */
static void make_targets(struct fs_method_context *context, struct fs_targets *targets)
{
    const struct settings *settings = context->setup.settings;
    const struct fs_row_range all = context->groups[0];
    const struct fs_random_key times = fs_target_key(context, FS_STREAM_TRAIN_TIME);
    struct amounts amounts[PROCESS_STEPS + 1];
    process_amounts(settings, amounts);
    float *const noise_in_x = context->numbers[0], *const data_in_x = context->numbers[1];
    float *const noise_in_target = context->numbers[2], *const data_in_target = context->numbers[3];
    for (int i = 0; i < all.count; i++) {
        const int k = 1 + (int)fs_random_below(times, fs_global_row(all, i), 0, PROCESS_STEPS);
        targets->t[i] = time_of(k);
        targets->s[i] = 0;
        targets->weight[i] = 1;
        targets->level[i] = context->setup.levels;
        noise_in_x[i] = (float)amounts[k].noise;
        data_in_x[i] = (float)amounts[k].data;
        noise_in_target[i] = settings->prediction == PREDICT_V ? (float)amounts[k].data : 1;
        data_in_target[i] = settings->prediction == PREDICT_V ? -(float)amounts[k].noise : 0;
    }
    fs_draw_labels(context, targets, all);
    const struct fs_view noise = fs_draw_noise(context, all, FS_STREAM_TRAIN_NOISE);
    context->mix(context, targets->x, noise_in_x, noise, data_in_x, context->data, 0);
    context->mix(context, targets->target, noise_in_target, noise, data_in_target, context->data, 0);
}

/* --- sampling --- */

/* The step of the process that is nearest to a time. */
static int step_at(double t)
{
    return (int)lround(PROCESS_STEPS * (1 - t));
}

/* DDIM with η = 0 (Song, Meng, Ermon 2020, equation 12): x̂1 from x_k and the prediction, clipped to the data's range,
 *   from ε: (x_k − √(1 − ᾱ)·ε)/√ᾱ,   from v: √ᾱ·x_k − √(1 − ᾱ)·v,
 * ε̂ = (x_k − √ᾱ·x̂1)/√(1 − ᾱ) from the clipped one, and both are mixed again at the next step:
 *   x = √ᾱ'·x̂1 + √(1 − ᾱ')·ε̂ = (√ᾱ' − ρ·√ᾱ)·x̂1 + ρ·x_k with ρ = √(1 − ᾱ')/√(1 − ᾱ).
 * At k = 1000 of the linear schedule 1/√ᾱ is 157, so there the clip decides. */
static void step(struct fs_step *step)
{
    const struct settings *settings = step->setup.settings;
    const struct fs_view prediction = step->scratch[0];
    struct amounts amounts[PROCESS_STEPS + 1];
    process_amounts(settings, amounts);
    const int k = step_at(step->t);
    const struct amounts now = amounts[k], next = amounts[step_at(step->next)];
    step->velocity(step, prediction, step->x, (double)time_of(k), step->s);
    if (settings->prediction == PREDICT_V) {
        step->mix(step, prediction, now.data, step->x, -now.noise, prediction, settings->clip);
    } else {
        step->mix(step, prediction, 1 / now.data, step->x, -now.noise / now.data, prediction, settings->clip);
    }
    const double ratio = next.noise / now.noise;
    step->mix(step, step->x, next.data - ratio * now.data, prediction, ratio, step->x, 0);
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

const struct fs_method fs_diffusion = {
    .name = "diffusion",
    .label = "Diffusion (DDIM)",
    .citation = "Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models, 2020; Song, Meng, Ermon: Denoising "
                "Diffusion Implicit Models, 2020",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct settings),
    .check = check,
    .teacher_share = fs_no_teacher,
    .target_ema = fs_train_average,
    .phases = phases,
    .row_groups = fs_one_row_group,
    .make_targets = make_targets,
    .loss = fs_mean_square,
    .extra_forwards = fs_no_extra_forwards,
    .conditioning = fs_unconditioned,
    .freedom = FS_ANY_STEPS | FS_ANY_TIMES,
    .step = step,
    .trains_guided = fs_never_guided,
    .guidance_allowed = guidance_allowed,
    .outside_training = outside_training,
};
