/* .npy arrays. */
#include "kernels/base/npy.h"
#include "tests/fuzz/targets.h"

#include <stdlib.h>

void fuzz_npy(const uint8_t *data, size_t size)
{
    struct fs_array array;
    struct fs_error error;
    if (fs_npy_parse("fuzz.npy", data, size, &array, &error) == FS_OK) {
        static const size_t sizes[] = {4, 8, 1, 4, 8};
        size_t bytes = sizes[array.type];
        for (int d = 0; d < array.rank; d++) {
            bytes *= (size_t)array.shape[d];
        }
        fuzz_touch(array.data, bytes);
    }
    free(array.data);
}
