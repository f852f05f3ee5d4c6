/* A feature extractor: pictures in, named taps of features out. */
#ifndef FEWSTEP_EXTRACTOR_H
#define FEWSTEP_EXTRACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/backend.h"

/* NHWC. uint8 pixels span 0 … 255; float32 values span low … high. */
struct fs_image_batch {
    const void *pixels;
    bool is_uint8;
    int64_t count, height, width, channels;
    float low, high;
};

struct fs_tap {
    const char *name; /* "pool" */
    int64_t dim;
};

struct fs_extractor {
    const char *name; /* "fashion-cnn" */
    char sha256[65];  /* of its weights */
    const struct fs_tap *taps;
    int tap_count;
    int64_t batch_max; /* pictures a call */
    void *state;
    /* features[k] [count, taps[k].dim] floats, dense, the caller's; NULL for a tap that is not wanted. FS_USAGE for
     * pictures of a size or number of channels that it cannot take. */
    fs_status (*extract)(struct fs_extractor *extractor, const struct fs_image_batch *batch, float *const *features,
                         struct fs_error *error);
    void (*destroy)(struct fs_extractor *extractor);
};

/* By name ("fashion-cnn"); `backend` must outlive it. FS_USAGE names the ones there are, or says that the weights are
 * missing or not the ones expected, and how to get them. */
fs_status fs_extractor_open(const char *name, struct fs_backend *backend, struct fs_extractor *extractor,
                            struct fs_error *error);
void fs_extractor_close(struct fs_extractor *extractor);
/* Names there are, NULL past the last. */
const char *fs_extractor_name(int index);

#endif
