/* A trained network ready to draw samples: a checkpoint's weights behind a sampler. */
#include "harness/sample/generator.h"

#include <stdlib.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/sample/exact_velocity.h"
#include "kernels/base/memory.h"

#define CAPACITY_MAX 1024
#define TOKENS_MIN 64 /* a row counts as so many at least: what is not a product costs, too */

/* Bytes of the backend's that so many rows take at once. */
static fs_status bytes_of(const struct fs_backend *backend, const struct fs_config *config,
                          const struct fs_data_shape *shape, enum fs_type precision, int rows, size_t *bytes,
                          struct fs_error *error)
{
    struct fs_dit_sizes sizes;
    FS_TRY(fs_dit_sizes_of(backend->real, &config->model, shape->height, shape->width, shape->channels, rows,
                           FS_PASS_FORWARD, precision, &sizes, error));
    *bytes = sizes.activation_bytes + (size_t)rows * (size_t)(4 * fs_shape_dim(shape) + 2) * sizeof(float);
    return FS_OK;
}

/* Rows that go through the network at once: what keeps the backend busy, in half of a device's free memory. */
static fs_status choose_capacity(struct fs_backend *backend, const struct fs_config *config,
                                 const struct fs_data_shape *shape, enum fs_type precision, int *capacity,
                                 struct fs_error *error)
{
    const int64_t patch = config->model.patch, tokens = (shape->height / patch) * (shape->width / patch);
    const int64_t rows = backend->pass_tokens / (tokens < TOKENS_MIN ? TOKENS_MIN : tokens);
    const size_t room = backend->available ? backend->available(backend) : 0; /* 0: not known */
    size_t bytes = 0;
    *capacity = rows < 1 ? 1 : rows > CAPACITY_MAX ? CAPACITY_MAX : (int)rows;
    FS_TRY(bytes_of(backend, config, shape, precision, *capacity, &bytes, error));
    while (*capacity > 1 && room > 0 && bytes > room / 2) {
        *capacity /= 2;
        FS_TRY(bytes_of(backend, config, shape, precision, *capacity, &bytes, error));
    }
    return FS_OK;
}

/* A pass is one that the backend may keep: the same for as many rows in the same place. */
static uint64_t key_of(struct fs_view x, struct fs_view velocity)
{
    const uint64_t odd = 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio */
    return (((uint64_t)(uintptr_t)x.data * odd + (uint64_t)(uintptr_t)velocity.data) * odd + (uint64_t)x.rows) * odd;
}

static void evaluate(struct fs_sampler *sampler, struct fs_view velocity, struct fs_view x, const float *t,
                     const float *s, const int32_t *labels)
{
    struct fs_generator *generator = sampler->owner;
    struct fs_backend *backend = sampler->backend;
    const struct fs_dit_input input = {x, t, s, labels};
    do {
        if (backend->update_begin) {
            backend->update_begin(backend, key_of(x, velocity));
        }
        fs_dit_forward(generator->dit, &generator->weights, &input, velocity, false);
    } while (backend->update_end && !backend->update_end(backend));
}

static fs_status load_weights(struct fs_generator *generator, struct fs_backend *backend, const char *path,
                              enum fs_weights_kind kind, struct fs_error *error)
{
    const size_t count = (size_t)fs_dit_parameter_count(generator->dit);
    float *values = fs_allocate(count, sizeof(float), "weights", error);
    if (!values) {
        return error->status;
    }
    struct fs_checkpoint checkpoint = {0};
    checkpoint.copies[kind == FS_WEIGHTS_EMA ? FS_COPY_EMA : FS_COPY_MODEL] = values;
    const fs_status status = fs_checkpoint_read(path, generator->dit, &checkpoint, error);
    if (status == FS_OK) {
        backend->upload(backend, generator->weights.values.data, values, count * sizeof(float));
        fs_dit_refresh(generator->dit, &generator->weights);
        generator->update = checkpoint.update;
    }
    free(values);
    return status;
}

static fs_status open_parts(struct fs_generator *generator, struct fs_backend *backend, const struct fs_config *config,
                            const struct fs_data_shape *shape, const char *checkpoint, enum fs_weights_kind kind,
                            struct fs_error *error)
{
    const int64_t dim = fs_shape_dim(shape);
    const enum fs_type precision = config->train.precision == FS_PRECISION_BF16 ? FS_BF16 : FS_F32;
    int capacity;
    FS_TRY(choose_capacity(backend, config, shape, precision, &capacity, error));
    generator->dit = fs_dit_create(backend, &config->model, shape->height, shape->width, shape->channels, capacity,
                                   FS_PASS_FORWARD, precision, error);
    if (!generator->dit) {
        return error->status;
    }
    FS_TRY(fs_weights_create(generator->dit, &generator->weights, error));
    FS_TRY(checkpoint ? load_weights(generator, backend, checkpoint, kind, error) : FS_OK);
    void *memory = backend->allocate(backend, (size_t)(capacity * dim) * sizeof(float), error);
    if (!memory) {
        return error->status;
    }
    generator->x = fs_view(memory, FS_F32, capacity, dim);
    generator->sampler = (struct fs_sampler){
        .backend = backend,
        .config = config,
        .dim = dim,
        .capacity = capacity,
        .owner = generator,
        .evaluate = evaluate,
    };
    return fs_sampler_create(&generator->sampler, error);
}

fs_status fs_generator_open(struct fs_generator *generator, struct fs_backend *backend, const struct fs_config *config,
                            const struct fs_data_shape *shape, const char *checkpoint, enum fs_weights_kind kind,
                            struct fs_error *error)
{
    *generator = (struct fs_generator){.sampler = {.backend = backend}};
    const fs_status status = open_parts(generator, backend, config, shape, checkpoint, kind, error);
    if (status != FS_OK) {
        fs_generator_close(generator);
    }
    return status;
}

void fs_generator_close(struct fs_generator *generator)
{
    struct fs_backend *backend = generator->sampler.backend;
    if (generator->exact || generator->dit) {
        fs_sampler_destroy(&generator->sampler);
        backend->release(backend, generator->x.data);
        fs_exact_velocity_close(generator->exact);
    }
    if (generator->dit) {
        fs_weights_destroy(generator->dit, &generator->weights);
        fs_dit_destroy(generator->dit);
    }
    *generator = (struct fs_generator){0};
}

fs_status fs_generator_share(struct fs_generator *generator, struct fs_comm *comm, struct fs_error *error)
{
    struct fs_backend *backend = generator->sampler.backend;
    const struct fs_view weights = generator->weights.values;
    const size_t bytes = (size_t)weights.cols * sizeof(float);
    float *values = fs_allocate(bytes, 1, "weights", error);
    fs_status status = fs_comm_agree(comm, values ? FS_OK : error->status, error);
    if (status == FS_OK && comm->rank == 0) {
        backend->download(backend, values, weights.data, bytes);
    }
    if (status == FS_OK) {
        comm->broadcast(comm, 0, &generator->update, sizeof generator->update);
        comm->broadcast(comm, 0, values, bytes);
    }
    if (status == FS_OK && comm->rank > 0) {
        backend->upload(backend, weights.data, values, bytes);
        fs_dit_refresh(generator->dit, &generator->weights);
        status = backend->synchronise(backend, error);
    }
    free(values);
    return status;
}

/* The rows already in generator->x become samples on the host. */
static fs_status sample_rows(struct fs_generator *generator, const struct fs_drawing *drawing, int64_t n,
                             float *samples, struct fs_error *error)
{
    struct fs_backend *backend = generator->sampler.backend;
    const struct fs_view rows = fs_view_rows(generator->x, 0, n);
    FS_TRY(fs_sample(&generator->sampler, rows, drawing, error));
    FS_TRY(generator->exact ? fs_exact_velocity_failed(generator->exact, error) : FS_OK);
    backend->download(backend, samples, rows.data, (size_t)(n * rows.cols) * sizeof(float));
    return backend->synchronise(backend, error);
}

/* By the sampler and the grid of the configuration. */
static struct fs_drawing drawing_of(const struct fs_sampler *sampler, const int32_t *labels, int steps,
                                    double guidance_scale, uint32_t seed, uint32_t first_row)
{
    return (struct fs_drawing){.labels = labels,
                               .steps = steps,
                               .guidance_scale = guidance_scale,
                               .seed = seed,
                               .first_row = first_row,
                               .solver = sampler->config->evaluate.sampler,
                               .time_shift = sampler->config->evaluate.time_shift};
}

int32_t fs_evaluation_label(const struct fs_config *config, uint32_t seed, int64_t index)
{
    const int classes = config->model.classes;
    if (classes == 0) {
        return 0;
    }
    if (config->evaluate.labels == FS_LABELS_UNIFORM) {
        const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_EVALUATION_LABEL};
        return (int32_t)fs_random_below(key, (uint32_t)index, 0, (uint32_t)classes);
    }
    return (int32_t)(index % classes);
}

fs_status fs_generate(struct fs_generator *generator, uint32_t seed, int64_t first, int64_t n, int steps,
                      double guidance_scale, float *samples, struct fs_error *error)
{
    const struct fs_sampler *sampler = &generator->sampler;
    int32_t labels[CAPACITY_MAX];
    for (int64_t done = 0; done < n; done += sampler->capacity) {
        const int64_t count = n - done < sampler->capacity ? n - done : sampler->capacity;
        for (int64_t i = 0; i < count; i++) {
            labels[i] = fs_evaluation_label(sampler->config, seed, first + done + i);
        }
        fs_evaluation_noise(sampler->backend, fs_view_rows(generator->x, 0, count), seed, (uint32_t)(first + done));
        const struct fs_drawing drawing =
            drawing_of(sampler, labels, steps, guidance_scale, seed, (uint32_t)(first + done));
        FS_TRY(sample_rows(generator, &drawing, count, samples + done * sampler->dim, error));
    }
    return FS_OK;
}

fs_status fs_generate_from(struct fs_generator *generator, const float *noise, const int32_t *labels, uint32_t seed,
                           int64_t n, int steps, double guidance_scale, float *samples, struct fs_error *error)
{
    const struct fs_sampler *sampler = &generator->sampler;
    for (int64_t done = 0; done < n; done += sampler->capacity) {
        const int64_t count = n - done < sampler->capacity ? n - done : sampler->capacity;
        sampler->backend->upload(sampler->backend, generator->x.data, noise + done * sampler->dim,
                                 (size_t)(count * sampler->dim) * sizeof(float));
        const struct fs_drawing drawing =
            drawing_of(sampler, labels + done, steps, guidance_scale, seed, (uint32_t)done);
        FS_TRY(sample_rows(generator, &drawing, count, samples + done * sampler->dim, error));
    }
    return FS_OK;
}

fs_status fs_noise_bank(struct fs_generator *generator, uint32_t seed, int64_t n, float *noise, struct fs_error *error)
{
    struct fs_backend *backend = generator->sampler.backend;
    const int64_t dim = generator->sampler.dim, capacity = generator->sampler.capacity;
    for (int64_t done = 0; done < n; done += capacity) {
        const int64_t count = n - done < capacity ? n - done : capacity;
        fs_evaluation_noise(backend, fs_view_rows(generator->x, 0, count), seed, (uint32_t)done);
        backend->download(backend, noise + done * dim, generator->x.data, (size_t)(count * dim) * sizeof(float));
    }
    return backend->synchronise(backend, error);
}
