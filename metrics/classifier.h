/* A small convolutional classifier of square pictures, trained by train_classifier.h, whose layer before the last is a
 * feature extractor; `fashion-cnn` is one of them. Each layer is a convolution; the fully connected ones have windows
 * as large as their input. For 28 × 28 grey pictures of 10 classes:
 *
 *     28×28×1 → 28×28×16 → 14×14×32 → 7×7×64 → 4×4×64 → 128 (the tap "penultimate") → 10 logits
 *
 * with 3×3 windows, stride 2 from the second on, and a ReLU after all but the last. */
#ifndef FEWSTEP_CLASSIFIER_H
#define FEWSTEP_CLASSIFIER_H

#include "kernels/backend.h"
#include "kernels/base/file.h"
#include "metrics/extractor.h"

#define FS_CLASSIFIER_FEATURES 128
#define FS_CLASSIFIER_LAYERS 6
#define FS_CLASSIFIER_SIDE_MIN 28
#define FS_CLASSIFIER_SIDE_MAX 64
#define FS_CLASSIFIER_CLASSES_MAX 1000

/* Of its pictures, and how many classes they have. */
struct fs_classifier_shape {
    int side, channels, classes;
};
static inline int64_t fs_classifier_pixels(const struct fs_classifier_shape *shape)
{
    return (int64_t)shape->side * shape->side * shape->channels;
}

struct fs_classifier_layer {
    const char *name; /* of its tensors: conv1.weight [O, C, kh, kw], conv1.bias [O] */
    struct fs_window window;
    bool relu;
};

struct fs_classifier {
    struct fs_backend *backend; /* outlives it */
    struct fs_classifier_shape shape;
    struct fs_classifier_layer layers[FS_CLASSIFIER_LAYERS];
    int64_t batch_max;
    float *parameters;                            /* in the backend's memory: each layer's weight, then its bias */
    float *activations[FS_CLASSIFIER_LAYERS + 1]; /* [0]: the pictures, [i + 1]: what layer i gives */
};

/* Parameters are zero. FS_USAGE for a backend that is not float32, and for a shape outside the limits above. Give back
 * with destroy, also after a failure. */
fs_status fs_classifier_create(struct fs_backend *backend, const struct fs_classifier_shape *shape, int64_t batch_max,
                               struct fs_classifier *classifier, struct fs_error *error);
void fs_classifier_destroy(struct fs_classifier *classifier);

int64_t fs_classifier_parameter_count(const struct fs_classifier *classifier);
/* A layer's part of a buffer that is laid out as the parameters (or their gradients). */
struct fs_view fs_classifier_weight(const struct fs_classifier *classifier, float *parameters, int layer);
struct fs_view fs_classifier_bias(const struct fs_classifier *classifier, float *parameters, int layer);
/* What layer `index` − 1 gave for the first `count` pictures (0: the pictures themselves), as a view; the features are
 * at FS_CLASSIFIER_LAYERS − 1, the logits at FS_CLASSIFIER_LAYERS. */
struct fs_view fs_classifier_activation(const struct fs_classifier *classifier, int index, int64_t count);

/* The layers of a network for such pictures. */
void fs_classifier_layers(const struct fs_classifier_shape *shape,
                          struct fs_classifier_layer layers[FS_CLASSIFIER_LAYERS]);

/* From activation 0, pictures in [−1, 1], to the activation `last`. */
void fs_classifier_forward(struct fs_classifier *classifier, int64_t count, int last);

/* What the file says of its pictures and classes. FS_USAGE for a file that is none of these networks. */
fs_status fs_classifier_read_shape(const char *path, struct fs_classifier_shape *shape, struct fs_error *error);
/* FS_USAGE for a file that does not hold a network of this shape. */
fs_status fs_classifier_read(struct fs_classifier *classifier, const char *path, struct fs_error *error);
fs_status fs_classifier_write(struct fs_classifier *classifier, const char *path, struct fs_error *error);

/* The extractor (extractor.h) of the file at `path`, called by its name without the ending and, where scores are told
 * apart, by the beginning of its SHA-256 too. FS_USAGE where it is missing or no such network. */
fs_status fs_classifier_open(struct fs_backend *backend, const char *path, struct fs_extractor *extractor,
                             struct fs_error *error);

#endif
