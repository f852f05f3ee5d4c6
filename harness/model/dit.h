/* The backbone: a diffusion transformer (Peebles & Xie 2023) conditioned on time, step size and label, as the
 * shortcut-model authors run it. Forward calls operations of a backend in order, backward in the opposite order, over
 * one activation buffer whose plan is made once. */
#ifndef FEWSTEP_DIT_H
#define FEWSTEP_DIT_H

#include <stdio.h>

#include "harness/config/config.h"
#include "kernels/backend.h"

struct fs_dit; /* opaque: configuration, parameter table, plan, activation buffers */

enum fs_initial { FS_INITIAL_ZERO, FS_INITIAL_XAVIER, FS_INITIAL_NORMAL_002 };

/* A parameter: rows × cols at `offset` (in elements, 16-aligned) of the flat buffer. Linears are [out, in]. */
struct fs_parameter {
    char name[48]; /* as in the DiT repository: blocks.0.attn.qkv.weight */
    int64_t offset, rows, cols;
    enum fs_initial initial;
    int split;       /* initialised as this many matrices on top of each other (q, k, v; the modulation as one) */
    bool multiplies; /* the weight of a linear layer; biases are added, label embeddings looked up */
};

/* Input of one pass over n ≤ capacity rows; arrays of scalars are the host's. */
struct fs_dit_input {
    struct fs_view x;      /* [n, H·W·C] */
    const float *t, *s;    /* [n] */
    const int32_t *labels; /* [n]; what is no class, such as config.classes, is the null label */
};

/* A direction in which a network is differentiated; arrays are the host's. Labels have none. */
struct fs_dit_direction {
    struct fs_view x_dot;       /* [n, H·W·C] */
    const float *t_dot, *s_dot; /* [n] */
};

/* What a network is made for, besides passes forward: flags. */
#define FS_PASS_FORWARD 0u
#define FS_PASS_BACKWARD 1u /* a pass may be kept, and gone back through */
#define FS_PASS_TANGENT 2u  /* fs_dit_tangent */
/* With FS_PASS_BACKWARD: of a block only its input and the norm of that are kept, and the backward pass passes all but
 * the last forward again (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): the same operations on
 * the same numbers, which give the same bits. */
#define FS_PASS_RECOMPUTE 4u

/* Flat parameters as the network reads them. `half` is their bf16 copy for matrix products, kept by fs_dit_refresh;
 * not given for float32. Owned by whoever allocated the buffers. */
struct fs_weights {
    struct fs_view values; /* [1, parameter count], backend->real */
    struct fs_view half;
};

/* A network for images of height × width × channels with room for `capacity` rows, with the buffers of `passes`.
 * `precision` is backend->real or FS_BF16. Wrong sizes are FS_USAGE. */
struct fs_dit *fs_dit_create(struct fs_backend *backend, const struct fs_model_config *config, int height, int width,
                             int channels, int capacity, unsigned passes, enum fs_type precision,
                             struct fs_error *error);
void fs_dit_destroy(struct fs_dit *dit);

int64_t fs_dit_parameter_count(const struct fs_dit *dit); /* padded length of the flat buffers */
const struct fs_parameter *fs_dit_parameters(const struct fs_dit *dit, int *count);
/* Initial weights into a host buffer of parameter_count floats, from FS_STREAM_INITIAL_WEIGHTS. */
void fs_dit_initialise(const struct fs_dit *dit, uint32_t seed, float *values);

/* A parameter as checkpoints store it: the DiT repository's shape (its rank is returned; x_embedder.proj.weight is
 * [D, C, p, p] there and [D, row, column, channel] here), and its values out of and into a flat host buffer. */
int fs_dit_export_shape(const struct fs_dit *dit, const struct fs_parameter *parameter, int64_t shape[4]);
void fs_dit_export_parameter(const struct fs_dit *dit, const struct fs_parameter *parameter, const float *values,
                             float *exported);
void fs_dit_import_parameter(const struct fs_dit *dit, const struct fs_parameter *parameter, const float *exported,
                             float *values);

/* Allocates a set of weights (values, and half when the precision asks for it), and gives it back. */
fs_status fs_weights_create(const struct fs_dit *dit, struct fs_weights *weights, struct fs_error *error);
void fs_weights_destroy(const struct fs_dit *dit, struct fs_weights *weights);
/* To be called when `values` changed, where AdamW did not write `half` as well. */
void fs_dit_refresh(const struct fs_dit *dit, struct fs_weights *weights);

/* velocity [n, H·W·C] = network(input). With `keep`, what the backward pass needs stays until the next forward. */
void fs_dit_forward(struct fs_dit *dit, const struct fs_weights *weights, const struct fs_dit_input *input,
                    struct fs_view velocity, bool keep);
/* The same without gradient, and velocity_dot [n, H·W·C], its derivative along `direction`: forward-mode
 * differentiation, operation by operation. Of FS_PASS_TANGENT. With `keep`, what its blocks gave stays for
 * fs_dit_forward_rest. */
void fs_dit_tangent(struct fs_dit *dit, const struct fs_weights *weights, const struct fs_dit_input *input,
                    const struct fs_dit_direction *direction, struct fs_view velocity, struct fs_view velocity_dot,
                    bool keep);
/* fs_dit_forward with `keep`, where the first `known` rows of `input` are all that the last fs_dit_tangent was asked,
 * with the same weights: what it kept of them is taken, and the blocks are passed by the others alone. Where it kept
 * nothing, or another pass came after it, all rows pass. */
void fs_dit_forward_rest(struct fs_dit *dit, const struct fs_weights *weights, const struct fs_dit_input *input,
                         struct fs_view velocity, int64_t known);
/* Whom a backward pass tells, from the end of the gradients to their beginning, how far it has come: those from number
 * `first` on are done. The last call says 0. */
struct fs_dit_watch {
    void (*done)(void *owner, int64_t first);
    void *owner;
};

/* Adds the gradient of Σ dvelocity·velocity to `gradients` [1, parameter count], for the last kept forward. `watch` may
 * be NULL. */
void fs_dit_backward(struct fs_dit *dit, const struct fs_weights *weights, struct fs_view dvelocity,
                     struct fs_view gradients, const struct fs_dit_watch *watch);

/* What a network is made of and what a pass costs. Nobody else derives these. */
struct fs_dit_sizes {
    int64_t parameters;      /* numbers that are trained, and that a checkpoint holds */
    int64_t flat;            /* numbers of a flat buffer: the same, each parameter aligned */
    size_t activation_bytes; /* of all rows of the plan */
    double forward_flops;    /* one sample, forward: matrix products only, 2 a multiply-add */
    double tangent_flops;    /* one sample, velocity and tangent together, counted so */
};
struct fs_dit_sizes fs_dit_sizes(const struct fs_dit *dit);
/* The same of a network that is not made, on a backend whose numbers are of type `real`; the other arguments, and
 * FS_USAGE for wrong sizes, as for fs_dit_create. */
fs_status fs_dit_sizes_of(enum fs_type real, const struct fs_model_config *config, int height, int width, int channels,
                          int capacity, unsigned passes, enum fs_type precision, struct fs_dit_sizes *sizes,
                          struct fs_error *error);

#endif
