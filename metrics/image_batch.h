/* Pictures in memory, as extractors and resizers take them. */
#ifndef FEWSTEP_IMAGE_BATCH_H
#define FEWSTEP_IMAGE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

/* NHWC. uint8 pixels span 0 … 255; float32 values span low … high. */
struct fs_image_batch {
    const void *pixels;
    bool is_uint8;
    int64_t count, height, width, channels;
    float low, high;
};

#endif
