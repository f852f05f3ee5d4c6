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

/* The modulation's linear layer alone, whose gradient adds to that of c. */
static void modulation_backward(const struct pass *pass, struct fs_view dmodulation, int place)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view dsilu = at(pass, FS_BUFFER_DSILU);
    linear_backward(pass, dsilu, dmodulation, at(pass, FS_BUFFER_CONDITION_SILU), place, fs_no_view());
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

/* --- a block --- */

static void block_forward(const struct pass *pass, int index)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct block b = block_at(pass, index);
    const int64_t d = dit->config.hidden;

    linear(pass, b.modulation, at(pass, FS_BUFFER_CONDITION_SILU), b.first + FS_BLOCK_MODULATION);

    backend->norm_forward(backend, b.norm1, b.statistics1, b.x, part(b.modulation, SHIFT_1, d),
                          part(b.modulation, SCALE_1, d));
    linear(pass, b.qkv, b.norm1, b.first + FS_BLOCK_QKV);
    backend->attention_forward(backend, b.attention, b.lse, b.qkv, dit->tokens, dit->config.heads,
                               dit->attention_scale);
    linear(pass, b.projection, b.attention, b.first + FS_BLOCK_PROJECTION);
    backend->gate_forward(backend, b.middle, b.x, b.projection, part(b.modulation, GATE_1, d));

    backend->norm_forward(backend, b.norm2, b.statistics2, b.middle, part(b.modulation, SHIFT_2, d),
                          part(b.modulation, SCALE_2, d));
    linear_gelu(pass, b.hidden, b.norm2, b.first + FS_BLOCK_FC1, b.pre);
    linear(pass, b.mlp, b.hidden, b.first + FS_BLOCK_FC2);
    backend->gate_forward(backend, behind(pass, index), b.middle, b.mlp, part(b.modulation, GATE_2, d));
}

/* dx holds the gradient behind the block at first, before the block at last. */
static void block_backward(const struct pass *pass, int index)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct block b = block_at(pass, index);
    const int64_t d = dit->config.hidden;
    const struct fs_view dx = at(pass, FS_BUFFER_DX), dbranch = at(pass, FS_BUFFER_DBRANCH);
    const struct fs_view dnorm = at(pass, FS_BUFFER_DNORM), dhidden = at(pass, FS_BUFFER_DHIDDEN);
    const struct fs_view dattention = at(pass, FS_BUFFER_DATTENTION), dqkv = at(pass, FS_BUFFER_DQKV);
    const struct fs_view dmodulation = at(pass, FS_BUFFER_DMODULATION), none = fs_no_view();

    backend->gate_backward(backend, dbranch, part(dmodulation, GATE_2, d), dx, b.mlp, part(b.modulation, GATE_2, d));
    linear_backward(pass, dhidden, dbranch, b.hidden, b.first + FS_BLOCK_FC2, b.pre);
    linear_backward(pass, dnorm, dhidden, b.norm2, b.first + FS_BLOCK_FC1, none);
    backend->norm_backward(backend, dx, part(dmodulation, SHIFT_2, d), part(dmodulation, SCALE_2, d), dnorm, b.middle,
                           b.statistics2, part(b.modulation, SCALE_2, d));

    backend->gate_backward(backend, dbranch, part(dmodulation, GATE_1, d), dx, b.projection,
                           part(b.modulation, GATE_1, d));
    linear_backward(pass, dattention, dbranch, b.attention, b.first + FS_BLOCK_PROJECTION, none);
    backend->attention_backward(backend, dqkv, dattention, b.qkv, b.attention, b.lse, dit->tokens, dit->config.heads,
                                dit->attention_scale);
    linear_backward(pass, dnorm, dqkv, b.norm1, b.first + FS_BLOCK_QKV, none);
    backend->norm_backward(backend, dx, part(dmodulation, SHIFT_1, d), part(dmodulation, SCALE_1, d), dnorm, b.x,
                           b.statistics1, part(b.modulation, SCALE_1, d));

    modulation_backward(pass, dmodulation, b.first + FS_BLOCK_MODULATION);
}

/* --- the final layer --- */

static void final_forward(const struct pass *pass, struct fs_view velocity)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const int64_t d = dit->config.hidden;
    const struct fs_view modulation = at(pass, FS_BUFFER_FINAL_MODULATION), norm = at(pass, FS_BUFFER_FINAL_NORM);
    const struct fs_view output = at(pass, FS_BUFFER_OUTPUT);
    linear(pass, modulation, at(pass, FS_BUFFER_CONDITION_SILU), FS_FINAL_MODULATION);
    backend->norm_forward(backend, norm, at(pass, FS_BUFFER_FINAL_STATISTICS), at(pass, FS_BUFFER_FINAL_X),
                          part(modulation, SHIFT_1, d), part(modulation, SCALE_1, d));
    linear(pass, output, norm, FS_FINAL_LINEAR);
    backend->unpatchify(backend, velocity, output, dit->height, dit->width, dit->channels, dit->config.patch);
}

static void final_backward(const struct pass *pass, struct fs_view dvelocity)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const int64_t d = dit->config.hidden;
    const struct fs_view modulation = at(pass, FS_BUFFER_FINAL_MODULATION), dnorm = at(pass, FS_BUFFER_DNORM);
    const struct fs_view doutput = at(pass, FS_BUFFER_DOUTPUT), dx = at(pass, FS_BUFFER_DX);
    struct fs_view dmodulation = at(pass, FS_BUFFER_DMODULATION);
    dmodulation = fs_view(dmodulation.data, dmodulation.type, dmodulation.rows, 2 * d);
    backend->patchify(backend, doutput, dvelocity, dit->height, dit->width, dit->channels, dit->config.patch);
    linear_backward(pass, dnorm, doutput, at(pass, FS_BUFFER_FINAL_NORM), FS_FINAL_LINEAR, fs_no_view());
    backend->fill(backend, dx, 0);
    backend->norm_backward(backend, dx, part(dmodulation, SHIFT_1, d), part(dmodulation, SCALE_1, d), dnorm,
                           at(pass, FS_BUFFER_FINAL_X), at(pass, FS_BUFFER_FINAL_STATISTICS),
                           part(modulation, SCALE_1, d));
    backend->fill(backend, at(pass, FS_BUFFER_DCONDITION), 0);
    modulation_backward(pass, dmodulation, FS_FINAL_MODULATION);
}

/* --- the network --- */

/* The blocks of the first `known` rows are passed already. */
static void forward(struct fs_dit *dit, const struct fs_weights *weights, const struct fs_dit_input *input,
                    struct fs_view velocity, bool keep, int64_t known)
{
    assert(input->x.rows <= dit->capacity && ((dit->passes & FS_PASS_BACKWARD) != 0 || !keep));
    const struct pass pass = {
        .dit = dit, .backend = dit->backend, .weights = weights, .rows = input->x.rows, .keep = keep};
    struct pass through_blocks = pass;
    through_blocks.first = known;
    through_blocks.rows -= known;
    dit->kept = keep ? pass.rows : 0;
    dit->known = 0;
    fs_dit_condition_forward(&pass, input);
    fs_dit_patches_forward(&pass, input->x);
    for (int block = 0; through_blocks.rows > 0 && block < dit->config.depth; block++) {
        block_forward(&through_blocks, block);
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
                     struct fs_view gradients)
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
    }
    patches_backward(&pass);
    condition_backward(&pass);
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
