/* Pictures in a page: PNG files read, cut up, and written into the text. */
#include "harness/report/picture.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "kernels/base/memory.h"

#define GAP 1

/* --- grids --- */

/* The pixels of the picture that become one of the reduced one: a multiple of the zoom that divides the side. */
static int reduction_for(const struct fs_sample_grid *grid, int limit)
{
    int reduction = grid->zoom;

    while (grid->side / reduction > limit || grid->side % reduction != 0) {
        reduction += grid->zoom;
        if (reduction >= grid->side) {
            return grid->side;
        }
    }
    return reduction;
}

/* The mean of a square of pixels, rounded. */
static void average(const struct fs_picture *picture, int top, int left, int side, uint8_t *out)
{
    for (int c = 0; c < picture->channels; c++) {
        unsigned sum = 0;
        for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
                sum += fs_picture_pixel(picture, top + y, left + x)[c];
            }
        }
        out[c] = (uint8_t)((sum + (unsigned)(side * side) / 2) / (unsigned)(side * side));
    }
}

fs_status fs_sample_grid_part(const struct fs_sample_grid *grid, int row, int across, int limit,
                              struct fs_picture *part, struct fs_error *error)
{
    const int reduction = reduction_for(grid, limit), side = grid->side / reduction;
    const int down = (grid->columns + across - 1) / across;

    *part = (struct fs_picture){
        .height = down * (side + GAP) - GAP, .width = across * (side + GAP) - GAP, .channels = grid->picture.channels};
    part->pixels = fs_allocate((size_t)part->height * (size_t)part->width, (size_t)part->channels, "a picture", error);
    if (!part->pixels) {
        return FS_FAILED;
    }
    for (int i = 0; i < grid->columns; i++) {
        const int top = i / across * (side + GAP), left = i % across * (side + GAP);
        int from_top, from_left;
        fs_sample_grid_place(grid, row, i, &from_top, &from_left);
        for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
                average(&grid->picture, from_top + y * reduction, from_left + x * reduction, reduction,
                        fs_picture_pixel(part, top + y, left + x));
            }
        }
    }
    return FS_OK;
}

/* --- into the text --- */

/* RFC 4648, section 4. */
static void print_base64(const uint8_t *bytes, size_t size, FILE *stream)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        const unsigned group = (unsigned)bytes[i] << 16 | (i + 1 < size ? (unsigned)bytes[i + 1] << 8 : 0) |
                               (i + 2 < size ? bytes[i + 2] : 0);
        fputc(digits[group >> 18], stream);
        fputc(digits[group >> 12 & 63], stream);
        fputc(i + 1 < size ? digits[group >> 6 & 63] : '=', stream);
        fputc(i + 2 < size ? digits[group & 63] : '=', stream);
    }
}

fs_status fs_picture_print(const struct fs_picture *picture, FILE *stream, struct fs_error *error)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)picture->width,
        .height = (png_uint_32)picture->height,
        .format = picture->channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB,
    };
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    uint8_t *bytes = fs_allocate(size, 1, "a picture", error);

    if (!bytes) {
        return FS_FAILED;
    }
    const int written = png_image_write_to_memory(&image, bytes, &size, 0, picture->pixels, 0, NULL);
    if (written) {
        fputs("data:image/png;base64,", stream);
        print_base64(bytes, size, stream);
    }
    free(bytes);
    return written ? FS_OK : fs_fail(error, FS_FAILED, "a picture could not be compressed: %s", image.message);
}
