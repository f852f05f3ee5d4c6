/* A training's buffers: made, counted, given back. */
#include "harness/train/training_state.h"

#include <stdlib.h>
#include <string.h>

#include "harness/train/fit.h"
#include "harness/train/phases.h"
#include "kernels/base/memory.h"

static fs_status create_host_rows(struct fs_trainer *trainer, struct fs_error *error)
{
    struct fs_train_rows *rows = &trainer->rows;
    const size_t n = (size_t)trainer->micro, values = n * (size_t)trainer->dim, all = (size_t)trainer->mine;
    float **const reals[] = {&rows->t,          &rows->s,          &rows->numbers[0],
                             &rows->numbers[1], &rows->numbers[2], &rows->numbers[3]};
    int32_t **const wholes[] = {&rows->labels, &rows->target_labels, &rows->spare_labels};
    bool good = (rows->host_data = fs_allocate(values, sizeof(float), "a batch", error)) != NULL &&
                (rows->host_noise = fs_allocate(values, sizeof(float), "a batch", error)) != NULL &&
                (rows->indices = fs_allocate(n, sizeof(int64_t), "a batch", error)) != NULL &&
                (rows->losses = fs_allocate(all, sizeof(float), "a batch", error)) != NULL &&
                (rows->weight = fs_allocate(all, sizeof(float), "a batch", error)) != NULL &&
                (rows->level = fs_allocate(all, sizeof(int32_t), "a batch", error)) != NULL &&
                (trainer->late.weight = fs_allocate(all, sizeof(float), "a batch", error)) != NULL &&
                (trainer->late.level = fs_allocate(all, sizeof(int32_t), "a batch", error)) != NULL;
    for (size_t i = 0; good && i < sizeof reals / sizeof *reals; i++) {
        good = (*reals[i] = fs_allocate(n, sizeof(float), "a batch", error)) != NULL;
    }
    for (size_t i = 0; good && i < sizeof wholes / sizeof *wholes; i++) {
        good = (*wholes[i] = fs_allocate(n, sizeof(int32_t), "a batch", error)) != NULL;
    }
    return good ? FS_OK : error->status;
}

static void destroy_host_rows(struct fs_trainer *trainer)
{
    struct fs_train_rows *rows = &trainer->rows;
    free(trainer->late.weight);
    free(trainer->late.level);
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

static void list_buffers(struct fs_trainer *trainer, int64_t flat, int64_t moments,
                         struct device_buffer list[DEVICE_BUFFERS])
{
    struct fs_train_rows *rows = &trainer->rows;
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
static int64_t part_length(const struct fs_trainer *trainer)
{
    const int64_t *borders = trainer->reduction.borders + trainer->comm->rank;
    return borders[1] > borders[0] ? borders[1] - borders[0] : 1;
}

static fs_status create_buffers(struct fs_trainer *trainer, struct fs_error *error)
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

void fs_trainer_destroy(struct fs_trainer *trainer)
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
    passes |= config->train.recompute == FS_RECOMPUTE_BLOCKS ? FS_PASS_RECOMPUTE : 0;
    for (int i = 0; i < count; i++) {
        passes |= phases[i].tangents > 0 ? FS_PASS_TANGENT : FS_PASS_FORWARD;
    }
    return passes;
}

/* Whether targets ask the average that is scored. */
static bool asks_average(const struct fs_config *config)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_phase phases[FS_PHASES_MAX];
    const int count = config->method->phases(&setup, phases);
    bool asks = false;
    for (int i = 0; i < count; i++) {
        asks = asks || phases[i].asks_average;
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
    struct fs_trainer trainer = {.dim = fs_shape_dim(shape), .mine = (config->train.batch + ranks - 1) / ranks};
    struct device_buffer list[DEVICE_BUFFERS];
    struct fs_dit_sizes sizes;
    trainer.micro = rows > 0 ? rows : rows_at_once(&config->train, trainer.mine);
    *bytes = 0;
    FS_TRY(fs_dit_sizes_of(real, &config->model, shape->height, shape->width, shape->channels, trainer.micro,
                           passes_of(config), precision, &sizes, error));
    const int64_t part = fs_reduction_longest(sizes.flat, ranks);
    list_buffers(&trainer, sizes.flat, in_parts ? part : sizes.flat, list);
    int64_t numbers = fs_reduction_room(sizes.flat, ranks) + (average_in_parts ? part : 0);
    for (int i = 0; i < DEVICE_BUFFERS; i++) {
        numbers += list[i].rows * list[i].cols;
    }
    /* with the model and its average */
    const int64_t weights = sizes.flat * (2 - average_in_parts + copies.target + copies.teacher);
    *bytes = (double)(numbers + weights) * (double)fs_type_size(real) + (double)sizes.activation_bytes;
    *bytes += precision != real ? (double)weights * (double)fs_type_size(precision) : 0;
    return FS_OK;
}

struct fs_view fs_trainer_part(const struct fs_trainer *trainer, struct fs_view view, bool in_parts)
{
    const struct fs_view part = fs_reduction_part(&trainer->reduction, trainer->gradients);
    return !view.data ? view
           : in_parts ? fs_view(view.data, view.type, 1, part.cols)
                      : fs_reduction_part(&trainer->reduction, view);
}

/* Loads this process's rows. */
static fs_status create_loader(struct fs_trainer *trainer, struct fs_error *error)
{
    const struct fs_config *config = trainer->training->config;
    struct fs_loader_range ranges[FS_ROW_GROUPS_MAX];
    for (int i = 0; i < trainer->dealt.group_count; i++) {
        ranges[i] = (struct fs_loader_range){trainer->dealt.groups[i].global, trainer->dealt.groups[i].count};
    }
    return fs_loader_create(trainer->training->data, (uint32_t)config->seed, trainer->setup.updates,
                            config->train.batch, ranges, trainer->dealt.group_count, &trainer->loader, error);
}

fs_status fs_trainer_create(struct fs_trainer *trainer, const struct fs_training *training, struct fs_error *error)
{
    const struct fs_config *config = training->config;
    const struct fs_data_shape *shape = &training->data->shape;
    *trainer = (struct fs_trainer){
        .training = training, .backend = training->backend, .saved_update = -1, .snapshot_update = -1};
    trainer->comm = training->comm ? training->comm : fs_comm_single();
    trainer->setup = fs_config_method_setup(config);
    fs_plan_phases(trainer);
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
