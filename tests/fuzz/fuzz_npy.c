/* .npy arrays. */
#include "kernels/base/npy.h"
#include "tests/fuzz/targets.h"

#include <stdlib.h>

void fuzz_npy(const uint8_t *data, size_t size)
{
    struct fs_array array;
    struct fs_error error;
    if (fs_npy_parse("fuzz.npy", data, size, &array, &error) == FS_OK) {
        fuzz_touch(array.data, fs_npy_data_bytes(&array));
    }
    free(array.data);
}
