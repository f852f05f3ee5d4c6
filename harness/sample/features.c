/* Samples through an extractor, batch by batch. */
#include "harness/sample/features.h"

#include "harness/data/png.h"

fs_status fs_extract_samples(struct fs_extractor *extractor, const struct fs_data_shape *shape, const float *samples,
                             int64_t n, uint8_t *pixels, float *const taps[FS_TAPS_MAX], struct fs_error *error)
{
    const int64_t dim = fs_shape_dim(shape);
    float *at[FS_TAPS_MAX] = {0};
    for (int64_t done = 0; done < n; done += extractor->batch_max) {
        const int64_t count = n - done < extractor->batch_max ? n - done : extractor->batch_max;
        struct fs_image_batch batch = {.pixels = samples + done * dim,
                                       .count = count,
                                       .height = shape->height,
                                       .width = shape->width,
                                       .channels = shape->channels,
                                       .low = -1,
                                       .high = 1};
        if (pixels) {
            for (int64_t i = 0; i < count * dim; i++) {
                pixels[i] = fs_pixel(samples[done * dim + i]);
            }
            batch.pixels = pixels;
            batch.is_uint8 = true;
        }
        for (int k = 0; k < extractor->tap_count; k++) {
            at[k] = taps[k] ? taps[k] + done * extractor->taps[k].dim : NULL;
        }
        FS_TRY(extractor->extract(extractor, &batch, at, error));
    }
    return FS_OK;
}
