/* Data sets: decoded once, read by index. */
#ifndef FEWSTEP_DATASET_H
#define FEWSTEP_DATASET_H

#include "harness/config/config.h"

enum fs_split { FS_SPLIT_TRAIN, FS_SPLIT_TEST };

struct fs_dataset {
    char name[64];
    int height, width, channels;
    int classes;
    int64_t count;
    uint8_t *pixels;           /* [count, H·W·C], or NULL for real-valued data */
    float *values;             /* [count, H·W·C], or NULL for pictures */
    int32_t *labels;           /* [count] */
    char sha256[FS_HASH_TEXT]; /* over the decoded contents and shape */
};

static inline struct fs_data_shape fs_shape_of(const struct fs_dataset *data)
{
    return (struct fs_data_shape){data->height, data->width, data->channels, data->classes, data->count};
}

/* Numbers in a row: H·W·C. */
static inline int64_t fs_dataset_dim(const struct fs_dataset *dataset)
{
    return (int64_t)dataset->height * dataset->width * dataset->channels;
}

/* fashion-mnist (from `path`, or Debian's dataset-fashion-mnist; gzipped or plain IDX) or gaussian-mixture. FS_USAGE
 * for a missing or corrupt file (wrong magic, short, wrong hash: what, where, what to install). */
fs_status fs_dataset_open(const struct fs_dataset_config *config, enum fs_split split, struct fs_dataset *dataset,
                          struct fs_error *error);
void fs_dataset_close(struct fs_dataset *dataset);
/* Names there are, NULL past the last. */
const char *fs_dataset_name(int index);
/* Whether `config` fits the data set that it names; its shape, without reading the pixels. FS_USAGE with file, line and
 * key where there is no such data set or the model does not fit its pictures. */
fs_status fs_dataset_check(const struct fs_config *config, struct fs_data_shape *shape, struct fs_error *error);
/* H, W, C and classes without reading the pixels. */
fs_status fs_dataset_shape(const struct fs_dataset_config *config, struct fs_dataset *shape, struct fs_error *error);

/* Row i in data scale (pictures: [−1, 1]) to out [H·W·C]. */
void fs_dataset_row(const struct fs_dataset *dataset, int64_t index, float *out);

/* The indices of rows first_row … first_row + rows − 1 of the global batch at `update`: a walk through one permutation
 * of the data set after the other, each a keyed bijection of FS_STREAM_DATA_ORDER, so that any place can be computed
 * without what came before (a resume needs no state). */
void fs_data_order(int64_t count, uint32_t seed, int64_t update, int batch, int first_row, int rows, int64_t *indices);

/* The Gaussian mixture: `modes` in `dim` dimensions, well inside ±4. The exact flow-matching velocity
 * E[x1 − (1 − σ)·x0 | x_t = x] in closed form, in double; given the mode `label`, or of all modes for any other label
 * (the null label is `modes`). */
struct fs_mixture {
    int dim, modes;
    double mean[8][16];
    double deviation[8];
    double weight[8];
};
const struct fs_mixture *fs_mixture_standard(void);
void fs_mixture_velocity(const struct fs_mixture *mixture, const double *x, double t, int32_t label, double *velocity);

#endif
