/* One training while it runs, as the files that make it share it: its buffers and rows, and where it is. */
#ifndef FEWSTEP_TRAINING_STATE_H
#define FEWSTEP_TRAINING_STATE_H

#include "harness/data/loader.h"
#include "harness/train/checkpoint_writer.h"
#include "harness/train/dealt_rows.h"
#include "harness/train/pairing.h"
#include "harness/train/pairs.h"
#include "harness/train/reduction.h"
#include "harness/train/trainer.h"

#define FS_TRAIN_LEVELS_MAX 12

/* The rows that go through the network at once, on the host and on the device; `losses`, `weight`, `level` and `loss`
 * hold all rows of an update, so that nothing is waited for before its end. */
struct fs_train_rows {
    float *host_data, *host_noise;
    float *t, *s, *losses, *weight, *numbers[4];
    int32_t *labels, *target_labels, *spare_labels, *level;
    int64_t *indices;
    struct fs_view data, noise, x, target, velocity, dvelocity, loss, weights, coefficients, scratch[4];
};

/* An update whose losses are on their way from the device, while it is busy with the next: its own copies of what a
 * loss counts for. */
struct fs_train_late {
    bool waits;
    int64_t update;
    double flops; /* of this rank's rows */
    float *weight;
    int32_t *level;
};

/* Sums since the last point of the curves. */
struct fs_train_window {
    double loss, seconds, flops;
    int64_t updates;
    double level_loss[FS_TRAIN_LEVELS_MAX];
    int64_t level_rows[FS_TRAIN_LEVELS_MAX];
};

struct fs_trainer {
    const struct fs_training *training;
    struct fs_backend *backend;
    struct fs_comm *comm;
    struct fs_reduction reduction;
    bool average_in_parts, moments_in_parts; /* each rank holds its part alone */
    struct fs_dit *dit;
    struct fs_method_setup setup;
    struct fs_phase phases[FS_PHASES_MAX];
    int phase_count;
    struct fs_weight_copies copies;

    struct fs_weights model, ema, target, teacher;
    struct fs_view gradients, moment1, moment2, norm2;
    struct fs_pairs pairs;
    struct fs_pairing *pairing; /* of noise with data; NULL: by chance */
    struct fs_train_rows rows;
    struct fs_loader *loader;
    struct fs_error unready;    /* why the targets of this update could not be made: rows that cannot be read */
    struct fs_dealt_rows dealt; /* this process's rows of an update, */
    int mine, micro;            /* how many, and how many go through the network at once */
    int64_t dim, update;
    struct fs_dit_sizes sizes;

    struct fs_train_late late;
    struct fs_train_window window;
    struct fs_checkpoint_writer writer; /* of rank 0 */
    double last_write;                  /* when the state was last taken to be written */
    double snapshot_seconds;            /* what that took */
    double write_seconds;               /* what the last whole write took from the training; of rank 0 */
    int64_t snapshot_update;            /* whose state that was; −1: none */
    int64_t saved_update;               /* that of the newest checkpoint on the disk, of rank 0; −1: none */
    bool stopped;                       /* a signal came to one of the ranks */
    bool diverged;                      /* a loss or a weight is not finite, or exploded */
    int restarts;                       /* how often that was so, and training began again at half the rate */
    double rank_seconds[FS_RANKS_MAX];  /* what each takes for its rows; of rank 0 */
};

/* Everything that `training` asks for, before it has weights. Of each rank by itself. To be destroyed in any case. */
fs_status fs_trainer_create(struct fs_trainer *trainer, const struct fs_training *training, struct fs_error *error);
void fs_trainer_destroy(struct fs_trainer *trainer);

/* This rank's part of a buffer that is whole, or of which it holds no more than that (`in_parts`); nothing of what is
 * not there. */
struct fs_view fs_trainer_part(const struct fs_trainer *trainer, struct fs_view view, bool in_parts);

#endif
