/* The network's tangent, by forward-mode differentiation (Griewank & Walther 2008, "Evaluating Derivatives", chapter
 * 3): beside each operation of the forward pass, in its order, the same operation's derivative along a direction.
 *
 * Write v̇ for the derivative of v along (ẋ, ṫ, ṡ), where x_dot is in the code. What is linear is its own tangent,
 * without its bias: y = W·x + b gives ẏ = W·ẋ; patches and the sum with fixed positions likewise. Where a Jacobian is
 * diagonal, the backward operation is the tangent: SiLU and GELU, ẏ_i = f′(x_i)·ẋ_i. The gate is a product: out = x +
 * g·y gives ẋ + g·ẏ + ġ·y. Labels stay, so theirs is 0. Norm, attention and sinusoidal features have operations of
 * their own.
 *
 * It runs over the buffers of a pass forward; outside the blocks a value whose turn is over leaves its buffer to its
 * tangent, so that what is kept of a tangent is what lies in the blocks.
 */
#include <assert.h>

#include "harness/model/pass.h"

/* A linear layer's tangent. */
static void linear_tangent(const struct pass *pass, struct fs_view y_dot, struct fs_view x_dot, int place)
{
    pass->backend->linear_forward(pass->backend, y_dot, x_dot, weight_for(pass, x_dot, place), fs_no_view(), FS_LINEAR,
                                  fs_no_view());
}

/* --- conditioning --- */

/* Over the buffers of the features and of the hidden layer. */
static void embedder_tangent(const struct pass *pass, const struct embedder *embedder, const float *value_dot,
                             struct fs_view out_dot)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view room = fs_view_rows(at(pass, FS_BUFFER_SCALARS), 0, pass->rows);
    const struct fs_view scalar = at(pass, FS_BUFFER_SCALAR_DOT);
    const struct fs_view features = at(pass, embedder->features), hidden = at(pass, embedder->hidden);
    backend->upload(backend, room.data, value_dot, (size_t)pass->rows * sizeof *value_dot);
    backend->copy(backend, scalar, room);
    backend->sinusoidal_tangent(backend, features, at(pass, embedder->value), scalar);
    linear_tangent(pass, hidden, features, embedder->first);
    backend->silu_backward(backend, hidden, hidden, at(pass, embedder->pre), false);
    linear_tangent(pass, out_dot, hidden, embedder->second);
}

static void condition_tangent(const struct pass *pass, const struct fs_dit_direction *direction)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_view c_dot = at(pass, FS_BUFFER_CONDITION_DOT), summand = at(pass, FS_BUFFER_SUMMAND);
    embedder_tangent(pass, &time_embedder, direction->t_dot, c_dot);
    embedder_tangent(pass, &size_embedder, direction->s_dot, summand);
    backend->add(backend, c_dot, c_dot, summand);
    backend->silu_backward(backend, at(pass, FS_BUFFER_CONDITION_SILU_DOT), c_dot, at(pass, FS_BUFFER_CONDITION),
                           false);
}

/* --- patches --- */

static void patches_tangent(const struct pass *pass, struct fs_view images_dot)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct fs_view tokens = at(pass, FS_BUFFER_TOKENS);
    backend->patchify(backend, tokens, images_dot, dit->height, dit->width, dit->channels, dit->config.patch);
    linear_tangent(pass, at(pass, FS_BUFFER_X_DOT), tokens, FS_X_EMBEDDER);
}

/* --- a block, forward with its tangent --- */

/* out = x + gate·y; x_dot becomes out_dot. */
static void gate_tangent(const struct pass *pass, struct fs_view out, struct fs_view x, struct fs_view x_dot,
                         struct fs_view y, struct fs_view y_dot, struct fs_view gate, struct fs_view gate_dot)
{
    struct fs_backend *backend = pass->backend;
    backend->gate_forward(backend, x_dot, x_dot, y_dot, gate);
    backend->gate_forward(backend, x_dot, x_dot, y, gate_dot);
    backend->gate_forward(backend, out, x, y, gate);
}

static void block_tangent(const struct pass *pass, int index)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const struct block b = block_at(pass, index);
    const int64_t d = dit->config.hidden;
    const struct fs_view x_dot = at(pass, FS_BUFFER_X_DOT), norm_dot = at(pass, FS_BUFFER_NORM_DOT);
    const struct fs_view qkv_dot = at(pass, FS_BUFFER_QKV_DOT), attention_dot = at(pass, FS_BUFFER_ATTENTION_DOT);
    const struct fs_view branch_dot = at(pass, FS_BUFFER_BRANCH_DOT), hidden_dot = at(pass, FS_BUFFER_HIDDEN_DOT);
    const struct fs_view m = b.modulation, m_dot = at(pass, FS_BUFFER_MODULATION_DOT);

    linear(pass, m, at(pass, FS_BUFFER_CONDITION_SILU), b.first + FS_BLOCK_MODULATION);
    linear_tangent(pass, m_dot, at(pass, FS_BUFFER_CONDITION_SILU_DOT), b.first + FS_BLOCK_MODULATION);

    backend->norm_forward(backend, b.norm1, b.statistics1, b.x, part(m, SHIFT_1, d), part(m, SCALE_1, d));
    backend->norm_tangent(backend, norm_dot, x_dot, b.x, b.statistics1, part(m, SCALE_1, d), part(m_dot, SHIFT_1, d),
                          part(m_dot, SCALE_1, d));
    linear(pass, b.qkv, b.norm1, b.first + FS_BLOCK_QKV);
    linear_tangent(pass, qkv_dot, norm_dot, b.first + FS_BLOCK_QKV);
    backend->attention_tangent(backend, b.attention, attention_dot, b.qkv, qkv_dot, dit->tokens, dit->config.heads,
                               dit->attention_scale);
    if (pass->keep) { /* its backward pass reads the logarithms of sums too, and its own rounding of the value */
        backend->attention_forward(backend, b.attention, b.lse, b.qkv, dit->tokens, dit->config.heads,
                                   dit->attention_scale);
    }
    linear(pass, b.projection, b.attention, b.first + FS_BLOCK_PROJECTION);
    linear_tangent(pass, branch_dot, attention_dot, b.first + FS_BLOCK_PROJECTION);
    gate_tangent(pass, b.middle, b.x, x_dot, b.projection, branch_dot, part(m, GATE_1, d), part(m_dot, GATE_1, d));

    backend->norm_forward(backend, b.norm2, b.statistics2, b.middle, part(m, SHIFT_2, d), part(m, SCALE_2, d));
    backend->norm_tangent(backend, norm_dot, x_dot, b.middle, b.statistics2, part(m, SCALE_2, d),
                          part(m_dot, SHIFT_2, d), part(m_dot, SCALE_2, d));
    linear_gelu(pass, b.hidden, b.norm2, b.first + FS_BLOCK_FC1, b.pre);
    linear_tangent(pass, hidden_dot, norm_dot, b.first + FS_BLOCK_FC1);
    backend->gelu_tangent(backend, hidden_dot, hidden_dot, b.pre);
    linear(pass, b.mlp, b.hidden, b.first + FS_BLOCK_FC2);
    linear_tangent(pass, branch_dot, hidden_dot, b.first + FS_BLOCK_FC2);
    gate_tangent(pass, stream(pass, index + 1), b.middle, x_dot, b.mlp, branch_dot, part(m, GATE_2, d),
                 part(m_dot, GATE_2, d));
}

/* --- the final layer --- */

static void final_tangent(const struct pass *pass, struct fs_view velocity, struct fs_view velocity_dot)
{
    struct fs_backend *backend = pass->backend;
    const struct fs_dit *dit = pass->dit;
    const int64_t d = dit->config.hidden;
    const struct fs_view m = modulation_in(pass, FS_BUFFER_MODULATION, dit->config.depth);
    const struct fs_view output = at(pass, FS_BUFFER_OUTPUT);
    const struct fs_view x = at(pass, FS_BUFFER_FINAL_X), statistics = at(pass, FS_BUFFER_FINAL_STATISTICS);
    const struct fs_view norm = at(pass, FS_BUFFER_FINAL_NORM), norm_dot = at(pass, FS_BUFFER_NORM_DOT);
    struct fs_view m_dot = at(pass, FS_BUFFER_MODULATION_DOT);
    m_dot = fs_view(m_dot.data, m_dot.type, m_dot.rows, FS_FINAL_MODULATIONS * d);
    linear(pass, m, at(pass, FS_BUFFER_CONDITION_SILU), FS_FINAL_MODULATION);
    linear_tangent(pass, m_dot, at(pass, FS_BUFFER_CONDITION_SILU_DOT), FS_FINAL_MODULATION);
    backend->norm_forward(backend, norm, statistics, x, part(m, SHIFT_1, d), part(m, SCALE_1, d));
    backend->norm_tangent(backend, norm_dot, at(pass, FS_BUFFER_X_DOT), x, statistics, part(m, SCALE_1, d),
                          part(m_dot, SHIFT_1, d), part(m_dot, SCALE_1, d));
    linear(pass, output, norm, FS_FINAL_LINEAR);
    backend->unpatchify(backend, velocity, output, dit->height, dit->width, dit->channels, dit->config.patch);
    linear_tangent(pass, output, norm_dot, FS_FINAL_LINEAR);
    backend->unpatchify(backend, velocity_dot, output, dit->height, dit->width, dit->channels, dit->config.patch);
}

void fs_dit_tangent(struct fs_dit *dit, const struct fs_weights *weights, const struct fs_dit_input *input,
                    const struct fs_dit_direction *direction, struct fs_view velocity, struct fs_view velocity_dot,
                    bool keep)
{
    assert(input->x.rows <= dit->capacity && (dit->passes & FS_PASS_TANGENT) != 0);
    assert((dit->passes & FS_PASS_BACKWARD) != 0 || !keep);
    const struct pass pass = {
        .dit = dit, .backend = dit->backend, .weights = weights, .rows = input->x.rows, .keep = keep, .tangent = true};
    dit->kept = 0;
    dit->known = keep ? pass.rows : 0;
    fs_dit_condition_forward(&pass, input);
    condition_tangent(&pass, direction);
    fs_dit_patches_forward(&pass, input->x);
    patches_tangent(&pass, direction->x_dot);
    for (int block = 0; block < dit->config.depth; block++) {
        block_tangent(&pass, block);
    }
    final_tangent(&pass, velocity, velocity_dot);
}
