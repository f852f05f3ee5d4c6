/* References: statistics, features and spectrum of the training pictures, each in a file of its own. */
#include "harness/sample/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/sample/features.h"
#include "kernels/base/memory.h"
#include "metrics/frechet.h"

#define AT_ONCE 512 /* pictures */
#define CHOICE_SEED 0

struct fs_reference_parts fs_reference_parts(const struct fs_evaluate_config *evaluate)
{
    struct fs_reference_parts parts = {0};
    for (int i = 0; i < evaluate->metric_count; i++) {
        const struct fs_metric *metric = fs_metric_find(evaluate->metrics[i]);
        parts.spatial |= metric->tap && strcmp(metric->tap, "spatial") == 0;
        parts.features |= metric->of_pairs;
        parts.power |= metric->of_pictures;
    }
    return parts;
}

/* --- files --- */

enum part { FIRST, SPATIAL, FEATURES, POWER, PARTS };

/* Of one part in the cache; the first tap's statistics have had theirs from the beginning. Owned by the caller. */
static char *part_path(const char *cache, const struct fs_extractor *extractor, const struct fs_dataset *train,
                       enum part part, struct fs_error *error)
{
    static const char *const endings[] = {"", "-spatial", "-features", ""};
    if (part == POWER) {
        return fs_format(error, "%s/%.16s-spectrum.safetensors", cache, train->sha256);
    }
    return fs_format(error, "%s/%.16s-%.16s-%s%s.safetensors", cache, train->sha256, extractor->sha256,
                     fs_resize_name((int)extractor->resize), endings[part]);
}

static fs_status refuse(const char *path, struct fs_error *error)
{
    return fs_fail(error, FS_USAGE, "%s: not the statistics that this extractor needs: remove the file", path);
}

static fs_status write_moments(const struct fs_moments *moments, const char *path, struct fs_error *error)
{
    const int64_t dim = moments->dim;
    const struct fs_tensor tensors[] = {
        {.name = "mean", .type = FS_F64, .rank = 1, .shape = {dim}, .data = moments->mean},
        {.name = "root", .type = FS_F64, .rank = 2, .shape = {dim, dim}, .data = moments->root},
        {.name = "trace", .type = FS_F64, .rank = 1, .shape = {1}, .data = &moments->trace},
    };
    return fs_tensor_file_write(path, tensors, 3, NULL, 0, error);
}

static fs_status read_moments(struct fs_moments *moments, const char *path, struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const struct fs_tensor *mean = fs_tensor_find(&file, "mean"), *root = fs_tensor_find(&file, "root"),
                           *trace = fs_tensor_find(&file, "trace");
    const int64_t dim = moments->dim;
    fs_status status = FS_OK;
    if (!mean || !root || !trace || mean->type != FS_F64 || root->type != FS_F64 || trace->type != FS_F64 ||
        mean->rank != 1 || mean->shape[0] != dim || root->rank != 2 || root->shape[0] != dim || root->shape[1] != dim ||
        trace->rank != 1 || trace->shape[0] != 1) {
        status = refuse(path, error);
    } else {
        memcpy(moments->mean, mean->data, (size_t)dim * sizeof(double));
        memcpy(moments->root, root->data, (size_t)(dim * dim) * sizeof(double));
        memcpy(&moments->trace, trace->data, sizeof(double));
    }
    fs_tensor_file_free(&file);
    return status;
}

static fs_status read_features(struct fs_reference *reference, const char *path, struct fs_error *error)
{
    FS_TRY(fs_tensor_file_read(path, &reference->feature_file, error));
    const struct fs_tensor *features = fs_tensor_find(&reference->feature_file, "features");
    if (!features || features->type != FS_F32 || features->rank != 2 || features->shape[1] != reference->first.dim ||
        features->shape[0] < 1) {
        return refuse(path, error);
    }
    reference->features = features->data;
    reference->count = features->shape[0];
    return FS_OK;
}

static fs_status read_power(struct fs_reference *reference, const char *path, struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const struct fs_tensor *power = fs_tensor_find(&file, "power");
    fs_status status = FS_OK;
    if (!power || power->type != FS_F64 || power->rank != 1 || power->shape[0] != reference->bins) {
        status = refuse(path, error);
    } else {
        memcpy(reference->power, power->data, (size_t)reference->bins * sizeof(double));
    }
    fs_tensor_file_free(&file);
    return status;
}

/* --- one pass over the pictures --- */

struct pass {
    const struct fs_dataset *train;
    struct fs_extractor *extractor;
    bool missing[PARTS];
    int spatial; /* the tap's index */
    float *rows, *taps[FS_TAPS_MAX];
    struct fs_statistics first, spatial_statistics;
    struct fs_spectrum spectrum;
    float *features; /* [wanted, first.dim] */
    int64_t wanted, chosen;
};

static fs_status pass_open(struct pass *pass, const struct fs_reference *reference, struct fs_error *error)
{
    const struct fs_dataset *train = pass->train;
    pass->wanted = train->count < FS_REFERENCE_ROWS ? train->count : FS_REFERENCE_ROWS;
    pass->rows = fs_allocate(AT_ONCE, (size_t)fs_dataset_dim(train) * sizeof(float), "pictures", error);
    fs_status status = pass->rows ? FS_OK : FS_FAILED;
    if (status == FS_OK && (pass->missing[FIRST] || pass->missing[FEATURES])) {
        pass->taps[0] = fs_allocate(AT_ONCE, (size_t)reference->first.dim * sizeof(float), "features", error);
        status = pass->taps[0] ? FS_OK : FS_FAILED;
    }
    if (status == FS_OK && pass->missing[SPATIAL]) {
        pass->taps[pass->spatial] =
            fs_allocate(AT_ONCE, (size_t)reference->spatial.dim * sizeof(float), "features", error);
        status = pass->taps[pass->spatial]
                     ? fs_statistics_create(reference->spatial.dim, &pass->spatial_statistics, error)
                     : FS_FAILED;
    }
    if (status == FS_OK && pass->missing[FIRST]) {
        status = fs_statistics_create(reference->first.dim, &pass->first, error);
    }
    if (status == FS_OK && pass->missing[FEATURES]) {
        pass->features =
            fs_allocate((size_t)pass->wanted, (size_t)reference->first.dim * sizeof(float), "features", error);
        status = pass->features ? FS_OK : FS_FAILED;
    }
    if (status == FS_OK && pass->missing[POWER]) {
        status = fs_spectrum_create(train->height, train->width, train->channels, train->count, &pass->spectrum, error);
    }
    return status;
}

static void pass_close(struct pass *pass)
{
    for (int i = 0; i < FS_TAPS_MAX; i++) {
        free(pass->taps[i]);
    }
    free(pass->rows);
    free(pass->features);
    fs_statistics_destroy(&pass->first);
    fs_statistics_destroy(&pass->spatial_statistics);
    fs_spectrum_destroy(&pass->spectrum);
}

static void keep_features(struct pass *pass, int64_t first, int64_t n, int64_t dim)
{
    for (int64_t i = 0; i < n; i++) {
        if (fs_row_is_chosen(CHOICE_SEED, first + i, pass->train->count, pass->chosen, pass->wanted)) {
            memcpy(pass->features + pass->chosen++ * dim, pass->taps[0] + i * dim, (size_t)dim * sizeof(float));
        }
    }
}

static fs_status pass_over(struct pass *pass, int64_t first, int64_t n, int64_t dim, struct fs_error *error)
{
    fs_dataset_rows(pass->train, first, n, pass->rows);
    if (pass->taps[0] || pass->missing[SPATIAL]) {
        FS_TRY(fs_extract_samples(pass->extractor, pass->train, pass->rows, n, NULL, pass->taps, error));
    }
    if (pass->missing[FIRST]) {
        fs_statistics_add(&pass->first, pass->taps[0], n);
    }
    if (pass->missing[SPATIAL]) {
        fs_statistics_add(&pass->spatial_statistics, pass->taps[pass->spatial], n);
    }
    if (pass->missing[FEATURES]) {
        keep_features(pass, first, n, dim);
    }
    return pass->missing[POWER] ? fs_spectrum_add(&pass->spectrum, pass->rows, n, error) : FS_OK;
}

static fs_status finish(struct pass *pass, struct fs_reference *reference, char *const *paths, struct fs_error *error)
{
    const struct fs_tensor features = {.name = "features",
                                       .type = FS_F32,
                                       .rank = 2,
                                       .shape = {pass->chosen, reference->first.dim},
                                       .data = pass->features};
    const struct fs_tensor power = {
        .name = "power", .type = FS_F64, .rank = 1, .shape = {reference->bins}, .data = reference->power};
    const double offset = pass->extractor->resize == FS_RESIZE_AUTHORS ? FS_AUTHORS_OFFSET : 0;
    if (pass->missing[FIRST]) {
        FS_TRY(fs_moments_fill(&reference->first, &pass->first, offset, error));
        FS_TRY(write_moments(&reference->first, paths[FIRST], error));
    }
    if (pass->missing[SPATIAL]) {
        FS_TRY(fs_moments_fill(&reference->spatial, &pass->spatial_statistics, offset, error));
        FS_TRY(write_moments(&reference->spatial, paths[SPATIAL], error));
    }
    if (pass->missing[FEATURES]) {
        FS_TRY(fs_tensor_file_write(paths[FEATURES], &features, 1, NULL, 0, error));
    }
    if (pass->missing[POWER]) {
        double standard_error;
        for (int b = 0; b < reference->bins; b++) {
            reference->power[b] = fs_spectrum_power(&pass->spectrum, b, &standard_error);
        }
        FS_TRY(fs_tensor_file_write(paths[POWER], &power, 1, NULL, 0, error));
    }
    return FS_OK;
}

static fs_status compute(struct pass *pass, struct fs_reference *reference, char *const *paths, struct fs_error *error)
{
    const int64_t count = pass->train->count;
    fs_status status = pass_open(pass, reference, error);
    for (int64_t first = 0; status == FS_OK && first < count; first += AT_ONCE) {
        status = pass_over(pass, first, count - first < AT_ONCE ? count - first : AT_ONCE, reference->first.dim, error);
    }
    if (status == FS_OK) {
        status = finish(pass, reference, paths, error);
    }
    pass_close(pass);
    return status;
}

/* --- the whole --- */

static fs_status allocate(struct fs_reference *reference, struct fs_reference_parts parts, struct pass *pass,
                          struct fs_error *error)
{
    const struct fs_dataset *train = pass->train;
    FS_TRY(fs_moments_create(pass->extractor->taps[0].dim, &reference->first, error));
    if (parts.spatial) {
        FS_TRY(fs_metric_tap(fs_metric_find("sfd"), pass->extractor, &pass->spatial, error));
        FS_TRY(fs_moments_create(pass->extractor->taps[pass->spatial].dim, &reference->spatial, error));
    }
    if (parts.power) {
        reference->bins = (train->height < train->width ? train->height : train->width) / 2;
        reference->power = fs_allocate((size_t)reference->bins, sizeof(double), "a spectrum", error);
    }
    return parts.power && !reference->power ? FS_FAILED : FS_OK;
}

static fs_status read_parts(struct fs_reference *reference, const bool wanted[PARTS], const struct pass *pass,
                            char *const *paths, struct fs_error *error)
{
    if (!pass->missing[FIRST]) {
        FS_TRY(read_moments(&reference->first, paths[FIRST], error));
    }
    if (wanted[SPATIAL] && !pass->missing[SPATIAL]) {
        FS_TRY(read_moments(&reference->spatial, paths[SPATIAL], error));
    }
    if (wanted[POWER] && !pass->missing[POWER]) {
        FS_TRY(read_power(reference, paths[POWER], error));
    }
    /* Also after a pass: so that the features of a first and a later call are the same memory's. */
    return wanted[FEATURES] ? read_features(reference, paths[FEATURES], error) : FS_OK;
}

static fs_status open_parts(struct fs_reference *reference, struct fs_reference_parts parts, struct pass *pass,
                            char *const *paths, void (*told)(void *owner, int64_t pictures), void *owner,
                            struct fs_error *error)
{
    const bool wanted[PARTS] = {
        [FIRST] = true, [SPATIAL] = parts.spatial, [FEATURES] = parts.features, [POWER] = parts.power};
    bool any = false;
    FS_TRY(allocate(reference, parts, pass, error));
    for (int part = 0; part < PARTS; part++) {
        pass->missing[part] = wanted[part] && access(paths[part], R_OK) != 0;
        any |= pass->missing[part];
    }
    if (any) {
        if (told) {
            told(owner, pass->train->count);
        }
        FS_TRY(compute(pass, reference, paths, error));
    }
    return read_parts(reference, wanted, pass, paths, error);
}

fs_status fs_reference_open(struct fs_reference *reference, struct fs_reference_parts parts,
                            struct fs_extractor *extractor, const struct fs_dataset *train, const char *cache,
                            void (*told)(void *owner, int64_t pictures), void *owner, struct fs_error *error)
{
    struct pass pass = {.train = train, .extractor = extractor};
    char *paths[PARTS] = {0};
    *reference = (struct fs_reference){0};
    snprintf(reference->sha256, sizeof reference->sha256, "%s", train->sha256);
    fs_status status = fs_make_folder(cache, error);
    for (int part = 0; status == FS_OK && part < PARTS; part++) {
        paths[part] = part_path(cache, extractor, train, (enum part)part, error);
        status = paths[part] ? FS_OK : FS_FAILED;
    }
    if (status == FS_OK) {
        status = open_parts(reference, parts, &pass, paths, told, owner, error);
    }
    for (int part = 0; part < PARTS; part++) {
        free(paths[part]);
    }
    if (status != FS_OK) {
        fs_reference_close(reference);
    }
    return status;
}

void fs_reference_close(struct fs_reference *reference)
{
    fs_moments_free(&reference->first);
    fs_moments_free(&reference->spatial);
    free(reference->power);
    if (reference->feature_file.owner) {
        fs_tensor_file_free(&reference->feature_file);
    }
    *reference = (struct fs_reference){0};
}
