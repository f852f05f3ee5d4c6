/* What the files of the backbone share: the parameter table and the activation plan behind struct fs_dit. */
#ifndef FEWSTEP_NETWORK_H
#define FEWSTEP_NETWORK_H

#include "harness/model/dit.h"

#define FS_FEATURES 256 /* sinusoidal features of t and of s */
#define FS_MLP_RATIO 4
#define FS_MODULATIONS 6       /* vectors of width D that condition a block */
#define FS_FINAL_MODULATIONS 2 /* and the final layer */

/* Places in the parameter table. A linear layer is named by its weight; its bias is the next place. */
enum fs_parameter_place {
    FS_X_EMBEDDER,
    FS_T_EMBEDDER_0 = FS_X_EMBEDDER + 2,
    FS_T_EMBEDDER_2 = FS_T_EMBEDDER_0 + 2,
    FS_D_EMBEDDER_0 = FS_T_EMBEDDER_2 + 2,
    FS_D_EMBEDDER_2 = FS_D_EMBEDDER_0 + 2,
    FS_LABEL_TABLE = FS_D_EMBEDDER_2 + 2,
    FS_FINAL_MODULATION,
    FS_FINAL_LINEAR = FS_FINAL_MODULATION + 2,
    FS_FIRST_BLOCK = FS_FINAL_LINEAR + 2,
};
/* Counted from a block's first place. */
enum fs_block_place {
    FS_BLOCK_MODULATION,
    FS_BLOCK_QKV = FS_BLOCK_MODULATION + 2,
    FS_BLOCK_PROJECTION = FS_BLOCK_QKV + 2,
    FS_BLOCK_FC1 = FS_BLOCK_PROJECTION + 2,
    FS_BLOCK_FC2 = FS_BLOCK_FC1 + 2,
    FS_BLOCK_PLACES = FS_BLOCK_FC2 + 2,
};

/* The plan's buffers. B samples, T tokens a sample, D the width, P = patch·patch·channels. */
enum fs_buffer {
    FS_BUFFER_POSITIONS, /* [T, D], constant */
    FS_BUFFER_SCALARS,   /* t, then s, as they come from the host: [2·B, 1] float32 */
    FS_BUFFER_LABELS,    /* [B, 1] int32 */
    FS_BUFFER_TIME,
    FS_BUFFER_T_FEATURES,
    FS_BUFFER_T_PRE,
    FS_BUFFER_T_HIDDEN,
    FS_BUFFER_SIZE, /* the step size's level */
    FS_BUFFER_D_FEATURES,
    FS_BUFFER_D_PRE,
    FS_BUFFER_D_HIDDEN,
    FS_BUFFER_SUMMAND,   /* one of the three embeddings */
    FS_BUFFER_CONDITION, /* their sum c */
    FS_BUFFER_CONDITION_SILU,
    FS_BUFFER_MODULATION, /* of all blocks and the final layer: a norm's is read with the gate before it */
    FS_BUFFER_TOKENS,

    /* one of each a block */
    FS_BUFFER_X,
    FS_BUFFER_STATISTICS_1,
    FS_BUFFER_NORM_1,
    FS_BUFFER_QKV,
    FS_BUFFER_LSE,
    FS_BUFFER_ATTENTION,
    FS_BUFFER_PROJECTION,
    FS_BUFFER_MIDDLE, /* the residual stream between attention and MLP */
    FS_BUFFER_STATISTICS_2,
    FS_BUFFER_NORM_2,
    FS_BUFFER_PRE, /* before GELU */
    FS_BUFFER_HIDDEN,
    FS_BUFFER_MLP,

    FS_BUFFER_FINAL_X,
    FS_BUFFER_FINAL_STATISTICS,
    FS_BUFFER_FINAL_NORM,
    FS_BUFFER_OUTPUT,

    /* Gradients, for the backward pass. It and a tangent leave nothing to each other, so that theirs are one memory. */
    FS_BUFFER_DX, /* of the residual stream */
    FS_BUFFER_DBRANCH,
    FS_BUFFER_DHIDDEN,
    FS_BUFFER_DNORM,
    FS_BUFFER_DATTENTION,
    FS_BUFFER_DQKV,
    FS_BUFFER_DOUTPUT,
    FS_BUFFER_DMODULATION, /* as the modulation */
    FS_BUFFER_DSILU,
    FS_BUFFER_DCONDITION,
    FS_BUFFER_DEMBEDDER,

    /* tangents */
    FS_BUFFER_X_DOT, /* of the residual stream */
    FS_BUFFER_NORM_DOT,
    FS_BUFFER_QKV_DOT,
    FS_BUFFER_ATTENTION_DOT,
    FS_BUFFER_BRANCH_DOT,
    FS_BUFFER_HIDDEN_DOT,
    FS_BUFFER_MODULATION_DOT,
    FS_BUFFER_SCALAR_DOT, /* of t, then of s */
    FS_BUFFER_CONDITION_DOT,
    FS_BUFFER_CONDITION_SILU_DOT,
    FS_BUFFER_COUNT,
};

struct fs_plan_entry {
    const char *name;   /* NULL: this plan does without it */
    int64_t rows, cols; /* rows of one sample (of all samples for the constant) */
    enum fs_type type;
    bool per_block; /* there is one a block; else all blocks use the same */
    bool only_kept; /* written only when a backward pass or a tangent reads it */
    size_t offset;  /* bytes; for block l plus l · block_bytes */
    size_t bytes;
};

struct fs_dit {
    struct fs_backend *backend;
    struct fs_model_config config;
    int height, width, channels, capacity;
    unsigned passes;            /* that its plan has the buffers of: FS_PASS_BACKWARD, … */
    enum fs_type precision;     /* of matrix inputs and saved activations */
    int64_t tokens, patch_size; /* T, and P values a patch */
    double attention_scale;

    struct fs_parameter *parameters;
    int parameter_places;
    int64_t parameter_count; /* padded */

    struct fs_plan_entry plan[FS_BUFFER_COUNT];
    size_t block_bytes, activation_bytes;
    char *activations;
    int32_t *label_room; /* [capacity] on the host */
    int64_t kept;        /* rows of the last forward that a backward pass may follow; 0: none */
    int64_t known;       /* rows whose blocks the last pass, a tangent, kept; 0: none */
};

/* Fills the table from configuration and sizes. */
fs_status fs_dit_plan_parameters(struct fs_dit *dit, struct fs_error *error);
/* Fills the plan and the sizes of its parts; allocates nothing. */
void fs_dit_plan_activations(struct fs_dit *dit);

#endif
