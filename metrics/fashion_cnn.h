/* fashion-cnn: a small classifier of 28 × 28 grey pictures, trained on Fashion-MNIST (train_fashion_cnn.h), whose layer
 * before the last is a feature extractor. Each layer is a convolution; the fully connected ones have windows as large
 * as their input:
 *
 *     28×28×1 → 28×28×16 → 14×14×32 → 7×7×64 → 4×4×64 → 128 (the tap "penultimate") → 10 logits
 *
 * with 3×3 windows, stride 2 from the second on, and a ReLU after all but the last. */
#ifndef FEWSTEP_FASHION_CNN_H
#define FEWSTEP_FASHION_CNN_H

#include "kernels/backend.h"
#include "kernels/base/file.h"
#include "metrics/extractor.h"

/* Of metrics/fashion-cnn.safetensors. The committed file is the extractor, frozen: another one makes other scores. */
#define FS_FASHION_CNN_SHA256 "65cc99ceaf4bdd1fb0c0ea18e87afff6fad563104a28f40b0d97fb0549cbd9c5"

#define FS_FASHION_CNN_SIDE 28 /* pixels */
#define FS_FASHION_CNN_PIXELS (FS_FASHION_CNN_SIDE * FS_FASHION_CNN_SIDE)
#define FS_FASHION_CNN_FEATURES 128
#define FS_FASHION_CNN_CLASSES 10
#define FS_FASHION_CNN_LAYERS 6

struct fs_fashion_cnn_layer {
    const char *name; /* of its tensors: conv1.weight [O, C, kh, kw], conv1.bias [O] */
    struct fs_window window;
    bool relu;
};
const struct fs_fashion_cnn_layer *fs_fashion_cnn_layer(int index);

struct fs_fashion_cnn {
    struct fs_backend *backend; /* outlives it */
    int64_t batch_max;
    float *parameters;                             /* in the backend's memory: each layer's weight, then its bias */
    float *activations[FS_FASHION_CNN_LAYERS + 1]; /* [0]: the pictures, [i + 1]: what layer i gives */
};

/* Parameters are zero. FS_USAGE for a backend that is not float32. Give back with destroy, also after a failure. */
fs_status fs_fashion_cnn_create(struct fs_backend *backend, int64_t batch_max, struct fs_fashion_cnn *cnn,
                                struct fs_error *error);
void fs_fashion_cnn_destroy(struct fs_fashion_cnn *cnn);

int64_t fs_fashion_cnn_parameter_count(void);
/* A layer's part of a buffer that is laid out as the parameters (or their gradients). */
struct fs_view fs_fashion_cnn_weight(float *parameters, int layer);
struct fs_view fs_fashion_cnn_bias(float *parameters, int layer);
/* What layer `index` − 1 gave for the first `count` pictures (0: the pictures themselves), as a view; the features are
 * at FS_FASHION_CNN_LAYERS − 1, the logits at FS_FASHION_CNN_LAYERS. */
struct fs_view fs_fashion_cnn_activation(const struct fs_fashion_cnn *cnn, int index, int64_t count);

/* From activation 0, pictures in [−1, 1], to the activation `last`. */
void fs_fashion_cnn_forward(struct fs_fashion_cnn *cnn, int64_t count, int last);

/* FS_USAGE for a file that does not hold this network. */
fs_status fs_fashion_cnn_read(struct fs_fashion_cnn *cnn, const char *path, struct fs_error *error);
fs_status fs_fashion_cnn_write(struct fs_fashion_cnn *cnn, const char *path, struct fs_error *error);

/* Where fashion-cnn.safetensors is (weights_file.h). */
fs_status fs_fashion_cnn_find(char path[FS_PATH_ROOM], struct fs_error *error);

/* The extractor (extractor.h). FS_USAGE when the weights are missing or not those of FS_FASHION_CNN_SHA256. */
fs_status fs_fashion_cnn_open(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error);

#endif
