/* The network's operations: linear layers, attention, layer norm, gates, element by element. */
#include <math.h>

#include "harness/bench/cases.h"

#define N (c->samples * c->tokens)
#define B c->samples
#define D c->width

/* --- linear layer: B rows, width → outputs --- */

static int linear_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("y", FS_ANY, B, c->outputs), FS_IN("x", FS_ANY, B, D),
                       FS_IN("w", FS_ANY, c->outputs, D), FS_IN("bias", FS_REAL, !c->bare, c->outputs, .dense = true),
                       FS_OUT("pre", FS_ANY, c->kept ? B : 0, c->outputs));
}

static void linear_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->linear_forward(k, v[0], v[1], v[2], v[3], c->gelu ? FS_GELU : FS_LINEAR, v[4]);
}

static double linear_forward_flops(const struct fs_case *c)
{
    return 2.0 * (double)B * (double)D * (double)c->outputs;
}

static int linear_backward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(
        list, FS_OUT("dx", FS_ANY, c->bare ? 0 : B, D), FS_SUM("dw", FS_REAL, c->outputs, D, .dense = true),
        FS_SUM("dbias", FS_REAL, !c->bare, c->outputs, .dense = true), FS_IN("dy", FS_ANY, B, c->outputs),
        FS_IN("x", FS_ANY, B, D), FS_IN("w", FS_ANY, c->outputs, D), FS_IN("pre", FS_ANY, c->gelu ? B : 0, D));
}

static void linear_backward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->linear_backward(k, v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
}

static double linear_backward_flops(const struct fs_case *c)
{
    return (c->bare ? 1 : 2) * linear_forward_flops(c);
}

static const struct fs_case linear_cases[] = {
    {.samples = 1, .width = 1, .outputs = 1},
    {.samples = 49, .width = 32, .outputs = 96, .gelu = true, .kept = true},
    {.samples = 67, .width = 33, .outputs = 17, .gelu = true},
    {.samples = 530, .width = 24, .outputs = 71},
    {.samples = 1157, .width = 20, .outputs = 35, .gelu = true, .kept = true}, /* several parts a thread */
    {.samples = 3, .width = 256, .outputs = 64, .gelu = true, .kept = true},
    {.samples = 49, .width = 40, .outputs = 24, .bare = true},
};

/* A block's four; the backward pass of `down` is multiplied by the activation's derivative. */
static int linear_at_model(const struct fs_case_model *m, struct fs_case *out, bool backward)
{
    const int64_t n = m->batch * m->tokens, d = m->width;
    const struct fs_case cases[] = {
        {.label = "qkv", .samples = n, .width = d, .outputs = 3 * d},
        {.label = "projection", .samples = n, .width = d, .outputs = d},
        {.label = "up", .samples = n, .width = d, .outputs = 4 * d, .gelu = !backward, .kept = !backward},
        {.label = "down", .samples = n, .width = 4 * d, .outputs = d, .gelu = backward},
    };
    for (int i = 0; i < 4; i++) {
        out[i] = cases[i];
    }
    return 4;
}

static int linear_forward_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    return linear_at_model(m, out, false);
}

static int linear_backward_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    return linear_at_model(m, out, true);
}

/* --- attention: B samples of T tokens --- */

static int attention_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, N, D), FS_OUT("lse", FS_REAL, c->bare ? 0 : N, c->heads),
                       FS_IN("qkv", FS_ANY, N, 3 * D));
}

static void attention_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->attention_forward(k, v[0], v[1], v[2], c->tokens, c->heads, c->scale);
}

/* Logits are about scale·√width, and what is rounded of them goes through exp. */
static double attention_condition(const struct fs_case *c, const struct fs_view reference[])
{
    (void)reference;
    return fmax(1, c->scale * sqrt((double)D / (double)c->heads));
}

static double attention_forward_flops(const struct fs_case *c)
{
    return 2 * 2.0 * (double)N * (double)c->tokens * (double)D;
}

static int attention_backward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("dqkv", FS_ANY, N, 3 * D), FS_IN("dout", FS_ANY, N, D),
                       FS_IN("qkv", FS_ANY, N, 3 * D), FS_IN("out", FS_ANY, N, D), FS_IN("lse", FS_REAL, N, c->heads));
}

static void attention_backward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->attention_backward(k, v[0], v[1], v[2], v[3], v[4], c->tokens, c->heads, c->scale);
}

static void prepare_attention(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->attention_forward(k, v[3], v[4], v[2], c->tokens, c->heads, c->scale);
}

/* Four products; the logits, which are computed again, are not counted. */
static double attention_backward_flops(const struct fs_case *c)
{
    return 2 * attention_forward_flops(c);
}

static const struct fs_case attention_cases[] = {
    {.samples = 2, .tokens = 49, .width = 128, .heads = 4, .scale = 1.0 / 32},
    {.samples = 3, .tokens = 1, .width = 5, .heads = 1, .scale = 1},
    {.samples = 1, .tokens = 67, .width = 21, .heads = 3, .scale = 0.4},
    {.samples = 2, .tokens = 16, .width = 128, .heads = 2, .scale = 0.125},
    {.samples = 1, .tokens = 33, .width = 144, .heads = 2, .scale = 1.0 / 72, .bare = true},
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

/* --- layer norm with modulation, gate --- */

static int norm_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("y", FS_ANY, N, D), FS_OUT("statistics", FS_REAL, c->bare ? 0 : N, 2),
                       FS_IN("x", FS_ANY, N, D), FS_IN("shift", FS_ANY, B, D), FS_IN("scale", FS_ANY, B, D));
}

static void norm_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->norm_forward(k, v[0], v[1], v[2], v[3], v[4]);
}

static double at(struct fs_view view, int64_t row, int64_t col)
{
    return ((const double *)view.data)[row * view.stride + col];
}

/* A row whose numbers are nearly equal loses digits to their mean: the largest 1/√(var + ε) of the rows x + gate·y,
 * from float64 operands. */
static double sharpest_sum(struct fs_view x, struct fs_view y, struct fs_view gate)
{
    const double n = (double)x.cols;
    double sharp = 1;
    for (int64_t i = 0; i < x.rows; i++) {
        double mean = 0, variance = 0;
        for (int pass = 0; pass < 2; pass++) {
            for (int64_t j = 0; j < x.cols; j++) {
                const double branch = y.data ? at(gate, i / (x.rows / gate.rows), j) * at(y, i, j) : 0,
                             value = at(x, i, j) + branch;
                mean += pass == 0 ? value / n : 0;
                variance += pass == 1 ? (value - mean) * (value - mean) / n : 0;
            }
        }
        sharp = fmax(sharp, 1 / sqrt(variance + 1e-6));
    }
    return sharp;
}

static double sharpest(struct fs_view x)
{
    return sharpest_sum(x, fs_no_view(), fs_no_view());
}

static double norm_forward_condition(const struct fs_case *c, const struct fs_view reference[])
{
    (void)c;
    return sharpest(reference[2]);
}

static int norm_backward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_SUM("dx", FS_ANY, N, D), FS_OUT("dshift", FS_ANY, B, D), FS_OUT("dscale", FS_ANY, B, D),
                       FS_IN("dy", FS_ANY, N, D), FS_IN("x", FS_ANY, N, D), FS_IN("statistics", FS_REAL, N, 2),
                       FS_IN("scale", FS_ANY, B, D), FS_SPARE("y", FS_ANY, N, D));
}

static void norm_backward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->norm_backward(k, v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
}

static void prepare_norm(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->norm_forward(k, v[7], v[5], v[4], v[6], v[6]);
}

static double norm_backward_condition(const struct fs_case *c, const struct fs_view reference[])
{
    (void)c;
    return sharpest(reference[4]);
}

static int gate_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, N, D, .same_as = c->in_place ? 2 : 0), FS_IN("x", FS_ANY, N, D),
                       FS_IN("y", FS_ANY, N, D), FS_IN("gate", FS_ANY, B, D));
}

static void gate_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->gate_forward(k, v[0], v[1], v[2], v[3]);
}

static int gate_backward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("dy", FS_ANY, N, D), FS_OUT("dgate", FS_ANY, B, D), FS_IN("dout", FS_ANY, N, D),
                       FS_IN("y", FS_ANY, N, D), FS_IN("gate", FS_ANY, B, D));
}

static void gate_backward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->gate_backward(k, v[0], v[1], v[2], v[3], v[4]);
}

/* Both, as a block has them. */
static int gate_norm_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_REAL, N, D, .same_as = c->in_place ? 2 : 0), FS_IN("x", FS_REAL, N, D),
                       FS_IN("y", FS_ANY, N, D), FS_IN("gate", FS_ANY, B, D), FS_OUT("z", FS_ANY, N, D),
                       FS_OUT("statistics", FS_REAL, c->bare ? 0 : N, 2), FS_IN("shift", FS_ANY, B, D),
                       FS_IN("scale", FS_ANY, B, D));
}

static void gate_norm_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->gate_norm_forward(k, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]);
}

static double gate_norm_forward_condition(const struct fs_case *c, const struct fs_view reference[])
{
    (void)c;
    return sharpest_sum(reference[1], reference[2], reference[3]);
}

static int gate_norm_backward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_SUM("dx", FS_REAL, N, D), FS_OUT("dy", FS_ANY, N, D), FS_OUT("dgate", FS_ANY, B, D),
                       FS_OUT("dshift", FS_ANY, B, D), FS_OUT("dscale", FS_ANY, B, D), FS_IN("dz", FS_ANY, N, D),
                       FS_IN("y", FS_ANY, N, D), FS_IN("gate", FS_ANY, B, D), FS_IN("out", FS_REAL, N, D),
                       FS_IN("statistics", FS_REAL, N, 2), FS_IN("scale", FS_ANY, B, D), FS_SPARE("z", FS_REAL, N, D));
}

static void gate_norm_backward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->gate_norm_backward(k, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]);
}

/* out is that of x = 0, as the finite differences have it. */
static void prepare_gate_norm(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->fill(k, v[11], 0);
    k->gate_norm_forward(k, v[8], v[11], v[6], v[7], v[11], v[9], v[10], v[10]);
}

static double gate_norm_backward_condition(const struct fs_case *c, const struct fs_view reference[])
{
    (void)c;
    return sharpest(reference[8]);
}

static const struct fs_case token_cases[] = {
    {.samples = 3, .tokens = 49, .width = 32},
    {.samples = 2, .tokens = 131, .width = 37, .in_place = true},
    {.samples = 2, .tokens = 3, .width = 531, .bare = true},
    {.samples = 1, .tokens = 1, .width = 3},
    {.samples = 4, .tokens = 1, .width = 3, .in_place = true},
};

/* Rows of one block's threads and of several warps', tokens of several chunks. */
static const struct fs_case gate_norm_cases[] = {
    {.samples = 3, .tokens = 49, .width = 32},
    {.samples = 2, .tokens = 131, .width = 37, .in_place = true},
    {.samples = 2, .tokens = 3, .width = 531, .bare = true},
    {.samples = 2, .tokens = 5, .width = 776},
    {.samples = 4, .tokens = 1, .width = 3, .in_place = true},
};

static int tokens_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch, .tokens = m->tokens, .width = m->width};
    return 1;
}

/* --- element by element: B rows of D --- */

static int silu_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("y", FS_ANY, B, D), FS_IN("x", FS_ANY, B, D));
}

static void silu_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->silu_forward(k, v[0], v[1]);
}

static int silu_backward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(
        list, FS_OPERAND("dx", c->accumulate ? FS_USE_SUM : FS_USE_OUT, FS_ANY, B, D, .same_as = c->in_place ? 2 : 0),
        FS_IN("dy", FS_ANY, B, D), FS_IN("x", FS_ANY, B, D));
}

static void silu_backward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->silu_backward(k, v[0], v[1], v[2], c->accumulate);
}

static const struct fs_case row_cases[] = {
    {.samples = 9, .width = 1021},
    {.samples = 4, .width = 64, .accumulate = true},
    {.samples = 5, .width = 3, .in_place = true},
};

/* The modulation of a sample: six vectors. */
static int modulation_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch, .width = 6 * m->width};
    return 1;
}

/* y [T, D] on x [B·T, D], or as many rows. */
static int add_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, N, D, .same_as = c->in_place ? 2 : 0), FS_IN("x", FS_ANY, N, D),
                       FS_IN("y", FS_ANY, c->tokens, D));
}

static void add(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->add(k, v[0], v[1], v[2]);
}

static const struct fs_case add_cases[] = {
    {.samples = 1, .tokens = 9, .width = 1021},
    {.samples = 3, .tokens = 3, .width = 1021, .in_place = true},
    {.samples = 5, .tokens = 4, .width = 48},
};

static int mix_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    const int64_t second = c->bare ? 0 : B;
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, B, D, .same_as = c->in_place ? 3 : 0), FS_IN("a", FS_REAL, B, 1),
                       FS_IN("x", FS_ANY, B, D), FS_IN("c", FS_REAL, second, 1), FS_IN("y", FS_ANY, second, D));
}

static void mix(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->mix(k, v[0], v[1], v[2], v[3], v[4], c->clip);
}

static const struct fs_case mix_cases[] = {
    {.samples = 9, .width = 1021, .clip = 1.25},
    {.samples = 9, .width = 1021, .bare = true},
    {.samples = 4, .width = 96, .in_place = true},
};

static int pictures_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch, .width = m->height * m->columns * m->channels, .clip = 4};
    return 1;
}

/* --- memory --- */

static int fill_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, B, D, .free = true));
}

static void fill(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->fill(k, v[0], -1.5);
}

static int copy_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", c->narrow ? FS_ANY : FS_REAL, B, D),
                       FS_IN("in", c->narrow ? FS_REAL : FS_ANY, B, D));
}

static void copy(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->copy(k, v[0], v[1]);
}

static const struct fs_case memory_cases[] = {
    {.samples = 7, .width = 37},
    {.samples = 5, .width = 19, .narrow = true},
    {.samples = 3, .width = 64, .narrow = true},
};

static int hidden_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch * m->tokens, .width = 4 * m->width};
    return 1;
}

/* --- the list --- */

enum {
    FILL,
    COPY,
    LINEAR,
    LINEAR_BACK,
    ATTENTION,
    ATTENTION_BACK,
    NORM,
    NORM_BACK,
    GATE,
    GATE_BACK,
    GATE_NORM,
    GATE_NORM_BACK,
    SILU
};

const struct fs_operation fs_network_operations[] = {
    [FILL] = {FS_OPERATION(fill), fill_operands, fill, FS_CASES(memory_cases), .model_cases = hidden_at_model},
    [COPY] = {FS_OPERATION(copy), copy_operands, copy, FS_CASES(memory_cases), .model_cases = hidden_at_model},
    [LINEAR] = {FS_OPERATION(linear_forward), linear_forward_operands, linear_forward, .flops = linear_forward_flops,
                .tolerance = 5e-6, .terms = 1, FS_CASES(linear_cases), .model_cases = linear_forward_at_model},
    [LINEAR_BACK] = {FS_OPERATION(linear_backward), linear_backward_operands, linear_backward,
                     .flops = linear_backward_flops, .tolerance = 5e-6, .terms = 1,
                     .forward = &fs_network_operations[LINEAR], FS_CASES(linear_cases),
                     .model_cases = linear_backward_at_model},
    [ATTENTION] = {FS_OPERATION(attention_forward), attention_forward_operands, attention_forward,
                   .flops = attention_forward_flops, .tolerance = 3e-6, .condition = attention_condition,
                   FS_CASES(attention_cases), .model_cases = attention_at_model},
    [ATTENTION_BACK] = {FS_OPERATION(attention_backward), attention_backward_operands, attention_backward,
                        prepare_attention, attention_backward_flops, .tolerance = 3e-5,
                        .forward = &fs_network_operations[ATTENTION], FS_CASES(attention_cases),
                        .model_cases = attention_at_model},
    [NORM] = {FS_OPERATION(norm_forward), norm_forward_operands, norm_forward, .tolerance = 3e-6,
              .condition = norm_forward_condition, FS_CASES(token_cases), .model_cases = tokens_at_model},
    [NORM_BACK] = {FS_OPERATION(norm_backward), norm_backward_operands, norm_backward, prepare_norm, .tolerance = 5e-6,
                   .condition = norm_backward_condition, .forward = &fs_network_operations[NORM], FS_CASES(token_cases),
                   .model_cases = tokens_at_model},
    [GATE] = {FS_OPERATION(gate_forward), gate_forward_operands, gate_forward, .tolerance = 1e-6, FS_CASES(token_cases),
              .model_cases = tokens_at_model},
    [GATE_BACK] = {FS_OPERATION(gate_backward), gate_backward_operands, gate_backward, .tolerance = 3e-6,
                   .forward = &fs_network_operations[GATE], FS_CASES(token_cases), .model_cases = tokens_at_model},
    [GATE_NORM] = {FS_OPERATION(gate_norm_forward), gate_norm_forward_operands, gate_norm_forward, .tolerance = 3e-6,
                   .condition = gate_norm_forward_condition, FS_CASES(gate_norm_cases), .model_cases = tokens_at_model},
    [GATE_NORM_BACK] = {FS_OPERATION(gate_norm_backward), gate_norm_backward_operands, gate_norm_backward,
                        prepare_gate_norm, .tolerance = 5e-6, .condition = gate_norm_backward_condition,
                        .forward = &fs_network_operations[GATE_NORM], FS_CASES(gate_norm_cases),
                        .model_cases = tokens_at_model},
    [SILU] = {FS_OPERATION(silu_forward), silu_forward_operands, silu_forward, .tolerance = 5e-7, FS_CASES(row_cases),
              .model_cases = modulation_at_model},
    {FS_OPERATION(silu_backward), silu_backward_operands, silu_backward, .tolerance = 1e-6,
     .forward = &fs_network_operations[SILU], FS_CASES(row_cases), .model_cases = modulation_at_model},
    {FS_OPERATION(add), add_operands, add, .tolerance = 1e-7, FS_CASES(add_cases), .model_cases = tokens_at_model},
    {FS_OPERATION(mix), mix_operands, mix, .tolerance = 1e-6, FS_CASES(mix_cases), .model_cases = pictures_at_model},
};
const int fs_network_operation_count = sizeof fs_network_operations / sizeof *fs_network_operations;
