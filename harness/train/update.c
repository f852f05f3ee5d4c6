/* One update: gradients of all ranks, optimiser, averages, and what all ranks agree on after it. */
#include "harness/train/update.h"

#include <math.h>
#include <stdio.h>

#include "harness/text/number.h"
#include "harness/train/cost.h"
#include "harness/train/gradients.h"
#include "harness/train/schedule.h"
#include "harness/train/slow_rank.h"
#include "harness/train/state_checkpoint.h"
#include "kernels/base/clock.h"

/* A network that always answers 0 has a loss of about 1.5: data within ±1 and unit noise. */
#define LOSS_EXPLODED 100.0

/* What this rank's rows have of an update's loss: of those in rows.losses, which have these weights and levels. */
static double add_losses(struct fs_trainer *trainer, const float *weight, const int32_t *level)
{
    const float *losses = trainer->rows.losses;
    double total = 0;
    for (int i = 0; i < trainer->mine; i++) {
        total += (double)weight[i] * (double)losses[i];
        trainer->window.level_loss[level[i]] += (double)losses[i];
        trainer->window.level_rows[level[i]]++;
    }
    return total;
}

/* The same of the update that was made; waits for it. */
static double read_losses(struct fs_trainer *trainer)
{
    struct fs_train_rows *rows = &trainer->rows;
    trainer->backend->download(trainer->backend, rows->losses, rows->loss.data, (size_t)trainer->mine * sizeof(float));
    return add_losses(trainer, rows->weight, rows->level);
}

/* What each rank made of its part, whole on all: the weights, and an average that targets ask. */
static void gather_weights(struct fs_trainer *trainer)
{
    fs_reduction_gather(&trainer->reduction, trainer->model.values);
    if (!trainer->average_in_parts) {
        fs_reduction_gather(&trainer->reduction, trainer->ema.values);
    }
    if (trainer->target.values.data) {
        fs_reduction_gather(&trainer->reduction, trainer->target.values);
    }
}

static void optimise(struct fs_trainer *trainer, const struct fs_train_place *place)
{
    const struct fs_config *config = trainer->training->config;
    const struct fs_train_config *train = &config->train;
    const int64_t averaged = trainer->update - place->averages_begin;
    const double target_ema = config->method->target_ema(&config->settings);
    const struct fs_pace_config pace = fs_config_pace(config);
    const double rate = ldexp(pace.learning_rate, -trainer->restarts);
    const struct fs_update_place at = {trainer->update, trainer->setup.updates, place->schedule_begin,
                                       place->schedule_updates};
    struct fs_adamw adamw = {
        .learning_rate = (float)fs_learning_rate(train, rate, &at),
        .beta1 = (float)train->beta1,
        .beta2 = (float)train->beta2,
        .epsilon = 1e-8f,
        .weight_decay = (float)train->weight_decay,
        .update = trainer->update + 1,
        .clip_norm = (float)pace.clip_norm,
        .norm2 = trainer->norm2,
        .ema_decay = {(float)fs_ema_decay(train->ema, train->ema_warmup, averaged),
                      (float)fs_ema_decay(target_ema, train->ema_warmup, averaged)},
    };
    const bool in_parts = trainer->moments_in_parts;
    const struct fs_view part = fs_reduction_part(&trainer->reduction, trainer->gradients);
    const struct fs_view whole[] = {trainer->model.values, trainer->gradients, trainer->moment1, trainer->moment2};
    if (!in_parts) {
        const struct fs_view averages[2] = {trainer->ema.values, trainer->target.values};
        adamw.copies[0] = trainer->model.half;
        adamw.copies[1] = trainer->ema.half;
        adamw.copies[2] = trainer->target.half;
        trainer->backend->adamw(trainer->backend, &adamw, whole[0], whole[1], whole[2], whole[3], averages);
    } else if (part.cols > 0) {
        const struct fs_view averages[2] = {fs_trainer_part(trainer, trainer->ema.values, trainer->average_in_parts),
                                            fs_trainer_part(trainer, trainer->target.values, false)};
        trainer->backend->adamw(trainer->backend, &adamw, fs_trainer_part(trainer, whole[0], false), part,
                                fs_trainer_part(trainer, whole[2], true), fs_trainer_part(trainer, whole[3], true),
                                averages);
    }
    if (in_parts) {
        gather_weights(trainer);
        fs_dit_refresh(trainer->dit, &trainer->model);
        fs_dit_refresh(trainer->dit, &trainer->ema);
        fs_dit_refresh(trainer->dit, &trainer->target);
    }
}

/* All operations of an update, none of which waits: of one process, or of several whose devices exchange numbers. */
static void run_whole(struct fs_trainer *trainer, const struct fs_train_place *place)
{
    fs_add_gradients(trainer, place);
    if (trainer->reduction.on_device) {
        fs_reduction_end(&trainer->reduction);
    }
    if (fs_config_pace(trainer->training->config).clip_norm >
        0) { /* one pass over the gradients; curves take their own */
        trainer->backend->sum_squares(trainer->backend, trainer->norm2, trainer->gradients);
    }
    optimise(trainer, place);
}

/* What follows the gradients where those of several ranks go through the host. */
static void run_behind(struct fs_trainer *trainer, const struct fs_train_place *place)
{
    fs_reduction_sum(&trainer->reduction, trainer->gradients);
    if (fs_config_pace(trainer->training->config).clip_norm > 0) {
        fs_reduction_norm2(&trainer->reduction, trainer->norm2, trainer->gradients);
    }
    if (!trainer->moments_in_parts) {
        fs_reduction_gather(&trainer->reduction, trainer->gradients);
    }
    optimise(trainer, place);
}

/* What a rank says of its share in an update. */
struct update_report {
    double loss, seconds; /* of its rows: what they have of the loss, what they took */
    bool stop, failed;    /* a signal came; something went wrong */
};

/* What rank 0 makes of it for all. */
struct update_decision {
    double loss;
    bool stop, failed;
};

static void run_update(struct fs_trainer *trainer, const struct fs_train_place *place, double *seconds)
{
    struct fs_backend *backend = trainer->backend;
    const bool whole = trainer->comm->size == 1 || trainer->reduction.on_device;
    const double begin = fs_seconds();
    do {
        if (backend->update_begin) {
            /* Two by turns, so that one can be prepared while the other runs. */
            backend->update_begin(backend, 2 * (uint64_t)place->begin + (uint64_t)(trainer->update & 1));
        }
        if (whole) {
            run_whole(trainer, place);
        } else {
            fs_add_gradients(trainer, place);
        }
    } while (backend->update_end && !backend->update_end(backend));
    *seconds = fs_seconds() - begin; /* what the device did meanwhile waits for the other ranks */
    if (!whole) { /* the others need these gradients, whatever happened to them: all learn of it below */
        float waits = 0;
        backend->download(backend, &waits, trainer->gradients.data, sizeof waits);
        *seconds = fs_seconds() - begin;
        run_behind(trainer, place);
    }
}

/* Losses of all ranks, added in their order; anyone's signal or failure is everyone's. */
static struct update_decision decide(struct fs_trainer *trainer, const struct update_report *mine)
{
    struct fs_comm *comm = trainer->comm;
    struct update_report all[FS_RANKS_MAX];
    double seconds[FS_RANKS_MAX];
    struct update_decision decision = {0, false, false};
    fs_comm_gather_same(comm, mine, sizeof *mine, all);
    for (int r = 0; comm->rank == 0 && r < comm->size; r++) {
        decision.loss = r == 0 ? all[r].loss : decision.loss + all[r].loss;
        decision.stop = decision.stop || all[r].stop;
        decision.failed = decision.failed || all[r].failed;
        seconds[r] = all[r].seconds;
    }
    if (comm->rank == 0) {
        fs_rank_times_add(trainer->rank_seconds, seconds, comm->size);
    }
    comm->broadcast(comm, 0, &decision, sizeof decision);
    return decision;
}

/* An update's loss is known: FS_FAILED, and the training diverged, where it says so. */
static fs_status count_update(struct fs_trainer *trainer, int64_t update, double loss, double flops,
                              struct fs_error *error)
{
    if (!(loss < LOSS_EXPLODED)) {
        trainer->diverged = true;
        char saved[64] = "there is no checkpoint yet", text[FS_NUMBER_TEXT];
        fs_three_digits(loss, text); /* printf has a "-nan" */
        if (trainer->comm->rank == 0) {
            struct fs_error unwritten;
            fs_trainer_settle(trainer, true, &unwritten);
        }
        if (trainer->saved_update >= 0) {
            snprintf(saved, sizeof saved, "the last good checkpoint is that of update %lld",
                     (long long)trainer->saved_update);
        }
        return fs_fail(error, FS_FAILED,
                       "run %.8s: the loss is %s at update %lld, training stopped; %s (%s): " FS_PACE_ADVICE,
                       trainer->training->run, text, (long long)update, saved, trainer->training->folder,
                       trainer->training->config->method->name);
    }
    trainer->window.flops += flops;
    trainer->window.loss += loss;
    trainer->window.updates++;
    return FS_OK;
}

/* Whether losses are read while the next update runs: where somebody else computes, and nobody else waits for them. */
static bool reads_late(const struct fs_trainer *trainer)
{
    return trainer->comm->size == 1 && trainer->backend->download_begin != NULL;
}

fs_status fs_finish_update(struct fs_trainer *trainer, double *loss, struct fs_error *error)
{
    struct fs_train_late *late = &trainer->late;
    if (!late->waits) {
        return FS_OK;
    }
    late->waits = false;
    FS_TRY(trainer->backend->download_end(trainer->backend, trainer->rows.losses, error));
    *loss = add_losses(trainer, late->weight, late->level);
    return count_update(trainer, late->update, *loss, late->flops, error);
}

/* The losses of the update that was asked for now are on their way; those of the one before it are read. */
static fs_status finish_late(struct fs_trainer *trainer, double flops, double *loss, struct fs_error *error)
{
    struct fs_train_late *late = &trainer->late;
    struct fs_train_rows *rows = &trainer->rows;
    FS_TRY(fs_finish_update(trainer, loss, error));
    trainer->backend->download_begin(trainer->backend, rows->loss.data, (size_t)trainer->mine * sizeof(float));
    float *const weight = late->weight;
    int32_t *const level = late->level;
    *late = (struct fs_train_late){true, trainer->update, flops, rows->weight, rows->level};
    rows->weight = weight; /* for the next, whose targets are made while these are waited for */
    rows->level = level;
    return FS_OK;
}

fs_status fs_one_update(struct fs_trainer *trainer, double *loss, struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    const struct fs_train_place place = fs_current_place(trainer);
    const double flops = trainer->mine * fs_update_flops(trainer->training->config->method, &trainer->setup,
                                                         place.phase, &trainer->sizes);
    struct update_report report = {0, 0, false, false};
    if (trainer->update == place.begin) {
        fs_begin_phase(trainer, place.phase);
    }
    run_update(trainer, &place, &report.seconds);
    fs_status status = trainer->unready.status;
    if (status != FS_OK) { /* the device went through its operations; what they gave is nothing */
        *error = trainer->unready;
    } else if (reads_late(trainer)) {
        FS_TRY(finish_late(trainer, flops, loss, error));
        trainer->stopped = *trainer->training->stop;
        trainer->update++;
        return FS_OK;
    } else {
        report.loss = read_losses(trainer);
        status = backend->synchronise(backend, error);
    }
    if (status == FS_OK && trainer->comm->rank == 0) { /* a checkpoint may be on the disk meanwhile, or have failed */
        status = fs_trainer_settle(trainer, false, error);
    }
    struct fs_error broken;
    if (fs_reduction_check(&trainer->reduction, &broken) != FS_OK) {
        fs_comm_give_up(trainer->comm, &broken);
    }
    report.failed = status != FS_OK;
    report.stop = *trainer->training->stop;
    const struct update_decision decision = decide(trainer, &report);
    if (decision.failed) {
        return fs_comm_agree(trainer->comm, status, error);
    }
    *loss = decision.loss;
    trainer->stopped = decision.stop;
    FS_TRY(count_update(trainer, trainer->update, *loss, flops, error));
    trainer->update++;
    return FS_OK;
}
