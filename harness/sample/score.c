/* Scores: samples through an extractor against the statistics of the training data. */
#include "harness/sample/score.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/data/png.h"
#include "kernels/base/clock.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "kernels/base/safetensors.h"
#include "metrics/frechet.h"
#include "metrics/statistics.h"

#define RESAMPLES 100
#define INTERVAL_LEVEL 0.95

/* --- features --- */

/* The first tap of `n` samples in data scale. `pixels` [n, dim] is scratch for the quantised ones, or NULL. */
static fs_status extract(struct fs_extractor *extractor, const struct fs_dataset *shape, const float *samples,
                         int64_t n, uint8_t *pixels, float *features, struct fs_error *error)
{
    const int64_t dim = fs_dataset_dim(shape);
    float *taps[16] = {features};
    for (int64_t done = 0; done < n; done += extractor->batch_max) {
        const int64_t count = n - done < extractor->batch_max ? n - done : extractor->batch_max;
        struct fs_image_batch batch = {.pixels = samples + done * dim,
                                       .count = count,
                                       .height = shape->height,
                                       .width = shape->width,
                                       .channels = shape->channels,
                                       .low = -1,
                                       .high = 1};
        if (pixels) {
            for (int64_t i = 0; i < count * dim; i++) {
                pixels[i] = fs_pixel(samples[done * dim + i]);
            }
            batch.pixels = pixels;
            batch.is_uint8 = true;
        }
        FS_TRY(extractor->extract(extractor, &batch, taps, error));
        taps[0] += count * extractor->taps[0].dim;
    }
    return FS_OK;
}

static void read_rows(const struct fs_dataset *data, int64_t first, int64_t n, float *rows)
{
    for (int64_t i = 0; i < n; i++) {
        fs_dataset_row(data, first + i, rows + i * fs_dataset_dim(data));
    }
}

/* --- the reference --- */

static fs_status data_statistics(struct fs_extractor *extractor, const struct fs_dataset *data,
                                 struct fs_statistics *statistics, struct fs_error *error)
{
    const int64_t dim = fs_dataset_dim(data), at_once = 512;
    float *rows = fs_allocate((size_t)(at_once * dim), sizeof(float), "pictures", error);
    float *features = fs_allocate((size_t)(at_once * statistics->dim), sizeof(float), "features", error);
    fs_status status = rows && features ? FS_OK : error->status;
    for (int64_t first = 0; status == FS_OK && first < data->count; first += at_once) {
        const int64_t n = data->count - first < at_once ? data->count - first : at_once;
        read_rows(data, first, n, rows);
        status = extract(extractor, data, rows, n, NULL, features, error);
        if (status == FS_OK) {
            fs_statistics_add(statistics, features, n);
        }
    }
    free(features);
    free(rows);
    return status;
}

static fs_status compute_reference(struct fs_reference *reference, struct fs_extractor *extractor,
                                   const struct fs_dataset *train, struct fs_error *error)
{
    struct fs_statistics statistics = {0};
    const int64_t dim = reference->dim;
    double *covariance = fs_allocate((size_t)(dim * dim), sizeof(double), "a covariance", error);
    fs_status status = covariance ? fs_statistics_create(dim, &statistics, error) : error->status;
    if (status == FS_OK) {
        status = data_statistics(extractor, train, &statistics, error);
    }
    if (status == FS_OK) {
        status = fs_statistics_covariance(&statistics, covariance, error);
    }
    if (status == FS_OK) {
        memcpy(reference->mean, statistics.mean, (size_t)dim * sizeof(double));
        reference->trace = 0;
        for (int64_t i = 0; i < dim; i++) {
            reference->trace += covariance[i * dim + i];
        }
        status = fs_symmetric_root(dim, covariance, reference->root, error);
    }
    fs_statistics_destroy(&statistics);
    free(covariance);
    return status;
}

static fs_status write_reference(const struct fs_reference *reference, const char *path, struct fs_error *error)
{
    const struct fs_tensor tensors[] = {
        {.name = "mean", .type = FS_F64, .rank = 1, .shape = {reference->dim}, .data = reference->mean},
        {.name = "root", .type = FS_F64, .rank = 2, .shape = {reference->dim, reference->dim}, .data = reference->root},
        {.name = "trace", .type = FS_F64, .rank = 1, .shape = {1}, .data = &reference->trace},
    };
    return fs_tensor_file_write(path, tensors, 3, NULL, 0, error);
}

static fs_status read_reference(struct fs_reference *reference, const char *path, struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const struct fs_tensor *mean = fs_tensor_find(&file, "mean"), *root = fs_tensor_find(&file, "root"),
                           *trace = fs_tensor_find(&file, "trace");
    const int64_t dim = reference->dim;
    fs_status status = FS_OK;
    if (!mean || !root || !trace || mean->type != FS_F64 || root->type != FS_F64 || trace->type != FS_F64 ||
        mean->rank != 1 || mean->shape[0] != dim || root->rank != 2 || root->shape[0] != dim || root->shape[1] != dim ||
        trace->rank != 1 || trace->shape[0] != 1) {
        status = fs_fail(error, FS_USAGE, "%s: not the statistics that this extractor needs: remove the file", path);
    } else {
        memcpy(reference->mean, mean->data, (size_t)dim * sizeof(double));
        memcpy(reference->root, root->data, (size_t)(dim * dim) * sizeof(double));
        memcpy(&reference->trace, trace->data, sizeof(double));
    }
    fs_tensor_file_free(&file);
    return status;
}

fs_status fs_reference_open(struct fs_reference *reference, struct fs_extractor *extractor,
                            const struct fs_dataset *train, const char *cache, struct fs_error *error)
{
    const int64_t dim = extractor->taps[0].dim;
    *reference = (struct fs_reference){.dim = dim};
    snprintf(reference->sha256, sizeof reference->sha256, "%s", train->sha256);
    reference->mean = fs_allocate((size_t)dim, sizeof(double), "a mean", error);
    reference->root = fs_allocate((size_t)(dim * dim), sizeof(double), "a covariance", error);
    char *path = fs_format(error, "%s/%.16s-%.16s-%s.safetensors", cache, train->sha256, extractor->sha256,
                           fs_resize_name((int)extractor->resize));
    fs_status status = reference->mean && reference->root && path ? fs_make_folder(cache, error) : error->status;
    if (status == FS_OK && access(path, R_OK) == 0) {
        status = read_reference(reference, path, error);
    } else if (status == FS_OK) {
        status = compute_reference(reference, extractor, train, error);
        if (status == FS_OK) {
            status = write_reference(reference, path, error);
        }
    }
    free(path);
    if (status != FS_OK) {
        fs_reference_close(reference);
    }
    return status;
}

void fs_reference_close(struct fs_reference *reference)
{
    free(reference->mean);
    free(reference->root);
    *reference = (struct fs_reference){0};
}

/* --- a score --- */

/* The Fréchet distance of features [n, dim] to the reference, and its interval over samples. */
static fs_status frechet(const struct fs_reference *reference, const float *features, struct fs_score_row *row,
                         struct fs_error *error)
{
    const int64_t dim = reference->dim;
    struct fs_statistics statistics;
    FS_TRY(fs_statistics_create(dim, &statistics, error));
    double *covariance = fs_allocate((size_t)(dim * dim), sizeof(double), "a covariance", error);
    fs_status status = covariance ? FS_OK : error->status;
    if (status == FS_OK) {
        fs_statistics_add(&statistics, features, row->samples);
        status = fs_statistics_covariance(&statistics, covariance, error);
    }
    if (status == FS_OK) {
        status = fs_frechet_from_root(dim, reference->mean, reference->root, reference->trace, statistics.mean,
                                      covariance, &row->value, error);
    }
    if (status == FS_OK) {
        status =
            fs_frechet_interval(dim, features, row->samples, reference->mean, reference->root, reference->trace,
                                RESAMPLES, INTERVAL_LEVEL, (uint32_t)row->noise_seed, &row->low, &row->high, error);
    }
    free(covariance);
    fs_statistics_destroy(&statistics);
    return status;
}

/* Where the rows to score come from. */
struct source {
    struct fs_generator *generator; /* NULL: data */
    const struct fs_dataset *data;
};

static fs_status draw(const struct source *source, const struct fs_score_row *row, int64_t first, int64_t n,
                      float *samples, struct fs_error *error)
{
    if (source->generator) {
        return fs_generate(source->generator, (uint32_t)row->noise_seed, first, n, row->steps, row->guidance_scale,
                           samples, error);
    }
    read_rows(source->data, first, n, samples);
    return FS_OK;
}

static fs_status score(const struct fs_scoring *scoring, const struct source *source, struct fs_score_row *row,
                       bool *done, struct fs_error *error)
{
    const double begin = fs_seconds();
    const struct fs_dataset *shape = scoring->shape;
    const int64_t dim = fs_dataset_dim(shape);
    const int64_t at_once = source->generator ? source->generator->sampler.capacity : 512;
    const int64_t features_dim = scoring->reference->dim;
    float *samples = fs_allocate((size_t)(at_once * dim), sizeof(float), "samples", error);
    uint8_t *pixels = row->quantize ? fs_allocate((size_t)(at_once * dim), 1, "samples", error) : NULL;
    float *features = fs_allocate((size_t)(row->samples * features_dim), sizeof(float), "features", error);
    fs_status status = samples && features && (pixels || !row->quantize) ? FS_OK : error->status;
    int64_t first = 0;
    while (status == FS_OK && first < row->samples && !*scoring->stop) {
        const int64_t n = row->samples - first < at_once ? row->samples - first : at_once;
        status = draw(source, row, first, n, samples, error);
        if (status == FS_OK) {
            status = extract(scoring->extractor, shape, samples, n, pixels, features + first * features_dim, error);
        }
        first += n;
        if (scoring->progress) {
            const struct fs_score_progress progress = {row->steps, first, row->samples, fs_seconds() - begin};
            scoring->progress(scoring->owner, &progress);
        }
    }
    *done = status == FS_OK && first >= row->samples;
    if (*done) {
        status = frechet(scoring->reference, features, row, error);
        row->seconds = fs_seconds() - begin;
    }
    free(features);
    free(pixels);
    free(samples);
    return status;
}

fs_status fs_score_generator(const struct fs_scoring *scoring, struct fs_generator *generator, struct fs_score_row *row,
                             bool *done, struct fs_error *error)
{
    const struct source source = {.generator = generator};
    return score(scoring, &source, row, done, error);
}

fs_status fs_score_data(const struct fs_scoring *scoring, const struct fs_dataset *data, struct fs_score_row *row,
                        bool *done, struct fs_error *error)
{
    const struct source source = {.data = data};
    return score(scoring, &source, row, done, error);
}

fs_status fs_score_hash(const struct fs_score_row *row, char hash[FS_HASH_TEXT], struct fs_error *error)
{
    const char *run = row->run ? row->run : "";
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:s, s:i, s:f, s:s, s:I, s:I, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "run",
        run, "source", row->source, "update", (json_int_t)row->update, "weights", row->weights, "steps", row->steps,
        "guidance_scale", row->guidance_scale, "labels", row->labels, "noise_seed", (json_int_t)row->noise_seed,
        "samples", (json_int_t)row->samples, "quantize", row->quantize, "resize", row->resize, "extractor",
        row->extractor, "extractor_sha256", row->extractor_sha256, "tap", row->tap, "reference", row->reference,
        "reference_sha256", row->reference_sha256, "metric", row->metric, "precision", row->precision, "device",
        row->device, "source_hash", row->source_hash);
    char *text = json ? json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    if (text) {
        fs_sha256(text, strlen(text), hash);
    }
    free(text);
    json_decref(json);
    return text ? FS_OK : fs_fail(error, FS_FAILED, "no memory for the identity of a score");
}
