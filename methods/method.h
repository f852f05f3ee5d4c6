/* A training method as a table: what is trained, on which targets, and how it is sampled. A new method is one file in
 * this folder and one line in registry.c; README.md shows the way.
 *
 * Time t runs from noise (0) to data (1). M = finest_steps, K = log2 M. A level is log2(1/d) of a step size d.
 * x_t = (1 − (1 − σ)·t)·x0 + t·x1 and the flow-matching target is x1 − (1 − σ)·x0, σ = 1e-5. */
#ifndef FEWSTEP_METHOD_H
#define FEWSTEP_METHOD_H

#include "kernels/backend.h"
#include "methods/option.h"

#define FS_SIGMA 1e-5
#define FS_CLIP 4.0 /* ± bound of states after a half step, and of the shortcut model's targets */
#define FS_PHASES_MAX 24

/* Room for the settings of a run's method. Its options say what lies where; only its own file knows the struct. */
#define FS_SETTINGS_MAX 256
struct fs_method_settings {
    _Alignas(max_align_t) unsigned char bytes[FS_SETTINGS_MAX];
};

/* What a method may know of the run when its settings are checked or its phases planned. */
struct fs_method_setup {
    const void *settings; /* the method's own struct */
    int finest_steps;
    int levels;      /* K */
    int batch;       /* rows of the global batch */
    int64_t updates; /* of the student; a teacher's share is taken off already */
    double guidance_scale;
};

/* Pairs (x0, x1) of noise and the teacher's Euler image of it in `steps` steps, drawn once, stored and reused: guided
 * when guidance is configured, labels uniform. count 0: none. */
struct fs_pairs_request {
    int64_t count;
    int steps;
};

/* Rows first … first + count − 1 of those at hand. The first of them is row `global` of the global batch, and so on:
 * which row is what, and every random number, depends on that alone. */
struct fs_row_range {
    int first, count, global;
};
#define FS_ROW_GROUPS_MAX 8

/* A phase of training. Its end and what comes next are one event. */
enum fs_start { FS_START_FRESH, FS_START_TEACHER, FS_START_CONTINUE };
struct fs_phase {
    int64_t updates;
    enum fs_start start;      /* whose weights it begins with; CONTINUE keeps weights and moments */
    bool averages_continue;   /* with CONTINUE: the averages go on too, as in one phase */
    bool schedule_continues;  /* likewise a schedule that begins anew with each phase */
    bool teacher_is_previous; /* at its begin the teacher becomes the EMA of the phase before */
    bool asks_teacher;        /* its targets ask FS_NETWORK_TEACHER, whose weights are kept for it */
    bool asks_average;        /* its targets ask FS_NETWORK_AVERAGE, which is then whole on every process */
    /* (x0, x1) come from these, not from the data set; all phases that ask for pairs ask for the same. */
    struct fs_pairs_request pairs;
    int level; /* progressive distillation: the student's level; others: K */
    bool keep; /* the weights at its end are kept, and scored at 2^level steps */
    int part;  /* the method's own number for what this phase trains; others: 0 */
    /* Passes that give the network's tangent too, a sample and update: their memory is planned, and their FLOPs are
     * counted apart from those of extra_forwards. 0: the phase asks for none. */
    double tangents;
    /* Of these, the ones that count for the pass forward of the training too (fs_targets.known): it is not made twice,
     * and its FLOPs are not counted twice. */
    double known;
};

enum fs_network {
    FS_NETWORK_CURRENT,
    FS_NETWORK_AVERAGE, /* the moving average that targets use (`target_ema`), before the current update */
    FS_NETWORK_TEACHER,
};

/* What a method may do while it makes targets for a micro-batch of `rows` rows, which come in the order of its groups.
 * Arrays of scalars are the host's, one value a row; views are in the backend's memory. */
struct fs_method_context {
    struct fs_backend *backend;
    struct fs_method_setup setup;
    const struct fs_phase *phase;
    int64_t update;       /* of the whole stage, from 0: the random numbers' counter */
    int64_t phase_update; /* of the phase, from 0 */
    uint32_t seed;
    int rows;
    struct fs_row_range groups[FS_ROW_GROUPS_MAX]; /* the rows at hand that belong to each of row_groups; maybe none */
    int64_t dim;                                   /* H·W·C */
    int null_label;
    double label_dropout;
    double guidance_scale;

    struct fs_view data;       /* x1 [rows, dim] */
    struct fs_view noise;      /* x0 [rows, dim] on pairs and where it is paired with the data; else not given */
    const int32_t *labels;     /* [rows] */
    struct fs_view scratch[4]; /* [rows, dim] each, free to use */
    float *numbers[4];         /* [rows] each, the host's, free to use */
    int32_t *spare_labels;     /* [rows], the host's, free to use */

    /* out [n, dim] = network(x, t, s, labels), without gradient. The only way to a network. */
    void (*evaluate)(struct fs_method_context *context, enum fs_network network, struct fs_view out, struct fs_view x,
                     const float *t, const float *s, const int32_t *labels);
    /* The same, and out_dot [n, dim], the derivative of `out` along the direction (x_dot, t_dot, s_dot), of the shapes
     * of x, t and s; the labels stay. In a phase with `tangents` only; one pass, of somewhat more than the cost of two.
     */
    void (*evaluate_tangent)(struct fs_method_context *context, enum fs_network network, struct fs_view out,
                             struct fs_view out_dot, struct fs_view x, const float *t, const float *s,
                             const int32_t *labels, struct fs_view x_dot, const float *t_dot, const float *s_dot);
    /* backend->mix with coefficients from the host. */
    void (*mix)(struct fs_method_context *context, struct fs_view out, const float *a, struct fs_view x, const float *c,
                struct fs_view y, double clip);
    void *owner; /* the trainer's, or the test's */
};

/* What the network is asked and should answer. The method fills all of it for its rows. */
struct fs_targets {
    struct fs_view x;      /* [rows, dim] */
    struct fs_view target; /* [rows, dim] */
    float *t, *s;          /* [rows], t anywhere in 0 … 1, s whatever the method asks the network with */
    int32_t *labels;       /* [rows] */
    float *weight;         /* [rows], 1 for a row that counts once; the trainer divides by the global batch */
    int32_t *level;        /* [rows], 0 … K, for the curves "loss per level"; K where there are no levels */
    /* So many of the first rows are all that the last evaluation was asked, one of the current network with its
     * tangent, and x, t, s and labels stand as it was asked with: their pass forward is made already. 0 before
     * make_targets. */
    int known;
};

/* A step of sampling: x at time t becomes x at `next`. Its rows are first_row … of the noise bank at `seed`, which a
 * step that re-noises draws by, so that the size of a batch moves no sample. */
struct fs_step {
    struct fs_backend *backend;
    struct fs_method_setup setup;
    struct fs_view x;          /* [n, dim], in and out */
    struct fs_view scratch[2]; /* [n, dim] each, free to use */
    int step, steps;           /* `step` from 0 */
    double t, next;            /* its times: step/steps and (step + 1)/steps, where the grid is uniform */
    float s;                   /* the method's conditioning at `steps` */
    uint32_t seed, first_row;

    /* out [n, dim] = network(x, t, s, labels), guided where that was asked for; `out` is not `x`. A method's own step
     * calls it once: N steps are N evaluations in all tables. */
    void (*velocity)(struct fs_step *step, struct fs_view out, struct fs_view x, double t, float s);
    /* out = a·x + c·y, the same coefficients in every row, within ±clip unless that is 0. `out` may be `x` or `y`. */
    void (*mix)(struct fs_step *step, struct fs_view out, double a, struct fs_view x, double c, struct fs_view y,
                double clip);
    void *owner; /* the sampler's, or the test's */
};

/* How freely a method may be sampled, beside N equal steps of its own for a power of two N: a set of these. */
enum fs_freedom {
    FS_ANY_STEPS = 1,  /* N any number up to M: what it is asked with says nothing of the step's size, or says any */
    FS_ANY_TIMES = 2,  /* steps of other sizes: it is asked for the velocity at a time, or over any step */
    FS_ANY_SOLVER = 4, /* that velocity is an ordinary differential equation's, whatever solves it */
};

struct fs_method {
    const char *name;  /* in YAML */
    const char *label; /* in tables */
    const char *citation;
    const struct fs_option *options;
    int option_count;
    size_t settings_size; /* of the struct that the options describe, FS_SETTINGS_MAX at most; 0 without options */

    /* The settings against the rest of the run: "methods.shortcut.bootstrap_fraction: …, needs at least …". */
    fs_status (*check)(const struct fs_method_setup *setup, struct fs_error *error);
    /* Share of train.updates that goes to a flow-matching teacher; 0: none. */
    double (*teacher_share)(const void *settings);
    /* The teacher's updates, where it has its own beside train.updates in place of a share of them; NULL, or 0: it has
     * not. */
    int64_t (*teacher_updates)(const void *settings);
    /* The decay of the average that targets use; < 0: train.ema. */
    double (*target_ema)(const void *settings);
    /* Writes the phases, whose updates add up to setup->updates; returns how many. */
    int (*phases)(const struct fs_method_setup *setup, struct fs_phase phases[FS_PHASES_MAX]);
    /* How many rows of the global batch, in their order, are of one kind and cost; their sum is setup->batch. Every
     * process is dealt a slice of each. Returns how many groups. */
    int (*row_groups)(const struct fs_method_setup *setup, int counts[FS_ROW_GROUPS_MAX]);
    void (*make_targets)(struct fs_method_context *context, struct fs_targets *targets);
    /* How the network's error of a row counts in that phase, besides the row's weight. */
    struct fs_loss (*loss)(const struct fs_method_setup *setup, const struct fs_phase *phase);
    /* Forward passes without gradient, a sample and update of the phase (shortcut at share f: 2·f). */
    double (*extra_forwards)(const struct fs_method_setup *setup, const struct fs_phase *phase);

    /* The conditioning s that the sampler feeds at `steps` steps. */
    float (*conditioning)(const struct fs_method_setup *setup, int steps);
    unsigned freedom; /* set of enum fs_freedom */
    /* One step of sampling: Euler, or the method's own. */
    void (*step)(struct fs_step *step);
    /* True where the weights learn guided velocities: guidance_scale is then part of what is trained, and scores ask
     * for explicit guidance only where it is allowed besides. */
    bool (*trains_guided)(const void *settings);
    /* False, with the reason, where explicit guidance (v_null + scale·(v_label − v_null) while sampling) is meaningless
     * at `steps` steps. */
    bool (*guidance_allowed)(const struct fs_method_setup *setup, int steps, const char **reason);
    /* True where the method is used outside what it was trained for: parentheses in tables. */
    bool (*outside_training)(const struct fs_method_setup *setup, int steps);
};

/* Whether it may be sampled in `steps` steps: a power of two up to M, or any number up to M where it is free to. */
bool fs_method_takes_steps(const struct fs_method *method, int finest_steps, int steps);

/* By YAML name; NULL when there is none. */
const struct fs_method *fs_method_find(const char *name);
/* The i-th method, NULL past the last. */
const struct fs_method *fs_method_at(int index);

#endif
