/* What the kinds of inference network share: the images, how long each is needed and where it lies, and the table of
 * functions that is a kind. */
#ifndef FEWSTEP_NET_KIND_H
#define FEWSTEP_NET_KIND_H

#include "kernels/net.h"

#define FS_NET_IMAGES_MAX 160
#define FS_NET_LAYERS_MAX 200

/* Written by layers `first` to `written`, and needed up to layer `last`. */
struct fs_net_image {
    int64_t height, width, channels;
    enum fs_type type;
    int64_t floats;           /* room for so many in the arena; 0: the caller's */
    int64_t offset;           /* there, once the network is finished */
    int first, written, last; /* layers; first −1: none writes it */
};

/* A run that was checked: layers 0 … last, in order. */
struct fs_net_run {
    int64_t count;
    const float *images;
    const struct fs_net_result *results;
    int result_count, last;
};

struct fs_net_norm {
    int64_t groups;
    double epsilon;
    bool silu;
};

/* Shapes were checked before these are called. A kind appends the layers that it makes of one with fs_net_add_layer. */
struct fs_net_kind {
    void (*destroy)(struct fs_net *net);
    fs_status (*convolution)(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                             const struct fs_net_kernel *kernel, enum fs_net_output result, const float *weights,
                             const float *bias, struct fs_error *error);
    fs_status (*pool)(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                      const struct fs_net_kernel *kernel, enum fs_pooling pooling, struct fs_error *error);
    fs_status (*group_norm)(struct fs_net *net, int out, int in, const struct fs_net_norm *norm, const float *gamma,
                            const float *beta, struct fs_error *error);
    fs_status (*upsample)(struct fs_net *net, int out, int in, struct fs_error *error);
    fs_status (*attention)(struct fs_net *net, int out, int qkv, struct fs_error *error);
    fs_status (*finish)(struct fs_net *net, struct fs_error *error); /* the images have their places */
    fs_status (*run)(struct fs_net *net, const struct fs_net_run *run, struct fs_error *error);
};

/* The first member of each kind's own structure. */
struct fs_net {
    const struct fs_net_kind *kind;
    struct fs_net_image images[FS_NET_IMAGES_MAX];
    int image_count, layer_count;
    int64_t arena_floats; /* that one image needs on its way through the network */
    double flops;
    enum fs_net_threads threads;
    bool finished;
};

/* The two kinds there are, without images yet; NULL and `error` on failure. By oneDNN (cpu/onednn_net.c), for the CPU's
 * backend; by a backend's table (backend_net.c): batch_max ≥ 1, FS_USAGE for a backend that does not compute in
 * float32. */
struct fs_net *fs_onednn_net_create(struct fs_backend *backend, enum fs_net_threads threads, struct fs_error *error);
struct fs_net *fs_backend_net_create(struct fs_backend *backend, int64_t batch_max, struct fs_error *error);

/* Room for an image in the arena: channels in whole blocks, whatever its layout. */
int64_t fs_net_image_floats(const struct fs_net_image *image);
/* A copy of `image` that no layer writes yet. */
fs_status fs_net_add_image(struct fs_net *net, struct fs_net_image image, int *index, struct fs_error *error);
/* Layer net->layer_count, which it counts, reads image `in` and writes image `out`. */
fs_status fs_net_add_layer(struct fs_net *net, int in, int out, struct fs_error *error);
/* Memory of the last layer alone, as an image. */
fs_status fs_net_add_workspace(struct fs_net *net, int64_t floats, int *image, struct fs_error *error);

/* Images begin on 64 bytes, as the backends' memory does. */
static inline int64_t fs_net_rounded(int64_t floats)
{
    return (floats + 15) / 16 * 16;
}

#endif
