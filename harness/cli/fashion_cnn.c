/* fewstep fashion-cnn: the recipe behind the fashion-cnn features. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "harness/data/dataset.h"
#include "kernels/base/memory.h"
#include "metrics/train_fashion_cnn.h"

static void show(void *context, int64_t update, int64_t updates, double loss)
{
    struct fs_progress *progress = context;
    if (fs_progress_due(progress, update == updates)) {
        fs_progress_line(progress, update == updates, "fashion-cnn: update %" PRId64 "/%" PRId64 ", cross-entropy %.3f",
                         update, updates, loss);
    }
}

/* The pictures of a split as bytes; the data set keeps the labels. Free the pictures. */
static fs_status read_split(enum fs_split split, struct fs_dataset *data, struct fs_labelled_pictures *pictures,
                            struct fs_error *error)
{
    const struct fs_dataset_config config = {.name = "fashion-mnist"};
    FS_TRY(fs_dataset_open(&config, split, data, error));
    uint8_t *pixels = fs_allocate((size_t)data->shape.count, (size_t)fs_shape_dim(&data->shape), "the pictures", error);
    *pictures = (struct fs_labelled_pictures){pixels, data->labels, data->shape.count};
    return pixels ? fs_dataset_bytes(data, 0, data->shape.count, pixels, error) : FS_FAILED;
}

static fs_status train(const char *output, bool quiet, const struct fs_labelled_pictures *train_pictures,
                       const struct fs_labelled_pictures *test_pictures, struct fs_error *error)
{
    struct fs_backend *backend;
    struct fs_progress progress;
    struct fs_fashion_cnn_result result;
    const struct fs_fashion_cnn_recipe recipe = fs_fashion_cnn_recipe();
    const struct fs_fashion_cnn_watch watch = {show, &progress};
    fs_progress_begin(&progress, quiet);
    backend = fs_cpu_backend(1, error); /* one thread: the same bytes on every machine of its kind */
    if (!backend) {
        return error->status;
    }
    const fs_status status =
        fs_fashion_cnn_train(backend, &recipe, train_pictures, test_pictures, output, &watch, &result, error);
    backend->destroy(backend);
    if (status == FS_OK) {
        printf("%s: test accuracy %.2f %%, SHA-256 %s\n", output, 100.0 * result.accuracy, result.sha256);
    }
    return status;
}

fs_status fs_command_fashion_cnn(int argc, char **argv, struct fs_error *error)
{
    const char *output = NULL;
    bool quiet = false, help;
    int count;
    const struct fs_flag flags[] = {
        {"-o", FS_FLAG_TEXT, &output, "FILE", "the weights, as safetensors"},
        {"--quiet", FS_FLAG_SWITCH, &quiet, NULL, "no progress"},
    };
    const struct fs_usage usage = {
        .command = "fashion-cnn",
        .arguments = "",
        .summary = "Trains the classifier behind the fashion-cnn features again. Scores use the committed weights, "
                   "which stay\n"
                   "as they are: scores must be comparable across commits and machines.",
        .example = "fewstep fashion-cnn -o fashion-cnn.safetensors",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
    };
    FS_TRY(fs_options_parse(&usage, argc, argv, NULL, &count, &help, error));
    if (help) {
        return FS_OK;
    }
    if (!output) {
        return fs_fail(error, FS_USAGE, "fewstep fashion-cnn: -o is missing: the file to write");
    }
    struct fs_dataset data[2] = {{.name = ""}, {.name = ""}};
    struct fs_labelled_pictures pictures[2] = {{NULL, NULL, 0}, {NULL, NULL, 0}};
    fs_status status = read_split(FS_SPLIT_TRAIN, &data[0], &pictures[0], error);
    if (status == FS_OK) {
        status = read_split(FS_SPLIT_TEST, &data[1], &pictures[1], error);
    }
    if (status == FS_OK) {
        status = train(output, quiet, &pictures[0], &pictures[1], error);
    }
    for (int i = 0; i < 2; i++) {
        free((void *)pictures[i].pixels);
        fs_dataset_close(&data[i]);
    }
    return status;
}
