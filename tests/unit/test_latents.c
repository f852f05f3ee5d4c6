/* Latents: what was stored is drawn from, and a folder that is not what it says is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/data/latents.h"
#include "harness/data/loader.h"
#include "kernels/base/random.h"
#include "tests/support/folder.h"
#include "tests/support/latents.h"

#define DIM TEST_LATENTS_DIM

static struct fs_error error;
static struct test_latents stored;

static struct fs_dataset_config config_of(const char *folder)
{
    struct fs_dataset_config config = {.name = "faces", .kind = "latents"};
    snprintf(config.path, sizeof config.path, "%s", folder);
    return config;
}

static void open_sound(const struct fs_dataset_config *config, struct fs_dataset *data)
{
    if (fs_dataset_open(config, FS_SPLIT_TRAIN, data, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* Without a visit, the mean of each picture, shifted and scaled; labels beside them; in either type. */
static void the_mean_is_what_it_is(void **state)
{
    (void)state;
    const enum fs_type types[] = {FS_F16, FS_F32};
    char hashes[2][65];
    for (int t = 0; t < 2; t++) {
        const struct fs_dataset_config config = config_of(test_path(t ? "fp32" : "fp16"));
        struct fs_dataset data;
        float row[DIM];
        test_latents_write(config.path, &stored, types[t]);
        open_sound(&config, &data);
        assert_int_equal(data.shape.count, TEST_LATENTS_PICTURES);
        assert_int_equal(data.shape.classes, 4);
        assert_int_equal(fs_shape_dim(&data.shape), DIM);
        assert_false(data.pictures);
        for (int i = 0; i < TEST_LATENTS_PICTURES; i++) {
            assert_int_equal(data.labels[i], stored.labels[i]);
            assert_int_equal(fs_dataset_read(&data, i, row, &error), FS_OK);
            for (int k = 0; k < DIM; k++) {
                assert_true(row[k] == (stored.mean[i][0][k] - 0.25f) * 0.5f);
            }
        }
        memcpy(hashes[t], data.sha256, 65);
        assert_int_equal(fs_latents_of(&data)->picture.width, 24);
        assert_string_equal(fs_latents_folder(&data), config.path);
        fs_dataset_close(&data);
    }
    assert_string_not_equal(hashes[0], hashes[1]);
}

/* A visit of (seed, update, row) draws mean + exp(log variance/2)·ε of the picture or its mirror image: the same at
 * each reading, another at another update, row or seed, and of the right distribution. */
static void a_visit_draws_from_the_posterior(void **state)
{
    (void)state;
    struct fs_dataset_config config = config_of(test_path("visits"));
    struct fs_dataset data;
    enum { DRAWS = 4000 };
    double mirrored = 0, sum = 0, squares = 0;
    float row[DIM], again[DIM];
    test_latents_write(config.path, &stored, FS_F16);
    config.mirror = true;
    open_sound(&config, &data);
    for (int i = 0; i < DRAWS; i++) {
        const struct fs_visit visit = {5, i / 16, i % 16};
        const int picture = i % TEST_LATENTS_PICTURES;
        assert_int_equal(fs_dataset_visit(&data, picture, &visit, row, &error), FS_OK);
        assert_int_equal(fs_dataset_visit(&data, picture, &visit, again, &error), FS_OK);
        assert_memory_equal(row, again, sizeof row);
        /* ε is that of the stream, of one of the two views. */
        const struct fs_random_key key = {5, FS_STREAM_POSTERIOR, (uint32_t)visit.update, 0};
        float normals[4];
        fs_normals4(key, (uint32_t)visit.row, 2, normals);
        bool fits[2];
        for (int view = 0; view < 2; view++) {
            const double z =
                stored.mean[picture][view][9] + exp(stored.log_variance[picture][view][9] / 2) * normals[1];
            fits[view] = fabs((z - 0.25) * 0.5 - row[9]) < 1e-6;
        }
        assert_true(fits[0] != fits[1]);
        mirrored += fits[1];
        sum += normals[1];
        squares += normals[1] * normals[1];
    }
    assert_true(fabs(mirrored / DRAWS - 0.5) < 0.04);
    assert_true(fabs(sum / DRAWS) < 0.08 && fabs(squares / DRAWS - 1) < 0.12);
    fs_dataset_close(&data);
}

static void read_visit(const struct fs_dataset_config *config, const struct fs_visit *visit, float row[DIM])
{
    struct fs_dataset data;
    open_sound(config, &data);
    assert_int_equal(fs_dataset_visit(&data, 4, visit, row, &error), FS_OK);
    fs_dataset_close(&data);
}

static void what_moves_a_visit(void **state)
{
    (void)state;
    struct fs_dataset_config config = config_of(test_path("moves"));
    const struct fs_visit visits[] = {{1, 2, 3}, {2, 2, 3}, {1, 3, 3}, {1, 2, 4}};
    float rows[4][DIM], mean[DIM], as_is[DIM];
    test_latents_write(config.path, &stored, FS_F32);
    for (int i = 0; i < 4; i++) {
        read_visit(&config, &visits[i], rows[i]);
        for (int k = 0; k < i; k++) {
            assert_memory_not_equal(rows[i], rows[k], sizeof rows[i]);
        }
    }
    config.posterior = FS_POSTERIOR_MEAN;
    read_visit(&config, &visits[0], mean);
    for (int k = 0; k < DIM; k++) {
        as_is[k] = (stored.mean[4][0][k] - 0.25f) * 0.5f;
    }
    assert_memory_equal(mean, as_is, sizeof mean);
}

/* The rows of a global batch do not depend on how it is dealt. */
static void dealt_rows_are_the_same(void **state)
{
    (void)state;
    struct fs_dataset_config config = config_of(test_path("dealt"));
    struct fs_dataset data;
    float whole[10][DIM], parts[10][DIM];
    int32_t labels[10];
    test_latents_write(config.path, &stored, FS_F16);
    config.mirror = true;
    open_sound(&config, &data);
    assert_int_equal(fs_load_rows(&data, 7, 11, 10, 0, 10, whole[0], labels, &error), FS_OK);
    assert_int_equal(fs_load_rows(&data, 7, 11, 10, 6, 4, parts[6], labels, &error), FS_OK);
    assert_int_equal(fs_load_rows(&data, 7, 11, 10, 0, 6, parts[0], labels, &error), FS_OK);
    assert_memory_equal(whole, parts, sizeof whole);
    fs_dataset_close(&data);
}

/* --- identity --- */

static void hash_of(const struct fs_dataset_config *config, char sha256[65])
{
    struct fs_dataset data;
    open_sound(config, &data);
    memcpy(sha256, data.sha256, 65);
    fs_dataset_close(&data);
}

/* Neither name nor place; but labels, scale and contents. */
static void what_the_hash_covers(void **state)
{
    (void)state;
    struct fs_dataset_config one = config_of(test_path("one")), other = config_of(test_path("other"));
    struct test_latents changed = stored;
    char first[65], second[65];
    test_latents_write(one.path, &stored, FS_F16);
    test_latents_write(other.path, &stored, FS_F16);
    snprintf(other.name, sizeof other.name, "people");
    other.mirror = true; /* of the training, whose own hash has it */
    hash_of(&one, first);
    hash_of(&other, second);
    assert_string_equal(first, second);
    changed.labels[6] = (changed.labels[6] + 1) % 4;
    test_latents_write(other.path, &changed, FS_F16);
    hash_of(&other, second);
    assert_string_not_equal(first, second);
    struct fs_latents_manifest manifest;
    assert_int_equal(fs_latents_manifest_read(one.path, FS_LATENTS_MANIFEST, &manifest, &error), FS_OK);
    fs_latents_hash(&manifest, second);
    assert_string_equal(first, second);
    manifest.scale = 0.13025;
    fs_latents_hash(&manifest, second);
    assert_string_not_equal(first, second);
    fs_latents_manifest_free(&manifest);
}

static void a_manifest_comes_back(void **state)
{
    (void)state;
    const char *folder = test_path("manifest");
    struct fs_latents_manifest before, after;
    test_latents_write(folder, &stored, FS_F16);
    assert_int_equal(fs_latents_manifest_read(folder, FS_LATENTS_MANIFEST, &before, &error), FS_OK);
    before.scale = 0.18215;
    before.shift = 0.1159;
    snprintf(before.source, sizeof before.source, "photos \"é\"/of us");
    assert_int_equal(fs_latents_manifest_write(folder, "again.json", &before, &error), FS_OK);
    assert_int_equal(fs_latents_manifest_read(folder, "again.json", &after, &error), FS_OK);
    assert_true(after.scale == before.scale && after.shift == before.shift);
    assert_string_equal(after.source, before.source);
    assert_int_equal(after.shard_count, 3);
    assert_memory_equal(after.shards, before.shards, 3 * sizeof *after.shards);
    fs_latents_manifest_free(&before);
    fs_latents_manifest_free(&after);
}

/* --- what is refused --- */

static void refuses(const struct fs_dataset_config *config, const char *piece)
{
    struct fs_dataset data;
    assert_int_equal(fs_dataset_open(config, FS_SPLIT_TRAIN, &data, &error), FS_USAGE);
    if (!strstr(error.text, piece)) {
        fail_msg("'%s' does not say '%s'", error.text, piece);
    }
}

static void replace(const char *path, const char *old, const char *new)
{
    char *text;
    size_t size;
    assert_int_equal(fs_file_read(path, 1 << 20, &text, &size, &error), FS_OK);
    char *at = strstr(text, old);
    assert_non_null(at);
    char changed[4096];
    const int length = snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    test_write(path, changed, (size_t)length);
    free(text);
}

static void folders_that_lie_are_refused(void **state)
{
    (void)state;
    struct fs_dataset_config config = config_of(test_path("lies"));
    char manifest[1100], shard[1100];
    snprintf(manifest, sizeof manifest, "%s/latents.json", config.path);
    snprintf(shard, sizeof shard, "%s/latents-00001.safetensors", config.path);
    refuses(&config, "no folder of latents");
    const struct {
        const char *old, *new, *piece;
    } lies[] = {
        {"\"fewstep-latents-1\"", "\"fewstep-latents-9\"", "format: expected fewstep-latents-1"},
        {"\"count\": 7", "\"count\": 8", "rows that add up to count"},
        {"\"count\": 7", "\"count\": -7", "count: expected a whole number"},
        {"\"height\": 2", "\"height\": 99999999", "height: expected a whole number"},
        {"\"scale\": 0.5", "\"scale\": -1", "scale: expected a number above 0"},
        {"\"scale\": 0.5", "\"scale\": \"x\"", "scale: expected a number"},
        {"\"stored\": \"F16\"", "\"stored\": \"F8\"", "stored: expected F16 or F32"},
        {"\"classes\": 4", "\"classes\": 1", "label"},
        {"\"rows\": 3", "\"rows\": 0", "rows: expected a whole number"},
        {"\"channels\": 2", "\"channels\": 3", "not the shard that latents.json lists"},
        {"\"autoencoder_sha256\": \"0", "\"autoencoder_sha256\": \"1", "a shard of another autoencoder"},
        {"\"sha256\": \"", "\"sha256\": \"xy", "sha256: expected"},
        {"{\"format\"", "[\"format\"", "no JSON object"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        test_latents_write(config.path, &stored, FS_F16);
        replace(manifest, lies[i].old, lies[i].new);
        refuses(&config, lies[i].piece);
    }
    test_latents_write(config.path, &stored, FS_F16);
    assert_int_equal(unlink(shard), 0);
    refuses(&config, "a shard is missing");
    test_latents_write(config.path, &stored, FS_F16);
    assert_int_equal(truncate(shard, 700), 0);
    refuses(&config, "latents-00001.safetensors");
    /* A shard of another folder, of the same shape. */
    struct fs_dataset_config other = config_of(test_path("lies-other"));
    struct test_latents changed = stored;
    char from[1100];
    changed.mean[4][1][2] += 1;
    test_latents_write(config.path, &stored, FS_F16);
    test_latents_write(other.path, &changed, FS_F16);
    snprintf(from, sizeof from, "%s/latents-00001.safetensors", other.path);
    assert_int_equal(rename(from, shard), 0);
    refuses(&config, "folders of latents were mixed");
    assert_int_equal(rename(manifest, test_path("lies/unfinished.json")), 0);
    refuses(&config, "its encoding is not finished");
    /* Of another size than was asked for. */
    test_latents_write(config.path, &stored, FS_F16);
    config.size = 256;
    refuses(&config, "latents of pictures of 16 × 24, not of dataset.size, 256");
}

/* A number that is not finite is said when the folder is opened, and where it came later, when it is read. */
static void numbers_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    const struct fs_dataset_config config = config_of(test_path("nan"));
    const struct fs_visit visit = {1, 2, 3};
    struct test_latents broken[2] = {stored, stored};
    struct fs_dataset data;
    float row[DIM];
    char copy[1024];
    broken[0].mean[2][0][5] = NAN;
    broken[1].log_variance[5][0][0] = INFINITY;
    for (int i = 0; i < 2; i++) {
        test_latents_write(config.path, &broken[i], i ? FS_F32 : FS_F16);
        refuses(&config, i ? "latents-00001.safetensors: the number at byte "
                           : "latents-00000.safetensors: the number at byte ");
    }
    test_latents_write(config.path, &stored, FS_F32);
    open_sound(&config, &data);
    assert_int_equal(fs_dataset_visit(&data, 5, &visit, row, &error), FS_OK);
    test_latents_write(test_path("poison"), &broken[1], FS_F32);
    snprintf(copy, sizeof copy, "cat '%s/latents-00001.safetensors' > '%s/latents-00001.safetensors'",
             test_path("poison"), test_path("nan"));
    assert_int_equal(system(copy), 0); /* in place, as who holds it open sees */
    assert_int_equal(fs_dataset_read(&data, 5, row, &error), FS_OK);
    assert_int_equal(fs_dataset_visit(&data, 5, &visit, row, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "latents-00001.safetensors: the number at byte "));
    fs_dataset_close(&data);
}

/* Other numbers under the sum of what was written: --verify sees them. */
static void changed_contents_are_seen_where_asked(void **state)
{
    (void)state;
    const struct fs_dataset_config config = config_of(test_path("changed"));
    const struct fs_data_access verify = {.verify = true};
    struct fs_dataset data;
    test_latents_write(config.path, &stored, FS_F16);
    assert_int_equal(fs_dataset_open_with(&config, &verify, FS_SPLIT_TRAIN, &data, &error), FS_OK);
    fs_dataset_close(&data);
    FILE *file = fopen(test_path("changed/latents-00001.safetensors"), "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, -2, SEEK_END), 0);
    const int last = fgetc(file);
    assert_int_equal(fseek(file, -2, SEEK_END), 0);
    assert_int_equal(fputc(last ^ 1, file), last ^ 1);
    fclose(file);
    open_sound(&config, &data);
    fs_dataset_close(&data);
    assert_int_equal(fs_dataset_open_with(&config, &verify, FS_SPLIT_TRAIN, &data, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "latents-00001.safetensors: its contents are not those that were written"));
}

static int fill(void **state)
{
    (void)state;
    test_latents_fill(&stored);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_is_what_it_is),
        cmocka_unit_test(a_visit_draws_from_the_posterior),
        cmocka_unit_test(what_moves_a_visit),
        cmocka_unit_test(dealt_rows_are_the_same),
        cmocka_unit_test(what_the_hash_covers),
        cmocka_unit_test(a_manifest_comes_back),
        cmocka_unit_test(folders_that_lie_are_refused),
        cmocka_unit_test(numbers_that_are_not_finite_are_refused),
        cmocka_unit_test(changed_contents_are_seen_where_asked),
    };
    return cmocka_run_group_tests_name("latents", tests, fill, NULL);
}
