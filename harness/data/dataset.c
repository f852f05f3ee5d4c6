/* The data sets there are, and what they share: checks, rows, bytes and the hash of what was decoded. */
#include "harness/data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/data/png.h"
#include "harness/data/source.h"
#include "harness/text/nearest.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "kernels/base/random.h"

/* The kinds there are. A new one is a line here. */
/* clang-format off */
#define KINDS(X) \
    X(fs_fashion_mnist) \
    X(fs_gaussian_mixture) \
    X(fs_idx) \
    X(fs_latents) \
    X(fs_image_folder) \
    X(fs_cifar10)
/* clang-format on */

#define DECLARATION(kind) extern const struct fs_data_source kind;
#define ADDRESS(kind) &kind,
KINDS(DECLARATION)
static const struct fs_data_source *const sources[] = {KINDS(ADDRESS)};

#define SOURCE_COUNT ((int)(sizeof sources / sizeof sources[0]))
#define HASHED_AT_ONCE 256 /* pictures */

const char *fs_dataset_kind(int index, bool *needs_path)
{
    const bool there = index >= 0 && index < SOURCE_COUNT;
    *needs_path = there && sources[index]->needs_path;
    return there ? sources[index]->kind : NULL;
}

static const struct fs_data_source *source_of(const char *kind)
{
    for (int i = 0; i < SOURCE_COUNT; i++) {
        if (strcmp(sources[i]->kind, kind) == 0) {
            return sources[i];
        }
    }
    return NULL;
}

bool fs_dataset_name_is_known(const char *name)
{
    const struct fs_data_source *source = source_of(name);
    return source && !source->needs_path;
}

/* A name stands for its data: the name of a kind is not to be had by another. */
static fs_status find_source(const struct fs_dataset_config *config, const struct fs_data_source **source,
                             struct fs_error *error)
{
    const char *kind = config->kind[0] ? config->kind : config->name;
    struct fs_nearest nearest = {.word = kind};
    char kinds[256] = "";
    for (int i = 0; i < SOURCE_COUNT; i++) {
        snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), "%s%s", i ? ", " : "", sources[i]->kind);
        fs_nearest_try(&nearest, sources[i]->kind);
    }
    *source = source_of(kind);
    if (!*source) {
        return fs_fail(error, FS_USAGE, "there is no data set '%s'; there are %s%s%s%s", kind, kinds,
                       nearest.name      ? ": did you mean "
                       : config->kind[0] ? ""
                                         : "; data of your own have a dataset.kind",
                       nearest.name ? nearest.name : "", nearest.name ? "?" : "");
    }
    if (config->kind[0] && source_of(config->name) && strcmp(config->name, config->kind) != 0) {
        return fs_fail(error, FS_USAGE, "%s is the name of other data; data of the kind %s need a name of their own",
                       config->name, config->kind);
    }
    if ((*source)->needs_path && !config->path[0]) {
        return fs_fail(error, FS_USAGE, "data of the kind %s lie in a folder of yours: dataset.path is missing", kind);
    }
    if ((*source)->resized && config->size == 0) {
        return fs_fail(error, FS_USAGE,
                       "pictures of the kind %s are all brought to one size: dataset.size, in pixels, is missing",
                       kind);
    }
    if (!(*source)->resized && !(*source)->encoded && config->size != 0) {
        return fs_fail(error, FS_USAGE, "pictures of the kind %s stay as they are: they have no dataset.size", kind);
    }
    if (config->mirror && !(*source)->mirrors) {
        return fs_fail(error, FS_USAGE, "what is no picture has no mirror image: no dataset.mirror for the kind %s",
                       kind);
    }
    return FS_OK;
}

static fs_status read_shape(const struct fs_data_source *source, const struct fs_dataset_config *config,
                            enum fs_split split, struct fs_data_shape *shape, struct fs_error *error)
{
    *shape = (struct fs_data_shape){0};
    return source->shape(config, split, shape, error);
}

fs_status fs_dataset_shape(const struct fs_dataset_config *config, struct fs_data_shape *shape, struct fs_error *error)
{
    const struct fs_data_source *source;
    FS_TRY(find_source(config, &source, error));
    return read_shape(source, config, FS_SPLIT_TRAIN, shape, error);
}

fs_status fs_dataset_check(const struct fs_config *config, struct fs_data_shape *shape, struct fs_error *error)
{
    const struct fs_data_source *source;
    struct fs_error reason = {.text = ""};
    const char *key = config->dataset.kind[0] ? "dataset.kind" : "dataset.name";
    fs_status status = find_source(&config->dataset, &source, &reason);
    if (status == FS_OK) {
        key = config->dataset.path[0] ? "dataset.path" : key;
        status = read_shape(source, &config->dataset, FS_SPLIT_TRAIN, shape, &reason);
    }
    if (status != FS_OK) {
        return status == FS_USAGE ? fs_config_fail(config, key, error, "%s", reason.text)
                                  : fs_fail(error, status, "%s", reason.text);
    }
    return fs_config_check_data(config, shape, error);
}

fs_status fs_dataset_plan(const struct fs_config *config, struct fs_data_shape *shape, bool *there,
                          struct fs_error *error)
{
    const struct fs_data_source *source;
    struct fs_error reason;
    *there = find_source(&config->dataset, &source, &reason) != FS_OK || !source->planned ||
             access(config->dataset.path, F_OK) == 0;
    if (*there) {
        return fs_dataset_check(config, shape, error);
    }
    *shape = (struct fs_data_shape){.classes = config->model.classes};
    if (source->planned(&config->dataset, shape, &reason) != FS_OK) {
        return fs_config_fail(config, "dataset.path", error, "%s", reason.text);
    }
    return fs_config_check_data(config, shape, error);
}

/* --- opening --- */

void fs_dataset_hash_begin(struct fs_sha256 *hash, bool pictures, const struct fs_data_shape *shape,
                           const int32_t *labels)
{
    char text[160];
    const int length = snprintf(text, sizeof text, "%s %lld %d %d %d %d\n", pictures ? "uint8" : "float32",
                                (long long)shape->count, shape->height, shape->width, shape->channels, shape->classes);
    fs_sha256_begin(hash);
    fs_sha256_add(hash, text, (size_t)length);
    if (labels) {
        fs_sha256_add(hash, labels, (size_t)shape->count * sizeof *labels);
    }
}

static fs_status hash_contents(struct fs_dataset *dataset, struct fs_error *error)
{
    const struct fs_data_shape *shape = &dataset->shape;
    const size_t dim = (size_t)fs_shape_dim(shape), size = dataset->pictures ? 1 : sizeof(float);
    void *rows = fs_allocate(HASHED_AT_ONCE, dim * size, "pictures", error);
    if (!rows) {
        return FS_FAILED;
    }
    struct fs_sha256 hash;
    fs_dataset_hash_begin(&hash, dataset->pictures, shape, dataset->labels);
    fs_status status = FS_OK;
    for (int64_t first = 0; status == FS_OK && first < shape->count; first += HASHED_AT_ONCE) {
        const int64_t n = shape->count - first < HASHED_AT_ONCE ? shape->count - first : HASHED_AT_ONCE;
        status = dataset->pictures ? fs_dataset_bytes(dataset, first, n, rows, error)
                                   : fs_dataset_rows(dataset, first, n, rows, error);
        fs_sha256_add(&hash, rows, (size_t)n * dim * size);
    }
    fs_sha256_end(&hash, dataset->sha256);
    free(rows);
    return status;
}

fs_status fs_dataset_open(const struct fs_dataset_config *config, enum fs_split split, struct fs_dataset *dataset,
                          struct fs_error *error)
{
    const struct fs_data_access nothing_kept = {.cache = NULL};
    return fs_dataset_open_with(config, &nothing_kept, split, dataset, error);
}

fs_status fs_dataset_open_with(const struct fs_dataset_config *config, const struct fs_data_access *access,
                               enum fs_split split, struct fs_dataset *dataset, struct fs_error *error)
{
    *dataset = (struct fs_dataset){0};
    const struct fs_data_source *source;
    FS_TRY(find_source(config, &source, error));
    FS_TRY(read_shape(source, config, split, &dataset->shape, error));
    snprintf(dataset->name, sizeof dataset->name, "%s", config->name);
    dataset->split = split;
    dataset->pictures = source->pictures;
    dataset->source = source;
    dataset->mirror = config->mirror;
    fs_status status = source->open(config, access, dataset, error);
    const bool readable = !access->only_kept || !source->resized; /* else what was not decoded cannot be read */
    if (status == FS_OK && !dataset->sha256[0] && readable) {
        status = hash_contents(dataset, error);
    }
    if (status != FS_OK) {
        fs_dataset_close(dataset);
    }
    return status;
}

void fs_dataset_close(struct fs_dataset *dataset)
{
    if (dataset->source && dataset->source->close) {
        dataset->source->close(dataset);
    } else {
        free(dataset->state);
    }
    free(dataset->labels);
    *dataset = (struct fs_dataset){0};
}

/* --- reading --- */

fs_status fs_dataset_read(const struct fs_dataset *dataset, int64_t index, float *out, struct fs_error *error)
{
    return dataset->source->read(dataset, index, NULL, out, error);
}

/* Half of all visits, each by itself. */
bool fs_visit_mirrored(const struct fs_visit *visit)
{
    const struct fs_random_key key = {visit->seed, FS_STREAM_MIRROR, (uint32_t)visit->update, 0};
    return fs_random_word(key, (uint32_t)visit->row, 0) >> 31;
}

static void mirror_picture(const struct fs_data_shape *shape, float *pixels)
{
    const int width = shape->width, channels = shape->channels;
    for (int y = 0; y < shape->height; y++) {
        float *row = pixels + (int64_t)y * width * channels;
        for (int left = 0, right = width - 1; left < right; left++, right--) {
            for (int c = 0; c < channels; c++) {
                const float spare = row[left * channels + c];
                row[left * channels + c] = row[right * channels + c];
                row[right * channels + c] = spare;
            }
        }
    }
}

fs_status fs_dataset_visit(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                           struct fs_error *error)
{
    FS_TRY(dataset->source->read(dataset, index, visit, out, error));
    if (dataset->mirror && dataset->pictures && fs_visit_mirrored(visit)) {
        mirror_picture(&dataset->shape, out);
    }
    return FS_OK;
}

fs_status fs_dataset_rows(const struct fs_dataset *dataset, int64_t first, int64_t n, float *rows,
                          struct fs_error *error)
{
    const int64_t dim = fs_shape_dim(&dataset->shape);
    for (int64_t i = 0; i < n; i++) {
        FS_TRY(fs_dataset_read(dataset, first + i, rows + i * dim, error));
    }
    return FS_OK;
}

fs_status fs_dataset_bytes(const struct fs_dataset *dataset, int64_t first, int64_t n, uint8_t *bytes,
                           struct fs_error *error)
{
    const int64_t dim = fs_shape_dim(&dataset->shape);
    float *row = fs_allocate((size_t)dim, sizeof *row, "a picture", error);
    fs_status status = row ? FS_OK : FS_FAILED;
    for (int64_t i = 0; status == FS_OK && i < n; i++) {
        status = fs_dataset_read(dataset, first + i, row, error);
        for (int64_t k = 0; status == FS_OK && k < dim; k++) {
            bytes[i * dim + k] = fs_pixel(row[k]);
        }
    }
    free(row);
    return status;
}
