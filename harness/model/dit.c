/* The backbone's forward and backward pass, side by side: lists of a backend's operations over the activation plan. */
#include "harness/model/dit.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/model/pass.h"
#include "kernels/base/memory.h"

static void linear_backward(const struct pass *pass, struct fs_view dx, struct fs_view dy, struct fs_view x, int place,
                            struct fs_view pre)
{
    pass->backend->linear_backward(pass->backend, dx, parameter(pass, pass->gradients, place),
                                   parameter(pass, pass->gradients, place + 1), dy, x, weight_for(pass, x, place), pre);
}

/* --- embedder of a number (t or s): sinusoidal features → linear → SiLU → linear --- */

static void embedder_forward(const struct pass *pass, const struct embedder *embedder, struct fs_view out)
{
    struct fs_backend *backend = pass->backend;
    backend->sinusoidal(backend, at(pass, embedder->features), at(pass, embedder->value));
    linear(pass, at(pass, embedder->pre), at(pass, embedder->features), embedder->first);
    backend->silu_forward(backend, at(pass, embedder->hidden), at(pass, embedder->pre));
    linear(pass, out, at(pass, embedder->hidden), embedder->second);
}

static void embedder_backward(const struct pass *pass, const struct embedder *embedder, struct fs_view dout)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view dhidden = at(pass, FS_BUFFER_DEMBEDDER);
    linear_backward(pass, dhidden, dout, at(pass, embedder->hidden), embedder->second, fs_no_view());
    backend->silu_backward(backend, dhidden, dhidden, at(pass, embedder->pre), false);
    linear_backward(pass, fs_no_view(), dhidden, at(pass, embedder->features), embedder->first, fs_no_view());
}

/* --- conditioning: c = T(t) + S(s) + E(label), in full precision: bf16 blurs neighbouring t --- */

static void upload_condition(const struct pass *pass, const struct fs_dit_input *input)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view scalars = at(pass, FS_BUFFER_SCALARS);
    const struct fs_view t = fs_view_rows(scalars, 0, pass->rows), s = fs_view_rows(scalars, pass->rows, pass->rows);
    const size_t count = (size_t)pass->rows;
    backend->upload(backend, t.data, input->t, count * sizeof *input->t);
    backend->upload(backend, s.data, input->s, count * sizeof *input->s);
    backend->copy(backend, at(pass, FS_BUFFER_TIME), t);
    backend->copy(backend, at(pass, FS_BUFFER_SIZE), s);

    int32_t *labels = pass->dit->label_room;
    const int32_t null_label = pass->dit->config.classes;
    for (int64_t i = 0; i < pass->rows; i++) {
        labels[i] = input->labels[i] >= 0 && input->labels[i] < null_label ? input->labels[i] : null_label;
    }
    backend->upload(backend, at(pass, FS_BUFFER_LABELS).data, labels, count * sizeof *labels);
}

void fs_dit_condition_forward(const struct pass *pass, const struct fs_dit_input *input)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view c = at(pass, FS_BUFFER_CONDITION), summand = at(pass, FS_BUFFER_SUMMAND);
    upload_condition(pass, input);
    embedder_forward(pass, &time_embedder, c);
    embedder_forward(pass, &size_embedder, summand);
    backend->add(backend, c, c, summand);
    backend->embed_forward(backend, summand, parameter(pass, pass->weights->values, FS_LABEL_TABLE),
                           at(pass, FS_BUFFER_LABELS).data);
    backend->add(backend, c, c, summand);
    backend->silu_forward(backend, at(pass, FS_BUFFER_CONDITION_SILU), c);
}

static void condition_backward(const struct pass *pass)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view dc = at(pass, FS_BUFFER_DCONDITION);
    backend->embed_backward(backend, parameter(pass, pass->gradients, FS_LABEL_TABLE), dc,
                            at(pass, FS_BUFFER_LABELS).data);
    embedder_backward(pass, &size_embedder, dc);
    embedder_backward(pass, &time_embedder, dc);
}

/* --- modulation: SiLU(c) → linear, for each block and the final layer --- */

static int modulation_place(const struct pass *pass, int block)
{
    return block < pass->dit->config.depth ? FS_FIRST_BLOCK + block * FS_BLOCK_PLACES + FS_BLOCK_MODULATION
                                           : FS_FINAL_MODULATION;
}

static void modulation_forward(const struct pass *pass, int block)
{
    linear(pass, modulation_in(pass, FS_BUFFER_MODULATION, block), at(pass, FS_BUFFER_CONDITION_SILU),
           modulation_place(pass, block));
}

/* Its gradient adds to that of c. */
static void modulation_backward(const struct pass *pass, int block)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view dsilu = at(pass, FS_BUFFER_DSILU);
    linear_backward(pass, dsilu, modulation_in(pass, FS_BUFFER_DMODULATION, block), at(pass, FS_BUFFER_CONDITION_SILU),
                    modulation_place(pass, block), fs_no_view());
    backend->silu_backward(backend, at(pass, FS_BUFFER_DCONDITION), dsilu, at(pass, FS_BUFFER_CONDITION), true);
}

/* --- patches --- */

void fs_dit_patches_forward(const struct pass *pass, struct fs_view images)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct fs_view tokens = at(pass, FS_BUFFER_TOKENS), x = at(pass, FS_BUFFER_X);
    backend->patchify(backend, tokens, images, dit->height, dit->width, dit->channels, dit->config.patch);
    linear(pass, x, tokens, FS_X_EMBEDDER);
    backend->add(backend, x, x, at(pass, FS_BUFFER_POSITIONS));
}

static void patches_backward(const struct pass *pass)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view dx = at(pass, FS_BUFFER_DBRANCH); /* in the type of matrix inputs */
    backend->copy(backend, dx, at(pass, FS_BUFFER_DX));
    linear_backward(pass, fs_no_view(), dx, at(pass, FS_BUFFER_TOKENS), FS_X_EMBEDDER, fs_no_view());
}

/* --- a norm of the residual stream between blocks --- */

/* The one before block `block`'s attention, or behind the last block the final layer's. */
struct norm {
    struct fs_view x, z, statistics, shift, scale;
};

static struct norm norm_before(const struct pass *pass, int block)
{
    const struct fs_dit *dit = pass->dit;
    const bool last = block == dit->config.depth;
    const struct fs_view modulation = modulation_in(pass, FS_BUFFER_MODULATION, block);
    return (struct norm){
        .x = stream(pass, block),
        .z = last ? at(pass, FS_BUFFER_FINAL_NORM) : in_block(pass, block, FS_BUFFER_NORM_1),
        .statistics = last ? at(pass, FS_BUFFER_FINAL_STATISTICS) : in_block(pass, block, FS_BUFFER_STATISTICS_1),
        .shift = part(modulation, SHIFT_1, dit->config.hidden),
        .scale = part(modulation, SCALE_1, dit->config.hidden),
    };
}

/* All that the block's backward pass and its gate read: from behind the norm of its attention to its MLP. */
static void block_inside(const struct pass *pass, int index)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct block b = block_at(pass, index);
    const int64_t d = dit->config.hidden;

    linear(pass, b.qkv, b.norm1, b.first + FS_BLOCK_QKV);
    backend->attention_forward(backend, b.attention, b.lse, b.qkv, dit->tokens, dit->config.heads,
                               dit->attention_scale);
    linear(pass, b.projection, b.attention, b.first + FS_BLOCK_PROJECTION);
    backend->gate_norm_forward(backend, b.middle, b.x, b.projection, part(b.modulation, GATE_1, d), b.norm2,
                               b.statistics2, part(b.modulation, SHIFT_2, d), part(b.modulation, SCALE_2, d));

    linear_gelu(pass, b.hidden, b.norm2, b.first + FS_BLOCK_FC1, b.pre);
    linear(pass, b.mlp, b.hidden, b.first + FS_BLOCK_FC2);
}

/* Its gradient, from that behind it in `dnorm`, and that of the gate at the end of the block before, into `dbranch`. */
static void norm_before_backward(const struct pass *pass, int block)
{
    struct fs_backend *backend = pass->backend;
    const int64_t d = pass->dit->config.hidden;
    const struct norm norm = norm_before(pass, block);
    const struct fs_view dmodulation = modulation_in(pass, FS_BUFFER_DMODULATION, block);
    const struct fs_view dx = at(pass, FS_BUFFER_DX), dnorm = at(pass, FS_BUFFER_DNORM);
    const struct fs_view dshift = part(dmodulation, SHIFT_1, d), dscale = part(dmodulation, SCALE_1, d);
    if (block == 0) {
        backend->norm_backward(backend, dx, dshift, dscale, dnorm, norm.x, norm.statistics, norm.scale);
        return;
    }
    /* Where all blocks have the same buffers, the one before is passed again over what `block` left there. The last
     * one's are as the forward pass left them. */
    if ((pass->dit->passes & FS_PASS_RECOMPUTE) != 0 && block < pass->dit->config.depth) {
        block_inside(pass, block - 1);
    }
    const struct block before = block_at(pass, block - 1);
    const struct fs_view dbefore = modulation_in(pass, FS_BUFFER_DMODULATION, block - 1);
    backend->gate_norm_backward(backend, dx, at(pass, FS_BUFFER_DBRANCH), part(dbefore, GATE_2, d), dshift, dscale,
                                dnorm, before.mlp, part(before.modulation, GATE_2, d), norm.x, norm.statistics,
                                norm.scale);
}

/* --- a block, from behind the norm of its attention to behind the next such norm --- */

static void block_forward(const struct pass *pass, int index)
{
    const struct block b = block_at(pass, index);
    const struct norm next = norm_before(pass, index + 1);
    block_inside(pass, index);
    pass->backend->gate_norm_forward(pass->backend, next.x, b.middle, b.mlp,
                                     part(b.modulation, GATE_2, pass->dit->config.hidden), next.z, next.statistics,
                                     next.shift, next.scale);
}

/* dx holds the gradient of the residual stream behind the block at first, before the block at last; dbranch that of the
 * MLP at first, and at last of the block before. */
static void block_backward(const struct pass *pass, int index)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct block b = block_at(pass, index);
    const int64_t d = dit->config.hidden;
    const struct fs_view dx = at(pass, FS_BUFFER_DX), dbranch = at(pass, FS_BUFFER_DBRANCH);
    const struct fs_view dnorm = at(pass, FS_BUFFER_DNORM), dhidden = at(pass, FS_BUFFER_DHIDDEN);
    const struct fs_view dattention = at(pass, FS_BUFFER_DATTENTION), dqkv = at(pass, FS_BUFFER_DQKV);
    const struct fs_view dmodulation = modulation_in(pass, FS_BUFFER_DMODULATION, index), none = fs_no_view();

    linear_backward(pass, dhidden, dbranch, b.hidden, b.first + FS_BLOCK_FC2, b.pre);
    linear_backward(pass, dnorm, dhidden, b.norm2, b.first + FS_BLOCK_FC1, none);
    backend->gate_norm_backward(backend, dx, dbranch, part(dmodulation, GATE_1, d), part(dmodulation, SHIFT_2, d),
                                part(dmodulation, SCALE_2, d), dnorm, b.projection, part(b.modulation, GATE_1, d),
                                b.middle, b.statistics2, part(b.modulation, SCALE_2, d));

    linear_backward(pass, dattention, dbranch, b.attention, b.first + FS_BLOCK_PROJECTION, none);
    backend->attention_backward(backend, dqkv, dattention, b.qkv, b.attention, b.lse, dit->tokens, dit->config.heads,
                                dit->attention_scale);
    linear_backward(pass, dnorm, dqkv, b.norm1, b.first + FS_BLOCK_QKV, none);
    norm_before_backward(pass, index);
    modulation_backward(pass, index);
}

/* --- the final layer, behind its norm --- */

static void final_forward(const struct pass *pass, struct fs_view velocity)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct fs_view output = at(pass, FS_BUFFER_OUTPUT);
    linear(pass, output, at(pass, FS_BUFFER_FINAL_NORM), FS_FINAL_LINEAR);
    backend->unpatchify(backend, velocity, output, dit->height, dit->width, dit->channels, dit->config.patch);
}

static void final_backward(const struct pass *pass, struct fs_view dvelocity)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct fs_view doutput = at(pass, FS_BUFFER_DOUTPUT);
    backend->patchify(backend, doutput, dvelocity, dit->height, dit->width, dit->channels, dit->config.patch);
    linear_backward(pass, at(pass, FS_BUFFER_DNORM), doutput, at(pass, FS_BUFFER_FINAL_NORM), FS_FINAL_LINEAR,
                    fs_no_view());
    backend->fill(backend, at(pass, FS_BUFFER_DX), 0);
    norm_before_backward(pass, dit->config.depth);
    backend->fill(backend, at(pass, FS_BUFFER_DCONDITION), 0);
    modulation_backward(pass, dit->config.depth);
}

/* --- the network --- */

static void blocks_forward(const struct pass *pass)
{
    const int depth = pass->dit->config.depth;
    const struct norm first = norm_before(pass, 0);
    for (int block = 0; block < depth; block++) { /* all at first: a block ends with the norm of the next */
        modulation_forward(pass, block);
    }
    pass->backend->norm_forward(pass->backend, first.z, first.statistics, first.x, first.shift, first.scale);
    for (int block = 0; block < depth; block++) {
        block_forward(pass, block);
    }
}

/* The blocks of the first `known` rows are passed already. */
static void forward(struct fs_dit *dit, const struct fs_weights *weights, const struct fs_dit_input *input,
                    struct fs_view velocity, bool keep, int64_t known)
{
    assert(input->x.rows <= dit->capacity && ((dit->passes & FS_PASS_BACKWARD) != 0 || !keep));
    const struct pass pass = {
        .dit = dit, .backend = dit->backend, .weights = weights, .rows = input->x.rows, .keep = keep};
    struct pass through_blocks = pass, behind_blocks = pass;
    through_blocks.first = known;
    through_blocks.rows -= known;
    behind_blocks.rows = known;
    dit->kept = keep ? pass.rows : 0;
    dit->known = 0;
    fs_dit_condition_forward(&pass, input);
    fs_dit_patches_forward(&pass, input->x);
    modulation_forward(&pass, dit->config.depth);
    if (through_blocks.rows > 0) {
        blocks_forward(&through_blocks);
    }
    if (known > 0) {
        const struct norm last = norm_before(&behind_blocks, dit->config.depth);
        dit->backend->norm_forward(dit->backend, last.z, last.statistics, last.x, last.shift, last.scale);
    }
    final_forward(&pass, velocity);
}

void fs_dit_forward(struct fs_dit *dit, const struct fs_weights *weights, const struct fs_dit_input *input,
                    struct fs_view velocity, bool keep)
{
    forward(dit, weights, input, velocity, keep, 0);
}

/* The conditioning and the tokens of the rows that are known are made again, since the tangent left its own in their
 * buffers; neither costs what a block does. */
void fs_dit_forward_rest(struct fs_dit *dit, const struct fs_weights *weights, const struct fs_dit_input *input,
                         struct fs_view velocity, int64_t known)
{
    forward(dit, weights, input, velocity, true, dit->known == known ? known : 0);
}

void fs_dit_backward(struct fs_dit *dit, const struct fs_weights *weights, struct fs_view dvelocity,
                     struct fs_view gradients, const struct fs_dit_watch *watch)
{
    assert(dit->kept == dvelocity.rows);
    const struct pass pass = {.dit = dit,
                              .backend = dit->backend,
                              .weights = weights,
                              .gradients = gradients,
                              .rows = dit->kept,
                              .keep = true};
    final_backward(&pass, dvelocity);
    for (int block = dit->config.depth - 1; block >= 0; block--) {
        block_backward(&pass, block);
        if (watch) { /* the blocks' parameters come last, in their order: what lies behind this one's is done, too */
            watch->done(watch->owner, dit->parameters[FS_FIRST_BLOCK + block * FS_BLOCK_PLACES].offset);
        }
    }
    patches_backward(&pass);
    condition_backward(&pass);
    if (watch) {
        watch->done(watch->owner, 0);
    }
}

/* --- creation --- */

static fs_status check_sizes(const struct fs_dit *dit, struct fs_error *error)
{
    const struct fs_model_config *config = &dit->config;
    if (config->patch < 1 || config->hidden < 1 || config->depth < 1 || config->heads < 1 || config->classes < 0 ||
        dit->height < 1 || dit->width < 1 || dit->channels < 1 || dit->capacity < 1) {
        return fs_fail(error, FS_USAGE, "model: patch, width, depth, heads, picture and batch must be at least 1");
    }
    if (dit->height % config->patch != 0 || dit->width % config->patch != 0) {
        return fs_fail(error, FS_USAGE, "model: patches of %d do not divide pictures of %d × %d", config->patch,
                       dit->height, dit->width);
    }
    if (config->hidden % config->heads != 0 || config->hidden % 4 != 0) {
        return fs_fail(error, FS_USAGE, "model: width %d is no multiple of 4 and of %d heads", config->hidden,
                       config->heads);
    }
    if (dit->precision != dit->backend->real && dit->precision != FS_BF16) {
        return fs_fail(error, FS_USAGE, "model: precision is neither bf16 nor the backend's own");
    }
    return FS_OK;
}

/* Fixed 2-D positions of token (row, col): sine and cosine of the column, then of the row. */
static void fill_positions(const struct fs_dit *dit, double *positions)
{
    const int64_t d = dit->config.hidden, quarter = d / 4, across = dit->width / dit->config.patch;
    for (int64_t token = 0; token < dit->tokens; token++) {
        for (int64_t i = 0; i < quarter; i++) {
            const double frequency = pow(10000, -(double)i / (double)quarter);
            const double col = (double)(token % across) * frequency, row = (double)(token / across) * frequency;
            double *out = positions + token * d;
            out[i] = sin(col);
            out[quarter + i] = cos(col);
            out[2 * quarter + i] = sin(row);
            out[3 * quarter + i] = cos(row);
        }
    }
}

static fs_status upload_positions(struct fs_dit *dit, struct fs_error *error)
{
    const size_t count = (size_t)(dit->tokens * dit->config.hidden);
    double *positions = fs_allocate(count, sizeof *positions, "positions", error);
    if (positions == NULL) {
        return FS_FAILED;
    }
    fill_positions(dit, positions);
    for (size_t i = 0; i < count && dit->backend->real == FS_F32; i++) { /* in place, from the front */
        const float rounded = (float)positions[i];
        memcpy((char *)positions + i * sizeof rounded, &rounded, sizeof rounded);
    }
    dit->backend->upload(dit->backend, dit->activations + dit->plan[FS_BUFFER_POSITIONS].offset, positions,
                         count * fs_type_size(dit->backend->real));
    free(positions);
    return FS_OK;
}

/* Everything that takes no memory of the backend's. */
static fs_status plan(struct fs_dit *dit, struct fs_error *error)
{
    FS_TRY(check_sizes(dit, error));
    const struct fs_model_config *config = &dit->config;
    dit->tokens = (int64_t)(dit->height / config->patch) * (dit->width / config->patch);
    dit->patch_size = (int64_t)config->patch * config->patch * dit->channels;
    const double head_width = (double)config->hidden / config->heads;
    dit->attention_scale = config->attention_scale == FS_SCALE_INV_D ? 1 / head_width : 1 / sqrt(head_width);
    FS_TRY(fs_dit_plan_parameters(dit, error));
    fs_dit_plan_activations(dit);
    return FS_OK;
}

static fs_status prepare(struct fs_dit *dit, struct fs_error *error)
{
    FS_TRY(plan(dit, error));
    dit->label_room = fs_allocate((size_t)dit->capacity, sizeof *dit->label_room, "labels", error);
    if (dit->label_room == NULL) {
        return FS_FAILED;
    }
    dit->activations = dit->backend->allocate(dit->backend, dit->activation_bytes, error);
    if (dit->activations == NULL) {
        return fs_fail_in(error, "activations of %d rows", dit->capacity);
    }
    return upload_positions(dit, error);
}

struct fs_dit *fs_dit_create(struct fs_backend *backend, const struct fs_model_config *config, int height, int width,
                             int channels, int capacity, unsigned passes, enum fs_type precision,
                             struct fs_error *error)
{
    struct fs_dit *dit = fs_allocate(1, sizeof *dit, "the network", error);
    if (dit == NULL) {
        return NULL;
    }
    dit->backend = backend;
    dit->config = *config;
    dit->height = height;
    dit->width = width;
    dit->channels = channels;
    dit->capacity = capacity;
    dit->passes = passes;
    dit->precision = precision;
    if (prepare(dit, error) != FS_OK) {
        fs_dit_destroy(dit);
        return NULL;
    }
    return dit;
}

fs_status fs_dit_sizes_of(enum fs_type real, const struct fs_model_config *config, int height, int width, int channels,
                          int capacity, unsigned passes, enum fs_type precision, struct fs_dit_sizes *sizes,
                          struct fs_error *error)
{
    struct fs_backend backend = {.real = real}; /* a plan asks no more of it */
    struct fs_dit dit = {.backend = &backend,
                         .config = *config,
                         .height = height,
                         .width = width,
                         .channels = channels,
                         .capacity = capacity,
                         .passes = passes,
                         .precision = precision};
    const fs_status status = plan(&dit, error);
    *sizes = status == FS_OK ? fs_dit_sizes(&dit) : (struct fs_dit_sizes){0};
    free(dit.parameters);
    return status;
}

void fs_dit_destroy(struct fs_dit *dit)
{
    if (dit != NULL) {
        dit->backend->release(dit->backend, dit->activations);
        free(dit->label_room);
        free(dit->parameters);
        free(dit);
    }
}
