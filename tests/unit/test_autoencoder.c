/* Autoencoders' files: which are read, with whose scale, and what is said of the others; and pictures through them in
 * any number. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/model/autoencoder.h"
#include "kernels/base/memory.h"
#include "tests/support/autoencoder.h"
#include "tests/support/folder.h"

static struct fs_error error;
static struct fs_backend *backend;

/* One stage fewer and the narrowest: what is tested here does not depend on the widths. */
static const struct test_autoencoder tiny = {2, {32, 32}, 4, 0};

static int set_up(void **state)
{
    (void)state;
    backend = fs_cpu_backend(2, &error);
    return backend ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    backend->destroy(backend);
    return 0;
}

static struct fs_autoencoder *open_file(const char *path)
{
    return fs_autoencoder_open(backend, path, FS_F32, &error);
}

/* --- what is wrong with a file --- */

struct change {
    const char *tensor, *renamed;
    int left_out, nan, narrower;
};

static int apply(void *context, struct fs_tensor *tensor, float *numbers)
{
    const struct change *change = context;
    if (strcmp(tensor->name, change->tensor) != 0) {
        return 1;
    }
    if (change->renamed) {
        free((void *)(uintptr_t)tensor->name);
        tensor->name = fs_copy_text(change->renamed, &error);
        assert_non_null(tensor->name);
    }
    if (change->nan) {
        numbers[1] = NAN;
    }
    tensor->shape[0] -= change->narrower;
    return !change->left_out;
}

static void expect_refusal(struct change change, const char *says)
{
    const char *path = test_path("wrong.safetensors");
    test_write_autoencoder(path, &tiny, apply, &change);
    assert_null(open_file(path));
    assert_int_equal(error.status, FS_USAGE);
    assert_non_null(strstr(error.text, path));
    if (strstr(error.text, says) == NULL) {
        fail_msg("expected '%s' in: %s", says, error.text);
    }
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    expect_refusal((struct change){.tensor = "decoder.conv_out.bias", .left_out = 1},
                   "no tensor decoder.conv_out.bias");
    expect_refusal((struct change){.tensor = "encoder.mid_block.attentions.0.to_k.weight", .left_out = 1},
                   "encoder.mid_block.attentions.0.to_k.weight");
    expect_refusal((struct change){.tensor = "quant_conv.bias", .renamed = "loss.logvar"}, "quant_conv.bias");
    expect_refusal((struct change){.tensor = "encoder.conv_norm_out.weight", .nan = 1}, "not finite");
    expect_refusal((struct change){.tensor = "decoder.up_blocks.1.resnets.2.conv1.weight", .narrower = 1},
                   "is [31, 32, 3, 3]: expected numbers of shape [32, 32, 3, 3]");
    expect_refusal((struct change){.tensor = "encoder.down_blocks.0.resnets.0.conv1.bias",
                                   .renamed = "encoder.down.0.block.0.norm1.weight"},
                   "authors' own repository");
    expect_refusal((struct change){.tensor = "decoder.up_blocks.0.resnets.0.conv1.bias", .renamed = "x"},
                   "not an autoencoder");
    expect_refusal((struct change){.tensor = "decoder.up_blocks.1.resnets.0.conv1.bias", .renamed = "x"},
                   "2 stages down, 1 up");
    assert_null(open_file(test_path("nowhere.safetensors")));
    assert_int_equal(error.status, FS_USAGE);
}

/* As FLUX's, which has no such layer, but with something else in its place. */
static int without_quant(void *context, struct fs_tensor *tensor, float *numbers)
{
    (void)numbers;
    if (strncmp(tensor->name, "quant_conv.", 11) == 0) {
        if (*(int *)context) {
            return 0;
        }
        free((void *)(uintptr_t)tensor->name);
        tensor->name = fs_copy_text(tensor->rank > 1 ? "extra.weight" : "extra.bias", &error);
        assert_non_null(tensor->name);
    }
    return 1;
}

static void unknown_tensors_are_refused(void **state)
{
    (void)state;
    const char *path = test_path("extra.safetensors");
    int left_out = 0;
    test_write_autoencoder(path, &tiny, without_quant, &left_out);
    assert_null(open_file(path));
    assert_int_equal(error.status, FS_USAGE);
    assert_non_null(strstr(error.text, "belongs to no layer"));
    left_out = 1;
    test_write_autoencoder(path, &tiny, without_quant, &left_out);
    struct fs_autoencoder *a = open_file(path);
    assert_non_null(a);
    fs_autoencoder_close(a);
}

static void odd_widths_are_refused(void **state)
{
    (void)state;
    const struct test_autoencoder odd = {2, {48, 32}, 4, 0};
    const char *path = test_path("odd.safetensors");
    test_write_autoencoder(path, &odd, NULL, NULL);
    assert_null(open_file(path));
    assert_int_equal(error.status, FS_USAGE);
    assert_non_null(strstr(error.text, "multiple of its 32 groups"));
}

/* --- whose latents --- */

static void expect_scale(const char *folder, const char *config, double scale, double shift, const char *of)
{
    char path[FS_PATH_ROOM], beside[FS_PATH_ROOM];
    snprintf(path, sizeof path, "%s/diffusion_pytorch_model.safetensors", folder);
    snprintf(beside, sizeof beside, "%s/config.json", folder);
    test_write_autoencoder(path, &tiny, NULL, NULL);
    if (config) {
        test_write(beside, config, strlen(config));
    }
    assert_int_equal(fs_autoencoder_find(folder, path, &error), FS_OK);
    struct fs_autoencoder *a = open_file(path);
    assert_non_null(a);
    const struct fs_autoencoder_info *info = fs_autoencoder_info(a);
    assert_true(info->scale == scale && info->shift == shift && info->channels == 4 && info->factor == 2);
    assert_non_null(strstr(info->scale_of, of));
    assert_int_equal(strlen(info->sha256), 64);
    fs_autoencoder_close(a);
}

static void each_has_its_own_scale(void **state)
{
    (void)state;
    char folder[256];
    test_folder_make(folder);
    expect_scale(folder, NULL, 0.18215, 0, "Stable Diffusion");
    expect_scale(folder, "{\"latent_channels\": 4, \"scaling_factor\": 0.13025, \"shift_factor\": null}", 0.13025, 0,
                 "config.json");
    expect_scale(folder, "{\"scaling_factor\": 0.3611, \"shift_factor\": 0.1159}", 0.3611, 0.1159, "config.json");
    test_folder_remove(folder);
}

static void wide_latents_need_a_scale(void **state)
{
    (void)state;
    const struct test_autoencoder wide = {2, {32, 32}, 16, 0};
    const char *config = "{\"scaling_factor\": 0.3611, \"shift_factor\": 0.1159}";
    char folder[256], path[FS_PATH_ROOM], beside[FS_PATH_ROOM];
    test_folder_make(folder);
    snprintf(path, sizeof path, "%s/ae.safetensors", folder);
    snprintf(beside, sizeof beside, "%s/config.json", folder);
    test_write_autoencoder(path, &wide, NULL, NULL);
    assert_null(open_file(path));
    assert_int_equal(error.status, FS_USAGE);
    assert_non_null(strstr(error.text, "16 channels"));
    test_write(beside, config, strlen(config));
    struct fs_autoencoder *a = open_file(path);
    assert_non_null(a);
    assert_int_equal(fs_autoencoder_info(a)->channels, 16);
    fs_autoencoder_close(a);
    for (int i = 0; i < 3; i++) {
        static const char *const broken[] = {"{\"scaling_factor\": \"much\"}", "{\"scaling_factor\": -1}", "{"};
        test_write(beside, broken[i], strlen(broken[i]));
        assert_null(open_file(path));
        assert_int_equal(error.status, FS_USAGE);
        assert_non_null(strstr(error.text, "config.json"));
    }
    test_folder_remove(folder);
}

/* --- pictures --- */

static float *noise(int64_t count, float gain)
{
    float *values = fs_allocate((size_t)count, sizeof *values, "values", &error);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = gain * (float)(2 * test_named_uniform("noise", (uint32_t)i) - 1);
    }
    return values;
}

static int louder(void *context, struct fs_tensor *tensor, float *numbers)
{
    (void)context;
    for (int64_t i = 0; strcmp(tensor->name, "quant_conv.bias") == 0 && i < tensor->shape[0]; i++) {
        numbers[i] = i == 5 ? 100 : i == 6 ? -100 : numbers[i];
    }
    return 1;
}

/* More pictures than go through at once; each has the bits that it has alone, whatever size came between. */
static void pictures_do_not_depend_on_their_batch(void **state)
{
    (void)state;
    enum { COUNT = 19, SIDE = 8, PIXELS = SIDE * SIDE * 3, LATENTS = 4 * 4 * 4 };
    const char *path = test_path("tiny.safetensors");
    test_write_autoencoder(path, &tiny, louder, NULL);
    struct fs_autoencoder *a = open_file(path);
    assert_non_null(a);
    float *pictures = noise(COUNT * PIXELS, 1), *mean = noise(COUNT * LATENTS, 0), *one = noise(LATENTS, 0);
    float *log_variance = noise(COUNT * LATENTS, 0), *decoded = noise(COUNT * PIXELS, 0), *alone = noise(PIXELS, 0);
    assert_true(fs_autoencoder_encode_flops(a) == 0);
    assert_int_equal(fs_autoencoder_encode(a, COUNT, SIDE, SIDE, pictures, mean, log_variance, &error), FS_OK);
    assert_int_equal(fs_autoencoder_encode(a, 1, 4, 12, pictures, one, NULL, &error), FS_OK);
    assert_int_equal(fs_autoencoder_encode(a, 1, SIDE, SIDE, pictures + 17 * PIXELS, one, NULL, &error), FS_OK);
    assert_memory_equal(one, mean + 17 * LATENTS, LATENTS * sizeof *one);
    assert_int_equal(fs_autoencoder_decode(a, COUNT, 4, 4, mean, decoded, &error), FS_OK);
    assert_int_equal(fs_autoencoder_decode(a, 1, 4, 4, mean + 18 * LATENTS, alone, &error), FS_OK);
    assert_memory_equal(alone, decoded + 18 * PIXELS, PIXELS * sizeof *alone);
    assert_true(fs_autoencoder_encode_flops(a) > 0 && fs_autoencoder_decode_flops(a) > 0);
    for (int i = 0; i < COUNT * 16; i++) {
        assert_true(log_variance[4 * i + 1] == 20 && log_variance[4 * i + 2] == -30 && log_variance[4 * i] < 20);
    }
    free(pictures);
    free(mean);
    free(log_variance);
    free(decoded);
    free(one);
    free(alone);
    fs_autoencoder_close(a);
}

static void sizes_must_fit(void **state)
{
    (void)state;
    struct fs_latent_shape shape;
    const char *path = test_path("tiny.safetensors");
    test_write_autoencoder(path, &tiny, NULL, NULL);
    struct fs_autoencoder *a = open_file(path);
    assert_non_null(a);
    assert_int_equal(fs_autoencoder_latents(a, 8, 7, &shape, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "multiples of 2"));
    assert_int_equal(fs_autoencoder_latents(a, 8, 6, &shape, &error), FS_OK);
    assert_true(shape.height == 4 && shape.width == 3 && shape.channels == 4);
    fs_autoencoder_close(a);
    fs_autoencoder_close(NULL);
    struct fs_backend slow = *backend;
    slow.native_bf16 = false;
    assert_null(fs_autoencoder_open(&slow, path, FS_BF16, &error));
    assert_int_equal(error.status, FS_USAGE);
    assert_non_null(strstr(error.text, "bf16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_files_are_named),
        cmocka_unit_test(unknown_tensors_are_refused),
        cmocka_unit_test(odd_widths_are_refused),
        cmocka_unit_test(each_has_its_own_scale),
        cmocka_unit_test(wide_latents_need_a_scale),
        cmocka_unit_test(pictures_do_not_depend_on_their_batch),
        cmocka_unit_test(sizes_must_fit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
