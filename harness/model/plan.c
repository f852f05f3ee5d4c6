/* The activation plan: which buffers a pass needs, where they lie in the one allocation, and what they cost. */
#include "harness/model/network.h"

#define ALIGNMENT 64u /* bytes */

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Behind the last buffer that each block has for itself: its input and the norm of that, where the rest is made again.
 * The norm is kept as it came with the gate before it, in one operation, whose rounding may be its own. */
static enum fs_buffer kept_of_a_block(const struct fs_dit *dit)
{
    return (dit->passes & FS_PASS_RECOMPUTE) != 0 ? FS_BUFFER_QKV : FS_BUFFER_FINAL_X;
}

/* Plans a buffer of rows × cols a sample. */
static void room(struct fs_dit *dit, enum fs_buffer buffer, const char *name, int64_t rows, int64_t cols,
                 enum fs_type type)
{
    dit->plan[buffer] = (struct fs_plan_entry){
        .name = name,
        .rows = rows,
        .cols = cols,
        .type = type,
        .per_block = buffer >= FS_BUFFER_X && buffer < kept_of_a_block(dit),
    };
}

/* The same for what only a backward pass or a tangent reads: a plan without these leaves it out. */
static void kept(struct fs_dit *dit, enum fs_buffer buffer, const char *name, int64_t rows, int64_t cols,
                 enum fs_type type)
{
    if (dit->passes != FS_PASS_FORWARD) {
        room(dit, buffer, name, rows, cols, type);
        dit->plan[buffer].only_kept = true;
    }
}

/* Vectors of width D that condition all blocks and the final layer. */
static int64_t modulations(const struct fs_dit *dit)
{
    return (int64_t)dit->config.depth * FS_MODULATIONS + FS_FINAL_MODULATIONS;
}

static void describe_common(struct fs_dit *dit)
{
    const enum fs_type real = dit->backend->real, matrix = dit->precision;
    const int64_t d = dit->config.hidden, t = dit->tokens, p = dit->patch_size;
    room(dit, FS_BUFFER_POSITIONS, "positions", t, d, real);
    room(dit, FS_BUFFER_SCALARS, "scalars", 2, 1, FS_F32);
    room(dit, FS_BUFFER_LABELS, "labels", 1, 1, FS_F32); /* int32, of the same size */
    room(dit, FS_BUFFER_TIME, "t", 1, 1, real);
    room(dit, FS_BUFFER_T_FEATURES, "t.features", 1, FS_FEATURES, real);
    room(dit, FS_BUFFER_T_PRE, "t.pre", 1, d, real);
    room(dit, FS_BUFFER_T_HIDDEN, "t.hidden", 1, d, real);
    room(dit, FS_BUFFER_SIZE, "s", 1, 1, real);
    room(dit, FS_BUFFER_D_FEATURES, "s.features", 1, FS_FEATURES, real);
    room(dit, FS_BUFFER_D_PRE, "s.pre", 1, d, real);
    room(dit, FS_BUFFER_D_HIDDEN, "s.hidden", 1, d, real);
    room(dit, FS_BUFFER_SUMMAND, "embedding", 1, d, real);
    room(dit, FS_BUFFER_CONDITION, "condition", 1, d, real);
    room(dit, FS_BUFFER_CONDITION_SILU, "condition.silu", 1, d, matrix);
    room(dit, FS_BUFFER_MODULATION, "modulation", 1, modulations(dit) * d, real);
    room(dit, FS_BUFFER_TOKENS, "tokens", t, p, matrix);
    room(dit, FS_BUFFER_FINAL_X, "final.x", t, d, real);
    kept(dit, FS_BUFFER_FINAL_STATISTICS, "final.statistics", t, 2, real);
    room(dit, FS_BUFFER_FINAL_NORM, "final.norm", t, d, matrix);
    room(dit, FS_BUFFER_OUTPUT, "output", t, p, real);
}

static void describe_block(struct fs_dit *dit)
{
    const enum fs_type real = dit->backend->real, matrix = dit->precision;
    const int64_t d = dit->config.hidden, t = dit->tokens;
    room(dit, FS_BUFFER_X, "x", t, d, real);
    kept(dit, FS_BUFFER_STATISTICS_1, "norm1.statistics", t, 2, real);
    room(dit, FS_BUFFER_NORM_1, "norm1", t, d, matrix);
    room(dit, FS_BUFFER_QKV, "qkv", t, 3 * d, matrix);
    kept(dit, FS_BUFFER_LSE, "attention.lse", t, dit->config.heads, real);
    room(dit, FS_BUFFER_ATTENTION, "attention", t, d, matrix);
    room(dit, FS_BUFFER_PROJECTION, "projection", t, d, matrix);
    room(dit, FS_BUFFER_MIDDLE, "x.middle", t, d, real);
    kept(dit, FS_BUFFER_STATISTICS_2, "norm2.statistics", t, 2, real);
    room(dit, FS_BUFFER_NORM_2, "norm2", t, d, matrix);
    kept(dit, FS_BUFFER_PRE, "mlp.pre", t, FS_MLP_RATIO * d, matrix);
    room(dit, FS_BUFFER_HIDDEN, "mlp.hidden", t, FS_MLP_RATIO * d, matrix);
    room(dit, FS_BUFFER_MLP, "mlp", t, d, matrix);
}

static void describe_backward(struct fs_dit *dit)
{
    const enum fs_type real = dit->backend->real, matrix = dit->precision;
    const int64_t d = dit->config.hidden, t = dit->tokens;
    room(dit, FS_BUFFER_DX, "dx", t, d, real);
    room(dit, FS_BUFFER_DBRANCH, "dbranch", t, d, matrix);
    room(dit, FS_BUFFER_DHIDDEN, "dhidden", t, FS_MLP_RATIO * d, matrix);
    room(dit, FS_BUFFER_DNORM, "dnorm", t, d, matrix);
    room(dit, FS_BUFFER_DATTENTION, "dattention", t, d, matrix);
    room(dit, FS_BUFFER_DQKV, "dqkv", t, 3 * d, matrix);
    room(dit, FS_BUFFER_DOUTPUT, "doutput", t, dit->patch_size, matrix);
    room(dit, FS_BUFFER_DMODULATION, "dmodulation", 1, modulations(dit) * d, matrix);
    room(dit, FS_BUFFER_DSILU, "dcondition.silu", 1, d, real);
    room(dit, FS_BUFFER_DCONDITION, "dcondition", 1, d, real);
    room(dit, FS_BUFFER_DEMBEDDER, "dembedder", 1, d, real);
}

static void describe_tangent(struct fs_dit *dit)
{
    const enum fs_type real = dit->backend->real, matrix = dit->precision;
    const int64_t d = dit->config.hidden, t = dit->tokens;
    room(dit, FS_BUFFER_X_DOT, "x.dot", t, d, real);
    room(dit, FS_BUFFER_NORM_DOT, "norm.dot", t, d, matrix);
    room(dit, FS_BUFFER_QKV_DOT, "qkv.dot", t, 3 * d, matrix);
    room(dit, FS_BUFFER_ATTENTION_DOT, "attention.dot", t, d, matrix);
    room(dit, FS_BUFFER_BRANCH_DOT, "branch.dot", t, d, matrix);
    room(dit, FS_BUFFER_HIDDEN_DOT, "mlp.hidden.dot", t, FS_MLP_RATIO * d, matrix);
    room(dit, FS_BUFFER_MODULATION_DOT, "modulation.dot", 1, FS_MODULATIONS * d, real);
    room(dit, FS_BUFFER_SCALAR_DOT, "scalar.dot", 1, 1, real);
    room(dit, FS_BUFFER_CONDITION_DOT, "condition.dot", 1, d, real);
    room(dit, FS_BUFFER_CONDITION_SILU_DOT, "condition.silu.dot", 1, d, matrix);
}

/* Lays the entries from `first` on and before `last` one after the other; returns the end. */
static size_t lay_out(struct fs_dit *dit, enum fs_buffer first, enum fs_buffer last, size_t end)
{
    for (int i = (int)first; i < (int)last; i++) {
        struct fs_plan_entry *entry = &dit->plan[i];
        if (entry->name == NULL) {
            continue;
        }
        const int64_t samples = i == FS_BUFFER_POSITIONS ? 1 : dit->capacity;
        entry->offset = end;
        entry->bytes = aligned((size_t)(samples * entry->rows * entry->cols) * fs_type_size(entry->type));
        end += entry->bytes;
    }
    return end;
}

void fs_dit_plan_activations(struct fs_dit *dit)
{
    describe_common(dit);
    describe_block(dit);
    const bool backward = (dit->passes & FS_PASS_BACKWARD) != 0;
    if (backward) {
        describe_backward(dit);
    }
    if ((dit->passes & FS_PASS_TANGENT) != 0) {
        describe_tangent(dit);
    }
    size_t common = lay_out(dit, FS_BUFFER_POSITIONS, FS_BUFFER_X, 0);
    common = lay_out(dit, kept_of_a_block(dit), FS_BUFFER_FINAL_X, common);
    common = lay_out(dit, FS_BUFFER_FINAL_X, FS_BUFFER_DX, common);
    const size_t gradients = lay_out(dit, FS_BUFFER_DX, FS_BUFFER_X_DOT, common);
    const size_t tangents = lay_out(dit, FS_BUFFER_X_DOT, FS_BUFFER_COUNT, common);
    common = gradients > tangents ? gradients : tangents;
    dit->block_bytes = lay_out(dit, FS_BUFFER_X, kept_of_a_block(dit), common) - common;
    /* Without a backward pass all blocks use the same buffers. */
    dit->activation_bytes = common + dit->block_bytes * (size_t)(backward ? dit->config.depth : 1);
}
