/* What the passes of the backbone (dit.c: forward and backward, tangent.c) share: how a pass finds its buffers and
 * parameters, and the layers that all of them go through, written once. */
#ifndef FEWSTEP_PASS_H
#define FEWSTEP_PASS_H

#include "harness/model/network.h"

/* One pass over `rows` samples, which lie in the buffers from row `first` on. `gradients` only in a backward pass;
 * `tangent`: with what tangents read. */
struct pass {
    struct fs_dit *dit;
    struct fs_backend *backend;
    const struct fs_weights *weights;
    struct fs_view gradients;
    int64_t first, rows;
    bool keep, tangent;
};

/* Parts of a modulation, in the order of its rows. The final layer has the first two. */
enum modulation { SHIFT_1, SCALE_1, GATE_1, SHIFT_2, SCALE_2, GATE_2 };

static inline struct fs_view part(struct fs_view modulation, enum modulation which, int64_t width)
{
    return fs_view_cols(modulation, which * width, width);
}

/* --- views --- */

/* A buffer's rows in block `block` (0 for what is not one a block); not given when this pass does not need it. */
static inline struct fs_view in_block(const struct pass *pass, int block, enum fs_buffer buffer)
{
    const struct fs_plan_entry *entry = &pass->dit->plan[buffer];
    if (entry->name == NULL || (entry->only_kept && !pass->keep && !pass->tangent)) {
        return fs_no_view();
    }
    const size_t shift = pass->keep && entry->per_block ? (size_t)block * pass->dit->block_bytes : 0;
    const bool constant = buffer == FS_BUFFER_POSITIONS;
    const int64_t first = constant ? 0 : pass->first, samples = constant ? 1 : pass->rows;
    const size_t before = (size_t)(first * entry->rows * entry->cols) * fs_type_size(entry->type);
    return fs_view(pass->dit->activations + entry->offset + shift + before, entry->type, samples * entry->rows,
                   entry->cols);
}

static inline struct fs_view at(const struct pass *pass, enum fs_buffer buffer)
{
    return in_block(pass, 0, buffer);
}

/* The residual stream before block `block`; behind the last one for that number. */
static inline struct fs_view stream(const struct pass *pass, int block)
{
    return block < pass->dit->config.depth ? in_block(pass, block, FS_BUFFER_X) : at(pass, FS_BUFFER_FINAL_X);
}

/* The vectors that condition block `block`, or behind the last one the final layer, in the modulation or its gradient:
 * [capacity, 6·D] for each block one after the other, then [capacity, 2·D]. */
static inline struct fs_view modulation_in(const struct pass *pass, enum fs_buffer all, int block)
{
    const struct fs_dit *dit = pass->dit;
    const struct fs_plan_entry *entry = &dit->plan[all];
    const int64_t of_block = (int64_t)FS_MODULATIONS * dit->config.hidden,
                  cols = block < dit->config.depth ? of_block : (int64_t)FS_FINAL_MODULATIONS * dit->config.hidden;
    const int64_t before = (int64_t)block * dit->capacity * of_block + pass->first * cols;
    return fs_view(dit->activations + entry->offset + (size_t)before * fs_type_size(entry->type), entry->type,
                   pass->rows, cols);
}

/* The parameter at `place` of a flat buffer. */
static inline struct fs_view parameter(const struct pass *pass, struct fs_view flat, int place)
{
    const struct fs_parameter *entry = &pass->dit->parameters[place];
    return fs_view(fs_view_cols(flat, entry->offset, 0).data, flat.type, entry->rows, entry->cols);
}

/* --- a linear layer, its weight in the type of its input --- */

static inline struct fs_view weight_for(const struct pass *pass, struct fs_view x, int place)
{
    const struct fs_weights *weights = pass->weights;
    return parameter(pass, x.type == weights->values.type ? weights->values : weights->half, place);
}

static inline void linear_gelu(const struct pass *pass, struct fs_view y, struct fs_view x, int place,
                               struct fs_view pre)
{
    pass->backend->linear_forward(pass->backend, y, x, weight_for(pass, x, place),
                                  parameter(pass, pass->weights->values, place + 1), FS_GELU, pre);
}

static inline void linear(const struct pass *pass, struct fs_view y, struct fs_view x, int place)
{
    pass->backend->linear_forward(pass->backend, y, x, weight_for(pass, x, place),
                                  parameter(pass, pass->weights->values, place + 1), FS_LINEAR, fs_no_view());
}

/* --- a number's embedder (t or s): sinusoidal features → linear → SiLU → linear --- */

struct embedder {
    enum fs_buffer value, features, pre, hidden;
    int first, second; /* parameters */
};

static const struct embedder time_embedder = {
    FS_BUFFER_TIME, FS_BUFFER_T_FEATURES, FS_BUFFER_T_PRE, FS_BUFFER_T_HIDDEN, FS_T_EMBEDDER_0, FS_T_EMBEDDER_2,
};
static const struct embedder size_embedder = {
    FS_BUFFER_SIZE, FS_BUFFER_D_FEATURES, FS_BUFFER_D_PRE, FS_BUFFER_D_HIDDEN, FS_D_EMBEDDER_0, FS_D_EMBEDDER_2,
};

/* c and what it is made of, the modulations' input, and the tokens: what every pass forward begins with. */
void fs_dit_condition_forward(const struct pass *pass, const struct fs_dit_input *input);
void fs_dit_patches_forward(const struct pass *pass, struct fs_view images);

/* --- a block --- */

struct block {
    struct fs_view x, modulation, statistics1, norm1, qkv, lse, attention, projection; /* attention */
    struct fs_view middle, statistics2, norm2, pre, hidden, mlp;                       /* MLP */
    int first; /* its place in the parameter table */
};

static inline struct block block_at(const struct pass *pass, int index)
{
    return (struct block){
        .x = in_block(pass, index, FS_BUFFER_X),
        .modulation = modulation_in(pass, FS_BUFFER_MODULATION, index),
        .statistics1 = in_block(pass, index, FS_BUFFER_STATISTICS_1),
        .norm1 = in_block(pass, index, FS_BUFFER_NORM_1),
        .qkv = in_block(pass, index, FS_BUFFER_QKV),
        .lse = in_block(pass, index, FS_BUFFER_LSE),
        .attention = in_block(pass, index, FS_BUFFER_ATTENTION),
        .projection = in_block(pass, index, FS_BUFFER_PROJECTION),
        .middle = in_block(pass, index, FS_BUFFER_MIDDLE),
        .statistics2 = in_block(pass, index, FS_BUFFER_STATISTICS_2),
        .norm2 = in_block(pass, index, FS_BUFFER_NORM_2),
        .pre = in_block(pass, index, FS_BUFFER_PRE),
        .hidden = in_block(pass, index, FS_BUFFER_HIDDEN),
        .mlp = in_block(pass, index, FS_BUFFER_MLP),
        .first = FS_FIRST_BLOCK + index * FS_BLOCK_PLACES,
    };
}

#endif
