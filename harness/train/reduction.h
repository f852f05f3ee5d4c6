/* Flat buffers over several ranks: gradients summed, what each made of its part gathered, squared norms.
 *
 * Both ways to train share these: with the optimiser on every rank, gradients are scattered as sums and gathered again,
 * and all ranks make the same update of everything; with it sharded (Rajbhandari et al. 2020, "ZeRO", stage 1), each
 * makes the update of its part, and the weights are gathered. Sums and norms are taken part by part in both, so they
 * have the same bits.
 *
 * NCCL would stand here: as operations of the backend, which a captured update keeps; `host` is what they do without.
 */
#ifndef FEWSTEP_REDUCTION_H
#define FEWSTEP_REDUCTION_H

#include "harness/comm/comm.h"
#include "kernels/backend.h"

struct fs_reduction {
    struct fs_comm *comm;
    struct fs_backend *backend;
    int64_t *borders; /* [ranks + 1], of the parts */
    float *host;      /* a flat buffer for a backend whose memory is not the host's; NULL */
};

/* For flat buffers of `count` numbers. To be destroyed in any case. */
fs_status fs_reduction_create(struct fs_reduction *reduction, struct fs_comm *comm, struct fs_backend *backend,
                              int64_t count, struct fs_error *error);
void fs_reduction_destroy(struct fs_reduction *reduction);

/* How long the longest part of `count` numbers is among so many ranks. */
int64_t fs_reduction_longest(int64_t count, int ranks);
/* This rank's part of a flat view. */
struct fs_view fs_reduction_part(const struct fs_reduction *reduction, struct fs_view flat);

/* This rank's part becomes the sum over all; what the other parts are then is not said. Waits for the backend. */
void fs_reduction_sum(struct fs_reduction *reduction, struct fs_view flat);
/* Each rank's part comes to all. */
void fs_reduction_gather(struct fs_reduction *reduction, struct fs_view flat);
/* `norm2` [1, 1] becomes the squared norm of a flat view of which each rank's part is right: the sum of sum_squares of
 * the parts in double, by rank 0. It is returned, too. */
float fs_reduction_norm2(struct fs_reduction *reduction, struct fs_view norm2, struct fs_view flat);

#endif
