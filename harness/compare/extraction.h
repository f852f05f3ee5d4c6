/* What `fid` and `stats` share: an extractor with its resize chosen, and pictures brought through it with progress. */
#ifndef FEWSTEP_EXTRACTION_H
#define FEWSTEP_EXTRACTION_H

#include "harness/compare/side.h"
#include "harness/config/config.h"
#include "harness/run/progress.h"
#include "metrics/metric.h"

struct fs_extraction {
    struct fs_backend *backend;
    struct fs_extractor extractor;
    struct fs_progress progress; /* also while nothing is open, once begun */
    double begin;                /* of the side that is being made */
    char warned[8192];           /* the lines of warning that were said, each once */
};

/* What is wanted of it, as on the command line. */
struct fs_extraction_request {
    const char *extractor, *resize; /* NULL: inception-v3, and `clean` where it resizes */
    enum fs_device_kind device;
    struct fs_side_reading reading;
    bool quiet;
};

/* FS_USAGE for names that nothing has, whether or not they are needed. */
fs_status fs_extraction_check(const struct fs_extraction_request *request, struct fs_error *error);

/* For these sides, which are open. FS_USAGE for missing weights (where another extractor would do, it is named), a
 * device that is not there, or a resize for an extractor that takes one size only. */
fs_status fs_extraction_open(struct fs_extraction *extraction, const struct fs_extraction_request *request,
                             const struct fs_side *const *sides, int side_count, struct fs_error *error);
void fs_extraction_close(struct fs_extraction *extraction);

/* fs_side_open, with a note where there are fewer pictures than were asked for, or floats that a run would clip. */
fs_status fs_extraction_read(struct fs_extraction *extraction, const char *text, const struct fs_side_reading *reading,
                             struct fs_side *side, struct fs_error *error);
/* fs_side_make with the signals' stop and progress on stderr; `request` says what of its pictures is wanted. One that
 * was only begun (progress) makes sides without taps. */
fs_status fs_extraction_side(struct fs_extraction *extraction, const struct fs_side_request *request,
                             struct fs_side *side, struct fs_error *error);
/* A note where n pictures of `source` are too few for a metric (fs_metric_warning). */
void fs_extraction_warn(struct fs_extraction *extraction, const struct fs_metric *metric, const char *source, int64_t n,
                        int64_t dim);

#endif
