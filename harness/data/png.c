/* PNG pictures (libpng). */
#include "harness/data/png.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define GAP 1
#define SIDE_MAX 1000000 /* libpng's own bound */
#define GAP_GREY 64      /* to be told from a black background */

uint8_t fs_pixel(float value)
{
    /* In this order a NaN becomes black. */
    return value >= 1.0f ? 255 : value > -1.0f ? (uint8_t)((value + 1.0f) * 127.5f + 0.5f) : 0;
}

fs_status fs_png_write(const char *path, const uint8_t *pixels, int height, int width, int channels,
                       struct fs_error *error)
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
    struct fs_new_file file;
    FS_TRY(fs_new_file_open(&file, path, error));
    if (!png_image_write_to_stdio(&image, file.stream, 0, pixels, 0, NULL)) {
        fs_new_file_abandon(&file);
        return fs_fail(error, FS_FAILED, "%s: writing failed: %s", path, image.message);
    }
    return fs_new_file_commit(&file, error);
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
