/* Inference networks (net.h) on the CPU, by oneDNN.
 *
 * Every image goes through the whole network on one thread, as a batch of one. In oneDNN's blocked layouts a range of
 * channels of one image is contiguous, so layers write straight into the concatenation that follows them; activations
 * stay in the core's cache; and an image's results do not depend on its batch or on the number of threads. */
#ifndef FEWSTEP_ONEDNN_NET_H
#define FEWSTEP_ONEDNN_NET_H

#include "kernels/net.h"

/* Without images yet. NULL and `error` on failure. */
struct fs_net *fs_onednn_net_create(int threads, struct fs_error *error);

#endif
