/* What a training begins with: fresh weights or its teacher's. */
#include "harness/train/initial_weights.h"

#include <stdlib.h>

#include "harness/checkpoint/checkpoint.h"
#include "kernels/base/memory.h"

/* Whether a student begins with the weights behind its teacher's average. */
static bool starts_raw(const struct fs_trainer *trainer)
{
    return trainer->phases[0].start == FS_START_TEACHER &&
           trainer->training->config->train.student_start == FS_WEIGHTS_RAW;
}

/* Of the teacher: its average to be asked, and to begin with; the weights behind it where a student begins with those.
 * Rank 0 reads, all have them. */
static fs_status read_teacher(struct fs_trainer *trainer, float *average, float *raw, struct fs_error *error)
{
    struct fs_comm *comm = trainer->comm;
    const size_t bytes = (size_t)fs_dit_parameter_count(trainer->dit) * sizeof(float);
    struct fs_checkpoint teacher = {.copies = {[FS_COPY_EMA] = average, [FS_COPY_MODEL] = raw}};
    const fs_status read =
        comm->rank == 0 ? fs_checkpoint_read(trainer->training->teacher, trainer->dit, &teacher, error) : FS_OK;
    FS_TRY(fs_comm_agree(comm, read, error));
    comm->broadcast(comm, 0, average, bytes);
    if (raw) {
        comm->broadcast(comm, 0, raw, bytes);
    }
    if (trainer->copies.teacher) {
        trainer->backend->upload(trainer->backend, trainer->teacher.values.data, average, bytes);
        fs_dit_refresh(trainer->dit, &trainer->teacher);
    }
    return FS_OK;
}

/* The averages begin as the weights, or as the teacher's average: a student's, where `ema_reset: false` says so. */
static fs_status begin_with(struct fs_trainer *trainer, const float *weights, const float *average,
                            struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    const size_t bytes = (size_t)fs_dit_parameter_count(trainer->dit) * sizeof(float);
    const int64_t first = trainer->average_in_parts ? trainer->reduction.borders[trainer->comm->rank] : 0;
    const struct fs_view part = fs_trainer_part(trainer, trainer->ema.values, trainer->average_in_parts);
    backend->upload(backend, trainer->model.values.data, weights, bytes);
    backend->upload(backend, trainer->ema.values.data, average + first,
                    trainer->average_in_parts ? (size_t)part.cols * sizeof(float) : bytes);
    fs_dit_refresh(trainer->dit, &trainer->model);
    fs_dit_refresh(trainer->dit, &trainer->ema);
    if (trainer->target.values.data) {
        backend->upload(backend, trainer->target.values.data, average, bytes);
        fs_dit_refresh(trainer->dit, &trainer->target);
    }
    return backend->synchronise(backend, error);
}

static fs_status fill_initial_weights(struct fs_trainer *trainer, float *values, float *raw, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    const struct fs_train_config *train = &training->config->train;
    if (training->teacher) {
        FS_TRY(read_teacher(trainer, values, raw, error));
    }
    if (trainer->phases[0].start != FS_START_TEACHER) {
        fs_dit_initialise(trainer->dit, (uint32_t)training->config->seed, values);
    }
    return begin_with(trainer, raw ? raw : values, raw && train->ema_reset ? raw : values, error);
}

fs_status fs_initial_weights(struct fs_trainer *trainer, struct fs_error *error)
{
    const size_t count = (size_t)fs_dit_parameter_count(trainer->dit);
    const bool from_raw = starts_raw(trainer);
    float *values = fs_allocate(count, sizeof(float), "initial weights", error);
    float *raw = from_raw ? fs_allocate(count, sizeof(float), "initial weights", error) : NULL;
    fs_status status = values && (raw || !from_raw) ? FS_OK : error->status;
    status = fs_comm_agree(trainer->comm, status, error);
    if (status == FS_OK) {
        status = fs_comm_agree(trainer->comm, fill_initial_weights(trainer, values, raw, error), error);
    }
    free(values);
    free(raw);
    return status;
}
