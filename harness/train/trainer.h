/* Training one run: its phases, the optimiser, the averages, checkpoints and curves. */
#ifndef FEWSTEP_TRAINER_H
#define FEWSTEP_TRAINER_H

#include <signal.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/data/dataset.h"
#include "harness/model/dit.h"
#include "harness/comm/comm.h"

struct fs_train_progress {
    int64_t update, updates;
    double loss;               /* of this update */
    double updates_per_second; /* recent */
    double flops_per_second;
    double seconds_left;
    int slow_rank;      /* the one that the others wait for, where one is slow; else −1 */
    double slow_factor; /* how many times as long as the others it takes for its rows */
};

/* What was measured since the last time: "loss", "loss/level/3", "gradient_norm", "weight_norm", "updates_per_second",
 * "peak_share" of this machine. At most FS_TRAIN_VALUES_MAX at once. */
#define FS_TRAIN_VALUES_MAX 24
struct fs_train_value {
    const char *name;
    double value;
};

/* What helps a training that diverged or fell back; %s: its method. */
#define FS_PACE_ADVICE                                                                                                 \
    "lower train.learning_rate (or methods.%s.learning_rate), lengthen train.warmup, or set train.beta2: 0.95 or "     \
    "train.clip_norm: 1; train.on_divergence: restart-lower begins again by itself"

/* What a training needs and whom it tells. With several ranks, each calls fs_train with the same; those behind rank 0
 * tell nobody and touch no file but the data: folder, teacher and pairs count on rank 0 alone, on the others only
 * whether there are some. */
struct fs_training {
    struct fs_comm *comm; /* who takes part; NULL: this process alone */
    struct fs_backend *backend;
    const struct fs_config *config;
    const struct fs_dataset *data;
    const char *run;             /* id */
    const char *source_hash;     /* of this build */
    const char *folder;          /* OUT/runs/ID, there already */
    const char *teacher;         /* the teacher's last checkpoint, or NULL */
    const char *pairs;           /* folder of the pairs, for methods trained on them, or NULL */
    double peak_flops;           /* of this machine, for the share; 0: unknown */
    volatile sig_atomic_t *stop; /* set: write a checkpoint and leave */

    void *owner;
    void (*progress)(void *owner, const struct fs_train_progress *progress);
    fs_status (*measured)(void *owner, int64_t update, const struct fs_train_value *values, int count,
                          struct fs_error *error);
    /* Training diverged and begins again, for the `restarts`-th time, at half the rate; `reason` says what was. May be
     * NULL. */
    fs_status (*restarted)(void *owner, int restarts, const char *reason, struct fs_error *error);
    /* A checkpoint is on the disk, which a thread wrote; called by the one that trains. */
    fs_status (*checkpointed)(void *owner, int64_t update, const struct fs_checkpoint_file *file,
                              struct fs_error *error);
};

/* The copies of the weights that a training holds besides the model and its average, and so does its checkpoint. */
struct fs_weight_copies {
    bool target;  /* targets use a faster average than the one that is scored */
    bool teacher; /* targets ask a teacher */
};
struct fs_weight_copies fs_weight_copies(const struct fs_config *config);

/* Bytes of the backend's memory that a training allocates on each of `ranks`, without what a device rounds each buffer
 * up to: weights, gradients, moments, the network's activations and a batch. `rows` go through the network at once; 0:
 * as many as `config` says. `real` is the backend's type, `precision` that of its matrices. FS_USAGE for a network that
 * cannot be made. */
fs_status fs_training_bytes(const struct fs_config *config, const struct fs_data_shape *shape, enum fs_type real,
                            enum fs_type precision, int rows, int ranks, double *bytes, struct fs_error *error);

enum fs_train_end {
    FS_TRAIN_STOPPED,  /* by *stop, or by what `error` says: the same call goes on */
    FS_TRAIN_FINISHED, /* the last checkpoint is checkpoint-UPDATES.safetensors */
    FS_TRAIN_DIVERGED, /* the same call would diverge again */
};

/* Trains from the newest checkpoint, or from the beginning, to the end or until *stop. A loss that is not finite, or
 * explodes, is FS_FAILED and FS_TRAIN_DIVERGED, and says at which update, and which checkpoint was last good; with
 * train.on_divergence: restart-lower, only when that was so at a sixteenth of the rate. */
fs_status fs_train(const struct fs_training *training, enum fs_train_end *end, struct fs_error *error);

#endif
