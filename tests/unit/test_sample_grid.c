/* Grids of samples with words around them: every sample and every picture of the data stands in the file where the file
 * says, whatever the words; foreign files do no harm; and one picture has methods × steps of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/data/lettering.h"
#include "harness/data/picture_grid.h"
#include "harness/data/png.h"
#include "harness/data/sample_grid.h"
#include "harness/report/methods_picture.h"
#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* --- words --- */

/* A line as text, '#' where there is ink. */
static void letters(const char *text, int width, char *out)
{
    uint8_t pixels[64 * FS_LETTERING_HEIGHT];
    struct fs_picture picture = {.pixels = pixels, .height = FS_LETTERING_HEIGHT, .width = width, .channels = 1};

    memset(pixels, 255, sizeof(pixels));
    fs_lettering_draw(&picture, 0, 0, text, 1, 7);
    for (int i = 0; i < width * FS_LETTERING_HEIGHT; i++) {
        assert_true(pixels[i] == 255 || pixels[i] == 7);
        *out++ = pixels[i] == 7 ? '#' : '.';
        if (i % width == width - 1) {
            *out++ = '/';
        }
    }
    *out = '\0';
}

static void test_letters(void **state)
{
    char drawn[1024];
    uint8_t small[3 * 4 * 3];
    struct fs_picture picture = {.pixels = small, .height = 3, .width = 4, .channels = 3};

    (void)state;
    letters("LT", 11, drawn);
    assert_string_equal(drawn, "#....#####./#......#.../#......#.../#......#.../#......#.../#......#.../####...#.../"
                               ".........../.........../");
    assert_int_equal(fs_lettering_width("LT", 1), 10);
    assert_int_equal(fs_lettering_width("L T", 2), 2 * (4 + 1 + 3 + 1 + 5));
    letters("\xe2\x82\xac", 4, drawn); /* a euro, which it has not, is one box */
    assert_string_equal(drawn, "####/#..#/#..#/#..#/#..#/#..#/####/..../..../");
    assert_int_equal(fs_lettering_width("\xe2\x82\xac", 1), 4);
    for (int at = -30; at < 10; at++) { /* what lies outside is left out */
        fs_lettering_draw(&picture, at, at / 2, "MW", 3, (uint8_t)at);
    }
}

/* --- a file and back --- */

enum { ROWS = 3 };
static const int step_counts[ROWS] = {1, 4, 128};

static void check_row(const struct fs_sample_grid *grid, int row, const float *samples, int side, int channels)
{
    const int colours = channels < 3 ? 1 : 3;
    uint8_t tile[19 * 19 * 3];

    for (int i = 0; i < FS_SAMPLE_COLUMNS; i++) {
        fs_sample_grid_tile(grid, row, i, tile);
        for (int k = 0; k < side * side; k++) {
            for (int c = 0; c < colours; c++) {
                assert_int_equal(tile[k * colours + c], fs_pixel(samples[(i * side * side + k) * channels + c]));
            }
        }
    }
}

static void test_file(void **state)
{
    static const struct {
        int side, channels;
        const char *title, *note;
        bool data;
    } cases[] = {
        {19, 1,
         "Shortcut model · a title that is much longer than twelve samples of nineteen pixels are wide, so that "
         "the picture has to grow for it, and is not cut short anywhere before its end",
         NULL, true},
        {7, 3, NULL, "one noise a column", true},
        {2, 4, "α-Flow", "x", false},
        {1, 2, NULL, NULL, true},
    };
    static float samples[(ROWS + 1) * FS_SAMPLE_COLUMNS * 19 * 19 * 4];
    const char *path = test_path("grid.png");

    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        samples[i] = (float)rand() / (float)RAND_MAX * 3 - 1.5f;
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int side = cases[i].side, channels = cases[i].channels;
        const size_t row = (size_t)(FS_SAMPLE_COLUMNS * side * side * channels);
        const float *data = cases[i].data ? samples + ROWS * row : NULL;
        const struct fs_sample_sheet sheet = {cases[i].title, cases[i].note, step_counts, ROWS,    samples,
                                              data,           side,          side,        channels};
        struct fs_sample_grid grid;
        good(fs_sample_grid_write(path, &sheet, &error));
        good(fs_sample_grid_read(path, FS_SAMPLE_COLUMNS, &grid, &error));
        assert_int_equal(grid.rows, ROWS);
        assert_int_equal(grid.step_count, ROWS);
        assert_int_equal(grid.data_top > 0, cases[i].data);
        for (int r = 0; r < ROWS; r++) {
            assert_int_equal(grid.steps[r], step_counts[r]);
            check_row(&grid, r, samples + (size_t)r * row, side, channels);
        }
        if (data) {
            check_row(&grid, ROWS, data, side, channels);
        }
        free(grid.picture.pixels);
        assert_int_equal(fs_sample_grid_read(path, FS_SAMPLE_COLUMNS + 1, &grid, &error), FS_USAGE);
    }
}

/* What a file says of itself is not believed beyond its picture. */
static void test_foreign_files(void **state)
{
    static const char *const texts[] = {
        "",
        "no JSON",
        "{}",
        "[]",
        "{\"columns\":12,\"side\":4,\"zoom\":1,\"left\":0,\"top\":0,\"pitch_x\":5,\"pitch_y\":5,\"data_top\":0,"
        "\"steps\":[1,2,3,4,5]}",
        "{\"columns\":12,\"side\":4,\"zoom\":1,\"left\":1,\"top\":0,\"pitch_x\":5,\"pitch_y\":5,\"data_top\":0,"
        "\"steps\":[1]}",
        "{\"columns\":12,\"side\":4,\"zoom\":3,\"left\":0,\"top\":0,\"pitch_x\":5,\"pitch_y\":5,\"data_top\":0,"
        "\"steps\":[1]}",
        "{\"columns\":12,\"side\":4,\"zoom\":0,\"left\":0,\"top\":0,\"pitch_x\":5,\"pitch_y\":5,\"data_top\":0,"
        "\"steps\":[1]}",
        "{\"columns\":12,\"side\":4,\"zoom\":1,\"left\":-9,\"top\":0,\"pitch_x\":5,\"pitch_y\":5,\"data_top\":0,"
        "\"steps\":[1]}",
        "{\"columns\":12,\"side\":4,\"zoom\":1,\"left\":0,\"top\":0,\"pitch_x\":5,\"pitch_y\":5,\"data_top\":17,"
        "\"steps\":[1]}",
        "{\"columns\":12,\"side\":4,\"zoom\":1,\"left\":0,\"top\":0,\"pitch_x\":99999999999,\"pitch_y\":5,\"data_top\":"
        "0,\"steps\":[1]}",
        "{\"columns\":12,\"side\":4,\"zoom\":1,\"left\":0,\"top\":0,\"pitch_x\":5,\"pitch_y\":5,\"data_top\":0,"
        "\"steps\":[]}",
    };
    static const char sound[] = "{\"columns\":12,\"side\":4,\"zoom\":2,\"left\":0,\"top\":0,\"pitch_x\":5,\"pitch_y\":"
                                "5,\"data_top\":15,\"steps\":[1,\"x\",3]}";
    static uint8_t pixels[20 * 60]; /* 59 columns are one sample's gap less than 12·5 */
    const char *path = test_path("foreign.png");
    struct fs_sample_grid grid;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        good(fs_png_write_text(path, pixels, 19, 58, 1, texts[i], &error));
        assert_int_equal(fs_sample_grid_read(path, 12, &grid, &error), FS_USAGE);
    }
    good(fs_png_write_text(path, pixels, 19, 59, 1, sound, &error));
    good(fs_sample_grid_read(path, 12, &grid, &error));
    free(grid.picture.pixels);
}

/* --- pictures of the data --- */

static void test_examples(void **state)
{
    int32_t of_data[] = {2, 0, 1, 0, 2, 0}, wanted[] = {0, 1, 2, 0, 1, 0, 2, 1};
    const struct fs_dataset data = {.shape = {.count = 6}, .labels = of_data};
    struct fs_config config = {.model = {.classes = 3}};
    int64_t indices[8];

    (void)state;
    fs_data_examples(&data, &config, wanted, 5, indices);
    const int64_t expected[] = {1, 2, 0, 3, 4}; /* there is one of label 1: its second is the first that is left */
    assert_memory_equal(indices, expected, sizeof(expected));
    fs_data_examples(&data, &config, NULL, 8, indices);
    const int64_t without[] = {0, 1, 2, 3, 4, 5, 0, 0};
    assert_memory_equal(indices, without, sizeof(without));
}

/* --- methods × steps --- */

/* Whether a sample of a grid stands somewhere in a picture, each of its pixels enlarged by `zoom`. */
static int count_places(const struct fs_picture *picture, const uint8_t *tile, int side, int zoom)
{
    int places = 0;

    for (int top = 0; top + side * zoom <= picture->height; top++) {
        for (int left = 0; left + side * zoom <= picture->width; left++) {
            bool same = true;
            for (int i = 0; i < side * side && same; i++) { /* the first and the last pixel of each */
                const uint8_t *at = picture->pixels + (top + i / side * zoom) * picture->width + left + i % side * zoom;
                same = at[0] == tile[i] && at[(zoom - 1) * picture->width + zoom - 1] == tile[i];
            }
            places += same;
        }
    }
    return places;
}

static void test_methods_picture(void **state)
{
    static const char *const names[] = {"flow-matching", "progressive-distillation", "reflow", "shortcut"};
    char database[1024], samples[1024], path[1200], grid_path[1400], id[65];
    struct fs_store *store;
    struct fs_picture picture;
    struct fs_sample_grid grid;
    uint8_t tile[28 * 28];

    (void)state;
    snprintf(database, sizeof(database), "%s", test_path("study.db"));
    snprintf(samples, sizeof(samples), "%s", test_path("samples"));
    snprintf(path, sizeof(path), "%s", test_path("methods.png"));
    good(test_study_make(database, samples, &error));
    good(fs_store_open(database, FS_STORE_READ, &store, &error));
    good(fs_methods_picture_write(store, "table", samples, path, &error));
    good(fs_picture_read(path, &picture, &error));
    for (int method = 0; method < 4; method++) {
        test_study_run(method, 0, id);
        snprintf(grid_path, sizeof(grid_path), "%s/table/%s-%.8s-seed0.png", samples, names[method], id);
        good(fs_sample_grid_read(grid_path, FS_SAMPLE_COLUMNS, &grid, &error));
        fs_sample_grid_tile(&grid, method, 2, tile); /* the third noise, at another number of steps for each method */
        assert_int_equal(count_places(&picture, tile, 28, 2), 4); /* the study's methods draw alike */
        fs_sample_grid_tile(&grid, 6, 3, tile); /* the fourth noise is not shown, four methods have three each */
        assert_int_equal(count_places(&picture, tile, 28, 2), 0);
        free(grid.picture.pixels);
    }
    free(picture.pixels);
    assert_int_equal(fs_methods_picture_write(store, "ablation", samples, path, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "no samples in"));
    assert_int_equal(fs_methods_picture_write(store, "nothing", samples, path, &error), FS_USAGE);
    fs_store_close(store);
}

/* Seven columns stand in two bands, of four and three; here all of them show the same grid. */
static void test_methods_picture_in_bands(void **state)
{
    char database[1024], samples[1024], from[1400], to[1400], path[1200], id[65];
    struct fs_store *store;
    struct fs_picture picture;
    struct fs_sample_grid grid;
    uint8_t tile[28 * 28];
    sqlite3_stmt *query;
    bool row = true;

    (void)state;
    snprintf(database, sizeof(database), "%s", test_path("bands.db"));
    snprintf(samples, sizeof(samples), "%s", test_path("bands"));
    snprintf(path, sizeof(path), "%s", test_path("bands.png"));
    good(test_study_make(database, samples, &error));
    good(fs_store_open(database, FS_STORE_READ, &store, &error));
    test_study_run(3, 0, id);
    snprintf(from, sizeof(from), "%s/table/shortcut-%.8s-seed0.png", samples, id);
    good(fs_sample_grid_read(from, FS_SAMPLE_COLUMNS, &grid, &error));
    snprintf(to, sizeof(to), "%s/ablation", samples);
    good(fs_make_folder(to, &error));
    good(
        fs_query_open(fs_store_handle(store), &query, &error,
                      "SELECT r.id FROM runs r JOIN experiment_runs x ON x.run = r.number JOIN experiments e ON e.id = "
                      "x.experiment WHERE e.name = 'ablation' AND r.seed = 0",
                      ""));
    for (good(fs_query_next(query, &row, &error)); row; good(fs_query_next(query, &row, &error))) {
        snprintf(to, sizeof(to), "%s/ablation/shortcut-%.8s-seed0.png", samples, fs_query_text(query, 0));
        assert_int_equal(link(from, to), 0);
    }
    sqlite3_finalize(query);
    good(fs_methods_picture_write(store, "ablation", samples, path, &error));
    good(fs_picture_read(path, &picture, &error));
    fs_sample_grid_tile(&grid, 2, 2, tile);
    assert_int_equal(count_places(&picture, tile, 28, 2), 7);
    fs_sample_grid_tile(&grid, 2, 3, tile);
    assert_int_equal(count_places(&picture, tile, 28, 2), 0);
    assert_in_range(picture.width, 4 * 3 * 56, 6 * 3 * 56); /* of the wider band, with words */
    free(picture.pixels);
    free(grid.picture.pixels);
    fs_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods_picture_in_bands),
        cmocka_unit_test(test_letters),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_methods_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
