/* What the methods of average velocities share. u(x, t, d) is the mean of the velocity along the path that leads from x
 * at time t to time r = t + d, so that x_r = x + d·u, and u(x, t, 0) is the velocity itself: Geng, Deng, Bai, Kolter,
 * He 2025 ("Mean Flows for One-step Generative Modeling"), equation 3. In their direction of time noise is at 1 and r ≤
 * t; here noise is at 0 and t ≤ r, so their logit-normal mean of −0.4 is +0.4 here, and windows of time are mirrored.
 *
 * The network is asked with s = d, and the sampler feeds 1/N. A batch's first rows span an interval, the rest have r =
 * t and are flow matching. The settings of such a method begin with struct fs_interval_settings, in a member
 * `intervals`; what is declared here as an entry of its table relies on that. */
#ifndef FEWSTEP_INTERVALS_H
#define FEWSTEP_INTERVALS_H

#include "methods/defaults.h"

enum fs_time_sampler { FS_TIMES_LOGIT_NORMAL, FS_TIMES_UNIFORM, FS_TIMES_GRID };
enum fs_target_network { FS_TARGET_CURRENT, FS_TARGET_AVERAGE };

struct fs_interval_settings {
    double flow_matching_share; /* of the batch's rows: those with r = t */
    int time_sampler;           /* enum fs_time_sampler */
    double time_mean, time_deviation;
    double loss_power, loss_constant;
    int target_network; /* enum fs_target_network: what targets are made with */
    double target_ema;  /* of the average; < 0: train.ema */
    bool guided_target;
    double kappa, guidance_begin, guidance_end;
};

#define FS_INTERVAL_REAL(type, name, standard, least, most)                                                            \
    {                                                                                                                  \
        .key = #name, .kind = FS_OPTION_REAL, FS_SETTING(type, intervals.name), .fallback = (standard),                \
        .minimum = (least), .maximum = (most)                                                                          \
    }
#define FS_INTERVAL_CHOICE(type, name, names)                                                                          \
    {                                                                                                                  \
        .key = #name, .kind = FS_OPTION_CHOICE, FS_SETTING(type, intervals.name), .choices = (names)                   \
    }

/* Their keys. A method names the defaults in which the papers differ: the share of rows with r = t, and the power and
 * the constant of the loss. methods/README.md says what each means. */
#define FS_INTERVAL_OPTIONS(type, share, power, constant)                                                              \
    FS_INTERVAL_REAL(type, flow_matching_share, share, 0, 1),                                                          \
        FS_INTERVAL_CHOICE(type, time_sampler, "logit-normal|uniform|grid"),                                           \
        FS_INTERVAL_REAL(type, time_mean, 0.4, -10, 10), FS_INTERVAL_REAL(type, time_deviation, 1, 0.01, 10),          \
        FS_INTERVAL_REAL(type, loss_power, power, 0, 2), FS_INTERVAL_REAL(type, loss_constant, constant, 1e-12, 1e6),  \
        FS_INTERVAL_CHOICE(type, target_network, "current|average"),                                                   \
        FS_INTERVAL_REAL(type, target_ema, -1, -1, 0.999999),                                                          \
        {.key = "guided_target", .kind = FS_OPTION_BOOL, FS_SETTING(type, intervals.guided_target)},                   \
        FS_INTERVAL_REAL(type, kappa, 0, 0, 0.999), FS_INTERVAL_REAL(type, guidance_begin, 0, 0, 1),                   \
        FS_INTERVAL_REAL(type, guidance_end, 1, 0, 1)

/* --- entries of the table --- */

enum { FS_INTERVAL_ROWS, FS_INSTANT_ROWS }; /* the groups: rows over an interval, and rows with r = t */
int fs_interval_row_groups(const struct fs_method_setup *setup, int counts[FS_ROW_GROUPS_MAX]);
double fs_interval_target_ema(const void *settings);
struct fs_loss fs_interval_loss(const struct fs_method_setup *setup, const struct fs_phase *phase);
float fs_interval_conditioning(const struct fs_method_setup *setup, int steps); /* 1/steps */
/* Steps of any number and size: the network is asked with the step's own d. */
#define FS_INTERVAL_FREEDOM (FS_ANY_STEPS | FS_ANY_TIMES)
void fs_interval_step(struct fs_step *step); /* x ← x + d·u(x, t, d), d = next − t. Uses scratch[0] */
bool fs_interval_trains_guided(const void *settings);
/* Where labels are dropped in all rows: everywhere, but where the targets are guided already. */
bool fs_interval_guidance_allowed(const struct fs_method_setup *setup, int steps, const char **reason);

/* What is the same in all of their tables. */
/* clang-format off */
#define FS_INTERVAL_ENTRIES \
    .teacher_share = fs_no_teacher, \
    .target_ema = fs_interval_target_ema, \
    .row_groups = fs_interval_row_groups, \
    .loss = fs_interval_loss, \
    .conditioning = fs_interval_conditioning, \
    .freedom = FS_INTERVAL_FREEDOM, \
    .step = fs_interval_step, \
    .trains_guided = fs_interval_trains_guided, \
    .outside_training = fs_inside_training
/* clang-format on */

/* --- rows --- */

/* What targets are made with. */
enum fs_network fs_interval_network(const struct fs_method_context *context);
bool fs_interval_asks_average(const struct fs_method_setup *setup); /* whether that is the average */

/* Fills all rows of both groups: times t and d = r − t (in targets->s), x_t, labels dropped with the context's
 * probability, and as target the data's velocity ṽ = x1 − (1 − σ)·x0. That is all there is to say of rows with r = t.
 * fs_row_noise has their noise. Weight 1, level log2(1/d) to the nearest of 0 … K. Uses numbers[0] and [1].
 *
 * A time is the sigmoid of a normal, or uniform on [0, 1), and t and r are the smaller and the larger of two; a row
 * with r = t keeps the smaller, which is the noisier. On the grid d is 2^−level, the level uniform on 0 … K − 1 and t a
 * multiple of d, and where r = t, t is uniform on the multiples of 1/M: the shortcut model's times. */
void fs_interval_rows(struct fs_method_context *context, struct fs_targets *targets);

/* Row `row` spans [t, t + d] instead: its d and its level. */
void fs_interval_set(const struct fs_method_setup *setup, struct fs_targets *targets, int row, float d);

/* MeanFlow's target (Geng et al. 2025, equation 10) in the range's rows, from the ṽ that stands there:
 *   ṽ ← ṽ + d·u̇,   u̇ the derivative of u(x, t, d) along (ẋ, ṫ, ḋ) = (ṽ, 1, −1).
 * It follows from d·u = ∫ v over [t, r] by the derivative with respect to t, r held: −u + d·u̇ = −v. One pass with its
 * tangent a row, which is the training's own pass of these rows where the current network is asked and the range comes
 * first. Uses scratch[1] and [2], numbers[0] and [1]. */
void fs_mean_flow_target(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range);

/* Guidance in the target (Geng et al. 2025, equation 21): in the range's rows
 *   ṽ ← ω·ṽ + κ·u(x_t, t, 0 | label) + (1 − ω − κ)·u(x_t, t, 0 | null label),
 * but for rows whose label was dropped and times outside guidance_begin … guidance_end. What is learned is the velocity
 * at a scale of ω/(1 − κ): with w = guidance_scale, ω = w·(1 − κ). Nothing happens without guided_target, or at w = 1
 * and κ = 0. Uses scratch[1] and [2], numbers and spare_labels. */
void fs_interval_guide(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range);
/* The forwards of that for a row. */
double fs_interval_guidance_forwards(const struct fs_method_setup *setup);
/* The share of the batch's rows that span an interval. */
double fs_interval_share(const struct fs_method_setup *setup);
/* What a phase says of its targets that are MeanFlow's: its tangents. */
void fs_mean_flow_phase(const struct fs_method_setup *setup, struct fs_phase *phase);

#endif
