/* References: statistics, features and spectrum of the training pictures, each in a file of its own. */
#include "harness/sample/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/sample/reference_pass.h"
#include "kernels/base/memory.h"
#include "metrics/frechet.h"

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

/* Behind those of the parts: what an interrupted pass left. */
enum { UNFINISHED = FS_PARTS, PATHS };

/* Of one part in the cache; the CPU's statistics of the first tap have had theirs from the beginning. Features are not
 * the same bits on another device. Owned by the caller. */
static char *part_path(const char *cache, const struct fs_extractor *extractor, const struct fs_dataset *train,
                       int part, struct fs_error *error)
{
    static const char *const endings[] = {"", "-spatial", "-features", "", "-unfinished"};
    const bool cpu = strcmp(extractor->device, "cpu") == 0;
    if (part == FS_PART_POWER) {
        return fs_format(error, "%s/%.16s-spectrum.safetensors", cache, train->sha256);
    }
    return fs_format(error, "%s/%.16s-%.16s-%s%s%s%s.safetensors", cache, train->sha256, extractor->sha256,
                     fs_resize_name((int)extractor->resize), cpu ? "" : "-", cpu ? "" : extractor->device,
                     endings[part]);
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
    return fs_tensor_file_write_summed(path, tensors, 3, NULL, 0, error);
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

/* --- a pass --- */

static fs_status finish(struct fs_reference_pass *pass, struct fs_reference *reference, char *const *paths,
                        struct fs_error *error)
{
    const struct fs_tensor features = {.name = "features",
                                       .type = FS_F32,
                                       .rank = 2,
                                       .shape = {pass->chosen, reference->first.dim},
                                       .data = pass->features};
    const struct fs_tensor power = {
        .name = "power", .type = FS_F64, .rank = 1, .shape = {reference->bins}, .data = reference->power};
    const double offset = pass->extractor->resize == FS_RESIZE_AUTHORS ? FS_AUTHORS_OFFSET : 0;
    if (pass->missing[FS_PART_FIRST]) {
        FS_TRY(fs_moments_fill(&reference->first, &pass->statistics[FS_PART_FIRST], offset, error));
        FS_TRY(write_moments(&reference->first, paths[FS_PART_FIRST], error));
    }
    if (pass->missing[FS_PART_SPATIAL]) {
        FS_TRY(fs_moments_fill(&reference->spatial, &pass->statistics[FS_PART_SPATIAL], offset, error));
        FS_TRY(write_moments(&reference->spatial, paths[FS_PART_SPATIAL], error));
    }
    if (pass->missing[FS_PART_FEATURES]) {
        FS_TRY(fs_tensor_file_write_summed(paths[FS_PART_FEATURES], &features, 1, NULL, 0, error));
    }
    if (pass->missing[FS_PART_POWER]) {
        double standard_error;
        for (int b = 0; b < reference->bins; b++) {
            reference->power[b] = fs_spectrum_power(&pass->spectrum, b, &standard_error);
        }
        FS_TRY(fs_tensor_file_write_summed(paths[FS_PART_POWER], &power, 1, NULL, 0, error));
    }
    return FS_OK;
}

static fs_status compute(struct fs_reference_pass *pass, struct fs_reference *reference, char *const *paths,
                         const struct fs_reference_watch *watch, struct fs_error *error)
{
    fs_status status =
        fs_reference_pass_open(pass, reference->first.dim, reference->spatial.dim, paths[UNFINISHED], error);
    if (status == FS_OK) {
        status = fs_reference_pass_run(pass, paths[UNFINISHED], watch, error);
    }
    if (status == FS_OK) {
        status = finish(pass, reference, paths, error);
    }
    if (status == FS_OK) {
        unlink(paths[UNFINISHED]);
    }
    fs_reference_pass_close(pass);
    return status;
}

/* --- the whole --- */

static fs_status allocate(struct fs_reference *reference, struct fs_reference_parts parts,
                          struct fs_reference_pass *pass, struct fs_error *error)
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

static fs_status read_parts(struct fs_reference *reference, const bool wanted[FS_PARTS],
                            const struct fs_reference_pass *pass, char *const *paths, struct fs_error *error)
{
    if (!pass->missing[FS_PART_FIRST]) {
        FS_TRY(read_moments(&reference->first, paths[FS_PART_FIRST], error));
    }
    if (wanted[FS_PART_SPATIAL] && !pass->missing[FS_PART_SPATIAL]) {
        FS_TRY(read_moments(&reference->spatial, paths[FS_PART_SPATIAL], error));
    }
    if (wanted[FS_PART_POWER] && !pass->missing[FS_PART_POWER]) {
        FS_TRY(read_power(reference, paths[FS_PART_POWER], error));
    }
    /* Also after a pass: so that the features of a first and a later call are the same memory's. */
    return wanted[FS_PART_FEATURES] ? read_features(reference, paths[FS_PART_FEATURES], error) : FS_OK;
}

static fs_status open_parts(struct fs_reference *reference, struct fs_reference_parts parts,
                            struct fs_reference_pass *pass, char *const *paths, const struct fs_reference_watch *watch,
                            struct fs_error *error)
{
    const bool wanted[FS_PARTS] = {[FS_PART_FIRST] = true,
                                   [FS_PART_SPATIAL] = parts.spatial,
                                   [FS_PART_FEATURES] = parts.features,
                                   [FS_PART_POWER] = parts.power};
    bool any = false;
    FS_TRY(allocate(reference, parts, pass, error));
    for (int part = 0; part < FS_PARTS; part++) {
        pass->missing[part] = wanted[part] && access(paths[part], R_OK) != 0;
        any |= pass->missing[part];
    }
    if (any) {
        FS_TRY(compute(pass, reference, paths, watch, error));
    }
    return read_parts(reference, wanted, pass, paths, error);
}

fs_status fs_reference_open(struct fs_reference *reference, struct fs_reference_parts parts,
                            struct fs_extractor *extractor, const struct fs_dataset *train, const char *cache,
                            const struct fs_reference_watch *watch, struct fs_error *error)
{
    struct fs_reference_pass pass = {.train = train, .extractor = extractor};
    char *paths[PATHS] = {0};
    *reference = (struct fs_reference){0};
    snprintf(reference->sha256, sizeof reference->sha256, "%s", train->sha256);
    fs_status status = fs_make_folder(cache, error);
    for (int part = 0; status == FS_OK && part < PATHS; part++) {
        paths[part] = part_path(cache, extractor, train, part, error);
        status = paths[part] ? FS_OK : FS_FAILED;
    }
    if (status == FS_OK) {
        status = open_parts(reference, parts, &pass, paths, watch, error);
    }
    for (int part = 0; part < PATHS; part++) {
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
