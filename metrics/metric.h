/* What a metric is, and the list of those there are. A metric is one file that fills a struct fs_metric, and one line
 * in metric.c. */
#ifndef FEWSTEP_METRIC_H
#define FEWSTEP_METRIC_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics/estimate.h"
#include "metrics/extractor.h"
#include "metrics/moments.h"
#include "metrics/picture_sums.h"

/* In place of an extractor's and a tap's name where a metric is of the pictures themselves. */
#define FS_PIXELS "pixels"

/* What a metric needs of a side, bit by bit. */
enum fs_metric_need {
    FS_NEED_FEATURES = 1, /* of each picture, by the metric's tap */
    FS_NEED_MOMENTS = 2,  /* mean and covariance of these features; of the reference, as samples have their features */
    FS_NEED_PICTURES = 4, /* the pictures themselves: `sums` */
};
enum { FS_OF_SAMPLES, FS_OF_REFERENCE, FS_SIDES };

struct fs_evaluation;
struct fs_metric_curve;

struct fs_metric {
    const char *name;                   /* in configurations, options and the database */
    const char *fid_name;               /* what it is called where the extractor's distance is FID; NULL: the same */
    const char *label, *fid_label;      /* likewise, in tables */
    const char *family;                 /* the names of all that share `evaluate`, for warnings; NULL: it is alone */
    const char *tap;                    /* how the name of its tap begins; NULL: it is the extractor's first */
    unsigned needs[FS_SIDES];           /* of samples and reference: fs_metric_need */
    const struct fs_picture_sums *sums; /* where it needs pictures */
    /* The samples' mean and covariance alone give its value, without an interval; and what stands behind the names mu
     * and sigma where such are published (NULL: nothing). */
    bool moments_suffice;
    const char *published_suffix;
    bool larger_is_better;
    int64_t minimum; /* samples without which it is not defined */
    /* From how many samples on, of a tap of `dim` dimensions, it can be trusted, and what is wrong with it below. */
    int64_t (*enough)(int64_t dim);
    const char *bias;
    int part; /* which of the estimates that `evaluate` fills is its own */
    /* The estimate of each of its family with its 95 % interval over samples (standard_error is NAN where that is a
     * bootstrap's); `curve`, unless NULL, where there is one behind the number. */
    fs_status (*evaluate)(const struct fs_evaluation *evaluation, struct fs_estimate *estimates,
                          struct fs_metric_curve *curve, struct fs_error *error);
};

/* NULL past the last; NULL for a name that is neither a name nor a fid_name. */
const struct fs_metric *fs_metric_at(int index);
const char *fs_metric_name(int index);
const struct fs_metric *fs_metric_find(const char *name);
/* "fd, kid, …": their names. */
void fs_metric_names(char *text, size_t size);

/* Whether it needs nothing but pictures of the samples, and so no extractor. */
bool fs_metric_is_of_pictures(const struct fs_metric *metric);

/* The index of its tap. FS_USAGE, naming the taps there are, where the extractor has none such. */
fs_status fs_metric_tap(const struct fs_metric *metric, const struct fs_extractor *extractor, int *tap,
                        struct fs_error *error);

/* Whether n samples, of a tap of dim dimensions, are so few that the number is known to be biased or too uncertain;
 * `text` then says how, the same for all of a family. */
bool fs_metric_warning(const struct fs_metric *metric, int64_t n, int64_t dim, char *text, size_t size);

/* One side as a metric sees it. Only what the metric needs has to be there. */
struct fs_metric_side {
    int64_t n;                        /* samples; of a reference: rows of features */
    int64_t dim;                      /* of features and moments */
    const float *features;            /* [n, dim], of the metric's tap */
    const struct fs_moments *moments; /* likewise. Of samples: the covariance; of a reference: the root, and the
                                         covariance where the samples' features are not there */
    const void *sums;                 /* of the samples' pictures */
    const double *summary;            /* of the reference's */
};

/* A curve behind a number: at each place x the samples' value with its standard error, and the reference's. */
struct fs_metric_curve {
    struct fs_metric_point {
        double x, value, standard_error, reference;
    } * points; /* [count]; free() them */
    int count;
};

/* What a family was found to be, for the next of it: of the same samples and reference. Begun as {0}. */
#define FS_METRIC_PARTS_MAX 4
struct fs_family_estimates {
    const char *family; /* NULL: nothing yet */
    struct fs_estimate estimates[FS_METRIC_PARTS_MAX];
};

struct fs_evaluation {
    const struct fs_metric *metric;
    struct fs_metric_side samples, reference;
    uint32_t seed; /* of resamples and subsets */
    double offset; /* 0, or FS_AUTHORS_OFFSET: then the reference's root is of Σ + offset·I, and Fréchet distances are
                      taken as the shortcut-model authors do (frechet.h) */
    const struct fs_metric_watch *watch;
    struct fs_family_estimates *known; /* NULL: each of a family is worked out for itself */
};

/* evaluation->metric; `curve`, which may be NULL, is {0} where it has none. */
fs_status fs_evaluate(const struct fs_evaluation *evaluation, struct fs_estimate *estimate,
                      struct fs_metric_curve *curve, struct fs_error *error);

/* `wanted` of `rows` rows [rows, dim] in their order, each set of that size alike likely, from FS_STREAM_SUBSETS at
 * `seed`, step 2 (Knuth's selection sampling): whether row `row` is one, `chosen` having been taken before it. */
bool fs_row_is_chosen(uint32_t seed, int64_t row, int64_t rows, int64_t chosen, int64_t wanted);

#endif
