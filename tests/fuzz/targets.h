/* What libFuzzer feeds to each reader of foreign files, and what `make test` replays from the corpora. A target gives
 * back all that it took; a finding is a crash, a sanitizer's report, a leak, or minutes for one input. */
#ifndef FEWSTEP_FUZZ_TARGETS_H
#define FEWSTEP_FUZZ_TARGETS_H

#include <stddef.h>
#include <stdint.h>

typedef void fuzz_target(const uint8_t *data, size_t size);

fuzz_target fuzz_safetensors, fuzz_npy, fuzz_npz, fuzz_idx, fuzz_latents, fuzz_yaml, fuzz_png, fuzz_jpeg, fuzz_cifar10,
    fuzz_manifest, fuzz_weights;

/* A file in memory with this content, for readers that take a path; valid until the next call. */
const char *fuzz_file(const uint8_t *data, size_t size);

/* Reads every byte, so that a sanitizer sees what lies outside. */
void fuzz_touch(const void *data, size_t size);

#endif
