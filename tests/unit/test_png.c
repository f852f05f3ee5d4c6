/* PNG: what libpng reads back is what was written. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <png.h>

#include "harness/data/png.h"
#include "tests/support/folder.h"

static struct fs_error error;

static uint8_t *read_back(const char *path, int height, int width, int channels)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_int_not_equal(png_image_begin_read_from_file(&image, path), 0);
    assert_int_equal(image.height, height);
    assert_int_equal(image.width, width);
    assert_int_equal(image.format, channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB);
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(image));
    assert_non_null(pixels);
    assert_int_not_equal(png_image_finish_read(&image, NULL, pixels, 0, NULL), 0);
    return pixels;
}

static void pictures_come_back(void **state)
{
    (void)state;
    uint8_t pixels[7 * 5 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 89 % 256);
    }
    for (int channels = 1; channels <= 3; channels += 2) {
        assert_int_equal(fs_png_write(test_path("a.png"), pixels, 7, 5, channels, &error), FS_OK);
        uint8_t *read = read_back(test_path("a.png"), 7, 5, channels);
        assert_memory_equal(read, pixels, 7 * 5 * (size_t)channels);
        free(read);
    }
}

static void values_are_clipped_and_rounded(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        assert_int_equal(fs_pixel((float)(2 * i - 255) / 255.0f), i); /* the inverse of fs_dataset_row */
        const double value = (i + 0.37) / 127.5 - 1;
        assert_int_equal(fs_pixel((float)value), i);
    }
    assert_int_equal(fs_pixel(-7), 0);
    assert_int_equal(fs_pixel(7), 255);
    assert_int_equal(fs_pixel(INFINITY), 255);
    assert_int_equal(fs_pixel(-INFINITY), 0);
    assert_int_equal(fs_pixel(NAN), 0);
}

/* Each pixel of the grid is looked up in the samples, or is the gap. */
static void check_grid(int rows, int cols, int height, int width, int channels, int zoom)
{
    const int colours = channels < 3 ? 1 : 3;
    const int dim = height * width * channels;
    float *samples = malloc((size_t)(rows * cols * dim) * sizeof *samples);
    assert_non_null(samples);
    for (int i = 0; i < rows * cols * dim; i++) {
        samples[i] = (float)(i * 37 % 101) / 40.0f - 1.25f;
    }
    assert_int_equal(fs_png_write_grid(test_path("g.png"), samples, rows, cols, height, width, channels, zoom, &error),
                     FS_OK);
    const int grid_height = rows * (height * zoom + 1) - 1, grid_width = cols * (width * zoom + 1) - 1;
    uint8_t *read = read_back(test_path("g.png"), grid_height, grid_width, colours);
    for (int y = 0; y < grid_height; y++) {
        for (int x = 0; x < grid_width; x++) {
            const int i = y / (height * zoom + 1), in_y = y % (height * zoom + 1) / zoom;
            const int j = x / (width * zoom + 1), in_x = x % (width * zoom + 1) / zoom;
            for (int c = 0; c < colours; c++) {
                const int got = read[(y * grid_width + x) * colours + c];
                if (in_y == height || in_x == width) {
                    assert_int_equal(got, 64);
                } else {
                    const float value = samples[(i * cols + j) * dim + (in_y * width + in_x) * channels + c];
                    const double exact = (fmin(1, fmax(-1, (double)value)) + 1) * 127.5;
                    assert_true(fabs(got - exact) < 0.5001);
                }
            }
        }
    }
    free(read);
    free(samples);
}

static void grids_show_each_sample_in_its_place(void **state)
{
    (void)state;
    check_grid(1, 1, 3, 2, 1, 1);
    check_grid(2, 3, 3, 5, 1, 2);
    check_grid(3, 2, 4, 3, 3, 1);
    check_grid(2, 2, 2, 3, 4, 3);
}

static void what_cannot_be_drawn_is_refused(void **state)
{
    (void)state;
    const uint8_t pixels[4] = {0};
    const float samples[4] = {0};
    const int entries = test_folder_entries();
    const char *path = test_path("refused.png");
    assert_int_equal(fs_png_write(path, pixels, 0, 1, 1, &error), FS_FAILED);
    assert_int_equal(fs_png_write(path, pixels, 1, 1, 2, &error), FS_FAILED);
    assert_int_equal(fs_png_write(test_path("no/folder.png"), pixels, 2, 2, 1, &error), FS_USAGE);
    assert_int_equal(fs_png_write_grid(path, samples, 0, 1, 2, 2, 1, 1, &error), FS_FAILED);
    assert_int_equal(fs_png_write_grid(path, samples, 1, 1, 2, 2, 1, 0, &error), FS_FAILED);
    assert_int_equal(fs_png_write_grid(path, samples, 1 << 20, 1, 1 << 20, 2, 1, 1 << 20, &error), FS_FAILED);
    assert_int_equal(fs_png_write_grid(path, samples, 1 << 28, 1, 2, 2, 1, 4, &error), FS_FAILED);
    assert_int_equal(test_folder_entries(), entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_come_back),
        cmocka_unit_test(values_are_clipped_and_rounded),
        cmocka_unit_test(grids_show_each_sample_in_its_place),
        cmocka_unit_test(what_cannot_be_drawn_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
