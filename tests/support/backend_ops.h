/* Every operation of a backend against the naive float64 reference: odd and even shapes, dense and strided rows,
 * float32 and bf16 operands, fresh random numbers. */
#ifndef FEWSTEP_TEST_BACKEND_OPS_H
#define FEWSTEP_TEST_BACKEND_OPS_H

#include "kernels/backend.h"

/* Fails the test that it is called in. Gradients of convolutions are left out where the backend has none. */
void test_backend_ops(struct fs_backend *backend);

#endif
