/* A training's state to its checkpoints and back. */
#include "harness/train/state_checkpoint.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/base/clock.h"
#include "kernels/base/memory.h"

static struct fs_view copy_view(struct fs_trainer *trainer, enum fs_copy copy)
{
    switch (copy) {
    case FS_COPY_MODEL:
        return trainer->model.values;
    case FS_COPY_EMA:
        return trainer->ema.values;
    case FS_COPY_TARGET:
        return trainer->target.values;
    case FS_COPY_TEACHER:
        return trainer->teacher.values;
    case FS_COPY_MOMENT1:
        return trainer->moment1;
    case FS_COPY_MOMENT2:
        return trainer->moment2;
    default:
        return fs_no_view();
    }
}

/* Whether each rank holds its part of it alone. */
static bool copy_in_parts(const struct fs_trainer *trainer, enum fs_copy copy)
{
    return copy == FS_COPY_EMA ? trainer->average_in_parts
                               : trainer->moments_in_parts && (copy == FS_COPY_MOMENT1 || copy == FS_COPY_MOMENT2);
}

/* Host memory for every copy that this training has. */
static fs_status host_copies(struct fs_trainer *trainer, struct fs_checkpoint *checkpoint, struct fs_error *error)
{
    for (int i = 0; i < FS_COPIES; i++) {
        if (copy_view(trainer, (enum fs_copy)i).data) {
            const size_t count = (size_t)fs_dit_parameter_count(trainer->dit);
            checkpoint->copies[i] = fs_allocate(count, sizeof(float), "a checkpoint", error);
            if (!checkpoint->copies[i]) {
                return error->status;
            }
        }
    }
    return FS_OK;
}

static fs_status all_finite(struct fs_trainer *trainer, const struct fs_checkpoint *checkpoint, struct fs_error *error)
{
    const char *method = trainer->training->config->method->name;
    const float *model = checkpoint->copies[FS_COPY_MODEL];
    const int64_t count = fs_dit_parameter_count(trainer->dit);
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(model[i])) {
            trainer->diverged = true;
            return fs_fail(
                error, FS_FAILED,
                "run %.8s: a weight is not finite at update %lld; the last good checkpoint is that of update "
                "%lld in %s: " FS_PACE_ADVICE,
                trainer->training->run, (long long)trainer->update, (long long)trainer->saved_update,
                trainer->training->folder, method);
        }
    }
    return FS_OK;
}

/* Removes the checkpoints that nothing needs: not that of `update`, which was just written, not the one before it while
 * the training goes on, not those that are kept to be scored. */
static void prune(const struct fs_trainer *trainer, int64_t update)
{
    struct fs_kept_update kept[FS_KEPT_MAX];
    int64_t keep[FS_KEPT_MAX + 2];
    int count = fs_config_kept_updates(trainer->training->config, kept);
    for (int i = 0; i < count; i++) {
        keep[i] = kept[i].update;
    }
    keep[count++] = update;
    if (update < trainer->setup.updates) {
        keep[count++] = trainer->saved_update;
    }
    fs_checkpoint_prune(trainer->training->folder, keep, count);
}

fs_status fs_trainer_settle(struct fs_trainer *trainer, bool wait, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    struct fs_checkpoint_writer *writer = &trainer->writer;
    struct fs_checkpoint_file file;
    if (!writer->busy || (!wait && !fs_checkpoint_writer_done(writer))) {
        return FS_OK;
    }
    const int64_t update = writer->checkpoint.update;
    const double begin = fs_seconds();
    FS_TRY(fs_checkpoint_writer_end(writer, &file, error));
    FS_TRY(training->checkpointed(training->owner, update, &file, error));
    prune(trainer, update); /* what is older goes when the database knows this one */
    trainer->saved_update = update;
    trainer->write_seconds = trainer->snapshot_seconds + writer->processor_seconds + (fs_seconds() - begin);
    return FS_OK;
}

/* Rank 0's host copy of the whole, from its own buffer or from the parts of all. */
static fs_status collect_copy(struct fs_trainer *trainer, enum fs_copy copy, float *whole, struct fs_error *error)
{
    struct fs_comm *comm = trainer->comm;
    const struct fs_view view = copy_view(trainer, copy);
    if (!copy_in_parts(trainer, copy)) {
        if (comm->rank == 0) {
            trainer->backend->download(trainer->backend, whole, view.data, (size_t)view.cols * sizeof(float));
        }
        return FS_OK;
    }
    size_t sizes[FS_RANKS_MAX];
    for (int r = 0; r < comm->size; r++) {
        sizes[r] = (size_t)(trainer->reduction.borders[r + 1] - trainer->reduction.borders[r]) * sizeof(float);
    }
    float *part = fs_allocate(sizes[comm->rank], 1, "a checkpoint", error);
    const fs_status status = fs_comm_agree(comm, part ? FS_OK : error->status, error);
    if (status == FS_OK) {
        trainer->backend->download(trainer->backend, part, view.data, sizes[comm->rank]);
        comm->gather(comm, part, whole, sizes);
    }
    free(part);
    return status;
}

/* Rank 0 has the whole state on the host; a thread writes it. The copies are gone in any case. */
static fs_status begin_write(struct fs_trainer *trainer, struct fs_checkpoint *checkpoint, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    fs_status status = trainer->backend->synchronise(trainer->backend, error);
    if (status == FS_OK) {
        status = all_finite(trainer, checkpoint, error);
    }
    if (status == FS_OK) {
        fs_checkpoint_writer_begin(&trainer->writer, training->folder, trainer->dit, training->config, checkpoint);
    } else {
        fs_checkpoint_free_copies(checkpoint);
    }
    return status;
}

/* The write before is over, and there is room for the next. */
static fs_status prepare_write(struct fs_trainer *trainer, struct fs_checkpoint *checkpoint, struct fs_error *error)
{
    FS_TRY(fs_trainer_settle(trainer, true, error));
    return host_copies(trainer, checkpoint, error);
}

fs_status fs_trainer_save(struct fs_trainer *trainer, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    const bool writes = trainer->comm->rank == 0;
    const double begin = fs_seconds();
    struct fs_checkpoint checkpoint = {.update = trainer->update,
                                       .restarts = trainer->restarts,
                                       .run = training->run,
                                       .source_hash = training->source_hash};
    fs_status status = fs_comm_agree(trainer->comm, writes ? prepare_write(trainer, &checkpoint, error) : FS_OK, error);
    for (int i = 0; status == FS_OK && i < FS_COPIES; i++) {
        if (copy_view(trainer, (enum fs_copy)i).data) {
            status = collect_copy(trainer, (enum fs_copy)i, checkpoint.copies[i], error);
        }
    }
    if (status == FS_OK) {
        status = fs_comm_agree(trainer->comm, writes ? begin_write(trainer, &checkpoint, error) : FS_OK, error);
    } else {
        fs_checkpoint_free_copies(&checkpoint);
    }
    if (status != FS_OK) { /* rank 0 has looked at the weights */
        trainer->diverged = fs_comm_any(trainer->comm, trainer->diverged);
        return status;
    }
    trainer->snapshot_update = trainer->update;
    trainer->last_write = fs_seconds();
    trainer->snapshot_seconds = trainer->last_write - begin;
    return FS_OK;
}

/* Of the whole that rank 0 has on the host, every rank takes what it holds: `room` is as large, for the others. */
static void share_copy(struct fs_trainer *trainer, enum fs_copy copy, float *whole, float *room)
{
    struct fs_comm *comm = trainer->comm;
    const struct fs_view view = copy_view(trainer, copy);
    float *values = comm->rank == 0 ? whole : room;
    comm->broadcast(comm, 0, values, (size_t)fs_dit_parameter_count(trainer->dit) * sizeof(float));
    if (copy_in_parts(trainer, copy)) {
        const int64_t first = trainer->reduction.borders[comm->rank],
                      count = trainer->reduction.borders[comm->rank + 1] - first;
        trainer->backend->upload(trainer->backend, view.data, values + first, (size_t)count * sizeof(float));
    } else {
        trainer->backend->upload(trainer->backend, view.data, values, (size_t)view.cols * sizeof(float));
    }
}

fs_status fs_trainer_load(struct fs_trainer *trainer, const char *path, struct fs_error *error)
{
    struct fs_comm *comm = trainer->comm;
    struct fs_checkpoint checkpoint = {0};
    float *room = comm->rank == 0
                      ? NULL
                      : fs_allocate((size_t)fs_dit_parameter_count(trainer->dit), sizeof(float), "a checkpoint", error);
    fs_status status = comm->rank == 0 || room ? FS_OK : error->status;
    if (comm->rank == 0) {
        status = host_copies(trainer, &checkpoint, error);
        status = status == FS_OK ? fs_checkpoint_read(path, trainer->dit, &checkpoint, error) : status;
    }
    status = fs_comm_agree(comm, status, error);
    for (int i = 0; status == FS_OK && i < FS_COPIES; i++) {
        if (copy_view(trainer, (enum fs_copy)i).data) {
            share_copy(trainer, (enum fs_copy)i, checkpoint.copies[i], room);
        }
    }
    free(room);
    fs_checkpoint_free_copies(&checkpoint);
    FS_TRY(status);
    comm->broadcast(comm, 0, &checkpoint.update, sizeof checkpoint.update);
    comm->broadcast(comm, 0, &checkpoint.restarts, sizeof checkpoint.restarts);
    trainer->update = checkpoint.update;
    trainer->restarts = checkpoint.restarts;
    trainer->saved_update = trainer->snapshot_update = checkpoint.update;
    fs_dit_refresh(trainer->dit, &trainer->model);
    fs_dit_refresh(trainer->dit, &trainer->ema);
    fs_dit_refresh(trainer->dit, &trainer->target);
    fs_dit_refresh(trainer->dit, &trainer->teacher);
    return fs_comm_agree(comm, trainer->backend->synchronise(trainer->backend, error), error);
}
