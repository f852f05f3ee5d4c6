/* Inference networks (kernels/net.h) on any backend, against the same in double. */
#ifndef FEWSTEP_TEST_BACKEND_NET_H
#define FEWSTEP_TEST_BACKEND_NET_H

#include "kernels/backend.h"

/* A network with a join, three poolings and parts of images, on five pictures in batches of two and on one alone:
 * within 1e-5; and what networks refuse. Both fail the test that they are called in. */
void test_backend_net(struct fs_backend *backend);
void test_backend_net_refusals(struct fs_backend *backend);
/* What layers for whole images refuse. */
void test_backend_net_layers(struct fs_backend *backend);

/* The CPU's table as that of a backend that is not known to be the CPU's, so that what is written for any backend runs
 * on it. `cpu` outlives it. */
struct fs_backend test_some_backend(const struct fs_backend *cpu);

#endif
