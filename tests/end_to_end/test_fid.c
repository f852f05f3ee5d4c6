/* fewstep fid and fewstep stats: the same pictures give the same number from wherever they come, and whatever is wrong
 * with a source gets one line that names it and exit status 2. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/data/dataset.h"
#include "harness/data/png.h"
#include "kernels/base/file.h"
#include "kernels/base/npz.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"

#define COUNT 300
#define SIDE 28
#define PICTURES "tests/golden/pictures/"

static struct fs_error error;

/* --- what the program is given --- */

static const char *file(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *file(const char *format, ...)
{
    char name[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return test_path(name);
}

/* Its path in a text that stays. */
static void keep(char text[256], const char *name)
{
    snprintf(text, 256, "%s", test_path(name));
}

static void copy(const char *from, const char *to)
{
    char *bytes;
    size_t size;
    assert_int_equal(fs_file_read(from, 1 << 20, &bytes, &size, &error), FS_OK);
    test_write(test_path(to), bytes, size);
    free(bytes);
}

static void folder(const char *name)
{
    assert_int_equal(fs_make_folder(test_path(name), &error), FS_OK);
}

/* The first pictures of the test split: as a folder of grey PNG in two levels, and as an .npz of RGB. */
static void write_pictures(const uint8_t *pixels)
{
    uint8_t *rgb = malloc((size_t)COUNT * SIDE * SIDE * 3);
    assert_non_null(rgb);
    for (int i = 0; i < COUNT * SIDE * SIDE; i++) {
        memset(rgb + 3 * i, pixels[i], 3);
    }
    const char *const names[] = {"arr_0"};
    const struct fs_array array = {FS_ARRAY_U8, 4, {COUNT, SIDE, SIDE, 3}, rgb};
    assert_int_equal(fs_npz_write(test_path("pictures.npz"), names, &array, 1, NULL, &error), FS_OK);
    for (int i = 0; i < COUNT; i++) {
        const bool deep = i >= COUNT / 2, grey = i % 2 == 0;
        const char *path = file("folder/%s%03d.png", deep ? "more/" : "", i);
        assert_int_equal(fs_png_write(path, grey ? pixels + i * SIDE * SIDE : rgb + i * SIDE * SIDE * 3, SIDE, SIDE,
                                      grey ? 1 : 3, &error),
                         FS_OK);
    }
    test_write(test_path("folder/labels.txt"), "no picture", 10);
    test_write(test_path("folder/.hidden.png"), "no picture", 10);
    float *floats = malloc((size_t)COUNT * SIDE * SIDE * sizeof *floats);
    assert_non_null(floats);
    for (int i = 0; i < COUNT * SIDE * SIDE; i++) {
        floats[i] = (float)pixels[i] / 127.5f - 1;
    }
    const struct fs_array drawn = {FS_ARRAY_F32, 4, {COUNT, SIDE, SIDE, 1}, floats};
    assert_int_equal(fs_npy_write(test_path("floats.npy"), &drawn, &error), FS_OK);
    floats[COUNT * SIDE * SIDE - 1] = NAN;
    assert_int_equal(fs_npy_write(test_path("nan.npy"), &drawn, &error), FS_OK);
    free(floats);
    free(rgb);
}

static void write_statistics(const char *name, int dim, double diagonal, double above)
{
    double *mu = calloc((size_t)dim, sizeof *mu), *sigma = calloc((size_t)(dim * dim), sizeof *sigma);
    const char *const names[] = {"mu", "sigma"};
    assert_true(mu && sigma);
    for (int i = 0; i < dim; i++) {
        sigma[i * dim + i] = diagonal;
    }
    sigma[1] = above;
    const struct fs_array arrays[] = {{FS_ARRAY_F64, 1, {dim}, mu}, {FS_ARRAY_F64, 2, {dim, dim}, sigma}};
    assert_int_equal(fs_npz_write(test_path(name), names, arrays, 2, NULL, &error), FS_OK);
    free(mu);
    free(sigma);
}

static int set_up(void **state)
{
    (void)state;
    const struct fs_dataset_config config = {.name = "fashion-mnist"};
    struct fs_dataset data;
    folder("folder/more");
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TEST, &data, &error), FS_OK);
    uint8_t *pixels = malloc((size_t)COUNT * SIDE * SIDE);
    assert_non_null(pixels);
    assert_int_equal(fs_dataset_bytes(&data, 0, COUNT, pixels, &error), FS_OK);
    write_pictures(pixels);
    free(pixels);
    fs_dataset_close(&data);
    return 0;
}

/* --- numbers --- */

/* What `fewstep ARGUMENTS` prints. */
static const char *output_of(const char *arguments)
{
    static char text[8192];
    char command[4096], messages[4096];
    snprintf(command, sizeof command, "%s > %s", arguments, test_path("output"));
    if (test_program_run("", command, messages, sizeof messages) != 0) {
        fail_msg("fewstep %s\n  said: %s", arguments, messages);
    }
    FILE *stream = fopen(test_path("output"), "r");
    assert_non_null(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = 0;
    fclose(stream);
    return text;
}

/* The value of the first metric that is printed. */
static double value_of(const char *a, const char *b, const char *options)
{
    char arguments[4096];
    snprintf(arguments, sizeof arguments, "fid %s %s --json --quiet --extractor fashion-cnn %s", a, b, options);
    const char *text = output_of(arguments), *value = strstr(text, "\"value\":");
    assert_non_null(value);
    return strtod(value + 8, NULL);
}

static void test_same_pictures_same_number(void **state)
{
    (void)state;
    char reference[256], pictures[256], arguments[2048];
    keep(reference, "reference.npz");
    keep(pictures, "pictures.npz");
    snprintf(arguments, sizeof arguments,
             "stats dataset:fashion-mnist:test --extractor fashion-cnn --samples 2000 --quiet -o %s", reference);
    const char *text = output_of(arguments);
    assert_non_null(
        strstr(text, "mean and covariance of 128 features: fashion-cnn, tap penultimate, resize none, 2000"));
    const double expected = value_of("dataset:fashion-mnist:test", reference, "--samples 300");
    assert_true(expected > 1 && expected < 100);
    assert_true(value_of(test_path("folder"), reference, "") == expected);
    assert_true(value_of(pictures, reference, "") == expected);
    assert_true(fabs(value_of(reference, pictures, "") - expected) < 1e-6 * expected);
    assert_true(value_of(pictures, test_path("folder"), "") < 1e-4);
    assert_true(fabs(value_of(test_path("floats.npy"), reference, "") - expected) < 1e-4 * expected);
    snprintf(arguments, sizeof arguments, "stats %s --extractor fashion-cnn --quiet -o %s", test_path("folder"),
             test_path("folder.npz"));
    output_of(arguments);
    assert_true(fabs(value_of(test_path("folder.npz"), reference, "") - expected) < 1e-6 * expected);
}

/* An .npy of 28 × 28 pictures, black but for one in each `every`, which is a ramp. */
static const char *write_collapsed(const char *name, int count, int every)
{
    uint8_t *pixels = calloc((size_t)count, SIDE * SIDE);
    assert_non_null(pixels);
    for (int i = 0; every > 0 && i * every + 7 < count; i++) {
        for (int k = 0; k < SIDE * SIDE; k++) {
            pixels[(i * every + 7) * SIDE * SIDE + k] = (uint8_t)(k * (i + 1));
        }
    }
    const struct fs_array array = {FS_ARRAY_U8, 4, {count, SIDE, SIDE, 1}, pixels};
    assert_int_equal(fs_npy_write(test_path(name), &array, &error), FS_OK);
    free(pixels);
    return test_path(name);
}

/* Mode collapse: few, equal and nearly equal pictures have a distance like any others. The values are NumPy's, in
 * float64 from the statistics of both sides: np.linalg.eigh, and eigvalsh of the product. */
static void test_collapsed_pictures(void **state)
{
    (void)state;
    static const double few[] = {627.1854400730195, 586.658644275658, 571.293865179596};
    const char *test = "dataset:fashion-mnist:test", *train = "dataset:fashion-mnist";
    char options[64], path[256];
    for (int i = 0; i < 3; i++) {
        snprintf(options, sizeof options, "--samples %d", i + 2);
        assert_float_equal(value_of(test, train, options), few[i], 1e-5);
    }
    keep(path, "collapsed.npy");
    write_collapsed("collapsed.npy", 10, 0);
    assert_float_equal(value_of(path, test, "--samples 10"), 563.8212, 1e-4);
    assert_true(value_of(test, path, "--samples 10") > 0);
    write_collapsed("collapsed.npy", 1000, 0);
    assert_float_equal(value_of(path, test, "--samples 500"), 499.37651872388363, 1e-5);
    write_collapsed("collapsed.npy", 500, 100);
    assert_float_equal(value_of(path, test, "--samples 500"), 483.52572947294374, 1e-5);
    assert_float_equal(value_of(test, path, "--samples 500"), 483.52572947294374, 1e-5);
    assert_true(value_of(path, path, "") < 1e-4);
}

/* guided-diffusion's reference batches hold statistics of a whole data set and some of its pictures: distances take the
 * first, what needs features the second. */
static void test_a_reference_batch(void **state)
{
    (void)state;
    char reference[256], pictures[256], batch[256];
    struct fs_npz npz;
    struct fs_array arrays[3];
    const char *const names[] = {"mu", "sigma", "arr_0"};
    keep(reference, "reference.npz");
    keep(pictures, "pictures.npz");
    keep(batch, "batch.npz");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fs_npz_open(i < 2 ? reference : pictures, &npz, &error), FS_OK);
        assert_int_equal(fs_npz_read(&npz, names[i], 1 << 20, &arrays[i], &error), FS_OK);
        fs_npz_close(&npz);
    }
    assert_int_equal(fs_npz_write(batch, names, arrays, 3, NULL, &error), FS_OK);
    for (int i = 0; i < 3; i++) {
        free(arrays[i].data);
    }
    const char *both = "--metrics fd,kid,density";
    const double fd = value_of(pictures, reference, ""), kid = value_of(pictures, pictures, "--metrics kid");
    assert_true(fd > 1);
    assert_true(value_of(pictures, batch, both) == fd);
    assert_true(value_of(pictures, batch, "--metrics kid,fd") == kid);
    assert_true(fabs(value_of(batch, pictures, both) - fd) < 1e-6 * fd);
}

static void test_what_is_printed(void **state)
{
    (void)state;
    char arguments[2048];
    const char *pictures = test_path("pictures.npz");
    snprintf(arguments, sizeof arguments,
             "fid %s %s --extractor fashion-cnn --metrics kid,fd,coverage --quiet --device cpu", pictures,
             test_path("folder"));
    const char *text = output_of(arguments);
    assert_true(strncmp(text, "KID (fashion-cnn) ", 18) == 0);
    assert_non_null(strstr(text, "\nFD (fashion-cnn)  "));
    assert_non_null(strstr(text, "\ncoverage (fashion-cnn) "));
    assert_null(strstr(text, "FID"));
    assert_non_null(strstr(text, "pictures.npz, 300 pictures\n"));
    assert_non_null(strstr(text, "tap penultimate, resize none, made on cpu ("));
    /* Of statistics that nobody knows more of, nothing is claimed. */
    write_statistics("one.npz", 128, 1, 0);
    write_statistics("two.npz", 128, 4, 0);
    snprintf(arguments, sizeof arguments, "fid %s %s", test_path("one.npz"), test_path("two.npz"));
    text = output_of(arguments);
    assert_true(strncmp(text, "FD (unknown features)  128\n", 27) == 0); /* tr (1 + 4 − 2·2) of each */
    assert_non_null(strstr(text, "statistics that do not say of which features"));
    assert_null(strstr(text, "made on"));
}

static void test_few_pictures_are_noted(void **state)
{
    (void)state;
    char arguments[2048], text[4096];
    snprintf(arguments, sizeof arguments, "fid %s %s --extractor fashion-cnn --metrics fd_infinity",
             test_path("pictures.npz"), test_path("folder"));
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    assert_non_null(strstr(text, "pictures.npz: fd_infinity of 300 samples (enough: 516): "));
    assert_null(strstr(text, "fewer than --samples"));
    snprintf(arguments, sizeof arguments, "fid %s dataset:fashion-mnist:test --extractor fashion-cnn --samples 5000",
             test_path("pictures.npz"));
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    assert_non_null(strstr(text, "pictures.npz: has 300 pictures, fewer than --samples 5000\n"));
    assert_null(strstr(text, "dataset:fashion-mnist:test: has"));
}

/* The 24 first pictures in floats that span `low` to `high`, and beside them as bytes. */
static void write_floats(const char *name, float low, float high)
{
    enum { FEW = 24 };
    static float floats[FEW * SIDE * SIDE];
    struct fs_npz npz;
    struct fs_array all;
    assert_int_equal(fs_npz_open(test_path("pictures.npz"), &npz, &error), FS_OK);
    assert_int_equal(fs_npz_read(&npz, "arr_0", 1 << 20, &all, &error), FS_OK);
    fs_npz_close(&npz);
    for (int i = 0; i < FEW * SIDE * SIDE; i++) {
        floats[i] = low + (high - low) * (float)((const uint8_t *)all.data)[(size_t)3 * i] / 255;
    }
    free(all.data);
    const struct fs_array array = {FS_ARRAY_F32, 4, {FEW, SIDE, SIDE, 1}, floats};
    assert_int_equal(fs_npy_write(test_path(name), &array, &error), FS_OK);
}

/* Floats say what they span, and are the same pictures then. */
static void test_ranges_of_floats(void **state)
{
    (void)state;
    char path[256], wide[128], rounded[256], arguments[1024], text[4096];
    const char *test = "dataset:fashion-mnist:test";
    keep(path, "range.npy");
    const double expected = value_of(test, test_path("pictures.npz"), "--samples 24");
    static const float ends[][2] = {{0, 255}, {0, 1}, {-1, 1}, {-128, 127}, {-4, 4}};
    for (int i = 0; i < 5; i++) {
        write_floats("range.npy", ends[i][0], ends[i][1]);
        snprintf(wide, sizeof wide, "--samples 24 --range=%g..%g", (double)ends[i][0], (double)ends[i][1]);
        assert_true(fabs(value_of(path, test_path("pictures.npz"), wide) - expected) < 1e-4);
        snprintf(rounded, sizeof rounded, "%s --quantize --metrics fd,spectrum", wide);
        assert_true(value_of(path, test_path("pictures.npz"), rounded) == expected);
    }
    write_floats("range.npy", 0, 255);
    snprintf(arguments, sizeof arguments, "fid %s %s --extractor fashion-cnn", path, test);
    test_program_refuses(2, arguments, "range.npy: floats from 0 to 255, where -1 is black and 1 white");
    write_floats("range.npy", 0, 1);
    test_program_refuses(2, arguments, "such as --range 0..1");
    write_floats("range.npy", -128, 127);
    test_program_refuses(2, arguments, "floats from -128 to 127");
    snprintf(arguments, sizeof arguments, "stats %s --extractor fashion-cnn -o %s.npz", path, path);
    test_program_refuses(2, arguments, "floats from -128 to 127");
    /* What a sampler draws lies a little beyond the ends: said, and taken. With --quantize clipped, as by a run. */
    write_floats("range.npy", -1.25F, 1.5F);
    snprintf(arguments, sizeof arguments, "fid %s %s --extractor fashion-cnn --samples 24", path, test);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    assert_non_null(strstr(text, "range.npy: floats from -1.25 to 1.5 are taken as they are: a run clips and rounds"));
    snprintf(arguments, sizeof arguments, "fid %s %s --extractor fashion-cnn --samples 24 --quantize", path, test);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    assert_null(strstr(text, "taken as they are"));
}

/* Statistics that do not say of what they are: --resize says it, and `authors` puts their offset into the root. */
static void test_resize_of_statistics(void **state)
{
    (void)state;
    const double expected = 128 * (1 + 4 - 2 * sqrt((1 + 1e-6) * (4 + 1e-6)));
    char one[256], two[256];
    keep(one, "one.npz");
    keep(two, "two.npz");
    write_statistics("one.npz", 128, 1, 0);
    write_statistics("two.npz", 128, 4, 0);
    assert_float_equal(value_of(one, two, "--resize clean"), 128, 1e-9);
    assert_float_equal(value_of(one, two, "--resize authors"), expected, 1e-9);
    assert_true(fabs(expected - 128) > 1e-4);
}

static void test_names_in_json(void **state)
{
    (void)state;
    char name[64], path[300];
    snprintf(name, sizeof name, "n\351");
    folder(name);
    copy(test_path("folder/000.png"), "n\351/0.png");
    copy(test_path("folder/001.png"), "n\351/1.png");
    snprintf(path, sizeof path, "'%s'", test_path(name));
    value_of(path, test_path("folder"), "");
    assert_non_null(strstr(output_of("fid --help"), "fd, kid, is"));
    snprintf(path, sizeof path,
             "fid --json --quiet --extractor fashion-cnn '%s' dataset:fashion-mnist:test --samples 2", test_path(name));
    assert_non_null(strstr(output_of(path), "/n\357\277\275\""));
}

/* OpenBLAS's threads wait for ever for memory that a limit keeps from them, and with them whoever ends the program. */
static void test_little_memory(void **state)
{
    (void)state;
#ifndef __SANITIZE_ADDRESS__ /* which takes terabytes of addresses */
    static const int limits[] = {200000, 280000, 330000, 1500000};
    char prefix[128], arguments[1024], text[4096];
    snprintf(arguments, sizeof arguments,
             "fid %s dataset:fashion-mnist:test --samples 20 --extractor fashion-cnn --quiet",
             test_path("pictures.npz"));
    for (int i = 0; i < 4; i++) {
        snprintf(prefix, sizeof prefix, "ulimit -v %d; OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 timeout -s KILL 400",
                 limits[i]);
        const int status = test_program_run(prefix, arguments, text, sizeof text);
        assert_int_equal(status, i < 3 ? 3 : 0);
        assert_true(i == 3 || (strncmp(text, "fewstep: no memory: ", 20) == 0 && strchr(text, '\n')[1] == 0));
    }
#endif
}

/* --- bad input --- */

static void refuses(const char *piece, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void refuses(const char *piece, const char *format, ...)
{
    char arguments[4096];
    va_list values;
    va_start(values, format);
    vsnprintf(arguments, sizeof arguments, format, values);
    va_end(values);
    test_program_refuses(2, arguments, piece);
}

/* A source that is wrong, on either side of one that is right. */
static void refuses_source(const char *piece, const char *source)
{
    static int side;
    const char *good = test_path("pictures.npz");
    side = !side;
    refuses(piece, "fid --quiet --extractor fashion-cnn %s %s", side ? source : good, side ? good : source);
}

static void test_wrong_use(void **state)
{
    (void)state;
    refuses("needs A B", "fid a");
    refuses("-o is missing", "stats a");
    refuses("the name of the file to write is empty", "stats %s -o ''", test_path("folder"));
    refuses("a folder", "stats %s -o %s", test_path("pictures.npz"), test_folder());
    refuses("--range: expected two numbers such as 0..255, got '1'", "fid a b --range 1");
    refuses("--range: expected two numbers such as 0..255, got '1..0'", "stats a -o b --range 1..0");
    refuses("--range: expected two numbers such as 0..255, got '0...1x'", "stats a -o b --range 0...1x");
    refuses("unknown metric 'fvd': there are fd, kid,", "fid a b --metrics fd,fvd");
    refuses("unknown metric ''", "fid a b --metrics fd,");
    refuses("--device: expected auto, cpu or cuda, got 'tpu'", "fid a b --device tpu");
    refuses("--device: expected auto, cpu or cuda, got ''", "stats a -o b.npz --device=");
    refuses("unknown feature extractor 'resnet'", "fid %s b --extractor resnet", test_path("folder"));
    refuses("unknown resize mode 'bicubic'", "fid %s b --resize bicubic --extractor fashion-cnn", test_path("folder"));
    char twice[600];
    snprintf(twice, sizeof twice, "%s %s", test_path("folder"), test_path("pictures.npz"));
    refuses("fashion-cnn takes pictures of one size only", "fid %s --resize torch --extractor fashion-cnn", twice);
    refuses("no/out.npz", "stats %s -o %s/no/out.npz", test_path("folder"), test_folder());
    refuses("statistics give a Fréchet distance only: kid needs pictures",
            "fid %s tests/golden/npz/float64.npz --metrics fd,kid", test_path("folder"));
}

static void test_wrong_sources(void **state)
{
    (void)state;
    folder("empty/deep");
    refuses_source("nowhere: cannot be read: No such file", "nowhere");
    refuses_source("nowhere.npz: cannot be read as an .npz", "nowhere.npz");
    refuses_source("expected a folder of pictures, an .npz or .npy, or dataset:NAME", "README.md");
    /* Whatever else is missing, the weights of a default that nobody chose among it. */
    refuses("nowhere: cannot be read: No such file", "fid %s nowhere", test_path("pictures.npz"));
    refuses("nowhere: cannot be read: No such file", "fid nowhere %s", test_path("pictures.npz"));
    refuses("nowhere: cannot be read: No such file", "stats nowhere -o x.npz");
    refuses_source("there is no data set 'cifar'; there are fashion-mnist", "dataset:cifar");
    refuses_source("unknown split 'validation': there are train and test", "dataset:fashion-mnist:validation");
    refuses_source("its rows are no pictures", "dataset:gaussian-mixture");
    refuses_source("empty: holds no picture", test_path("empty"));
    symlink(".", test_path("empty/loop"));
    refuses_source("a link that leads back?", test_path("empty"));
}

/* A folder with one good picture and this one. */
static void refuses_picture(const char *piece, const char *name, const char *from)
{
    char path[256];
    snprintf(path, sizeof path, "one/%s", name);
    if (from) {
        copy(from, path);
    }
    refuses_source(piece, test_path("one"));
    unlink(test_path(path));
}

static void test_wrong_pictures(void **state)
{
    (void)state;
    folder("one");
    copy(test_path("folder/000.png"), "one/000.png");
    refuses_source("one: 1 picture: a covariance needs two or more", test_path("one"));
    refuses_picture("one/rgb16.png: has 16 bits a channel: convert it to 8", "rgb16.png", PICTURES "rgb16.png");
    refuses_picture("one/cmyk.jpg: has 4 channels (CMYK): convert it to RGB", "cmyk.jpg", PICTURES "cmyk.jpg");
    refuses_picture("one/alpha.png: has 13 × 18 pixels, and fashion-cnn takes 28 × 28", "alpha.png",
                    PICTURES "grey_alpha.png");
    refuses_picture("one/colour.png: is in colour, where grey pictures are needed", "colour.png", PICTURES "rgb.png");
    refuses_picture("one/text.jpg: cannot be decoded: neither PNG nor JPEG", "text.jpg", "README.md");
    test_write(test_path("one/empty.png"), "", 0);
    refuses_picture("one/empty.png: cannot be decoded: the file is empty", "empty.png", NULL);
    copy(test_path("folder/001.png"), "one/cut.png");
    assert_int_equal(truncate(test_path("one/cut.png"), 200), 0);
    refuses_picture("one/cut.png: cannot be decoded: ", "cut.png", NULL);
    test_write(test_path("one/x.webp"), "RIFF", 4);
    refuses_picture("one/x.webp: PNG and JPEG can be read, as .png, .jpg and .jpeg: convert it", "x.webp", NULL);
    symlink("nowhere", test_path("one/link.png"));
    refuses_picture("one/link.png: cannot be read", "link.png", NULL);
    static const char *const left_out[] = {"a.jfif", "b.jpe", "c.TGA", "d.bmp"};
    for (int i = 0; i < 4; i++) {
        char piece[128], path[64];
        snprintf(path, sizeof path, "one/%s", left_out[i]);
        snprintf(piece, sizeof piece, "%s: PNG and JPEG can be read, as .png, .jpg and .jpeg", path);
        test_write(test_path(path), "x", 1);
        refuses_picture(piece, left_out[i], NULL);
    }
    copy(test_path("folder/001.png"), "one/noending");
    refuses_picture("one/noending: begins like a picture and is not named like one", "noending", NULL);
    copy(PICTURES "444.jpg", "one/photo.old");
    refuses_picture("one/photo.old: begins like a picture and is not named like one", "photo.old", NULL);
    mkfifo(test_path("one/x.png"), 0600);
    refuses_picture("one/x.png: cannot be read: it is no ordinary file", "x.png", NULL);
    mkfifo(test_path("pipe.npy"), 0600);
    refuses_source("pipe.npy: cannot be read: it is no ordinary file", test_path("pipe.npy"));
    mkfifo(test_path("pipe.npz"), 0600);
    refuses_source("pipe.npz: cannot be read: it is no ordinary file", test_path("pipe.npz"));
}

static void test_wrong_statistics(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    char path[256];
    keep(path, "wrong.npz");
    refuses_source("float64.npz has 5", "tests/golden/npz/float64.npz");
    /* Before the work: nothing says how far it is. */
    refuses("float64.npz has 5", "fid %s tests/golden/npz/float64.npz --extractor fashion-cnn",
            test_path("pictures.npz"));
    refuses_source("sigma: not symmetric", "tests/golden/npz/skew.npz");
    refuses("unknown resize mode 'nonsense'", "fid tests/golden/npz/float64.npz tests/golden/npz/float64.npz --resize "
                                              "nonsense");
    refuses("unknown feature extractor 'resnet'",
            "fid tests/golden/npz/float64.npz tests/golden/npz/float64.npz --extractor resnet");
    refuses("reference.npz: the statistics are of fashion-cnn, resize none: leave --extractor",
            "fid tests/golden/npz/float64.npz %s --resize authors", test_path("reference.npz"));
    write_statistics("wrong.npz", 128, -1, 0);
    refuses_source("wrong.npz: sigma: the variance of feature 0 is negative", path);
    write_statistics("wrong.npz", 128, NAN, 0);
    refuses_source("wrong.npz: sigma: element 0 is not finite", path);
    assert_int_equal(fs_file_read("tests/golden/npz/float64_compressed.npz", 1 << 20, &bytes, &size, &error), FS_OK);
    test_write(path, bytes, size / 2);
    refuses_source("wrong.npz: cannot be read as an .npz", path);
    free(bytes);
    refuses_source("wrong.npz: cannot be read as an .npz", (copy("README.md", "wrong.npz"), path));
}

static void test_wrong_arrays(void **state)
{
    (void)state;
    static uint8_t pixels[2 * SIDE * SIDE * 4];
    const char *const arr_0[] = {"arr_0"}, *const images[] = {"images"};
    char path[256];
    keep(path, "arrays.npz");
    const struct fs_array rgba = {FS_ARRAY_U8, 4, {2, SIDE, SIDE, 4}, pixels},
                          flat = {FS_ARRAY_U8, 2, {2, 784}, pixels};
    const struct fs_array small = {FS_ARRAY_U8, 4, {2, SIDE, SIDE - 1, 1}, pixels};
    assert_int_equal(fs_npz_write(path, arr_0, &rgba, 1, NULL, &error), FS_OK);
    refuses_source("arrays.npz: arr_0: expected uint8 pictures [N, height, width, 1 or 3]", path);
    assert_int_equal(fs_npz_write(path, arr_0, &flat, 1, NULL, &error), FS_OK);
    refuses_source("arrays.npz: arr_0: expected uint8 pictures", path);
    assert_int_equal(fs_npz_write(path, arr_0, &small, 1, NULL, &error), FS_OK);
    refuses_source("arrays.npz: picture 0: has 28 × 27 pixels, and fashion-cnn takes 28 × 28", path);
    assert_int_equal(fs_npz_write(path, images, &small, 1, NULL, &error), FS_OK);
    refuses_source("nan.npy: picture 299 has a value that is not finite", test_path("nan.npy"));
    copy("README.md", "text.npy");
    refuses_source("text.npy: not a sound .npy array", test_path("text.npy"));
    copy("tests/golden/npz/float64.npz", "zip.npy");
    refuses_source("zip.npy: not a sound .npy array", test_path("zip.npy"));
    refuses_source("expected uint8 or little-endian float32 pictures", "tests/golden/pictures/rgb.png.npy");
    refuses_source("arrays.npz: holds neither pictures (arr_0) nor statistics (mu and sigma), but images", path);
    refuses("arrays.npz: holds neither pictures (arr_0)", "stats %s -o x.npz", path);
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_pictures_same_number),
        cmocka_unit_test(test_collapsed_pictures),
        cmocka_unit_test(test_a_reference_batch),
        cmocka_unit_test(test_what_is_printed),
        cmocka_unit_test(test_few_pictures_are_noted),
        cmocka_unit_test(test_ranges_of_floats),
        cmocka_unit_test(test_resize_of_statistics),
        cmocka_unit_test(test_names_in_json),
        cmocka_unit_test(test_little_memory),
        cmocka_unit_test(test_wrong_use),
        cmocka_unit_test(test_wrong_sources),
        cmocka_unit_test(test_wrong_pictures),
        cmocka_unit_test(test_wrong_statistics),
        cmocka_unit_test(test_wrong_arrays),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
