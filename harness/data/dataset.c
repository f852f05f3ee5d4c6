/* The data sets there are, and what they share: rows in data scale and the hash of what was decoded. */
#include "harness/data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/sources.h"
#include "kernels/base/hash.h"

static const struct fs_dataset_source *const sources[] = {&fs_fashion_mnist, &fs_gaussian_mixture};

#define SOURCE_COUNT ((int)(sizeof sources / sizeof sources[0]))

const char *fs_dataset_name(int index)
{
    return index >= 0 && index < SOURCE_COUNT ? sources[index]->name : NULL;
}

static const struct fs_dataset_source *find_source(const char *name, struct fs_error *error)
{
    char names[256] = "";
    for (int i = 0; i < SOURCE_COUNT; i++) {
        if (strcmp(sources[i]->name, name) == 0) {
            return sources[i];
        }
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", sources[i]->name);
    }
    fs_fail(error, FS_USAGE, "there is no data set '%s'; there are %s", name, names);
    return NULL;
}

fs_status fs_dataset_shape(const struct fs_dataset_config *config, struct fs_dataset *shape, struct fs_error *error)
{
    *shape = (struct fs_dataset){0};
    const struct fs_dataset_source *source = find_source(config->name, error);
    if (!source) {
        return FS_USAGE;
    }
    snprintf(shape->name, sizeof shape->name, "%s", source->name);
    shape->height = source->height;
    shape->width = source->width;
    shape->channels = source->channels;
    shape->classes = source->classes;
    return FS_OK;
}

fs_status fs_dataset_check(const struct fs_config *config, struct fs_data_shape *shape, struct fs_error *error)
{
    struct fs_dataset found;
    struct fs_error reason = {.text = ""};
    const fs_status status = fs_dataset_shape(&config->dataset, &found, &reason);
    if (status == FS_USAGE) {
        return fs_config_fail(config, "dataset.name", error, "%s", reason.text);
    }
    if (status != FS_OK) {
        return fs_fail(error, status, "%s", reason.text);
    }
    *shape = fs_shape_of(&found);
    return fs_config_check_data(config, shape, error);
}

/* The same picture in another shape is other data, so the shape is hashed too. */
static void hash_contents(struct fs_dataset *dataset)
{
    const size_t elements = (size_t)dataset->count * (size_t)fs_dataset_dim(dataset);
    char shape[160];
    const int length =
        snprintf(shape, sizeof shape, "%s %lld %d %d %d %d\n", dataset->pixels ? "uint8" : "float32",
                 (long long)dataset->count, dataset->height, dataset->width, dataset->channels, dataset->classes);
    struct fs_sha256 hash;
    fs_sha256_begin(&hash);
    fs_sha256_add(&hash, shape, (size_t)length);
    fs_sha256_add(&hash, dataset->labels, (size_t)dataset->count * sizeof *dataset->labels);
    if (dataset->pixels) {
        fs_sha256_add(&hash, dataset->pixels, elements);
    } else {
        fs_sha256_add(&hash, dataset->values, elements * sizeof *dataset->values);
    }
    fs_sha256_end(&hash, dataset->sha256);
}

fs_status fs_dataset_open(const struct fs_dataset_config *config, enum fs_split split, struct fs_dataset *dataset,
                          struct fs_error *error)
{
    FS_TRY(fs_dataset_shape(config, dataset, error));
    const fs_status status = find_source(config->name, error)->read(config->path, split, dataset, error);
    if (status != FS_OK) {
        fs_dataset_close(dataset);
        return status;
    }
    hash_contents(dataset);
    return FS_OK;
}

void fs_dataset_close(struct fs_dataset *dataset)
{
    free(dataset->pixels);
    free(dataset->values);
    free(dataset->labels);
    *dataset = (struct fs_dataset){0};
}

void fs_dataset_row(const struct fs_dataset *dataset, int64_t index, float *out)
{
    const size_t dim = (size_t)fs_dataset_dim(dataset);
    if (dataset->values) {
        memcpy(out, dataset->values + (size_t)index * dim, dim * sizeof *out);
        return;
    }
    const uint8_t *pixels = dataset->pixels + (size_t)index * dim;
    for (size_t i = 0; i < dim; i++) {
        out[i] = (float)(2 * pixels[i] - 255) / 255.0f;
    }
}
