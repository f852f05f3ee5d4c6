/* Inference networks of convolutions and poolings: described once, layer by layer, then run on any number of float32
 * images. On the CPU by oneDNN (cpu/onednn_net.c), elsewhere by the backend's table (backend_net.c). */
#ifndef FEWSTEP_NET_H
#define FEWSTEP_NET_H

#include "kernels/backend.h"

#define FS_NET_BLOCK 16 /* the ranges of channels that layers read and write begin and end at multiples of it */
#define FS_NET_INPUT 0  /* the image that fs_net_create describes */

struct fs_net;

/* Channels first … first + channels − 1 of an image of the network. */
struct fs_net_slice {
    int image;
    int64_t first, channels;
};

struct fs_net_kernel {
    int64_t height, width, stride, pad_height, pad_width; /* padded on both sides */
};

/* A network for images of height × width × channels, on a backend that outlives it. batch_max ≥ 1: images that go
 * through it at once, where the backend takes them so; on the CPU each thread takes one. NULL and `error` on failure,
 * FS_USAGE for a backend that does not compute in float32; give back with destroy. */
struct fs_net *fs_net_create(struct fs_backend *backend, int64_t batch_max, int64_t height, int64_t width,
                             int64_t channels, struct fs_error *error);
void fs_net_destroy(struct fs_net *net);

/* A new image for layers to write, as a slice of all its channels. */
fs_status fs_net_image(struct fs_net *net, int64_t height, int64_t width, int64_t channels, struct fs_net_slice *slice,
                       struct fs_error *error);
/* out = ReLU(in∗weights + bias); weights [out.channels, in.channels, kernel.height, kernel.width] and bias
 * [out.channels], on the host, are copied. One layer reads the input, and all of it. */
fs_status fs_net_convolution(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                             const struct fs_net_kernel *kernel, const float *weights, const float *bias,
                             struct fs_error *error);
fs_status fs_net_pool(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                      const struct fs_net_kernel *kernel, enum fs_pooling pooling, struct fs_error *error);
/* After the last layer: plans and allocates the activations. */
fs_status fs_net_finish(struct fs_net *net, struct fs_error *error);

/* What is wanted of a run: a slice (of any channels) of an image, [count, height, width, channels], or with `mean` its
 * average over the pixels, [count, channels]; `out` is the host's. Read as soon as the image is complete. */
struct fs_net_result {
    struct fs_net_slice slice;
    bool mean;
    float *out;
};

/* images [count, height, width, channels], dense, in the backend's memory; `count` may be beyond batch_max. Layers
 * behind the last result do not run. Returns when the results are there. */
fs_status fs_net_run(struct fs_net *net, int64_t count, const float *images, const struct fs_net_result *results,
                     int result_count, struct fs_error *error);

/* Of the convolutions, for one image. */
double fs_net_flops(const struct fs_net *net);

#endif
