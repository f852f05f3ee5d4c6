/* Which noise goes with which data. */
#include "harness/train/pairing.h"

#include <stdlib.h>
#include <string.h>

#include "harness/data/loader.h"
#include "harness/train/assignment.h"
#include "kernels/base/memory.h"
#include "kernels/base/random.h"

struct fs_pairing {
    const struct fs_config *config;
    const struct fs_dataset *dataset;
    int64_t dim, update;
    int group;           /* rows of a group, the last may be shorter */
    int *source;         /* of each row of the batch */
    bool *paired;        /* of each group, at `update` */
    float *noise, *data; /* [group, dim] */
    int32_t *labels;     /* [group] */
    double *cost;        /* [group, group] */
    int *alike, *column; /* [group]: rows that may change places, and their assignment */
};

struct fs_random_key fs_pairing_noise(uint32_t seed, int64_t update)
{
    return (struct fs_random_key){.seed = seed, .stream = FS_STREAM_PAIRED_NOISE, .update = (uint32_t)update};
}

struct fs_pairing *fs_pairing_create(const struct fs_config *config, const struct fs_dataset *dataset,
                                     struct fs_error *error)
{
    struct fs_pairing *pairing = fs_allocate(1, sizeof *pairing, "pairing", error);
    if (!pairing) {
        return NULL;
    }
    const int batch = config->train.batch, asked = config->train.pairing_group, group = asked < batch ? asked : batch;
    const size_t rows = (size_t)group;
    *pairing = (struct fs_pairing){.config = config, .dataset = dataset, .group = group, .update = -1};
    pairing->dim = fs_shape_dim(&dataset->shape);
    const size_t values = rows * (size_t)pairing->dim, groups = (size_t)((batch + group - 1) / group);
    if ((pairing->source = fs_allocate((size_t)batch, sizeof(int), "pairing", error)) == NULL ||
        (pairing->paired = fs_allocate(groups, sizeof(bool), "pairing", error)) == NULL ||
        (pairing->noise = fs_allocate(values, sizeof(float), "pairing", error)) == NULL ||
        (pairing->data = fs_allocate(values, sizeof(float), "pairing", error)) == NULL ||
        (pairing->labels = fs_allocate(rows, sizeof(int32_t), "pairing", error)) == NULL ||
        (pairing->cost = fs_allocate(rows * rows, sizeof(double), "pairing", error)) == NULL ||
        (pairing->alike = fs_allocate(rows, sizeof(int), "pairing", error)) == NULL ||
        (pairing->column = fs_allocate(rows, sizeof(int), "pairing", error)) == NULL) {
        fs_pairing_destroy(pairing);
        return NULL;
    }
    return pairing;
}

void fs_pairing_destroy(struct fs_pairing *pairing)
{
    if (pairing) {
        free(pairing->source);
        free(pairing->paired);
        free(pairing->noise);
        free(pairing->data);
        free(pairing->labels);
        free(pairing->cost);
        free(pairing->alike);
        free(pairing->column);
        free(pairing);
    }
}

/* Noise and data of the batch's rows first … first + rows − 1. */
static fs_status load_group(struct fs_pairing *pairing, int first, int rows, struct fs_error *error)
{
    const struct fs_config *config = pairing->config;
    const uint32_t seed = (uint32_t)config->seed;
    const struct fs_random_key key = fs_pairing_noise(seed, pairing->update);
    for (int i = 0; i < rows; i++) {
        float *row = pairing->noise + i * pairing->dim, four[4];
        for (int64_t j = 0; j < pairing->dim; j += 4) {
            const int64_t left = pairing->dim - j;
            fs_normals4(key, (uint32_t)(first + i), (uint32_t)(j / 4), four);
            memcpy(row + j, four, (size_t)(left < 4 ? left : 4) * sizeof *four);
        }
    }
    return fs_load_rows(pairing->dataset, seed, pairing->update, config->train.batch, first, rows, pairing->data,
                        pairing->labels, error);
}

/* |x0 − x1|² is |x0|² + |x1|² − 2·x0·x1, of which a permutation moves the last term alone. */
static double pair_cost(const struct fs_pairing *pairing, int noise_row, int data_row)
{
    const float *noise = pairing->noise + noise_row * pairing->dim, *data = pairing->data + data_row * pairing->dim;
    double sum = 0;
    for (int64_t j = 0; j < pairing->dim; j++) {
        sum += (double)noise[j] * (double)data[j];
    }
    return -sum;
}

/* The `count` rows `alike` of the group that begins at `first` change places among themselves. */
static fs_status pair_alike(struct fs_pairing *pairing, int first, int count, struct fs_error *error)
{
    const int *alike = pairing->alike;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            pairing->cost[i * count + j] = pair_cost(pairing, alike[i], alike[j]);
        }
    }
    FS_TRY(fs_assign(pairing->cost, count, pairing->column, error));
    for (int i = 0; i < count; i++) {
        pairing->source[first + alike[i]] = first + alike[pairing->column[i]];
    }
    return FS_OK;
}

static fs_status pair_group(struct fs_pairing *pairing, int group, struct fs_error *error)
{
    const int first = group * pairing->group, left = pairing->config->train.batch - first;
    const int rows = left < pairing->group ? left : pairing->group;
    FS_TRY(load_group(pairing, first, rows, error));
    for (int i = 0; i < rows; i++) {
        pairing->labels[i] = pairing->config->model.classes > 0 ? pairing->labels[i] : 0;
        pairing->source[first + i] = -1;
    }
    for (int i = 0; i < rows; i++) {
        int count = 0;
        for (int j = i; j < rows && pairing->source[first + i] < 0; j++) {
            if (pairing->labels[j] == pairing->labels[i]) {
                pairing->alike[count++] = j;
            }
        }
        if (count > 0) {
            FS_TRY(pair_alike(pairing, first, count, error));
        }
    }
    pairing->paired[group] = true;
    return FS_OK;
}

fs_status fs_pairing_source(struct fs_pairing *pairing, int64_t update, int row, int *source, struct fs_error *error)
{
    const int group = row / pairing->group;
    if (update != pairing->update) {
        memset(pairing->paired, 0, (size_t)((pairing->config->train.batch - 1) / pairing->group + 1));
        pairing->update = update;
    }
    if (!pairing->paired[group]) {
        FS_TRY(pair_group(pairing, group, error));
    }
    *source = pairing->source[row];
    return FS_OK;
}
