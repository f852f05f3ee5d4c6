/* Data sets: what they hold, what a damaged one says, the order of the data, the exact velocity. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "harness/data/dataset.h"
#include "harness/data/loader.h"
#include "harness/data/mixture.h"
#include "harness/data/source.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"
#include "tests/support/folder.h"
#include "tests/support/latents.h"
#include "tests/support/pictures.h"

static struct fs_error error;

static struct fs_dataset_config config_of(const char *name, const char *path)
{
    struct fs_dataset_config config = {0};
    snprintf(config.name, sizeof config.name, "%s", name);
    snprintf(config.path, sizeof config.path, "%s", path);
    return config;
}

/* --- Fashion-MNIST --- */

static void fashion_mnist_is_the_published_one(void **state)
{
    (void)state;
    const struct fs_dataset_config config = config_of("fashion-mnist", "");
    struct fs_dataset data[2];
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data[0], &error), FS_OK);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TEST, &data[1], &error), FS_OK);
    assert_int_equal(data[0].shape.count, 60000);
    assert_int_equal(data[1].shape.count, 10000);
    assert_string_not_equal(data[0].sha256, data[1].sha256);
    for (int split = 0; split < 2; split++) {
        assert_int_equal(fs_shape_dim(&data[split].shape), 784);
        assert_int_equal(data[split].shape.classes, 10);
        int histogram[10] = {0};
        double mean = 0;
        for (int64_t i = 0; i < data[split].shape.count; i++) {
            assert_in_range(data[split].labels[i], 0, 9);
            histogram[data[split].labels[i]]++;
        }
        for (int i = 0; i < 10; i++) {
            assert_int_equal(histogram[i], data[split].shape.count / 10);
        }
        for (int64_t i = 0; i < data[split].shape.count; i++) {
            uint8_t pixels[784];
            assert_int_equal(fs_dataset_bytes(&data[split], i, 1, pixels, &error), FS_OK);
            for (int k = 0; k < 784; k++) {
                mean += pixels[k] / 255.0;
            }
        }
        mean /= (double)data[split].shape.count * 784;
        /* The widely used normalisation constant of the training set is 0.2860. */
        assert_true(fabs(mean - 0.2860) < (split ? 2e-3 : 5e-5));
    }
    assert_int_equal(data[0].labels[0], 9); /* an ankle boot comes first */
    fs_dataset_close(&data[0]);
    fs_dataset_close(&data[1]);
    fs_dataset_close(&data[1]);
}

/* --- IDX files --- */

/* Three pictures of the user's own, 28 × 28, with labels up to 9. */
struct idx {
    unsigned char bytes[16 + 3 * 784 + 1];
    size_t size;
};

static struct idx make_images(void)
{
    struct idx idx = {{0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28}, 16 + 3 * 784};
    for (int i = 0; i < 3 * 784; i++) {
        idx.bytes[16 + i] = (unsigned char)(i * 31 % 256);
    }
    return idx;
}

static struct idx make_labels(void)
{
    return (struct idx){{0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 5}, 11};
}

static void write_gzip(const char *path, const struct idx *idx)
{
    gzFile stream = gzopen(path, "wb9");
    assert_non_null(stream);
    assert_int_equal(gzwrite(stream, idx->bytes, (unsigned)idx->size), idx->size);
    assert_int_equal(gzclose(stream), Z_OK);
}

#define IMAGES "mnist/train-images-idx3-ubyte"
#define LABELS "mnist/train-labels-idx1-ubyte"

static void write_plain(const struct idx *images, const struct idx *labels)
{
    assert_int_equal(fs_make_folder(test_path("mnist"), &error), FS_OK);
    unlink(test_path(IMAGES ".gz"));
    unlink(test_path(LABELS ".gz"));
    test_write(test_path(IMAGES), images->bytes, images->size);
    test_write(test_path(LABELS), labels->bytes, labels->size);
}

static void own_files_are_read_plain_and_gzipped(void **state)
{
    (void)state;
    const struct idx images = make_images(), labels = make_labels();
    write_plain(&images, &labels);
    const struct fs_dataset_config config = config_of("idx", test_path("mnist"));
    struct fs_dataset plain, gzipped;
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &plain, &error), FS_OK);
    assert_int_equal(plain.shape.count, 3);
    assert_int_equal(plain.shape.height, 28);
    assert_int_equal(plain.shape.width, 28);
    assert_int_equal(plain.shape.channels, 1);
    assert_int_equal(plain.shape.classes, 10);
    assert_int_equal(plain.labels[2], 5);
    uint8_t pixels[3 * 784];
    float row[784];
    assert_int_equal(fs_dataset_bytes(&plain, 0, 3, pixels, &error), FS_OK);
    assert_memory_equal(pixels, images.bytes + 16, 3 * 784);
    assert_int_equal(fs_dataset_read(&plain, 2, row, &error), FS_OK);
    for (int i = 0; i < 784; i++) {
        assert_true(row[i] == (float)(2 * images.bytes[16 + 2 * 784 + i] - 255) / 255.0f);
        assert_true(fabsf(row[i]) <= 1);
    }
    unlink(test_path(IMAGES));
    unlink(test_path(LABELS));
    write_gzip(test_path(IMAGES ".gz"), &images);
    write_gzip(test_path(LABELS ".gz"), &labels);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &gzipped, &error), FS_OK);
    assert_string_equal(plain.sha256, gzipped.sha256);
    fs_dataset_close(&gzipped);
    struct idx others = labels;
    others.bytes[8] = 8;
    write_gzip(test_path(LABELS ".gz"), &others);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &gzipped, &error), FS_OK);
    assert_string_not_equal(plain.sha256, gzipped.sha256);
    fs_dataset_close(&gzipped);
    fs_dataset_close(&plain);
}

/* Opens the user's folder, which is damaged; the error must name the file and say `says`. */
static void assert_refused(const char *file, const char *says)
{
    const struct fs_dataset_config config = config_of("idx", test_path("mnist"));
    struct fs_dataset data;
    error.text[0] = '\0';
    const fs_status status = fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error);
    if (status != FS_USAGE || !strstr(error.text, file) || !strstr(error.text, says)) {
        fail_msg("expected '%s' about %s, got: %s", says, file, error.text);
    }
    assert_null(data.state);
    assert_null(data.labels);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    const struct idx images = make_images(), labels = make_labels();
    struct idx bad;

    bad = images, bad.bytes[3] = 1;
    write_plain(&bad, &labels);
    assert_refused("train-images", "magic");
    bad = images, bad.bytes[11] = 27;
    write_plain(&bad, &labels);
    assert_refused("train-images", "behind its last row");
    bad = images, bad.bytes[11] = 0;
    write_plain(&bad, &labels);
    assert_refused("train-images", "no size");
    bad = images, bad.bytes[8] = 0xff;
    write_plain(&bad, &labels);
    assert_refused("train-images", "no size");
    bad = images, bad.bytes[7] = 0;
    write_plain(&bad, &labels);
    assert_refused("train-images", "too short");
    bad = images, bad.bytes[4] = 0xff;
    write_plain(&bad, &labels);
    assert_refused("train-images", "too short");
    bad = images, bad.size--;
    write_plain(&bad, &labels);
    assert_refused("train-images", "ends too early");
    bad = images, bad.size = 7;
    write_plain(&bad, &labels);
    assert_refused("train-images", "ends too early");
    bad = images, bad.size++;
    write_plain(&bad, &labels);
    assert_refused("train-images", "behind its last row");
    bad = labels, bad.bytes[7] = 2, bad.size--;
    write_plain(&images, &bad);
    assert_refused("mnist", "3 pictures");
    bad = labels, bad.size = 0;
    write_plain(&images, &bad);
    assert_refused("train-labels", "ends too early");
}

static void damaged_gzip_is_refused(void **state)
{
    (void)state;
    const struct idx images = make_images(), labels = make_labels();
    write_plain(&images, &labels);
    write_gzip(test_path(IMAGES ".gz"), &images);
    char *bytes;
    size_t size;
    assert_int_equal(fs_file_read(test_path(IMAGES ".gz"), 1 << 20, &bytes, &size, &error), FS_OK);
    for (size_t cut = 0; cut < size; cut++) {
        test_write(test_path(IMAGES ".gz"), bytes, cut);
        assert_refused("train-images-idx3-ubyte.gz", "");
    }
    bytes[size - 5] ^= 1; /* in the checksum */
    test_write(test_path(IMAGES ".gz"), bytes, size);
    assert_refused("train-images-idx3-ubyte.gz", "");
    free(bytes);
}

static void missing_files_say_what_to_install(void **state)
{
    (void)state;
    const struct fs_dataset_config config = config_of("fashion-mnist", test_path("nowhere"));
    struct fs_dataset data;
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "dataset-fashion-mnist"));
    assert_non_null(strstr(error.text, "nowhere"));
}

/* Not square, no labels, more classes than Fashion-MNIST: the shape is what lies there. */
static void a_shape_is_that_of_the_files(void **state)
{
    (void)state;
    static const unsigned char images[] = {0, 0, 8, 3,  0,   0,   0,   2,   0, 0, 0, 2, 0, 0,
                                           0, 3, 0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 46, 3};
    struct fs_dataset data;
    struct fs_data_shape shape;
    struct fs_dataset_config config = config_of("letters", test_path("letters"));
    snprintf(config.kind, sizeof config.kind, "idx");
    assert_int_equal(fs_make_folder(test_path("letters"), &error), FS_OK);
    test_write(test_path("letters/train-images-idx3-ubyte"), images, sizeof images);
    assert_int_equal(fs_dataset_shape(&config, &shape, &error), FS_OK);
    assert_int_equal(shape.classes, 0);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error), FS_OK);
    assert_null(data.labels);
    fs_dataset_close(&data);
    test_write(test_path("letters/train-labels-idx1-ubyte"), labels, sizeof labels);
    assert_int_equal(fs_dataset_shape(&config, &shape, &error), FS_OK);
    assert_int_equal(shape.height, 2);
    assert_int_equal(shape.width, 3);
    assert_int_equal(shape.classes, 47);
    assert_int_equal(shape.count, 2);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error), FS_OK);
    assert_string_equal(data.name, "letters");
    float row[6];
    assert_int_equal(fs_dataset_read(&data, 0, row, &error), FS_OK);
    assert_true(row[0] == -1.0f && row[1] == -0.6f && row[5] == 1.0f && row[2] == -row[3]);
    fs_dataset_close(&data);
}

/* Nobody's other files are Fashion-MNIST, whoever calls them so. */
static void a_name_stands_for_its_data(void **state)
{
    (void)state;
    const struct idx images = make_images(), labels = make_labels();
    write_plain(&images, &labels);
    struct fs_dataset data;
    const struct fs_dataset_config lie = config_of("fashion-mnist", test_path("mnist"));
    assert_int_equal(fs_dataset_open(&lie, FS_SPLIT_TRAIN, &data, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "holds 3 pictures of 28 × 28, not 60000"));
    assert_non_null(strstr(error.text, "a name of their own and `kind: idx`"));
    struct fs_dataset_config dressed = config_of("fashion-mnist", test_path("mnist"));
    snprintf(dressed.kind, sizeof dressed.kind, "idx");
    assert_int_equal(fs_dataset_open(&dressed, FS_SPLIT_TRAIN, &data, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "fashion-mnist is the name of other data"));
    snprintf(dressed.kind, sizeof dressed.kind, "fashion-mnist");
    snprintf(dressed.path, sizeof dressed.path, "/usr/share/datasets/fashion-mnist");
    assert_int_equal(fs_dataset_open(&dressed, FS_SPLIT_TEST, &data, &error), FS_OK);
    fs_dataset_close(&data);
}

static void kinds_are_known(void **state)
{
    (void)state;
    struct fs_data_shape shape;
    struct fs_dataset data;
    bool needs_path;
    int count = 0;
    for (; fs_dataset_kind(count, &needs_path); count++) {
        const struct fs_dataset_config config = config_of(fs_dataset_kind(count, &needs_path), "");
        if (needs_path) {
            assert_int_equal(fs_dataset_shape(&config, &shape, &error), FS_USAGE);
            assert_non_null(strstr(error.text, "dataset.path is missing"));
            continue;
        }
        assert_int_equal(fs_dataset_shape(&config, &shape, &error), FS_OK);
        assert_true(shape.height > 0 && shape.width > 0 && shape.channels > 0 && shape.classes >= 0 && shape.count > 0);
    }
    assert_true(count >= 3);
    assert_null(fs_dataset_kind(-1, &needs_path));
    const struct fs_dataset_config unknown = config_of("mnist", ""), near = config_of("fashion-mnits", "");
    assert_int_equal(fs_dataset_open(&unknown, FS_SPLIT_TRAIN, &data, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "; data of your own have a dataset.kind"));
    assert_int_equal(fs_dataset_open(&near, FS_SPLIT_TRAIN, &data, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "did you mean fashion-mnist?"));
}

/* --- reading from several threads --- */

#define READERS 4
#define READINGS 20000

struct reader {
    const struct fs_dataset *data;
    uint32_t seed;
    double sum; /* of what it read, in its own order */
    bool good;
};

/* Reads rows as a prefetch thread would: visits of updates far apart, in an order of its own. */
static void *read_much(void *argument)
{
    struct reader *reader = argument;
    struct fs_error own = {.text = ""};
    const struct fs_data_shape *shape = &reader->data->shape;
    float row[32 * 32 * 3];
    reader->good = fs_shape_dim(shape) <= 32 * 32 * 3;
    for (uint32_t i = 0; reader->good && i < READINGS; i++) {
        const int64_t index = (int64_t)((reader->seed + i) * 2654435761u % (uint64_t)shape->count);
        const struct fs_visit visit = {reader->seed, i, i % 7};
        reader->good = reader->data->source->read(reader->data, index, &visit, row, &own) == FS_OK;
        for (int64_t k = 0; k < fs_shape_dim(shape); k++) {
            reader->sum += (double)row[k] * (double)(k + 1 + index % 97);
        }
    }
    return NULL;
}

/* A folder with data of this kind. */
static const char *folder_of(const char *kind)
{
    struct test_latents latents;
    if (strcmp(kind, "image-folder") == 0) {
        test_picture_folder(test_path("pictures"), 3, 7);
        return test_path("pictures");
    }
    if (strcmp(kind, "cifar10") == 0) {
        test_small_cifar10(test_path("cifar10"), 5);
        return test_path("cifar10");
    }
    if (strcmp(kind, "latents") != 0) {
        return test_path("mnist");
    }
    test_latents_fill(&latents);
    test_latents_write(test_path("threads"), &latents, FS_F16);
    return test_path("threads");
}

/* Every kind gives the same rows to threads that read at once as to one alone. */
static void threads_read_at_once(void **state)
{
    (void)state;
    const struct idx images = make_images(), labels = make_labels();
    bool needs_path;
    write_plain(&images, &labels);
    for (int kind = 0; fs_dataset_kind(kind, &needs_path); kind++) {
        struct fs_dataset data;
        pthread_t threads[READERS];
        struct reader readers[READERS], alone[READERS];
        const char *name = fs_dataset_kind(kind, &needs_path);
        struct fs_dataset_config config = config_of(name, needs_path ? folder_of(name) : "");
        config.size = strcmp(name, "image-folder") == 0 ? 12 : 0;
        config.channels = 3;
        const enum fs_split split = needs_path ? FS_SPLIT_TRAIN : FS_SPLIT_TEST;
        assert_int_equal(fs_dataset_open(&config, split, &data, &error), FS_OK);
        for (int i = 0; i < READERS; i++) {
            readers[i] = alone[i] = (struct reader){.data = &data, .seed = 100u * (uint32_t)i + 1u};
            assert_int_equal(pthread_create(&threads[i], NULL, read_much, &readers[i]), 0);
        }
        for (int i = 0; i < READERS; i++) {
            read_much(&alone[i]);
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_true(readers[i].good && alone[i].good);
            assert_true(readers[i].sum == alone[i].sum && readers[i].sum != 0);
        }
        fs_dataset_close(&data);
    }
}

/* --- the order of the data --- */

static void each_epoch_visits_each_row_once(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 2, 3, 4, 5, 17, 64, 1000, 4097};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        const int64_t count = counts[c];
        const int batch = 7;
        const int epochs = 3;
        int *visits = calloc((size_t)count, sizeof *visits);
        assert_non_null(visits);
        for (int64_t position = 0; position < epochs * count; position++) {
            int64_t index;
            fs_data_order(count, 11, position / batch, batch, (int)(position % batch), 1, &index);
            assert_true(index >= 0 && index < count);
            assert_int_equal(visits[index]++, position / count);
        }
        free(visits);
    }
}

static void a_batch_is_the_same_however_it_is_cut(void **state)
{
    (void)state;
    int64_t whole[24], parts[24];
    for (int64_t update = 0; update < 20; update++) {
        fs_data_order(100, 3, update, 24, 0, 24, whole);
        fs_data_order(100, 3, update, 24, 0, 5, parts);
        fs_data_order(100, 3, update, 24, 5, 19, parts + 5);
        assert_memory_equal(whole, parts, sizeof whole);
        int64_t as_one[1];
        fs_data_order(100, 3, update * 24 + 9, 1, 0, 1, as_one);
        assert_int_equal(as_one[0], whole[9]);
    }
}

/* Share of places with the same index in two orders of 5000 rows; 1/5000 when they have nothing in common. */
static int agreements(uint32_t seed_a, int64_t epoch_a, uint32_t seed_b, int64_t epoch_b)
{
    int64_t a[5000], b[5000];
    fs_data_order(5000, seed_a, epoch_a, 5000, 0, 5000, a);
    fs_data_order(5000, seed_b, epoch_b, 5000, 0, 5000, b);
    int same = 0;
    for (int i = 0; i < 5000; i++) {
        same += a[i] == b[i];
    }
    return same;
}

static void orders_differ_between_epochs_and_seeds(void **state)
{
    (void)state;
    assert_int_equal(agreements(1, 0, 1, 0), 5000);
    assert_true(agreements(1, 0, 1, 1) < 10);
    assert_true(agreements(1, 0, 2, 0) < 10);
    assert_true(agreements(1, 0, 1, (int64_t)1 << 32) < 10);
    /* Neighbours are strangers: their mean distance in a random order is a third of the rows, ± 24 for 5000. */
    int64_t order[5000];
    fs_data_order(5000, 1, 0, 5000, 0, 5000, order);
    double distance = 0;
    for (int i = 1; i < 5000; i++) {
        distance += fabs((double)(order[i] - order[i - 1])) / 4999;
    }
    assert_true(fabs(distance - 5000.0 / 3) < 80);
}

/* Over many epochs each row comes first equally often. */
static void first_places_are_uniform(void **state)
{
    (void)state;
    int histogram[13] = {0};
    for (int64_t epoch = 0; epoch < 13000; epoch++) {
        int64_t index;
        fs_data_order(13, 5, epoch, 13, 0, 1, &index);
        histogram[index]++;
    }
    double chi = 0;
    for (int i = 0; i < 13; i++) {
        chi += pow(histogram[i] - 1000.0, 2) / 1000;
    }
    assert_true(chi < 32.9); /* 12 degrees: 0.1 % */
}

static void the_loader_gives_rows_and_labels_in_that_order(void **state)
{
    (void)state;
    const struct fs_dataset_config config = config_of("gaussian-mixture", "");
    struct fs_dataset data;
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TEST, &data, &error), FS_OK);
    const int64_t dim = fs_shape_dim(&data.shape);
    int64_t indices[30];
    float rows[30 * 4];
    int32_t labels[30];
    assert_int_equal(dim, 4);
    fs_data_order(data.shape.count, 9, 312, 32, 2, 30, indices); /* across the end of an epoch */
    assert_int_equal(fs_load_rows(&data, 9, 312, 32, 2, 30, rows, labels, &error), FS_OK);
    for (int i = 0; i < 30; i++) {
        float row[4];
        assert_int_equal(fs_dataset_read(&data, indices[i], row, &error), FS_OK);
        assert_int_equal(labels[i], data.labels[indices[i]]);
        assert_memory_equal(rows + i * dim, row, (size_t)dim * sizeof(float));
    }
    fs_dataset_close(&data);
}

/* Half of the visits see a picture mirrored, each by itself, and always the same ones. */
static void visits_are_mirrored_at_random(void **state)
{
    (void)state;
    const struct idx images = make_images(), labels = make_labels();
    write_plain(&images, &labels);
    struct fs_dataset_config config = config_of("idx", test_path("mnist"));
    struct fs_dataset plain, mirrored;
    config.mirror = true;
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &mirrored, &error), FS_OK);
    config.mirror = false;
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &plain, &error), FS_OK);
    assert_string_equal(plain.sha256, mirrored.sha256); /* the data are the same; how they are visited is not */
    int count = 0, changes = 0, last = 0;
    for (int i = 0; i < 4000; i++) {
        const struct fs_visit visit = {7, i / 50, i % 50};
        float row[784], seen[784], again[784];
        assert_int_equal(fs_dataset_visit(&plain, i % 3, &visit, row, &error), FS_OK);
        assert_int_equal(fs_dataset_visit(&mirrored, i % 3, &visit, seen, &error), FS_OK);
        assert_int_equal(fs_dataset_visit(&mirrored, i % 3, &visit, again, &error), FS_OK);
        assert_memory_equal(seen, again, sizeof seen);
        const int turned = memcmp(row, seen, sizeof row) != 0;
        for (int k = 0; turned && k < 784; k++) {
            assert_true(seen[k] == row[k / 28 * 28 + 27 - k % 28]);
        }
        count += turned;
        changes += turned != last;
        last = turned;
    }
    assert_true(abs(count - 2000) < 150 && abs(changes - 2000) < 150); /* 4.7 standard deviations */
    fs_dataset_close(&plain);
    fs_dataset_close(&mirrored);
    struct fs_dataset_config mixture = config_of("gaussian-mixture", "");
    mixture.mirror = true;
    assert_int_equal(fs_dataset_open(&mixture, FS_SPLIT_TRAIN, &plain, &error), FS_USAGE);
}

/* --- the Gaussian mixture --- */

static void the_mixture_is_what_it_says(void **state)
{
    (void)state;
    const struct fs_mixture *mixture = fs_mixture_standard();
    const struct fs_dataset_config config = config_of("gaussian-mixture", "");
    struct fs_dataset data[2];
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data[0], &error), FS_OK);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TEST, &data[1], &error), FS_OK);
    assert_int_equal(fs_shape_dim(&data[0].shape), mixture->dim);
    assert_int_equal(data[0].shape.classes, mixture->modes);
    float *values = calloc((size_t)data[0].shape.count * (size_t)mixture->dim, sizeof *values), other[4];
    assert_non_null(values);
    assert_int_equal(fs_dataset_rows(&data[0], 0, data[0].shape.count, values, &error), FS_OK);
    assert_int_equal(fs_dataset_read(&data[1], 0, other, &error), FS_OK);
    assert_true(memcmp(values, other, sizeof other) != 0);
    for (int k = 0; k < mixture->modes; k++) {
        double n = 0, sum[16] = {0}, squares = 0;
        for (int64_t i = 0; i < data[0].shape.count; i++) {
            for (int d = 0; d < mixture->dim && data[0].labels[i] == k; d++) {
                const double value = (double)values[i * mixture->dim + d];
                assert_true(fabs(value) < 4);
                sum[d] += value;
                squares += pow(value - mixture->mean[k][d], 2);
            }
            n += data[0].labels[i] == k;
        }
        /* Within 4.5 standard errors. */
        const double weight = mixture->weight[k], count = (double)data[0].shape.count, s = mixture->deviation[k];
        assert_true(fabs(n / count - weight) < 4.5 * sqrt(weight * (1 - weight) / count));
        for (int d = 0; d < mixture->dim; d++) {
            assert_true(fabs(sum[d] / n - mixture->mean[k][d]) < 4.5 * s / sqrt(n));
        }
        assert_true(fabs(squares / (n * mixture->dim) - s * s) < 4.5 * s * s * sqrt(2 / (n * mixture->dim)));
    }
    free(values);
    fs_dataset_close(&data[0]);
    fs_dataset_close(&data[1]);
    const struct fs_dataset_config with_path = config_of("gaussian-mixture", "/somewhere");
    assert_int_equal(fs_dataset_open(&with_path, FS_SPLIT_TEST, &data[0], &error), FS_USAGE);
}

/* ∫ N(y; mean, s²)·N(x; t·y, noise²)·(1 or y) dy by the trapezium rule over ±10 s, which for a smooth function that
 * has vanished at both ends converges faster than any power of its width. */
static void integrate(double mean, double s, double x, double t, double noise, double *evidence, double *moment)
{
    *evidence = *moment = 0;
    const int points = 40000;
    for (int i = 0; i <= points; i++) {
        const double y = mean + s * (20.0 * i / points - 10);
        const double a = (y - mean) / s, b = (x - t * y) / noise;
        const double density = exp(-0.5 * (a * a + b * b)) / (2 * M_PI * s * noise) * (20.0 * s / points);
        *evidence += density;
        *moment += density * y;
    }
}

/* E[x1 − (1 − σ)·x0 | x_t = x] by numerical integration, dimension by dimension as each mode is round. */
static void integrated_velocity(const struct fs_mixture *mixture, const double *x, double t, int32_t label, double *v)
{
    const double noise = 1 - (1 - 1e-5) * t;
    double evidence[8], expected[8][16], total = 0;
    for (int k = 0; k < mixture->modes; k++) {
        evidence[k] = label < mixture->modes ? (k == label ? 1 : 0) : mixture->weight[k];
        for (int d = 0; d < mixture->dim; d++) {
            double share, moment;
            integrate(mixture->mean[k][d], mixture->deviation[k], x[d], t, noise, &share, &moment);
            evidence[k] *= share;
            expected[k][d] = moment / share;
        }
        total += evidence[k];
    }
    for (int d = 0; d < mixture->dim; d++) {
        v[d] = 0;
        for (int k = 0; k < mixture->modes; k++) {
            const double x0 = (x[d] - t * expected[k][d]) / noise;
            v[d] += evidence[k] / total * (expected[k][d] - (1 - 1e-5) * x0);
        }
    }
}

static void the_velocity_is_the_integral(void **state)
{
    (void)state;
    const struct fs_mixture *mixture = fs_mixture_standard();
    struct fs_mixture uneven = *mixture;
    uneven.dim = 3;
    uneven.modes = 3;
    uneven.weight[0] = 0.7, uneven.weight[1] = 0.2, uneven.weight[2] = 0.1;
    const struct fs_random_key key = {.seed = 1, .stream = FS_STREAM_TEST};
    const double times[] = {0, 0.125, 0.5, 0.9, 0.98};
    for (uint32_t row = 0; row < 20; row++) {
        const struct fs_mixture *used = row % 2 ? &uneven : mixture;
        const double t = times[row % 5];
        const int32_t label = row < 12 ? used->modes : (int32_t)row % used->modes;
        const int near_mode = (int)row % used->modes;
        float normals[4];
        double x[4], v[4], expected[4];
        fs_normals4(key, row, 0, normals);
        for (int d = 0; d < used->dim; d++) {
            x[d] = t * used->mean[label < used->modes ? label : near_mode][d] + (1.1 - t) * (double)normals[d];
        }
        fs_mixture_velocity(used, x, t, label, v);
        integrated_velocity(used, x, t, label, expected);
        for (int d = 0; d < used->dim; d++) {
            assert_true(fabs(v[d] - expected[d]) < 1e-8 * (1 + fabs(expected[d])));
        }
    }
}

/* Far from every mode and at both ends of time the velocity is a number. */
static void the_velocity_is_finite_everywhere(void **state)
{
    (void)state;
    const struct fs_mixture *mixture = fs_mixture_standard();
    const double places[] = {0, -4, 4, 100, -1e4};
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j <= 128; j++) {
            const double x[4] = {places[i], -places[i], places[i], 1};
            double v[4];
            fs_mixture_velocity(mixture, x, j / 128.0, mixture->modes, v);
            assert_true(isfinite(v[0]) && isfinite(v[1]) && isfinite(v[2]) && isfinite(v[3]));
        }
    }
}

/* With a label the flow has a closed form: it ends at mean + √(σ² + deviation²)·x0. Runge–Kutta must get there. */
static void the_flow_ends_in_the_mode(void **state)
{
    (void)state;
    const struct fs_mixture *mixture = fs_mixture_standard();
    for (int32_t label = 0; label < mixture->modes; label++) {
        const double start[4] = {0.3, -1.2, 2.0, -0.1 * label};
        double x[4] = {start[0], start[1], start[2], start[3]};
        const int steps = 400;
        for (int i = 0; i < steps; i++) {
            const double h = 1.0 / steps, t = (double)i / steps;
            double k[4][4], at[4];
            for (int stage = 0; stage < 4; stage++) {
                const double part = stage == 0 ? 0 : stage == 3 ? h : h / 2;
                for (int d = 0; d < 4; d++) {
                    at[d] = x[d] + (stage ? part * k[stage - 1][d] : 0);
                }
                fs_mixture_velocity(mixture, at, t + part, label, k[stage]);
            }
            for (int d = 0; d < 4; d++) {
                x[d] += h / 6 * (k[0][d] + 2 * k[1][d] + 2 * k[2][d] + k[3][d]);
            }
        }
        for (int d = 0; d < 4; d++) {
            const double s = sqrt(1e-10 + pow(mixture->deviation[label], 2));
            assert_true(fabs(x[d] - (mixture->mean[label][d] + s * start[d])) < 1e-6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fashion_mnist_is_the_published_one),
        cmocka_unit_test(own_files_are_read_plain_and_gzipped),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(damaged_gzip_is_refused),
        cmocka_unit_test(missing_files_say_what_to_install),
        cmocka_unit_test(a_shape_is_that_of_the_files),
        cmocka_unit_test(a_name_stands_for_its_data),
        cmocka_unit_test(kinds_are_known),
        cmocka_unit_test(threads_read_at_once),
        cmocka_unit_test(each_epoch_visits_each_row_once),
        cmocka_unit_test(a_batch_is_the_same_however_it_is_cut),
        cmocka_unit_test(orders_differ_between_epochs_and_seeds),
        cmocka_unit_test(first_places_are_uniform),
        cmocka_unit_test(the_loader_gives_rows_and_labels_in_that_order),
        cmocka_unit_test(visits_are_mirrored_at_random),
        cmocka_unit_test(the_mixture_is_what_it_says),
        cmocka_unit_test(the_velocity_is_the_integral),
        cmocka_unit_test(the_velocity_is_finite_everywhere),
        cmocka_unit_test(the_flow_ends_in_the_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
