/* Flat buffers over several ranks: gradients summed, what each made of its part gathered, squared norms.
 *
 * Both ways to train share these: with the optimiser on every rank, gradients are scattered as sums and gathered again,
 * and all ranks make the same update of everything; with it sharded (Rajbhandari et al. 2020, "ZeRO", stage 1), each
 * makes the update of its part, and the weights are gathered. Sums and norms are taken part by part in both, so they
 * have the same bits.
 *
 * Where the backend can exchange numbers with other ranks' devices by itself (its exchange_ operations), gradients are
 * summed in buckets while the backward pass goes on, within the update and so within its captured graph, whole on every
 * rank. Else they go through the host's memory, behind the backward pass. The sums have the same bits either way. */
#ifndef FEWSTEP_REDUCTION_H
#define FEWSTEP_REDUCTION_H

#include "harness/comm/comm.h"
#include "harness/model/dit.h"
#include "kernels/backend.h"

struct fs_reduction {
    struct fs_comm *comm;
    struct fs_backend *backend;
    int64_t *borders; /* [ranks + 1], of the parts */
    float *host;      /* a flat buffer for a backend whose memory is not the host's; NULL */
    bool on_device;   /* by the backend's own exchange */
    int64_t bucket;   /* numbers of a bucket */
    struct fs_view room, gradients;
    int64_t left; /* numbers of the gradients, from their beginning, that are not on their way */
};

/* For flat buffers of `count` numbers. To be destroyed in any case. */
fs_status fs_reduction_create(struct fs_reduction *reduction, struct fs_comm *comm, struct fs_backend *backend,
                              int64_t count, struct fs_error *error);
/* All ranks, once each has created its own: how their gradients come together. Where devices could be joined and are
 * not, the backend's notice says why. */
fs_status fs_reduction_join(struct fs_reduction *reduction, struct fs_error *error);
/* All ranks, where they have joined. */
void fs_reduction_destroy(struct fs_reduction *reduction);

/* How long the longest part of `count` numbers is among so many ranks. */
int64_t fs_reduction_longest(int64_t count, int ranks);
/* This rank's part of a flat view. */
struct fs_view fs_reduction_part(const struct fs_reduction *reduction, struct fs_view flat);

/* Numbers of a bucket of `count` gradients. With S bytes of them, B bytes a second and a delay a for each bucket, what
 * a backward pass does not hide is the last bucket and the delays, b/B + a·S/b: least at b = √(S·a·B). a·B is 5 MB for
 * devices of one machine (25 µs, 205 GB/s), and a fourth of S is the most. */
int64_t fs_reduction_bucket(int64_t count);
/* Numbers of a device's memory that the exchange of `count` gradients takes beside them: a bucket's slices of the other
 * ranks; 0 for one process. */
int64_t fs_reduction_room(int64_t count, int ranks);

/* Where `on_device`, within an update: what to tell of the backward pass that gradients are whole after; */
struct fs_dit_watch fs_reduction_begin(struct fs_reduction *reduction, struct fs_view gradients);
/* and the sums are whole on every rank for what comes next. */
void fs_reduction_end(struct fs_reduction *reduction);
/* Once the update is done: FS_FAILED where the ranks can exchange nothing any more, and not even agree on it. */
fs_status fs_reduction_check(const struct fs_reduction *reduction, struct fs_error *error);

/* This rank's part becomes the sum over all; what the other parts are then is not said. Waits for the backend. */
void fs_reduction_sum(struct fs_reduction *reduction, struct fs_view flat);
/* Each rank's part comes to all. */
void fs_reduction_gather(struct fs_reduction *reduction, struct fs_view flat);
/* `norm2` [1, 1] becomes the squared norm of a flat view of which each rank's part is right: the sum of sum_squares of
 * the parts in double, by rank 0. It is returned, too. */
float fs_reduction_norm2(struct fs_reduction *reduction, struct fs_view norm2, struct fs_view flat);

#endif
