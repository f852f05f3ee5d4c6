/* The backbone's parameters: their table, initial values, buffers, and how checkpoints order them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/model/network.h"
#include "kernels/base/memory.h"

#define ALIGNMENT 16 /* elements: 64 bytes of float32 */

/* --- the table --- */

static void place(struct fs_dit *dit, int at, const char *name, int64_t rows, int64_t cols, enum fs_initial initial,
                  int split)
{
    struct fs_parameter *parameter = &dit->parameters[at];
    snprintf(parameter->name, sizeof parameter->name, "%s", name);
    parameter->rows = rows;
    parameter->cols = cols;
    parameter->initial = initial;
    parameter->split = split;
}

/* Weight [out, in] and bias of a linear layer. */
static void place_linear(struct fs_dit *dit, int at, const char *name, int64_t out, int64_t in, enum fs_initial initial,
                         int split)
{
    char full[sizeof dit->parameters->name];
    snprintf(full, sizeof full, "%s.weight", name);
    place(dit, at, full, out, in, initial, split);
    dit->parameters[at].multiplies = true;
    snprintf(full, sizeof full, "%s.bias", name);
    place(dit, at + 1, full, 1, out, FS_INITIAL_ZERO, 1);
}

static void place_block(struct fs_dit *dit, int block)
{
    const struct {
        int place;
        const char *name;
        int64_t out, in;
        int split;
    } layers[] = {
        {FS_BLOCK_MODULATION, "adaLN_modulation.1", FS_MODULATIONS, 1, 1},
        {FS_BLOCK_QKV, "attn.qkv", 3, 1, 3},
        {FS_BLOCK_PROJECTION, "attn.proj", 1, 1, 1},
        {FS_BLOCK_FC1, "mlp.fc1", FS_MLP_RATIO, 1, 1},
        {FS_BLOCK_FC2, "mlp.fc2", 1, FS_MLP_RATIO, 1},
    };
    const int64_t width = dit->config.hidden;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        char name[40];
        snprintf(name, sizeof name, "blocks.%d.%s", block, layers[i].name);
        place_linear(dit, FS_FIRST_BLOCK + block * FS_BLOCK_PLACES + layers[i].place, name, layers[i].out * width,
                     layers[i].in * width, FS_INITIAL_XAVIER, layers[i].split);
    }
}

fs_status fs_dit_plan_parameters(struct fs_dit *dit, struct fs_error *error)
{
    const int64_t width = dit->config.hidden;
    dit->parameter_places = FS_FIRST_BLOCK + dit->config.depth * FS_BLOCK_PLACES;
    dit->parameters = fs_allocate((size_t)dit->parameter_places, sizeof *dit->parameters, "the parameter table", error);
    if (dit->parameters == NULL) {
        return FS_FAILED;
    }
    place_linear(dit, FS_X_EMBEDDER, "x_embedder.proj", width, dit->patch_size, FS_INITIAL_XAVIER, 1);
    place_linear(dit, FS_T_EMBEDDER_0, "t_embedder.mlp.0", width, FS_FEATURES, FS_INITIAL_NORMAL_002, 1);
    place_linear(dit, FS_T_EMBEDDER_2, "t_embedder.mlp.2", width, width, FS_INITIAL_NORMAL_002, 1);
    place_linear(dit, FS_D_EMBEDDER_0, "d_embedder.mlp.0", width, FS_FEATURES, FS_INITIAL_NORMAL_002, 1);
    place_linear(dit, FS_D_EMBEDDER_2, "d_embedder.mlp.2", width, width, FS_INITIAL_NORMAL_002, 1);
    place(dit, FS_LABEL_TABLE, "y_embedder.embedding_table.weight", dit->config.classes + 1, width,
          FS_INITIAL_NORMAL_002, 1);
    place_linear(dit, FS_FINAL_MODULATION, "final_layer.adaLN_modulation.1", 2 * width, width, FS_INITIAL_ZERO, 1);
    place_linear(dit, FS_FINAL_LINEAR, "final_layer.linear", dit->patch_size, width, FS_INITIAL_ZERO, 1);
    for (int block = 0; block < dit->config.depth; block++) {
        place_block(dit, block);
    }
    int64_t end = 0;
    for (int i = 0; i < dit->parameter_places; i++) {
        dit->parameters[i].offset = end;
        end += dit->parameters[i].rows * dit->parameters[i].cols;
        end = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    dit->parameter_count = end;
    return FS_OK;
}

int64_t fs_dit_parameter_count(const struct fs_dit *dit)
{
    return dit->parameter_count;
}

const struct fs_parameter *fs_dit_parameters(const struct fs_dit *dit, int *count)
{
    *count = dit->parameter_places;
    return dit->parameters;
}

/* --- initial values --- */

/* Uniform in ±√(6/(fan in + fan out)): Glorot & Bengio 2010, equation 16. */
static void initialise_xavier(const struct fs_parameter *parameter, struct fs_random_key key, uint32_t row,
                              float *values)
{
    const double fan_out = (double)(parameter->rows / parameter->split);
    const float limit = (float)sqrt(6 / ((double)parameter->cols + fan_out));
    const int64_t count = parameter->rows * parameter->cols;
    for (int64_t i = 0; i < count; i++) {
        values[i] = limit * (2 * fs_uniform(key, row, (uint32_t)i) - 1);
    }
}

static void initialise_normal(const struct fs_parameter *parameter, struct fs_random_key key, uint32_t row,
                              float *values)
{
    const int64_t count = parameter->rows * parameter->cols;
    float four[4] = {0};
    for (int64_t i = 0; i < count; i++) {
        if (i % 4 == 0) {
            fs_normals4(key, row, (uint32_t)(i / 4), four);
        }
        values[i] = 0.02f * four[i % 4];
    }
}

void fs_dit_initialise(const struct fs_dit *dit, uint32_t seed, float *values)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_INITIAL_WEIGHTS};
    memset(values, 0, (size_t)dit->parameter_count * sizeof *values);
    for (int i = 0; i < dit->parameter_places; i++) {
        const struct fs_parameter *parameter = &dit->parameters[i];
        if (parameter->initial == FS_INITIAL_XAVIER) {
            initialise_xavier(parameter, key, (uint32_t)i, values + parameter->offset);
        } else if (parameter->initial == FS_INITIAL_NORMAL_002) {
            initialise_normal(parameter, key, (uint32_t)i, values + parameter->offset);
        }
    }
}

/* --- buffers --- */

fs_status fs_weights_create(const struct fs_dit *dit, struct fs_weights *weights, struct fs_error *error)
{
    struct fs_backend *backend = dit->backend;
    const int64_t count = dit->parameter_count;
    *weights = (struct fs_weights){fs_view(NULL, backend->real, 1, count), fs_no_view()};
    weights->values.data = backend->allocate(backend, (size_t)count * fs_type_size(backend->real), error);
    if (weights->values.data == NULL) {
        return FS_FAILED;
    }
    if (dit->precision != backend->real) {
        weights->half = fs_view(NULL, dit->precision, 1, count);
        weights->half.data = backend->allocate(backend, (size_t)count * fs_type_size(dit->precision), error);
        if (weights->half.data == NULL) {
            fs_weights_destroy(dit, weights);
            return FS_FAILED;
        }
    }
    return FS_OK;
}

void fs_weights_destroy(const struct fs_dit *dit, struct fs_weights *weights)
{
    dit->backend->release(dit->backend, weights->values.data);
    dit->backend->release(dit->backend, weights->half.data);
    *weights = (struct fs_weights){fs_no_view(), fs_no_view()};
}

void fs_dit_refresh(const struct fs_dit *dit, struct fs_weights *weights)
{
    if (weights->half.data != NULL) {
        dit->backend->copy(dit->backend, weights->half, weights->values);
    }
}

/* --- the order in checkpoints --- */

static bool is_patch_embedding(const struct fs_dit *dit, const struct fs_parameter *parameter)
{
    return parameter == &dit->parameters[FS_X_EMBEDDER];
}

int fs_dit_export_shape(const struct fs_dit *dit, const struct fs_parameter *parameter, int64_t shape[4])
{
    if (is_patch_embedding(dit, parameter)) {
        shape[0] = parameter->rows;
        shape[1] = dit->channels;
        shape[2] = shape[3] = dit->config.patch;
        return 4;
    }
    if (parameter->rows == 1 && strstr(parameter->name, ".bias") != NULL) {
        shape[0] = parameter->cols;
        return 1;
    }
    shape[0] = parameter->rows;
    shape[1] = parameter->cols;
    return 2;
}

/* Where element i of our patch embedding, [D, row, column, channel], stands in [D, channel, row, column]. */
static int64_t exported_place(const struct fs_dit *dit, int64_t i)
{
    const int64_t pixels = (int64_t)dit->config.patch * dit->config.patch;
    const int64_t filter = i / dit->patch_size, pixel = i % dit->patch_size / dit->channels,
                  channel = i % dit->channels;
    return filter * dit->patch_size + channel * pixels + pixel;
}

void fs_dit_export_parameter(const struct fs_dit *dit, const struct fs_parameter *parameter, const float *values,
                             float *exported)
{
    const int64_t count = parameter->rows * parameter->cols;
    for (int64_t i = 0; i < count; i++) {
        exported[is_patch_embedding(dit, parameter) ? exported_place(dit, i) : i] = values[parameter->offset + i];
    }
}

void fs_dit_import_parameter(const struct fs_dit *dit, const struct fs_parameter *parameter, const float *exported,
                             float *values)
{
    const int64_t count = parameter->rows * parameter->cols;
    for (int64_t i = 0; i < count; i++) {
        values[parameter->offset + i] = exported[is_patch_embedding(dit, parameter) ? exported_place(dit, i) : i];
    }
}
