/* What the methods share when they make targets: random numbers of a row, x_t, labels, flow-matching rows, and rows
 * whose target is two half steps. Everything works on the rows of a range of the micro-batch. */
#ifndef FEWSTEP_TARGETS_H
#define FEWSTEP_TARGETS_H

#include "methods/method.h"

/* How many rows a share of the batch is: rounded down, but a product that should be whole and is not by rounding
 * (0.29 · 100) counts as whole. */
int fs_share_of_rows(int batch, double share);

/* --- parts of a row --- */

/* Where the draws of a stream stand at this update; with it the row of fs_global_row. */
struct fs_random_key fs_target_key(const struct fs_method_context *context, uint32_t stream);
static inline uint32_t fs_global_row(struct fs_row_range range, int row)
{
    return (uint32_t)(range.global + row - range.first);
}

/* The noise of the range: what is given with the data, or else fresh, in its rows of scratch[0]. Not to be written to.
 */
struct fs_view fs_draw_noise(struct fs_method_context *context, struct fs_row_range range, uint32_t stream);
/* Where that stands, once it is drawn. */
struct fs_view fs_row_noise(const struct fs_method_context *context, struct fs_row_range range);
/* The range's labels, the null label instead with the context's probability. */
void fs_draw_labels(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range);
/* t uniform on {0 … M−1}/M. */
void fs_draw_grid_times(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range);
/* out = x_t = (1 − (1 − σ)·t)·noise + t·data, a time a row of `out`. Uses numbers[0]. */
void fs_mix_noise_and_data(struct fs_method_context *context, struct fs_view out, struct fs_view noise, const float *t,
                           struct fs_view data);
/* The rows of targets->x: that of the given noise and the range's data at targets->t. Uses numbers[0]. */
void fs_mix_at_times(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                     struct fs_view noise);
/* out = a·x + c·y with these coefficients in every row, within ±clip unless that is 0. Uses numbers[0] and [1]. */
void fs_mix_evenly(struct fs_method_context *context, struct fs_view out, double a, struct fs_view x, double c,
                   struct fs_view y, double clip);

/* out = v(x, t, s, label) of the network, in the first `guided` rows v_null + scale·(v_label − v_null) with the
 * context's guidance scale. Arrays have one value a row of x. Uses scratch[3], spare_labels, numbers[0] and [1]. */
void fs_guided_velocity(struct fs_method_context *context, enum fs_network network, int64_t guided, struct fs_view out,
                        struct fs_view x, const float *t, const float *s, const int32_t *labels);

/* --- whole rows --- */

/* Flow matching at the times that targets->t has: x_t of the given noise on pairs, else of fresh noise, target
 * x1 − (1 − σ)·x0, labels dropped with the context's probability, conditioning `s`, weight 1, level K. Uses scratch[0],
 * numbers[0] and [1]. */
void fs_flow_matching_at_times(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                               float s);
/* The same at t uniform on {0 … M−1}/M. */
void fs_flow_matching_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                           float s);

/* How the target of two half steps is made. */
struct fs_half_steps {
    enum fs_network network;
    bool conditioned; /* the network is asked with s = level (half steps: level + 1); else s = 0 */
    double clip;      /* ± bound of the target, 0: none; x' is always within ±FS_CLIP */
    int guided;       /* the first `guided` rows of the range take guided half steps */
};

/* Bootstrapped rows: with d = 2^−targets->level[i] (which the caller has set), t is uniform on the multiples of d below
 * 1, x_t is mixed from the streams of the bootstrap, labels are kept, and the target is the mean of two steps of d/2:
 * v1 at x_t, x' = clip(x_t + d/2·v1), v2 at (x', t + d/2), (v1 + v2)/2. Frans et al. 2024, equation 5; Salimans & Ho
 * 2022 with a teacher in place of the average. Uses all scratch and numbers. */
void fs_half_step_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                       const struct fs_half_steps *how);

/* The range's targets of a consistency model in velocity form, of states `later` [count, dim] at times `later_t`, after
 * targets->t and at most 1. The average network says where the path from a later state ends,
 * x̂1 = x' + (1 − t')·v(x', t'), and the target is the velocity that leads from x_t there in the time that is left:
 *   (x̂1 − x_t)/(1 − t) = (x' − x_t)/(1 − t) + (1 − t')/(1 − t)·v(x', t').
 * The second form takes the difference of two near states, which is exact, before it divides by a small 1 − t.
 * Song, Dhariwal, Chen, Sutskever 2023, equations 8 and 10, with the prediction of x1 written as a velocity. `later` is
 * in scratch[1] or [3]; uses scratch[0] and [2], numbers[0] and [1]. */
void fs_consistency_target(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                           struct fs_view later, const float *later_t);

#endif
