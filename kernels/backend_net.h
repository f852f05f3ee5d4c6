/* Inference networks (net.h) by a backend's table, for any backend: batches of images as [batch, height·width·channels]
 * in its memory, a layer an operation, and a copy where a layer reads or writes only a part of an image's channels.
 *
 * All activations lie in one buffer; images that are not needed at the same time share their place. */
#ifndef FEWSTEP_BACKEND_NET_H
#define FEWSTEP_BACKEND_NET_H

#include "kernels/net.h"

/* Without images yet; `backend` outlives it, batch_max ≥ 1. NULL and `error` on failure, FS_USAGE for a backend that
 * does not compute in float32. */
struct fs_net *fs_backend_net_create(struct fs_backend *backend, int64_t batch_max, struct fs_error *error);

#endif
