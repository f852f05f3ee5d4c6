/* What `fid` and `stats` share. */
#include "harness/compare/extraction.h"

#include <inttypes.h>
#include <string.h>

#include "harness/run/session.h"
#include "harness/text/number.h"
#include "kernels/base/clock.h"

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

fs_status fs_extraction_open(struct fs_extraction *extraction, const struct fs_extraction_request *request,
                             struct fs_error *error)
{
    *extraction = (struct fs_extraction){0};
    fs_progress_begin(&extraction->progress, request->quiet);
    FS_TRY(fs_open_backend(request->device, &extraction->backend, error));
    fs_status status = fs_extractor_open(request->extractor ? request->extractor : "inception-v3", extraction->backend,
                                         &extraction->extractor, error);
    if (status == FS_OK) {
        status = choose_resize(&extraction->extractor, request->resize, error);
    }
    if (status != FS_OK) {
        fs_extraction_close(extraction);
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

fs_status fs_extraction_side(struct fs_extraction *extraction, const char *text, const struct fs_side_request *request,
                             struct fs_side *side, struct fs_error *error)
{
    struct fs_side_request whole = *request;
    whole.extractor = extraction->extractor.state ? &extraction->extractor : NULL;
    whole.stop = &fs_stop;
    whole.owner = extraction;
    whole.progress = show;
    extraction->begin = fs_seconds();
    return fs_side_make(text, &whole, side, error);
}

void fs_extraction_warn(struct fs_extraction *extraction, const struct fs_metric *metric, const char *source, int64_t n,
                        int64_t dim)
{
    char text[512];
    if (fs_metric_warning(metric, n, dim, text, sizeof text)) {
        fs_progress_note(&extraction->progress, "%s: %s", source, text);
    }
}
