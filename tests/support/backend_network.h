/* The whole network and a short training on any backend, against the float64 reference. */
#ifndef FEWSTEP_TEST_BACKEND_NETWORK_H
#define FEWSTEP_TEST_BACKEND_NETWORK_H

#include "kernels/backend.h"

/* A forward and a backward pass with random weights; tolerance: the relative distance of the velocities, and of the
 * gradient as a whole. Fails the test that it is called in. */
void test_backend_network(struct fs_backend *backend, enum fs_type precision, double tolerance);
/* 20 float32 updates with clipping and two averages: loss, weights and averages within 1e-5. */
void test_backend_training(struct fs_backend *backend);

/* A training with fresh random numbers, times and counters in each update, `kept`: between update_begin and update_end.
 * The weights that it ends with, `count` of them; the caller frees them. */
double *test_backend_updates(struct fs_backend *backend, int updates, bool kept, int64_t *count);

#endif
