/* From the data set to a batch, and the thread that loads the next one. */
#include "harness/data/loader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/base/thread.h"

fs_status fs_load_rows(const struct fs_dataset *dataset, uint32_t seed, int64_t update, int batch, int first_row,
                       int rows, float *x1, int32_t *labels, struct fs_error *error)
{
    const int64_t dim = fs_shape_dim(&dataset->shape);
    for (int i = 0; i < rows; i++) {
        const struct fs_visit visit = {seed, update, first_row + i};
        int64_t index;
        fs_data_order(dataset->shape.count, seed, update, batch, first_row + i, 1, &index);
        FS_TRY(fs_dataset_visit(dataset, index, &visit, x1 + i * dim, error));
        labels[i] = dataset->labels ? dataset->labels[index] : 0;
    }
    return FS_OK;
}

/* --- the thread --- */

/* The rows of one update, range after range. The thread writes it until `ready`; from then on the training reads it,
 * until it asks for the next update: only then may the thread take it again. */
struct slot {
    int64_t update; /* −1: none */
    bool ready;
    float *x1;
    int32_t *labels;
    struct fs_error error; /* status FS_OK: there is none */
};

struct fs_loader {
    const struct fs_dataset *dataset;
    uint32_t seed;
    int64_t updates, dim;
    int batch, range_count;
    struct fs_loader_range ranges[FS_LOADER_RANGES_MAX];

    struct slot slots[2]; /* of even and of odd updates */
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* guards what follows, and the slots' update and ready */
    pthread_cond_t changed;
    int64_t wanted; /* the update to be loaded next; −1: none */
    bool busy, quit;
};

static bool quits(struct fs_loader *loader)
{
    pthread_mutex_lock(&loader->mutex);
    const bool quit = loader->quit;
    pthread_mutex_unlock(&loader->mutex);
    return quit;
}

/* A row at a time, so that it ends soon after it is told to. */
static void fill_slot(struct fs_loader *loader, struct slot *slot, int64_t update)
{
    int64_t row = 0;
    slot->error = (struct fs_error){.status = FS_OK};
    for (int r = 0; r < loader->range_count; r++) {
        const struct fs_loader_range range = loader->ranges[r];
        for (int i = 0; i < range.count && slot->error.status == FS_OK && !quits(loader); i++, row++) {
            slot->error.status = fs_load_rows(loader->dataset, loader->seed, update, loader->batch, range.first + i, 1,
                                              slot->x1 + row * loader->dim, slot->labels + row, &slot->error);
        }
    }
}

static void *load_ahead(void *argument)
{
    struct fs_loader *loader = argument;
    pthread_mutex_lock(&loader->mutex);
    while (!loader->quit) {
        if (loader->wanted < 0) {
            pthread_cond_wait(&loader->changed, &loader->mutex);
            continue;
        }
        const int64_t update = loader->wanted;
        struct slot *slot = &loader->slots[update % 2];
        loader->wanted = -1;
        loader->busy = true;
        slot->update = update;
        slot->ready = false;
        pthread_mutex_unlock(&loader->mutex);
        fill_slot(loader, slot, update);
        pthread_mutex_lock(&loader->mutex);
        slot->ready = true;
        loader->busy = false;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

fs_status fs_loader_create(const struct fs_dataset *dataset, uint32_t seed, int64_t updates, int batch,
                           const struct fs_loader_range *ranges, int range_count, struct fs_loader **loader,
                           struct fs_error *error)
{
    struct fs_loader *made = fs_allocate(1, sizeof *made, "a loader", error);
    *loader = made;
    if (!made) {
        return FS_FAILED;
    }
    *made = (struct fs_loader){.dataset = dataset,
                               .seed = seed,
                               .updates = updates,
                               .dim = fs_shape_dim(&dataset->shape),
                               .batch = batch,
                               .range_count = range_count,
                               .wanted = -1};
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->changed, NULL);
    size_t rows = 0;
    for (int i = 0; i < range_count; i++) {
        made->ranges[i] = ranges[i];
        rows += (size_t)ranges[i].count;
    }
    for (int i = 0; i < 2; i++) {
        made->slots[i].update = -1;
        made->slots[i].x1 = fs_allocate(rows, (size_t)made->dim * sizeof(float), "the next batch", error);
        made->slots[i].labels = fs_allocate(rows, sizeof(int32_t), "the next batch", error);
        if (!made->slots[i].x1 || !made->slots[i].labels) {
            fs_loader_destroy(made);
            *loader = NULL;
            return FS_FAILED;
        }
    }
    made->running = fs_thread_start(&made->thread, load_ahead, made);
    if (!made->running) {
        fs_loader_destroy(made);
        *loader = NULL;
        return fs_fail(error, FS_FAILED, "no thread to load data with");
    }
    return FS_OK;
}

void fs_loader_destroy(struct fs_loader *loader)
{
    if (!loader) {
        return;
    }
    pthread_mutex_lock(&loader->mutex);
    loader->quit = true;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
    if (loader->running) {
        pthread_join(loader->thread, NULL);
    }
    for (int i = 0; i < 2; i++) {
        free(loader->slots[i].x1);
        free(loader->slots[i].labels);
    }
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->mutex);
    free(loader);
}

/* Waits until the update's slot is ready, and has the next one loaded. */
static struct slot *slot_of(struct fs_loader *loader, int64_t update)
{
    struct slot *slot = &loader->slots[update % 2];
    pthread_mutex_lock(&loader->mutex);
    while (slot->update != update || !slot->ready) {
        if (slot->update != update && !loader->busy) { /* the first update, or one after a resume */
            loader->wanted = update;
            pthread_cond_broadcast(&loader->changed);
        }
        pthread_cond_wait(&loader->changed, &loader->mutex);
    }
    const int64_t next = update + 1;
    if (next < loader->updates && loader->slots[next % 2].update != next) {
        loader->wanted = next;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->mutex);
    return slot;
}

/* The place of a row of the global batch in a slot; −1: in none. */
static int64_t place_of(const struct fs_loader *loader, int row)
{
    int64_t before = 0;
    for (int i = 0; i < loader->range_count; i++) {
        const struct fs_loader_range range = loader->ranges[i];
        if (row >= range.first && row < range.first + range.count) {
            return before + row - range.first;
        }
        before += range.count;
    }
    return -1;
}

fs_status fs_loader_rows(struct fs_loader *loader, int64_t update, int first_row, int rows, float *x1, int32_t *labels,
                         struct fs_error *error)
{
    const struct slot *slot = slot_of(loader, update);
    if (slot->error.status != FS_OK) {
        *error = slot->error;
        return error->status;
    }
    for (int i = 0; i < rows; i++) {
        const int64_t place = place_of(loader, first_row + i);
        float *to = x1 + i * loader->dim;
        if (place < 0) {
            FS_TRY(fs_load_rows(loader->dataset, loader->seed, update, loader->batch, first_row + i, 1, to, labels + i,
                                error));
            continue;
        }
        memcpy(to, slot->x1 + place * loader->dim, (size_t)loader->dim * sizeof *to);
        labels[i] = slot->labels[place];
    }
    return FS_OK;
}
