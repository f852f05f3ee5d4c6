/* Sampling: from the noise bank to data in N steps of the method. */
#ifndef FEWSTEP_SAMPLER_H
#define FEWSTEP_SAMPLER_H

#include "harness/config/config.h"
#include "harness/model/dit.h"

struct fs_sampler {
    struct fs_backend *backend;
    const struct fs_config *config;
    int64_t dim;
    int capacity; /* rows a call */
    void *owner;
    /* velocity [n, dim] = network(x, t, s, labels); the caller's, so that tests can put the exact velocity here. */
    void (*evaluate)(struct fs_sampler *sampler, struct fs_view velocity, struct fs_view x, const float *t,
                     const float *s, const int32_t *labels);
    /* Set up by fs_sampler_create: */
    struct fs_view scratch[3];   /* [capacity, dim]; the last is the null label's velocity */
    struct fs_view coefficients; /* [capacity, 2] */
    float *t, *s;                /* [capacity] */
    int32_t *null_labels;        /* [capacity] */
};

/* From the fields above scratch. Give back with fs_sampler_destroy, after a failure too. */
fs_status fs_sampler_create(struct fs_sampler *sampler, struct fs_error *error);
void fs_sampler_destroy(struct fs_sampler *sampler);

/* What is drawn: rows first_row … of the noise bank at `seed`, which the method's steps draw by where they re-noise,
 * whatever noise x begins with. */
struct fs_drawing {
    const int32_t *labels; /* [n] */
    int steps;
    double guidance_scale; /* other than 1: v = v_null + scale·(v_label − v_null) */
    uint32_t seed, first_row;
    enum fs_solver solver; /* 0: the method's own step */
    double time_shift;     /* of the grid of times; 0 and 1: uniform */
};

/* x [n, dim], n ≤ capacity: noise in, samples out, by the method's step (or the solver's) at t = 0, 1/steps, … FS_USAGE
 * where the method has no meaning for that guidance (with its reason), number of steps, solver or grid. */
fs_status fs_sample(struct fs_sampler *sampler, struct fs_view x, const struct fs_drawing *drawing,
                    struct fs_error *error);

/* The noise bank: row i of FS_STREAM_EVALUATION_NOISE at `seed`, the same for every method and step count. */
void fs_evaluation_noise(struct fs_backend *backend, struct fs_view x, uint32_t seed, uint32_t first_row);

#endif
