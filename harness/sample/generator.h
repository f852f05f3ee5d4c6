/* A trained network ready to draw samples: a checkpoint's weights behind a sampler. */
#ifndef FEWSTEP_GENERATOR_H
#define FEWSTEP_GENERATOR_H

#include "harness/comm/comm.h"
#include "harness/data/dataset.h"
#include "harness/sample/sampler.h"

struct fs_exact_velocity;

struct fs_generator {
    struct fs_dit *dit;
    struct fs_weights weights;
    struct fs_sampler sampler;
    struct fs_view x;                /* [capacity, dim] */
    int64_t update;                  /* of the checkpoint */
    struct fs_exact_velocity *exact; /* in the network's place, see exact_velocity.h; NULL: a network */
};

/* `config` and `backend` must outlive it; `shape` gives height, width and channels. FS_USAGE for a checkpoint that does
 * not fit; `checkpoint` NULL: the weights come later, by fs_generator_share. It must not move in memory once opened. */
fs_status fs_generator_open(struct fs_generator *generator, struct fs_backend *backend, const struct fs_config *config,
                            const struct fs_data_shape *shape, const char *checkpoint, enum fs_weights_kind kind,
                            struct fs_error *error);
void fs_generator_close(struct fs_generator *generator);
/* All ranks call it: rank 0's weights to the others, whose generators were opened without. */
fs_status fs_generator_share(struct fs_generator *generator, struct fs_comm *comm, struct fs_error *error);

/* The label of sample `index` of the bank at `seed`, as evaluate.labels says: index mod classes, or uniform by a stream
 * of its own; 0 without classes. */
int32_t fs_evaluation_label(const struct fs_config *config, uint32_t seed, int64_t index);

/* Samples first … first + n − 1 of the noise bank at `seed`, with their labels, to samples
 * [n, dim] on the host, in data scale and not clipped. Any n. */
fs_status fs_generate(struct fs_generator *generator, uint32_t seed, int64_t first, int64_t n, int steps,
                      double guidance_scale, float *samples, struct fs_error *error);

/* The same from given noise [n, dim] and labels [n]; `seed` is for methods whose steps re-noise, as rows 0 … n − 1. */
fs_status fs_generate_from(struct fs_generator *generator, const float *noise, const int32_t *labels, uint32_t seed,
                           int64_t n, int steps, double guidance_scale, float *samples, struct fs_error *error);

/* The first n rows of the noise bank at `seed`, to noise [n, dim] on the host. */
fs_status fs_noise_bank(struct fs_generator *generator, uint32_t seed, int64_t n, float *noise, struct fs_error *error);

#endif
