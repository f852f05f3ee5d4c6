/* A Gaussian mixture whose exact velocity is known: the truth that the methods are tested against. */
#include "harness/data/mixture.h"

#include <math.h>

#include "harness/data/source.h"
#include "kernels/base/memory.h"
#include "kernels/base/random.h"

#define SIDE 2 /* rows of 2 × 2 × 1, so that a patch of 1 or 2 divides them */
#define MODES 4
#define TRAIN_COUNT 60000
#define TEST_COUNT 10000
#define SIGMA 1e-5 /* what is left of the noise at t = 1 */

/* Within ±3: the largest mean and four of its deviations. */
static const struct fs_mixture standard = {
    .dim = SIDE * SIDE,
    .modes = MODES,
    .mean = {{1.5, 0.5, -1.0, 0.0}, {-1.0, 1.5, 0.5, -0.5}, {-0.5, -1.5, 1.0, 1.0}, {0.5, -0.5, -0.5, -1.5}},
    .deviation = {0.2, 0.3, 0.25, 0.35},
    .weight = {0.25, 0.25, 0.25, 0.25},
};

const struct fs_mixture *fs_mixture_standard(void)
{
    return &standard;
}

/* The share of each mode at x: softmax of log(weight) + log N(x; t·mean, variance). */
static void posterior(const struct fs_mixture *mixture, const double *x, double t, double noise, double *share)
{
    double largest = -INFINITY, sum = 0;
    for (int k = 0; k < mixture->modes; k++) {
        const double variance = noise * noise + t * t * mixture->deviation[k] * mixture->deviation[k];
        double distance = 0;
        for (int d = 0; d < mixture->dim; d++) {
            distance += (x[d] - t * mixture->mean[k][d]) * (x[d] - t * mixture->mean[k][d]);
        }
        share[k] = log(mixture->weight[k]) - 0.5 * mixture->dim * log(variance) - 0.5 * distance / variance;
        largest = fmax(largest, share[k]);
    }
    for (int k = 0; k < mixture->modes; k++) {
        share[k] = exp(share[k] - largest);
        sum += share[k];
    }
    for (int k = 0; k < mixture->modes; k++) {
        share[k] /= sum;
    }
}

/* In mode k, x_t = noise·x0 + t·x1 and x1 are jointly normal, so that with variance = noise² + t²·deviation²
 * E[x1 | x_t] = mean + t·deviation²/variance·(x_t − t·mean) and E[x0 | x_t] = noise/variance·(x_t − t·mean). */
void fs_mixture_velocity(const struct fs_mixture *mixture, const double *x, double t, int32_t label, double *velocity)
{
    const double noise = 1 - (1 - SIGMA) * t;
    double share[8] = {0};
    if (label >= 0 && label < mixture->modes) {
        share[label] = 1;
    } else {
        posterior(mixture, x, t, noise, share);
    }
    for (int d = 0; d < mixture->dim; d++) {
        velocity[d] = 0;
    }
    for (int k = 0; k < mixture->modes; k++) {
        const double square = mixture->deviation[k] * mixture->deviation[k];
        const double slope = (t * square - (1 - SIGMA) * noise) / (noise * noise + t * t * square);
        for (int d = 0; d < mixture->dim; d++) {
            const double mean = mixture->mean[k][d];
            velocity[d] += share[k] * (mean + slope * (x[d] - t * mean));
        }
    }
}

/* Row i of the split: its normals stand in the first blocks of the random row, its mode in the one behind them. */
static struct fs_random_key key_of(enum fs_split split)
{
    return (struct fs_random_key){.stream = FS_STREAM_SYNTHETIC_DATA, .step = (uint32_t)split};
}

static int32_t draw_mode(const struct fs_mixture *mixture, enum fs_split split, int64_t index)
{
    const uint32_t blocks = (uint32_t)(mixture->dim + 3) / 4;
    const double u = (double)fs_uniform(key_of(split), (uint32_t)index, 4 * blocks);
    int32_t mode = 0;
    for (double reached = mixture->weight[0]; mode + 1 < mixture->modes && u >= reached;) {
        reached += mixture->weight[++mode];
    }
    return mode;
}

static void draw_row(const struct fs_mixture *mixture, enum fs_split split, int64_t index, int32_t mode, float *row)
{
    for (int d = 0; d < mixture->dim; d += 4) {
        float normals[4];
        fs_normals4(key_of(split), (uint32_t)index, (uint32_t)d / 4, normals);
        for (int i = 0; i < 4 && d + i < mixture->dim; i++) {
            row[d + i] = (float)(mixture->mean[mode][d + i] + mixture->deviation[mode] * (double)normals[i]);
        }
    }
}

/* --- the data set: nothing lies anywhere, each row is drawn when it is read --- */

static fs_status gaussian_mixture_shape(const struct fs_dataset_config *config, enum fs_split split,
                                        struct fs_data_shape *shape, struct fs_error *error)
{
    if (*config->path) {
        return fs_fail(error, FS_USAGE, "gaussian-mixture is computed and has no folder, got '%s'", config->path);
    }
    *shape = (struct fs_data_shape){SIDE, SIDE, 1, MODES, split == FS_SPLIT_TRAIN ? TRAIN_COUNT : TEST_COUNT};
    return FS_OK;
}

static fs_status gaussian_mixture_open(const struct fs_dataset_config *config, const struct fs_data_access *access,
                                       struct fs_dataset *dataset, struct fs_error *error)
{
    (void)config, (void)access;
    const int64_t count = dataset->shape.count;
    dataset->labels = fs_allocate((size_t)count, sizeof *dataset->labels, "mixture", error);
    if (!dataset->labels) {
        return FS_FAILED;
    }
    for (int64_t i = 0; i < count; i++) {
        dataset->labels[i] = draw_mode(&standard, dataset->split, i);
    }
    return FS_OK;
}

static fs_status gaussian_mixture_read(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit,
                                       float *out, struct fs_error *error)
{
    (void)visit, (void)error;
    draw_row(&standard, dataset->split, index, dataset->labels[index], out);
    return FS_OK;
}

const struct fs_data_source fs_gaussian_mixture = {
    .kind = "gaussian-mixture",
    .shape = gaussian_mixture_shape,
    .open = gaussian_mixture_open,
    .read = gaussian_mixture_read,
};
