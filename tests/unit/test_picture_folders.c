/* Folders of pictures and CIFAR-10's batches as data sets: classes, splits, what is refused, and the cache of decoded
 * pictures: kept, noticed to be old, never trusted when half written. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/data/dataset.h"
#include "harness/data/labelled_folder.h"
#include "harness/data/picture_cache.h"
#include "harness/data/png.h"
#include "kernels/base/file.h"
#include "tests/support/folder.h"
#include "tests/support/pictures.h"

static struct fs_error error;

static struct fs_dataset_config config_of(const char *kind, const char *path, int size)
{
    struct fs_dataset_config config = {.name = "mine", .size = size, .channels = 3, .test_share = 0.1};
    snprintf(config.kind, sizeof config.kind, "%s", kind);
    snprintf(config.path, sizeof config.path, "%s", path);
    return config;
}

/* In a text that stays. */
static const char *cache_folder(void)
{
    static char path[FS_PATH_ROOM];
    snprintf(path, sizeof path, "%s/cache", test_folder());
    return path;
}

/* A picture of one colour. */
static void write_plain(const char *path, int height, int width, int level)
{
    uint8_t *pixels = malloc((size_t)(height * width * 3));
    assert_non_null(pixels);
    memset(pixels, level, (size_t)(height * width * 3));
    assert_int_equal(fs_png_write(path, pixels, height, width, 3, &error), FS_OK);
    free(pixels);
}

static void refused(const struct fs_dataset_config *config, const char *says)
{
    struct fs_dataset data;
    error.text[0] = '\0';
    const fs_status status = fs_dataset_open(config, FS_SPLIT_TRAIN, &data, &error);
    if (status != FS_USAGE || !strstr(error.text, says)) {
        fail_msg("expected '%s', got %d: %s", says, (int)status, error.text);
    }
}

/* --- classes and splits --- */

static void a_sub_folder_is_a_class(void **state)
{
    (void)state;
    struct fs_labelled_folder folder;
    test_picture_folder(test_path("classes"), 2, 3);
    mkdir(test_path("classes/c0/deeper"), 0777);
    mkdir(test_path("classes/c-1"), 0777); /* '-' stands before '/' and before '0' */
    write_plain(test_path("classes/c0/deeper/x.JPeg.png"), 4, 4, 9);
    write_plain(test_path("classes/c-1/one.png"), 4, 4, 9);
    write_plain(test_path("classes/c-1/ONE.PNG"), 4, 4, 8);
    assert_int_equal(fs_labelled_folder_list(test_path("classes"), 0, &folder, &error), FS_OK);
    static const struct {
        const char *name;
        int label;
    } expected[] = {{"c-1/ONE.PNG", 0},          {"c-1/one.png", 0}, {"c0/3.png", 1}, {"c0/4.png", 1}, {"c0/5.png", 1},
                    {"c0/deeper/x.JPeg.png", 1}, {"c1/3.png", 2},    {"c1/4.png", 2}, {"c1/5.png", 2}};
    assert_int_equal(folder.classes, 3);
    assert_int_equal(folder.count, sizeof expected / sizeof *expected);
    for (int64_t i = 0; i < folder.count; i++) {
        assert_string_equal(folder.files[i].name, expected[i].name);
        assert_int_equal(folder.files[i].label, expected[i].label);
        assert_int_equal(folder.files[i].split, FS_SPLIT_TRAIN);
    }
    fs_labelled_folder_free(&folder);
    write_plain(test_path("classes/loose.png"), 4, 4, 9); /* one that has no class */
    assert_int_equal(fs_labelled_folder_list(test_path("classes"), 0, &folder, &error), FS_OK);
    assert_int_equal(folder.classes, 0);
    fs_labelled_folder_free(&folder);
}

/* An added picture moves no other one to another split. */
static void a_share_is_for_testing(void **state)
{
    (void)state;
    struct fs_labelled_folder folder;
    enum fs_split before[2000];
    mkdir(test_path("share"), 0777);
    for (int i = 0; i < 2000; i++) {
        char name[64];
        snprintf(name, sizeof name, "share/%d.png", 10000 + i);
        test_write(test_path(name), "", 0); /* they are only listed */
    }
    assert_int_equal(fs_labelled_folder_list(test_path("share"), 0.1, &folder, &error), FS_OK);
    assert_true(llabs(folder.split_count[FS_SPLIT_TEST] - 200) < 54); /* 4 standard deviations */
    assert_int_equal(folder.split_count[0] + folder.split_count[1], 2000);
    for (int i = 0; i < 2000; i++) {
        before[i] = folder.files[i].split;
    }
    fs_labelled_folder_free(&folder);
    test_write(test_path("share/0.png"), "", 0);
    assert_int_equal(fs_labelled_folder_list(test_path("share"), 0.1, &folder, &error), FS_OK);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(folder.files[i + 1].split, before[i]);
    }
    fs_labelled_folder_free(&folder);
}

static void folders_may_say_what_is_for_testing(void **state)
{
    (void)state;
    struct fs_labelled_folder folder;
    mkdir(test_path("splits"), 0777);
    test_picture_folder(test_path("splits/train"), 3, 2);
    test_picture_folder(test_path("splits/test"), 2, 1);
    assert_int_equal(fs_labelled_folder_list(test_path("splits"), 0.5, &folder, &error), FS_OK);
    assert_int_equal(folder.classes, 3);
    assert_int_equal(folder.split_count[FS_SPLIT_TRAIN], 6);
    assert_int_equal(folder.split_count[FS_SPLIT_TEST], 2);
    for (int64_t i = 0; i < folder.count; i++) {
        const bool test = strncmp(folder.files[i].name, "test/", 5) == 0;
        assert_int_equal(folder.files[i].split, test ? FS_SPLIT_TEST : FS_SPLIT_TRAIN);
        assert_int_equal(folder.files[i].label, strchr(folder.files[i].name, '/')[2] - '0');
    }
    fs_labelled_folder_free(&folder);
    mkdir(test_path("splits/test/c9"), 0777);
    write_plain(test_path("splits/test/c9/1.png"), 4, 4, 1);
    const struct fs_dataset_config config = config_of("image-folder", test_path("splits"), 8);
    refused(&config, "class c9 is in test and not in train");
}

static void bad_folders_are_refused(void **state)
{
    (void)state;
    test_picture_folder(test_path("bad"), 2, 1);
    struct fs_dataset_config config = config_of("image-folder", test_path("bad"), 0);
    refused(&config, "dataset.size, in pixels, is missing");
    config.size = 8;
    mkdir(test_path("bad/c7"), 0777);
    refused(&config, "c7: a class without a picture");
    rmdir(test_path("bad/c7"));
    assert_int_equal(symlink(".", test_path("bad/c8")), 0);
    refused(&config, "a link that leads back?");
    unlink(test_path("bad/c8"));
    config.channels = 2;
    refused(&config, "not 2");
    mkdir(test_path("none"), 0777);
    config = config_of("image-folder", test_path("none"), 8);
    refused(&config, "holds no picture");
    config = config_of("image-folder", test_path("nowhere"), 8);
    refused(&config, "nowhere");
    config = config_of("idx", test_path("bad"), 8);
    refused(&config, "they have no dataset.size");
}

/* Broken, of four channels, of 16 bits: all of them in one message. */
static void what_cannot_be_used_is_named_at_once(void **state)
{
    (void)state;
    static const char *const bad[] = {"grey16.png", "cmyk.jpg", "rgb16.png"};
    const struct fs_dataset_config config = config_of("image-folder", test_path("refused"), 8);
    struct fs_data_access access = {.cache = cache_folder()};
    struct fs_dataset data;
    test_picture_folder(test_path("refused"), 2, 2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char from[128], to[64], *bytes;
        size_t size;
        snprintf(from, sizeof from, "tests/golden/pictures/%s", bad[i]);
        snprintf(to, sizeof to, "refused/c1/%s", bad[i]);
        assert_int_equal(fs_file_read(from, 1 << 20, &bytes, &size, &error), FS_OK);
        test_write(test_path(to), bytes, size);
        free(bytes);
    }
    test_write(test_path("refused/c0/cut.png"), "\x89PNG\r\n\x1a\n", 8);
    refused(&config,
            "refused: 4 of 8 pictures cannot be used; replace or remove them: c0/cut.png: cannot be decoded: ");
    assert_non_null(strstr(error.text, "c1/grey16.png: has 16 bits"));
    assert_non_null(strstr(error.text, "c1/rgb16.png: has 16 bits"));
    assert_non_null(strstr(error.text, "c1/cmyk.jpg: has 4 channels (CMYK)"));
    for (int i = 0; i < 40; i++) {
        char name[64];
        snprintf(name, sizeof name, "refused/c0/an-empty-one-%d.png", i);
        test_write(test_path(name), "", 0);
    }
    assert_int_equal(fs_dataset_open_with(&config, &access, FS_SPLIT_TRAIN, &data, &error), FS_USAGE);
    const char *all = strstr(error.text, "more, all in ");
    char *text;
    size_t size;
    int lines = 0;
    assert_non_null(all);
    assert_int_equal(fs_file_read(all + 13, 1 << 20, &text, &size, &error), FS_OK);
    for (size_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
    }
    assert_int_equal(lines, 44);
    assert_non_null(strstr(text, "c0/an-empty-one-39.png: cannot be decoded: the file is empty\n"));
    free(text);
}

/* One picture, and one that is as thin as can be. */
static void few_and_thin_pictures_are_read(void **state)
{
    (void)state;
    struct fs_dataset data;
    float row[8 * 8 * 3];
    mkdir(test_path("thin"), 0777);
    write_plain(test_path("thin/thin.png"), 1, 10000, 51);
    struct fs_dataset_config config = config_of("image-folder", test_path("thin"), 8);
    for (int crop = 0; crop < 2; crop++) {
        config.crop = crop ? FS_CROP_NONE : FS_CROP_CENTER;
        assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TEST, &data, &error), FS_OK);
        assert_int_equal(data.shape.count, 0);
        fs_dataset_close(&data);
        assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error), FS_OK);
        assert_int_equal(data.shape.count, 1);
        assert_int_equal(data.shape.classes, 0);
        assert_int_equal(fs_dataset_read(&data, 0, row, &error), FS_OK);
        for (int i = 0; i < 8 * 8 * 3; i++) {
            const bool line = crop == 0 || i / 24 == 3;
            assert_true(row[i] == (line ? (float)(2 * 51 - 255) / 255.0f : 1.0f));
        }
        fs_dataset_close(&data);
    }
}

/* Names that differ in case alone are two, of pictures and of classes; and a batch larger than the data sees each of
 * them as often as the others, or once more. */
static void names_in_another_case_and_few_pictures(void **state)
{
    (void)state;
    static const char *const names[] = {"case/a/same.png", "case/a/Same.png", "case/A/same.png"};
    struct fs_dataset_config config = config_of("image-folder", test_path("case"), 8);
    struct fs_dataset data;
    float row[8 * 8 * 3];
    int64_t indices[32];
    int seen[3] = {0, 0, 0}, levels = 0;
    config.test_share = 0;
    mkdir(test_path("case"), 0777);
    mkdir(test_path("case/a"), 0777);
    mkdir(test_path("case/A"), 0777);
    for (int i = 0; i < 3; i++) {
        write_plain(test_path(names[i]), 8, 8, 1 << i);
    }
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error), FS_OK);
    assert_int_equal(data.shape.count, 3);
    assert_int_equal(data.shape.classes, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fs_dataset_read(&data, i, row, &error), FS_OK);
        levels += (int)lrintf((row[0] * 255 + 255) / 2);
    }
    assert_int_equal(levels, 7);
    fs_data_order(3, 0, 5, 32, 0, 32, indices);
    for (int i = 0; i < 32; i++) {
        assert_true(indices[i] >= 0 && indices[i] < 3);
        seen[indices[i]]++;
    }
    for (int i = 0; i < 3; i++) {
        assert_true(seen[i] >= 9 && seen[i] <= 12);
    }
    fs_dataset_close(&data);
}

/* --- the cache --- */

/* Opens the training split with the cache below the scratch folder; its hash. */
static void open_kept(const struct fs_dataset_config *config, const struct fs_data_access *access,
                      struct fs_dataset *data)
{
    if (fs_dataset_open_with(config, access, FS_SPLIT_TRAIN, data, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static void count_pictures(void *owner, int64_t done, int64_t of)
{
    int64_t *decoded = owner;
    *decoded = done;
    assert_true(done <= of);
}

/* How many pictures an opening decodes, and the hash that it finds. */
static int64_t decoded_by(const struct fs_dataset_config *config, bool verify, char sha256[FS_HASH_TEXT])
{
    int64_t decoded = 0;
    struct fs_dataset data;
    const struct fs_data_access access = {
        .cache = cache_folder(), .verify = verify, .owner = &decoded, .progress = count_pictures};
    open_kept(config, &access, &data);
    memcpy(sha256, data.sha256, FS_HASH_TEXT);
    float row[16 * 16 * 3];
    for (int64_t i = 0; i < data.shape.count; i++) {
        assert_int_equal(fs_dataset_read(&data, i, row, &error), FS_OK);
    }
    fs_dataset_close(&data);
    return decoded;
}

/* OUT/data/KEY: the only folder there. */
static const char *in_cache(const struct fs_dataset_config *config, const char *name)
{
    static char path[FS_PATH_ROOM];
    struct fs_labelled_folder folder;
    struct fs_picture_cache cache;
    const struct fs_data_access access = {.cache = cache_folder()};
    FILE *find;
    assert_int_equal(fs_labelled_folder_list(config->path, config->test_share, &folder, &error), FS_OK);
    assert_int_equal(fs_picture_cache_open(config, &folder, &access, &cache, &error), FS_OK);
    snprintf(path, sizeof path, "readlink /proc/%d/fd/%d", (int)getpid(), cache.pixels);
    find = popen(path, "r");
    assert_non_null(find);
    assert_non_null(fgets(path, sizeof path, find));
    pclose(find);
    fs_picture_cache_close(&cache);
    fs_labelled_folder_free(&folder);
    snprintf(strrchr(path, '/'), 64, "/%s", name);
    return path;
}

static void it_is_decoded_once_and_again_when_files_change(void **state)
{
    (void)state;
    test_picture_folder(test_path("kept"), 3, 4);
    struct fs_dataset_config config = config_of("image-folder", test_path("kept"), 16), other = config;
    char first[FS_HASH_TEXT], sha256[FS_HASH_TEXT], fresh[FS_HASH_TEXT];
    struct fs_dataset data;
    struct stat about;
    assert_int_equal(decoded_by(&config, false, first), 12);
    assert_int_equal(decoded_by(&config, false, sha256), 0);
    assert_string_equal(first, sha256);
    assert_int_equal(decoded_by(&config, true, sha256), 0);
    assert_string_equal(first, sha256);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error), FS_OK);
    assert_string_equal(data.sha256, first); /* with a cache or without */
    fs_dataset_close(&data);

    other.size = 8; /* other settings are another cache, and both stay */
    assert_int_equal(decoded_by(&other, false, sha256), 12);
    assert_string_not_equal(first, sha256);
    other = config, other.background = FS_BACKGROUND_BLACK;
    assert_int_equal(decoded_by(&other, false, sha256), 12);
    assert_string_equal(first, sha256); /* none of them is transparent */
    assert_int_equal(decoded_by(&config, false, sha256), 0);

    write_plain(test_path("kept/c1/3.png"), 5, 5, 200); /* a change by size and time */
    assert_int_equal(decoded_by(&config, false, sha256), 12);
    assert_string_not_equal(first, sha256);
    assert_int_equal(stat(test_path("kept/c1/3.png"), &about), 0);
    write_plain(test_path("kept/c1/3.png"), 5, 5, 201); /* one that leaves both as they were */
    const struct timespec times[2] = {about.st_atim, about.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, test_path("kept/c1/3.png"), times, 0), 0);
    struct stat after;
    assert_int_equal(stat(test_path("kept/c1/3.png"), &after), 0);
    assert_int_equal(after.st_size, about.st_size);
    assert_int_equal(decoded_by(&config, false, fresh), 0);
    assert_string_equal(fresh, sha256);
    assert_int_equal(decoded_by(&config, true, fresh), 12);
    assert_string_not_equal(fresh, sha256);

    unlink(test_path("kept/c1/3.png"));
    assert_int_equal(decoded_by(&config, false, sha256), 11);
    rename(test_path("kept/c2/3.png"), test_path("kept/c0/9.png")); /* the same picture, of another class */
    assert_int_equal(decoded_by(&config, false, fresh), 11);
    assert_string_not_equal(fresh, sha256);
}

static void what_is_damaged_is_decoded_again(void **state)
{
    (void)state;
    test_picture_folder(test_path("damaged"), 2, 5);
    const struct fs_dataset_config config = config_of("image-folder", test_path("damaged"), 16);
    char first[FS_HASH_TEXT], sha256[FS_HASH_TEXT], *bytes, path[FS_PATH_ROOM];
    size_t size;
    assert_int_equal(decoded_by(&config, false, first), 10);
    snprintf(path, sizeof path, "%s", in_cache(&config, "manifest"));
    assert_int_equal(fs_file_read(path, 1 << 20, &bytes, &size, &error), FS_OK);
    for (size_t cut = 0; cut < size; cut += 37) { /* half written, were it not renamed */
        test_write(path, bytes, cut);
        assert_int_equal(decoded_by(&config, false, sha256), 10);
        assert_string_equal(first, sha256);
    }
    free(bytes);
    snprintf(path, sizeof path, "%s", in_cache(&config, "pixels-0"));
    const bool zero = access(path, F_OK) == 0;
    snprintf(path, sizeof path, "%s", in_cache(&config, zero ? "pixels-0" : "pixels-1"));
    assert_int_equal(truncate(path, 16 * 16 * 3 * 9 + 5), 0);
    assert_int_equal(decoded_by(&config, false, sha256), 10);
    snprintf(path, sizeof path, "%s", in_cache(&config, zero ? "pixels-1" : "pixels-0"));
    assert_int_equal(fs_file_read(path, 1 << 20, &bytes, &size, &error), FS_OK);
    bytes[1000] ^= 1;
    test_write(path, bytes, size);
    free(bytes);
    assert_int_equal(decoded_by(&config, false, sha256), 0);
    assert_int_equal(decoded_by(&config, true, sha256), 10); /* its own bytes are compared, too */
    assert_string_equal(first, sha256);
}

/* Who has it open goes on with what it opened, and learns of a cut file by an error and not by a signal. */
static void a_reader_keeps_what_it_opened(void **state)
{
    (void)state;
    test_picture_folder(test_path("reader"), 2, 5);
    const struct fs_dataset_config config = config_of("image-folder", test_path("reader"), 16);
    const struct fs_data_access kept = {.cache = cache_folder()};
    struct fs_dataset old, new;
    float before[16 * 16 * 3], row[16 * 16 * 3];
    char path[FS_PATH_ROOM];
    open_kept(&config, &kept, &old);
    assert_int_equal(fs_dataset_read(&old, 0, before, &error), FS_OK);
    for (int i = 0; i < 2; i++) { /* twice: the names of the files have come round */
        write_plain(test_path("reader/c0/3.png"), 6 + i, 6, 40 + i);
        write_plain(test_path("reader/c0/4.png"), 6 + i, 6, 40 + i);
        open_kept(&config, &kept, &new);
        assert_int_equal(fs_dataset_read(&new, 0, row, &error), FS_OK);
        assert_memory_not_equal(before, row, sizeof row);
        assert_int_equal(fs_dataset_read(&old, 0, row, &error), FS_OK);
        assert_memory_equal(before, row, sizeof row);
        fs_dataset_close(&new);
    }
    fs_dataset_close(&old);
    open_kept(&config, &kept, &new);
    snprintf(path, sizeof path, "%s", in_cache(&config, "pixels-0"));
    if (access(path, F_OK) != 0) {
        snprintf(path, sizeof path, "%s", in_cache(&config, "pixels-1"));
    }
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(fs_dataset_read(&new, 0, row, &error), FS_FAILED);
    assert_non_null(strstr(error.text, "cut short"));
    fs_dataset_close(&new);
}

static void decoding_is_stopped_and_left_out(void **state)
{
    (void)state;
    static volatile sig_atomic_t stop = 1;
    test_picture_folder(test_path("stopped"), 1, 3);
    const struct fs_dataset_config config = config_of("image-folder", test_path("stopped"), 16);
    const struct fs_data_access stopped = {.cache = cache_folder(), .stop = &stop},
                                only_kept = {.cache = cache_folder(), .only_kept = true};
    struct fs_dataset data;
    char sha256[FS_HASH_TEXT];
    assert_int_equal(fs_dataset_open_with(&config, &only_kept, FS_SPLIT_TRAIN, &data, &error), FS_OK);
    assert_string_equal(data.sha256, "");
    fs_dataset_close(&data);
    assert_int_equal(fs_dataset_open_with(&config, &stopped, FS_SPLIT_TRAIN, &data, &error), FS_STOPPED);
    assert_int_equal(decoded_by(&config, false, sha256), 3);
    assert_int_equal(fs_dataset_open_with(&config, &only_kept, FS_SPLIT_TRAIN, &data, &error), FS_OK);
    assert_string_equal(data.sha256, sha256);
    fs_dataset_close(&data);
}

/* --- CIFAR-10 --- */

static void cifar10_is_read_as_published(void **state)
{
    (void)state;
    struct fs_dataset data;
    struct fs_dataset_config config = config_of("cifar10", test_path("cifar"), 0);
    float row[32 * 32 * 3];
    char *bytes;
    size_t size;
    test_small_cifar10(test_path("cifar"), 13);
    for (int split = 0; split < 2; split++) {
        assert_int_equal(fs_dataset_open(&config, (enum fs_split)split, &data, &error), FS_OK);
        assert_int_equal(data.shape.count, split == FS_SPLIT_TRAIN ? 26 : 13);
        assert_int_equal(data.shape.classes, 10);
        for (int64_t i = 0; i < data.shape.count; i++) {
            const char *file = split == FS_SPLIT_TEST ? "cifar/test_batch.bin"
                               : i < 13               ? "cifar/data_batch_1.bin"
                                                      : "cifar/data_batch_2.bin";
            assert_int_equal(fs_file_read(test_path(file), 1 << 20, &bytes, &size, &error), FS_OK);
            const uint8_t *record = (const uint8_t *)bytes + i % 13 * 3073;
            assert_int_equal(data.labels[i], record[0]);
            assert_int_equal(fs_dataset_read(&data, i, row, &error), FS_OK);
            for (int k = 0; k < 32 * 32 * 3; k++) { /* planes of red, green and blue there, pixels here */
                assert_int_equal(fs_pixel(row[k]), record[1 + k % 3 * 1024 + k / 3]);
            }
            free(bytes);
        }
        fs_dataset_close(&data);
    }
    assert_int_equal(rename(test_path("cifar"), test_path("cifar-10-batches-bin")), 0);
    config = config_of("cifar10", test_folder(), 0); /* the folder that it was unpacked in */
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TEST, &data, &error), FS_OK);
    fs_dataset_close(&data);
}

static void other_batches_are_refused(void **state)
{
    (void)state;
    const struct fs_dataset_config config = config_of("cifar10", test_path("others"), 0);
    static uint8_t record[3073];
    mkdir(test_path("others"), 0777);
    refused(&config, "no data_batch_1.bin in it");
    test_write(test_path("others/data_batch_1.bin"), record, sizeof record - 1);
    refused(&config, "3072 bytes are no whole number of records");
    test_write(test_path("others/data_batch_1.bin"), record, 0);
    refused(&config, "0 bytes are no whole number of records");
    record[0] = 10;
    test_write(test_path("others/data_batch_1.bin"), record, sizeof record);
    refused(&config, "record 0 has the label 10: expected 0 to 9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sub_folder_is_a_class),
        cmocka_unit_test(a_share_is_for_testing),
        cmocka_unit_test(folders_may_say_what_is_for_testing),
        cmocka_unit_test(bad_folders_are_refused),
        cmocka_unit_test(what_cannot_be_used_is_named_at_once),
        cmocka_unit_test(few_and_thin_pictures_are_read),
        cmocka_unit_test(names_in_another_case_and_few_pictures),
        cmocka_unit_test(it_is_decoded_once_and_again_when_files_change),
        cmocka_unit_test(what_is_damaged_is_decoded_again),
        cmocka_unit_test(a_reader_keeps_what_it_opened),
        cmocka_unit_test(decoding_is_stopped_and_left_out),
        cmocka_unit_test(cifar10_is_read_as_published),
        cmocka_unit_test(other_batches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
