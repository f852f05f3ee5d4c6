/* The metrics there are, by the names that configurations and the database use, and all of them from one set of
 * features. */
#ifndef FEWSTEP_METRIC_H
#define FEWSTEP_METRIC_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics/estimate.h"
#include "metrics/extractor.h"
#include "metrics/prdc.h"
#include "metrics/spectrum.h"
#include "metrics/statistics.h"

/* In place of an extractor's and a tap's name where a metric is of the pictures themselves. */
#define FS_PIXELS "pixels"

struct fs_metric {
    const char *name;
    const char *fid_name; /* what it is called where the extractor's distance is FID (fs_extractor_metric); or NULL */
    const char *label, *fid_label; /* in tables */
    const char *tap;  /* how the name of the tap that it is made of begins; NULL: it is the extractor's first */
    bool of_pictures; /* of the pictures themselves: needs no extractor */
    bool of_pairs;    /* needs the reference's features, not their mean and covariance alone */
    bool larger_is_better;
    int64_t minimum; /* samples without which it is not defined */
};

/* NULL past the last; NULL for a name that is neither a name nor a fid_name. */
const struct fs_metric *fs_metric_at(int index);
const char *fs_metric_name(int index);
const struct fs_metric *fs_metric_find(const char *name);

/* The index of its tap. FS_USAGE, naming the taps there are, where the extractor has none such. */
fs_status fs_metric_tap(const struct fs_metric *metric, const struct fs_extractor *extractor, int *tap,
                        struct fs_error *error);

/* Whether n samples, of a tap of dim dimensions, are so few that the number is known to be biased or too uncertain;
 * `text` then says how (the same
 * for the four of fs_prdc). */
bool fs_metric_warning(const struct fs_metric *metric, int64_t n, int64_t dim, char *text, size_t size);

/* Mean and covariance of a reference's features, ready for distances to it. */
struct fs_moments {
    int64_t dim;
    double *mean, *root; /* [dim]; [dim, dim], Σ^½ */
    double trace;        /* tr Σ */
};

/* Memory for them, zeros; free also after a failure. */
fs_status fs_moments_create(int64_t dim, struct fs_moments *moments, struct fs_error *error);
void fs_moments_free(struct fs_moments *moments);
/* Of the rows that were added to `statistics`, of the same dim; of Σ + offset·I. */
fs_status fs_moments_fill(struct fs_moments *moments, struct fs_statistics *statistics, double offset,
                          struct fs_error *error);

/* What is scored. Only what the metrics that are asked for need has to be there. */
struct fs_evaluation {
    int64_t n;             /* samples */
    const float *features; /* [n, moments->dim], of the first tap */
    const float *spatial;  /* [n, spatial_moments->dim], of the tap "spatial" */
    const float *logits;   /* [n, classes], of the tap "logits" */
    int64_t classes;
    const struct fs_spectrum *spectrum;
    const struct fs_moments *moments, *spatial_moments; /* of the reference */
    const float *reference; /* [reference_n, moments->dim]; precision and its like take n of them, drawn at `seed` */
    int64_t reference_n;
    const double *reference_power; /* [spectrum->bins] */
    uint32_t seed;                 /* of resamples and subsets */
    double offset;                 /* 0, or FS_AUTHORS_OFFSET: then the moments are those of Σ + offset·I, and
                                      Fréchet distances are taken as the shortcut-model authors do (frechet.h) */
    const struct fs_metric_watch *watch;
    bool has_prdc; /* filled by the first of the four that is asked for */
    struct fs_prdc prdc;
};

/* Fréchet distances up to this many dimensions have a bootstrap's interval of 100 resamples, beyond it the one of their
 * influence function (fid_infinity.h), which agrees and takes one eigendecomposition. */
#define FS_BOOTSTRAP_DIM_MAX 512

/* A metric with its 95 % interval over samples. standard_error is NAN where the interval is a bootstrap's. */
fs_status fs_evaluate(struct fs_evaluation *evaluation, const struct fs_metric *metric, struct fs_estimate *estimate,
                      struct fs_error *error);

/* `wanted` of `rows` rows [rows, dim] in their order, each set of that size alike likely, from FS_STREAM_SUBSETS at
 * `seed`, step 2 (Knuth's selection sampling): whether row `row` is one, `chosen` having been taken before it. */
bool fs_row_is_chosen(uint32_t seed, int64_t row, int64_t rows, int64_t chosen, int64_t wanted);

#endif
