/* The network that `fewstep bench` measures, and one update of it. */
#ifndef FEWSTEP_BENCH_NETWORK_H
#define FEWSTEP_BENCH_NETWORK_H

#include "harness/bench/measure.h"
#include "harness/model/dit.h"

struct fs_bench_network {
    struct fs_dit *dit;
    struct fs_weights weights;
    struct fs_view gradients, moment1, moment2, average;
    struct fs_view x, target, velocity, dvelocity, loss, row_weights; /* dvelocity: and the tangent */
    float *t, *s;
    int32_t *labels;
    int64_t update;
};

/* A network of b's model for b's batch and for `passes` (FS_PASS_BACKWARD, …), with made-up weights and rows. Free it
 * also after a failure. */
fs_status fs_bench_network_create(struct fs_bench *b, struct fs_bench_network *n, enum fs_type precision,
                                  unsigned passes, struct fs_error *error);
void fs_bench_network_free(struct fs_bench *b, struct fs_bench_network *n);

struct fs_dit_input fs_bench_network_input(const struct fs_bench_network *n);
/* Zero gradients, forward, mean squared error, backward, AdamW with one average: asked of the backend, not waited for.
 */
void fs_bench_network_update(struct fs_bench *b, struct fs_bench_network *n);

#endif
