/* What `fid` and `stats` share. */
#include "harness/compare/extraction.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness/run/session.h"
#include "harness/text/number.h"
#include "kernels/base/clock.h"
#include "metrics/fashion_cnn.h"

static fs_status choose_resize(struct fs_extractor *extractor, const char *name, struct fs_error *error)
{
    enum fs_resize mode = FS_RESIZE_CLEAN;
    if (name) {
        FS_TRY(fs_resize_parse(name, &mode, error));
    }
    fs_extractor_set_resize(extractor, mode);
    if (name && extractor->resize != mode) {
        return fs_fail(error, FS_USAGE, "--resize %s: %s takes pictures of one size only, and does not resize", name,
                       extractor->name);
    }
    return FS_OK;
}

fs_status fs_extraction_check(const struct fs_extraction_request *request, struct fs_error *error)
{
    enum fs_resize ignored;
    if (request->extractor) {
        FS_TRY(fs_extractor_check_name(request->extractor, error));
    }
    return request->resize ? fs_resize_parse(request->resize, &ignored, error) : FS_OK;
}

/* An extractor was not chosen, and the weights of the default are not there. */
static fs_status name_another(const struct fs_side *const *sides, int side_count, fs_status status,
                              struct fs_error *error)
{
    bool small = side_count > 0;
    for (int i = 0; i < side_count; i++) {
        small = small && fs_side_is_of_size(sides[i], FS_FASHION_CNN_SIDE, FS_FASHION_CNN_SIDE);
    }
    if (small && status == FS_USAGE) {
        char text[sizeof error->text];
        snprintf(text, sizeof text, "%s", error->text);
        return fs_fail(error, status, "%s; grey pictures of %d × %d, as these, can go through --extractor fashion-cnn",
                       text, FS_FASHION_CNN_SIDE, FS_FASHION_CNN_SIDE);
    }
    return status;
}

fs_status fs_extraction_open(struct fs_extraction *extraction, const struct fs_extraction_request *request,
                             const struct fs_side *const *sides, int side_count, struct fs_error *error)
{
    FS_TRY(fs_open_backend(request->device, &extraction->backend, error));
    fs_status status = fs_extractor_open(request->extractor ? request->extractor : "inception-v3", extraction->backend,
                                         &extraction->extractor, error);
    if (status != FS_OK && !request->extractor) {
        status = name_another(sides, side_count, status, error);
    }
    if (status == FS_OK) {
        status = choose_resize(&extraction->extractor, request->resize, error);
    }
    return status;
}

void fs_extraction_close(struct fs_extraction *extraction)
{
    if (extraction->extractor.state) {
        fs_extractor_close(&extraction->extractor);
    }
    if (extraction->backend) {
        extraction->backend->destroy(extraction->backend);
    }
    *extraction = (struct fs_extraction){0};
}

static void show(void *owner, const char *name, int64_t done, int64_t of)
{
    struct fs_extraction *extraction = owner;
    if (fs_progress_due(&extraction->progress, done == of)) {
        char left[FS_NUMBER_TEXT];
        const double seconds = fs_seconds() - extraction->begin, rate = seconds > 0 ? (double)done / seconds : 0;
        fs_duration(rate > 0 ? (int64_t)((double)(of - done) / rate) : 0, left);
        fs_progress_line(&extraction->progress, done == of,
                         "%s: picture %" PRId64 "/%" PRId64 ", %.0f images/s, %s left", name, done, of, rate, left);
    }
}

fs_status fs_extraction_read(struct fs_extraction *extraction, const char *text, const struct fs_side_reading *reading,
                             struct fs_side *side, struct fs_error *error)
{
    const struct fs_image_source *source = &side->source;
    FS_TRY(fs_side_open(text, reading, side, error));
    if (source->count < reading->limit) {
        fs_progress_note(&extraction->progress, "%s: has %" PRId64 " pictures, fewer than --samples %" PRId64, text,
                         source->count, reading->limit);
    }
    if (side->floats && (source->lowest < source->low || source->highest > source->high)) {
        fs_progress_note(&extraction->progress,
                         "%s: floats from %g to %g are taken as they are: a run clips and rounds its samples before "
                         "they are scored (evaluate.quantize), and --quantize does here",
                         text, (double)source->lowest, (double)source->highest);
    }
    return FS_OK;
}

fs_status fs_extraction_side(struct fs_extraction *extraction, const struct fs_side_request *request,
                             struct fs_side *side, struct fs_error *error)
{
    struct fs_side_request whole = *request;
    whole.extractor = extraction->extractor.state ? &extraction->extractor : NULL;
    whole.stop = &fs_stop;
    whole.owner = extraction;
    whole.progress = show;
    extraction->begin = fs_seconds();
    return fs_side_make(&whole, side, error);
}

void fs_extraction_warn(struct fs_extraction *extraction, const struct fs_metric *metric, const char *source, int64_t n,
                        int64_t dim)
{
    char text[512], line[sizeof extraction->warned];
    if (!fs_metric_warning(metric, n, dim, text, sizeof text)) {
        return;
    }
    /* Metrics of a family say the same of the two sides in turn. */
    snprintf(line, sizeof line, "%.200s: %s\n", source, text);
    if (!strstr(extraction->warned, line)) {
        const size_t used = strlen(extraction->warned);
        snprintf(extraction->warned + used, sizeof extraction->warned - used, "%s", line);
        fs_progress_note(&extraction->progress, "%s: %s", source, text);
    }
}
