/* One side of a comparison: pictures brought through an extractor, statistics that were published, or both. */
#ifndef FEWSTEP_SIDE_H
#define FEWSTEP_SIDE_H

#include <signal.h>
#include <stdbool.h>

#include "harness/config/config.h"
#include "harness/data/image_source.h"
#include "metrics/extractor.h"
#include "metrics/gaussian.h"
#include "metrics/metric.h"

/* What there is to read. */
struct fs_side_content {
    bool pictures;
    bool moments[FS_METRICS_MAX]; /* of each metric that was asked about: its tap's mean and covariance, published */
};
/* FS_USAGE for an .npz that cannot be read. */
fs_status fs_side_look(const char *text, const struct fs_metric *const *metrics, int count,
                       struct fs_side_content *content, struct fs_error *error);

/* Statistics that were read, and what stands behind the names of their arrays. */
struct fs_published {
    const char *suffix;
    struct fs_gaussian gaussian;
};

struct fs_side {
    char name[FS_PATH_ROOM];
    bool published;                   /* statistics were read */
    bool floats;                      /* its pictures were floats, and not rounded to 8 bits */
    int64_t count;                    /* pictures, or of how many the statistics are; 0: they do not say */
    struct fs_gaussian_origin origin; /* what its features are of; empty where nobody knows, or there are none */
    struct fs_published read[FS_METRICS_MAX];
    int read_count;
    struct fs_gaussian gaussians[FS_TAPS_MAX]; /* of pictures, by tap; dim 0 unless asked for */
    float *features[FS_TAPS_MAX];              /* [count, dim], by tap; NULL unless asked for */
    struct fs_picture_sums_set sums;           /* that were asked for */
    struct fs_picture_shape shape;             /* of its first picture, where pictures were made */
    struct fs_image_source source;             /* open between fs_side_open and fs_side_make */
};

/* How pictures are read. */
struct fs_side_reading {
    const double *range; /* [2], what floats span; NULL: −1 and 1 */
    bool quantize;       /* floats are clipped and rounded to 8 bits, as the samples of a run are */
    int64_t limit;       /* only the first so many pictures; 0: all */
};

/* What pictures become, and who is told. */
struct fs_side_request {
    struct fs_side_reading reading;                      /* as fs_side_open had it */
    struct fs_extractor *extractor;                      /* with its resize chosen; NULL: no tap is wanted */
    bool statistics[FS_TAPS_MAX], features[FS_TAPS_MAX]; /* which taps are wanted, and how */
    struct fs_picture_sums_set sums;                     /* the kinds that are wanted */
    volatile sig_atomic_t *stop;                         /* NULL: nobody stops it */
    void *owner;
    void (*progress)(void *owner, const char *name, int64_t done, int64_t of); /* may be NULL */
};

/* A metric's statistics from an .npz (fs_gaussian_read); nothing where they were read for another already. */
fs_status fs_side_read(const char *path, const struct fs_metric *metric, struct fs_side *side, struct fs_error *error);
/* Those; NULL where they were not read. */
const struct fs_gaussian *fs_side_published(const struct fs_side *side, const struct fs_metric *metric);

/* A folder, an .npz or .npy, or a data set of pictures (fs_image_source_open), beside what `side`, begun as {0},
 * already holds: name, count, and whether they are floats. FS_USAGE for what is none of these, for fewer than two
 * pictures, and for floats that plainly span another range. Free also after a failure. */
fs_status fs_side_open(const char *text, const struct fs_side_reading *reading, struct fs_side *side,
                       struct fs_error *error);
/* The pictures of a side that was opened. FS_USAGE for such as the extractor cannot take, naming the first of them: of
 * another size where it does not resize or sums are wanted, in colour where it takes grey. FS_STOPPED when *stop was
 * set. */
fs_status fs_side_make(const struct fs_side_request *request, struct fs_side *side, struct fs_error *error);
void fs_side_free(struct fs_side *side);

/* Whether all pictures that an opened side's first is like are of this size: what an extractor of one size needs. */
bool fs_side_is_of_size(const struct fs_side *side, int64_t height, int64_t width);

#endif
