/* Inference networks of convolutions and what stands between them: described once, layer by layer, then run on any
 * number of float32 images. On the CPU by oneDNN (cpu/onednn_net.c), elsewhere by the backend's table (backend_net.c).
 */
#ifndef FEWSTEP_NET_H
#define FEWSTEP_NET_H

#include "kernels/backend.h"

/* The ranges of channels that layers read and write begin at multiples of it, and end there or with the image. */
#define FS_NET_BLOCK 16
#define FS_NET_INPUT 0 /* the image that fs_net_create describes */

struct fs_net;

/* Channels first … first + channels − 1 of an image of the network. */
struct fs_net_slice {
    int image;
    int64_t first, channels;
};

struct fs_net_kernel {
    int64_t height, width, stride;
    int64_t pad_height, pad_width; /* on both sides */
    int64_t pad_below, pad_right;  /* beside these, on that side alone */
};

/* What becomes of a convolution's result: written as it is, not below zero, or added to what `out` holds. */
enum fs_net_output { FS_NET_LINEAR, FS_NET_RELU, FS_NET_SUM };

/* How the CPU's threads share the work: each takes an image, which keeps small ones in its cache; or all of them go
 * through one image after the other, in the memory of one: for large ones. Only the second kind of network has layers
 * other than convolutions and poolings. */
enum fs_net_threads { FS_NET_THREAD_AN_IMAGE, FS_NET_THREADS_TOGETHER };

/* A network for images of height × width × channels, on a backend that outlives it. batch_max ≥ 1: images that go
 * through it at once, where the backend takes them so and has the memory; on the CPU as `threads` says. NULL and
 * `error` on failure, FS_USAGE for a backend that does not compute in float32; give back with destroy. */
struct fs_net *fs_net_create(struct fs_backend *backend, enum fs_net_threads threads, int64_t batch_max, int64_t height,
                             int64_t width, int64_t channels, struct fs_error *error);
void fs_net_destroy(struct fs_net *net);

/* A new image for layers to write, as a slice of all its channels; FS_F32 or FS_BF16. */
fs_status fs_net_image(struct fs_net *net, enum fs_type type, int64_t height, int64_t width, int64_t channels,
                       struct fs_net_slice *slice, struct fs_error *error);
/* out = in∗weights + bias, or as `kind` says; weights [out.channels, in.channels, kernel.height, kernel.width] and bias
 * [out.channels], on the host, are copied. Weights are rounded to the type of `in`, sums are float32. One layer reads
 * the input, and all of it; for it the type is that of `out`. */
fs_status fs_net_convolution(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                             const struct fs_net_kernel *kernel, enum fs_net_output kind, const float *weights,
                             const float *bias, struct fs_error *error);
fs_status fs_net_pool(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                      const struct fs_net_kernel *kernel, enum fs_pooling pooling, struct fs_error *error);
/* The layers below are for whole images of one type.
 *
 * Group norm with the statistics of each image, then, when `silu`, y·sigmoid(y) (operation group_norm_forward of
 * backend.h); gamma and beta [channels], on the host, are copied. `out` may be `in`. */
fs_status fs_net_group_norm(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in, int64_t groups,
                            double epsilon, const float *gamma, const float *beta, bool silu, struct fs_error *error);
/* Each pixel four times: `out` is twice as high and wide. */
fs_status fs_net_upsample(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in, struct fs_error *error);
/* out = softmax(q·kᵀ/√channels)·v over the pixels, one head; qkv has three times the channels: q, k, v. */
fs_status fs_net_attention(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice qkv,
                           struct fs_error *error);
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

/* Of the convolutions and attention, for one image. */
double fs_net_flops(const struct fs_net *net);
/* What one image's activations take, in bytes, without the library's scratch memory; once finished. */
int64_t fs_net_activation_bytes(const struct fs_net *net);

#endif
