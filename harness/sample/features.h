/* Samples through an extractor. */
#ifndef FEWSTEP_FEATURES_H
#define FEWSTEP_FEATURES_H

#include "harness/data/dataset.h"
#include "metrics/extractor.h"

/* taps[k] [n, dim of tap k], NULL where it is not wanted, of `n` samples in data scale. `pixels` [n, dim] is scratch in
 * which they are rounded to 8 bits before, or NULL. */
fs_status fs_extract_samples(struct fs_extractor *extractor, const struct fs_dataset *shape, const float *samples,
                             int64_t n, uint8_t *pixels, float *const taps[FS_TAPS_MAX], struct fs_error *error);

/* Pictures first … first + n − 1 of `data` to rows [n, dim]. */
void fs_dataset_rows(const struct fs_dataset *data, int64_t first, int64_t n, float *rows);

#endif
