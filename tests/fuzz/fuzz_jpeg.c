/* JPEG pictures. */
#include "harness/data/decoders.h"
#include "tests/fuzz/targets.h"

#include <stdlib.h>

void fuzz_jpeg(const uint8_t *data, size_t size)
{
    struct fs_picture picture = {0};
    struct fs_error error;
    if (fs_jpeg_decode(&FS_PLAIN_RULES, "fuzz.jpeg", data, size, &picture, &error) == FS_OK) {
        fuzz_touch(picture.pixels, (size_t)picture.height * (size_t)picture.width * (size_t)picture.channels);
    }
    free(picture.pixels);
}
