/* What evaluate.reference names: the training pictures, other pictures, or statistics that were published. */
#include "harness/sample/reference_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/data/latents.h"
#include "kernels/base/hash.h"
#include "metrics/metric.h"

static const char key[] = "evaluate.reference";

struct fs_data_shape fs_picture_shape_of(const struct fs_dataset *data)
{
    const struct fs_latents_manifest *latents = fs_latents_of(data);
    return latents ? latents->picture : data->shape;
}

static void name_source(struct fs_reference_source *source, const char *what)
{
    snprintf(source->name, sizeof source->name, "%s %.12s", what, source->pictures.sha256);
}

/* Of latents the pictures are not at hand. */
static void take_training(const struct fs_dataset *train, struct fs_reference_source *source)
{
    const struct fs_latents_manifest *latents = fs_latents_of(train);
    snprintf(source->name, sizeof source->name, "%s", FS_REFERENCE_TRAIN);
    source->pictures = *train;
    if (latents) {
        source->pictures = (struct fs_dataset){.shape = latents->picture};
        snprintf(source->pictures.sha256, sizeof source->pictures.sha256, "%s", latents->pictures_sha256);
    }
}

/* Mean and covariance must be all that the metrics need. */
static fs_status check_metrics(const struct fs_config *config, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &config->evaluate;
    for (int i = 0; i < evaluate->metric_count; i++) {
        const struct fs_metric *metric = fs_metric_find(evaluate->metrics[i]);
        if (metric->needs[FS_OF_REFERENCE] & ~(unsigned)FS_NEED_MOMENTS) {
            return fs_config_fail(config, key, error,
                                  "%s has a mean and a covariance only, and %s needs %s: a folder of pictures, or "
                                  "other evaluate.metrics",
                                  evaluate->reference, metric->name,
                                  metric->needs[FS_OF_REFERENCE] & FS_NEED_PICTURES ? "pictures"
                                                                                    : "features of single pictures");
        }
    }
    return FS_OK;
}

/* `of`: the key that says where the pictures are. */
static fs_status check_count(const struct fs_config *config, const char *of, const struct fs_reference_source *source,
                             struct fs_error *error)
{
    const int64_t count = source->pictures.shape.count;
    return !source->pictures.source || count > 1
               ? FS_OK
               : fs_config_fail(config, of, error,
                                "samples would be compared with %lld picture%s: a covariance needs two or more",
                                (long long)count, count == 1 ? "" : "s");
}

static bool is_training(const struct fs_config *config)
{
    return strcmp(config->evaluate.reference, FS_REFERENCE_TRAIN) == 0;
}

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

fs_status fs_reference_source_check(const struct fs_config *config, struct fs_error *error)
{
    const char *path = config->evaluate.reference;
    const size_t length = strlen(path);
    struct stat about;
    if (is_training(config) || is_folder(path)) {
        return FS_OK;
    }
    const int failed = stat(path, &about) ? errno : 0;
    if (failed || !S_ISREG(about.st_mode) || length <= 4 || strcmp(path + length - 4, ".npz") != 0) {
        return fs_config_fail(config, key, error,
                              "expected %s, a folder of pictures or an .npz with mu and sigma, got %s%s%s",
                              FS_REFERENCE_TRAIN, path, failed ? ": " : "", failed ? strerror(failed) : "");
    }
    return check_metrics(config, error);
}

static fs_status take_statistics(const struct fs_config *config, const struct fs_dataset *train,
                                 struct fs_reference_source *source, struct fs_error *error)
{
    source->statistics = config->evaluate.reference;
    source->pictures = (struct fs_dataset){.shape = fs_picture_shape_of(train)};
    FS_TRY(fs_sha256_file(source->statistics, source->pictures.sha256, error));
    name_source(source, "statistics");
    return FS_OK;
}

static fs_status take_folder(const struct fs_config *config, const struct fs_dataset *train,
                             const struct fs_data_access *access, struct fs_reference_source *source,
                             struct fs_error *error)
{
    const struct fs_data_shape picture = fs_picture_shape_of(train);
    struct fs_dataset_config folder = {.name = "reference",
                                       .kind = "image-folder",
                                       .size = picture.height,
                                       .channels = picture.channels,
                                       .crop = config->dataset.crop,
                                       .background = config->dataset.background};
    struct fs_error reason;
    if ((!train->pictures && !fs_latents_of(train)) || picture.height != picture.width) {
        return fs_config_fail(config, key, error,
                              "%s: the samples are no square pictures, which those of a folder are made into",
                              config->evaluate.reference);
    }
    FS_TRY(fs_path(folder.path, error, "%s", config->evaluate.reference));
    const fs_status status = fs_dataset_open_with(&folder, access, FS_SPLIT_TRAIN, &source->pictures, &reason);
    source->opened = status == FS_OK;
    if (status != FS_OK) {
        return status == FS_USAGE ? fs_config_fail(config, key, error, "%s", reason.text)
                                  : fs_fail(error, status, "%s", reason.text);
    }
    name_source(source, "pictures");
    return FS_OK;
}

fs_status fs_reference_source_open(const struct fs_config *config, const struct fs_dataset *train,
                                   const struct fs_data_access *access, struct fs_reference_source *source,
                                   struct fs_error *error)
{
    *source = (struct fs_reference_source){.statistics = NULL};
    FS_TRY(fs_reference_source_check(config, error));
    if (is_training(config)) {
        take_training(train, source);
        return check_count(config, config->dataset.path[0] ? "dataset.path" : "dataset.name", source, error);
    }
    if (!is_folder(config->evaluate.reference)) {
        return take_statistics(config, train, source, error);
    }
    FS_TRY(take_folder(config, train, access, source, error));
    return check_count(config, key, source, error);
}

void fs_reference_source_close(struct fs_reference_source *source)
{
    if (source->opened) {
        fs_dataset_close(&source->pictures);
    }
    *source = (struct fs_reference_source){.statistics = NULL};
}
