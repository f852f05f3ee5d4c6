/* A network with everything that an update of it needs. */
#include "harness/bench/network.h"

#include <stdlib.h>

#include "kernels/base/memory.h"

void fs_bench_network_free(struct fs_bench *b, struct fs_bench_network *n)
{
    if (n->dit != NULL) {
        fs_weights_destroy(n->dit, &n->weights);
    }
    fs_dit_destroy(n->dit);
    free(n->t);
    free(n->s);
    free(n->labels);
    fs_bench_release(b);
}

/* Made before the other flat buffers, so that the copy they come from adds nothing to the peak that is measured. */
static fs_status make_weights(struct fs_bench *b, struct fs_bench_network *n, struct fs_error *error)
{
    FS_TRY(fs_weights_create(n->dit, &n->weights, error));
    const size_t count = (size_t)fs_dit_parameter_count(n->dit);
    float *initial = fs_allocate(count, sizeof *initial, "initial weights", error);
    if (initial == NULL) {
        return error->status;
    }
    fs_dit_initialise(n->dit, 0, initial);
    b->backend->upload(b->backend, n->weights.values.data, initial, count * sizeof *initial);
    const fs_status status = b->backend->synchronise(b->backend, error);
    free(initial);
    return status;
}

fs_status fs_bench_network_create(struct fs_bench *b, struct fs_bench_network *n, enum fs_type precision,
                                  unsigned passes, struct fs_error *error)
{
    *n = (struct fs_bench_network){0};
    n->dit =
        fs_dit_create(b->backend, &b->config, b->height, b->width, b->channels, b->batch, passes, precision, error);
    n->t = fs_allocate((size_t)b->batch, sizeof *n->t, "times", error);
    n->s = fs_allocate((size_t)b->batch, sizeof *n->s, "levels", error);
    n->labels = fs_allocate((size_t)b->batch, sizeof *n->labels, "labels", error);
    if (n->dit == NULL || n->t == NULL || n->s == NULL || n->labels == NULL) {
        return error->status;
    }
    FS_TRY(make_weights(b, n, error));
    const int64_t count = fs_dit_parameter_count(n->dit), dim = (int64_t)b->height * b->width * b->channels;
    struct fs_view *const flat[] = {&n->gradients, &n->moment1, &n->moment2, &n->average};
    struct fs_view *const images[] = {&n->x, &n->target, &n->velocity, &n->dvelocity};
    b->error.status = FS_OK;
    for (int i = 0; i < 4; i++) {
        *flat[i] = fs_bench_take(b, 1, count);
        *images[i] = fs_bench_take(b, b->batch, dim);
    }
    n->loss = fs_bench_take(b, b->batch, 1);
    n->row_weights = fs_bench_take(b, b->batch, 1);
    if (b->error.status != FS_OK) {
        *error = b->error;
        return error->status;
    }
    b->backend->fill(b->backend, n->moment1, 0);
    b->backend->fill(b->backend, n->moment2, 0);
    fs_dit_refresh(n->dit, &n->weights);
    return b->backend->synchronise(b->backend, error);
}

struct fs_dit_input fs_bench_network_input(const struct fs_bench_network *n)
{
    return (struct fs_dit_input){n->x, n->t, n->s, n->labels};
}

static void update_operations(struct fs_bench *b, struct fs_bench_network *n)
{
    struct fs_backend *k = b->backend;
    const struct fs_dit_input input = fs_bench_network_input(n);
    k->fill(k, n->gradients, 0);
    fs_dit_forward(n->dit, &n->weights, &input, n->velocity, true);
    k->mse(k, n->loss, n->dvelocity, n->velocity, n->target, n->row_weights,
           (struct fs_loss){.kind = FS_LOSS_MEAN_SQUARE});
    fs_dit_backward(n->dit, &n->weights, n->dvelocity, n->gradients, NULL);
    const struct fs_view averages[2] = {n->average, fs_no_view()};
    const struct fs_adamw settings = {.learning_rate = 1e-6f,
                                      .beta1 = 0.9f,
                                      .beta2 = 0.999f,
                                      .epsilon = 1e-8f,
                                      .update = n->update,
                                      .ema_decay = {0.999f, 0},
                                      .copies = {n->weights.half}};
    k->adamw(k, &settings, n->weights.values, n->gradients, n->moment1, n->moment2, averages);
}

void fs_bench_network_update(struct fs_bench *b, struct fs_bench_network *n)
{
    n->update++;
    do {
        if (b->backend->update_begin != NULL) {
            b->backend->update_begin(b->backend, 0);
        }
        update_operations(b, n);
    } while (b->backend->update_end != NULL && !b->backend->update_end(b->backend));
}
