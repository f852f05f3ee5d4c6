/* The reference backend: every operation of kernels/backend.h as the plain loop of its definition, in double precision.
 * It is what the other backends are tested against, and what the network's gradient is checked on. */
#ifndef FEWSTEP_TEST_REFERENCE_H
#define FEWSTEP_TEST_REFERENCE_H

#include "kernels/operands.h"

/* All operands FS_F64 (`copy` converts between any types). Give back with backend->destroy. */
struct fs_backend *fs_reference_backend(struct fs_error *error);

/* The operations, by file. */
void fs_reference_network(struct fs_backend *backend);  /* linear layer, attention, norm, gate, element by element */
void fs_reference_pictures(struct fs_backend *backend); /* patches, convolution, pooling, resize, group norm */
void fs_reference_training(struct fs_backend *backend); /* conditioning, loss, optimiser */
void fs_reference_tangents(struct fs_backend *backend);

/* Element (i, j) of an FS_F64 view. */
static inline double *fs_at(struct fs_view view, int64_t i, int64_t j)
{
    return (double *)view.data + i * view.stride + j;
}

/* True when `operation` may go on: its operands fit, and there was no fault before; else that is a fault. */
bool fs_reference_begin(struct fs_backend *backend, const char *operation, bool operands_fit);

#endif
