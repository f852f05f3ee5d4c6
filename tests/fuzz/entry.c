/* libFuzzer's way into one target: compiled once a target, with FUZZ_TARGET its name. */
#include "tests/fuzz/targets.h"

#ifndef FUZZ_TARGET
#define FUZZ_TARGET fuzz_npy /* for the linters */
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_TARGET(data, size);
    return 0;
}
