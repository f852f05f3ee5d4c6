/* What the methods share when they make targets: rows and their random numbers, x_t, flow-matching rows, and the target
 * of two half steps. Everything works on rows first … first + count − 1 of the micro-batch. */
#ifndef FEWSTEP_TARGETS_H
#define FEWSTEP_TARGETS_H

#include "methods/method.h"

struct fs_row_range {
    int first, count;
};

/* Plain flow matching on a range: t uniform on {0 … M−1}/M, the given noise on pairs, else fresh noise, labels dropped
 * with the context's probability, conditioning `s`, weight 1, level K. Uses scratch[0]. */
void fs_flow_matching_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                           float s);

/* How the target of two half steps is made. */
struct fs_half_steps {
    enum fs_network network;
    bool conditioned; /* the network is asked with s = level (half steps: level + 1); else s = 0 */
    int guided;       /* the first `guided` rows of the range take guided half steps */
};

/* Bootstrapped rows: with d = 2^−targets->level[i] (which the caller has set), t is uniform on the multiples of d below
 * 1, x_t is mixed from the streams of the bootstrap, labels are kept, and the target is the mean of two steps of d/2:
 * v1 at x_t, x' = clip(x_t + d/2·v1), v2 at (x', t + d/2), clip((v1 + v2)/2). Frans et al. 2024, equation 5; Salimans &
 * Ho 2022 with a teacher in place of the average. Uses all scratch. */
void fs_half_step_rows(struct fs_method_context *context, struct fs_targets *targets, struct fs_row_range range,
                       const struct fs_half_steps *how);

#endif
