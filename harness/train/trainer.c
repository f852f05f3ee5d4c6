/* Training one run: its phases, the optimiser, the averages, checkpoints and curves. */
#include "harness/train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/loader.h"
#include "harness/checkpoint/checkpoint.h"
#include "harness/text/number.h"
#include "harness/train/cost.h"
#include "harness/train/fit.h"
#include "harness/train/dealt_rows.h"
#include "harness/train/pairing.h"
#include "harness/train/pairs.h"
#include "harness/train/reduction.h"
#include "harness/train/schedule.h"
#include "harness/train/slow_rank.h"
#include "kernels/base/clock.h"
#include "kernels/base/memory.h"

/* A network that always answers 0 has a loss of about 1.5: data within ±1 and unit noise. */
#define LOSS_EXPLODED 100.0
#define RESTARTS_MAX 4 /* the rate is then a sixteenth: it is something else */
#define CURVE_POINTS 400
#define LEVELS_MAX 12
_Static_assert(FS_TRAIN_VALUES_MAX >= LEVELS_MAX + 5, "one value a level, and those of all rows");

/* The rows that go through the network at once, on the host and on the device; `losses`, `weight`, `level` and `loss`
 * hold all rows of an update, so that nothing is waited for before its end. */
struct rows {
    float *host_data, *host_noise;
    float *t, *s, *losses, *weight, *numbers[4];
    int32_t *labels, *target_labels, *spare_labels, *level;
    int64_t *indices;
    struct fs_view data, noise, x, target, velocity, dvelocity, loss, weights, coefficients, scratch[4];
};

/* Sums since the last point of the curves. */
struct window {
    double loss, seconds, flops;
    int64_t updates;
    double level_loss[LEVELS_MAX];
    int64_t level_rows[LEVELS_MAX];
};

struct trainer {
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
    struct rows rows;
    struct fs_loader *loader;
    struct fs_error unready;    /* why the targets of this update could not be made: rows that cannot be read */
    struct fs_dealt_rows dealt; /* this process's rows of an update, */
    int mine, micro;            /* how many, and how many go through the network at once */
    int64_t dim, update;
    struct fs_dit_sizes sizes;

    struct window window;
    double last_write, write_seconds;
    int64_t saved_update;
    bool stopped;                      /* a signal came to one of the ranks */
    bool diverged;                     /* a loss or a weight is not finite, or exploded */
    int restarts;                      /* how often that was so, and training began again at half the rate */
    double rank_seconds[FS_RANKS_MAX]; /* what each takes for its rows; of rank 0 */
};

/* --- buffers --- */

static fs_status create_host_rows(struct trainer *trainer, struct fs_error *error)
{
    struct rows *rows = &trainer->rows;
    const size_t n = (size_t)trainer->micro, values = n * (size_t)trainer->dim, all = (size_t)trainer->mine;
    float **const reals[] = {&rows->t,          &rows->s,          &rows->numbers[0],
                             &rows->numbers[1], &rows->numbers[2], &rows->numbers[3]};
    int32_t **const wholes[] = {&rows->labels, &rows->target_labels, &rows->spare_labels};
    bool good = (rows->host_data = fs_allocate(values, sizeof(float), "a batch", error)) != NULL &&
                (rows->host_noise = fs_allocate(values, sizeof(float), "a batch", error)) != NULL &&
                (rows->indices = fs_allocate(n, sizeof(int64_t), "a batch", error)) != NULL &&
                (rows->losses = fs_allocate(all, sizeof(float), "a batch", error)) != NULL &&
                (rows->weight = fs_allocate(all, sizeof(float), "a batch", error)) != NULL &&
                (rows->level = fs_allocate(all, sizeof(int32_t), "a batch", error)) != NULL;
    for (size_t i = 0; good && i < sizeof reals / sizeof *reals; i++) {
        good = (*reals[i] = fs_allocate(n, sizeof(float), "a batch", error)) != NULL;
    }
    for (size_t i = 0; good && i < sizeof wholes / sizeof *wholes; i++) {
        good = (*wholes[i] = fs_allocate(n, sizeof(int32_t), "a batch", error)) != NULL;
    }
    return good ? FS_OK : error->status;
}

static void destroy_host_rows(struct trainer *trainer)
{
    struct rows *rows = &trainer->rows;
    void *const host[] = {rows->host_data, rows->host_noise,    rows->indices,      rows->t,          rows->s,
                          rows->weight,    rows->numbers[0],    rows->numbers[1],   rows->numbers[2], rows->numbers[3],
                          rows->labels,    rows->target_labels, rows->spare_labels, rows->level,      rows->losses};
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) {
        free(host[i]);
    }
}

/* The backend's buffers besides the weights and the network's own: where each goes and how large it is. */
struct device_buffer {
    struct fs_view *view;
    int64_t rows, cols;
};
#define DEVICE_BUFFERS 17

static void list_buffers(struct trainer *trainer, int64_t flat, int64_t moments,
                         struct device_buffer list[DEVICE_BUFFERS])
{
    struct rows *rows = &trainer->rows;
    const int64_t micro = trainer->micro, dim = trainer->dim;
    const struct device_buffer all[DEVICE_BUFFERS] = {
        {&rows->data, micro, dim},       {&rows->noise, micro, dim},      {&rows->x, micro, dim},
        {&rows->target, micro, dim},     {&rows->velocity, micro, dim},   {&rows->dvelocity, micro, dim},
        {&rows->scratch[0], micro, dim}, {&rows->scratch[1], micro, dim}, {&rows->scratch[2], micro, dim},
        {&rows->scratch[3], micro, dim}, {&rows->loss, trainer->mine, 1}, {&rows->weights, micro, 1},
        {&rows->coefficients, micro, 2}, {&trainer->gradients, 1, flat},  {&trainer->moment1, 1, moments},
        {&trainer->moment2, 1, moments}, {&trainer->norm2, 1, 1},
    };
    memcpy(list, all, sizeof all);
}

/* Numbers of a buffer of which a rank holds its part; 1 where it has none, as there are no empty buffers. */
static int64_t part_length(const struct trainer *trainer)
{
    const int64_t *borders = trainer->reduction.borders + trainer->comm->rank;
    return borders[1] > borders[0] ? borders[1] - borders[0] : 1;
}

static fs_status create_buffers(struct trainer *trainer, struct fs_error *error)
{
    struct device_buffer list[DEVICE_BUFFERS];
    const int64_t flat = fs_dit_parameter_count(trainer->dit);
    FS_TRY(fs_reduction_create(&trainer->reduction, trainer->comm, trainer->backend, flat, error));
    const int64_t part = part_length(trainer);
    list_buffers(trainer, flat, trainer->moments_in_parts ? part : flat, list);
    FS_TRY(fs_weights_create(trainer->dit, &trainer->model, error));
    FS_TRY(trainer->average_in_parts ? fs_view_create(trainer->backend, 1, part, &trainer->ema.values, error)
                                     : fs_weights_create(trainer->dit, &trainer->ema, error));
    if (trainer->copies.target) {
        FS_TRY(fs_weights_create(trainer->dit, &trainer->target, error));
    }
    if (trainer->copies.teacher) {
        FS_TRY(fs_weights_create(trainer->dit, &trainer->teacher, error));
    }
    for (int i = 0; i < DEVICE_BUFFERS; i++) {
        FS_TRY(fs_view_create(trainer->backend, list[i].rows, list[i].cols, list[i].view, error));
    }
    return create_host_rows(trainer, error);
}

static void destroy_trainer(struct trainer *trainer)
{
    fs_loader_destroy(trainer->loader);
    if (trainer->dit) {
        struct device_buffer list[DEVICE_BUFFERS];
        list_buffers(trainer, 0, 0, list);
        for (int i = 0; i < DEVICE_BUFFERS; i++) {
            trainer->backend->release(trainer->backend, list[i].view->data);
        }
        destroy_host_rows(trainer);
        fs_weights_destroy(trainer->dit, &trainer->model);
        fs_weights_destroy(trainer->dit, &trainer->ema);
        fs_weights_destroy(trainer->dit, &trainer->target);
        fs_weights_destroy(trainer->dit, &trainer->teacher);
    }
    fs_reduction_destroy(&trainer->reduction);
    fs_pairs_free(&trainer->pairs);
    fs_pairing_destroy(trainer->pairing);
    fs_dit_destroy(trainer->dit);
}

struct fs_weight_copies fs_weight_copies(const struct fs_config *config)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    const double target_ema = config->method->target_ema(&config->settings);
    struct fs_phase phases[FS_PHASES_MAX];
    const int count = config->method->phases(&setup, phases);
    struct fs_weight_copies copies = {.target = target_ema >= 0 && target_ema != config->train.ema};
    for (int i = 0; i < count; i++) {
        copies.teacher = copies.teacher || phases[i].asks_teacher;
    }
    return copies;
}

/* What the network has to be able to: forward, back, and the tangents that a phase asks for. */
static unsigned passes_of(const struct fs_config *config)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_phase phases[FS_PHASES_MAX];
    const int count = config->method->phases(&setup, phases);
    unsigned passes = FS_PASS_BACKWARD;
    for (int i = 0; i < count; i++) {
        passes |= phases[i].tangents > 0 ? FS_PASS_TANGENT : FS_PASS_FORWARD;
    }
    return passes;
}

/* Whether targets may ask the average that is scored. What asks no network has no forward pass without gradient; which
 * of the networks the others ask, a method does not say. */
static bool asks_average(const struct fs_config *config)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_phase phases[FS_PHASES_MAX];
    const int count = config->method->phases(&setup, phases);
    bool asks = false;
    for (int i = 0; i < count; i++) {
        asks = asks || config->method->extra_forwards(&setup, &phases[i]) > 0 || phases[i].tangents > 0;
    }
    return asks && !fs_weight_copies(config).target;
}

static int rows_at_once(const struct fs_train_config *train, int mine)
{
    return train->micro_batch > 0 && train->micro_batch < mine ? train->micro_batch : mine;
}

fs_status fs_training_bytes(const struct fs_config *config, const struct fs_data_shape *shape, enum fs_type real,
                            enum fs_type precision, int rows, int ranks, double *bytes, struct fs_error *error)
{
    const struct fs_weight_copies copies = fs_weight_copies(config);
    const bool in_parts = config->train.shard_optimizer && ranks > 1,
               average_in_parts = in_parts && !asks_average(config);
    struct trainer trainer = {.dim = fs_shape_dim(shape), .mine = (config->train.batch + ranks - 1) / ranks};
    struct device_buffer list[DEVICE_BUFFERS];
    struct fs_dit_sizes sizes;
    trainer.micro = rows > 0 ? rows : rows_at_once(&config->train, trainer.mine);
    *bytes = 0;
    FS_TRY(fs_dit_sizes_of(real, &config->model, shape->height, shape->width, shape->channels, trainer.micro,
                           passes_of(config), precision, &sizes, error));
    const int64_t part = fs_reduction_longest(sizes.flat, ranks);
    list_buffers(&trainer, sizes.flat, in_parts ? part : sizes.flat, list);
    int64_t numbers = average_in_parts ? part : 0;
    for (int i = 0; i < DEVICE_BUFFERS; i++) {
        numbers += list[i].rows * list[i].cols;
    }
    /* with the model and its average */
    const int64_t weights = sizes.flat * (2 - average_in_parts + copies.target + copies.teacher);
    *bytes = (double)(numbers + weights) * (double)fs_type_size(real) + (double)sizes.activation_bytes;
    *bytes += precision != real ? (double)weights * (double)fs_type_size(precision) : 0;
    return FS_OK;
}

static void copy_weights(struct trainer *trainer, struct fs_weights *to, const struct fs_weights *from)
{
    if (to->values.data) {
        trainer->backend->copy(trainer->backend, to->values, from->values);
        fs_dit_refresh(trainer->dit, to);
    }
}

/* This rank's part of a buffer that is whole, or of which it holds no more than that; nothing of what is not there. */
static struct fs_view part_of(const struct trainer *trainer, struct fs_view view, bool in_parts)
{
    const struct fs_view part = fs_reduction_part(&trainer->reduction, trainer->gradients);
    return !view.data ? view
           : in_parts ? fs_view(view.data, view.type, 1, part.cols)
                      : fs_reduction_part(&trainer->reduction, view);
}

/* The average begins again from the weights. */
static void restart_average(struct trainer *trainer)
{
    if (!trainer->average_in_parts) {
        copy_weights(trainer, &trainer->ema, &trainer->model);
        return;
    }
    const struct fs_view part = part_of(trainer, trainer->ema.values, true);
    if (part.cols > 0) {
        trainer->backend->copy(trainer->backend, part, part_of(trainer, trainer->model.values, false));
    }
}

/* The average becomes the teacher, whole on every rank. */
static void promote_average(struct trainer *trainer)
{
    if (!trainer->average_in_parts) {
        copy_weights(trainer, &trainer->teacher, &trainer->ema);
        return;
    }
    const struct fs_view part = part_of(trainer, trainer->ema.values, true);
    if (part.cols > 0) {
        trainer->backend->copy(trainer->backend, part_of(trainer, trainer->teacher.values, false), part);
    }
    fs_reduction_gather(&trainer->reduction, trainer->teacher.values);
    fs_dit_refresh(trainer->dit, &trainer->teacher);
}

/* --- checkpoints --- */

static struct fs_view copy_view(struct trainer *trainer, enum fs_copy copy)
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
static bool copy_in_parts(const struct trainer *trainer, enum fs_copy copy)
{
    return copy == FS_COPY_EMA ? trainer->average_in_parts
                               : trainer->moments_in_parts && (copy == FS_COPY_MOMENT1 || copy == FS_COPY_MOMENT2);
}

/* Host memory for every copy that this training has. */
static fs_status host_copies(struct trainer *trainer, struct fs_checkpoint *checkpoint, struct fs_error *error)
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

static void free_copies(struct fs_checkpoint *checkpoint)
{
    for (int i = 0; i < FS_COPIES; i++) {
        free(checkpoint->copies[i]);
    }
}

static fs_status all_finite(struct trainer *trainer, const struct fs_checkpoint *checkpoint, struct fs_error *error)
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

/* Removes the checkpoints that nothing needs: not this one, not the one before it while the training goes on, not those
 * that are kept to be scored. */
static void prune(const struct trainer *trainer)
{
    struct fs_kept_update kept[FS_KEPT_MAX];
    int64_t keep[FS_KEPT_MAX + 2];
    int count = fs_config_kept_updates(trainer->training->config, kept);
    for (int i = 0; i < count; i++) {
        keep[i] = kept[i].update;
    }
    keep[count++] = trainer->update;
    if (trainer->update < trainer->setup.updates) {
        keep[count++] = trainer->saved_update;
    }
    fs_checkpoint_prune(trainer->training->folder, keep, count);
}

/* Rank 0's host copy of the whole, from its own buffer or from the parts of all. */
static fs_status collect_copy(struct trainer *trainer, enum fs_copy copy, float *whole, struct fs_error *error)
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

static fs_status write_checkpoint(struct trainer *trainer, const struct fs_checkpoint *checkpoint,
                                  struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    char path[FS_PATH_ROOM];
    FS_TRY(trainer->backend->synchronise(trainer->backend, error));
    FS_TRY(all_finite(trainer, checkpoint, error));
    FS_TRY(fs_checkpoint_write(training->folder, trainer->dit, training->config, checkpoint, path, error));
    prune(trainer);
    return training->checkpointed(training->owner, trainer->update, path, error);
}

static fs_status save(struct trainer *trainer, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    const bool writes = trainer->comm->rank == 0;
    const double begin = fs_seconds();
    struct fs_checkpoint checkpoint = {.update = trainer->update,
                                       .restarts = trainer->restarts,
                                       .run = training->run,
                                       .source_hash = training->source_hash};
    fs_status status = fs_comm_agree(trainer->comm, writes ? host_copies(trainer, &checkpoint, error) : FS_OK, error);
    for (int i = 0; status == FS_OK && i < FS_COPIES; i++) {
        if (copy_view(trainer, (enum fs_copy)i).data) {
            status = collect_copy(trainer, (enum fs_copy)i, checkpoint.copies[i], error);
        }
    }
    if (status == FS_OK) {
        status = fs_comm_agree(trainer->comm, writes ? write_checkpoint(trainer, &checkpoint, error) : FS_OK, error);
    }
    free_copies(&checkpoint);
    if (status != FS_OK) { /* rank 0 has looked at the weights */
        trainer->diverged = fs_comm_any(trainer->comm, trainer->diverged);
        return status;
    }
    trainer->saved_update = trainer->update;
    trainer->last_write = fs_seconds();
    trainer->write_seconds = trainer->last_write - begin;
    return FS_OK;
}

/* Of the whole that rank 0 has on the host, every rank takes what it holds: `room` is as large, for the others. */
static void share_copy(struct trainer *trainer, enum fs_copy copy, float *whole, float *room)
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

static fs_status load(struct trainer *trainer, const char *path, struct fs_error *error)
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
    free_copies(&checkpoint);
    FS_TRY(status);
    comm->broadcast(comm, 0, &checkpoint.update, sizeof checkpoint.update);
    comm->broadcast(comm, 0, &checkpoint.restarts, sizeof checkpoint.restarts);
    trainer->update = checkpoint.update;
    trainer->restarts = checkpoint.restarts;
    trainer->saved_update = checkpoint.update;
    fs_dit_refresh(trainer->dit, &trainer->model);
    fs_dit_refresh(trainer->dit, &trainer->ema);
    fs_dit_refresh(trainer->dit, &trainer->target);
    fs_dit_refresh(trainer->dit, &trainer->teacher);
    return fs_comm_agree(comm, trainer->backend->synchronise(trainer->backend, error), error);
}

/* --- the beginning --- */

/* Whether a student begins with the weights behind its teacher's average. */
static bool starts_raw(const struct trainer *trainer)
{
    return trainer->phases[0].start == FS_START_TEACHER &&
           trainer->training->config->train.student_start == FS_WEIGHTS_RAW;
}

/* Of the teacher: its average to be asked, and to begin with; the weights behind it where a student begins with those.
 * Rank 0 reads, all have them. */
static fs_status read_teacher(struct trainer *trainer, float *average, float *raw, struct fs_error *error)
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
static fs_status begin_with(struct trainer *trainer, const float *weights, const float *average, struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    const size_t bytes = (size_t)fs_dit_parameter_count(trainer->dit) * sizeof(float);
    const int64_t first = trainer->average_in_parts ? trainer->reduction.borders[trainer->comm->rank] : 0;
    const struct fs_view part = part_of(trainer, trainer->ema.values, trainer->average_in_parts);
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

static fs_status fill_initial_weights(struct trainer *trainer, float *values, float *raw, struct fs_error *error)
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

static fs_status initial_weights(struct trainer *trainer, struct fs_error *error)
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

/* Rank 0 looks for the newest checkpoint; from it, or from the beginning. */
static fs_status initial_state(struct trainer *trainer, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    int64_t update = -1;
    fs_status status = FS_OK;
    if (trainer->comm->rank == 0) {
        status = fs_checkpoint_newest(trainer->training->folder, path, &update, error);
    }
    FS_TRY(fs_comm_agree(trainer->comm, status, error));
    trainer->comm->broadcast(trainer->comm, 0, &update, sizeof update);
    return update >= 0 ? load(trainer, path, error) : initial_weights(trainer, error);
}

/* The method's phases; with `ema_reset: false` all of them, a student's first too, go on with the averages before. */
static void plan_phases(struct trainer *trainer)
{
    trainer->phase_count = trainer->training->config->method->phases(&trainer->setup, trainer->phases);
    for (int i = 0; !trainer->training->config->train.ema_reset && i < trainer->phase_count; i++) {
        trainer->phases[i].averages_continue = trainer->phases[i].start != FS_START_FRESH;
    }
}

/* Loads this process's rows. */
static fs_status create_loader(struct trainer *trainer, struct fs_error *error)
{
    const struct fs_config *config = trainer->training->config;
    struct fs_loader_range ranges[FS_ROW_GROUPS_MAX];
    for (int i = 0; i < trainer->dealt.group_count; i++) {
        ranges[i] = (struct fs_loader_range){trainer->dealt.groups[i].global, trainer->dealt.groups[i].count};
    }
    return fs_loader_create(trainer->training->data, (uint32_t)config->seed, trainer->setup.updates,
                            config->train.batch, ranges, trainer->dealt.group_count, &trainer->loader, error);
}

static fs_status create_trainer(struct trainer *trainer, const struct fs_training *training, struct fs_error *error)
{
    const struct fs_config *config = training->config;
    const struct fs_data_shape *shape = &training->data->shape;
    *trainer = (struct trainer){.training = training, .backend = training->backend, .saved_update = -1};
    trainer->comm = training->comm ? training->comm : fs_comm_single();
    trainer->setup = fs_config_method_setup(config);
    plan_phases(trainer);
    trainer->copies = fs_weight_copies(config);
    trainer->dim = fs_shape_dim(shape);
    trainer->moments_in_parts = config->train.shard_optimizer && trainer->comm->size > 1;
    trainer->average_in_parts = trainer->moments_in_parts && !asks_average(config);
    trainer->dealt = fs_deal_rows(trainer->comm, config->method, &trainer->setup);
    trainer->mine = trainer->dealt.rows;
    if (trainer->mine == 0) {
        return fs_fail(error, FS_USAGE,
                       "train.batch: %d rows leave none for this one of %d ranks: fewer ranks, or a larger batch",
                       config->train.batch, trainer->comm->size);
    }
    trainer->micro = rows_at_once(&config->train, trainer->mine);
    const enum fs_type precision = config->train.precision == FS_PRECISION_BF16 ? FS_BF16 : trainer->backend->real;
    if (precision == FS_BF16 && !trainer->backend->native_bf16) {
        return fs_fail(error, FS_USAGE,
                       "train.precision: this %s (%s) has no bf16 matrix instructions (AVX512-BF16 or AMX): use fp32",
                       trainer->backend->name, trainer->backend->variant);
    }
    FS_TRY(fs_reserve_memory(training, trainer->micro, error));
    trainer->dit = fs_dit_create(trainer->backend, &config->model, shape->height, shape->width, shape->channels,
                                 trainer->micro, passes_of(config), precision, error);
    if (!trainer->dit) {
        return error->status;
    }
    trainer->sizes = fs_dit_sizes(trainer->dit);
    FS_TRY(create_buffers(trainer, error));
    FS_TRY(create_loader(trainer, error));
    if (config->train.pairing == FS_PAIRING_OPTIMAL_TRANSPORT) {
        trainer->pairing = fs_pairing_create(config, training->data, error);
        if (!trainer->pairing) {
            return error->status;
        }
    }
    const int64_t pairs = fs_config_pairs(config).count;
    if (pairs == 0) {
        return FS_OK;
    }
    return trainer->comm->rank == 0 ? fs_pairs_read(training->pairs, pairs, trainer->dim, &trainer->pairs, error)
                                    : fs_pairs_create(pairs, trainer->dim, &trainer->pairs, error);
}

/* What each rank does by itself, then what rank 0 has for all. */
static fs_status begin_training(struct trainer *trainer, const struct fs_training *training, struct fs_error *error)
{
    const fs_status status = create_trainer(trainer, training, error);
    FS_TRY(fs_comm_agree(trainer->comm, status, error));
    fs_pairs_share(&trainer->pairs, trainer->comm);
    return initial_state(trainer, error);
}

/* --- one update --- */

static const struct fs_weights *weights_of(const struct trainer *trainer, enum fs_network network)
{
    const struct fs_weights *average = trainer->copies.target ? &trainer->target : &trainer->ema;
    return network == FS_NETWORK_CURRENT   ? &trainer->model
           : network == FS_NETWORK_TEACHER ? &trainer->teacher
                                           : average;
}

/* Whether this rank has all of a network that targets ask; else the update fails. */
static bool network_is_whole(struct trainer *trainer, enum fs_network network)
{
    const bool whole = !trainer->average_in_parts || weights_of(trainer, network) != &trainer->ema;
    if (!whole) {
        fs_fail(&trainer->unready, FS_FAILED,
                "%s asks the average, and says that it makes no forward pass (extra_forwards): it cannot be trained "
                "with train.shard_optimizer",
                trainer->training->config->method->name);
    }
    return whole;
}

static void evaluate(struct fs_method_context *context, enum fs_network network, struct fs_view out, struct fs_view x,
                     const float *t, const float *s, const int32_t *labels)
{
    struct trainer *trainer = context->owner;
    if (!network_is_whole(trainer, network)) {
        return;
    }
    const struct fs_dit_input input = {x, t, s, labels};
    fs_dit_forward(trainer->dit, weights_of(trainer, network), &input, out, false);
}

static void evaluate_tangent(struct fs_method_context *context, enum fs_network network, struct fs_view out,
                             struct fs_view out_dot, struct fs_view x, const float *t, const float *s,
                             const int32_t *labels, struct fs_view x_dot, const float *t_dot, const float *s_dot)
{
    struct trainer *trainer = context->owner;
    if (!network_is_whole(trainer, network)) {
        return;
    }
    const struct fs_dit_input input = {x, t, s, labels};
    const struct fs_dit_direction direction = {x_dot, t_dot, s_dot};
    fs_dit_tangent(trainer->dit, weights_of(trainer, network), &input, &direction, out, out_dot);
}

static void mix(struct fs_method_context *context, struct fs_view out, const float *a, struct fs_view x, const float *c,
                struct fs_view y, double clip)
{
    struct trainer *trainer = context->owner;
    struct fs_backend *backend = trainer->backend;
    const int64_t n = out.rows;
    float *device = trainer->rows.coefficients.data;
    const struct fs_view a_view = fs_view(device, FS_F32, n, 1);
    struct fs_view c_view = fs_no_view();
    backend->upload(backend, device, a, (size_t)n * sizeof(float));
    if (c) {
        c_view = fs_view(device + trainer->micro, FS_F32, n, 1);
        backend->upload(backend, c_view.data, c, (size_t)n * sizeof(float));
    }
    backend->mix(backend, out, a_view, x, c_view, y, clip);
}

/* Where in its phases `trainer->update` lies: the first update of its own phase, and of those that it goes on from. */
struct place {
    const struct fs_phase *phase;
    int64_t begin, averages_begin;
    int64_t schedule_begin, schedule_updates; /* of the phases that are one for the schedule */
};

static struct place current_place(const struct trainer *trainer)
{
    struct place place = {.phase = trainer->phases, .schedule_updates = trainer->phases[0].updates};
    int64_t end = 0;
    for (int i = 0; i < trainer->phase_count; i++) {
        const struct fs_phase *phase = &trainer->phases[i];
        const bool began = i == 0 || trainer->update >= end; /* phases that come later only prolong the schedule's */
        if (began) {
            place.phase = phase;
            place.begin = end;
            place.averages_begin = phase->averages_continue ? place.averages_begin : end;
        }
        if (i > 0 && phase->schedule_continues) {
            place.schedule_updates += phase->updates;
        } else if (began) {
            place.schedule_begin = end;
            place.schedule_updates = phase->updates;
        } else {
            break;
        }
        end += phase->updates;
    }
    return place;
}

/* A phase begins: the averages restart from the weights, and the teacher may become the student that was. It is a
 * function of the state before it, so a resume from a checkpoint of this very update repeats it exactly. */
static void begin_phase(struct trainer *trainer, const struct fs_phase *phase)
{
    if (phase->teacher_is_previous) {
        promote_average(trainer);
    }
    if (phase->averages_continue) {
        return;
    }
    restart_average(trainer);
    copy_weights(trainer, &trainer->target, &trainer->model);
}

/* The range's rows of (x0, x1) and their labels, on the host. */
static void load_pairs(struct trainer *trainer, struct fs_row_range range)
{
    struct rows *rows = &trainer->rows;
    const struct fs_config *config = trainer->training->config;
    const size_t bytes = (size_t)trainer->dim * sizeof(float);
    fs_data_order(trainer->pairs.count, (uint32_t)config->seed, trainer->update, config->train.batch, range.global,
                  range.count, rows->indices);
    for (int i = 0; i < range.count; i++) {
        const int64_t to = (range.first + i) * trainer->dim, from = rows->indices[i] * trainer->dim;
        memcpy(rows->host_data + to, trainer->pairs.data + from, bytes);
        memcpy(rows->host_noise + to, trainer->pairs.noise + from, bytes);
        rows->labels[range.first + i] = trainer->pairs.labels[rows->indices[i]];
    }
}

/* `count` rows of x1 and their labels, on the host from row `to`: those of the global batch from row `global`. */
static fs_status load_data_rows(struct trainer *trainer, int to, int count, int global, struct fs_error *error)
{
    struct rows *rows = &trainer->rows;
    return fs_loader_rows(trainer->loader, trainer->update, global, count, rows->host_data + to * trainer->dim,
                          rows->labels + to, error);
}

/* Each row's from where its pairing says, with their noise in the range's rows of rows.noise. */
static fs_status load_paired(struct trainer *trainer, struct fs_row_range range, struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    const uint32_t seed = (uint32_t)trainer->training->config->seed;
    const struct fs_view noise = fs_view_rows(trainer->rows.noise, range.first, range.count);
    backend->normals(backend, noise, fs_pairing_noise(seed, trainer->update), (uint32_t)range.global);
    for (int i = 0; i < range.count; i++) {
        int source;
        FS_TRY(fs_pairing_source(trainer->pairing, trainer->update, range.global + i, &source, error));
        FS_TRY(load_data_rows(trainer, range.first + i, 1, source, error));
    }
    return FS_OK;
}

/* The range's rows of x1 and their labels, on the host. */
static void load_data(struct trainer *trainer, struct fs_row_range range)
{
    struct rows *rows = &trainer->rows;
    if (range.count > 0 && trainer->pairing) {
        load_paired(trainer, range, &trainer->unready);
    } else {
        load_data_rows(trainer, range.first, range.count, range.global, &trainer->unready);
    }
    for (int i = range.first; i < range.first + range.count; i++) {
        rows->labels[i] = fs_config_label(trainer->training->config, rows->labels[i]);
    }
}

static void load_rows(struct trainer *trainer, const struct fs_phase *phase, const struct fs_dealt_rows *part)
{
    struct rows *rows = &trainer->rows;
    struct fs_backend *backend = trainer->backend;
    const bool on_pairs = phase->pairs.count > 0;
    const size_t bytes = (size_t)(part->rows * trainer->dim) * sizeof(float);
    for (int i = 0; i < part->group_count; i++) {
        if (on_pairs) {
            load_pairs(trainer, part->groups[i]);
        } else {
            load_data(trainer, part->groups[i]);
        }
    }
    if (on_pairs) {
        backend->upload(backend, rows->noise.data, rows->host_noise, bytes);
    }
    backend->upload(backend, rows->data.data, rows->host_data, bytes);
}

/* Targets, forward, loss and backward of the rows from `done` on. */
static void train_rows(struct trainer *trainer, const struct fs_phase *phase, int64_t phase_begin, int done, int count)
{
    const struct fs_dealt_rows part = fs_part_of_rows(&trainer->dealt, done, count);
    const struct fs_config *config = trainer->training->config;
    struct fs_backend *backend = trainer->backend;
    struct rows *rows = &trainer->rows;
    load_rows(trainer, phase, &part);
    struct fs_method_context context = {
        .backend = backend,
        .setup = trainer->setup,
        .phase = phase,
        .update = trainer->update,
        .phase_update = trainer->update - phase_begin,
        .seed = (uint32_t)config->seed,
        .rows = count,
        .dim = trainer->dim,
        .null_label = config->model.classes,
        .label_dropout = config->train.label_dropout,
        .guidance_scale = config->evaluate.guidance_scale,
        .data = fs_view_rows(rows->data, 0, count),
        .noise = phase->pairs.count > 0 || trainer->pairing ? fs_view_rows(rows->noise, 0, count) : fs_no_view(),
        .labels = rows->labels,
        .spare_labels = rows->spare_labels,
        .evaluate = evaluate,
        .evaluate_tangent = evaluate_tangent,
        .mix = mix,
        .owner = trainer,
    };
    memcpy(context.groups, part.groups, sizeof context.groups);
    for (int i = 0; i < 4; i++) {
        context.numbers[i] = rows->numbers[i];
        context.scratch[i] = fs_view_rows(rows->scratch[i], 0, count);
    }
    struct fs_targets targets = {
        .x = fs_view_rows(rows->x, 0, count),
        .target = fs_view_rows(rows->target, 0, count),
        .t = rows->t,
        .s = rows->s,
        .labels = rows->target_labels,
        .weight = rows->weight + done,
        .level = rows->level + done,
    };
    config->method->make_targets(&context, &targets);

    const struct fs_view velocity = fs_view_rows(rows->velocity, 0, count);
    const struct fs_view dvelocity = fs_view_rows(rows->dvelocity, 0, count);
    const struct fs_view loss = fs_view_rows(rows->loss, done, count);
    const struct fs_view weights = fs_view_rows(rows->weights, 0, count);
    const struct fs_dit_input input = {targets.x, targets.t, targets.s, targets.labels};
    fs_dit_forward(trainer->dit, &trainer->model, &input, velocity, true);
    for (int i = 0; i < count; i++) {
        targets.weight[i] /= (float)config->train.batch;
    }
    backend->upload(backend, weights.data, targets.weight, (size_t)count * sizeof(float));
    backend->mse(backend, loss, dvelocity, velocity, targets.target, weights,
                 config->method->loss(&trainer->setup, phase));
    fs_dit_backward(trainer->dit, &trainer->model, dvelocity, trainer->gradients);
}

/* What this rank's rows have of the update's loss; waits for it. */
static double read_losses(struct trainer *trainer)
{
    struct rows *rows = &trainer->rows;
    double total = 0;
    trainer->backend->download(trainer->backend, rows->losses, rows->loss.data, (size_t)trainer->mine * sizeof(float));
    for (int i = 0; i < trainer->mine; i++) {
        total += (double)rows->weight[i] * (double)rows->losses[i];
        trainer->window.level_loss[rows->level[i]] += (double)rows->losses[i];
        trainer->window.level_rows[rows->level[i]]++;
    }
    return total;
}

/* What each rank made of its part, whole on all: the weights, and an average that targets ask. */
static void gather_weights(struct trainer *trainer)
{
    fs_reduction_gather(&trainer->reduction, trainer->model.values);
    if (!trainer->average_in_parts) {
        fs_reduction_gather(&trainer->reduction, trainer->ema.values);
    }
    if (trainer->target.values.data) {
        fs_reduction_gather(&trainer->reduction, trainer->target.values);
    }
}

static void optimise(struct trainer *trainer, const struct place *place)
{
    const struct fs_config *config = trainer->training->config;
    const struct fs_train_config *train = &config->train;
    const int64_t averaged = trainer->update - place->averages_begin;
    const double target_ema = config->method->target_ema(&config->settings);
    const struct fs_pace_config pace = fs_config_pace(config);
    const double rate = ldexp(pace.learning_rate, -trainer->restarts);
    const struct fs_update_place at = {trainer->update, trainer->setup.updates, place->schedule_begin,
                                       place->schedule_updates};
    const struct fs_adamw adamw = {
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
        trainer->backend->adamw(trainer->backend, &adamw, whole[0], whole[1], whole[2], whole[3], averages);
    } else if (part.cols > 0) {
        const struct fs_view averages[2] = {part_of(trainer, trainer->ema.values, trainer->average_in_parts),
                                            part_of(trainer, trainer->target.values, false)};
        trainer->backend->adamw(trainer->backend, &adamw, part_of(trainer, whole[0], false), part,
                                part_of(trainer, whole[2], true), part_of(trainer, whole[3], true), averages);
    }
    if (in_parts) {
        gather_weights(trainer);
    }
    fs_dit_refresh(trainer->dit, &trainer->model);
    fs_dit_refresh(trainer->dit, &trainer->ema);
    fs_dit_refresh(trainer->dit, &trainer->target);
}

/* The gradients of this rank's rows: the same operations in each update of a phase. */
static void run_gradients(struct trainer *trainer, const struct place *place)
{
    trainer->backend->fill(trainer->backend, trainer->gradients, 0);
    for (int done = 0; done < trainer->mine; done += trainer->micro) {
        const int left = trainer->mine - done;
        train_rows(trainer, place->phase, place->begin, done, left < trainer->micro ? left : trainer->micro);
    }
}

/* One process: all operations of an update, none of which waits. */
static void run_alone(struct trainer *trainer, const struct place *place)
{
    run_gradients(trainer, place);
    if (fs_config_pace(trainer->training->config).clip_norm >
        0) { /* one pass over the gradients; curves take their own */
        trainer->backend->sum_squares(trainer->backend, trainer->norm2, trainer->gradients);
    }
    optimise(trainer, place);
}

/* What follows the gradients where several ranks have some. */
static void run_together(struct trainer *trainer, const struct place *place)
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

static void run_update(struct trainer *trainer, const struct place *place, double *seconds)
{
    struct fs_backend *backend = trainer->backend;
    const bool alone = trainer->comm->size == 1;
    const double begin = fs_seconds();
    do {
        if (backend->update_begin) {
            backend->update_begin(backend, (uint64_t)place->begin);
        }
        if (alone) {
            run_alone(trainer, place);
        } else {
            run_gradients(trainer, place);
        }
    } while (backend->update_end && !backend->update_end(backend));
    if (!alone) { /* the others need these gradients, whatever happened to them: all learn of it below */
        float waits = 0;
        backend->download(backend, &waits, trainer->gradients.data, sizeof waits);
        *seconds = fs_seconds() - begin;
        run_together(trainer, place);
    }
}

/* Losses of all ranks, added in their order; anyone's signal or failure is everyone's. */
static struct update_decision decide(struct trainer *trainer, const struct update_report *mine)
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

static fs_status one_update(struct trainer *trainer, double *loss, struct fs_error *error)
{
    struct fs_backend *backend = trainer->backend;
    const struct place place = current_place(trainer);
    struct update_report report = {0, 0, false, false};
    if (trainer->update == place.begin) {
        begin_phase(trainer, place.phase);
    }
    run_update(trainer, &place, &report.seconds);
    fs_status status = trainer->unready.status;
    if (status != FS_OK) { /* the device went through its operations; what they gave is nothing */
        *error = trainer->unready;
    } else {
        report.loss = read_losses(trainer);
        status = backend->synchronise(backend, error);
    }
    report.failed = status != FS_OK;
    report.stop = *trainer->training->stop;
    const struct update_decision decision = decide(trainer, &report);
    if (decision.failed) {
        return fs_comm_agree(trainer->comm, status, error);
    }
    *loss = decision.loss;
    trainer->stopped = decision.stop;
    if (!(*loss < LOSS_EXPLODED)) {
        trainer->diverged = true;
        char saved[64] = "there is no checkpoint yet", text[FS_NUMBER_TEXT];
        fs_three_digits(*loss, text); /* printf has a "-nan" */
        if (trainer->saved_update >= 0) {
            snprintf(saved, sizeof saved, "the last good checkpoint is that of update %lld",
                     (long long)trainer->saved_update);
        }
        return fs_fail(error, FS_FAILED,
                       "run %.8s: the loss is %s at update %lld, training stopped; %s (%s): " FS_PACE_ADVICE,
                       trainer->training->run, text, (long long)trainer->update, saved, trainer->training->folder,
                       trainer->training->config->method->name);
    }
    trainer->window.flops += trainer->mine * fs_update_flops(trainer->training->config->method, &trainer->setup,
                                                             place.phase, &trainer->sizes);
    trainer->window.loss += *loss;
    trainer->window.updates++;
    trainer->update++;
    return FS_OK;
}

/* --- curves and progress --- */

/* Of a view of which each rank's part is right; to be called by all. */
static double norm_of(struct trainer *trainer, struct fs_view view)
{
    return sqrt((double)fs_reduction_norm2(&trainer->reduction, trainer->norm2, view));
}

/* The losses of the levels over all ranks' rows, on rank 0. */
static void add_windows(struct trainer *trainer)
{
    struct fs_comm *comm = trainer->comm;
    for (int level = 0; comm->size > 1 && level < LEVELS_MAX; level++) {
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

static fs_status write_curves(struct trainer *trainer, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    struct window *window = &trainer->window;
    struct fs_train_value values[FS_TRAIN_VALUES_MAX];
    char names[LEVELS_MAX][24];
    int count = 0;
    add_windows(trainer);
    values[count++] = (struct fs_train_value){"loss", window->loss / (double)window->updates};
    values[count++] = (struct fs_train_value){"gradient_norm", norm_of(trainer, trainer->gradients)};
    values[count++] = (struct fs_train_value){"weight_norm", norm_of(trainer, trainer->model.values)};
    values[count++] = (struct fs_train_value){"updates_per_second", (double)window->updates / window->seconds};
    if (training->peak_flops > 0) {
        values[count++] = (struct fs_train_value){"peak_share", window->flops / window->seconds / training->peak_flops};
    }
    for (int level = 0; level < LEVELS_MAX; level++) {
        if (window->level_rows[level] > 0) {
            snprintf(names[level], sizeof names[level], "loss/level/%d", level);
            values[count++] =
                (struct fs_train_value){names[level], window->level_loss[level] / (double)window->level_rows[level]};
        }
    }
    *window = (struct window){0};
    const bool tells = trainer->comm->rank == 0;
    const fs_status status = tells ? training->measured(training->owner, trainer->update, values, count, error) : FS_OK;
    return fs_comm_agree(trainer->comm, status, error);
}

static void report(const struct trainer *trainer, double loss)
{
    const struct window *window = &trainer->window;
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

static bool checkpoint_due(const struct trainer *trainer)
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
    return fs_seconds() - trainer->last_write >= every;
}

/* Rank 0 decides: its clock alone knows. */
static bool all_save(struct trainer *trainer)
{
    bool save_now = trainer->comm->rank == 0 && checkpoint_due(trainer);
    trainer->comm->broadcast(trainer->comm, 0, &save_now, sizeof save_now);
    return save_now;
}

static fs_status train_all(struct trainer *trainer, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    const int64_t updates = trainer->setup.updates;
    const int64_t every = updates > CURVE_POINTS ? updates / CURVE_POINTS : 1;
    trainer->last_write = fs_seconds();
    trainer->stopped = fs_comm_any(trainer->comm, *training->stop);
    while (trainer->update < updates && !trainer->stopped) {
        const double begin = fs_seconds();
        double loss = 0;
        FS_TRY(one_update(trainer, &loss, error));
        trainer->window.seconds += fs_seconds() - begin;
        if (trainer->comm->rank == 0) {
            report(trainer, loss);
        }
        if (trainer->update % every == 0 || trainer->update == updates) {
            FS_TRY(write_curves(trainer, error));
        }
        if (trainer->update < updates && all_save(trainer)) {
            FS_TRY(save(trainer, error));
        }
    }
    return trainer->saved_update == trainer->update ? FS_OK : save(trainer, error);
}

/* Training diverged: it begins again at half the rate, from the update that every one begins at, for the checkpoints on
 * the way were written by the clock. What comes after depends on the configuration and the number of restarts alone, so
 * a call that is stopped at any moment of this is repeated by the next. */
static fs_status restart(struct trainer *trainer, struct fs_error *error)
{
    const struct fs_training *training = trainer->training;
    const struct fs_error reason = *error;
    *error = (struct fs_error){.text = ""};
    trainer->restarts++;
    trainer->diverged = false;
    trainer->update = 0;
    trainer->saved_update = -1;
    trainer->window = (struct window){0};
    trainer->backend->fill(trainer->backend, trainer->moment1, 0);
    trainer->backend->fill(trainer->backend, trainer->moment2, 0);
    FS_TRY(initial_weights(trainer, error));
    fs_status status = FS_OK;
    if (trainer->comm->rank == 0) {
        status =
            training->restarted ? training->restarted(training->owner, trainer->restarts, reason.text, error) : FS_OK;
        fs_checkpoint_prune(training->folder, NULL, 0);
    }
    FS_TRY(fs_comm_agree(trainer->comm, status, error));
    return save(trainer, error);
}

fs_status fs_train(const struct fs_training *training, enum fs_train_end *end, struct fs_error *error)
{
    struct trainer trainer;
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
    *end = FS_TRAIN_STOPPED;
    if (trainer.diverged) {
        *end = FS_TRAIN_DIVERGED;
    } else if (status == FS_OK && trainer.update >= trainer.setup.updates) {
        *end = FS_TRAIN_FINISHED;
    }
    destroy_trainer(&trainer);
    if (status == FS_FAILED) {
        fs_suggest_fit(training, trainer.micro, error);
    }
    return status;
}
