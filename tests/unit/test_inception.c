/* The extractor inception-v3: its file, what makes a score an FID, pictures in, taps out. What the network computes is
 * held against PyTorch's port in tests/golden. */
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

#include "kernels/base/memory.h"
#include "metrics/inception.h"
#include "tests/support/backend_net.h"
#include "tests/support/folder.h"

static struct fs_error error;
static struct fs_backend *backend;
static struct fs_inception_random parameters;
static char hash[65];

static void write_file(const char *name, int tensor_count, const char *source, const char *converted)
{
    const struct fs_tensor_metadata metadata[] = {{"source_sha256", source}, {"parameters_sha256", converted}};
    assert_int_equal(fs_tensor_file_write(test_path(name), parameters.tensors, tensor_count, metadata, 2, &error),
                     FS_OK);
}

static int set_up(void **state)
{
    (void)state;
    backend = fs_cpu_backend(2, &error);
    assert_non_null(backend);
    assert_int_equal(fs_inception_random_create(0, &parameters, &error), FS_OK);
    fs_inception_hash(&parameters.file, hash);
    write_file(FS_INCEPTION_FILE, FS_INCEPTION_TENSORS, FS_INCEPTION_SOURCE_SHA256, hash);
    setenv("FEWSTEP_DATA", test_folder(), 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fs_inception_random_destroy(&parameters);
    backend->destroy(backend);
    return 0;
}

/* --- parameters --- */

static void tensors_are_the_ports(void **state)
{
    (void)state;
    struct fs_inception_tensor tensors[FS_INCEPTION_TENSORS];
    int64_t total = 0;
    fs_inception_tensors(tensors);
    for (int i = 0; i < FS_INCEPTION_TENSORS; i++) {
        total += tensors[i].shape[0] * tensors[i].shape[1] * tensors[i].shape[2] * tensors[i].shape[3];
        assert_true(i == 0 || strcmp(tensors[i - 1].name, tensors[i].name) < 0);
    }
    assert_string_equal(tensors[0].name, "Conv2d_1a_3x3.bn.bias");
    assert_string_equal(tensors[FS_INCEPTION_TENSORS - 1].name, "fc.weight");
    /* The published file's 95 628 359 bytes hold these as float32, names and counters beside them. */
    assert_int_equal(total, 23885392);
}

static void refuse(const struct fs_tensor_file *file, const char *piece)
{
    assert_int_equal(fs_inception_check("some.safetensors", file, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "some.safetensors"));
    assert_non_null(strstr(error.text, piece));
}

static void other_networks_are_refused(void **state)
{
    (void)state;
    struct fs_tensor_file file = parameters.file;
    assert_int_equal(fs_inception_check("some.safetensors", &file, &error), FS_OK);
    file.tensor_count--;
    refuse(&file, "fc.weight");
    struct fs_tensor *bias = &parameters.tensors[FS_INCEPTION_TENSORS - 2];
    bias->shape[0] = 1000; /* torchvision's */
    refuse(&parameters.file, "fc.bias");
    bias->shape[0] = 1008;
    bias->type = FS_F64;
    refuse(&parameters.file, "fc.bias");
    bias->type = FS_F32;
    struct fs_tensor *variance = &parameters.tensors[2];
    assert_string_equal(variance->name, "Conv2d_1a_3x3.bn.running_var");
    float *values = parameters.values + ((const float *)variance->data - parameters.values), kept = values[1];
    values[1] = -1;
    refuse(&parameters.file, "running_var");
    values[1] = NAN;
    refuse(&parameters.file, "nan");
    values[1] = kept;
    assert_int_equal(fs_inception_check("some.safetensors", &parameters.file, &error), FS_OK);
}

static void only_the_published_parameters_make_an_fid(void **state)
{
    (void)state;
    struct fs_tensor_metadata metadata[] = {{"source_sha256", FS_INCEPTION_SOURCE_SHA256}, {"parameters_sha256", hash}};
    struct fs_tensor_file file = parameters.file;
    char changed[65];
    assert_false(fs_inception_is_published(&file, hash));
    file.metadata = metadata;
    file.metadata_count = 2;
    assert_true(fs_inception_is_published(&file, hash));
    file.metadata_count = 1;
    assert_false(fs_inception_is_published(&file, hash));
    file.metadata_count = 2;
    metadata[0].value = hash; /* converted from another file */
    assert_false(fs_inception_is_published(&file, hash));
    metadata[0].value = FS_INCEPTION_SOURCE_SHA256;
    const float kept = parameters.values[7];
    parameters.values[7] = 0; /* changed after the conversion */
    fs_inception_hash(&file, changed);
    parameters.values[7] = kept;
    assert_string_not_equal(changed, hash);
    assert_false(fs_inception_is_published(&file, changed));
}

/* --- the file --- */

static void missing_file_says_how_to_make_it(void **state)
{
    (void)state;
    struct fs_extractor extractor;
    if (access("metrics/" FS_INCEPTION_FILE, R_OK) == 0) {
        skip(); /* it is there */
    }
    setenv("FEWSTEP_DATA", "/nonexistent", 1);
    assert_int_equal(fs_extractor_open("inception-v3", backend, &extractor, &error), FS_USAGE);
    assert_non_null(strstr(error.text, FS_INCEPTION_FILE));
    assert_non_null(strstr(error.text, "metrics/convert/inception_to_safetensors.py"));
    setenv("FEWSTEP_DATA", test_folder(), 1);
}

/* The first digit of its source's hash becomes another. */
static void change_source(const char *path)
{
    char head[65536];
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    const size_t size = fread(head, 1, sizeof head - 1, file);
    head[size] = '\0';
    char *place = strstr(head + 8, FS_INCEPTION_SOURCE_SHA256);
    assert_non_null(place);
    assert_int_equal(fseek(file, (long)(place - head), SEEK_SET), 0);
    assert_int_equal(fputc('0', file), '0');
    assert_int_equal(fclose(file), 0);
}

/* The last of the tests: it changes the file. */
static void file_of_unknown_weights_names_them(void **state)
{
    (void)state;
    struct fs_extractor extractor;
    char label[64];
    snprintf(label, sizeof label, "inception-v3 weights %.8s", hash);
    change_source(test_path(FS_INCEPTION_FILE));
    assert_int_equal(fs_extractor_open("inception-v3", backend, &extractor, &error), FS_OK);
    assert_false(extractor.fid);
    assert_string_equal(extractor.name, "inception-v3");
    assert_string_equal(extractor.label, label);
    assert_string_equal(fs_extractor_metric(&extractor, "fd"), "fd");
    fs_extractor_close(&extractor);
    write_file(FS_INCEPTION_FILE, 3, FS_INCEPTION_SOURCE_SHA256, hash);
    assert_int_equal(fs_extractor_open("inception-v3", backend, &extractor, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "no float32 tensor Conv2d_1a_3x3.bn.weight"));
}

/* --- pictures --- */

static struct fs_extractor open_published(void)
{
    struct fs_extractor extractor;
    assert_int_equal(fs_extractor_open("inception-v3", backend, &extractor, &error), FS_OK);
    return extractor;
}

static void taps_and_names(struct fs_extractor *extractor)
{
    static const int64_t dims[] = {2048, 1008, 2023, 768, 192, 64};
    assert_true(extractor->fid);
    assert_string_equal(extractor->label, "inception-v3");
    assert_string_equal(extractor->sha256, hash);
    assert_string_equal(extractor->path, test_path(FS_INCEPTION_FILE));
    assert_string_equal(fs_extractor_metric(extractor, "fd"), "fid");
    assert_string_equal(fs_extractor_metric(extractor, "kid"), "kid");
    assert_int_equal(extractor->tap_count, FS_INCEPTION_TAPS);
    for (int i = 0; i < extractor->tap_count; i++) {
        assert_int_equal(extractor->taps[i].dim, dims[i]);
    }
    /* 5.7 G multiply-adds, as Szegedy et al. (2016) say ("5 billion"). */
    assert_true(extractor->flops > 11.3e9 && extractor->flops < 11.6e9);
}

/* A grey picture is its three channels; bytes are floats; more pictures than go in at once come out in their order. */
static void pictures_in_features_out(struct fs_extractor *extractor)
{
    enum { SIDE = 28, PIXELS = SIDE * SIDE };
    const int64_t count = extractor->batch_max + 1;
    float out[3][64], *all = fs_allocate((size_t)count, 64 * sizeof *all, "features", &error);
    uint8_t *bytes = fs_allocate((size_t)count, 3 * PIXELS, "pictures", &error);
    float *floats = fs_allocate(PIXELS, sizeof *floats, "a picture", &error);
    assert_true(all && bytes && floats);
    for (int64_t i = 0; i < count * PIXELS; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / PIXELS * 31);
    }
    float *taps[FS_INCEPTION_TAPS] = {NULL};
    struct fs_image_batch batch = {bytes, true, count, SIDE, SIDE, 1, 0, 0};
    taps[FS_INCEPTION_64] = all;
    assert_int_equal(extractor->extract(extractor, &batch, taps, &error), FS_OK);

    const uint8_t *last = bytes + (count - 1) * PIXELS;
    batch.pixels = last;
    batch.count = 1;
    taps[FS_INCEPTION_64] = out[0];
    assert_int_equal(extractor->extract(extractor, &batch, taps, &error), FS_OK);
    assert_memory_equal(out[0], all + (count - 1) * 64, sizeof out[0]);
    assert_memory_not_equal(out[0], all, sizeof out[0]);

    for (int i = 0; i < PIXELS; i++) {
        floats[i] = (float)last[i] / 127.5F - 1;
    }
    const struct fs_image_batch real = {floats, false, 1, SIDE, SIDE, 1, -1, 1};
    taps[FS_INCEPTION_64] = out[1];
    assert_int_equal(extractor->extract(extractor, &real, taps, &error), FS_OK);
    for (int i = PIXELS - 1; i >= 0; i--) {
        bytes[3 * i] = bytes[3 * i + 1] = bytes[3 * i + 2] = last[i];
    }
    const struct fs_image_batch colour = {bytes, true, 1, SIDE, SIDE, 3, 0, 0};
    taps[FS_INCEPTION_64] = out[2];
    assert_int_equal(extractor->extract(extractor, &colour, taps, &error), FS_OK);
    for (int i = 0; i < 64; i++) {
        assert_float_equal(out[1][i], out[0][i], 1e-5);
        assert_float_equal(out[2][i], out[0][i], 1e-5);
    }
    free(all);
    free(bytes);
    free(floats);
}

static void wrong_pictures(struct fs_extractor *extractor)
{
    const float pixels[2 * 2 * 3] = {0};
    float out[64], *taps[FS_INCEPTION_TAPS] = {NULL};
    taps[FS_INCEPTION_64] = out;
    struct fs_image_batch batch = {pixels, false, 1, 2, 2, 3, -1, 1};
    batch.channels = 2;
    assert_int_equal(extractor->extract(extractor, &batch, taps, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "1 or 3 channels"));
    batch.channels = 3;
    batch.high = -1;
    assert_int_equal(extractor->extract(extractor, &batch, taps, &error), FS_USAGE);
    batch.high = 1;
    fs_extractor_set_resize(extractor, FS_RESIZE_NONE);
    assert_int_equal(extractor->extract(extractor, &batch, taps, &error), FS_USAGE);
    fs_extractor_set_resize(extractor, FS_RESIZE_TF1);
    assert_int_equal(extractor->extract(extractor, &batch, taps, &error), FS_OK);
}

/* Pictures reach a backend whose memory is not the host's, and features come back. */
static void another_backend_extracts(struct fs_extractor *on_cpu)
{
    enum { COUNT = 2, PIXELS = 28 * 28 };
    struct fs_backend some = test_some_backend(backend);
    struct fs_extractor on_some;
    uint8_t bytes[COUNT * PIXELS];
    float features[2][COUNT * 64];
    const struct fs_image_batch batch = {bytes, true, COUNT, 28, 28, 1, 0, 0};
    for (int i = 0; i < COUNT * PIXELS; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / PIXELS * 31);
    }
    assert_int_equal(fs_extractor_open("inception-v3", &some, &on_some, &error), FS_OK);
    assert_string_equal(on_cpu->device, "cpu");
    assert_int_equal(strncmp(on_some.device, "some-", 5), 0);
    struct fs_extractor *extractors[] = {on_cpu, &on_some};
    for (int i = 0; i < 2; i++) {
        float *const taps[FS_INCEPTION_TAPS] = {[FS_INCEPTION_64] = features[i]};
        fs_extractor_set_resize(extractors[i], FS_RESIZE_TORCH);
        assert_int_equal(extractors[i]->extract(extractors[i], &batch, taps, &error), FS_OK);
    }
    for (int i = 0; i < COUNT * 64; i++) {
        assert_float_equal(features[1][i], features[0][i], 1e-5);
    }
    fs_extractor_close(&on_some);
}

/* One opening for all of them: it reads 96 MB. */
static void published_file_extracts(void **state)
{
    (void)state;
    struct fs_extractor extractor = open_published();
    taps_and_names(&extractor);
    pictures_in_features_out(&extractor);
    wrong_pictures(&extractor);
    another_backend_extracts(&extractor);
    fs_extractor_close(&extractor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_the_ports),
        cmocka_unit_test(other_networks_are_refused),
        cmocka_unit_test(only_the_published_parameters_make_an_fid),
        cmocka_unit_test(missing_file_says_how_to_make_it),
        cmocka_unit_test(published_file_extracts),
        cmocka_unit_test(file_of_unknown_weights_names_them),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
