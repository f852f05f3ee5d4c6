/* Two sides brought together: which pictures must be brought through which extractor for the metrics that are wanted,
 * and the metrics. */
#ifndef FEWSTEP_COMPARISON_H
#define FEWSTEP_COMPARISON_H

#include "harness/compare/extraction.h"
#include "harness/config/config.h"

/* What is asked for; nothing is owned. */
struct fs_comparison_request {
    const char *sources[FS_SIDES]; /* samples, reference: as fs_side_look and fs_image_source_open take them */
    struct fs_extraction_request extraction; /* NULL in it: what the statistics are of, else the defaults */
    const struct fs_metric *metrics[FS_METRICS_MAX];
    int count;
    uint32_t seed;
};

struct fs_comparison {
    const struct fs_comparison_request *request;
    struct fs_side_content contents[FS_SIDES];
    struct fs_side sides[FS_SIDES]; /* samples, reference */
    struct fs_extraction extraction;
    int taps[FS_METRICS_MAX];         /* of each metric, where an extractor is open */
    struct fs_gaussian_origin origin; /* of the features that both are compared by; empty where nobody knows */
    struct fs_estimate estimates[FS_METRICS_MAX]; /* low and high are NaN where there is no interval */
};

/* Fills `comparison`, begun as {0}. FS_USAGE, naming the source, for one that cannot be read, gives too few pictures,
 * or whose features are not those of the other side or that were asked for. Close also after a failure. */
fs_status fs_compare(const struct fs_comparison_request *request, struct fs_comparison *comparison,
                     struct fs_error *error);
void fs_comparison_close(struct fs_comparison *comparison);

/* The name that a metric's number goes by: FID, FID∞ and sFID are those of the known weights; all others carry the
 * extractor's name. */
void fs_comparison_label(const struct fs_comparison *comparison, int metric, char text[128]);

#endif
