/* The backbone's parameters, plan and arithmetic: counts worked out by hand, initial values by their statistics, the
 * order in checkpoints, sizes that are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/config/preset.h"
#include "harness/model/network.h"
#include "kernels/base/memory.h"
#include "tests/reference/reference.h"

static struct fs_backend *backend;

static int set_up(void **state)
{
    (void)state;
    struct fs_error error;
    backend = fs_reference_backend(&error);
    return backend == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    backend->destroy(backend);
    return 0;
}

static struct fs_model_config preset(const char *name, int classes)
{
    struct fs_error error;
    struct fs_model_config config = {.classes = classes, .finest_steps = 128};
    snprintf(config.preset, sizeof config.preset, "%s", name);
    assert_int_equal(fs_model_preset(name, &config, &error), FS_OK);
    return config;
}

/* Parameters alone: no activations are allocated. */
static struct fs_dit parameters_of(const struct fs_model_config *config, int channels)
{
    struct fs_error error;
    struct fs_dit dit = {.backend = backend,
                         .config = *config,
                         .channels = channels,
                         .patch_size = (int64_t)config->patch * config->patch * channels};
    assert_int_equal(fs_dit_plan_parameters(&dit, &error), FS_OK);
    return dit;
}

static int64_t count_of(const struct fs_dit *dit)
{
    int64_t count = 0;
    for (int i = 0; i < dit->parameter_places; i++) {
        const struct fs_parameter *parameter = &dit->parameters[i];
        assert_int_equal(parameter->offset % 16, 0);
        assert_true(parameter->offset >= count);
        count += parameter->rows * parameter->cols;
    }
    assert_true(dit->parameter_count >= count);
    return count;
}

/* By hand: a block has 18·D² + 15·D, the two embedders 2·(256·D + D + D² + D), labels 1001·D, patches 16·D + D, the
 * final layer 16·D + 16 + 2·D² + 2·D. */
static void test_parameter_counts(void **state)
{
    (void)state;
    struct fs_model_config config = preset("dit-b/2", 1000);
    struct fs_dit dit = parameters_of(&config, 4);
    assert_int_equal(count_of(&dit), 12 * (10616832 + 11520) + 2 * 787968 + 768768 + 13056 + 12304 + 1179648 + 1536);
    free(dit.parameters);
    config = preset("dit-xs/4", 10);
    dit = parameters_of(&config, 1);
    assert_int_equal(count_of(&dit),
                     4 * (294912 + 1920) + 2 * 49408 + 11 * 128 + 17 * 128 + 17 * 16 + 112 * 16 + 32768 + 256);
    free(dit.parameters);
}

static double flops_of(const struct fs_model_config *config, int side, int channels)
{
    struct fs_error error;
    struct fs_dit_sizes sizes;
    assert_int_equal(fs_dit_sizes_of(FS_F32, config, side, side, channels, 3, FS_PASS_FORWARD, FS_F32, &sizes, &error),
                     FS_OK);
    return sizes.forward_flops;
}

/* 46 GFLOP a sample and forward pass for DiT-B/2 on 32×32×4; 0.083 for dit-xs/4 on 28×28. */
static void test_flops(void **state)
{
    (void)state;
    const struct fs_model_config base = preset("dit-b/2", 1000), small = preset("dit-xs/4", 10);
    /* Tokens·24·D² + 4·tokens²·D + 12·D² a block, twice tokens·2·16·D, 4·(256·D + D²) and 4·D² outside. */
    const double expected = 12 * (256 * 24 * 589824.0 + 4 * 65536 * 768.0 + 12 * 589824.0) + 2 * 256 * 2 * 16 * 768.0 +
                            4 * (196608.0 + 589824) + 4 * 589824.0;
    const double of_base = flops_of(&base, 32, 4);
    assert_true(fabs(of_base / expected - 1) < 1e-12);
    assert_true(fabs(of_base - 46e9) < 0.5e9);
    assert_true(fabs(flops_of(&small, 28, 1) - 0.083e9) < 0.001e9);
}

/* --- initial values --- */

/* Mean, deviation and bound of rows first … first + rows − 1. */
static void expect_uniform(const float *values, int64_t count, double bound)
{
    double sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
        largest = fmax(largest, fabs(values[i]));
    }
    const double n = (double)count;
    assert_true(largest <= bound * (1 + 1e-6) && largest > bound * (1 - 20 / n));
    assert_true(fabs(sum / n) < 5 * bound / sqrt(3 * n));                         /* 5 standard errors */
    assert_true(fabs(3 * squares / n / (bound * bound) - 1) < 5 * sqrt(0.8 / n)); /* variance: bound²/3 */
}

static void expect_normal(const float *values, int64_t count, double deviation)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    const double n = (double)count;
    assert_true(fabs(sum / n) < 5 * deviation / sqrt(n));
    assert_true(fabs(squares / n / (deviation * deviation) - 1) < 5 * sqrt(2 / n));
}

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* What section 6 of the design says of each parameter, by its name. */
static void expect_initial(const struct fs_parameter *parameter, const float *values, double width)
{
    const int64_t count = parameter->rows * parameter->cols;
    if (contains(parameter->name, ".bias") || contains(parameter->name, "final_layer")) {
        for (int64_t i = 0; i < count; i++) {
            assert_true(values[i] == 0);
        }
    } else if (contains(parameter->name, "_embedder.mlp") || contains(parameter->name, "embedding_table")) {
        expect_normal(values, count, 0.02);
    } else if (contains(parameter->name, "attn.qkv")) {
        for (int64_t part = 0; part < 3; part++) { /* q, k, v each as a matrix of its own */
            expect_uniform(values + part * count / 3, count / 3, sqrt(6 / (2 * width)));
        }
    } else {
        expect_uniform(values, count, sqrt(6 / (double)(parameter->rows + parameter->cols)));
    }
}

static void test_initial_values(void **state)
{
    (void)state;
    struct fs_error error;
    const struct fs_model_config config = preset("dit-xs/4", 10);
    struct fs_dit dit = parameters_of(&config, 1);
    const size_t bytes = (size_t)dit.parameter_count * sizeof(float);
    float *values = fs_allocate(bytes, 1, "weights", &error), *again = fs_allocate(bytes, 1, "weights", &error);
    assert_non_null(values);
    assert_non_null(again);
    fs_dit_initialise(&dit, 7, values);
    for (int i = 0; i < dit.parameter_places; i++) {
        expect_initial(&dit.parameters[i], values + dit.parameters[i].offset, 128);
    }
    fs_dit_initialise(&dit, 7, again);
    assert_memory_equal(values, again, bytes);
    fs_dit_initialise(&dit, 8, again);
    assert_memory_not_equal(values, again, bytes);
    free(values);
    free(again);
    free(dit.parameters);
}

/* --- the order in checkpoints --- */

static void test_patch_embedding_order(void **state)
{
    (void)state;
    const struct fs_model_config config = {.preset = "test", .patch = 2, .hidden = 4, .depth = 1, .heads = 1};
    struct fs_dit dit = parameters_of(&config, 3);
    const struct fs_parameter *weight = &dit.parameters[0];
    assert_string_equal(weight->name, "x_embedder.proj.weight");
    int64_t shape[4];
    assert_int_equal(fs_dit_export_shape(&dit, weight, shape), 4);
    assert_memory_equal(shape, ((const int64_t[]){4, 3, 2, 2}), sizeof shape);

    float exported[48], values[48], back[48];
    for (int i = 0; i < 48; i++) {
        exported[i] = (float)i;
    }
    fs_dit_import_parameter(&dit, weight, exported, values);
    for (int d = 0; d < 4; d++) {
        for (int row = 0; row < 2; row++) {
            for (int col = 0; col < 2; col++) {
                for (int c = 0; c < 3; c++) {
                    assert_true(values[((d * 2 + row) * 2 + col) * 3 + c] ==
                                exported[((d * 3 + c) * 2 + row) * 2 + col]);
                }
            }
        }
    }
    fs_dit_export_parameter(&dit, weight, values, back);
    assert_memory_equal(back, exported, sizeof back);
    free(dit.parameters);
}

/* --- the plan --- */

static bool overlap(const struct fs_plan_entry *a, const struct fs_plan_entry *b)
{
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static void expect_plan(unsigned passes, enum fs_type precision)
{
    struct fs_error error;
    const struct fs_model_config config = preset("dit-xs/4", 10);
    struct fs_dit *dit = fs_dit_create(backend, &config, 28, 28, 1, 3, passes, precision, &error);
    assert_non_null(dit);
    size_t common = 0, block = 0;
    for (int i = 0; i < FS_BUFFER_COUNT; i++) {
        const struct fs_plan_entry *entry = &dit->plan[i];
        assert_int_equal(entry->offset % 64, 0);
        assert_true(entry->offset + entry->bytes <= dit->activation_bytes);
        *(entry->per_block ? &block : &common) += entry->bytes;
        for (int j = 0; j < i; j++) {
            assert_false(overlap(entry, &dit->plan[j]));
        }
    }
    assert_int_equal(dit->block_bytes, block);
    assert_int_equal(fs_dit_sizes(dit).activation_bytes, common + block * ((passes & FS_PASS_BACKWARD) != 0 ? 4 : 1));
    fs_dit_destroy(dit);
}

static void test_plan(void **state)
{
    (void)state;
    expect_plan(true, FS_F64);
    expect_plan(false, FS_F64);
    expect_plan(true, FS_BF16);
    expect_plan(FS_PASS_BACKWARD | FS_PASS_RECOMPUTE, FS_F64);
    expect_plan(FS_PASS_BACKWARD | FS_PASS_RECOMPUTE, FS_BF16);
}

/* The whole of what an update of dit-b/2 with four rows needs beside the libraries: weights, gradients, two moments,
 * two averages, activations. */
static void test_update_memory(void **state)
{
    (void)state;
    const struct fs_model_config config = preset("dit-b/2", 1000);
    struct fs_backend float_backend = *backend;
    float_backend.real = FS_F32;
    struct fs_dit dit = parameters_of(&config, 4);
    dit.backend = &float_backend;
    dit.capacity = 4;
    dit.passes = FS_PASS_BACKWARD;
    dit.precision = FS_F32;
    dit.tokens = 256;
    fs_dit_plan_activations(&dit);
    assert_true((double)fs_dit_sizes(&dit).activation_bytes + 6 * 4.0 * (double)dit.parameter_count < 4.1e9);
    free(dit.parameters);
}

/* --- sizes that are refused --- */

static void expect_refused(struct fs_model_config config, int height, int width, int channels, const char *word)
{
    struct fs_error error;
    assert_null(fs_dit_create(backend, &config, height, width, channels, 2, FS_PASS_BACKWARD, FS_F64, &error));
    assert_int_equal(error.status, FS_USAGE);
    assert_true(contains(error.text, word));
}

static void test_refused_sizes(void **state)
{
    (void)state;
    const struct fs_model_config good = {.preset = "test", .patch = 2, .hidden = 12, .depth = 1, .heads = 3};
    struct fs_model_config config = good;
    expect_refused(good, 5, 4, 1, "divide");
    expect_refused(good, 4, 4, 0, "at least 1");
    config.heads = 5;
    expect_refused(config, 4, 4, 1, "heads");
    config = good;
    config.hidden = 6;
    expect_refused(config, 4, 4, 1, "multiple of 4");
    config = good;
    config.depth = 0;
    expect_refused(config, 4, 4, 1, "at least 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameter_counts),
        cmocka_unit_test(test_flops),
        cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_patch_embedding_order),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_update_memory),
        cmocka_unit_test(test_refused_sizes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
