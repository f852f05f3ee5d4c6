/* fewstep sample: pictures, or raw arrays, from a run or a checkpoint. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/cli/picture_output.h"
#include "harness/run/session.h"
#include "harness/run/run_source.h"
#include "harness/sample/decoder.h"
#include "harness/sample/generator.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"
#include "kernels/base/npy.h"

struct sample_options {
    const char *source, *noise, *labels, *weights, *sampler, *output, *out, *db;
    int64_t steps, count, seed, label;
    double guidance, time_shift;
    bool help;
};

/* What is drawn: noise and labels on the host, and the samples of them. */
struct drawing {
    int64_t count, dim;
    float *noise; /* NULL: the noise bank */
    int32_t *labels;
    float *samples;
    float *pictures; /* that latents were decoded to; else NULL */
};

static const int64_t no_label = INT64_MAX;
static const int64_t default_count = INT64_MAX; /* 64, or the rows of the noise */

static fs_status parse(int argc, char **argv, struct sample_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--steps", FS_FLAG_WHOLE, &options->steps, "N",
         "sampling steps, a power of two where the method needs that (1)"},
        {"--count", FS_FLAG_WHOLE, &options->count, "N", "how many (64, or the rows of --noise)"},
        {"--seed", FS_FLAG_WHOLE, &options->seed, "S", "of the noise bank (0)"},
        {"--noise", FS_FLAG_TEXT, &options->noise, "IN.npy", "float32 [N, H, W, C] noise instead of the bank's"},
        {"--label", FS_FLAG_WHOLE, &options->label, "C", "one class for all (i mod classes)"},
        {"--labels", FS_FLAG_TEXT, &options->labels, "L.npy",
         "whole numbers [N]; the number of classes is the null label"},
        {"--guidance", FS_FLAG_REAL, &options->guidance, "S", "guidance scale (that of the configuration)"},
        {"--weights", FS_FLAG_TEXT, &options->weights, "ema|raw", "which weights (ema)"},
        {"--sampler", FS_FLAG_TEXT, &options->sampler, FS_SOLVER_NAMES,
         "what takes a step (that of the configuration)"},
        {"--time-shift", FS_FLAG_REAL, &options->time_shift, "S",
         "shift of the time grid; 1: uniform (the configuration's)"},
        {"-o", FS_FLAG_TEXT, &options->output, "OUTPUT", FS_PICTURE_OUTPUTS},
        {"--db", FS_FLAG_TEXT, &options->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where the runs are (out)"},
    };
    const struct fs_usage usage = {
        .command = "sample",
        .arguments = "RUN|CHECKPOINT",
        .summary =
            "Draws samples. Raw arrays are in data scale and not clipped; given the noise, they can be compared\n"
            "with any other implementation.",
        .example = "fewstep sample 3fa9c1 --steps 4 --count 64 -o grid.png",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    int count;
    FS_TRY(fs_options_parse(&usage, argc, argv, &options->source, &count, &options->help, error));
    if (!options->help && !options->output) {
        return fs_fail(error, FS_USAGE, "fewstep sample: -o is missing: OUT.png, OUT.npy or a folder that ends in /");
    }
    if (!options->help && !fs_is_picture_output(options->output)) {
        return fs_fail(error, FS_USAGE,
                       "fewstep sample: -o: expected OUT.png, OUT.npy or a folder that ends in /, got %s",
                       options->output);
    }
    if (!options->help && (options->count < 1 || options->steps < 1)) {
        return fs_fail(error, FS_USAGE, "fewstep sample: %s: expected 1 or more",
                       options->count < 1 ? "--count" : "--steps");
    }
    return FS_OK;
}

/* --- inputs --- */

static fs_status read_noise(const char *path, const struct fs_data_shape *shape, struct drawing *drawing,
                            struct fs_error *error)
{
    struct fs_array array;
    FS_TRY(fs_npy_read(path, &array, error));
    int64_t values = 1;
    for (int i = 1; i < array.rank; i++) {
        values *= array.shape[i];
    }
    if (array.type != FS_ARRAY_F32 || array.rank < 2 || array.shape[0] < 1 || values != drawing->dim) {
        free(array.data);
        return fs_fail(error, FS_USAGE, "%s: expected float32 [N, %d, %d, %d]", path, shape->height, shape->width,
                       shape->channels);
    }
    if (drawing->count != default_count && drawing->count != array.shape[0]) {
        free(array.data);
        return fs_fail(error, FS_USAGE, "%s: holds the noise of %" PRId64 " samples, and --count asks for %" PRId64,
                       path, array.shape[0], drawing->count);
    }
    drawing->noise = array.data;
    drawing->count = array.shape[0];
    return FS_OK;
}

static fs_status read_labels(const char *path, int classes, struct drawing *drawing, struct fs_error *error)
{
    struct fs_array array;
    FS_TRY(fs_npy_read(path, &array, error));
    fs_status status = FS_OK;
    if (array.rank != 1 || array.shape[0] != drawing->count ||
        (array.type != FS_ARRAY_I32 && array.type != FS_ARRAY_I64)) {
        status = fs_fail(error, FS_USAGE, "%s: expected int32 or int64 [%" PRId64 "]", path, drawing->count);
    }
    for (int64_t i = 0; status == FS_OK && i < drawing->count; i++) {
        const int64_t label = array.type == FS_ARRAY_I32 ? ((int32_t *)array.data)[i] : ((int64_t *)array.data)[i];
        if (label < 0 || label > classes) {
            status = fs_fail(error, FS_USAGE, "%s: label %" PRId64 " is %" PRId64 "; there are 0 … %d, and %d for none",
                             path, i, label, classes - 1, classes);
        }
        drawing->labels[i] = (int32_t)label;
    }
    free(array.data);
    return status;
}

static fs_status prepare(const struct sample_options *options, const struct fs_config *config,
                         const struct fs_data_shape *shape, struct drawing *drawing, struct fs_error *error)
{
    const int classes = config->model.classes;
    *drawing = (struct drawing){.count = options->count, .dim = fs_shape_dim(shape)};
    if (options->noise) {
        FS_TRY(read_noise(options->noise, shape, drawing, error));
    } else if (drawing->count == default_count) {
        drawing->count = 64;
    }
    if (options->label != no_label && options->label > classes) {
        return fs_fail(error, FS_USAGE, "--label: there are 0 … %d, and %d for none", classes - 1, classes);
    }
    drawing->labels = fs_allocate((size_t)drawing->count, sizeof(int32_t), "labels", error);
    drawing->samples = fs_allocate((size_t)(drawing->count * drawing->dim), sizeof(float), "samples", error);
    if (!drawing->labels || !drawing->samples) {
        return error->status;
    }
    for (int64_t i = 0; i < drawing->count; i++) {
        drawing->labels[i] = options->label != no_label ? (int32_t)options->label
                             : classes                  ? (int32_t)(i % classes)
                                                        : 0;
    }
    return options->labels ? read_labels(options->labels, classes, drawing, error) : FS_OK;
}

/* --- outputs --- */

/* Pictures of latents, and their shape in place of the latents'. */
static fs_status decode(const struct fs_config *config, struct drawing *drawing, struct fs_data_shape *shape,
                        struct fs_backend *backend, struct fs_error *error)
{
    const bool half = config->evaluate.decoder_precision == FS_PRECISION_BF16;
    struct fs_dataset data;
    struct fs_decoder decoder;
    FS_TRY(fs_dataset_open(&config->dataset, FS_SPLIT_TRAIN, &data, error));
    fs_status status = fs_decoder_open(&decoder, backend, &data, config->dataset.vae, half ? FS_BF16 : FS_F32, error);
    if (status == FS_OK) {
        const int64_t dim = fs_shape_dim(&decoder.picture);
        drawing->pictures = fs_allocate((size_t)(drawing->count * dim), sizeof(float), "pictures", error);
        status = drawing->pictures ? fs_decode(&decoder, drawing->samples, drawing->count, drawing->pictures, error)
                                   : error->status;
        *shape = decoder.picture;
        drawing->dim = dim;
        fs_decoder_close(&decoder);
    }
    fs_dataset_close(&data);
    return status;
}

static fs_status write_output(const char *path, const struct drawing *drawing, const struct fs_data_shape *shape,
                              struct fs_error *error)
{
    const struct fs_picture_set set = {drawing->count,
                                       0,
                                       shape->height,
                                       shape->width,
                                       shape->channels,
                                       2,
                                       drawing->pictures ? drawing->pictures : drawing->samples};
    return fs_write_pictures(path, &set, error);
}

/* What is written where. */
static void tell(const struct sample_options *options, const struct fs_source *source, int64_t count)
{
    fprintf(stderr, "%" PRId64 " samples of run %.8s at %" PRId64 " step%s: %s\n", count, source->run, options->steps,
            options->steps == 1 ? "" : "s", options->output);
}

/* --- the command --- */

/* Steps and guidance must mean something for these weights, as they must for a score. */
static fs_status check(const struct sample_options *options, struct fs_config *config, struct fs_error *error)
{
    config->evaluate.guidance_scale =
        fs_config_scale_at(&config->evaluate, options->steps > INT_MAX ? INT_MAX : (int)options->steps);
    config->evaluate.guidance_count = 0;
    config->evaluate.steps[0] = options->steps > INT_MAX ? INT_MAX : (int)options->steps;
    config->evaluate.step_count = 1;
    if (options->guidance >= 0) {
        config->evaluate.guidance_scale = options->guidance;
    }
    if (options->sampler) {
        FS_TRY(fs_parse_solver(options->sampler, &config->evaluate.sampler, error));
    }
    if (options->time_shift > 0) {
        config->evaluate.time_shift = options->time_shift;
    }
    return fs_config_check_evaluation(config, error);
}

static fs_status draw(const struct sample_options *options, const struct fs_source *source,
                      const struct fs_data_shape *shape, struct drawing *drawing, struct fs_backend *backend,
                      struct fs_error *error)
{
    struct fs_generator generator;
    const double guidance = fs_config_guidance(&source->config, (int)options->steps);
    enum fs_weights_kind kind = FS_WEIGHTS_EMA;
    if (options->weights) {
        FS_TRY(fs_parse_weights(options->weights, &kind, error));
    }
    FS_TRY(fs_generator_open(&generator, backend, &source->config, shape, source->checkpoint, kind, error));
    fs_status status = FS_OK;
    if (!drawing->noise) {
        drawing->noise = fs_allocate((size_t)(drawing->count * drawing->dim), sizeof(float), "noise", error);
        status = drawing->noise
                     ? fs_noise_bank(&generator, (uint32_t)options->seed, drawing->count, drawing->noise, error)
                     : error->status;
    }
    if (status == FS_OK) {
        status = fs_generate_from(&generator, drawing->noise, drawing->labels, (uint32_t)options->seed, drawing->count,
                                  (int)options->steps, guidance, drawing->samples, error);
    }
    fs_generator_close(&generator);
    return status;
}

fs_status fs_command_sample(int argc, char **argv, struct fs_error *error)
{
    struct sample_options options = {.steps = 1, .count = default_count, .label = no_label, .guidance = -1};
    struct fs_source source;
    struct fs_data_shape shape = {0};
    struct drawing drawing = {0};
    struct fs_backend *backend = NULL;
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    fs_status status = fs_source_open(&source, options.source, options.out, options.db, error);
    if (status == FS_OK) {
        status = check(&options, &source.config, error);
    }
    if (status == FS_OK) {
        status = fs_dataset_check(&source.config, &shape, error);
    }
    if (status == FS_OK) {
        status = prepare(&options, &source.config, &shape, &drawing, error);
    }
    if (status == FS_OK) {
        status = fs_open_backend(source.config.device, &backend, error);
    }
    if (status == FS_OK) {
        status = draw(&options, &source, &shape, &drawing, backend, error);
    }
    if (status == FS_OK && fs_latents_named(&source.config.dataset) && !fs_ends_with(options.output, ".npy")) {
        status = decode(&source.config, &drawing, &shape, backend, error);
    }
    if (status == FS_OK) {
        status = write_output(options.output, &drawing, &shape, error);
    }
    if (status == FS_OK) {
        tell(&options, &source, drawing.count);
    }
    if (backend) {
        backend->destroy(backend);
    }
    free(drawing.noise);
    free(drawing.labels);
    free(drawing.samples);
    free(drawing.pictures);
    fs_source_close(&source);
    return status;
}
