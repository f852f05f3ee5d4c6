/* A training without a network: what a method needs to make targets, with a function in place of the network. */
#ifndef FEWSTEP_MOCK_TRAINING_H
#define FEWSTEP_MOCK_TRAINING_H

#include "methods/method.h"

/* velocity [dim] at (x [dim], t, s, label). Where tangents are asked for, its central difference in double is given, to
 * about nine digits if it is smooth there. */
typedef void (*fs_mock_velocity)(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                                 double *velocity);

struct fs_mock_question {
    int64_t rows; /* 0: of another evaluation */
    double *x;    /* [rows, dim] */
    float *t, *s;
    int32_t *labels;
};

struct fs_mock_training {
    struct fs_backend *backend;
    const struct fs_method *method;
    struct fs_method_settings settings;
    struct fs_method_setup setup;
    uint32_t seed;
    int64_t update;
    int dim, null_label;
    double label_dropout;
    int ranks; /* processes that the global batch is dealt to, 1 */
    fs_mock_velocity velocity;
    /* The global batch, [setup.batch, dim] and [setup.batch]; noise is read on pairs only. */
    double *data, *noise;
    int32_t *labels;
    int64_t rows_asked[3];        /* rows that went through each network, counted up, */
    int64_t tangents_asked[3];    /* and those that came back with their tangent, apart */
    int64_t rows_known;           /* of those, the ones that targets named as known already, which is checked */
    struct fs_mock_question last; /* of the last evaluation, if that was one of the current network with its tangent */
};

/* What make_targets gave for the global batch. */
struct fs_mock_targets {
    double *x, *target; /* [batch, dim] */
    float *t, *s, *weight;
    int32_t *labels, *level;
};

/* A method with its default settings, 2^levels steps at the finest, `batch` rows: rows of data and noise are normals,
 * labels go round, the last is the null label. What is set afterwards in the struct counts. */
void fs_mock_create(struct fs_mock_training *mock, struct fs_backend *backend, const struct fs_method *method,
                    int levels, int batch, int dim, fs_mock_velocity velocity);
void fs_mock_destroy(struct fs_mock_training *mock);
void fs_mock_default_settings(const struct fs_method *method, struct fs_method_settings *settings);
/* The option of that key, which must be there: its number in the settings, as fs_number_store has it. */
void fs_mock_set_option(const struct fs_method *method, struct fs_method_settings *settings, const char *key,
                        double value);
double fs_mock_option(const struct fs_method *method, const struct fs_method_settings *settings, const char *key);

/* Targets of the whole batch in a phase, `micro` rows at a time (the last piece of a rank may be shorter). Everything
 * is NaN or −1 beforehand. Free with fs_mock_free_targets. */
struct fs_mock_targets fs_mock_make(struct fs_mock_training *mock, const struct fs_phase *phase, int micro);
void fs_mock_free_targets(struct fs_mock_targets *targets);

/* A step that draws: where the path from x ends, within ±FS_MOCK_CLIP, and from there fresh noise at the next time, as
 * in consistency sampling (Song et al. 2023, algorithm 1). */
#define FS_MOCK_CLIP 0.5
void fs_mock_renoise(struct fs_step *step);

/* "expected flow-matching, … or shortcut": the methods of the registry, as the reader of experiments lists them. */
void fs_mock_expected_methods(char *text, size_t size);

/* Between the host's doubles and a view of FS_F32 or FS_F64. */
void fs_mock_read(struct fs_backend *backend, struct fs_view view, double *values);
void fs_mock_write(struct fs_backend *backend, struct fs_view view, const double *values);

#endif
