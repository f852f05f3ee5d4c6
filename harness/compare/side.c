/* One side of a comparison. */
#include "harness/compare/side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/image_source.h"
#include "kernels/base/memory.h"
#include "metrics/statistics.h"

#define BATCH 64 /* pictures at once, where no extractor says how many */

/* --- published statistics --- */

fs_status fs_side_look(const char *text, struct fs_side_content *content, struct fs_error *error)
{
    struct fs_npz npz;
    const size_t length = strlen(text);
    *content = (struct fs_side_content){.pictures = true};
    if (length <= 4 || strcmp(text + length - 4, ".npz") != 0) {
        return FS_OK;
    }
    FS_TRY(fs_npz_open(text, &npz, error));
    content->statistics = fs_npz_has(&npz, "mu") || fs_npz_has(&npz, "sigma");
    content->spatial = fs_npz_has(&npz, "mu_s") && fs_npz_has(&npz, "sigma_s");
    content->pictures = fs_npz_has(&npz, "arr_0") || !content->statistics; /* what it lacks is said when it is opened */
    fs_npz_close(&npz);
    return FS_OK;
}

fs_status fs_side_read(const char *path, const char *suffix, int tap, struct fs_side *side, struct fs_error *error)
{
    side->published = true;
    snprintf(side->name, sizeof side->name, "%s", path);
    FS_TRY(fs_gaussian_read(path, suffix, &side->gaussians[tap], error));
    side->count = side->gaussians[tap].origin.count;
    return FS_OK;
}

/* --- pictures --- */

/* A side that is being made. */
struct side_builder {
    const struct fs_side_request *request;
    struct fs_side *side;
    struct fs_image_source source;
    struct fs_statistics statistics[FS_SIDE_TAPS_MAX];
    float *taps[FS_SIDE_TAPS_MAX]; /* [batch_max, dim]: a batch's features of each wanted tap */
    int64_t height, width;         /* of the first picture */
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
    char place[1200];
    fs_image_source_place(&builder->source, first, place);
    if (extractor && extractor->side > 0 && (batch->height != extractor->side || batch->width != extractor->side)) {
        return fs_fail(error, FS_USAGE, "%s: has %lld × %lld pixels, and %s takes %lld × %lld", place,
                       (long long)batch->height, (long long)batch->width, extractor->name, (long long)extractor->side,
                       (long long)extractor->side);
    }
    if (first == 0) {
        builder->height = batch->height;
        builder->width = batch->width;
    }
    const bool alike = builder->request->spectrum || extractor->resize == FS_RESIZE_NONE;
    if (alike && (batch->height != builder->height || batch->width != builder->width)) {
        return fs_fail(error, FS_USAGE,
                       "%s: has %lld × %lld pixels, those before it %lld × %lld: without a resize, and for a spectrum, "
                       "all must be alike",
                       place, (long long)batch->height, (long long)batch->width, (long long)builder->height,
                       (long long)builder->width);
    }
    return FS_OK;
}

/* In the values that an extractor's floats have: −1 … 1. */
static fs_status add_spectrum(struct side_builder *builder, const struct fs_image_batch *batch, struct fs_error *error)
{
    struct fs_spectrum *spectrum = &builder->side->spectrum;
    const int64_t values = batch->count * batch->height * batch->width * batch->channels;
    if (spectrum->bins == 0) {
        FS_TRY(fs_spectrum_create(batch->height, batch->width, batch->channels, builder->side->count, spectrum, error));
    }
    float *pictures = fs_allocate((size_t)values, sizeof *pictures, "pictures", error);
    if (!pictures) {
        return FS_FAILED;
    }
    for (int64_t i = 0; i < values; i++) {
        pictures[i] = batch->is_uint8 ? (float)((const uint8_t *)batch->pixels)[i] / 127.5F - 1.0F
                                      : ((const float *)batch->pixels)[i];
    }
    const fs_status status = fs_spectrum_add(spectrum, pictures, batch->count, error);
    free(pictures);
    return status;
}

static fs_status add_batch(struct side_builder *builder, const struct fs_image_batch *batch, int64_t first,
                           struct fs_error *error)
{
    struct fs_extractor *extractor = builder->request->extractor;
    FS_TRY(check_size(builder, batch, first, error));
    if (builder->request->spectrum) {
        FS_TRY(add_spectrum(builder, batch, error));
    }
    const fs_status status = !extractor ? FS_OK : extractor->extract(extractor, batch, builder->taps, error);
    if (status != FS_OK) {
        char place[1200];
        fs_image_source_place(&builder->source, first, place);
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
        FS_TRY(fs_image_source_next(&builder->source, max, &batch, error));
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
    struct fs_gaussian_origin *origin = &gaussian->origin;
    snprintf(origin->extractor, sizeof origin->extractor, "%s", extractor->name);
    snprintf(origin->label, sizeof origin->label, "%s", extractor->label);
    origin->fid = extractor->fid;
    snprintf(origin->sha256, sizeof origin->sha256, "%s", extractor->sha256);
    snprintf(origin->tap, sizeof origin->tap, "%s", extractor->taps[t].name);
    snprintf(origin->resize, sizeof origin->resize, "%s", fs_resize_name((int)extractor->resize));
    origin->count = builder->side->count;
    return FS_OK;
}

static fs_status make(struct side_builder *builder, const char *text, struct fs_error *error)
{
    const struct fs_side_request *request = builder->request;
    struct fs_side *side = builder->side;
    FS_TRY(fs_image_source_open(text, request->extractor ? (int)request->extractor->channels : 3, &builder->source,
                                error));
    side->floats = builder->source.floats;
    side->count = request->limit > 0 && request->limit < builder->source.count ? request->limit : builder->source.count;
    if (side->count < 2) {
        return fs_fail(error, FS_USAGE, "%s: %lld picture: a covariance needs two or more", text,
                       (long long)side->count);
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

fs_status fs_side_make(const char *text, const struct fs_side_request *request, struct fs_side *side,
                       struct fs_error *error)
{
    struct side_builder builder = {.request = request, .side = side};
    snprintf(side->name, sizeof side->name, "%s", text);
    const fs_status status = make(&builder, text, error);
    for (int t = 0; t < FS_SIDE_TAPS_MAX; t++) {
        fs_statistics_destroy(&builder.statistics[t]);
        free(builder.taps[t]);
    }
    fs_image_source_close(&builder.source);
    return status;
}

void fs_side_free(struct fs_side *side)
{
    for (int t = 0; t < FS_SIDE_TAPS_MAX; t++) {
        fs_gaussian_free(&side->gaussians[t]);
        free(side->features[t]);
    }
    fs_spectrum_destroy(&side->spectrum);
    *side = (struct fs_side){0};
}
