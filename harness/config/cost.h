/* What a run will cost, before it starts: for --dry-run, and for the FLOPs that tables print. */
#ifndef FEWSTEP_COST_H
#define FEWSTEP_COST_H

#include "harness/config/config.h"

/* FLOPs are matrix products only; an update is three forwards of the batch plus those without gradient. */
struct fs_cost {
    double forward_flops; /* one sample through the network once */
    double student_flops; /* the method's own updates */
    double teacher_flops; /* its flow-matching teacher, 0: none */
    double pair_flops;    /* drawing the teacher's pairs, 0: none */
    double score_flops;   /* sampling for every step count; the extractor is not counted */
    double parameters;
    double checkpoint_bytes; /* the checkpoints that stay: weights, EMA, both moments, and what the method adds */
    double pair_bytes;       /* the pairs' images on the disk */
    double memory_bytes;     /* estimate: flat buffers and a micro-batch's activations, without the data set */
};

fs_status fs_config_cost(const struct fs_config *config, struct fs_cost *cost, struct fs_error *error);

#endif
