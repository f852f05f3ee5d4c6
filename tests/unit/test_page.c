/* The page as a text: escaped, whole, and every number of it with the place that it comes from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <png.h>

#include "harness/data/png.h"
#include "harness/report/html.h"
#include "harness/text/number.h"
#include "harness/report/page.h"
#include "harness/report/picture.h"
#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* --- text --- */

static void escapes_to(const char *text, size_t length, const char *expected)
{
    char out[256] = "";
    FILE *stream = fmemopen(out, sizeof(out), "w");

    fs_html_text(stream, text, length);
    fclose(stream);
    assert_string_equal(out, expected);
}

#define BAD "\xef\xbf\xbd"

static void test_escape(void **state)
{
    (void)state;
    escapes_to("a<b>&\"'", 7, "a&lt;b&gt;&amp;&quot;&#39;");
    escapes_to("é – 漢 🙂", strlen("é – 漢 🙂"), "é – 漢 🙂");
    escapes_to("\x01\x1b\x7f\t\n", 5, BAD BAD BAD "\t\n");
    /* Overlong, surrogate, too large, cut off, a lone continuation (Unicode 15, table 3-7). */
    escapes_to("\xc0\xaf", 2, BAD BAD);
    escapes_to("\xed\xa0\x80", 3, BAD BAD BAD);
    escapes_to("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD);
    escapes_to("\xe6\xbc", 2, BAD BAD);
    escapes_to("\x80x", 2, BAD "x");
}

static void test_format(void **state)
{
    char out[256] = "";
    FILE *stream = fmemopen(out, sizeof(out), "w");

    (void)state;
    fs_html(stream, "<b>%s</b> %.3s %.*s %d %ld %g %.1f 100 %% %5d|%04x", "<", "abcdef", 2, "&bcd", -7, 1L << 40, 0.5,
            2.25, 42, 255);
    fclose(stream);
    assert_string_equal(out, "<b>&lt;</b> abc &amp;b -7 1099511627776 0.5 2.2 100 %    42|00ff");
}

/* --- pictures --- */

static size_t decode_base64(const char *text, uint8_t *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = 0;
    unsigned group = 0;
    int bits = 0;

    for (; *text && *text != '='; text++) {
        const char *digit = strchr(digits, *text);
        assert_non_null(digit);
        group = group << 6 | (unsigned)(digit - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[size++] = (uint8_t)(group >> bits);
        }
    }
    return size;
}

/* What is embedded is the picture: decoded by another base64 reader and libpng's own. */
static void test_embedded_picture(void **state)
{
    uint8_t pixels[7 * 5 * 3], back[sizeof(pixels)], bytes[4096];
    char text[8192] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(pixels); i++) {
        pixels[i] = (uint8_t)rand();
    }
    for (int channels = 1; channels <= 3; channels += 2) {
        const struct fs_picture picture = {pixels, 7, 5, channels};
        png_image image = {.version = PNG_IMAGE_VERSION};
        FILE *stream = fmemopen(text, sizeof(text), "w");
        good(fs_picture_print(&picture, stream, &error));
        fclose(stream);
        const char *comma = strchr(text, ',');
        assert_non_null(comma);
        assert_memory_equal(text, "data:image/png;base64,", 22);
        const size_t size = decode_base64(comma + 1, bytes);
        assert_int_equal(strlen(comma + 1), (size + 2) / 3 * 4);
        assert_true(png_image_begin_read_from_memory(&image, bytes, size));
        assert_int_equal(image.width, 5);
        assert_int_equal(image.height, 7);
        image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
        assert_true(png_image_finish_read(&image, NULL, back, 0, NULL));
        assert_memory_equal(back, pixels, (size_t)(35 * channels));
    }
}

/* A grid that `run` drew, cut up: each sample stands where it should, in its own pixels. */
static void test_samples_are_cut_out(void **state)
{
    enum { ROWS = 3, COLUMNS = 5, SIDE = 6 };
    float samples[ROWS * COLUMNS * SIDE * SIDE];
    struct fs_sample_grid grid;
    struct fs_picture part;
    const char *path = test_path("grid.png");

    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        samples[i] = (float)(rand() % 256) / 127.5f - 1;
    }
    for (int zoom = 1; zoom <= 3; zoom++) {
        good(fs_png_write_grid(path, samples, ROWS, COLUMNS, SIDE, SIDE, 1, zoom, &error));
        good(fs_sample_grid_read(path, COLUMNS, &grid, &error));
        assert_int_equal(grid.side, SIDE * zoom);
        assert_int_equal(grid.zoom, zoom);
        good(fs_sample_grid_part(&grid, 1, 2, SIDE, &part, &error)); /* 5 samples in lines of 2: 3 lines */
        assert_int_equal(part.height, 3 * (SIDE + 1) - 1);
        assert_int_equal(part.width, 2 * (SIDE + 1) - 1);
        for (int i = 0; i < COLUMNS; i++) {
            for (int at = 0; at < SIDE * SIDE; at++) {
                const int y = i / 2 * (SIDE + 1) + at / SIDE, x = i % 2 * (SIDE + 1) + at % SIDE;
                assert_int_equal(part.pixels[y * part.width + x], fs_pixel(samples[(COLUMNS + i) * SIDE * SIDE + at]));
            }
        }
        free(part.pixels);
        good(fs_sample_grid_part(&grid, 1, 5, SIDE / 2, &part, &error)); /* halved: means of four pixels */
        assert_int_equal(part.width, 5 * (SIDE / 2 + 1) - 1);
        double mean = 0;
        for (int k = 0; k < 4; k++) {
            mean += fs_pixel(samples[COLUMNS * SIDE * SIDE + k / 2 * SIDE + k % 2]) / 4.0;
        }
        assert_int_equal(part.pixels[0], (int)floor(mean + 0.5));
        free(part.pixels);
        free(grid.picture.pixels);
    }
    assert_int_equal(fs_sample_grid_read(path, COLUMNS + 1, &grid, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "no grid of square samples, 6 in a row"));
    test_write(path, "not a PNG", 9);
    assert_int_equal(fs_sample_grid_read(path, COLUMNS, &grid, &error), FS_USAGE);
}

/* --- the page --- */

struct page {
    char *text, *notes;
    size_t size;
};

static struct page make_page(const char *database, const char *samples, const char *const *names, int count)
{
    const struct fs_page_options options = {names, count, samples, database};
    struct page page = {0};
    struct fs_store *store;
    FILE *stream = open_memstream(&page.text, &page.size);

    good(fs_store_open(database, FS_STORE_READ, &store, &error));
    good(fs_page_print(store, &options, stream, &page.notes, &error));
    fs_store_close(store);
    fclose(stream);
    return page;
}

static void free_page(struct page *page)
{
    free(page->text);
    free(page->notes);
}

static void has(const struct page *page, const char *part)
{
    if (!strstr(page->text, part)) {
        fail_msg("the page has no '%s'", part);
    }
}

/* How often ` id=…` or ` id="…"` of this name stands in the page. */
static int count_anchors(const struct page *page, const char *name, size_t length)
{
    int count = 0;

    for (const char *at = page->text; (at = strstr(at, " id="));) {
        at += 4;
        at += *at == '"';
        count += strncmp(at, name, length) == 0 && strchr("\" >", at[length]);
    }
    return count;
}

/* Each link leads to exactly one place of the page. */
static void check_links(const struct page *page)
{
    int links = 0;

    for (const char *at = page->text; (at = strstr(at, "href=\""));) {
        at += 6;
        const size_t length = strcspn(at, "\"");
        if (*at != '#' || count_anchors(page, at + 1, length - 1) != 1) {
            fail_msg("the link '%.*s' has %d targets", (int)length, at, count_anchors(page, at + 1, length - 1));
        }
        links++;
    }
    assert_true(links > 100);
}

/* Every <svg> is closed element by element; HTML readers forgive what SVG ones do not. */
static void check_svg(const struct page *page)
{
    int charts = 0;

    for (const char *at = page->text; (at = strstr(at, "<svg "));) {
        char open[32][16];
        int depth = 0;
        do {
            at = strchr(at, '<');
            assert_non_null(at);
            const char *end = strchr(at, '>');
            const size_t length = strcspn(at + 1 + (at[1] == '/'), " />");
            assert_non_null(end);
            if (at[1] == '/') {
                assert_true(depth > 0);
                depth--;
                assert_int_equal(strlen(open[depth]), length);
                assert_memory_equal(open[depth], at + 2, length);
            } else if (end[-1] != '/') {
                assert_true(depth < 32 && length < 16);
                snprintf(open[depth++], 16, "%.*s", (int)length, at + 1);
            }
            at = end;
        } while (depth > 0);
        charts++;
    }
    assert_true(charts >= 12); /* a wide and a narrow one each */
}

/* A file that makes the runs of "table", in place of the study's, of which no command can be told. */
static void make_readable(const char *database)
{
    struct fs_store *store;

    good(fs_store_open(database, FS_STORE_WRITE, &store, &error));
    good(
        fs_execute(fs_store_handle(store), &error, "UPDATE experiments SET text = ?1 WHERE name = 'table'", "t",
                   "experiment: t\nmodel: {finest_steps: 128}\ntrain: {updates: 4000}\n"
                   "evaluate: {steps: [1, 2, 4, 8, 16, 32, 128], samples: 5000}\n"
                   "matrix: {method: [flow-matching, progressive-distillation, reflow, shortcut], seed: [0, 1, 2]}\n"));
    fs_store_close(store);
}

static void test_the_whole_page(void **state)
{
    char samples[1024], before[16], value[128];
    const char *database = test_path("study/fewstep.db");

    (void)state;
    snprintf(samples, sizeof(samples), "%s", test_path("study/samples"));
    good(fs_make_folder(test_path("study"), &error));
    good(test_study_make(database, samples, &error));
    make_readable(database);
    snprintf(before, sizeof(before), "%d", test_folder_files(test_path("study")));
    struct page page = make_page(database, samples, NULL, 0);

    assert_int_equal(test_folder_files(test_path("study")), atoi(before)); /* neither -wal nor -shm */
    assert_true(page.size < 5 * 1000 * 1000);
    check_links(&page);
    check_svg(&page);
    assert_null(strstr(page.text, "<script>alert"));
    assert_null(strstr(page.notes, "table: no "));
    has(&page, "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;&#39;</h2>");
    assert_null(strstr(page.text, "http:"));
    assert_null(strstr(page.text, "https:"));
    assert_null(strstr(page.text, "@import"));
    has(&page, "Lower is better. ");
    /* What the run's own command makes needs no other; a metric that was scored afterwards does. */
    has(&page, "<br>Scored afterwards: <code class=command tabindex=0>git checkout ");
    has(&page, " --metrics spectrum --steps 8 --samples ");
    assert_null(strstr(page.text, " --metrics fd --steps"));

    /* A mean and its standard error by hand, in the table, and each seed's value where the numbers come from. */
    double values[3], mean = 0, squares = 0;
    for (int seed = 0; seed < 3; seed++) {
        values[seed] = test_study_value(3, 4, seed);
        mean += values[seed] / 3;
    }
    for (int seed = 0; seed < 3; seed++) {
        squares += (values[seed] - mean) * (values[seed] - mean);
        char exact[FS_NUMBER_TEXT];
        fs_shortest(values[seed], exact);
        snprintf(value, sizeof(value), "seed %d: <b>%s</b>", seed, exact);
        has(&page, value);
    }
    snprintf(value, sizeof(value), "\"><b>%.1f</b></a> <small>± %.3f</small>", mean, sqrt(squares / 2 / 3));
    has(&page, value); /* by far the lowest of its column */
    has(&page, " Bold: best of its column, ");
    has(&page, "<th scope=row>Shortcut model, 4 steps<td>");
    has(&page, "build/fewstep run experiments/made-up.yaml --only method=shortcut --only seed=0");

    /* What there is to draw is drawn, and what there is not is said. */
    has(&page, "FD (fashion-cnn) against sampling steps</h3>");
    has(&page, "<p class=findings>At <b>1 step</b> Flow matching (Euler) has ");
    has(&page, "FD (fashion-cnn) at 4 steps against training updates</h3>");
    has(&page, "Shortcut model: FD (fashion-cnn) against max_step</h3>");
    has(&page, "FD (fashion-cnn) at 128 steps against commits</h3>");
    has(&page, "spectral distance (pixels) against sampling steps</h3>");
    has(&page, "Power against frequency, Shortcut model</h3>");
    has(&page, "cycles a pixel");
    has(&page, "<td class=worse>worse <small>+"); /* the third source made one method's scores a third larger */
    has(&page, "data:image/png;base64,");
    assert_non_null(strstr(page.notes, "ablation: no samples in "));
    assert_non_null(strstr(page.notes, "commits: no training curves"));
    assert_non_null(strstr(page.notes, "all runs are of one source, so there are no charts against commits"));
    assert_non_null(strstr(page.notes, TEST_STUDY_HOSTILE ": no run of it has a score yet"));
    free_page(&page);
}

/* Broken samples cost their own cells and no more; one experiment alone; what is not there is named. */
static void test_what_is_missing_is_said(void **state)
{
    const char *const table[] = {"table"}, *const wrong[] = {"tabel"};
    const char *database = test_path("broken/fewstep.db");
    char samples[1024], path[1200], id[65];
    struct fs_store *store;
    char *notes;

    (void)state;
    snprintf(samples, sizeof(samples), "%s", test_path("broken/samples"));
    good(fs_make_folder(test_path("broken"), &error));
    good(test_study_make(database, samples, &error));
    good(fs_store_open(database, FS_STORE_READ, &store, &error));
    test_study_run(3, 0, id);
    snprintf(path, sizeof(path), "%s/table/shortcut-%.8s-seed0.png", samples, id);
    assert_int_equal(access(path, F_OK), 0);
    test_write(path, "\x89PNG\r\n\x1a\n cut off", 16);

    struct page page = make_page(database, samples, table, 1);
    assert_non_null(strstr(page.notes, path));
    check_links(&page);
    has(&page, "alt=\"12 samples: Reflow, 4 steps, seed 0\"");
    assert_null(strstr(page.text, "alt=\"12 samples: Shortcut model"));
    assert_null(strstr(page.text, ">ablation<"));
    free_page(&page);

    const struct fs_page_options options = {wrong, 1, samples, database};
    FILE *nowhere = fopen("/dev/null", "w");
    assert_int_equal(fs_page_print(store, &options, nowhere, &notes, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "tabel: no such experiment in the database; there are: "));
    fclose(nowhere);
    free(notes);
    fs_store_close(store);
}

/* `eval RUN --steps 64` adds scores that its grid has no samples of: the others stay where they are. A grid lies in the
 * order of its run's evaluate.steps, whatever the table's columns are. */
static void test_scores_that_were_made_afterwards_keep_the_samples(void **state)
{
    const char *const table[] = {"table"};
    const char *database = test_path("afterwards/fewstep.db");
    struct fs_store *store;
    char samples[1024], id[65];

    (void)state;
    snprintf(samples, sizeof(samples), "%s", test_path("afterwards/samples"));
    good(fs_make_folder(test_path("afterwards"), &error));
    good(test_study_make(database, samples, &error));
    test_study_run(2, 0, id);
    good(fs_store_open(database, FS_STORE_WRITE, &store, &error));
    struct fs_score_row score = test_score("afterwards", id);
    score.steps = 64;
    score.source_hash = "50a";
    int64_t environment, experiment;
    const struct fs_environment about = test_environment();
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_query_whole(fs_store_handle(store), &experiment, 0, &error,
                        "SELECT id FROM experiments WHERE name = 'table'", ""));
    good(fs_store_score(store, &score, experiment, environment, &error));

    struct page page = make_page(database, samples, table, 1);
    assert_null(page.notes ? strstr(page.notes, ".png") : NULL);
    has(&page, "alt=\"12 samples: Reflow, 1 step, seed 0\"");
    has(&page, "alt=\"12 samples: Reflow, 128 steps, seed 0\"");
    has(&page, "<th scope=row>Reflow, 64 steps<td>");
    assert_null(strstr(page.text, "alt=\"12 samples: Reflow, 64 steps"));
    free_page(&page);

    /* the same grid, of steps that were asked for the other way round: 128 steps are its first row */
    struct page forward = make_page(database, samples, table, 1);
    good(fs_execute(fs_store_handle(store), &error,
                    "UPDATE runs SET config_json = replace(config_json, '[1,2,4,8,16,32,128]', '[128,32,16,8,4,2,1]') "
                    "WHERE id = ?1",
                    "t", id));
    fs_store_close(store);
    struct page backward = make_page(database, samples, table, 1);
    const char *first = strstr(forward.text, "alt=\"12 samples: Reflow, 1 step, seed 0\" src=\"");
    const char *last = strstr(backward.text, "alt=\"12 samples: Reflow, 128 steps, seed 0\" src=\"");
    assert_non_null(first);
    assert_non_null(last);
    first = strstr(first, "src=");
    last = strstr(last, "src=");
    assert_memory_equal(first, last, strcspn(first + 5, "\"") + 5);
    free_page(&forward);
    free_page(&backward);
}

/* Two trainings of one method are two names in table, legend, samples and the list of numbers. */
static void test_rows_of_one_method_are_named_apart(void **state)
{
    const char *const table[] = {"table"};
    const char *database = test_path("apart/fewstep.db");
    struct fs_store *store;
    char id[65], run[65];

    (void)state;
    good(fs_make_folder(test_path("apart"), &error));
    good(test_study_make(database, test_path("apart/samples"), &error));
    good(fs_store_open(database, FS_STORE_WRITE, &store, &error));
    int64_t environment, experiment;
    const struct fs_environment about = test_environment();
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_query_whole(fs_store_handle(store), &experiment, 0, &error,
                        "SELECT id FROM experiments WHERE name = 'table'", ""));
    test_id("ab12", id);
    struct fs_run_row row = test_run(id);
    row.method = "shortcut";
    row.train_hash = "other";
    row.config_json = "{\"method\":\"shortcut\",\"train\":{\"updates\":77}}";
    good(fs_store_run(store, &row, experiment, environment, &error));
    struct fs_score_row score = test_score("apart", id);
    good(fs_store_score(store, &score, experiment, environment, &error));
    test_study_run(0, 0, run);
    good(fs_store_label(store, run, experiment, "<mine>", &error));
    fs_store_close(store);

    struct page page = make_page(database, test_path("apart/samples"), table, 1);
    has(&page, "<tr><th scope=row>Shortcut model, updates 77<td ");
    has(&page, "<tr><th scope=row>Shortcut model, updates 4000<td ");
    has(&page, "<th scope=row>Shortcut model, updates 77, 4 steps<td>");
    has(&page, ">Shortcut model, updates 77</text>");
    has(&page, "<th scope=row>&lt;mine&gt; (Flow matching (Euler)), updates 4000<td ");
    free_page(&page);
}

/* A run whose configuration is damaged costs its own entry; its numbers are still there. */
static void test_a_damaged_run(void **state)
{
    const char *const table[] = {"table"};
    const char *database = test_path("damaged/fewstep.db");
    struct fs_store *store;
    char id[65], line[128];

    (void)state;
    good(fs_make_folder(test_path("damaged"), &error));
    good(test_study_make(database, test_path("damaged/samples"), &error));
    good(fs_store_open(database, FS_STORE_WRITE, &store, &error));
    test_study_run(2, 1, id);
    good(fs_execute(fs_store_handle(store), &error, "UPDATE runs SET config_json = '{<b>' WHERE id = ?1", "t", id));
    fs_store_close(store);

    struct page page = make_page(database, test_path("damaged/samples"), table, 1);
    snprintf(line, sizeof(line), "run %.8s: its configuration in the database is no JSON", id);
    assert_non_null(strstr(page.notes, line));
    has(&page, line);
    has(&page, "<th scope=row>Reflow, 8 steps<td>");
    check_links(&page);
    free_page(&page);
}

static void test_an_empty_database(void **state)
{
    const char *database = test_path("empty.db");
    const struct fs_page_options options = {NULL, 0, "samples", database};
    struct fs_store *store;
    char *notes;
    FILE *nowhere = fopen("/dev/null", "w");

    (void)state;
    good(fs_store_open(database, FS_STORE_WRITE, &store, &error));
    assert_int_equal(fs_page_print(store, &options, nowhere, &notes, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "holds no experiment yet"));
    fs_store_close(store);
    fclose(nowhere);
    free(notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_embedded_picture),
        cmocka_unit_test(test_samples_are_cut_out),
        cmocka_unit_test(test_the_whole_page),
        cmocka_unit_test(test_what_is_missing_is_said),
        cmocka_unit_test(test_scores_that_were_made_afterwards_keep_the_samples),
        cmocka_unit_test(test_rows_of_one_method_are_named_apart),
        cmocka_unit_test(test_a_damaged_run),
        cmocka_unit_test(test_an_empty_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
