/* fewstep extractor: a feature extractor of one's own, by the recipe of fashion-cnn. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/compare/disturbance.h"
#include "harness/data/dataset.h"
#include "harness/run/session.h"
#include "kernels/base/memory.h"
#include "metrics/train_classifier.h"

#define UPDATES_WISHED 3750 /* of fashion-cnn: 8 epochs of 60 000 pictures */
#define ACCURACY_OF "fashion-mnist"

struct extractor_options {
    const char *source, *output, *out;
    int64_t size, epochs;
    bool quiet;
};

/* A split's pictures, whose labels the data set keeps. */
struct split {
    struct fs_dataset data;
    struct fs_labelled_pictures pictures;
};

static void show(void *context, int64_t update, int64_t updates, double loss)
{
    struct fs_progress *progress = context;
    if (fs_progress_due(progress, update == updates)) {
        fs_progress_line(progress, update == updates, "classifier: update %" PRId64 "/%" PRId64 ", cross-entropy %.3f",
                         update, updates, loss);
    }
}

static void show_decoding(void *context, int64_t done, int64_t of)
{
    struct fs_progress *progress = context;
    if (fs_progress_due(progress, done == of)) {
        fs_progress_line(progress, done == of, "data: picture %" PRId64 "/%" PRId64 " decoded", done, of);
    }
}

/* An experiment's data set, one by its name, or a folder of pictures in sub-folders. */
static fs_status find_data(const struct extractor_options *options, struct fs_dataset_config *config,
                           struct fs_error *error)
{
    static const char prefix[] = "dataset:";
    if (fs_ends_with(options->source, ".yaml") || fs_ends_with(options->source, ".yml")) {
        struct fs_experiment experiment;
        FS_TRY(fs_experiment_read(options->source, NULL, 0, NULL, 0, &experiment, error));
        *config = experiment.runs[0].dataset;
        fs_experiment_free(&experiment);
        return FS_OK;
    }
    *config = (struct fs_dataset_config){.size = (int)options->size, .channels = 3, .test_share = 0.1};
    if (strncmp(options->source, prefix, sizeof prefix - 1) == 0) {
        config->size = 0;
        snprintf(config->name, sizeof config->name, "%s", options->source + sizeof prefix - 1);
        return FS_OK;
    }
    snprintf(config->name, sizeof config->name, "pictures");
    snprintf(config->kind, sizeof config->kind, "image-folder");
    return fs_path(config->path, error, "%s", options->source);
}

static fs_status read_split(const struct fs_dataset_config *config, const struct fs_data_access *access,
                            enum fs_split which, struct split *split, struct fs_error *error)
{
    FS_TRY(fs_dataset_open_with(config, access, which, &split->data, error));
    const struct fs_dataset *data = &split->data;
    const struct fs_data_shape *shape = &data->shape;
    if (!data->pictures || shape->height != shape->width || shape->classes < 2) {
        return fs_fail(error, FS_USAGE,
                       "%s: %d × %d × %d of %d classes: a classifier needs square pictures with labels", config->name,
                       shape->height, shape->width, shape->channels, shape->classes);
    }
    uint8_t *pixels = fs_allocate((size_t)shape->count, (size_t)fs_shape_dim(shape), "the pictures", error);
    split->pictures = (struct fs_labelled_pictures){
        pixels, data->labels, shape->count, {shape->height, shape->channels, shape->classes}};
    return pixels ? fs_dataset_bytes(data, 0, shape->count, pixels, error) : FS_FAILED;
}

/* The recipe, with as many updates for few pictures as fashion-cnn had; only of that is the accuracy known. */
static struct fs_classifier_recipe recipe_for(const struct extractor_options *options,
                                              const struct fs_dataset_config *config, int64_t count)
{
    struct fs_classifier_recipe recipe = fs_classifier_recipe();
    recipe.batch = count < recipe.batch ? (int)count : recipe.batch;
    const int64_t each = recipe.batch > 0 ? count / recipe.batch : 1;
    const int64_t wished = (UPDATES_WISHED + each - 1) / (each > 0 ? each : 1);
    recipe.epochs = options->epochs > 0 ? (int)options->epochs : wished > recipe.epochs ? (int)wished : recipe.epochs;
    recipe.accuracy = strcmp(config->name, ACCURACY_OF) == 0 && options->epochs == 0 ? recipe.accuracy : 0;
    return recipe;
}

static struct fs_squares squares_of(const struct fs_labelled_pictures *pictures)
{
    return (struct fs_squares){pictures->pixels, pictures->count, pictures->shape.side, pictures->shape.channels};
}

static fs_status print_worth(struct fs_backend *backend, const char *output, const struct split splits[2],
                             struct fs_error *error)
{
    struct fs_extractor extractor;
    struct fs_disturbance_table table;
    const struct fs_squares reference = squares_of(&splits[0].pictures), test = squares_of(&splits[1].pictures);
    FS_TRY(fs_classifier_open(backend, output, &extractor, error));
    const fs_status status = fs_disturbances_measure(&extractor, &reference, &test, &table, error);
    fs_extractor_close(&extractor);
    if (status == FS_OK) {
        fs_disturbances_print(&table, stdout);
    }
    return status;
}

static fs_status train(const struct extractor_options *options, const struct fs_dataset_config *config,
                       const struct split splits[2], struct fs_progress *progress, struct fs_error *error)
{
    struct fs_classifier_result result;
    const struct fs_classifier_recipe recipe = recipe_for(options, config, splits[0].pictures.count);
    const struct fs_classifier_watch watch = {show, progress};
    struct fs_backend *backend = fs_cpu_backend(1, error); /* one thread: the same bytes on every machine of its kind */
    if (!backend) {
        return error->status;
    }
    fs_status status = fs_classifier_train(backend, &recipe, &splits[0].pictures, &splits[1].pictures, options->output,
                                           &watch, &result, error);
    if (status == FS_OK) {
        printf("%s: test accuracy %.2f %% of %d classes, %d epochs of %" PRId64 " pictures, SHA-256 %s\n",
               options->output, 100.0 * result.accuracy, splits[0].pictures.shape.classes, recipe.epochs,
               splits[0].pictures.count, result.sha256);
        status = print_worth(backend, options->output, splits, error);
    }
    if (status == FS_OK) {
        printf("`evaluate: {extractors: [%s]}` and `fewstep fid A B --extractor %s` use it. Distances by it compare "
               "models of these pictures with each other; they are no FID, and mean nothing beside another "
               "extractor's.\n",
               options->output, options->output);
    }
    backend->destroy(backend);
    return status;
}

static fs_status make(const struct extractor_options *options, struct fs_error *error)
{
    struct fs_dataset_config config;
    struct split splits[2] = {{.data = {.name = ""}}, {.data = {.name = ""}}};
    struct fs_progress progress;
    char cache[FS_PATH_ROOM];
    FS_TRY(find_data(options, &config, error));
    FS_TRY(fs_path(cache, error, "%s/data", options->out ? options->out : "out"));
    fs_progress_begin(&progress, options->quiet);
    fs_catch_signals();
    const struct fs_data_access access = {
        .cache = cache, .stop = &fs_stop, .owner = &progress, .progress = show_decoding};
    fs_status status = FS_OK;
    for (int i = 0; status == FS_OK && i < 2; i++) {
        status = read_split(&config, &access, i == 0 ? FS_SPLIT_TRAIN : FS_SPLIT_TEST, &splits[i], error);
    }
    if (status == FS_OK) {
        status = train(options, &config, splits, &progress, error);
    }
    for (int i = 0; i < 2; i++) {
        free((void *)splits[i].pictures.pixels);
        fs_dataset_close(&splits[i].data);
    }
    return status;
}

fs_status fs_command_extractor(int argc, char **argv, struct fs_error *error)
{
    struct extractor_options options = {.size = 32};
    bool help;
    int count;
    const struct fs_flag flags[] = {
        {"-o", FS_FLAG_TEXT, &options.output, "FILE", "the weights, NAME.safetensors; NAME is what scores call it"},
        {"--size", FS_FLAG_WHOLE, &options.size, "N", "height and width of a folder's pictures, 28 to 64 (32)"},
        {"--epochs", FS_FLAG_WHOLE, &options.epochs, "N",
         "how often it sees each picture (8; more where they are few)"},
        {"--out", FS_FLAG_TEXT, &options.out, "DIR", "where decoded pictures are kept (out)"},
        {"--quiet", FS_FLAG_SWITCH, &options.quiet, NULL, "no progress"},
    };
    const struct fs_usage usage = {
        .command = "extractor",
        .arguments = "EXPERIMENT.yaml|FOLDER|dataset:NAME",
        .summary = "Trains a small classifier on labelled pictures of 28 to 64 pixels, grey or in colour, whose layer "
                   "before the\n"
                   "last is a feature extractor for tables of data of one's own; prints what its distance makes of "
                   "blur, noise\n"
                   "and lost contrast. Of dataset:fashion-mnist it is the recipe behind fashion-cnn, whose committed "
                   "weights stay\n"
                   "as they are.",
        .example = "fewstep extractor experiments/clipart.yaml -o clipart-cnn.safetensors\n"
                   "  fewstep extractor my-pictures/ --size 64 -o mine.safetensors",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    FS_TRY(fs_options_parse(&usage, argc, argv, &options.source, &count, &help, error));
    if (help) {
        return FS_OK;
    }
    if (!options.output || !fs_ends_with(options.output, ".safetensors")) {
        return fs_fail(error, FS_USAGE, "fewstep extractor: -o: expected the file to write, NAME.safetensors");
    }
    return make(&options, error);
}
