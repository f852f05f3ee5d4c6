/* Training one run: updates, curves and checkpoints in their turn, from its newest checkpoint to its end. */
#include "harness/train/trainer.h"

#include <math.h>
#include <stdio.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/train/fit.h"
#include "harness/train/initial_weights.h"
#include "harness/train/slow_rank.h"
#include "harness/train/state_checkpoint.h"
#include "harness/train/update.h"
#include "kernels/base/clock.h"

#define RESTARTS_MAX 4 /* the rate is then a sixteenth: it is something else */
#define CURVE_POINTS 400
_Static_assert(FS_TRAIN_VALUES_MAX >= FS_TRAIN_LEVELS_MAX + 5, "one value a level, and those of all rows");

/* --- the beginning --- */

/* Rank 0 looks for the newest checkpoint; from it, or from the beginning. */
static fs_status initial_state(struct fs_trainer *trainer, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    int64_t update = -1;
    fs_status status = FS_OK;
    if (trainer->comm->rank == 0) {
        status = fs_checkpoint_newest(trainer->training->folder, path, &update, error);
    }
    FS_TRY(fs_comm_agree(trainer->comm, status, error));
    trainer->comm->broadcast(trainer->comm, 0, &update, sizeof update);
    return update >= 0 ? fs_trainer_load(trainer, path, error) : fs_initial_weights(trainer, error);
}

/* What each rank does by itself, then what rank 0 has for all. */
static fs_status begin_training(struct fs_trainer *trainer, const struct fs_training *training, struct fs_error *error)
{
    const fs_status status = fs_trainer_create(trainer, training, error);
    FS_TRY(fs_comm_agree(trainer->comm, status, error));
    FS_TRY(fs_reduction_join(&trainer->reduction, error));
    fs_pairs_share(&trainer->pairs, trainer->comm);
    return initial_state(trainer, error);
}

/* --- curves and progress --- */

/* Of a view of which each rank's part is right; to be called by all. */
static double norm_of(struct fs_trainer *trainer, struct fs_view view)
{
    return sqrt((double)fs_reduction_norm2(&trainer->reduction, trainer->norm2, view));
}

/* The losses of the levels over all ranks' rows, on rank 0. */
static void add_windows(struct fs_trainer *trainer)
{
    struct fs_comm *comm = trainer->comm;
    for (int level = 0; comm->size > 1 && level < FS_TRAIN_LEVELS_MAX; level++) {
        double losses[FS_RANKS_MAX];
        int64_t rows[FS_RANKS_MAX];
        fs_comm_gather_same(comm, &trainer->window.level_loss[level], sizeof *losses, losses);
        fs_comm_gather_same(comm, &trainer->window.level_rows[level], sizeof *rows, rows);
        for (int r = 1; comm->rank == 0 && r < comm->size; r++) {
            trainer->window.level_loss[level] += losses[r];
            trainer->window.level_rows[level] += rows[r];
        }
    }
}

static fs_status write_curves(struct fs_trainer *trainer, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    struct fs_train_window *window = &trainer->window;
    struct fs_train_value values[FS_TRAIN_VALUES_MAX];
    char names[FS_TRAIN_LEVELS_MAX][24];
    int count = 0;
    add_windows(trainer);
    values[count++] = (struct fs_train_value){"loss", window->loss / (double)window->updates};
    values[count++] = (struct fs_train_value){"gradient_norm", norm_of(trainer, trainer->gradients)};
    values[count++] = (struct fs_train_value){"weight_norm", norm_of(trainer, trainer->model.values)};
    values[count++] = (struct fs_train_value){"updates_per_second", (double)window->updates / window->seconds};
    if (training->peak_flops > 0) {
        values[count++] = (struct fs_train_value){"peak_share", window->flops / window->seconds / training->peak_flops};
    }
    for (int level = 0; level < FS_TRAIN_LEVELS_MAX; level++) {
        if (window->level_rows[level] > 0) {
            snprintf(names[level], sizeof names[level], "loss/level/%d", level);
            values[count++] =
                (struct fs_train_value){names[level], window->level_loss[level] / (double)window->level_rows[level]};
        }
    }
    *window = (struct fs_train_window){0};
    const bool tells = trainer->comm->rank == 0;
    const fs_status status = tells ? training->measured(training->owner, trainer->update, values, count, error) : FS_OK;
    return fs_comm_agree(trainer->comm, status, error);
}

static void report(const struct fs_trainer *trainer, double loss)
{
    const struct fs_train_window *window = &trainer->window;
    const double rate = window->seconds > 0 ? (double)window->updates / window->seconds : 0;
    struct fs_train_progress progress = {
        .update = trainer->update,
        .updates = trainer->setup.updates,
        .loss = loss,
        .updates_per_second = rate,
        .flops_per_second = window->seconds > 0 ? window->flops / window->seconds : 0,
        .seconds_left = rate > 0 ? (double)(trainer->setup.updates - trainer->update) / rate : 0,
    };
    progress.slow_rank = fs_slow_rank(trainer->rank_seconds, trainer->comm->size, &progress.slow_factor);
    trainer->training->progress(trainer->training->owner, &progress);
}

static bool checkpoint_due(const struct fs_trainer *trainer)
{
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(trainer->training->config, kept);
    for (int i = 0; i < kept_count; i++) {
        if (trainer->update == kept[i].update) {
            return true;
        }
    }
    const double configured = trainer->training->config->train.checkpoint_every;
    const double every = configured > 0 ? configured : fmax(60.0, 20.0 * trainer->write_seconds);
    if (configured == 0 && trainer->writer.busy) {
        return false; /* what it takes is not known, and the next would wait for it */
    }
    return fs_seconds() - trainer->last_write >= every;
}

/* Rank 0 decides: its clock alone knows. */
static bool all_save(struct fs_trainer *trainer)
{
    bool save_now = trainer->comm->rank == 0 && checkpoint_due(trainer);
    trainer->comm->broadcast(trainer->comm, 0, &save_now, sizeof save_now);
    return save_now;
}

/* Waits until the checkpoint that is being written is there, with its row. */
static fs_status all_settle(struct fs_trainer *trainer, struct fs_error *error)
{
    const bool writes = trainer->comm->rank == 0;
    return fs_comm_agree(trainer->comm, writes ? fs_trainer_settle(trainer, true, error) : FS_OK, error);
}

static fs_status train_all(struct fs_trainer *trainer, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    const int64_t updates = trainer->setup.updates;
    const int64_t every = updates > CURVE_POINTS ? updates / CURVE_POINTS : 1;
    trainer->last_write = fs_seconds();
    trainer->stopped = fs_comm_any(trainer->comm, *training->stop);
    double loss = (double)NAN; /* until the first is known */
    while (trainer->update < updates && !trainer->stopped) {
        const double begin = fs_seconds();
        FS_TRY(fs_one_update(trainer, &loss, error));
        const bool curves = trainer->update % every == 0 || trainer->update == updates;
        if (curves) {
            FS_TRY(fs_finish_update(trainer, &loss, error));
        }
        trainer->window.seconds += fs_seconds() - begin;
        if (trainer->comm->rank == 0 && !isnan(loss)) {
            report(trainer, loss);
        }
        if (curves) {
            FS_TRY(write_curves(trainer, error));
        }
        if (trainer->update < updates && all_save(trainer)) {
            FS_TRY(fs_finish_update(trainer, &loss, error));
            FS_TRY(fs_trainer_save(trainer, error));
        }
    }
    FS_TRY(fs_finish_update(trainer, &loss, error));
    if (trainer->snapshot_update != trainer->update) {
        FS_TRY(fs_trainer_save(trainer, error));
    }
    return all_settle(trainer, error);
}

/* Training diverged: it begins again at half the rate, from the update that every one begins at, for the checkpoints on
 * the way were written by the clock. What comes after depends on the configuration and the number of restarts alone, so
 * a call that is stopped at any moment of this is repeated by the next. */
static fs_status restart(struct fs_trainer *trainer, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    const struct fs_error reason = *error;
    *error = (struct fs_error){.text = ""};
    trainer->restarts++;
    trainer->diverged = false;
    FS_TRY(all_settle(trainer, error));
    trainer->update = 0;
    trainer->saved_update = trainer->snapshot_update = -1;
    trainer->window = (struct fs_train_window){0};
    trainer->late.waits = false;
    trainer->backend->fill(trainer->backend, trainer->moment1, 0);
    trainer->backend->fill(trainer->backend, trainer->moment2, 0);
    FS_TRY(fs_initial_weights(trainer, error));
    fs_status status = FS_OK;
    if (trainer->comm->rank == 0) {
        status =
            training->restarted ? training->restarted(training->owner, trainer->restarts, reason.text, error) : FS_OK;
        fs_checkpoint_prune(training->folder, NULL, 0);
    }
    FS_TRY(fs_comm_agree(trainer->comm, status, error));
    FS_TRY(fs_trainer_save(trainer, error));
    return all_settle(trainer, error);
}

fs_status fs_train(const struct fs_training *training, enum fs_train_end *end, struct fs_error *error)
{
    struct fs_trainer trainer;
    fs_status status = begin_training(&trainer, training, error);
    if (status == FS_OK) {
        status = train_all(&trainer, error);
    }
    while (trainer.diverged && training->config->train.on_divergence == FS_DIVERGENCE_RESTART_LOWER &&
           trainer.restarts < RESTARTS_MAX) {
        status = restart(&trainer, error);
        if (status == FS_OK) {
            status = train_all(&trainer, error);
        }
    }
    struct fs_error late; /* what ended the training is said, and a checkpoint that was begun is good all the same */
    fs_trainer_settle(&trainer, true, &late);
    *end = FS_TRAIN_STOPPED;
    if (trainer.diverged) {
        *end = FS_TRAIN_DIVERGED;
    } else if (status == FS_OK && trainer.update >= trainer.setup.updates) {
        *end = FS_TRAIN_FINISHED;
    }
    fs_trainer_destroy(&trainer);
    if (status == FS_FAILED) {
        fs_suggest_fit(training, trainer.micro, error);
    }
    return status;
}
