/* The operations of training: random numbers, conditioning, loss, optimiser. */
#include "harness/bench/cases.h"

#define B c->samples
#define D c->width

/* --- random numbers --- */

static int normals_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, B, D, .free = true));
}

static void normals(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    const struct fs_random_key key = {c->seed, FS_STREAM_TEST, 7, 9};
    k->normals(k, v[0], key, 0xfffffffe); /* rows wrap around */
}

static const struct fs_case normals_cases[] = {{.samples = 3, .width = 1031}, {.samples = 4, .width = 64}};

static int pictures_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch, .width = m->height * m->columns * m->channels};
    return 1;
}

/* --- conditioning --- */

static int sinusoidal_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, B, D), FS_IN("values", FS_REAL, B, 1));
}

static void sinusoidal(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->sinusoidal(k, v[0], v[1]);
}

static const struct fs_case sinusoidal_cases[] = {{.samples = 11, .width = 38}, {.samples = 4, .width = 256}};

static int sinusoidal_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch, .width = 256};
    return 1;
}

static int embed_forward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("out", FS_ANY, B, D), FS_IN("table", FS_ANY, c->classes, D),
                       FS_IN("ids", FS_IDS, 1, B, .dense = true, .below = c->classes));
}

static void embed_forward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->embed_forward(k, v[0], v[1], v[2].data);
}

static int embed_backward_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_SUM("dtable", FS_REAL, c->classes, D), FS_IN("dout", FS_ANY, B, D),
                       FS_IN("ids", FS_IDS, 1, B, .dense = true, .below = c->classes));
}

static void embed_backward(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->embed_backward(k, v[0], v[1], v[2].data);
}

static const struct fs_case embed_cases[] = {
    {.samples = 7, .width = 27, .classes = 4},
    {.samples = 40, .width = 32, .classes = 11},
};

static int embed_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.samples = m->batch, .width = m->width, .classes = 11};
    return 1;
}

/* --- loss --- */

static int mse_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("loss", FS_REAL, B, 1),
                       FS_OUT("dprediction", FS_ANY, c->bare ? 0 : B, D, .same_as = c->in_place ? 3 : 0),
                       FS_IN("prediction", FS_ANY, B, D), FS_IN("target", FS_ANY, B, D),
                       FS_IN("weights", FS_REAL, B, 1));
}

static void mse(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->mse(k, v[0], v[1], v[2], v[3], v[4], c->loss);
}

static const struct fs_case mse_cases[] = {
    {.samples = 13, .width = 301},
    {.samples = 8, .width = 64, .in_place = true},
    {.samples = 5, .width = 1, .bare = true},
    {.samples = 13, .width = 301, .loss = {FS_LOSS_ADAPTIVE, 1, 1e-3f}},
    {.samples = 8, .width = 64, .loss = {FS_LOSS_ADAPTIVE, 0.75f, 1e-2f}, .in_place = true},
    {.samples = 5, .width = 1, .loss = {FS_LOSS_ADAPTIVE, 1, 1e-3f}},
};

/* --- optimiser: one row of `width` --- */

static int sum_squares_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_OUT("result", FS_REAL, 1, 1), FS_IN("x", FS_ANY, 1, D, .dense = true, .free = true));
}

static void sum_squares(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    (void)c;
    k->sum_squares(k, v[0], v[1]);
}

static int adamw_operands(const struct fs_case *c, struct fs_case_operand *list)
{
    return FS_OPERANDS(list, FS_SUM("parameters", FS_REAL, 1, D, .dense = true),
                       FS_IN("gradients", FS_REAL, 1, D, .dense = true),
                       FS_SUM("moment1", FS_REAL, 1, D, .dense = true), FS_SUM("moment2", FS_REAL, 1, D, .dense = true),
                       FS_SUM("average 0", FS_REAL, c->averages > 0, D, .dense = true),
                       FS_SUM("average 1", FS_REAL, c->averages > 1, D, .dense = true),
                       FS_IN("norm2", FS_REAL, c->clip > 0, 1), FS_OUT("copy", FS_ANY, c->kept, D, .dense = true),
                       FS_OUT("copy of average 0", FS_ANY, c->kept && c->averages > 0, D, .dense = true),
                       FS_OUT("copy of average 1", FS_ANY, c->kept && c->averages > 1, D, .dense = true));
}

static void adamw_update(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[], int64_t update)
{
    const struct fs_adamw settings = {
        .learning_rate = 0.01f,
        .beta1 = 0.9f,
        .beta2 = 0.999f,
        .epsilon = 1e-8f,
        .weight_decay = 0.1f,
        .update = update,
        .clip_norm = (float)c->clip,
        .norm2 = v[6],
        .ema_decay = {0.9f, 0.99f},
        .copies = {v[7], v[8], v[9]},
    };
    k->adamw(k, &settings, v[0], v[1], v[2], v[3], v + 4);
}

static void adamw(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    adamw_update(k, c, v, 3);
}

/* The moments of two updates. */
static void prepare_adamw(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[])
{
    k->fill(k, v[2], 0);
    k->fill(k, v[3], 0);
    if (c->clip > 0) {
        k->sum_squares(k, v[6], v[1]);
    }
    adamw_update(k, c, v, 1);
    adamw_update(k, c, v, 2);
}

static const struct fs_case sum_squares_cases[] = {{.width = 50021}, {.width = 7}};
static const struct fs_case adamw_cases[] = {
    {.width = 16411},
    {.width = 16411, .clip = 1, .averages = 2, .kept = true},
    {.width = 331, .averages = 1, .kept = true},
    {.width = 640, .clip = 1e6, .averages = 1}, /* clipping that does not bite */
};

/* About a model of twelve blocks. */
static int parameters_at_model(const struct fs_case_model *m, struct fs_case *out)
{
    *out = (struct fs_case){.width = 12 * 18 * m->width * m->width, .averages = 1, .kept = true};
    return 1;
}

/* --- the list --- */

enum { NORMALS, SINUSOIDAL, EMBED, EMBED_BACK, MSE, SUM_SQUARES, ADAMW };

const struct fs_operation fs_training_operations[] = {
    [NORMALS] = {FS_OPERATION(normals), normals_operands, normals, FS_CASES(normals_cases),
                 .model_cases = pictures_at_model},
    [SINUSOIDAL] = {FS_OPERATION(sinusoidal), sinusoidal_operands, sinusoidal, .tolerance = 1e-6,
                    FS_CASES(sinusoidal_cases), .model_cases = sinusoidal_at_model},
    [EMBED] = {FS_OPERATION(embed_forward), embed_forward_operands, embed_forward, FS_CASES(embed_cases),
               .model_cases = embed_at_model},
    [EMBED_BACK] = {FS_OPERATION(embed_backward), embed_backward_operands, embed_backward, .tolerance = 1e-6,
                    .forward = &fs_training_operations[EMBED], FS_CASES(embed_cases), .model_cases = embed_at_model},
    [MSE] = {FS_OPERATION(mse), mse_operands, mse, .tolerance = 1e-6, FS_CASES(mse_cases),
             .model_cases = pictures_at_model},
    [SUM_SQUARES] = {FS_OPERATION(sum_squares), sum_squares_operands, sum_squares, .tolerance = 1e-7,
                     FS_CASES(sum_squares_cases), .model_cases = parameters_at_model},
    [ADAMW] = {FS_OPERATION(adamw), adamw_operands, adamw, prepare_adamw, .tolerance = 2e-6, FS_CASES(adamw_cases),
               .model_cases = parameters_at_model},
};
const int fs_training_operation_count = sizeof fs_training_operations / sizeof *fs_training_operations;
