/* The operations that forward-mode tangents need beside the network's own. */
#include <math.h>

#include "harness/bench/cases.h"

#define N (c->samples * c->tokens)
#define B c->samples
#define D c->width

/* --- GELU's derivative: B rows of D --- */

static int gelu_tangent_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("y_dot", FS_ANY, B, D, .same_as = c->in_place ? 2 : 0),
                       FS_IN("x_dot", FS_ANY, B, D), FS_IN("x", FS_ANY, B, D));
}

static void gelu_tangent(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->gelu_tangent(k, v[0], v[1], v[2]);
}

static const struct fs_case gelu_cases[] = {
    {.samples = 9, .width = 1021},
    {.samples = 5, .width = 3, .in_place = true},
    {.samples = 64, .width = 64, .in_place = true},
};

static int gelu_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch * m->tokens, .width = 4 * m->width, .in_place = true};
    return 1;
}

/* --- attention --- */

static int attention_tangent_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, N, D), FS_OUT("out_dot", FS_ANY, N, D),
                       FS_IN("qkv", FS_ANY, N, 3 * D), FS_IN("qkv_dot", FS_ANY, N, 3 * D));
}

static void attention_tangent(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->attention_tangent(k, v[0], v[1], v[2], v[3], c->tokens, c->heads, c->scale);
}

/* Logits and their tangents are about scale·√width; what is rounded of the former goes through exp and meets the
 * latter.
 */
static double attention_condition(const struct fs_case *c, const struct fs_view reference[])
{
    (void)reference;
    const double logit = fmax(1, c->scale * sqrt((double)D / (double)c->heads));
    return logit * logit;
}

/* Value and tangent: q·kᵀ, q̇·kᵀ, q·k̇ᵀ; P·v, Ṗ·v, P·v̇. */
static double attention_flops(const struct fs_case *c)
{
    return 6 * 2.0 * (double)N * (double)c->tokens * (double)D;
}

static const struct fs_case attention_cases[] = {
    {.samples = 2, .tokens = 49, .width = 128, .heads = 4, .scale = 1.0 / 32},
    {.samples = 3, .tokens = 1, .width = 5, .heads = 1, .scale = 1},
    {.samples = 1, .tokens = 67, .width = 21, .heads = 3, .scale = 0.4},
    {.samples = 2, .tokens = 16, .width = 128, .heads = 2, .scale = 0.125},
    {.samples = 1, .tokens = 33, .width = 144, .heads = 2, .scale = 1.0 / 72},
    {.samples = 1, .tokens = 300, .width = 48, .heads = 2, .scale = 2}, /* peaked */
};

static int attention_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch,
                            .tokens = m->tokens,
                            .width = m->width,
                            .heads = m->heads,
                            .scale = (double)m->heads / (double)m->width};
    return 1;
}

/* --- layer norm with modulation --- */

static int norm_tangent_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("y_dot", FS_ANY, N, D, .same_as = c->in_place ? 2 : 0),
                       FS_IN("x_dot", FS_ANY, N, D), FS_IN("x", FS_ANY, N, D), FS_IN("statistics", FS_REAL, N, 2),
                       FS_IN("scale", FS_ANY, B, D), FS_IN("shift_dot", FS_ANY, B, D), FS_IN("scale_dot", FS_ANY, B, D),
                       FS_SPARE("y", FS_ANY, N, D));
}

static void norm_tangent(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->norm_tangent(k, v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
}

static void prepare_norm(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->norm_forward(k, v[7], v[3], v[2], v[4], v[4]);
}

/* What a row of nearly equal numbers loses, it loses once in x̂, and again where that is divided by σ. */
static double norm_condition(const struct fs_case *c, const struct fs_view reference[])
{
    (void)c;
    const struct fs_view statistics = reference[3];
    double sharp = 1;
    for (int64_t i = 0; i < statistics.rows; i++) {
        sharp = fmax(sharp, ((const double *)statistics.data)[i * statistics.stride + 1]);
    }
    return sharp;
}

static const struct fs_case norm_cases[] = {
    {.samples = 3, .tokens = 49, .width = 32},
    {.samples = 2, .tokens = 131, .width = 37, .in_place = true},
    {.samples = 2, .tokens = 3, .width = 531},
    {.samples = 1, .tokens = 1, .width = 3},
    {.samples = 4, .tokens = 1, .width = 3, .in_place = true},
};

static int norm_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch, .tokens = m->tokens, .width = m->width};
    return 1;
}

/* --- sinusoidal features --- */

static int sinusoidal_tangent_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out_dot", FS_ANY, B, D), FS_IN("values", FS_REAL, B, 1),
                       FS_IN("values_dot", FS_REAL, B, 1));
}

static void sinusoidal_tangent(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->sinusoidal_tangent(k, v[0], v[1], v[2]);
}

static const struct fs_case sinusoidal_cases[] = {
    {.samples = 9, .width = 256},
    {.samples = 3, .width = 2},
    {.samples = 5, .width = 34},
};

static int sinusoidal_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch, .width = 256};
    return 1;
}

/* --- the list --- */

const struct fs_operation fs_tangent_operations[] = {
    {FS_OPERATION(gelu_tangent), gelu_tangent_operands, gelu_tangent, .tolerance = 1e-6, FS_CASES(gelu_cases),
     .model_cases = gelu_at_model},
    {FS_OPERATION(attention_tangent), attention_tangent_operands, attention_tangent, .flops = attention_flops,
     .tolerance = 3e-6, .condition = attention_condition, .tangent_of = "attention_forward", FS_CASES(attention_cases),
     .model_cases = attention_at_model},
    {FS_OPERATION(norm_tangent), norm_tangent_operands, norm_tangent, prepare_norm, .tolerance = 5e-6,
     .condition = norm_condition, .tangent_of = "norm_forward", FS_CASES(norm_cases), .model_cases = norm_at_model},
    {FS_OPERATION(sinusoidal_tangent), sinusoidal_tangent_operands, sinusoidal_tangent, .tolerance = 1e-6,
     .tangent_of = "sinusoidal", FS_CASES(sinusoidal_cases), .model_cases = sinusoidal_at_model},
};
const int fs_tangent_operation_count = sizeof fs_tangent_operations / sizeof *fs_tangent_operations;
