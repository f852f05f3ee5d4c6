/* What the network is made of and what a pass costs, counted over its own parameter table and plan. */
#include "harness/model/network.h"

/* How many rows of a sample a layer multiplies: its tokens, or one for what depends on t, s and the label alone. */
static int64_t rows_through(const struct fs_dit *dit, int place)
{
    if (place < FS_FIRST_BLOCK) {
        return place == FS_X_EMBEDDER || place == FS_FINAL_LINEAR ? dit->tokens : 1;
    }
    return (place - FS_FIRST_BLOCK) % FS_BLOCK_PLACES == FS_BLOCK_MODULATION ? 1 : dit->tokens;
}

struct fs_dit_sizes fs_dit_sizes(const struct fs_dit *dit)
{
    struct fs_dit_sizes sizes = {.flat = dit->parameter_count, .activation_bytes = dit->activation_bytes};
    int64_t products = 0;
    const int64_t attention = 2 * dit->config.depth * dit->tokens * dit->tokens * dit->config.hidden;
    for (int i = 0; i < dit->parameter_places; i++) {
        const struct fs_parameter *parameter = &dit->parameters[i];
        sizes.parameters += parameter->rows * parameter->cols;
        if (parameter->multiplies) {
            products += rows_through(dit, i) * parameter->rows * parameter->cols;
        }
    }
    /* Attention: q·kᵀ, and the weights times v: tokens² products of D numbers each, a block. A tangent is another
     * product of each weight, and four of these: q̇·kᵀ, q·k̇ᵀ, and the weights and their tangents times v̇ and v. */
    sizes.forward_flops = 2.0 * (double)(products + attention);
    sizes.tangent_flops = 2.0 * (double)(2 * products + 3 * attention);
    return sizes;
}
