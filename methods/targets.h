/* What the methods share when they make targets: random numbers of a row, x_t, labels, flow-matching rows, and rows
 * whose target is two half steps. Everything works on the rows of a range of the micro-batch. */
#ifndef FEWSTEP_TARGETS_H
#define FEWSTEP_TARGETS_H

#include "methods/method.h"

/* --- parts of a row --- */

/* Where the draws of a stream stand at this update; with it the row of fs_global_row. */
struct fs_random_key fs_target_key(const struct fs_method_context *context, uint32_t stream);
static inline uint32_t fs_global_row(struct fs_row_range range, int row)
{
    return (uint32_t)(range.global + row - range.first);
}

/* Fresh noise for the range, in its rows of scratch[0]. */
struct fs_view fs_draw_noise(struct fs_method_context *context, struct fs_row_range range, uint32_t stream);
/* The range's labels, the null label instead with the context's probability. */
void fs_draw_labels(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range);
/* t uniform on {0 … M−1}/M. */
void fs_draw_grid_times(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range);
/* The rows of targets->x: x_t = (1 − (1 − σ)·t)·noise + t·data at targets->t. Uses numbers[0]. */
void fs_mix_at_times(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                     struct fs_view noise);
/* out = a·x + c·y with these coefficients in every row, within ±clip unless that is 0. Uses numbers[0] and [1]. */
void fs_mix_evenly(struct fs_method_context *context, struct fs_view out, double a, struct fs_view x, double c,
                   struct fs_view y, double clip);

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

#endif
