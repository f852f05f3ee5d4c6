/* The gradients of this process's rows: what a method's targets ask, forward, loss, backward. */
#include "harness/train/gradients.h"

#include <string.h>

/* --- what a method's targets may ask --- */

static const struct fs_weights *weights_of(const struct fs_trainer *trainer, enum fs_network network)
{
    const struct fs_weights *average = trainer->copies.target ? &trainer->target : &trainer->ema;
    return network == FS_NETWORK_CURRENT   ? &trainer->model
           : network == FS_NETWORK_TEACHER ? &trainer->teacher
                                           : average;
}

/* Whether this rank has all of a network that targets ask; else the update fails. */
static bool network_is_whole(struct fs_trainer *trainer, enum fs_network network)
{
    const bool whole = !trainer->average_in_parts || weights_of(trainer, network) != &trainer->ema;
    if (!whole) {
        fs_fail(&trainer->unready, FS_FAILED,
                "%s asks the average in a phase that does not say so (asks_average): it cannot be trained with "
                "train.shard_optimizer",
                trainer->training->config->method->name);
    }
    return whole;
}

static void evaluate(struct fs_method_context *context, enum fs_network network, struct fs_view out, struct fs_view x,
                     const float *t, const float *s, const int32_t *labels)
{
    struct fs_trainer *trainer = context->owner;
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
    struct fs_trainer *trainer = context->owner;
    if (!network_is_whole(trainer, network)) {
        return;
    }
    const struct fs_dit_input input = {x, t, s, labels};
    const struct fs_dit_direction direction = {x_dot, t_dot, s_dot};
    fs_dit_tangent(trainer->dit, weights_of(trainer, network), &input, &direction, out, out_dot,
                   network == FS_NETWORK_CURRENT);
}

static void mix(struct fs_method_context *context, struct fs_view out, const float *a, struct fs_view x, const float *c,
                struct fs_view y, double clip)
{
    struct fs_trainer *trainer = context->owner;
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

/* --- rows --- */

/* The range's rows of (x0, x1) and their labels, on the host. */
static void load_pairs(struct fs_trainer *trainer, struct fs_row_range range)
{
    struct fs_train_rows *rows = &trainer->rows;
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
static fs_status load_data_rows(struct fs_trainer *trainer, int to, int count, int global, struct fs_error *error)
{
    struct fs_train_rows *rows = &trainer->rows;
    return fs_loader_rows(trainer->loader, trainer->update, global, count, rows->host_data + to * trainer->dim,
                          rows->labels + to, error);
}

/* Each row's from where its pairing says, with their noise in the range's rows of rows.noise. */
static fs_status load_paired(struct fs_trainer *trainer, struct fs_row_range range, struct fs_error *error)
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
static void load_data(struct fs_trainer *trainer, struct fs_row_range range)
{
    struct fs_train_rows *rows = &trainer->rows;
    if (range.count > 0 && trainer->pairing) {
        load_paired(trainer, range, &trainer->unready);
    } else {
        load_data_rows(trainer, range.first, range.count, range.global, &trainer->unready);
    }
    for (int i = range.first; i < range.first + range.count; i++) {
        rows->labels[i] = fs_config_label(trainer->training->config, rows->labels[i]);
    }
}

static void load_rows(struct fs_trainer *trainer, const struct fs_phase *phase, const struct fs_dealt_rows *part)
{
    struct fs_train_rows *rows = &trainer->rows;
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

/* Targets, forward, loss and backward of the rows from `done` on; `watch` may be NULL. */
static void train_rows(struct fs_trainer *trainer, const struct fs_phase *phase, int64_t phase_begin, int done,
                       int count, const struct fs_dit_watch *watch)
{
    const struct fs_dealt_rows part = fs_part_of_rows(&trainer->dealt, done, count);
    const struct fs_config *config = trainer->training->config;
    struct fs_backend *backend = trainer->backend;
    struct fs_train_rows *rows = &trainer->rows;
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
    fs_dit_forward_rest(trainer->dit, &trainer->model, &input, velocity, targets.known);
    for (int i = 0; i < count; i++) {
        targets.weight[i] /= (float)config->train.batch;
    }
    backend->upload(backend, weights.data, targets.weight, (size_t)count * sizeof(float));
    backend->mse(backend, loss, dvelocity, velocity, targets.target, weights,
                 config->method->loss(&trainer->setup, phase));
    fs_dit_backward(trainer->dit, &trainer->model, dvelocity, trainer->gradients, watch);
}

void fs_add_gradients(struct fs_trainer *trainer, const struct fs_train_place *place)
{
    struct fs_dit_watch watch = {NULL, NULL};
    trainer->backend->fill(trainer->backend, trainer->gradients, 0);
    if (trainer->reduction.on_device) {
        watch = fs_reduction_begin(&trainer->reduction, trainer->gradients);
    }
    for (int done = 0; done < trainer->mine; done += trainer->micro) {
        const int left = trainer->mine - done, count = left < trainer->micro ? left : trainer->micro;
        const bool last = done + count == trainer->mine;
        train_rows(trainer, place->phase, place->begin, done, count, last && watch.done ? &watch : NULL);
    }
}
