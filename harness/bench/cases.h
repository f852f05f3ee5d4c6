/* The operations of kernels/backend.h as one list, for whoever runs them one by one. An operation says which operands
 * it has at given sizes, how it is run, what it computes and how near two backends are; a case is an operation with
 * sizes. tests/support/backend_ops.c runs every small case on every backend against the float64 reference, and the
 * backward ones against finite differences; `fewstep bench` times the cases of a model. After ggml's test-backend-ops.
 *
 * A new operation is an entry in one of cases_network.c, cases_pictures.c, cases_training.c and cases_tangents.c (the
 * reference has the same four files): its operands, its call, its small cases, and its sizes in a model. */
#ifndef FEWSTEP_BENCH_CASES_H
#define FEWSTEP_BENCH_CASES_H

#include "kernels/backend.h"

#define FS_CASE_OPERANDS 12 /* at most */
#define FS_MODEL_CASES_MAX 64

/* SUM: what is there is read, and added to or moved. SPARE: only `prepare` uses it. */
enum fs_use { FS_USE_IN, FS_USE_OUT, FS_USE_SUM, FS_USE_SPARE };
/* ANY: the case's own type, float32 or bf16 (the reference: float64). REAL: the backend's `real`. FLOATS: float32 on
 * every backend. IDS: int32 in the backend's memory, from 0 to `below` − 1. */
enum fs_content { FS_ANY, FS_REAL, FS_FLOATS, FS_IDS };

struct fs_case_operand {
    const char *name; /* as in backend.h */
    enum fs_use use;
    enum fs_content content;
    int64_t rows, cols; /* no rows: it is not given */
    bool dense;         /* without gaps between its rows */
    bool free;          /* any number of columns is right */
    int64_t below;
    double centre; /* of its random numbers */
    int same_as;   /* 1 + the operand whose memory it is, for what may be done in place; 0: its own */
};

struct fs_operation;

/* The sizes of a model, for the cases that are timed. */
struct fs_case_model {
    int64_t batch, tokens, width, heads;      /* B, T, D */
    int64_t height, columns, channels, patch; /* of its pictures */
};

/* The sizes of an operation. What one does not use is 0, and not in the case's name. */
struct fs_case {
    const struct fs_operation *operation;
    const char *label;                       /* where a model has it: "qkv"; NULL in the small cases */
    int64_t samples, tokens, width, outputs; /* B, T, D; linear: width → outputs */
    int64_t heads, classes, groups, averages;
    struct fs_window window; /* pictures; patches: kernel and stride are the patch; resize: kernel is the taps */
    int64_t out_height, out_width;
    enum fs_pooling pooling;
    struct fs_loss loss;
    double scale, clip, centre;
    bool gelu, kept; /* with the activation; with what is kept for the backward pass */
    bool bare;       /* without the operands that may be left out */
    bool in_place, accumulate, relu, silu;
    bool narrow;   /* copy: from REAL to ANY, else from ANY to REAL */
    uint32_t seed; /* of what the operation itself draws */
};

struct fs_operation {
    const char *name; /* of its place in struct fs_backend */
    size_t entry;     /* offsetof that place */
    /* Fills the list for these sizes; returns how many operands there are, in the order that `run` takes them. */
    int (*operands)(const struct fs_case *c, struct fs_case_operand list[FS_CASE_OPERANDS]);
    void (*run)(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[]);
    /* Turns random operands into what operations before this one would have left (a softmax's denominator, moments);
     * NULL: there is nothing to prepare. */
    void (*prepare)(struct fs_backend *k, const struct fs_case *c, const struct fs_view v[]);
    double (*flops)(const struct fs_case *c); /* multiply-adds count two; NULL: what counts is the memory */
    /* A float32 result is within tolerance · condition · max(largest magnitude of the reference's, terms); 0: it has
     * the reference's bits, rounded to its type. `terms`: the size of what is added up, where a small result may be the
     * rest of a cancellation. `condition`: how much the inputs' rounding grows, from the reference's operands. */
    double tolerance, terms;
    double (*condition)(const struct fs_case *c, const struct fs_view reference[]);
    /* A backward operation's forward one, with the same sizes: operands of one name are the same, dX is the gradient
     * by X, and dY, which comes in, that by the result Y. NULL: it has none. */
    const struct fs_operation *forward;
    /* The name of the operation whose tangent it gives: operands of one name are the same, X_dot, which comes in, is
     * the direction of X, and Y_dot the result Y's derivative along all of them. NULL: no operation gives the value
     * alone. */
    const char *tangent_of;
    const struct fs_case *cases; /* small ones, with odd and even sizes; `operation` is not set in them */
    int case_count;
    /* Puts the sizes that it has in a model into `out`, as many as there are; NULL: none. */
    int (*model_cases)(const struct fs_case_model *m, struct fs_case *out);
};

/* Operation `index`, in the order of backend.h; NULL behind the last. */
const struct fs_operation *fs_operation_at(int index);
/* Small case `index` over all operations; false behind the last. */
bool fs_small_case(int index, struct fs_case *c);
/* "norm_forward(samples=3,tokens=49,width=32)". */
void fs_case_name(const struct fs_case *c, char *text, size_t size);
bool fs_backend_has(const struct fs_backend *backend, const struct fs_operation *operation);

/* The operands of a case in the backend's memory, zeroed; `any` is their type where any is allowed. Operands that may
 * have gaps between their rows get `gap` elements. Give back with fs_case_release, also after an error. */
fs_status fs_case_allocate(struct fs_backend *backend, const struct fs_case *c, enum fs_type any, int64_t gap,
                           struct fs_view views[FS_CASE_OPERANDS], struct fs_error *error);
void fs_case_release(struct fs_backend *backend, const struct fs_case *c, struct fs_view views[FS_CASE_OPERANDS]);
/* What a run reads and writes, each operand once (a sum twice). */
double fs_case_bytes(const struct fs_case *c, const struct fs_view views[FS_CASE_OPERANDS]);

/* --- for the files of the list --- */

/* An operand: its name, content, rows, columns and, by their names, its other fields. */
#define FS_OPERAND(what, how, holds, n, m, ...)                                                                        \
    {                                                                                                                  \
        .name = (what), .use = (how), .content = (holds), .rows = (n), .cols = (m), __VA_ARGS__                        \
    }
#define FS_IN(what, ...) FS_OPERAND(what, FS_USE_IN, __VA_ARGS__)
#define FS_OUT(what, ...) FS_OPERAND(what, FS_USE_OUT, __VA_ARGS__)
#define FS_SUM(what, ...) FS_OPERAND(what, FS_USE_SUM, __VA_ARGS__)
#define FS_SPARE(what, ...) FS_OPERAND(what, FS_USE_SPARE, __VA_ARGS__)
#define FS_OPERANDS(list, ...)                                                                                         \
    fs_put_operands(list, (const struct fs_case_operand[]){__VA_ARGS__},                                               \
                    sizeof((const struct fs_case_operand[]){__VA_ARGS__}) / sizeof(struct fs_case_operand))
int fs_put_operands(struct fs_case_operand *list, const struct fs_case_operand *operands, size_t count);
#define FS_CASES(array) .cases = array, .case_count = sizeof(array) / sizeof *(array)
#define FS_OPERATION(field) .name = #field, .entry = offsetof(struct fs_backend, field)

extern const struct fs_operation fs_network_operations[], fs_picture_operations[], fs_training_operations[],
    fs_tangent_operations[];
extern const int fs_network_operation_count, fs_picture_operation_count, fs_training_operation_count,
    fs_tangent_operation_count;

#endif
