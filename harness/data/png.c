/* PNG pictures (libpng). */
#include "harness/data/png.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define GAP 1
#define TEXT_FILE_MAX ((size_t)1 << 28)
#define SIDE_MAX 1000000 /* libpng's own bound */
#define GAP_GREY 64      /* to be told from a black background */

uint8_t fs_pixel(float value)
{
    /* In this order a NaN becomes black. */
    return value >= 1.0f ? 255 : value > -1.0f ? (uint8_t)((value + 1.0f) * 127.5f + 0.5f) : 0;
}

/* Bytes of a PNG in fresh memory. */
static fs_status encode(const char *path, const uint8_t *pixels, int height, int width, int channels, uint8_t **bytes,
                        size_t *size, struct fs_error *error)
{
    if (height < 1 || width < 1 || (channels != 1 && channels != 3)) {
        return fs_fail(error, FS_FAILED, "%s: no PNG has %d × %d pixels of %d channels here", path, height, width,
                       channels);
    }
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)width,
        .height = (png_uint_32)height,
        .format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB,
    };
    *size = PNG_IMAGE_PNG_SIZE_MAX(image);
    *bytes = fs_allocate(*size, 1, path, error);
    if (!*bytes) {
        return FS_FAILED;
    }
    if (!png_image_write_to_memory(&image, *bytes, size, 0, pixels, 0, NULL)) {
        free(*bytes);
        return fs_fail(error, FS_FAILED, "%s: writing failed: %s", path, image.message);
    }
    return FS_OK;
}

/* A PNG is its signature of 8 bytes and chunks: length, type, as many bytes, and a CRC-32 of type and bytes. The first,
 * IHDR, has 13 bytes; ours comes behind it. */
enum { SIGNATURE = 8, CHUNK_HEAD = 8, CHUNK_TAIL = 4, HEADER_END = SIGNATURE + CHUNK_HEAD + 13 + CHUNK_TAIL };
static const char text_begin[] = "tEXtfewstep"; /* type and keyword; the keyword's zero byte is there, too */

static void put_big_endian(uint8_t bytes[4], uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static uint32_t get_big_endian(const uint8_t bytes[4])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void write_text(const char *text, FILE *stream)
{
    uint8_t number[4];
    const size_t length = strlen(text);
    uLong sum = crc32(0, (const Bytef *)text_begin, sizeof text_begin);

    put_big_endian(number, (uint32_t)(sizeof text_begin - 4 + length));
    fwrite(number, 1, 4, stream);
    fwrite(text_begin, 1, sizeof text_begin, stream);
    fwrite(text, 1, length, stream);
    sum = crc32(sum, (const Bytef *)text, (uInt)length);
    put_big_endian(number, (uint32_t)sum);
    fwrite(number, 1, 4, stream);
}

fs_status fs_png_write_text(const char *path, const uint8_t *pixels, int height, int width, int channels,
                            const char *text, struct fs_error *error)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct fs_new_file file;
    FS_TRY(encode(path, pixels, height, width, channels, &bytes, &size, error));
    fs_status status = fs_new_file_open(&file, path, error);
    if (status == FS_OK) {
        fwrite(bytes, 1, HEADER_END, file.stream);
        if (text) {
            write_text(text, file.stream);
        }
        fwrite(bytes + HEADER_END, 1, size - HEADER_END, file.stream);
        status = fs_new_file_commit(&file, error);
    }
    free(bytes);
    return status;
}

fs_status fs_png_write(const char *path, const uint8_t *pixels, int height, int width, int channels,
                       struct fs_error *error)
{
    return fs_png_write_text(path, pixels, height, width, channels, NULL, error);
}

fs_status fs_png_read_text(const char *path, char *text, size_t size, struct fs_error *error)
{
    char *bytes;
    size_t count;
    *text = '\0';
    FS_TRY(fs_file_read(path, TEXT_FILE_MAX, &bytes, &count, error));
    for (size_t at = SIGNATURE; at + CHUNK_HEAD <= count;) {
        const size_t length = get_big_endian((const uint8_t *)bytes + at), key = sizeof text_begin - 4;
        if (length > count - at - CHUNK_HEAD) {
            break;
        }
        if (length >= key && memcmp(bytes + at + 4, text_begin, sizeof text_begin) == 0 && length - key < size) {
            memcpy(text, bytes + at + 4 + sizeof text_begin, length - key);
            text[length - key] = '\0';
            break;
        }
        at += CHUNK_HEAD + length + CHUNK_TAIL;
    }
    free(bytes);
    return FS_OK;
}

/* Length of a side of the grid in pixels; false when no picture can be that large. */
static bool grid_side(int samples, int length, int zoom, int *side)
{
    const int64_t pixels = samples >= 1 && length >= 1 && zoom >= 1 && (int64_t)length * zoom < INT_MAX
                               ? ((int64_t)length * zoom + GAP) * samples - GAP
                               : 0;
    *side = (int)pixels;
    return pixels >= 1 && pixels <= SIDE_MAX;
}

/* One enlarged sample at `out`, its upper left corner in a picture with `row_bytes` a line. */
static void draw_sample(uint8_t *out, size_t row_bytes, const float *sample, int height, int width, int channels,
                        int zoom)
{
    const int colours = channels < 3 ? 1 : 3;
    for (int y = 0; y < height * zoom; y++) {
        for (int x = 0; x < width * zoom; x++) {
            const float *from = sample + ((size_t)(y / zoom) * (size_t)width + (size_t)(x / zoom)) * (size_t)channels;
            for (int c = 0; c < colours; c++) {
                out[(size_t)y * row_bytes + (size_t)(x * colours + c)] = fs_pixel(from[c]);
            }
        }
    }
}

fs_status fs_png_write_grid(const char *path, const float *samples, int rows, int cols, int height, int width,
                            int channels, int zoom, struct fs_error *error)
{
    int grid_height, grid_width;
    if (!grid_side(rows, height, zoom, &grid_height) || !grid_side(cols, width, zoom, &grid_width) || channels < 1) {
        return fs_fail(error, FS_FAILED, "%s: no grid of %d × %d samples can be drawn", path, rows, cols);
    }
    const int colours = channels < 3 ? 1 : 3;
    const size_t row_bytes = (size_t)grid_width * (size_t)colours;
    uint8_t *pixels = fs_allocate((size_t)grid_height, row_bytes, path, error);
    if (!pixels) {
        return FS_FAILED;
    }
    memset(pixels, GAP_GREY, (size_t)grid_height * row_bytes);
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < cols; j++) {
            const size_t top = (size_t)i * (size_t)(height * zoom + GAP);
            const size_t left = (size_t)j * (size_t)(width * zoom + GAP) * (size_t)colours;
            const size_t index = (size_t)i * (size_t)cols + (size_t)j;
            draw_sample(pixels + top * row_bytes + left, row_bytes,
                        samples + index * (size_t)height * (size_t)width * (size_t)channels, height, width, channels,
                        zoom);
        }
    }
    const fs_status status = fs_png_write(path, pixels, grid_height, grid_width, colours, error);
    free(pixels);
    return status;
}
