/* The recipe that fashion-cnn was trained by, for any square pictures with classes. */
#ifndef FEWSTEP_TRAIN_CLASSIFIER_H
#define FEWSTEP_TRAIN_CLASSIFIER_H

#include "metrics/classifier.h"

/* Pictures and their classes, from 0. Owns nothing. */
struct fs_labelled_pictures {
    const uint8_t *pixels; /* [count, side·side·channels] */
    const int32_t *labels; /* [count] */
    int64_t count;
    struct fs_classifier_shape shape;
};

struct fs_classifier_recipe {
    int epochs, batch;
    float learning_rate; /* of the first update; falls to 0 on a line */
    float weight_decay;
    uint32_t seed;
    double accuracy; /* a network that reaches less on the test pictures is not written */
};
/* The one that metrics/fashion-cnn.safetensors was made with. */
struct fs_classifier_recipe fs_classifier_recipe(void);

/* Told after each update: its number, how many there will be, the cross-entropy of its batch. */
struct fs_classifier_watch {
    void (*update)(void *context, int64_t update, int64_t updates, double loss);
    void *context;
};

struct fs_classifier_result {
    double accuracy; /* on the test pictures, 0 … 1; set, too, when it was too low */
    char sha256[65]; /* of the file */
};

/* AdamW on the softmax cross-entropy, pictures mirrored and moved by a pixel at random; writes `output`. `watch` may be
 * NULL. The same binary, instruction set and thread count write the same bytes. FS_USAGE for a backend without
 * convolution_backward, too few pictures or an impossible label; FS_FAILED when the accuracy was not reached. */
fs_status fs_classifier_train(struct fs_backend *backend, const struct fs_classifier_recipe *recipe,
                              const struct fs_labelled_pictures *train, const struct fs_labelled_pictures *test,
                              const char *output, const struct fs_classifier_watch *watch,
                              struct fs_classifier_result *result, struct fs_error *error);

/* The share of `pictures` that the network puts into their class. */
fs_status fs_classifier_accuracy(struct fs_classifier *classifier, const struct fs_labelled_pictures *pictures,
                                 double *accuracy, struct fs_error *error);

#endif
