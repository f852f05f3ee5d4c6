/* What a run will cost, before it starts: for --dry-run, and for the FLOPs that tables print. */
#ifndef FEWSTEP_COST_H
#define FEWSTEP_COST_H

#include "harness/config/config.h"
#include "harness/model/dit.h"

/* FLOPs are matrix products only; an update is three forwards of the batch, plus those without gradient, plus the
 * passes that give a tangent too (at 2.05 to 2.1 forwards each). */
struct fs_cost {
    double forward_flops; /* one sample through the network once */
    double student_flops; /* the method's own updates */
    double teacher_flops; /* its flow-matching teacher, 0: none */
    double pair_flops;    /* drawing the teacher's pairs, 0: none */
    double score_flops;   /* sampling for every step count; the extractor is not counted */
    double parameters;
    double
        checkpoint_bytes;  /* tensors of the checkpoints that stay: weights, EMA, both moments, what the method adds */
    double pair_bytes;     /* the pairs' images on the disk */
    double memory_bytes;   /* of the training: weights, gradients, moments, a batch's activations, without data sets */
    double snapshot_bytes; /* of main memory: the copy of the state that a checkpoint is written from */
};

/* FLOPs of a sample and update in `phase`, by the network's sizes. */
double fs_update_flops(const struct fs_method *method, const struct fs_method_setup *setup,
                       const struct fs_phase *phase, const struct fs_dit_sizes *sizes);

/* Of `config` on pictures of `shape`, trained on a backend of float32. The network's own sizes are asked, and the
 * trainer's. FS_USAGE for a network that cannot be made of these. */
fs_status fs_run_cost(const struct fs_config *config, const struct fs_data_shape *shape, struct fs_cost *cost,
                      struct fs_error *error);

#endif
