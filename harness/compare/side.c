/* One side of a comparison. */
#include "harness/compare/side.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/png.h"
#include "kernels/base/memory.h"
#include "metrics/statistics.h"

#define BATCH 64 /* pictures at once, where no extractor says how many */

/* --- published statistics --- */

/* "mu" or "sigma" of a metric's tap. */
static bool has(const struct fs_npz *npz, const char *array, const struct fs_metric *metric)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", array, metric->published_suffix ? metric->published_suffix : "");
    return fs_npz_has(npz, name);
}

fs_status fs_side_look(const char *text, const struct fs_metric *const *metrics, int count,
                       struct fs_side_content *content, struct fs_error *error)
{
    struct fs_npz npz;
    const size_t length = strlen(text);
    *content = (struct fs_side_content){.pictures = true};
    if (length <= 4 || strcmp(text + length - 4, ".npz") != 0) {
        return FS_OK;
    }
    FS_TRY(fs_npz_open(text, &npz, error));
    for (int m = 0; m < count; m++) { /* half of them is taken for statistics too: what is missing is said in reading */
        content->moments[m] = metrics[m]->published_suffix
                                  ? has(&npz, "mu", metrics[m]) && has(&npz, "sigma", metrics[m])
                                  : has(&npz, "mu", metrics[m]) || has(&npz, "sigma", metrics[m]);
    }
    content->pictures = fs_npz_has(&npz, "arr_0") || !(fs_npz_has(&npz, "mu") || fs_npz_has(&npz, "sigma"));
    fs_npz_close(&npz);
    return FS_OK;
}

const struct fs_gaussian *fs_side_published(const struct fs_side *side, const struct fs_metric *metric)
{
    const char *suffix = metric->published_suffix ? metric->published_suffix : "";
    for (int i = 0; i < side->read_count; i++) {
        if (strcmp(side->read[i].suffix, suffix) == 0) {
            return &side->read[i].gaussian;
        }
    }
    return NULL;
}

fs_status fs_side_read(const char *path, const struct fs_metric *metric, struct fs_side *side, struct fs_error *error)
{
    if (fs_side_published(side, metric)) {
        return FS_OK;
    }
    struct fs_published *read = &side->read[side->read_count++];
    read->suffix = metric->published_suffix ? metric->published_suffix : "";
    side->published = true;
    FS_TRY(fs_path(side->name, error, "%s", path));
    FS_TRY(fs_gaussian_read(path, read->suffix, &read->gaussian, error));
    side->count = read->gaussian.origin.count;
    if (*read->gaussian.origin.extractor) {
        side->origin = read->gaussian.origin;
    }
    return FS_OK;
}

/* --- pictures --- */

fs_status fs_side_open(const char *text, const struct fs_side_reading *reading, struct fs_side *side,
                       struct fs_error *error)
{
    struct fs_image_source *source = &side->source;
    FS_TRY(fs_path(side->name, error, "%s", text));
    FS_TRY(fs_image_source_open(text, 3, source, error));
    FS_TRY(fs_image_source_range(source, reading->range, error));
    side->floats = source->floats && !reading->quantize;
    side->count = reading->limit > 0 && reading->limit < source->count ? reading->limit : source->count;
    if (side->count < 2) {
        return fs_fail(error, FS_USAGE, "%s: %lld picture: a covariance needs two or more", text,
                       (long long)side->count);
    }
    return FS_OK;
}

bool fs_side_is_of_size(const struct fs_side *side, int64_t height, int64_t width)
{
    const struct fs_image_source *source = &side->source;
    struct fs_picture picture;
    struct fs_error ignored;
    if (!source->paths) {
        return source->height == height && source->width == width;
    }
    if (fs_picture_read(source->paths[0], &picture, &ignored) != FS_OK) {
        return false;
    }
    free(picture.pixels);
    return picture.height == height && picture.width == width;
}

/* A side that is being made. */
struct side_builder {
    const struct fs_side_request *request;
    struct fs_side *side;
    struct fs_statistics statistics[FS_TAPS_MAX];
    float *taps[FS_TAPS_MAX]; /* [batch_max, dim]: a batch's features of each wanted tap */
    uint8_t *rounded;         /* [capacity], the batch's floats in 8 bits */
    float *scaled;            /* [capacity], the batch from −1 to 1 */
    size_t capacity;          /* values */
};

static int tap_count(const struct fs_side_request *request)
{
    return request->extractor ? request->extractor->tap_count : 0;
}

static fs_status allocate(struct side_builder *builder, struct fs_error *error)
{
    const struct fs_extractor *extractor = builder->request->extractor;
    for (int t = 0; t < tap_count(builder->request); t++) {
        const size_t dim = (size_t)extractor->taps[t].dim;
        if (builder->request->statistics[t]) {
            FS_TRY(fs_statistics_create((int64_t)dim, &builder->statistics[t], error));
        }
        if (builder->request->features[t]) {
            builder->side->features[t] =
                fs_allocate((size_t)builder->side->count, dim * sizeof(float), "features", error);
            if (!builder->side->features[t]) {
                return FS_FAILED;
            }
        }
        if (builder->request->statistics[t] || builder->request->features[t]) {
            builder->taps[t] = fs_allocate((size_t)extractor->batch_max, dim * sizeof(float), "features", error);
            if (!builder->taps[t]) {
                return FS_FAILED;
            }
        }
    }
    return FS_OK;
}

/* The batch begins with picture `first` of the source. */
static fs_status check_size(struct side_builder *builder, const struct fs_image_batch *batch, int64_t first,
                            struct fs_error *error)
{
    const struct fs_extractor *extractor = builder->request->extractor;
    char place[FS_IMAGE_PLACE];
    fs_image_source_place(&builder->side->source, first, place);
    if (extractor && extractor->side > 0 && (batch->height != extractor->side || batch->width != extractor->side)) {
        return fs_fail(error, FS_USAGE, "%s: has %lld × %lld pixels, and %s takes %lld × %lld", place,
                       (long long)batch->height, (long long)batch->width, extractor->name, (long long)extractor->side,
                       (long long)extractor->side);
    }
    struct fs_picture_shape *shape = &builder->side->shape;
    if (first == 0) {
        *shape = (struct fs_picture_shape){batch->height, batch->width, batch->channels};
    }
    const bool alike = builder->request->sums.count > 0 || extractor->resize == FS_RESIZE_NONE;
    if (alike && (batch->height != shape->height || batch->width != shape->width)) {
        return fs_fail(error, FS_USAGE,
                       "%s: has %lld × %lld pixels, those before it %lld × %lld: without a resize, and for a spectrum, "
                       "all must be alike",
                       place, (long long)batch->height, (long long)batch->width, (long long)shape->height,
                       (long long)shape->width);
    }
    return FS_OK;
}

/* Room for a batch of so many values. */
static fs_status reserve(struct side_builder *builder, size_t values, struct fs_error *error)
{
    if (values > builder->capacity) {
        free(builder->rounded);
        free(builder->scaled);
        builder->rounded = fs_allocate(values, 1, "pictures", error);
        builder->scaled = fs_allocate(values, sizeof(float), "pictures", error);
        builder->capacity = builder->rounded && builder->scaled ? values : 0;
    }
    return values <= builder->capacity ? FS_OK : FS_FAILED;
}

/* A value of a float batch in data scale, −1 … 1; one that has it already is left as it is. */
static float to_data_scale(const struct fs_image_batch *batch, float value)
{
    const bool there = batch->low == -1 && batch->high == 1;
    return there ? value : (value - batch->low) * (2 / (batch->high - batch->low)) - 1;
}

/* As the samples of a run are rounded before they are scored. */
static void quantize(struct side_builder *builder, struct fs_image_batch *batch, int64_t values)
{
    for (int64_t i = 0; i < values; i++) {
        builder->rounded[i] = fs_pixel(to_data_scale(batch, ((const float *)batch->pixels)[i]));
    }
    batch->pixels = builder->rounded;
    batch->is_uint8 = true;
}

static fs_status add_sums(struct side_builder *builder, const struct fs_image_batch *batch, int64_t values,
                          struct fs_error *error)
{
    for (int64_t i = 0; i < values; i++) {
        builder->scaled[i] = batch->is_uint8 ? (float)((const uint8_t *)batch->pixels)[i] / 127.5F - 1.0F
                                             : to_data_scale(batch, ((const float *)batch->pixels)[i]);
    }
    return fs_picture_sums_add(&builder->side->sums, builder->scaled, batch->count, error);
}

static fs_status add_batch(struct side_builder *builder, struct fs_image_batch *batch, int64_t first,
                           struct fs_error *error)
{
    struct fs_extractor *extractor = builder->request->extractor;
    const int64_t values = batch->count * batch->height * batch->width * batch->channels;
    const bool rounds = builder->request->reading.quantize && !batch->is_uint8;
    FS_TRY(check_size(builder, batch, first, error));
    if (rounds || builder->side->sums.count > 0) {
        FS_TRY(reserve(builder, (size_t)values, error));
    }
    if (first == 0) {
        FS_TRY(fs_picture_sums_open(&builder->side->sums, &builder->side->shape, builder->side->count, error));
    }
    if (rounds) {
        quantize(builder, batch, values);
    }
    if (builder->side->sums.count > 0) {
        FS_TRY(add_sums(builder, batch, values, error));
    }
    const fs_status status = !extractor ? FS_OK : extractor->extract(extractor, batch, builder->taps, error);
    if (status != FS_OK) {
        char place[FS_IMAGE_PLACE];
        fs_image_source_place(&builder->side->source, first, place);
        return fs_fail_in(error, "%s", place);
    }
    for (int t = 0; t < tap_count(builder->request); t++) {
        const int64_t dim = extractor->taps[t].dim;
        if (builder->request->statistics[t]) {
            fs_statistics_add(&builder->statistics[t], builder->taps[t], batch->count);
        }
        if (builder->request->features[t]) {
            memcpy(builder->side->features[t] + first * dim, builder->taps[t],
                   (size_t)(batch->count * dim) * sizeof(float));
        }
    }
    return FS_OK;
}

static fs_status stream(struct side_builder *builder, struct fs_error *error)
{
    const struct fs_side_request *request = builder->request;
    const int64_t count = builder->side->count;
    for (int64_t done = 0; done < count;) {
        struct fs_image_batch batch;
        const int64_t left = count - done, at_once = request->extractor ? request->extractor->batch_max : BATCH;
        const int64_t max = left < at_once ? left : at_once;
        if (request->stop && *request->stop) {
            return fs_fail(error, FS_STOPPED, "%s: stopped after %lld of %lld pictures", builder->side->name,
                           (long long)done, (long long)count);
        }
        FS_TRY(fs_image_source_next(&builder->side->source, max, &batch, error));
        FS_TRY(add_batch(builder, &batch, done, error));
        done += batch.count;
        if (request->progress) {
            request->progress(request->owner, builder->side->name, done, count);
        }
    }
    return FS_OK;
}

/* Mean and covariance of a tap, out of what was streamed. */
static fs_status finish(struct side_builder *builder, int t, struct fs_error *error)
{
    const struct fs_extractor *extractor = builder->request->extractor;
    struct fs_gaussian *gaussian = &builder->side->gaussians[t];
    const int64_t dim = extractor->taps[t].dim;
    gaussian->dim = dim;
    gaussian->mean = fs_allocate((size_t)dim, sizeof(double), "a mean", error);
    gaussian->covariance = fs_allocate((size_t)dim, (size_t)dim * sizeof(double), "a covariance", error);
    if (!gaussian->mean || !gaussian->covariance) {
        return FS_FAILED;
    }
    FS_TRY(fs_statistics_covariance(&builder->statistics[t], gaussian->covariance, error));
    memcpy(gaussian->mean, builder->statistics[t].mean, (size_t)dim * sizeof(double));
    gaussian->origin = builder->side->origin;
    snprintf(gaussian->origin.tap, sizeof gaussian->origin.tap, "%s", extractor->taps[t].name);
    return FS_OK;
}

static fs_status make(struct side_builder *builder, struct fs_error *error)
{
    const struct fs_side_request *request = builder->request;
    struct fs_side *side = builder->side;
    side->sums = request->sums;
    side->source.channels = request->extractor ? (int)request->extractor->channels : 3;
    if (request->extractor) {
        fs_gaussian_origin_of(request->extractor, 0, side->count, &side->origin);
    }
    FS_TRY(allocate(builder, error));
    FS_TRY(stream(builder, error));
    for (int t = 0; t < tap_count(request); t++) {
        if (request->statistics[t]) {
            FS_TRY(finish(builder, t, error));
        }
    }
    return FS_OK;
}

fs_status fs_side_make(const struct fs_side_request *request, struct fs_side *side, struct fs_error *error)
{
    struct side_builder builder = {.request = request, .side = side};
    const fs_status status = make(&builder, error);
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        fs_statistics_destroy(&builder.statistics[t]);
        free(builder.taps[t]);
    }
    free(builder.rounded);
    free(builder.scaled);
    return status;
}

void fs_side_free(struct fs_side *side)
{
    for (int i = 0; i < side->read_count; i++) {
        fs_gaussian_free(&side->read[i].gaussian);
    }
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        fs_gaussian_free(&side->gaussians[t]);
        free(side->features[t]);
    }
    fs_picture_sums_close(&side->sums);
    fs_image_source_close(&side->source);
    *side = (struct fs_side){0};
}
