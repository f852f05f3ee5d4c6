/* PNG pictures, as they are and with each chunk's checksum made right: most of what a fuzzer changes is found by the
 * checksums, and never gets further. */
#include "harness/data/decoders.h"
#include "tests/fuzz/targets.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

static void decode_by(const struct fs_picture_rules *rules, const uint8_t *data, size_t size)
{
    struct fs_picture picture = {0};
    struct fs_error error;
    if (fs_png_decode(rules, "fuzz.png", data, size, &picture, &error) == FS_OK) {
        fuzz_touch(picture.pixels, (size_t)picture.height * (size_t)picture.width * (size_t)picture.channels);
    }
    free(picture.pixels);
}

static void decode(const uint8_t *data, size_t size)
{
    const struct fs_picture_rules blended = {200, FS_PICTURE_PIXELS_MAX};
    decode_by(&FS_PLAIN_RULES, data, size);
    decode_by(&blended, data, size);
}

static uint32_t word(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* A chunk: its length, its name, so many bytes, the checksum of name and bytes. */
static void mend_checksums(uint8_t *data, size_t size)
{
    for (size_t at = 8; size >= 12 && at <= size - 12;) {
        const uint32_t length = word(data + at);
        if (length > size - 12 - at) {
            return;
        }
        const uint32_t sum = (uint32_t)crc32(0, data + at + 4, 4 + length);
        for (size_t i = 0; i < 4; i++) {
            data[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
        }
        at += 12 + (size_t)length;
    }
}

void fuzz_png(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    decode(data, size);
    if (copy) {
        memcpy(copy, data, size);
        mend_checksums(copy, size);
        decode(copy, size);
    }
    free(copy);
}
