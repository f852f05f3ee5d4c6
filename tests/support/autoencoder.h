/* Narrow autoencoders with random weights, as files, for tests. */
#ifndef FEWSTEP_TEST_AUTOENCODER_H
#define FEWSTEP_TEST_AUTOENCODER_H

#include <stdint.h>

#include "kernels/base/safetensors.h"

struct test_autoencoder {
    int stages;
    int64_t widths[4]; /* multiples of 32 */
    int64_t latents;   /* channels */
    int old_names;     /* query, key, value and proj_attn, [C, C, 1, 1] */
};

/* Widths 32, 64, 64, 64 and 4 channels, as tests/golden/make_autoencoder_golden.py makes it. */
extern const struct test_autoencoder test_narrow_autoencoder;

/* Called for each tensor, whose numbers (float32) may be changed, before it is written; false: left out. */
typedef int (*test_autoencoder_edit)(void *context, struct fs_tensor *tensor, float *numbers);

/* Writes its safetensors file; the same numbers for the same names and shapes. `edit` may be NULL. */
void test_write_autoencoder(const char *path, const struct test_autoencoder *autoencoder, test_autoencoder_edit edit,
                            void *context);

/* Number `i` of the stream named `name`, uniform in [0, 1): the same in the golden scripts. */
double test_named_uniform(const char *name, uint32_t i);

#endif
