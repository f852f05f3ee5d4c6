/* Samples through an extractor. */
#ifndef FEWSTEP_FEATURES_H
#define FEWSTEP_FEATURES_H

#include "harness/config/config.h"
#include "metrics/extractor.h"

/* taps[k] [n, dim of tap k], NULL where it is not wanted, of `n` samples in data scale. `pixels` [n, dim] is scratch in
 * which they are rounded to 8 bits before, or NULL. */
fs_status fs_extract_samples(struct fs_extractor *extractor, const struct fs_data_shape *shape, const float *samples,
                             int64_t n, uint8_t *pixels, float *const taps[FS_TAPS_MAX], struct fs_error *error);

#endif
